"""PostgreSQL's values as the text that it shows, where psycopg's objects would lose some or fail on them."""

from __future__ import annotations

from typing import Any

import sqlalchemy
from psycopg.types.string import TextLoader
from sqlalchemy import event

_EXACT = {"bool", "int2", "int4", "int8", "oid", "float4", "float8", "numeric", "bytea"}
"""Types whose objects are exact. Texts of all others parse as quickly."""

_STYLES = (("DateStyle", "ISO", "ISO, YMD"), ("IntervalStyle", "postgres", "postgres"))
"""Settings of a session: name, how ours begins, ours."""


def show_as_text(connection: sqlalchemy.Connection) -> None:
    """Let the queries of a connection return texts for all types but numbers, booleans and bytes."""
    session: Any = connection.connection.dbapi_connection
    for setting, begins, ours in _STYLES:
        if not session.info.parameter_status(setting).startswith(begins):
            connection.exec_driver_sql(f"SET LOCAL {setting} = '{ours}'")  # ends with our transaction
    event.listen(connection, "before_cursor_execute", _use_texts)


def _use_texts(_connection: object, cursor: Any, *_: object) -> None:
    for known in cursor.adapters.types:
        if known.name not in _EXACT:
            cursor.adapters.register_loader(known.oid, TextLoader)
