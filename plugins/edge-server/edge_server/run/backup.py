"""`edge server backup`: a copy of a server's data, made while the server runs.

First the database is copied, as it is at one moment, and then the content that the copy names, which never changes.
What is deleted meanwhile is kept until the backup has ended. Where some goes all the same (a full disk, an organization
that is removed), the database is copied once more: so all that a backup's database names is there at the end.

Backups in one folder share the content that has not changed since the one before, by hard links.
"""

from __future__ import annotations

import collections
import concurrent.futures
import contextlib
import dataclasses
import datetime as dt
import hashlib
import math
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import filelock
import sqlalchemy as sa

from edge_core.replacing import replacing, sync_folder
from edge_server import files
from edge_server.base import clock, configuration
from edge_server.base.problems import CannotStart
from edge_server.data import database, site_values, sqlite
from edge_server.data.database import SERVER, Database
from edge_server.data.migration import own_history
from edge_server.data.store import WRITERS, Block, Content, FolderStore, MissingContent, Store
from edge_server.files import fsck, housekeeping, storage
from edge_server.files.models import Node, Upload, Version
from edge_server.identity.directory import DELETING
from edge_server.identity.models import Organization, User
from edge_server.keys import rotation, signing
from edge_server.run import app, backup_folder, server_routes, start
from edge_server.run.backup_folder import About, Backup, Earlier, Shareable, Sums
from edge_server.web.engines import Engines
from edge_server.web.stored_content import StoredContent
from edge_server.web.subsystems import Subsystem
from edge_vfs import digests
from edge_vfs.progress import Tracker

ATTEMPTS = 5
"""Times that the database is copied at most, if content goes meanwhile; each is quicker than the one before."""

_PAGE = 1000


@dataclasses.dataclass
class Report:
    """What a backup is.

    Attributes:
        folder: where it is.
        about: what it is of.
        shared: contents that it shares with an earlier one.
        damages: content that was damaged or missing already.
        keys: where the keys are; None if they were not copied.
        key_files: the names of those that the server has.
        is_sealed: whether it holds anything that only the key file can open.
    """

    folder: Path
    about: About
    shared: int
    damages: list[fsck.Damage | fsck.Missing]
    keys: Path | None
    key_files: list[str]
    is_sealed: bool

    @property
    def is_clock_behind(self) -> bool:
        """Whether the backups before are called by a time to come, so that this one is called by a later one."""
        return self.folder.name != backup_folder.name_of(dt.datetime.fromisoformat(self.about.created_at))


def back_up(
    data: Path,
    target: Path,
    config: Path | None = None,
    *,
    keys: Path | None = None,
    deep: bool = False,
    tracker: Tracker | None = None,
) -> Report:
    """Back up the server on `data`, whether or not it runs.

    Args:
        data: the data folder.
        target: the folder of backups, made if it is missing.
        config: the file of the operator's settings.
        keys: a folder for copies of the keys, apart from `target`; None to copy none.
        deep: also read the content that is shared with the backup before, and copy anew what is damaged there.
        tracker: counts the contents.

    Raises:
        CannotStart: there is no server's data, it is on other engines, another backup of it is being made, or this
            one cannot be written.
    """
    settings = configuration.of_server(data, config)
    with contextlib.closing(database.of_server(settings, data)) as own:  # which is not asked anything
        path, store = in_files(own, storage.store_of(settings, data))
    with start.engines(data, config) as opened:
        _require_apart(opened, target, keys)
        loaded = app.load(opened)
        app.require_migrated(opened, loaded)
        with _explained(target), _alone(target), housekeeping.keeping_deleted(opened.database):
            for left in backup_folder.unfinished(target):
                shutil.rmtree(left)
            earlier = backup_folder.newest(target)
            tracker = tracker or Tracker("copy", "", progress=False)
            for _ in range(ATTEMPTS):
                attempt = _Attempt(opened, path, store, loaded, target, earlier, deep=deep, tracker=tracker)
                backup = attempt.run()
                if earlier is not None and earlier.folder.name.endswith(backup_folder.UNFINISHED):
                    shutil.rmtree(earlier.folder)
                if not attempt.is_outdated:
                    return _publish(backup, attempt, keys)
                earlier = backup
    raise CannotStart(
        f"content went faster than it could be copied, {ATTEMPTS} times, as it does on a full disk; make room on the "
        "server's, and run the backup again"
    )


