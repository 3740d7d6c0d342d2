"""PostgreSQL under the server: who waits for whom, what its errors say, and which database is refused."""

from __future__ import annotations

import concurrent.futures
import contextlib
import datetime as dt
import re
import secrets
import threading
from collections.abc import Iterator
from pathlib import Path

import flask
import psycopg
import pytest
import sqlalchemy as sa
from alembic import command
from click.testing import CliRunner

from edge_server.base import clock, problems
from edge_server.base.configuration import Configuration
from edge_server.base.problems import CannotStart
from edge_server.data import database, postgresql
from edge_server.data.database import SERVER, Database, NotMigrated, of_user
from edge_server.data.migration import migrate, own_history
from edge_server.data.migrations import HEAD
from edge_server.keys import sealing
from edge_server.run import data_folder, start
from edge_server.run.command import server
from edge_server.web import idempotency_keys
from edge_server.web.idempotency_keys import IdempotencyKey

from .postgresql import scratch_postgresql
from .stores import FOLDER, kind

PASSWORD = "hunter2-kept"


@pytest.fixture(scope="module")
def scratch() -> Iterator[sa.URL]:
    """A database that is empty but for what the tests here leave."""
    with scratch_postgresql() as opened:
        assert isinstance(opened.address, sa.URL)
        yield opened.address


@pytest.fixture
def opened(scratch: sa.URL) -> Iterator[Database]:
    with contextlib.closing(Database(impatient(scratch), 4)) as own:
        yield own


def impatient(url: sa.URL) -> sa.URL:
    return url.update_query_dict({"options": "-c lock_timeout=100ms"})


def raised(opened: Database, sqlstate: str) -> sa.exc.DBAPIError:
    """What the driver makes of an error of that SQLSTATE."""
    with pytest.raises(sa.exc.DBAPIError) as caught, opened.write(1) as session:
        session.execute(sa.text(f"DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '{sqlstate}'; END $$"))
    return caught.value


def answer(error: Exception) -> tuple[int, str, str | None]:
    """Status, code and Retry-After of the answer to a request that ends in an error."""
    app = flask.Flask("edge_server")
    problems.install(app)

    @app.get("/")
    def fail() -> str:
        raise error

    sent = app.test_client().get("/")
    return sent.status_code, sent.json["code"], sent.headers.get("Retry-After")


WAITING = [
    (7, 7, True),
    (7, 8, False),
    (7, of_user(7), False),
    (of_user(7), of_user(7), True),
    (7, SERVER, True),
    (SERVER, 7, True),
    (SERVER, of_user(7), True),
    (SERVER, SERVER, True),
]


@pytest.mark.parametrize(("first", "second", "waits"), WAITING)
def test_who_writes_the_same_waits_and_writers_of_two_organizations_do_not(
    opened: Database, first: int, second: int, waits: bool
) -> None:
    with opened.write(first):
        if not waits:
            with opened.write(second):
                return
        with pytest.raises(sa.exc.OperationalError) as caught, opened.write(second):
            pass
    assert answer(caught.value) == (503, "busy", "1")
    with opened.write(second):  # the lock ended with its transaction
        pass


def test_nobody_who_reads_waits_or_sees_a_change_meanwhile(opened: Database) -> None:
    with opened.write(SERVER) as session:
        session.execute(sa.text("CREATE TABLE IF NOT EXISTS seen (n int)"))
    count = sa.text("SELECT count(*) FROM seen")
    with opened.read() as reading:
        before = reading.scalar(count)
        with opened.write(SERVER) as session:
            session.execute(sa.text("INSERT INTO seen VALUES (1)"))
        assert reading.scalar(count) == before
    with opened.write(SERVER) as session:
        session.execute(sa.text("DROP TABLE seen"))


def test_a_transaction_that_reads_adds_a_single_statement(opened: Database) -> None:
    with opened.read() as session:
        connection = session.connection().connection.driver_connection
        assert isinstance(connection, psycopg.Connection)
        assert connection.info.transaction_status == psycopg.pq.TransactionStatus.IDLE  # BEGIN comes with the first
        kinds = sa.text("SELECT current_setting('transaction_isolation'), current_setting('transaction_read_only')")
        assert tuple(session.execute(kinds).one()) == ("repeatable read", "on")
        assert connection.isolation_level == psycopg.IsolationLevel.REPEATABLE_READ
        assert connection.read_only
    with opened.write(1) as session:
        assert tuple(session.execute(kinds).one()) == ("read committed", "off")


