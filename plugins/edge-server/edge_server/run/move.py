"""Moving the server of a data folder to the database, the store and the folders that other settings name.

The old server does not run meanwhile, and no server starts on either side before the move has ended: the old data
folder says that it is being moved, and the new database that it holds a part. Both are on disk, so that it stays so
when the move is killed. It goes on where it was when it is run again. At the end all rows and all content are
compared; only then the old folder says where its server is now, and the new database lets one start. Nothing is taken
away from the old folder.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.orm import Session

from edge_core.replacing import replacing
from edge_server import files
from edge_server.base import clock, configuration
from edge_server.base.configuration import Configuration
from edge_server.base.problems import CannotStart
from edge_server.data import database, moving, postgresql, rows, site_values
from edge_server.data.database import SERVER
from edge_server.data.declarative import Base, new_uid
from edge_server.data.migration import migrate, own_history
from edge_server.data.moving import Moving
from edge_server.data.site_values import SiteValue
from edge_server.files import content_move, paths, tree
from edge_server.files.content_move import ContentMove
from edge_server.files.fsck import Damage, Missing
from edge_server.files.models import Node, Upload, Version
from edge_server.identity import operator_audit
from edge_server.identity.models import Organization
from edge_server.keys import folder, sealing, signing
from edge_server.keys.signing import Signer
from edge_server.run import app, data_folder, start
from edge_server.run.data_folder import MOVED, Moved
from edge_server.web.engines import Engines
from edge_vfs.progress import Tracker

SHOWN = 3
"""Values or uploads that a sentence names at most."""

Track = Callable[[str], Tracker]
"""Gives what counts a part of the move, which is called so."""


@dataclasses.dataclass
class Report:
    """What was moved.

    Attributes:
        has_ended: whether the new server can be started.
        tables: of the database.
        rows: of all tables.
        contents: compared in the new store.
        damages: content that was missing or damaged in the old store, and is there now as it was.
        keys: the folder of the keys of the new server.
        files: the operator's files that were copied.
    """

    keys: Path
    has_ended: bool = False
    tables: int = 0
    rows: int = 0
    contents: int = 0
    damages: list[Damage | Missing] = dataclasses.field(default_factory=list)
    files: list[str] = dataclasses.field(default_factory=list)


def move(
    data: Path,
    config: Path | None,
    to: Path,
    to_data: Path,
    *,
    track: Track,
    drop_uploads: bool = False,
    accept_damaged: bool = False,
) -> Report:
    """Move the server of `data`, or go on with a move that was interrupted.

    Args:
        data: the data folder, whose database is a file.
        config: the file of the operator's settings.
        to: the file of settings of the new server; no variable of the environment counts for it.
        to_data: the data folder of the new server.
        track: makes what counts.
        drop_uploads: drop the uploads that are open; otherwise there must be none.
        accept_damaged: go on where content is missing or damaged.

    Raises:
        CannotStart: it cannot be moved, or not there; or somebody has changed one of the two meanwhile.
    """
    settings, site = configuration.of_server(data, config), Configuration(to, required=True)
    if to_data.resolve() == data.resolve():
        raise CannotStart(f"{data} is what is to be moved; name the new server's data folder with --to-data")
    with contextlib.ExitStack() as stack:
        stack.enter_context(data_folder.explained(data))
        own = stack.enter_context(contextlib.closing(database.of_server(settings, data)))
        if not isinstance(own.address, Path):
            raise CannotStart(
                f"the server of {data} has its database at {own.place}; only one whose database is a file is moved, "
                "and that one is copied by PostgreSQL's pg_dump"
            )
        if not own.address.is_file():
            raise CannotStart(f"{data} holds no server's data; name its folder with --data")
        stack.enter_context(data_folder.alone_in(data))
        moved = data_folder.moved_from(data)
        if moved is not None and (moved.config, moved.folder) != (str(to), str(to_data)):
            data_folder.require_not_moved(data)
        stack.enter_context(data_folder.locked(to_data, also=[to.name]))
        other = stack.enter_context(contextlib.closing(database.of_server(site, to_data)))
        if not other.is_shared:  # what SQLite says is of the old one otherwise
            stack.enter_context(data_folder.explained(to_data))
        mover = _Mover(
            app.engines_at(data, Signer(b""), settings, database=own),
            app.engines_at(to_data, Signer(b""), site, database=other),
            track,
        )
        try:
            return mover.run(moved, drop_uploads=drop_uploads, accept_damaged=accept_damaged)
        except KeyboardInterrupt as error:
            error.add_note("run it again, and it goes on where it was")
            raise


class _Mover:
    """A move from one server's engines to another's."""

    def __init__(self, source: Engines, target: Engines, track: Track) -> None:
        self._source = source
        self._target = target
        self._track = track
        loaded = app.load(source)
        app.load(target)
        start.require_whole(source.database)
        app.require_migrated(source, loaded)
        self._histories = [own_history(Base.metadata), *(each.history for each in loaded if each.history is not None)]
        metadatas = [history.metadata for history in self._histories if history.metadata is not None]
        self._tables = rows.tables_of(metadatas)
        self._contents = content_move.moves_of(source.database, source.stored, target.stored)
        if not target.database.is_shared:  # a row may refer to one that comes later
            sa.event.listen(target.database.root, "connect", _without_references)

    def run(self, moved: Moved | None, *, drop_uploads: bool, accept_damaged: bool) -> Report:
        """Do what is left to do."""
        begun = self._begun()
        report = Report(keys=folder.folder_of(self._target.configuration, self._target.folder))
        if moved is not None and moved.moved_at is not None and begun is None:
            report.has_ended = True
            return report
        if begun is not None and (moved is None or moved.id != begun.id):
            raise CannotStart(
                f"the database {self._target.database.place} holds a part of another move, from {begun.source}; empty "
                "it, and the store of its content, or name others"
            )
        self._require_known()
        self._require_own_keys()
        for content in self._contents:
            content.target.create()
        if moved is None or begun is None:
            moved, begun = self._begin(moved, drop_uploads=drop_uploads)
        self._claim(begun.owner)
        self._bring_files(report)
        if moved.moved_at is None:
            self._copy_rows(begun)
            self._copy_contents(begun)
            self._compare_rows(report)
            self._compare_contents(report)
            if report.damages and not accept_damaged:
                return report
            self._refer(begun)
            moved.moved_at = f"{clock.now():%Y-%m-%dT%H:%M:%SZ}"
            moved.keep(self._source.folder)
        self._release(moved, begun)
        report.has_ended = True
        return report

    # --- before anything is copied

    def _begun(self) -> Moving | None:
        """The move into the target that has not ended, if there is one."""
        address = self._target.database.address
        if isinstance(address, Path) and not address.is_file():
            return None
        with self._target.database.engine.connect() as connection:
            return moving.read(connection)

    def _require_known(self) -> None:
        """See that the old database has nothing that would not be copied: of a plugin that is gone, or newer code."""
        inspector = sa.inspect(self._source.database.engine)
        versions = {history.version_table for history in self._histories}
        columns = {table.name: set(table.columns.keys()) for table in self._tables}
        unknown = []
        for table in sorted(set(inspector.get_table_names()) - versions):
            there = {column["name"] for column in inspector.get_columns(table)}
            more = sorted(there - columns.get(table, set()))
            unknown += [table] if table not in columns else [f"{table}.{name}" for name in more]
        if unknown:
            raise CannotStart(
                f"the database {self._source.database.place} has what nothing here knows ({', '.join(unknown)}); "
                "install the plugin or the newer server that it belongs to, or drop it if that never comes back"
            )

    def _begin(self, moved: Moved | None, *, drop_uploads: bool) -> tuple[Moved, Moving]:
        """Look whether all can be moved, and say on both sides that it is being moved."""
        source, target = self._source, self._target
        if target.database.is_shared:
            self._require_fit()
        start.require_usable(target.database)
        self._require_empty()
        for content in self._contents:
            if not content.is_in_place and not content.target.is_empty():
                raise CannotStart(
                    f"{content.target.place} holds content already; name an empty place in [storage] of "
                    f"{target.configuration.path}"
                )
        self._require_no_uploads(drop_uploads)
        if moved is None:
            moved = Moved(
                new_uid(), str(target.configuration.path), str(target.folder), f"{clock.now():%Y-%m-%dT%H:%M:%SZ}"
            )
        moved.keep(source.folder)
        migrate(target.database, target.folder / "backups", self._histories)
        for history in self._histories:
            history.require_migrated(target.database, start.migrating(target.database))
        with source.database.engine.connect() as connection:
            owner = site_values.read(connection, start.OWNER) or new_uid()
        with target.database.write_connection() as connection:
            self._require_no_rows(connection)
            references = postgresql.lift_references(connection) if target.database.is_shared else []
            connection.execute(sa.delete(SiteValue))
            begun = Moving(moved.id, str(source.folder), owner, references)
            begun.keep(connection)
        return moved, begun

    def _require_fit(self) -> None:
        """See that PostgreSQL takes all values."""
        with self._source.database.read() as session:
            unfit = itertools.chain(*(rows.unfit(session.connection(), table, SHOWN + 1) for table in self._tables))
            wrong = [
                f"{_named(session, each)}: {each.column} {each.what}" for each in itertools.islice(unfit, SHOWN + 1)
            ]
        if wrong:
            raise CannotStart(
                f"PostgreSQL does not take what some rows hold ({_some(wrong, len(wrong))}); start the server on "
                f"{self._source.folder} and rename or remove these, and then move it"
            )

    def _require_no_uploads(self, drop: bool) -> None:
        """See that no upload is open, whose parts no other store can take over."""
        uploads = files.uploads_on(self._source)
        uploads.recover()
        while uploads.sweep():
            pass
        is_open = (
            sa.select(Upload.organization_id, Upload.uid, Upload.path, Organization.name)
            .join(Organization, Organization.id == Upload.organization_id)
            .where(Upload.version_id.is_(None))
            .order_by(Upload.id)
        )
        with self._source.database.read() as session:
            left = session.execute(is_open).all()
        if left and not drop:
            named = [f"{each.name}: {paths.show(each.path)}" for each in left[:SHOWN]]
            raise CannotStart(
                f"{len(left)} uploads are open ({_some(named, len(left))}), whose parts another store "
                f"cannot take over; start the server on {self._source.folder} and let them be completed or "
                "aborted, or drop them by --drop-uploads: their senders begin anew then"
            )
        for each in left:
            uploads.abort(each.organization_id, each.uid)

    def _require_empty(self) -> None:
        address = self._target.database.address
        if isinstance(address, Path) and not address.is_file():
            return
        with self._target.database.engine.connect() as connection:
            self._require_no_rows(connection)

    def _require_no_rows(self, connection: sa.Connection) -> None:
        there = set(sa.inspect(connection).get_table_names())
        for table in self._tables:
            if table.name not in there or table is SiteValue.__table__:
                continue
            if connection.execute(sa.select(sa.literal(1)).select_from(table).limit(1)).first() is not None:
                raise CannotStart(
                    f"the database {self._target.database.place} holds data already (in {table.name}); name an "
                    f"empty database under [database] of {self._target.configuration.path}"
                )

    def _claim(self, owner: str) -> None:
        """Claim the store for the new database, as its server would at its start."""
        if not start.is_alone(self._target):
            store = self._target.store
            start.require_no_other(self._target, owner, store.owners() or store.claim(owner))

    # --- keys, and what the operator has written

    def _keys(self) -> Iterator[tuple[Path, Path]]:
        """The files of the keys, and where the new server has them."""
        old = folder.folder_of(self._source.configuration, self._source.folder)
        new = folder.folder_of(self._target.configuration, self._target.folder)
        for name in (signing.FILE_NAME, sealing.FILE_NAME):
            if (old / name).exists():
                yield old / name, new / name

    def _require_own_keys(self) -> None:
        for old, new in self._keys():
            if new.exists() and new.read_bytes() != old.read_bytes():
                raise CannotStart(
                    f"{new} is there and is not {old}, without which nothing opens that the old server has sealed and "
                    "signed; move it away, or name another [keys] directory"
                )

    def _bring_files(self, report: Report) -> None:
        """Copy the keys, and the operator's files that the new server does not have."""
        for old, new in self._keys():
            try:
                new.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                _copy_file(old, new)
            except OSError as error:
                raise CannotStart(
                    f"{new} cannot be written ({error.strerror}); copy {old} there, readable for the server's user "
                    "alone, and run this again"
                ) from None
        settings = {configuration.FILE_NAME, self._source.configuration.path.name}
        for path in sorted(self._source.folder.glob("*.toml")):
            if path.name not in settings and _copy_file(path, self._target.folder / path.name):
                report.files.append(path.name)

    # --- rows

    def _copy_rows(self, begun: Moving) -> None:
        source, target = self._source.database, self._target.database
        with self._track("rows") as tracker, source.engine.connect() as reading:
            size = sa.text("SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()")
            expected = reading.scalar(size) or 0
            tracker.expect(expected)
            with tracker.file("rows", expected) as counted:
                for table in self._tables:
                    for each in rows.slices(reading, table, begun.rows.get(table.name, 0)):
                        with target.write_connection() as writing:
                            rows.insert(writing, table, each)
                            begun.rows[table.name] = begun.rows.get(table.name, 0) + len(each)
                            begun.keep(writing)
                        counted.add(sum(map(rows.size_of, each)))

    def _compare_rows(self, report: Report) -> None:
        source, target = self._source.database, self._target.database
        with source.engine.connect() as reading, target.engine.connect() as there:
            for table in self._tables:
                own = [SiteValue.name != moving.NAME] if table is SiteValue.__table__ else []
                before, after = rows.sum_of(reading, table), rows.sum_of(there, table, *own)
                if before != after:
                    raise CannotStart(
                        f"the table {table.name} of {target.place}, of {after.rows} rows, is not that of "
                        f"{source.place}, of {before.rows}; somebody has changed one of them meanwhile: remove "
                        f"{self._source.folder / MOVED}, empty the database and the store, and move again"
                    )
                report.tables += 1
                report.rows += before.rows

    # --- content

    def _copy_contents(self, begun: Moving) -> None:
        with self._track("content") as tracker:
            copied = [content for content in self._contents if not content.is_in_place]
            for content in copied:
                content.target.drop_incoming(math.inf)
                for upload in content.target.uploads():  # of a move that was killed
                    content.target.drop_upload(upload)
                _expect(content, tracker)
            for content in copied:
                self._copy_content(content, begun, tracker)

    def _copy_content(self, content: ContentMove, begun: Moving, tracker: Tracker) -> None:
        def note(key: str) -> None:
            begun.contents[content.name] = key
            with self._target.database.write_rows(SERVER) as connection:
                begun.keep(connection)

        content.copy(begun.contents.get(content.name, ""), note, tracker)

    def _compare_contents(self, report: Report) -> None:
        with self._track("check") as tracker:
            for content in self._contents:
                _expect(content, tracker)
            for content in self._contents:
                for count, damages in content.compare(tracker):
                    report.contents += count
                    report.damages += damages

    # --- at the end

    def _refer(self, begun: Moving) -> None:
        """Give the new database its foreign keys and numbers, as if it had made the rows itself."""
        with self._target.database.write_connection() as connection:
            if not self._target.database.is_shared:
                lost = connection.exec_driver_sql("PRAGMA foreign_key_check").first()
                if lost is not None:
                    raise CannotStart(
                        f"a row of {lost[0]} in {self._source.database.place} refers to one of {lost[2]} that is not "
                        "there; put back a backup of the database"
                    )
                return
            for statement in begun.references:
                connection.exec_driver_sql(statement)
            for table in self._tables:
                postgresql.number_on(connection, table)
                connection.exec_driver_sql(f"ANALYZE {connection.dialect.identifier_preparer.format_table(table)}")
            begun.references = []
            begun.keep(connection)

    def _release(self, moved: Moved, begun: Moving) -> None:
        """Let a server start on the new database."""
        with self._target.database.write_connection() as connection:
            site_values.keep(connection, moving.NAME, None)
            site_values.keep(connection, start.OWNER, begun.owner)
            about = {"from": str(self._source.folder), "to": moved.config}
            operator_audit.note(connection, operator_audit.MOVE, about)


