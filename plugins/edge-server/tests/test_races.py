"""Many at once, over four workers: one name goes to one of them, and one key has one effect.

`EDGE_RACE_ROUNDS` says how often each race is run: once here, 20 times for a thorough run.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import os
import secrets
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests
import sqlalchemy as sa

from edge_server.identity.models import Membership, Organization, Token, User
from edge_server.testing.local_server import EdgeServer
from edge_server.web import idempotency
from edge_server.web.idempotency_keys import IdempotencyKey

from .engines import ENGINES, is_postgresql, url_of
from .postgresql import scratch_postgresql
from .wire import Api, client, close_all

pytestmark = pytest.mark.slow

ROUNDS = int(os.environ.get("EDGE_RACE_ROUNDS", "1"))
AT_ONCE = 100


@pytest.fixture(scope="module", params=["postgresql"] if is_postgresql() else ENGINES)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EdgeServer]:
    with contextlib.ExitStack() as stack:
        patched = stack.enter_context(pytest.MonkeyPatch.context())
        # Two hundred who invite at once, again and again.
        patched.setenv("EDGE_SERVER_LIMITS_INVITING", "1000000 per 10 seconds")
        url = url_of(stack.enter_context(scratch_postgresql())) if request.param == "postgresql" else None
        own = EdgeServer(Path(tmp_path_factory.mktemp("races")) / "data", database_url=url)
        # PostgreSQL has a hundred connections.
        own.start("--workers", "4", "--threads", "32" if url is None else "8")
        yield own
        close_all()
        own.close()


@pytest.fixture
def callers(server: EdgeServer) -> list[Api]:
    """A hundred connections of one server admin, each of which is open already."""
    token = server.create_token("admin")
    opened = [client(server, token, "default") for _ in range(AT_ONCE)]
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        assert {answer.status_code for answer in pool.map(lambda api: api.call("GET", "/healthz"), opened)} == {200}
    return opened


def at_once(callers: list[Api], call: Callable[[Api], requests.Response]) -> list[requests.Response]:
    """The answers to one call by each, all sent at the same moment."""
    barrier = threading.Barrier(len(callers))

    def send(api: Api) -> requests.Response:
        barrier.wait(60)
        return call(api)

    with concurrent.futures.ThreadPoolExecutor(len(callers)) as pool:
        return list(pool.map(send, callers))


def count(server: EdgeServer, condition: sa.ColumnElement[bool]) -> int:
    with server.database.read() as session:
        return session.scalar(sa.select(sa.func.count()).where(condition)) or 0


def codes(answers: list[requests.Response]) -> Counter[str]:
    return Counter(answer.json().get("code", "done") for answer in answers)


def test_of_many_who_create_the_same_name_a_single_request_wins(server: EdgeServer, callers: list[Api]) -> None:
    for _ in range(ROUNDS):
        name = f"race-{secrets.token_hex(4)}"
        races = {
            "organizations": {"name": name},
            "users": {"user_name": name},
        }
        for kind, body in races.items():
            answers = at_once(callers, lambda api, k=kind, b=body: api.call("POST", f"/v1/admin/{k}", json=b))
            assert codes(answers) == {"done": 1, "already_exists": AT_ONCE - 1}, kind
        assert count(server, Organization.name == name) == 1
        assert count(server, User.user_name == name) == 1
        path = f"/v1/orgs/{name}/members"
        answers = at_once(callers, lambda api, p=path, n=name: api.call("POST", p, json={"user_name": n}))
        assert codes(answers) == {"done": 1, "already_exists": AT_ONCE - 1}
        with server.database.read() as session:
            members = sa.select(Membership).join(Organization).where(Organization.name == name)
            assert len(session.scalars(members).all()) == 1


def test_of_many_who_accept_an_invitation_a_single_user_gets_a_token(server: EdgeServer, callers: list[Api]) -> None:
    for _ in range(ROUNDS):
        name = f"race-{secrets.token_hex(4)}"
        callers[0].call("POST", "/v1/admin/organizations", json={"name": name})
        invited = callers[0].call("POST", f"/v1/orgs/{name}/invitations", json={"user_name": name})
        code = invited.json()["code"]
        strangers = [Api(caller.url, None, name, caller.http) for caller in callers]
        answers = at_once(strangers, lambda api, c=code: api.call("POST", "/v1/invitations/accept", json={"code": c}))
        assert codes(answers) == {"done": 1, "conflict": AT_ONCE - 1}
        assert count(server, (User.user_name == name) & (Token.user_id == User.id)) == 1


def test_of_many_who_change_the_same_state_a_single_request_wins(server: EdgeServer, callers: list[Api]) -> None:
    for _ in range(ROUNDS):
        name = f"race-{secrets.token_hex(4)}"
        created = callers[0].call("POST", "/v1/admin/organizations", json={"name": name})
        headers = {"If-Match": created.headers["ETag"], "Content-Type": "application/merge-patch+json"}
        path = f"/v1/admin/organizations/{name}"

        def change(api: Api, p: str = path, h: dict[str, str] = headers) -> requests.Response:
            return api.call("PATCH", p, json={"title": secrets.token_hex(4)}, headers=h)

        assert codes(at_once(callers, change)) == {"done": 1, "changed": AT_ONCE - 1}


def test_many_sends_of_the_same_key_make_a_single_row(server: EdgeServer, callers: list[Api]) -> None:
    for _ in range(ROUNDS):
        name = f"race-{secrets.token_hex(4)}"
        headers = {idempotency.HEADER: name}
        answers = at_once(
            callers,
            lambda api, n=name, h=headers: api.call("POST", "/v1/admin/organizations", json={"name": n}, headers=h),
        )
        counts = codes(answers)
        assert counts["done"] >= 1
        assert set(counts) <= {"done", "idempotency_in_progress"}
        assert len({answer.content for answer in answers if answer.status_code == 201}) == 1
        assert count(server, Organization.name == name) == 1
        assert count(server, IdempotencyKey.key == name) == 1
        # And of a token: one row, whose value is the one of the last answer.
        headers = {idempotency.HEADER: f"{name}-token"}
        body = {"note": name}
        answers = at_once(
            callers, lambda api, b=body, h=headers: api.call("POST", "/v1/users/me/tokens", json=b, headers=h)
        )
        assert set(codes(answers)) <= {"done", "idempotency_in_progress"}
        assert count(server, Token.note == name) == 1
        values = {answer.json()["token"] for answer in answers if answer.status_code == 201}
        good = [
            value
            for value in values
            if requests.get(
                f"{server.url}/v1/users/me", headers={"Authorization": f"Bearer {value}"}, timeout=60
            ).status_code
            == 200
        ]
        assert len(good) == 1
