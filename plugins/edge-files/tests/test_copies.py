"""Copies, old versions and restores through the client, and the times of local files."""

from __future__ import annotations

import datetime as dt
import io
import os
from pathlib import Path
from typing import Any

import pytest

from edge_core.errors import AlreadyExists, BadEntry, Conflict, EdgeError, NotFound
from edge_core.session import EdgeSession
from edge_files.folder import Folder
from edge_files.wire import SMALL_CONTENT

TIMES = [
    pytest.param(1_700_000_000_123_456_789, id="nanoseconds"),
    pytest.param(1, id="the first nanosecond of 1970"),
    pytest.param(0, id="1970"),
    pytest.param(-1_000_000_001, id="before 1970"),
    pytest.param(2**33 * 10**9 + 1, id="year 2242"),
]


def test_a_file_is_copied_on_the_server(files: Folder) -> None:
    files.upload("runs/a.bin", os.urandom(SMALL_CONTENT + 1))
    files.copy("runs/a.bin", "kept/2024/b.bin")
    assert files.stat("kept/2024/b.bin").sha256 == files.stat("runs/a.bin").sha256
    (files / "runs").copy("a.bin", "c.bin")
    assert files.open("runs").list() == ["a.bin", "c.bin"]
    content = files.read_bytes("runs/a.bin")
    files.delete("runs", recursive=True)
    assert files.read_bytes("kept/2024/b.bin") == content


def test_a_copy_replaces_what_a_move_would_replace(files: Folder) -> None:
    files.write_text("a", "one")
    files.write_text("b", "two")
    files.make_folder("folder")
    for target in ("b", "a", "folder"):
        with pytest.raises(AlreadyExists):
            files.copy("a", target)
    with pytest.raises(AlreadyExists):
        files.copy("a", "folder", overwrite=True)
    with pytest.raises(NotFound):
        files.copy("nothing", "c")
    with pytest.raises(BadEntry):
        files.copy("a", "../c")
    files.copy("a", "b", overwrite=True)
    files.copy("a", "a", overwrite=True)
    assert (files.read_text("a"), files.read_text("b")) == ("one", "one")


def test_a_folder_is_copied_with_everything_in_it(files: Folder) -> None:
    for path in ("runs/2024/a.csv", "runs/2024/b.csv", "runs/top.csv"):
        files.write_text(path, path)
    files.make_folder("runs/empty")
    with pytest.raises(BadEntry, match="recursive=True"):
        files.copy("runs", "kept")
    files.copy("runs", "kept/runs", recursive=True)
    copied = {folder.path: names for folder, _, names in (files / "kept/runs").walk()}
    assert copied == {
        "/kept/runs": ["top.csv"],
        "/kept/runs/2024": ["a.csv", "b.csv"],
        "/kept/runs/empty": [],
    }
    assert files.read_text("kept/runs/2024/b.csv") == "runs/2024/b.csv"
    with pytest.raises(AlreadyExists):
        files.copy("runs", "kept/runs", recursive=True)
    with pytest.raises(Conflict, match="into itself"):
        files.copy("runs", "runs/2024/runs", recursive=True)
    with pytest.raises(Conflict, match="into itself"):
        files.copy("runs", "runs", recursive=True, overwrite=True)
    files.write_text("kept/runs/own", "own")
    files.write_text("kept/runs/top.csv", "changed")
    files.copy("runs", "kept/runs", recursive=True, overwrite=True)
    assert (files.read_text("kept/runs/own"), files.read_text("kept/runs/top.csv")) == ("own", "runs/top.csv")


def test_a_copy_that_fails_in_the_middle_says_what_was_done(files: Folder) -> None:
    for name in ("a", "b", "c"):
        files.write_text(f"runs/{name}", name)
    files.make_folder("kept/b")
    with pytest.raises(AlreadyExists, match="1 of 3 files had been copied before '/runs/b'"):
        files.copy("runs", "kept", recursive=True, overwrite=True)
    assert files.read_text("kept/a") == "a"


