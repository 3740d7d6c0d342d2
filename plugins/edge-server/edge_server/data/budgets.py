"""How much work the database does for whoever asks, before it is told to stop.

SQLite calls back after so many steps of its virtual machine, in the thread that asked. A budget that is used up there
ends the statement, and its transaction with it. Steps are counted, so that a busy machine refuses nothing more; what is
quick never gets so far. Threads without a budget, such as those of migrations, `fsck` and collection, go on for as long
as it takes.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Callable, Iterator

STEPS = 1_000_000
"""Steps after which SQLite calls back, a few hundredths of a second."""


class _Local(threading.local):
    is_over: Callable[[], bool] | None = None


_local = _Local()


def watch(connection: sqlite3.Connection) -> None:
    """Have the statements of a connection end with the budget of the thread that executes them."""
    connection.set_progress_handler(_is_over, STEPS)


def set_budget(is_over: Callable[[], bool] | None) -> None:
    """Give this thread a budget; see `budget`."""
    _local.is_over = is_over


@contextlib.contextmanager
def budget(is_over: Callable[[], bool] | None) -> Iterator[None]:
    """Give this thread another budget during the block.

    Args:
        is_over: called after each `STEPS`, tells whether it is used up; None for no limit, for work that bounds itself.
    """
    before = _local.is_over
    _local.is_over = is_over
    try:
        yield
    finally:
        _local.is_over = before


def steps(most: int) -> Callable[[], bool]:
    """A budget of `most` steps, to the next `STEPS`."""
    left = most // STEPS

    def is_over() -> bool:
        nonlocal left
        left -= 1
        return left < 0

    return is_over


def _is_over() -> bool:
    is_over = _local.is_over
    return is_over is not None and is_over()
