"""pgbouncer in transaction mode before PostgreSQL: each transaction may get another connection."""

from __future__ import annotations

import concurrent.futures
import contextlib
import os
import re
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa

from edge_server.base.problems import CannotStart
from edge_server.data import postgresql
from edge_server.data.database import Address, Database
from edge_server.run import data_folder, start
from edge_server.testing.local_server import EdgeServer
from tests.programs import program

from .postgresql import scratch_postgresql
from .test_audit import World
from .test_crosswise import ALL
from .wire import close_all

CONNECTIONS = 8
"""How many the pooler has to PostgreSQL: fewer than the threads of a server."""


class Pooler:
    """A pgbouncer before a scratch database."""

    def __init__(self, program: str, folder: Path, behind: Database) -> None:
        assert isinstance(behind.address, sa.URL)
        self.behind = behind
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.url = behind.address.set(host="127.0.0.1", port=free.getsockname()[1])
        self._arguments = (program, folder / "pgbouncer.ini")
        self._log = folder / "pgbouncer.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *settings: str) -> None:
        """Start it, or start it anew with other settings."""
        self.stop()
        address = self.behind.address
        assert isinstance(address, sa.URL)
        password = "" if address.password is None else f" password={address.password}"
        lines = [
            "[databases]",
            f"* = host={address.host} port={address.port} user={address.username}{password}",
            "[pgbouncer]",
            "listen_addr = 127.0.0.1",
            f"listen_port = {self.url.port}",
            "auth_type = any",
            "pool_mode = transaction",
            f"default_pool_size = {CONNECTIONS}",
            "max_client_conn = 200",
            "unix_socket_dir =",
            *(["user = nobody"] if os.geteuid() == 0 else []),  # it runs as anybody but root
            *settings,
        ]
        self._arguments[1].write_text("\n".join(lines) + "\n")
        with open(self._log, "wb") as log:
            self._process = subprocess.Popen(self._arguments, stdout=log, stderr=log)
        deadline = time.monotonic() + 60
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.url.port or 0), 5):
                return
            assert self._process.poll() is None, self._log.read_text()
            assert time.monotonic() < deadline, self._log.read_text()
            time.sleep(0.01)

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(60)


@pytest.fixture
def pooler(tmp_path: Path) -> Iterator[Pooler]:
    pgbouncer = program("pgbouncer", "apt-get install pgbouncer")
    with scratch_postgresql() as behind:
        own = Pooler(pgbouncer, tmp_path, behind)
        try:
            yield own
        finally:
            own.stop()


@pytest.fixture
def pooled(pooler: Pooler) -> sa.URL:
    """An address behind a pooler that is set up as the guide says."""
    with pooler.behind.write_connection() as connection:
        whose = connection.exec_driver_sql(postgresql._WHOSE).scalar_one()
        for name, value in postgresql.SETTINGS.items():
            connection.exec_driver_sql(f"ALTER ROLE {whose} SET {name} = '{value}'")
    pooler.start("ignore_startup_parameters = options")
    return pooler.url.update_query_dict({postgresql.PREPARING: "none"})


def refusal(url: sa.URL, folder: Path) -> str:
    """Why a server does not start behind a pooler."""
    with contextlib.closing(Database(url, 1)) as opened:
        with pytest.raises(CannotStart) as caught, data_folder.explained(folder):
            start.require_usable(opened)
        return str(caught.value)


def test_a_server_tells_what_a_pooler_needs(pooler: Pooler, tmp_path: Path) -> None:
    pooler.start()
    assert refusal(pooler.url, tmp_path).endswith(
        "unsupported startup parameter: options); set ignore_startup_parameters = options there"
    )
    pooler.start("ignore_startup_parameters = options")
    in_schema = pooler.url.update_query_dict({"options": "-csearch_path=own"})
    sentence = refusal(in_schema, tmp_path)
    assert "drops what connections ask for; run `ALTER ROLE " in sentence
    (statements,) = re.findall("`(.*)`", sentence)
    assert re.findall(r"SET (\w+) = '(\w+)';", statements) == [
        ("idle_in_transaction_session_timeout", "600s"),
        ("lock_timeout", "30s"),
        ("search_path", "own"),
        ("statement_timeout", "60s"),
    ]
    with pooler.behind.write_connection() as connection:
        connection.exec_driver_sql(statements)
        connection.exec_driver_sql("CREATE SCHEMA own")
    pooler.start("ignore_startup_parameters = options")
    assert "; add prepare_threshold=none to [database] url" in refusal(in_schema, tmp_path)
    with contextlib.closing(Database(in_schema.update_query_dict({"prepare_threshold": "none"}), 1)) as opened:
        start.require_usable(opened)
        with opened.read() as session:
            assert session.scalar(sa.text("SELECT current_schema()")) == "own"


def test_how_much_is_prepared_is_a_number_or_nothing() -> None:
    field, address = Address(), "postgresql://edge@db.example.com/edge?prepare_threshold="
    for value in ("none", "None", "0", "20"):
        assert field.deserialize(address + value) == address + value
    with pytest.raises(Exception, match="write a number as prepare_threshold, or none"):
        field.deserialize(address + "some")
    assert postgresql._arguments({})["options"].startswith("-c lock_timeout=30s ")
    assert postgresql._arguments({postgresql.PREPARING: "none"})[postgresql.PREPARING] is None
    assert postgresql._arguments({postgresql.PREPARING: "20"})[postgresql.PREPARING] == 20


def test_a_task_runs_on_a_single_host_at_a_time(pooler: Pooler, pooled: sa.URL) -> None:
    with contextlib.closing(Database(pooled, 1)) as here, contextlib.closing(Database(pooled, 1)) as there:
        with here.alone("removal") as mine:
            for n in range(2 * CONNECTIONS):  # whatever connections these get
                with there.write(n) as session:
                    session.execute(sa.text("SELECT 1"))
            with there.alone("removal") as theirs, there.alone("pruning") as other:
                assert (mine, theirs, other) == (True, False, True)
            with pooler.behind.read() as session:
                lines = session.execute(
                    sa.text(
                        "SELECT backend_xmin, backend_xid FROM pg_stat_activity WHERE state = 'idle in transaction' "
                        "AND datname = current_database() AND pid <> pg_backend_pid()"
                    )
                ).all()
                assert [tuple(line) for line in lines] == [(None, None)], "it keeps no row from being cleared away"
        with there.alone("removal") as theirs:
            assert theirs


@pytest.mark.slow
def test_a_server_behind_a_pooler_does_all_operations(pooler: Pooler, pooled: sa.URL, tmp_path: Path) -> None:
    server = EdgeServer(tmp_path / "data", database_url=pooled.render_as_string(hide_password=False))
    with contextlib.closing(server):
        server.start("--workers", "2", "--threads", "8")
        worlds = [World(server) for _ in range(3)]

        def go_through(world: World) -> list[tuple[str, str]]:
            answers = [(operation, recipe(world)) for operation, recipe in ALL.items()]
            return [(operation, answer.text) for operation, answer in answers if answer.status_code >= 300]

        with concurrent.futures.ThreadPoolExecutor(len(worlds)) as pool:
            assert [failed for world in pool.map(go_through, worlds) for failed in world] == []
        with psycopg.connect(
            pooler.url.set(drivername="postgresql").render_as_string(hide_password=False)
        ) as connection:
            row = connection.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND client_port IS NOT NULL"
            ).fetchone()
            assert row is not None
            assert row[0] <= CONNECTIONS + 1  # and that of the scratch database
        close_all()
        assert server.stop() == 0
        assert "Traceback" not in server.log
        assert "failed" not in server.log
