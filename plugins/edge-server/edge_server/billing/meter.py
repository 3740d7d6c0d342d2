"""The meter: the requests of organizations and their bytes, counted in memory and written every few seconds.

Each worker keeps its counts in memory and writes them every `FLUSH_SECONDS`, and when it stops. If
it is killed, that much is lost.
"""

from __future__ import annotations

import datetime as dt
import threading

import sqlalchemy.exc

from edge_billing.usage_types import API_REQUESTS, TRANSFER_IN, TRANSFER_OUT
from edge_server.base import clock
from edge_server.billing import usage
from edge_server.billing.usage import Key
from edge_server.data.database import SERVER, Transactions
from edge_server.web.counting import Request

FLUSH_SECONDS = 10.0

_COUNTED = (API_REQUESTS.name, TRANSFER_IN.name, TRANSFER_OUT.name)


class Meter:
    """The counts of one process.

    Args:
        database: where they go.
    """

    def __init__(self, database: Transactions) -> None:
        self._database = database
        self._counts: dict[tuple[int, dt.date], list[int]] = {}
        self._guard = threading.Lock()
        self._flushing = threading.Lock()

    def count(self, request: Request) -> None:
        """Count a request that has ended."""
        key = (request.organization_id, clock.now().date())
        with self._guard:
            counts = self._counts.setdefault(key, [0, 0, 0])
            counts[0] += 1
            counts[1] += request.bytes_in
            counts[2] += request.bytes_out

    def flush(self) -> None:
        """Write what was counted. What cannot be written now is kept for the next time."""
        with self._flushing:
            with self._guard:
                counts, self._counts = self._counts, {}
            if not counts:
                return
            amounts = {
                Key(organization, day, name): amount
                for (organization, day), each in counts.items()
                for name, amount in zip(_COUNTED, each, strict=True)
                if amount
            }
            try:
                try:
                    self._write(amounts)
                except sqlalchemy.exc.IntegrityError:
                    # Another worker wrote a day's first row in the same moment; now it is there.
                    self._write(amounts)
            except BaseException:
                self._take_back(counts)
                raise

    def _write(self, amounts: dict[Key, int]) -> None:
        with self._database.write(SERVER) as session:
            usage.add(session, amounts)

    def _take_back(self, counts: dict[tuple[int, dt.date], list[int]]) -> None:
        with self._guard:
            for key, more in counts.items():
                now = self._counts.get(key)
                self._counts[key] = more if now is None else [a + b for a, b in zip(now, more, strict=True)]
