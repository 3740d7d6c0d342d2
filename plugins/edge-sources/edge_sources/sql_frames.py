"""What a DataFrame gets of each SQL type: the schema decides alone, never the values, so that all chunks agree."""

from __future__ import annotations

import datetime as dt
import decimal
import functools
import operator
import re
import uuid
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy
import pandas
import pyarrow
import sqlalchemy
from pandas.api.types import infer_dtype
from sqlalchemy.dialects import mysql, postgresql
from sqlalchemy.types import NullType, TypeEngine

from edge_sources.connection import SourceError
from edge_sources.sql_reflection import NamedType
from edge_vfs.openers.opener import warn

Inexact: TypeAlias = Callable[[str, Sequence[Any]], None]
"""Counts values of a column that a frame cannot hold, by what became of them."""

Convert: TypeAlias = Callable[[Any, Inexact], Any]
"""Makes an array of a dtype from a numpy array of the driver's objects."""

BINARY = (
    sqlalchemy.LargeBinary,
    sqlalchemy.BINARY,
    sqlalchemy.VARBINARY,
    mysql.TINYBLOB,
    mysql.MEDIUMBLOB,
    mysql.LONGBLOB,
)
INTERVALS = (sqlalchemy.Interval, postgresql.INTERVAL)
_TEXT = (sqlalchemy.String, sqlalchemy.Uuid)

MISSING = "that pandas cannot hold are missing"
ROUNDED = "are rounded to float64"


class Reader(NamedTuple):
    """How a column is read.

    Attributes:
        name: the column's name.
        type_name: its type, for errors.
        expression: what the query selects for it.
        convert: makes the frame's array of what the driver returns.
        native: whether `convert` needs the objects of the driver's own choice.
    """

    name: str
    type_name: str
    expression: Any
    convert: Convert
    native: bool = False


class Unfit(Exception):
    """A value is not of its column's type."""

    def __init__(self, value: Any) -> None:
        super().__init__(value)
        self.value = value


def reader(column: Any, stored: TypeEngine[Any] | None, dialect: str) -> Reader:
    """Return how a column of a table is read.

    Args:
        column: the column.
        stored: the database's type of a column to which the user gives another; None for the others.
        dialect: SQLAlchemy's name of the database.
    """
    kind = without_domain(column.type)
    name, type_name = str(column.name), str(column.type) if not isinstance(kind, NullType) else "any type"
    actual = kind if stored is None else without_domain(stored)
    if stored is not None and not (_has_rule(kind) or (isinstance(kind, INTERVALS) and isinstance(actual, INTERVALS))):
        return Reader(name, type_name, column, _objects, native=True)
    if dialect == "postgresql" and isinstance(kind, sqlalchemy.DateTime) and isinstance(actual, sqlalchemy.DateTime):
        kind = actual
    expression = sqlalchemy.type_coerce(_expression(column, kind, actual, dialect), NullType())
    convert = _converter(kind, actual, dialect, nullable=bool(column.nullable))
    if isinstance(kind, sqlalchemy.Numeric) and stored is not None and kind.asdecimal:
        convert = _decimals
    return Reader(name, type_name, expression, convert)


def frame(table_name: str, readers: Sequence[Reader], rows: Sequence[Any]) -> pandas.DataFrame:
    """Return rows as a DataFrame.

    Args:
        table_name: the table's name, for errors.
        readers: how its columns are read.
        rows: what the driver returned.

    Raises:
        SourceError: a value is not of its column's type.

    Warns:
        InexactWarning: values are missing or rounded; the sentence counts them and says how to get them.
    """
    counted: dict[tuple[str, str], list[Any]] = {}

    def inexact(name: str, fate: str, values: Sequence[Any]) -> None:
        counted.setdefault((name, fate), []).extend(values)

    arrays = []
    for number, column in enumerate(readers):
        values = numpy.fromiter(map(operator.itemgetter(number), rows), dtype=object, count=len(rows))
        try:
            arrays.append(column.convert(values, functools.partial(inexact, column.name)))
        except Unfit as unfit:
            raise SourceError(
                f"the table {table_name}: the column {column.name!r} is of the type {column.type_name} and holds "
                f"{_shown(unfit.value)}; leave it out by columns=, or give SQLTable a "
                f"sqlalchemy.Column({column.name!r}) for the values as they are"
            ) from None
    if counted:
        warn(_sentence(table_name, counted))
    built = pandas.DataFrame(dict(enumerate(arrays)), index=pandas.RangeIndex(len(rows)), copy=False)
    built.columns = pandas.Index([column.name for column in readers])
    return built


