"""Claims on what a process is at: short, by the time that all hosts tell, and renewed for as long as it is at it.

What a process was at that died is soon another's, and what takes long stays its own. A process can also be stopped for
longer than a claim lasts and go on afterwards. So whatever such work ends with changes rows only if the claim is still
its holder's, and what it has stored until then is nothing that another holder shows.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import math
from collections.abc import Callable, Iterator

from sqlalchemy import Connection

from edge_server.base import clock
from edge_server.data.database import Database

LEASE = dt.timedelta(seconds=5)
"""How long a claim lasts that is not renewed."""

RENEWING = 1.0
"""Seconds between looks at what is to be renewed."""

Renewal = Callable[[Connection, dt.datetime], bool]
"""Has a claim last until a moment; False if it is another holder's, or there is nothing to hold any more."""


@dataclasses.dataclass(eq=False)
class Lease:
    """A claim that is held.

    Attributes:
        touched: what the transaction that renews it names (`Database.write`).
        renewal: renews it.
        until: when it lapses.
        renewed_before: when it is not renewed any more, by the monotonic clock.
        is_lost: whether a renewal has found that it is another holder's.
    """

    touched: int
    renewal: Renewal
    until: dt.datetime
    renewed_before: float = math.inf
    is_lost: bool = False


class Leases:
    """The claims that a process holds.

    Args:
        database: has them.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._held: set[Lease] = set()

    def hold(self, touched: int, renewal: Renewal) -> Lease:
        """Have a claim renewed that was made just now, until `let_go`."""
        lease = Lease(touched, renewal, clock.now() + LEASE)
        self._held.add(lease)
        return lease

    def let_go(self, lease: Lease) -> None:
        """Renew a claim no more."""
        self._held.discard(lease)

    @contextlib.contextmanager
    def held(self, touched: int, renewal: Renewal) -> Iterator[Lease]:
        """Have a claim renewed during the block, before which it was made just now."""
        lease = self.hold(touched, renewal)
        try:
            yield lease
        finally:
            self.let_go(lease)

    def renew(self) -> None:
        """Renew the claims of what this process is still at; comes round in the background.

        Each in a transaction of its own: one that changed several rows could wait for another that does so.
        """
        for lease in list(self._held):
            is_due = lease.until - clock.now() <= LEASE / 2
            if lease.is_lost or not is_due or clock.monotonic() >= lease.renewed_before:
                continue
            with self._database.write_rows(lease.touched) as connection:
                until = clock.now() + LEASE
                is_held = lease.renewal(connection, until)
            lease.until, lease.is_lost = until, not is_held
