"""A scratch database on the machine's PostgreSQL, for what the server will keep there as well."""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import sqlalchemy as sa

from edge_server.data import database
from edge_server.data.database import Database
from edge_server.data.migration import own_history

VARIABLE = "EDGE_TEST_POSTGRES"


@contextlib.contextmanager
def scratch_postgresql() -> Iterator[Database]:
    """An empty database; the test is skipped only where nobody listens at the server's address."""
    address = os.environ.get(VARIABLE, "postgres@127.0.0.1:5432")
    parts = urlsplit(f"//{address}")
    host, port = parts.hostname or "127.0.0.1", parts.port or 5432
    try:
        socket.create_connection((host, port), 5).close()
    except OSError:
        pytest.skip(f"nobody answers for PostgreSQL at {host}:{port}; name another in {VARIABLE}")
    name = f"edge_server_{secrets.token_hex(6)}"
    url = sa.URL.create("postgresql+psycopg", parts.username, parts.password, host, port, "postgres")
    outside = sa.create_engine(url, isolation_level="AUTOCOMMIT")
    with outside.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    opened = Database(url.set(database=name), 4)
    try:
        yield opened
    finally:
        opened.close()
        with outside.connect() as connection:
            connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")
        outside.dispose()


@pytest.fixture(params=["sqlite", "postgresql"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A database with our tables, on each of the two."""
    if request.param == "sqlite":
        with contextlib.closing(Database(tmp_path / database.FILE_NAME)) as own:
            own_history().upgrade(own)
            yield own
    else:
        with scratch_postgresql() as own:
            own_history().upgrade(own)
            yield own
