"""Downloading large content: part by part, each checked before it is written, over as many connections as help.

What a file holds of an interrupted download is checked as well, and kept. Only checked bytes are written, so that
two processes that download to one file write the same bytes, even if what one of them receives is damaged on its way;
parts of more than `HELD` bytes are written as they come, as they would take too much memory.

Parts are checked and written in threads of their own, while the connections receive the next ones.

A download begins with a single connection, which gets all that loopback or a fast network gives; more of them would
only take more of the server. Where each connection is limited, by a proxy or by the distance, they are faster, up to as
many times as there are. A limit shows in that the first connection waits more than it works. Then all others join, and
stay if together they bring `GAIN` times what it brought alone. Otherwise it goes on alone, until it brings that much
less than all of them did: nginx lets each connection run ahead of its limit by what it may have in a second, which at
first looks like a fast network.
"""

from __future__ import annotations

import contextlib
import hashlib
import mmap
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from types import TracebackType

from edge_vfs.content import Content, wrong
from edge_vfs.progress import FileTracker
from edge_vfs.store import Reader, Stat
from edge_vfs.transfers.part_file import BLOCK, PartFile
from edge_vfs.workers import Stopped, each

MAX_CONNECTIONS = 8
"""Maximum number of connections of a download."""

HELD = 8 << 20
"""Bytes of the largest part that is held in memory until it is checked."""

BUFFERS = 5
"""Parts that are held at once. A connection that waits for memory goes on filling the system's buffer."""

SPAN = 64 << 20
"""Maximum number of bytes of a request; a part if that is larger."""

FIRST_SPAN = 16 << 20
"""Maximum number of bytes of a request while connections are measured, so that no slow one holds many parts."""

ALONE = 0.25
"""Minimum number of seconds over which the first connection is measured at first."""

TOGETHER = 1.1
"""Minimum number of seconds over which all connections are measured, and the first one again after them."""

MEASURED = 8 << 20
"""Minimum number of bytes of a measurement."""

BUSY = 0.15
"""Share of the time in which the first connection's thread computes, or waits until parts are written, above which
others would not help."""

GAIN = 1.4
"""Times the rate of the first connection that all must have to stay."""

CHECKERS = 2
"""Threads that check the parts that have arrived, and before them those that an earlier download has left."""


