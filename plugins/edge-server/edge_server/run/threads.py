"""Threads that take connections from one that must not wait."""

from __future__ import annotations

import collections
import logging
import queue
import threading
from collections.abc import Callable

from edge_server.run.connection import Connection


class Threads:
    """Up to so many threads that do one thing to connections; they are started as they are needed.

    concurrent.futures keeps a result for each call, with a lock of its own, which nobody asks for here.

    Args:
        most: threads at most; connections beyond wait for one of them.
        name: of the threads.
        act: what they do.
        log: where it is said that this failed.
    """

    def __init__(self, most: int, name: str, act: Callable[[Connection], object], log: logging.Logger) -> None:
        self._most = most
        self._name = name
        self._act = act
        self._log = log
        self._count = 0
        self._connections = queue.SimpleQueue[Connection | None]()
        self._idle = collections.deque[None]()

    def take(self, connection: Connection) -> None:
        """Have a thread act on a connection; always called by the same thread."""
        self._connections.put(connection)
        try:
            self._idle.pop()
        except IndexError:
            if self._count < self._most:
                self._count += 1
                threading.Thread(target=self._run, name=f"{self._name}_{self._count}", daemon=True).start()

    def stop(self) -> None:
        """Let the threads end once they are done with what they do; what waits for them is left as it is."""
        while not self._connections.empty():
            self._connections.get()
        for _ in range(self._count):
            self._connections.put(None)

    def _run(self) -> None:
        while (connection := self._connections.get()) is not None:
            try:
                self._act(connection)
            except Exception as error:  # the thread is needed for others
                # What was sent may hold a token and goes into no log.
                self._log.error("a request failed outside of the application: %s", type(error).__name__)
            self._idle.append(None)
