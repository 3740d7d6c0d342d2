"""Making one folder like another, up and down: what is sent, what stays, and above all what is deleted."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pytest

from edge_core.errors import AlreadyExists, BadEntry, ConnectionFailed, NotFound
from edge_files.folder import Folder
from edge_vfs.report import IncompleteTransfer, SyncReport
from edge_vfs.source import Source
from edge_vfs.transfers import local_names, unchanged

TREE = {"a.csv": b"a", "runs/b.csv": b"bb", "runs/deep/c.txt": b"ccc", "empty.bin": b""}

LARGE = bytes(range(256)) * (10 << 12)
"""Content of two parts."""


def write(top: Path, tree: dict[str, bytes]) -> Path:
    for path, content in tree.items():
        (top / path).parent.mkdir(parents=True, exist_ok=True)
        (top / path).write_bytes(content)
    return top


def local(top: Path) -> dict[str, bytes]:
    return {path.relative_to(top).as_posix(): path.read_bytes() for path in top.rglob("*") if path.is_file()}


def stored(files: Folder, name: str) -> dict[str, bytes]:
    folder = files / name
    return {path: folder.read_bytes(path) for path in folder.glob("**") if folder.stat(path).kind == "file"}


@pytest.fixture
def top(tmp_path: Path) -> Path:
    return write(tmp_path / "top", TREE)


@pytest.fixture
def sent(files: Folder, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The methods and paths of the requests that are sent."""
    requests: list[str] = []
    send = files._store.http._client._send_once  # type: ignore[attr-defined]

    def noting(request: Any, *arguments: Any, **options: Any) -> Any:
        requests.append(f"{request.method} {request.url}")
        return send(request, *arguments, **options)

    monkeypatch.setattr(files._store.http._client, "_send_once", noting)  # type: ignore[attr-defined]
    return requests


def test_what_differs_is_sent_and_nothing_else(files: Folder, top: Path, sent: list[str]) -> None:
    write(top, {"large.bin": LARGE})
    (top / "nothing" / "inside").mkdir(parents=True)
    first = files.sync(top, "kept", "up")
    assert first.sent == ("a.csv", "empty.bin", "large.bin", "runs/b.csv", "runs/deep/c.txt")
    assert (first.skipped, first.failed, first.deleted) == ((), (), ())
    assert first.bytes == 6 + len(LARGE)
    assert stored(files, "kept") == local(top)
    assert files.exists("kept/nothing/inside")
    for compare in ("digest", "time"):
        sent.clear()
        again = files.sync(top, "kept", "up", compare=compare)  # type: ignore[arg-type]
        assert (again.sent, again.skipped, again.bytes) == ((), first.sent, 0)
        assert len(sent) <= 3, sent
    write(top, {"a.csv": b"x", "runs/b.csv": b"bbb", "large.bin": LARGE[:-1] + b"!"})
    assert files.sync(top, "kept", "up").sent == ("a.csv", "large.bin", "runs/b.csv")
    assert stored(files, "kept") == local(top)


def test_a_local_folder_becomes_like_that_of_the_server(
    files: Folder, top: Path, tmp_path: Path, sent: list[str]
) -> None:
    write(top, {"large.bin": LARGE})
    (top / "nothing").mkdir()
    os.utime(top / "a.csv", ns=(5, 1_600_000_000_123_456_789))
    files.sync(top, "kept", "up")
    down = tmp_path / "down"
    first = files.sync(down, "kept", "down")
    assert len(first.sent) == 5
    assert local(down) == local(top)
    assert (down / "nothing").is_dir()
    assert (down / "a.csv").stat().st_mtime_ns == 1_600_000_000_123_456_789
    for compare in ("digest", "time"):
        sent.clear()
        again = files.sync(down, "kept", "down", compare=compare)  # type: ignore[arg-type]
        assert (again.sent, again.skipped) == ((), first.sent)
        assert len(sent) <= 2, sent
    os.utime(down / "a.csv")
    assert files.sync(down, "kept", "down").sent == ()
    assert (down / "a.csv").stat().st_mtime_ns == 1_600_000_000_123_456_789, "it has the time of its source again"
    os.utime(down / "a.csv")
    assert files.sync(down, "kept", "down", compare="time", dry_run=True).sent == ()
    assert (down / "a.csv").stat().st_mtime_ns != 1_600_000_000_123_456_789
    assert files.sync(down, "kept", "down", compare="time").sent == ()
    assert (down / "a.csv").stat().st_mtime_ns == 1_600_000_000_123_456_789
    (down / "runs" / "b.csv").write_bytes(b"xx")
    assert files.sync(down, "kept", "down").sent == ("runs/b.csv",)
    assert local(down) == local(top)


