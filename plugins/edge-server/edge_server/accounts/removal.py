"""Removing an organization with all that is its own, a little at a time.

The organization's status says that it is being removed, and is committed first; from then on nobody
gets in. All that refers to it goes next, in transactions short enough for others to write in
between, and its own row goes last. What a crash interrupts is gone on with by whichever process
looks next: the status is still there.

Which tables hold an organization's rows is not written down here: it is read from the references
between them, in the database itself, so that a new table needs nothing but its foreign key, whether
it is the server's or one of a plugin.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
import sqlalchemy.exc

from edge_server.base.problems import log
from edge_server.data.database import SERVER, Database
from edge_server.data.store import FolderStore
from edge_server.files.models import Upload, Version
from edge_server.identity.accounts import DELETING
from edge_server.identity.models import Organization

BATCH = 200
"""Rows removed in one transaction."""

_ORGANIZATIONS = "organizations"


class Removals:
    """The organizations that are being removed.

    Args:
        database: where they are recorded.
        store: where their content is.
        stopping: tells that the process is about to end.
    """

    def __init__(self, database: Database, store: FolderStore, stopping: Callable[[], bool] = lambda: False) -> None:
        self._database = database
        self._store = store
        self._stopping = stopping

    def run(self) -> None:
        """Go on with those there are; in one process at a time."""
        for organization_id, name in self._waiting():
            if self._remove(organization_id):
                log.info("the organization %s and its data are removed", name)

    def _waiting(self) -> list[tuple[int, str]]:
        wanted = sa.select(Organization.id, Organization.name).where(Organization.status == DELETING)
        with self._database.read() as session:
            return [(row.id, row.name) for row in session.execute(wanted)]

    def _remove(self, organization_id: int) -> bool:
        """Remove one; False if the rest is left for later.

        Raises:
            IntegrityError: something refers to it that cannot be removed.
        """
        tables = tables_of(self._database.engine)
        while True:
            removed = 0
            for table in reversed(tables.sorted_tables):
                owned = owned_by(table, organization_id)
                while owned is not None and not self._stopping() and self._remove_some(table, owned):
                    removed += 1
            if self._stopping():
                return False
            try:
                with self._database.write(SERVER) as session:
                    for column in _mentions(tables):
                        session.execute(
                            sa.update(column.table).where(column == organization_id).values({column.name: None})
                        )
                    session.execute(sa.delete(Organization).where(Organization.id == organization_id))
                return True
            except sqlalchemy.exc.IntegrityError:
                # A request that had begun before has stored something since; that goes as well.
                if not removed:
                    raise

    def _remove_some(self, table: sa.Table, owned: sa.ColumnElement[bool]) -> bool:
        """Remove a batch of a table's rows; False when there were none."""
        keys = list(table.primary_key)
        batch = sa.select(*keys).where(owned, *_childless(table)).limit(BATCH)
        with self._database.read() as session:
            found = [tuple(row) for row in session.execute(batch)]
        if not found:
            return False
        if table.name in (Version.__tablename__, Upload.__tablename__):
            # The bytes go first: what is still recorded is found again after a crash.
            self._remove_bytes(table, [key for (key,) in found])
        chosen = keys[0].in_([key for (key,) in found]) if len(keys) == 1 else sa.tuple_(*keys).in_(found)
        with self._database.write(SERVER) as session:
            session.execute(table.delete().where(chosen))
        return True

    def _remove_bytes(self, table: sa.Table, ids: list[Any]) -> None:
        with self._database.read() as session:
            if table.name == Version.__tablename__:
                for key in session.scalars(sa.select(Version.key).where(Version.id.in_(ids))):
                    self._store.remove(key)
                return
            for upload in session.scalars(sa.select(Upload).where(Upload.id.in_(ids))):
                self._store.drop_upload(upload.uid)
                if upload.version_id is None:
                    self._store.remove(upload.key)


def tables_of(database: sa.Engine | sa.Connection) -> sa.MetaData:
    """The tables that are in the database, those of plugins among them."""
    found = sa.MetaData()
    found.reflect(database)
    return found


def owned_by(table: sa.Table, organization_id: int) -> sa.ColumnElement[bool] | None:
    """The condition on a table's rows to be an organization's; None if none of them are any organization's.

    A row is, if it refers to the organization, or else to a row that is.
    """
    direct, indirect = [], []
    for key in table.foreign_keys:
        target = key.column.table
        if target is table or _is_mention(key):
            continue
        if target.name == _ORGANIZATIONS:
            direct.append(key.parent == organization_id)
        else:
            above = owned_by(target, organization_id)
            if above is not None:
                indirect.append(key.parent.in_(sa.select(key.column).where(above)))
    conditions = direct or indirect
    return sa.or_(*conditions) if conditions else None


def _mentions(tables: sa.MetaData) -> list[sa.Column[Any]]:
    """The columns that name an organization without making the row its own."""
    return [key.parent for table in tables.sorted_tables for key in table.foreign_keys if _is_mention(key)]


def _is_mention(key: sa.ForeignKey) -> bool:
    column: sa.Column[Any] = key.parent
    return key.column.table.name == _ORGANIZATIONS and bool(column.nullable) and column.name != "organization_id"


def _childless(table: sa.Table) -> list[sa.ColumnElement[bool]]:
    """In a table that refers to itself: the rows that no other row refers to, which can go first."""
    conditions = []
    for key in table.foreign_keys:
        if key.column.table is table:
            below = table.alias()
            conditions.append(~sa.exists().where(below.c[key.parent.name] == key.column))
    return conditions
