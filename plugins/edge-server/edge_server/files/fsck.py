"""Comparing the bytes on disk with what the database says, while the server runs or not.

That is the content of files, and what other subsystems keep under keys in columns they named by
`Context.stored`.

Content that no row knows is dropped, once it is older than anything under way. Content that is
missing or damaged is only reported: its rows stay as they are, so that a backup put back makes
them whole again.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import NamedTuple, TypeVar

from sqlalchemy import ColumnElement, and_, func, or_, select, text, tuple_, update
from sqlalchemy.exc import DatabaseError
from sqlalchemy.orm import Session

from edge_server.base import clock
from edge_server.data.database import SERVER, Database
from edge_server.data.store import MissingContent, Store
from edge_server.files import paths, queries, tree
from edge_server.files.models import Node, Upload, Version
from edge_server.identity.directory import DELETING
from edge_server.identity.models import Organization
from edge_server.web.stored_content import StoredContent
from edge_vfs import digests
from edge_vfs.progress import Tracker

GRACE = dt.timedelta(hours=1)
"""How old content without a row must be. A request that has written it commits its row within a minute."""

SPANS = 20
"""Damaged parts of a version that a report names at most."""

_PAGE = 1000

MISSING = "its content is missing"

_T = TypeVar("_T")


@dataclasses.dataclass(frozen=True)
class Damage:
    """Content of a file that is not as it must be.

    Attributes:
        organization: short name of the organization it belongs to.
        path: where it is the newest version; None if it was replaced or deleted and can be read by its version.
        version: id of the version.
        what: a few words.
    """

    organization: str
    path: str | None
    version: str
    what: str

    def __str__(self) -> str:
        where = "replaced or deleted" if self.path is None else paths.show(self.path)
        return f"{self.organization}: {where}, version {self.version}: {self.what}"


@dataclasses.dataclass(frozen=True)
class Missing:
    """Content of another subsystem that is not there.

    Attributes:
        table: the table whose row names it.
        row: id of the row.
        column: the column that holds its key.
    """

    table: str
    row: int
    column: str

    def __str__(self) -> str:
        return f"table {self.table}, row {self.row}: the content that {self.column} names is missing"


@dataclasses.dataclass
class Report:
    """What a check found.

    Attributes:
        versions: versions of files whose content was looked at.
        contents: contents of other subsystems that were looked for.
        orphans: files dropped that no row knew.
        damages: content that is missing or damaged.
        broken: what is wrong with the database itself.
        recounted: organizations whose use had to be counted anew.
    """

    versions: int = 0
    contents: int = 0
    orphans: int = 0
    damages: list[Damage | Missing] = dataclasses.field(default_factory=list)
    broken: list[str] = dataclasses.field(default_factory=list)
    recounted: list[str] = dataclasses.field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        """Whether all that should be there is there."""
        return not self.damages and not self.broken


def check(
    database: Database,
    store: Store,
    stored: Sequence[StoredContent] = (),
    *,
    deep: bool,
    tracker: Tracker | None = None,
) -> Report:
    """Drop what is nobody's, and look for what is missing.

    Args:
        database: the server's.
        store: the server's.
        stored: the columns of keys of content that subsystems have.
        deep: also read all content once and compare its digest, and have the database check itself.
        tracker: counts the content that is read.
    """
    tracker = tracker or Tracker("check", "", progress=False)
    report = Report()
    if deep:
        report.broken += broken(database)
    _drop_orphans(database, store, report)
    if deep:
        _expect_content(database, tracker)
    _check_content(database, store, report, tracker, deep)
    by_store: dict[Store, list[StoredContent]] = {}
    for column in stored:
        by_store.setdefault(column.store, []).append(column)
    for folder, columns in by_store.items():
        _drop_unnamed(database, folder, columns, report)
        for column in columns:
            _find_missing(database, column, report)
    _recount(database, report)
    return report


def broken(database: Database) -> list[str]:
    """What is wrong with a database in a file itself."""
    if database.engine.dialect.name != "sqlite":
        return []
    try:
        with database.read() as session:
            return [line for line in session.scalars(text("PRAGMA integrity_check")) if line != "ok"]
    except DatabaseError as error:
        return [str(error.orig)]


def _drop_orphans(database: Database, store: Store, report: Report) -> None:
    before = (clock.now() - GRACE).timestamp()
    _drop_unknown(database, store, _unknown_keys, report)
    with database.write(SERVER) as session:
        for page in _pages(store.uploads(before)):
            is_open = (Upload.store_id.in_(page), Upload.version_id.is_(None))
            known = set(session.scalars(select(Upload.store_id).where(*is_open)))
            for store_id in set(page) - known:
                store.drop_upload(store_id)
                report.orphans += 1


def _drop_unnamed(database: Database, store: Store, columns: Sequence[StoredContent], report: Report) -> None:
    """Drop the content of a subsystem that none of its columns names."""

    def unnamed(session: Session, keys: list[str]) -> set[str]:
        left = set(keys)
        for stored in columns:
            left -= set(session.scalars(select(stored.column).where(stored.column.in_(keys))))
        return left

    _drop_unknown(database, store, unnamed, report)


def _drop_unknown(
    database: Database, store: Store, unknown: Callable[[Session, list[str]], set[str]], report: Report
) -> None:
    """Drop the content under keys that are unknown and old, and what nobody writes any more."""
    before = (clock.now() - GRACE).timestamp()
    for prefix in store.prefixes():
        for page in _pages(store.keys(prefix, before)):
            with database.read() as session:
                suspects = unknown(session, page)
            if not suspects:
                continue
            # What an upload becomes is known by the upload until it is a version's, in one step. So what is still
            # unknown under the lock, nobody is about to make known.
            with database.write(SERVER) as session:
                for key in unknown(session, sorted(suspects)):
                    store.remove(key)
                    report.orphans += 1
    report.orphans += store.drop_incoming(before)


def _find_missing(database: Database, stored: StoredContent, report: Report) -> None:
    """Look for the content of each row of a column."""
    column, row_id = stored.column, stored.column.class_.id
    after = 0
    while True:
        with database.read() as session:
            rows = session.execute(
                select(row_id, column).where(column.is_not(None), row_id > after).order_by(row_id).limit(_PAGE)
            ).all()
        if not rows:
            return
        after = rows[-1][0]
        report.contents += len(rows)
        missing = [number for number, key in rows if stored.store.size(key) is None]
        if not missing:
            continue
        with database.read() as session:  # what was removed meanwhile is not missing
            named = session.execute(select(row_id, column).where(row_id.in_(missing), column.is_not(None)))
            report.damages += [
                Missing(stored.table, number, column.key) for number, key in named if stored.store.size(key) is None
            ]


def _unknown_keys(session: Session, keys: list[str]) -> set[str]:
    """Those that belong neither to a version with content nor to an upload that may be completed."""
    versions = select(Version.key).where(Version.key.in_(keys), Version.collected_at.is_(None))
    uploads = select(Upload.key).where(Upload.key.in_(keys), Upload.version_id.is_(None))
    return set(keys) - set(session.scalars(versions)) - set(session.scalars(uploads))


def _expect_content(database: Database, tracker: Tracker) -> None:
    sizes = select(func.max(Version.size).label("size")).where(_readable()).group_by(Version.key).subquery()
    with database.read() as session:
        contents, size = session.execute(select(func.count(), func.coalesce(func.sum(sizes.c.size), 0))).one()
    tracker.expect(int(size), files=contents)


def _check_content(database: Database, store: Store, report: Report, tracker: Tracker, deep: bool) -> None:
    key = ""
    stored: Stored | str = ""
    wrong: list[tuple[Version, str]] = []
    for version in by_key(database, _readable()):
        report.versions += 1
        if version.key != key:
            stored = read_content(database, store, version, tracker) if deep else _look(store, version.key)
        key = version.key
        what = stored if isinstance(stored, str) else difference(stored, version)
        if what is not None:
            wrong.append((version, what))
    wrong.sort(key=lambda each: each[0].id)
    for page in _pages(wrong):
        with database.read() as session:
            report.damages += damages_of(session, page)


def by_key(database: Database, condition: ColumnElement[bool]) -> Iterator[Version]:
    """The versions that meet a condition, by their keys, so that content which several share is met once."""
    after = ("", 0)
    while True:
        with database.read() as session:
            versions = session.scalars(
                select(Version)
                .where(condition, tuple_(Version.key, Version.id) > after)
                .order_by(Version.key, Version.id)
                .limit(_PAGE)
            ).all()
        if not versions:
            return
        yield from versions
        after = (versions[-1].key, versions[-1].id)


def named(session: Session, keys: Collection[str]) -> set[str]:
    """Those keys whose content has to be there: of versions that can be read, in organizations that stay."""
    versions = select(Version.key).join(Organization, Organization.id == Version.organization_id)
    return set(session.scalars(versions.where(Version.key.in_(keys), _readable(), Organization.status != DELETING)))


def damages(database: Database, what: Mapping[str, str]) -> list[Damage]:
    """The readable versions whose content is not as it must be.

    Args:
        database: the server's.
        what: a few words of each content, by its key.
    """
    listed: list[Damage] = []
    for keys in _pages(sorted(what)):
        with database.read() as session:
            versions = session.scalars(select(Version).where(_readable(), Version.key.in_(keys)).order_by(Version.id))
            listed += damages_of(session, [(version, what[version.key]) for version in versions])
    return listed


def _readable() -> ColumnElement[bool]:
    since = clock.now() - tree.GRACE
    return and_(Version.collected_at.is_(None), or_(Version.removed_at.is_(None), Version.removed_at > since))


class Stored(NamedTuple):
    """What is under a key: bytes, and if they were read their digest and the parts that are damaged."""

    size: int
    digest: str | None = None
    damaged: Sequence[int] = ()


def _look(store: Store, key: str) -> Stored | str:
    """What is under a key, or why that cannot be told."""
    try:
        size = store.size(key)
    except OSError as error:
        return unreadable(error)
    return MISSING if size is None else Stored(size)


def read_content(database: Database, store: Store, version: Version, tracker: Tracker) -> Stored | str:
    """What is under a version's key, read whole, or why that cannot be told."""
    content_hash = digests.Hash(version.part_size)
    with tracker.file(version.key, version.size) as counted:
        stored = _look(store, version.key)
        if isinstance(stored, str):
            return stored
        try:
            with contextlib.closing(store.open(version.key)) as content:
                for block in content:
                    content_hash.update(block)
                    counted.add(len(block))
        except MissingContent:
            return MISSING
        except OSError as error:
            return unreadable(error)
    digest = content_hash.hexdigest()
    if digest == version.digest or version.part_size is None:
        return Stored(stored.size, digest)
    with database.read() as session:
        expected = queries.part_digests(session, version.key)
    damaged = [n for n, (is_, was) in enumerate(zip(content_hash.parts(), expected, strict=False), 1) if is_ != was]
    return Stored(stored.size, digest, damaged)


