"""The tree of names: one row for each, so that moving a folder of any size changes one row."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from sqlalchemy import (
    Select,
    and_,
    select,
    union,
)
from sqlalchemy.orm import Session, joinedload

from edge_files.wire import Entry, FileVersion, PartDigest
from edge_server.base import clock
from edge_server.base.problems import Refusal, already_exists, bad_entry, conflict, not_found
from edge_server.data.database import Transaction, connection_of
from edge_server.files import paths, queries, quotas
from edge_server.files.clearing import Clearing, Removed
from edge_server.files.models import Node, Upload, Version
from edge_server.files.queries import NewVersion
from edge_server.files.quotas import Change, Limits
from edge_server.web.names import Names

GRACE = dt.timedelta(hours=24)
"""How long content that was replaced or deleted can still be read by its version."""

Segments = tuple[str, ...]

# Rows in bulk, none of which the session holds.
_UNSEEN: Any = {"execution_options": {"synchronize_session": False}}


def parse(path: str) -> Segments:
    """The segments of a path from outside.

    Raises:
        Refusal: it cannot be a path.
    """
    try:
        return paths.parse(path)
    except paths.BadPath as error:
        raise bad_entry(str(error)) from None


def parse_new(path: str) -> Segments:
    """The segments of a path from outside at which something is to be put, which cannot be the root.

    Raises:
        Refusal: it cannot be such a path.
    """
    segments = parse(path)
    if not segments:
        raise bad_entry("the path is empty, which is the root folder; give a name")
    return segments


def show(segments: Segments) -> str:
    """A path as it stands in sentences."""
    return paths.show(paths.join(segments)) if segments else "the root folder"


def entry(node: queries.NodeRow, path: str | None = None) -> Entry:
    """A node as it goes out, with its path from the listed folder where that is not its name."""
    return Entry(
        name=node.name,
        kind="folder" if node.version_id is None else "file",
        uid=node.uid,
        modified_at=node.modified_at,
        size=node.size,
        sha256=node.digest if node.part_size is None else None,
        digest=node.digest,
        part_size=node.part_size,
        version=node.version,
        source_mtime_ns=node.source_mtime_ns,
        path=path,
    )


def file_entry(name: str, uid: str, version: Version) -> Entry:
    """A file with one of its versions as it goes out."""
    return Entry(
        name=name,
        kind="file",
        uid=uid,
        modified_at=version.created_at,
        size=version.size,
        sha256=version.digest if version.part_size is None else None,
        digest=version.digest,
        part_size=version.part_size,
        version=version.uid,
        source_mtime_ns=version.source_mtime_ns,
    )


def file_version(version: Version, removed_at: dt.datetime | None = None) -> FileVersion:
    """A version as it goes out.

    Args:
        version: the version.
        removed_at: when it was deleted with its folder, if it is `being_cleared`.
    """
    removed_at = version.removed_at or removed_at
    return FileVersion(
        version=version.uid,
        size=version.size,
        sha256=version.digest if version.part_size is None else None,
        digest=version.digest,
        part_size=version.part_size,
        modified_at=version.created_at,
        source_mtime_ns=version.source_mtime_ns,
        created_by=version.creator.user_name if version.creator.removed_at is None else None,
        kept_until=None if removed_at is None else removed_at + GRACE,
    )


def plant(session: Session, organization_id: int) -> None:
    """Give a new organization its root folder."""
    session.add(Node(organization_id=organization_id, parent_id=None, name=""))
    session.flush()


def find(transaction: Transaction, organization_id: int, segments: Segments) -> queries.NodeRow | None:
    """The node at a path."""
    return queries.walk(transaction, organization_id, segments).node


def get(transaction: Transaction, organization_id: int, segments: Segments) -> queries.NodeRow:
    """The node at a path.

    Raises:
        Refusal: there is none.
    """
    node = find(transaction, organization_id, segments)
    if node is None:
        raise not_found(f"there is no file or folder {show(segments)}; check the path")
    return node


def children(
    transaction: Transaction, organization_id: int, segments: Segments, *, kind: str | None, after: str = "", limit: int
) -> list[queries.NodeRow]:
    """The first nodes of a folder, in the order of the names' UTF-8 bytes.

    Args:
        transaction: of a session, or a connection.
        organization_id: whose folder it is.
        segments: its path.
        kind: "file" or "folder", for only those.
        after: only names that come after this one; empty for all.
        limit: how many at most.

    Raises:
        Refusal: the folder cannot be found.
    """
    folder = get(transaction, organization_id, segments)
    if folder.version_id is not None:
        raise not_found(f"{show(segments)} is a file, not a folder; list the folder it is in")
    return queries.children(transaction, organization_id, folder.id, kind, after=after, limit=limit)


def check_target(transaction: Transaction, organization_id: int, segments: Segments, *, overwrite: bool) -> int:
    """Raise what `Tree.put` would raise, before any bytes are taken; returns how many would be replaced."""
    walk = queries.walk(transaction, organization_id, segments)
    _require_folders(walk, segments)
    if walk.node is None:
        return 0
    _check_replaceable(walk.node, segments, overwrite)
    return walk.node.size or 0


def paths_of(session: Session, uids: Collection[str]) -> dict[str, str]:
    """The paths of entries by their uid, without those that are being deleted."""
    columns = select(Node.id, Node.parent_id, Node.name, Node.removed_at)
    start = {row.uid: row for row in session.execute(columns.add_columns(Node.uid).where(Node.uid.in_(uids)))}
    known: dict[int, Any] = {row.id: row for row in start.values()}
    missing = {row.parent_id for row in start.values()} - known.keys() - {None}
    while missing:
        above = session.execute(columns.where(Node.id.in_(missing))).all()
        known |= {row.id: row for row in above}
        missing = {row.parent_id for row in above} - known.keys() - {None}
    by_uid = {}
    for uid, node in start.items():
        names = []
        while node.parent_id is not None:
            names.append(node.name)
            node = known[node.parent_id]
        if node.removed_at is None:
            by_uid[uid] = "/".join(reversed(names))
    return by_uid


def content(
    transaction: Transaction, organization_id: int, segments: Segments, version: str | None
) -> queries.VersionRow:
    """The version to read: the named one while it can be read, else the newest at the path.

    A named version is found whatever became of its path, so that a reader is not cut off by a move.

    Raises:
        Refusal: it cannot be found, or the path is a folder's.
    """
    if version is not None:
        older = readable(queries.version_of_uid(transaction, version), organization_id)
        if older is None:
            raise not_found(f"that version of {show(segments)} cannot be found any more; read the newest one")
        return older
    newest = get(transaction, organization_id, segments).content(organization_id)
    if newest is None:
        raise bad_entry(f"{show(segments)} is a folder and has no content; list it instead")
    return newest


def readable(version: queries.VersionRow | None, organization_id: int) -> queries.VersionRow | None:
    """A version, if it is one of the organization's that can be read; else None."""
    if version is None or version.organization_id != organization_id or not is_readable(version):
        return None
    return version


