"""The content of a file as it is read from a store, in order, and checked."""

from __future__ import annotations

import hashlib

from edge_core.errors import BadResponse, ChecksumError, ConnectionFailed
from edge_vfs.store import Reader, Stat, Stream

MAX_RECONNECTS = 3
"""How often in a row a broken connection is replaced."""

PROGRESS = 1 << 16
"""Bytes. After so many more, breaks are counted anew; else a few bytes at a time could go on for ever."""


class Content:
    """One version's content from byte `start` up to, and without, byte `stop`: one request.

    Nothing is asked of the store before the first read. A connection that breaks is replaced from
    the byte it broke at.

    Args:
        reader: where the content comes from.
        stat: what is known of it.
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
        """Up to `size` bytes, fewer only at the end.

        Raises:
            ConnectionFailed: the connection broke, and so did its replacements.
        """
        wanted = min(size, self.stop - self.position)
        if wanted <= 0:
            return b""
        data = self._read(wanted)
        self.position += len(data)
        return data

    def _read(self, wanted: int) -> bytes:
        while True:
            if self._stream is None:
                # A store does not give up at the first try, so its failure is not tried again here.
                self._stream = self._reader.open(self.position, self.stop)
            broken: ConnectionFailed | BadResponse
            try:
                data = self._stream.read(wanted)
                if data:
                    return data
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
        """Let go of the connection, for good if the answer was not read to its end."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None


class Check:
    """Compares what is read from the first byte to the last with the content's digest.

    Whoever reads may stop, jump elsewhere and come back, as long as no byte is left out.
    """

    def __init__(self, stat: Stat) -> None:
        self._stat = stat
        self._size = stat.size or 0
        self._hash = hashlib.sha256()
        self._seen = 0

    def see(self, position: int, data: bytes) -> None:
        """Take note of `data`, which begins at byte `position`, before it is handed out.

        Raises:
            ChecksumError: this was the last of it, and the whole is not what was uploaded.
        """
        if self._stat.sha256 is None or not position <= self._seen < position + len(data):
            return
        self._hash.update(memoryview(data)[self._seen - position :])
        self._seen = position + len(data)
        if self._seen == self._size and self._hash.hexdigest() != self._stat.sha256:
            raise ChecksumError(
                f"{self._stat.name} arrived, but is not what was uploaded (its SHA-256 differs); "
                "try again, and tell the server's operator if it stays so"
            )
