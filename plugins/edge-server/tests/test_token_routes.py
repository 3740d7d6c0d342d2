"""Tokens on the wire: on every worker at once, and their last use without a write on the way."""

from __future__ import annotations

import concurrent.futures
import datetime as dt
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from edge_server.base import background, clock
from edge_server.base.background import Task
from edge_server.data.database import FILE_NAME, SERVER
from edge_server.data.sqlite import SQLite
from edge_server.identity import queries, token_use, token_values
from edge_server.identity.models import Token
from edge_server.keys.signing import Signer
from edge_server.run.app import build, engines_at
from edge_server.testing.local_server import EdgeServer

from .wire import Api, client, close_all, refused


@pytest.fixture
def four_workers(tmp_path: Path) -> Iterator[EdgeServer]:
    server = EdgeServer(tmp_path / "data")
    server.start("--workers", "4")
    yield server
    close_all()
    server.close()


def last_use(server: EdgeServer, value: str) -> dt.datetime | None:
    with server.database.read() as session:
        return session.scalars(sa.select(Token.last_used_at).where(Token.digest == token_values.digest(value))).one()


@pytest.mark.slow
def test_a_removed_token_is_refused_by_every_worker_at_once(four_workers: EdgeServer) -> None:
    organization = four_workers.create_organization()
    user = four_workers.create_user(organization=organization)
    mine = client(four_workers, four_workers.create_token(user), organization)

    def status(other: Api) -> int:
        return other.call("GET", "/v1/users/me").status_code

    for _ in range(3):
        token = mine.call("POST", "/v1/users/me/tokens", json={}).json()
        # A connection each, so that every worker has seen the token.
        others = [client(four_workers, token["token"], organization) for _ in range(24)]
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            assert set(pool.map(status, others)) == {200}
            assert mine.call("DELETE", f"/v1/users/me/tokens/{token['id']}").status_code == 204
            assert set(pool.map(status, others)) == {401}


def test_the_last_use_is_written_later_and_together(edge_server: EdgeServer, api: Api) -> None:
    parts = engines_at(edge_server.data, Signer(b""), database=edge_server.database)
    http = build(parts).test_client()
    headers = {"Authorization": f"Bearer {api.token}"}
    written: list[str] = []

    def note(_: Any, __: Any, statement: str, *___: Any) -> None:
        if not statement.startswith(("SELECT", "BEGIN", "PRAGMA")):
            written.append(statement)

    sa.event.listen(edge_server.database.root, "before_cursor_execute", note)
    try:
        before = clock.now()
        for _ in range(50):
            assert http.get("/v1/users/me", headers=headers).status_code == 200
        assert written == []
        assert last_use(edge_server, api.token or "") is None
        seen = parts.token_use.take()
        with edge_server.database.write(SERVER) as session:
            token_use.write_down(session, seen)
        assert len(written) == 1
    finally:
        sa.event.remove(edge_server.database.root, "before_cursor_execute", note)
    used = last_use(edge_server, api.token or "")
    assert used is not None
    assert before <= used <= clock.now()
    assert parts.token_use.take() == {}


def test_the_later_of_two_uses_stays(edge_server: EdgeServer, api: Api) -> None:
    late = clock.now() + dt.timedelta(hours=1)
    with edge_server.database.write(SERVER) as session:
        holder = queries.holder(session.connection(), token_values.digest(api.token or ""))
        assert holder is not None
        token_use.write_down(session, {holder.token_id: late})
        token_use.write_down(session, {holder.token_id: clock.now()})
    assert last_use(edge_server, api.token or "") == late


@pytest.mark.slow
def test_a_server_that_stops_writes_down_what_it_has_seen(four_workers: EdgeServer) -> None:
    token = four_workers.create_token("admin")
    assert client(four_workers, token, "default").call("GET", "/v1/users/me").status_code == 200
    close_all()
    four_workers.stop()
    assert last_use(four_workers, token) is not None


def test_tokens_that_are_long_gone_are_forgotten(edge_server: EdgeServer) -> None:
    user = edge_server.create_user()
    old = edge_server.create_token(user, expires_in=-31 * 24 * 3600)
    recent = edge_server.create_token(user, expires_in=-29 * 24 * 3600)
    edge_server.create_token(user)
    with edge_server.database.read() as session:
        kept = set(session.scalars(sa.select(Token.digest).join(Token.user).where(Token.user.has(user_name=user))))
    assert token_values.digest(recent) in kept
    assert token_values.digest(old) not in kept


def test_a_cursor_that_is_none_is_refused(api: Api) -> None:
    for cursor in ("x", "!", "AAAA", "LTE", "MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkw", "8J+YgA"):
        refused(api.call("GET", "/v1/users/me/tokens", params={"cursor": cursor}), 400, "bad_entry")


# --- tasks in the background


def test_tasks_come_round_and_a_failed_task_is_tried_again(tmp_path: Path) -> None:
    runner = background.Background(SQLite(tmp_path / FILE_NAME).alone)
    ran: list[str] = []

    def fail() -> None:
        ran.append("failed")
        raise RuntimeError("no")

    runner.add(Task("often", 0.01, lambda: ran.append("often")))
    runner.add(Task("fails", 0.01, fail))
    runner.add(Task("last", 3600, lambda: ran.append("last"), at_end=True))
    runner.start()
    deadline = time.monotonic() + 60
    while ran.count("often") < 3 or ran.count("last") < 1 or ran.count("failed") < 3:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert ran.count("last") == 1
    runner.wake("last")
    while ran.count("last") < 2:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    runner.stop()
    assert ran[-1] == "last"
    assert ran.count("last") == 3


def test_a_task_does_not_wait_for_another(tmp_path: Path) -> None:
    runner = background.Background(SQLite(tmp_path / FILE_NAME).alone)
    released, ran = threading.Event(), threading.Event()
    runner.add(Task("slow", 1, released.wait))
    runner.add(Task("quick", 1, ran.set))
    runner.start()
    try:
        assert ran.wait(60)
    finally:
        released.set()
        runner.stop()


def test_what_runs_alone_runs_in_a_single_process_at_a_time(tmp_path: Path) -> None:
    mine, others = (
        background.Background(SQLite(tmp_path / FILE_NAME).alone),
        background.Background(SQLite(tmp_path / FILE_NAME).alone),
    )
    started, released = threading.Event(), threading.Event()
    ran: list[str] = []

    def hold() -> None:
        started.set()
        released.wait(60)

    mine.add(Task("sweep", 0.01, hold, alone=True))
    others.add(Task("sweep", 0.01, lambda: ran.append("sweep"), alone=True))
    others.add(Task("count", 0.01, lambda: ran.append("count")))
    mine.start()
    assert started.wait(60)
    others.start()
    deadline = time.monotonic() + 60
    while ran.count("count") < 10:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert "sweep" not in ran
    mine_stops = threading.Thread(target=mine.stop)
    mine_stops.start()
    released.set()
    mine_stops.join()
    while "sweep" not in ran:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    others.stop()


def test_what_was_not_started_can_be_stopped(tmp_path: Path) -> None:
    ran: list[str] = []
    runner = background.Background(SQLite(tmp_path / FILE_NAME).alone)
    runner.add(Task("never", 1, lambda: ran.append("never"), at_end=True))
    runner.stop()
    assert ran == []
