"""How much work a request may ask of the server: of its database, and of its threads for what takes long."""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import Iterator

import flask

from edge_server.base.problems import Refusal
from edge_server.data import budgets

MOST_STEPS = 300_000_000
"""Steps of the database for one request, about ten seconds. A statement that is cut short there changes nothing."""

AT_ONCE = 2
"""Long operations of one kind that a user may have running at a time."""


class Slots:
    """Who runs a long operation just now, in one process, so that it never takes all of the threads.

    Args:
        sentence: what they do, as in "you are searching".
    """

    def __init__(self, sentence: str) -> None:
        self._sentence = sentence
        self._lock = threading.Lock()
        self._running: Counter[int] = Counter()

    @contextlib.contextmanager
    def taken(self, user_id: int, threads: int) -> Iterator[None]:
        """Take one during the block.

        Args:
            user_id: for whom.
            threads: how many answer requests here; a quarter of them can be taken.

        Raises:
            Refusal: there is none left, for this user or for anybody.
        """
        with self._lock:
            if self._running[user_id] >= AT_ONCE:
                detail = f"{self._sentence} {AT_ONCE} times at once already; try again when one of them has ended"
                raise Refusal(429, "busy", detail, {"Retry-After": "1"})
            if self._running.total() >= max(1, threads // 4):
                detail = "too many others do the same at this moment; try again"
                raise Refusal(503, "busy", detail, {"Retry-After": "1"})
            self._running[user_id] += 1
        try:
            yield
        finally:
            with self._lock:
                self._running[user_id] -= 1
                if not self._running[user_id]:
                    del self._running[user_id]


def install(app: flask.Flask) -> None:
    """Give each request of `app` its budget; before all else that looks at a request."""
    app.before_request(_begin)
    app.teardown_request(_end)


def _begin() -> None:
    budgets.set_budget(budgets.steps(MOST_STEPS))


def _end(_error: BaseException | None) -> None:
    budgets.set_budget(None)
