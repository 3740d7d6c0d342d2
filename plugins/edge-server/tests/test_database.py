"""The database: set up as it must be, and migrated as it should."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import json
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import flask
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateIndex, CreateTable

import edge_server.data.migrations
from edge_server.data import database, ownership, sqlite
from edge_server.data.database import SERVER, Database, NotMigrated
from edge_server.data.declarative import Base, HexBytes
from edge_server.data.migration import FOLDER, History, migrate, own_history
from edge_server.data.sqlite import KEPT_BACKUPS
from edge_server.files import queries, tree
from edge_server.files.models import Node, Version
from edge_server.identity import directory
from edge_server.identity.models import Organization
from edge_server.keys.signing import Signer
from edge_server.run import app
from edge_server.web.context import Context
from edge_server.web.permissions import Member

from .engines import sqlite_only
from .postgresql import scratch_postgresql

DAY = dt.datetime(2024, 2, 29, tzinfo=dt.UTC)

# As the server makes them, where a number stands in.
UID = "00000000-0000-4000-8000-{:012}"
KEY = "{:040}"
DIGEST = "0a" * 32


def path_of(opened: Database) -> Path:
    """The file of a database that is one."""
    assert isinstance(opened.address, Path)
    return opened.address


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Database]:
    opened = Database(tmp_path / database.FILE_NAME)
    yield opened
    opened.close()


@pytest.fixture
def migrated(empty: Database, tmp_path: Path) -> Database:
    migrate(empty, tmp_path / "backups", [own_history()])
    return empty


@sqlite_only("its pragmas")
@pytest.mark.parametrize(
    ("pragma", "value"), [("journal_mode", "wal"), ("synchronous", 2), ("foreign_keys", 1), ("busy_timeout", 30_000)]
)
def test_each_connection_is_set_up(migrated: Database, pragma: str, value: object) -> None:
    with migrated.read() as reading, migrated.write(SERVER) as writing:
        for session in (reading, writing):
            assert session.scalar(sa.text(f"PRAGMA {pragma}")) == value


def test_a_writer_has_the_lock_from_the_start_and_readers_do_not_wait(migrated: Database) -> None:
    order = []

    def write() -> None:
        with migrated.write(SERVER) as session:
            order.append("second")
            directory.create_organization(session, [tree.plant], "second")

    with migrated.write(SERVER) as session:
        thread = threading.Thread(target=write)
        thread.start()
        directory.create_organization(session, [tree.plant], "first")
        with migrated.read() as reading:
            assert reading.scalar(sa.select(sa.func.count()).select_from(Organization)) == 0
        thread.join(0.2)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]


@sqlite_only("who waits for its one lock")
def test_a_writer_asks_sqlite_for_its_lock_only_when_no_other_of_its_process_has_it(migrated: Database) -> None:
    begun: list[bool] = []
    sa.event.listen(
        migrated.engine,
        "begin",
        lambda connection: begun.append(connection.get_execution_options().get("write", False)),
    )

    def write() -> None:
        with migrated.write(SERVER):
            pass

    waiting = [threading.Thread(target=write) for _ in range(4)]
    with migrated.write(SERVER):
        for thread in waiting:
            thread.start()
        waiting[0].join(0.2)
        assert begun == [True]
    for thread in waiting:
        thread.join()
    assert begun == [True] * 5


@sqlite_only("how long it waits for its lock")
def test_a_writer_that_waits_too_long_finds_the_database_locked(
    migrated: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "BUSY_TIMEOUT", 10)
    with (
        migrated.write(SERVER),
        pytest.raises(sa.exc.OperationalError, match="database is locked"),
        migrated.write(SERVER),
    ):
        pass
    with migrated.write(SERVER):  # the lock is free again
        pass


@contextlib.contextmanager
def always_read(database: Database) -> Iterator[None]:
    """Somebody reads at every moment: one begins before the other ends."""
    begun = [threading.Event(), threading.Event()]
    over = threading.Event()

    def read(own: threading.Event, other: threading.Event) -> None:
        while not over.is_set():
            with database.read() as session:
                session.scalar(sa.select(sa.func.count()).select_from(Organization))
                own.set()
                other.wait(10)
                other.clear()

    threads = [threading.Thread(target=read, args=(begun[n], begun[1 - n])) for n in (0, 1)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for event in begun:
            event.set()
        for thread in threads:
            thread.join()


def write_much(database: Database, writes: int) -> None:
    for _ in range(writes):
        with database.write(SERVER) as session:
            session.execute(sa.text("CREATE TABLE IF NOT EXISTS much (content BLOB)"))
            session.execute(sa.text("INSERT INTO much VALUES (randomblob(100000))"))


@sqlite_only("its write-ahead log")
def test_the_log_is_bounded_while_there_is_always_a_reader(migrated: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "LOG_SIZE", 1_000_000)
    # Readers that a busy machine keeps waiting are not long ones.
    monkeypatch.setattr(sqlite, "LOG_PATIENCE", 60)
    log = path_of(migrated).with_name(f"{path_of(migrated).name}-wal")
    sizes = []
    with always_read(migrated):
        for _ in range(10):
            write_much(migrated, 10)
            sizes.append(log.stat().st_size)
            assert migrated.checkpoint()
            assert log.stat().st_size == 0
    assert max(sizes) < 2_000_000


@sqlite_only("its write-ahead log")
def test_a_long_reader_holds_nobody_up_for_long_and_is_not_disturbed(
    migrated: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "LOG_SIZE", 1_000_000)
    monkeypatch.setattr(sqlite, "LOG_PATIENCE", 0.01)
    write_much(migrated, 1)
    rows = sa.text("SELECT count(*) FROM much")
    with migrated.read() as session:
        assert session.scalar(rows) == 1
        write_much(migrated, 20)
        assert not migrated.checkpoint()
        write_much(migrated, 1)
        assert session.scalar(rows) == 1
    assert migrated.checkpoint()
    with migrated.read() as session:
        assert session.scalar(rows) == 22


@sqlite_only("its write-ahead log")
def test_a_log_that_was_long_is_cut_when_it_begins_anew(empty: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "LOG_SIZE", 1_000_000)
    with empty.write(SERVER) as session:
        session.execute(sa.text("CREATE TABLE much (content BLOB)"))
        session.execute(sa.text("INSERT INTO much VALUES (randomblob(20000000))"))
    log = path_of(empty).with_name(f"{path_of(empty).name}-wal")
    assert log.stat().st_size > 20_000_000
    write_much(empty, 1)
    assert log.stat().st_size == 1_000_000


def test_a_transaction_that_raises_leaves_nothing(migrated: Database) -> None:
    with contextlib.suppress(RuntimeError), migrated.write(SERVER) as session:
        directory.create_organization(session, [tree.plant], "gone")
        raise RuntimeError
    with migrated.read() as session:
        assert directory.find_organization(session, "gone") is None


def test_an_organization_has_a_single_root(migrated: Database) -> None:
    with migrated.write(SERVER) as session:
        organization = directory.create_organization(session, [tree.plant], "one")
    with pytest.raises(sa.exc.IntegrityError), migrated.write(SERVER) as session:
        session.add(Node(organization_id=organization.id, parent_id=None, name=""))


def test_names_are_ordered_by_their_bytes(migrated: Database) -> None:
    names = ["\U0001f600", "\uffee", "é", "z", "Z", "_", "a"]
    with migrated.write(SERVER) as session:
        organization = directory.create_organization(session, [tree.plant], "one")
        root = session.scalars(sa.select(Node)).one()
        session.add_all([Node(organization_id=organization.id, parent_id=root.id, name=name) for name in names])
        session.flush()
        ordered = list(session.scalars(sa.select(Node.name).where(Node.parent_id == root.id).order_by(Node.name)))
    assert ordered == sorted(names, key=str.encode)


def test_the_migrations_form_a_line_that_ends_where_the_code_says() -> None:
    scripts = own_history().revisions()
    assert scripts.get_heads() == [edge_server.data.migrations.HEAD]
    assert len(scripts.get_bases()) == 1


def test_the_tables_can_be_created_in_postgresql() -> None:
    dialect = postgresql.dialect()
    for table in Base.metadata.sorted_tables:
        statement = str(CreateTable(table).compile(dialect=dialect))
        assert "DATETIME" not in statement
        for index in table.indexes:
            str(CreateIndex(index).compile(dialect=dialect))
    assert 'name VARCHAR(255) COLLATE "C"' in str(CreateTable(Base.metadata.tables["nodes"]).compile(dialect=dialect))


def test_an_app_refuses_a_database_that_is_not_migrated(empty: Database, tmp_path: Path) -> None:
    with pytest.raises(NotMigrated, match="is at revision none and this server needs"):
        own_history(Base.metadata).require_migrated(empty)


def test_a_database_of_a_newer_server_is_left_alone(migrated: Database, tmp_path: Path) -> None:
    with migrated.write(SERVER) as session:
        session.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(NotMigrated, match="newer server"):
        migrate(migrated, tmp_path / "backups", [own_history()])
    assert not (tmp_path / "backups").exists()


@sqlite_only("copies of the file")
def test_an_existing_database_is_backed_up_before_it_is_changed(
    migrated: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with migrated.write(SERVER) as session:
        directory.create_organization(session, [tree.plant], "kept")
    monkeypatch.setattr("edge_server.data.migration.HEAD", "next")
    monkeypatch.setattr(History, "upgrade", lambda *_: None)
    migrate(migrated, tmp_path / "backups", [own_history()])
    (backup,) = (tmp_path / "backups").iterdir()
    with contextlib.closing(sqlite3.connect(backup)) as copy:
        assert copy.execute("SELECT name FROM organizations").fetchall() == [("kept",)]
        assert copy.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_an_empty_or_current_database_is_not_backed_up(migrated: Database, tmp_path: Path) -> None:
    migrate(migrated, tmp_path / "backups", [own_history()])
    assert not (tmp_path / "backups").exists()


@sqlite_only("copies of the file")
def test_the_newest_backups_are_kept(migrated: Database, tmp_path: Path) -> None:
    backups = [migrated.back_up(tmp_path / "backups") for _ in range(KEPT_BACKUPS + 2)]
    assert sorted((tmp_path / "backups").iterdir()) == backups[-KEPT_BACKUPS:]


def test_a_downgrade_empties_the_database(migrated: Database) -> None:
    from alembic import command

    config = own_history().config()
    with migrated.write_connection() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "base")
    assert sa.inspect(migrated.engine).get_table_names() == ["alembic_version"]


def test_a_writing_transaction_names_the_organization_it_touches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engines = app.engines_at(tmp_path, Signer(b""))
    context = Context("lab", engines)
    touched: list[int] = []
    write_rows = engines.database.write_rows

    def noted(organization_id: int) -> contextlib.AbstractContextManager[sa.Connection]:
        touched.append(organization_id)
        return write_rows(organization_id)

    monkeypatch.setattr(engines.database, "write_rows", noted)
    web = app.build(engines, [])
    with contextlib.closing(engines.database):
        with web.test_request_context("/"):
            flask.g.member = Member(7, developer=False, admin=False)
            for named in ((), (8,), (context.SERVER,)):
                with context.write(*named):
                    pass
        with context.write():
            pass
    assert touched == [7, 8, SERVER, SERVER]


# --- a database of a newer server ----------------------------------------------------------------

REVISION = """
import sqlalchemy as sa
from alembic import op

