"""Removing an organization with all that is its own, a little at a time.

The organization's status says that it is being removed, and is committed first; from then on nobody
gets in. All that belongs to it goes next (see `data.ownership`), in transactions of a bounded size with
pauses between them, and its own row goes last: only then is its name free again. What a crash
interrupts is gone on with by whichever process looks next: the status is still there.
"""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from edge_server.base.problems import log
from edge_server.data import ownership
from edge_server.data.slices import Slices
from edge_server.identity.directory import DELETING
from edge_server.identity.models import Organization
from edge_server.web.context import OwnContext
from edge_server.web.stored_content import drop_content

BATCH = 1000
"""Rows removed in one transaction at most; how many it is depends on how long they take, see `Slices`."""

SLICE = 1.0
"""Seconds spent on one organization before another one that is being removed has its turn."""

PAUSE = 0.01
"""Seconds between two transactions at least, for others who want to write."""

TASK = "removal"
"""The background task's name."""

INTERVAL = 5.0
"""Seconds between two times that it looks for organizations to remove."""

DEEPEST = 1000
"""Rows that may refer to one another in a row; folders lie in each other no deeper than a tenth of that."""

Keys = list[tuple[Any, ...]]
"""Primary keys of rows of one table."""

References = dict[str, list[sa.ForeignKey]]
"""The foreign keys to each table."""


