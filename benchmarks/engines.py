"""Databases on a PostgreSQL of this machine, for benchmarks that also measure the server there."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator
from pathlib import Path

import sqlalchemy as sa

from benchmarks.measuring import running_seconds


class Postgresql:
    """An empty database.

    Args:
        outside: engine of the database `postgres`, without transactions.
        name: the database's name.

    Attributes:
        url: address of the database.
    """

    def __init__(self, outside: sa.Engine, name: str) -> None:
        self._outside = outside
        self._name = name
        self.url = outside.url.set(database=name)

    def settings(self, data: Path) -> None:
        """Write into a data folder that the server's database is this one."""
        file = data / "server.toml"
        file.write_text(f'[database]\nurl = "{self.url.render_as_string(hide_password=False)}"\n')
        file.chmod(0o600)

    def cpu(self) -> float:
        """CPU seconds that the processes have used so far which answer for this database."""
        backends = sa.text("SELECT pid FROM pg_stat_activity WHERE datname = :name")
        with self._outside.connect() as connection:
            pids = connection.scalars(backends, {"name": self._name}).all()
        return sum(map(running_seconds, pids))


@contextlib.contextmanager
def postgresql(address: str) -> Iterator[Postgresql]:
    """A database of its own, gone afterwards.

    Args:
        address: of the server, such as ``postgres@127.0.0.1:5432``.
    """
    outside = sa.create_engine(f"postgresql+psycopg://{address}/postgres", isolation_level="AUTOCOMMIT")
    name = f"edge_benchmark_{secrets.token_hex(4)}"
    with outside.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name} ENCODING 'UTF8' TEMPLATE template0")
    try:
        yield Postgresql(outside, name)
    finally:
        with outside.connect() as connection:
            connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")
        outside.dispose()
