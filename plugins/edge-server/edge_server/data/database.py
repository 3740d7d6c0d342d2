"""The database: a SQLite file or one on PostgreSQL, and the two kinds of transaction."""

from __future__ import annotations

import contextlib
import datetime as dt
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

import marshmallow
import sqlalchemy as sa
from sqlalchemy.orm import Session

from edge_server.base.configuration import Configuration, Secret
from edge_server.base.problems import CannotStart
from edge_server.data.postgresql import DRIVER, PREPARING, PostgreSQL, prepare_threshold
from edge_server.data.sqlite import SQLite

FILE_NAME = "edge.sqlite3"

VERSION_TABLE = "alembic_version"
"""Where the revision of the server's own tables is kept."""

PLUGIN_TABLE = "alembic_version_"
"""What comes before a subsystem's name where the revision of a plugin's tables is kept, apart from all others'."""

SERVER = 0
"""What a transaction names that writes what belongs to no organization, or to several; no organization has this id."""

THREADS = 16
"""Threads of a process that use the database at once, unless it is told another number."""


def of_user(user_id: int) -> int:
    """What a transaction names that writes only what one user has: rows that no organization's data depends on."""
    return -user_id


class Address(Secret):
    """The address of a database on PostgreSQL, which may hold a password."""

    default_error_messages = {"invalid": 'write an address such as "postgresql+psycopg://edge@db.example.com/edge"'}

    def is_secret(self, value: object) -> bool:
        """Whether it holds a password; what is no address may hold one as well."""
        try:
            return not isinstance(value, str) or sa.make_url(value).password is not None or "password" in value
        except (sa.exc.ArgumentError, ValueError):
            return True

    def _deserialize(self, value: Any, *rest: Any, **options: Any) -> str:
        text: str = super()._deserialize(value, *rest, **options)
        try:
            url = sa.make_url(text)
        except (sa.exc.ArgumentError, ValueError):
            raise self.make_error("invalid") from None
        if url.drivername not in ("postgresql", "postgres", DRIVER) or not url.database:
            raise self.make_error("invalid")
        try:
            prepare_threshold(str(url.query.get(PREPARING, "none")))
        except ValueError:
            raise marshmallow.ValidationError(f"write a number as {PREPARING}, or none") from None
        for name in ("password", "sslpassword"):
            if name in url.query:
                raise marshmallow.ValidationError(f"write the {name} before the host, or keep it in the .pgpass file")
        return text


class DatabaseSettings(marshmallow.Schema):
    """What the operator can set under [database]."""

    url = Address(load_default=None)


Transaction = Session | sa.Connection
"""What statements are executed in. A session also keeps objects of rows, and takes longer for each statement."""


class NotMigrated(CannotStart):
    """The database is not in the state this code works with."""


class Transactions(Protocol):
    """What opens transactions: a database, or a subsystem's context."""

    def read(self) -> AbstractContextManager[Session]:
        """A transaction that only reads: one unchanging view, and never a wait."""
        ...

    def write(self, organization_id: int, /) -> AbstractContextManager[Session]:
        """A transaction that writes, committed at the end of the block unless it raises."""
        ...


