"""A bucket's folder becomes like a local one, and the other way round; above all, what is deleted."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edge_core.errors import Conflict
from edge_sources import s3_store
from edge_sources.s3 import S3Connection, S3Folder
from edge_vfs.report import IncompleteTransfer, SyncReport, TransferReport

from .conftest import bucket_of

TREE = {"a.csv": b"a", "runs/b.csv": b"bb", "runs/deep/c.txt": b"ccc", "empty.bin": b""}

LARGE = bytes(range(256)) * (9 << 12)
"""Content of two parts."""


@pytest.fixture(params=["store", "seaweedfs", "amazon"])
def root(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> S3Folder:
    """The root of a fresh bucket of each store, with small parts."""
    monkeypatch.setattr(s3_store, "SMALL", 1 << 20)
    monkeypatch.setattr(s3_store, "PART", 5 << 20)
    store = request.getfixturevalue(request.param)
    return (store if isinstance(store, S3Connection) else bucket_of(store)).root


@pytest.fixture
def top(tmp_path: Path) -> Path:
    return write(tmp_path / "top", TREE)


def write(top: Path, tree: dict[str, bytes]) -> Path:
    for path, content in tree.items():
        (top / path).parent.mkdir(parents=True, exist_ok=True)
        (top / path).write_bytes(content)
    return top


def local(top: Path) -> dict[str, bytes]:
    return {path.relative_to(top).as_posix(): path.read_bytes() for path in top.rglob("*") if path.is_file()}


def stored(root: S3Folder, name: str) -> dict[str, bytes]:
    folder = root / name
    return {path: folder.read_bytes(path) for path in folder.glob("**") if folder.stat(path).kind == "file"}


def test_a_bucket_becomes_like_a_local_folder(root: S3Folder, top: Path) -> None:
    write(top, {"large.bin": LARGE})
    first = root.sync(top, "kept", "up")
    assert (len(first.sent), first.deleted, stored(root, "kept")) == (5, (), local(top))
    for compare in ("digest", "time"):
        again = root.sync(top, "kept", "up", compare=compare)
        assert (again.sent, again.skipped) == ((), first.sent), compare
    reports: list[TransferReport] = []
    root.upload_folder("kept", top, report=reports.append)
    root.download_folder("kept", top, report=reports.append)
    assert [(report.sent, report.skipped) for report in reports] == [((), first.sent)] * 2
    write(top, {"a.csv": b"x", "large.bin": LARGE[:-1] + b"!"})
    assert root.sync(top, "kept", "up").sent == ("a.csv", "large.bin")
    for path in ("old.txt", "gone/x.csv", "gone/deep/y", "runs/z", "cache/kept.tmp"):
        root.upload(f"kept/{path}", b"o")
    root.upload("kept-too/precious", b"p")
    plan = root.sync(top, "kept", "up", delete=True, dry_run=True, exclude="cache/")
    assert plan.deleted == ("gone", "gone/deep", "gone/deep/y", "gone/x.csv", "old.txt", "runs/z")
    report = root.sync(top, "kept", "up", delete=True, exclude="cache/")
    assert report.deleted == plan.deleted
    assert stored(root, "kept") == {**local(top), "cache/kept.tmp": b"o"}
    assert not root.exists("kept/gone")
    assert root.read_bytes("kept-too/precious") == b"p"


def test_a_local_folder_becomes_like_a_bucket(root: S3Folder, top: Path, tmp_path: Path) -> None:
    write(top, {"large.bin": LARGE})
    os.utime(top / "a.csv", ns=(5, 1_600_000_000_123_456_789))
    root.sync(top, "kept", "up")
    down = tmp_path / "down"
    first = root.sync(down, "kept", "down")
    assert (len(first.sent), local(down)) == (5, local(top))
    assert (down / "a.csv").stat().st_mtime_ns == 1_600_000_000_123_456_789
    for compare in ("digest", "time"):
        again = root.sync(down, "kept", "down", compare=compare)
        assert (again.sent, again.skipped) == ((), first.sent), compare
    write(down, {"old.txt": b"o", "gone/deep/y": b"y"})
    root.delete("kept/a.csv")
    report = root.sync(down, "kept", "down", delete=True)
    assert report.deleted == ("a.csv", "gone", "gone/deep", "gone/deep/y", "old.txt")
    assert local(down) == stored(root, "kept")


def test_what_other_programs_have_uploaded_is_compared_as_well(amazon: S3Connection, top: Path) -> None:
    write(top, {"large.bin": LARGE})
    for path in local(top):
        amazon.client().upload_file(str(top / path), amazon.bucket, f"kept/{path}")
    assert '-2"' in (amazon.root.stat("kept/large.bin").version or "")
    assert amazon.root.sync(top, "kept", "up").sent == ()
    write(top, {"large.bin": LARGE[:-1] + b"!"})
    assert amazon.root.sync(top, "kept", "up").sent == ("large.bin",)


def test_a_file_that_is_replaced_before_it_is_deleted_stays(root: S3Folder, top: Path) -> None:
    root.sync(top, "kept", "up")
    root.upload("kept/old.txt", b"old")
    root.upload("kept/older.txt", b"old")

    def replace(_: SyncReport) -> None:
        root.upload("kept/old.txt", b"new")

    with pytest.raises(IncompleteTransfer, match=r"old\.txt.*meanwhile.*try again") as failed:
        root.sync(top, "kept", "up", delete=True, planned=replace)
    report = failed.value.report
    assert isinstance(report, SyncReport)
    assert report.deleted == ("older.txt",)
    assert root.read_bytes("kept/old.txt") == b"new"


@pytest.mark.parametrize("refusal", [None, 501])
def test_a_store_compares_as_it_deletes_if_it_can(amazon: S3Connection, refusal: int | None) -> None:
    """Between the look and the deletion, the store is the only one that can see a new version."""
    root = amazon.root
    root.upload("old.txt", b"old")
    client = root._store.client  # type: ignore[attr-defined]
    deleting: list[dict[str, Any]] = []

    def before(request: Any, **_: Any) -> Any:
        deleting.append(dict(request.headers))
        if refusal is not None and "If-Match" in request.headers:
            from botocore.awsrequest import AWSResponse

            return AWSResponse(request.url, refusal, {}, Raw())
        if refusal is None:
            amazon.client().put_object(Bucket=amazon.bucket, Key="old.txt", Body=b"new")
        return None

    client.meta.events.register("before-send.s3.DeleteObject", before)
    version = root.stat("old.txt").version
    delete: Callable[..., None] = root._store.delete_version  # type: ignore[attr-defined]
    if refusal is None:
        with pytest.raises(Conflict, match="changed meanwhile"):
            delete("old.txt", version)
        assert root.read_bytes("old.txt") == b"new"
    else:
        delete("old.txt", version)
        assert len(deleting) == 2
        assert not root.exists("old.txt")


class Raw:
    """The body of an answer that has none."""

    def stream(self, **_: Any) -> list[bytes]:
        return []
