"""The tests' servers on PostgreSQL in place of files, if EDGE_TEST_ENGINE says so: each data folder has a schema."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from edge_server.data import database
from edge_server.data.database import Database
from edge_server.testing.local_server import EdgeServer

from .postgresql import scratch_postgresql

VARIABLE = "EDGE_TEST_ENGINE"

ENGINES = ("sqlite", "postgresql")


def bytes_in(opened: Database) -> bytes:
    """All that a database holds: its files, or each row of PostgreSQL as text."""
    if isinstance(opened.address, Path):
        return b"".join(path.read_bytes() for path in opened.address.parent.glob(f"{opened.address.name}*"))
    with opened.engine.connect() as connection:
        connection.exec_driver_sql("SET LOCAL bytea_output = escape")
        rows = [
            row
            for table in sa.inspect(connection).get_table_names()
            for row in connection.scalars(sa.text(f'SELECT kept::text FROM "{table}" AS kept'))
        ]
    return "\n".join(rows).encode()


def environment_of(data: Path) -> dict[str, str]:
    """What has a process use the database that `data` has here."""
    opened = Database(data / database.FILE_NAME)
    return {} if isinstance(opened.address, Path) else {"EDGE_SERVER_DATABASE_URL": url_of(opened)}


def sqlite_only(why: str) -> pytest.MarkDecorator:
    """Leave out a test of what a SQLite file alone has, where the databases of the tests are on PostgreSQL.

    Args:
        why: what it looks into.
    """
    return pytest.mark.skipif(is_postgresql(), reason=f"{VARIABLE} is postgresql, and this looks into SQLite: {why}")


def is_postgresql() -> bool:
    """Whether the databases of the tests are on PostgreSQL."""
    engine = os.environ.get(VARIABLE, "sqlite")
    assert engine in ENGINES, f"{VARIABLE} is one of {', '.join(ENGINES)}"
    return engine == "postgresql"


def url_of(opened: Database) -> str:
    """The address of a database on PostgreSQL, as a setting states it."""
    assert isinstance(opened.address, sa.URL)
    return opened.address.render_as_string(hide_password=False)


@pytest.fixture(scope="session")
def postgresql_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EdgeServer]:
    """A running server whose database is on PostgreSQL, the same one for all tests."""
    with scratch_postgresql() as opened:
        own = EdgeServer(tmp_path_factory.mktemp("on-postgresql") / "data", database_url=url_of(opened))
        own.data.mkdir(mode=0o700)
        (own.data / "server.toml").write_text('[limits]\nfailures = "1000 per second"\n')
        own.start()
        yield own
        own.close()


@pytest.fixture(params=ENGINES)
def each_server(request: pytest.FixtureRequest) -> EdgeServer:
    """A running server on each engine."""
    server: EdgeServer = request.getfixturevalue("edge_server" if request.param == "sqlite" else "postgresql_server")
    return server


@pytest.fixture(scope="session", params=["postgresql"] if is_postgresql() else ENGINES)
def on_each_engine(request: pytest.FixtureRequest, edge_server: EdgeServer) -> EdgeServer:
    """The server on each engine, for a module that calls this `edge_server`."""
    if request.param == "sqlite" or is_postgresql():
        return edge_server
    server: EdgeServer = request.getfixturevalue("postgresql_server")
    return server


@pytest.fixture(scope="session", autouse=True)
def _engine() -> Iterator[list[Database]]:
    """Have each database that would be a file be a schema on PostgreSQL, if the environment says so; gives those."""
    databases: list[Database] = []
    if not is_postgresql():
        yield databases
        return
    with scratch_postgresql() as opened, pytest.MonkeyPatch.context() as patch:
        schemas: dict[str, sa.URL] = {}

        def schema_of(folder: Path) -> sa.URL:
            name = f"d{hashlib.sha256(os.fsencode(folder.absolute())).hexdigest()[:20]}"
            if name not in schemas:
                with opened.write_connection() as connection:
                    connection.exec_driver_sql(f"CREATE SCHEMA {name}")
                assert isinstance(opened.address, sa.URL)
                schemas[name] = opened.address.update_query_dict({"options": f"-csearch_path={name}"})
            return schemas[name]

        make_database, make_server = Database.__init__, EdgeServer.__init__

        def on_postgresql(self: Database, address: Path | sa.URL, threads: int = database.THREADS) -> None:
            if isinstance(address, Path) and address.name == database.FILE_NAME:
                address = schema_of(address.parent)
                databases.append(self)
            make_database(self, address, threads)

        def in_schema(self: EdgeServer, data: Path, **options: Any) -> None:
            url = schema_of(data).render_as_string(hide_password=False)
            make_server(self, data, **{"database_url": url, **options})

        patch.setattr(Database, "__init__", on_postgresql)
        patch.setattr(EdgeServer, "__init__", in_schema)
        yield databases


@pytest.fixture(autouse=True)
def _connections_closed(_engine: list[Database]) -> Iterator[None]:
    """Close what a test left open, as the end of its process would: PostgreSQL has a hundred connections."""
    yield
    while _engine:
        _engine.pop().close()
