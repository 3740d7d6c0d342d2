"""A database on PostgreSQL, which processes of many hosts use at once.

Who reads has a snapshot, REPEATABLE READ and READ ONLY, both said with BEGIN. Who writes is in READ COMMITTED behind
advisory locks that end with the transaction (https://www.postgresql.org/docs/current/explicit-locking.html): its first
statement takes the server's lock, shared with other organizations' writers, and then the organization's own. So writers
of one organization wait for each other, those of two do not, and who writes what belongs to several is alone. The
snapshot of each later statement is younger than the locks, so that what it reads stays true until the commit. All take
the server's lock first and one organization's at most, so that no two wait for each other in a circle.

Nothing that a connection was told is needed from one transaction to the next, but for its settings, so that a pooler
may give each transaction another connection: all locks end with their transaction, and `require_kept` sees to the
settings.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import re
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from edge_server.base.problems import CannotStart, log

DRIVER = "postgresql+psycopg"

OLDEST = 15
"""The oldest version of PostgreSQL that the tests run on."""

BACKGROUND = 8
"""Connections of a process beside those of the threads that answer: for tasks that come round, and their locks."""

POOL_TIMEOUT = 10.0
"""Seconds that a thread waits for a connection of its process."""

CONNECT_TIMEOUT = 5
"""Seconds that a new connection may take."""

SETTINGS = {
    "lock_timeout": "30s",
    "statement_timeout": "60s",
    # For the connections of a host that is gone without a word: what they hold is free after half a minute.
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "4",
    "idle_in_transaction_session_timeout": "600s",
}
"""What counts for each connection, unless the address says otherwise by `options`."""

_OWN_DIALECT = "postgresql.edge"

PREPARING = "prepare_threshold"
"""What says in an address after how many uses psycopg has a statement prepared, which not every pooler can keep."""

# Locks are the whole database's, in which each schema may be another server's. Those of writers have one number, and
# those of tasks two, which are other locks.
_SCHEMA = "(hashtext(current_schema())::bigint << 32)"
_SHARED = f"SELECT pg_advisory_xact_lock_shared({_SCHEMA}), pg_advisory_xact_lock({_SCHEMA} | %s)"
_EXCLUSIVE = f"SELECT pg_advisory_xact_lock({_SCHEMA})"
_TASK = "(hashtext(current_schema()), %s)"
_TRY = f"SELECT pg_try_advisory_xact_lock{_TASK}"

# What is asked of a connection that a pooler opened is what it has for its user; settings of the network are its own.
_DROPPED = """
SELECT name, source IN ('default', 'configuration file', 'command line', 'environment variable') AS is_missing
FROM pg_settings WHERE name = ANY(%s) AND source <> 'client' ORDER BY name
"""
_WHOSE = "SELECT quote_ident(current_user) || ' IN DATABASE ' || quote_ident(current_database())"
_OPTION = re.compile(r"(?:-c\s*|--)([\w.-]+)=(\S+)")


class PostgreSQL:
    """A database that several hosts may use.

    Args:
        url: its address.
        threads: threads of this process that use it at once.

    Attributes:
        address: its address.
        place: what a sentence calls the database, without its password.
        is_shared: whether other hosts may use it as well.
        root: what the other two come from; who listens to it hears of all.
        reading: for transactions that read.
        writing: for transactions that write.

    Raises:
        CannotStart: the driver is missing.
    """

    is_shared = True

    def __init__(self, url: sa.URL, threads: int) -> None:
        self.address = url
        self.place = shown(url)
        try:
            sa.dialects.registry.register(_OWN_DIALECT, "edge_server.data.postgresql_dialect", "Dialect")
            self.root = sa.create_engine(
                url.set(drivername=_OWN_DIALECT.replace(".", "+")),
                # Parameters hold digests and names, which have no place in a log.
                hide_parameters=True,
                # What is opened beyond would meet the server's `max_connections`.
                pool_size=threads + BACKGROUND,
                max_overflow=0,
                pool_timeout=POOL_TIMEOUT,
                connect_args=_arguments(url.query),
            )
        except ImportError:
            raise CannotStart(
                "the driver of PostgreSQL is not installed, which [database] url needs; "
                "run: python -m pip install 'psycopg[binary]'"
            ) from None
        self.reading = self.root.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        self.writing = self.root.execution_options(isolation_level="READ COMMITTED", postgresql_readonly=False)
        self._outside = self.root.execution_options(isolation_level="AUTOCOMMIT")

    def turn(self) -> contextlib.AbstractContextManager[None]:
        """Nothing to wait for before the transaction begins."""
        return contextlib.nullcontext()

    def lock(self, connection: sa.Connection, touched: int) -> None:
        """Wait for others who write the same, as the first statement of a transaction.

        Args:
            connection: in a transaction that writes.
            touched: whose data is written: an organization's id, a user's as a negative number, or 0 for all.
        """
        if touched == 0:
            connection.exec_driver_sql(_EXCLUSIVE)
        else:
            connection.exec_driver_sql(_SHARED, (touched & 0xFFFFFFFF,))

    def unlimited(self, connection: sa.Connection) -> None:
        """Let a transaction take as long as it takes."""
        connection.exec_driver_sql("SET LOCAL statement_timeout = 0")

    @contextlib.contextmanager
    def alone(self, name: str) -> Iterator[bool]:
        """Whether nobody else is in a block of that name; then nobody comes into one during this block.

        The lock is held by a transaction that does nothing else. Where its connection is lost, another host may begin
        while this block goes on.
        """
        key = (zlib.crc32(name.encode()) & 0x7FFFFFFF,)
        with self.writing.connect() as connection:
            is_alone = bool(connection.exec_driver_sql(_TRY, key).scalar())
            # The last statement, as one with a snapshot would keep removed rows from being cleared away meanwhile.
            connection.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = 0")
            try:
                yield is_alone
            finally:
                try:
                    connection.rollback()
                except sa.exc.DBAPIError:
                    connection.invalidate()  # and with it the lock

    def back_up(self, _folder: Path) -> None:
        """Nothing but a line in the log: the operator's tools copy such a database."""
        log.warning("the database %s is not copied before it is migrated; its operator backs it up", self.place)

    def size(self) -> int:
        """Bytes that the database takes, with its indexes."""
        with self._outside.connect() as connection:
            size: int = connection.exec_driver_sql("SELECT pg_database_size(current_database())").scalar_one()
        return size

    def now(self) -> dt.datetime:
        """The time in UTC by the database's clock."""
        with self._outside.connect() as connection:
            moment: dt.datetime = connection.exec_driver_sql("SELECT clock_timestamp()").scalar_one()
        return moment.astimezone(dt.UTC)

    def checkpoint(self) -> bool:
        """Nothing: PostgreSQL does it by itself."""
        return True