def unreadable(error: OSError) -> str:
    """What is wrong with content that the disk does not give."""
    return f"its content cannot be read ({error.strerror})"


def difference(stored: Stored, version: Version) -> str | None:
    """What is wrong with a version's content; None if nothing is."""
    if stored.size != version.size:
        return f"its content has {stored.size} bytes instead of {version.size}"
    if stored.digest in (None, version.digest):
        return None
    if not stored.damaged or version.part_size is None:
        return "its content is damaged, it has another SHA-256"
    spans = [_span(n, version.size, version.part_size) for n in stored.damaged[:SPANS]]
    more = f" and {len(stored.damaged) - SPANS} parts more" if len(stored.damaged) > SPANS else ""
    return f"its content is damaged in {', '.join(spans)}{more}, which have another SHA-256"


def _span(n: int, size: int, part_size: int) -> str:
    """Where a part is, in words."""
    return f"part {n} (bytes {(n - 1) * part_size} to {min(n * part_size, size) - 1})"


def damages_of(session: Session, wrong: list[tuple[Version, str]]) -> Iterator[Damage]:
    """Where versions are, for a report; without those that can no longer be asked for."""
    # Of one that is being removed, content goes before its rows.
    staying = select(Organization.id, Organization.name).where(Organization.status != DELETING)
    organizations = {row.id: row.name for row in session.execute(staying)}
    ids = [version.id for version, _ in wrong]
    # Reading takes its time, and what can no longer be asked for may be gone by now.
    unremoved = set(session.scalars(select(Version.id).where(_readable(), Version.id.in_(ids))))
    uids = {
        row.version_id: row.uid
        for row in session.execute(select(Node.version_id, Node.uid).where(Node.version_id.in_(ids)))
    }
    paths_by_uid = tree.paths_of(session, list(uids.values()))
    for version, what in wrong:
        if version.id not in unremoved or version.organization_id not in organizations:
            continue
        path = paths_by_uid.get(uids.get(version.id, ""))
        yield Damage(organizations[version.organization_id], path, version.uid, what)


