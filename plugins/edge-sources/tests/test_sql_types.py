"""The dtypes and values of every SQL type: those that docs/sql-types.md says, in every chunk."""

from __future__ import annotations

import datetime as dt
import decimal
import io
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy
import pandas
import pyarrow
import pyarrow.parquet
import pytest
import sqlalchemy as sa

from edge.api import InexactWarning
from edge_core.errors import BadEntry
from edge_sources.connection import SourceError
from edge_sources.sql import SQLConnection, SQLTable

from .conftest import admin, connection_of, postgres_server
from .engines import Database

DOCUMENT = Path(__file__).parents[3] / "docs" / "sql-types.md"

HEADINGS = {"postgresql": "## PostgreSQL", "mariadb": "## MySQL and MariaDB", "sqlite": "## SQLite"}

UUID = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"
END = "9999-12-31 23:59:59.999999"


def at(text: str, zone: str | None = None) -> pandas.Timestamp:
    return pandas.Timestamp(text, tz=zone).as_unit("us")


def wkb(kind: int, *rest: int) -> bytes:
    return b"\0\0\0\0\1" + bytes([kind, 0, 0, 0, *rest])


COORDINATES = [0, 0, 0, 0, 0, 0, 240, 63, 0, 0, 0, 0, 0, 0, 0, 64]
"""The coordinates 1 and 2."""

Case = tuple[str, str, str, Any, Any]
"""A type, two values in SQL, and what a DataFrame gets for them."""

