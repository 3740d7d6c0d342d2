"""`Writer`: a file that is written piece by piece, and appears whole once it is closed.

What is written goes on at once, as the content of an upload that cannot seek: a thread runs the store's own `write`,
which takes pieces from a queue. The thread knows the queue and not the writer, so that a writer nobody closes is
collected, and its upload dropped.
"""

from __future__ import annotations

import abc
import atexit
import codecs
import contextvars
import io
import logging
import os
import queue
import threading
import warnings
import weakref
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn, Self, cast

from edge_core.errors import EdgeError
from edge_vfs.source import BLOCK, Source, whole_view
from edge_vfs.workers import Stopped

if TYPE_CHECKING:
    from typing_extensions import Buffer  # Python's own from Python 3.12 on

log = logging.getLogger("edge.transfers")

AHEAD = 2
"""Number of blocks that are written ahead of what the sending threads take."""

PATIENCE = 10.0
"""Seconds to wait until a discarded upload is dropped, which goes on by itself after that."""


class Discarding(io.IOBase):
    """A file object that is written, which an exception in its ``with`` block discards instead of closing it."""

    @abc.abstractmethod
    def discard(self) -> None:
        """Drop what was written; the file stays as it was."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.discard()


class Writer(Discarding, io.BufferedIOBase):
    """A file that is being written; returned by `Folder.create`, never constructed by hand.

    It has the interface of Python's own binary files that are opened for writing, without `seek`. Up to 1 MiB is held
    and sent in a single request when the writer is closed. More is sent in parts while it is written, several at once,
    and a write waits while as many are under way. Under the file's name nothing shows before `close` has returned.

    Leaving its ``with`` block by an exception discards it. One that is neither closed nor discarded is discarded when
    Python collects it, or ends, with a ``ResourceWarning`` and a line in the log. Several threads may write to it, each
    call as a whole.

    Args:
        path: path of the file from the store's root.
        send: stores the content of a `Source` as the file, and returns once it is there.
    """

    _closed = True  # until it is constructed

    def __init__(self, path: str, send: Callable[[Source], None]) -> None:
        self._path = path
        self._send = send
        self._held = bytearray()
        self._position = 0
        self._sending = _Sending()
        self._failure: BaseException | None = None
        self._process = os.getpid()
        self._lock = threading.RLock()
        self._closed = False
        _open.add(self)

    @property
    def name(self) -> str:
        """Path from the root, such as ``"/runs/plate-7.csv"``."""
        return f"/{self._path}"

    @property
    def mode(self) -> str:
        """``"wb"``, by which ``gzip`` and others know that they write."""
        return "wb"

    @property
    def closed(self) -> bool:
        """Whether it was closed or discarded."""
        return self._closed

    def write(self, content: Buffer, /) -> int:
        """Write bytes, and return their number.

        Args:
            content: bytes, or any object with a buffer, such as a NumPy array: all of its bytes.

        Raises:
            EdgeError: what was written before could not be sent; nothing is stored.
            TypeError: `content` has no bytes.
            ValueError: the writer is closed.
        """
        self._check_process()
        with self._lock, self._view_of(content) as view:
            self._check_usable()
            try:
                for start in range(0, view.nbytes, BLOCK):
                    self._take(view[start : start + BLOCK])
            except BaseException as error:
                # After Ctrl-C between two blocks, what follows would have a gap before it.
                self._fail(error)
                raise
            self._position += view.nbytes
            return view.nbytes

    def flush(self) -> None:
        """Raise what went wrong so far; what is written goes on by itself, and shows when the writer is closed."""
        self._check_process()
        self._check_usable()

    def tell(self) -> int:
        """Return the number of bytes that were written."""
        self._check_open()
        return self._position

    def close(self) -> None:
        """Send the rest, and return once the file is stored; closing again does nothing.

        Raises:
            EdgeError: something could not be sent, or the server refused the file; nothing is stored.
        """
        if self._closed:
            return
        self._check_process()
        with self._lock:
            if self._closed:
                return
            try:
                self._check_usable()
                self._finish()
            except BaseException as error:
                self._fail(error)
                raise
            finally:
                self._end()

    def discard(self) -> None:
        """Drop what was written, and leave the file as it was; a writer that is closed is left alone."""
        if self._closed:
            return
        self._end()
        if os.getpid() == self._process:
            self._sending.abandon()
            self._sending.wait()

    def writable(self) -> bool:
        """Return True."""
        self._check_open()
        return True

    def readable(self) -> bool:
        """Return False."""
        return False

    def seekable(self) -> bool:
        """Return False."""
        return False

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Raise ``io.UnsupportedOperation``: what was written is on its way already."""
        self._refuse("seek")

    def truncate(self, size: int | None = None, /) -> int:
        """Raise ``io.UnsupportedOperation``: what was written is on its way already."""
        self._refuse("truncate")

    def read(self, size: int | None = -1, /) -> bytes:
        """Raise ``io.UnsupportedOperation``: a writer is not read from."""
        raise io.UnsupportedOperation(f"{self.name} is being written; close it, then open it to read")

    def _refuse(self, what: str) -> NoReturn:
        raise io.UnsupportedOperation(
            f"{what}: {self.name} is sent while it is written, so that nothing can change what was written before; "
            "write a local file and upload that"
        )

    def _view_of(self, content: Buffer) -> memoryview:
        if isinstance(content, str):
            raise TypeError(
                f"{self.name} is written as bytes, not text; give create an encoding, such as encoding='utf-8'"
            )
        try:
            return whole_view(content)
        except TypeError:
            raise TypeError(f"{self.name} is written as bytes, not {type(content).__name__}") from None

    def _check_process(self) -> None:
        if os.getpid() != self._process:
            raise EdgeError(
                f"{self.name} is being written by the process that this one was forked from; create a file here, or "
                "hand what is to be written to that process"
            )

    def _check_open(self) -> None:
        if self._closed:
            raise ValueError(f"the writer of {self.name} is closed; create the file again")

    def _check_usable(self) -> None:
        self._check_open()
        if self._failure is not None:
            raise self._failure
        self._sending.check()

    def _take(self, block: memoryview) -> None:
        self._held += block
        if len(self._held) > BLOCK:  # and not as soon as it is full, since that may be all
            if not self._sending.is_started:
                self._sending.start(self._send)
            self._sending.put(bytes(memoryview(self._held)[:BLOCK]))
            self._check_open()  # another thread may have discarded it meanwhile
            del self._held[:BLOCK]

    def _finish(self) -> None:
        if not self._sending.is_started:
            with Source(bytes(self._held)) as source:
                self._send(source)
            return
        self._sending.put(bytes(self._held))
        self._sending.finish()
        self._check_open()

    def _fail(self, error: BaseException) -> None:
        if self._failure is None and not self._closed:
            self._failure = error
            self._sending.abandon()
            self._sending.wait()

    def _end(self) -> None:
        self._closed = True
        self._held = bytearray()
        _open.discard(self)

    def _discard_unclosed(self) -> None:
        """Discard a writer that nobody closes any more, and warn of it.

        Whatever a thread does may be stopped here by Python, which collects the writer, so that nothing may wait.
        """
        if self._closed or os.getpid() != self._process:
            return
        self._end()
        self._sending.abandon()
        sentence = (
            f"{self.name} was not stored, since its writer was never closed; use it in a with block, or call its close"
        )
        log.warning("%s", sentence)  # which people see, while Python hides the other unless it is asked for
        warnings.warn(sentence, ResourceWarning, stacklevel=3, source=self)

    def _dealloc_warn(self, source: object) -> None:
        # Python's own wrappers, such as io.TextIOWrapper, call this before they close what they wrap, if they are
        # closed by being collected.
        self._discard_unclosed()

    def __del__(self) -> None:
        self._discard_unclosed()

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError(
            f"the writer of {self.name} can be neither pickled nor copied, since its content goes through this "
            "process; create the file in the process that writes it"
        )

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}, {'closed' if self._closed else 'open'}>"


