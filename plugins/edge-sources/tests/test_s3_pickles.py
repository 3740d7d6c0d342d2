"""S3 folders travel by their connector's name, and their keys stay at home."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

from edge_core.errors import BadEntry, Conflict, NotFound
from edge_core.session import EdgeSession
from edge_sources.s3 import S3Connection, S3File, S3Folder


def arrived(value: Any) -> Any:
    return pickle.loads(pickle.dumps(value))


@pytest.fixture
def stored(dev: EdgeSession, bucket: S3Connection) -> S3Connection:
    dev.sources.add(bucket)
    return dev.sources.get(bucket.name, kind=S3Connection)


def test_a_pickle_has_the_connectors_name_and_no_keys(stored: S3Connection) -> None:
    stored.root.upload("runs/a.txt", b"content")
    folder = stored.root / "runs"
    file = folder.open("a.txt", "file")
    file.seek(3)
    assert stored.access_key
    assert stored.secret_key
    for value in (folder, file, arrived(folder)):
        content = pickle.dumps(value)
        assert stored.name.encode() in content
        assert stored.access_key.encode() not in content
        assert stored.secret_key.encode() not in content
    copy = arrived(folder)
    assert isinstance(copy, S3Folder)
    assert copy.open("a.txt") == "content"
    copy.upload("b.txt", b"back")
    assert stored.root.open("runs/b.txt") == "back"
    again = arrived(arrived(file))
    assert isinstance(again, S3File)
    assert again.read() == b"tent"


def test_folders_are_equal_by_bucket_and_path(stored: S3Connection, bucket: S3Connection) -> None:
    folder = stored.root / "runs"
    keys = ("another key", "another secret")
    others = S3Connection("other", "Other", bucket.bucket, f"{bucket.endpoint}/", *keys)
    assert {folder, arrived(folder), bucket.root / "runs", others.root / "runs"} == {folder}
    assert folder != stored.root
    assert folder != S3Connection("plates", "Plates", "elsewhere", bucket.endpoint, *keys).root / "runs"
    stored.root.upload("a.txt", b"one")
    first = stored.open("a.txt", "file")
    assert arrived(first) == first == bucket.open("a.txt", "file")
    stored.root.upload("a.txt", b"two")
    assert stored.open("a.txt", "file") != first


def test_a_folder_of_a_connection_without_a_connector_is_not_pickled(bucket: S3Connection) -> None:
    with pytest.raises(BadEntry, match=r"sources\.add"):
        pickle.dumps(bucket.root)


def test_a_connector_that_changed_is_not_taken_for_the_former(dev: EdgeSession, stored: S3Connection) -> None:
    content = pickle.dumps(stored.root)
    stored.bucket = "elsewhere"
    dev.sources.update(stored)
    with pytest.raises(Conflict, match="another bucket"):
        pickle.loads(content).list()
    dev.sources.remove(stored.name)
    with pytest.raises(NotFound):
        pickle.loads(content).list()
