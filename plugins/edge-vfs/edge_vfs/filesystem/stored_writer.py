"""`StoredWriter`: a file that is written by fsspec's interface, and the text or the compressed content in it."""

from __future__ import annotations

import contextlib
import dis
import io
import sys
import types
from typing import Any, cast

from fsspec.compression import compr

from edge_vfs.filesystem.os_errors import translated
from edge_vfs.writing import Discarding, Writer, WrittenText


class StoredWriter(Discarding, io.BufferedIOBase):
    """A file that is being written; returned by `FolderFileSystem.open`, never constructed by hand.

    It appears whole once it is closed, or in a transaction once that ends. An exception in its ``with`` block, or in
    that of ``fsspec.open(...)`` or of a call of pandas, discards it.

    Args:
        writer: takes what is written.
        autocommit: False leaves storing it to `commit`.
    """

    mode = "wb"

    def __init__(self, writer: Writer, *, autocommit: bool) -> None:
        self._writer = writer
        self._autocommit = autocommit

    @property
    def name(self) -> str:
        """Path from the root, such as ``"/runs/plate-7.csv"``."""
        return self._writer.name

    def write(self, content: Any, /) -> int:
        """Write bytes, and return their number; raises like `Writer.write`."""
        if self.closed:
            raise ValueError(f"{self.name} is closed; open it again")
        with translated():
            return self._writer.write(content)

    def flush(self) -> None:
        """Raise what went wrong so far; what is written goes on by itself."""
        if not self._writer.closed:
            with translated():
                self._writer.flush()

    def tell(self) -> int:
        """Return the number of bytes that were written."""
        return self._writer.tell()

    def writable(self) -> bool:
        """Return True."""
        return True

    def close(self) -> None:
        """End the writing and store the file, unless a transaction does; raises like `Writer.close`."""
        if self.closed:
            return
        if _leaves_by_exception():
            self.discard()
        elif self._autocommit:
            self.commit()
        else:
            super().close()

    def commit(self) -> None:
        """Store the file."""
        try:
            with translated():
                self._writer.close()
        finally:
            super().close()

    def discard(self) -> None:
        """Drop what was written; the file stays as it was."""
        self._writer.discard()
        super().close()

    def _dealloc_warn(self, source: object) -> None:
        self._writer._dealloc_warn(source)

    def __del__(self) -> None:
        pass  # the writer discards itself, where Python would close this