_MARKS = {"utf-16": codecs.BOM_UTF16, "utf-32": codecs.BOM_UTF32}
"""What text in an encoding begins with; TextIOWrapper leaves it out where it cannot seek."""


class WrittenText(Discarding, io.TextIOWrapper):
    """A text that is being written: closed, it stores the file.

    Args:
        file: takes the encoded text; a file object with `discard`.
        options: `encoding`, `errors` and `newline` of Python's own `open`.
    """

    def __init__(self, file: Any, **options: Any) -> None:
        super().__init__(file, **options)
        file.write(_MARKS.get(codecs.lookup(self.encoding).name, b""))

    def close(self) -> None:
        """Write the rest, and store the file; raises like `Writer.close`."""
        if self.closed:
            return
        try:
            self.flush()
        except BaseException:
            self.discard()  # TextIOWrapper would store what comes before the rest
            raise
        super().close()

    def discard(self) -> None:
        """Drop what was written; the file stays as it was."""
        cast(Any, self.buffer).discard()


class TextWriter(WrittenText):
    """A text file that is being written; returned by `Folder.create` if it is given an encoding.

    Newlines are written as they are. It is closed, discarded and collected like the `Writer` in it.

    Args:
        writer: takes the encoded text.
        encoding: name of the encoding.
    """

    def __init__(self, writer: Writer, encoding: str) -> None:
        super().__init__(writer, encoding=encoding, newline="")

    @property
    def _writer(self) -> Writer:
        return cast(Writer, self.buffer)

    def __enter__(self) -> Self:
        return self

    def __del__(self) -> None:
        self._writer._discard_unclosed()

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        self._writer.__reduce_ex__(protocol)