def in_files(opened: Database, store: Store) -> tuple[Path, FolderStore]:
    """The file of the database and the folder of content.

    Raises:
        CannotStart: they are elsewhere, where other tools copy them.
    """
    if isinstance(opened.address, Path) and isinstance(store, FolderStore):
        return opened.address, store
    on_postgresql = not isinstance(opened.address, Path)
    place = "the database is on PostgreSQL" if on_postgresql else "the content is in a bucket"
    first = "pg_dump" if on_postgresql else "sqlite3's .backup"
    then = "the folder of content" if isinstance(store, FolderStore) else "the bucket by its store's own means"
    raise CannotStart(
        f"{place}, which this command does not copy: copy the database by {first} and then, within a day, {then}, and "
        "bring them back in that order; docs/administration.md tells how under Backups"
    )


def _require_apart(opened: Engines, target: Path, keys: Path | None) -> None:
    if target.resolve().is_relative_to(opened.folder.resolve()):
        raise CannotStart(f"{target} is in the data folder, with which it would be lost; name a folder on another disk")
    if (target / backup_folder.ABOUT).exists():
        raise CannotStart(f"{target} is a backup itself; name the folder that it is in")
    if keys is not None and keys.resolve().is_relative_to(target.resolve()):
        raise CannotStart(
            f"the keys in {keys} would be with the backups, and a thief of one would have both; "
            "name a folder elsewhere with --keys"
        )


@contextlib.contextmanager
def _alone(target: Path) -> Iterator[None]:
    target.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        with filelock.FileLock(target / backup_folder.LOCK, timeout=0):
            yield
    except filelock.Timeout:
        raise CannotStart(
            f"another backup is being written into {target}; wait for that, or name another folder"
        ) from None


@contextlib.contextmanager
def _explained(target: Path) -> Iterator[None]:
    """Say in one sentence why a backup was not completed."""
    try:
        yield
    except (OSError, sqlite3.Error, sa.exc.DBAPIError) as error:
        reason = getattr(error, "strerror", None) or getattr(error, "orig", error)
        raise CannotStart(
            f"the backup in {target} was not completed ({reason}); fix that and run it again, which also clears away "
            "what is unfinished there"
        ) from None


class Unreadable(Exception):
    """The disk does not give content; the message is a few words."""


def blocks(content: Content) -> Iterator[Block]:
    """The blocks of content.

    Raises:
        Unreadable: the disk does not give them.
    """
    try:
        yield from content
    except OSError as error:
        raise Unreadable(fsck.unreadable(error)) from None


class _Source(NamedTuple):
    """Content that belongs into a backup.

    Attributes:
        key: its key.
        subsystem: the name of that which keeps it; None for files.
        version: what the database says of it; None if it says nothing but its key.
    """

    key: str
    subsystem: str | None = None
    version: Version | None = None

    @property
    def path(self) -> str:
        """Its path in the backup."""
        return backup_folder.path_of(self.key, self.subsystem)


class _Copied(NamedTuple):
    """What became of content.

    Attributes:
        source: the content.
        sha256: of what is in the backup; None if nothing is.
        size: bytes of that.
        what: what is wrong with it; None if nothing is.
        is_shared: whether an earlier backup has it.
    """

    source: _Source
    sha256: str | None
    size: int = 0
    what: str | None = None
    is_shared: bool = False


