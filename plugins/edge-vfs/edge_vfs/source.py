"""The source of an upload: a path, bytes or a binary file object, read in parts.

Parts of what can seek are read at their own places, and so by several threads at once. What cannot seek is read once
and in order, and each part is held until it was sent.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import logging
import os
import stat
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, Protocol

from edge_core.errors import BadEntry, EdgeError
from edge_core.sizes import shown
from edge_vfs.progress import FileTracker
from edge_vfs.workers import Stopped

if TYPE_CHECKING:
    from typing_extensions import Buffer  # Python's own from Python 3.12 on

BLOCK = 1 << 20
"""Bytes read at once; larger blocks do not stay in the processor's cache from the hash to the connection."""

SPOOL = 32 << 20
"""Bytes. If a source cannot seek, its parts in flight are kept in memory up to this size, and beyond it in temporary
files."""

WARNED = 0.9
"""Fraction of the parts that a store takes, at which the log warns of content whose size is not known."""

log = logging.getLogger("edge.transfers")

_TEXT = "the file object gives text; open it in binary mode, as in open(path, 'rb')"


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
        is_abandoned: whether `abandon` was called.

    Raises:
        BadEntry: the file object stands at the end of its content, so that nothing would be uploaded.
        IsADirectoryError: the path is a folder's.
        OSError: the local file cannot be opened.
        TypeError: `fileobj` is of another type, or gives text.
    """

    def __init__(self, fileobj: str | os.PathLike[str] | bytes | bytearray | memoryview | IO[bytes]) -> None:
        self.tracker: FileTracker | None = None
        self.is_abandoned = False
        self.mtime_ns: int | None = None
        self.size: int | None = None
        self._file: Any = None
        self._start = 0
        self._status: os.stat_result | None = None  # of a path's file, when it was opened
        self._place: _Place | None = None  # None of what cannot seek
        self._head = b""
        self._memory = _Memory(SPOOL)
        if isinstance(fileobj, (str, os.PathLike)):
            if os.path.isdir(fileobj):
                raise IsADirectoryError(f"{os.fspath(fileobj)!r} is a folder; upload it with upload_folder")
            self._file = open(fileobj, "rb", buffering=0)  # noqa: SIM115  # closed by this object
            self._status = os.fstat(self._file.fileno())
            self.mtime_ns = _mtime_ns(self._status, fileobj)
        elif isinstance(fileobj, (bytes, bytearray, memoryview)):
            view = whole_view(fileobj)
            self._place = _Bytes(view)
            self.size = view.nbytes
            return
        elif isinstance(fileobj, io.TextIOBase):
            raise TypeError(_TEXT)
        elif callable(getattr(fileobj, "read", None)):  # a DataFrame can have a column of this name
            self._file = fileobj
        else:
            raise TypeError(
                f"cannot upload {type(fileobj).__name__}; give a path, bytes or a binary file object, or use "
                "save(name, value), which makes a file of a DataFrame, picture, array, dict, list or text"
            )
        if getattr(self._file, "seekable", lambda: False)():
            self._start, self.size = _measured(self._file)
            self._place = _place_of(self._file, owned=self._status is not None)

    @property
    def can_seek(self) -> bool:
        """Whether `parts` can be called again, and its parts be read in any order."""
        return self._place is not None

    def small(self, limit: int) -> bytes | None:
        """Return all of the content if it has at most `limit` bytes; else None, and `parts` gives all of it.

        Raises:
            EdgeError: the local file cannot be read, or changed.
        """
        if self.size is not None and self.size > limit:
            return None
        content = self._take(limit + 1)
        if len(content) > limit:
            if self.can_seek:
                raise changed()
            self._head = content + self._head
            return None
        if self.size is not None and len(content) < self.size:
            raise changed()
        self._count(len(content))
        return content

    def parts(self, size: int, stopped: threading.Event | None = None, *, most: int | None = None) -> Iterator[Part]:
        """Iterate over the content in parts.

        A part is read by one thread, and others by other threads at the same time. Whoever has sent a part closes it,
        which frees what is held of a source that cannot seek.

        Args:
            size: bytes of each part but the last, which may be shorter.
            stopped: once it is set, reading a part raises `Stopped`.
            most: number of parts that the store takes of content whose size is not known; the log warns before it is
                reached.

        Raises:
            BadEntry: there are more.
            EdgeError: the file object cannot be read.
        """
        if self._place is not None and self.size is not None:
            for offset in range(0, self.size, size):
                yield Part(self, self._place, self._start + offset, min(size, self.size - offset), stopped)
            return
        length, n = size, 0
        while length == size:
            held = _Held(size, self._memory)
            try:
                length = held.fill(self._blocks(size))
            except BaseException:
                held.close()
                raise
            if not length:
                held.close()
                return
            n += 1
            if most is not None and n >= most * WARNED:
                try:
                    self._near_end(n, size, most)
                except BaseException:
                    held.close()
                    raise
            yield Part(self, held, 0, length, stopped, close=held.close)

    def _near_end(self, n: int, size: int, most: int) -> None:
        """Raise `BadEntry` if part `n` is one too many; warn of that once, if it is near."""
        what = "what is uploaded" if self.tracker is None else repr(self.tracker.path)
        if n > most:
            raise BadEntry(
                f"content whose size is not known before can have up to {most} parts of {shown(size)}, and {what} has "
                "more; write it to a file and upload that"
            )
        if n - 1 < most * WARNED:
            log.warning(
                "%s of %s were sent, and it can have up to %s, as its size is not known before; if there is more, stop "
                "it, write it to a file and upload that",
                *(shown(n * size), what, shown(most * size)),
            )

    def abandon(self) -> None:
        """Have its sender give up: reading a part and `check_unchanged` raise `Stopped` from now on."""
        self.is_abandoned = True

    def completing(self) -> None:
        """Say that all of the content was sent, and that the store is about to confirm it."""
        if self.tracker is not None:
            self.tracker.completing()

    def restarting(self) -> None:
        """Say that content goes again which had gone, as another upload; its parts are taken off the count apart."""
        if self.tracker is not None:
            self.tracker.restarting()

    def check_unchanged(self) -> None:
        """Check that the file of a path is as it was when it was opened; call it once all was sent.

        Raises:
            EdgeError: it has another size or time of modification.
            Stopped: the source was abandoned.
        """
        if self.is_abandoned:
            raise Stopped
        if self._status is None or not stat.S_ISREG(self._status.st_mode):
            return
        status = os.fstat(self._file.fileno())
        if (status.st_size, status.st_mtime_ns) != (self._status.st_size, self._status.st_mtime_ns):
            raise changed()

    def _count(self, size: int) -> None:
        if self.tracker is not None:
            self.tracker.add(size)

    def _blocks(self, size: int) -> Iterator[bytes]:
        """Iterate over the next `size` bytes of what cannot seek, fewer only at the end."""
        while size and (block := self._take(min(BLOCK, size))):
            size -= len(block)
            yield block

    def _take(self, size: int) -> bytes:
        """Return `size` bytes, fewer only at the end."""
        taken: list[bytes] = []
        missing = size
        while missing and (block := self._next(missing, size - missing)):
            taken.append(block)
            missing -= len(block)
        return b"".join(taken)

    def _next(self, size: int, offset: int) -> bytes:
        """Return up to `size` bytes, none only at the end; those of what can seek begin at `offset`."""
        if self._place is not None:
            return self._place.read(self._start + offset, size)
        if self._head:
            block, self._head = self._head[:size], self._head[size:]
            return block
        if type(self._file) is io.BufferedReader and isinstance(self._file.raw, io.RawIOBase):
            # A thread that waits inside of a buffered reader holds its lock, and Python dies if it ends meanwhile, as
            # after Ctrl-C while standard input is read. What is below has no lock.
            reader, self._file = self._file, self._file.raw
            self._head = _buffered(reader)
            return self._next(size, offset)
        return _read(self._file, size)

    def close(self) -> None:
        """Close the local file, if this object opened it; a thread that reads it still finishes that first."""
        if self._place is not None:
            self._place.close()
        if self._status is not None and not self.can_seek:
            self._file.close()

    def __enter__(self) -> Source:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None and self.can_seek and self.size is not None and self._status is None and self._file is not None:
            with contextlib.suppress(OSError, ValueError):
                self._file.seek(self._start + self.size)  # where it would be if it had been read in order
        self.close()


class Part:
    """A part of a source as the body of a request: it has a length and can be sent again.

    Attributes:
        counts: whether the source's tracker counts what is read.
    """

    def __init__(
        self,
        source: Source,
        place: _Place,
        start: int,
        length: int,
        stopped: threading.Event | None = None,
        close: Callable[[], None] = lambda: None,
    ) -> None:
        self.counts = True
        self.close = close
        self._source = source
        self._place = place
        self._start = start
        self._length = length
        self._stopped = stopped
        self._done = self._counted = 0
        self._hash = hashlib.sha256()

    def rewind(self) -> None:
        """Start again from the first byte, for a request that is sent again."""
        if self._counted:
            self._source._count(-self._counted)
        self._done = self._counted = 0
        self._hash = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        """Return up to `size` bytes, or up to the end if it is negative; none at the end.

        Raises:
            EdgeError: the local file cannot be read, or became shorter.
            Stopped: the call has ended.
        """
        left = self._length - self._done
        block = self.read_at(self._done, left if size < 0 else min(size, left))
        self._done += len(block)
        self._hash.update(block)
        if self.counts:
            self._counted += len(block)
            self._source._count(len(block))
        return block

    def sha256(self) -> str:
        """Return the hexadecimal SHA-256 of what was read since `rewind`, which is to be all of the part."""
        return self._hash.hexdigest()

    def digest(self, name: str) -> bytes:
        """Return the digest of all of the part, which is read for it and not counted.

        Args:
            name: name of the digest as of `hashlib.new`.

        Raises:
            EdgeError: the local file cannot be read, or became shorter.
            Stopped: the call has ended.
        """
        digest = hashlib.new(name, usedforsecurity=False)
        done = 0
        while done < self._length:
            block = self.read_at(done, min(BLOCK, self._length - done))
            digest.update(block)
            done += len(block)
        return digest.digest()

    def sent(self) -> None:
        """Count all of the part as sent, by a store that reads it by `read_at`."""
        self._source._count(self._length)

    def skip(self) -> None:
        """Count the part as one that need not be sent."""
        if self._source.tracker is not None:
            self._source.tracker.skip(self._length)

    def read_at(self, offset: int, size: int) -> bytes:
        """Return up to `size` bytes of the part from byte `offset` on, neither hashed nor counted.

        Raises:
            EdgeError: the local file cannot be read, or became shorter.
            Stopped: the call has ended.
        """
        if self._source.is_abandoned or (self._stopped is not None and self._stopped.is_set()):
            raise Stopped
        size = min(size, self._length - offset)
        block = self._place.read(self._start + offset, size) if size > 0 else b""
        if size > 0 and not block:
            raise changed()
        return block

    def __len__(self) -> int:
        return self._length


class _Place(Protocol):
    """Bytes that are read at positions of their own, by any number of threads."""

    def read(self, offset: int, size: int, /) -> bytes:
        """Return up to `size` bytes from byte `offset` on, none only at the end."""
        ...

    def close(self) -> None: ...


class _Bytes:
    """Bytes in memory, which are not copied."""

    def __init__(self, view: memoryview) -> None:
        self._view = view

    def read(self, offset: int, size: int, /) -> bytes:
        return bytes(self._view[offset : offset + size])

    def close(self) -> None:
        pass


class _Descriptor:
    """A file of the operating system, read without moving a position.

    Its number is given to another file once it is closed, which a thread that is late must never read.
    """

    def __init__(self, file: io.FileIO) -> None:
        self._file = file
        self._lock = threading.Lock()
        self._readers = 0
        self._closed = False

    def read(self, offset: int, size: int, /) -> bytes:
        with self._lock:
            if self._closed:
                raise Stopped
            self._readers += 1
        try:
            return os.pread(self._file.fileno(), size, offset)
        except OSError as error:
            raise _unreadable(error) from error
        finally:
            with self._lock:
                self._readers -= 1
                self._close_unless_read()

    def close(self) -> None:
        with self._lock:
            self._closed = True
            self._close_unless_read()

    def _close_unless_read(self) -> None:
        if self._closed and not self._readers:
            self._file.close()


class _FileObject:
    """A file object, whose position belongs to one thread at a time."""

    def __init__(self, file: Any, *, owned: bool = False) -> None:
        self._file = file
        self._owned = owned
        self._lock = threading.Lock()
        self._closed = False

    def read(self, offset: int, size: int, /) -> bytes:
        with self._lock:
            if self._closed:
                raise Stopped
            try:
                self._file.seek(offset)
            except OSError as error:
                raise _unreadable(error) from error
            return _read(self._file, size)

    def close(self) -> None:
        with self._lock:
            self._closed = True
            if self._owned:
                self._file.close()


class _Memory:
    """Memory that the parts of a source share."""

    def __init__(self, size: int) -> None:
        self._left = size
        self._lock = threading.Lock()

    def take(self, size: int) -> bool:
        """Take `size` bytes of it; False if there is not as much left."""
        with self._lock:
            fits = size <= self._left
            self._left -= size if fits else 0
            return fits

    def give_back(self, size: int) -> None:
        with self._lock:
            self._left += size


class _Held:
    """A part of what cannot seek: in memory, or in a temporary file if there is not enough of it."""

    def __init__(self, size: int, memory: _Memory) -> None:
        self._memory = memory
        self._in_memory = size if memory.take(size) else 0
        self._blocks: list[bytes] = []  # all but the last have `BLOCK` bytes
        self._file: _FileObject | None = None

    def fill(self, blocks: Iterator[bytes]) -> int:
        """Keep blocks, and return the number of their bytes."""
        if self._in_memory:
            self._blocks.extend(blocks)
            return sum(map(len, self._blocks))
        file = tempfile.TemporaryFile()  # noqa: SIM115  # closed by `close`
        self._file = _FileObject(file, owned=True)
        length = 0
        for block in blocks:
            file.write(block)
            length += len(block)
        return length

    def read(self, offset: int, size: int, /) -> bytes:
        if self._file is not None:
            return self._file.read(offset, size)
        n, start = divmod(offset, BLOCK)
        # Of a block that is wanted as a whole nothing is copied.
        return self._blocks[n][start : start + size] if n < len(self._blocks) else b""

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
        self._blocks = []
        taken, self._in_memory = self._in_memory, 0
        self._memory.give_back(taken)


def whole_view(content: Buffer) -> memoryview:
    """Return all bytes of an object with a buffer one after another, in the order of its indexes.

    They are copied only if they do not lie so, or are items that Python does not know.

    Raises:
        TypeError: the object has no buffer.
    """
    view = memoryview(content)
    try:
        return view.cast("B")
    except (TypeError, ValueError):  # in another order, of no items, of records, in another byte order
        # Not pickle.PickleBuffer, which needs no copy: Python crashes as it collects what its raw() gives.
        return memoryview(view.tobytes())


def _measured(file: Any) -> tuple[int, int]:
    """Return the position of a file object, and how many bytes follow."""
    here = int(file.tell())
    end = int(file.seek(0, os.SEEK_END))  # what was written and not yet flushed is now
    file.seek(here)
    if here >= end > 0:
        raise BadEntry(
            f"the file object stands at its end, after all of its {end} bytes, so that an empty file would be "
            "uploaded; call its seek(0) first"
        )
    return here, max(0, end - here)


def _place_of(file: Any, *, owned: bool) -> _Place:
    # By its exact class: that of a GzipFile has the descriptor of other content.
    raw = file.raw if type(file) in (io.BufferedReader, io.BufferedRandom) else file
    if type(raw) is not io.FileIO or not hasattr(os, "pread"):  # Windows has none
        return _FileObject(file, owned=owned)
    return _Descriptor(file if owned else io.FileIO(os.dup(raw.fileno())))


def _buffered(reader: io.BufferedReader) -> bytes:
    """Take what a reader has read ahead; it waits for some if there is nothing."""
    try:
        return reader.read(len(reader.peek()))
    except OSError as error:
        raise _unreadable(error) from error


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
        raise _unreadable(error) from error
    if block is None:
        raise EdgeError("the file object has no data yet (it does not block); give one that waits for its data")
    if isinstance(block, str):
        raise TypeError(_TEXT)
    if not isinstance(block, (bytes, bytearray, memoryview)):
        raise TypeError(f"the file object's read() gives {type(block).__name__}; it must give bytes")
    # The reader of the file object may fill its buffer again.
    return bytes(block)


def _unreadable(error: OSError) -> EdgeError:
    return EdgeError(f"the local file cannot be read ({error}); nothing was uploaded")


def changed() -> EdgeError:
    """Return the error of content that is not what it was when its upload began."""
    return EdgeError("the local file changed while it was being uploaded; nothing was uploaded, try again")
