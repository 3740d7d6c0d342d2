"""Requests sent again under the key they first came with."""

from __future__ import annotations

import concurrent.futures
import contextlib
import datetime as dt
import errno
import hashlib
import io
import json
import os
import re
import secrets
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import sqlalchemy as sa
from alembic import command
from flask.testing import FlaskClient

import edge_server.data.migrations
from edge_server.base import clock
from edge_server.base.problems import Refusal
from edge_server.data.database import FILE_NAME, SERVER, Database
from edge_server.data.migration import migrate, own_history
from edge_server.files import tree
from edge_server.files.models import Node, Upload
from edge_server.files.tree import Tree
from edge_server.identity import directory, queries, token_values
from edge_server.identity.models import Membership, User
from edge_server.keys.signing import Signer
from edge_server.run import permission_table
from edge_server.run.app import build, engines_at
from edge_server.run.openapi import document
from edge_server.testing.local_server import EdgeServer
from edge_server.web import idempotency, idempotency_keys, leases
from edge_server.web.idempotency_keys import IdempotencyKey
from edge_server.web.leases import LEASE
from edge_server.web.permissions import Rule

from .engines import bytes_in, sqlite_only
from .stores import environment_of
from .wire import Api, client, close_all, refused, session
from .work import Watch, Work

RULES = permission_table.rules()


def new_key() -> str:
    return secrets.token_hex(16)


def post(api: Api, path: str, key: str, body: Any, **options: Any) -> requests.Response:
    headers = {idempotency.HEADER: key, **options.pop("headers", {})}
    return api.files("POST", path, json=body, headers=headers, **options)


def same(answer: requests.Response, first: requests.Response) -> None:
    """That `answer` is the one that was given before."""
    assert answer.headers.get(idempotency.REPLAYED) == "true"
    assert idempotency.REPLAYED not in first.headers
    assert (answer.status_code, answer.content) == (first.status_code, first.content)
    for name in ("Content-Type", "Content-Length"):
        assert answer.headers[name] == first.headers[name]


def row(server: EdgeServer, key: str) -> IdempotencyKey:
    with server.database.read() as reading:
        return reading.scalars(sa.select(IdempotencyKey).where(IdempotencyKey.key == key)).one()


def change(server: EdgeServer, key: str, **values: Any) -> None:
    with server.database.write(SERVER) as writing:
        writing.execute(sa.update(IdempotencyKey).where(IdempotencyKey.key == key).values(**values))


def every_operation(api: Api) -> list[tuple[str, dict[str, Any]]]:
    """Address and body of a request of each kind whose answer is kept, each of which can be run only once."""
    api.put("from")
    return [
        ("/folders", {"path": "made/by/key"}),
        ("/move", {"path": "from", "new_path": "to"}),
        ("/uploads", {"path": "started", "size": 10}),
    ]


# --- the same again


def test_the_same_request_gets_the_same_answer_and_has_a_single_effect(api: Api, edge_server: EdgeServer) -> None:
    for path, body in every_operation(api):
        key = new_key()
        first = post(api, path, key, body)
        assert first.status_code in (200, 201), first.text
        for _ in range(2):
            same(post(api, path, key, body), first)
    assert sorted(api.names()) == ["made", "to"]
    with edge_server.database.read() as reading:
        assert reading.scalars(sa.select(sa.func.count()).where(Upload.path == "started")).one() == 1


def test_without_a_key_nothing_is_kept(api: Api, edge_server: EdgeServer) -> None:
    def count() -> int:
        with edge_server.database.read() as reading:
            return reading.scalars(sa.select(sa.func.count()).select_from(IdempotencyKey)).one()

    before = count()
    assert api.files("POST", "/folders", json={"path": "a"}).status_code == 201
    refused(api.files("POST", "/folders", json={"path": "a"}), 409, "already_exists")
    assert count() == before


def test_a_refusal_is_replayed_also_when_it_would_no_longer_be_refused(api: Api) -> None:
    api.put("a")
    key = new_key()
    first = post(api, "/folders", key, {"path": "a"})
    refused(first, 409, "already_exists")
    api.files("DELETE", "/entry", params={"path": "a"})
    again = post(api, "/folders", key, {"path": "a"})
    same(again, first)
    # The document names the request that was refused, the header the one at hand.
    assert again.json()["request_id"] != again.headers["X-Request-ID"]
    assert api.names() == []
    assert post(api, "/folders", new_key(), {"path": "a"}).status_code == 201


