"""How many rows one transaction of something long takes, so that others who want to write wait for a moment only."""

from __future__ import annotations

import time

SECONDS = 0.01
"""What such a transaction is to take while it keeps others from writing: about what a small upload takes."""

LEAST = 0.2
"""Share of its most rows that a transaction takes at least, however long that is.

Each costs a commit as well, which a busy machine takes long for, also for a single row.
"""

SHARE = 2
"""How much longer than a transaction took others are left alone."""


class Slices:
    """Says how many rows the next transaction takes, by what those before it took.

    A machine that is busy, or has a slow disk, gets smaller transactions instead of longer ones.

    Attributes:
        rows: for the next transaction, at most.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._least = max(1, int(LEAST * most))
        self._begun = self._taken = 0.0
        self.rows = self._least

    def begin(self) -> None:
        """Call this once a transaction has the lock: what it waited for that keeps nobody else from writing."""
        self._begun = time.monotonic()

    def end(self, rows: int) -> None:
        """Call this when the transaction is committed.

        Args:
            rows: how many it took.
        """
        self._taken = time.monotonic() - self._begun
        if self._taken > SECONDS:
            self.rows = min(self._most, max(self._least, int(rows * SECONDS / self._taken)))
        elif rows >= self.rows:
            # A few rows say little of many.
            fitting = int(rows * SECONDS / max(self._taken, 1e-6))
            self.rows = min(self._most, 2 * rows, max(self._least, fitting))

    def pause(self, least: float) -> None:
        """Leave others to write before the next transaction.

        Args:
            least: seconds.
        """
        time.sleep(max(least, SHARE * self._taken))
