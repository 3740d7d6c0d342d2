"""How much work transactions are: their statements, the rows they change, and the steps of SQLite's machine in them."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa

from edge_server.data.database import Database

STRIDE = 50
"""Instructions of SQLite's virtual machine that are one step: walking over a row of an index takes four or so."""


@dataclasses.dataclass
class Work:
    """What a transaction did.

    Attributes:
        writes: whether it held the lock of those who write.
        statements: how many it ran.
        rows: how many it changed.
        steps: of `STRIDE` instructions, which also count what is only looked at; 0 on PostgreSQL.
    """

    writes: bool
    statements: int = 0
    rows: int = 0
    steps: int = 0


class Watch:
    """Counts the work of each transaction of a database.

    Args:
        database: what to watch.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._at_hand: dict[int, Work] = {}
        self.done: list[Work] = []

    @contextlib.contextmanager
    def watching(self) -> Iterator[list[Work]]:
        """The transactions of a block, as they end."""
        engine = self._database.root
        listeners = {
            "begin": self._begin,
            "after_cursor_execute": self._executed,
            "commit": self._end,
            "rollback": self._end,
        }
        done: list[Work] = []
        self.done = done
        for name, listener in listeners.items():
            sa.event.listen(engine, name, listener)
        try:
            yield done
        finally:
            for name, listener in listeners.items():
                sa.event.remove(engine, name, listener)

    def _begin(self, connection: sa.Connection) -> None:
        options = connection.get_execution_options()
        work = Work(options.get("write", False) or options.get("postgresql_readonly") is False)
        self._at_hand[id(connection)] = work
        raw: Any = connection.connection.dbapi_connection
        if hasattr(raw, "set_progress_handler"):

            def step() -> int:
                work.steps += 1
                return 0

            raw.set_progress_handler(step, STRIDE)

    def _executed(
        self, connection: sa.Connection, cursor: Any, statement: str, _parameters: Any, _context: Any, _many: bool
    ) -> None:
        work = self._at_hand.get(id(connection))
        if work is not None and not statement.startswith("BEGIN"):
            work.statements += 1
            if not statement.lstrip("( ").startswith(("SELECT", "WITH", "PRAGMA")):
                work.rows += max(0, cursor.rowcount)

    def _end(self, connection: sa.Connection) -> None:
        work = self._at_hand.pop(id(connection), None)
        if work is not None:
            raw: Any = connection.connection.dbapi_connection
            if hasattr(raw, "set_progress_handler"):
                raw.set_progress_handler(None, 0)
            self.done.append(work)