def test_time_is_trusted_only_with_compare_time(files: Folder, top: Path) -> None:
    files.sync(top, "kept", "up")
    time = (top / "a.csv").stat().st_mtime_ns
    (top / "a.csv").write_bytes(b"!")
    os.utime(top / "a.csv", ns=(time, time))
    assert files.sync(top, "kept", "up", compare="time").sent == ()
    assert files.sync(top, "kept", "up").sent == ("a.csv",)


@pytest.mark.parametrize("compare", ["digest", "time"])
@pytest.mark.parametrize("direction", ["up", "down"])
def test_a_file_of_another_time_is_read_once(
    files: Folder,
    top: Path,
    monkeypatch: pytest.MonkeyPatch,
    direction: Literal["up", "down"],
    compare: Literal["digest", "time"],
) -> None:
    files.upload_folder("kept", top)
    before = files.stat("kept/a.csv")
    changed = 1_600_000_000_123_456_789
    os.utime(top / "a.csv", ns=(changed, changed))
    if direction == "down":
        changed = before.source_mtime_ns or 0
    report = files.sync(top, "kept", direction, compare=compare)
    assert (report.sent, len(report.skipped)) == ((), len(TREE))
    after = files.stat("kept/a.csv")
    assert after.source_mtime_ns == (top / "a.csv").stat().st_mtime_ns == changed
    assert (after.version, after.modified_at) == (before.version, before.modified_at)
    monkeypatch.setattr(unchanged, "has_content", lambda *_: pytest.fail("it is read"))
    assert len(files.sync(top, "kept", direction, compare="time").skipped) == len(TREE)


def test_an_upload_keeps_the_time_of_what_is_unchanged(files: Folder, top: Path, sent: list[str]) -> None:
    files.upload_folder("kept", top)
    for path in local(top):
        os.utime(top / path, ns=(5, 1_600_000_000_123_456_789))
    sent.clear()
    files.upload_folder("kept", top)
    assert len(sent) <= 4, sent
    assert {files.stat(f"kept/{path}").source_mtime_ns for path in local(top)} == {1_600_000_000_123_456_789}


@pytest.mark.parametrize("direction", ["up", "down"])
def test_what_the_source_does_not_have_is_stays_without_delete(
    files: Folder, top: Path, tmp_path: Path, direction: Literal["up", "down"]
) -> None:
    here, there = sides(files, top, tmp_path, direction)
    there({"old.txt": b"o", "gone/x.csv": b"x", "gone/deep/y": b"y", "runs/z": b"z"})
    beside = "kept-too/precious"
    files.upload(beside, b"p")
    write(tmp_path, {"beside.txt": b"p"})
    assert files.sync(here, "kept", direction).deleted == ()
    plan = files.sync(here, "kept", direction, delete=True, dry_run=True)
    assert plan.deleted == ("gone", "gone/deep", "gone/deep/y", "gone/x.csv", "old.txt", "runs/z")
    assert len(contents(files, here, direction)) == len(TREE) + 4
    counted: list[SyncReport] = []
    report = files.sync(here, "kept", direction, delete=True, planned=counted.append)
    assert report.deleted == counted[0].deleted == plan.deleted
    assert contents(files, here, direction) == TREE
    assert files.read_bytes(beside) == (tmp_path / "beside.txt").read_bytes() == b"p"


