"""Servers on PostgreSQL or with a bucket are backed up by the tools of these, in the order that the guide gives."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import sqlalchemy as sa
from click.testing import CliRunner

from edge_files.wire import PART_SIZE
from edge_server.data.database import FILE_NAME, Database
from edge_server.data.s3_bucket import Bucket
from edge_server.keys import sealing, signing
from edge_server.run.command import server as command
from edge_server.testing.local_server import EdgeServer
from tests.object_stores import Killable
from tests.programs import program
from tests.waiting import wait_for

from .buckets import bucket_of, configure
from .engines import sqlite_only, url_of
from .postgresql import scratch_postgresql
from .stores import folder_only
from .wire import Api, client, close_all

pytestmark = [sqlite_only("the settings say where it is"), folder_only("the settings say where it is")]

LARGE = os.urandom(PART_SIZE) + b"end"


class Site(NamedTuple):
    """A server's data folder, which has its settings, and where its data is.

    Attributes:
        folder: the data folder.
        database: on PostgreSQL; None for a file.
        bucket: with the content; None for a folder.
    """

    folder: Path
    database: Database | None
    bucket: Bucket | None


@contextlib.contextmanager
def new_site(folder: Path, *, on_postgresql: bool, store: Killable | None) -> Iterator[Site]:
    """An empty one."""
    folder.mkdir(mode=0o700)
    bucket = None if store is None else bucket_of(store)
    if bucket is not None:
        configure(folder, bucket)
    with contextlib.ExitStack() as stack:
        database = stack.enter_context(scratch_postgresql()) if on_postgresql else None
        if database is not None:
            with open(folder / "server.toml", "a") as settings:
                settings.write(f'[database]\nurl = "{url_of(database)}"\n')
            (folder / "server.toml").chmod(0o600)
        yield Site(folder, database, bucket)


def dump(site: Site, target: Path) -> None:
    """Copy the database, while it is used."""
    if site.database is None:
        with (
            contextlib.closing(sqlite3.connect(site.folder / FILE_NAME)) as original,
            contextlib.closing(sqlite3.connect(target)) as copy,
        ):
            original.backup(copy)  # what `.backup` of sqlite3 does
    else:
        postgresql("pg_dump", site.database, "-Fc", "-f", target)


def put_back(dumped: Path, site: Site) -> None:
    if site.database is None:
        shutil.copy(dumped, site.folder / FILE_NAME)
    else:
        postgresql("pg_restore", site.database, "--no-owner", "-d", str(site.database.address.database), dumped)


def postgresql(name: str, database: Database, *arguments: str | Path) -> None:
    """Run one of PostgreSQL's programs on a database."""
    address = database.address
    assert isinstance(address, sa.URL)
    path = program(name, "apt-get install postgresql-client")
    command_line = [path, "-h", address.host, "-p", str(address.port), "-U", address.username, *map(str, arguments)]
    if name == "pg_dump":
        command_line.append(address.database)
    password = {} if address.password is None else {"PGPASSWORD": str(address.password)}
    ran = subprocess.run(command_line, env=os.environ | password, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr


def copy_content(site: Site, target: Path) -> None:
    """Copy all that a bucket, or a folder of content, has."""
    if site.bucket is None:
        shutil.copytree(site.folder / "content", target)
        return
    for key in keys_in(site.bucket):
        path = target / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(site.bucket.call("get_object", Key=key)["Body"].read())


def put_content_back(copied: Path, site: Site) -> None:
    if site.bucket is None:
        shutil.copytree(copied, site.folder / "content", dirs_exist_ok=True)
        return
    for path in sorted(copied.rglob("*")):
        if path.is_file():
            site.bucket.call("put_object", Key=path.relative_to(copied).as_posix(), Body=path.read_bytes())


def keys_in(bucket: Bucket) -> list[str]:
    """The keys of all objects."""
    keys: list[str] = []
    after = ""
    while True:
        page = bucket.call("list_objects_v2", StartAfter=after)
        keys += [each["Key"] for each in page.get("Contents", [])]
        if not page["IsTruncated"]:
            return keys
        after = keys[-1]


@contextlib.contextmanager
def changing(api: Callable[[], Api]) -> Iterator[list[int]]:
    """Somebody who stores and deletes files during the block; gives how often."""
    rounds: list[int] = []
    failures: list[BaseException] = []
    stopped = threading.Event()

    def work() -> None:
        own = api()
        try:
            while not stopped.is_set():
                assert own.put(f"changing/{len(rounds) % 7}", os.urandom(1000)).status_code in (200, 201)
                if len(rounds) % 3 == 2:
                    gone = {"path": f"changing/{len(rounds) % 7}"}
                    assert own.files("DELETE", "/entry", params=gone).status_code == 204
                rounds.append(len(rounds))
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield rounds
    finally:
        stopped.set()
        thread.join()
    assert failures == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("on_postgresql", "in_bucket"),
    [(True, True), (True, False), (False, True)],
    ids=["postgresql and bucket", "postgresql and folder", "file and bucket"],
)
def test_what_the_guide_says_brings_all_back(
    tmp_path: Path, seaweedfs: Killable, on_postgresql: bool, in_bucket: bool
) -> None:
    store = seaweedfs if in_bucket else None
    with (
        new_site(tmp_path / "data", on_postgresql=on_postgresql, store=store) as site,
        new_site(tmp_path / "elsewhere", on_postgresql=on_postgresql, store=store) as other,
    ):
        server = EdgeServer(site.folder, database_url=None if site.database is None else url_of(site.database))
        server.start()
        with contextlib.closing(server):
            token = server.create_token("admin")
            own = client(server, token, "default")
            assert own.put("small", b"small").status_code == 201
            assert own.upload("large", LARGE).status_code == 200
            secret = {"name": "door", "content": {"a": 1}}
            assert own.call("POST", "/v1/orgs/default/secrets/organization", json=secret).status_code == 201
            own.part(own.start("open", len(LARGE))["id"], 1, LARGE[:PART_SIZE])
            with changing(lambda: client(server, token, "default")) as rounds:
                wait_for(lambda: len(rounds) > 5)
                dump(site, tmp_path / "dump")
                dumped = len(rounds)
                assert own.files("DELETE", "/entry", params={"path": "small"}).status_code == 204
                wait_for(lambda: len(rounds) > dumped + 5)
                copy_content(site, tmp_path / "content")
            close_all()
        for name in (sealing.FILE_NAME, signing.FILE_NAME):
            shutil.copy(site.folder / name, other.folder)
        put_back(tmp_path / "dump", other)
        put_content_back(tmp_path / "content", other)
        for arguments in (["check"], ["fsck", "--deep", "-q"]):
            done = CliRunner().invoke(command, [*arguments, "--data", str(other.folder)])
            assert done.exit_code == 0, done.output
        restored = EdgeServer(other.folder, database_url=None if other.database is None else url_of(other.database))
        restored.start()
        with contextlib.closing(restored):
            own = client(restored, token, "default")
            assert own.get("small").content == b"small", "as it was when the database was copied"
            address = own.files("GET", "/download-url", params={"path": "large"}).json()["url"]
            assert own.signed("GET", address).content == LARGE
            secret = own.call("GET", "/v1/orgs/default/secrets/organization/door").json()
            assert secret["content"] == {"a": 1}
            upload = own.start("open", len(LARGE))
            assert (upload["resumed"], upload["parts"]) == (False, []), "it begins anew"
            assert own.upload("open", LARGE).status_code == 200
            close_all()
