"""What goes with an organization or a user: what the foreign keys say of it, by `ondelete`.

``CASCADE``: the row goes with it. ``SET NULL``: the row stays and only mentions it. ``RESTRICT``: the
row stays and refers to it for ever; that is for users, whose rows are emptied and never deleted.

It is read from the database itself, so that a table needs nothing but its foreign key, whether it is
the server's or one of a plugin, and also while that plugin is not installed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import sqlalchemy as sa

OWNERS = ("organizations", "users")
"""The tables of what rows belong to."""


def tables_of(database: sa.Engine | sa.Connection) -> sa.MetaData:
    """The tables that are in the database, those of plugins among them."""
    tables = sa.MetaData()
    tables.reflect(database)
    if database.dialect.name == "sqlite":
        _read_rules(tables, database)
    return tables


def _read_rules(tables: sa.MetaData, database: sa.Engine | sa.Connection) -> None:
    """Set the rules that SQLAlchemy does not read: those of references that are declared with their column."""
    with contextlib.ExitStack() as stack:
        connection = database if isinstance(database, sa.Connection) else stack.enter_context(database.connect())
        for table in tables.sorted_tables:
            keys = sa.func.pragma_foreign_key_list(table.name).table_valued("from", "table", "on_delete")
            rules = {(column, owner): rule for column, owner, rule in connection.execute(sa.select(keys))}
            for key in table.foreign_keys:
                rule = rules[key.parent.name, key.column.table.name]
                key.ondelete = None if rule == "NO ACTION" else rule


def references(tables: sa.MetaData, owner: str, ondelete: str) -> Iterator[sa.ForeignKey]:
    """The foreign keys to the table `owner` that say `ondelete`."""
    for table in tables.sorted_tables:
        for key in table.foreign_keys:
            if key.column.table.name == owner and key.ondelete == ondelete:
                yield key


def undecided(tables: sa.MetaData) -> list[sa.ForeignKey]:
    """The foreign keys to organizations and users that do not say what becomes of their rows, by table and column.

    ``RESTRICT`` says nothing where it refers to an organization, whose row is deleted in the end.
    """
    keys = []
    for table in tables.sorted_tables:
        for key in table.foreign_keys:
            owner = key.column.table.name
            allowed = {"CASCADE", "SET NULL"} | ({"RESTRICT"} if owner == "users" else set())
            if owner in OWNERS and key.ondelete not in allowed:
                keys.append(key)
    return sorted(keys, key=lambda key: (key.parent.table.name, key.parent.name))


def owned_by(table: sa.Table, owner: str, owner_id: int) -> sa.ColumnElement[bool] | None:
    """The condition on a table's rows to go with a row of the table `owner`; None if none of them ever does.

    A row does if its foreign key cascades from there, or else if it refers to a row that does, unless
    that reference is set to null.
    """
    direct, indirect = [], []
    for key in table.foreign_keys:
        target = key.column.table
        if target is table or key.ondelete == "SET NULL":
            continue
        if target.name == owner:
            if key.ondelete == "CASCADE":
                direct.append(key.parent == owner_id)
        else:
            above = owned_by(target, owner, owner_id)
            if above is not None:
                indirect.append(key.parent.in_(sa.select(key.column).where(above)))
    conditions = direct or indirect
    return sa.or_(*conditions) if conditions else None
