"""A download writes nothing outside its folder, whatever names a store has and whatever links the folder has."""

from __future__ import annotations

import concurrent.futures
import datetime as dt
import hashlib
import os
import pathlib
import shutil
import tempfile
import types
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_core.errors import BadEntry, ConnectionFailed, NotFound
from edge_vfs import Folder
from edge_vfs.advice import advice
from edge_vfs.transfers import download, local_names
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
    for name in ("..", "../outside.txt", "a\0b", "\ud800"):
        assert results[name] == (0, 3), name
    for name in ("a\\b.txt", "C:outside.txt", "con.txt", "COM\u00b9", "NUL .txt"):
        assert results[name] == ((0, 3) if local_names.STRICT else (3, 0)), name
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
        local_names.check(name, portable=True)
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
    ("name", "portable", "reason"),
    [
        ("", False, "names no file"),
        (".", False, "names no file"),
        ("..", False, "names no file"),
        ("a/b", False, "holds /, which separates folders"),
        ("a\0b", False, "holds characters that are not text"),
        ("\ud800", False, "holds characters that are not text"),
        ("ä" * 128, False, "is longer than 255 bytes"),
        ("a:b", True, "holds :, which some systems do not allow"),
        ("a ", True, "ends with a space or dot, which some systems drop"),
        ("a.", True, "ends with a space or dot, which some systems drop"),
        ("Nul.txt", True, "is a device's name on some systems"),
    ],
)
def test_a_refusal_says_what_is_wrong_with_a_name(name: str, portable: bool, reason: str) -> None:
    sentence = f"{name!r} cannot be a local file's name, as it {reason}; "
    with pytest.raises(BadEntry) as caught:
        local_names.check(name, portable=portable, remedy="rename it")
    assert str(caught.value) == sentence + "rename it"
    with pytest.raises(BadEntry) as caught:
        local_names.check(name, portable=portable)
    assert str(caught.value) == f"{sentence}{advice('localpath')}"


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
    root = folder_of(("first.txt", "file"), (name, "file"), (variant, "file"))
    first, second = sorted((name, variant))
    with pytest.raises(BadEntry) as caught:
        root.download_folder("folder", tmp_path, names="portable")
    assert str(caught.value) == (
        f"in '/folder': {first!r} and {second!r} are the same name on some systems, so that the second would replace "
        "the first; rename one of them, or download them one by one"
    )
    assert list(tmp_path.iterdir()) == [], "found before the first byte"
    root.download_folder("folder", tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"first.txt", name, variant}


def test_of_many_names_that_are_the_same_elsewhere_two_are_named(tmp_path: pathlib.Path) -> None:
    root = folder_of(("caf\u00e9", "file"), ("cafe\u0301", "file"), ("CAF\u00c9", "file"))
    with pytest.raises(BadEntry, match="'CAF\u00c9' and 'cafe\u0301' are the same name on some systems"):
        root.download_folder("folder", tmp_path, names="portable")


def test_a_name_of_255_bytes_can_be_held_everywhere() -> None:
    local_names.check("x" * 255)
    local_names.check("x" * 255, portable=True)


@pytest.mark.skipif(local_names.STRICT, reason="every name is checked by the portable rules here")
def test_names_are_checked_for_this_system_alone_by_default() -> None:
    local_names.check("a:b")
    with pytest.raises(BadEntry):
        local_names.check("a:b", portable=True)


@pytest.mark.skipif(local_names.STRICT, reason="every name is checked by the portable rules here")
@pytest.mark.parametrize("name", ["12:30.csv", "a\\b", "what?", "con.txt", "dot.", "trail ", '"<|>*"'])
def test_what_this_system_can_hold_is_downloaded(tmp_path: pathlib.Path, name: str) -> None:
    root = folder_of(
        ("a.txt", "file"), ("sub", "folder"), below={"folder/sub": [(name, "file"), (f"{name}d", "folder")]}
    )
    with pytest.raises(BadEntry, match=r"in '/folder/sub': .* cannot be a local file's name.*; rename it, or"):
        root.download_folder("folder", tmp_path, names="portable")
    assert list(tmp_path.iterdir()) == [], "found before the first byte"
    root.download_folder("folder", tmp_path)
    assert (tmp_path / "sub" / name).read_bytes() == CONTENT
    assert (tmp_path / "sub" / f"{name}d").is_dir()
    assert {path.name for path in tmp_path.iterdir()} == {"a.txt", "sub"}
    with pytest.raises(BadEntry, match='"local" or "portable"'):
        root.download_folder("folder", tmp_path, names="strict")  # type: ignore[arg-type]


