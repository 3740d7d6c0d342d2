"""A download writes nothing outside its folder, whatever names a store has and whatever links the folder has."""

from __future__ import annotations

import datetime as dt
import hashlib
import os
import pathlib
import shutil
import tempfile
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_core.errors import BadEntry, EdgeError
from edge_vfs import Folder, local_names
from tests.hostile import HOSTILE, names

from .stores import Reader, Stat

CONTENT = b"content"
NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


class Hostile:
    """A hostile store: its entries have any names."""

    def __init__(self, entries: dict[str, list[tuple[str, str]]]) -> None:
        self._entries = entries

    def _stat(self, name: str, kind: str) -> Stat:
        size, sha256 = (len(CONTENT), hashlib.sha256(CONTENT).hexdigest()) if kind == "file" else (None, None)
        return Stat(name, size, sha256, kind, "v1", NOW)

    def stat(self, path: str, /) -> Stat:
        kind = "folder" if path.startswith("folder") or path in self._entries else "file"
        return self._stat(path.removeprefix("one:"), kind)

    def children(self, path: str, /, kind: str | None = None) -> Iterable[Stat]:
        return [self._stat(name, kind) for name, kind in self._entries.get(path, [])]

    def reader(self, path: str, stat: Any, /) -> Reader:
        return Reader(CONTENT, None)

    def progress(self, *_: Any, **__: Any) -> None:
        pass


def folder_of(*entries: tuple[str, str], below: dict[str, list[tuple[str, str]]] | None = None) -> Folder:
    return Folder(Hostile({"folder": list(entries), **(below or {})}))  # type: ignore[arg-type]


class Place:
    """A local folder to download into, in another one that is looked at afterwards."""

    def __enter__(self) -> Place:
        self.top = pathlib.Path(tempfile.mkdtemp(prefix="edge-names-"))
        self.inside = self.top / "a" / "b" / "inside"
        self.inside.mkdir(parents=True)
        self.before = self.outside()
        return self

    def outside(self) -> set[str]:
        """All paths that are not below the folder, the files' content with them."""
        paths = set()
        for here, folders, files in os.walk(self.top):
            if pathlib.Path(here) != self.inside:
                paths |= {os.path.join(here, name) for name in (*folders, *files)}
            else:
                folders.clear()
        return paths

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self.top)


def download_both_ways(name: str) -> tuple[int, int]:
    """Download `name` alone and in a folder; returns how many were written and how many refused."""
    written = refused = 0
    for way in ("alone", "in a folder", "as a folder"):
        with Place() as place:
            kind = "folder" if way == "as a folder" else "file"
            root = folder_of((name, kind), below={f"folder/{name}": [(name, "file")]})
            try:
                if way == "alone":
                    root.download(f"one:{name}", place.inside)
                else:
                    root.download_folder("folder", place.inside)
                written += 1
            except BadEntry:
                refused += 1
            assert place.outside() == place.before
            local = list(place.inside.rglob("*"))
            assert all(path.resolve().is_relative_to(place.inside) for path in local)
            assert {path.name for path in local} <= {name}, "nothing half-written is left"
            if way == "in a folder" and local:
                assert [path.name for path in local] == [name]
                assert local[0].read_bytes() == CONTENT
    return written, refused


@pytest.mark.slow
def test_no_known_hostile_name_leaves_the_folder() -> None:
    results = {name: download_both_ways(name) for name in HOSTILE}
    for name in (
        "..",
        "../outside.txt",
        "a\\b.txt",
        "C:outside.txt",
        "con.txt",
        "COM\u00b9",
        "NUL .txt",
        "a\0b",
        "\ud800",
    ):
        assert results[name] == (0, 3), name
    for name in (".hidden", "~", "-rf", "\u00df", "%2e%2e%2foutside.txt", "x" * 255):
        assert results[name] == (3, 0), name


@pytest.mark.slow
@settings(deadline=None, suppress_health_check=list(HealthCheck))
@given(name=names)
def test_no_name_at_all_leaves_the_folder(name: str) -> None:
    download_both_ways(name)


