"""Large folders that were deleted: out of the tree at once, then released, and cleared away a little at a time."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.orm import Session

from edge_server.files import models, quotas
from edge_server.web.names import Names

BATCH = 100
"""Entries that one transaction deletes at most."""

_NODES: Any = models.Node.__table__
_VERSIONS: Any = models.Version.__table__


class Removed(NamedTuple):
    """A large folder that was deleted, and is out of the tree.

    Attributes:
        id: of its row.
        uid: of the folder.
        organization_id: whose it was.
        removed_at: when it was deleted.
        path: where it was; None if an older server deleted it.
        released: whether its files count as released, instead of as used.
    """

    id: int
    uid: str
    organization_id: int
    removed_at: dt.datetime
    path: str | None
    released: bool = False


class _Entry(NamedTuple):
    """An entry of such a folder."""

    id: int
    uid: str
    name: str
    version_id: int | None


def _among(name: str) -> sa.BindParameter[Any]:
    return sa.bindparam(name, expanding=True)


# Built once, which takes longer than to run them: a transaction executes all of them for a few entries.
_ENTRY = (_NODES.c.id, _NODES.c.uid, _NODES.c.name, _NODES.c.version_id)
_REMOVED = sa.select(
    _NODES.c.id,
    _NODES.c.uid,
    _NODES.c.organization_id,
    _NODES.c.removed_at,
    _NODES.c.removed_path,
    _NODES.c.released,
)
_TAKE_OUT = (
    sa.update(_NODES)
    .where(_NODES.c.id == sa.bindparam("node"))
    .values(
        parent_id=None,
        removed_at=sa.bindparam("at"),
        removed_path=sa.bindparam("path"),
        released=sa.bindparam("is_released"),
    )
)
_BELOW = sa.select(*_ENTRY).where(_NODES.c.parent_id == sa.bindparam("parent")).limit(sa.bindparam("most"))
_SOME_BELOW = sa.select(*_ENTRY).where(_NODES.c.parent_id.in_(_among("parents"))).limit(sa.bindparam("most"))
_FILLED = sa.select(_NODES.c.parent_id).where(_NODES.c.parent_id.in_(_among("parents"))).distinct()
_DELETE = sa.delete(_NODES).where(_NODES.c.id.in_(_among("ids")))
_CONTENT = sa.select(_VERSIONS.c.key, _VERSIONS.c.size).where(_VERSIONS.c.id.in_(_among("versions")))
_FOLDER = sa.bindparam("folder", type_=sa.String)
_NAME = sa.select(_NODES.c.name).where(_NODES.c.version_id == _VERSIONS.c.id).scalar_subquery()
_END = (
    sa.update(_VERSIONS)
    .where(_VERSIONS.c.id.in_(_among("versions")))
    .values(
        removed_at=sa.bindparam("at"),
        removed_folder=_FOLDER,
        removed_name=sa.case((_FOLDER.is_(None), sa.null()), else_=_NAME),
    )
)
_NEWEST = sa.select(_VERSIONS.c.key).where(_VERSIONS.c.key.in_(_among("keys")), _VERSIONS.c.removed_at.is_(None))
_RELEASE = (
    sa.update(_NODES)
    # By the id that is never given again.
    .where(_NODES.c.uid == sa.bindparam("folder_uid"), _NODES.c.released.is_(False))
    .values(released=True)
    .returning(_NODES.c.id)
)


def removed(session: Session, organization_id: int | None = None, *, released: bool) -> Removed | None:
    """Some folder that was deleted and is not cleared away yet; None if there is none.

    Args:
        session: a transaction.
        organization_id: whose; None for any.
        released: one that is for `Clearing.clear`, rather than for `Clearing.release`.
    """
    folders = _REMOVED.where(_NODES.c.removed_at.is_not(None), _NODES.c.released.is_(released)).limit(1)
    if organization_id is not None:
        folders = folders.where(_NODES.c.organization_id == organization_id)
    row = session.execute(folders).one_or_none()
    return None if row is None else Removed(*row)


def unreleased(session: Session, organization_id: int) -> Sequence[int]:
    """The rows of an organization's deleted folders whose files count as used still."""
    folders = sa.select(_NODES.c.id).where(
        _NODES.c.organization_id == organization_id, _NODES.c.removed_at.is_not(None), _NODES.c.released.is_(False)
    )
    return session.scalars(folders).all()


def bytes_below(session: Session, node_id: int) -> int:
    """Bytes of all files in a folder: a walk over everything in it."""
    below = sa.select(_NODES.c.id, _NODES.c.version_id).where(_NODES.c.parent_id == node_id)
    below_all = below.cte("below", recursive=True)
    further = sa.select(_NODES.c.id, _NODES.c.version_id).join(below_all, _NODES.c.parent_id == below_all.c.id)
    below_all = below_all.union_all(further)
    total = sa.select(sa.func.sum(_VERSIONS.c.size)).join(below_all, _VERSIONS.c.id == below_all.c.version_id)
    return int(session.scalar(total) or 0)