class Parts:
    """The parts of content, and what they must be.

    Args:
        size: bytes of the content.
        part_size: bytes of each part; the last may be shorter.
        digests: the binary SHA-256 of each part; empty if they are not known.

    Attributes:
        count: number of parts.
        part_size: bytes of each part but the last.
        are_known: whether the digests are known.
        are_held: whether a part is held in memory until it is checked, and is not written as it comes.
    """

    def __init__(self, size: int, part_size: int, digests: Sequence[bytes] = ()) -> None:
        self._size = size
        self.part_size = part_size
        self._digests = digests
        self.count = -(-size // part_size)
        self.are_known = bool(digests)
        self.are_held = self.are_known and part_size <= HELD

    def range(self, n: int) -> range:
        """Return the positions of the bytes of part `n`, counted from 0."""
        return range(n * self.part_size, min((n + 1) * self.part_size, self._size))

    def is_right(self, n: int, digest: bytes) -> bool:
        """Return whether `digest` is that of part `n`, or nobody knows."""
        return not self.are_known or digest == self._digests[n]


class Buffers:
    """The memory for parts that are held, which all downloads of a call share.

    It is used again for the next part: memory that is new for each costs a third of all that a download computes.
    """

    def __init__(self) -> None:
        self._free: queue.LifoQueue[mmap.mmap | None] = queue.LifoQueue()
        for _ in range(BUFFERS):
            self._free.put(None)

    def take(self) -> mmap.mmap:
        """Wait until there is memory for a part."""
        buffer = self._free.get()
        return mmap.mmap(-1, HELD) if buffer is None else buffer

    def give_back(self, buffer: mmap.mmap) -> None:
        """Let others have what was taken."""
        self._free.put(buffer)

    def release(self) -> None:
        """Give the memory back to the system, at the end of the call: an error's traceback may keep this object."""
        unused: list[mmap.mmap | None] = []
        with contextlib.suppress(queue.Empty):
            while True:
                unused.append(self._free.get_nowait())
        for buffer in unused:
            if buffer is not None:
                with contextlib.suppress(BufferError):  # something still shows it, and frees it later
                    buffer.close()
            self._free.put(None)  # for a thread that an interrupted call has not waited for


class Checkers:
    """Threads that check parts until it is left, which waits for what they have been given.

    They are no `ThreadPoolExecutor`: that takes nothing any more once the main thread has ended, while a thread of the
    program may still download.
    """

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[tuple[Future[bool], Callable[[], bool]] | None] = queue.SimpleQueue()
        self._submitting = threading.Lock()
        self._is_closed = False
        self._threads = [
            threading.Thread(target=self._run, name=f"edge-check-{n}", daemon=True) for n in range(CHECKERS)
        ]

    def __enter__(self) -> Checkers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with self._submitting:
            self._is_closed = True
            for _ in self._threads:
                self._queue.put(None)
        for thread in self._threads:
            thread.join()

    def submit(self, check: Callable[[], bool]) -> Future[bool]:
        """Have a thread call `check`; return its result to be.

        Raises:
            Stopped: the download has ended; `check` will not be called.
        """
        with self._submitting:
            if self._is_closed:
                raise Stopped
            result: Future[bool] = Future()
            self._queue.put((result, check))
            return result

    def _run(self) -> None:
        while task := self._queue.get():
            result, check = task
            try:
                result.set_result(check())
            except BaseException as error:
                result.set_exception(error)


class Fetch:
    """A download into a `PartFile`.

    Args:
        reader: opens the content.
        stat: the file's name, size and version.
        parts: the parts of the content.
        file: where they are written.
        counted: counts what is received, and what need not be.
        max_workers: maximum number of connections.
        buffers: the memory for parts.
    """

    def __init__(
        self,
        reader: Reader,
        stat: Stat,
        parts: Parts,
        file: PartFile,
        counted: FileTracker,
        *,
        max_workers: int,
        buffers: Buffers,
    ) -> None:
        self._reader = reader
        self._stat = stat
        self._parts = parts
        self._file = file
        self._counted = counted
        self._stopped = threading.Event()
        self._taking = threading.Lock()
        self._missing: list[int] = []  # in descending order
        self._buffers = buffers
        self._max_workers = max_workers

    def run(self) -> None:
        """Write all that is not there yet.

        Raises:
            ChecksumError: a part arrived twice and is not what was uploaded.
            ConnectionFailed, BadResponse, NotFound, Conflict: as of `Content.read`.
            OSError: the local file cannot be written.
            ValueError: there are fewer than 1 workers.
        """
        self._missing = sorted(self._unwritten(), reverse=True)
        workers = min(self._max_workers, max(1, len(self._missing)))
        self._connections = Connections(workers)
        with Checkers() as self._checkers:
            each(self._work, range(workers), workers, stopped=self._stopped)

    def _unwritten(self) -> list[int]:
        """Return the parts that the file does not hold."""
        if not self._parts.are_known:
            return list(range(self._parts.count))
        begun = [n for n in range(self._parts.count) if self._parts.range(n).start < self._file.held]
        missing = set(range(len(begun), self._parts.count))

        def check(n: int) -> None:
            if self._stopped.is_set():
                raise Stopped
            if self._is_written(n):
                self._counted.skip(len(self._parts.range(n)))
            else:
                missing.add(n)

        each(check, begun, min(CHECKERS, max(1, len(begun))), stopped=self._stopped)
        return list(missing)

    def _is_written(self, n: int) -> bool:
        span = self._parts.range(n)
        digest = hashlib.sha256()
        position = span.start
        while block := self._file.read(min(BLOCK, span.stop - position), position):
            digest.update(block)
            position += len(block)
        return position == span.stop and self._parts.is_right(n, digest.digest())

    def _work(self, connection: int) -> None:
        """Receive spans over one connection until none is left."""
        try:
            while self._connections.may_go(connection) and (span := self._next_span()):
                self._receive(span, connection)
        finally:
            self._connections.end()

    def _next_span(self) -> range:
        """Return the parts of the next request, which follow each other; none at the end."""
        with self._taking:
            if not self._missing or self._file.is_published():
                return range(0)
            # All connections end at about the same time, as the last requests are short.
            share = len(self._missing) // (2 * self._connections.number)
            most = max(1, min(share, self._connections.span // self._parts.part_size))
            first = self._missing.pop()
            stop = first + 1
            while self._missing and self._missing[-1] == stop and stop - first < most:
                stop = self._missing.pop() + 1
            return range(first, stop)

    def _receive(self, span: range, connection: int) -> None:
        checks: deque[tuple[int, Future[bool]]] = deque()
        content = Content(self._reader, self._stat, self._parts.range(span[0]).start, self._parts.range(span[-1]).stop)
        with contextlib.closing(content):
            for n in span:
                checks.append((n, self._receive_part(content, n, connection)))
                while checks and checks[0][1].done():
                    self._settle(*checks.popleft(), connection)
        for check in checks:
            self._settle(*check, connection)

    def _settle(self, n: int, check: Future[bool], connection: int) -> None:
        """Receive a part again that is not right."""
        if check.result():
            return
        where = self._parts.range(n)
        self._counted.add(-len(where))
        with contextlib.closing(Content(self._reader, self._stat, where.start, where.stop)) as content:
            if not self._receive_part(content, n, connection).result():
                raise wrong(self._stat)

    def _receive_part(self, content: Content, n: int, connection: int) -> Future[bool]:
        """Receive a part; return whether it is right, once it was checked and written."""
        if self._parts.are_held:
            return self._receive_held(content, n, connection)
        where = self._parts.range(n)
        digest = hashlib.sha256()
        while content.position < where.stop:
            position = content.position
            block = self._block(content, where, connection)
            if self._parts.are_known:
                digest.update(block)
            self._file.write(block, position)
        return self._checkers.submit(lambda: self._parts.is_right(n, digest.digest()))

    def _receive_held(self, content: Content, n: int, connection: int) -> Future[bool]:
        where = self._parts.range(n)
        began = time.monotonic()
        buffer = self._buffers.take()
        try:
            self._connections.held_up(connection, time.monotonic() - began)
            while content.position < where.stop:
                at = content.position - where.start
                block = self._block(content, where, connection)
                buffer[at : at + len(block)] = block
            return self._checkers.submit(lambda: self._check(n, buffer))
        except BaseException:
            self._buffers.give_back(buffer)
            raise

    def _block(self, content: Content, where: range, connection: int) -> bytes:
        block = content.read(min(BLOCK, where.stop - content.position))
        if self._stopped.is_set():
            raise Stopped
        self._counted.add(len(block))
        self._connections.received(connection, len(block))
        return block

    def _check(self, n: int, buffer: mmap.mmap) -> bool:
        """Write a part that is right; return whether it is."""
        where = self._parts.range(n)
        try:
            with memoryview(buffer) as view, view[: len(where)] as part:
                if not self._parts.is_right(n, hashlib.sha256(part).digest()):
                    return False
                self._file.write(part, where.start)
                return True
        finally:
            self._buffers.give_back(buffer)


class Connections:
    """Decides how many connections a download uses.

    Args:
        most: maximum number.

    Attributes:
        number: those that receive now, counted from 0.
        span: maximum number of bytes of a request.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._changed = threading.Condition()
        self._is_decided = most == 1
        self._ended = False
        self._began: float | None = None  # of the measurement, at the first block of the last connection
        self._computed = self._computed_before = 0.0  # seconds of the first connection's thread
        self._held_up = 0.0  # seconds that it has waited for memory
        self._bytes = 0
        self._single_rate: float | None = None
        self._joint_rate: float | None = None
        self.number = 1
        self.span = FIRST_SPAN

    def may_go(self, connection: int) -> bool:
        """Wait until a connection is needed; return False if that is never the case."""
        with self._changed:
            while connection >= self.number and not self._ended:
                self._changed.wait(ALONE)
                self._decide()  # as the first may bring nothing for a while
            return connection < self.number

    def end(self) -> None:
        """Say that nothing is left to receive, or that it failed."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def held_up(self, connection: int, seconds: float) -> None:
        """Count how long a connection has received nothing because parts were still to be written."""
        if connection == 0:
            self._held_up += seconds

    def received(self, connection: int, count: int) -> None:
        """Count bytes that a connection has received, and decide; called in its thread."""
        if self._is_decided:
            return
        with self._changed:
            if self._began is None:
                # From here on, as a connection brings nothing before the answer to its first request.
                if connection == self.number - 1:
                    self._began, self._bytes = time.monotonic(), 0
                    self._computed = self._computed_before = time.thread_time() + self._held_up
                return
            self._bytes += count
            self._computed = time.thread_time() + self._held_up
            self._decide()

    def _decide(self) -> None:
        """Decide if there is a measurement; the caller holds the lock."""
        if self._began is None or self._is_decided or self._bytes < MEASURED:
            return
        seconds = time.monotonic() - self._began
        if seconds < (ALONE if self._single_rate is None else TOGETHER):
            return
        rate = self._bytes / seconds
        self._began = None
        if self._single_rate is None:
            if self._computed - self._computed_before < BUSY * seconds:
                self._single_rate = rate
                self._use(self._most)
            else:
                self.span = SPAN
        elif self._joint_rate is None:
            self._joint_rate = rate
            self.span = SPAN
            self._is_decided = rate >= GAIN * self._single_rate
            self._use(self._most if self._is_decided else 1)
        elif rate * GAIN <= self._joint_rate:
            self._is_decided = True
            self._use(self._most)

    def _use(self, number: int) -> None:
        self.number = number
        self._changed.notify_all()