def test_what_is_prepared_lasts_beyond_transactions_that_only_read(opened: Database) -> None:
    prepared = sa.text("SELECT name FROM pg_prepared_statements WHERE statement LIKE 'SELECT name%'")
    named = []
    with opened.engine.connect() as connection:
        for _ in range(10):  # more often than psycopg wants to see a statement before
            named.append(connection.scalars(prepared).all())
            connection.rollback()
    assert len(named[-1]) == 1
    assert named[-1] == named[-2]  # and not once more


def test_nothing_is_left_of_a_transaction_that_raises(opened: Database) -> None:
    with contextlib.suppress(ZeroDivisionError), opened.write(SERVER) as session:
        session.execute(sa.text("CREATE TABLE halves (n int)"))
        raise ZeroDivisionError
    with opened.read() as session:
        assert not sa.inspect(session.connection()).has_table("halves")


@pytest.mark.parametrize(
    ("sqlstate", "status", "code"),
    [
        ("55P03", 503, "busy"),  # lock_not_available
        ("40001", 503, "busy"),  # serialization_failure
        ("40P01", 503, "busy"),  # deadlock_detected
        ("53300", 503, "busy"),  # too_many_connections
        ("53100", 507, "insufficient_storage"),  # disk_full
        ("57014", 503, "too_much_work"),  # query_canceled
        ("25006", 503, "storage_failed"),  # read_only_sql_transaction
        ("57P01", 503, "storage_failed"),  # admin_shutdown
        ("58030", 503, "storage_failed"),  # io_error
        ("42P01", 500, "internal"),  # undefined_table
    ],
)
def test_an_error_is_answered_by_its_sqlstate(opened: Database, sqlstate: str, status: int, code: str) -> None:
    sent = answer(raised(opened, sqlstate))
    assert sent[:2] == (status, code)
    assert (sent[2] is None) == (status == 500)


