"""`File`: a stored file, with the interface of Python's own binary files."""

from __future__ import annotations

import datetime as dt
import errno
import io
import operator
import os
import threading
from collections.abc import Iterable, Iterator
from typing import Any

from edge_core.durations import whole_seconds
from edge_vfs import ranges
from edge_vfs.content import Check
from edge_vfs.read_ahead import ReadAhead
from edge_vfs.store import FileStore, Stat

FIRST_BLOCK = io.DEFAULT_BUFFER_SIZE
"""Bytes that are held for a reader of lines; each following block has twice as many."""

LARGEST_BLOCK = 64 << 10
"""Bytes of the largest block that is held for a reader of lines."""


class Block(io.BytesIO):
    r"""Bytes of a file that are held for a reader of lines: whole lines, which Python itself goes through.

    Args:
        start: position in the file of the first byte.
        content: the bytes; what follows the last ``b"\n"`` is kept apart as `rest`, so that two threads
            that read lines never get two halves of one.
    """

    def __init__(self, start: int, content: bytes = b"") -> None:
        lines = content.rfind(b"\n") + 1
        super().__init__(content[:lines])
        self.rest = content[lines:]
        self.start = start
        self.end = start + lines  # of the whole lines
        self.stop = start + len(content)

    @property
    def position(self) -> int:
        """Position in the file of the next byte."""
        return self.start + self.tell()