def test_old_versions_are_listed_and_restored(files: Folder, edge_session: EdgeSession) -> None:
    for text in ("one", "second", "newest"):
        files.write_text("runs/a.txt", text)
    newest, second, first = files.versions("runs/a.txt")
    assert [version.size for version in (newest, second, first)] == [6, 6, 3]
    assert newest.version == files.stat("runs/a.txt").version
    assert {version.created_by for version in (newest, second, first)} == {edge_session.whoami().user_name}
    assert newest.kept_until is None
    assert second.kept_until is not None
    assert first.modified_at < second.modified_at < newest.modified_at
    files.restore("runs/a.txt", first.version)
    assert files.read_text("runs/a.txt") == "one"
    files.restore("runs/a.txt", newest)
    assert files.read_text("runs/a.txt") == "newest"
    with pytest.raises(NotFound, match="no version nonsense of 'runs/a.txt'"):
        files.restore("runs/a.txt", "nonsense")
    with pytest.raises(TypeError, match="a version is what versions.* not int"):
        files.restore("runs/a.txt", 2)  # type: ignore[arg-type]
    with pytest.raises(NotFound):
        files.versions("runs/never")
    with pytest.raises(BadEntry, match="is a folder"):
        files.versions("runs")


def test_a_deleted_file_is_restored(files: Folder) -> None:
    files.write_text("runs/2024/a.txt", "one")
    files.delete("runs", recursive=True)
    (version,) = files.versions("runs/2024/a.txt")
    files.restore("runs/2024/a.txt", version)
    assert files.read_text("runs/2024/a.txt") == "one"


def test_the_newest_version_comes_first_also_of_an_older_file_that_was_moved_here(files: Folder) -> None:
    files.write_text("old", "older")
    files.write_text("a", "deleted")
    files.delete("a")
    files.move("old", "a")
    assert [version.size for version in files.versions("a")] == [5, 7]


@pytest.mark.parametrize("nanoseconds", TIMES)
def test_a_file_that_goes_up_and_comes_down_keeps_its_time_exactly(
    files: Folder, tmp_path: Path, nanoseconds: int
) -> None:
    local = tmp_path / "a.txt"
    for size in (0, 1, SMALL_CONTENT + 1):
        local.write_bytes(bytes(size))
        os.utime(local, ns=(nanoseconds, nanoseconds))
        assert local.stat().st_mtime_ns == nanoseconds, "this file system cannot keep it"
        files.upload("a.txt", local)
        assert files.download("a.txt", tmp_path / "back.txt").stat().st_mtime_ns == nanoseconds


def test_copies_restores_and_moves_keep_the_time_and_the_server_has_its_own(files: Folder, tmp_path: Path) -> None:
    local = tmp_path / "tree" / "a.txt"
    local.parent.mkdir()
    local.write_text("a")
    os.utime(local, ns=(1_000_000_000, 1_234_567_891))
    before = dt.datetime.now(dt.UTC) - dt.timedelta(minutes=1)
    files.upload_folder("tree", local.parent)
    files.copy("tree", "copy", recursive=True)
    files.move("copy/a.txt", "moved.txt")
    version = files.stat("moved.txt").version
    files.write_text("moved.txt", "other")
    files.restore("moved.txt", str(version))
    assert files.stat("moved.txt").modified_at > before
    assert files.download("moved.txt", tmp_path).stat().st_mtime_ns == 1_234_567_891
    files.move("moved.txt", "tree/b.txt")
    back = files.download_folder("tree", tmp_path / "back")
    assert {path.name: path.stat().st_mtime_ns for path in back.iterdir()} == {
        "a.txt": 1_234_567_891,
        "b.txt": 1_234_567_891,
    }


def test_bytes_and_file_objects_have_no_time_of_their_own(files: Folder, tmp_path: Path) -> None:
    local = tmp_path / "a.txt"
    local.write_text("a")
    os.utime(local, (1, 1))
    with open(local, "rb") as file:
        for source in (b"a", io.BytesIO(b"a"), file):
            files.upload("a.txt", source)
            downloaded = files.download("a.txt", tmp_path / "back.txt").stat().st_mtime
            assert downloaded == pytest.approx(files.stat("a.txt").modified_at.timestamp(), abs=1e-5)


def test_a_folder_of_another_organization_is_not_copied(files: Folder, edge_server: Any) -> None:
    files.write_text("a", "a")
    organization = edge_server.create_organization()
    token = edge_server.create_token(edge_server.create_user(organization=organization))
    with EdgeSession(service_url=edge_server.url, api_token=token, organization=organization) as other:
        with pytest.raises(BadEntry, match="in another store"):
            other.files.copy(files / "a", "a")
        with pytest.raises(EdgeError, match="no file or folder"):
            other.files.copy("a", "b")