revision, down_revision, branch_labels, depends_on = "{}", "{}", None, None
{}

def upgrade() -> None:
    op.add_column("users", sa.Column("column_{}", sa.Text()))
"""

ADDITIVE = "additive = True"


def newer_history(folder: Path, *marks: str) -> History:
    """The server's own history with a migration more for each mark, which has it."""
    folder.mkdir(exist_ok=True)
    for path in (FOLDER / "versions").glob("v*.py"):
        shutil.copy(path, folder)
    last = int(edge_server.data.migrations.HEAD)
    for number, mark in enumerate(marks, last + 1):
        name, before = f"{number:04}", f"{number - 1:04}"
        (folder / f"v{name}_newer.py").write_text(REVISION.format(name, before, mark, name))
    return dataclasses.replace(own_history(), folder=folder, broken=NotMigrated)


@pytest.mark.parametrize(
    ("marks", "goes_on"),
    [
        ([ADDITIVE], True),
        ([ADDITIVE, ADDITIVE], True),
        ([""], False),
        (["additive = False"], False),
        ([ADDITIVE, ""], False),
        (["", ADDITIVE], False),
    ],
)
def test_older_code_goes_on_with_what_is_newer_by_additive_migrations_alone(
    opened: Database, tmp_path: Path, marks: list[str], goes_on: bool
) -> None:
    newer, own = newer_history(tmp_path / "newer", *marks), own_history(Base.metadata)
    migrate(opened, tmp_path / "backups", [newer])
    before = opened.revision()
    if goes_on:
        own.require_migrated(opened)
        migrate(opened, tmp_path / "backups", [own])
    else:
        with pytest.raises(NotMigrated, match=f"is at revision {before} and this server needs"):
            own.require_migrated(opened)
        with pytest.raises(NotMigrated, match="a newer server made it"):
            migrate(opened, tmp_path / "backups", [own])
    newer.require_migrated(opened)
    assert opened.revision() == before


