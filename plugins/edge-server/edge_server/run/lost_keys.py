"""What a key file has sealed in a database and the one that is there cannot open."""

from __future__ import annotations

import collections
from collections.abc import Collection, Sequence

import sqlalchemy as sa

from edge_server.data import ownership
from edge_server.data.database import Database
from edge_server.identity.models import Organization
from edge_server.keys.sealed_column import SealedColumn
from edge_server.keys.sealing import FORMAT, HEADER_BYTES, key_id


def closed(database: Database, columns: Sequence[SealedColumn], keys: Collection[bytes]) -> dict[str, dict[str, int]]:
    """How much other keys have sealed, by table and short name of the organization; "" where that is not known.

    Args:
        database: may be at an older revision than the code.
        columns: where sealed content is.
        keys: the ids of those in the key file. What another keeper has sealed needs none.
    """
    tables = ownership.tables_of(database.engine).tables
    counts: dict[str, dict[str, int]] = {}
    with database.engine.connect() as connection:
        organizations = tables[Organization.__tablename__].c
        names = {row.id: row.name for row in connection.execute(sa.select(organizations.id, organizations.name))}
        for sealed in columns:
            table = tables.get(sealed.column.class_.__table__.name)
            if table is None or sealed.column.key not in table.c:
                continue
            column = table.c[sealed.column.key]
            source, organization = _with_organization(table)
            head = sa.func.substr(column, 1, HEADER_BYTES)
            rows = connection.execute(sa.select(head, organization).select_from(source).where(column.is_not(None)))
            lost = collections.Counter(
                names.get(number, "") for blob, number in rows if blob.startswith(FORMAT) and key_id(blob) not in keys
            )
            if lost:
                counts[table.name] = dict(sorted(lost.items()))
    return counts


def _with_organization(table: sa.Table) -> tuple[sa.FromClause, sa.ColumnElement[int]]:
    """A table, joined if need be with that which tells a row's organization, and the column that does."""
    if "organization_id" in table.c:
        return table, table.c.organization_id
    for key in table.foreign_keys:
        if "organization_id" in key.column.table.c:
            return table.join(key.column.table, key.parent == key.column), key.column.table.c.organization_id
    return table, sa.literal(None, sa.Integer)
