"""Listing all that is below a folder, in as few requests as the store can do with."""

from __future__ import annotations

import itertools
import operator
from collections.abc import Iterator

from edge_core.errors import NotFound
from edge_vfs.store import FileStore, FolderByFolder, ListingStore, Stat

MOST_PASSED = 1000
"""Entries of skipped folders that are passed over before the listing begins anew behind the folder."""


class Folders:
    """The folders of a tree from the top, each with its entries, in the order in which `Folder.walk` gives them.

    Iterating gives a folder's path, relative to the one at the top, and its entries. Folders that are deleted
    meanwhile are empty or missing. Iterate once.

    Args:
        store: the store.
        path: path of the folder at the top.
        at_once: whether all entries may be kept in memory; a store that lists keys, and not folders, has to be asked
            for each folder otherwise.

    Raises:
        NotFound: the folder at the top does not exist; raised when iterating.
    """

    def __init__(self, store: FileStore, path: str, *, at_once: bool = False) -> None:
        self._store = store
        self._path = path
        self._at_once = at_once
        self._skipped: set[str] = set()

    def skip(self, path: str) -> None:
        """Leave out a folder that was given as an entry, and everything in it."""
        self._skipped.add(path)

    def __iter__(self) -> Iterator[tuple[str, list[Stat]]]:
        store = self._store
        if isinstance(store, ListingStore) and (store.by_folder or self._at_once):
            try:
                yield from self._streamed(store) if store.by_folder else self._collected(store)
            except FolderByFolder:
                pass
            else:
                return
        yield from self._each_by_itself()

    def _streamed(self, store: ListingStore) -> Iterator[tuple[str, list[Stat]]]:
        waiting = [""]
        expected = {""}
        for parent, group in itertools.groupby(self._passing(store), key=operator.itemgetter(0)):
            entries = [stat for _, stat in group]
            if parent not in expected:  # it is skipped, or has come meanwhile
                continue
            while (folder := waiting.pop()) != parent:
                expected.remove(folder)
                yield folder, []
            expected.remove(parent)
            yield folder, entries
            inner = self._inner(folder, entries)
            waiting += inner
            expected.update(inner)
        while waiting:
            yield waiting.pop(), []

    def _passing(self, store: ListingStore) -> Iterator[tuple[str, Stat]]:
        """Iterate over the entries that are not below a skipped folder, each with the path of its folder."""
        after = ""
        passed = 0
        while True:
            for path, stat in store.descendants(self._path, after=after):
                parent = path.rpartition("/")[0]
                skipped = self._skipped_above(parent)
                if not skipped:
                    passed = 0
                    yield parent, stat
                    continue
                passed += 1
                if passed > MOST_PASSED:
                    after, passed = skipped, 0
                    break
            else:
                return

    def _skipped_above(self, folder: str) -> str:
        """Return the path of the outermost skipped folder that holds or is `folder`; empty if there is none."""
        if not self._skipped or not folder:
            return ""
        above = itertools.accumulate(folder.split("/"), "{}/{}".format)
        return next((path for path in above if path in self._skipped), "")

    def _collected(self, store: ListingStore) -> Iterator[tuple[str, list[Stat]]]:
        folders: dict[str, list[Stat]] = {}
        for path, stat in store.descendants(self._path):
            folders.setdefault(path.rpartition("/")[0], []).append(stat)
        waiting = [""]
        while waiting:
            folder = waiting.pop()
            entries = sorted(folders.get(folder, ()), key=lambda stat: stat.name.encode())
            yield folder, entries
            waiting += self._inner(folder, entries)

    def _each_by_itself(self) -> Iterator[tuple[str, list[Stat]]]:
        waiting = [""]
        while waiting:
            folder = waiting.pop()
            try:
                entries = list(self._store.children(joined(self._path, folder)))
            except NotFound:
                if not folder:
                    raise
                continue
            yield folder, entries
            waiting += self._inner(folder, entries)

    def _inner(self, folder: str, entries: list[Stat]) -> list[str]:
        inner = [joined(folder, stat.name) for stat in reversed(entries) if stat.kind == "folder"]
        return [path for path in inner if path not in self._skipped]


def descendants(store: FileStore, path: str, prefix: str = "") -> Iterator[tuple[str, Stat]]:
    """Iterate over all that is below a folder, each with its path from there, in the order of the store.

    Args:
        store: the store.
        path: path of the folder.
        prefix: only what has a name in the folder that begins with this, and what is in such a folder.

    Raises:
        NotFound: the folder does not exist; raised when iterating.
    """
    if isinstance(store, ListingStore):
        try:
            yield from store.descendants(path, prefix=prefix)
        except FolderByFolder:
            pass
        else:
            return
    folders = Folders(store, path)
    for folder, entries in folders._each_by_itself():
        for stat in entries:
            place = joined(folder, stat.name)
            if folder or stat.name.startswith(prefix):
                yield place, stat
            else:
                folders.skip(place)


def joined(folder: str, name: str) -> str:
    """Return the path of `name` in `folder`; either may be empty."""
    return f"{folder}/{name}" if folder and name else folder or name
