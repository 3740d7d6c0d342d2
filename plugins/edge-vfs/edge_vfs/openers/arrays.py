"""NumPy's own files."""

from __future__ import annotations

from typing import Any, ClassVar

from edge_vfs.file import File
from edge_vfs.openers.opener import UnreadableContent, head_of, need, warn


class NumPyOpener:
    """NumPy arrays (npy), and archives of them (npz), whose arrays are read when they are accessed.

    Python objects in them are refused, since reading these could run code from the file.
    """

    suffixes: ClassVar[tuple[str, ...]] = (".npy", ".npz")

    def recognizes(self, head: bytes) -> bool:
        # The members of an archive have the names of the arrays, with this suffix.
        name = head[30 : 30 + int.from_bytes(head[26:28], "little")]
        return head.startswith(b"\x93NUMPY") or (head.startswith(b"PK\3\4") and name.endswith(b".npy"))

    def open(self, file: File) -> Any:
        numpy = need("arrays", file, "numpy")
        if head_of(file).startswith((b"PK\3\4", b"PK\5\6")):
            return _archive(numpy, file)
        with file:
            try:
                array = numpy.load(file, allow_pickle=False)
            except ValueError as error:
                raise _refused(file.basename, error) from error
            if file.tell() < file.size:
                warn(
                    f"{file.basename} goes on after its first array, which was read; "
                    f'numpy.load(file) reads the next, if it is called once more for file = open(name, "file")'
                )
            return array


def _archive(numpy: Any, file: File) -> Any:
    """Return an archive as `numpy.load` does, that refuses arrays of objects by a sentence of ours."""

    class NpzFile(numpy.lib.npyio.NpzFile):  # type: ignore[misc]  # numpy is only known inside the call
        def __getitem__(self, key: str) -> Any:
            try:
                return super().__getitem__(key)
            except ValueError as error:
                raise _refused(f"{key} of {file.basename}", error) from error

    archive = NpzFile(file, allow_pickle=False)
    members = archive.zip.namelist()
    if members and not any(member.endswith(".npy") for member in members):
        raise UnreadableContent(
            f'{file.basename} is a zip file without arrays, with {members[0]} first; open_with="file" gives its bytes'
        )
    return archive


def _refused(name: str, error: ValueError) -> Exception:
    if "allow_pickle" not in str(error):
        return error
    return UnreadableContent(
        f"{name} has Python objects or is no array, and is not read, since it could run code; save it as an array of "
        'numbers or texts, or open_with="file" gives its bytes'
    )
