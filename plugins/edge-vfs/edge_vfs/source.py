"""The source of an upload: a path, bytes or a binary file object, read once and in order.

Content is hashed while it is read, so that the digests of the parts and of the whole are known once
the last byte was sent, without a second pass.
"""

from __future__ import annotations

import hashlib
import io
import os
import stat
import tempfile
import warnings
from collections.abc import Iterator
from types import TracebackType
from typing import IO, Any, cast

from edge_core.errors import BadEntry, EdgeError
from edge_vfs.progress import FileTracker

_TEXT = "the file object gives text; open it in binary mode, as in open(path, 'rb')"

SPOOL = 16 << 20
"""Bytes. If a source cannot seek, parts up to this size are kept in memory, larger parts in a temporary file."""


class Source:
    """A source of bytes for an upload.

    Args:
        fileobj: a path (`str` or `os.PathLike`), bytes, or a file object opened in binary mode, which
            is read from its current position to its end.

    Attributes:
        size: bytes still to read, or None if only reading will tell.
        mtime_ns: when the local file was last modified if a path was given, in nanoseconds since 1970 in UTC;
            None if another object was given, or if no integer of 64 bits can hold it.
        tracker: counts the bytes as they are read; None if nobody wants to know.

    Raises:
        BadEntry: the file object stands at the end of its content, so that nothing would be uploaded.
        IsADirectoryError: the path is a folder's.
        OSError: the local file cannot be opened.
        TypeError: `fileobj` is of another type, or gives text.
    """

    def __init__(self, fileobj: str | os.PathLike[str] | bytes | bytearray | memoryview | IO[bytes]) -> None:
        self.tracker: FileTracker | None = None
        self._owned = False
        self.mtime_ns: int | None = None
        if isinstance(fileobj, (str, os.PathLike)):
            if os.path.isdir(fileobj):
                raise IsADirectoryError(f"{os.fspath(fileobj)!r} is a folder; upload it with upload_folder")
            self._file: Any = open(fileobj, "rb", buffering=0)  # noqa: SIM115  # closed by this object
            self._owned = True
            self.mtime_ns = _mtime_ns(os.fstat(self._file.fileno()), fileobj)
        elif isinstance(fileobj, (bytes, bytearray, memoryview)):
            self._file = io.BytesIO(fileobj)
        elif isinstance(fileobj, io.TextIOBase):
            raise TypeError(_TEXT)
        elif callable(getattr(fileobj, "read", None)):  # a DataFrame can have a column of this name
            self._file = fileobj
        else:
            raise TypeError(
                f"cannot upload {type(fileobj).__name__}; give a path, bytes or a binary file object, or use "
                "save(name, value), which makes a file of a DataFrame, picture, array, dict, list or text"
            )
        self._seekable = bool(getattr(self._file, "seekable", lambda: False)())
        self._head = b""
        self._hash = hashlib.sha256()
        self.size = self._measure()

    def _measure(self) -> int | None:
        if not self._seekable:
            return None
        here = int(self._file.tell())
        end = int(self._file.seek(0, os.SEEK_END))
        self._file.seek(here)
        if here >= end > 0:
            raise BadEntry(
                f"the file object stands at its end, after all of its {end} bytes, so that an empty file would be "
                "uploaded; call its seek(0) first"
            )
        return max(0, end - here)

    def small(self, limit: int) -> bytes | None:
        """Return all of the content if it has at most `limit` bytes; else None, and `parts` gives all of it.

        Raises:
            EdgeError: the local file cannot be read, or changed.
        """
        if self.size is not None and self.size > limit:
            return None
        content = self._take(limit + 1)
        if len(content) > limit:
            if self._seekable:
                raise _changed()
            self._head = content
            return None
        if self.size is not None and len(content) < self.size:
            raise _changed()
        self._hash.update(content)
        self._count(len(content))
        return content

    def parts(self, size: int) -> Iterator[Part]:
        """Iterate over the content in parts of `size` bytes, the last shorter; send each before taking the next."""
        if self._seekable and self.size is not None:
            yield from self._parts_in_place(self.size, size)
            return
        while True:
            with tempfile.SpooledTemporaryFile(max_size=SPOOL) as spool:
                length = self._fill(cast("IO[bytes]", spool), size)
                if length:
                    yield from self._send(Part(self, spool, 0, length))
                if length < size:
                    return

    def _parts_in_place(self, total: int, size: int) -> Iterator[Part]:
        start = self._file.tell()
        for offset in range(0, total, size):
            yield from self._send(Part(self, self._file, start + offset, min(size, total - offset)))

    def _send(self, part: Part) -> Iterator[Part]:
        yield part
        self._hash = part.whole

    def completing(self) -> None:
        """Say that all of the content was sent, and that the store is about to confirm it."""
        if self.tracker is not None:
            self.tracker.completing()

    def _count(self, size: int) -> None:
        if self.tracker is not None:
            self.tracker.add(size)

    def sha256(self) -> str:
        """Return the hexadecimal SHA-256 of all that was read so far."""
        return self._hash.hexdigest()

    def _fill(self, spool: IO[bytes], size: int) -> int:
        length = 0
        while length < size and (block := self._take(min(1 << 20, size - length))):
            spool.write(block)
            length += len(block)
        return length

    def _take(self, size: int) -> bytes:
        """Return `size` bytes, fewer only at the end."""
        taken = [self._head[:size]]
        self._head = self._head[size:]
        missing = size - len(taken[0])
        while missing and (block := _read(self._file, missing)):
            taken.append(block)
            missing -= len(block)
        return b"".join(taken)

    def close(self) -> None:
        """Close the local file, if this object opened it."""
        if self._owned:
            self._file.close()

    def __enter__(self) -> Source:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Part:
    """A part of the source as the body of a request: it has a length and can be sent again."""

    def __init__(self, source: Source, file: Any, start: int, length: int) -> None:
        self._source = source
        self._file = file
        self._start = start
        self._length = self._left = length
        self.rewind()

    def rewind(self) -> None:
        """Start again from the first byte, for a request that is sent again."""
        self._file.seek(self._start)
        if self._left < self._length:
            self._source._count(self._left - self._length)
            self._left = self._length
        self._hash = hashlib.sha256()
        self.whole = self._source._hash.copy()

    def read(self, size: int = -1) -> bytes:
        """Return up to `size` bytes, or up to the end if it is negative; none at the end.

        Raises:
            EdgeError: the local file cannot be read, or became shorter.
        """
        count = self._left if size < 0 else min(size, self._left)
        if not count:
            return b""
        block = _read(self._file, count)
        if not block:
            raise _changed()
        self._left -= len(block)
        self._hash.update(block)
        self.whole.update(block)
        self._source._count(len(block))
        return block

    def sha256(self) -> str:
        """Return the hexadecimal SHA-256 of the part; call it once all of the part was read."""
        return self._hash.hexdigest()

    def __len__(self) -> int:
        return self._length


