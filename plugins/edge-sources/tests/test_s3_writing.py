"""Writers of a bucket, and files that are made only if there is none."""

from __future__ import annotations

from typing import Any

import pytest

from edge_core.errors import AlreadyExists
from edge_sources import s3_store
from edge_sources.s3 import S3Connection, S3Folder

from .conftest import bucket_of

LARGE = bytes(range(256)) * (11 << 12) + b"end"
"""Content of three parts."""


@pytest.fixture(params=["store", "seaweedfs", "amazon"])
def root(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> S3Folder:
    """The root of a fresh bucket of each store, with small parts."""
    monkeypatch.setattr(s3_store, "SMALL", 1 << 20)
    monkeypatch.setattr(s3_store, "PART", 5 << 20)
    store = request.getfixturevalue(request.param)
    return (store if isinstance(store, S3Connection) else bucket_of(store)).root


def open_uploads(root: S3Folder) -> Any:
    store = root._store
    assert isinstance(store, s3_store.BucketStore)
    return store.client.list_multipart_uploads(Bucket=store.bucket).get("Uploads", [])


def test_what_is_written_appears_when_the_writer_is_closed(root: S3Folder) -> None:
    for content in (b"abc", LARGE):
        with root.create("runs/a.bin") as writer:
            writer.write(content)
            assert not root.exists("runs")
        assert root.read_bytes("runs/a.bin") == content
        root.delete("runs/a.bin")
    with root.create("a.txt", encoding="utf-8") as text:
        text.write("ä")
    assert root.read_text("a.txt") == "ä"


def test_an_exception_leaves_the_key_as_it_was(root: S3Folder) -> None:
    root.write_bytes("a.bin", b"before")
    for content in (b"abc", LARGE):
        with pytest.raises(ZeroDivisionError), root.create("a.bin") as writer:
            writer.write(content)
            raise ZeroDivisionError
    assert root.read_bytes("a.bin") == b"before"
    assert not open_uploads(root), "parts that stay are charged"


def test_a_name_that_is_taken_meanwhile_is_not_replaced(root: S3Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    for content in (b"abc", LARGE):
        with pytest.raises(AlreadyExists, match="exists already"), root.create("a.bin", overwrite=False) as writer:
            writer.write(content)
            root.write_bytes("a.bin", b"by another")
        assert root.read_bytes("a.bin") == b"by another"
        root.delete("a.bin")
        with root.create("a.bin", overwrite=False) as writer:
            writer.write(content)
        assert root.read_bytes("a.bin") == content
        root.delete("a.bin")
    assert not open_uploads(root)


@pytest.mark.parametrize("root", ["seaweedfs", "amazon"], indirect=True)
def test_the_store_itself_refuses_to_replace(root: S3Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    root.write_bytes("a.bin", b"before")
    monkeypatch.setattr(s3_store.BucketStore, "_refuse_taken", lambda self, path, **allowed: None)
    for content in (b"abc", LARGE):
        with pytest.raises(AlreadyExists, match="exists already"):
            root.upload("a.bin", content, overwrite=False)
    assert root.read_bytes("a.bin") == b"before"
    assert not open_uploads(root)