def test_newer_code_needs_its_additive_migrations(migrated: Database, tmp_path: Path) -> None:
    with pytest.raises(NotMigrated, match=f"is at revision {edge_server.data.migrations.HEAD} and this server needs"):
        newer_history(tmp_path / "newer", ADDITIVE).require_migrated(migrated)


def marked_as_additive() -> list[str]:
    revisions = own_history().revisions().walk_revisions()
    return [each.revision for each in revisions if getattr(each.module, "additive", False)]


def shape(database: Database) -> dict[str, dict[str, Any]]:
    """What statements of older code meet: tables, columns, and what refuses a row."""
    inspector = sa.inspect(database.engine)
    inspector.clear_cache()
    kinds = ("get_pk_constraint", "get_unique_constraints", "get_foreign_keys", "get_check_constraints")
    return {
        table: {
            "columns": {column["name"]: column for column in inspector.get_columns(table)},
            "rules": json.dumps([getattr(inspector, kind)(table) for kind in kinds], default=str),
            "unique": json.dumps([index for index in inspector.get_indexes(table) if index["unique"]], default=str),
        }
        for table in inspector.get_table_names()
    }


@pytest.mark.parametrize("revision", marked_as_additive())
def test_what_is_marked_as_additive_refuses_no_statement_of_older_code(empty: Database, revision: str) -> None:
    step = own_history().revisions().get_revision(revision)
    move(empty, step.down_revision)
    before = shape(empty)
    move(empty, revision)
    after = shape(empty)
    for table, old in before.items():
        new = after[table]
        assert (new["rules"], new["unique"]) == (old["rules"], old["unique"]), table
        for name, column in old["columns"].items():
            assert str(new["columns"][name]) == str(column), (table, name)
        for name in new["columns"].keys() - old["columns"].keys():
            column = new["columns"][name]
            assert column["nullable"] or column["default"] is not None, (table, name)