def _mtime_ns(status: os.stat_result, path: str | os.PathLike[str]) -> int | None:
    """Return the time of modification of a regular file, with a warning if it cannot be kept."""
    if not stat.S_ISREG(status.st_mode):
        return None
    if -(1 << 63) <= status.st_mtime_ns < 1 << 63:
        return status.st_mtime_ns
    from edge_vfs.openers import InexactWarning  # openers import files, which import this

    warnings.warn(
        f"the time of modification of {os.fspath(path)} is before 1678 or after 2261, and cannot be kept; set another "
        "one by os.utime",
        InexactWarning,
        stacklevel=4,
    )
    return None


def _read(file: Any, size: int) -> bytes:
    try:
        block = file.read(size)
    except OSError as error:
        # Not an OSError any more: that would be taken for a failure of the connection, and retried.
        raise EdgeError(f"the local file cannot be read ({error}); nothing was uploaded") from error
    if block is None:
        raise EdgeError("the file object has no data yet (it does not block); give one that waits for its data")
    if isinstance(block, str):
        raise TypeError(_TEXT)
    if not isinstance(block, (bytes, bytearray, memoryview)):
        raise TypeError(f"the file object's read() gives {type(block).__name__}; it must give bytes")
    # The reader of the file object may fill its buffer again.
    return bytes(block)


def _changed() -> EdgeError:
    return EdgeError("the local file changed while it was being uploaded; nothing was uploaded, try again")
