"""Listings that go below a folder: their order, prefixes, and pages that begin where nothing is any more."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from edge_server.base.problems import Refusal
from edge_server.data.database import Database
from edge_server.files import listing, tree

from .engines import on_each_engine
from .grown import grow, organization
from .trees import TREE
from .wire import Api, refused
from .work import Watch

edge_server = on_each_engine

Tree = dict[str, Any]
"""Names, each with what is in the folder, or None for a file."""


def grown_tree(api_put: Callable[[str], object], make: Callable[[str], object], content: Tree, path: str = "") -> None:
    for name, inner in content.items():
        if inner is None:
            api_put(path + name)
        else:
            make(path + name)
            grown_tree(api_put, make, inner, f"{path}{name}/")


def walked(content: Tree, path: str = "") -> Iterator[tuple[str, str]]:
    """What a recursive listing tells: paths and kinds."""
    names = sorted(content, key=str.encode)
    for name in names:
        yield path + name, "file" if content[name] is None else "folder"
    for name in names:
        if content[name] is not None:
            yield from walked(content[name], f"{path}{name}/")


NAMES = ["a", "a.b", "a b", "é", "z", "Z", "\U0001f600", "\uffee", "_", "ab", "0"]


def random_tree(choice: random.Random, depth: int) -> Tree:
    """Folders in folders."""
    names = choice.sample(NAMES, choice.randint(1, 4))
    return {name: random_tree(choice, depth - 1) if depth and choice.random() < 0.6 else {} for name in names}


class Grown:
    """An organization with a tree of its own."""

    def __init__(self, opened: Database, content: Tree) -> None:
        self._opened = opened
        self.id = organization(opened, "lab")
        with opened.write(self.id) as session:
            put = lambda path: TREE.make_folder(session, self.id, tuple(path.split("/")), exist_ok=True)  # noqa: E731
            grown_tree(lambda path: None, put, content)
        self.content = content

    def pages(self, limit: int, path: str = "", **options: Any) -> Iterator[list[str]]:
        options = {"prefix": "", "kind": None, "recursive": True, "place": None, **options}
        while True:
            with self._opened.read() as session:
                items, following = listing.page(session, self.id, tree.parse(path), limit=limit, **options)
            assert len(items) <= limit
            yield [entry.path for entry in items]
            if following is None:
                return
            options["place"] = listing.parse_place(following)

    def listed(self, limit: int, path: str = "", **options: Any) -> list[str]:
        return [each for page in self.pages(limit, path, **options) for each in page]


@pytest.mark.parametrize("seed", range(3))
def test_pages_of_any_size_tell_all_that_is_below_a_folder(
    opened: Database, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr(listing, "TOGETHER", 3)
    monkeypatch.setattr(listing, "EACH", 2)
    monkeypatch.setattr(listing, "MOST_FOLDERS", 4)
    choice = random.Random(seed)
    below = random_tree(choice, 3)
    lab = Grown(opened, {"top": below, "other": {"x": {}}})
    expected = [name for name, _ in walked(below)]
    for limit in (1, 2, 5, 1000):
        assert lab.listed(limit, "top") == expected
    assert lab.listed(2) == [name for name, _ in walked({"top": below, "other": {"x": {}}})]
    assert lab.listed(2, "top", kind="folder") == expected
    assert lab.listed(2, "top", kind="file") == []
    prefixes = sorted({name[:length] for name in expected for length in range(len(name) + 1)})
    for prefix in choice.sample(prefixes, min(10, len(prefixes))):
        beginning = [name for name in expected if name.startswith(prefix)]
        assert lab.listed(2, "top", prefix=prefix) == beginning
        level = prefix.count("/")
        assert lab.listed(2, "top", prefix=prefix, recursive=False) == [n for n in beginning if n.count("/") == level]
    for name in choice.sample(expected, min(10, len(expected))):
        place = listing.Place(tuple(name.split("/")), behind=True)
        assert lab.listed(2, "top", place=place) == [
            other for other in expected if follows(other.split("/"), name.split("/"))
        ]


def follows(path: list[str], name: list[str]) -> bool:
    """Whether a path follows all that is in a folder: it is in a folder that comes after that one, or one above it."""
    for level, segment in enumerate(name):
        if level >= len(path) - 1:
            return False  # beside the folder or above it, and told before what is in it
        if path[level] != segment:
            return path[level].encode() > segment.encode()
    return False


def test_the_entries_of_a_folder_stand_together_before_what_is_in_its_folders(api: Api) -> None:
    content: Tree = {"b": {"c": None, "a": {"x": None}}, "b.txt": None, "a": {"z": None}, "é": {}, "\U0001f600": None}
    grown_tree(api.put, lambda path: api.files("POST", "/folders", json={"path": path}), {"top": content})
    for limit in (1, 2, 3, 100):
        assert list(listed(api, "top", limit)) == list(walked(content))
    assert [kind for _, kind in listed(api, "top", 2, kind="file")] == ["file"] * 5
    assert [path for path, _ in listed(api, "top", 2, kind="folder")] == ["a", "b", "é", "b/a"]
    assert [path for path, _ in listed(api, "top", 1, prefix="b")] == ["b", "b.txt", "b/a", "b/c", "b/a/x"]
    assert [path for path, _ in listed(api, "top", 1, prefix="b/")] == ["b/a", "b/c", "b/a/x"]
    assert [path for path, _ in listed(api, "top", 1, prefix="e\u0301")] == ["é"]
    assert [path for path, _ in listed(api, "top", 1, prefix="b/", recursive=False)] == ["b/a", "b/c"]
    assert [path for path, _ in listed(api, "top", 1, after="a")] == ["b/a", "b/c", "b/a/x"]


def listed(api: Api, path: str, limit: int, *, recursive: bool = True, **params: Any) -> Iterator[tuple[str, str]]:
    cursor = None
    while True:
        query = {
            "path": path,
            "limit": limit,
            "recursive": "true" if recursive else "false",
            "cursor": cursor,
            **params,
        }
        answer = api.files("GET", "/entries", params=query)
        assert answer.status_code == 200, answer.text
        page = answer.json()
        for entry in page["items"]:
            assert entry["path"].rpartition("/")[2] == entry["name"]
            yield entry["path"], entry["kind"]
        cursor = page["next"]
        if cursor is None:
            return


def test_a_plain_listing_gives_no_paths(api: Api) -> None:
    api.put("folder/file")
    assert [entry["path"] for entry in api.files("GET", "/entries").json()["items"]] == [None]
    assert api.stat("folder/file").json()["path"] is None


@pytest.mark.parametrize("end", ["m", "m/n", "m/n/o", "m/n/o/p"])
@pytest.mark.parametrize("change", ["delete", "move", "replace"])
def test_a_page_begins_where_something_was(api: Api, end: str, change: str) -> None:
    for name in ("a/x", "m/a", "m/n/a", "m/n/o/p", "m/n/o/q", "m/n/z", "m/z", "z/x"):
        api.put(name)
    before, cursor = [], None
    while end not in before:
        page = api.files("GET", "/entries", params={"recursive": "true", "limit": 1, "cursor": cursor}).json()
        before += [entry["path"] for entry in page["items"]]
        cursor = page["next"]
    if change == "move":
        api.files("POST", "/move", json={"path": end, "new_path": "0"})
    else:
        api.files("DELETE", "/entry", params={"path": end, "recursive": "true"})
    if change == "replace":
        api.put(end)
    page = api.files("GET", "/entries", params={"recursive": "true", "cursor": cursor}).json()
    expected = [name for name, _ in listed(api, "", 1000)]
    gone = {end} | {"0"} | set(before)
    rest = [name for name in expected if name not in gone and not name.startswith("0/")]
    paths = [entry["path"] for entry in page["items"]]
    assert [name for name in paths if name != "0" and not name.startswith("0/")] == rest


def test_what_cannot_be_listed_below_is_refused(api: Api) -> None:
    api.put("file")
    api.put("folder/file")

    def ask(status: int, **params: Any) -> str:
        code = "not_found" if status == 404 else "bad_entry"
        answer = api.files("GET", "/entries", params={"recursive": "true", **params})
        return str(refused(answer, status, code)["detail"])

    assert "is a file" in ask(404, path="file")
    ask(404, path="none")
    for cursor in ("abcde", "\N{SNOWMAN}", "Li4", "Lw", "YQBi"):
        ask(400, cursor=cursor)
    for prefix in ("/file", "a//b", "../", "a/./", "\x01", "a/" * 101, "x" * 1000):
        ask(400, prefix=prefix)
    ask(400, after="")
    ask(400, after="folder/..")
    ask(400, after="other", prefix="folder/")
    ask(400, after="folder", recursive="false")
    ask(422, recursive="perhaps")
    assert list(listed(api, "", 10, prefix="none/x")) == []
    assert list(listed(api, "", 10, prefix="file/")) == []


def test_a_page_of_a_large_tree_costs_what_it_holds(opened: Database) -> None:
    lab = organization(opened, "lab")
    grow(opened, lab, "big", 3000, each=10, indexed=False)
    counts = []
    place = None
    while True:
        with Watch(opened).watching() as done, opened.read() as session:
            _, following = listing.page(session, lab, (), prefix="", kind=None, recursive=True, place=place, limit=500)
        counts.append(sum(work.statements for work in done))
        if following is None:
            break
        place = listing.parse_place(following)
    assert len(counts) == 7
    assert max(counts) <= 6


def test_empty_folders_end_a_page_before_its_limit(opened: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "MOST_FOLDERS", 10)
    lab = Grown(opened, {f"empty-{n:02}": {} for n in range(25)})
    assert [len(page) for page in lab.pages(100)] == [25, 0, 0]
    assert lab.listed(7) == sorted(lab.content)


def test_a_folder_that_is_out_of_the_tree_is_not_listed(opened: Database) -> None:
    lab = organization(opened, "lab")
    grow(opened, lab, "big", 300, each=10, indexed=False)
    with opened.write(lab) as session:
        assert TREE.remove(session, lab, ("big",), recursive=True)
    with opened.read() as session:
        assert listing.page(session, lab, (), prefix="", kind=None, recursive=True, place=None, limit=10) == ([], None)
        with pytest.raises(Refusal, match="no file or folder"):
            listing.page(session, lab, ("big",), prefix="", kind=None, recursive=True, place=None, limit=10)
