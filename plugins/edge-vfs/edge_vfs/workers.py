"""Threads that share the parts or files of one call."""

from __future__ import annotations

import contextvars
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from edge_core import retries

WORKERS = 4
"""Number of parts or files that are transferred at once."""

PATIENCE = 1.0
"""Seconds that an interrupted call waits for its threads; they end by themselves at their next block."""

_Item = TypeVar("_Item")


class Stopped(Exception):
    """Another thread of the call has failed, or the user has interrupted it, so that nobody wants the result."""


def each(
    work: Callable[[_Item], None],
    items: Iterable[_Item],
    workers: int = WORKERS,
    *,
    stopped: threading.Event | None = None,
) -> None:
    """Call `work` with each item, in several threads.

    An item is taken only when a thread is free for it, and never by two threads at once, so that an iterator may
    read a file or hold memory. After a failure no further item is taken; `work` looks at `stopped` between blocks
    and raises `Stopped`, so that the call ends soon. Once a server tells one thread to come later, all wait.

    Args:
        work: called with an item, in any thread.
        items: what is to be done, taken in order.
        workers: maximum number of threads; with 1 all is done in the thread of the caller.
        stopped: set once the call has failed or was interrupted.

    Raises:
        BaseException: what `work` or the iterator raised first, once all threads have ended.
        ValueError: there are fewer than 1 workers.
    """
    check(workers)
    if workers == 1:
        for unit in items:
            work(unit)
        return
    _Shared(work, iter(items), stopped or threading.Event()).run(workers)


def check(workers: int) -> None:
    """Check the argument ``max_workers`` of a call.

    Raises:
        ValueError: it is less than 1.
    """
    if workers < 1:
        raise ValueError(f"max_workers must be 1 or more, not {workers}")


class _Shared:
    """What the threads of one call share."""

    def __init__(self, work: Callable[[_Item], None], items: Iterator[_Item], stopped: threading.Event) -> None:
        self._work = work
        self._items = items
        self._stopped = stopped
        self._taking = threading.Lock()
        self._errors: list[BaseException] = []

    def run(self, workers: int) -> None:
        threads: list[threading.Thread] = []
        gate = retries.Gate()
        try:
            for n in range(workers):
                # What the caller has set, such as numpy's and decimal's settings, holds for its threads too.
                context = contextvars.copy_context()
                context.run(retries.gate.set, gate)
                run = context.run
                threads.append(threading.Thread(target=run, args=(self._loop,), name=f"edge-{n}", daemon=True))
                threads[-1].start()
            for thread in threads:
                thread.join()
        except BaseException:  # Ctrl-C comes here, in the caller's thread
            self._stopped.set()
            until = time.monotonic() + PATIENCE
            for thread in threads:
                if thread.ident is not None:
                    thread.join(max(0.0, until - time.monotonic()))
            raise
        if self._errors:
            raise self._errors[0]

    def _loop(self) -> None:
        try:
            while True:
                with self._taking:
                    if self._stopped.is_set():
                        return
                    try:
                        unit = next(self._items)
                    except StopIteration:
                        return
                self._work(unit)
        except BaseException as error:
            if not (isinstance(error, Stopped) and self._stopped.is_set()):
                self._errors.append(error)
            self._stopped.set()
