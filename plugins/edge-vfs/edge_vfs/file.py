"""`File`: a stored file, with the interface of Python's own binary files."""

from __future__ import annotations

import io
import os
import threading
from typing import Any

from edge_vfs.content import Check
from edge_vfs.read_ahead import ReadAhead
from edge_vfs.store import FileStore, Stat


class File(io.RawIOBase):
    """A stored file opened for reading; returned by `Folder.open`, never constructed by hand.

    Opening sends no request. Reading on from the current position is a single streamed request, a
    short jump forward included; any other jump costs a request at the next read, which asks for
    little more than what is read. The file keeps reading the version that was current when it was
    opened. Several threads may read it; they share its position.
    """

    def __init__(self, store: FileStore, path: str, stat: Stat) -> None:
        self._reader = store.reader(path, stat)
        self._stat = stat
        self._path = path
        self._position = 0
        self._ahead = ReadAhead(self._reader, stat)
        self._check = Check(stat)
        # Readers such as pyarrow call from threads of their own.
        self._lock = threading.RLock()

    @property
    def basename(self) -> str:
        """Name without its path."""
        return self._stat.name

    @property
    def size(self) -> int:
        """Size of the content in bytes."""
        return self._stat.size or 0

    def download_url(self, expires_in: int = 900) -> str:
        """Return an address from which anyone who has it can fetch this file without a token.

        Args:
            expires_in: seconds until the address expires, at most 7 days.

        Returns:
            an absolute HTTP address.

        Raises:
            BadEntry: `expires_in` is out of range.
        """
        return self._reader.url(expires_in)

    def read(self, size: int | None = -1, /) -> bytes:
        """Read `size` bytes, fewer only at the end; all the rest if `size` is negative or None.

        Args:
            size: number of bytes.

        Raises:
            ChecksumError: all of the content was read, and it is not what was uploaded.
            ConnectionFailed: the connection broke.
            NotFound, Conflict: the version that was opened is gone.
            ValueError: the file is closed.
        """
        if size is None or size < 0:
            return self.readall()
        with self._lock:
            self._check_open()
            block = self._ahead.read(self._position, size)
            self._check.see(self._position, block)
            self._position += len(block)
            return block

    def readall(self) -> bytes:
        """Read all bytes from the current position to the end; raises like `read`."""
        with self._lock:
            self._check_open()
            return self.read(max(0, self.size - self._position))

    def readinto(self, buffer: Any, /) -> int:
        """Read bytes into `buffer` and return their number; raises like `read`."""
        view = memoryview(buffer).cast("B")
        content = self.read(len(view))
        view[: len(content)] = content
        return len(content)

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Set the position at which the next read begins; sends no request.

        Args:
            offset: bytes, counted from where `whence` says.
            whence: `os.SEEK_SET`, `os.SEEK_CUR` or `os.SEEK_END`.

        Returns:
            the new position, in bytes from the beginning.

        Raises:
            ValueError: the position is before the beginning, `whence` is unknown, or the file is closed.
        """
        with self._lock:
            self._check_open()
            start = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self.size}.get(whence)
            if start is None:
                raise ValueError(f"whence must be 0, 1 or 2, not {whence}")
            if start + offset < 0:
                raise ValueError(f"cannot seek to byte {start + offset}, before the beginning")
            self._position = start + offset
            return self._position

    def tell(self) -> int:
        """Return the position at which the next read begins, in bytes from the beginning."""
        self._check_open()
        return self._position

    def readable(self) -> bool:
        """Return True: a stored file can always be read."""
        return True

    def seekable(self) -> bool:
        """Return True; each jump costs a request, except for a short jump forward."""
        return True

    def write(self, content: Any, /) -> int:
        """Raise `io.UnsupportedOperation`: a stored file is only replaced as a whole, by `Folder.upload`."""
        raise io.UnsupportedOperation(f"{self.basename} cannot be written to; upload new content over it")

    def close(self) -> None:
        """Close the file; closing it again does nothing."""
        with self._lock:
            self._ahead.close()
            super().close()

    def _check_open(self) -> None:
        if self.closed:
            raise ValueError(f"{self.basename} is closed; open it again")

    def __repr__(self) -> str:
        state = ", closed" if self.closed else ""
        return f"<{type(self).__name__} {'/' + self._path!r}, {self.size} bytes{state}>"