# --- what goes with an organization or a user ----------------------------------------------------


def move(database: Database, revision: str) -> None:
    """Upgrade or downgrade the server's own tables."""
    from alembic import command

    config = own_history().config()
    steps = [each.revision for each in reversed(list(own_history().revisions().walk_revisions()))]
    current = database.revision()
    upwards = current is None or steps.index(current) < steps.index(revision)
    with database.write_connection() as connection:
        config.attributes["connection"] = connection
        (command.upgrade if upwards else command.downgrade)(config, revision)


def fill(database: Database) -> None:
    """Put a row into each table, all of them of the organization 1 and the user 1."""
    values: dict[type, object] = {
        int: 1,
        str: "x",
        bytes: b"x",
        bool: True,
        float: 1.0,
        object: {},
        dt.date: DAY.date(),
    }
    with database.write_connection() as connection:
        tables = ownership.tables_of(connection)
        on_sqlite = database.engine.dialect.name == "sqlite"
        connection.exec_driver_sql(
            "PRAGMA defer_foreign_keys = ON" if on_sqlite else "SET LOCAL session_replication_role = replica"
        )
        for table in tables.sorted_tables:
            if table.name == "alembic_version":
                continue
            row = {
                column.name: DAY if column.type.python_type is dt.datetime else values[column.type.python_type]
                for column in table.columns
            }
            if table.name == "versions":
                texts = {"uid": UID.format(1), "file_uid": UID.format(1), "key": KEY.format(1), "sha256": DIGEST}
                row |= {name: value for name, value in texts.items() if name in row}
            if table.name == "nodes":
                row["parent_id"] = None
            connection.execute(table.insert().values(row))


def contents(database: Database) -> dict[str, list[tuple[object, ...]]]:
    with database.engine.connect() as connection:
        tables = sorted(sa.inspect(connection).get_table_names())
        return {
            table: [tuple(row) for row in connection.exec_driver_sql(f"SELECT * FROM {table}")]
            for table in tables
            if table not in ("alembic_version", "departures")
        }


def rules(database: Database) -> dict[str, str | None]:
    """The rules of all references to organizations and users, by table and column."""
    tables = ownership.tables_of(database.engine)
    return {
        str(key.parent): key.ondelete
        for table in tables.sorted_tables
        for key in table.foreign_keys
        if key.column.table.name in ownership.OWNERS
    }


def require_sound(database: Database) -> None:
    """See that SQLite finds no fault in its file."""
    if database.engine.dialect.name != "sqlite":
        return
    with database.engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA integrity_check").scalar_one() == "ok"
        assert connection.exec_driver_sql("PRAGMA foreign_key_check").first() is None
        assert connection.exec_driver_sql("PRAGMA writable_schema").scalar_one() == 0


