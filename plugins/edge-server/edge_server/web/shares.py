"""What a process has only so many of, and a user only a share of, so that nobody takes all of them."""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import Iterator

from edge_server.base.problems import Refusal


class Shares:
    """Who has how many of them just now, in one process.

    Args:
        share_taken: sentence for a user who has a whole share; ``{}`` is how many that is.
        all_taken: sentence for everybody while all are taken; ``{}`` is how many that is.
        retry_after: seconds to wait before asking again.
    """

    def __init__(self, share_taken: str, all_taken: str, *, retry_after: int) -> None:
        self._share_taken = share_taken
        self._all_taken = all_taken
        self._headers = {"Retry-After": str(retry_after)}
        self._lock = threading.Lock()
        self._taken: Counter[int] = Counter()

    @contextlib.contextmanager
    def taken(self, user_id: int, *, share: int, at_once: int) -> Iterator[None]:
        """Take one for a user during the block.

        Args:
            user_id: for whom.
            share: the most that one user has.
            at_once: the most that all have together.

        Raises:
            Refusal: there is none left, for this user or for anybody.
        """
        with self._lock:
            if self._taken[user_id] >= share:
                raise Refusal(429, "busy", self._share_taken.format(share), self._headers)
            if self._taken.total() >= at_once:
                raise Refusal(503, "busy", self._all_taken.format(at_once), self._headers)
            self._taken[user_id] += 1
        try:
            yield
        finally:
            with self._lock:
                self._taken[user_id] -= 1
                self._taken += Counter()  # forgets those who have none
