"""Rows for each table that there is, by what its columns take: what is hard to copy exactly."""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa

ROWS = 3
"""Rows of each table; where a column may be empty, it is in the second."""

TEXT = "\u00fc\u0308 \U0001f9ea\u200f 'quoted' \"%s\" \\ \ue000 "
"""What a text begins with: combining, astral, right to left, and what SQL and drivers give a meaning."""

JSON = ['{"b": 1.0, "a": [null, "\\ud83e\\uddea"], "a": 1e400}', "null", "[]"]
"""As the database may have them, for the rows in turn: keys twice and in no order, numbers beyond any float, null."""

_numbers = itertools.count(1)


def fill(connection: sa.Connection, tables: Iterable[sa.Table]) -> None:
    """Add rows to all tables; where a table refers to itself, each row to one that comes later.

    Args:
        connection: in a transaction, in which references are not looked at.
        tables: those that others refer to first.
    """
    values: dict[str, list[Any]] = {}
    for table in tables:
        added = [_row(table, n, values) for n in range(ROWS)]
        for column in table.columns:
            values[f"{table.name}.{column.name}"] = [row[column.name] for row in added]
        for row, later in itertools.zip_longest(added, added[1:]):
            for key in table.foreign_keys:
                if key.column.table is table:
                    row[key.parent.name] = None if later is None else later[key.column.name]
        for row in added:
            names = ", ".join(f'"{name}"' for name in row)
            marks = ", ".join("?" for _ in row)
            connection.exec_driver_sql(f'INSERT INTO "{table.name}" ({names}) VALUES ({marks})', tuple(row.values()))


def _row(table: sa.Table, n: int, values: dict[str, list[Any]]) -> dict[str, Any]:
    row = {}
    for column in table.columns:
        # A plugin's refers to organizations by its migration alone.
        implied = "organizations.id" if column.name == "organization_id" else None
        reference = next((key.target_fullname for key in column.foreign_keys), implied)
        if column.nullable and n == 1:
            row[column.name] = None
        elif reference in values:
            row[column.name] = values[reference][n]
        else:
            row[column.name] = _value(column, n)
    return row


def _value(column: sa.Column[Any], n: int) -> Any:
    """A value as SQLite keeps it, another one each time but where there are few."""
    number = next(_numbers)
    type_ = column.type.impl_instance if isinstance(column.type, sa.TypeDecorator) else column.type
    if isinstance(type_, sa.JSON):
        # What the code keeps as NULL it never keeps as null.
        return JSON[n] if column.nullable or JSON[n] != "null" else JSON[0]
    if type(column.type).__name__ in ("Whole", "Exact"):
        return f"{10**27 + number}"
    if isinstance(type_, sa.String):
        text = f"{number} {TEXT}"
        return text[: type_.length] if type_.length else text
    if isinstance(type_, sa.LargeBinary):
        return number.to_bytes(16, "big") if type(column.type).__name__ == "UidBytes" else b"\0\xff%18d" % number
    if isinstance(type_, sa.DateTime):
        return f"{2000 + n}-02-29 23:59:59.{number:06d}" if n % 4 == 0 else f"1969-12-31 00:00:00.{number:06d}"
    if isinstance(type_, sa.Date):
        return f"{(dt.date(1900, 1, 1) + dt.timedelta(number)):%Y-%m-%d}"
    if isinstance(type_, sa.Boolean):
        return n % 2
    if isinstance(type_, sa.Float):
        return number + 0.1 + 0.2
    if isinstance(type_, sa.BigInteger):
        return 2**62 + number
    assert isinstance(type_, sa.Integer), f"say here what {column} may hold, and see that it is moved exactly"
    return 2**31 - 1 - number
