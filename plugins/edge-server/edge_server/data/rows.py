"""Copying the rows of a SQLite file into another database, and comparing those of two databases.

Each table is walked in the same way, by what SQLAlchemy's metadata says of it, so that a new one is not forgotten. The
values that both databases keep as text, bytes or numbers are copied as they are kept, not as the code sees them.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import decimal
import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa

from edge_server.data.declarative import UtcDateTime

SLICE_ROWS = 1000
"""Rows that one transaction copies at most."""

SLICE_BYTES = 4 << 20
"""Bytes of texts and of content after which a slice ends before that."""

_INTEGERS = ((sa.SmallInteger, 16), (sa.BigInteger, 64), (sa.Integer, 32))
"""The bits of PostgreSQL's integers."""

Row = tuple[Any, ...]


class Unfit(NamedTuple):
    """A value that PostgreSQL refuses, which SQLite has taken.

    Attributes:
        table: the table.
        key: what is in the columns of its primary key, or the number that SQLite gives the row.
        column: the column's name.
        what: what is wrong with the value.
    """

    table: sa.Table
    key: Row
    column: str
    what: str


@dataclasses.dataclass(frozen=True)
class Sum:
    """What rows are, in whatever order they come.

    Attributes:
        rows: how many.
        digest: of all of them.
    """

    rows: int
    digest: int


def tables_of(metadatas: Iterable[sa.MetaData]) -> list[sa.Table]:
    """All tables, those first that others refer to."""
    return [table for metadata in metadatas for table in metadata.sorted_tables]


def unfit(connection: sa.Connection, table: sa.Table, most: int) -> list[Unfit]:
    """The values of a table in a SQLite file that PostgreSQL refuses.

    Args:
        connection: to the file.
        table: the table.
        most: how many are given at most.
    """
    wrong: list[Unfit] = []
    for column in table.columns:
        for condition, what in _refused(column):
            rows = sa.select(*_key(table)).where(column.is_not(None), condition).limit(most - len(wrong))
            wrong += [Unfit(table, tuple(row), column.name, what) for row in connection.execute(rows)]
    return wrong


def slices(connection: sa.Connection, table: sa.Table, after: int) -> Iterator[list[Row]]:
    """The rows of a table in a SQLite file that nobody changes, a few at a time.

    Args:
        connection: to the file.
        table: the table.
        after: how many rows are passed over.
    """
    ordered = sa.select(*_columns(table, connection)).order_by(*_key(table)).offset(after)
    rows: list[Row] = []
    size = 0
    for row in connection.execute(ordered, execution_options={"yield_per": SLICE_ROWS}):
        rows.append(tuple(row))
        size += size_of(row)
        if len(rows) == SLICE_ROWS or size >= SLICE_BYTES:
            yield rows
            rows, size = [], 0
    if rows:
        yield rows


def size_of(row: Iterable[Any]) -> int:
    """About how many bytes a row has."""
    return sum(len(value) if isinstance(value, str | bytes) else 8 for value in row)


def insert(connection: sa.Connection, table: sa.Table, rows: Sequence[Row]) -> None:
    """Add rows as `slices` gives them."""
    names = [f"c{n}" for n in range(len(table.columns))]  # a column may be called as SQL's words are
    values = {
        column: _as_kept(sa.bindparam(name, type_=_carrier(column)), column, connection)
        for name, column in zip(names, table.columns, strict=True)
    }
    connection.execute(sa.insert(table).values(values), [dict(zip(names, row, strict=True)) for row in rows])


