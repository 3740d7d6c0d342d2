"""What a key file has sealed in a database and the one that is there cannot open."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import sqlalchemy as sa

from edge_server.data import ownership
from edge_server.data.database import Database
from edge_server.identity.models import Organization, User
from edge_server.keys.sealed_column import SealedColumn
from edge_server.keys.sealing import FORMAT, HEADER_BYTES, key_id

Closed = dict[str, dict[str, list[str]]]
"""What cannot be opened: names by table and short name of the organization; "" where that is not known."""

_NAMES = ("name", "domain", "client_id")
"""Columns that tell people which row it is, the registry's of its credentials; a plugin's table may have none."""


def closed(database: Database, columns: Sequence[SealedColumn], keys: Collection[bytes]) -> Closed:
    """What other keys have sealed.

    Args:
        database: may be at an older revision than the code.
        columns: where sealed content is.
        keys: the ids of those in the key file. What another keeper has sealed needs none.
    """
    tables = ownership.tables_of(database.engine).tables
    lost: Closed = {}
    with database.engine.connect() as connection:
        organizations, users = tables[Organization.__tablename__].c, tables[User.__tablename__].c
        names = {row.id: row.name for row in connection.execute(sa.select(organizations.id, organizations.name))}
        for sealed in columns:
            table = tables.get(sealed.column.class_.__table__.name)
            if table is None or sealed.column.key not in table.c:
                continue
            column = table.c[sealed.column.key]
            source, organization = _with_organization(table)
            row = sa.literal("row ") + sa.cast(table.c.id, sa.String)
            name = next((table.c[each] for each in _NAMES if each in table.c), row)
            user: sa.ColumnElement[Any] = sa.null()
            if "user_id" in table.c:
                source = source.outerjoin(tables[User.__tablename__], users.id == table.c.user_id)
                user = users.user_name
            head = sa.func.substr(column, 1, HEADER_BYTES)
            rows = sa.select(head, organization, name, user).select_from(source).where(column.is_not(None))
            for blob, number, own, user_name in connection.execute(rows.order_by(name)):
                if blob.startswith(FORMAT) and key_id(blob) not in keys:
                    whose = lost.setdefault(table.name, {}).setdefault(names.get(number, ""), [])
                    whose.append(own if user_name is None else f"{own} of {user_name}")
    return lost


def _with_organization(table: sa.Table) -> tuple[sa.FromClause, sa.ColumnElement[int]]:
    """A table, joined if need be with that which tells a row's organization, and the column that does."""
    if "organization_id" in table.c:
        return table, table.c.organization_id
    for key in table.foreign_keys:
        if "organization_id" in key.column.table.c:
            return table.join(key.column.table, key.parent == key.column), key.column.table.c.organization_id
    return table, sa.literal(None, sa.Integer)
