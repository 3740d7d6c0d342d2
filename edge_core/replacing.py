"""Replacing a local file as a whole: who reads it gets the old content or all of the new."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import BinaryIO

STEM = 40
"""Characters of a name that the new file has in its own as well, before its content is complete."""


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str], mode: int = 0o666) -> Iterator[BinaryIO]:
    """Open a new file, which takes the place of `path` when the block ends without an error.

    The new file is written to disk before it gets the name, and the name before the block is left. After
    an error `path` is as it was, and the new file is gone.

    Args:
        path: the file to write or replace, in an existing folder.
        mode: permissions of the new file, less the umask of the process.

    Raises:
        OSError: the file cannot be written.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with replacing(f"{folder}/plate.csv") as file:
    ...         _ = file.write(b"A1,3")
    ...     print(os.listdir(folder))
    ['plate.csv']
    """
    folder, name = os.path.split(os.fspath(path))
    # In the folder of the file, since a rename cannot cross file systems.
    beside = os.path.join(folder, f".{name[:STEM]}.{os.urandom(8).hex()}.part")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    try:
        handle = os.open(beside, flags, mode)
        try:
            with open(handle, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(beside, path)
        except BaseException:
            os.unlink(beside)
            raise
    except OSError as error:
        if error.filename == beside:  # a name that means nothing to whoever reads the error
            error.filename = os.fspath(path)
            del error.filename2  # None would be shown
        raise
    sync_folder(folder or os.curdir)


def sync_folder(folder: str | os.PathLike[str]) -> None:
    """Write the names in a folder to disk, where that can be done: on POSIX only can a folder be opened.

    Args:
        folder: the folder.
    """
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
