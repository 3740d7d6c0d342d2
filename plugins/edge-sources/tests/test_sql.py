"""`SQLConnection` against real databases."""

from __future__ import annotations

import datetime as dt
import enum
import os
import socket
import subprocess
import sys
import textwrap
import time
import uuid
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy
import pandas
import pytest
import sqlalchemy as sa

from edge_core.errors import BadEntry, ConnectionFailed, EdgeError, NotFound, Unauthenticated
from edge_sources import sql
from edge_sources.connection import ConnectionStatus
from edge_sources.sql import SQLConnection, SQLTable
from tests.object_stores import free_port

from .conftest import connection_of
from .engines import Database

FRAME = pandas.DataFrame(
    {
        "plate": [1, 2, 3, 4],
        "value": [0.5, 1.5, float("nan"), -2.25],
        "label": ["a", "b'; DROP TABLE runs; --", None, "Grüße 雪"],
        "seen": pandas.to_datetime(
            ["2024-01-01 12:00:00", "2024-02-29 00:00:01", "1999-12-31 23:59:59", "2030-01-01 00:00:00"]
        ),
    }
)


@pytest.fixture
def runs(database: SQLConnection) -> SQLTable:
    """A table with numbers, texts, times and NULLs."""
    FRAME.to_sql("runs", database.engine, index=False)
    return database.tables["runs"]


def test_a_table_comes_back_as_it_was_loaded(runs: SQLTable) -> None:
    read = runs.to_dataframe()
    assert list(read.columns) == list(FRAME.columns)
    assert read["plate"].tolist() == FRAME["plate"].tolist()
    assert read["value"].equals(FRAME["value"])
    assert [None if pandas.isna(label) else label for label in read["label"]] == [
        None if pandas.isna(label) else label for label in FRAME["label"]
    ]
    assert pandas.to_datetime(read["seen"]).tolist() == FRAME["seen"].tolist()


def test_the_types_are_those_of_the_columns_whatever_the_values(database: SQLConnection) -> None:
    columns = [
        sa.Column("whole", sa.Integer),
        sa.Column("value", sa.Float),
        sa.Column("price", sa.Numeric(20, 14)),
        sa.Column("day", sa.Date),
        sa.Column("seen", sa.DateTime),
        sa.Column("at", sa.DateTime(timezone=True)),
        sa.Column("label", sa.String(20)),
    ]
    table = sa.Table("typed", sa.MetaData(), *columns)
    row = {
        "whole": 1,
        "value": 0.1,
        "price": 1.25e-11,
        "day": dt.date(2024, 2, 29),
        "seen": dt.datetime(2024, 2, 29, 12),
        "at": dt.datetime(2024, 2, 29, 12, tzinfo=dt.UTC),
        "label": "a",
    }
    nothing = dict.fromkeys(row)
    with database.engine.begin() as connection:
        table.create(connection)
    typed = database.tables["typed"]

    def kinds(frame: pandas.DataFrame) -> dict[str, str]:
        return {name: dtype.kind for name, dtype in frame.dtypes.items()}  # type: ignore[union-attr,misc]

    label = pandas.Series([], dtype="str").dtype.kind
    empty = {"whole": "i", "value": "f", "price": "f", "day": "M", "seen": "M", "at": "M", "label": label}
    assert kinds(typed.to_dataframe()) == empty
    with database.engine.begin() as connection:
        connection.execute(table.insert(), [row, nothing, nothing])
    read = typed.to_dataframe()
    assert kinds(read) == empty
    assert read["price"][0] == 1.25e-11
    assert read["day"][0] == pandas.Timestamp(2024, 2, 29)
    assert list(typed.to_dataframe(columns=["whole", "whole"], limit=1).iloc[0]) in ([1], [1, 1])
    if database.db_kind == "postgresql":
        assert str(read["at"].dtype).endswith("UTC]")
    first, second = typed.iter_dataframes(chunksize=2)  # which has no value
    assert first.dtypes.equals(second.dtypes)
    assert first.dtypes.equals(read.dtypes)
    assert read["whole"].isna().tolist() == [False, True, True]


@pytest.mark.slow
def test_a_port_that_swallows_packets_fails_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sql, "CONNECT_TIMEOUT", 1)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        for kind in ("postgresql", "mariadb"):
            silent = SQLConnection("x", "X", "127.0.0.1", listener.getsockname()[1], kind, "lims", "ada", "secret-pass")
            started = time.monotonic()
            with pytest.raises(ConnectionFailed) as caught:
                list(silent.tables)
            assert time.monotonic() - started < 120
            assert "secret-pass" not in str(caught.value)


