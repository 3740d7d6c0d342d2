"""NumPy's own files."""

from __future__ import annotations

import zipfile
from typing import IO, Any, ClassVar

from edge_vfs.file import File
from edge_vfs.openers.opener import Content, UnreadableContent, UnsavableValue, head_of, need, suffix_of, warn


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

    def save(self, file: Content, value: Any) -> None:
        numpy = need("arrays", file, "numpy", doing="saving")
        if suffix_of(file.basename) == ".npz":
            _write_archive(numpy, file, value)
        else:
            _write(numpy, file, value, "it")


def _write_archive(numpy: Any, file: Content, arrays: Any) -> None:
    # Not numpy.savez: it takes the names as arguments, so that some names cannot be given.
    if not isinstance(arrays, dict) or not all(isinstance(name, str) for name in arrays):
        raise UnsavableValue(
            f"an npz holds a dict of arrays by their names, not {type(arrays).__name__}; npy holds one"
        )
    with zipfile.ZipFile(file, "w") as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                _write(numpy, member, array, f"the array {name!r}")


def _write(numpy: Any, file: IO[bytes], array: Any, what: str) -> None:
    if isinstance(array, numpy.ma.MaskedArray):
        raise UnsavableValue(f"{what} has a mask, which npy does not hold; save its data and its mask in an npz")
    if not isinstance(array, numpy.ndarray):
        raise UnsavableValue(f"{what} must be a numpy.ndarray, not {type(array).__name__}; numpy.asarray makes one")
    try:
        numpy.lib.format.write_array(file, array, allow_pickle=False)
    except ValueError as error:
        if "Object arrays" not in str(error):
            raise
        raise UnsavableValue(f"{what} has Python objects, which only pickles hold; use numbers or texts") from error


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