def shown(url: sa.URL) -> str:
    """An address for a sentence: where the database is, and nothing of a password."""
    host = f"{url.host or 'localhost'}:{url.port}" if url.port else url.host or "localhost"
    return f"{url.username}@{host}/{url.database}" if url.username else f"{host}/{url.database or ''}"


def require_usable(connection: sa.Connection, place: str) -> None:
    """See that the server of a database is new enough, and that its texts are UTF-8.

    Args:
        connection: to the database.
        place: what a sentence calls it.

    Raises:
        CannotStart: they are not.
    """
    version, encoding, schema, may_create = connection.exec_driver_sql(
        "SELECT current_setting('server_version_num')::int / 10000, current_setting('server_encoding'), "
        "current_schema(), has_schema_privilege(current_schema(), 'CREATE')"
    ).one()
    if version < OLDEST:
        raise CannotStart(f"the database {place} is on PostgreSQL {version}; upgrade it to {OLDEST} or newer")
    if encoding != "UTF8":
        raise CannotStart(
            f"the database {place} keeps text as {encoding}; make another with CREATE DATABASE ... ENCODING 'UTF8' "
            "TEMPLATE template0"
        )
    if schema is None:
        raise CannotStart(f"the database {place} has no schema of its search_path; create it with CREATE SCHEMA")
    if not may_create:
        raise CannotStart(
            f"the server's user may not make tables in the database {place}; "
            f"make it the owner, or GRANT CREATE ON SCHEMA {schema} to it"
        )


