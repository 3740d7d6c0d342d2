"""Listing all that is below a folder: as walks need it, from stores that list everything at once, or only folders."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import pytest

from edge_core.errors import NotFound
from edge_vfs import listing
from edge_vfs.folder import Folder
from edge_vfs.store import FileStore, FolderByFolder, ListingStore, Stat

from .stores import Tree

FILES = dict.fromkeys(["a/x", "a/b/y", "a/b/c/z", "a.txt", "b/x", "c", "d/e/f/g"], b"content")

WALKED = [
    ("/", ["a", "b", "d"], ["a.txt", "c"]),
    ("/a", ["b"], ["x"]),
    ("/a/b", ["c"], ["y"]),
    ("/a/b/c", [], ["z"]),
    ("/b", [], ["x"]),
    ("/d", ["e"], []),
    ("/d/e", ["f"], []),
    ("/d/e/f", [], ["g"]),
]


class Plain(Tree):
    """A tree whose folders must be there to be listed."""

    def children(self, path: str, /, kind: str | None = None) -> Any:
        if self.stat(path).kind != "folder":
            raise NotFound(f"{path} is a file")
        return super().children(path, kind)


class Listing(Plain):
    """A tree that lists all that is below a folder, by folder or in the order of keys."""

    def __init__(self, files: dict[str, bytes], *, by_folder: bool, refuses: bool = False) -> None:
        super().__init__(files)
        self.by_folder = by_folder
        self.refuses = refuses
        self.starts: list[str] = []
        self.sent = 0

    def descendants(
        self, path: str, /, *, prefix: str = "", kind: str | None = None, after: str = ""
    ) -> Iterator[tuple[str, Stat]]:
        self.starts.append(after)
        if self.refuses:
            raise FolderByFolder
        entries = list(self._below(path, ""))
        if not self.by_folder:
            entries.sort(key=lambda entry: entry[0] + "/" * (entry[1].kind == "folder"))
        if after:
            last = max(n for n, (place, _) in enumerate(entries) if f"{place}/".startswith(f"{after}/"))
            entries = entries[last + 1 :]
        for place, stat in entries:
            if place.startswith(prefix):
                self.sent += 1
                yield place, stat

    def _below(self, top: str, folder: str) -> Iterator[tuple[str, Stat]]:
        children = [cast(Stat, stat) for stat in self.children(listing.joined(top, folder))]
        for stat in children:
            yield listing.joined(folder, stat.name), stat
        for stat in children:
            if stat.kind == "folder":
                yield from self._below(top, listing.joined(folder, stat.name))


def folder_of(store: Any) -> Folder:
    return Folder(cast(FileStore, store))


def walked(folder: Folder, name: str | None = None) -> list[tuple[str, list[str], list[str]]]:
    return [(inner.path, folders, files) for inner, folders, files in folder.walk(name)]


STORES = [
    Plain(FILES),
    Listing(FILES, by_folder=True),
    Listing(FILES, by_folder=False),
    Listing(FILES, by_folder=True, refuses=True),
]


@pytest.mark.parametrize("store", STORES, ids=["folders", "by folder", "keys", "refuses"])
def test_a_walk_is_the_same_whatever_the_store_can_list(store: Tree) -> None:
    folder = folder_of(store)
    assert walked(folder) == WALKED
    assert walked(folder, "a") == WALKED[1:4]
    for name in ("nothing", "a.txt/x"):
        with pytest.raises(NotFound):
            walked(folder, name)
    at_once = listing.Folders(cast(FileStore, store), "", at_once=True)
    assert [(f"/{path}", [stat.name for stat in entries if stat.kind == "file"]) for path, entries in at_once] == [
        (path, files) for path, _, files in WALKED
    ]


@pytest.mark.parametrize("store", STORES, ids=["folders", "by folder", "keys", "refuses"])
def test_a_pattern_matches_the_same_whatever_the_store_can_list(store: Tree) -> None:
    folder = folder_of(store)
    assert sorted(folder.glob("**")) == sorted([*FILES, "a", "a/b", "a/b/c", "b", "d", "d/e", "d/e/f"])
    assert sorted(folder.glob("a*/**")) == ["a/b", "a/b/c", "a/b/c/z", "a/b/y", "a/x"]
    assert sorted(folder.glob("a/b/**/*")) == ["a/b/c", "a/b/c/z", "a/b/y"]
    assert sorted((folder / "a").glob("**/[yz]")) == ["b/c/z", "b/y"]
    assert list(folder.glob("nothing/**")) == list(folder.glob("a.txt/**")) == []


def test_what_a_walk_leaves_out_is_not_entered() -> None:
    for store in STORES:
        folder = folder_of(store)
        paths = []
        for inner, folders, _ in folder.walk():
            paths.append(inner.path)
            for name in ("a", "e"):
                if name in folders:
                    folders.remove(name)
        assert paths == ["/", "/b", "/d"]


def test_a_large_folder_that_is_left_out_is_passed_by(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "MOST_PASSED", 3)
    files = {f"large/{n // 10}/{n}": b"" for n in range(100)}
    store = Listing({**files, "small/file": b""}, by_folder=True)
    paths = []
    for inner, folders, _ in folder_of(store).walk():
        paths.append(inner.path)
        if "large" in folders:
            folders.remove("large")
    assert paths == ["/", "/small"]
    assert store.starts == ["", "large"]
    assert store.sent < 10


def test_a_walk_reads_no_further_than_it_needs() -> None:
    store = Listing({f"{n:03}/file": b"" for n in range(100)}, by_folder=True)
    steps = folder_of(store).walk()
    next(steps)
    next(steps)
    assert store.sent <= 100 + 2


def test_what_comes_during_a_walk_is_no_part_of_it() -> None:
    class Changing(Listing):
        def descendants(self, *arguments: Any, **options: Any) -> Iterator[tuple[str, Stat]]:
            for place, stat in super().descendants(*arguments, **options):
                if not place.startswith("b"):
                    yield place, stat
                if place == "d":  # the last entry of the folder at the top
                    yield "new/file", cast(Stat, self.stat("c"))

    store = Changing(FILES, by_folder=True)
    assert walked(folder_of(store)) == [
        (path, [name for name in folders if path != "/" or name != "b"], files)
        for path, folders, files in WALKED
        if path != "/b"
    ]


def test_stores_say_that_they_list_all_below() -> None:
    assert isinstance(STORES[1], ListingStore)
    assert not isinstance(STORES[0], ListingStore)
