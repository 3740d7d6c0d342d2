"""What a database says of a table, where SQLAlchemy does not tell it exactly."""

from __future__ import annotations

import re
from typing import Any, ClassVar

import sqlalchemy
from sqlalchemy.sql import quoted_name
from sqlalchemy.types import NullType, TypeEngine, UserDefinedType


class NamedType(UserDefinedType[Any]):
    """A type of which SQLAlchemy knows nothing; a subclass has the database's name of it.

    Attributes:
        name: the database's name of the type.
        binary: whether its values are bytes; they are text otherwise.
    """

    name: ClassVar[str] = "named"
    binary: ClassVar[bool] = False
    cache_ok = True

    def __init__(self, *arguments: Any) -> None:
        self.arguments = arguments

    def get_col_spec(self, **_: Any) -> str:
        return self.name + (f"({', '.join(map(str, self.arguments))})" if self.arguments else "")


_TEXTS = {
    "postgresql": (
        "point line lseg box path polygon circle xml jsonpath xid xid8 cid tid pg_lsn pg_snapshot txid_snapshot "
        "int2vector oidvector aclitem refcursor regcollation regdictionary regnamespace regoper regoperator regproc "
        "regprocedure regrole regtype cube ltree lquery ltxtquery isbn isbn13 issn ean13"
    ),
    "mysql": "inet4 inet6",
}

_BINARIES = {
    "mysql": (
        "geometry point linestring polygon multipoint multilinestring multipolygon geometrycollection geomcollection"
    ),
}


def know_types(engine: sqlalchemy.Engine) -> None:
    """Let an engine's reflection know the types of its database that SQLAlchemy would warn of."""
    dialect: Any = engine.dialect
    family = "mysql" if dialect.name == "mariadb" else dialect.name
    named = {
        name: type(name, (NamedType,), {"name": name, "binary": binary, "cache_ok": True})
        for binary, names in ((False, _TEXTS), (True, _BINARIES))
        for name in names.get(family, "").split()
    }
    dialect.ischema_names = {**named, **dialect.ischema_names}


def reflected(
    engine: sqlalchemy.Engine, name: str, additions: tuple[Any, ...], options: dict[str, Any]
) -> tuple[sqlalchemy.Table, dict[str, TypeEngine[Any]]]:
    """Return a table as the database describes it, and its types of the columns to which the user gives others.

    Args:
        engine: the database's engine.
        name: the table's name.
        additions: columns, of which the types replace those of the database, and constraints.
        options: options of SQLAlchemy's `Table`.
    """
    columns = [addition for addition in additions if isinstance(addition, sqlalchemy.Column)]
    others = [addition for addition in additions if not isinstance(addition, sqlalchemy.Column)]
    options = {"autoload_with": engine, **options}
    table = sqlalchemy.Table(quoted_name(name, quote=True), sqlalchemy.MetaData(), *others, **options)
    if engine.dialect.name == "sqlite":
        _as_declared(engine, table)
    stored = {}
    for column in columns:
        described = table.columns.get(column.name)
        if described is None:
            table.append_column(column)  # one that is not listed, such as PostgreSQL's ctid
        else:
            stored[column.name], described.type = described.type, column.type
    return table, stored


# The names of https://www.sqlite.org/datatype3.html and what begins or ends with them, such as UNSIGNED BIG INT.
_SQLITE_INTEGER = re.compile(r"\b(TINY|SMALL|MEDIUM|BIG)?INT(EGER)?\d*\b")
_SQLITE_NUMBER = re.compile(r"\b(NUMERIC|DECIMAL|DEC|NUMBER)\b")


def _as_declared(engine: sqlalchemy.Engine, table: sqlalchemy.Table) -> None:
    """Correct what SQLAlchemy concludes from SQLite's affinities.

    A type of any name has one: POINT contains INT, and STRING has that of numbers. What is stored is not of it.
    """
    arguments = sqlalchemy.func.pragma_table_xinfo(str(table.name), *([table.schema] if table.schema else []))
    declared = arguments.table_valued("name", "type", "pk")
    with engine.connect() as connection:
        described = connection.execute(sqlalchemy.select(declared.c.name, declared.c.type, declared.c.pk)).all()
    keys = [name for name, _, key in described if key]
    for name, type_name, key in described:
        column = table.columns.get(name)
        if column is None:
            continue
        upper = str(type_name).upper()
        known = not isinstance(column.type, (sqlalchemy.Integer, sqlalchemy.Numeric, sqlalchemy.Float))
        integer = isinstance(column.type, sqlalchemy.Integer)
        real = isinstance(column.type, sqlalchemy.Float) or any(word in upper for word in ("REAL", "FLOA", "DOUB"))
        if not (known or (_SQLITE_INTEGER.search(upper) if integer else real or _SQLITE_NUMBER.search(upper))):
            column.type = NullType()
        if key and len(keys) == 1 and upper == "INTEGER":
            column.nullable = False  # it is the rowid; the other primary keys of SQLite may be NULL
