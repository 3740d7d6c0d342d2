"""What a refusal costs: every operation is sent the worst that its limits let in, and answers little for little work.

Work is counted in calls of what checks a value, and in bytes; not in seconds.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterator
from typing import Any

import marshmallow
import pytest
import sqlalchemy as sa
from flask.testing import FlaskClient
from webargs import core

from edge_files.wire import MAX_PARTS
from edge_server.base import problems
from edge_server.base.problems import MOST_ERRORS
from edge_server.files import paths
from edge_server.identity import directory
from edge_server.keys.signing import Signer
from edge_server.run.app import build, engines_at
from edge_server.run.openapi import document
from edge_server.testing.local_server import EdgeServer
from edge_server.web import idempotency, routes
from edge_server.web.idempotency_keys import IdempotencyKey

from .wire import Api, refused

SMALL = 16 << 10
"""Bytes of the largest refusal."""

FIELDS_OF_THE_LARGEST = 5 * MAX_PARTS + 10
"""Checks of a value that the largest good request takes: the completion of an upload of all its parts."""

DOCUMENT = document()

OPERATIONS = {
    operation["operationId"]: (method.upper(), path, operation)
    for path, operations in DOCUMENT["paths"].items()
    for method, operation in operations.items()
    if method != "parameters"
}

WITH_JSON = {
    name: operation["requestBody"]
    for name, (_, _, operation) in OPERATIONS.items()
    if "x-max-bytes" in operation.get("requestBody", {})
}


class Costs:
    """What requests have cost since the last look."""

    def __init__(self) -> None:
        self.checks = 0
        self.parsed = 0


@pytest.fixture
def costs(monkeypatch: pytest.MonkeyPatch) -> Costs:
    counted = Costs()
    deserialize, parse = marshmallow.fields.Field.deserialize, core.parse_json

    def check(*args: Any, **options: Any) -> Any:
        counted.checks += 1
        return deserialize(*args, **options)

    def counted_parse(raw: Any, **options: Any) -> Any:
        counted.parsed += len(raw)
        return parse(raw, **options)

    monkeypatch.setattr(marshmallow.fields.Field, "deserialize", check)
    monkeypatch.setattr(core, "parse_json", counted_parse)
    return counted


@pytest.fixture(scope="module")
def organization(edge_server: EdgeServer) -> str:
    return edge_server.create_organization()


@pytest.fixture(scope="module")
def token(edge_server: EdgeServer, organization: str) -> str:
    """The token of someone who may ask for everything."""
    user = edge_server.create_user(organization=organization, roles=directory.ROLES, server_admin=True)
    return edge_server.create_token(user)


@pytest.fixture(scope="module")
def http(edge_server: EdgeServer) -> Iterator[FlaskClient]:
    before = edge_server.database.before_commit
    yield build(engines_at(edge_server.data, Signer(b""), database=edge_server.database)).test_client()
    edge_server.database.before_commit = before


def address(path: str, organization: str, value: str = "x") -> str:
    parts = [value if part.startswith("{") else part for part in path.replace("{org}", organization).split("/")]
    return "/".join(parts)


def repeated(text: str, between: str, size: int) -> str:
    return between.join([text] * ((size + len(between)) // (len(text.encode()) + len(between))))


def schema_of(body: dict[str, Any]) -> dict[str, Any]:
    (media,) = body["content"].values()
    schema: dict[str, Any] = DOCUMENT["components"]["schemas"][media["schema"]["$ref"].rpartition("/")[2]]
    return schema


def bodies(body: dict[str, Any]) -> Iterator[tuple[str, bytes]]:
    """The worst of its size, and what it is."""
    limit = body["x-max-bytes"]
    room = limit - 200
    yield "unknown fields", ("{" + ",".join(f'"{n:x}":1' for n in range(room // 9)) + "}").encode()
    yield "one field again and again", ("{" + repeated('"name":1', ",", room) + "}").encode()
    yield "a field with a long name", json.dumps({"x" * room: 1}).encode()
    yield "a field with a long name of escapes", json.dumps({"é" * (room // 6): 1}).encode()
    yield "nested lists", b"[" * (room // 2) + b"]" * (room // 2)
    yield "nested lists that can be read", b"[" * 900 + b"]" * 900
    yield "a number", b"1" * room
    for at, (name, about) in enumerate(schema_of(body)["properties"].items()):
        start, end = json.dumps({name: 0}).split("0")

        def filled(text: str, start: str = start, end: str = end) -> bytes:
            return f"{start}{text}{end}".encode()

        yield f"{name}: a long text", filled('"' + "x" * room + '"')
        yield f"{name}: accents in the wrong order", filled('"a' + repeated("\u0301\u0323", "", room) + '"')
        yield f"{name}: a path of empty segments", filled('"' + "/" * room + '"')
        if at < 2 or about.get("type") in ("array", "object"):
            yield f"{name}: nested objects that can be read", filled('{"a":' * 900 + "1" + "}" * 900)
            yield f"{name}: numbers", filled("[" + repeated("1" * 4000, ",", room) + "]")
            yield f"{name}: lists", filled("[" + repeated("[]", ",", room) + "]")
            yield f"{name}: lists that are few enough", filled("[" + repeated("[1]", ",", min(room, 390_000)) + "]")
        if about.get("type") == "array":
            most = about["maxItems"]
            bad = json.dumps({f"{n:x}": 1 for n in range(max(1, room // most // 12))}) if most > 2 else '"\\u0000"'
            yield f"{name}: no more wrong items than it takes", filled("[" + ",".join([bad] * most) + "]")
            yield (
                f"{name}: the last ones are wrong",
                filled("[" + ",".join(['{"n":1}'] * (most - 30) + ["1"] * 30) + "]"),
            )


@pytest.mark.parametrize("name", WITH_JSON)
def test_the_worst_body_of_each_operation_is_refused_for_little(
    name: str, http: FlaskClient, organization: str, token: str, costs: Costs, edge_server: EdgeServer
) -> None:
    method, path, operation = OPERATIONS[name]
    (kind,) = operation["requestBody"]["content"]
    url, limit = address(path, organization), operation["requestBody"]["x-max-bytes"]
    headers = {"Content-Type": kind, idempotency.HEADER: f"refused {name}"}
    known = {**headers, "Authorization": f"Bearer {token}"}
    for what, content in bodies(operation["requestBody"]):
        if len(content) > limit:
            continue
        content += b"" if kind.endswith("json") else b"\n"
        costs.checks = costs.parsed = 0
        answer = http.open(url, method=method, data=content, headers=known)
        assert 400 <= answer.status_code < 500, (what, answer.text[:500])
        assert len(answer.data) <= SMALL, what
        assert len(answer.json.get("errors", {})) <= MOST_ERRORS, what
        assert costs.checks <= (FIELDS_OF_THE_LARGEST if "last ones" in what else 2000), what
        assert costs.parsed <= limit, what
        costs.checks = costs.parsed = 0
        answer = http.open(url, method=method, data=content, headers=headers)
        assert len(answer.data) <= SMALL, what
        if "security" in operation:
            assert answer.status_code == 401
            assert costs.checks == costs.parsed == 0, what
    costs.parsed = 0
    answer = http.open(url, method=method, data=b" " * (limit + 1), headers=known)
    if name in ("applications.launch_plan", "compute.placeholders.note"):
        assert answer.status_code == 403, "nobody but a hub is let in"
    else:
        assert answer.status_code == 413
        assert str(limit) in answer.json["detail"]
    assert costs.parsed == 0
    with edge_server.database.read() as session:
        assert session.scalar(sa.select(IdempotencyKey).where(IdempotencyKey.key == f"refused {name}")) is None


def test_an_anonymous_body_is_read_by_a_single_operation_and_small_there() -> None:
    open_to_all = {
        name: body["x-max-bytes"] for name, body in WITH_JSON.items() if "security" not in OPERATIONS[name][2]
    }
    assert open_to_all == {"invitations.accept": 4096}


def test_limits_are_as_small_as_what_they_are_for() -> None:
    larger = {name: body["x-max-bytes"] for name, body in WITH_JSON.items() if body["x-max-bytes"] > 64 << 10}
    assert larger == {
        "applications.add": 256 << 10,
        "applications.update": 256 << 10,
        "applications.versions.add": 512 << 10,
        "applications.versions.update": 512 << 10,
        "files.copy": 256 << 10,
        "files.make_folder": 128 << 10,
        "files.move": 256 << 10,
        "files.put_batch": 256 << 10,
        "files.read_batch": 256 << 10,
        "files.restore": 128 << 10,
        "files.uploads.complete": 4 << 20,
        "files.uploads.sign": 256 << 10,
        "files.uploads.start": 128 << 10,
        "secrets.organization.create": 388 << 10,
        "secrets.organization.update": 388 << 10,
        "secrets.user.create": 388 << 10,
        "secrets.user.update": 388 << 10,
        "sources.add": 1088 << 10,
        "sources.update": 1088 << 10,
    }


@pytest.mark.parametrize("name", OPERATIONS)
def test_the_worst_address_of_each_operation_is_refused_for_little(
    name: str, http: FlaskClient, organization: str, token: str, costs: Costs
) -> None:
    method, path, operation = OPERATIONS[name]
    plain = address(path, organization)
    parameters = [about["name"] for about in operation.get("parameters", []) if about.get("in") == "query"]
    urls = [
        f"{plain}?{'&'.join(f'a{n:x}=1' for n in range(12_000))}",
        f"{plain}?{'x' * 100_000}=1",
        f"{plain}?{'&' * 100_000}",
        f"{plain}?x={'%41' * 30_000}",
        *(f"{plain}?{parameter}={'1' * 100_000}" for parameter in parameters),
        *(f"{plain}?{parameter}={'%CC%81%CC%A3' * 8_000}" for parameter in parameters),
        *(f"{plain}?{parameter}={'WzFd' * 20_000}" for parameter in parameters),
    ]
    if "{" in path.replace("{org}", ""):
        urls += [address(path, organization, "x" * 100_000), address(path, organization, "%C3%A9" * 16_000)]
    for url in urls:
        for headers in ({"Authorization": f"Bearer {token}"}, {}):
            costs.checks = 0
            answer = http.open(url, method=method, headers=headers)
            assert answer.status_code < 500, (url[:200], answer.text)
            assert len(answer.data) <= SMALL or answer.status_code == 200, url[:200]
            assert costs.checks <= 200, url[:200]


def test_at_most_20_errors_are_listed_and_how_many_more(api: Api) -> None:
    problem = refused(api.files("POST", "/folders", json={f"a{n}": 1 for n in range(25)}), 422, "bad_entry")
    assert len(problem["errors"]) == 20
    assert problem["errors"]["body"] == ["There are 6 more unknown fields."]
    problem = refused(api.files("POST", "/folders", json={f"a{n}": 1 for n in range(15)}), 422, "bad_entry")
    assert len(problem["errors"]) == 16
    assert "more_errors" not in problem
    parts = [{"n": 1}] * 5 + [{"n": 0}] * 100
    problem = refused(api.files("POST", "/uploads/x/sign", json={"parts": parts}), 422, "bad_entry")
    assert list(problem["errors"]) == [*(f"parts.{n}.n" for n in range(5, 24)), "parts"]
    assert problem["errors"]["parts"] == ["81 more were not looked at."]
    parts = [{f"a{n}": 1 for n in range(15)}] * 2
    problem = refused(api.files("POST", "/uploads/x/sign", json={"parts": parts}), 422, "bad_entry")
    assert (len(problem["errors"]), problem["more_errors"]) == (20, 12)
    problem = refused(api.files("POST", "/uploads/x/sign", json={"parts": [1] * 1001}), 422, "bad_entry")
    assert problem["errors"] == {"parts": ["write at most 1000 items"]}


def test_a_sentence_about_something_long_keeps_its_beginning_and_its_end() -> None:
    assert problems.shortened("short", 10) == "short"
    assert problems.shortened("0123456789 and more", 10) == "01234 …  more"


def test_a_body_is_nested_as_deep_as_an_api_description_needs(api: Api) -> None:
    def nested(levels: int) -> dict[str, Any]:
        return {"b": 1} if levels == 1 else {"a": nested(levels - 1)}

    secrets = f"/v1/orgs/{api.organization}/secrets/user"
    deep = nested(routes.MOST_NESTED - 1)
    problem = refused(api.call("POST", secrets, json={"name": "deep", "content": deep}), 400, "bad_entry")
    assert "32 levels" in problem["detail"], "the secret's own limit"
    problem = refused(api.call("POST", secrets, json={"name": "deep", "content": {"a": deep}}), 400, "bad_entry")
    assert "nests too deep" in problem["detail"]


def test_a_path_is_not_composed_before_its_length_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    longest = 0

    class Unicode:
        category = staticmethod(unicodedata.category)

        @staticmethod
        def normalize(form: str, text: str) -> str:
            nonlocal longest
            longest = max(longest, len(text))
            return unicodedata.normalize(form, text)

    monkeypatch.setattr(paths, "unicodedata", Unicode)
    for path in ("a" + "\u0301\u0323" * 50_000, "a/" * 50_000 + "\u0301\u0323" * 50_000):
        with pytest.raises(paths.BadPath):
            paths.parse(path)
    assert longest <= 3 * paths.MAX_SEGMENT
    # What fits when it is composed is as good as what came composed, however long it was.
    composed = "\u1e09" * 85  # 3 bytes; decomposed 5
    assert paths.parse(unicodedata.normalize("NFD", composed)) == (composed,)