def sides(
    files: Folder, top: Path, tmp_path: Path, direction: Literal["up", "down"]
) -> tuple[Path, Callable[[dict[str, bytes]], object]]:
    """Both sides with the same files; returns the local folder, and what writes files into the target."""
    files.sync(top, "kept", "up")
    if direction == "down":
        return top, lambda tree: write(top, tree)
    return top, lambda tree: [files.upload(f"kept/{path}", content) for path, content in tree.items()]


def contents(files: Folder, top: Path, direction: str) -> dict[str, bytes]:
    return local(top) if direction == "down" else stored(files, "kept")


@pytest.mark.parametrize("direction", ["up", "down"])
def test_what_the_patterns_leave_out_is_neither_sent_nor_deleted(
    files: Folder, top: Path, tmp_path: Path, direction: Literal["up", "down"]
) -> None:
    here, there = sides(files, top, tmp_path, direction)
    there({"cache/x": b"x", "deep/cache/y.csv": b"y", "old.txt": b"o", "old.csv": b"o", "deep/old.csv": b"o"})
    report = files.sync(here, "kept", direction, delete=True, include=["*.csv", "!b.csv"], exclude="cache/")
    assert report.deleted == ("deep/old.csv", "old.csv")
    assert report.skipped == ("a.csv",)
    left = {**TREE, "cache/x": b"x", "deep/cache/y.csv": b"y", "old.txt": b"o"}
    assert contents(files, here, direction) == left
    assert files.sync(here, "kept", direction, delete=True, exclude=["cache", "*.txt"]).deleted == ()
    assert files.sync(here, "kept", direction, delete=True, exclude=["cache"]).deleted == ("old.txt",)
    with pytest.raises(BadEntry, match="pattern"):
        files.sync(here, "kept", direction, include="!")


@pytest.mark.parametrize("direction", ["up", "down"])
def test_nothing_is_deleted_for_a_source_that_is_missing_or_empty(
    files: Folder, top: Path, tmp_path: Path, direction: Literal["up", "down"]
) -> None:
    here, _ = sides(files, top, tmp_path, direction)
    empty = tmp_path / "empty"
    if direction == "up":
        (empty / "folder").mkdir(parents=True)
        with pytest.raises(FileNotFoundError):
            files.sync(tmp_path / "nothing", "kept", "up", delete=True, allow_empty=True)
        with pytest.raises(NotADirectoryError):
            files.sync(here / "a.csv", "kept", "up", delete=True)
        arguments: tuple[Path, str] = empty, "kept"
    else:
        files.make_folder("empty/folder")
        with pytest.raises(NotFound):
            files.sync(here, "nothing", "down", delete=True, allow_empty=True)
        with pytest.raises(BadEntry, match="is a file"):
            files.sync(here, "kept/a.csv", "down", delete=True, allow_empty=True)
        arguments = here, "empty"
    with pytest.raises(BadEntry, match="source has no files, and 6 files and folders would be deleted.*allow_empty"):
        files.sync(*arguments, direction, delete=True)
    with pytest.raises(BadEntry, match="allow_empty"):
        files.sync(*arguments, direction, delete=True, include="*.csv")
    assert contents(files, here, direction) == TREE
    report = files.sync(*arguments, direction, delete=True, allow_empty=True)
    assert len(report.deleted) == 6
    assert contents(files, here, direction) == {}


