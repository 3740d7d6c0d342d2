"""Two organizations written crosswise on PostgreSQL: neither waits for the other, and nobody waits in a circle.

`EDGE_CROSSWISE_ROUNDS` says how often each of several organizations goes through all operations while the others are at
other ones: once here, 10 times for a thorough run.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import itertools
import os
import secrets
import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import requests
import sqlalchemy as sa

from edge_server.data.database import SERVER, Database
from edge_server.identity.models import Organization
from edge_server.run import app, start
from edge_server.run.openapi import document
from edge_server.testing.local_server import EdgeServer
from tests.waiting import wait_for

from . import wire
from .engines import url_of
from .launched import AT_HUB
from .postgresql import scratch_postgresql
from .test_audit import RECIPES, Recipe, World
from .test_housekeeping import InProcess

ROUNDS = int(os.environ.get("EDGE_CROSSWISE_ROUNDS", "1"))

ORGANIZATIONS = 4

READING = {"files.read_batch", "files.uploads.sign"}
"""Operations that are no GET, and write nothing."""

OWN = ("files.", "signed.", "secrets.", "applications.", "compute.", "sources.")
"""Operations that write what an organization has and nothing else, whose transactions never touch the server's."""


def fresh(world: World) -> str:
    """The path of a new file."""
    path = f"folder-{secrets.token_hex(2)}/file-{secrets.token_hex(4)}"
    assert world.admin.put(path).status_code == 201
    return path


def restore(world: World) -> requests.Response:
    path = fresh(world)
    version = world.admin.stat(path).json()["version"]
    assert world.admin.put(path, b"y").status_code == 201
    return world.admin.files("POST", "/restore", json={"path": path, "version": version})


def complete(world: World) -> requests.Response:
    return world.admin.upload(f"upload-{secrets.token_hex(4)}", b"content")


def send_part(world: World) -> requests.Response:
    upload = world.admin.start("large", 7)["id"]
    return world.admin.signed("PUT", world.admin.address(upload, 1), data=b"content")


def start_upload(world: World) -> requests.Response:
    return world.admin.files("POST", "/uploads", json={"path": "large", "size": 7})


def abort(world: World) -> requests.Response:
    return world.admin.files("DELETE", f"/uploads/{world.admin.start('large', 7)['id']}")


def set_times(world: World) -> requests.Response:
    version = world.admin.stat(fresh(world)).json()["version"]
    body = {"files": [{"version": version, "source_mtime_ns": 5}]}
    return world.admin.files("PUT", "/source-times", json=body)


def onto(action: str) -> Recipe:
    return lambda world: world.admin.files(
        "POST", f"/{action}", json={"path": fresh(world), "new_path": f"new-{secrets.token_hex(4)}"}
    )


ALL: dict[str, Recipe] = RECIPES | {
    "whoami.update": lambda world: world.by(world.admin, "PUT", "/v1/users/me", {"first_name": secrets.token_hex(4)}),
    "files.put": lambda world: world.admin.put(f"file-{secrets.token_hex(4)}"),
    "files.put_batch": lambda world: world.admin.batch({f"batch/{secrets.token_hex(4)}": b"x", "batch/same": b"y"}),
    "files.make_folder": lambda world: world.admin.files("POST", "/folders", json={"path": secrets.token_hex(8)}),
    "files.delete": lambda world: world.admin.files("DELETE", "/entry", params={"path": fresh(world)}),
    "files.move": onto("move"),
    "files.copy": onto("copy"),
    "files.restore": restore,
    "files.set_times": set_times,
    "files.uploads.start": start_upload,
    "files.uploads.abort": abort,
    "files.uploads.complete": complete,
    "signed.part": send_part,
}


def test_every_operation_that_writes_is_here() -> None:
    writing = {
        operation["operationId"]
        for methods in document()["paths"].values()
        for method, operation in methods.items()
        if method in ("post", "put", "patch", "delete")
    }
    assert set(ALL) == writing - READING - AT_HUB


@dataclasses.dataclass
class Site:
    """A server whose requests are answered in this process, on a database of its own."""

    server: EdgeServer
    database: Database
    outside: Database
    """Another pool of connections to the same, to look at who waits."""

    def id_of(self, world: World) -> int:
        with self.outside.read() as session:
            return session.scalars(sa.select(Organization.id).where(Organization.name == world.organization)).one()

    def waiting(self) -> list[tuple[str, int]]:
        """The locks that somebody waits for: of what kind, and whose."""
        locks = sa.text(
            "SELECT locktype, objid::bigint FROM pg_locks JOIN pg_stat_activity USING (pid) "
            "WHERE NOT granted AND datname = current_database()"
        )
        with self.outside.read() as session:
            return [(row.locktype, row.objid) for row in session.execute(locks)]


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    folder = tmp_path / "data"
    folder.mkdir()
    with scratch_postgresql() as opened, contextlib.ExitStack() as stack:
        monkeypatch.setenv("EDGE_SERVER_DATABASE_URL", url_of(opened))
        engines, loaded, _ = start.prepare(folder)
        stack.callback(engines.database.close)
        adapter = InProcess(app.build(engines, loaded))
        plain = wire.session

        def mounted() -> requests.Session:
            http = plain()
            http.mount("http://in-process", adapter)
            return http

        monkeypatch.setattr(wire, "session", mounted)
        server = EdgeServer(folder, database_url=url_of(opened))
        stack.callback(server.close)
        server.url = "http://in-process"
        yield Site(server, engines.database, opened)


