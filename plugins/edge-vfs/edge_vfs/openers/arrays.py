"""NumPy's own files."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Collection, Mapping
from typing import IO, Any, ClassVar

from edge_vfs.file import File
from edge_vfs.openers.opener import Content, UnreadableContent, UnsavableValue, head_of, need, suffix_of, warn
from edge_vfs.openers.unpacking import MAX_UNPACKED_SIZE, OPTION


class NumPyOpener:
    """NumPy arrays (npy), and archives of them (npz), whose arrays are read when they are accessed.

    Python objects in them are refused, since reading these could run code from the file.
    """

    suffixes: ClassVar[tuple[str, ...]] = (".npy", ".npz")

    def recognizes(self, head: bytes) -> bool:
        # The members of an archive have the names of the arrays, with this suffix.
        name = head[30 : 30 + int.from_bytes(head[26:28], "little")]
        return head.startswith(b"\x93NUMPY") or (head.startswith(b"PK\3\4") and name.endswith(b".npy"))

    def options(self, file: File) -> Collection[str]:
        return () if suffix_of(file.basename) == ".npy" else {OPTION}

    def open(self, file: File, max_unpacked_size: int = MAX_UNPACKED_SIZE) -> Any:
        numpy = need("arrays", file, "numpy")
        if head_of(file).startswith((b"PK\3\4", b"PK\5\6")):
            return _archive(numpy, file, max_unpacked_size)
        with file:
            try:
                _check_length(numpy, file.basename, file, file.size)
                file.seek(0)
                array = numpy.load(file, allow_pickle=False)
            except ValueError as error:
                file.seek(0)
                if not head_of(file).startswith((b"\x93NUMPY", b"\x80")):  # the second is that of a pickle
                    raise UnreadableContent(
                        f"{file.basename} is damaged or no file of NumPy's, as its first bytes say; "
                        'open_with="file" gives its bytes'
                    ) from error
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
    if not isinstance(arrays, Mapping) or not all(isinstance(name, str) for name in arrays):
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


def _check_length(numpy: Any, name: str, content: IO[bytes] | File, size: int) -> None:
    """Raise `UnreadableContent` if the header of an array claims more bytes than follow it.

    Args:
        numpy: the package.
        name: name of the array or file, for the error.
        content: the array's file.
        size: its size in bytes.
    """
    layout = numpy.lib.format
    try:
        version = layout.read_magic(content)
        header = layout.read_array_header_1_0 if version == (1, 0) else layout.read_array_header_2_0
        shape, _, dtype = header(content)
    except ValueError:
        return  # numpy.load says why
    needed, following = math.prod(shape) * dtype.itemsize, size - content.tell()
    if needed > following and not dtype.hasobject:
        raise UnreadableContent(
            f"{name} is cut short or damaged: its header announces {needed} bytes, and {following} follow; "
            'open_with="file" gives its bytes'
        )


def _archive(numpy: Any, file: File, limit: int) -> Any:
    """Return an archive as `numpy.load` does, that refuses what cannot be read by sentences of ours."""

    class NpzFile(numpy.lib.npyio.NpzFile):  # type: ignore[misc]  # numpy is only known inside the call
        def __getitem__(self, key: str) -> Any:
            if self.zip is None:
                raise UnreadableContent(f"{file.basename} is closed; take its arrays before, or open it again")
            name = key if key in self.zip.namelist() else f"{key}.npy"
            if name in self.zip.namelist():
                member = self.zip.getinfo(name)
                self._check_size(key, member)
                with self.zip.open(member) as content:
                    prefix = content.read(len(numpy.lib.format.MAGIC_PREFIX))
                    if prefix != numpy.lib.format.MAGIC_PREFIX:
                        # Not by `ZipFile.read`, which unpacks all there is, whatever the size should be.
                        return prefix + content.read(member.file_size - len(prefix))
                with self.zip.open(member) as content:
                    _check_length(numpy, f"{key} of {file.basename}", content, member.file_size)
            try:
                return super().__getitem__(key)
            except ValueError as error:
                raise _refused(f"{key} of {file.basename}", error) from error

        def _check_size(self, key: str, member: zipfile.ZipInfo) -> None:
            if member.file_size > limit and member.file_size > 100 * member.compress_size:
                raise UnreadableContent(
                    f"{key} of {file.basename} unpacks to {member.file_size} bytes, more than {limit}; "
                    f"{OPTION}={member.file_size} opens it"
                )

        def __reduce_ex__(self, protocol: Any) -> Any:
            raise TypeError(
                f"{file.basename} is an open archive, which cannot be pickled or copied; dict(archive) has its arrays, "
                "which can"
            )

    try:
        archive = NpzFile(file, allow_pickle=False)
    except zipfile.BadZipFile as error:
        raise UnreadableContent(
            f"{file.basename} is damaged or cut short: it begins as an archive of arrays, and its list of them is "
            'missing; open_with="file" gives its bytes'
        ) from error
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