@pytest.mark.slow
def test_an_answer_may_take_longer_than_the_connection(mariadb: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sql, "CONNECT_TIMEOUT", 4)
    with connection_of(mariadb).engine.connect() as connection:
        assert connection.execute(sa.text("SELECT SLEEP(4.5)")).scalar() == 0


def test_parts_of_a_table(runs: SQLTable) -> None:
    assert list(runs.to_dataframe(columns=["value", "plate"]).columns) == ["value", "plate"]
    assert len(runs.to_dataframe(limit=2)) == 2
    assert len(runs.to_dataframe(limit=0)) == 0

    def plates(where: Any) -> list[int]:
        numbers: list[int] = runs.to_dataframe(where=where)["plate"].tolist()
        return sorted(numbers)

    assert plates({"plate": 2}) == [2]
    assert plates({"plate": [1, 4, 9]}) == [1, 4]
    assert plates({"plate": []}) == []
    assert plates({"label": None}) == [3]
    assert plates({"label": "b'; DROP TABLE runs; --"}) == [2]
    assert plates({"plate": 2, "label": "a"}) == []
    assert plates({"plate": [1, None]}) == [1]
    assert plates({"label": ["a", None]}) == [1, 3]
    assert plates({"label": {None}}) == [3]
    assert plates({"value": float("nan")}) == [3]
    assert plates({"value": [pandas.NA, 1.5]}) == [2, 3]
    assert plates({"seen": [pandas.NaT, numpy.datetime64("NaT"), FRAME["seen"][1]]}) == [2]
    assert plates({"seen": numpy.datetime64("2024-01-01T12:00")}) == [1]
    assert plates({"seen": FRAME["seen"][2:]}) == [3, 4]
    assert plates({"seen": dt.datetime(2024, 1, 1, 12)}) == [1]
    assert plates({"plate": FRAME["plate"][:2]}) == [1, 2]
    assert plates({"plate": pandas.Series([1, None])}) == [1]  # floats in pandas
    assert plates({"plate": pandas.array([4, None], dtype="Int64")}) == [4]
    assert plates({"plate": numpy.array([1, 3])}) == [1, 3]
    assert plates({"plate": numpy.int8(3)}) == plates({"plate": numpy.array(3)}) == [3]
    assert plates({"plate": range(2, 4)}) == plates({"plate": iter([2, 3])}) == [2, 3]
    assert plates({"plate": range(0, 10**9)}) == [1, 2, 3, 4]
    assert plates({"plate": range(10**9 + 1, 0, -2)}) == [1, 3]
    assert plates({"plate": (1, 2.5, Decimal(3), 2**40, 2**70)}) == [1, 3]
    assert plates({"plate": 2.5}) == []
    assert plates({"value": [Decimal("1.5"), numpy.float32(-2.25)]}) == [2, 4]
    assert plates({"plate": sa.select(sa.literal(4))}) == [4]
    assert plates(runs.table.c.value > 0) == [1, 2]
    assert plates(sa.text("value > :least").bindparams(least=1)) == [2]
    assert len(runs) == 4


@pytest.mark.slow
def test_lists_may_have_any_length(runs: SQLTable) -> None:
    # SQLite takes 32,766 values in a query, and PostgreSQL 65,535.
    assert runs.to_dataframe(where={"plate": pandas.Series(range(2, 70_000))})["plate"].tolist() == [2, 3, 4]
    assert runs.to_dataframe(where={"label": [*map(str, range(40_000)), "a"]})["plate"].tolist() == [1]
    assert runs.to_dataframe(where={"value": numpy.arange(0, 5000, 0.5)})["plate"].tolist() == [1, 2]