def _expect(content: ContentMove, tracker: Tracker) -> None:
    count, size = content.size()
    tracker.expect(size, files=count)


def _some(names: Sequence[str], count: int) -> str:
    """The first of some names, for a sentence."""
    return "; ".join(names[:SHOWN]) + (" and more" if count > SHOWN else "")


def _copy_file(old: Path, new: Path) -> bool:
    """Copy a small file, unless there is one; returns whether it was copied."""
    if new.exists():
        return False
    with replacing(new, mode=0o600) as file:
        file.write(old.read_bytes())
    return True


def _without_references(connection: sa.engine.interfaces.DBAPIConnection, _record: object) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA foreign_keys = OFF")
    cursor.close()


def _named(session: Session, unfit: rows.Unfit) -> str:
    """What a sentence calls the row of a value: the path of the file if it is one's."""
    path = None
    table = unfit.table
    if table is Node.__table__:
        node = session.get_one(Node, unfit.key)
        organization, path = node.organization_id, tree.paths_of(session, [node.uid]).get(node.uid)
    elif table is Upload.__table__:
        upload = session.get_one(Upload, unfit.key)
        organization, path = upload.organization_id, upload.path
    elif table is Version.__table__:
        version = session.get_one(Version, unfit.key)
        organization = version.organization_id
        if version.removed_name is not None:
            path = "/".join(filter(None, (version.removed_folder, version.removed_name)))
    if path is None:
        return f"table {table.name}, row {', '.join(map(str, unfit.key))}"
    return f"{session.get_one(Organization, organization).name}: {paths.show(path)}"