def _sentence(table_name: str, counted: dict[tuple[str, str], list[Any]]) -> str:
    total = sum(map(len, counted.values()))
    parts = [
        f"{len(values):,} of {name!r} {fate} (such as {_shown(values[0])})" for (name, fate), values in counted.items()
    ]
    ways = {
        "sqlalchemy.Column(name, sqlalchemy.Numeric) as decimals"
        if fate == ROUNDED
        else "sqlalchemy.Column(name, sqlalchemy.String) as the database shows them"
        for _, fate in counted
    }
    return (
        f"the table {table_name}: {total:,} values are not in the DataFrame as they are: {', '.join(parts)}; "
        f"SQLTable(connection, {table_name!r}, ...) gives them by {', or by '.join(sorted(ways))}"
    )


def _shown(value: Any) -> str:
    text = str(value) if isinstance(value, decimal.Decimal) else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def without_domain(kind: TypeEngine[Any]) -> TypeEngine[Any]:
    """Return a type, or the one that a domain restricts."""
    while isinstance(kind, postgresql.DOMAIN):
        kind = kind.data_type
    return kind


def is_shown_as_text(kind: TypeEngine[Any]) -> bool:
    """Whether PostgreSQL's values of a type that is none of texts come as texts."""
    return not isinstance(kind, (NullType, sqlalchemy.String, sqlalchemy.ARRAY, postgresql.OID)) and (
        _converter(kind, kind, "postgresql", nullable=True) is _texts
    )


def _has_rule(kind: TypeEngine[Any]) -> bool:
    """Whether a type that a user gives a column is read by the rules below, rather than by SQLAlchemy."""
    plain = (
        sqlalchemy.Boolean,
        sqlalchemy.Integer,
        sqlalchemy.Numeric,
        sqlalchemy.Float,
        sqlalchemy.DateTime,
        sqlalchemy.Date,
        sqlalchemy.Time,
        sqlalchemy.String,
        *BINARY,
    )
    return isinstance(kind, plain) and not isinstance(kind, sqlalchemy.Enum)


def _expression(column: Any, kind: TypeEngine[Any], actual: TypeEngine[Any], dialect: str) -> Any:
    mysql_family = dialect in ("mysql", "mariadb")
    if isinstance(kind, sqlalchemy.String) and not isinstance(actual, sqlalchemy.String):
        return text_of(column, dialect)
    if isinstance(kind, BINARY) and isinstance(actual, sqlalchemy.String):
        if dialect == "postgresql":
            return sqlalchemy.func.convert_to(column, "SQL_ASCII")
        return sqlalchemy.cast(column, sqlalchemy.BINARY if mysql_family else sqlalchemy.BLOB)
    if dialect == "postgresql":
        if isinstance(actual, sqlalchemy.DateTime) and actual.timezone:
            # In the session's time zone the first and last hours of the calendar could be outside of it.
            return sqlalchemy.func.timezone("UTC", column)
        if isinstance(actual, sqlalchemy.ARRAY):
            # The driver takes arrays apart whose type it knows; types that a user made it does not.
            element = actual.item_type
            if isinstance(element, postgresql.DOMAIN):
                return sqlalchemy.cast(column, sqlalchemy.ARRAY(without_domain(element)))
            if isinstance(element, (sqlalchemy.Enum, postgresql.CITEXT, postgresql.HSTORE)):
                return sqlalchemy.cast(column, sqlalchemy.ARRAY(sqlalchemy.Text))
    if mysql_family and is_single(actual):
        # The database shows six digits of a FLOAT, and all of a DOUBLE.
        return column + sqlalchemy.literal_column("0e0")
    return column


