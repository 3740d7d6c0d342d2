"""Translates the errors of SQLAlchemy and the drivers to errors of Edge."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from typing import Any

from edge_core.errors import BadEntry, ConnectionFailed, EdgeError, Forbidden, NotFound, Unauthenticated
from edge_sources.connection import SourceError


class NoSuchTable(NotFound, KeyError):
    """The table does not exist; also a `KeyError`, since `SQLConnection.tables` is a mapping."""


# PostgreSQL's reason for refusing a log-in is only in its sentence; the driver does not pass the code on.
_REFUSED_LOGIN = re.compile(
    r"password authentication failed|no password supplied|no pg_hba\.conf entry|authentication failed|"
    r"role \".*\" (does not exist|is not permitted to log in)|Login failed for user|ORA-0(1017|1045|28000)"
)

_NOT_UTF8 = re.compile(r"Could not decode to UTF-8 column '(.*?)' with text", re.DOTALL)

_MYSQL_REFUSED_LOGIN = {1044, 1045, 1130, 1698, 1251, 1820, 4151}


@contextlib.contextmanager
def translated(what: str) -> Iterator[None]:
    """Translate errors of SQLAlchemy and its drivers within the block.

    Args:
        what: the database or table, for the sentence.

    Raises:
        NotFound: the table does not exist.
        Unauthenticated, Forbidden: the database rejects the credentials, or does not permit the query.
        BadEntry: SQLAlchemy or the database refuses the condition.
        ConnectionFailed: the database cannot be reached, or the connection broke.
        SourceError: the database failed, or holds a value that cannot be read.
    """
    import sqlalchemy.exc

    try:
        yield
    except EdgeError:
        raise
    except sqlalchemy.exc.NoSuchTableError:
        raise _missing(what) from None
    except sqlalchemy.exc.DBAPIError as error:
        raise _translated(error, what) from None
    except sqlalchemy.exc.SQLAlchemyError as error:
        raise BadEntry(f"{what}: SQLAlchemy refuses this ({_first_line(error)}); correct it") from None
    except UnicodeDecodeError:
        raise _not_utf8(what, None) from None
    except (ValueError, TypeError, ArithmeticError) as error:
        raise SourceError(
            f"{what}: it has a value that is not of its column's type ({_first_line(error)}); leave the column out "
            "by columns=, or give SQLTable a sqlalchemy.Column(name, sqlalchemy.String)"
        ) from None
    except OSError as error:
        raise ConnectionFailed(f"{what}: the database cannot be reached ({type(error).__name__}); try again") from None


def _translated(error: object, what: str) -> EdgeError:
    original = getattr(error, "orig", None)
    state = getattr(original, "sqlstate", None) or ""
    arguments: tuple[Any, ...] = getattr(original, "args", ())
    number = arguments[0] if arguments and isinstance(arguments[0], int) else 0
    text = str(original)
    if type(original).__module__ == "sqlite3":
        return _of_sqlite(original, text, what)
    if state == "42P01" or number == 1146:
        return _missing(what)
    if state.startswith("28") or number in _MYSQL_REFUSED_LOGIN or _REFUSED_LOGIN.search(text):
        return Unauthenticated(f"{what}: the database rejects the credentials; correct the connector")
    if state == "42501" or number == 1142:
        return Forbidden(f"{what}: the connector's user may not read it; ask the database's administrator")
    if state == "22021":
        return _not_utf8(what, None)
    refused = type(original).__name__ == "ProgrammingError" and not (state or number)  # by the driver itself
    if refused or state in ("42703", "42601", "42883", "22P02", "22P05", "22007") or number in (1054, 1064):
        return _refused_condition(original, what)
    if _is_connection(error, state, number):
        return ConnectionFailed(
            f"{what}: the database cannot be reached, or the connection broke ({_first_line(original)}); "
            "check host, port and db_name, and try again"
        )
    return SourceError(f"{what}: the query failed in the database ({_first_line(original)}); ask its administrator")


def _of_sqlite(original: object, text: str, what: str) -> EdgeError:
    if "no such table" in text:
        return _missing(what)
    if undecodable := _NOT_UTF8.match(text):
        return _not_utf8(what, undecodable[1])
    if "is not a database" in text:
        return ConnectionFailed(f"{what}: the file is not an SQLite database; correct db_name")
    if "unable to open database" in text:
        return ConnectionFailed(f"{what}: the file cannot be opened ({_first_line(original)}); correct db_name")
    binding = type(original).__name__ in ("ProgrammingError", "InterfaceError")
    if binding or any(
        reason in text for reason in ("no such column", "no such function", "syntax error", "too many SQL")
    ):
        return _refused_condition(original, what)
    return SourceError(f"{what}: SQLite failed ({_first_line(original)}); check the file, and try again")


def _refused_condition(original: object, what: str) -> BadEntry:
    return BadEntry(f"{what}: the database refuses the condition ({_first_line(original)}); correct it")


def _not_utf8(what: str, column: str | None) -> SourceError:
    name = "name" if column is None else repr(column)
    return SourceError(
        f"{what}: {'a column' if column is None else f'the column {name}'} holds text that is not UTF-8; leave it out "
        f"by columns=, or give SQLTable a sqlalchemy.Column({name}, sqlalchemy.LargeBinary) for its bytes"
    )


def _is_connection(error: object, state: str, number: int) -> bool:
    if getattr(error, "connection_invalidated", False) or state.startswith(("08", "57P", "3D")):
        return True
    if number in (1049, 2002, 2003, 2005, 2006, 2013):
        return True
    return type(getattr(error, "orig", None)).__name__ in (
        "OperationalError",
        "ConnectionTimeout",
        "InterfaceError",
    ) and not (state or number)


def _missing(what: str) -> NoSuchTable:
    return NoSuchTable(
        f"{what} does not exist (any more); list(connection.tables) shows the tables, and "
        "SQLTable(connection, name, schema=...) reads one of another schema"
    )


def _first_line(error: object) -> str:
    arguments: tuple[Any, ...] = getattr(error, "args", ())
    text = str(arguments[1]) if len(arguments) > 1 and isinstance(arguments[0], int) else str(error)
    return text.strip().partition("\n")[0][:300]
