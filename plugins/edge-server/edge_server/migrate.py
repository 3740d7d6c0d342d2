"""Bringing a database to the revision this code works with."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from edge_server import clock
from edge_server.database import Database, NotMigrated
from edge_server.migrations import HEAD

KEPT_BACKUPS = 5


def migrate(database: Database, backups: Path) -> None:
    """Migrate `database` if it needs it; one that holds something is backed up first.

    Args:
        database: the database; it may be empty.
        backups: folder for the backup, made if it is missing. The newest five are kept.

    Raises:
        NotMigrated: the database was made by a newer server.
    """
    found = database.revision()
    if found == HEAD:
        return
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if found is not None and found not in known:
        raise NotMigrated(
            f"the database {database.path} is at revision {found}, which this server does not know; "
            "a newer server made it, so install that version again"
        )
    if found is not None:
        back_up(database.path, backups)
    with database.write_connection() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


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
