"""The server, or its store, killed in the middle of everything: what is acknowledged is there, nothing is damaged.

Some clients work with files, each in a folder of its own, others administer organizations. `EDGE_KILL_ROUNDS` says how
many times the server is killed: twice here, 100 times for a thorough run.
"""

from __future__ import annotations

import contextlib
import functools
import os
import random
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import sqlalchemy as sa
from click.testing import CliRunner

from benchmarks import kills
from edge_server.base import clock
from edge_server.data.store import Store
from edge_server.files import fsck
from edge_server.files.models import Node, Upload, Version
from edge_server.identity.models import Organization
from edge_server.run.command import server as command
from edge_server.search.models import SearchName
from edge_server.testing.local_server import EdgeServer
from tests import object_stores
from tests.waiting import wait_for

from .administrators import Administrator, Ledger, check
from .buckets import STARTED, bucket_of, configure
from .engines import ENGINES, is_postgresql, url_of
from .file_client import FileClient
from .pairs import single_host_only
from .postgresql import scratch_postgresql
from .stores import keys_in, store_of
from .wire import client, close_all

ROUNDS = int(os.environ.get("EDGE_KILL_ROUNDS", "2"))
FILE_CLIENTS = 6
ADMINISTRATORS = 4

FILE_CHANGES = 20
"""How many are acknowledged in a round, at least, before the server is killed."""

ADMINISTRATIVE_CHANGES = 100
"""How many of administration are acknowledged at least; an administrator's 25 in turn are of about twenty kinds."""


