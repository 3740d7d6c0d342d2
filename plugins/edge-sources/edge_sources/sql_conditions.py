"""Conditions of rows: what `where={column: values}` means in SQL."""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import ipaddress
import json
import math
import uuid
from collections.abc import Iterable, Mapping
from typing import Any

import numpy
import pandas
import sqlalchemy
from sqlalchemy.dialects import mysql, postgresql
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import NullType

from edge_core.errors import BadEntry
from edge_sources.sql_frames import BINARY, INTERVALS, is_shown_as_text, is_single, text_of, without_domain
from edge_sources.sql_reflection import NamedType

_MANY = 1000
"""Number of values from which on they are bound as one, since databases limit the values of a query."""

_SINGLE = (str, bytes, bytearray, memoryview, Mapping, ipaddress.IPv4Network, ipaddress.IPv6Network)
"""What can be iterated over, and is a value."""


_TIMES = (sqlalchemy.DateTime, sqlalchemy.Date, sqlalchemy.Time)

_NUMBERS = (sqlalchemy.Integer, sqlalchemy.Numeric, sqlalchemy.Float, mysql.YEAR, mysql.BIT, postgresql.OID)


def condition(column: Any, value: Any, dialect: str, stored: Any = None) -> Any:
    """Return the condition that a column has a value, or one of several.

    Args:
        column: the column.
        value: a value, or any iterable of values: a list, set, range, array or Series. None, NaN, NaT and
            `pandas.NA` are NULL; NaN is PostgreSQL's NaN as well.
        dialect: SQLAlchemy's name of the database.
        stored: the database's type of a column to which the user gives another; None for the others.

    Raises:
        BadEntry: the column cannot be compared with a value.
    """
    if isinstance(value, sqlalchemy.ClauseElement):
        return column.in_(value) if isinstance(value, sqlalchemy.SelectBase) else column == value
    if isinstance(value, range) and len(value) > _MANY and isinstance(column.type, sqlalchemy.Integer):
        low, high = sorted((value[0], value[-1]))
        within = column.between(low, high)
        return within if abs(value.step) == 1 else within & ((column - low) % abs(value.step) == 0)
    bound = _Bound(column, dialect, stored)
    if isinstance(value, _SINGLE) or not isinstance(value, Iterable) or getattr(value, "ndim", 1) == 0:
        return bound.any_of([value])
    if getattr(value, "ndim", 1) != 1:
        raise BadEntry(f"where: the values of {column.name!r} must be a list or a Series, not a table")
    members = list(value)
    if isinstance(column.type, sqlalchemy.ARRAY) and members and not any(isinstance(m, (list, tuple)) for m in members):
        members = [members]
    return bound.any_of(members)