POSTGRESQL: list[Case] = [
    ("smallint", "-32768", "32767", -32768, 32767),
    ("integer", "-2147483648", "2147483647", -(2**31), 2**31 - 1),
    ("bigint", "-9223372036854775808", "9223372036854775807", -(2**63), 2**63 - 1),
    ("oid", "0", "4294967295", 0, 2**32 - 1),
    ("numeric", "-0.1", "123456789012.345", -0.1, 123456789012.345),
    ("numeric(10,2)", "-99999999.99", "99999999.99", -99999999.99, 99999999.99),
    ("real", "'0.1'", "'-3.4028235e38'", 0.1, -3.4028235e38),
    ("double precision", "0.1", "'1.7976931348623157e308'", 0.1, 1.7976931348623157e308),
    ("money", "1.5", "-92233720368547758.08", "$1.50", "-$92,233,720,368,547,758.08"),
    ("boolean", "true", "false", True, False),
    ("text", "''", "'Grüße 雪'", "", "Grüße 雪"),
    ("varchar(5)", "'ab'", "'abcde'", "ab", "abcde"),
    ("char(5)", "'ab'", "'abcde'", "ab   ", "abcde"),
    ('"char"', "'a'", "'z'", "a", "z"),
    ("name", "'a'", "'z'", "a", "z"),
    ("citext", "'A'", "'z'", "A", "z"),
    ("bytea", "''", r"'\x00ff'", b"", b"\0\xff"),
    ("date", "'0001-01-01'", "'9999-12-31'", at("0001-01-01"), at("9999-12-31")),
    ("timestamp", "'0001-01-01'", f"'{END}'", at("0001-01-01"), at(END)),
    ("timestamptz", "'0001-01-01 00:00+00'", f"'{END}+00'", at("0001-01-01", "UTC"), at(END, "UTC")),
    ("time", "'00:00'", "'23:59:59.999999'", dt.time(), dt.time(23, 59, 59, 999999)),
    ("timetz", "'12:00:00.5+02'", "'00:00-08'", "12:00:00.5+02", "00:00:00-08"),
    ("interval", "'-1 day +2:03:04.5'", "'40 days'", pandas.Timedelta("-1 days +02:03:04.5"), pandas.Timedelta("40D")),
    ("interval day to second", "'-0.5 s'", "'1 day'", pandas.Timedelta("-0.5s"), pandas.Timedelta("1D")),
    ("uuid", f"'{UUID}'", f"'{UUID.replace('a', 'f')}'", UUID, UUID.replace("a", "f")),
    ("json", "'null'", """'{"a": 1.00000000000000000001, "a": 2}'""", "null", '{"a": 1.00000000000000000001, "a": 2}'),
    ("jsonb", "'null'", """'{"a": 1.00000000000000000001}'""", "null", '{"a": 1.00000000000000000001}'),
    ("jsonpath", "'$'", "'$.a'", "$", '$."a"'),
    ("xml", "'<a/>'", "'<b>x</b>'", "<a/>", "<b>x</b>"),
    ("hstore", "''", "'a=>1, b=>NULL'", "", '"a"=>"1", "b"=>NULL'),
    ("bit(3)", "B'000'", "B'101'", "000", "101"),
    ("bit varying(5)", "B''", "B'10101'", "", "10101"),
    ("mood", "'sad'", "'happy'", "sad", "happy"),
    ("pair", "'(1,a)'", "'(,)'", "(1,a)", "(,)"),
    ("positive", "1", "2147483647", 1, 2**31 - 1),
    ("inet", "'10.0.0.1'", "'::1/64'", "10.0.0.1", "::1/64"),
    ("cidr", "'10.0.0.0/8'", "'::/0'", "10.0.0.0/8", "::/0"),
    ("macaddr", "'08:00:2b:01:02:03'", "'ffffffffffff'", "08:00:2b:01:02:03", "ff:ff:ff:ff:ff:ff"),
    (
        "macaddr8",
        "'08:00:2b:01:02:03:04:05'",
        "'ffffffffffffffff'",
        "08:00:2b:01:02:03:04:05",
        "ff:ff:ff:ff:ff:ff:ff:ff",
    ),
    ("int4range", "'[1,4]'", "'empty'", "[1,5)", "empty"),
    ("int8range", "'[1,5)'", "'(,)'", "[1,5)", "(,)"),
    ("numrange", "'(1.50,5]'", "'empty'", "(1.50,5]", "empty"),
    ("tsrange", "'[2024-01-01,infinity)'", "'empty'", '["2024-01-01 00:00:00",infinity)', "empty"),
    ("tstzrange", "'(-infinity,)'", "'empty'", "(-infinity,)", "empty"),
    ("daterange", "'[2024-01-01,2024-01-31]'", "'empty'", "[2024-01-01,2024-02-01)", "empty"),
    ("int4multirange", "'{[1,5),[7,8)}'", "'{}'", "{[1,5),[7,8)}", "{}"),
    ("int8multirange", "'{[1,5)}'", "'{}'", "{[1,5)}", "{}"),
    ("nummultirange", "'{[1.5,5)}'", "'{}'", "{[1.5,5)}", "{}"),
    ("tsmultirange", "'{(,infinity)}'", "'{}'", "{(,infinity)}", "{}"),
    ("tstzmultirange", "'{(,infinity)}'", "'{}'", "{(,infinity)}", "{}"),
    ("datemultirange", "'{[2024-01-01,2024-02-01)}'", "'{}'", "{[2024-01-01,2024-02-01)}", "{}"),
    ("point", "'(1,2)'", "'(3,4)'", "(1,2)", "(3,4)"),
    ("line", "'{1,2,3}'", "'{4,5,6}'", "{1,2,3}", "{4,5,6}"),
    ("lseg", "'[(1,2),(3,4)]'", "'[(0,0),(3,4)]'", "[(1,2),(3,4)]", "[(0,0),(3,4)]"),
    ("box", "'(1,2),(3,4)'", "'(0,0),(3,4)'", "(3,4),(1,2)", "(3,4),(0,0)"),
    ("path", "'((1,2),(3,4))'", "'[(1,2),(3,4)]'", "((1,2),(3,4))", "[(1,2),(3,4)]"),
    ("polygon", "'((1,2),(3,4))'", "'((0,0),(3,4))'", "((1,2),(3,4))", "((0,0),(3,4))"),
    ("circle", "'<(1,2),3>'", "'<(1,2),4>'", "<(1,2),3>", "<(1,2),4>"),
    ("tsvector", "''", "'a fat cat'", "", "'a' 'cat' 'fat'"),
    ("tsquery", "'c'", "'a & b'", "'c'", "'a' & 'b'"),
    ("regclass", "'pg_class'", "'pg_type'", "pg_class", "pg_type"),
    ("xid", "'1'", "'4294967295'", "1", "4294967295"),
    ("pg_lsn", "'0/0'", "'16/B374D848'", "0/0", "16/B374D848"),
    ("pg_snapshot", "'1:2:'", "'10:20:10,14,15'", "1:2:", "10:20:10,14,15"),
    ("txid_snapshot", "'1:2:'", "'10:20:10,14,15'", "1:2:", "10:20:10,14,15"),
    ("integer[]", "'{1,NULL}'", "'{{1,2},{3,4}}'", [1, None], [[1, 2], [3, 4]]),
    ("text[]", "'{}'", """'{a,"b,c"}'""", [], ["a", "b,c"]),
    ("numeric[]", "'{1.50}'", "'{}'", [decimal.Decimal("1.50")], []),
    ("boolean[]", "'{true,NULL}'", "'{}'", [True, None], []),
    ("timestamp[]", f"'{{{END}}}'", "'{}'", [dt.datetime(9999, 12, 31, 23, 59, 59, 999999)], []),
    ("timestamptz[]", "'{2024-01-01 00:00+02}'", "'{}'", [dt.datetime(2023, 12, 31, 22, tzinfo=dt.UTC)], []),
    ("date[]", "'{0001-01-01}'", "'{}'", [dt.date(1, 1, 1)], []),
    ("interval[]", "'{-1 day}'", "'{}'", [dt.timedelta(-1)], []),
    ("uuid[]", f"'{{{UUID}}}'", "'{}'", [UUID], []),
    ("mood[]", "'{sad,NULL}'", "'{}'", ["sad", None], []),
    ("positive[]", "'{1,2}'", "'{}'", [1, 2], []),
]

