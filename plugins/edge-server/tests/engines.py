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


@pytest.fixture(scope="session", autouse=True)
def _engine() -> Iterator[None]:
    """Have each database that would be a file be a schema on PostgreSQL, if the environment says so."""
    if os.environ.get(VARIABLE, "sqlite") == "sqlite":
        yield
        return
    assert os.environ[VARIABLE] == "postgresql", f"{VARIABLE} is one of {', '.join(ENGINES)}"
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
            make_database(self, address, threads)

        def in_schema(self: EdgeServer, data: Path, **options: Any) -> None:
            url = schema_of(data).render_as_string(hide_password=False)
            make_server(self, data, **{"database_url": url, **options})

        patch.setattr(Database, "__init__", on_postgresql)
        patch.setattr(EdgeServer, "__init__", in_schema)
        yield