class _Bound:
    """Binds values to a column, in the form that its database compares."""

    def __init__(self, column: Any, dialect: str, stored: Any) -> None:
        self._column = column
        self._dialect = dialect
        self._family = "mysql" if dialect == "mariadb" else dialect
        self._type = kind = without_domain(column.type)
        self._as_text = dialect == "postgresql" and is_shown_as_text(kind)
        # PostgreSQL compares no values of some types, and the areas of others.
        incomparable = isinstance(kind, (NamedType, NullType, sqlalchemy.JSON)) and not isinstance(kind, JSONB)
        shown = stored is not None and isinstance(kind, sqlalchemy.String) and not isinstance(stored, sqlalchemy.String)
        if shown or (dialect == "postgresql" and stored is None and incomparable):
            self._column = sqlalchemy.type_coerce(text_of(column, dialect), sqlalchemy.Text()).label(column.name)
            self._type, self._as_text = sqlalchemy.Text(), False

    def any_of(self, values: list[Any]) -> Any:
        plain = [_plain(self._column, value) for value in values]
        null = any(value is None for value in plain)
        nan = any(_is_nan(value) for value in plain)
        forms = [form for value in plain if value is not None and not _is_nan(value) for form in self._forms(value)]
        conditions = []
        if forms or not (null or nan):
            conditions.append(self._in(list(dict.fromkeys(forms)) if _hashable(forms) else forms))
        if null or nan:
            conditions.append(sqlalchemy.type_coerce(self._column, NullType()).is_(None))
        if nan and self._dialect == "postgresql" and isinstance(self._type, (sqlalchemy.Numeric, sqlalchemy.Float)):
            exact = isinstance(self._type, sqlalchemy.Numeric) and not isinstance(self._type, sqlalchemy.Float)
            conditions.append(self._column == (decimal.Decimal("nan") if exact else math.nan))
        return sqlalchemy.or_(*conditions)

    def _in(self, forms: list[Any]) -> Any:
        column = self._compared()
        if self._as_text and all(isinstance(form, str) for form in forms):
            column = sqlalchemy.type_coerce(column, NullType())  # SQLAlchemy compares few of them
            texts = sqlalchemy.literal(forms, sqlalchemy.ARRAY(sqlalchemy.Text))
            return column == sqlalchemy.any_(sqlalchemy.cast(texts, sqlalchemy.ARRAY(self._type)))
        if len(forms) == 1:
            return column == forms[0]
        if len(forms) <= _MANY:
            return column.in_(forms)
        if self._dialect == "postgresql" and not isinstance(column.type, sqlalchemy.ARRAY):
            return column == sqlalchemy.any_(sqlalchemy.literal(forms, sqlalchemy.ARRAY(column.type)))
        if self._dialect == "sqlite" and all(isinstance(form, (int, str)) for form in forms):
            each = sqlalchemy.func.json_each(json.dumps(forms)).table_valued("value")
            return column.in_(sqlalchemy.select(each.c.value))
        return column.in_(forms)

    def _compared(self) -> Any:
        """Return the column in the type of which the values are bound."""
        if self._dialect == "sqlite":
            if isinstance(self._type, _TIMES):
                return sqlalchemy.type_coerce(self._column, sqlalchemy.String())
            if isinstance(self._type, sqlalchemy.Boolean):
                return sqlalchemy.func.lower(sqlalchemy.type_coerce(self._column, sqlalchemy.String()))
        if self._family == "mysql":
            if isinstance(self._type, (mysql.BIT, mysql.YEAR)):
                return sqlalchemy.type_coerce(self._column, sqlalchemy.BigInteger())
            if isinstance(self._type, sqlalchemy.Enum) and self._type.enum_class is not None:
                return self._column
            if isinstance(self._type, (sqlalchemy.Uuid, sqlalchemy.Enum, mysql.SET, sqlalchemy.Time)):
                return sqlalchemy.type_coerce(self._column, sqlalchemy.String())
            if is_single(self._type):
                return self._column + sqlalchemy.literal_column("0e0")
        if self._dialect == "postgresql" and is_single(self._type):
            return sqlalchemy.type_coerce(self._column, sqlalchemy.Double())  # FLOAT, as SQLAlchemy has it, is one
        if self._dialect == "postgresql" and isinstance(self._type, (sqlalchemy.Integer, postgresql.OID)):
            return sqlalchemy.type_coerce(self._column, sqlalchemy.BigInteger())  # else 2**40 would be an error
        return self._column

    def _forms(self, value: Any) -> list[Any]:
        """Return what the database may have for a value; nothing, if no column of this type can have it."""
        kind = self._type
        if isinstance(value, sqlalchemy.ClauseElement):
            return [value]
        self._check(value)
        number = isinstance(value, (int, float, decimal.Decimal))
        if isinstance(kind, _NUMBERS) and isinstance(value, bool):
            value = int(value)
        if isinstance(kind, (sqlalchemy.Integer, mysql.YEAR, mysql.BIT, postgresql.OID)) and number:
            whole = int(value) if math.isfinite(value) else None
            limit = 2**64 if self._family == "mysql" else 2**63
            return [whole] if whole is not None and whole == value and -limit <= whole < limit else []
        if isinstance(kind, sqlalchemy.Boolean) and number:
            if value not in (0, 1):
                return []
            return [str(int(value)), str(bool(value)).lower()] if self._dialect == "sqlite" else [bool(value)]
        if isinstance(value, (dt.datetime, dt.date, dt.time)):
            return self._times(value)
        if isinstance(value, dt.timedelta) and self._family == "mysql":
            return [_clock(value)]
        if isinstance(value, uuid.UUID) and (self._family == "mysql" or isinstance(kind, sqlalchemy.String)):
            return [str(value)]
        if isinstance(value, decimal.Decimal) and self._dialect == "sqlite":
            return [int(value) if value == value.to_integral_value() else float(value)]
        if isinstance(value, float) and self._family == "mysql" and not math.isfinite(value):
            return []
        if isinstance(value, float) and self._dialect == "postgresql" and isinstance(kind, sqlalchemy.Numeric):
            # As floats, PostgreSQL fails on numbers that no float can have.
            return [value if isinstance(kind, sqlalchemy.Float) else decimal.Decimal(repr(value))]
        if isinstance(value, (int, float)) and self._family in ("mysql", "postgresql") and is_single(kind):
            return [float(numpy.float32(value))]
        return [value]

    def _check(self, value: Any) -> None:
        """Refuse a value that no column of this type can have; databases would fail, or find nothing, or too much."""
        kind = self._type
        if isinstance(kind, sqlalchemy.Enum) and isinstance(value, enum.Enum):
            return  # of a class of the user's own
        number = isinstance(value, (int, float, decimal.Decimal))
        content, advice = "", ""
        # To MySQL, a text that is no number equals 0.
        if isinstance(kind, _NUMBERS) and not number:
            content, advice = "numbers", "a number"
        elif isinstance(kind, sqlalchemy.Boolean) and not number:
            content, advice = "booleans", "True or False"
        elif isinstance(kind, (sqlalchemy.String, sqlalchemy.Uuid)) and not isinstance(value, (str, uuid.UUID)):
            content, advice = "texts", f"a str, as in {str(value)!r}" if number else "a str"
        elif self._as_text and not isinstance(kind, JSONB) and number:
            content, advice = f"values of the type {kind}", "a str, as the database shows them"
        elif isinstance(kind, sqlalchemy.DateTime) and not isinstance(value, dt.date):
            content, advice = "times", "a datetime.datetime, as in datetime.datetime(2024, 1, 31, 12, 0)"
        elif isinstance(kind, sqlalchemy.Date) and not isinstance(value, dt.date):
            content, advice = "dates", "a datetime.date, as in datetime.date(2024, 1, 31)"
        elif isinstance(kind, sqlalchemy.Time) and not self._as_text and not isinstance(value, (dt.time, dt.timedelta)):
            length = self._family == "mysql"
            content = "times of day"
            advice = "a datetime.timedelta, as in datetime.timedelta(hours=12)" if length else "a datetime.time"
        elif isinstance(kind, INTERVALS) and not self._as_text and not isinstance(value, dt.timedelta):
            content, advice = "lengths of time", "a datetime.timedelta"
        elif isinstance(kind, BINARY) and not self._as_text and not isinstance(value, (bytes, bytearray, memoryview)):
            content, advice = "bytes", "bytes"
        if content:
            raise BadEntry(
                f"where: the column {self._column.name!r} has {content}, and {value!r} is none of them; give {advice}"
            )

    def _times(self, value: dt.datetime | dt.date | dt.time) -> list[Any]:
        kind, name = self._type, self._column.name
        if isinstance(kind, sqlalchemy.DateTime):
            zoned = isinstance(value, dt.datetime) and value.tzinfo is not None
            if zoned and not kind.timezone:
                raise BadEntry(f"where: {value} has a time zone, and the column {name!r} has none; leave it out")
            if kind.timezone and not zoned and self._dialect == "postgresql":
                raise BadEntry(f"where: {value} has no time zone, and the column {name!r} has one; give one to it")
        elif isinstance(kind, sqlalchemy.Date) and isinstance(value, dt.datetime):
            if value.tzinfo is not None or value.time() != dt.time():
                raise BadEntry(f"where: the column {name!r} has dates, and {value} is not one; give its date()")
            value = value.date()
        if self._dialect == "sqlite" and isinstance(kind, _TIMES):
            return _sqlite_texts(value)
        return [value]


