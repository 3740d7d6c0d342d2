"""`File`: the bytes of a stored file, as Python's own binary files are read."""

from __future__ import annotations

import io
import os
import threading
from typing import Any

from edge_vfs.content import Check
from edge_vfs.read_ahead import ReadAhead
from edge_vfs.store import FileStore, Stat


class File(io.RawIOBase):
    """A stored file opened for reading; comes from `Folder.open`, not from its constructor.

    Opening asks nothing of the server. Reading on from where one stands is one streamed request,
    and so is a short jump forward; any other jump costs a request at the next read, which asks for
    little more than what is read. The file keeps giving the version it was opened on. It may be
    read from several threads; they share its position.
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
        """The name, without its path."""
        return self._stat.name

    @property
    def size(self) -> int:
        """Bytes."""
        return self._stat.size or 0

    def download_url(self, expires_in: int = 900) -> str:
        """An address that gives this file without a token, to whoever holds it.

        Args:
            expires_in: seconds it is good for, at most 7 days.
        """
        return self._reader.url(expires_in)

    def read(self, size: int | None = -1, /) -> bytes:
        """Up to `size` bytes, fewer only at the end; all the rest if `size` is negative or None.

        Raises:
            ChecksumError: the whole was read and is not what was uploaded.
            ConnectionFailed: the connection broke.
        """
        if size is None or size < 0:
            return self.readall()
        with self._lock:
            self._check_open()
            data = self._ahead.read(self._position, size)
            self._check.see(self._position, data)
            self._position += len(data)
            return data

    def readall(self) -> bytes:
        """All bytes from here to the end."""
        with self._lock:
            self._check_open()
            return self.read(max(0, self.size - self._position))

    def readinto(self, buffer: Any, /) -> int:
        """Fill `buffer` with the next bytes and return how many they are."""
        view = memoryview(buffer).cast("B")
        data = self.read(len(view))
        view[: len(data)] = data
        return len(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Move to a byte; asks nothing of the server."""
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
        """The byte the next read begins at."""
        self._check_open()
        return self._position

    def readable(self) -> bool:
        """Always True."""
        return True

    def seekable(self) -> bool:
        """Always True; each jump that is not a short one forward costs a request."""
        return True

    def write(self, data: Any, /) -> int:
        """Refused: what an object store holds is replaced whole, by `Folder.upload`."""
        raise io.UnsupportedOperation(f"{self.basename} cannot be written to; upload new content over it")

    def close(self) -> None:
        """Close the file; safe to call twice."""
        with self._lock:
            self._ahead.close()
            super().close()

    def _check_open(self) -> None:
        if self.closed:
            raise ValueError(f"{self.basename} is closed; open it again")

    def __repr__(self) -> str:
        state = ", closed" if self.closed else ""
        return f"<{type(self).__name__} {'/' + self._path!r}, {self.size} bytes{state}>"