def part_digests(transaction: Transaction, version: queries.VersionRow, *, after: int, limit: int) -> list[PartDigest]:
    """The digests of the parts of a version's content as they go out; none where they are not kept.

    Args:
        transaction: of a session, or a connection.
        version: the version.
        after: number of the part before the first one to tell.
        limit: how many at most.
    """
    part_size = version.part_size
    if part_size is None or after * part_size >= version.size:
        return []
    parts = queries.part_digests(transaction, version.key, after=after, limit=limit)
    return [
        PartDigest(n=n, size=min(part_size, version.size - (n - 1) * part_size), sha256=sha256.hex())
        for n, sha256 in enumerate(parts, after + 1)
    ]


def is_readable(version: queries.VersionRow) -> bool:
    """Whether a version is visible, or was until less than `GRACE` ago."""
    if version.removed_at is None:
        return True
    return version.collected_at is None and clock.now() < version.removed_at + GRACE


def being_cleared(session: Session, organization_id: int, segments: Segments) -> dict[int, dt.datetime]:
    """The versions of files that were at a path when a folder above it was deleted and that no version says so of yet.

    Args:
        session: a transaction.
        organization_id: whose files.
        segments: the path.

    Returns:
        by the version's row, when the folder was deleted: less than `GRACE` ago.
    """
    folders = {paths.join(segments[:depth]): depth for depth in range(1, len(segments))}
    tops = select(Node).where(
        Node.organization_id == organization_id,
        Node.removed_at > clock.now() - GRACE,
        Node.removed_at.is_not(None),  # for SQLite to see that the index has these rows
        Node.removed_path.in_(folders),
    )
    moments = {}
    for top in session.scalars(tops):
        node: Node | None = top
        for name in segments[folders[top.removed_path or ""] :]:
            below = select(Node).where(Node.organization_id == organization_id, Node.name == name)
            node = node and session.scalar(below.where(Node.parent_id == node.id))
        if node is not None and node.version_id is not None and top.removed_at is not None:
            moments[node.version_id] = top.removed_at
    return moments


