"""What the tree of names asks of the database for nearly every request, by columns.

Loading rows as objects takes several times as long as finding them, and so does building a statement that was built
before. So statements are built once here, and rows are tuples. Nothing of it flushes: who changes objects of the
session that these statements look at, flushes first.
"""

from __future__ import annotations

import datetime as dt
import functools
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa

from edge_files.wire import MAX_PARTS
from edge_server.base import clock
from edge_server.data.database import Transaction, connection_of
from edge_server.data.declarative import new_uid
from edge_server.files import models
from edge_server.files.models import IS_FOLDER
from edge_vfs import digests

LINKS = 30
"""Segments of a path that one statement follows; SQLite joins at most 64 tables (https://sqlite.org/limits.html)."""

_NODES: Any = models.Node.__table__
_VERSIONS: Any = models.Version.__table__


class NodeRow(NamedTuple):
    """A name in the tree: a file with its newest version, else a folder, for which there is none.

    Attributes:
        id: the row.
        uid: universally unique id.
        name: basename; empty for the root.
        height: how many levels are below a folder, or once were.
        version_id: the newest version's row.
        modified_at: when the newest version became visible; of a folder, when it was made.
        version: the newest version's uid.
        size: bytes.
        digest: of the content, hexadecimal.
        part_size: bytes of the parts that the digest is made over; None if it is the SHA-256 of all of the content.
        source_mtime_ns: when the uploaded local file was last modified.
        key: what its content is stored under; None in a list.
    """

    id: int
    uid: str
    name: str
    height: int
    version_id: int | None
    modified_at: dt.datetime
    version: str | None = None
    size: int | None = None
    digest: str | None = None
    part_size: int | None = None
    source_mtime_ns: int | None = None
    key: str | None = None

    def content(self, organization_id: int) -> VersionRow | None:
        """The newest version of a file of an organization; None of a folder."""
        if self.version_id is None or self.version is None or self.key is None:
            return None
        assert self.size is not None and self.digest is not None  # noqa: S101, PT018  # as a version has them
        return VersionRow(
            self.version_id,
            self.version,
            self.key,
            organization_id,
            self.size,
            self.digest,
            self.part_size,
            self.source_mtime_ns,
        )


class VersionRow(NamedTuple):
    """Content that is or was visible under some name; see `models.Version`."""

    id: int
    uid: str
    key: str
    organization_id: int
    size: int
    digest: str
    part_size: int | None
    source_mtime_ns: int | None
    removed_at: dt.datetime | None = None
    collected_at: dt.datetime | None = None


class NewVersion(NamedTuple):
    """Content that is stored, or shared with another version, and is to become a version; see `models.Version`."""

    key: str
    size: int
    digest: str
    created_at: dt.datetime
    created_by: int
    source_mtime_ns: int | None = None
    part_size: int | None = None


class Step(NamedTuple):
    """An entry on the way along a path; a file has a version."""

    id: int
    version_id: int | None
    height: int


class Walk(NamedTuple):
    """How far a path leads.

    Attributes:
        steps: the entries on it from the root on, as far as they are there.
        node: the entry at its end; None if that is not there.
    """

    steps: list[Step]
    node: NodeRow | None


def _node_columns(nodes: Any) -> list[Any]:
    """The columns of `NodeRow`, without the key."""
    return [
        nodes.c.id,
        nodes.c.uid,
        nodes.c.name,
        nodes.c.height,
        nodes.c.version_id,
        sa.func.coalesce(_VERSIONS.c.created_at, nodes.c.modified_at).label("modified_at"),
        _VERSIONS.c.uid.label("version"),
        _VERSIONS.c.size,
        _VERSIONS.c.digest,
        _VERSIONS.c.part_size,
        _VERSIONS.c.source_mtime_ns,
    ]


# --- reading --------------------------------------------------------------------------------------