class _Attempt:
    """A backup as it is made, from one copy of the database.

    Args:
        opened: the server's engines.
        path: the file of its database.
        store: its content.
        loaded: its subsystems.
        target: the folder of backups.
        earlier: a backup there that has content already.
        deep: also read what is shared with that.
        tracker: counts the contents.

    Attributes:
        shared: contents that are shared.
        damages: content that was damaged or missing.
        is_outdated: whether content that the copy names has gone since.
        is_sealed: whether it holds anything that only the key file can open.
        keys: the content of the key files by their names.
    """

    def __init__(
        self,
        opened: Engines,
        path: Path,
        store: FolderStore,
        loaded: Sequence[Subsystem],
        target: Path,
        earlier: Backup | None,
        *,
        deep: bool,
        tracker: Tracker,
    ) -> None:
        self._opened = opened
        self._path = path
        self._loaded = loaded
        self._created_at = clock.now()
        self._folder = target / f"{backup_folder.next_name(self._created_at, target)}{backup_folder.UNFINISHED}"
        self._stores: dict[str | None, FolderStore] = {None: store}
        self._earlier = earlier
        self._deep = deep
        self._tracker = tracker
        self.shared = 0
        self.damages: list[fsck.Damage | fsck.Missing] = []
        self.is_outdated = False
        self.is_sealed = False
        self.keys: dict[str, bytes] = {}

    def run(self) -> Backup:
        """Write all of it into a folder, whose name says that it is unfinished."""
        self._folder.mkdir(mode=0o700)
        path = self._folder / database.FILE_NAME
        sqlite.copy(self._path, path)
        self.keys = _read_keys(self._opened)  # at once: a rotation may take some away
        with replacing(self._folder / backup_folder.SUMS) as file:
            sums = Sums(file)
            with contextlib.closing(Database(path)) as copy:
                _require_whole(copy)
                self.is_sealed = rotation.any_sealed(copy, start.sealed_columns(self._loaded), by_file=True)
                counts = self._clean(copy) | self._copy_contents(copy, sums)
                revision, needed = copy.revision(), own_history().needed(copy)
            _close(path)
            for name, content in self._operator_files().items():
                sums.add(name, _write(self._folder / name, content))
            digest = backup_folder.digest_of(path)
            sums.add(path.name, digest)
        about = About(
            version=server_routes.version(),
            revision=str(revision),
            needed_revision=str(needed),
            created_at=self._created_at.isoformat(),
            database_sha256=digest,
            sums_sha256=sums.hexdigest(),
            **counts,
        )
        _write(self._folder / backup_folder.ABOUT, about.dump())
        return Backup(self._folder, about)

    def _clean(self, copy: Database) -> dict[str, Any]:
        """Take out of the copy what is no part of a backup: open uploads, and content that nobody can read any more."""
        with copy.write(SERVER) as session:
            open_uploads = session.scalar(sa.select(sa.func.count(Upload.id)).where(Upload.version_id.is_(None)))
            session.execute(sa.delete(Upload).where(Upload.version_id.is_(None)))
            # Or what is restored could share a folder of content with the server that it was copied from.
            site_values.keep(session.connection(), start.OWNER, None)
        engines = dataclasses.replace(self._opened, database=copy, store=FolderStore(self._folder))
        files.housekeeping_on(engines).collect_at_rest()
        with copy.read() as session:
            return {
                "open_uploads": open_uploads,
                "organizations": session.scalar(sa.select(sa.func.count(Organization.id))),
                "users": session.scalar(sa.select(sa.func.count(User.id))),
                "files": session.scalar(sa.select(sa.func.count(Node.id)).where(Node.version_id.is_not(None))),
            }

    def _copy_contents(self, copy: Database, sums: Sums) -> dict[str, Any]:
        """Copy the content that the copy of the database names."""
        contents = content_bytes = 0
        damaged: list[_Copied] = []
        self._tracker.expect(files=_count(copy))
        for copied in self._copied(copy):
            self._tracker.done()
            if copied.what is not None:
                damaged.append(copied)
            if copied.sha256 is not None:
                sums.add(copied.source.path, copied.sha256)
                contents += 1
                content_bytes += copied.size
            self.shared += copied.is_shared
        for subsystem in self._stores:
            self._target(subsystem).finish()
        self._judge(copy, damaged)
        return {
            "contents": contents,
            "content_bytes": content_bytes,
            "damaged": [each.source.path for each in damaged],
        }

    def _copied(self, copy: Database) -> Iterator[_Copied]:
        """Copy it, and give what became of it in the order of its paths."""
        new: dict[str, _Copied] = {}
        if self._earlier is not None:
            # First what no backup has yet, which may go meanwhile; what is shared cannot.
            sources = (source for source, earlier in self._with_earlier(copy) if earlier is None)
            new = {each.source.path: each for each in _in_threads(self._copy, ((source, None) for source in sources))}

        def copied(source: _Source, earlier: Shareable | None) -> _Copied:
            return new.get(source.path) or self._copy(source, earlier)

        yield from _in_threads(copied, self._with_earlier(copy))

    def _with_earlier(self, copy: Database) -> Iterator[tuple[_Source, Shareable | None]]:
        """All content that the copy names, in the order of its paths, and what the earlier backup has of it."""
        earlier = None if self._earlier is None else Earlier(self._earlier)
        for source in self._sources(copy):
            yield source, None if earlier is None else earlier.content(source.path)

    def _sources(self, copy: Database) -> Iterator[_Source]:
        """All content that the copy names, in the order of its paths."""
        key = ""
        for version in fsck.by_key(copy, Version.collected_at.is_(None)):
            if version.key != key:
                yield _Source(version.key, version=version)
            key = version.key
        columns = {each.name: each.parts.stored for each in self._loaded if each.parts.stored}
        unloaded = set(copy.plugins()) - {each.name for each in self._loaded}
        for name in sorted({*columns, *unloaded}):
            self._stores[name] = self._stores[None].part(name)
            # Of a plugin that is not loaded, nobody knows which columns name its content.
            keys = _keys(copy, columns[name]) if name in columns else _lying(self._stores[name])
            for key in keys:
                yield _Source(key, name)

    def _copy(self, source: _Source, earlier: Shareable | None) -> _Copied:
        """Copy content, or share it with the earlier backup that has it."""
        target = self._target(source.subsystem)
        if earlier is not None and self._share(source, earlier):
            return _Copied(source, earlier.sha256, target.size(source.key) or 0, is_shared=True)
        version = source.version
        digest = digests.Hash(None if version is None else version.part_size)
        try:
            with contextlib.closing(self._stores[source.subsystem].open(source.key)) as content:
                written = target.fill(source.key, _hashed(content, digest))
        except MissingContent:
            return _Copied(source, None, what=fsck.MISSING)
        except Unreadable as error:
            target.remove(source.key)
            return _Copied(source, None, what=str(error))
        stored = fsck.Stored(written.size, digest.hexdigest())
        what = None if version is None else fsck.difference(stored, version)
        return _Copied(source, written.sha256, written.size, what)

    def _share(self, source: _Source, earlier: Shareable) -> bool:
        """Give content of the earlier backup a name in this one; False if it has to be copied."""
        path, target = earlier.folder / source.path, self._target(source.subsystem)
        if self._deep and (not path.is_file() or backup_folder.digest_of(path) != earlier.sha256):
            return False
        if not target.link(source.key, _store(earlier.folder, source.subsystem)):
            return False
        if source.version is None or target.size(source.key) == source.version.size:
            return True
        target.remove(source.key)
        return False

    def _judge(self, copy: Database, damaged: Sequence[_Copied]) -> None:
        """Tell content that is damaged or missing from such as has gone since the database was copied."""
        what = {each.source.key: each.what or "" for each in damaged if each.source.subsystem is None}
        missing = [key for key, text in what.items() if text == fsck.MISSING]
        for at in range(0, len(missing), _PAGE):
            keys = missing[at : at + _PAGE]
            with copy.read() as session:
                staying = sa.select(Version.key).join(Organization, Organization.id == Version.organization_id)
                needed = session.scalars(staying.where(Version.key.in_(keys), Organization.status != DELETING))
                gone = set(needed)
            # As one who writes: whoever drops content says so in the transaction in which it does.
            with self._opened.database.write(SERVER) as session:
                named = fsck.named(session, keys)
            self.is_outdated |= bool(gone - named)
            for key in set(keys) - named:
                del what[key]
        self.damages += fsck.damages(copy, what)
        for subsystem in self._loaded:
            lost = {each.source.key for each in damaged if each.source.subsystem == subsystem.name}
            if lost:
                self._judge_stored(subsystem.parts.stored, lost)

    def _judge_stored(self, columns: Sequence[StoredContent], lost: set[str]) -> None:
        named: set[str] = set()
        with self._opened.database.write(SERVER) as session:
            for stored in columns:
                column, row_id = stored.column, stored.column.class_.id
                for number, key in session.execute(sa.select(row_id, column).where(column.in_(lost))):
                    named.add(key)
                    self.damages.append(fsck.Missing(stored.table, number, column.key))
        self.is_outdated |= bool(lost - named)

    def _operator_files(self) -> dict[str, bytes]:
        """The files that the operator has written, by their names in the backup."""
        paths = {path.name: path for path in sorted(self._opened.folder.glob("*.toml"))}
        paths.pop(configuration.FILE_NAME, None)
        settings = self._opened.configuration.path
        if settings.is_file():
            paths[configuration.FILE_NAME] = settings
        return {name: path.read_bytes() for name, path in paths.items()}

    def _target(self, subsystem: str | None) -> FolderStore:
        return _store(self._folder, subsystem)


