"""`SQLConnection`: a database, and its tables as pandas DataFrames."""

from __future__ import annotations

import contextlib
import html
import numbers
import pathlib
import weakref
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from edge_core.errors import BadEntry
from edge_sources.connection import Connection, need
from edge_sources.sql_errors import NoSuchTable, translated

if TYPE_CHECKING:
    import pandas
    import sqlalchemy

    from edge_sources.sql_frames import Reader

Where: TypeAlias = "Mapping[str, Any] | sqlalchemy.ClauseElement"
"""A condition of rows: a dictionary of columns and values, or an SQLAlchemy expression."""

DRIVERS = {
    "postgresql": ("postgresql+psycopg", "psycopg", "sql"),
    "mysql": ("mysql+pymysql", "pymysql", "sql"),
    "mariadb": ("mariadb+pymysql", "pymysql", "sql"),
    "sqlite": ("sqlite", "sqlite3", "sql"),
    "mssql": ("mssql+pymssql", "pymssql", "mssql"),
    "oracle": ("oracle+oracledb", "oracledb", "oracle"),
}
"""`db_kind` -> SQLAlchemy's name of the dialect and driver, the driver's module, the extra that installs it."""

CONNECT_TIMEOUT = 10
"""Time limit for a connection, including the database's greeting and the log-in, in seconds."""

_TIMEOUT_NAMES = {
    "psycopg": ("connect_timeout",),
    # The first ends when the port answers; the second is removed once the connection is established.
    "pymysql": ("connect_timeout", "read_timeout"),
    "pymssql": ("login_timeout",),
    "oracledb": ("tcp_connect_timeout",),
}


class SQLConnection(Connection):
    """A database.

    Args:
        name: short name.
        title: name for display.
        host: host name or address; None for SQLite.
        port: TCP port; None for the database's default port.
        db_kind: ``"postgresql"``, ``"mysql"``, ``"mariadb"`` or ``"sqlite"``; ``"mssql"`` (SQL Server)
            and ``"oracle"`` exist and are untested.
        db_name: the database's name; for SQLite the path of its file, which must exist.
        username: the user.
        password: the user's password.
    """

    kind = "sql"
    plugin_api = 1
    fields = ("host", "port", "db_kind", "db_name", "username")
    secret_fields = ("password",)

    def __init__(
        self,
        name: str,
        title: str,
        host: str | None = None,
        port: int | None = None,
        db_kind: str = "postgresql",
        db_name: str | None = None,
        username: str | None = None,
        password: str | None = None,
    ) -> None:
        super().__init__(name, title)
        if db_kind not in DRIVERS:
            raise BadEntry(f"db_kind {db_kind!r} is not known; use one of {', '.join(DRIVERS)}")
        if db_kind == "sqlite" and not db_name:
            raise BadEntry("db_name is missing; give the path of the SQLite file")
        self.host = host
        try:
            self.port = None if port is None else int(port)
        except (TypeError, ValueError):
            raise BadEntry(f"port must be a number, not {port!r}") from None
        self.db_kind = db_kind
        self.db_name = db_name
        self.username = username
        self.password = password
        self._engine: sqlalchemy.Engine | None = None

    @property
    def engine(self) -> sqlalchemy.Engine:
        """The SQLAlchemy engine; it connects when it is first used.

        Raises:
            MissingPackage: SQLAlchemy or the database's driver is not installed.
        """
        if self._engine is None:
            self._engine = engine = self._make_engine(CONNECT_TIMEOUT, pool_pre_ping=True)
            # A connection of ours has no close(), and drivers warn about their own that are left open.
            weakref.finalize(self, engine.dispose)
        return self._engine

    @property
    def tables(self) -> Tables:
        """The tables and views by name; listing them reads none of them."""
        return Tables(self)

    def check(self, timeout: float) -> None:
        import sqlalchemy
        from sqlalchemy.pool import NullPool

        engine = self._make_engine(max(1, int(timeout)), poolclass=NullPool)
        with translated(f"the database {self.db_name}"), engine.connect() as connection:
            connection.execute(sqlalchemy.select(sqlalchemy.literal(1)))
            if self.db_kind == "sqlite":
                # It opens any file, and looks into it when a table is read. The others log in to a database.
                connection.exec_driver_sql("SELECT count(*) FROM sqlite_master")

    def _make_engine(self, timeout: int, **options: Any) -> sqlalchemy.Engine:
        dialect, driver, extra = DRIVERS[self.db_kind]
        need(f"a connection to {self.db_kind}", extra, "sqlalchemy", driver)
        import sqlalchemy

        from edge_sources.sql_reflection import know_types

        if self.db_kind == "sqlite":
            # Read-write without creation: SQLite would create a new file for a misspelt path.
            where = pathlib.Path(str(self.db_name)).absolute().as_uri()
            url = sqlalchemy.URL.create("sqlite", database=where, query={"mode": "rw", "uri": "true"})
            engine = sqlalchemy.create_engine(url, **options)
            know_types(engine)
            return engine
        url = sqlalchemy.URL.create(dialect, self.username, self.password, self.host, self.port, self.db_name or None)
        settings: dict[str, Any] = dict.fromkeys(_TIMEOUT_NAMES[driver], timeout)
        if driver == "psycopg":
            settings["client_encoding"] = "utf8"  # else all texts of a database in SQL_ASCII would be bytes
        engine = sqlalchemy.create_engine(url, connect_args=settings, **options)
        if driver == "pymysql":
            from sqlalchemy import event

            event.listen(engine, "connect", _remove_read_timeout)
        know_types(engine)
        return engine