def versions(session: Session, organization_id: int, segments: Segments) -> Select[Any]:
    """What selects the versions that can be read or restored of the file that is, or was, at a path.

    That are the newest one, those that it replaced wherever the file was then, and those of files that were
    replaced, deleted or moved over at this path.

    Args:
        session: a transaction.
        organization_id: whose file it is.
        segments: its path.

    Raises:
        Refusal: a folder is there.
    """
    node = find(session, organization_id, segments)
    if node is not None and node.version_id is None:
        raise bad_entry(f"{show(segments)} is a folder and has no versions; name a file")
    old = and_(
        Version.removed_at > clock.now() - GRACE,
        Version.collected_at.is_(None),
        # Said once more, for SQLite to see that the index has these rows.
        Version.removed_at.is_not(None),
    )
    here = and_(
        Version.organization_id == organization_id,
        Version.removed_name.is_not(None),
        Version.removed_name == segments[-1],
        Version.removed_folder == paths.join(segments[:-1]),
    )
    chosen = [select(Version.id).where(old, here)]
    chosen.append(select(Version.id).where(Version.id.in_(being_cleared(session, organization_id, segments))))
    if node is not None:
        # By the file alone, whose versions are its organization's: SQLite would take the index of organizations.
        chosen.append(select(Version.id).where(old, Version.file_uid == node.uid))
        chosen.append(select(Version.id).where(Version.id == node.version_id))
    ids = union(*chosen).subquery()
    return select(Version).join(ids, Version.id == ids.c.id).options(joinedload(Version.creator))


class Put(NamedTuple):
    """Stored content, and the path that it goes to."""

    segments: Segments
    content: NewVersion


