"""Bringing a database to the revisions this code, and that of installed plugins, work with."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa

from edge_server import clock
from edge_server.database import VERSION_TABLE, Database, NotMigrated
from edge_server.extensions import Extension, bad
from edge_server.migrations import HEAD

if TYPE_CHECKING:
    from alembic.config import Config

KEPT_BACKUPS = 5


def migrate(database: Database, backups: Path, extensions: Sequence[Extension] = ()) -> None:
    """Migrate `database` if it needs it; one that holds something is backed up first.

    Args:
        database: the database; it may be empty.
        backups: folder for the backup, made if it is missing. The newest five are kept.
        extensions: plugins with tables of their own.

    Raises:
        NotMigrated: the database was made by a newer server or plugin.
        BadExtension: a plugin's revisions are not what it says.
    """
    found = database.revision()
    due = [one for one in extensions if database.revision(one.version_table) != one.revision]
    if found == HEAD and not due:
        return
    if found is not None:
        _check_known(_config(), found, database, "server")
        for one in due:
            _check_known(_config(one), database.revision(one.version_table), database, one.distribution)
        back_up(database.path, backups)
    if found != HEAD:
        _upgrade(database, _config())
    for one in due:
        _upgrade(database, _config(one))
        _check_tables(database, one)


def _config(extension: Extension | None = None) -> Config:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", _escaped(Path(__file__).parent / "migrations"))
    config.attributes["version_table"] = VERSION_TABLE
    if extension is not None:
        config.set_main_option("path_separator", "newline")
        config.set_main_option("version_locations", _escaped(extension.migrations))
        config.attributes["version_table"] = extension.version_table
        config.attributes["metadata"] = extension.metadata
    return config


def _escaped(path: Path) -> str:
    return str(path).replace("%", "%%")


def _check_known(config: Config, found: str | None, database: Database, whose: str) -> None:
    from alembic.script import ScriptDirectory

    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if found is not None and found not in known:
        raise NotMigrated(
            f"the database {database.path} is at revision {found}, which this {whose} does not know; "
            f"a newer {whose} made it, so install that version again"
        )


def _upgrade(database: Database, config: Config) -> None:
    from alembic import command

    with database.write_connection() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def _check_tables(database: Database, extension: Extension) -> None:
    """See that the plugin's revisions made what it says: organizations are removed by it."""
    who = extension.distribution
    reached = database.revision(extension.version_table)
    if reached != extension.revision:
        raise bad(who, f"the newest revision of {who} is {reached}, and it states {extension.revision}; upgrade {who}")
    with database.engine.connect() as connection:
        inspector = sa.inspect(connection)
        for table in extension.metadata.tables:
            keys = inspector.get_foreign_keys(table) if inspector.has_table(table) else []
            if not any(
                key["referred_table"] == "organizations" and key["constrained_columns"] == ["organization_id"]
                for key in keys
            ):
                raise bad(
                    who,
                    f"the revisions of {who} make no table {table!r} whose organization_id refers to organizations.id; "
                    f"upgrade {who}",
                )


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