class Removals:
    """The organizations that are being removed.

    Args:
        context: of the subsystem of accounts.
    """

    def __init__(self, context: OwnContext) -> None:
        self._context = context
        self._database = context.engines.database
        self._lifecycle = context.engines.lifecycle
        self._stored = context.engines.stored
        self._slices: dict[str, Slices] = {}
        self._last = Slices(BATCH)

    def run(self) -> None:
        """Go on with those there are, in turns; in one process at a time."""
        turns = deque((name, self._steps(organization_id)) for organization_id, name in self._waiting())
        while turns and not self._context.stopping:
            name, steps = turns.popleft()
            try:
                complete = self._go_on(steps)
            except Exception as error:
                # The others do not wait for it.
                log.error("removing the organization %s failed and is tried again", name, exc_info=error)
                continue
            if complete:
                log.info("the organization %s and its data are removed", name)
            else:
                turns.append((name, steps))

    def _waiting(self) -> list[tuple[int, str]]:
        closed = sa.select(Organization.id, Organization.name).where(Organization.status == DELETING)
        with self._context.read() as session:
            return [(row.id, row.name) for row in session.execute(closed.order_by(Organization.id))]

    def _go_on(self, steps: Iterator[int]) -> bool:
        """Take steps for a while; whether there are no more."""
        deadline = time.monotonic() + SLICE
        for _ in steps:
            if self._context.stopping or time.monotonic() > deadline:
                return False
            self._last.pause(PAUSE)
        return True

    def _slices_of(self, table: sa.Table) -> Slices:
        """The slices of a table, whose rows take a time of their own."""
        return self._slices.setdefault(table.name, Slices(BATCH))

    def _steps(self, organization_id: int) -> Iterator[int]:
        """Remove one organization; each step is one transaction, and tells how many rows it has removed or changed.

        Raises:
            RuntimeError: something of it cannot be removed.
        """
        references = _references(ownership.tables_of(self._database.engine))
        to_organizations = references[Organization.__tablename__]
        while True:
            for callback in self._lifecycle.organization_removed:
                callback(organization_id)
            changed = 0
            for key in to_organizations:
                if key.ondelete == "CASCADE":
                    for count in self._remove_referring(references, key, organization_id):
                        changed += count
                        yield count
            for key in to_organizations:
                while key.ondelete == "SET NULL" and (count := self._forget(key, organization_id)):
                    changed += count
                    yield count
            left = self._remove_row(to_organizations, organization_id)
            if left is None:
                return
            # A request that had begun before has stored something since; that goes as well.
            if not changed:
                raise RuntimeError(f"rows of {left} cannot be removed")

    def _remove_referring(self, references: References, key: sa.ForeignKey, organization_id: int) -> Iterator[int]:
        """Remove the rows that refer to the organization by `key`, each after those that refer to it in turn.

        These are looked for by the keys of a batch and never among all that there are, so that the work grows
        with the rows and no faster. There are as many batches at hand as references lead from one to the next:
        a few, or as many as folders lie in each other.
        """
        table = key.parent.table
        owned = sa.select(*table.primary_key).where(key.parent == organization_id)
        before: Keys = []
        while (first := self._keys(owned.limit(self._slices_of(table).rows))) and not set(first) <= set(before):
            before = first
            batches = [(table, first)]
            while batches:
                below = self._referring(references, *batches[-1])
                if len(batches) > DEEPEST:
                    raise RuntimeError(f"rows of {table.name} refer to each other in a circle")
                if below is not None:
                    batches.append(below)
                else:
                    yield self._remove_rows(*batches.pop())

    def _referring(self, references: References, table: sa.Table, keys: Keys) -> tuple[sa.Table, Keys] | None:
        """Some of the rows that refer to these and go with them; None if there are none."""
        for key in references[table.name]:
            if key.ondelete != "SET NULL":
                by_value = [key.column] == list(table.primary_key)
                values = [value for (value,) in keys] if by_value else sa.select(key.column).where(_among(table, keys))
                below = key.parent.table
                rows = sa.select(*below.primary_key).where(key.parent.in_(values))
                if referring := self._keys(rows.limit(self._slices_of(below).rows)):
                    return below, referring
        return None

    def _keys(self, rows: sa.Select[Any]) -> Keys:
        with self._context.read() as session:
            return [tuple(row) for row in session.execute(rows)]

    def _remove_rows(self, table: sa.Table, keys: Keys) -> int:
        """Remove a batch of a table's rows; how many were still there."""
        for stored in self._stored:
            if stored.table == table.name:
                # The content goes first: what is still recorded is removed after a crash.
                drop_content(self._database, stored, [key for (key,) in keys])
        columns = list(table.primary_key)
        with self._writing(table, len(keys)) as session:
            if len(columns) == 1:
                return _count(session.execute(table.delete().where(_among(table, keys))))
            # One by one: SQLite goes through the whole table for a list of several columns.
            key_at_hand = [column == sa.bindparam(f"key_{n}") for n, column in enumerate(columns)]
            each = [{f"key_{n}": value for n, value in enumerate(key)} for key in keys]
            return _count(session.execute(table.delete().where(*key_at_hand), each))

    @contextlib.contextmanager
    def _writing(self, table: sa.Table, rows: int) -> Iterator[Session]:
        """A transaction that removes or changes so many rows of a table."""
        slices = self._last = self._slices_of(table)
        with self._context.write(self._context.SERVER) as session:
            slices.begin()
            yield session
        slices.end(rows)

    def _forget(self, key: sa.ForeignKey, organization_id: int) -> int:
        """Have some rows that stay mention the organization no more; how many."""
        table = key.parent.table
        rows = sa.select(*table.primary_key).where(key.parent == organization_id)
        keys = self._keys(rows.limit(self._slices_of(table).rows))
        if not keys:
            return 0
        with self._writing(table, len(keys)) as session:
            mentioning = sa.update(table).where(_among(table, keys), key.parent == organization_id)
            return _count(session.execute(mentioning.values({key.parent.name: None})))

    def _remove_row(self, to_organizations: list[sa.ForeignKey], organization_id: int) -> str | None:
        """Remove the organization's own row, unless some row refers to it still: of which table."""
        own = sa.select(Organization.id).where(Organization.id == organization_id)
        with self._context.write(self._context.SERVER) as session:
            session.execute(own.with_for_update())  # nobody adds a reference to it now
            for key in to_organizations:
                if session.execute(sa.select(key.parent).where(key.parent == organization_id).limit(1)).first():
                    return key.parent.table.name
            session.execute(sa.delete(Organization).where(Organization.id == organization_id))
        return None


def _references(tables: sa.MetaData) -> References:
    references: References = {table.name: [] for table in tables.sorted_tables}
    # First those of tables that others refer to least, so that most rows can go as they are met.
    for table in reversed(tables.sorted_tables):
        for key in table.foreign_keys:
            references[key.column.table.name].append(key)
    return references


def _among(table: sa.Table, keys: Keys) -> sa.ColumnElement[bool]:
    columns = list(table.primary_key)
    return columns[0].in_([key for (key,) in keys]) if len(columns) == 1 else sa.tuple_(*columns).in_(keys)


def _count(outcome: sa.Result[Any]) -> int:
    return outcome.rowcount if isinstance(outcome, sa.CursorResult) else 0