def _remove_read_timeout(connection: Any, _: object) -> None:
    # A query may take any time. PyMySQL reads this before each read, and has no public way to change it.
    connection._read_timeout = None


def _is_whole(number: object) -> bool:
    return isinstance(number, numbers.Integral) and not isinstance(number, bool)


class Tables(Mapping[str, "SQLTable"]):
    """The tables of a database by name; every access looks them up anew."""

    def __init__(self, connection: SQLConnection) -> None:
        self._connection = connection

    def __getitem__(self, name: str) -> SQLTable:
        """Return the table with a name.

        Raises:
            NotFound: the table does not exist; the error is also a KeyError.
        """
        if name not in self._names():
            raise NoSuchTable(
                f"the table {name!r} does not exist; list(connection.tables) shows the tables, and "
                "SQLTable(connection, name, schema=...) reads one of another schema"
            )
        return SQLTable(self._connection, name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names())

    def __len__(self) -> int:
        return len(self._names())

    def _names(self) -> list[str]:
        import sqlalchemy

        with translated(f"the database {self._connection.db_name}"):
            inspector = sqlalchemy.inspect(self._connection.engine)
            return sorted({*inspector.get_table_names(), *inspector.get_view_names()})

    def _ipython_key_completions_(self) -> list[str]:
        """Return the names that a notebook offers after ``tables["``."""
        return self._names()

    def __repr__(self) -> str:
        return f"<tables of {self._connection.name!r}>"

    def _repr_html_(self) -> str:
        """Return the names of the tables as HTML, for notebooks."""
        try:
            names = "".join(f"<li>{html.escape(name)}</li>" for name in self._names())
        except Exception as error:  # a notebook's display must not fail
            return f"<p>{html.escape(repr(self))}, which cannot be listed: {html.escape(str(error))}</p>"
        return f"<p>{html.escape(repr(self))}</p><ul>{names}</ul>"


class HasEngine(Protocol):
    """An object with an SQLAlchemy engine: an `SQLConnection`, and an engine itself."""

    @property
    def engine(self) -> sqlalchemy.Engine: ...