def test_no_writer_of_an_organization_waits_for_anothers(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the midst of each transaction of one organization, the other one's requests are answered."""
    touched: list[int] = []
    at_hand = threading.local()

    def note(database: Database) -> None:
        write_rows = database.write_rows

        def noted(organization_id: int) -> contextlib.AbstractContextManager[sa.Connection]:
            at_hand.touched = organization_id
            touched.append(organization_id)
            return write_rows(organization_id)

        monkeypatch.setattr(database, "write_rows", noted)

    for database in (site.database, site.server.database):
        note(database)
    first, second = World(site.server), World(site.server)
    alone: set[str] = set()
    for operation, recipe in ALL.items():
        touched.clear()
        answer = recipe(second)
        assert answer.status_code < 300, (operation, answer.text)
        if SERVER in touched:
            alone.add(operation)
    apart = [operation for operation in ALL if operation not in alone]
    assert {operation for operation in ALL if operation.startswith(OWN)} <= set(apart)
    turns = itertools.cycle(apart)
    crossed: dict[str, list[int]] = {operation: [] for operation in apart}
    before_commit = site.database.before_commit

    def cross(connection: sa.Connection) -> None:
        before_commit(connection)
        if threading.current_thread() is not threading.main_thread() or at_hand.touched == SERVER:
            return
        operation = next(turns)
        crossed[operation].append(pool.submit(ALL[operation], second).result().status_code)
        assert site.waiting() == []

    monkeypatch.setattr(site.database, "before_commit", cross)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        for operation, recipe in ALL.items():
            answer = recipe(first)
            assert answer.status_code < 300, (operation, answer.text)
    count = sum(map(len, crossed.values()))
    print(f"{count} requests of {len(apart)} operations were answered, each within a transaction of another")
    assert all(crossed.values())
    assert {status for statuses in crossed.values() for status in statuses if status >= 500} == set()


def test_who_waits_is_seen_and_waits_for_the_own_organization_alone(site: Site) -> None:
    first, second = World(site.server), World(site.server)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        with site.outside.write(site.id_of(first)):
            sent = pool.submit(first.admin.put, "file")
            wait_for(site.waiting, "nobody waits")
            waiting = site.waiting()
            assert waiting == [("advisory", site.id_of(first))]
            assert second.admin.put("file").status_code == 201
            assert site.waiting() == waiting
        assert sent.result().status_code == 201
    assert site.waiting() == []


# --- circles


def deadlocks(database: Database) -> int:
    """How many transactions PostgreSQL has ended in a database since they waited in a circle."""
    with database.read() as session:
        counted = sa.text("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
        return session.execute(counted).scalar_one()


def test_a_circle_is_counted() -> None:
    with scratch_postgresql() as opened:
        first, second = (psycopg.connect(url_of(opened).replace("+psycopg", "")) for _ in range(2))
        for connection, own in ((first, 1), (second, 2)):
            connection.execute("SET deadlock_timeout = '10ms'")
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (own,))
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            sent = [
                pool.submit(connection.execute, "SELECT pg_advisory_xact_lock(%s)", (others,))
                for connection, others in ((first, 2), (second, 1))
            ]
            ended = [done.exception() for done in sent if done.exception() is not None]
        assert [type(error) for error in ended] == [psycopg.errors.DeadlockDetected]
        first.close()
        second.close()
        wait_for(lambda: deadlocks(opened), "it is not counted")
        assert deadlocks(opened) == 1


@pytest.mark.slow
def test_all_operations_of_some_organizations_at_once_meet_no_circle(tmp_path: Path) -> None:
    with scratch_postgresql() as opened:
        server = EdgeServer(tmp_path / "data", database_url=url_of(opened))
        with contextlib.closing(server):
            server.start("--workers", "2", "--threads", "8")
            worlds = [World(server) for _ in range(ORGANIZATIONS)]
            begins = [n * len(ALL) // ORGANIZATIONS for n in range(ORGANIZATIONS)]

            def go_through(world: World, begin: int) -> list[tuple[str, str]]:
                order = [*ALL][begin:] + [*ALL][:begin]
                answers = [(operation, ALL[operation](world)) for operation in order]
                return [(operation, answer.text) for operation, answer in answers if answer.status_code >= 300]

            failed = []
            for _ in range(ROUNDS):
                with concurrent.futures.ThreadPoolExecutor(ORGANIZATIONS) as pool:
                    failed += list(itertools.chain(*pool.map(go_through, worlds, begins)))
            wire.close_all()
            assert failed == []
            assert server.stop() == 0  # a connection tells its counts when it ends, at the latest
            log = server.log
        connections = sa.text("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()")

        def is_last() -> bool:
            with opened.read() as session:
                return bool(session.execute(connections).scalar_one() == 1)

        wait_for(is_last, "connections stay open")
        assert deadlocks(opened) == 0
        assert "Traceback" not in log