def walk(transaction: Transaction, organization_id: int, segments: Sequence[str]) -> Walk:
    """Follow a path from the root of an organization.

    Raises:
        sqlalchemy.exc.NoResultFound: the organization is gone.
    """
    steps: list[Step] = []
    for at in range(0, len(segments) or 1, LINKS):
        names = segments[at : at + LINKS]
        values: dict[str, object] = {f"name_{n}": name for n, name in enumerate(names)}
        values["organization"] = organization_id
        if steps:
            values["start"] = steps[-1].id
        row = transaction.execute(_path(len(names), from_root=not steps), values).one()
        for column in range(len(NodeRow._fields), len(row), len(Step._fields)):
            step = Step(*row[column : column + len(Step._fields)])
            if step.id is None:
                return Walk(steps, None)
            steps.append(step)
    return Walk(steps, NodeRow(*row[: len(NodeRow._fields)]))


@functools.cache
def _path(length: int, *, from_root: bool) -> Any:
    """What follows a path of so many names, from the root or from the row `start`."""
    links = [_NODES.alias(f"node_{n}") for n in range(length + 1)]
    start, end = links[0], links[-1]
    joined = start
    for n in range(length):
        below = sa.and_(
            links[n + 1].c.organization_id == sa.bindparam("organization"),
            links[n + 1].c.parent_id == links[n].c.id,
            links[n + 1].c.name == sa.bindparam(f"name_{n}"),
        )
        joined = joined.outerjoin(links[n + 1], below)
    joined = joined.outerjoin(_VERSIONS, _VERSIONS.c.id == end.c.version_id)
    steps = links if from_root else links[1:]
    columns = [column for step in steps for column in (step.c.id, step.c.version_id, step.c.height)]
    statement = sa.select(*_node_columns(end), _VERSIONS.c.key, *columns).select_from(joined)
    if not from_root:
        return statement.where(start.c.id == sa.bindparam("start"))
    return statement.where(
        start.c.organization_id == sa.bindparam("organization"),
        start.c.parent_id.is_(None),
        start.c.removed_at.is_(None),
    )


HIGHEST = "\U0010ffff" * 64
"""Comes after all names, which have at most 255 bytes of UTF-8, and behind a prefix after all names with it."""

_CHILDREN: Any = (
    sa.select(*_node_columns(_NODES))
    .select_from(_NODES.outerjoin(_VERSIONS, _VERSIONS.c.id == _NODES.c.version_id))
    .where(
        _NODES.c.organization_id == sa.bindparam("organization"),
        _NODES.c.parent_id == sa.bindparam("parent"),
        _NODES.c.name >= sa.bindparam("first"),
        _NODES.c.name <= sa.bindparam("last"),
    )
    .order_by(_NODES.c.name)
    .limit(sa.bindparam("limit"))
)
_CHILDREN_OF_KIND: Any = {
    None: _CHILDREN,
    "file": _CHILDREN.where(_NODES.c.version_id.is_not(None)),
    "folder": _CHILDREN.where(sa.text(IS_FOLDER)),
}


def children(
    transaction: Transaction,
    organization_id: int,
    folder_id: int,
    kind: str | None,
    *,
    prefix: str = "",
    after: str = "",
    limit: int,
) -> list[NodeRow]:
    """The first entries of a folder, in the order of the names' UTF-8 bytes.

    Args:
        transaction: of a session, or a connection.
        organization_id: whose folder it is.
        folder_id: its row.
        kind: "file" or "folder", for only those.
        prefix: only names that begin with it.
        after: only names that come after this one; empty for all.
        limit: how many at most.
    """
    values = {
        "organization": organization_id,
        "parent": folder_id,
        # One lower bound, which the index is entered at. No name has a character below the space.
        "first": max(prefix, f"{after}\x01") if after else prefix,
        "last": prefix + HIGHEST,
        "limit": limit,
    }
    return [NodeRow(*row) for row in transaction.execute(_CHILDREN_OF_KIND[kind], values)]