def sum_of(connection: sa.Connection, table: sa.Table, *conditions: sa.ColumnElement[bool]) -> Sum:
    """What the rows of a table are, so that it can be compared with that of another database.

    Args:
        connection: to the database.
        table: the table.
        conditions: of the rows that count.
    """
    canonical = [_canonical_json if _is_json(column) else _canonical for column in table.columns]
    rows = digest = 0
    query = sa.select(*_columns(table, connection)).where(*conditions)
    for row in connection.execute(query, execution_options={"yield_per": SLICE_ROWS}):
        values = repr([make(value) for make, value in zip(canonical, row, strict=True)])
        # A sum, since databases have orders of text of their own.
        digest += int.from_bytes(hashlib.sha256(values.encode("utf-8", "surrogatepass")).digest(), "big")
        rows += 1
    return Sum(rows, digest % (1 << 256))


def _key(table: sa.Table) -> list[sa.ColumnElement[Any]]:
    columns: list[sa.ColumnElement[Any]] = list(table.primary_key.columns)
    return columns or [sa.literal_column("rowid")]


def _columns(table: sa.Table, connection: sa.Connection) -> list[sa.ColumnElement[Any]]:
    return [_read(column, connection).label(f"c{n}") for n, column in enumerate(table.columns)]


def _read(column: sa.Column[Any], connection: sa.Connection) -> sa.ColumnElement[Any]:
    """A column as it is kept; JSON as its text, in which NULL and ``null`` are two things."""
    if _is_json(column) and connection.dialect.name != "sqlite":
        return sa.cast(column, sa.Text)
    return sa.type_coerce(column, _carrier(column))


def _as_kept(value: sa.BindParameter[Any], column: sa.Column[Any], connection: sa.Connection) -> Any:
    if _is_json(column) and connection.dialect.name != "sqlite":
        return sa.cast(value, column.type)
    return value


def _carrier(column: sa.Column[Any]) -> sa.types.TypeEngine[Any]:
    """The type by which a column's values are read and written."""
    kept = _kept(column)
    if isinstance(kept, sa.JSON):
        return sa.Text()
    if isinstance(kept, sa.DateTime) and kept.timezone:
        return UtcDateTime()  # SQLite keeps no zone, and PostgreSQL would take it for that of the session
    # What the code makes of these is not always what it makes them of.
    return kept if isinstance(kept, sa.String | sa.LargeBinary | sa.Integer) else column.type


def _kept(column: sa.Column[Any]) -> sa.types.TypeEngine[Any]:
    """The type as databases know it."""
    return column.type.impl_instance if isinstance(column.type, sa.TypeDecorator) else column.type


def _is_json(column: sa.Column[Any]) -> bool:
    return isinstance(_kept(column), sa.JSON)


def _refused(column: sa.Column[Any]) -> Iterator[tuple[sa.ColumnElement[bool], str]]:
    """What tells the values of a column that PostgreSQL refuses, and a few words on each."""
    kept = _kept(column)
    if isinstance(kept, sa.String | sa.JSON):
        text = sa.type_coerce(column, sa.Text())
        holds_nul = sa.func.instr(sa.cast(text, sa.LargeBinary), sa.literal(b"\0", sa.LargeBinary)) > 0
        yield holds_nul, "holds a NUL character"
        if isinstance(kept, sa.JSON):
            yield sa.func.json_valid(text) == 0, "holds what is no JSON"
        elif kept.length is not None:
            yield sa.func.length(text) > kept.length, f"has more than {kept.length} characters"
    for kind, bits in _INTEGERS:
        if isinstance(kept, kind):
            most = 1 << (bits - 1)
            number = sa.type_coerce(column, sa.BigInteger())
            if bits < 64:
                yield sa.or_(number < -most, number >= most), f"has more than {bits} bits"
            yield sa.func.typeof(column) != "integer", "is no whole number"
            return


def _canonical(value: Any) -> Any:
    """A value as it is written in each database."""
    if isinstance(value, dt.datetime) and value.tzinfo is not None:
        return value.astimezone(dt.UTC).replace(tzinfo=None)
    if isinstance(value, decimal.Decimal):
        return value.normalize()
    return bytes(value) if isinstance(value, memoryview) else value


def _canonical_json(value: str | None) -> str | None:
    return None if value is None else json.dumps(json.loads(value), sort_keys=True)