class Compressed(Discarding, io.BufferedIOBase):
    """The content of a compressed file; returned by `FolderFileSystem.open`, never constructed by hand.

    The classes that compress leave the file beneath them open when they are closed. This one closes it, and an
    exception in its ``with`` block discards what is being written.

    Args:
        file: the compressed bytes: a `StoredWriter`, or a file object to read.
        compression: name of the compression, as fsspec has it.
    """

    def __init__(self, file: Any, compression: str) -> None:
        self._file = file
        self._writes = isinstance(file, StoredWriter)
        self._below = _Below(file) if self._writes else file
        try:
            self._content = cast(Any, compr)[compression](self._below, mode="w" if self._writes else "r")
        except BaseException:
            self._drop()
            raise

    @property
    def name(self) -> str:
        """Path from the root, such as ``"/runs/plate-7.csv.gz"``."""
        return cast(str, self._file.name)

    @property
    def mode(self) -> str:
        """``"wb"`` or ``"rb"``."""
        return "wb" if self._writes else "rb"

    def readable(self) -> bool:
        """Return whether it was opened to be read."""
        return not self._writes

    def writable(self) -> bool:
        """Return whether it was opened to be written."""
        return self._writes

    def seekable(self) -> bool:
        """Return whether `seek` works, as it does where content is read: from the beginning once more, if need be."""
        return not self._writes and self._content.seekable()

    def read(self, size: int | None = -1, /) -> bytes:
        """Return up to `size` bytes of the content, or all that is left."""
        return cast(bytes, self._content.read(-1 if size is None else size))

    def read1(self, size: int = -1, /) -> bytes:
        """Return some of the content, up to `size` bytes, and none at its end."""
        return cast(bytes, getattr(self._content, "read1", self._content.read)(size))

    def readline(self, size: int | None = -1, /) -> bytes:
        """Return the content up to the end of the line, or up to `size` bytes."""
        return cast(bytes, self._content.readline(-1 if size is None else size))

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Go to a position in the content, and return it."""
        return cast(int, self._content.seek(offset, whence))

    def tell(self) -> int:
        """Return the position in the content, in bytes."""
        return cast(int, self._content.tell())

    def write(self, content: Any, /) -> int:
        """Write bytes of the content, and return their number; raises like `Writer.write`."""
        return cast(int, self._content.write(content))

    def flush(self) -> None:
        """Raise what went wrong so far; nothing is cut into blocks by it, which would compress less."""
        if self._writes:
            self._file.flush()

    def close(self) -> None:
        """Write what ends the content, and close the file beneath; raises like `Writer.close`."""
        if self.closed:
            return
        if self._writes and _leaves_by_exception():
            self.discard()
            return
        try:
            self._content.close()
        except BaseException:
            self.discard()
            raise
        try:
            self._file.close()
        finally:
            super().close()

    def discard(self) -> None:
        """Drop what was written; the file stays as it was."""
        self._drop()
        with contextlib.suppress(Exception):  # what is dropped may be broken
            self._content.close()
        super().close()

    def _drop(self) -> None:
        if self._writes:
            self._below.is_dropped = True
            self._file.discard()
        else:
            self._file.close()

    def _dealloc_warn(self, source: object) -> None:
        if self._writes:
            self._file._dealloc_warn(source)
            self.discard()

    def __del__(self) -> None:
        # Python would close this, and zipfile complain of a member that is not closed before its archive.
        if hasattr(self, "_content") and not self.closed:
            self._dealloc_warn(self)


class _Below:
    """Where a class that compresses writes to, and goes on writing its end to once nothing is to be stored."""

    mode = "wb"

    def __init__(self, file: StoredWriter) -> None:
        self._file = file
        self._position = 0
        self.is_dropped = False

    @property
    def name(self) -> str:
        return self._file.name

    def write(self, content: Any) -> int:
        size = memoryview(content).nbytes
        if not self.is_dropped:
            self._file.write(content)
        self._position += size
        return size

    def tell(self) -> int:
        return self._position

    def flush(self) -> None:
        """Do nothing: what is written goes on by itself."""

    def close(self) -> None:
        """Do nothing: `Compressed` closes the file."""


def text_of(file: Any, **options: Any) -> Any:
    """Return `file` as text; what is being written is discarded by an exception in its ``with`` block.

    Args:
        file: bytes, as a file object.
        options: `encoding`, `errors` and `newline` of Python's own `open`.

    Raises:
        LookupError: the encoding is not known.
        ValueError: `errors` or `newline` is none that Python knows.
    """
    is_written = isinstance(file, StoredWriter) or (isinstance(file, Compressed) and file.writable())
    try:
        return (WrittenText if is_written else io.TextIOWrapper)(file, **options)
    except BaseException:
        file.discard() if is_written else file.close()
        raise


_WITH_EXCEPT_START = dis.opmap.get("WITH_EXCEPT_START")
"""What CPython runs when an exception leaves a ``with`` block: the call of `__exit__`."""

_CLOSING = {"backports", "bz2", "compression", "contextlib", "edge_vfs", "fsspec", "gzip", "lzma", "pandas", "pyarrow"}
"""Packages that close the files they are given or have opened, and do not tell the files of an exception.

Any other's call of `close` is taken at its word: a log is closed by its owner when an exception ends the work, and is
to be stored.
"""


_FINALLY = ("pandas.io.common", "pandas.io.excel.", "pandas.io.formats.excel", "pandas.io.parquet")
"""Modules whose functions close in their ``finally`` what they have opened, and that do so in ``except`` to give up."""


def _leaves_by_exception() -> bool:
    """Return whether a file is closed since an exception leaves a ``with`` block, or a function of pandas.

    Files of Python itself (TextIOWrapper) and libraries close what they wrap, whatever the reason is, so that only the
    stack of calls has it.
    """
    frame = sys._getframe(1).f_back  # who calls close
    while frame is not None:  # it ends soon in a thread that Python did not start, as those of pyarrow and DuckDB
        code = frame.f_code
        if _is_with_left_by_exception(frame):
            return True
        if frame.f_globals.get("__name__", "").partition(".")[0] not in _CLOSING:
            return False
        if code.co_name == "__exit__":
            argument = frame.f_locals[code.co_varnames[1]]  # the type of the exception, or *args
            return (argument[0] if isinstance(argument, tuple) else argument) is not None
        if frame.f_globals["__name__"].startswith(_FINALLY) and _is_left_by_exception(frame):
            return True
        frame = frame.f_back
    return False


def _is_with_left_by_exception(frame: types.FrameType) -> bool:
    return frame.f_lasti >= 0 and frame.f_code.co_code[frame.f_lasti] == _WITH_EXCEPT_START


def _is_left_by_exception(frame: types.FrameType) -> bool:
    """Return whether the exception that is being handled came through a frame: in its ``finally``, for one."""
    trace = sys.exc_info()[2]
    while trace is not None and trace.tb_frame is not frame:
        trace = trace.tb_next
    return trace is not None