def test_what_is_not_valid_leaves_no_key(api: Api, edge_server: EdgeServer) -> None:
    for body, status in (({"path": 1}, 422), ({"path": ".."}, 400), ({"path": "b", "more": 1}, 422)):
        key = new_key()
        for _ in range(2):
            answer = post(api, "/folders", key, body)
            refused(answer, status, "bad_entry")
            assert idempotency.REPLAYED not in answer.headers
        with pytest.raises(sa.exc.NoResultFound):
            row(edge_server, key)
        assert post(api, "/folders", key, {"path": key}).status_code == 201, "it is free for what is valid"


def test_a_user_has_so_many_keys_at_a_time(
    inside: Inside, edge_server: EdgeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(idempotency, "MOST_KEYS", 3)
    keys = [new_key() for _ in range(4)]
    for key in keys[:3]:
        assert inside.make(key, key).status_code == 201
    change(edge_server, keys[1], expires_at=clock.now() + dt.timedelta(hours=3))
    answer = inside.make(keys[3], keys[3])
    assert (answer.status_code, answer.json["code"]) == (429, "too_many_keys")
    assert 3 * 3600 - 60 < int(answer.headers["Retry-After"]) <= 3 * 3600
    # None is forgotten before its time.
    for key in keys[:3]:
        assert inside.make(key, key).headers[idempotency.REPLAYED] == "true"
    # Without a key everything goes on, and with one again once an older one has expired.
    headers = {"Authorization": f"Bearer {inside.token}"}
    assert inside.http.post(inside.url, json={"path": "keyless"}, headers=headers).status_code == 201
    change(edge_server, keys[1], expires_at=clock.now())
    assert inside.make(keys[3], keys[3]).status_code == 201


def test_keys_that_are_let_go_make_room(
    inside: Inside, edge_server: EdgeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(idempotency, "MOST_KEYS", 2)
    for _ in range(3):
        assert inside.make(new_key(), "..").status_code == 400
    keys = [new_key() for _ in range(3)]
    for key in keys[:2]:
        assert inside.make(key, key).status_code == 201
    assert inside.make(keys[2], keys[2]).status_code == 429
    # What others' requests clear away is room as well.
    change(edge_server, keys[0], expires_at=clock.now())
    with edge_server.database.write(SERVER) as writing:
        idempotency_keys.sweep(writing.connection(), clock.now(), 0)
    assert inside.make(keys[2], keys[2]).status_code == 201
    assert inside.make(new_key(), "more").status_code == 429


def test_a_starting_server_counts_the_keys_anew(
    inside: Inside, edge_server: EdgeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(idempotency, "MOST_KEYS", 2)
    assert inside.make(new_key(), "counted").status_code == 201
    with edge_server.database.write(SERVER) as writing:
        writing.execute(sa.update(User).values(key_count=0))
        idempotency.release_all(writing)
    assert inside.make(new_key(), "another").status_code == 201
    assert inside.make(new_key(), "beyond").status_code == 429


def test_a_key_costs_the_same_however_many_there_are(inside: Inside, edge_server: EdgeServer) -> None:
    def work(name: str) -> list[Work]:
        with Watch(edge_server.database).watching() as done:
            assert inside.make(new_key(), name).status_code == 201
        return [transaction for transaction in done if transaction.writes]

    def add(count: int) -> None:
        with edge_server.database.write(SERVER) as writing:
            user = queries.holder(writing.connection(), token_values.digest(inside.token))
            assert user is not None
            common = {"user_id": user.user_id, "fingerprint": "", "expires_at": clock.now() + idempotency.LIFETIME}
            writing.execute(sa.insert(IdempotencyKey), [{**common, "key": new_key()} for _ in range(count)])
            idempotency.release_all(writing)

    inside.make(new_key(), "first")
    add(10)
    # Both names are new words of as many trigrams, each of which is a row of the search index.
    few = work("plates")
    add(4000)
    many = work("months")
    assert [(each.statements, each.rows) for each in many] == [(each.statements, each.rows) for each in few]
    # Finds the key, sweeps, counts, adds; and waits for who writes the same, where that is a statement.
    assert few[0].statements == 4 + edge_server.database.is_shared
    assert sum(each.steps for each in many) <= sum(each.steps for each in few) + 2


def test_a_query_in_another_order_is_the_same_request(api: Api) -> None:
    key = new_key()
    first = post(api, "/folders?x=1&y=2&x=0", key, {"path": "a"})
    assert first.status_code == 201
    same(post(api, "/folders?y=2&x=0&x=1", key, {"path": "a"}), first)


def test_another_request_under_the_key_is_refused(api: Api, edge_server: EdgeServer) -> None:
    api.put("from")
    key = new_key()
    first = post(api, "/folders", key, {"path": "a"})
    other = client(edge_server, api.token, edge_server.create_organization())
    with edge_server.database.write(SERVER) as writing:
        organization = directory.find_organization(writing, other.organization)
        holder = queries.holder(writing.connection(), token_values.digest(api.token or ""))
        assert organization is not None
        assert holder is not None
        directory.add_member(writing, writing.get_one(User, holder.user_id), organization)
    for caller, path, body in (
        (api, "/folders", {"path": "b"}),
        (api, "/folders", {"path": "a", "exist_ok": False}),
        (api, "/folders?x=1", {"path": "a"}),
        (api, "/uploads", {"path": "a"}),
        (other, "/folders", {"path": "a"}),
    ):
        refused(post(caller, path, key, body), 422, "idempotency_mismatch")
    assert api.names() == ["a", "from"]
    same(post(api, "/folders", key, {"path": "a"}), first)


def test_a_key_is_its_users_own(api: Api, edge_server: EdgeServer) -> None:
    key = new_key()
    other = client(edge_server, None, api.organization)
    other.token = edge_server.create_token(edge_server.create_user(organization=api.organization))
    assert post(api, "/folders", key, {"path": "a"}).status_code == 201
    refused(post(other, "/folders", key, {"path": "a"}), 409, "already_exists")
    # Another token of the same user is the same user.
    with edge_server.database.read() as reading:
        holder = queries.holder(reading.connection(), token_values.digest(api.token or ""))
    assert holder is not None
    api.token = edge_server.create_token(holder.user_name)
    assert post(api, "/folders", key, {"path": "a"}).headers[idempotency.REPLAYED] == "true"


def test_an_answer_is_replayed_only_to_who_may_still_ask(api: Api, edge_server: EdgeServer) -> None:
    key = new_key()
    assert post(api, "/folders", key, {"path": "a"}).status_code == 201
    with edge_server.database.write(SERVER) as writing:
        holder = queries.holder(writing.connection(), token_values.digest(api.token or ""))
        assert holder is not None
        writing.execute(sa.delete(Membership).where(Membership.user_id == holder.user_id))
    refused(post(api, "/folders", key, {"path": "a"}), 404, "not_found")
    stranger = client(edge_server, None, api.organization)
    refused(post(stranger, "/folders", key, {"path": "a"}), 401, "unauthenticated")


# --- keys


@pytest.mark.parametrize("key", ["x", "x" * 255, "a b~!,;", '"8e03978e-40d5-43dd-bc93-6894a57f9324"'])
def test_a_key_is_printable_text(api: Api, key: str) -> None:
    first = post(api, "/folders", key, {"path": "a"})
    assert first.status_code == 201
    same(post(api, "/folders", key, {"path": "a"}), first)


@pytest.mark.parametrize("key", ["", "x" * 256, "é".encode("latin-1"), "é".encode(), b"a\tb"])
def test_what_is_no_key_is_refused(api: Api, key: Any) -> None:
    problem = refused(post(api, "/folders", key, {"path": "a"}), 400, "bad_entry")
    assert problem["detail"].startswith("Idempotency-Key: ")
    assert api.names() == []


def test_what_only_reads_looks_at_no_key(api: Api) -> None:
    headers = {idempotency.HEADER: ""}
    api.put("a")
    assert api.files("GET", "/content", params={"path": "a"}, headers=headers).status_code == 200
    refused(api.call("POST", "/v1/meta", headers=headers), 405, "method_not_allowed")
    refused(api.call("POST", "/v1/none", headers=headers), 404, "unknown_route")


def test_a_body_that_is_too_large_is_refused_with_a_key_too(api: Api) -> None:
    headers = {"Content-Type": "application/json", idempotency.HEADER: new_key()}
    refused(api.files("POST", "/folders", data=bytes(9 << 20), headers=headers), 413, "too_large")
    chunked = (bytes(1 << 20) for _ in range(9))
    refused(api.files("POST", "/folders", data=chunked, headers=headers), 413, "too_large")
    # The connection can be used again, and so can the key: it has not been claimed.
    assert api.files("POST", "/folders", data=b'{"path": "a"}', headers=headers).status_code == 201


# --- time


def test_a_key_is_forgotten_after_24_hours(api: Api, edge_server: EdgeServer) -> None:
    key, other = new_key(), new_key()
    assert post(api, "/folders", key, {"path": "a"}).status_code == 201
    assert post(api, "/folders", other, {"path": "b"}).status_code == 201
    left = row(edge_server, key).expires_at - clock.now()
    assert dt.timedelta(hours=23, minutes=59) < left <= dt.timedelta(hours=24)
    change(edge_server, key, expires_at=clock.now() + dt.timedelta(minutes=1))
    assert idempotency.REPLAYED in post(api, "/folders", key, {"path": "a"}).headers
    for expired in (key, other):
        change(edge_server, expired, expires_at=clock.now())
    # As new: it takes another request, and is good for another 24 hours.
    assert post(api, "/folders", key, {"path": "c"}).status_code == 201
    assert row(edge_server, key).expires_at - clock.now() > dt.timedelta(hours=23)
    # And it has paid for the other one.
    with pytest.raises(sa.exc.NoResultFound):
        row(edge_server, other)


def test_a_request_that_runs_holds_the_others_back_until_its_claim_lapses(api: Api, edge_server: EdgeServer) -> None:
    key = new_key()
    post(api, "/folders", key, {"path": "a"})
    api.files("DELETE", "/entry", params={"path": "a"})
    soon = clock.now() + dt.timedelta(minutes=1)
    change(edge_server, key, status=None, claim="another", claimed_until=soon)
    problem = post(api, "/folders", key, {"path": "a"})
    refused(problem, 409, "idempotency_in_progress")
    assert problem.headers["Retry-After"] == "60"
    refused(post(api, "/folders", key, {"path": "b"}), 422, "idempotency_mismatch")
    change(edge_server, key, claimed_until=clock.now())
    answer = post(api, "/folders", key, {"path": "a"})
    assert answer.status_code == 201
    assert idempotency.REPLAYED not in answer.headers


@pytest.mark.slow
def test_of_a_hundred_sent_at_once_a_single_request_runs(api: Api, edge_server: EdgeServer) -> None:
    key = new_key()
    threads = threading.local()

    def send(_: int) -> requests.Response:
        if not hasattr(threads, "api"):
            threads.api = Api(api.url, api.token, api.organization, session())
        return post(threads.api, "/folders", key, {"path": "a/b"})

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(send, range(100)))
    created = [answer for answer in answers if answer.status_code == 201]
    assert len({answer.content for answer in created}) == 1
    assert [idempotency.REPLAYED in answer.headers for answer in created].count(False) == 1
    for answer in answers:
        if answer not in created:
            refused(answer, 409, "idempotency_in_progress")
            # By when the claim lapses, should its holder have died.
            assert 1 <= int(answer.headers["Retry-After"]) <= leases.LEASE.total_seconds()
    assert api.names() == ["a"]
    assert api.names("a") == ["b"]
    row(edge_server, key)
    same(send(0), next(answer for answer in created if idempotency.REPLAYED not in answer.headers))


# --- what is not kept


class Inside:
    """The server within this process, so that it can be made to fail."""

    def __init__(self, server: EdgeServer, api: Api) -> None:
        engines = engines_at(server.data, Signer(b""), database=server.database)
        self.http: FlaskClient = build(engines).test_client()
        self.renew = engines.leases.renew
        self.url = f"/v1/orgs/{api.organization}/files/folders"
        self.token = api.token

    def make(self, key: str, path: str, **options: Any) -> Any:
        headers = {"Authorization": f"Bearer {self.token}", idempotency.HEADER: key}
        return self.http.post(self.url, json={"path": path}, headers=headers, **options)


@pytest.fixture
def inside(edge_server: EdgeServer, api: Api) -> Iterator[Inside]:
    before = edge_server.database.before_commit
    yield Inside(edge_server, api)
    edge_server.database.before_commit = before


def failing(error: Exception) -> Callable[..., Any]:
    def fail(*_: object, **__: object) -> None:
        raise error

    return fail


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (RuntimeError("broken"), 500),
        (OSError(errno.ENOSPC, "full"), 507),
        (sa.exc.OperationalError("", {}, Exception("database is locked")), 503),
        (Refusal(401, "unauthenticated", "not now"), 401),
        (Refusal(403, "forbidden", "not you"), 403),
        (Refusal(408, "timeout", "too slow"), 408),
        (Refusal(429, "too_many", "slow down"), 429),
        (Refusal(409, "conflict", "try again", {"Retry-After": "1"}), 409),
    ],
)
def test_an_answer_that_is_not_final_lets_the_next_request_run(
    inside: Inside, api: Api, edge_server: EdgeServer, monkeypatch: pytest.MonkeyPatch, error: Exception, status: int
) -> None:
    key = new_key()
    with monkeypatch.context() as patched:
        patched.setattr(Tree, "make_folder", failing(error))
        assert inside.make(key, "a").status_code == status
    kept = row(edge_server, key)
    assert (kept.claim, kept.status, kept.body) == (None, None, None)
    refused(post(api, "/folders", key, {"path": "b"}), 422, "idempotency_mismatch")
    answer = inside.make(key, "a")
    assert answer.status_code == 201
    assert idempotency.REPLAYED not in answer.headers
    assert inside.make(key, "a").headers[idempotency.REPLAYED] == "true"


