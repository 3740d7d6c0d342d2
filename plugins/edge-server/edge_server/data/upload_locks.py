"""Locks on an upload's file: shared by all who write a part of it, exclusive to who completes it.

Without this, a sender that was cut off and resumed could go on writing into content that has been
checked and shown already.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows, where the server is one process
    fcntl = None  # type: ignore[assignment]

_EXCLUSIVE = -1

_held: dict[Path, int] = {}
_guard = threading.Lock()


class Busy(Exception):
    """Someone else holds the file in a way that excludes this one."""


@contextlib.contextmanager
def hold(path: Path, *, exclusive: bool) -> Iterator[None]:
    """Hold the file at `path` during the block.

    The operating system lets go of it when the process dies.

    Raises:
        Busy: it is held otherwise.
        FileNotFoundError: the file is not there.
    """
    if fcntl is None:
        with _hold_in_process(path, exclusive):
            yield
        return
    handle = os.open(path, os.O_RDWR)
    try:
        kind = fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH
        try:
            fcntl.flock(handle, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Busy from None
        yield
    finally:
        os.close(handle)


@contextlib.contextmanager
def _hold_in_process(path: Path, exclusive: bool) -> Iterator[None]:
    with _guard:
        count = _held.get(path, 0)
        if count == _EXCLUSIVE or (exclusive and count):
            raise Busy
        if not path.exists():
            raise FileNotFoundError(path)
        _held[path] = _EXCLUSIVE if exclusive else count + 1
    try:
        yield
    finally:
        with _guard:
            left = 0 if exclusive else _held[path] - 1
            if left:
                _held[path] = left
            else:
                del _held[path]
