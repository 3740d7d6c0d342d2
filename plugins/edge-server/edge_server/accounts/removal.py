"""Removing an organization with all that is its own, a little at a time.

The organization's status says that it is being removed, and is committed first; from then on nobody
gets in. All that belongs to it goes next (see `data.ownership`), in transactions short enough for
others to write in between, and its own row goes last. What a crash interrupts is gone on with by
whichever process looks next: the status is still there.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from edge_server.base.problems import log
from edge_server.data import ownership
from edge_server.identity.directory import DELETING
from edge_server.identity.models import Organization
from edge_server.web.context import OwnContext
from edge_server.web.stored_content import drop_content

BATCH = 200
"""Rows removed in one transaction."""

TASK = "removal"
"""The background task's name."""

INTERVAL = 5.0
"""Seconds between two times that it looks for organizations to remove."""


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

    def run(self) -> None:
        """Go on with those there are; in one process at a time."""
        for organization_id, name in self._waiting():
            try:
                complete = self._remove(organization_id)
            except Exception as error:
                # The others do not wait for it.
                log.error("removing the organization %s failed and is tried again", name, exc_info=error)
            else:
                if complete:
                    log.info("the organization %s and its data are removed", name)

    def _waiting(self) -> list[tuple[int, str]]:
        closed = sa.select(Organization.id, Organization.name).where(Organization.status == DELETING)
        with self._context.read() as session:
            return [(row.id, row.name) for row in session.execute(closed)]

    def _remove(self, organization_id: int) -> bool:
        """Remove one; False if the rest is left for later.

        Raises:
            RuntimeError: something of it cannot be removed.
        """
        tables = ownership.tables_of(self._database.engine)
        while True:
            for callback in self._lifecycle.organization_removed:
                callback(organization_id)
            removed = 0
            for table in reversed(tables.sorted_tables):
                owned = ownership.owned_by(table, "organizations", organization_id)
                while owned is not None and not self._context.stopping and self._remove_some(table, owned):
                    removed += 1
            if self._context.stopping:
                return False
            left = self._remove_row(tables, organization_id)
            if left is None:
                return True
            # A request that had begun before has stored something since; that goes as well.
            if not removed:
                raise RuntimeError(f"rows of {left} cannot be removed")

    def _remove_row(self, tables: sa.MetaData, organization_id: int) -> str | None:
        """Remove the organization's own row, unless something is left that is not to go unnoticed: in which table."""
        own = sa.select(Organization.id).where(Organization.id == organization_id)
        with self._context.write(self._context.SERVER) as session:
            session.execute(own.with_for_update())  # nobody adds a reference to it now
            for table in tables.sorted_tables:
                owned = ownership.owned_by(table, "organizations", organization_id)
                if owned is not None and session.execute(sa.select(*table.primary_key).where(owned).limit(1)).first():
                    return table.name
            session.execute(sa.delete(Organization).where(Organization.id == organization_id))
        return None

    def _remove_some(self, table: sa.Table, owned: sa.ColumnElement[bool]) -> bool:
        """Remove a batch of a table's rows; False when there were none."""
        columns = list(table.primary_key)
        batch = sa.select(*columns).where(owned, *_childless(table)).limit(BATCH)
        with self._context.read() as session:
            keys = [tuple(row) for row in session.execute(batch)]
        if not keys:
            return False
        for stored in self._stored:
            if stored.table == table.name:
                # The content goes first: what is still recorded is removed after a crash.
                drop_content(self._database, stored, [key for (key,) in keys])
        chosen = columns[0].in_([key for (key,) in keys]) if len(columns) == 1 else sa.tuple_(*columns).in_(keys)
        with self._context.write(self._context.SERVER) as session:
            session.execute(table.delete().where(chosen))
        return True


def _childless(table: sa.Table) -> list[sa.ColumnElement[Any]]:
    """In a table that refers to itself: the rows that no other row refers to, which can go first."""
    conditions: list[sa.ColumnElement[Any]] = []
    for key in table.foreign_keys:
        if key.column.table is table:
            below = table.alias()
            conditions.append(~sa.exists().where(below.c[key.parent.name] == key.column))
    return conditions