def _of_folder(nodes: Any, folder: Any, kind: str | None) -> Any:
    """What selects the nodes in a folder."""
    is_of_kind = [sa.text(IS_FOLDER.replace("version_id", f"{nodes.name}.version_id"))] if kind == "folder" else []
    return sa.and_(nodes.c.organization_id == sa.bindparam("organization"), nodes.c.parent_id == folder, *is_of_kind)


def _first_children(dialect: str, kind: str | None) -> Any:
    """What gives the first entries of several folders, and of each the folder's row.

    Both databases would rather read all that is in the folders, however much that is. PostgreSQL has a word for what
    is meant, and SQLite has none, but reads up to the last name that is asked for.
    """
    folder, child, nth = _NODES.alias("folder"), _NODES.alias("child"), _NODES.alias("nth")
    in_list = folder.c.id.in_(sa.bindparam("folders", expanding=True))
    rows: Any = folder
    if dialect == "postgresql":
        first = sa.select(child).where(_of_folder(child, folder.c.id, kind)).order_by(child.c.name)
        child = first.limit(sa.bindparam("each")).lateral("first")
        joined = folder.join(child, sa.true())
    else:
        names = sa.select(nth.c.name).where(_of_folder(nth, folder.c.id, kind)).order_by(nth.c.name).limit(1)
        last = names.offset(sa.bindparam("each") - 1).correlate(folder).scalar_subquery()
        bounds = sa.select(folder.c.id, sa.func.coalesce(last, HIGHEST).label("last")).where(in_list)
        rows, in_list = bounds.cte("bounds").prefix_with("MATERIALIZED"), sa.true()
        joined = rows.join(child, sa.and_(_of_folder(child, rows.c.id, kind), child.c.name <= rows.c.last))
    joined = joined.outerjoin(_VERSIONS, _VERSIONS.c.id == child.c.version_id)
    return (
        sa.select(rows.c.id, *_node_columns(child)).select_from(joined).where(in_list).order_by(rows.c.id, child.c.name)
    )


_FIRST_CHILDREN: Any = {
    (dialect, kind): _first_children(dialect, kind) for dialect in ("sqlite", "postgresql") for kind in (None, "folder")
}


def first_children(
    transaction: Transaction, organization_id: int, folder_ids: Sequence[int], kind: str | None, *, each: int
) -> dict[int, list[NodeRow]]:
    """The first entries of several folders, in the order of the names' UTF-8 bytes, by the folders' rows.

    Args:
        transaction: of a session, or a connection.
        organization_id: whose folders they are.
        folder_ids: their rows.
        kind: "folder" for only those, or None.
        each: how many of each folder at most.
    """
    first: dict[int, list[NodeRow]] = {folder: [] for folder in folder_ids}
    values = {"organization": organization_id, "folders": list(folder_ids), "each": each}
    statement = _FIRST_CHILDREN[connection_of(transaction).dialect.name, kind]
    for folder, *row in transaction.execute(statement, values):
        first[folder].append(NodeRow(*row))
    return first


_NAMED: Any = (
    sa.select(*_node_columns(_NODES), _VERSIONS.c.key)
    .select_from(_NODES.outerjoin(_VERSIONS, _VERSIONS.c.id == _NODES.c.version_id))
    .where(
        _NODES.c.organization_id == sa.bindparam("organization"),
        _NODES.c.parent_id == sa.bindparam("parent"),
        _NODES.c.name.in_(sa.bindparam("names", expanding=True)),
    )
)


def named(transaction: Transaction, organization_id: int, folder_id: int, names: Sequence[str]) -> dict[str, NodeRow]:
    """The entries of a folder that have one of some names, by these."""
    values = {"organization": organization_id, "parent": folder_id, "names": names}
    return {node.name: node for node in (NodeRow(*row) for row in transaction.execute(_NAMED, values))}