class SQLTable:
    """A table or view of a database.

    Names of tables and columns are always quoted and values always bound, so that they cannot be
    executed as SQL.

    Args:
        engine_proxy: an `SQLConnection`, or another object with an `engine`, or an engine itself.
        name: the table's name.
        *args: columns, such as ``sqlalchemy.Column("price", sqlalchemy.Numeric)``, of which the types replace
            those of the database, and constraints for SQLAlchemy's `Table`.
        **kwargs: options of SQLAlchemy's `Table`, such as ``schema="lab"``.
    """

    def __init__(self, engine_proxy: HasEngine, name: str, *args: Any, **kwargs: Any) -> None:
        self._proxy = engine_proxy
        self.name = name
        self._args = args
        self._kwargs = kwargs
        self._table: sqlalchemy.Table | None = None
        self._stored: dict[str, sqlalchemy.types.TypeEngine[Any]] = {}

    @property
    def engine(self) -> sqlalchemy.Engine:
        """The SQLAlchemy engine of the table's database."""
        return self._proxy.engine

    @property
    def table(self) -> sqlalchemy.Table:
        """The SQLAlchemy table, as the database describes it; read once.

        Raises:
            NotFound: the table does not exist.
        """
        if self._table is None:
            from edge_sources.sql_reflection import reflected

            with translated(f"the table {self.name}"):
                self._table, self._stored = reflected(self.engine, self.name, self._args, self._kwargs)
        return self._table

    @property
    def columns(self) -> list[str]:
        """Names of the columns, in their order."""
        return [column.name for column in self.table.columns]

    def __len__(self) -> int:
        """Return the number of rows; the database counts them."""
        import sqlalchemy

        with translated(f"the table {self.name}"), self.engine.connect() as connection:
            counted = connection.execute(sqlalchemy.select(sqlalchemy.func.count()).select_from(self.table))
            return int(counted.scalar_one())

    def __bool__(self) -> bool:
        return True  # else an empty table would be false, since it has a length

    def to_dataframe(
        self, columns: Sequence[str] | None = None, where: Where | None = None, limit: int | None = None
    ) -> pandas.DataFrame:
        """Return the table, or a part of it, as a DataFrame.

        The types of the columns follow from the table's schema alone, never from the values: Int64 and
        boolean for columns that may be NULL, int64 and bool for others, float64 for all numbers with
        decimals, datetime64[us] for dates and times, in UTC if the database stores a time zone, and the
        database's text for what pandas has no type for. docs/sql-types.md lists every type of each database.

        Args:
            columns: names of the columns, in the order of the DataFrame; all by default.
            where: condition of the rows. A dictionary maps columns to values: ``{"plate": 7}``; a list, set,
                range, array or Series matches any of its values; None, NaN and NaT match NULL, alone and among
                others. A value is of the column's type: a str for texts, ``datetime.date(2024, 1, 31)`` for dates.
                SQLAlchemy expressions work as well, such as ``table.table.c.value > 0.5``, and
                ``sqlalchemy.text("value > :least").bindparams(least=0.5)``. A plain str is refused, since
                values must not be written into SQL.
            limit: maximum number of rows.

        Raises:
            NotFound: the table does not exist.
            BadEntry: a column does not exist, or `where` or `limit` is not valid.
            ConnectionFailed: the database cannot be reached, or the connection broke.
            SourceError: a value is not of its column's type; the sentence says how to read it.
            MissingPackage: pandas or pyarrow is not installed.

        Warns:
            InexactWarning: values are missing or rounded, as a DataFrame cannot hold them; the sentence counts
                them and says how to read them.
        """
        need("a table as a DataFrame", "sql", "pandas", "pyarrow")
        from edge_sources.sql_frames import frame

        query, readers = self._select(columns, where, limit)
        with self._reading(readers) as connection:
            rows = connection.execute(query).fetchall()
        return frame(self.name, readers, rows)

    def iter_dataframes(
        self,
        chunksize: int = 20_000,
        columns: Sequence[str] | None = None,
        where: Where | None = None,
        limit: int | None = None,
    ) -> Iterator[pandas.DataFrame]:
        """Iterate over the table in DataFrames of at most `chunksize` rows, of which one is in memory.

        The database sends the rows as they are read (a server-side cursor). The connection is held until
        the last row, or until the iterator is closed; MySQL and MariaDB then still send the rest, which is
        discarded. An empty table gives no DataFrame; ``to_dataframe(limit=0)`` gives its columns. All of them
        have the same types, and errors and warnings are those of `to_dataframe`.

        Args:
            chunksize: maximum number of rows of a DataFrame.
            columns: names of the columns; see `to_dataframe`.
            where: condition of the rows; see `to_dataframe`.
            limit: maximum number of rows in all.
        """
        if not _is_whole(chunksize) or chunksize < 1:
            raise BadEntry(f"chunksize must be a number of rows, at least 1, not {chunksize!r}")
        need("a table as DataFrames", "sql", "pandas", "pyarrow")
        return self._chunks(*self._select(columns, where, limit), chunksize)

    def _chunks(
        self, query: sqlalchemy.Select[*tuple[Any, ...]], readers: list[Reader], chunksize: int
    ) -> Iterator[pandas.DataFrame]:
        from edge_sources.sql_frames import frame

        with self._reading(readers) as connection:
            streamed = connection.execution_options(stream_results=True, max_row_buffer=chunksize)
            with contextlib.closing(streamed.execute(query)) as result:
                while rows := result.fetchmany(chunksize):
                    chunk = frame(self.name, readers, rows)
                    del rows  # or there would be two chunks of them in memory during the next fetch
                    yield chunk
                    del chunk

    @contextlib.contextmanager
    def _reading(self, readers: list[Reader]) -> Iterator[sqlalchemy.Connection]:
        with translated(f"the table {self.name}"), self.engine.connect() as connection:
            if connection.dialect.driver == "psycopg" and not any(reader.native for reader in readers):
                from edge_sources.sql_postgres import show_as_text

                show_as_text(connection)
            yield connection

    def _select(
        self, columns: Sequence[str] | None, where: Where | None, limit: int | None
    ) -> tuple[sqlalchemy.Select[*tuple[Any, ...]], list[Reader]]:
        import sqlalchemy

        from edge_sources.sql_frames import reader

        if limit is not None and (not _is_whole(limit) or limit < 0):
            raise BadEntry(f"limit must be a number of rows, not {limit!r}; leave it out for all rows")
        if isinstance(columns, str):
            raise BadEntry(f"columns must be a list of names; write [{columns!r}]")
        names = self.columns if columns is None else list(columns)
        if not names:
            raise BadEntry("columns is empty; name one column or more, or leave it out for all")
        dialect = self.engine.dialect.name
        readers = [reader(self._column(name), self._stored.get(name), dialect) for name in names]
        query = sqlalchemy.select(*(reader.expression.label(reader.name) for reader in readers))
        if where is not None:
            query = query.where(*self._conditions(where))
        return query if limit is None else query.limit(limit), readers

    def _conditions(self, where: Where) -> list[Any]:
        import sqlalchemy

        if isinstance(where, Mapping):
            from edge_sources.sql_conditions import condition

            dialect = self.engine.dialect.name
            return [
                condition(self._column(name), value, dialect, self._stored.get(name)) for name, value in where.items()
            ]
        if isinstance(where, sqlalchemy.ClauseElement):
            return [where]
        raise BadEntry(
            "where must be a dictionary of columns and values, or an SQLAlchemy expression; "
            "put a str into sqlalchemy.text(), with its values in bindparams()"
        )

    def _column(self, name: str) -> Any:
        try:
            return self.table.columns[name]
        except KeyError:
            known = ", ".join(self.columns)
            raise BadEntry(f"the table {self.name} has no column {name!r}; it has: {known}") from None

    def __repr__(self) -> str:
        try:
            columns = ", ".join(f"{column.name} {column.type}" for column in self.table.columns)
            return f"<SQLTable {self.name!r}, {len(self):,} rows: {columns}>"
        except Exception as error:  # a repr must not fail
            return f"<SQLTable {self.name!r}, which cannot be read: {error}>"

    def _repr_html_(self) -> str:
        """Return the columns and the number of rows as HTML, for notebooks."""
        try:
            rows = "".join(
                f"<tr><td>{html.escape(column.name)}</td><td>{html.escape(str(column.type))}</td></tr>"
                for column in self.table.columns
            )
            caption = f"{html.escape(self.name)}, {len(self):,} rows"
        except Exception:
            return f"<pre>{html.escape(repr(self))}</pre>"
        return f"<table><caption>{caption}</caption><tr><th>column</th><th>type</th></tr>{rows}</table>"