def _in_threads(
    copy: Callable[[_Source, Shareable | None], _Copied], sources: Iterable[tuple[_Source, Shareable | None]]
) -> Iterator[_Copied]:
    """What becomes of contents that several threads copy, in their order."""
    waiting: collections.deque[concurrent.futures.Future[_Copied]] = collections.deque()
    with concurrent.futures.ThreadPoolExecutor(WRITERS) as writers:
        for source, earlier in sources:
            waiting.append(writers.submit(copy, source, earlier))
            if len(waiting) > 2 * WRITERS:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _count(copy: Database) -> int:
    """How many contents of files there are."""
    with copy.read() as session:
        named = sa.select(sa.func.count(sa.distinct(Version.key))).where(Version.collected_at.is_(None))
        return session.scalar(named) or 0


def _store(folder: Path, subsystem: str | None) -> FolderStore:
    store = FolderStore(folder)
    return store if subsystem is None else store.part(subsystem)


def _hashed(content: Content, digest: digests.Hash) -> Iterator[Block]:
    """The blocks of content, which are hashed on their way."""
    for block in blocks(content):
        digest.update(block)
        yield block


def _keys(copy: Database, columns: Sequence[StoredContent]) -> Iterator[str]:
    """The keys that the columns of a subsystem name, in order."""
    after = ""
    while True:
        named = [sa.select(stored.column.label("key")).where(stored.column > after) for stored in columns]
        keys = sa.union(*named).subquery()
        with copy.read() as session:
            page = session.scalars(sa.select(keys.c.key).order_by(keys.c.key).limit(_PAGE)).all()
        if not page:
            return
        yield from page
        after = page[-1]


