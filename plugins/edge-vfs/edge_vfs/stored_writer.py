"""`StoredWriter`: a file that is written by fsspec's interface."""

from __future__ import annotations

import io
import sys
import types
from typing import Any, cast

from edge_vfs.os_errors import translated
from edge_vfs.writing import Writer


class StoredWriter(io.BufferedIOBase):
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

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.close()
        else:
            self.discard()

    def _dealloc_warn(self, source: object) -> None:
        self._writer._dealloc_warn(source)

    def __del__(self) -> None:
        pass  # the writer discards itself, where Python would close this


class StoredText(io.TextIOWrapper):
    """A text that is written by fsspec's interface, whose ``with`` block discards it by an exception.

    Python's own TextIOWrapper would close it, and so store what was written until then.
    """

    def discard(self) -> None:
        """Drop what was written; the file stays as it was."""
        cast(Any, self.buffer).discard()  # a StoredWriter

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.close()
        else:
            self.discard()


def text_of(file: Any, **options: Any) -> Any:
    """Return `file` as text; what is being written is discarded by an exception in its ``with`` block.

    Args:
        file: bytes, as a file object.
        options: `encoding`, `errors` and `newline` of Python's own `open`.
    """
    return (StoredText if isinstance(file, StoredWriter) else io.TextIOWrapper)(file, **options)


_CLOSING = {"fsspec.core", "pandas.io.common"}
"""Modules whose ``with`` blocks close the files in them, and do not tell the files of an exception."""


def _leaves_by_exception() -> bool:
    """Return whether a file is closed since one of these blocks is left by an exception."""
    frame: types.FrameType | None = sys._getframe()
    for _ in range(8):
        if frame is None:  # a thread that Python did not start, as those of pyarrow and DuckDB
            break
        if frame.f_code.co_name == "__exit__" and frame.f_globals.get("__name__") in _CLOSING:
            arguments = frame.f_locals.get("args") or [frame.f_locals.get("exc_type")]
            return arguments[0] is not None
        frame = frame.f_back
    return False
