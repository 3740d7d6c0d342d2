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
    with NewFile(path, mode) as new:
        yield new.file
        new.publish()
    sync_folder(new.folder)


class NewFile:
    """Opens a new file beside `path`, which takes its place by `publish`, or is gone when the ``with`` block ends.

    Args:
        path: the file to write or replace, in an existing folder.
        mode: permissions of the new file, less the umask of the process.

    Attributes:
        file: the new file, opened for writing.
        folder: the folder of both, whose names are on disk only after `sync_folder`.

    Raises:
        OSError: the file cannot be made.
    """

    def __init__(self, path: str | os.PathLike[str], mode: int = 0o666) -> None:
        self._path = os.fspath(path)
        folder, name = os.path.split(self._path)
        self.folder = folder or os.curdir
        # In the folder of the file, since a rename cannot cross file systems.
        self._beside = os.path.join(folder, f".{name[:STEM]}.{os.urandom(8).hex()}.part")
        self._is_published = False
        with self._naming_path():
            handle = os.open(self._beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), mode)
        self.file: BinaryIO = open(handle, "wb")  # noqa: SIM115  # closed by `publish` or `discard`

    def publish(self) -> None:
        """Write the content to disk, and then give the file its name.

        Raises:
            OSError: that cannot be done.
        """
        with self._naming_path():
            self.file.flush()
            os.fsync(self.file.fileno())
            self.file.close()
            os.replace(self._beside, self._path)
        self._is_published = True

    def discard(self) -> None:
        """Remove the file, unless it is published."""
        if not self._is_published:
            with contextlib.suppress(OSError):
                self.file.close()  # which may write what is left
            os.unlink(self._beside)

    def __enter__(self) -> NewFile:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        self.discard()
        if isinstance(error, OSError):
            self._name_path(error)

    @contextlib.contextmanager
    def _naming_path(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self._name_path(error)
            raise

    def _name_path(self, error: OSError) -> None:
        if error.filename == self._beside:  # a name that means nothing to whoever reads the error
            error.filename = self._path
            del error.filename2  # None would be shown


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
