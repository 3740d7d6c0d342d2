"""Bringing a database to the revisions that this code, and that of the plugins, work with."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import sqlalchemy as sa

from edge_server.base import clock
from edge_server.base.problems import is_full
from edge_server.data.database import VERSION_TABLE, Database, NotMigrated
from edge_server.data.migrations import HEAD

if TYPE_CHECKING:
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    from edge_server.web.subsystems import Subsystem

KEPT_BACKUPS = 5


_FOLDER = Path(__file__).parent / "migrations"


class _History(NamedTuple):
    """Tables that are migrated together.

    Attributes:
        tables: what to call them.
        owner: whose they are.
        maker: the same without its version.
        newest: the revision they are to be at.
        version_table: where their revision is kept.
        folder: where the revisions are.
        metadata: what they are to be, or None.
        subsystem: the plugin's server half they belong to; None for the server's own.
    """

    tables: str
    owner: str
    maker: str
    newest: str
    version_table: str
    folder: Path
    metadata: sa.MetaData | None
    subsystem: Subsystem | None


def migrate(database: Database, backups: Path, added: Sequence[Subsystem] = ()) -> None:
    """Migrate `database` if it needs it; one that holds something is backed up first.

    Args:
        database: the database; it may be empty.
        backups: folder for the backup, made if it is missing. The newest five are kept.
        added: what plugins add, whose tables have histories of their own.

    Raises:
        NotMigrated: the database was made by a newer server, or a newer plugin.
        BrokenSubsystem: a plugin's migration fails; its tables stay as they were.
    """
    due = [
        (history, found)
        for history in _histories(added)
        if (found := database.revision(history.version_table)) != history.newest
    ]
    for history, found in due:
        if found is not None and found not in {one.revision for one in revisions(history.folder).walk_revisions()}:
            raise NotMigrated(
                f"{history.tables} {database.path} is at revision {found}, which {history.owner} does not know; "
                f"a newer {history.maker} made it, so install that version again"
            )
    if due and database.revision() is not None:
        back_up(database.path, backups)
    for history, _ in due:
        _upgrade(database, history)


def revisions(folder: Path) -> ScriptDirectory:
    """The Alembic revisions in `folder`."""
    from alembic.script import ScriptDirectory

    return ScriptDirectory.from_config(_config(folder))


def _histories(added: Sequence[Subsystem]) -> Iterator[_History]:
    from edge_server.data.declarative import Base

    yield _History(
        "the database",
        "this server",
        "server",
        HEAD,
        VERSION_TABLE,
        _FOLDER / "versions",
        Base.metadata,
        subsystem=None,
    )
    for one in added:
        if one.head is not None and one.parts.migrations is not None:
            who = f"{one.distribution} {one.version}"
            tables = f"what {one.name} keeps in"
            yield _History(
                tables,
                who,
                one.distribution,
                one.head,
                one.version_table,
                one.parts.migrations,
                one.parts.metadata,
                one,
            )


def _config(folder: Path) -> Config:
    from alembic.config import Config

    config = Config()
    # The one env.py is ours; a plugin brings nothing but its revisions.
    config.set_main_option("script_location", str(_FOLDER).replace("%", "%%"))
    config.set_main_option("version_locations", str(folder).replace("%", "%%"))
    config.set_main_option("path_separator", "newline")  # a folder's name may have any of the others
    return config


def _upgrade(database: Database, history: _History) -> None:
    from alembic import command

    config = _config(history.folder)
    config.attributes["metadata"] = history.metadata
    config.attributes["version_table"] = history.version_table
    try:
        with database.write_connection() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    except Exception as error:
        if history.subsystem is None or is_full(error):
            raise
        raise history.subsystem.broken(
            f"cannot migrate its tables, which stay as they were ({type(error).__name__}: {error})"
        ) from error


def back_up(source: Path, folder: Path) -> Path:
    """Copy a SQLite database as it is at this moment, also while it is used; returns the copy's path."""
    folder.mkdir(mode=0o700, exist_ok=True)
    target = folder / f"{clock.now():%Y%m%dT%H%M%S%fZ}.sqlite3"
    original, copy = sqlite3.connect(source), sqlite3.connect(target)
    try:
        original.backup(copy)
    finally:
        original.close()
        copy.close()
    for old in sorted(folder.glob("*.sqlite3"))[:-KEPT_BACKUPS]:
        old.unlink()
    return target
