"""The database: connections as they must be, and the two kinds of transaction.

The SQLite file runs in WAL mode with every commit on disk before it is acknowledged. A transaction
that will write takes the write lock when it begins: one that began by reading could not wait for
the lock later without reading anew, and SQLite would fail it at once instead.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

import sqlalchemy as sa
from sqlalchemy.orm import Session

from edge_server.base.problems import CannotStart
from edge_server.data import budgets

FILE_NAME = "edge.sqlite3"

VERSION_TABLE = "alembic_version"
"""Where the revision of the server's own tables is kept."""

PLUGIN_TABLE = "alembic_version_"
"""What comes before a subsystem's name where the revision of a plugin's tables is kept, apart from all others'."""

BUSY_TIMEOUT = 30_000
"""Milliseconds a transaction waits for another one's write lock."""

LOG_SIZE = 64 << 20
"""Bytes of the write-ahead log above which `checkpoint` empties it; its file keeps as many when it begins anew."""

LOG_PATIENCE = 0.5
"""Seconds that `checkpoint` waits for those who read, and lets those who write wait."""

SERVER = 0
"""What a transaction names that writes what belongs to no organization, or to several; no organization has this id."""


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
        path: the SQLite file; it is created when first used.

    Attributes:
        before_write: called before a transaction that writes begins, and may wait for others.
        before_commit: called with each transaction that writes, as its last part.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        url = sa.URL.create("sqlite+pysqlite", database=str(path))
        # Parameters hold digests and names, which have no place in a log. A thread waits for the
        # write lock, not for a connection.
        self.engine = sa.create_engine(url, hide_parameters=True, pool_size=16, max_overflow=-1)
        sa.event.listen(self.engine, "connect", _configure)
        sa.event.listen(self.engine, "begin", _begin)
        self.before_write: Callable[[], None] = _nothing_before
        self.before_commit: Callable[[Session], None] = _nothing_more
        self._writing = self.engine.execution_options(write=True)
        self._writer = threading.Lock()

    @contextlib.contextmanager
    def read(self) -> Iterator[Session]:
        """A transaction that only reads: one unchanging view, and never a wait."""
        with self.reader() as session:
            yield session

    def reader(self) -> Session:
        """A session for a transaction that only reads, which begins with its first statement; the caller closes it."""
        return Session(self.engine, expire_on_commit=False)

    @contextlib.contextmanager
    def write(self, organization_id: int) -> Iterator[Session]:
        """A transaction that writes, committed at the end of the block unless it raises.

        Args:
            organization_id: whose data it touches; `SERVER` for what belongs to none, or to several.
                SQLite has one writer, so that here they all wait for each other.
        """
        self.before_write()
        with self._alone(), Session(self._writing, expire_on_commit=False) as session, session.begin():
            # The lock is taken here, not at the first statement: what a caller looks at in this
            # block is what is true until it commits.
            session.connection()
            yield session
            self.before_commit(session)

    @contextlib.contextmanager
    def write_connection(self) -> Iterator[sa.Connection]:
        """A bare connection in a transaction that writes, for migrations."""
        with self._alone(), self._writing.begin() as connection:
            yield connection

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """The turn of one writer among those of this process.

        SQLite waits for its lock by looking again after ever longer pauses, so that whoever has
        waited longest is the last to see that it is free. Writers of other processes are still met
        that way.
        """
        if not self._writer.acquire(timeout=BUSY_TIMEOUT / 1000):
            raise sa.exc.OperationalError("BEGIN IMMEDIATE", None, sqlite3.OperationalError("database is locked"))
        try:
            yield
        finally:
            self._writer.release()

    def checkpoint(self) -> bool:
        """Empty the write-ahead log if it has grown large; False if somebody reads from it for long.

        SQLite itself copies the log into the database after commits, and begins it anew only at a moment when
        nobody reads. Where readers overlap there is none, and the log would grow as long as they do.
        """
        log = self.path.with_name(f"{self.path.name}-wal")
        if not log.exists() or log.stat().st_size <= LOG_SIZE:
            return True
        with contextlib.closing(sqlite3.connect(self.path, timeout=LOG_PATIENCE)) as connection:
            # Most of it without a wait of anybody. Once all is copied, who begins to read needs no log.
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
            with self._alone():
                busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        return not busy

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


def _nothing_before() -> None:
    pass


def _nothing_more(_session: Session) -> None:
    pass


def _configure(connection: Any, _record: Any) -> None:
    # pysqlite would begin transactions by itself, too late and never as IMMEDIATE.
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT}")
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.execute(f"PRAGMA journal_size_limit = {LOG_SIZE}")
    cursor.close()
    budgets.watch(connection)


def _begin(connection: sa.Connection) -> None:
    if connection.get_execution_options().get("write", False):
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    else:
        # Each request does it. It takes no lock, so that there is no error for SQLAlchemy to translate.
        driver_connection: Any = connection.connection.driver_connection
        driver_connection.execute("BEGIN")