@pytest.fixture(params=["postgresql"] if is_postgresql() else [*ENGINES, "s3"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[EdgeServer]:
    """A server on each engine, with its content in a folder, and with it in a bucket."""
    with contextlib.ExitStack() as stack:
        options = {}
        if request.param == "postgresql" and not is_postgresql():
            options["database_url"] = url_of(stack.enter_context(scratch_postgresql()))
        server = stack.enter_context(contextlib.closing(EdgeServer(tmp_path / "data", **options)))
        if request.param == "s3":
            configure(server.data, bucket_of(request.getfixturevalue("seaweedfs")))
        yield server
    close_all()


@pytest.mark.slow
def test_every_acknowledged_change_outlives_a_kill(server: EdgeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in server._environment.items():  # of the commands that run in this process
        monkeypatch.setenv(name, value)
    file_clients = [FileClient(f"client-{n}", n) for n in range(FILE_CLIENTS)]
    chance = random.Random(1)
    server.start("--workers", "2")
    token = server.create_token("admin")
    for round_ in range(1, ROUNDS + 1):
        ledger = Ledger()
        administrators = [Administrator(server, token, ledger) for _ in range(ADMINISTRATORS)]
        threads: list[threading.Thread] = [*administrators]
        for file_client in file_clients:
            api = client(server, token, "default")
            threads.append(threading.Thread(target=file_client.work, args=[api]))
        enough = sum(file_client.done for file_client in file_clients) + FILE_CHANGES + chance.randrange(30)
        for thread in threads:
            thread.start()
        wait_for(functools.partial(has_done, file_clients, enough, ledger), "the server acknowledges too little")
        server.kill()
        for thread in threads:
            thread.join(60)
        close_all()
        assert [each.failure for each in administrators if each.failure] == []
        server.start("--workers", "2")
        api = client(server, token, "default")
        for file_client in file_clients:
            file_client.settle(api)
        check(server, token, ledger)
        check_data(server, sum(len(each.sure) for each in file_clients), monkeypatch)
        done = sum(each.done for each in file_clients), ledger.acknowledged
        print(f"kill {round_}: {done[0]} changes of files so far, {done[1]} of an administrator, all there")
    assert "failed" not in server.log


@pytest.mark.slow
@pytest.mark.parametrize("name", STARTED)
def test_every_acknowledged_file_outlives_a_kill_of_the_store(
    name: str, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what was under way is there whole or not at all."""
    start_store = {"seaweedfs": object_stores.seaweedfs, "juicefs": object_stores.juicefs}[name]
    (tmp_path / "store").mkdir()
    server = EdgeServer(tmp_path / "data")
    with start_store(tmp_path / "store") as store, contextlib.closing(server):
        configure(server.data, bucket_of(store))
        server.start()
        token = server.create_token("admin")
        file_clients = [FileClient(f"client-{n}", n, away=503) for n in range(FILE_CLIENTS)]
        chance = random.Random(2)
        for round_ in range(1, ROUNDS + 1):
            threads = [
                threading.Thread(target=file_client.work, args=[client(server, token, "default")])
                for file_client in file_clients
            ]
            enough = sum(file_client.done for file_client in file_clients) + FILE_CHANGES + chance.randrange(30)
            for thread in threads:
                thread.start()
            wait_for(functools.partial(has_done, file_clients, enough), "the server acknowledges too little")
            store.kill()
            for thread in threads:
                thread.join(120)
            store.start()
            wait_for(functools.partial(is_writable, store_of(server.data)))
            api = client(server, token, "default")
            for file_client in file_clients:
                file_client.settle(api)
            check_data(server, sum(len(each.sure) for each in file_clients), monkeypatch)
            print(f"kill {round_}: {sum(each.done for each in file_clients)} changes of files so far, all there")
    close_all()


@single_host_only("the one that is back at the same port")
@pytest.mark.slow
def test_a_large_file_in_a_bucket_outlives_kills_of_client_server_and_store(tmp_path: Path) -> None:
    size, times = (24 << 20, kills.Kills(1, 1, 1)) if ROUNDS <= 2 else (200 << 20, kills.Kills())
    for name in ("store", "work"):
        (tmp_path / name).mkdir()
    with object_stores.seaweedfs(tmp_path / "store") as store:
        outcomes = list(kills.outcomes(size, times, tmp_path / "work", store))
    for outcome in outcomes:
        print(outcome.line())
        assert outcome.is_good, outcome.line()
    assert len(outcomes) == 6


def has_done(file_clients: Sequence[FileClient], enough: int, ledger: Ledger | None = None) -> bool:
    """Whether clients have changed so many files, and administrators what they are to."""
    is_enough = ledger is None or ledger.acknowledged >= ADMINISTRATIVE_CHANGES
    return is_enough and sum(each.done for each in file_clients) >= enough


def is_writable(store: Store) -> bool:
    """Whether a store, which listens before that, can be written."""
    key = store.new_key()
    try:
        store.write(key, [b"1"])
        store.remove(key)
    except OSError:
        return False
    return True


def check_data(server: EdgeServer, files: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """All that the server keeps fits together, with the orphans gone that a kill leaves.

    Args:
        server: the server, which nobody uses.
        files: how many files the default organization has, in which no administrator works.
        monkeypatch: makes it later.
    """
    with monkeypatch.context() as patch:
        later = clock.now() + 2 * fsck.GRACE
        patch.setattr(clock, "now", lambda: later)
        done = CliRunner().invoke(command, ["fsck", "--deep", "--data", str(server.data)])
    assert done.exit_code == 0, done.output
    assert "wrongly" not in done.output
    with server.database.read() as session:
        default = sa.select(Organization.id).where(Organization.name == "default").scalar_subquery()
        stored = sa.select(sa.func.count(Node.id)).where(Node.version_id.is_not(None), Node.organization_id == default)
        assert session.scalar(stored) == files
        names = session.execute(sa.select(Node.uid, Node.name).where(Node.parent_id.is_not(None)).order_by(Node.uid))
        of_nodes = sa.select(SearchName.uid, SearchName.name).where(SearchName.kind.in_(["file", "folder"]))
        indexed = session.execute(of_nodes.order_by(SearchName.uid))
        assert names.all() == indexed.all()
        kept = set(session.scalars(sa.select(Version.key).where(Version.collected_at.is_(None))))
        uploads = session.execute(sa.select(Upload.key, Upload.store_id).where(Upload.version_id.is_(None))).all()
    store = store_of(server.data)
    assert kept <= keys_in(store) <= kept | {key for key, _ in uploads}
    assert set(store.uploads()) <= {store_id for _, store_id in uploads}
    assert list((server.data / "incoming").iterdir()) == []