def _recount(database: Database, report: Report) -> None:
    """Set right what organizations use, should a restored or edited database have it wrong."""
    newest = (
        select(func.coalesce(func.sum(Version.size), 0))
        .where(Version.organization_id == Organization.id, Version.removed_at.is_(None))
        .scalar_subquery()
    )
    below = select(Node.id, Node.version_id, Node.organization_id).where(Node.removed_at.is_not(None), Node.released)
    cleared = below.cte("cleared", recursive=True)
    nodes = select(Node.id, Node.version_id, Node.organization_id)
    cleared = cleared.union_all(nodes.join(cleared, Node.parent_id == cleared.c.id))
    released = (
        select(func.coalesce(func.sum(Version.size), 0))
        .join(cleared, Version.id == cleared.c.version_id)
        .where(cleared.c.organization_id == Organization.id)
        .scalar_subquery()
    )
    contents = (
        select(Version.organization_id, func.max(Version.size).label("size"))
        .where(Version.collected_at.is_(None))
        .group_by(Version.organization_id, Version.key)
        .having(func.count() == func.count(Version.removed_at))
        .subquery()
    )
    deleted = (
        select(func.coalesce(func.sum(contents.c.size), 0))
        .where(contents.c.organization_id == Organization.id)
        .scalar_subquery()
    )
    wrong = select(Organization.id, Organization.name).where(
        or_(
            Organization.used_bytes != newest - released,
            Organization.released_bytes != released,
            Organization.deleted_bytes != deleted,
        )
    )
    with database.read() as session:
        if not session.execute(wrong).all():
            return
    with database.write(SERVER) as session:
        for row in session.execute(wrong).all():
            session.execute(
                update(Organization)
                .where(Organization.id == row.id)
                .values(used_bytes=newest - released, released_bytes=released, deleted_bytes=deleted),
                execution_options={"synchronize_session": False},
            )
            report.recounted.append(row.name)


def _pages(values: list[_T]) -> Iterator[list[_T]]:
    return (values[at : at + _PAGE] for at in range(0, len(values), _PAGE))