def test_a_connection_that_is_lost_is_a_failure_that_passes(opened: Database, scratch: sa.URL) -> None:
    with pytest.raises(sa.exc.DBAPIError) as caught, opened.read() as session:
        pid = session.scalar(sa.text("SELECT pg_backend_pid()"))
        with contextlib.closing(Database(scratch, 1)) as other, other.read() as ending:
            ending.execute(sa.text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": pid})
        session.execute(sa.text("SELECT 1"))
    assert answer(caught.value)[:2] == (503, "storage_failed")
    with opened.read() as session:
        assert session.scalar(sa.text("SELECT 1")) == 1


def test_what_takes_too_long_is_ended(scratch: sa.URL) -> None:
    hurried = scratch.update_query_dict({"options": "-c statement_timeout=50ms"})
    with contextlib.closing(Database(hurried, 1)) as opened:
        with pytest.raises(sa.exc.OperationalError) as caught, opened.read() as session:
            session.execute(sa.text("SELECT pg_sleep(20)"))
        with opened.write_connection() as connection:  # which migrations use
            connection.execute(sa.text("SELECT pg_sleep(0.2)"))
    assert answer(caught.value)[:2] == (503, "too_much_work")


def test_a_process_opens_a_bounded_number_of_connections(scratch: sa.URL, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgresql, "POOL_TIMEOUT", 0.05)
    monkeypatch.setattr(postgresql, "BACKGROUND", 1)
    with contextlib.closing(Database(scratch, 2)) as opened, contextlib.ExitStack() as stack:
        for n in (1, 2, 3):
            stack.enter_context(opened.write(n))
        with pytest.raises(sa.exc.TimeoutError) as caught, opened.write(4):
            pass
    assert answer(caught.value) == (503, "busy", "1")


def test_a_task_runs_on_a_single_host_at_a_time(scratch: sa.URL) -> None:
    with contextlib.closing(Database(scratch, 1)) as here, contextlib.closing(Database(scratch, 1)) as there:
        with here.alone("removal") as mine, there.alone("removal") as theirs, there.alone("pruning") as other:
            assert (mine, theirs, other) == (True, False, True)
        with there.alone("removal") as theirs:
            assert theirs


def test_hosts_that_start_at_once_migrate_once(tmp_path: Path) -> None:
    with scratch_postgresql() as own:
        hosts = [Database(own.address, 1) for _ in range(3)]
        with concurrent.futures.ThreadPoolExecutor(3) as pool:
            list(pool.map(lambda host: migrate(host, tmp_path / "backups", [own_history()]), hosts))
        for host in hosts:
            host.close()
        assert own.revision() == HEAD
        assert not (tmp_path / "backups").exists()
        start.require_usable(own)


def test_writers_of_two_organizations_in_each_order_meet_no_deadlock(scratch: sa.URL) -> None:
    with contextlib.closing(Database(scratch, 8)) as opened:
        with opened.write_connection() as connection:
            connection.exec_driver_sql("CREATE TABLE counts (id int PRIMARY KEY, n int NOT NULL)")
            connection.exec_driver_sql("INSERT INTO counts VALUES (0, 0), (1, 0), (2, 0)")
        begun = threading.Barrier(8)

        def count(touched: int) -> None:
            begun.wait(60)
            for _ in range(10):
                with opened.write(touched) as session:
                    read = sa.text("SELECT n FROM counts WHERE id = :id")
                    ids = (0, 1, 2) if touched == SERVER else (touched,)
                    for own in ids:
                        n = session.scalar(read, {"id": own})
                        session.execute(sa.text("UPDATE counts SET n = :n WHERE id = :id"), {"id": own, "n": n + 1})

        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            list(pool.map(count, [1, 2, SERVER, 1, 2, SERVER, 1, 2]))
        with opened.read() as session:
            counted = session.execute(sa.text("SELECT n FROM counts ORDER BY id")).scalars().all()
        with opened.write_connection() as connection:
            connection.exec_driver_sql("DROP TABLE counts")
    assert counted == [20, 50, 50]


# --- what cannot be used --------------------------------------------------------------------------


def refusal(tmp_path: Path, url: sa.URL) -> str:
    """Why a server does not start on a database."""
    settings = tmp_path / "site.toml"
    settings.write_text(f'[database]\nurl = "{url.render_as_string(hide_password=False)}"\n')
    settings.chmod(0o600)
    (tmp_path / "data").mkdir(exist_ok=True)
    with pytest.raises(CannotStart) as caught:
        start.prepare(tmp_path / "data", settings)
    assert PASSWORD not in "".join(map(str, (caught.value, caught.value.__cause__, caught.value.__context__)))
    return str(caught.value)


def test_a_database_with_tables_of_others_is_refused_and_a_schema_of_its_own_is_not(
    tmp_path: Path, scratch: sa.URL
) -> None:
    with contextlib.closing(Database(scratch, 1)) as opened:
        with opened.write_connection() as connection:
            connection.exec_driver_sql("CREATE TABLE public.alembic_version (version_num text)")
            connection.exec_driver_sql("CREATE SCHEMA own")
        assert "holds tables that are not the server's (alembic_version)" in refusal(tmp_path, scratch)
        with opened.write_connection() as connection:
            connection.exec_driver_sql("CREATE TABLE public.cheese (id int)")
        assert "not the server's (cheese); give it an empty" in refusal(tmp_path, scratch)
        with contextlib.closing(Database(scratch.update_query_dict({"options": "-csearch_path=own"}), 1)) as in_schema:
            start.require_usable(in_schema)
        with opened.write_connection() as connection:
            connection.exec_driver_sql("DROP TABLE public.alembic_version, public.cheese")
            connection.exec_driver_sql("DROP SCHEMA own")


def test_a_sentence_says_what_cannot_be_used(tmp_path: Path, scratch: sa.URL, monkeypatch: pytest.MonkeyPatch) -> None:
    unreachable = scratch.set(port=1, password=PASSWORD)
    sentence = refusal(tmp_path, unreachable)
    assert sentence.startswith("the database cannot be reached (")
    assert sentence.endswith("); start it, or correct [database] url")
    missing = refusal(tmp_path, scratch.set(database="edge_no_such", password=PASSWORD))
    assert "edge_no_such" in missing
    with monkeypatch.context() as patch:
        patch.setattr(postgresql, "OLDEST", 99)
        assert "; upgrade it to 99 or newer" in refusal(tmp_path, scratch)


def test_a_database_of_another_encoding_and_a_user_without_rights_are_refused(tmp_path: Path, scratch: sa.URL) -> None:
    name = f"edge_server_{secrets.token_hex(6)}"
    outside = sa.create_engine(scratch, isolation_level="AUTOCOMMIT")
    with outside.connect() as connection:
        connection.exec_driver_sql(
            f"CREATE DATABASE {name} ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0"
        )
        connection.exec_driver_sql(f"CREATE ROLE {name} LOGIN")
    try:
        assert "keeps text as LATIN1; make another" in refusal(tmp_path, scratch.set(database=name))
        rights = refusal(tmp_path, scratch.set(username=name, password=PASSWORD))
        assert f"may not make tables in the database {name}@" in rights
    finally:
        with outside.connect() as connection:
            connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")
            connection.exec_driver_sql(f"DROP ROLE {name}")
        outside.dispose()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('FATAL:  password authentication failed for user "edge"\nmore', "does not take the server's password"),
        ("fe_sendauth: no password supplied", "does not take the server's password"),
    ],
)
def test_a_wrong_password_is_in_no_error(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(CannotStart, match=sentence), data_folder.explained(tmp_path):
        raise sa.exc.OperationalError(None, None, psycopg.OperationalError(text))


def test_no_password_of_the_database_is_shown(tmp_path: Path) -> None:
    url = sa.make_url(f"postgresql://edge:{PASSWORD}@127.0.0.1:1/edge?application_name=x")
    path = tmp_path / "site.toml"
    environment = {"EDGE_SERVER_DATABASE_URL": url.render_as_string(hide_password=False)}
    with contextlib.closing(database.of_server(Configuration(path, environment), tmp_path, 2)) as opened:
        assert opened.place == "edge@127.0.0.1:1/edge"
        with pytest.raises(sa.exc.OperationalError) as caught, opened.read() as session:
            session.execute(sa.text("SELECT 1"))
        shown = f"{caught.value}{caught.value.orig}{opened.engine!r}{opened.address!r}{opened!r}{opened.address}"
    assert PASSWORD not in shown


@pytest.mark.parametrize(
    "wrong",
    [
        f"mysql://edge:{PASSWORD}@host/edge",
        f"postgresql://edge:{PASSWORD}@host",
        f"postgresql://edge:{PASSWORD}@host:port/edge",
        f"edge:{PASSWORD}",
        f"postgresql://edge@host/edge?password={PASSWORD}",
    ],
)
def test_a_wrong_address_is_named_and_not_shown(tmp_path: Path, wrong: str) -> None:
    with pytest.raises(CannotStart, match="^EDGE_SERVER_DATABASE_URL: write ") as caught:
        database.of_server(Configuration(tmp_path / "site.toml", {"EDGE_SERVER_DATABASE_URL": wrong}), tmp_path)
    assert PASSWORD not in str(caught.value)
    (tmp_path / "site.toml").write_text(f'[database]\nurl = "{wrong}"\n')
    (tmp_path / "site.toml").chmod(0o644)
    with pytest.raises(CannotStart, match=r"holds a secret \(database\.url\); run `chmod 600`"):
        database.of_server(Configuration(tmp_path / "site.toml"), tmp_path)


def test_settings_of_a_database_without_a_password_may_be_read_by_others(tmp_path: Path) -> None:
    (tmp_path / "site.toml").write_text('[database]\nurl = "postgresql+psycopg://edge@db.example.com/edge"\n')
    (tmp_path / "site.toml").chmod(0o644)
    opened = database.of_server(Configuration(tmp_path / "site.toml"), tmp_path)
    assert (opened.place, opened.is_shared) == ("edge@db.example.com/edge", True)


def test_a_start_leaves_alone_what_another_host_is_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = tmp_path / "data"
    site.mkdir()
    with scratch_postgresql() as opened:
        assert isinstance(opened.address, sa.URL)
        monkeypatch.setenv("EDGE_SERVER_DATABASE_URL", opened.address.render_as_string(hide_password=False))
        engines, _, _ = start.prepare(site)
        store = engines.store.start_upload("u" * 32, engines.store.new_key())
        later = clock.now() + dt.timedelta(minutes=1)
        with opened.write(SERVER) as session:
            claimed = {"key": "k", "fingerprint": "", "claim": "theirs", "claimed_until": later, "expires_at": later}
            idempotency_keys.add(session.connection(), user_id=1, **claimed)
        start.prepare(site)
        with opened.read() as session:
            assert session.scalar(sa.select(IdempotencyKey.claim)) == "theirs"
        assert list(engines.store.uploads()) == [store]


# --- the commands --------------------------------------------------------------------------------


def edge_server(*arguments: str | Path, url: sa.URL, exit_code: int = 0) -> str:
    """What `edge server` writes with a database that the environment names."""
    environment = {"EDGE_SERVER_DATABASE_URL": url.render_as_string(hide_password=False)}
    result = CliRunner().invoke(server, [str(each) for each in arguments], env=environment)
    assert result.exit_code == exit_code, result.output
    return result.output


def test_a_database_with_data_is_migrated_by_its_own_command_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path / "data"
    site.mkdir()
    with scratch_postgresql() as opened:
        assert isinstance(opened.address, sa.URL)
        url = opened.address
        assert (
            edge_server("check", "--data", site, url=url)
            .splitlines()[1]
            .endswith(" is empty; the first start fills it")
        )
        assert (
            edge_server("migrate", "--data", site, url=url) == f"The database is at revision {HEAD}; it was at none\n"
        )
        assert edge_server("migrate", "--data", site, url=url) == f"The database is at revision {HEAD}\n"
        before = _older(opened)
        monkeypatch.setenv("EDGE_SERVER_DATABASE_URL", url.render_as_string(hide_password=False))
        with pytest.raises(NotMigrated, match=r"; `edge server migrate`, after a backup \(pg_dump\), brings it there$"):
            start.prepare(site)
        assert f"at revision {before}; `edge server migrate`" in edge_server("check", "--data", site, url=url)
        shown = edge_server("migrate", "--data", site, url=url)
        assert f"The database is at revision {HEAD}; it was at {before}\n" in shown
        _, _, token = start.prepare(site)
        assert token is not None
        _, _, token = start.prepare(site)  # another host
        assert token is None
        checked = edge_server("check", "--data", site, url=url).splitlines()
        assert [line.partition(":")[0] for line in checked] == ["settings", "database", "keys", "store"]
        assert checked[1].endswith(f" is at revision {HEAD}")
        assert not (site / "backups").exists()
        assert not (site / database.FILE_NAME).exists()


def _older(opened: Database) -> str:
    """Take the database a revision back, and return that."""
    config = own_history().config()
    with opened.write_connection() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "-1")
    revision = opened.revision()
    assert revision not in (None, HEAD)
    return str(revision)


def test_a_check_tells_of_each_engine_that_cannot_be_used(tmp_path: Path, scratch: sa.URL) -> None:
    site = tmp_path / "data"
    (site / sealing.FILE_NAME).mkdir(parents=True)
    shown = edge_server("check", "--data", site, url=scratch.set(port=1, password=PASSWORD), exit_code=1).splitlines()
    assert shown[1].startswith("database: cannot be used: the database cannot be reached (")
    assert shown[2].startswith("keys: cannot be used: ")
    if kind() == FOLDER:
        assert shown[3] == f"store: {site} can be written"
    else:
        assert re.match("store: the bucket .* can be used", shown[3])
    assert PASSWORD not in "".join(shown)
    wrong = scratch.set(drivername="mysql")
    assert edge_server("check", "--data", site, url=wrong, exit_code=1).startswith(
        "settings: cannot be used: EDGE_SERVER"
    )
