"""The tests' servers on a bucket in place of a folder, if EDGE_TEST_STORE says so: each has a prefix there."""

from __future__ import annotations

import contextlib
import hashlib
import math
import os
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from edge_server.base import configuration
from edge_server.base.configuration import Configuration
from edge_server.data.s3_bucket import Bucket
from edge_server.data.store import Store
from edge_server.files import storage
from edge_server.files.models import Upload
from edge_server.run import app
from edge_server.testing.local_server import EdgeServer
from tests import object_stores

from . import engines
from .buckets import OBJECT_STORES, bucket_of

VARIABLE = "EDGE_TEST_STORE"

FOLDER = "folder"


def folder_only(why: str) -> pytest.MarkDecorator:
    """Leave out a test of what a folder of content alone has, where the content of the tests is in a bucket.

    Args:
        why: what it looks into.
    """
    store = kind()
    return pytest.mark.skipif(
        store != FOLDER, reason=f"{VARIABLE} is {store}, and this looks into a folder of content: {why}"
    )


def kind() -> str:
    """Where the content of the tests' servers is: a folder, or which object store."""
    store = os.environ.get(VARIABLE, FOLDER)
    stores = (FOLDER, *OBJECT_STORES)
    assert store in stores, f"{VARIABLE} is one of {', '.join(stores)}"
    return store


def store_of(data: Path) -> Store:
    """The store of the server with the data folder `data`."""
    return storage.store_of(configuration.of_server(data), data)


def environment_of(data: Path) -> dict[str, str]:
    """What has a process use the database and the store that `data` has here."""
    section = configuration.of_server(data).section(storage.SECTION, storage.StorageSettings())
    names = ("kind", *storage.OF_A_BUCKET) if section["kind"] == storage.S3 else ()
    own = {f"{configuration.PREFIX}STORAGE_{name.upper()}": section[name] for name in names if section[name]}
    return engines.environment_of(data) | own


def keys_in(store: Store) -> set[str]:
    """The keys of all content of a store."""
    return {key for prefix in store.prefixes() for key in store.keys(prefix, math.inf)}


def contents_in(store: Store) -> dict[str, bytes]:
    """All content of a store by its key."""
    contents = {}
    for key in keys_in(store):
        with contextlib.closing(store.open(key)) as content:
            contents[key] = b"".join(content)
    return contents


def store_id(server: EdgeServer, upload: str) -> str:
    """The id by which the store knows an upload."""
    with server.database.read() as session:
        return session.scalars(sa.select(Upload.store_id).where(Upload.uid == upload)).one()


@pytest.fixture(scope="session", autouse=True)
def _store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Have content that would be in a data folder be in a bucket, if the environment says so."""
    store = kind()
    if store == FOLDER:
        yield
        return
    with (
        getattr(object_stores, store)(tmp_path_factory.mktemp("engine")) as running,
        pytest.MonkeyPatch.context() as patch,
    ):
        bucket = bucket_of(running)
        variables_of = EdgeServer._environment.__get__

        def with_bucket(self: EdgeServer) -> dict[str, str]:
            own: dict[str, str] = variables_of(self)
            return _variables(bucket, self.data) | own

        def of_server(data: Path, path: Path | None = None) -> Configuration:
            environment = _variables(bucket, data, path) | os.environ
            return Configuration(path or data / configuration.FILE_NAME, environment, required=path is not None)

        def of_folder(path: Path) -> Configuration:
            return Configuration(path, _variables(bucket, path.parent))

        patch.setattr(EdgeServer, "_environment", property(with_bucket))
        patch.setattr(configuration, "of_server", of_server)
        patch.setattr(app, "Configuration", of_folder)
        yield


def _variables(bucket: Bucket, data: Path, settings: Path | None = None) -> dict[str, str]:
    """What puts the content of a server in the bucket, unless its settings say where it is."""
    try:
        section = tomllib.loads((settings or data / configuration.FILE_NAME).read_text()).get("storage", {})
    except (OSError, ValueError):
        section = {}
    if not {"quota", "deleted"}.issuperset(section):
        return {}
    values = {
        "kind": "s3",
        "bucket": bucket.name,
        "prefix": hashlib.sha256(os.fsencode(data.absolute())).hexdigest()[:20],
        "endpoint": bucket.endpoint,
        "access_key": bucket.access_key,
        "secret_key": bucket.secret_key,
    }
    return {f"{configuration.PREFIX}STORAGE_{name.upper()}": value for name, value in values.items() if value}