def test_a_filled_database_keeps_every_row_and_learns_what_goes_with_whom(engine: Database) -> None:
    move(engine, "0010")
    fill(engine)
    before, old_rules = contents(engine), rules(engine)
    assert all(before.values())
    move(engine, "0011")
    assert contents(engine) == before
    assert rules(engine) == {
        str(key.parent): key.ondelete
        for table in Base.metadata.sorted_tables
        if table.name not in ("app_runs", "app_states", "audit_lines", "part_digests", "receipts")  # of later ones
        for key in table.foreign_keys
        if key.column.table.name in ownership.OWNERS
    }
    require_sound(engine)
    move(engine, "0010")
    assert contents(engine) == before
    assert rules(engine) == old_rules
    move(engine, "0011")
    assert contents(engine) == before
    # The database itself goes by them.
    with engine.write_connection() as connection:
        connection.exec_driver_sql("UPDATE nodes SET version_id = NULL")
        connection.exec_driver_sql("UPDATE uploads SET version_id = NULL")
        connection.exec_driver_sql("DELETE FROM search_places")
        connection.exec_driver_sql("DELETE FROM organizations")
    left = {table for table, rows in contents(engine).items() if rows}
    assert left == {"users", "tokens", "idempotency_keys", "billing_usage", "billing_months"}
    with engine.engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT home_organization_id FROM users").scalar_one() is None
        assert connection.exec_driver_sql("SELECT user_organization_id FROM billing_usage").scalar_one() is None


@sqlite_only("its schema, which is rewritten as text")
def test_a_connection_that_is_open_meanwhile_sees_what_goes_with_whom(empty: Database) -> None:
    move(empty, "0010")
    with contextlib.closing(sqlite3.connect(path_of(empty))) as other:
        assert other.execute("PRAGMA foreign_key_list(memberships)").fetchone()[6] == "NO ACTION"
        move(empty, "0011")
        assert other.execute("PRAGMA foreign_key_list(memberships)").fetchone()[6] == "CASCADE"


@sqlite_only("its schema, which is rewritten as text")
def test_a_database_with_another_schema_stays_as_it_was(empty: Database) -> None:
    move(empty, "0010")
    fill(empty)
    with empty.write_connection() as connection:
        connection.exec_driver_sql("DROP TABLE app_placeholders")
        connection.exec_driver_sql("CREATE TABLE app_placeholders (organization_id INTEGER)")
    before, old_rules = contents(empty), rules(empty)
    with pytest.raises(RuntimeError, match="the table app_placeholders has 0 references fk_app_placeholders_org"):
        move(empty, "0011")
    assert (contents(empty), rules(empty), empty.revision()) == (before, old_rules, "0010")
    with empty.engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA integrity_check").scalar_one() == "ok"
        assert connection.exec_driver_sql("PRAGMA writable_schema").scalar_one() == 0


@pytest.fixture(params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    if request.param == "postgresql":
        with scratch_postgresql() as opened:
            yield opened
    else:
        yield request.getfixturevalue("empty")


def test_the_migrations_make_what_the_models_say(engine: Database) -> None:
    own_history().upgrade(engine)
    with engine.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "render_as_batch": True})
        assert compare_metadata(context, Base.metadata) == []


def is_unique(database: Database) -> bool:
    """Whether each version has a key of its own."""
    with database.engine.connect() as connection:
        inspector = sa.inspect(connection)
        unique = {tuple(each["column_names"]) for each in inspector.get_unique_constraints("versions")}
        return ("key",) in unique


