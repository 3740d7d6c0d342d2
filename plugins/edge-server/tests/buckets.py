"""Buckets of real object stores, one for each test."""

from __future__ import annotations

import dataclasses
import os
import secrets
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_server.data.s3_bucket import Bucket
from edge_server.data.store import StoreFailure
from tests import object_stores
from tests.object_stores import Killable, Running

STARTED = ("seaweedfs", "juicefs")
"""The stores that the tests start."""

OBJECT_STORES = (*STARTED, *(["elsewhere"] if object_stores.ELSEWHERE in os.environ else []))


@pytest.fixture(scope="session")
def seaweedfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Killable]:
    """A running object store that refuses what has another SHA-256."""
    with object_stores.seaweedfs(tmp_path_factory.mktemp("weed")) as running:
        yield running


@pytest.fixture(scope="session")
def juicefs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Killable]:
    """A running object store that compares Content-MD5 alone."""
    with object_stores.juicefs(tmp_path_factory.mktemp("juicefs")) as running:
        yield running


@pytest.fixture(scope="session")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """The object store that somebody else has started."""
    with object_stores.elsewhere(tmp_path_factory.getbasetemp()) as running:
        yield running


@pytest.fixture(params=OBJECT_STORES)
def bucket(request: pytest.FixtureRequest) -> Bucket:
    """A fresh bucket of each store."""
    return bucket_of(request.getfixturevalue(request.param))


def bucket_of(store: Running) -> Bucket:
    """A fresh bucket of a store."""
    bucket = Bucket(f"b{secrets.token_hex(6)}", store.endpoint, store.region, store.access_key, store.secret_key)
    deadline = time.monotonic() + 300  # of a machine that does much else
    while True:
        try:
            bucket.call("create_bucket")
            return bucket
        except StoreFailure:  # it listens before it can write
            store.require_running()
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def configure(folder: Path, bucket: Bucket, **more: str) -> None:
    """Write the settings that name a bucket."""
    values = {**{name: value for name, value in dataclasses.asdict(bucket).items() if value and name != "name"}, **more}
    lines = [
        "[storage]",
        'kind = "s3"',
        f'bucket = "{bucket.name}"',
        *(f'{name} = "{values[name]}"' for name in values),
    ]
    folder.mkdir(mode=0o700, exist_ok=True)
    (folder / "server.toml").write_text("\n".join(lines).replace('"false"', "false") + "\n")
    (folder / "server.toml").chmod(0o600)