class _Sending:
    """The sending of what is written: a file object that a thread reads, and which waits for what is not written yet.

    Attributes:
        is_started: whether there is a thread.
    """

    def __init__(self) -> None:
        # Unlike a lock, this queue may be used while an object is collected.
        self._blocks: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._room = threading.Semaphore(AHEAD)
        self._rest = b""
        self._at_end = False
        self._error: BaseException | None = None
        self._source = Source(cast(Any, self))
        self._thread: threading.Thread | None = None

    @property
    def is_started(self) -> bool:
        return self._thread is not None

    def start(self, send: Callable[[Source], None]) -> None:
        run = contextvars.copy_context().run
        thread = threading.Thread(target=run, args=(self._run, send), name="edge-writer", daemon=True)
        thread.start()
        self._thread = thread

    def put(self, block: bytes) -> None:
        """Hand a block on, once there is room for it.

        Raises:
            BaseException: why what was handed on before could not be sent.
        """
        self._room.acquire()
        self.check()
        self._blocks.put(block)

    def finish(self) -> None:
        """Say that all was handed on, and return once it is stored; raises like `put`."""
        self._blocks.put(None)
        if self._thread is not None:
            self._thread.join()
        self.check()

    def abandon(self) -> None:
        """Have the thread end soon, without storing anything."""
        self._source.abandon()
        self._blocks.put(None)
        self._room.release()  # for who waits in `put`

    def wait(self) -> None:
        """Wait until the thread has ended, but not for long."""
        if self._thread is not None:
            self._thread.join(PATIENCE)

    def check(self) -> None:
        """Raise why the content could not be sent, unless it was abandoned."""
        if self._error is not None and not isinstance(self._error, Stopped):
            raise self._error

    def read(self, size: int) -> bytes:
        """Return up to `size` bytes, none at the end."""
        if not self._rest and not self._at_end:
            block = self._blocks.get()
            self._room.release()
            self._at_end = block is None
            self._rest = block or b""
        if self._source.is_abandoned:
            raise Stopped
        block, self._rest = self._rest[:size], self._rest[size:]
        return block

    def _run(self, send: Callable[[Source], None]) -> None:
        try:
            with self._source as source:
                send(source)
        except BaseException as error:
            self._error = error
        finally:
            self._room.release()  # for who waits in `put`


_open: weakref.WeakSet[Writer] = weakref.WeakSet()
"""The writers that are neither closed nor discarded."""


@atexit.register
def _discard_open() -> None:
    """Discard the writers that are open when Python ends; later no request could be sent any more."""
    writers = list(_open)
    for writer in writers:
        writer._discard_unclosed()
    for writer in writers:
        writer._sending.wait()
