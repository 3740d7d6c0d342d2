"""Reading a file's content from a store, in order, and checking it against its digests."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from edge_core.errors import BadResponse, ChecksumError, ConnectionFailed
from edge_vfs import digests
from edge_vfs.store import KeepsDigests, Reader, Stat, Stream

MAX_RECONNECTS = 3
"""Number of times in a row that a broken connection is replaced."""

MAX_PARTS_CHECKED = 1000
"""Maximum number of parts whose digests are requested for a file that is read; a download requests any number."""

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
            try:
                block = self._stream.read(size)
            except ConnectionFailed:
                if not self._may_reconnect():
                    raise
                continue
            if block:
                return block
            if not self._may_reconnect():
                raise BadResponse(f"the server sent less of {self._name} than its size says; try again")

    def _may_reconnect(self) -> bool:
        """Close a broken connection; return whether another may replace it.

        The error is nowhere kept: its traceback holds memory, and a cycle with it would until the garbage collection.
        """
        self.close()
        if self.position - self._counted_from >= PROGRESS:
            self._breaks = 0
        self._counted_from = self.position
        self._breaks += 1
        return self._breaks <= MAX_RECONNECTS

    def close(self) -> None:
        """Release the connection; it is closed if the answer was not read to its end."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None


class Check:
    """Compares the content that was read with the digest of all of it, or with those of its parts.

    Content of several parts is checked part by part, in any order, if the digests of the parts are known. Those of
    up to `MAX_PARTS_CHECKED` parts are requested once a whole part was read, which is at least some MiB. Otherwise all
    of the content is checked once all of it was read. A reader may stop, jump elsewhere and come back; what it reads
    of a part without its beginning, or leaves bytes out of, is not checked.

    Args:
        stat: the file's name, size and digests.
        reader: knows the digests of the parts, or nothing of them.
    """

    def __init__(self, stat: Stat, reader: Reader | None = None) -> None:
        self._stat = stat
        self._size = stat.size or 0
        self._expected, part_size = expected(stat)
        self._part_size = part_size or self._size or 1
        self._reader = reader if reader is not None and isinstance(reader, KeepsDigests) else None
        self._known: Sequence[bytes] | None = None
        self._own: dict[int, bytes] = {}
        self._hash = hashlib.sha256()
        self._seen = 0

    def see(self, position: int, data: bytes) -> None:
        """Take account of `data`, which begins at byte `position`; call it before handing the data out.

        Raises:
            ChecksumError: `data` ends a part or the content, which differs from what was uploaded.
        """
        if self._expected is None:
            return
        stop = position + len(data)
        view = memoryview(data)
        if not position <= self._seen < stop:
            begin = -(-position // self._part_size) * self._part_size
            if begin >= stop or begin <= self._seen < begin + self._part_size:
                return
            self._begin(begin)
        while self._seen < stop:
            end = min(stop, (self._seen // self._part_size + 1) * self._part_size)
            self._hash.update(view[self._seen - position : end - position])
            n = self._seen // self._part_size
            self._seen = end
            if end % self._part_size == 0 or end == self._size:
                self._compare(n, self._hash.digest())
                self._begin(end)

    def _begin(self, position: int) -> None:
        self._hash = hashlib.sha256()
        self._seen = position

    def _compare(self, n: int, digest: bytes) -> None:
        count = -(-self._size // self._part_size)
        if self._known is None and self._reader is not None and 1 < count <= MAX_PARTS_CHECKED:
            self._known = part_digests(self._reader, self._stat)
        if self._known:
            is_wrong = digest != self._known[n]
        else:
            self._own[n] = digest
            is_wrong = len(self._own) == count and self._expected != digests.of_parts(
                [self._own[each] for each in range(count)]
            )
        if is_wrong:
            self._own.clear()
            raise wrong(self._stat)


def expected(stat: Stat) -> tuple[str | None, int | None]:
    """Return the digest that all of the content must have, and the size of the parts over which it is made.

    Returns:
        the digest in hexadecimal, None if the store does not know it; and bytes, None if it is made over no parts.
    """
    return (stat.sha256, None) if stat.digest is None else (stat.digest, stat.part_size)


def part_digests(reader: Reader, stat: Stat) -> Sequence[bytes]:
    """Return the binary SHA-256 of each part of the content; empty if they are not known.

    Raises:
        BadResponse: they are not those of this content.
    """
    digest, part_size = expected(stat)
    if digest is None or part_size is None or not isinstance(reader, KeepsDigests):
        return ()
    parts = reader.digests()
    if parts and (len(parts) != -(-(stat.size or 0) // part_size) or digests.of_parts(parts) != digest):
        raise BadResponse(
            f"the digests of the parts of {stat.name} do not fit the digest of the file; try again, and tell the "
            "server's operator if the error stays"
        )
    return parts


def wrong(stat: Stat) -> ChecksumError:
    """Return the error that content is not what was uploaded."""
    return ChecksumError(
        f"{stat.name} arrived, but is not what was uploaded (its SHA-256 differs); "
        "try again, and tell the server's operator if the error stays"
    )
