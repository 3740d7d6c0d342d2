"""What a server does beside answering: tasks that come round, each in a thread of its own.

A task never waits for another. A process that is killed leaves a task in the middle, so each is
written to be gone on with by another process, or after a restart.
"""

from __future__ import annotations

import contextlib
import dataclasses
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager

from edge_server.base.problems import log


@dataclasses.dataclass(frozen=True)
class Task:
    """Something that comes round.

    Attributes:
        name: for the log, and to wake it.
        seconds: between its end and its next begin; the first time is when the process starts.
        run: what to do; if it raises, that is logged and it is run again next time.
        alone: run it in one process at a time.
        at_end: run it once more when the server stops.
    """

    name: str
    seconds: float
    run: Callable[[], object]
    alone: bool = False
    at_end: bool = False


class Background:
    """Tasks that come round; nothing runs before `start`.

    Args:
        alone: makes a block, by a task's name, that one process at a time is in; it gives whether this one is.

    Attributes:
        ran: called when this process has run a task, with whether that succeeded.
    """

    def __init__(self, alone: Callable[[str], AbstractContextManager[bool]]) -> None:
        self._alone = alone
        self.ran: Callable[[Task, bool], None] = _nothing_more
        self._tasks: dict[str, Task] = {}
        self._due: dict[str, threading.Event] = {}
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []

    def add(self, task: Task) -> None:
        """Have `task` come round once the process has started.

        Raises:
            ValueError: there is a task of that name.
        """
        if task.name in self._tasks:
            raise ValueError(f"there is a task {task.name!r} already; choose another name")
        self._tasks[task.name] = task
        self._due[task.name] = threading.Event()

    def wake(self, name: str) -> None:
        """Run a task now, if this process runs any."""
        self._due[name].set()

    @property
    def stopping(self) -> bool:
        """Whether the process is about to end, so that a long task shall leave the rest to another."""
        return self._stopping.is_set()

    def start(self) -> None:
        """Begin, in this process: after a fork, since threads do not survive one."""
        for task in self._tasks.values():
            thread = threading.Thread(target=self._come_round, args=(task,), name=f"edge-{task.name}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def stop(self, patience: float = 5.0) -> None:
        """End after the tasks at hand, and do what is to be done last; safe where nothing was started.

        Args:
            patience: seconds to wait for the tasks at hand.
        """
        self._stopping.set()
        for due in self._due.values():
            due.set()
        deadline = time.monotonic() + patience
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        if self._threads:
            self._threads.clear()
            for task in self._tasks.values():
                if task.at_end:
                    self._run(task)

    def _come_round(self, task: Task) -> None:
        due = self._due[task.name]
        while True:
            due.clear()
            if self._stopping.is_set():  # looked at after `clear`, which may have undone the call of `stop`
                return
            self._run(task)
            due.wait(task.seconds)

    def _run(self, task: Task) -> None:
        try:
            with contextlib.ExitStack() as stack:
                if task.alone and not stack.enter_context(self._alone(task.name)):
                    return
                task.run()
            self.ran(task, True)
        except Exception as error:
            self.ran(task, False)
            log.error("the background task %s failed and is tried again", task.name, exc_info=error)


def _nothing_more(_task: Task, _succeeded: bool) -> None:
    pass