_VERSION: Any = sa.select(*(_VERSIONS.c[name] for name in VersionRow._fields))
_VERSION_TO_SHARE: Any = _VERSION.where(_VERSIONS.c.id == sa.bindparam("version")).with_for_update()
_VERSIONS_BY_UID: Any = _VERSION.where(_VERSIONS.c.uid.in_(sa.bindparam("versions", expanding=True)))
_VERSION_BY_UID: Any = _VERSION.where(_VERSIONS.c.uid == sa.bindparam("version"))


def version_to_share(transaction: Transaction, version_id: int) -> VersionRow:
    """The version of a row as it is now, which nobody changes until the end of the transaction."""
    return VersionRow(*transaction.execute(_VERSION_TO_SHARE, {"version": version_id}).one())


def version_of_uid(transaction: Transaction, uid: str) -> VersionRow | None:
    """The version of a uid, whosever it is."""
    row = transaction.execute(_VERSION_BY_UID, {"version": uid}).first()
    return None if row is None else VersionRow(*row)


def versions_of_uids(transaction: Transaction, uids: Sequence[str]) -> dict[str, VersionRow]:
    """The versions of some uids by these, whosever they are."""
    rows = transaction.execute(_VERSIONS_BY_UID, {"versions": uids})
    return {version.uid: version for version in (VersionRow(*row) for row in rows)}


_DIGESTS: Any = models.PartDigests.__table__
_DIGESTS_OF: Any = sa.select(
    # Positions in bytes count from 1.
    sa.func.substr(_DIGESTS.c.digests, sa.bindparam("at"), sa.bindparam("length"), type_=sa.LargeBinary())
).where(_DIGESTS.c.key == sa.bindparam("key"))


def part_digests(transaction: Transaction, key: str, *, after: int = 0, limit: int = MAX_PARTS) -> list[bytes]:
    """The SHA-256s of the parts of content, in order; none where they are not kept.

    Args:
        transaction: of a session, or a connection.
        key: what the content is stored under.
        after: number of the part before the first one to tell.
        limit: how many at most.
    """
    values = {"key": key, "at": after * digests.SIZE + 1, "length": limit * digests.SIZE}
    joined: bytes = transaction.scalar(_DIGESTS_OF, values) or b""
    return [joined[at : at + digests.SIZE] for at in range(0, len(joined), digests.SIZE)]


def add_part_digests(
    transaction: Transaction, organization_id: int, key: str, parts: Sequence[bytes], uploader_sha256: str | None
) -> None:
    """Keep the SHA-256s of the parts of content, and that of all of it as its uploader states it."""
    values = {"key": key, "organization_id": organization_id, "digests": b"".join(parts)}
    transaction.execute(sa.insert(_DIGESTS), {**values, "uploader_sha256": uploader_sha256})


def uploader_sha256(transaction: Transaction, key: str) -> str | None:
    """The SHA-256 of all of some content in parts, as its uploader stated it; None if that is not known."""
    sha256: str | None = transaction.scalar(sa.select(_DIGESTS.c.uploader_sha256).where(_DIGESTS.c.key == key))
    return sha256


def remove_part_digests(transaction: Transaction, keys: Collection[str]) -> None:
    """Forget the SHA-256s of the parts of content that is gone."""
    if keys:
        transaction.execute(sa.delete(_DIGESTS).where(_DIGESTS.c.key.in_(keys)))


_IS_NEWEST: Any = (
    sa.select(_VERSIONS.c.id).where(_VERSIONS.c.key == sa.bindparam("key"), _VERSIONS.c.removed_at.is_(None)).limit(1)
)


def is_newest(transaction: Transaction, key: str) -> bool:
    """Whether content is that of a newest version."""
    return transaction.execute(_IS_NEWEST, {"key": key}).first() is not None


# --- writing --------------------------------------------------------------------------------------


