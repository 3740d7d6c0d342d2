"""The server killed in the middle of everything: what it has acknowledged is there, and nothing is damaged.

Some clients work with files, each in a folder of its own, others administer organizations. `EDGE_KILL_ROUNDS` says how
many times the server is killed: twice here, 100 times for a thorough run.
"""

from __future__ import annotations

import contextlib
import os
import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from click.testing import CliRunner

from edge_server.files.models import Node, Upload, Version
from edge_server.identity.models import Organization
from edge_server.run.command import server as command
from edge_server.search.models import SearchName
from edge_server.testing.local_server import EdgeServer

from .administrators import Administrator, Ledger, check
from .engines import ENGINES, is_postgresql, url_of
from .file_client import FileClient
from .postgresql import scratch_postgresql
from .wire import client, close_all

ROUNDS = int(os.environ.get("EDGE_KILL_ROUNDS", "2"))
FILE_CLIENTS = 6
ADMINISTRATORS = 4

FILE_CHANGES = 20
"""How many are acknowledged in a round, at least, before the server is killed."""

ADMINISTRATIVE_CHANGES = 100
"""How many of administration are acknowledged at least; an administrator's 25 in turn are of about twenty kinds."""


@pytest.fixture(params=["postgresql"] if is_postgresql() else ENGINES)
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[EdgeServer]:
    with contextlib.ExitStack() as stack:
        options = {}
        if request.param == "postgresql" and not is_postgresql():
            options["database_url"] = url_of(stack.enter_context(scratch_postgresql()))
        yield stack.enter_context(contextlib.closing(EdgeServer(tmp_path / "data", **options)))


@pytest.mark.slow
def test_every_acknowledged_change_outlives_a_kill(server: EdgeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in server._environment.items():  # of the commands that run in this process
        monkeypatch.setenv(name, value)
    file_clients = [FileClient(f"client-{n}", n) for n in range(FILE_CLIENTS)]
    chance = random.Random(1)
    with contextlib.closing(server):
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
            deadline = time.monotonic() + 60
            while sum(each.done for each in file_clients) < enough or ledger.acknowledged < ADMINISTRATIVE_CHANGES:
                assert time.monotonic() < deadline, "the server acknowledges too little"
                time.sleep(0.01)
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
            _check_data(server, sum(len(each.sure) for each in file_clients))
            done = sum(each.done for each in file_clients), ledger.acknowledged
            print(f"kill {round_}: {done[0]} changes of files so far, {done[1]} of an administrator, all there")
        assert "failed" not in server.log
    close_all()


def _check_data(server: EdgeServer, files: int) -> None:
    """All that the server keeps fits together, with the orphans gone that a killed server leaves.

    Args:
        server: which, stopped or running.
        files: how many files the default organization has, in which no administrator works.
    """
    for path in (server.data / "content").rglob("*"):
        if path.is_file():
            os.utime(path, (time.time() - 7200, time.time() - 7200))
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
        open_ = set(session.scalars(sa.select(Upload.key).where(Upload.version_id.is_(None))))
    on_disk = {path.name for path in (server.data / "content").rglob("*") if path.is_file()}
    assert kept <= on_disk <= kept | open_
    assert list((server.data / "incoming").iterdir()) == []