POINT = "ST_GeomFromText('POINT(1 2)')"

MARIADB: list[Case] = [
    ("tinyint", "-128", "127", -128, 127),
    ("smallint", "-32768", "32767", -32768, 32767),
    ("mediumint", "-8388608", "8388607", -(2**23), 2**23 - 1),
    ("int", "-2147483648", "2147483647", -(2**31), 2**31 - 1),
    ("bigint", "-9223372036854775808", "9223372036854775807", -(2**63), 2**63 - 1),
    ("tinyint unsigned", "0", "255", 0, 255),
    ("smallint unsigned", "0", "65535", 0, 65535),
    ("mediumint unsigned", "0", "16777215", 0, 2**24 - 1),
    ("int unsigned", "0", "4294967295", 0, 2**32 - 1),
    ("int(8) zerofill", "0", "42", 0, 42),
    ("bigint unsigned", "0", "18446744073709551615", 0, 2**64 - 1),
    ("boolean", "true", "false", 1, 0),
    ("bit(1)", "b'1'", "b'0'", 1, 0),
    ("bit(10)", "b'1'", "b'1111111111'", 1, 1023),
    ("bit(64)", "0", "0xFFFFFFFFFFFFFFFF", 0, 2**64 - 1),
    ("year", "1901", "2155", 1901, 2155),
    ("decimal(10,2)", "-99999999.99", "99999999.99", -99999999.99, 99999999.99),
    ("decimal(65,30)", "0.1", "123456789012.345", 0.1, 123456789012.345),
    ("float", "0.1", "16777213", 0.1, 16777213.0),
    ("float unsigned", "0.1", "1234567", 0.1, 1234567.0),
    ("double", "0.1", "1.7976931348623157e308", 0.1, 1.7976931348623157e308),
    ("date", "'1000-01-01'", "'9999-12-31'", at("1000-01-01"), at("9999-12-31")),
    ("datetime(6)", "'1000-01-01'", f"'{END}'", at("1000-01-01"), at(END)),
    ("timestamp(6) null", "'2024-02-29 12:00:00.5'", "'2038-01-01'", at("2024-02-29 12:00:00.5"), at("2038-01-01")),
    ("time(6)", "'-01:30:00.5'", "'838:59:59'", pandas.Timedelta("-01:30:00.5"), pandas.Timedelta("838:59:59")),
    ("char(5)", "'ab'", "'abcde'", "ab", "abcde"),
    ("varchar(5)", "''", "'雪'", "", "雪"),
    ("tinytext", "''", "'雪'", "", "雪"),
    ("text", "''", "'雪'", "", "雪"),
    ("mediumtext", "''", "'雪'", "", "雪"),
    ("longtext", "''", "'雪'", "", "雪"),
    ("json", "'null'", """'{"a": 1.00000000000000000001}'""", "null", '{"a": 1.00000000000000000001}'),
    ("enum('a','b')", "'a'", "'b'", "a", "b"),
    ("set('a','b')", "''", "'b,a'", "", "a,b"),
    ("uuid", f"'{UUID}'", f"'{UUID.replace('a', 'f')}'", UUID, UUID.replace("a", "f")),
    ("inet4", "'10.0.0.1'", "'0.0.0.0'", "10.0.0.1", "0.0.0.0"),
    ("inet6", "'::1'", "'::'", "::1", "::"),
    ("binary(4)", "'ab'", "x'ff00ff00'", b"ab\0\0", b"\xff\0\xff\0"),
    ("varbinary(4)", "''", "x'ff00'", b"", b"\xff\0"),
    ("tinyblob", "''", "x'ff'", b"", b"\xff"),
    ("blob", "''", "x'ff'", b"", b"\xff"),
    ("mediumblob", "''", "x'ff'", b"", b"\xff"),
    ("longblob", "''", "x'ff'", b"", b"\xff"),
    ("geometry", POINT, POINT, wkb(1, *COORDINATES), wkb(1, *COORDINATES)),
    ("point", POINT, POINT, wkb(1, *COORDINATES), wkb(1, *COORDINATES)),
    (
        "linestring",
        "ST_GeomFromText('LINESTRING(1 2,1 2)')",
        "NULL",
        wkb(2, 2, 0, 0, 0, *COORDINATES, *COORDINATES),
        pandas.NA,
    ),
    ("polygon", "NULL", "NULL", pandas.NA, pandas.NA),
    ("multipoint", "NULL", "NULL", pandas.NA, pandas.NA),
    ("multilinestring", "NULL", "NULL", pandas.NA, pandas.NA),
    ("multipolygon", "NULL", "NULL", pandas.NA, pandas.NA),
    ("geometrycollection", "NULL", "NULL", pandas.NA, pandas.NA),
]