def test_content_can_be_shared_in_a_filled_database_that_keeps_every_row(engine: Database) -> None:
    move(engine, "0011")
    fill(engine)
    with engine.write_connection() as connection:
        versions = sa.Table("versions", sa.MetaData(), autoload_with=connection)
        row = connection.execute(sa.select(versions)).mappings().one()
        connection.execute(
            versions.insert(), [{**row, "id": n, "uid": UID.format(n), "key": KEY.format(n)} for n in range(2, 500)]
        )
        connection.execute(sa.text(f"UPDATE nodes SET uid = '{UID.format(7)}'"))
    before = contents(engine)
    assert all(before.values())
    assert is_unique(engine)
    move(engine, "0012")
    assert not is_unique(engine)
    with engine.engine.connect() as connection:
        # The index has all keys.
        for n in (2, 250, 499):
            assert connection.scalar(sa.text(f"SELECT id FROM versions WHERE \"key\" = '{KEY.format(n)}'")) == n
        # The old rows are as they were, in front of the new columns; and the newest version knows its file.
        for table, rows in before.items():
            columns = len(rows[0])
            after = connection.execute(sa.text(f"SELECT * FROM {table} ORDER BY 1, 2")).all()
            assert sorted(tuple(each)[:columns] for each in after) == sorted(rows), table
        assert connection.execute(sa.text("SELECT id, file_uid FROM versions WHERE id < 3 ORDER BY id")).all() == [
            (1, UID.format(7)),
            (2, None),
        ]
    move(engine, "0011")
    after = contents(engine)
    assert {table: sorted(rows) for table, rows in after.items()} == {
        table: sorted(rows) for table, rows in before.items()
    }
    assert is_unique(engine)
    again = sa.text(f"UPDATE versions SET \"key\" = '{KEY.format(2)}' WHERE id = 3")
    with pytest.raises(sa.exc.IntegrityError), engine.write_connection() as connection:
        connection.execute(again)
    move(engine, "0012")
    with engine.write_connection() as connection:
        connection.execute(again)
        shared = sa.text(f"SELECT id FROM versions WHERE \"key\" = '{KEY.format(2)}' ORDER BY id")
        assert connection.scalars(shared).all() == [2, 3]
    with pytest.raises(RuntimeError, match="some files share their content with a copy"):
        move(engine, "0011")
    assert not is_unique(engine)
    move(engine, edge_server.data.migrations.HEAD)
    with engine.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "render_as_batch": True})
        assert compare_metadata(context, Base.metadata) == []


def test_the_migrations_of_each_engine_end_where_the_code_says(engine: Database) -> None:
    move(engine, edge_server.data.migrations.HEAD)
    with engine.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "render_as_batch": True})
        assert compare_metadata(context, Base.metadata) == []


def test_what_is_held_already_is_counted(engine: Database) -> None:
    move(engine, "0018")
    fill(engine)
    with engine.write_connection() as connection:
        connection.execute(sa.text("UPDATE uploads SET version_id = NULL"))
        connection.execute(sa.text("UPDATE versions SET size = 5, removed_at = NULL, collected_at = NULL"))
        versions = sa.Table("versions", sa.MetaData(), autoload_with=connection)
        row = connection.execute(sa.select(versions)).mappings().one()
        for n, key, size, removed, collected in (
            (2, row["key"], 5, DAY, None),  # a newest version shares it
            (3, "a", 7, DAY, None),
            (4, "a", 7, DAY, None),
            (5, "b", 100, DAY, DAY),
        ):
            more = {"id": n, "uid": f"u{n}", "key": key, "size": size, "removed_at": removed, "collected_at": collected}
            connection.execute(versions.insert(), {**row, **more})
        connection.execute(sa.text("UPDATE upload_parts SET size = 3"))
    move(engine, "0019")
    with engine.engine.connect() as connection:
        assert connection.scalar(sa.text("SELECT deleted_bytes FROM organizations WHERE id = 1")) == 7
        held = connection.execute(sa.text("SELECT reserved_bytes, held_bytes, replaced_bytes FROM uploads")).one()
        assert held == (3, 3, 0)
        assert connection.execute(sa.text("SELECT upload_id, n, size FROM upload_space")).all() == [(1, 1, 3)]
    move(engine, "0018")


def test_lines_of_the_audit_learn_whose_they_are(engine: Database) -> None:
    move(engine, "0019")
    fill(engine)
    with engine.write_connection() as connection:
        connection.execute(sa.text("UPDATE users SET user_name = 'ada'"))
        lines = sa.Table("audit_lines", sa.MetaData(), autoload_with=connection, resolve_fks=False)
        row = connection.execute(sa.select(lines)).mappings().one()
        created = connection.execute(sa.text("SELECT created_at FROM users")).scalar_one()
        created = dt.datetime.fromisoformat(created) if isinstance(created, str) else created
        connection.execute(lines.delete())
        for n, name, moment in (
            (1, "ada", created),
            (2, "ada", created - dt.timedelta(days=1)),
            (3, "eve", created + dt.timedelta(days=1)),
            (4, "(anyone)", created + dt.timedelta(days=1)),
        ):
            connection.execute(lines.insert(), {**row, "id": n, "user_name": name, "at": moment})
    move(engine, "0020")
    with engine.engine.connect() as connection:
        assert connection.scalars(sa.text("SELECT user_id FROM audit_lines ORDER BY id")).all() == [1, None, None, None]
    move(engine, "0019")