class File(io.RawIOBase):
    """A stored file opened for reading; returned by `Folder.open`, never constructed by hand.

    Opening sends no request. Reading on from the current position is a single streamed request (and one for
    the beginning, where content has an address of its own), a short jump forward included; any other jump
    costs a request at the next read, which asks for little more than what is read. Lines come from a block
    that is held. The file keeps reading the version that was current when it was opened. Several threads
    may read it; they share its position.

    A file can be pickled if its store can; the copy reads on from the same position. Files are equal if
    their stores, paths and versions are.
    """

    def __init__(self, store: FileStore, path: str, stat: Stat) -> None:
        self._store = store
        self._reader = store.reader(path, stat)
        self._stat = stat
        self._path = path
        self._held = Block(0)  # its position is that of the file
        self._ahead = ReadAhead(self._reader, stat)
        self._check = Check(stat, self._reader)
        # Readers such as pyarrow call from threads of their own.
        self._lock = threading.RLock()

    @property
    def basename(self) -> str:
        """Name without its path."""
        return self._stat.name

    @property
    def name(self) -> str:
        """Path from the root, such as ``"/runs/plate-7.csv"``, under which Python's own readers know a file."""
        return f"/{self._path}"

    @property
    def size(self) -> int:
        """Size of the content in bytes."""
        return self._stat.size or 0

    def download_url(self, expires_in: int | dt.timedelta = 900) -> str:
        """Return an address from which anyone who has it can fetch this file without a token.

        It ends earlier if you leave the organization, or if the token of this session expires or is removed.

        Args:
            expires_in: how long the address works, in seconds or as a timedelta; at most 7 days.

        Returns:
            an absolute HTTP address.

        Raises:
            BadEntry: `expires_in` is out of range.
        """
        return self._reader.url(whole_seconds(expires_in))

    def read(self, size: int | None = -1, /) -> bytes:
        """Read `size` bytes, fewer only at the end; all the rest if `size` is negative or None.

        Args:
            size: number of bytes.

        Raises:
            ChecksumError: all of the content was read, or all of a part of it, and it is not what was uploaded.
            ConnectionFailed: the connection broke.
            NotFound, Conflict: the version that was opened is gone.
            ValueError: the file is closed.
        """
        if size is None or size < 0:
            return self.readall()
        with self._lock:
            self._check_open()
            block = self._held.read(size)
            if len(block) == size:
                return block
            content = self._following(block, size - len(block))
            self._replace(Block(self._held.end - len(block) + len(content[:size]), content[size:]))
            return content[:size]

    def readall(self) -> bytes:
        """Read all bytes from the current position to the end; raises like `read`."""
        with self._lock:
            self._check_open()
            return self.read(max(0, self.size - self._held.position))

    def readline(self, size: int | None = -1, /) -> bytes:
        r"""Read up to and with the next ``b"\n"``; iterating over the file gives such lines.

        Args:
            size: maximum number of bytes to return; no maximum if it is negative or None.

        Returns:
            the line; the last may lack its ``b"\n"``, and after it comes ``b""``.

        Raises:
            ChecksumError, ConnectionFailed, NotFound, Conflict, ValueError: as for `read`.
        """
        with self._lock:
            if line := self._held.readline(-1 if size is None else size):
                return line
            if size is not None and size >= 0:
                return self._limited_line(size)
            self._check_open()
            return self._held.readline() if self._hold() else self.read(len(self._held.rest))

    def _limited_line(self, size: int) -> bytes:
        start = self.tell()
        pieces: list[bytes] = []
        try:
            while size and (following := self.peek()):
                pieces.append(self.read(following.find(b"\n", 0, size) + 1 or min(size, len(following))))
                size = 0 if pieces[-1].endswith(b"\n") else size - len(pieces[-1])
        except BaseException:
            self.seek(start)  # otherwise the next line would lack its beginning
            raise
        return b"".join(pieces)

    def __iter__(self) -> Iterator[bytes]:
        while True:
            # Not "yield from": a loop that is left would close the block.
            for line in self._held:  # noqa: UP028
                yield line
            with self._lock:
                self._check_open()
                if self._held.position < self._held.end or self._hold():
                    continue
                last = self.read(len(self._held.rest))
            if last:
                yield last
            return

    def peek(self, size: int = 0, /) -> bytes:
        """Return bytes from the current position on without moving it.

        Args:
            size: number of bytes that are needed.

        Returns:
            at least `size` bytes and at least one, often more; fewer only at the end of the file.

        Raises:
            ChecksumError, ConnectionFailed, NotFound, Conflict, ValueError: as for `read`.
        """
        with self._lock:
            self._check_open()
            lines = self._held.read()
            start = self._held.end - len(lines)
            content = lines + self._held.rest
            if len(content) >= max(size, 1):
                self._held.seek(-len(lines), os.SEEK_CUR)
            else:
                content = self._following(lines, max(size - len(lines), len(self._held.rest) + self._block_size()))
                self._replace(Block(start, content))
            return content

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
            OSError: the position is before the beginning; the error number is `errno.EINVAL`, as of a local file.
            ValueError: `whence` is unknown, or the file is closed.
            TypeError: `offset` is not a whole number.
        """
        with self._lock:
            self._check_open()
            origin = {os.SEEK_SET: 0, os.SEEK_CUR: self._held.position, os.SEEK_END: self.size}.get(whence)
            if origin is None:
                raise ValueError(f"whence must be 0, 1 or 2, not {whence}")
            position = origin + operator.index(offset)
            if position < 0:
                # zipfile and others take this error for a file that is too short.
                raise OSError(errno.EINVAL, f"cannot seek to byte {position}, before the beginning")
            return self._move(position)

    def tell(self) -> int:
        """Return the position at which the next read begins, in bytes from the beginning."""
        with self._lock:
            self._check_open()
            return self._held.position

    def read_ranges(self, spans: Iterable[tuple[int | None, int | None]], *, max_gap: int = ranges.NEAR) -> list[bytes]:
        """Read several ranges; near ones come with a single request, and several requests run at the same time.

        The position stays as it is.

        Args:
            spans: the first byte of each and the byte after its last, as of a slice: negative ones count from the end.
            max_gap: bytes between two ranges up to which they come with a single request.

        Returns:
            the bytes of each range, fewer only at the end of the file.

        Raises:
            ChecksumError, ConnectionFailed, NotFound, Conflict, ValueError: as for `read`.
        """
        self._check_open()
        contents: list[bytes] = []
        for content in ranges.read([self._range(start, stop) for start, stop in spans], max_gap=max_gap):
            if isinstance(content, Exception):
                raise content
            contents.append(content)
        return contents

    def _range(self, start: int | None, stop: int | None) -> ranges.Range:
        span = range(self.size)[start:stop]
        return ranges.Range(self._reader, self._stat, span.start, max(span.start, span.stop))

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
            self._replace(Block(0))
            super().close()

    def _move(self, position: int) -> int:
        held = self._held
        if held.start <= position <= held.end:
            held.seek(position - held.start)
        else:
            self._replace(Block(position, held.rest[position - held.end :] if position > held.end else b""))
        return position

    def _hold(self) -> bool:
        """Hold the lines that follow the block; return whether there is a whole one."""
        held = self._held
        size = self._block_size()
        pieces = [held.rest]
        stop = held.stop
        while (following := self._fetch(stop, size)) and b"\n" not in following:
            pieces.append(following)
            stop += len(following)
        pieces.append(following)
        self._replace(Block(held.end, b"".join(pieces)))
        return bool(following)

    def _following(self, taken: bytes, size: int) -> bytes:
        """Return `taken`, the end of the block's lines, with at least `size` bytes more if there are so many."""
        held = self._held
        missing = size - len(held.rest)
        try:
            return taken + held.rest + (self._fetch(held.stop, missing) if missing > 0 else b"")
        except BaseException:
            held.seek(-len(taken), os.SEEK_CUR)  # so that the read can be tried again
            raise

    def _block_size(self) -> int:
        return min(max(2 * (self._held.stop - self._held.start), FIRST_BLOCK), LARGEST_BLOCK)

    def _replace(self, block: Block) -> None:
        """Hold `block` in place of the former, which has no more lines for those who go through it."""
        self._held.seek(0, os.SEEK_END)
        self._held = block

    def _fetch(self, position: int, size: int) -> bytes:
        content = self._ahead.read(position, size)
        self._check.see(position, content)
        return content

    def _check_open(self) -> None:
        if self.closed:
            raise ValueError(f"{self.basename} is closed; open it again")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, File):
            return NotImplemented
        # Where a store keeps no versions, nobody knows whether the content is the same.
        return self is other or (self._stat.version is not None and self._key() == other._key())

    def __hash__(self) -> int:
        return hash(self._key())

    def _key(self) -> tuple[Any, ...]:
        return type(self), self._store, self._path, self._stat.version

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopened, (type(self), self._store, self._path, self._stat, self.tell())

    def __repr__(self) -> str:
        state = ", closed" if self.closed else ""
        return f"<{type(self).__name__} {'/' + self._path!r}, {self.size} bytes{state}>"


def _reopened(file_class: type[File], store: FileStore, path: str, stat: Stat, position: int) -> File:
    file = file_class(store, path, stat)
    file.seek(position)
    return file