def _without_colons(path: str, mode: str) -> Any:
    if ":" in os.path.basename(path):
        raise OSError(22, "Invalid argument")
    return open(path, mode)  # closed by the caller


def _without_case(path: str, mode: str) -> Any:
    return open(os.path.join(os.path.dirname(path), os.path.basename(path).lower()), mode)


def _without_dots(path: str, mode: str) -> Any:
    return open(path.rstrip("."), mode)  # as vfat does


def _without_reason(path: str, mode: str) -> Any:
    raise OSError("the stick was pulled out")


def _without_folder(path: str, mode: str) -> Any:
    os.rmdir(os.path.dirname(path))
    raise OSError(22, "Invalid argument")


_REMEDY = "; choose another local folder, or download the file by itself under another name"


@pytest.mark.parametrize(
    ("opening", "names", "sentence"),
    [
        (
            _without_colons,
            ["12:30.csv"],
            "'12:30.csv' cannot be a local file's name in {} (Invalid argument)" + _REMEDY,
        ),
        (
            _without_case,
            ["A.txt", "a.txt"],
            "'a.txt' and another of 'A.txt', 'a.txt' are the same name in {}, so that the second would replace the "
            "first; rename one of them, or download them one by one",
        ),
        (_without_dots, ["plate."], "'plate.' cannot be a local file's name in {} (it becomes another name)" + _REMEDY),
        (_without_reason, ["a:b"], "'a:b' cannot be a local file's name in {} (the stick was pulled out)" + _REMEDY),
        (_without_folder, ["a:b"], "'a:b' cannot be a local file's name in {} (Invalid argument)" + _REMEDY),
    ],
)
def test_what_this_file_system_cannot_hold_is_refused_before_the_first_byte(
    tmp_path: pathlib.Path, opening: Any, names: list[str], sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A memory stick under Linux; the systems that have such file systems cannot be mounted in a test."""
    monkeypatch.setattr(local_names, "open", opening, raising=False)
    root = folder_of(
        ("a.bin", "file"), ("sub", "folder"), below={"folder/sub": [(name, "file") for name in ("x.txt", *names)]}
    )
    with pytest.raises(BadEntry) as caught:
        root.download_folder("folder", tmp_path / "target")
    assert str(caught.value) == sentence.format(repr(str(tmp_path)))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("exists", [True, False])
def test_names_are_tried_where_they_are_to_be_out_of_sight(
    tmp_path: pathlib.Path, exists: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[pathlib.Path] = []

    def opening(path: str, mode: str) -> Any:
        tried.append(pathlib.Path(path))
        return open(path, mode)

    monkeypatch.setattr(local_names, "open", opening, raising=False)
    target = tmp_path / "target"
    if exists:
        target.mkdir()
    folder_of(("plain", "file"), ("a:b", "file"), ("A", "file"), ("a", "file")).download_folder("folder", target)
    assert [path.name for path in tried] == ["A", "a", "a:b"], "and only those that a file system may not hold"
    (place,) = {path.parent for path in tried}
    assert place.parent == (target if exists else tmp_path)
    assert place.name.startswith(".edge-")


def test_a_file_and_a_folder_of_the_same_name_are_refused_before_the_first_byte(tmp_path: pathlib.Path) -> None:
    root = folder_of(("a.txt", "file"), ("runs", "file"), ("runs", "folder"), below={"folder/runs": [("b", "file")]})
    with pytest.raises(BadEntry) as caught:
        root.download_folder("folder", tmp_path)
    assert str(caught.value) == (
        "in '/folder': a file and a folder both have the name 'runs', and no local folder can hold both; rename one "
        "of them"
    )
    assert list(tmp_path.iterdir()) == []


class Changing(Hostile):
    """A store from which somebody deletes a folder while it is listed."""

    def children(self, path: str, /, kind: str | None = None) -> Iterable[Stat]:
        if path not in self._entries:
            raise NotFound(f"{path} cannot be found", status=404)
        return super().children(path, kind)


def test_a_folder_that_is_deleted_meanwhile_is_empty_but_not_the_downloaded_folder_itself(
    tmp_path: pathlib.Path,
) -> None:
    root = Folder(Changing({"folder": [("gone", "folder"), ("a.txt", "file")]}))  # type: ignore[arg-type]
    root.download_folder("folder", tmp_path)
    assert {path.name for path in tmp_path.rglob("*")} == {"gone", "a.txt"}
    with pytest.raises(NotFound):
        root.download_folder("folder 2", tmp_path / "target")
    assert not (tmp_path / "target").exists()


def test_a_file_is_downloaded_into_an_existing_folder_only(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert download.target_of("a.txt", None) == pathlib.Path("a.txt")
    assert download.target_of("a.txt", tmp_path) == tmp_path / "a.txt"
    assert download.target_of("a.txt", tmp_path / "b.txt") == tmp_path / "b.txt"
    missing, file = tmp_path / "missing", tmp_path / "file"
    with pytest.raises(FileNotFoundError) as absent:
        download.target_of("a.txt", missing / "a.txt")
    assert str(absent.value) == f"the local folder {missing} to download to does not exist; make it first"
    file.touch()
    with pytest.raises(NotADirectoryError) as taken:
        download.target_of("a.txt", file / "a.txt")
    assert str(taken.value) == f"{file} is not a folder to download to; choose another local path"
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(BadEntry) as special:
        download.target_of("a.txt", tmp_path / "pipe")
    assert str(special.value) == (
        f"{tmp_path / 'pipe'} is not an ordinary file and will not be replaced; choose another local path"
    )


def test_a_download_that_fails_says_what_was_done(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fetch = download.fetch

    def failing(store: Any, path: str, stat: Any, target: pathlib.Path, tracker: Any, **options: Any) -> None:
        if path.endswith("c.txt"):
            raise error
        fetch(store, path, stat, target, tracker, **options)

    monkeypatch.setattr(download, "fetch", failing)
    root = folder_of(*((name, "file") for name in ("a.txt", "b.txt", "c.txt", "d.txt")))
    error: Exception = ConnectionFailed("the server is gone")
    with pytest.raises(ConnectionFailed, match=r"gone; \d of 4 files had been downloaded before$"):
        root.download_folder("folder", tmp_path)
    error = OSError(28, "No space left on device")
    with pytest.raises(OSError, match="No space") as failed:
        root.download_folder("folder", tmp_path)
    assert failed.value.__notes__[0].endswith(" of 4 files had been downloaded before")


def test_a_path_that_is_too_long_is_refused_before_the_first_byte(tmp_path: pathlib.Path) -> None:
    path, below = "folder", {}
    for _ in range(30):
        below[path] = [("d" * 200, "folder"), ("a.txt", "file")]
        path += "/" + "d" * 200
    with pytest.raises(BadEntry) as caught:
        folder_of(below=below).download_folder("folder", tmp_path)
    before, path, after = str(caught.value).split("'")
    assert before == "the local path "
    assert path.startswith(f"{tmp_path}{'/' + 'd' * 200}/")
    assert after == (
        " is too long for this system; choose a shorter localpath, or download a folder that is further down"
    )
    assert list(tmp_path.iterdir()) == []


def test_threads_may_download_the_same_folder_to_the_same_place(tmp_path: pathlib.Path) -> None:
    names = [f"{n}.txt" for n in range(20)] + ["12:30", "A.txt", "a.txt"]
    root = folder_of(
        *((name, "file") for name in names), ("sub", "folder"), below={"folder/sub": [("a:b.txt", "file")]}
    )
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: root.download_folder("folder", tmp_path / "here"), range(8)))
    assert {path.name for path in (tmp_path / "here").iterdir()} == {*names, "sub"}
    assert [path.name for path in (tmp_path / "here" / "sub").iterdir()] == ["a:b.txt"]


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
    with pytest.raises(BadEntry) as caught:
        folder_of(("sub", "folder")).download_folder("folder", tmp_path)
    assert str(caught.value) == (
        f"{tmp_path / 'sub'} is a link or a file, and a folder is to be downloaded there; move it away or choose "
        "another local path"
    )
    assert (tmp_path / "sub").read_bytes() == b"a file"


def test_windows_other_kind_of_link_is_refused_in_a_folders_place(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A junction is a folder to all but its reparse tag, which only Windows has."""
    folder = tmp_path / "sub"
    folder.mkdir()
    lstat = os.lstat

    def with_tag(path: Any) -> Any:
        if pathlib.Path(path) == folder:
            return types.SimpleNamespace(st_mode=lstat(path).st_mode, st_reparse_tag=0xA0000003)
        return lstat(path)

    local_names.check_folder(folder)
    monkeypatch.setattr(local_names.os, "lstat", with_tag)
    with pytest.raises(BadEntry, match="is a link or a file"):
        local_names.check_folder(folder)


@pytest.mark.parametrize("name", ["plain.csv", "12:30.csv"])
def test_a_place_in_a_folder_that_does_not_exist_is_refused(tmp_path: pathlib.Path, name: str) -> None:
    with pytest.raises(FileNotFoundError, match="missing to download to does not exist; make it first"):
        folder_of((name, "file")).download_folder("folder", tmp_path / "missing" / "runs")
    assert not any(tmp_path.iterdir())
