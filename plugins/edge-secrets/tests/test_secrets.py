"""session.secrets against a live server."""

from __future__ import annotations

import concurrent.futures
import copy
import json
import logging
import pickle
import secrets as random
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from werkzeug.test import TestResponse

from edge_core.errors import AlreadyExists, ApiError, BadEntry, BadResponse, Conflict, EdgeError, Forbidden, NotFound
from edge_core.session import EdgeSession
from edge_secrets.namespace import EdgeSecrets
from edge_secrets.wire import MAX_BYTES, MAX_DEPTH, MAX_NAME, encode
from edge_server.data.database import SERVER
from edge_server.testing.local_server import EdgeServer
from edge_server.testing.pytest_plugin import Join

Methods = dict[str, Callable[..., Any]]


def fresh() -> str:
    """A text that occurs nowhere else."""
    return f"content-{random.token_hex(12)}"


def of(session: EdgeSession, kind: str) -> Methods:
    """The five methods for user or organization secrets."""
    kept = session.secrets
    assert isinstance(kept, EdgeSecrets)
    lists = {"list": getattr(kept, f"list_{kind}_secrets")}
    return lists | {verb: getattr(kept, f"{verb}_{kind}_secret") for verb in ("read", "create", "update", "delete")}


@pytest.fixture(params=["user", "organization"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def kept(admin: EdgeSession, kind: str) -> Methods:
    """The methods of each kind, for an admin, who may call them all."""
    return of(admin, kind)


def nested(depth: int) -> dict[str, Any]:
    content: Any = "x"
    for n in range(depth):
        content = {"x": content} if n % 2 or n == depth - 1 else [content]
    assert isinstance(content, dict)
    return content


def test_a_secret_is_created_read_replaced_and_deleted(kept: Methods) -> None:
    password = fresh()
    assert kept["list"]() == []
    kept["create"]("warehouse", {"user": "lab", "password": password})
    assert kept["list"]() == ["warehouse"]
    assert kept["read"]("warehouse") == {"user": "lab", "password": password}
    kept["update"]("warehouse", {"token": password})
    assert kept["read"]("warehouse") == {"token": password}
    kept["delete"]("warehouse")
    assert kept["list"]() == []
    for verb, arguments in (("read", ()), ("delete", ()), ("update", ({"a": 1},))):
        with pytest.raises(NotFound, match="there is no secret 'warehouse'"):
            kept[verb]("warehouse", *arguments)


CONTENTS: list[dict[str, Any]] = [
    {},
    {"": ""},
    {"null": None, "true": True, "one": 1, "float": 1.5, "tiny": 5e-324, "large": 2**80, "list": [1, [2, {"a": None}]]},
    {
        "snowman": "\u2603",
        "emoji": "\U0001f600",
        "nul": "a\0b",
        "lines": "a\r\nb\u2028",
        "quote": '"\\/',
        "ключ": "e\u0301",
    },
    {"content": {"content": {"content": 1}}, "name": "x", "__proto__": {}},
    {"x": "a" * (MAX_BYTES - 8)},
    nested(MAX_DEPTH - 1),
    {str(n): n for n in range(5000)},
]


@pytest.mark.parametrize("content", CONTENTS, ids=range(len(CONTENTS)))
def test_what_goes_in_comes_out(kept: Methods, content: dict[str, Any]) -> None:
    kept["create"]("one", content)
    assert kept["read"]("one") == content
    assert list(kept["read"]("one")) == list(content)
    kept["update"]("one", {"a": 1})
    kept["update"]("one", content)
    assert json.dumps(kept["read"]("one")) == json.dumps(content)


def recursive() -> dict[str, Any]:
    content: dict[str, Any] = {}
    content["self"] = content
    return content


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ({"x": "a" * (MAX_BYTES - 7)}, f"has {MAX_BYTES + 1} bytes as JSON, and {MAX_BYTES} are the most"),
        ({"x": "\u2603" * (MAX_BYTES // 3)}, "are the most"),
        (nested(MAX_DEPTH + 1), f"more than {MAX_DEPTH} levels deep"),
        (nested(100_000), f"more than {MAX_DEPTH} levels deep"),
        (recursive(), f"more than {MAX_DEPTH} levels deep"),
        ({"x": float("nan")}, "infinity or NaN"),
        ({"x": [float("inf")]}, "infinity or NaN"),
        ({"x": 10**5000}, "a number too long"),
        ({"x": "\ud800"}, "not valid Unicode"),
        ({"\udfff": 1}, "not valid Unicode"),
        ({1: "x"}, "a name that is not text"),
        ({"x": {None: "x"}}, "a name that is not text"),
        ({"x": b"bytes"}, "holds a bytes, which JSON cannot express"),
        ({"x": {"set"}}, "holds a set, which JSON cannot express"),
        ("text", "a secret is a dictionary, not a str"),
        ([("a", 1)], "a secret is a dictionary, not a list"),
        (None, "a secret is a dictionary, not a NoneType"),
    ],
    ids=range(17),
)
def test_what_cannot_be_a_secret_is_refused(kept: Methods, content: Any, sentence: str) -> None:
    kept["create"]("there", {"a": 1})
    with pytest.raises(BadEntry, match=sentence):
        kept["create"]("one", content)
    with pytest.raises(BadEntry, match=sentence):
        kept["update"]("there", content)
    assert kept["list"]() == ["there"]
    assert kept["read"]("there") == {"a": 1}


BAD_NAMES: list[Any] = [
    *("", " ", "a b", "a/b", "..", ".", "a.b", "a\n", "a\0", "é", "ключ", "\uff11", "%41", "a" * (MAX_NAME + 1)),
    *(None, 3, b"a", ["a"], {"password": "x"}),
]


@pytest.mark.parametrize("name", BAD_NAMES, ids=range(len(BAD_NAMES)))
def test_what_cannot_be_a_name_is_refused(kept: Methods, name: Any) -> None:
    for verb, arguments in (("create", ({"a": 1},)), ("read", ()), ("update", ({"a": 1},)), ("delete", ())):
        with pytest.raises(BadEntry, match="a secret's name is 1 to 128 letters, digits, - and _"):
            kept[verb](name, *arguments)
    assert kept["list"]() == []


def test_the_server_refuses_the_same_whoever_asks(admin: EdgeSession, kind: str) -> None:
    """A client that checks nothing gets the same answers."""
    http = admin.secrets.http
    http.post(f"/{kind}", json={"name": "there", "content": {"a": 1}})

    def refuse(body: bytes, name: str = "one") -> str:
        headers = {"Content-Type": "application/json"}
        with pytest.raises(BadEntry) as created:
            whole = b'{"name": "%s", "content": %s}' % (name.encode("unicode_escape"), body)
            http.stream("POST", f"/{kind}", headers=headers, body=whole).close()
        if name == "one":
            with pytest.raises(BadEntry):
                http.stream("PUT", f"/{kind}/there", headers=headers, body=b'{"content": %s}' % body).close()
        return str(created.value)

    assert "are the most" in refuse(json.dumps({"x": "a" * MAX_BYTES}).encode())
    assert "are the most" in refuse(json.dumps({"x": "a" * (300 << 10)}).encode())
    assert "which is the most at this address" in refuse(json.dumps({"x": "a" * (9 << 20)}).encode())
    assert "levels deep" in refuse(json.dumps(nested(MAX_DEPTH + 1)).encode())
    refuse(b'{"x":' * 50_000 + b"1" + b"}" * 50_000)
    refuse(b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}")
    assert "infinity" in refuse(b'{"x": NaN}')
    assert "infinity" in refuse(b'{"x": 1e999}')
    assert "Unicode" in refuse(rb'{"x": "\ud800"}')
    for body in (b'"text"', b"[]", b"null", b"1", b'{"x": }', b"\xff"):
        refuse(body)
    for name in ("a b", "a\n", "", "a" * (MAX_NAME + 1)):
        refuse(b"{}", name)
    for more in ({"owner": "x"}, {"content": {}, "sealed": ""}):
        with pytest.raises(BadEntry):
            http.post(f"/{kind}", json={"name": "one", "content": {}, **more})
    for name in ("a.b", "a b", "\0", "a" * 129):
        with pytest.raises(NotFound, match="there is no secret"):
            http.get(f"/{kind}/{name}")
    with pytest.raises(BadEntry, match="cursor"):
        http.get(f"/{kind}", params={"cursor": "*"})
    assert [row["name"] for row in http.items(f"/{kind}")] == ["there"]


def test_names_differ_by_case(kept: Methods) -> None:
    names = ["-", "A", "B-2", "_", "a", "a-", "a_", "a" * MAX_NAME]
    for name in reversed(names):
        kept["create"](name, {"n": names.index(name)})
    assert kept["list"]() == sorted(names)
    assert [kept["read"](name)["n"] for name in names] == list(range(len(names)))


@pytest.mark.slow
def test_a_long_list_comes_whole_and_in_order(admin: EdgeSession, kept: Methods, kind: str) -> None:
    names = sorted(f"secret-{n}" for n in range(120))
    with concurrent.futures.ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda name: kept["create"](name, {}), names))
    assert [row["name"] for row in admin.secrets.http.items(f"/{kind}", params={"limit": 7})] == names
    assert kept["list"]() == names


def test_a_name_that_is_taken_is_refused(kept: Methods) -> None:
    kept["create"]("one", {"a": 1})
    with pytest.raises(AlreadyExists, match="there is a secret 'one' already"):
        kept["create"]("one", {"a": 2})
    assert kept["read"]("one") == {"a": 1}


# --- whose they are -------------------------------------------------------------------------------


def test_a_users_secrets_are_that_users_alone(
    edge_server: EdgeServer, edge_join: Join, ada: EdgeSession, admin: EdgeSession
) -> None:
    ada.secrets.create_user_secret("mine", {"a": 1})
    others = [admin, edge_join("admin", "developer"), edge_join("admin", server_admin=True), edge_join()]
    for other in others:
        assert other.secrets.list_user_secrets() == []
        for call in (
            lambda kept: kept.read_user_secret("mine"),
            lambda kept: kept.update_user_secret("mine", {}),
            lambda kept: kept.delete_user_secret("mine"),
            lambda kept: kept.read_organization_secret("mine"),
        ):
            with pytest.raises(NotFound):
                call(other.secrets)
        other.secrets.create_user_secret("mine", {"b": 2})
    assert ada.secrets.read_user_secret("mine") == {"a": 1}


def test_a_users_secrets_of_an_organization_are_not_in_another(edge_server: EdgeServer, edge_join: Join) -> None:
    from edge_server.identity import directory

    here, there = edge_server.create_organization(), edge_server.create_organization()
    user = edge_server.create_user(organization=here)
    with edge_server.database.write(SERVER) as session:
        user_row, organization_row = directory.find_user(session, user), directory.find_organization(session, there)
        assert user_row is not None
        assert organization_row is not None
        directory.add_member(session, user_row, organization_row)
    first, second = edge_join(user=user, organization=here), edge_join(user=user, organization=there)
    first.secrets.create_user_secret("mine", {"a": 1})
    with pytest.raises(NotFound):
        second.secrets.read_user_secret("mine")
    second.secrets.create_user_secret("mine", {"a": 2})
    assert first.secrets.read_user_secret("mine") == {"a": 1}


def test_members_read_the_organizations_secrets_and_admins_write_them(
    edge_join: Join, ada: EdgeSession, admin: EdgeSession
) -> None:
    admin.secrets.create_organization_secret("shared", {"a": 1})
    for reader in (ada, edge_join("developer"), edge_join("admin")):
        assert reader.secrets.list_organization_secrets() == ["shared"]
        assert reader.secrets.read_organization_secret("shared") == {"a": 1}
        with pytest.raises(NotFound):
            reader.secrets.read_user_secret("shared")
    for member in (ada, edge_join("developer")):
        for call in (
            lambda kept: kept.create_organization_secret("other", {}),
            lambda kept: kept.update_organization_secret("shared", {}),
            lambda kept: kept.delete_organization_secret("shared"),
        ):
            with pytest.raises(Forbidden, match="this is for the organization's admins"):
                call(member.secrets)
    assert admin.secrets.read_organization_secret("shared") == {"a": 1}


def test_outside_of_the_organization_there_is_nothing(edge_server: EdgeServer, admin: EdgeSession, kind: str) -> None:
    of(admin, kind)["create"]("one", {"a": 1})
    for user in (
        edge_server.create_user(),
        edge_server.create_user(organization=edge_server.create_organization(), roles=["admin"]),
        edge_server.create_user(server_admin=True),
    ):
        token = edge_server.create_token(user)
        with EdgeSession(api_token=token, service_url=edge_server.url, organization=admin.organization) as outside:
            methods = of(outside, kind)
            for call in (
                methods["list"],
                lambda: methods["read"]("one"),  # noqa: B023
                lambda: methods["create"]("two", {}),  # noqa: B023
                lambda: methods["update"]("one", {}),  # noqa: B023
                lambda: methods["delete"]("one"),  # noqa: B023
            ):
                with pytest.raises(NotFound, match="or you are not in it"):
                    call()
    assert of(admin, kind)["read"]("one") == {"a": 1}


# --- two at once ----------------------------------------------------------------------------------


def at_once(calls: list[Callable[[], object]]) -> list[object]:
    """What each call returns or raises, all having begun together."""
    barrier = threading.Barrier(len(calls))

    def run(call: Callable[[], object]) -> object:
        barrier.wait()
        try:
            return call()
        except EdgeError as error:
            return error

    with concurrent.futures.ThreadPoolExecutor(len(calls)) as threads:
        return list(threads.map(run, calls))


def test_the_first_of_creations_at_once_wins(kept: Methods) -> None:
    outcomes = at_once([lambda n=n: kept["create"]("one", {"n": n}) for n in range(8)])  # type: ignore[misc]
    assert outcomes.count(None) == 1
    assert {type(outcome) for outcome in outcomes} == {type(None), AlreadyExists}
    assert kept["read"]("one") == {"n": outcomes.index(None)}


def test_the_first_of_changes_at_once_wins(kept: Methods) -> None:
    kept["create"]("one", {"n": -1})

    def change(n: int) -> Callable[[], object]:
        secret = kept["read"]("one")
        secret["n"] = n
        return lambda: kept["update"]("one", secret)

    outcomes = at_once([change(n) for n in range(8)])
    assert outcomes.count(None) == 1
    assert {type(outcome) for outcome in outcomes} == {type(None), Conflict}
    assert kept["read"]("one") == {"n": outcomes.index(None)}


def test_a_change_of_what_was_read_meets_what_happened_since(kept: Methods) -> None:
    kept["create"]("one", {"a": 1})
    secret = kept["read"]("one")
    kept["update"]("one", {"a": 2})
    secret["a"] = 3
    with pytest.raises(Conflict, match="someone else changed it since you read it"):
        kept["update"]("one", secret)
    kept["delete"]("one")
    with pytest.raises(NotFound):
        kept["update"]("one", secret)
    kept["create"]("one", {"a": 4})
    with pytest.raises(Conflict):
        kept["update"]("one", secret)
    kept["update"]("one", dict(secret))
    assert kept["read"]("one") == {"a": 3}


def test_what_was_read_can_be_changed_again_and_again(kept: Methods) -> None:
    kept["create"]("one", {"a": 1})
    secret = kept["read"]("one")
    for n in range(3):
        secret["a"] = n
        kept["update"]("one", secret)
    assert kept["read"]("one") == {"a": 2}


def test_what_was_read_elsewhere_is_content_like_any_other(admin: EdgeSession) -> None:
    admin.secrets.create_user_secret("one", {"a": 1})
    admin.secrets.create_user_secret("two", {"a": 2})
    admin.secrets.create_organization_secret("one", {"a": 3})
    admin.secrets.update_user_secret("two", admin.secrets.read_user_secret("one"))
    admin.secrets.update_organization_secret("one", admin.secrets.read_user_secret("one"))
    admin.secrets.create_organization_secret("copy", admin.secrets.read_user_secret("one"))
    assert admin.secrets.read_user_secret("two") == {"a": 1}
    assert admin.secrets.read_organization_secret("one") == {"a": 1}


def test_a_change_that_is_sent_again_finds_itself(admin: EdgeSession, kind: str) -> None:
    """As after an answer that was lost on the way."""
    http = admin.secrets.http
    http.post(f"/{kind}", json={"name": "one", "content": {"a": True}})
    with http.stream("GET", f"/{kind}/one") as answer:
        seen = {"If-Match": answer.headers["ETag"], "Content-Type": "application/json"}
    tags = set()
    for _ in range(2):
        with http.stream("PUT", f"/{kind}/one", headers=seen, body=b'{"content": {"a": false}}') as answer:
            tags.add(answer.headers["ETag"])
    assert len(tags) == 1
    # Equal to Python, and not the same.
    with pytest.raises(Conflict):
        http.stream("PUT", f"/{kind}/one", headers=seen, body=b'{"content": {"a": 0}}').close()


# --- nobody sees it -------------------------------------------------------------------------------


def test_what_is_read_does_not_show_itself(kept: Methods) -> None:
    content = fresh()
    kept["create"]("one", {"password": content, content: 1})
    secret = kept["read"]("one")
    assert isinstance(secret, dict)
    assert secret["password"] == content
    for again in (secret, copy.copy(secret), copy.deepcopy(secret), pickle.loads(pickle.dumps(secret))):
        assert again == {"password": content, content: 1}
        for shown in (repr(again), str(again), f"{again}", repr([again]), f"{kept}"):
            assert content not in shown
        assert repr(again) == "<secret 'one', content hidden>"
    assert json.loads(json.dumps(secret)) == secret


def test_no_error_and_no_log_shows_the_content(
    admin: EdgeSession, kept: Methods, caplog: pytest.LogCaptureFixture
) -> None:
    content = fresh()
    kept["create"]("there", {"a": content})
    calls = [
        lambda: kept["create"](content + "!", {"a": 1}),
        lambda: kept["read"](content + "!"),
        lambda: kept["create"]("there", {"a": content}),
        lambda: kept["update"]("missing", {"a": content}),
        lambda: kept["create"]("one", {content: object()}),
        lambda: kept["create"]("one", {content: {1: content}}),
        lambda: kept["create"]("one", {"a": content + "\ud800"}),
        lambda: kept["create"]("one", {"a": content * MAX_BYTES}),
        lambda: kept["create"]("one", content),
        lambda: admin.secrets.http.post("/user", json={"name": "one", "content": content}),
        lambda: admin.secrets.http.post("/user", json={"name": "one", "content": [content]}),
        lambda: admin.secrets.http.post("/user", json={"name": 3, "content": {"a": content}}),
        lambda: admin.secrets.http.post("/user", json={"name": "one", "content": {"a": content}, "more": content}),
        lambda: admin.secrets.http.put("/user/one", json=[content]),
    ]
    with caplog.at_level(logging.DEBUG):
        for call in calls:
            with pytest.raises(EdgeError) as failed:
                call()
            chain: BaseException | None = failed.value
            while chain is not None:
                assert content not in f"{chain!r} {chain} {chain.__dict__}"
                chain = chain.__cause__ or (None if chain.__suppress_context__ else chain.__context__)
    assert "POST" in caplog.text
    assert content not in caplog.text


def test_the_server_writes_down_who_read_what_and_never_the_content(
    edge_server: EdgeServer, admin: EdgeSession, ada: EdgeSession, caplog: pytest.LogCaptureFixture
) -> None:
    content = fresh()
    admin.secrets.create_organization_secret("shared", {"a": content})
    ada.secrets.create_user_secret("mine", {"a": content})
    with caplog.at_level(logging.DEBUG, "edge"):
        ada.secrets.read_organization_secret("shared")
        ada.secrets.read_user_secret("mine")
        with pytest.raises(NotFound):
            ada.secrets.read_user_secret("missing")
    ada.secrets.update_user_secret("mine", {"a": content})
    ada.secrets.delete_user_secret("mine")
    log = edge_server.data / "logs" / "audit.log"
    whole = log.read_text()
    lines = [json.loads(line) for line in whole.splitlines()]
    mine = [line for line in lines if line["organization"] == admin.organization]
    assert [(line["user"], line["action"], line["secret"]) for line in mine] == [
        (admin.whoami().user_name, "secrets.organization.create", "shared"),
        *(
            (ada.whoami().user_name, action, name)
            for action, name in [
                ("secrets.user.create", "mine"),
                ("secrets.organization.read", "shared"),
                ("secrets.user.read", "mine"),
                ("secrets.user.update", "mine"),
                ("secrets.user.delete", "mine"),
            ]
        ),
    ]
    for line in mine:
        assert set(line) == {"at", "user", "action", "organization", "secret", "request_id"}
        assert line["at"].endswith("Z")
    assert f"request {mine[2]['request_id']}" in caplog.text
    assert content not in whole
    assert '"secrets.user.read", "organization"' in edge_server.log
    assert content not in edge_server.log
    assert log.stat().st_mode & 0o077 == 0


def test_the_database_holds_nothing_to_read(edge_server: EdgeServer, admin: EdgeSession) -> None:
    content = fresh()
    for kind in ("user", "organization"):
        kept = of(admin, kind)
        kept["create"]("one", {"a": content})
        kept["update"]("one", {"b": content})
    for path in edge_server.data.glob("edge.sqlite3*"):
        assert content.encode() not in path.read_bytes()


def test_a_ciphertext_that_was_moved_to_another_row_does_not_open(
    edge_server: EdgeServer, edge_join: Join, admin: EdgeSession, ada: EdgeSession
) -> None:
    elsewhere = edge_join("admin", organization=edge_server.create_organization())
    owners = [(admin, "user", "one"), (admin, "user", "two"), (ada, "user", "one"), (admin, "organization", "one")]
    owners += [(elsewhere, "user", "one"), (elsewhere, "organization", "one")]
    contents = []
    for session, kind, name in owners:
        contents.append({"a": fresh()})
        of(session, kind)["create"](name, contents[-1])
    with sqlite3.connect(edge_server.data / "edge.sqlite3", timeout=60) as database:
        rows = database.execute("SELECT id, sealed FROM secrets ORDER BY id DESC LIMIT 6").fetchall()[::-1]
    try:
        for shift in range(1, len(rows)):
            for n, (row, _) in enumerate(rows):
                _overwrite(edge_server, row, rows[(n + shift) % len(rows)][1])
            for session, kind, name in owners:
                with pytest.raises(ApiError, match="cannot open what it keeps sealed") as failed:
                    of(session, kind)["read"](name)
                assert failed.value.status == 500
                assert failed.value.code == "unsealable"
    finally:
        for row, sealed in rows:
            _overwrite(edge_server, row, sealed)
    for (session, kind, name), content in zip(owners, contents, strict=True):
        assert of(session, kind)["read"](name) == content
        of(session, kind)["delete"](name)


def _overwrite(server: EdgeServer, row: int, sealed: bytes) -> None:
    with sqlite3.connect(server.data / "edge.sqlite3", timeout=60) as database:
        database.execute("UPDATE secrets SET sealed = ? WHERE id = ?", (sealed, row))
    database.close()


def test_what_cannot_be_opened_can_be_replaced_and_deleted(edge_server: EdgeServer, admin: EdgeSession) -> None:
    for name in ("one", "two"):
        admin.secrets.create_user_secret(name, {"a": 1})
    with sqlite3.connect(edge_server.data / "edge.sqlite3", timeout=60) as database:
        database.execute(
            "UPDATE secrets SET sealed = x'00' WHERE id IN (SELECT id FROM secrets ORDER BY id DESC LIMIT 2)"
        )
    database.close()
    with pytest.raises(ApiError, match="cannot open"):
        admin.secrets.read_user_secret("one")
    admin.secrets.update_user_secret("one", {"a": 2})
    assert admin.secrets.read_user_secret("one") == {"a": 2}
    admin.secrets.delete_user_secret("two")
    assert admin.secrets.list_user_secrets() == ["one"]


def test_a_request_that_is_sent_again_leaves_nothing_to_read(edge_server: EdgeServer, admin: EdgeSession) -> None:
    content = fresh()
    body = json.dumps({"name": "one", "content": {"a": content}}).encode()
    headers = {"Content-Type": "application/json", "Idempotency-Key": random.token_hex(8)}
    answers = []
    for _ in range(2):
        with admin.secrets.http.stream("POST", "/user", headers=headers, body=body) as answer:
            answers.append((answer.status, answer.json(), answer.headers.get("Idempotency-Replayed")))
    assert answers[0][:2] == answers[1][:2]
    assert [replayed for *_, replayed in answers] == [None, "true"]
    assert content not in str(answers)
    with sqlite3.connect(edge_server.data / "edge.sqlite3", timeout=60) as database:
        kept = database.execute(
            "SELECT fingerprint, body FROM idempotency_keys WHERE key = ?", (headers["Idempotency-Key"],)
        ).fetchone()
    database.close()
    assert json.loads(kept[1])["name"] == "one"
    assert content.encode() not in kept[1]
    assert kept[0] not in _digests(admin.organization, body)


def _digests(organization: str, body: bytes) -> set[str]:
    """What someone who guesses the content could compute from it."""
    import hashlib

    head = json.dumps(["POST", f"/v1/orgs/{organization}/secrets/user", []]).encode()
    return {hashlib.sha256(text).hexdigest() for text in (head + b"\n" + body, body, head + body)}


@pytest.mark.slow
def test_secrets_survive_a_restart(tmp_path_factory: pytest.TempPathFactory) -> None:
    server = EdgeServer(tmp_path_factory.mktemp("secrets") / "data")
    try:
        server.start()
        token = server.create_token("admin")
        with EdgeSession(api_token=token, service_url=server.url, organization="default") as edge:
            edge.secrets.create_user_secret("mine", {"a": 1})
            edge.secrets.create_organization_secret("shared", {"a": 2})
        server.kill()
        server.start()
        with EdgeSession(api_token=token, service_url=server.url, organization="default") as edge:
            assert edge.secrets.read_user_secret("mine") == {"a": 1}
            assert edge.secrets.read_organization_secret("shared") == {"a": 2}
    finally:
        server.close()


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        ({"content": ["content-hidden"]}, "in field 'content' of OpenSecret"),
        ({"content": "content-hidden"}, "in field 'content' of OpenSecret"),
        ({"name": "content-hidden"}, "without its field 'content'"),
        (["content-hidden"], "a list where OpenSecret was expected"),
    ],
)
def test_an_answer_that_is_not_a_secret_is_reported_without_it(
    admin: EdgeSession, monkeypatch: pytest.MonkeyPatch, answer: Any, sentence: str
) -> None:
    from edge_core.http import Answer

    admin.secrets.create_user_secret("one", {"a": 1})
    monkeypatch.setattr(Answer, "json", lambda self: answer)
    with pytest.raises(BadResponse, match=sentence) as failed:
        admin.secrets.read_user_secret("one")
    assert "content-hidden" not in str(failed.value)


