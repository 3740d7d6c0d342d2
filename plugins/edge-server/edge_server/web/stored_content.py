"""Columns that hold keys of content: dropping the content of rows that go."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import InstrumentedAttribute

from edge_server.data.database import Database
from edge_server.data.store import Store


@dataclasses.dataclass(frozen=True)
class StoredContent:
    """A column that holds keys of content.

    Attributes:
        column: the column; its table has an integer `id`. A row with NULL there has no content.
        store: where the content is.
    """

    column: InstrumentedAttribute[Any]
    store: Store

    @property
    def table(self) -> str:
        """The name of the column's table."""
        return str(self.column.class_.__table__.name)


def drop_content(database: Database, stored: StoredContent, ids: Collection[int]) -> None:
    """Drop the content of rows, to be called before the rows go: a crash in between leaves rows that name it.

    Args:
        database: where the rows are.
        stored: the column that holds the keys.
        ids: of the rows; a few hundred at most. Those that are gone, or whose content is, are passed over.
    """
    column = stored.column
    with database.read() as session:
        keys = session.scalars(sa.select(column).where(column.class_.id.in_(ids), column.is_not(None))).all()
    for key in keys:
        stored.store.remove(key)
