"""Decides how much of a file a request asks for, so that every kind of reader needs few requests.

A reader that reads on gets a single answer that streams to the end. A reader that jumps gets what it
asks for and little more: bytes that are sent and not read cost time, and an answer that is not read
to its end costs the connection.
"""

from __future__ import annotations

import collections
from typing import NamedTuple

from edge_vfs.content import Content
from edge_vfs.store import Reader, SendsAtOnce, Stat

HEADER = 4 << 10
"""Bytes. A shorter read is taken for the read of a header, which is followed by that of its body."""

AFTER_HEADER = 16 << 10
"""Bytes that are requested when a header is read."""

HEAD = 64 << 10
"""Bytes that are requested when the header at a file's beginning is read: enough to tell its format."""

SMALL = 128 << 10
"""Bytes. The rest of an answer is read whole and kept, once it is no more than this.

As much is requested when a reader goes to a file's end, where zip, parquet and others keep their
table of contents. A jump forward over no more than this is read through, which is faster than a request.
"""

LONG_RUN = 8 << 20
"""Bytes. Requests of a reader that reads on are doubled up to this size; the next streams to the end."""

KEPT = 4
"""Number of small answers that are kept, beside that of the file's end."""


class Block(NamedTuple):
    """A small answer that is kept, since readers go back and forth in small stretches."""

    start: int
    content: bytes

    def at(self, position: int, size: int) -> bytes:
        """Return up to `size` bytes from `position` on; none if this block does not hold them."""
        offset = position - self.start
        return self.content[offset : offset + size] if 0 <= offset < len(self.content) else b""


class ReadAhead:
    """Reads a version's content at any position; for a single thread at a time."""

    def __init__(self, reader: Reader, stat: Stat) -> None:
        self._reader = reader
        self._stat = stat
        self._size = stat.size or 0
        self._at_once = reader.at_once if isinstance(reader, SendsAtOnce) else 0
        self._content: Content | None = None  # an answer with more than SMALL left
        self._blocks: collections.deque[Block] = collections.deque(maxlen=KEPT)
        self._tail: Block | None = None
        self._requested: range | None = None  # the bytes of the last request

    def read(self, position: int, size: int) -> bytes:
        """Return `size` bytes from `position` on, fewer only at the end; raises like `Content.read`."""
        chunks: list[bytes] = []
        left = min(size, self._size - position)
        while left > 0:
            chunk = self._kept(position, left) or self._streamed(position, left)
            chunks.append(chunk)
            position += len(chunk)
            left -= len(chunk)
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    def close(self) -> None:
        """Release the connection; reading on makes a new request."""
        if self._content is not None:
            self._content.close()
            self._content = None

    def _kept(self, position: int, size: int) -> bytes:
        for block in (self._tail, *self._blocks):
            if block is not None and (chunk := block.at(position, size)):
                return chunk
        return b""

    def _streamed(self, position: int, size: int) -> bytes:
        if self._content is None or not 0 <= position - self._content.position <= SMALL:
            self.close()
            self._requested = span = self._span(position, size)
            self._content = Content(self._reader, self._stat, span.start, span.stop)
        content = self._content
        chunk = b""
        if content.stop - content.position > SMALL:
            while content.position < position:
                content.read(position - content.position)
            chunk = content.read(size)
        if content.stop - content.position <= SMALL:
            self._keep(content)
        return chunk or self._kept(position, size)

    def _span(self, position: int, size: int) -> range:
        """Return the bytes to request when a reader reads `size` bytes from `position` on."""
        start, stop = position, position + size
        before = self._requested
        if before is not None and 0 <= position - before.stop <= SMALL:
            following = 2 * len(before)
            stop = self._size if following > LONG_RUN or before.start == 0 else max(stop, start + following)
        elif position == 0:
            # A reader that starts at the beginning reads on, unless it only looks which format the file has. Where the
            # beginning comes with the address of the rest, reading on costs no request more than all at once.
            beginning = max(size, SMALL)
            stop = HEAD if size < HEADER else beginning if beginning <= self._at_once else self._size
        elif self._tail is None and position >= self._size - SMALL:
            start, stop = max(0, self._size - SMALL), self._size
        elif size < HEADER:
            stop = start + AFTER_HEADER
        if self._tail is not None:
            stop = min(stop, self._tail.start)
        return range(start, min(stop, self._size))

    def _keep(self, content: Content) -> None:
        """Read and keep the rest of an answer, which frees its connection."""
        block = Block(content.position, b"".join(iter(lambda: content.read(SMALL), b"")))
        self.close()
        if content.stop == self._size:
            self._tail = block
        else:
            self._blocks.appendleft(block)