def text_of(column: Any, dialect: str) -> Any:
    """Return the expression for the text that a database shows for a column of another type."""
    if dialect == "postgresql":
        # A cast writes some types in another way, such as inet.
        return sqlalchemy.case((column.is_distinct_from(None), sqlalchemy.func.concat(column)))
    return sqlalchemy.cast(column, sqlalchemy.CHAR) if dialect in ("mysql", "mariadb") else column


def is_single(kind: TypeEngine[Any]) -> bool:
    """Whether a type has floats of 32 bits."""
    return isinstance(kind, (sqlalchemy.REAL, sqlalchemy.FLOAT)) and not isinstance(
        kind, (mysql.DOUBLE, sqlalchemy.Double)
    )


def _converter(kind: TypeEngine[Any], actual: TypeEngine[Any], dialect: str, *, nullable: bool) -> Convert:
    mysql_family = dialect in ("mysql", "mariadb")
    typed = dialect != "sqlite" and isinstance(actual, (sqlalchemy.DateTime, sqlalchemy.Date))
    if isinstance(kind, sqlalchemy.Boolean):
        return functools.partial(_booleans, nullable=nullable)
    if mysql_family and isinstance(kind, mysql.BIT):
        return functools.partial(_bits, unsigned=(kind.length or 1) > 63, nullable=nullable)
    if isinstance(kind, (sqlalchemy.Integer, mysql.YEAR, postgresql.OID)):
        unsigned = isinstance(kind, mysql.BIGINT) and bool(kind.unsigned)
        return functools.partial(_integers, unsigned=unsigned, nullable=nullable)
    if isinstance(kind, (sqlalchemy.Numeric, sqlalchemy.Float)):
        return _singles if mysql_family and is_single(actual) else _floats
    if isinstance(kind, sqlalchemy.DateTime):
        return functools.partial(_datetimes, utc=bool(kind.timezone), typed=typed)
    if isinstance(kind, sqlalchemy.Date):
        return functools.partial(_datetimes, utc=False, typed=typed)
    if isinstance(kind, INTERVALS) or (mysql_family and isinstance(kind, sqlalchemy.Time)):
        return _timedeltas
    if isinstance(kind, sqlalchemy.Time) and not kind.timezone:
        return _times
    if isinstance(kind, BINARY) or (isinstance(kind, NamedType) and kind.binary):
        return _bytes
    if isinstance(kind, sqlalchemy.ARRAY):
        return functools.partial(_arrays, element=without_domain(kind.item_type))
    # Whatever else the three databases have comes as the text that they show.
    known = dialect in ("postgresql", "mysql", "mariadb", "sqlite")
    if isinstance(kind, _TEXT) or (known and not isinstance(kind, NullType)) or dialect == "postgresql":
        return _texts
    return _objects


def _refuse(values: Iterable[Any], *types: type) -> None:
    for value in values:
        if value is not None and (not isinstance(value, types) or (isinstance(value, bool) and bool not in types)):
            raise Unfit(value)


def _integers(values: Any, _: Inexact, *, unsigned: bool, nullable: bool) -> Any:
    if infer_dtype(values, skipna=True) not in ("integer", "empty"):
        _refuse(values, int)
    missing = pandas.isna(values)
    if missing.any():
        if not nullable:
            raise Unfit(None)
        values = numpy.where(missing, 0, values)
    try:
        whole = values.astype("uint64" if unsigned else "int64")
    except OverflowError:
        raise Unfit(max(values, key=abs)) from None
    return pandas.arrays.IntegerArray(whole, missing) if nullable else whole


def _bits(values: Any, inexact: Inexact, *, unsigned: bool, nullable: bool) -> Any:
    for position, value in enumerate(values):
        if isinstance(value, bytes):
            values[position] = int.from_bytes(value, "big")
    return _integers(values, inexact, unsigned=unsigned, nullable=nullable)


# SQLite has no type for them: a column that is declared BOOLEAN holds numbers, or words.
_TRUTH = {False: False, True: True, "false": False, "true": True, b"\0": False, b"\1": True}