@settings(deadline=None, suppress_health_check=list(HealthCheck))
@given(name=st.one_of(names, st.sampled_from(["plate-7.csv", "grün 1.txt", "a.b.c"])))
def test_an_accepted_name_is_a_single_name_on_every_system(name: str) -> None:
    refusal = ""
    try:
        local_names.check(name)
    except BadEntry as error:
        refusal = str(error)
    if refusal:
        assert refusal.isprintable()
        return
    assert pathlib.PurePosixPath(name).name == name
    windows = pathlib.PureWindowsPath(name)
    assert (windows.name, windows.drive, windows.root) == (name, "", "")
    assert not windows.is_reserved()
    assert len(name.encode()) <= 255


@pytest.mark.parametrize(
    ("name", "variant"),
    [
        ("A.txt", "a.txt"),
        ("caf\u00e9", "cafe\u0301"),
        ("stra\u00dfe", "STRASSE"),
        ("\u00c5", "a\u030a"),
    ],
)
def test_two_names_that_are_the_same_elsewhere_do_not_replace_each_other(
    tmp_path: pathlib.Path, name: str, variant: str
) -> None:
    root = folder_of((name, "file"), (variant, "file"))
    with pytest.raises(BadEntry, match="the same name on some systems"):
        root.download_folder("folder", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.fixture
def outside(tmp_path: pathlib.Path) -> pathlib.Path:
    there = tmp_path / "outside"
    there.mkdir()
    (there / "a.txt").write_bytes(b"untouched")
    return there


def test_no_link_is_written_through(tmp_path: pathlib.Path, outside: pathlib.Path) -> None:
    target = tmp_path / "target"
    target.mkdir()
    root = folder_of(("sub", "folder"), below={"folder/sub": [("a.txt", "file"), ("b.txt", "file")]})
    os.symlink(outside, target / "sub")
    with pytest.raises(BadEntry, match="is a link"):
        root.download_folder("folder", target)
    (target / "sub").unlink()
    (target / "sub").mkdir()
    os.symlink(outside / "a.txt", target / "sub" / "a.txt")
    os.symlink(outside / "b.txt", target / "sub" / "b.txt")  # which leads nowhere yet
    root.download_folder("folder", target)
    assert (target / "sub" / "a.txt").read_bytes() == CONTENT
    assert not (target / "sub" / "a.txt").is_symlink(), "the link was replaced, not followed"
    assert not (target / "sub" / "b.txt").is_symlink()
    assert {path.name: path.read_bytes() for path in outside.iterdir()} == {"a.txt": b"untouched"}


def test_a_link_with_a_files_name_is_replaced_by_a_single_download_too(
    tmp_path: pathlib.Path, outside: pathlib.Path
) -> None:
    os.symlink(outside / "a.txt", tmp_path / "a.txt")
    folder_of().download("one:a.txt", tmp_path)
    assert not (tmp_path / "a.txt").is_symlink()
    assert (outside / "a.txt").read_bytes() == b"untouched"
    os.symlink(outside, tmp_path / "b.txt")
    with pytest.raises(BadEntry, match="not an ordinary file"):
        folder_of().download("one:b.txt", tmp_path)
    assert {path.name for path in outside.iterdir()} == {"a.txt"}


def test_a_link_may_be_the_users_own_localpath(tmp_path: pathlib.Path, outside: pathlib.Path) -> None:
    os.symlink(outside, tmp_path / "mine")
    folder_of(("b.txt", "file")).download_folder("folder", tmp_path / "mine")
    assert (outside / "b.txt").read_bytes() == CONTENT


def test_a_link_or_file_in_a_folders_place_is_refused(tmp_path: pathlib.Path) -> None:
    (tmp_path / "sub").write_bytes(b"a file")
    with pytest.raises(EdgeError, match="link or a file"):
        folder_of(("sub", "folder")).download_folder("folder", tmp_path)
    assert (tmp_path / "sub").read_bytes() == b"a file"