def fill_versions(database: Database) -> None:
    """Fill the database, with a second version that no file and nobody's name goes with."""
    fill(database)
    with database.write_connection() as connection:
        versions = sa.Table("versions", sa.MetaData(), autoload_with=connection)
        row = connection.execute(sa.select(versions)).mappings().one()
        connection.execute(versions.insert(), {**row, "id": 7, "uid": UID.format(7), "file_uid": None})


def test_versions_take_half_the_bytes_and_keep_their_text(engine: Database) -> None:
    move(engine, "0020")
    fill_versions(engine)
    before = contents(engine)
    move(engine, "0021")
    with engine.engine.connect() as connection:
        stored = connection.execute(sa.text('SELECT uid, file_uid, "key", sha256 FROM versions ORDER BY id')).all()
        lengths = [[None if value is None else len(value) for value in row] for row in stored]
        assert lengths == [[16, 16, 20, 32], [16, None, 20, 32]]
        columns = (Version.uid, Version.file_uid, Version.key, sa.literal_column("sha256", HexBytes()))
        assert connection.execute(sa.select(*columns).order_by(Version.id)).all() == [
            (UID.format(1), UID.format(1), KEY.format(1), DIGEST),
            (UID.format(7), None, KEY.format(1), DIGEST),
        ]
        # What is not written as the server writes it is nobody's id.
        for uid in ("", "x", f"{{{UID.format(7)}}}", UID.format(7).replace("-", ""), bytes(16).decode()):
            assert connection.execute(sa.select(Version.id).where(Version.uid == uid)).all() == []
        assert connection.scalar(sa.select(Version.id).where(Version.uid == UID.format(7))) == 7
        inspector = sa.inspect(connection)
        assert {key["name"] for key in inspector.get_foreign_keys("versions")} >= {"fk_versions_created_by"}
        if engine.engine.dialect.name == "sqlite":
            assert connection.exec_driver_sql("PRAGMA foreign_key_check").first() is None
            assert connection.exec_driver_sql("PRAGMA integrity_check").scalar_one() == "ok"
    with pytest.raises(sa.exc.IntegrityError), engine.write_connection() as connection:
        connection.execute(sa.update(Version).where(Version.id == 7).values(uid=UID.format(1)))
    move(engine, "0020")
    assert contents(engine) == before


def test_what_was_stored_before_keeps_its_sha256_as_its_digest(engine: Database) -> None:
    move(engine, "0020")
    fill(engine)
    move(engine, "0024")
    with engine.write_connection() as connection:
        versions = sa.table("versions", sa.column("sha256", HexBytes()))
        connection.execute(versions.update().values(sha256=DIGEST))
    before = contents(engine)
    move(engine, "0025")
    with engine.read() as session:
        version = session.scalars(sa.select(Version)).one()
        assert (version.digest, version.part_size) == (DIGEST, None)
        organization_id = version.organization_id
    move(engine, "0024")
    assert contents(engine) == before
    # Of content in parts an older server knows what its uploader stated of all of it.
    move(engine, "0025")
    with engine.write(SERVER) as session:
        session.execute(sa.update(Version).values(digest="0" * 64, part_size=1))
        queries.add_part_digests(session, organization_id, version.key, [bytes(32)], DIGEST)
    move(engine, "0024")
    assert contents(engine) == before


KILLED = """
import os, signal, sys
from pathlib import Path
import sqlalchemy as sa
from edge_server.data.database import Database
from edge_server.data.migration import own_history

database = Database(Path(sys.argv[1]))

@sa.event.listens_for(database.engine, "before_cursor_execute")
def kill(connection, cursor, statement, *_):
    if statement.startswith("INSERT INTO versions "):
        os.kill(os.getpid(), signal.SIGKILL)

own_history().upgrade(database)
"""
"""A migration that is killed when the old table is gone and the new one is empty."""