def require_kept(connection: sa.Connection, url: sa.URL, place: str) -> None:
    """See that connections have the settings that they ask for, which poolers drop.

    Args:
        connection: to the database.
        url: its address.
        place: what a sentence calls it.

    Raises:
        CannotStart: they do not, or the address does not say what psycopg may prepare behind a pooler.
    """
    settings = dict(_OPTION.findall(_arguments(url.query)["options"]))
    settings = {name.replace("-", "_"): value for name, value in settings.items() if not name.startswith("tcp_")}
    dropped = connection.exec_driver_sql(_DROPPED, (list(settings),)).all()
    if not dropped:
        return
    whose = connection.exec_driver_sql(_WHOSE).scalar_one()
    missing = " ".join(
        f"ALTER ROLE {whose} SET {row.name} = '{settings[row.name]}';" for row in dropped if row.is_missing
    )
    if missing:
        raise CannotStart(
            f"a pooler before the database {place} drops what connections ask for; run `{missing}` there, and have the "
            "pooler reconnect"
        )
    if PREPARING not in url.query:
        raise CannotStart(
            f"a pooler stands before the database {place}; add {PREPARING}=none to [database] url, as what is prepared "
            "in one connection is not there in the next"
        )


def prepare_threshold(text: str) -> int | None:
    """What an address says of preparing: after how many uses, or never.

    Raises:
        ValueError: it says neither.
    """
    return None if text.lower() == "none" else int(text)


def lift_references(connection: sa.Connection) -> list[str]:
    """Take away all foreign keys, and give the statements that add them again.

    Args:
        connection: in a transaction that writes.
    """
    references = connection.exec_driver_sql(
        "SELECT conrelid::regclass::text, quote_ident(conname), pg_get_constraintdef(oid) FROM pg_constraint "
        "WHERE contype = 'f' AND connamespace = current_schema()::regnamespace ORDER BY conrelid, conname"
    ).all()
    for table, name, _ in references:
        connection.exec_driver_sql(f"ALTER TABLE {table} DROP CONSTRAINT {name}")
    return [f"ALTER TABLE {table} ADD CONSTRAINT {name} {definition}" for table, name, definition in references]


def number_on(connection: sa.Connection, table: sa.Table) -> None:
    """Have a table number its next rows behind those that are there.

    Args:
        connection: in a transaction that writes.
        table: the table.
    """
    for column in table.columns:
        if not isinstance(column.type, sa.Integer):
            continue
        sequence = sa.func.pg_get_serial_sequence(sa.literal(_quoted(table.name)), column.name)
        last = sa.select(sa.func.max(column)).scalar_subquery()
        connection.execute(sa.select(sa.func.setval(sequence, last)).where(sequence.is_not(None), last.is_not(None)))


def _quoted(name: str) -> str:
    """A name as SQL has it that says which letters are capitals."""
    return '"' + name.replace('"', '""') + '"'


def explanation(error: Exception) -> str | None:
    """Why a database on PostgreSQL cannot be used, in one sentence; None where the error is of something else."""
    if isinstance(error, sa.exc.TimeoutError):
        return "all connections of this process to the database are in use; try again"
    cause = error.orig if isinstance(error, sa.exc.DBAPIError) else None
    if cause is None or not type(cause).__module__.startswith("psycopg"):
        return None
    text = " ".join(str(cause).partition("\n")[0].split())
    if getattr(cause, "sqlstate", None) == "42501":
        return f"the server's user misses a right in the database ({text}); grant it, or make the user the owner"
    if "password authentication failed" in text or "no password supplied" in text:
        return f"the database does not take the server's password ({text}); correct [database] url"
    if "unsupported startup parameter" in text:
        return f"a pooler before the database refuses settings ({text}); set ignore_startup_parameters = options there"
    if isinstance(error, sa.exc.OperationalError) and getattr(cause, "sqlstate", None) is None:
        return f"the database cannot be reached ({text}); start it, or correct [database] url"
    return f"the database cannot be used ({text}); repair it, or correct [database] url"


def _arguments(query: Mapping[str, Any]) -> dict[str, Any]:
    """What each connection is opened with, beside what the address says."""
    own = " ".join(f"-c {name}={value}" for name, value in SETTINGS.items())
    arguments: dict[str, Any] = {"options": f"{own} {query.get('options', '')}".strip()}
    if PREPARING in query:
        arguments[PREPARING] = prepare_threshold(query[PREPARING])
    if "connect_timeout" not in query:
        arguments["connect_timeout"] = CONNECT_TIMEOUT
    if "application_name" not in query:
        arguments["application_name"] = "edge-server"
    return arguments
