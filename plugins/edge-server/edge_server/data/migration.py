"""Bringing a database to the revisions that this code, and that of the plugins, work with.

Hosts are brought to another version one after another, so that older code meets a newer database. It goes on where all
that is newer is additive: new tables, and new columns that it need not fill, which change nothing that it does. The
migration says so itself, by ``additive = True`` beside its revision. Older code does not have the file, so the
database says which revision's code it needs at least: the newest that is not additive.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa

from edge_server.base.problems import is_full, log
from edge_server.data import site_values
from edge_server.data.database import VERSION_TABLE, Database, NotMigrated
from edge_server.data.migrations import HEAD

if TYPE_CHECKING:
    from alembic.config import Config
    from alembic.script import ScriptDirectory

FOLDER = Path(__file__).parent / "migrations"


@dataclasses.dataclass(frozen=True)
class History:
    """Tables that are migrated together.

    Attributes:
        name: the subsystem's whose tables they are; "" for the server's own.
        owner: who brings the code, with its version.
        maker: who brings the code, without its version.
        folder: where the revisions are.
        version_table: where the revision that the tables are at is kept.
        metadata: the tables as the code declares them; None where it declares none.
        broken: makes the error for what is wrong with the revisions; None for the server's own,
            whose errors are shown as they are.
    """

    name: str
    owner: str
    maker: str
    folder: Path
    version_table: str
    metadata: sa.MetaData | None
    broken: Callable[[str], Exception] | None = None

    @functools.cached_property
    def head(self) -> str:
        """The revision that the tables must be at."""
        if self.broken is None:
            return HEAD  # read without Alembic, whose import would slow each start
        try:
            heads = self.revisions().get_heads()
        except Exception as error:
            raise self.broken(f"has migrations that cannot be read ({type(error).__name__}: {error})") from error
        if len(heads) != 1:
            raise self.broken(f"has {len(heads)} newest migrations in {self.folder}; one is right")
        return heads[0]

    def can_use(self, database: Database) -> bool:
        """Whether the tables are at `head`, or newer by additive migrations alone."""
        revision = database.revision(self.version_table)
        if revision in (None, self.head):
            return revision is not None
        if self.knows(revision):  # older
            return False
        needed = self.needed(database)
        return needed != revision and self.knows(needed)

    def knows(self, revision: str | None) -> bool:
        """Whether this code has a revision, or one that comes after it."""
        return revision in {each.revision for each in self.revisions().walk_revisions()}

    def needed(self, database: Database) -> str | None:
        """The revision whose code can use the tables at least."""
        revision = database.revision(self.version_table)
        with database.engine.connect() as connection:
            of, _, needed = (site_values.read(connection, self._needed_name) or "").partition(" ")
        return needed if of == revision else revision

    @property
    def _needed_name(self) -> str:
        """The name under which the database has its revision, and the one whose code it needs at least."""
        return f"needed.{self.version_table}"

    def _needed(self) -> str | None:
        """The newest revision, and the one whose code can use its tables: the newest that is not additive."""
        revisions = list(self.revisions().walk_revisions())
        if not revisions:  # of a plugin whose first is about to be written
            return None
        needed = next((each for each in revisions if not getattr(each.module, "additive", False)), revisions[-1])
        return f"{revisions[0].revision} {needed.revision}"

    def revisions(self) -> ScriptDirectory:
        """The Alembic revisions."""
        from alembic.script import ScriptDirectory

        return ScriptDirectory.from_config(self.config())

    def config(self) -> Config:
        """What Alembic works with."""
        from alembic.config import Config

        config = Config()
        # The one env.py is ours; a plugin brings nothing but its revisions.
        config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
        config.set_main_option("version_locations", str(self.folder).replace("%", "%%"))
        config.set_main_option("path_separator", "newline")  # a folder's name may have any of the others
        config.attributes["metadata"] = self.metadata
        config.attributes["version_table"] = self.version_table
        return config

    def require_migrated(self, database: Database, migrating: str = "`edge server run`") -> None:
        """See that the tables are at `head`, and that none of them lacks a column that the code has.

        What the database has and the code does not know is no error: older code runs on a newer
        schema while a server is upgraded host by host.

        Args:
            database: the database.
            migrating: what brings it there, for the sentence.

        Raises:
            NotMigrated: they are at another revision.
            CannotStart: the code has a table or column that no migration made.
        """
        tables = f"the tables of {self.name} in" if self.name else "the database"
        if not self.can_use(database):
            revision = database.revision(self.version_table)
            verb, pronoun = ("are", "them") if self.name else ("is", "it")
            raise NotMigrated(
                f"{tables} {database.place} {verb} at revision {revision or 'none'} and "
                f"{self.owner} needs {self.head}; {migrating} brings {pronoun} there"
            )
        missing = self.missing(database)
        if missing:
            reason = (
                f"has {missing[0]} that no migration makes; its author writes one with "
                f"`edge plugins migration {self.name or 'server'} -m ...`"
            )
            raise self.broken(reason) if self.broken else NotMigrated(f"{self.owner} {reason}")

    def missing(self, database: Database) -> list[str]:
        """The tables and columns that the code has and the database lacks."""
        if self.metadata is None:
            return []
        with database.engine.connect() as connection:
            inspector = sa.inspect(connection)
            there = set(inspector.get_table_names())
            missing = []
            for table in self.metadata.sorted_tables:
                if table.name not in there:
                    missing.append(f"a table {table.name}")
                    continue
                columns = {column["name"] for column in inspector.get_columns(table.name)}
                missing += [
                    f"a column {table.name}.{column.name}" for column in table.columns if column.name not in columns
                ]
        return missing

    def upgrade(self, database: Database) -> None:
        """Run the revisions that are due; on any failure the tables stay as they were."""
        from alembic import command

        config = self.config()
        try:
            with database.write_connection() as connection:
                config.attributes["connection"] = connection
                command.upgrade(config, "head")
                site_values.keep(connection, self._needed_name, self._needed())
        except Exception as error:
            if self.broken is None or is_full(error):
                raise
            raise self.broken(
                f"cannot migrate its tables, which stay as they were ({type(error).__name__}: {error})"
            ) from error


def own_history(metadata: sa.MetaData | None = None) -> History:
    """The history of the server's own tables.

    Args:
        metadata: the tables, where the code that declares them is loaded.
    """
    return History("", "this server", "server", FOLDER / "versions", VERSION_TABLE, metadata)


def migrate(database: Database, backups: Path, histories: Sequence[History]) -> None:
    """Migrate `database` if it needs it; a file that holds something is backed up first.

    Args:
        database: the database; it may be empty.
        backups: folder for the backup, made if it is missing. The newest five are kept.
        histories: of the server's own tables first, then of those of plugins.

    Raises:
        NotMigrated: the database was made by a newer server, or a newer plugin.
        CannotStart: a plugin's migration fails; its tables stay as they were.
    """
    due = []
    for history in histories:
        revision = database.revision(history.version_table)
        if revision == history.head:
            continue
        if history.can_use(database):
            sentence = "%s is at revision %s, which a newer %s made and %s can use"
            log.info(sentence, database.place, revision, history.maker, history.owner)
            continue
        if revision is not None and not history.knows(revision):
            tables = f"what {history.name} keeps in" if history.name else "the database"
            raise NotMigrated(
                f"{tables} {database.place} is at revision {revision}, which {history.owner} does not know; "
                f"a newer {history.maker} made it, so install that version again"
            )
        due.append(history)
    if due and database.revision() is not None:
        database.back_up(backups)
    for history in due:
        history.upgrade(database)
