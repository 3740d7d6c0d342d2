"""A file is replaced as a whole or not at all."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from edge_core.replacing import replacing


def test_readers_see_the_old_content_until_the_new_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "plate.csv"
    path.write_bytes(b"old")
    with replacing(path) as file:
        file.write(b"new " * 100_000)
        file.flush()
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new " * 100_000
    assert list(tmp_path.iterdir()) == [path]


def test_the_new_content_is_on_disk_before_it_has_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "plate.csv"
    synced: list[bool] = []
    fsync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda handle: (synced.append(path.exists()), fsync(handle)))
    with replacing(path) as file:
        file.write(b"new")
    # The folder that holds the name, after it: elsewhere than on POSIX it cannot be opened.
    assert synced == ([False, True] if os.name == "posix" else [False])


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
@pytest.mark.parametrize("old", [b"old", None])
def test_an_error_leaves_everything_as_it_was(tmp_path: Path, old: bytes | None, error: type[BaseException]) -> None:
    path = tmp_path / "plate.csv"
    if old is not None:
        path.write_bytes(old)
    before = list(tmp_path.iterdir())
    with pytest.raises(error), replacing(path) as file:
        file.write(b"new")
        raise error
    assert list(tmp_path.iterdir()) == before
    assert old is None or path.read_bytes() == old


def test_a_name_that_cannot_be_taken_leaves_nothing_beside(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="folder'$"), replacing(tmp_path / "folder"):
        pass
    assert [entry.name for entry in tmp_path.iterdir()] == ["folder"]
    missing = tmp_path / "missing" / "plate.csv"
    with pytest.raises(FileNotFoundError) as caught, replacing(missing):
        pass
    assert str(caught.value).endswith(f": {str(missing)!r}"), "the name that the caller knows"


def test_a_long_name_has_room_for_the_new_file(tmp_path: Path) -> None:
    path = tmp_path / ("ä" * 120 + ".csv")
    with replacing(path) as file:
        file.write(b"new")
    assert path.read_bytes() == b"new"


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
@pytest.mark.parametrize(("arguments", "mode"), [((), 0o640), ((0o600,), 0o600)])
def test_permissions_are_those_of_an_ordinary_file_or_private(
    tmp_path: Path, arguments: tuple[int, ...], mode: int
) -> None:
    path = tmp_path / "plate.csv"
    before = os.umask(0o027)
    try:
        with replacing(path, *arguments) as file:
            assert stat.S_IMODE(os.fstat(file.fileno()).st_mode) == mode
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == mode


def test_a_path_in_the_working_folder_needs_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with replacing("plate.csv") as file:
        file.write(b"new")
    assert [entry.name for entry in tmp_path.iterdir()] == ["plate.csv"]