def _hashable(values: list[Any]) -> bool:
    return all(isinstance(value, (int, str, bytes, dt.date)) for value in values)


def _is_nan(value: Any) -> bool:
    return isinstance(value, (float, decimal.Decimal)) and math.isnan(value)


def _plain(column: Any, value: Any) -> Any:
    """Return a value of pandas or numpy as one of Python."""
    if value is None or value is pandas.NA or value is pandas.NaT:
        return None
    if isinstance(value, numpy.ndarray):
        value = value[()]
    if isinstance(value, numpy.datetime64):
        value = pandas.Timestamp(value)
    elif isinstance(value, numpy.timedelta64):
        value = pandas.Timedelta(value)
    elif isinstance(value, numpy.generic):
        return value.item()
    if value is pandas.NaT:
        return None
    if isinstance(value, (pandas.Timestamp, pandas.Timedelta)):
        precise: Any = value
        nanoseconds = precise.nanosecond if isinstance(value, pandas.Timestamp) else precise.nanoseconds
        if nanoseconds:
            raise BadEntry(
                f"where: {value} has nanoseconds, and databases have microseconds; round the values of {column.name!r}"
            )
        return value.to_pydatetime() if isinstance(value, pandas.Timestamp) else value.to_pytimedelta()
    return value


def _clock(length: dt.timedelta) -> str:
    """Return a duration as MariaDB writes it; PyMySQL writes some negative ones wrongly."""
    seconds, microseconds = divmod(abs(length) // dt.timedelta(microseconds=1), 1_000_000)
    minutes, seconds = divmod(seconds, 60)
    sign = "-" if length < dt.timedelta() else ""
    return f"{sign}{minutes // 60:02}:{minutes % 60:02}:{seconds:02}.{microseconds:06}"


def _sqlite_texts(value: dt.datetime | dt.date | dt.time) -> list[str]:
    """Return the texts that SQLite's functions take for a time, as it compares texts."""
    if isinstance(value, dt.time):
        return _fractions(value.strftime("%H:%M:%S"), value)
    day = value.isoformat()[:10]
    if not isinstance(value, dt.datetime):
        value = dt.datetime(value.year, value.month, value.day)
    times = _fractions(value.strftime("%H:%M:%S"), value)
    texts = [f"{day}{between}{time}" for between in " T" for time in times]
    return [day, *texts] if value.time() == dt.time() else texts


def _fractions(clock: str, value: dt.datetime | dt.time) -> list[str]:
    digits = f"{value.microsecond:06}"
    fewest = len(digits.rstrip("0"))
    texts = [f"{clock}.{digits[:length]}" if length else clock for length in range(fewest, 7)]
    return [clock.removesuffix(":00"), *texts] if not value.microsecond and clock.endswith(":00") else texts