class Tree:
    """What changes the tree: each change in the transaction of who makes it, and the names that search finds with it.

    Args:
        files: the names of files.
        folders: the names of folders.
        limits: what organizations may hold that have no quota of their own.

    Attributes:
        clearing: what becomes of folders that are deleted.
    """

    def __init__(self, files: Names, folders: Names, limits: Limits) -> None:
        self._files = files
        self._folders = folders
        self._limits = limits
        self.clearing = Clearing(files, folders)

    def make_folder(
        self, transaction: Transaction, organization_id: int, segments: Segments, *, exist_ok: bool
    ) -> queries.NodeRow:
        """Add a folder, with the parents that are missing.

        Raises:
            Refusal: the name is taken, or a parent is a file.
        """
        walk = queries.walk(transaction, organization_id, segments)
        if walk.node is None:
            return self._make_folders(transaction, organization_id, walk, segments, len(segments))
        if exist_ok and walk.node.version_id is None:
            return walk.node
        raise already_exists(f"{show(segments)} exists already; choose another name")

    def put(
        self,
        transaction: Transaction,
        organization_id: int,
        segments: Segments,
        content: NewVersion,
        *,
        overwrite: bool,
        upload: Upload | None = None,
    ) -> queries.NodeRow:
        """Make stored content the newest version of the file at a path, with the parents that are missing.

        Args:
            transaction: one that writes.
            organization_id: whose file it is.
            segments: its path.
            content: what is stored.
            overwrite: whether a file may be replaced.
            upload: the upload that is completed by it, which has reserved the room for it.

        Raises:
            Refusal: the name is a folder's, or a file's that must not be replaced, or a parent is a file; or the
                quota is used up.
        """
        connection = connection_of(transaction)
        node, change = self._put(connection, organization_id, segments, content, overwrite=overwrite)
        stores = upload is None and content.size > 0
        quotas.count_within(connection, organization_id, change, self._limits, stores=stores, upload=upload)
        return node

    def put_many(
        self, transaction: Transaction, organization_id: int, puts: Sequence[Put], *, overwrite: bool
    ) -> list[queries.NodeRow | Refusal]:
        """Do for each of several what `put` does; one that is refused stops no other.

        Args:
            transaction: one that writes.
            organization_id: whose files they are.
            puts: what is stored, and where; no path is that of another, or leads through it.
            overwrite: whether files may be replaced.

        Returns:
            for each the file, or why it was refused.
        """
        try:
            with transaction.begin_nested():
                return self._put_together(transaction, organization_id, puts, overwrite=overwrite)
        except Refusal:  # the quota does not take all of them
            return [self._put_apart(transaction, organization_id, put, overwrite=overwrite) for put in puts]

    def copy(
        self,
        transaction: Transaction,
        organization_id: int,
        source: Segments,
        target: Segments,
        *,
        user_id: int,
        overwrite: bool,
    ) -> queries.NodeRow:
        """Make a file at `target` with the content of the one at `source`, and no bytes moved.

        Raises:
            Refusal: there is no file at the source, or the target cannot take one; or the quota is used up.
        """
        node = get(transaction, organization_id, source)
        if node.version_id is None:
            raise bad_entry(f"{show(source)} is a folder; copy the files in it one by one")
        if source == target and overwrite:
            return node
        return self._put_shared(transaction, organization_id, target, node.version_id, user_id, overwrite=overwrite)

    def restore(
        self, session: Session, organization_id: int, segments: Segments, uid: str, *, user_id: int
    ) -> queries.NodeRow:
        """Make an old version of a file the newest one again; it also restores a file that was deleted.

        Raises:
            Refusal: the version is not one of the file's, or not any more; or a folder has the path; or the quota is
                used up.
        """
        node = find(session, organization_id, segments)
        if node is not None and node.version_id is None:
            raise already_exists(f"{show(segments)} is a folder now; move it to another path first")
        old: Version | None = session.scalar(versions(session, organization_id, segments).where(Version.uid == uid))
        if old is None:
            raise not_found(
                f"there is no version {uid} of {show(segments)}, or it is no longer kept; list the versions of the file"
            )
        if node is not None and node.version_id == old.id:
            return node
        return self._put_shared(session, organization_id, segments, old.id, user_id, overwrite=True)

    def move(
        self, session: Session, organization_id: int, source: Segments, target: Segments, *, overwrite: bool
    ) -> queries.NodeRow:
        """Give an entry another path; parents of it that are missing are made.

        Raises:
            Refusal: the entry cannot be found, the target is taken or lies inside the entry.
        """
        if not source:
            raise bad_entry("the root folder cannot be moved; name something in it")
        node = get(session, organization_id, source)
        if source == target:
            return node
        if target[: len(source)] == source:
            raise Refusal(409, "cycle", f"{show(source)} cannot be moved into itself; choose a path outside of it")
        if len(target) > len(source) and len(target) + node.height > paths.MAX_DEPTH:
            raise bad_entry(
                f"what is in the folder, or once was, would lie more than {paths.MAX_DEPTH} segments deep; "
                "move it less far down, or move what is in it into a new folder there"
            )
        walk = queries.walk(session, organization_id, target)
        parent_id = self._make_parents(session, organization_id, walk, target, height=node.height)
        taken = walk.node
        if taken is not None:
            if not overwrite or taken.version_id is None or node.version_id is None:
                raise already_exists(
                    f"{show(target)} exists already; choose another name"
                    + (" or set overwrite" if taken.version_id is not None and node.version_id is not None else "")
                )
            # The name must be free before it is given again.
            self._remove_file(session, organization_id, taken, target)
        if node.name != target[-1]:
            (self._folders if node.version_id is None else self._files).rename(session, node.uid, target[-1])
        queries.move(session, node.id, parent_id, target[-1])
        return node._replace(name=target[-1])

    def remove(
        self,
        session: Session,
        organization_id: int,
        segments: Segments,
        *,
        recursive: bool,
        version: str | None = None,
    ) -> bool:
        """Delete an entry; a folder that is not empty only if `recursive`.

        A large folder is only taken out of the tree, so that nobody waits long for the database (see `Clearing`).

        Args:
            session: a transaction that writes.
            organization_id: whose entry.
            segments: its path.
            recursive: whether a folder is deleted with what is in it.
            version: what the entry must have for its newest version; None for any, and for a folder.

        Returns:
            whether there is a rest.

        Raises:
            Refusal: the entry cannot be found, it has another version, it is the root, or it is not empty.
        """
        if not segments:
            raise bad_entry("the root folder cannot be deleted; name something in it")
        node = get(session, organization_id, segments)
        if version is not None and node.version != version:
            raise Refusal(
                412, "changed", f"{show(segments)} was replaced meanwhile, and stays; look at it, then try again"
            )
        holds = select(Node.id).where(Node.organization_id == organization_id, Node.parent_id == node.id)
        if not recursive and session.scalar(holds.limit(1)) is not None:
            raise Refusal(
                409,
                "not_empty",
                f"the folder {show(segments)} is not empty; delete what is in it first, or set recursive",
            )
        if node.version_id is not None:
            self._remove_file(session, organization_id, node, segments)
            return False
        folder = Removed(node.id, node.uid, organization_id, clock.now(), paths.join(segments))
        return self.clearing.remove(session, folder)

    def _put(
        self,
        transaction: Transaction,
        organization_id: int,
        segments: Segments,
        content: NewVersion,
        *,
        overwrite: bool,
    ) -> tuple[queries.NodeRow, Change]:
        """Do what `put` does but for the counting; gives the file, and what is to be counted."""
        walk = queries.walk(transaction, organization_id, segments)
        parent_id = self._make_parents(transaction, organization_id, walk, segments)
        if walk.node is None:
            node = queries.add_file(transaction, organization_id, parent_id, segments[-1], content)
            self._files.add(transaction, organization_id, node.uid, node.name)
            return node, Change(used=content.size)
        _check_replaceable(walk.node, segments, overwrite)
        return self._replace(transaction, organization_id, walk.node, segments, content)

    def _put_apart(
        self, transaction: Transaction, organization_id: int, put: Put, *, overwrite: bool
    ) -> queries.NodeRow | Refusal:
        try:
            with transaction.begin_nested():
                return self.put(transaction, organization_id, put.segments, put.content, overwrite=overwrite)
        except Refusal as refusal:
            return refusal

    def _put_together(
        self, transaction: Transaction, organization_id: int, puts: Sequence[Put], *, overwrite: bool
    ) -> list[queries.NodeRow | Refusal]:
        """Put several files with few statements for all of them.

        Raises:
            Refusal: the quota does not take all of them.
        """
        outcomes: list[queries.NodeRow | Refusal | None] = [None] * len(puts)
        new: dict[int, queries.NewFile] = {}
        replaced: dict[int, queries.NodeRow] = {}
        by_folder: dict[Segments, list[int]] = {}
        for at, put in enumerate(puts):
            by_folder.setdefault(put.segments[:-1], []).append(at)
        for folder, places in by_folder.items():
            walk = queries.walk(transaction, organization_id, folder)
            names = [puts[at].segments[-1] for at in places]
            there = {} if walk.node is None else queries.named(transaction, organization_id, walk.node.id, names)
            taken: list[int] = []
            for at, name in zip(places, names, strict=True):
                try:
                    _require_folders(walk, puts[at].segments)
                    if name in there:
                        _check_replaceable(there[name], puts[at].segments, overwrite)
                except Refusal as refusal:
                    outcomes[at] = refusal
                else:
                    taken.append(at)
            if not taken:
                continue
            parent_id = self._make_parents(transaction, organization_id, walk, puts[taken[0]].segments)
            for at in taken:
                segments, content = puts[at]
                if segments[-1] in there:
                    replaced[at] = there[segments[-1]]
                else:
                    new[at] = queries.NewFile(parent_id, segments[-1], content)
        used = deleted = 0
        if new:
            nodes = queries.add_files(transaction, organization_id, list(new.values()))
            self._files.add_all(transaction, organization_id, {node.uid: node.name for node in nodes})
            outcomes_of_new = dict(zip(new, nodes, strict=True))
            for at, node in outcomes_of_new.items():
                outcomes[at] = node
                used += puts[at].content.size
        for at, before in replaced.items():
            outcomes[at], change = self._replace(transaction, organization_id, before, *puts[at])
            used, deleted = used + change.used, deleted + change.deleted
        stores = any(puts[at].content.size for at in (*new, *replaced))
        quotas.count_within(transaction, organization_id, Change(used, deleted), self._limits, stores=stores)
        return [outcome for outcome in outcomes if outcome is not None]

    def _replace(
        self,
        transaction: Transaction,
        organization_id: int,
        node: queries.NodeRow,
        segments: Segments,
        content: NewVersion,
    ) -> tuple[queries.NodeRow, Change]:
        """Give a file another version; gives the file, and what is to be counted."""
        # First what comes, which may share the content of what goes.
        after = queries.replace_content(transaction, organization_id, node, content)
        gone = _end_version(transaction, organization_id, node, segments)
        return after, Change(content.size + gone.used, gone.deleted)

    def _put_shared(
        self,
        transaction: Transaction,
        organization_id: int,
        segments: Segments,
        version_id: int,
        user_id: int,
        *,
        overwrite: bool,
    ) -> queries.NodeRow:
        """Make a file with the content of a version that this transaction has found.

        Who collects content locks the versions whose content is to go, and then counts; and so does this, in this
        order: either sees what the other has done, also where a database has several writers.
        """
        source = queries.version_to_share(transaction, version_id)
        if source.collected_at is not None:
            raise not_found("this version is no longer kept; choose another one")
        undeleted = 0 if queries.is_newest(transaction, source.key) else source.size
        content = NewVersion(
            source.key,
            source.size,
            source.digest,
            clock.now(),
            user_id,
            source.source_mtime_ns,
            source.part_size,
        )
        node, change = self._put(transaction, organization_id, segments, content, overwrite=overwrite)
        change = Change(change.used, change.deleted - undeleted)
        quotas.count_within(transaction, organization_id, change, self._limits, stores=False)
        return node

    def _make_parents(
        self, transaction: Transaction, organization_id: int, walk: queries.Walk, segments: Segments, *, height: int = 0
    ) -> int:
        """The row of the folder that the last segment is to stand in, with `height` levels below it.

        Args:
            transaction: one that writes.
            organization_id: whose folder it is.
            walk: how far the path leads.
            segments: the path.
            height: how many levels are below what is to stand there.

        Raises:
            Refusal: a parent is a file.
        """
        depth = len(segments) - 1
        if len(walk.steps) > depth:
            _require_folders(walk, segments)
            _raise(transaction, walk.steps[: depth + 1], len(segments) + height)
            return walk.steps[depth].id
        return self._make_folders(transaction, organization_id, walk, segments, depth, height=height + 1).id

    def _make_folders(
        self,
        transaction: Transaction,
        organization_id: int,
        walk: queries.Walk,
        segments: Segments,
        depth: int,
        *,
        height: int = 0,
    ) -> queries.NodeRow:
        """Make the folders that are missing of the first `depth` segments; gives the last, with `height` levels below.

        Raises:
            Refusal: a parent is a file.
        """
        _require_folders(walk, segments)
        _raise(transaction, walk.steps, depth + height)
        folders: list[queries.NodeRow] = []
        parent_id = walk.steps[-1].id
        for at in range(len(walk.steps), depth + 1):
            folder = queries.add_folder(transaction, organization_id, parent_id, segments[at - 1], depth - at + height)
            folders.append(folder)
            parent_id = folder.id
        self._folders.add_all(transaction, organization_id, {folder.uid: folder.name for folder in folders})
        return folders[-1]

    def _remove_file(self, session: Session, organization_id: int, node: queries.NodeRow, segments: Segments) -> None:
        queries.remove(session, node.id)
        gone = _end_version(session, organization_id, node, segments)
        quotas.count(session, organization_id, **gone._asdict())
        self._files.remove(session, [node.uid])


