"""Reading a file's content from a store, in order, and checking it against its SHA-256."""

from __future__ import annotations

import hashlib

from edge_core.errors import BadResponse, ChecksumError, ConnectionFailed
from edge_vfs.store import Reader, Stat, Stream

MAX_RECONNECTS = 3
"""Number of times in a row that a broken connection is replaced."""

PROGRESS = 1 << 16
"""Bytes that reset the count of breaks; without it, a few bytes per connection could go on for ever."""


class Content:
    """A version's content from byte `start` up to, but without, byte `stop`, in a single request.

    No request is sent before the first read. A connection that breaks is replaced, starting at the
    byte at which it broke.

    Args:
        reader: opens the content.
        stat: the file's name, size and version.
        start: the first byte.
        stop: the byte after the last; None for the content's end.
    """

    def __init__(self, reader: Reader, stat: Stat, start: int = 0, stop: int | None = None) -> None:
        self._reader = reader
        self._name = stat.name
        self.position = start
        self.stop = (stat.size or 0) if stop is None else stop
        self._stream: Stream | None = None
        self._breaks = 0
        self._counted_from = start

    def read(self, size: int) -> bytes:
        """Return up to `size` bytes, possibly fewer; none only at the end.

        Raises:
            ConnectionFailed: the connection broke, and so did its replacements.
            BadResponse: the server sent less than the file's size.
        """
        size = min(size, self.stop - self.position)
        if size <= 0:
            return b""
        block = self._read(size)
        self.position += len(block)
        return block

    def _read(self, size: int) -> bytes:
        while True:
            if self._stream is None:
                # Stores retry by themselves, so that their failure is not retried here.
                self._stream = self._reader.open(self.position, self.stop)
            broken: ConnectionFailed | BadResponse
            try:
                block = self._stream.read(size)
                if block:
                    return block
                broken = BadResponse(f"the server sent less of {self._name} than its size says; try again")
            except ConnectionFailed as error:
                broken = error
            self.close()
            if self.position - self._counted_from >= PROGRESS:
                self._breaks = 0
            self._counted_from = self.position
            self._breaks += 1
            if self._breaks > MAX_RECONNECTS:
                raise broken

    def close(self) -> None:
        """Release the connection; it is closed if the answer was not read to its end."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None


class Check:
    """Compares the content that was read, if it was all of it, with its SHA-256.

    A reader may stop, jump elsewhere and come back, as long as it leaves no byte out.

    Args:
        stat: the file's name, size and SHA-256.
    """

    def __init__(self, stat: Stat) -> None:
        self._stat = stat
        self._size = stat.size or 0
        self._hash = hashlib.sha256()
        self._seen = 0

    def see(self, position: int, data: bytes) -> None:
        """Take account of `data`, which begins at byte `position`; call it before handing the data out.

        Raises:
            ChecksumError: `data` ends the content, which differs from what was uploaded.
        """
        if self._stat.sha256 is None or not position <= self._seen < position + len(data):
            return
        self._hash.update(memoryview(data)[self._seen - position :])
        self._seen = position + len(data)
        if self._seen == self._size and self._hash.hexdigest() != self._stat.sha256:
            raise ChecksumError(
                f"{self._stat.name} arrived, but is not what was uploaded (its SHA-256 differs); "
                "try again, and tell the server's operator if the error stays"
            )