def test_nothing_is_changed_after_a_listing_that_fails(
    files: Folder, top: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files.sync(top, "kept", "up")
    write(top, {"new.txt": b"n", "other/x": b"x"})
    (top / "a.csv").unlink()
    get = files._store.http.get  # type: ignore[attr-defined]

    def failing(path: str, **options: Any) -> Any:
        if path != "/entries":
            return get(path, **options)
        page = get(path, **{**options, "params": {**options["params"], "limit": 2}})
        if options["params"].get("cursor"):
            raise ConnectionFailed("the connection broke off")
        return page

    with monkeypatch.context() as patch:
        patch.setattr(files._store.http, "get", failing)  # type: ignore[attr-defined]
        for direction in ("up", "down"):
            before = local(top)
            with pytest.raises(ConnectionFailed):
                files.sync(top, "kept", direction, delete=True)
            assert local(top) == before
    assert stored(files, "kept") == TREE
    if sys.platform != "win32" and os.getuid():
        (top / "other").chmod(0)
        with pytest.raises(PermissionError):
            files.sync(top, "kept", "up", delete=True)
        (top / "other").chmod(0o700)
        assert stored(files, "kept") == TREE


@pytest.mark.parametrize("direction", ["up", "down"])
def test_a_file_that_fails_stops_no_other_and_nothing_is_deleted(
    files: Folder, top: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, direction: Literal["up", "down"]
) -> None:
    here, there = sides(files, top, tmp_path, direction)
    there({"old.txt": b"o"})
    monkeypatch.setattr(type(files._store), "batch_limits", None)
    changed = {"a.csv": b"1", "runs/b.csv": b"2", "runs/deep/c.txt": b"3"}
    if direction == "up":
        write(here, changed)
        write_file = files._store.write

        def failing(path: str, source: Source, /, **options: Any) -> None:
            if path.endswith("b.csv"):
                raise AlreadyExists("a folder is in its place")
            write_file(path, source, **options)

        monkeypatch.setattr(files._store, "write", failing)
    else:
        for path, content in changed.items():
            files.upload(f"kept/{path}", content)
        (here / "runs" / "b.csv").unlink()
        files.upload("damaged", b"x")
        reader = files._store.reader

        def refusing(path: str, stat: Any, /) -> Any:
            if path.endswith("b.csv"):
                raise AlreadyExists("it cannot be read")
            return reader(path, stat)

        monkeypatch.setattr(files._store, "reader", refusing)
    with pytest.raises(
        IncompleteTransfer, match="1 of .* files could not be .*loaded.*'runs/b.csv'.*nothing was del"
    ) as failed:
        files.sync(here, "kept", direction, delete=True)
    report = failed.value.report
    assert isinstance(report, SyncReport)
    assert (report.sent, report.deleted) == (("a.csv", "runs/deep/c.txt"), ())
    assert [failure.path for failure in report.failed] == ["runs/b.csv"]
    assert contents(files, here, direction)["old.txt"] == b"o"
    with pytest.raises(AlreadyExists):
        files.sync(here, "kept", direction, on_error="stop")
    monkeypatch.undo()
    report = files.sync(here, "kept", direction, delete=True)
    assert (report.sent, report.deleted) == (("runs/b.csv",), ("old.txt",)), "it goes on where it was"


@pytest.mark.parametrize("direction", ["up", "down"])
def test_a_file_that_is_replaced_before_it_is_deleted_stays(
    files: Folder, top: Path, tmp_path: Path, direction: Literal["up", "down"]
) -> None:
    here, there = sides(files, top, tmp_path, direction)
    there({"old.txt": b"o", "older.txt": b"o", "gone/x": b"x"})

    def replace(_: SyncReport) -> None:
        there({"old.txt": b"new one", "gone/y": b"y"})

    with pytest.raises(IncompleteTransfer, match=r"1 of .*deleted.*old\.txt.*stays; look at it, then try") as failed:
        files.sync(here, "kept", direction, delete=True, planned=replace)
    report = failed.value.report
    assert isinstance(report, SyncReport)
    assert report.deleted == ("gone/x", "older.txt")
    assert contents(files, here, direction) == {**TREE, "old.txt": b"new one", "gone/y": b"y"}
    assert files.sync(here, "kept", direction, delete=True).deleted == ("gone", "gone/y", "old.txt")
    there({"old": b"o"})

    def put_folder(_: SyncReport) -> None:
        if direction == "up":
            files.delete("kept/old")
        else:
            (here / "old").unlink()
        there({"old/x": b"x"})

    with pytest.raises(IncompleteTransfer, match="'old': .*stays"):
        files.sync(here, "kept", direction, delete=True, planned=put_folder)
    assert contents(files, here, direction) == {**TREE, "old/x": b"x"}


def test_a_call_that_is_interrupted_goes_on(files: Folder, top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(top, {f"many/{n:02}": bytes([n]) for n in range(20)})
    write_file = files._store.write
    done: list[str] = []

    def interrupted(path: str, source: Source, /, **options: Any) -> None:
        if len(done) >= 7:
            raise KeyboardInterrupt
        write_file(path, source, **options)
        done.append(path)

    with monkeypatch.context() as patch:
        patch.setattr(type(files._store), "batch_limits", None)
        patch.setattr(files._store, "write", interrupted)
        with pytest.raises(KeyboardInterrupt):
            files.sync(top, "kept", "up")
    report = files.sync(top, "kept", "up")
    assert sorted(f"kept/{path}" for path in report.skipped) == sorted(done)
    assert len(report.sent) == 24 - len(done)
    assert stored(files, "kept") == local(top)


def test_a_dry_run_changes_nothing_and_tells_what_would_be_done(files: Folder, top: Path, tmp_path: Path) -> None:
    plan = files.sync(top, "kept", "up", dry_run=True)
    assert not files.exists("kept")
    report = files.sync(top, "kept", "up")
    assert (plan.sent, plan.skipped, plan.bytes) == (report.sent, report.skipped, report.bytes)
    write(top, {"a.csv": b"changed", "new": b"n"})
    (top / "empty.bin").unlink()
    down = tmp_path / "down"
    for direction, here in (("up", top), ("down", down)):
        plan = files.sync(here, "kept", direction, delete=True, dry_run=True)  # type: ignore[arg-type]
        assert not (direction == "down" and down.exists())
        report = files.sync(here, "kept", direction, delete=True)  # type: ignore[arg-type]
        assert (plan.sent, plan.skipped, plan.deleted, plan.bytes) == (
            report.sent,
            report.skipped,
            report.deleted,
            report.bytes,
        )
        assert report.sent


@pytest.mark.skipif(sys.platform != "linux", reason="names that differ in case are distinct here")
def test_names_that_differ_in_case_are_different_files(
    files: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    top = write(tmp_path / "top", {"A.txt": b"1", "a.txt": b"2"})
    files.sync(top, "kept", "up")
    down = write(tmp_path / "down", {"a.TXT": b"3"})
    assert files.sync(down, "kept", "down", delete=True).deleted == ("a.TXT",)
    assert local(down) == local(top)
    # On a file system without cases the one that is there is the one that was downloaded.
    (down / "A.txt").rename(down / "B.txt")
    files.delete("kept/a.txt")
    monkeypatch.setattr(os.path, "samefile", lambda first, second: True)
    (down / "a.txt").write_bytes(b"1")
    assert files.sync(down, "kept", "down", delete=True).deleted == ("B.txt",)
    assert (down / "a.txt").exists()
    monkeypatch.undo()
    files.upload("kept/a.txt", b"2")
    monkeypatch.setattr(local_names, "STRICT", True)
    with pytest.raises(BadEntry, match="are the same name on some systems"):
        files.sync(down, "kept", "down", delete=True)


@pytest.mark.skipif(sys.platform == "win32", reason="links need a right there")
def test_links_are_followed_as_by_upload_folder_and_never_deleted_through(
    files: Folder, top: Path, tmp_path: Path
) -> None:
    outside = write(tmp_path / "outside", {"x": b"x", "precious": b"p"})
    (top / "link.txt").symlink_to(outside / "x")
    (top / "folder").symlink_to(outside)
    (top / "nowhere").symlink_to(outside / "nothing")
    files.upload("kept/folder/stays", b"s")
    files.upload("kept/nowhere", b"s")
    with pytest.warns(UserWarning, match="2 entries .*a link to a folder.*a link that leads nowhere"):
        report = files.sync(top, "kept", "up", delete=True)
    assert "link.txt" in report.sent
    assert report.deleted == (), "of what is here and cannot be uploaded, nothing is deleted there"
    down = write(tmp_path / "down", {})
    down.mkdir()
    (down / "unknown").symlink_to(outside)
    (down / "link").symlink_to(outside / "precious")
    assert files.sync(down, "kept", "down", delete=True).deleted == ("link",)
    assert (down / "unknown").is_symlink()
    assert local(outside) == {"x": b"x", "precious": b"p"}
    (down / "runs" / "b.csv").unlink()
    (down / "runs" / "deep" / "c.txt").unlink()
    (down / "runs" / "deep").rmdir()
    (down / "runs").rmdir()
    (down / "runs").symlink_to(outside)
    with pytest.raises(BadEntry, match="link"):
        files.sync(down, "kept", "down", delete=True)
    assert local(outside) == {"x": b"x", "precious": b"p"}


def test_what_interrupted_downloads_have_left_is_left_alone(files: Folder, top: Path) -> None:
    part = ".large.bin.0123456789abcdef01234567.part"
    write(top, {part: b"half", f"runs/{part}": b"half"})
    report = files.sync(top, "kept", "up")
    assert len(report.sent) == len(TREE)
    assert files.sync(top, "kept", "down", delete=True).deleted == ()
    assert (top / part).read_bytes() == b"half"
    files.upload(f"kept/{part}", b"theirs")
    assert files.sync(top, "kept", "up", delete=True).deleted == ()
    assert files.sync(top, "kept", "down").sent == ()
    assert (top / part).read_bytes() == b"half"


def test_what_is_in_the_way_is_an_error(files: Folder, top: Path) -> None:
    files.upload("kept/runs", b"a file")
    with pytest.raises(IncompleteTransfer, match="'runs/b.csv'"):
        files.sync(top, "kept", "up", delete=True)
    assert files.read_bytes("kept/runs") == b"a file"
    assert files.read_bytes("kept/a.csv") == b"a"
    files.upload("file", b"")
    with pytest.raises(AlreadyExists, match="is a file"):
        files.sync(top, "file", "up")
    for wrong in ({"compare": "name"}, {"on_error": "never"}):
        with pytest.raises(ValueError, match="must be"):
            files.sync(top, "kept", "up", **wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="direction"):
        files.sync(top, "kept", "sideways")  # type: ignore[arg-type]
    with pytest.raises(BadEntry, match="empty"):
        files.sync(top, "", "up", delete=True)


def test_the_root_and_names_in_other_forms(files: Folder, tmp_path: Path) -> None:
    top = write(tmp_path / "top", {"e\u0301/o\u0308.txt": b"x", "[a].csv": b"y", "#b": b"z"})
    report = files.sync(top, None, "up")
    assert report.sent == ("#b", "[a].csv", "é/ö.txt")
    assert files.sync(top, None, "up", delete=True).skipped == report.sent
    down = tmp_path / "down"
    assert files.sync(down, None, "down").sent == report.sent
    assert files.sync(down, None, "down", delete=True).deleted == ()


@pytest.mark.skipif(sys.platform == "win32", reason="a backslash separates folders there")
def test_hostile_names_reach_no_other_place(files: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files.upload("kept/a", b"a")
    write(tmp_path, {"outside": b"o"})
    top = tmp_path / "top"
    get = files._store.http.get  # type: ignore[attr-defined]
    for path, name in (
        ("../outside", "outside"),
        ("..", ".."),
        ("x/../../outside", "outside"),
        ("/outside", "outside"),
    ):

        def answering(address: str, name: str = name, path: str = path, **options: Any) -> Any:
            page = get(address, **options)
            if address == "/entries":
                page["items"] = [{**page["items"][0], "name": name, "path": path}]
            return page

        monkeypatch.setattr(files._store.http, "get", answering)  # type: ignore[attr-defined]
        with contextlib.suppress(BadEntry):
            files.sync(top, "kept", "down", delete=True, allow_empty=True)
        assert {path: content for path, content in local(tmp_path).items() if path != "top/outside"} == {
            "outside": b"o"
        }