def test_invalid_arguments_are_refused(runs: SQLTable) -> None:
    for arguments in (
        {"columns": ["nothing"]},
        {"columns": "plate"},
        {"columns": []},
        {"where": "plate = 1"},
        {"where": {"nothing": 1}},
        {"limit": -1},
        {"limit": "3"},
        {"limit": 2.5},
        {"limit": True},
        {"where": {"plate": FRAME[["plate"]]}},
        {"where": {"seen": pandas.Timestamp("2024-01-01 12:00", tz="UTC")}},
        {"where": {"seen": pandas.Timestamp("2024-01-01 12:00:00.000000001")}},
    ):
        with pytest.raises(BadEntry):
            runs.to_dataframe(**arguments)  # type: ignore[arg-type]
    with pytest.raises(EdgeError):
        runs.to_dataframe(where=sa.text("no_such_column > 0"))
    for chunksize in (0, "3", 2.5):
        with pytest.raises(BadEntry, match="chunksize"):
            runs.iter_dataframes(chunksize=chunksize)  # type: ignore[arg-type]
    assert len(runs.to_dataframe(limit=numpy.int64(2))) == 2  # type: ignore[arg-type]


def test_chunks_are_the_whole_in_order(runs: SQLTable) -> None:
    chunks = list(runs.iter_dataframes(chunksize=3, columns=["plate"]))
    assert [len(chunk) for chunk in chunks] == [3, 1]
    assert pandas.concat(chunks)["plate"].tolist() == [1, 2, 3, 4]
    assert [len(chunk) for chunk in runs.iter_dataframes(chunksize=10, where={"plate": [1, 2]}, limit=1)] == [1]
    unfinished = runs.iter_dataframes(chunksize=1)
    next(unfinished)
    unfinished.close()  # type: ignore[attr-defined]
    assert len(runs.to_dataframe()) == 4


def test_the_rest_of_a_table_stays_in_the_database(runs: SQLTable) -> None:
    executed: list[Mapping[str, Any]] = []
    sa.event.listen(runs.engine, "before_cursor_execute", lambda *event: executed.append(event[4].execution_options))
    list(runs.iter_dataframes(chunksize=2))
    assert any(options.get("stream_results") for options in executed)


def test_tables_are_a_lazy_mapping(database: SQLConnection) -> None:
    assert list(database.tables) == []
    with database.engine.begin() as connection:
        for n in range(5):
            connection.execute(sa.schema.CreateTable(sa.Table(f"t{n}", sa.MetaData(), sa.Column("id", sa.Integer))))
        connection.exec_driver_sql("CREATE VIEW seen AS SELECT id FROM t0")
    tables = database.tables
    statements: list[str] = []
    sa.event.listen(database.engine, "before_cursor_execute", lambda *event: statements.append(event[2]))
    assert list(tables) == ["seen", "t0", "t1", "t2", "t3", "t4"]
    assert len(statements) < 8
    assert len(tables) == 6
    assert "t1" in tables
    assert "t9" not in tables
    assert tables._ipython_key_completions_() == list(tables)
    assert "<li>t1</li>" in tables._repr_html_()
    assert tables["seen"].columns == ["id"]
    with pytest.raises(KeyError) as caught:
        tables["t9"]
    assert isinstance(caught.value, NotFound)
    with database.engine.begin() as connection:
        connection.exec_driver_sql("DROP VIEW seen")


HOSTILE = ['x"; DROP TABLE victims; --', "`y`", "select", "a b.c", "100%s %(x)s :y", "Grüße"]


def test_hostile_names_are_quoted(database: SQLConnection) -> None:
    for name in HOSTILE:
        # SQLAlchemy misreads a backtick in a column's name from what MySQL says of a table.
        column = "c" if "`" in name else name
        table = sa.Table(sa.quoted_name(name, True), sa.MetaData(), sa.Column(sa.quoted_name(column, True), sa.Integer))
        with database.engine.begin() as connection:
            table.create(connection)
            connection.execute(table.insert(), [{column: 1}, {column: 2}])
        hostile = database.tables[name]
        assert hostile.to_dataframe()[column].tolist() == [1, 2]
        assert hostile.to_dataframe(columns=[column], where={column: 2})[column].tolist() == [2]
        assert len(hostile) == 2
        assert len(list(hostile.iter_dataframes(chunksize=1))) == 2
        assert "2 rows" in repr(hostile)
        assert "2 rows" in hostile._repr_html_()
    with pytest.raises(NotFound):
        SQLTable(database, "victims; --").to_dataframe()


def test_a_table_shows_its_columns_and_rows(runs: SQLTable) -> None:
    shown = repr(runs)
    assert "'runs', 4 rows: plate " in shown
    assert "4 rows" in runs._repr_html_()
    assert "label" in runs._repr_html_()
    assert bool(runs)
    nothing = SQLTable(runs.engine, "nothing")
    assert "cannot be read" in repr(nothing)
    assert "cannot be read" in nothing._repr_html_()
    assert SQLTable(runs.engine, "runs", sa.Column("plate", sa.String(20))).to_dataframe().shape == (4, 4)