class Clearing:
    """What becomes of folders that are deleted.

    Args:
        files: the names of files.
        folders: the names of folders.
    """

    def __init__(self, files: Names, folders: Names) -> None:
        self._files = files
        self._folders = folders

    def remove(self, session: Session, folder: Removed) -> bool:
        """Take a folder out of the tree, and delete it with all that is in it if that is not more than `BATCH`.

        The rest is for `release`, and then for `clear`.

        Args:
            session: a transaction that writes.
            folder: the folder.

        Returns:
            whether there is a rest.
        """
        session.execute(_TAKE_OUT, _taken_out(folder, folder.id, folder.path))
        if _holds_more(session, folder.id, BATCH):
            return True
        self._remove_from(session, folder, 2 * BATCH + 1)
        return False

    def release(self, session: Session, folder: Removed, size: int) -> None:
        """Let the files of a deleted folder no longer count in the quota, unless somebody else has done so.

        Args:
            session: a transaction that writes.
            folder: the folder; nothing in it changes until this is done.
            size: what `bytes_below` gave for it, in this transaction or in an earlier one.
        """
        if session.execute(_RELEASE, {"folder_uid": folder.uid}).all():
            quotas.count(session, folder.organization_id, used=-size, released=size)

    def clear(self, session: Session, organization_id: int, limit: int) -> None:
        """Delete some entries of a deleted folder whose bytes are released, if there is one.

        Args:
            session: a transaction that writes.
            organization_id: whose folder.
            limit: about how many.
        """
        folder = removed(session, organization_id, released=True)
        if folder is not None:
            self._remove_from(session, folder, limit)

    def _remove_from(self, session: Session, folder: Removed, limit: int) -> None:
        """Delete up to about `limit` entries of a folder that is out of the tree already, and then itself.

        Folders in it are taken out as well and then emptied one after another, so that it does not
        matter how many there are or how deep.

        Args:
            session: a transaction that writes.
            folder: the folder.
            limit: how many entries; a folder that is not empty is two.
        """
        tops: list[tuple[_Entry, str | None]] = [(_Entry(folder.id, folder.uid, "", None), folder.path)]
        emptied = []
        while tops and limit > 0:
            top, path = tops[-1]
            below = [_Entry(*row) for row in session.execute(_BELOW, {"parent": top.id, "most": limit})]
            limit -= len(below)
            if not below:
                emptied.append(top)
                tops.pop()
                limit -= 1
                continue
            subfolders = [entry.id for entry in below if entry.version_id is None]
            filled = set(session.scalars(_FILLED, {"parents": subfolders})) if subfolders else set()
            self._remove_entries(session, [entry for entry in below if entry.id not in filled], folder, path)
            # Removed by an older server, it has no path.
            out = [(entry, None if path is None else f"{path}/{entry.name}") for entry in below if entry.id in filled]
            if out:
                session.execute(_TAKE_OUT, [_taken_out(folder, entry.id, path_out) for entry, path_out in out])
            tops[:0] = out
        self._remove_entries(session, emptied, folder, None)

    def _remove_entries(self, session: Session, entries: Sequence[_Entry], folder: Removed, path: str | None) -> None:
        """Delete entries that hold none.

        Args:
            session: a transaction that writes.
            entries: the entries.
            folder: the folder with which they went out of the tree.
            path: of the folder that the files among them were in; None if it is not known.
        """
        if not entries:
            return
        self._files.remove(session, [entry.uid for entry in entries if entry.version_id is not None])
        self._folders.remove(session, [entry.uid for entry in entries if entry.version_id is None])
        versions = [entry.version_id for entry in entries if entry.version_id is not None]
        if versions:
            session.execute(_END, {"versions": versions, "at": folder.removed_at, "folder": path})
            _count_removed(session, folder, versions)
        session.execute(_DELETE, {"ids": [entry.id for entry in entries]})


def _taken_out(folder: Removed, node_id: int, path: str | None) -> dict[str, Any]:
    return {"node": node_id, "at": folder.removed_at, "path": path, "is_released": folder.released}


def _holds_more(session: Session, node_id: int, limit: int) -> bool:
    """Whether there are more than `limit` entries in a folder and below it; no more of them than that are looked at."""
    parents = [node_id]
    while parents:
        rows = session.execute(_SOME_BELOW, {"parents": parents, "most": limit + 1}).all()
        limit -= len(rows)
        if limit < 0:
            return True
        parents = [row.id for row in rows if row.version_id is None]
    return False


def _count_removed(session: Session, folder: Removed, versions: Collection[int]) -> None:
    """Count versions that have just been removed, and their content where no newest version shares it.

    Args:
        session: a transaction that writes.
        folder: the folder with which they went.
        versions: their ids.
    """
    contents = session.execute(_CONTENT, {"versions": versions}).all()
    sizes = {content.key: content.size for content in contents}
    shared = set(session.scalars(_NEWEST, {"keys": list(sizes)}))
    gone = sum(content.size for content in contents)
    deleted = sum(size for key, size in sizes.items() if key not in shared)
    if folder.released:
        quotas.count(session, folder.organization_id, released=-gone, deleted=deleted)
    else:
        quotas.count(session, folder.organization_id, used=-gone, deleted=deleted)