def _booleans(values: Any, _: Inexact, *, nullable: bool) -> Any:
    missing = pandas.isna(values)
    if infer_dtype(values, skipna=True) != "boolean":
        for position, value in enumerate(values):
            if value is not None:
                truth = _TRUTH.get(value.lower() if isinstance(value, str) else value)
                if truth is None:
                    raise Unfit(value)
                values[position] = truth
    if missing.any():
        if not nullable:
            raise Unfit(None)
        values = numpy.where(missing, False, values)
    truths = values.astype(bool)
    return pandas.arrays.BooleanArray(truths, missing) if nullable else truths


def _floats(values: Any, inexact: Inexact) -> Any:
    kind = infer_dtype(values, skipna=True)
    if kind not in ("floating", "integer", "mixed-integer-float", "decimal", "empty"):
        _refuse(values, int, float, decimal.Decimal)
    floats = values.astype("float64")
    if kind not in ("floating", "empty"):
        rounded = [value for value, close in zip(values, floats.tolist(), strict=True) if not _is_exact(value, close)]
        if rounded:
            inexact(ROUNDED, rounded)
    return floats


def _is_exact(value: Any, close: float) -> bool:
    if isinstance(value, decimal.Decimal):
        # The shortest decimal of a float is the number that it stands for.
        return value.is_nan() or decimal.Decimal(repr(close)) == value
    return value is None or value == close


def _singles(values: Any, inexact: Inexact) -> Any:
    return _floats(values, inexact).astype("float32").astype("str").astype("float64")


def _decimals(values: Any, inexact: Inexact) -> Any:
    _refuse(values, int, float, decimal.Decimal)
    for position, value in enumerate(values):
        if value is not None and not isinstance(value, decimal.Decimal):
            values[position] = decimal.Decimal(repr(value))
    return _objects(values, inexact)


# What SQLite's functions take for a time, and what PostgreSQL and MariaDB show.
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d([ T]\d\d:\d\d(:\d\d(\.\d{1,6}0*)?)?(Z|[+-]\d\d(:?\d\d){0,2})?)?")
_ZERO_DATE = re.compile(r"0000-.*|\d{4}-00-.*|\d{4}-\d\d-00.*")


def _datetimes(values: Any, inexact: Inexact, *, utc: bool, typed: bool) -> Any:
    kind = infer_dtype(values, skipna=True)
    if kind == "string" and typed:
        # PostgreSQL shows texts like -infinity, 10000-01-01 and 0044-03-15 BC for what pandas cannot hold.
        parsed = pandas.to_datetime(values, format="ISO8601", errors="coerce", utc=utc, cache=False)
        _lost(values[parsed.isna() & ~pandas.isna(values)], inexact)
        return parsed.as_unit("us").array
    if kind not in ("datetime", "date", "empty"):
        values = _each(values, functools.partial(_moment, utc=utc, typed=typed), inexact)
    if utc:
        return pandas.to_datetime(pandas.Series(values, dtype=object), utc=True, cache=False).dt.as_unit("us").array
    return pandas.Series(values, dtype="datetime64[us]").array


class _Lost(Exception):
    """A value of its column's type is none that a frame can hold."""


def _each(values: Any, parse: Callable[[Any], Any], inexact: Inexact) -> Any:
    """Return values in the form that `parse` gives them; those that it cannot keep are None, and counted."""
    lost = []
    parsed = numpy.empty(len(values), dtype=object)
    for position, value in enumerate(values):
        if value is not None:
            try:
                parsed[position] = parse(value)
            except _Lost:
                lost.append(value)
    _lost(lost, inexact)
    return parsed


def _lost(values: Any, inexact: Inexact) -> None:
    if len(values):
        inexact(MISSING, list(values))


def _moment(value: Any, *, utc: bool, typed: bool) -> Any:
    """Return a time; `typed` means that the database stores nothing else in the column."""
    if isinstance(value, dt.date):
        return value
    if not isinstance(value, str):
        raise Unfit(value)
    if _ZERO_DATE.fullmatch(value):
        raise _Lost
    try:
        if not _MOMENT.fullmatch(value):
            raise ValueError
        moment = dt.datetime.fromisoformat(value)
    except ValueError:
        raise (_Lost if typed else Unfit(value)) from None
    if moment.tzinfo is not None and not utc:
        raise Unfit(value)
    return moment.replace(tzinfo=moment.tzinfo or dt.UTC).astimezone(dt.UTC) if utc else moment