def _lying(store: FolderStore) -> Iterator[str]:
    """The keys of all content in a store, in order."""
    for prefix in store.prefixes():
        yield from sorted(store.keys(prefix, math.inf))


def _read_keys(opened: Engines) -> dict[str, bytes]:
    """The key files that there are, by their names."""
    file = opened.sealer.file
    paths = [path for path in (file.path, file.path.with_name(signing.FILE_NAME)) if path.exists()]
    return {path.name: path.read_bytes() for path in paths}


def _require_whole(copy: Database) -> None:
    broken = fsck.broken(copy)
    if broken:
        raise CannotStart(f"the database is damaged ({broken[0]}), so nothing was backed up; put back a backup of it")


def _close(path: Path) -> None:
    """Make a database a single file, on disk."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
    with open(path, "r+b") as file:
        os.fsync(file.fileno())


def _write(path: Path, content: bytes) -> str:
    """Write a file, on disk; gives its SHA-256."""
    with replacing(path, mode=0o600) as file:
        file.write(content)
    return hashlib.sha256(content).hexdigest()


def _publish(backup: Backup, attempt: _Attempt, keys: Path | None) -> Report:
    """Give a backup its name, when all of it is on disk."""
    name = backup.folder.name.removesuffix(backup_folder.UNFINISHED)
    keys_of = None if keys is None else keys / name
    if keys_of is not None:
        keys_of.mkdir(mode=0o700, parents=True)
        for file_name, content in attempt.keys.items():
            _write(keys_of / file_name, content)
        sync_folder(keys_of.parent)
    folder = backup.folder.with_name(name)
    os.rename(backup.folder, folder)
    sync_folder(folder.parent)
    return Report(
        folder, backup.about, attempt.shared, attempt.damages, keys_of, sorted(attempt.keys), attempt.is_sealed
    )
