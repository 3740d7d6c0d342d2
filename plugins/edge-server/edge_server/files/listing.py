"""Listings that go below a folder: all that is in it, or what has a prefix, in pages.

The order is that of a walk from the top: the entries of a folder stand together, by the UTF-8 bytes of their names,
and what is in each of its folders follows in the same order. A page begins behind a path, and not behind a row, so
that it is found when what was there is moved or deleted; and it costs what it holds, however large the tree is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from sqlalchemy.orm import Session

from edge_server.base.problems import bad_entry, not_found
from edge_server.files import paths, queries, tree
from edge_server.files.queries import NodeRow, Step
from edge_server.files.tree import Segments

TOGETHER = 64
"""Folders that a statement looks into."""

EACH = 32
"""Entries that it takes of each; the others of a larger folder take a statement of their own."""

MOST_FOLDERS = 1000
"""Folders that a page looks into: of many that are empty it may tell nothing but where the next page begins."""


class Place(NamedTuple):
    """Where a page begins: behind an entry, and before what is in it, or `behind` that as well."""

    segments: Segments
    behind: bool


class Listed(NamedTuple):
    """An entry, and its path from the listed folder."""

    path: str
    node: NodeRow


class _Folder(NamedTuple):
    """A folder that is to be listed."""

    id: int
    path: str


class _Rest(NamedTuple):
    """The folders of a folder that are to be listed, from a name on."""

    id: int
    path: str
    prefix: str
    after: str


def parse_place(path: str) -> Place:
    """The place that a text stands for: a path, with a slash at the end if it is behind all that is there.

    Raises:
        BadPath: it stands for none.
    """
    return Place(paths.parse(path.removesuffix("/")), path.endswith("/"))


def page(
    session: Session,
    organization_id: int,
    segments: Segments,
    *,
    prefix: str,
    kind: str | None,
    recursive: bool,
    place: Place | None,
    limit: int,
) -> tuple[list[Listed], str | None]:
    """One page, and the text of the place where the next begins, if there is more.

    Args:
        session: a transaction.
        organization_id: whose folder it is.
        segments: its path.
        prefix: only what has a path from the folder, as text, that begins with this.
        kind: "file" or "folder", for only those.
        recursive: whether what is in folders is listed as well.
        place: where the page begins; None for the first.
        limit: how many entries at most. Of one `kind` there may be fewer, also on a page that has a next.

    Raises:
        Refusal: the folder cannot be found, or the prefix cannot be one.
    """
    try:
        start, name_prefix = paths.parse_prefix(prefix)
    except paths.BadPath as error:
        raise bad_entry(str(error)) from None
    below = () if place is None else place.segments[len(start) :]
    if place is not None and (not below or place.segments[: len(start)] != start):
        raise bad_entry("the listing cannot begin there, as that is not below the prefix; begin it anew")
    steps = queries.walk(session, organization_id, (*segments, *start, *below)).steps
    folders = _folders(steps, segments)[len(segments) :]
    if len(folders) <= len(start):
        return [], None
    walk = _Walk(session, organization_id, kind, limit, recursive=recursive)
    walk.begin(folders[len(start) :], paths.join(start), name_prefix, below, place)
    if recursive:
        walk.go_on()
    return walk.page()


def _folders(steps: Sequence[Step], segments: Segments) -> list[Step]:
    """The folders along a path that begins with `segments`.

    Raises:
        Refusal: no folder is there.
    """
    if len(steps) <= len(segments):
        raise not_found(f"there is no file or folder {tree.show(segments)}; check the path")
    if steps[len(segments)].version_id is not None:
        raise not_found(f"{tree.show(segments)} is a file, not a folder; list the folder it is in")
    first_file = next((n for n, step in enumerate(steps) if step.version_id is not None), len(steps))
    return list(steps[:first_file])


class _Walk:
    """The way from where a page begins to its end.

    Args:
        session: a transaction.
        organization_id: whose tree it is.
        kind: of the entries that are asked for.
        limit: entries of the page; one more tells that there is another.
        recursive: whether folders are entered.
    """

    def __init__(
        self, session: Session, organization_id: int, kind: str | None, limit: int, *, recursive: bool
    ) -> None:
        self._session = session
        self._organization_id = organization_id
        self._kind = kind
        # Files are in folders, which have to be passed.
        self._passed = None if recursive and kind == "file" else kind
        self._limit = limit
        self._listed: list[Listed] = []
        self._to_list: list[_Folder | _Rest] = []
        self._known: dict[int, list[NodeRow]] = {}
        self._stopped: str | None = None

    def begin(self, folders: Sequence[Step], path: str, prefix: str, below: Segments, place: Place | None) -> None:
        """List what is left of the folder where the page begins, and note what follows.

        Args:
            folders: those along the way to the place, as far as they are there; the first holds all that is listed.
            path: of the first one.
            prefix: what the names in the first one begin with.
            below: the place, from the first one.
            place: the place.
        """
        if place is None:
            self._add(_Folder(folders[0].id, path), self._children(folders[0].id, prefix=prefix))
            return
        for level, (folder, name) in enumerate(zip(folders, below, strict=False)):
            is_last = level == len(below) - 1 and not place.behind
            self._to_list.append(_Rest(folder.id, path, prefix, "" if is_last else name))
            if is_last:
                rest = self._children(folder.id, prefix=prefix, after=name)
                self._listed += _listed(path, rest)
            path, prefix = _joined(path, name), ""

    def go_on(self) -> None:
        """List what follows, until the page is full."""
        looked_into = 0
        while self._to_list and len(self._listed) <= self._limit:
            at = self._to_list.pop()
            if isinstance(at, _Rest):
                self._add_folders(at)
                continue
            entries = self._entries(at)
            self._add(at, entries)
            looked_into += 1
            if looked_into == MOST_FOLDERS and self._to_list:
                self._stopped = _joined(at.path, entries[-1].name) if entries else f"{at.path}/"
                return

    def page(self) -> tuple[list[Listed], str | None]:
        """The entries, and the text of the place behind them, if there is more."""
        listed = self._listed[: self._limit]
        following = listed[-1].path if len(self._listed) > self._limit else self._stopped
        if self._kind == "file":
            listed = [each for each in listed if each.node.version_id is not None]
        return listed, following

    def _add(self, folder: _Folder, entries: list[NodeRow]) -> None:
        self._listed += _listed(folder.path, entries)
        self._to_list += _inner(folder.path, entries)

    def _add_folders(self, rest: _Rest) -> None:
        folders = queries.children(
            self._session,
            self._organization_id,
            rest.id,
            "folder",
            prefix=rest.prefix,
            after=rest.after,
            limit=TOGETHER,
        )
        if len(folders) == TOGETHER:
            self._to_list.append(rest._replace(after=folders[-1].name))
        self._to_list += _inner(rest.path, folders)

    def _children(self, folder_id: int, *, prefix: str = "", after: str = "", known: int = 0) -> list[NodeRow]:
        """The entries of a folder, as far as they have room on the page."""
        limit = self._limit + 1 - len(self._listed) - known
        return queries.children(
            self._session,
            self._organization_id,
            folder_id,
            self._passed,
            prefix=prefix,
            after=after,
            limit=max(limit, 0),
        )

    def _entries(self, folder: _Folder) -> list[NodeRow]:
        if folder.id not in self._known:
            unknown = self._unknown(folder)
            self._known |= queries.first_children(
                self._session, self._organization_id, unknown, self._passed, each=EACH
            )
        entries = self._known.pop(folder.id)
        if len(entries) == EACH:
            entries += self._children(folder.id, after=entries[-1].name, known=EACH)
        return entries

    def _unknown(self, first: _Folder) -> list[int]:
        """The folders to look into next: those that come first, and may have entries on the page."""
        unknown: list[int] = []
        room = self._limit + 1 - len(self._listed)
        ahead = [*self._to_list, first]
        while ahead and room > 0 and len(unknown) < TOGETHER:
            at = ahead.pop()
            if isinstance(at, _Rest):
                break
            if at.id in self._known:
                room -= len(self._known[at.id])
                ahead += _inner(at.path, self._known[at.id])
            else:
                unknown.append(at.id)
        return unknown


def _listed(folder: str, entries: Sequence[NodeRow]) -> Iterator[Listed]:
    return (Listed(_joined(folder, node.name), node) for node in entries)


def _inner(folder: str, entries: Sequence[NodeRow]) -> list[_Folder]:
    """The folders among the entries of a folder, the first one last, as the top of a stack."""
    return [_Folder(node.id, _joined(folder, node.name)) for node in reversed(entries) if node.version_id is None]


def _joined(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name