_ADD_VERSION = sa.insert(_VERSIONS)
_ADD_NODE = sa.insert(_NODES)
_REPLACE_CONTENT: Any = (
    sa.update(_NODES)
    .where(_NODES.c.id == sa.bindparam("node"))
    .values(version_id=sa.bindparam("new_version"), modified_at=sa.bindparam("new_modified_at"))
)


def add_file(transaction: Transaction, organization_id: int, parent_id: int, name: str, content: NewVersion) -> NodeRow:
    """Add a file to a folder that has nothing of this name."""
    uid = new_uid()
    version_id, version_uid = _add_version(transaction, organization_id, content, uid)
    node = _node_values(organization_id, parent_id, name, uid, content.created_at, version_id=version_id)
    node_id = _key_of(transaction.execute(_ADD_NODE, node))
    return _file(node_id, uid, name, version_id, version_uid, content)


class NewFile(NamedTuple):
    """A file to add to a folder that has nothing of its name."""

    parent_id: int
    name: str
    content: NewVersion


_ADD_VERSIONS = sa.insert(_VERSIONS).returning(_VERSIONS.c.id, _VERSIONS.c.uid)
_ADD_NODES = sa.insert(_NODES).returning(_NODES.c.id, _NODES.c.uid)


def add_files(transaction: Transaction, organization_id: int, files: Sequence[NewFile]) -> list[NodeRow]:
    """Add files, in a statement for all their versions and another for their names."""
    uids = [(new_uid(), new_uid()) for _ in files]
    versions = [
        {"uid": version_uid, "organization_id": organization_id, "file_uid": uid, **file.content._asdict()}
        for file, (uid, version_uid) in zip(files, uids, strict=True)
    ]
    version_ids = {uid: row for row, uid in transaction.execute(_ADD_VERSIONS, versions)}
    nodes = [
        _node_values(
            organization_id,
            file.parent_id,
            file.name,
            uid,
            file.content.created_at,
            version_id=version_ids[version_uid],
        )
        for file, (uid, version_uid) in zip(files, uids, strict=True)
    ]
    node_ids = {uid: row for row, uid in transaction.execute(_ADD_NODES, nodes)}
    return [
        _file(node_ids[uid], uid, file.name, version_ids[version_uid], version_uid, file.content)
        for file, (uid, version_uid) in zip(files, uids, strict=True)
    ]


def add_folder(transaction: Transaction, organization_id: int, parent_id: int, name: str, height: int) -> NodeRow:
    """Add a folder to one that has nothing of this name, with so many levels to come below it."""
    uid, now = new_uid(), clock.now()
    node = _node_values(organization_id, parent_id, name, uid, now, height=height)
    node_id = _key_of(transaction.execute(_ADD_NODE, node))
    return NodeRow(node_id, uid, name, height, None, now)


def replace_content(transaction: Transaction, organization_id: int, node: NodeRow, content: NewVersion) -> NodeRow:
    """Give a file a new version; `end_version` says what becomes of the one it has."""
    version_id, version_uid = _add_version(transaction, organization_id, content, node.uid)
    transaction.execute(
        _REPLACE_CONTENT, {"node": node.id, "new_version": version_id, "new_modified_at": content.created_at}
    )
    return _file(node.id, node.uid, node.name, version_id, version_uid, content)


def _add_version(transaction: Transaction, organization_id: int, content: NewVersion, file_uid: str) -> tuple[int, str]:
    """Add a version; gives its row and uid."""
    uid = new_uid()
    values = {"uid": uid, "organization_id": organization_id, "file_uid": file_uid, **content._asdict()}
    return _key_of(transaction.execute(_ADD_VERSION, values)), uid


def _node_values(
    organization_id: int,
    parent_id: int,
    name: str,
    uid: str,
    modified_at: dt.datetime,
    *,
    version_id: int | None = None,
    height: int = 0,
) -> dict[str, object]:
    return {
        "uid": uid,
        "organization_id": organization_id,
        "parent_id": parent_id,
        "name": name,
        "version_id": version_id,
        "modified_at": modified_at,
        "height": height,
    }