def test_a_body_that_stalls_leaves_the_key_free(inside: Inside, edge_server: EdgeServer) -> None:
    class Stalled(io.RawIOBase):
        def readable(self) -> bool:
            return True

        def readinto(self, _: Any) -> int:
            raise TimeoutError

    key = new_key()
    answer = inside.make(key, "a", environ_overrides={"wsgi.input": Stalled()})
    assert (answer.status_code, answer.json["code"]) == (408, "timeout")
    assert inside.make(key, "a").status_code == 201


def test_an_answer_that_cannot_be_kept_goes_out_all_the_same(
    inside: Inside, api: Api, edge_server: EdgeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.put("a")
    key = new_key()
    with monkeypatch.context() as patched:
        patched.setattr(idempotency, "_settle", failing(sa.exc.OperationalError("", {}, Exception("locked"))))
        assert inside.make(key, "a").json["code"] == "already_exists"
    assert row(edge_server, key).claim is not None
    assert inside.make(key, "a").json["code"] == "already_exists", "its process knows that it has ended"
    assert row(edge_server, key).claim is None


def test_a_request_that_outlived_its_claim_has_no_effect(
    inside: Inside, api: Api, edge_server: EdgeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    parse = tree.parse_new
    key = new_key()

    def slow(path: str) -> tree.Segments:
        soon = clock.now() + dt.timedelta(minutes=1)
        change(edge_server, key, claim="another", claimed_until=soon)
        return parse(path)

    with monkeypatch.context() as patched:
        patched.setattr(tree, "parse_new", slow)
        answer = inside.make(key, "a")
    assert (answer.status_code, answer.json["code"]) == (409, "idempotency_in_progress")
    assert api.names() == []
    assert row(edge_server, key).claim == "another"


def test_a_request_that_takes_long_renews_its_claim(
    inside: Inside, edge_server: EdgeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    parse = tree.parse_new
    key, begun = new_key(), clock.now()
    passed: list[dt.timedelta] = [dt.timedelta()]
    left = []

    def slow(path: str) -> tree.Segments:
        for _ in range(5):
            passed[0] += LEASE * 0.4
            inside.renew()
            until = row(edge_server, key).claimed_until
            assert until is not None
            left.append(until - clock.now())
        return parse(path)

    monkeypatch.setattr(clock, "now", lambda: begun + passed[0])
    monkeypatch.setattr(tree, "parse_new", slow)
    assert inside.make(key, "a").status_code == 201
    assert min(left) > dt.timedelta()
    passed[0] += LEASE
    inside.renew()
    assert row(edge_server, key).claimed_until is None, "its answer is there"


# --- signatures


def test_an_upload_is_completed_once_however_often_and_needs_no_key_for_that(api: Api, edge_server: EdgeServer) -> None:
    upload, key = api.start("completed", 3)["id"], new_key()
    part = api.part(upload, 1, b"abc")
    completion = {"sha256": hashlib.sha256(b"abc").hexdigest(), "parts": [part]}
    first = post(api, f"/uploads/{upload}/complete", key, completion)
    again = post(api, f"/uploads/{upload}/complete", key, completion)
    assert first.status_code == again.status_code == 200
    assert first.json() == again.json()
    assert idempotency.REPLAYED not in again.headers
    with pytest.raises(sa.exc.NoResultFound):
        row(edge_server, key)


def test_an_answer_with_signatures_is_signed_anew_and_never_kept(api: Api, edge_server: EdgeServer) -> None:
    upload, key = api.start("a", 1)["id"], new_key()
    body = {"parts": [{"n": 1}]}
    url = ""
    for n in range(2):
        answer = post(api, f"/uploads/{upload}/sign", key, body)
        assert answer.status_code == 200
        assert idempotency.REPLAYED not in answer.headers
        url = answer.json()["parts"][0]["url"]
        assert api.signed("PUT", url, data=b"%d" % n).status_code == 200
    with pytest.raises(sa.exc.NoResultFound):
        row(edge_server, key)
    signature = url.partition("signature=")[2].partition("&")[0].encode()
    assert len(signature) == 43
    held = bytes_in(edge_server.database)
    assert upload.encode() in held
    assert signature not in held
    assert b"signature=" not in held
    assert b"/parts/" not in held


# --- crashes

FRAGILE = """
import os, signal, sys
import flask
from edge_server.files.tree import Tree
from edge_server.run.command import server
from edge_server.web import idempotency

def die_at(moment):
    if flask.request.headers.get("Die") == moment:
        os.kill(os.getpid(), signal.SIGKILL)

make_folder, after = Tree.make_folder, idempotency._after

def fragile_make_folder(*args, **options):
    die_at("claimed")
    node = make_folder(*args, **options)
    die_at("written")
    return node

def fragile_after(response):
    die_at("committed")
    return after(response)

Tree.make_folder, idempotency._after = fragile_make_folder, fragile_after
server(["run", "--port", "0", "--data", sys.argv[1]])
"""


@pytest.fixture
def fragile(tmp_path: Path) -> Iterator[tuple[EdgeServer, Api]]:
    """A server whose worker dies where a request says, and its admin."""
    server = EdgeServer(tmp_path / "data")
    arguments = [sys.executable, "-c", FRAGILE, str(server.data)]
    environment = os.environ | environment_of(server.data)
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, start_new_session=True, env=environment)
    try:
        assert process.stdout is not None
        settings = "".join(process.stdout.readline() for _ in range(4))
        url = re.search(r"SERVICE_URL=(\S+)", settings)
        assert url is not None, settings
        server.url = url[1]
        yield server, client(server, server.create_token("admin"), "default")
    finally:
        close_all()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate(timeout=60)
        server.close()


def killed(api: Api, path: str, key: str, body: Any, moment: str) -> None:
    """Send a request that ends with the worker's death."""
    with pytest.raises(requests.ConnectionError):
        post(api, path, key, body, headers={"Die": moment})


@pytest.mark.slow
def test_what_was_committed_before_a_kill_is_answered_after_it(fragile: tuple[EdgeServer, Api]) -> None:
    _, api = fragile
    for path, body in every_operation(api):
        key = new_key()
        killed(api, path, key, body, "committed")
        answer = post(api, path, key, body)
        assert answer.status_code in (200, 201), answer.text
        assert answer.headers[idempotency.REPLAYED] == "true"
    assert sorted(api.names()) == ["made", "to"]


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["claimed", "written"])
def test_what_was_not_committed_before_a_kill_is_run_again(fragile: tuple[EdgeServer, Api], moment: str) -> None:
    server, api = fragile
    key, body = new_key(), {"path": "a"}
    killed(api, "/folders", key, body, moment)
    # Only the worker died: nobody knows until the claim lapses.
    assert api.names() == []
    left = row(server, key).claimed_until
    assert left is not None
    assert left - clock.now() <= LEASE
    change(server, key, claimed_until=clock.now())
    first = post(api, "/folders", key, body)
    assert first.status_code == 201
    same(post(api, "/folders", key, body), first)


@sqlite_only("a database that no other host may be using")
@pytest.mark.slow
def test_a_start_lets_go_of_what_the_server_before_was_at(fragile: tuple[EdgeServer, Api]) -> None:
    server, api = fragile
    key, done = new_key(), new_key()
    first = post(api, "/folders", done, {"path": "done"})
    killed(api, "/folders", key, {"path": "a"}, "written")
    os.killpg(json.loads((server.data / "server.json").read_text())["pid"], signal.SIGKILL)
    assert row(server, key).claim is not None
    server.start()
    api.url = server.url
    same(post(api, "/folders", done, {"path": "done"}), first)
    refused(post(api, "/folders", key, {"path": "b"}), 422, "idempotency_mismatch")
    answer = post(api, "/folders", key, {"path": "a"})
    assert answer.status_code == 201
    assert idempotency.REPLAYED not in answer.headers


# --- the database and the description


def test_a_database_without_keys_gets_them_and_keeps_what_it_has(tmp_path: Path) -> None:
    config = own_history().config()
    with contextlib.closing(Database(tmp_path / FILE_NAME)) as opened:
        with opened.write_connection() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "0001")
        token = token_values.new_token()
        now = "2024-01-01 00:00:00.000000"
        with opened.write(SERVER) as writing:
            # As the tables were then, which the models no longer know.
            for statement in (
                f"INSERT INTO organizations VALUES (1, 'o', 'kept', 'Kept', 'active', '{now}')",
                "INSERT INTO users (id, uid, user_name, server_admin, created_at) "
                f"VALUES (1, 'u', 'ada', false, '{now}')",
                "INSERT INTO memberships VALUES (1, 1, 1, false, false)",
                "INSERT INTO tokens (id, uid, user_id, prefix, digest, created_at) "
                f"VALUES (1, 't', 1, 'edg_', '{token_values.digest(token)}', '{now}')",
                *(
                    "INSERT INTO nodes (id, uid, organization_id, parent_id, name, modified_at) "
                    f"VALUES ({n}, 'n{n}', 1, {n - 1 or 'NULL'}, '{name}', '{now}')"
                    for n, name in enumerate(("", "a", "b"), 1)
                ),
            ):
                writing.execute(sa.text(statement))
        migrate(opened, tmp_path / "backups", [own_history()])
        assert opened.revision() == edge_server.data.migrations.HEAD
        assert opened.is_shared or len(list((tmp_path / "backups").iterdir())) == 1
        with opened.read() as reading:
            assert reading.scalars(sa.select(sa.func.count()).select_from(Node)).one() == 3
            assert reading.scalars(sa.select(sa.func.count()).select_from(IdempotencyKey)).one() == 0
            assert queries.holder(reading.connection(), token_values.digest(token)) is not None
        with opened.write_connection() as connection:
            config.attributes["connection"] = connection
            command.downgrade(config, "0001")
        with opened.read() as reading:
            assert reading.scalars(sa.select(sa.func.count()).select_from(Node)).one() == 3


def test_the_description_has_the_key_with_whatever_changes_something() -> None:
    described = document()
    key = {"$ref": "#/components/parameters/IdempotencyKey"}
    assert described["components"]["parameters"]["IdempotencyKey"]["name"] == idempotency.HEADER
    count = 0
    for path in described["paths"].values():
        for method, operation in path.items():
            if method == "parameters":
                continue
            honoured = method != "get" and RULES[operation["operationId"]] not in (Rule.ANYONE, Rule.HUB)
            # These can be repeated without.
            repeatable = ("files.uploads.sign", "files.uploads.complete", "files.read_batch")
            honoured = honoured and operation["operationId"] not in repeatable
            # Accepting an invitation has no caller yet, and keeps the key with the invitation.
            by_itself = operation["operationId"] == "invitations.accept"
            assert (key in operation.get("parameters", [])) is (honoured or by_itself)
            count += honoured
            assert ("422" in operation["responses"]) is honoured
            assert ("409" in operation["responses"]) is (honoured and method == "post")
    assert count >= 50
    responses = str(described["components"]["responses"])
    assert "idempotency_in_progress" in responses
    assert "idempotency_mismatch" in responses
