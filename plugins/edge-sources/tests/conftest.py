"""What the tests of sources share: real engines, and people in an organization on a live server."""

from __future__ import annotations

import http.server
import os
import secrets
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy

from edge_core.session import EdgeSession
from edge_server.testing.pytest_plugin import Join
from edge_sources.s3 import S3Connection
from edge_sources.sql import SQLConnection
from tests import object_stores
from tests.object_stores import Store

from . import engines
from .engines import Database, Server
from .pets import Pets


def pytest_terminal_summary(terminalreporter: Any) -> None:
    # From the reports, as another process may have run the tests.
    reasons = {str(report.longrepr[2]) for report in terminalreporter.stats.get("skipped", ())}
    for reason in sorted(reason for reason in reasons if "nobody answers for" in reason):
        terminalreporter.write_line(f"NOT TESTED: {reason.partition(': ')[2]}", red=True, bold=True)


@pytest.fixture(autouse=True)
def no_aws_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "REQUESTS_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A running object store."""
    with object_stores.juicefs(tmp_path_factory.mktemp("store")) as running:
        yield running


@pytest.fixture(scope="session")
def seaweedfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A running object store of another kind."""
    with object_stores.seaweedfs(tmp_path_factory.mktemp("weed")) as running:
        yield running


@pytest.fixture
def bucket(store: Store) -> S3Connection:
    """A connection to a fresh bucket."""
    return bucket_of(store)


@pytest.fixture
def amazon() -> Iterator[S3Connection]:
    """A connection to a fresh bucket of a store that keeps any key as it is, as Amazon's does; it is simulated."""
    import moto

    with moto.mock_aws():
        yield bucket_of(Store("", "key", "secret"))


def bucket_of(store: Store) -> S3Connection:
    connection = S3Connection("plates", "Plates", f"b{secrets.token_hex(6)}", *store)
    connection.client().create_bucket(Bucket=connection.bucket)
    return connection


def postgres_server() -> Server:
    return engines.server("postgresql", "EDGE_TEST_POSTGRES", "postgres@127.0.0.1:5432")


def mariadb_server() -> Server:
    return engines.server("mariadb", "EDGE_TEST_MARIADB", "root@127.0.0.1:3306")


def admin(server: Server, database: str | None) -> sqlalchemy.Engine:
    connection = SQLConnection(
        "admin", "", server.host, server.port, server.kind, database, server.admin, server.admin_password
    )
    return connection.engine.execution_options(isolation_level="AUTOCOMMIT")


@pytest.fixture(scope="session")
def postgres() -> Iterator[Database]:
    """A scratch database on PostgreSQL."""
    server = postgres_server()
    mark, password = secrets.token_hex(6), secrets.token_hex(12)
    database = Database(server.kind, server.host, server.port, f"edge_{mark}", f"user_{mark}", password)
    engine = admin(server, "postgres")
    with engine.connect() as connection:
        connection.exec_driver_sql(f"CREATE USER {database.username} PASSWORD '{password}'")
        connection.exec_driver_sql(f"CREATE DATABASE {database.name} OWNER {database.username}")
    yield database
    with engine.connect() as connection:
        connection.exec_driver_sql(f"DROP DATABASE {database.name} WITH (FORCE)")
        connection.exec_driver_sql(f"DROP USER {database.username}")
    engine.dispose()


@pytest.fixture(scope="session")
def mariadb() -> Iterator[Database]:
    """A scratch database on MariaDB."""
    server = mariadb_server()
    mark, password = secrets.token_hex(6), secrets.token_hex(12)
    database = Database(server.kind, server.host, server.port, f"edge_{mark}", f"user_{mark}", password)
    engine = admin(server, None)
    with engine.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {database.name}")
        connection.exec_driver_sql(f"CREATE USER {database.username}@'%%' IDENTIFIED BY '{password}'")
        connection.exec_driver_sql(f"CREATE USER {database.username}@localhost IDENTIFIED BY '{password}'")
        connection.exec_driver_sql(f"GRANT ALL ON {database.name}.* TO {database.username}@'%%'")
        connection.exec_driver_sql(f"GRANT ALL ON {database.name}.* TO {database.username}@localhost")
    yield database
    with engine.connect() as connection:
        connection.exec_driver_sql(f"DROP DATABASE {database.name}")
        connection.exec_driver_sql(f"DROP USER {database.username}@'%%'")
        connection.exec_driver_sql(f"DROP USER {database.username}@localhost")
    engine.dispose()


@pytest.fixture(params=["postgresql", "mariadb", "mysql", "sqlite"])
def database(request: pytest.FixtureRequest, tmp_path: Any) -> Iterator[SQLConnection]:
    """A connection to a scratch database of each kind."""
    if request.param == "sqlite":
        path = tmp_path / "runs.sqlite3"
        path.touch()
        lims = SQLConnection("lims", "LIMS", db_kind="sqlite", db_name=str(path))
    else:
        scratch = request.getfixturevalue("postgres" if request.param == "postgresql" else "mariadb")
        lims = connection_of(scratch._replace(kind=request.param))
    yield lims
    with lims.engine.begin() as connection:
        metadata = sqlalchemy.MetaData()
        metadata.reflect(lims.engine)
        metadata.drop_all(connection)
    lims.engine.dispose()


def connection_of(database: Database, **more: Any) -> SQLConnection:
    content = {"host": database.host, "port": database.port, "db_kind": database.kind, "db_name": database.name}
    content |= {"username": database.username, "password": database.password}
    return SQLConnection("lims", "LIMS", **{**content, **more})


@pytest.fixture
def ada(edge_join: Join) -> EdgeSession:
    """A plain member."""
    return edge_join()


@pytest.fixture
def dev(edge_join: Join) -> EdgeSession:
    """A developer of the organization."""
    return edge_join("developer")


@pytest.fixture
def shop() -> Iterator[http.server.ThreadingHTTPServer]:
    """A running pet shop."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Pets) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def url(shop: http.server.ThreadingHTTPServer) -> str:
    """Its address."""
    return f"http://127.0.0.1:{shop.server_address[1]}"