@sqlite_only("a table that is copied")
def test_a_migration_that_is_killed_begins_again(empty: Database) -> None:
    move(empty, "0020")
    fill_versions(empty)
    before = contents(empty)
    empty.close()
    killed = subprocess.run([sys.executable, "-c", KILLED, str(path_of(empty))], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert contents(empty) == before
    assert empty.revision() == "0020"
    move(empty, "0021")
    with empty.engine.connect() as connection:
        assert connection.scalars(sa.select(Version.uid).order_by(Version.id)).all() == [UID.format(1), UID.format(7)]


@sqlite_only("its schema, which is rewritten as text")
def test_a_connection_that_is_open_meanwhile_sees_the_index(empty: Database) -> None:
    move(empty, "0011")
    fill(empty)
    key = f"SELECT id FROM versions WHERE key = '{KEY.format(1)}'"
    with contextlib.closing(sqlite3.connect(path_of(empty))) as other:
        for revision, index in (("0012", "ix_versions_key"), ("0011", "sqlite_autoindex_versions_2")):
            assert other.execute(key).fetchall() == [(1,)]
            move(empty, revision)
            assert other.execute(key).fetchall() == [(1,)]
            assert index in [row[1] for row in other.execute("PRAGMA index_list(versions)")]
            assert other.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


@sqlite_only("its schema, which is rewritten as text")
def test_versions_with_another_schema_stay_as_they_were(empty: Database) -> None:
    move(empty, "0011")
    fill(empty)
    with empty.write_connection() as connection:
        connection.exec_driver_sql("DROP TABLE upload_parts")
        connection.exec_driver_sql("DROP TABLE uploads")
        connection.exec_driver_sql("DROP TABLE nodes")
        connection.exec_driver_sql("DROP TABLE versions")
        connection.exec_driver_sql("CREATE TABLE versions (uid TEXT UNIQUE, key TEXT UNIQUE)")
        connection.exec_driver_sql("INSERT INTO versions VALUES ('a', 'b')")
    with pytest.raises(RuntimeError, match="the table versions has 0 constraints uq_versions_key"):
        move(empty, "0012")
    assert empty.revision() == "0011"
    assert contents(empty)["versions"] == [("a", "b")]
    with empty.engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA integrity_check").scalar_one() == "ok"
        assert connection.exec_driver_sql("PRAGMA writable_schema").scalar_one() == 0


def test_each_reference_to_an_organization_or_a_user_says_what_goes_with_it() -> None:
    assert len([key for owner in ownership.OWNERS for key in references_to(owner)]) > 20
    assert ownership.undecided(Base.metadata) == []
    # Who made something is a user for ever.
    assert {str(key.parent) for key in references_to("users") if key.ondelete == "RESTRICT"} == {
        "versions.created_by",
        "uploads.created_by",
        "invitations.created_by",
        "departures.user_id",
    }


def references_to(owner: str) -> list[sa.ForeignKey]:
    return [
        key for table in Base.metadata.sorted_tables for key in table.foreign_keys if key.column.table.name == owner
    ]


def test_older_code_finds_no_limited_token(engine: Database) -> None:
    move(engine, "0015")
    fill(engine)
    before = contents(engine)
    move(engine, "0016")
    tokens = sa.table("tokens", *map(sa.column, ("id", "uid", "scopes")))
    with engine.write_connection() as connection:
        reflected = sa.Table("tokens", sa.MetaData(), autoload_with=connection)
        row = connection.execute(sa.select(reflected)).mappings().one()
        limited = {**row, "id": 2, "uid": "limited", "digest": "d2", "scopes": ["files"]}
        connection.execute(reflected.insert(), limited)
        assert connection.execute(sa.select(tokens.c.scopes).where(tokens.c.id == row["id"])).scalar_one() is None
    move(engine, "0015")
    assert contents(engine) == before


def test_folders_learn_how_many_levels_are_below_them(engine: Database) -> None:
    move(engine, "0016")
    with engine.write_connection() as connection:
        tables = ownership.tables_of(connection).tables
        connection.execute(
            tables["organizations"].insert(),
            {"id": 1, "name": "lab", "title": "Lab", "status": "active", "created_at": DAY, "revision": 1}
            | dict.fromkeys(["disable_launch", "shutdown_apps", "active"], False)
            | {"uid": "o"},
        )
        # By id: parent. The file is in 5, and folders that were moved are older than those they are in.
        parents = {9: None, 5: 9, 2: 5, 3: 2, 1: 3, 8: 9}
        rows = [
            {"id": folder, "uid": str(folder), "organization_id": 1, "parent_id": None, "name": str(folder)}
            | {"modified_at": DAY, "removed_at": DAY if folder != 9 else None}
            for folder in parents
        ]
        connection.execute(tables["nodes"].insert(), rows)
        for folder, parent in parents.items():
            place = tables["nodes"].update().where(tables["nodes"].c.id == folder)
            connection.execute(place.values(parent_id=parent, removed_at=None))
    move(engine, "0017")
    with engine.engine.connect() as connection:
        heights = {row.id: row.height for row in connection.execute(sa.text("SELECT id, height FROM nodes"))}
    assert heights == {9: 4, 5: 3, 2: 2, 3: 1, 1: 0, 8: 0}
    move(engine, "0016")