def _check_replaceable(node: queries.NodeRow, segments: Segments, overwrite: bool) -> None:
    if node.version_id is None:
        raise already_exists(f"{show(segments)} is a folder; choose another name for the file")
    if not overwrite:
        raise already_exists(f"{show(segments)} exists already; choose another name or set overwrite")


def _require_folders(walk: queries.Walk, segments: Segments) -> None:
    """See that all that a path leads through are folders.

    Raises:
        Refusal: one is a file.
    """
    for depth, step in enumerate(walk.steps[: len(segments)]):
        if step.version_id is not None:
            raise conflict(f"{show(segments[:depth])} is a file, so nothing can be put below it; choose another path")


def _raise(transaction: Transaction, steps: Collection[queries.Step], levels: int) -> None:
    """Note that there are so many levels below the first of `steps`, each of which holds the next."""
    heights = {step.id: levels - depth for depth, step in enumerate(steps) if step.height < levels - depth}
    queries.set_heights(transaction, heights)


def _end_version(transaction: Transaction, organization_id: int, node: queries.NodeRow, segments: Segments) -> Change:
    """Note that the version that a file has had is not the newest any more; gives what that changes."""
    version = node.content(organization_id)
    assert version is not None  # noqa: S101  # a file
    is_shared = queries.end_version(transaction, version, paths.join(segments[:-1]), segments[-1])
    return Change(-version.size, 0 if is_shared else version.size)