SQLITE: list[Case] = [
    *(
        (name, "-9223372036854775808", "9223372036854775807", -(2**63), 2**63 - 1)
        for name in ("INTEGER", "INT", "TINYINT", "SMALLINT", "MEDIUMINT", "BIGINT", "UNSIGNED BIG INT", "INT2", "INT8")
    ),
    *((name, "0.1", "1", 0.1, 1.0) for name in ("REAL", "DOUBLE", "DOUBLE PRECISION", "FLOAT")),
    ("NUMERIC", "9007199254740992", "0.1", 2.0**53, 0.1),
    ("DECIMAL(10,5)", "7", "0.1", 7.0, 0.1),
    ("BOOLEAN", "1", "'false'", True, False),
    *(
        (name, "''", "'雪'", "", "雪")
        for name in ("TEXT", "VARCHAR(255)", "CHARACTER(20)", "NCHAR(55)", "NVARCHAR(100)", "CLOB")
    ),
    ("JSON", "'null'", """'{"a": 1.00000000000000000001}'""", "null", '{"a": 1.00000000000000000001}'),
    ("BLOB", "x''", "x'ff'", b"", b"\xff"),
    ("DATE", "'0001-01-01'", "'9999-12-31'", at("0001-01-01"), at("9999-12-31")),
    ("DATETIME", "'0001-01-01'", f"'{END}'", at("0001-01-01"), at(END)),
    ("TIMESTAMP", "'2024-02-29T12:00'", "'2024-02-29 12:00:00.5'", at("2024-02-29 12:00"), at("2024-02-29 12:00:00.5")),
    ("TIME", "'12:00'", "'23:59:59.5'", dt.time(12), dt.time(23, 59, 59, 500000)),
    ("ANY", "'x'", "'a'", "x", "a"),
    ("STRING", "'x'", "'a'", "x", "a"),
    ("POINT", "'x'", "'a'", "x", "a"),
    ("UUID", f"'{UUID}'", "'a'", UUID, "a"),
]

CASES = {"postgresql": POSTGRESQL, "mariadb": MARIADB, "sqlite": SQLITE}


