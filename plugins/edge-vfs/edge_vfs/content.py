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
    """One version's content, read from `start` to its end.

    Nothing is asked of the store before the first read. A connection that breaks is replaced from
    the byte it broke at. What was read from the first byte to the last is checked against the
    content's digest before its last bytes are handed out.
    """

    def __init__(self, reader: Reader, stat: Stat, start: int = 0) -> None:
        self._reader = reader
        self._stat = stat
        self._size = stat.size or 0
        self._stream: Stream | None = None
        self._hash = hashlib.sha256() if start == 0 and stat.sha256 else None
        self.position = start
        self._breaks = 0
        self._counted_from = start

    def read(self, size: int) -> bytes:
        """Up to `size` bytes, fewer only at the end.

        Raises:
            ConnectionFailed: the connection broke, and so did its replacements.
            ChecksumError: the content is not what was uploaded.
        """
        wanted = min(size, self._size - self.position)
        if wanted <= 0:
            return b""
        data = self._read(wanted)
        self.position += len(data)
        if self._hash is not None:
            self._hash.update(data)
            if self.position == self._size and self._hash.hexdigest() != self._stat.sha256:
                raise ChecksumError(
                    f"{self._stat.name} arrived, but is not what was uploaded (its SHA-256 differs); "
                    "try again, and tell the server's operator if it stays so"
                )
        return data

    def _read(self, wanted: int) -> bytes:
        while True:
            if self._stream is None:
                # A store does not give up at the first try, so its failure is not tried again here.
                self._stream = self._reader.open(self.position)
            broken: ConnectionFailed | BadResponse
            try:
                data = self._stream.read(wanted)
                if data:
                    return data
                broken = BadResponse(f"the server sent less of {self._stat.name} than its size says; try again")
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
        if self._stream is not None:
            self._stream.close()
            self._stream = None