def _key_of(inserted: Any) -> int:
    row: int = inserted.inserted_primary_key[0]
    return row


def _file(node_id: int, uid: str, name: str, version_id: int, version_uid: str, content: NewVersion) -> NodeRow:
    return NodeRow(
        node_id,
        uid,
        name,
        0,
        version_id,
        content.created_at,
        version_uid,
        content.size,
        content.digest,
        content.part_size,
        content.source_mtime_ns,
        content.key,
    )


_OTHER: Any = _VERSIONS.alias("other")
_END_VERSION: Any = (
    sa.update(_VERSIONS)
    .where(_VERSIONS.c.id == sa.bindparam("version"))
    .values(
        removed_at=sa.bindparam("now"), removed_folder=sa.bindparam("folder"), removed_name=sa.bindparam("basename")
    )
    # Of other rows, since databases differ in whether this sees the row as it was or as it is; and by values, since
    # SQLAlchemy leaves the tables' names out of what it has SQLite return.
    .returning(
        sa.exists().where(
            _OTHER.c.key == sa.bindparam("shared_key"),
            _OTHER.c.id != sa.bindparam("version"),
            _OTHER.c.removed_at.is_(None),
        )
    )
)


def end_version(transaction: Transaction, version: VersionRow, folder: str, name: str) -> bool:
    """Note that a version is no file's newest any more, once its successor is there, which may share its content.

    Args:
        transaction: one that writes.
        version: the version.
        folder: path of the folder that its file is in; empty for the root.
        name: of the file.

    Returns:
        whether a newest version shares its content.
    """
    values = {
        "version": version.id,
        "shared_key": version.key,
        "now": clock.now(),
        "folder": folder,
        "basename": name,
    }
    return bool(transaction.execute(_END_VERSION, values).scalar_one())


_SET_SOURCE_TIME: Any = (
    sa.update(_VERSIONS)
    .where(
        _VERSIONS.c.uid == sa.bindparam("version"),
        _VERSIONS.c.organization_id == sa.bindparam("organization"),
        _VERSIONS.c.removed_at.is_(None),
    )
    .values(source_mtime_ns=sa.bindparam("time"))
)


def set_source_times(transaction: Transaction, organization_id: int, times: dict[str, int]) -> None:
    """Note when the local files were last modified that have the content of newest versions, by these versions' uids.

    In the order of the uids, so that of two who do so at once none waits for the other in a circle.
    """
    values = [
        {"version": uid, "organization": organization_id, "time": times[uid]} for uid in sorted(times, key=str.lower)
    ]
    if values:
        transaction.execute(_SET_SOURCE_TIME, values)


_SET_HEIGHT: Any = (
    sa.update(_NODES).where(_NODES.c.id == sa.bindparam("node")).values(height=sa.bindparam("new_height"))
)


def set_heights(transaction: Transaction, heights: dict[int, int]) -> None:
    """Note how many levels are below folders, by their rows."""
    if heights:
        transaction.execute(_SET_HEIGHT, [{"node": node, "new_height": height} for node, height in heights.items()])


_MOVE: Any = (
    sa.update(_NODES)
    .where(_NODES.c.id == sa.bindparam("node"))
    .values(parent_id=sa.bindparam("new_parent"), name=sa.bindparam("new_name"))
)


def move(transaction: Transaction, node_id: int, parent_id: int, name: str) -> None:
    """Give an entry another place, where nothing of this name is."""
    transaction.execute(_MOVE, {"node": node_id, "new_parent": parent_id, "new_name": name})


_REMOVE: Any = sa.delete(_NODES).where(_NODES.c.id == sa.bindparam("node"))


def remove(transaction: Transaction, node_id: int) -> None:
    """Remove an entry that holds none."""
    transaction.execute(_REMOVE, {"node": node_id})