def documented(kind: str) -> dict[str, str]:
    """The dtypes in the document, by type."""
    section = DOCUMENT.read_text().partition(HEADINGS[kind])[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (`.*?) \| `(.*?)` \|", section, re.MULTILINE)
    return {name: dtype for names, dtype in rows for name in re.findall(r"`(.*?)`", names)}


@pytest.mark.parametrize("kind", CASES)
def test_all_types_are_documented(kind: str) -> None:
    assert documented(kind).keys() == {name for name, *_ in CASES[kind]}


def run(connection: SQLConnection, *statements: str) -> None:
    with connection.engine.begin() as begun:
        for statement in statements:
            begun.exec_driver_sql(statement.replace("%", "%%") if connection.db_kind != "sqlite" else statement)


def create(connection: SQLConnection, cases: list[Case]) -> SQLTable:
    """A table with a column for each case, and three rows: its two values, and nothing but NULLs."""
    if connection.db_kind == "postgresql":
        run(
            connection,
            "CREATE EXTENSION IF NOT EXISTS citext",
            "CREATE EXTENSION IF NOT EXISTS hstore",
            "CREATE TYPE mood AS ENUM ('sad', 'happy')",
            "CREATE TYPE pair AS (a int, b text)",
            "CREATE DOMAIN positive AS int CHECK (value > 0)",
        )
    columns = ", ".join(f"c{number} {name}" for number, (name, *_) in enumerate(cases))
    rows = [", ".join(values) for values in zip(*((low, high, "NULL") for _, low, high, *_ in cases), strict=True)]
    run(connection, f"CREATE TABLE types (n INTEGER NOT NULL, {columns})")
    run(connection, *(f"INSERT INTO types VALUES ({number}, {row})" for number, row in enumerate(rows)))
    return connection.tables["types"]


@pytest.fixture
def types(database: SQLConnection) -> Iterator[SQLTable]:
    """A table with all types of a database."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Did not recognize type 'pair'")  # SQLAlchemy's, of a composite type
        table = create(database, cases_of(database))
        assert table.columns
    yield table
    run(database, "DROP TABLE types")
    if database.db_kind == "postgresql":
        run(database, "DROP TYPE mood, pair", "DROP DOMAIN positive")


def cases_of(database: SQLConnection) -> list[Case]:
    return CASES["mariadb" if database.db_kind == "mysql" else database.db_kind]


def same(value: Any, expected: Any) -> bool:
    if expected is pandas.NA or expected is None:
        return not isinstance(value, list) and bool(pandas.isna(value))
    return type(value) is type(expected) and bool(value == expected)


def test_every_type_has_its_dtype_and_its_values_in_every_chunk(types: SQLTable, database: SQLConnection) -> None:
    cases = cases_of(database)
    dtypes = documented("mariadb" if database.db_kind == "mysql" else database.db_kind)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        whole = types.to_dataframe().sort_values("n", ignore_index=True)
        chunks = sorted(types.iter_dataframes(chunksize=1), key=lambda chunk: int(chunk["n"][0]))
        empty = types.to_dataframe(limit=0)
    assert {name: str(whole[f"c{n}"].dtype) for n, (name, *_) in enumerate(cases)} == dtypes
    for part in (*chunks, empty):
        assert part.dtypes.equals(whole.dtypes)
    for number, (name, _, _, *expected) in enumerate(cases):
        for row, value in enumerate([*expected, None]):
            for read in (whole[f"c{number}"].tolist()[row], chunks[row][f"c{number}"].tolist()[0]):
                assert same(read, value), (name, read, value)


def test_a_parquet_file_takes_all_chunks_with_the_schema_of_the_first(types: SQLTable) -> None:
    # The first has nothing but NULLs, where only the dtypes tell the types; object columns have none for Arrow.
    dtypes = types.to_dataframe(limit=0).dtypes
    names = [name for name, dtype in dtypes.items() if str(dtype) != "object"]
    whole = types.to_dataframe(columns=names).sort_values("n", ascending=False, ignore_index=True)
    chunks = sorted(types.iter_dataframes(chunksize=1, columns=names), key=lambda chunk: -int(chunk["n"][0]))
    schema = pyarrow.Schema.from_pandas(chunks[0], preserve_index=False)
    content = io.BytesIO()
    with pyarrow.parquet.ParquetWriter(content, schema) as writer:
        for chunk in chunks:
            writer.write_table(pyarrow.Table.from_pandas(chunk, schema=schema, preserve_index=False))
    read = pyarrow.parquet.read_table(io.BytesIO(content.getvalue())).to_pandas()
    pandas.testing.assert_frame_equal(read, whole)


@pytest.mark.parametrize("rows", [0, 2])
def test_the_example_writes_a_parquet_file_of_a_table_with_and_without_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    (tmp_path / "runs.sqlite3").touch()
    database = SQLConnection("lims", "LIMS", db_kind="sqlite", db_name=str(tmp_path / "runs.sqlite3"))
    run(database, "CREATE TABLE runs (plate INTEGER, label TEXT)", *["INSERT INTO runs VALUES (7, 'a')"] * rows)
    (example,) = [
        block for block in re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), re.S) if "parquet" in block
    ]
    monkeypatch.chdir(tmp_path)
    exec(compile(example, DOCUMENT.name, "exec"), {"db": database})
    read = pyarrow.parquet.read_table(tmp_path / "runs.parquet").to_pandas()
    pandas.testing.assert_frame_equal(read, database.tables["runs"].to_dataframe())


@pytest.mark.slow
def test_the_values_of_a_frame_select_their_rows(types: SQLTable, database: SQLConnection) -> None:
    for number, (name, _, _, *expected) in enumerate(cases_of(database)):
        for value in [*expected, None]:
            many = isinstance(value, list) and (not value or isinstance(value[0], list))  # means several values
            if not many:
                selected = types.to_dataframe(columns=["n"], where={f"c{number}": value})["n"].tolist()
                assert selected == [n for n, other in enumerate([*expected, None]) if same(other, value)], (name, value)


def test_columns_that_are_never_null_have_the_dtypes_of_numpy(database: SQLConnection) -> None:
    kinds = {"a": sa.Integer, "b": sa.SmallInteger, "c": sa.BigInteger, "flag": sa.Boolean}
    columns = [sa.Column(name, kind, nullable=False) for name, kind in kinds.items()]
    table = sa.Table("exact", sa.MetaData(), sa.Column("id", sa.Integer, primary_key=True), *columns)
    with database.engine.begin() as connection:
        table.create(connection)
        connection.execute(table.insert(), [{"id": 7, "a": 1, "b": 2, "c": 2**62, "flag": True}])
    read = database.tables["exact"].to_dataframe()
    for value in (True, 1, numpy.True_):
        assert database.tables["exact"].to_dataframe(where={"flag": value}).equals(read)
    assert database.tables["exact"].to_dataframe(where={"flag": 2}).empty
    flag = "int64" if database.db_kind in ("mysql", "mariadb") else "bool"
    assert [str(dtype) for dtype in read.dtypes] == ["int64"] * 4 + [flag]
    assert read.iloc[0].tolist() == [7, 1, 2, 2**62, 1]
    assert database.tables["exact"].to_dataframe(limit=0).dtypes.equals(read.dtypes)


def test_times_that_pandas_cannot_hold_are_missing_and_counted(postgres: Database) -> None:
    database = connection_of(postgres)
    run(
        database,
        "CREATE TABLE odd "
        "(n int, seen timestamp, at timestamptz, day date, clock time, took interval, runs timestamp[])",
        "INSERT INTO odd VALUES "
        "(0, 'infinity', '-infinity', 'infinity', '24:00', '1 mon', '{infinity,2024-02-29}'), "
        "(1, '0044-03-15 BC', '10000-01-01 00:00+00', '4713-01-01 BC', '12:00', '1 year', '{}'), "
        "(2, '294276-12-31', '0044-03-15 BC', '10000-01-01', '12:00', '178000000 years', '{}'), "
        "(3, '2024-02-29', '2024-02-29 00:00+02', '2024-02-29', '12:00', '1 day -01:00', NULL)",
    )
    try:
        odd = database.tables["odd"]
        with pytest.warns(InexactWarning) as shown:
            read = odd.to_dataframe()
        assert len(shown) == 1
        assert shown[0].filename == __file__
        sentence = str(shown[0].message)
        assert "the table odd: 14 values" in sentence
        assert "3 of 'seen' that pandas cannot hold are missing (such as 'infinity')" in sentence
        assert read["seen"].tolist() == [pandas.NaT, pandas.NaT, pandas.NaT, at("2024-02-29")]
        assert read["at"].tolist() == [pandas.NaT, pandas.NaT, pandas.NaT, at("2024-02-28 22:00", "UTC")]
        assert read["day"].tolist() == [pandas.NaT, pandas.NaT, pandas.NaT, at("2024-02-29")]
        assert read["clock"].tolist() == [pandas.NA, *[dt.time(12)] * 3]
        assert read["took"].tolist() == [pandas.NaT, pandas.NaT, pandas.NaT, pandas.Timedelta("23h")]
        assert read["runs"].tolist() == [[None, dt.datetime(2024, 2, 29)], [], [], None]
        with pytest.warns(InexactWarning):
            chunks = list(odd.iter_dataframes(chunksize=1))
        assert all(chunk.dtypes.equals(read.dtypes) for chunk in chunks)
        # The way that the sentence names.
        texts = SQLTable(database, "odd", *(sa.Column(name, sa.String) for name in odd.columns[1:])).to_dataframe()
        assert texts["seen"].tolist()[:3] == ["infinity", "0044-03-15 00:00:00 BC", "294276-12-31 00:00:00"]
        assert texts["took"].tolist() == ["1 mon", "1 year", "178000000 years", "1 day -01:00:00"]
        assert texts["clock"][0] == "24:00:00"
        as_text = SQLTable(database, "odd", sa.Column("seen", sa.String))
        assert as_text.to_dataframe(["n"], where={"seen": "infinity"})["n"].tolist() == [0]
        assert texts["runs"][0] == '{infinity,"2024-02-29 00:00:00"}'
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            odd.to_dataframe(where={"n": 3})
    finally:
        run(database, "DROP TABLE odd")


def test_settings_of_a_session_change_no_value(postgres: Database) -> None:
    database = connection_of(postgres)
    run(
        database,
        "CREATE TABLE shown (seen timestamp, at timestamptz, took interval, raw bytea)",
        r"INSERT INTO shown VALUES ('2024-02-03 04:05:06', '9999-12-31 23:59+00', '-1 days +02:00', '\x00ff')",
    )
    try:
        plain = database.tables["shown"].to_dataframe()
        changed = connection_of(postgres)

        def change(connection: Any, _: object) -> None:
            connection.execute("SET datestyle = 'SQL, DMY'; SET intervalstyle = 'sql_standard'")
            connection.execute("SET timezone = 'Pacific/Kiritimati'; SET bytea_output = 'escape'")
            connection.commit()

        sa.event.listen(changed.engine, "connect", change)
        assert changed.tables["shown"].to_dataframe().equals(plain)
        assert next(changed.tables["shown"].iter_dataframes()).equals(plain)
        with changed.engine.connect() as connection:
            assert connection.exec_driver_sql("SHOW datestyle").scalar() == "SQL, DMY"
    finally:
        run(database, "DROP TABLE shown")


def test_zero_dates_are_missing_and_counted(mariadb: Database) -> None:
    database = connection_of(mariadb)
    with database.engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE zero (day date, seen datetime, at timestamp NOT NULL, took time)")
        connection.exec_driver_sql("SET sql_mode = 'ALLOW_INVALID_DATES'")
        connection.exec_driver_sql("INSERT INTO zero VALUES ('0000-00-00', '0000-00-00', '0000-00-00', '-00:00:01')")
        connection.exec_driver_sql("INSERT INTO zero VALUES ('2024-02-31', '2024-00-15', '2024-02-29', '25:00')")
    try:
        with pytest.warns(InexactWarning, match="the table zero: 5 values .* 2 of 'day' .* '0000-00-00'"):
            read = database.tables["zero"].to_dataframe()
        assert read["day"].isna().all()
        assert read["at"].tolist() == [pandas.NaT, at("2024-02-29")]
        assert read["took"].tolist() == [pandas.Timedelta("-1s"), pandas.Timedelta("25h")]
        texts = SQLTable(database, "zero", sa.Column("day", sa.String), sa.Column("seen", sa.String))
        assert texts.to_dataframe(["day", "seen"]).to_numpy().tolist() == [
            ["0000-00-00", "0000-00-00 00:00:00"],
            ["2024-02-31", "2024-00-15 00:00:00"],
        ]
    finally:
        run(database, "DROP TABLE zero")


def test_numbers_that_no_float_has_are_counted_and_can_be_had(database: SQLConnection) -> None:
    whole = "9007199254740993"
    digits = whole if database.db_kind == "sqlite" else "12345678901234567890.123"
    kind = "NUMERIC" if database.db_kind == "sqlite" else "NUMERIC(38,10)"
    run(database, f"CREATE TABLE prices (price {kind})", f"INSERT INTO prices VALUES ({digits}), (0.1), (NULL)")
    with pytest.warns(InexactWarning, match="the table prices: 1 values .* 1 of 'price' are rounded to float64"):
        read = database.tables["prices"].to_dataframe()
    assert read["price"].tolist()[:2] == [float(digits), 0.1]
    exact = SQLTable(database, "prices", sa.Column("price", sa.Numeric)).to_dataframe()
    assert exact["price"].tolist() == [decimal.Decimal(digits), decimal.Decimal("0.1"), None]


def sqlite(tmp_path: Path, *statements: str) -> SQLConnection:
    path = tmp_path / "odd.sqlite3"
    path.touch()
    connection = SQLConnection("x", "X", db_kind="sqlite", db_name=str(path))
    run(connection, *statements)
    return connection


def test_a_boolean_of_sqlite_is_what_it_says(tmp_path: Path) -> None:
    database = sqlite(
        tmp_path,
        "CREATE TABLE flags (flag BOOLEAN)",
        "INSERT INTO flags VALUES ('false'), ('TRUE'), (0), (1), (NULL)",
    )
    flags = database.tables["flags"]
    assert flags.to_dataframe()["flag"].tolist() == [False, True, False, True, pandas.NA]
    assert [len(flags.to_dataframe(where={"flag": value})) for value in (False, True, None, [False, None])] == [
        2,
        2,
        1,
        3,
    ]
    for odd in ("'yes'", "2", "''"):
        run(database, f"INSERT INTO flags VALUES ({odd})")
        with pytest.raises(SourceError, match=r"'flag' is of the type BOOLEAN and holds .*columns=.*Column\('flag'\)"):
            flags.to_dataframe()
        run(database, f"DELETE FROM flags WHERE flag = {odd}")


@pytest.mark.parametrize(
    ("kind", "value", "stored"),
    [
        ("INTEGER", "'one'", "one"),
        ("INTEGER", "''", ""),
        ("INTEGER", "1.5", 1.5),
        ("REAL", "'high'", "high"),
        ("NUMERIC", "x'ff'", b"\xff"),
        ("TEXT", "x'ff'", b"\xff"),
        ("BLOB", "'text'", "text"),
        ("DATETIME", "'yesterday'", "yesterday"),
        ("DATETIME", "'now'", "now"),
        ("DATETIME", "1704067200", 1704067200),
        ("DATETIME", "'2024-01-01 00:00:00Z'", "2024-01-01 00:00:00Z"),
        ("DATETIME", "'2024-01-01 00:00:00.1234567'", "2024-01-01 00:00:00.1234567"),
        ("TIME", "'noon'", "noon"),
    ],
)
def test_a_value_that_is_not_of_its_type_is_an_error_with_a_way(
    tmp_path: Path, kind: str, value: str, stored: object
) -> None:
    database = sqlite(tmp_path, f"CREATE TABLE runs (x {kind})", f"INSERT INTO runs VALUES ({value}), (NULL)")
    for read in (database.tables["runs"].to_dataframe, lambda: list(database.tables["runs"].iter_dataframes())):
        with pytest.raises(SourceError, match=r"the column 'x' is of the type .* sqlalchemy\.Column\('x'\)"):
            read()
    assert SQLTable(database, "runs", sa.Column("x")).to_dataframe()["x"].tolist() == [stored, None]
    if isinstance(stored, (str, int, float)):
        texts = SQLTable(database, "runs", sa.Column("x", sa.String)).to_dataframe()
        assert texts["x"][0] == str(stored)


def test_a_time_with_a_zone_in_sqlite_can_be_had(tmp_path: Path) -> None:
    database = sqlite(
        tmp_path, "CREATE TABLE t (x DATETIME)", "INSERT INTO t VALUES ('2024-01-01 00:00+02:00'), ('9999-12-31 00:00')"
    )
    read = SQLTable(database, "t", sa.Column("x", sa.DateTime(timezone=True))).to_dataframe()
    assert read["x"].tolist() == [at("2023-12-31 22:00", "UTC"), at("9999-12-31", "UTC")]


def test_keys_views_and_expressions_of_sqlite(tmp_path: Path) -> None:
    database = sqlite(
        tmp_path,
        "CREATE TABLE s (id INTEGER PRIMARY KEY, a ANY, twice INT GENERATED ALWAYS AS (a * 2)) STRICT",
        "CREATE TABLE loose (id INT PRIMARY KEY)",
        "CREATE VIEW v AS SELECT id, count(*) AS n FROM s GROUP BY id",
        "INSERT INTO s (id, a) VALUES (1, 2)",
        "INSERT INTO loose VALUES (NULL)",
    )
    assert database.tables["s"].to_dataframe().dtypes.astype(str).tolist() == ["int64", "object", "Int64"]
    assert database.tables["v"].to_dataframe().dtypes.astype(str).tolist() == ["Int64", "object"]
    assert database.tables["loose"].to_dataframe()["id"].tolist() == [pandas.NA]
    counted = SQLTable(database, "v", sa.Column("n", sa.Integer)).to_dataframe()
    assert str(counted["n"].dtype) == "Int64"


def test_text_that_is_not_utf8_is_an_error_with_a_way(tmp_path: Path) -> None:
    database = sqlite(
        tmp_path, "CREATE TABLE runs (n INTEGER, label TEXT)", "INSERT INTO runs VALUES (1, CAST(x'47fc' AS TEXT))"
    )
    with pytest.raises(
        SourceError, match=r"'label' holds text that is not UTF-8; .* sqlalchemy\.LargeBinary"
    ) as caught:
        database.tables["runs"].to_dataframe()
    assert type(caught.value) is SourceError
    with pytest.raises(SourceError, match="not UTF-8"):
        list(database.tables["runs"].iter_dataframes())
    read = SQLTable(database, "runs", sa.Column("label", sa.LargeBinary)).to_dataframe()
    assert read["label"].tolist() == ["Gü".encode("latin-1")]
    assert database.tables["runs"].to_dataframe(["n"])["n"].tolist() == [1]


@pytest.fixture(params=["SQL_ASCII", "LATIN1"])
def encoded(request: pytest.FixtureRequest, postgres: Database) -> Iterator[SQLConnection]:
    """A database of PostgreSQL whose encoding is not UTF-8."""
    name = f"{postgres.name}_encoded"
    engine = admin(postgres_server(), "postgres")
    with engine.connect() as connection:
        connection.exec_driver_sql(
            f"CREATE DATABASE {name} OWNER {postgres.username} "
            f"ENCODING '{request.param}' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'"
        )
    database = connection_of(postgres, db_name=name)
    yield database
    database.engine.dispose()
    with engine.connect() as connection:
        connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")
    engine.dispose()


def test_a_database_of_another_encoding_is_read(encoded: SQLConnection) -> None:
    run(encoded, "CREATE TABLE runs (n int, label text)", "INSERT INTO runs VALUES (1, 'Grüße')")
    runs = encoded.tables["runs"]
    assert runs.to_dataframe(where={"label": "Grüße"})["label"].tolist() == ["Grüße"]
    with encoded.engine.connect() as connection:
        encoding = connection.exec_driver_sql("SHOW server_encoding").scalar()
    if encoding == "LATIN1":
        with pytest.raises(BadEntry, match="refuses the condition"):
            runs.to_dataframe(where={"label": "雪"})
        return
    run(encoded, r"INSERT INTO runs VALUES (2, convert_from('\x47fc', 'SQL_ASCII'))")
    for read in (runs.to_dataframe, lambda: list(runs.iter_dataframes())):
        with pytest.raises(SourceError, match=r"text that is not UTF-8; .* sqlalchemy\.LargeBinary"):
            read()
    as_bytes = SQLTable(encoded, "runs", sa.Column("label", sa.LargeBinary)).to_dataframe()
    assert as_bytes["label"].tolist() == ["Grüße".encode(), b"G\xfc"]


def test_columns_are_read_as_the_types_that_a_user_gives(database: SQLConnection) -> None:
    run(database, "CREATE TABLE notes (id INTEGER PRIMARY KEY, note VARCHAR(50))")
    with database.engine.begin() as connection:
        connection.execute(sa.text("INSERT INTO notes VALUES (1, :note)"), {"note": '{"a": [1, null]}'})
    as_json = SQLTable(database, "notes", sa.Column("note", sa.JSON)).to_dataframe()
    assert as_json["note"].tolist() in ([{"a": [1, None]}], ['{"a": [1, null]}'])
    assert SQLTable(database, "notes", sa.Column("id", sa.String)).to_dataframe()["id"].tolist() == ["1"]
    assert SQLTable(database, "notes", sa.Column("note", sa.LargeBinary)).to_dataframe()["note"].tolist() == [
        b'{"a": [1, null]}'
    ]
    as_is = SQLTable(database, "notes", sa.Column("id")).to_dataframe()
    assert (str(as_is["id"].dtype), as_is["id"].tolist()) == ("object", [1])