INTERVALS_TEXT = re.compile(
    r"(?:(?P<days>[+-]?\d+) days? ?)?(?:(?P<sign>[+-])?(?P<hours>\d+):(?P<minutes>\d\d):(?P<seconds>\d\d)"
    r"(?:\.(?P<fraction>\d{1,6}))?)?"
)


def _timedeltas(values: Any, inexact: Inexact) -> Any:
    if infer_dtype(values, skipna=True) not in ("timedelta", "empty"):
        values = _each(values, _timedelta, inexact)
    return pandas.Series(values, dtype="timedelta64[us]").array


_LONGEST = dt.timedelta(microseconds=2**63 - 1)


def _timedelta(value: Any) -> dt.timedelta:
    if isinstance(value, dt.timedelta):
        return value
    if not isinstance(value, str):
        raise Unfit(value)
    # A month has no length, so that an interval with months or years is no timedelta.
    match = INTERVALS_TEXT.fullmatch(value)
    if not match or not value:
        raise _Lost
    fraction = (match["fraction"] or "").ljust(6, "0")
    clock = dt.timedelta(
        hours=int(match["hours"] or 0),
        minutes=int(match["minutes"] or 0),
        seconds=int(match["seconds"] or 0),
        microseconds=int(fraction),
    )
    try:
        length = dt.timedelta(days=int(match["days"] or 0)) + (-clock if match["sign"] == "-" else clock)
    except OverflowError:
        raise _Lost from None
    if not -_LONGEST <= length <= _LONGEST:
        raise _Lost
    return length


_TIME = pandas.ArrowDtype(pyarrow.time64("us"))
_BYTES = pandas.ArrowDtype(pyarrow.binary())


def _times(values: Any, inexact: Inexact) -> Any:
    return pandas.Series(_each(values, _time, inexact), dtype=_TIME).array


def _time(value: Any) -> dt.time:
    if isinstance(value, str):
        if value == "24:00:00":  # PostgreSQL's end of a day
            raise _Lost
        try:
            value = dt.time.fromisoformat(value)
        except ValueError:
            raise Unfit(value) from None
    if not isinstance(value, dt.time) or value.tzinfo is not None:
        raise Unfit(value)
    return value


def _bytes(values: Any, _: Inexact) -> Any:
    _refuse(values, bytes)
    return pandas.Series(values, dtype=_BYTES).array


def _texts(values: Any, _: Inexact) -> Any:
    if infer_dtype(values, skipna=True) not in ("string", "empty"):
        for position, value in enumerate(values):
            if isinstance(value, bool) or not isinstance(value, (int, float, decimal.Decimal, uuid.UUID)):
                _refuse((value,), str)
            else:
                values[position] = str(value)
    return pandas.Series(values, dtype="str").array


def _arrays(values: Any, inexact: Inexact, *, element: TypeEngine[Any]) -> Any:
    parse = _element_parser(element)
    if parse is not None:
        lost: list[Any] = []
        for position, value in enumerate(values):
            values[position] = _parsed_array(value, parse, lost)
        _lost(lost, inexact)
    return _objects(values, inexact)


def _parsed_array(value: Any, parse: Callable[[Any], Any], lost: list[Any]) -> Any:
    if isinstance(value, list):
        return [_parsed_array(element, parse, lost) for element in value]
    try:
        return None if value is None else parse(value)
    except _Lost:
        lost.append(value)
        return None


def _element_parser(element: TypeEngine[Any]) -> Callable[[Any], Any] | None:
    if isinstance(element, sqlalchemy.DateTime):
        return functools.partial(_moment, utc=bool(element.timezone), typed=True)
    if isinstance(element, sqlalchemy.Date):
        return lambda value: _moment(value, utc=False, typed=True).date()
    if isinstance(element, sqlalchemy.Time) and not element.timezone:
        return _time
    return _timedelta if isinstance(element, INTERVALS) else None


def _objects(values: Any, _: Inexact) -> Any:
    return pandas.Series(values, dtype=object)  # whose strings the frame then leaves alone
