"""What a server does beside answering: tasks that come round, in one thread of each process.

A process that is killed leaves a task in the middle, so each is written to be gone on with by
another process, or after a restart.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from edge_server.base.problems import log


class Background:
    """Tasks that come round; nothing runs before `start`."""

    def __init__(self) -> None:
        self._tasks: list[tuple[str, float, Callable[[], object]]] = []
        self._final: list[tuple[str, Callable[[], object]]] = []
        self._due: dict[str, float] = {}
        self._wake = threading.Event()
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def every(self, seconds: float, name: str, task: Callable[[], object], *, at_end: bool = False) -> None:
        """Run `task` each so many seconds, first when the process starts.

        Args:
            seconds: between its end and its next begin.
            name: for the log.
            task: what to do; if it raises, that is logged and it is run again next time.
            at_end: run it once more when the server stops.
        """
        self._tasks.append((name, seconds, task))
        self._due[name] = 0.0
        if at_end:
            self._final.append((name, task))

    def wake(self, name: str) -> None:
        """Run a task now, if this process runs any."""
        self._due[name] = 0.0
        self._wake.set()

    @property
    def stopping(self) -> bool:
        """Whether the process is about to end, so that a long task shall leave the rest to another."""
        return self._stopped.is_set()

    def start(self) -> None:
        """Begin, in this process: after a fork, since a thread does not survive one."""
        self._thread = threading.Thread(target=self._loop, name="edge-background", daemon=True)
        self._thread.start()

    def stop(self, patience: float = 5.0) -> None:
        """End after the task at hand, and do what is to be done last; safe where nothing was started."""
        self._stopped.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(patience)
            self._thread = None
            for name, task in self._final:
                _run(name, task)

    def _loop(self) -> None:
        while not self._stopped.is_set():
            self._wake.clear()
            for name, seconds, task in self._tasks:
                if not self._stopped.is_set() and self._due[name] <= time.monotonic():
                    self._due[name] = time.monotonic() + seconds
                    _run(name, task)
            soonest = min(self._due.values(), default=time.monotonic() + 60)
            self._wake.wait(max(0.0, soonest - time.monotonic()))


def _run(name: str, task: Callable[[], object]) -> None:
    try:
        task()
    except Exception as error:
        log.error("the background task %s failed and is tried again", name, exc_info=error)
