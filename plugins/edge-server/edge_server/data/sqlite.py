"""A database in a SQLite file, in WAL mode with every commit on disk before it is acknowledged.

A transaction that will write takes the write lock when it begins: one that began by reading could not wait for the
lock later without reading anew, and SQLite would fail it at once instead.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import filelock
import sqlalchemy as sa
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite

from edge_server.base import clock
from edge_server.base.problems import is_full
from edge_server.data import budgets

BUSY_TIMEOUT = 30_000
"""Milliseconds a transaction waits for another one's write lock."""

LOG_SIZE = 64 << 20
"""Bytes of the write-ahead log above which `checkpoint` empties it; its file keeps as many when it begins anew."""

LOG_PATIENCE = 0.5
"""Seconds that `checkpoint` waits for those who read, and lets those who write wait."""

KEPT_BACKUPS = 5


class SQLite:
    """A database in a file, for processes of one machine.

    Args:
        path: the file; it is created when first used.

    Attributes:
        address: the file.
        place: what a sentence calls the database.
        is_shared: whether other hosts may use it as well.
        root: what the other two come from; who listens to it hears of all.
        reading: for transactions that read.
        writing: for transactions that write.
    """

    is_shared = False

    def __init__(self, path: Path) -> None:
        self.address = path
        self.place = str(path)
        url = sa.URL.create(f"sqlite+{_Dialect.driver}", database=str(path))
        # Parameters hold digests and names, which have no place in a log. A thread waits for the write lock, not for a
        # connection. SQLite forgets the pages that a connection has read where another one writes, so that the one
        # used last is the best.
        self.root = sa.create_engine(url, hide_parameters=True, pool_size=16, max_overflow=-1, pool_use_lifo=True)
        sa.event.listen(self.root, "connect", _configure)
        self.reading = self.root
        self.writing = self.root.execution_options(write=True)
        self._writer = threading.Lock()

    @contextlib.contextmanager
    def turn(self) -> Iterator[None]:
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

    def lock(self, connection: sa.Connection, _touched: int) -> None:
        """Begin anew with the lock of the file, which has one writer."""
        driver_connection: Any = connection.connection.driver_connection
        driver_connection.rollback()
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    def unlimited(self, _connection: sa.Connection) -> None:
        """Nothing: only a thread's budget limits what it may take."""

    @contextlib.contextmanager
    def alone(self, name: str) -> Iterator[bool]:
        """Whether nobody else is in a block of that name; then nobody comes into one during this block."""
        lock = filelock.FileLock(self.address.with_name(f"{name}.lock"))
        try:
            lock.acquire(blocking=False)
        except filelock.Timeout:
            yield False
            return
        try:
            yield True
        finally:
            lock.release()

    def back_up(self, folder: Path) -> Path:
        """Copy the database as it is at this moment, also while it is used; returns the copy's path."""
        folder.mkdir(mode=0o700, exist_ok=True)
        target = folder / f"{clock.now():%Y%m%dT%H%M%S%fZ}.sqlite3"
        copy(self.address, target)
        for old in sorted(folder.glob("*.sqlite3"))[:-KEPT_BACKUPS]:
            old.unlink()
        return target

    def size(self) -> int:
        """Bytes that the database takes, with its write-ahead log."""
        log = self.address.with_name(f"{self.address.name}-wal")
        return sum(path.stat().st_size for path in (self.address, log) if path.exists())

    def now(self) -> None:
        """Nothing: there is one host, and its clock."""
        return

    def checkpoint(self) -> bool:
        """Empty the write-ahead log if it has grown large; False if somebody reads from it for long.

        SQLite itself copies the log into the database after commits, and begins it anew only at a moment when
        nobody reads. Where readers overlap there is none, and the log would grow as long as they do.
        """
        log = self.address.with_name(f"{self.address.name}-wal")
        if not log.exists() or log.stat().st_size <= LOG_SIZE:
            return True
        with contextlib.closing(sqlite3.connect(self.address, timeout=LOG_PATIENCE)) as connection:
            # Most of it without a wait of anybody. Once all is copied, who begins to read needs no log.
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
            with self.turn():
                busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        return not busy


def copy(path: Path, target: Path) -> None:
    """Copy a database as it is at this moment, also while it is used; the copy is on disk on return.

    All in one step, as a single reader that nobody waits for. In several steps, each change by another process makes it
    begin anew; and `VACUUM INTO` reads twice as long, in which the write-ahead log grows with what is written.

    Args:
        path: the database.
        target: a new file, of which nothing is left where that fails.

    Raises:
        OSError: the disk is full.
        sqlalchemy.exc.DatabaseError: the database cannot be read, or the copy not be written.
    """
    try:
        with (
            contextlib.closing(sqlite3.connect(path)) as original,
            contextlib.closing(sqlite3.connect(target)) as opened,
        ):
            original.backup(opened)
    except sqlite3.Error as error:
        target.unlink(missing_ok=True)
        failure = sa.exc.DatabaseError("backup", None, error)
        if is_full(failure):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target)) from None
        raise failure from None


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


class _Dialect(SQLiteDialect_pysqlite):
    """SQLite as pysqlite has it, with transactions that begin.

    What listens to their begin instead, as SQLAlchemy advises, has it look for listeners at each statement.
    """

    driver = "edge"
    supports_statement_cache = True

    def do_begin(self, dbapi_connection: Any) -> None:
        dbapi_connection.driver_connection.execute("BEGIN")


registry.register(f"sqlite.{_Dialect.driver}", __name__, _Dialect.__name__)