def test_a_read_that_cannot_be_audited_is_refused(edge_server: EdgeServer, admin: EdgeSession, tmp_path: Path) -> None:
    from edge_server.base.audit import AuditLog
    from edge_server.keys.signing import Signer
    from edge_server.run.app import build, engines_at

    content = fresh()
    admin.secrets.create_user_secret("one", {"a": content})

    def read(audit: AuditLog) -> TestResponse:
        engines = engines_at(edge_server.data, Signer(b""), database=edge_server.database, audit=audit)
        return build(engines).test_client().get(address, headers=headers)

    address = f"/v1/orgs/{admin.organization}/secrets/user/one"
    headers = {"Authorization": f"Bearer {admin.config.api_token}"}
    refused = read(AuditLog(tmp_path))
    assert refused.status_code == 500
    assert content not in refused.text
    opened_secret = read(AuditLog(tmp_path / "logs" / "audit.log"))
    assert opened_secret.get_json()["content"] == {"a": content}
    assert opened_secret.headers["Cache-Control"] == "no-store"
    assert (tmp_path / "logs" / "audit.log").read_text().count("\n") == 1


def test_lines_of_the_audit_log_do_not_mix(tmp_path: Path) -> None:
    from edge_server.base.audit import _append

    path = tmp_path / "logs" / "audit.log"
    lines = [str(n).zfill(4) * 200 for n in range(200)]
    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda line: _append(path, line.encode() + b"\n"), lines))
    assert sorted(path.read_text().splitlines()) == lines


def test_the_size_is_that_of_the_json_without_blanks() -> None:
    assert len(encode({"x": "a" * (MAX_BYTES - 8)})) == MAX_BYTES
