"""The server killed while it deletes a large folder, clears it away, collects its content, or removes an organization.

Each goes on after a restart and ends as if nothing had happened. `EDGE_KILL_ROUNDS` says how often, as in `test_kill`.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import functools
import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests
import sqlalchemy as sa
from click.testing import CliRunner

from edge_server.base import clock
from edge_server.data.database import SERVER
from edge_server.files.models import Node, Version
from edge_server.identity import directory
from edge_server.identity.models import Organization
from edge_server.run.command import server as command
from edge_server.search.models import SearchName
from edge_server.testing.local_server import EdgeServer

from .grown import SIZE, grow
from .stores import keys_in, store_of
from .test_kill import ROUNDS
from .wire import Api, client, close_all

FILES = 1000 if ROUNDS <= 2 else 5000

KILLS = min(ROUNDS, 5)

TIMES = min(max(1, ROUNDS // 10), 10)
"""How often a folder is deleted, and an organization removed."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EdgeServer]:
    with contextlib.closing(EdgeServer(tmp_path / "data")) as server:
        server.start()
        yield server
        assert "failed" not in server.log
    close_all()


def fill(server: EdgeServer, organization: str) -> int:
    """Put a folder of many files into an organization; gives the organization's id."""
    with server.database.read() as session:
        organization_id = session.scalars(sa.select(Organization.id).where(Organization.name == organization)).one()
    grow(server.database, organization_id, "large", FILES)
    with server.database.read() as session:
        keys = session.scalars(sa.select(Version.key).where(Version.collected_at.is_(None))).all()
    store = store_of(server.data)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: store.write(key, [b"x" * SIZE]), keys))
    return organization_id


Rows = sa.Select[int] | sa.CompoundSelect[int]


def count(server: EdgeServer, rows: Rows) -> int:
    with server.database.read() as session:
        return session.scalar(sa.select(sa.func.count()).select_from(rows.subquery())) or 0


def contents(server: EdgeServer) -> int:
    return len(keys_in(store_of(server.data)))


def wait_until(is_true: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 60
    while not is_true():
        assert time.monotonic() < deadline, what
        time.sleep(0.002)


def kill(server: EdgeServer) -> None:
    server.kill()
    close_all()
    server.start()


def differs(server: EdgeServer, rows: Rows, before: int) -> bool:
    return count(server, rows) != before


def kill_while_fewer(server: EdgeServer, rows: Rows) -> int:
    """Kill the server each time that some of these rows have gone, `KILLS` times at most; gives how often."""
    for kills in range(KILLS):
        before = count(server, rows)
        if before == 0:
            return kills
        wait_until(functools.partial(differs, server, rows, before), "nothing more goes away")
        kill(server)
    while left := count(server, rows):  # a store may take long for all, but not for any
        wait_until(functools.partial(differs, server, rows, left), "not all goes away")
    return KILLS


def kill_in(server: EdgeServer, send: Callable[[], requests.Response], seconds: float) -> bool:
    """Kill the server so long after a request was sent; gives whether that was acknowledged before."""
    answers: list[requests.Response] = []

    def ask() -> None:
        with contextlib.suppress(requests.RequestException):
            answers.append(send())

    thread = threading.Thread(target=ask)
    thread.start()
    time.sleep(seconds)
    server.kill()
    thread.join(60)
    close_all()
    server.start()
    assert all(answer.ok for answer in answers)
    return bool(answers)


def check(server: EdgeServer) -> None:
    """All that the server keeps fits together, also what it has counted."""
    done = CliRunner().invoke(command, ["fsck", "--data", str(server.data)])
    assert done.exit_code == 0, done.output
    assert "wrongly" not in done.output
    assert " 0 orphaned files dropped" in done.output


@pytest.mark.slow
def test_a_large_folder_is_deleted_whole_by_a_server_that_is_killed(server: EdgeServer) -> None:
    chance = random.Random(16)
    token = server.create_token("admin")

    def api() -> Api:
        return client(server, token, "default")

    def delete() -> requests.Response:
        return api().files("DELETE", "/entry", params={"path": "large", "recursive": "true"})

    def sums() -> tuple[int, int, int]:
        with server.database.read() as session:
            row = session.get_one(Organization, organization_id)
            return row.used_bytes, row.released_bytes, row.deleted_bytes

    for _ in range(TIMES):
        organization_id = fill(server, "default")
        entries = sa.select(Node.id).where(Node.parent_id.is_not(None) | Node.removed_at.is_not(None))
        all_of_it = count(server, entries)
        acknowledged = kill_in(server, delete, chance.random() / 5)
        if not acknowledged and api().stat("large").status_code == 200:  # then all of it is there
            assert count(server, entries) == all_of_it
            assert sums() == (SIZE * FILES, 0, 0)
            assert delete().status_code == 204
        assert api().stat("large").status_code == 404
        cleared = kill_while_fewer(server, entries)
        assert sums() == (0, 0, SIZE * FILES)
        indexed = sa.select(SearchName.id).where(SearchName.kind.in_(["file", "folder"]))
        assert count(server, indexed) == 0
        assert api().put("large").status_code == 201, "the name is free"
        assert api().files("DELETE", "/entry", params={"path": "large"}).status_code == 204
        check(server)
        with server.database.write(SERVER) as session:
            long_ago = clock.now() - dt.timedelta(days=2)
            session.execute(sa.update(Version).where(Version.collected_at.is_(None)).values(removed_at=long_ago))
        kept = sa.select(Version.id).where(Version.collected_at.is_(None))
        kill(server)  # which begins a pass
        collected = kill_while_fewer(server, kept)
        assert sums() == (0, 0, 0)
        assert contents(server) == 0
        check(server)
        print(f"killed {cleared} times while {FILES} files were cleared away, {collected} times while collected")


@pytest.mark.slow
def test_an_organization_is_removed_whole_by_a_server_that_is_killed(server: EdgeServer) -> None:
    chance = random.Random(16)
    token = server.create_token("admin")

    def remove() -> requests.Response:
        return client(server, token, "default").call("DELETE", "/v1/admin/organizations/leaving")

    def status() -> str | None:
        with server.database.read() as session:
            return session.scalars(sa.select(Organization.status).where(Organization.name == "leaving")).one_or_none()

    for _ in range(TIMES):
        server.create_organization("leaving")
        organization_id = fill(server, "leaving")
        if not kill_in(server, remove, chance.random() / 10) and status() not in (directory.DELETING, None):
            assert count(server, sa.select(Version.id)) == FILES
            assert remove().status_code == 202
        mine = sa.union_all(
            sa.select(Node.id).where(Node.organization_id == organization_id),
            sa.select(Version.id).where(Version.organization_id == organization_id),
            sa.select(SearchName.id).where(SearchName.organization_id == organization_id),
        )
        kills = kill_while_fewer(server, mine)
        wait_until(lambda: status() is None, "the organization is not removed")
        assert count(server, sa.select(Version.id)) == 0
        assert contents(server) == 0
        check(server)
        with server.database.read() as session:
            assert directory.find_organization(session, "leaving") is None, "the name is free"
        print(f"killed {kills} times while an organization of {FILES} files was removed")