class Database:
    """The database, as one process uses it.

    Args:
        address: the SQLite file, which is created when first used, or the address of a database on PostgreSQL.
        threads: threads of the process that use it at once; PostgreSQL is asked for a few connections more.

    Attributes:
        root: the engine that those of who reads and who writes come from; who listens to it hears of all transactions.
        engine: opens connections that only read.
        before_write: called before a transaction that writes begins, and may wait for others.
        before_commit: called with each transaction that writes, as its last part.
        waited: called with the seconds that a transaction that writes has waited for its turn.

    Raises:
        CannotStart: what the address needs is not installed.
    """

    def __init__(self, address: Path | sa.URL, threads: int = THREADS) -> None:
        self._kind = SQLite(address) if isinstance(address, Path) else PostgreSQL(address, threads)
        self.root = self._kind.root
        self.engine = self._kind.reading
        self.before_write: Callable[[], None] = _nothing_before
        self.before_commit: Callable[[sa.Connection], None] = _nothing_more
        self.waited: Callable[[float], None] = _nothing_more

    @property
    def address(self) -> Path | sa.URL:
        """Where it is, for another `Database` of the same."""
        return self._kind.address

    @property
    def place(self) -> str:
        """What a sentence calls it; without a password."""
        return self._kind.place

    @property
    def is_shared(self) -> bool:
        """Whether servers on other hosts may use it at the same time."""
        return self._kind.is_shared

    @contextlib.contextmanager
    def read(self) -> Iterator[Session]:
        """A transaction that only reads: one unchanging view, and never a wait."""
        with self.engine.connect() as connection, session_of(connection) as session:
            yield session

    @contextlib.contextmanager
    def write(self, organization_id: int) -> Iterator[Session]:
        """A transaction that writes, committed at the end of the block unless it raises.

        Args:
            organization_id: whose data it touches; `SERVER` for what belongs to none, or to several, and `of_user`
                for what one user has. Who writes the same waits, and who writes `SERVER`'s is alone. SQLite has one
                writer, so that there they all wait for each other.
        """
        with self.write_rows(organization_id) as connection, session_of(connection) as session:
            yield session
            session.flush()

    @contextlib.contextmanager
    def write_rows(self, organization_id: int) -> Iterator[sa.Connection]:
        """What `write` gives, as a connection for statements by columns; a session takes longer than some of them."""
        self.before_write()
        # The lock is taken here, not at the first statement: what a caller looks at in this
        # block is what is true until it commits.
        begun = time.perf_counter()
        with self._kind.turn(), self._kind.writing.begin() as connection:
            self._kind.lock(connection, organization_id)
            self.waited(time.perf_counter() - begun)
            yield connection
            self.before_commit(connection)

    @contextlib.contextmanager
    def write_connection(self) -> Iterator[sa.Connection]:
        """A bare connection in a transaction that writes, alone and for as long as it takes: for migrations."""
        with self._kind.turn(), self._kind.writing.begin() as connection:
            self._kind.unlimited(connection)
            self._kind.lock(connection, SERVER)
            yield connection

    def alone(self, name: str) -> AbstractContextManager[bool]:
        """A block that one process at a time is in, of all that use the database; gives whether this one is.

        Args:
            name: the block's.
        """
        return self._kind.alone(name)

    def back_up(self, folder: Path) -> Path | None:
        """Copy the database into `folder`; None where that is the operator's to do."""
        return self._kind.back_up(folder)

    def size(self) -> int:
        """Bytes that it takes where it is kept."""
        return self._kind.size()

    def now(self) -> dt.datetime | None:
        """The time in UTC by the clock that all hosts share; None for that of this machine."""
        return self._kind.now()

    def checkpoint(self) -> bool:
        """Keep the write-ahead log small; False if somebody reads from it for long."""
        return self._kind.checkpoint()

    def revision(self, table: str = VERSION_TABLE) -> str | None:
        """The migration that the tables are at whose history is kept in `table`; None if there are none yet."""
        with self.engine.connect() as connection:
            if not sa.inspect(connection).has_table(table):
                return None
            revision: str | None = connection.scalar(sa.select(sa.column("version_num")).select_from(sa.table(table)))
            return revision

    def plugins(self) -> list[str]:
        """The names of the subsystems of plugins that have tables here, whether or not they are loaded."""
        tables = sa.inspect(self.engine).get_table_names()
        return sorted(table.removeprefix(PLUGIN_TABLE) for table in tables if table.startswith(PLUGIN_TABLE))

    def close(self) -> None:
        """Close the connections; before a fork, since SQLite's do not survive one."""
        self.engine.dispose()


def of_server(settings: Configuration, data: Path, threads: int = THREADS) -> Database:
    """The database of the server with the data folder `data`; nothing is made or read yet.

    Args:
        settings: the operator's.
        data: the data folder, where the database is unless they say otherwise.
        threads: see `Database`.

    Raises:
        CannotStart: the setting cannot be used.
    """
    url: str | None = settings.section("database", DatabaseSettings())["url"]
    return Database(data / FILE_NAME if url is None else sa.make_url(url).set(drivername=DRIVER), threads)


def _nothing_before() -> None:
    pass


def _nothing_more(_: object) -> None:
    pass


def session_of(connection: sa.Connection) -> Session:
    """A session on a connection, whose transaction goes on when the session is closed."""
    return Session(connection, expire_on_commit=False)


def connection_of(transaction: Transaction) -> sa.Connection:
    """The connection of a transaction, which has all that was changed in it."""
    if isinstance(transaction, sa.Connection):
        return transaction
    transaction.flush()
    return transaction.connection()
