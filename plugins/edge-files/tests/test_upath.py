"""`UPath("edge://...")` of universal-pathlib."""

from __future__ import annotations

import io
import pickle
import zipfile

import pytest
from upath import UPath

from edge_core.session import EdgeSession
from edge_files.upath import EdgePath

NAMES = ["a?b", "a#b", "100%", "a*b", "a[1]b", "a b", "é%2F", "a&b=c"]


@pytest.fixture
def root(edge_session: EdgeSession) -> UPath:
    settings = edge_session.config
    options = {"api_token": settings.api_token, "service_url": settings.service_url}
    return UPath("edge://", organization=settings.organization, **options)


@pytest.mark.parametrize("name", NAMES)
def test_a_name_means_itself(root: UPath, edge_session: EdgeSession, name: str) -> None:
    edge_session.files.write_bytes(f"runs/{name}", b"content")
    path = root / "runs" / name
    assert path.read_bytes() == UPath(f"edge://runs/{name}", **root.storage_options).read_bytes() == b"content"
    assert [entry.name for entry in (root / "runs").iterdir()] == [name]
    assert (path.name, path.parent.name, str(path)) == (name, "runs", f"edge://runs/{name}")


def test_a_name_with_two_colons(root: UPath, edge_session: EdgeSession) -> None:
    edge_session.files.write_bytes("runs/a::b", b"content")
    assert (root / "runs").joinpath("a::b").read_bytes() == b"content"


def test_paths_of_the_root(root: UPath, edge_session: EdgeSession) -> None:
    edge_session.files.write_bytes("runs/2024/plate-7.csv", b"content")
    assert isinstance(root, EdgePath)
    assert [path.name for path in root.iterdir()] == ["runs"]
    assert [str(path) for path in root.glob("**/*.csv")] == ["edge://runs/2024/plate-7.csv"]
    path = root / "runs/2024/plate-7.csv"
    assert path.is_file()
    assert path.parent.is_dir()
    assert path.exists()
    assert path.stat().st_size == 7
    assert path.stat().st_mtime == edge_session.files.stat("runs/2024/plate-7.csv").modified_at.timestamp()
    assert path.relative_to(root / "runs").as_posix() == "2024/plate-7.csv"
    assert (path.suffix, path.with_suffix(".txt").name) == (".csv", "plate-7.txt")
    assert pickle.loads(pickle.dumps(path)).read_bytes() == b"content"


def test_a_leading_slash_changes_nothing(root: UPath, edge_session: EdgeSession) -> None:
    edge_session.files.write_bytes("runs/a", b"content")
    assert UPath("edge:///runs/a", **root.storage_options).read_bytes() == b"content"


def test_steps_upwards_are_refused(root: UPath, edge_session: EdgeSession) -> None:
    edge_session.files.write_bytes("a", b"content")
    assert not (root / "runs" / ".." / "a").exists()


def test_a_chain(root: UPath, edge_session: EdgeSession) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("inner/a.txt", "content")
    edge_session.files.write_bytes("runs/a.zip", packed.getvalue())
    path = UPath("zip://inner/a.txt::edge://runs/a.zip", edge=dict(root.storage_options))
    assert path.read_bytes() == b"content"


def test_no_token_shows(root: UPath, edge_session: EdgeSession) -> None:
    assert edge_session.config.api_token not in repr(root / "a") + str(root / "a")