def test_a_table_of_another_schema(postgres: Database) -> None:
    connection = connection_of(postgres)
    with connection.engine.begin() as begun:
        begun.exec_driver_sql('CREATE SCHEMA "Lab 1"')
        begun.exec_driver_sql('CREATE TABLE "Lab 1".runs AS SELECT 7 AS plate')
    try:
        table = SQLTable(connection, "runs", schema="Lab 1")
        assert table.to_dataframe(where={"plate": 7})["plate"].tolist() == [7]
        assert len(table) == 1
        with pytest.raises(NotFound):
            SQLTable(connection, "runs", schema="lab").to_dataframe()
        with pytest.raises(NotFound, match=r"schema=\.\.\."):
            SQLTable(connection, "runs").to_dataframe()
        with pytest.raises(NotFound, match=r"schema=\.\.\."):
            connection.tables["runs"]
    finally:
        with connection.engine.begin() as begun:
            begun.exec_driver_sql('DROP SCHEMA "Lab 1" CASCADE')


def test_a_table_dropped_while_it_is_used_is_an_error(runs: SQLTable) -> None:
    assert runs.columns
    with runs.engine.begin() as connection:
        runs.table.drop(connection)
    with pytest.raises(NotFound):
        runs.to_dataframe()
    with pytest.raises(NotFound):
        list(runs.iter_dataframes())
    with pytest.raises(NotFound):
        len(runs)


def test_each_thing_that_is_wrong_has_its_status_and_error(postgres: Database, mariadb: Database) -> None:
    bad, none = ConnectionStatus.BAD_CREDENTIALS, ConnectionStatus.NO_CONNECTION
    reasons: list[str] = []
    for database in (postgres, mariadb):
        assert connection_of(database).test() is ConnectionStatus.VALID_CONNECTION
        cases: list[tuple[dict[str, Any], ConnectionStatus, type[Exception]]] = [
            ({"username": "nobody_there"}, bad, Unauthenticated),
            ({"db_name": "lost"}, none, ConnectionFailed),
            ({"port": free_port()}, none, ConnectionFailed),
            ({"host": "no-such-host.invalid"}, none, ConnectionFailed),
        ]
        if database is mariadb:
            cases.append(({"password": "wrong"}, bad, Unauthenticated))
            cases[1] = ({"db_name": "lost"}, bad, Unauthenticated)  # it tells nobody which there are
        for more, status, error in cases:
            connection = connection_of(database, **more)
            assert connection.test(20) is status, more
            assert database.password not in str(connection.reason)
            with pytest.raises(error) as caught:
                list(connection.tables)
            assert database.password not in str(caught.value)
            reasons.append(str(connection.reason))
    assert 'database "lost" does not exist' in reasons[1]
    assert "refused" in reasons[2]
    assert "the database rejects the credentials; correct the connector" in reasons[4]


def test_a_missing_sqlite_file_is_not_created(tmp_path: Path) -> None:
    connection = SQLConnection("x", "X", db_kind="sqlite", db_name=str(tmp_path / "no.sqlite3"))
    assert connection.test() is ConnectionStatus.NO_CONNECTION
    with pytest.raises(ConnectionFailed):
        list(connection.tables)
    assert "cannot be listed" in connection.tables._repr_html_()
    assert list(tmp_path.iterdir()) == []
    for more in ({"db_kind": "paper"}, {"db_kind": "sqlite", "db_name": None}, {"port": "usual"}, {"port": [1]}):
        with pytest.raises(BadEntry):
            SQLConnection("x", "X", **more)  # type: ignore[arg-type]


