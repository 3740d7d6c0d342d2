"""HDF5 files, opened by h5py where they are: what is read of them is requested when it is read."""

from __future__ import annotations

import collections
import functools
import importlib
import io
import os
from collections.abc import Collection
from typing import Any, ClassVar

from edge_vfs.file import File
from edge_vfs.openers.opener import need
from edge_vfs.openers.self_contained import check_self_contained

BLOCK = 256 << 10
"""Bytes that are requested at once where less is read: the parts of the structure of a file are small and scattered."""

KEPT = 256
"""Number of blocks that are kept."""


class H5PyOpener:
    """HDF5 files as ``h5py.File``, whose datasets are read when they are accessed.

    A file with parts in other files is refused, since these would be read on the user's machine.
    """

    suffixes: ClassVar[tuple[str, ...]] = (".h5", ".hdf5")

    def modules(self, file: File) -> Collection[str]:
        return {"h5py"}

    def open(self, file: File) -> Any:
        need("HDF5", file, "h5py")
        return opened(file)


def opened(file: File) -> Any:
    """Return `file` as an ``h5py.File`` that was checked, which closes `file` with itself.

    Raises:
        UnreadableContent: parts of it are in other files, or it cannot be checked for these.
        OSError: it is not HDF5.
    """
    blocks = _Blocks(file)
    try:
        hdf5 = _file_class()(blocks)
        try:
            check_self_contained(hdf5, file.basename)
        except BaseException:
            hdf5.close()
            raise
    except BaseException:
        file.close()
        raise
    return hdf5


class _Blocks(io.RawIOBase):
    """A file that is requested in blocks, some of which are kept."""

    def __init__(self, file: File) -> None:
        self.file = file
        self._position = 0
        self._kept: collections.OrderedDict[int, bytes] = collections.OrderedDict()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        origin = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self.file.size}[whence]
        self._position = origin + offset
        return self._position

    def tell(self) -> int:
        return self._position

    def readinto(self, buffer: Any, /) -> int:
        view = memoryview(buffer).cast("B")
        if len(view) >= BLOCK:
            self.file.seek(self._position)
            done = self.file.readinto(view)
        else:
            done = 0
            while done < len(view):
                number, offset = divmod(self._position + done, BLOCK)
                piece = self._block(number)[offset : offset + len(view) - done]
                if not piece:
                    break
                view[done : done + len(piece)] = piece
                done += len(piece)
        self._position += done
        return done

    def _block(self, number: int) -> bytes:
        block = self._kept.pop(number, None)
        if block is None:
            self.file.seek(number * BLOCK)
            block = self.file.read(BLOCK)
        self._kept[number] = block
        if len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return block

    def __repr__(self) -> str:
        return self.file.basename  # h5py takes it for the file's name


@functools.cache
def _file_class() -> Any:
    h5py: Any = importlib.import_module("h5py")

    class HDF5File(h5py.File):  # type: ignore[misc]  # h5py is only known inside the call
        """An ``h5py.File`` of a stored file, open for reading."""

        def __init__(self, blocks: _Blocks) -> None:
            super().__init__(blocks, "r")
            self._stored = blocks.file

        def close(self) -> None:
            """Close the file, and with it its groups and datasets."""
            super().close()
            self._stored.close()

        def __fspath__(self) -> str:
            name = self._stored.basename
            raise TypeError(
                f'{name} is opened by h5py already; use it as it is, or open({name!r}, "file") for its bytes'
            )

    return HDF5File