ROWS = int(os.environ.get("EDGE_TABLE_ROWS", "200000"))
"""Of a large table: 200,000 here, which take more than the limit below if they are read at once; a million at night."""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["postgresql", "mariadb", "sqlite"])
def test_a_large_table_comes_back_and_its_chunks_take_little_memory(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    path = tmp_path / "runs.sqlite3"
    path.touch()
    connection = SQLConnection("x", "X", db_kind="sqlite", db_name=str(path))
    if kind != "sqlite":
        connection = connection_of(request.getfixturevalue("postgres" if kind == "postgresql" else kind))
    rows = ROWS
    frame = pandas.DataFrame({"plate": range(rows), "value": [n / 7 for n in range(rows)], "label": "row"})
    frame["label"] = [f"row {n}" for n in range(rows)]
    load(connection, frame)
    try:
        read = connection.tables["big"].to_dataframe().sort_values("plate", ignore_index=True)
        assert read["plate"].equals(frame["plate"].astype("Int64"))
        assert read["value"].equals(frame["value"])
        assert read["label"].tolist() == frame["label"].tolist()
        program = """
            import json, re, sys
            from edge_sources.sql import SQLConnection
            def peak():  # KiB; what resource tells begins with the peak of the process that started this one
                return int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1])
            table = SQLConnection.from_dict(json.loads(sys.stdin.read())).tables["big"]
            import pandas
            before = peak()
            rows = total = 0
            for part in table.iter_dataframes():
                rows += len(part)
                total += int(part["plate"].sum())
            print(rows, total, before, peak())
        """
        import json

        ran = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(program)],
            input=json.dumps(connection.to_dict()),
            capture_output=True,
            text=True,
            check=True,
        )
        read, total, before, peak = map(int, ran.stdout.split())
        print(f"{kind}: {read:,} rows in chunks, peak memory {peak / 1024:.0f} MiB, {before / 1024:.0f} before")
        assert (read, total) == (rows, rows * (rows - 1) // 2)
        assert peak < 200 << 10
    finally:
        with connection.engine.begin() as end:
            end.exec_driver_sql("DROP TABLE big")


def load(connection: SQLConnection, frame: pandas.DataFrame) -> None:
    """Put a frame into a table `big`, by the quickest way the database has."""
    values = list(frame.itertuples(index=False, name=None))
    with connection.engine.begin() as begun:
        begun.exec_driver_sql("CREATE TABLE big (plate INTEGER, value DOUBLE PRECISION, label VARCHAR(20))")
        cursor: Any = begun.connection.cursor()
        if connection.db_kind == "postgresql":
            with cursor.copy("COPY big FROM STDIN") as copy:
                for row in values:
                    copy.write_row(row)
        else:
            mark = "?" if connection.db_kind == "sqlite" else "%s"
            cursor.executemany(f"INSERT INTO big VALUES ({mark}, {mark}, {mark})", values)


def test_the_time_of_a_database_is_a_time(database: SQLConnection) -> None:
    table = sa.Table("times", sa.MetaData(), sa.Column("at", sa.DateTime))
    with database.engine.begin() as connection:
        table.create(connection)
        connection.execute(table.insert(), [{"at": dt.datetime(2024, 1, 2, 3, 4, 5)}])
    where = {"at": dt.datetime(2024, 1, 2, 3, 4, 5)}
    read = database.tables["times"].to_dataframe(where=where)
    assert read["at"][0] == pandas.Timestamp(2024, 1, 2, 3, 4, 5)
    with database.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE times SET at = '2024-01-02 03:04:05'")  # without microseconds, as by SQLite
    assert database.tables["times"].to_dataframe(where=where).equals(read)


def test_identifiers_and_days_select_rows(database: SQLConnection) -> None:
    columns = [sa.Column("id", sa.Uuid), sa.Column("label", sa.String(36)), sa.Column("day", sa.Date)]
    table = sa.Table("named", sa.MetaData(), *columns)
    first, second = uuid.UUID(int=1), uuid.UUID(int=2)
    with database.engine.begin() as connection:
        table.create(connection)
        connection.execute(
            table.insert(),
            [
                {"id": first, "label": str(first), "day": dt.date(2024, 1, 1)},
                {"id": second, "label": str(second), "day": dt.date(9999, 12, 31)},
            ],
        )
    named = database.tables["named"]
    read = named.to_dataframe()
    for where in (
        {"id": read["id"][1]},
        {"id": [read["id"][1], None]},
        {"label": second},
        {"label": [second, str(second)]},
        {"day": dt.date(9999, 12, 31)},
        {"day": read["day"][1:]},
        {"day": [dt.datetime(9999, 12, 31), None]},
    ):
        assert named.to_dataframe(where=where)["label"].tolist() == [str(second)], where
    with pytest.raises(BadEntry, match="'day' has dates"):
        named.to_dataframe(where={"day": pandas.Timestamp("9999-12-31 12:00")})


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ({"label": 5}, "has texts, and 5 is none of them; give a str, as in '5'"),
        ({"label": ["a", True]}, "give a str, as in 'True'"),
        ({"label": numpy.float64(1.5)}, "give a str, as in '1.5'"),
        ({"label": dt.date(2024, 1, 1)}, "has texts"),
        ({"label": b"a"}, "has texts"),
        ({"value": "0.5"}, "has numbers"),
        ({"day": "2024-01-01"}, r"has dates, .* give a datetime.date, as in datetime.date\(2024, 1, 31\)"),
        ({"day": 20240101}, "has dates"),
        ({"day": dt.time(12)}, "has dates"),
        ({"seen": "2024-01-01 12:00:00"}, r"has times, .* give a datetime.datetime, as in datetime.datetime\(2024"),
        ({"seen": 0}, "has times"),
        ({"clock": "12:00"}, "has times of day"),
        ({"clock": dt.datetime(2024, 1, 1, 12)}, "has times of day"),
        ({"raw": "ab"}, "has bytes, and 'ab' is none of them; give bytes"),
    ],
)
def test_a_value_that_no_column_of_the_type_can_have_is_refused(
    typed: SQLTable, value: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(BadEntry, match=sentence):
        typed.to_dataframe(where=value)


def test_a_value_of_the_columns_type_selects_its_rows(typed: SQLTable) -> None:
    noon = dt.timedelta(hours=12) if typed.engine.dialect.name in ("mysql", "mariadb") else dt.time(12)
    for where in (
        {"label": "5"},
        {"day": dt.date(2024, 1, 1)},
        {"seen": dt.datetime(2024, 1, 1, 12)},
        {"clock": noon},
        {"raw": b"ab"},
        {"value": True},  # which is 1, as in Python
    ):
        assert len(typed.to_dataframe(where=where)) == 1, where


@pytest.fixture
def typed(database: SQLConnection) -> SQLTable:
    """A table with a row, of texts, numbers, times and bytes."""
    columns = [
        sa.Column("label", sa.Text),
        sa.Column("value", sa.Float),
        sa.Column("day", sa.Date),
        sa.Column("seen", sa.DateTime),
        sa.Column("clock", sa.Time),
        sa.Column("raw", sa.LargeBinary),
    ]
    table = sa.Table("typed", sa.MetaData(), *columns)
    moment = dt.datetime(2024, 1, 1, 12)
    row = {"label": "5", "value": 1.0, "day": moment.date(), "seen": moment, "clock": moment.time(), "raw": b"ab"}
    with database.engine.begin() as connection:
        table.create(connection)
        connection.execute(table.insert(), [row])
    return database.tables["typed"]


def test_members_of_an_enum_select_the_rows_of_a_column_that_is_read_as_it(typed: SQLTable) -> None:
    class Plate(enum.Enum):
        FIFTH = "5"

    column = sa.Column("label", sa.Enum(Plate, values_callable=lambda plates: [plate.value for plate in plates]))
    if typed.engine.dialect.name != "postgresql":  # which compares no texts with an enum
        assert len(SQLTable(typed.engine, "typed", column).to_dataframe(where={"label": Plate.FIFTH})) == 1


def test_numbers_are_no_values_of_types_that_come_as_texts(postgres: Database) -> None:
    connection = connection_of(postgres)
    with connection.engine.begin() as begun:
        begun.exec_driver_sql("CREATE TABLE shown (cost money, host inet, took interval, id uuid)")
    try:
        for name in ("cost", "host", "took", "id"):
            with pytest.raises(BadEntry, match="and 5 is none of them; give a"):
                connection.tables["shown"].to_dataframe(where={name: 5})
    finally:
        with connection.engine.begin() as begun:
            begun.exec_driver_sql("DROP TABLE shown")


def test_what_the_driver_refuses_is_a_bad_condition(runs: SQLTable) -> None:
    for value in (object(), "2", pandas.Period("2024")):
        with pytest.raises(BadEntry, match="'plate' has numbers"):
            runs.to_dataframe(where={"plate": value})
    if runs.engine.dialect.name in ("mysql", "mariadb"):
        with pytest.raises(BadEntry, match="'label' has texts"):  # every text that is no number equals 0 there
            runs.to_dataframe(where={"label": 0})
    with pytest.raises(BadEntry):
        runs.to_dataframe(where=sa.text("no_such_column > 0"))
