"""OpenAPI documents that are wrong or hostile: what is left of the client, and the warning."""

from __future__ import annotations

import contextlib
import copy
import gzip
import http.server
import inspect
import json
import re
import threading
import tracemalloc
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from edge_core.errors import BadEntry, BadResponse, ConnectionFailed, EdgeError
from edge_sources import openapi_document
from edge_sources.openapi import OpenAPIConnection
from edge_vfs.openers import InexactWarning

NOBODY = "http://127.0.0.1:1"


def operation(*parameters: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"parameters": [*parameters], "responses": {"200": {"description": "pong"}}, **more}


def parameter(name: Any, place: str = "query", **schema: Any) -> dict[str, Any]:
    return {"name": name, "in": place, "required": place == "path", "schema": schema or {"type": "string"}}


def document(version: str = "3.1.0", **paths: Any) -> dict[str, Any]:
    """A document with the operation `good` and those of `paths`, which are named as their paths."""
    content: dict[str, Any] = {"openapi": version, "info": {"title": "Lab", "version": "1"}, "paths": {}}
    content["components"] = {"schemas": {"Plate": {"type": "object"}}, "securitySchemes": {}}
    for name, methods in {"good": operation(), **paths}.items():
        content["paths"][f"/{name}"] = {"get": {"operationId": name, **methods}}
    return content


def schema_of(**schemas: Any) -> dict[str, Any]:
    """A document whose operation `bad` has a parameter with the schema `Bad` of the others."""
    content = document(bad=operation({"name": "plate", "in": "query", "schema": {"$ref": "#/components/schemas/Bad"}}))
    content["components"]["schemas"] |= schemas
    return content


def client_of(content: Any, **more: Any) -> tuple[Any, list[str]]:
    """The client of a document, and the warnings that it gives."""
    text = content if isinstance(content, str) else json.dumps(content)
    more.setdefault("server_url", NOBODY)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        client = OpenAPIConnection("lab", "Lab", text, **more).generate_new_client()
    assert all(warning.category is InexactWarning for warning in caught)
    return client, [str(warning.message) for warning in caught]


def names_in(client: Any) -> list[str]:
    return sorted(name for name in vars(client) if not name.startswith("_"))


def with_path(path: str, *parameters: dict[str, Any]) -> dict[str, Any]:
    content = document()
    content["paths"][path] = {"get": operation(*parameters, operationId="bad")}
    return content


def with_path_item(path_item: Any) -> dict[str, Any]:
    content = document()
    content["paths"]["/bad"] = path_item
    return content


def with_security(requirement: str, **schemes: Any) -> dict[str, Any]:
    content = document(bad=operation(security=[{requirement: []}]))
    content["components"]["securitySchemes"] = schemes
    return content


def nested(levels: int, schema: Any) -> Any:
    for _ in range(levels):
        schema = {"type": "array", "items": schema}
    return schema


DOUBLED = {f"P{n}": {"allOf": [{"$ref": f"#/components/schemas/P{n + 1}"}] * 2} for n in range(40)}

#: Documents with one flaw in the operation `bad`, and the reason why it is left out.
LEFT_OUT: dict[str, tuple[dict[str, Any], str]] = {
    "a reference to a file": (schema_of(Bad={"$ref": "file:///etc/passwd"}), "another document"),
    "a reference to an address": (schema_of(Bad={"$ref": f"{NOBODY}/x.json"}), "another document"),
    "a reference to a sibling": (schema_of(Bad={"items": {"$ref": "plate.yaml#/Plate"}}), "another document"),
    "a dynamic reference": (schema_of(Bad={"$dynamicRef": f"{NOBODY}/x.json#node"}), "another document"),
    "a reference to nothing": (schema_of(Bad={"$ref": "#/components/schemas/None"}), "does not have"),
    "a response that refers to nothing": (
        document(bad=operation(responses={"200": {"$ref": "#/components/responses/None"}})),
        "does not have",
    ),
    "a reference to an anchor": (schema_of(Bad={"$ref": "#plate"}), "not a path in the document"),
    "a circle of references": (
        schema_of(Bad={"$ref": "#/components/schemas/Worse"}, Worse={"$ref": "#/components/schemas/Bad"}),
        "circle",
    ),
    "a schema made of itself": (schema_of(Bad={"allOf": [{"$ref": "#/components/schemas/Bad"}]}), "circle"),
    "a parameter in a circle": (document(bad=operation({"$ref": "#/paths/~1bad/get/parameters/0"})), "circle"),
    "schemas that double 40 times": (
        schema_of(Bad={"$ref": "#/components/schemas/P0"}, P40={"type": "string"}, **DOUBLED),
        "combine too many",
    ),
    "a schema of 150 levels": (document(bad=operation(parameter("plate", **nested(150, {})))), "nests too deep"),
    "a schema of its own address": (schema_of(Bad={"$id": f"{NOBODY}/x", "$ref": "#/$defs/x"}), r"\$id"),
    "a schema of its own dialect": (schema_of(Bad={"$schema": f"{NOBODY}/dialect"}), r"\$schema"),
    "an unknown type": (schema_of(Bad={"type": "strnig"}), "strnig"),
    "an unknown type in OpenAPI 3.0": (document("3.0.3", bad=operation(parameter("plate", type="strnig"))), "strnig"),
    "a pattern that is none": (document(bad=operation(parameter("plate", pattern="["))), "not a regular expression"),
    "a pattern for names that backtracks": (
        document(bad=operation(parameter("plate", patternProperties={r"^(.|.)*\n$": {}}))),
        "take forever",
    ),
    "a parameter without a place": (document(bad=operation({"name": "plate"})), "parameter is not valid"),
    "a parameter that is a text": (document(bad=operation("plate")), "not an object"),  # type: ignore[arg-type]
    "parameters that are an object": (document(bad=operation() | {"parameters": {"plate": {}}}), "not a list"),
    "a parameter twice": (document(bad=operation(parameter("plate"), parameter("plate"))), "twice"),
    "a header twice, in two cases": (
        document(bad=operation(parameter("X-Mark", "header"), parameter("x-mark", "header"))),
        "twice",
    ),
    "a header with a newline": (document(bad=operation(parameter("X\r\nHost", "header"))), r"name of a header"),
    "a cookie with a semicolon": (document(bad=operation(parameter("a; admin", "cookie"))), "name of a cookie"),
    "a header that frames the request": (
        document(bad=operation(parameter("Content-Length", "header"))),
        "only the HTTP client",
    ),
    "an unknown style": (document(bad=operation(parameter("plate") | {"style": "fancy"})), "fancy"),
    "a style that is not written": (
        with_path("/p/{plate}", parameter("plate", "path") | {"style": "matrix"}),
        "cannot write",
    ),
    "a variable without a parameter": (with_path("/p/{plate}"), "'plate'"),
    "a path parameter without a variable": (with_path("/p", parameter("plate", "path")), "'plate'"),
    "a variable without a name": (with_path("/p/{}"), "differ in ''"),
    "an open brace": (with_path("/p/{plate", parameter("plate", "path")), "braces"),
    "a path with dots": (with_path("/plates/../admin"), "path"),
    "a path with escaped dots": (with_path("/plates/%2E%2e/admin"), "path"),
    "a path with a query": (with_path("/plates?admin=1"), "path"),
    "a path with a backslash": (with_path("/plates\\..\\admin"), "path"),
    "a path that is a host": (with_path("@other.example/plates"), "path"),
    "an operation that is a list": (with_path_item({"get": []}), "not an object"),
    "a path item that is null": (with_path_item(None), "not an object"),
    "an operation beside a reference": (
        with_path_item({"$ref": "#/components/pathItems/None", "get": operation()})
        | {"components": {"pathItems": {"None": {}}}},
        "reference, beside which",
    ),
    "a reference from the end of a list": (
        document(bad=operation(parameter("plate"), {"$ref": "#/paths/~1bad/get/parameters/-2"})),
        "does not have",
    ),
    "a method in capitals": (with_path_item({"GET": operation()}), "not a method"),
    "a misspelled field": (document(bad=operation(paramters=[])), "paramters"),
    "an operationId that is a number": (document(bad=operation(operationId=7)), "operationId"),
    "no responses": (document("3.0.3", bad={"parameters": []}), "responses"),
    "an unknown security scheme": (with_security("key"), "does not have"),
    "a security scheme that is not valid": (with_security("key", key={"type": "apiKey"}), "not valid"),
    "a key in a header with a newline": (
        with_security("key", key={"type": "apiKey", "in": "header", "name": "X\r\nHost"}),
        "name of a header",
    ),
    "a server without an address": (document(bad=operation(servers=[{}])), "url"),
    "a server with a user name": (document(bad=operation(servers=[{"url": "http://me:pw@127.0.0.1:1"}])), "user name"),
    "a server with an unknown variable": (document(bad=operation(servers=[{"url": "/{base}"}])), "servers"),
}


@pytest.mark.parametrize("flaw", LEFT_OUT)
def test_an_operation_that_is_wrong_is_left_out_and_the_others_stay(flaw: str) -> None:
    content, reason = LEFT_OUT[flaw]
    with pytest.warns(InexactWarning, match=reason) as caught:
        client = OpenAPIConnection("lab", "Lab", json.dumps(content), NOBODY).generate_new_client()
    assert names_in(client) == ["good"]
    (warning,) = caught
    assert "which is left out" in str(warning.message)
    assert warning.filename == __file__
    assert str(warning.message).isprintable()


def test_an_operation_that_was_left_out_says_why_when_it_is_used() -> None:
    wrong = operation("plate")  # type: ignore[arg-type]
    content = document(
        a=wrong | {"operationId": "broken"},
        b=wrong | {"operationId": "broken", "tags": ["plates"]},
        c=operation(operationId="fine", tags=["plates"]),
        d=wrong | {"operationId": "broken", "tags": ["runs"]},
        e=operation(operationId="fine", tags=["samples"]),
    )
    with pytest.warns(InexactWarning):
        client = OpenAPIConnection("lab", "Lab", json.dumps(content), NOBODY).generate_new_client()
    assert names_in(client) == ["good", "plates"]
    for holder, name, reason in (
        (client, "broken", "broken was left out .* not an object"),
        (client.plates, "broken", "broken was left out .* not an object"),
        (client, "runs", "runs was left out .* broken: .* not an object"),
        (client, "samples", "GET /c has its operationId 'fine'"),
        (client, "nothing", "no operation 'nothing'"),
    ):
        with pytest.raises(AttributeError, match=reason):
            getattr(holder, name)
    assert not hasattr(client, "broken")
    assert repr(copy.copy(client)) == repr(client)


def test_values_without_names_are_refused_by_the_names_to_give() -> None:
    content = document(bad=operation(parameter("plate"), requestBody={"content": {"application/json": {}}}))
    client = OpenAPIConnection("lab", "Lab", json.dumps(content), NOBODY).generate_new_client()
    with pytest.raises(BadEntry, match="bad takes its values by name; give plate=, body="):
        client.bad({"id": 1})
    with pytest.raises(BadEntry, match="good takes its values by name; give nothing"):
        client.good(7)


#: Documents that are sloppy, of which nothing is left out: the names of the client, and a warning or none.
KEPT: dict[str, tuple[Any, list[str], str | None]] = {
    "no info": ({key: value for key, value in document().items() if key != "info"}, ["good"], None),
    "tags that are no objects": (document() | {"tags": [7]}, ["good"], None),
    "a component that nothing refers to": (schema_of(Bad={}, Worse={"$ref": "file:///x"}), ["bad", "good"], None),
    "what looks like a reference in an example": (
        document(bad=operation({**parameter("plate"), "example": {"$ref": "file:///x"}})),
        ["bad", "good"],
        None,
    ),
    "a property named $ref": (schema_of(Bad={"properties": {"$ref": {"type": "string"}}}), ["bad", "good"], None),
    "an enum of mixed types": (
        document(bad=operation(parameter("plate", enum=[1, "a", None, True, 0.5]))),
        ["bad", "good"],
        None,
    ),
    "a default that is not valid": (
        document(bad=operation(parameter("plate", type="integer", default="seven"))),
        ["bad", "good"],
        "default of 'plate' is not valid .* never sent",
    ),
    "a pattern that looks ahead": (
        document(bad=operation(parameter("plate", pattern="^(?!x)"))),
        ["bad", "good"],
        r"not checked before a call \(1, such as .*service checks",
    ),
    "no operationId": (document(bad=operation(operationId="")), ["get_bad", "good"], None),
    "an operationId that is no identifier": (
        document(bad=operation(operationId="get-the plate!")),
        ["get_the_plate", "good"],
        None,
    ),
    "an operationId that is a keyword": (document(bad=operation(operationId="import")), ["good", "import_"], None),
    "an operationId that Python uses": (document(bad=operation(operationId="__class__")), ["class_", "good"], None),
    "an operationId in ligatures": (document(bad=operation(operationId="\ufb01nd\u00b2")), ["find2", "good"], None),
    "two names that Python cannot tell apart": (
        document(**{"a": operation(operationId="get-it"), "b": operation(operationId="get_it")}),
        ["get_b", "get_it", "good"],
        "'get_it', so the operation GET /b is 'get_b'",
    ),
    "two operations of one name": (
        document(a=operation(operationId="same"), b=operation(operationId="same")),
        ["good", "same"],
        "GET /b, which is left out: GET /a has its operationId 'same'",
    ),
    "an operation named as a group": (
        document(a=operation(operationId="plates"), b=operation(tags=["plates"])),
        ["get_a", "good", "plates"],
        "GET /a is 'get_a'",
    ),
    "a tag twice": (document(bad=operation(tags=["plates", "plates"])), ["good", "plates"], None),
    "a tag that Python uses": (document(bad=operation(tags=["__dict__"])), ["dict", "good"], None),
    "YAML in which no and 1:30 are texts": (
        "openapi: 3.1\ninfo: {title: no}\n"
        "paths: {/no: {get: {operationId: on, responses: {200: {description: 1:30}}}}}",
        ["on"],
        None,
    ),
    "a key twice in YAML": (
        "openapi: 3.1.0\npaths:\n  /bad:\n    get: {}\n    get: {}\n  /good: {get: {operationId: good}}",
        ["good"],
        "has 'get' twice",
    ),
    "a path twice in JSON": ('{"openapi": "3.1.0", "paths": {"/a": {"get": {}}, "/a": {"get": {}}}}', [], "'/a' twice"),
    "OpenAPI 3.2 with its method": (
        document("3.2.0") | {"paths": {"/find": {"query": operation(operationId="find")}}},
        ["find"],
        None,
    ),
    "OpenAPI 3.1 without paths": ({"openapi": "3.1.0", "webhooks": {}}, [], None),
}


@pytest.mark.parametrize("case", KEPT)
def test_a_sloppy_document_gives_what_it_says(case: str) -> None:
    content, names, reason = KEPT[case]
    client, sentences = client_of(content)
    assert names_in(client) == names
    if reason is None:
        assert sentences == []
    else:
        assert any(re.search(reason, sentence) for sentence in sentences)


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ('{"swagger": "2.0", "paths": {}}', "Swagger 2.0; convert"),
        ('{"openapi": "3.3.0", "paths": {}}', r"not OpenAPI 3.0 to 3.2 \(3.3.0\)"),
        ('{"openapi": "4.0.0", "paths": {}}', "not OpenAPI 3.0 to 3.2"),
        ('{"openapi": "3.0.3"}', "no paths"),
        ('{"openapi": "3.1.0", "paths": []}', "no paths"),
        ("openapi: 3.1.0\npaths: &paths {/a: *paths}", "not complete before it"),
        ("openapi: 3.1.0\n--- \npaths: {}", "not one document"),
        ("openapi: !!binary Mw==", "tag"),
        ("? [openapi]\n: 3.1.0", "key that is not a text"),
        ("[" * 5000, "neither|deep"),
        ('{"openapi":' * 500 + "1" + "}" * 500, "200 levels deep"),
        ('{"openapi": 1' + "0" * 5000 + "}", "neither JSON nor YAML"),
    ],
)
def test_what_is_not_an_openapi_document_is_refused_with_the_reason(spec: str, reason: str) -> None:
    with pytest.raises(BadEntry, match=reason):
        OpenAPIConnection("lab", "Lab", spec, NOBODY).generate_new_client()


@pytest.mark.parametrize("part", ["[{}]", "{{<<: [{}]}}"])
def test_aliases_of_a_few_lines_do_not_fill_the_memory(part: str) -> None:
    lines = ["a: &a {x: 1}"]
    for name, before in zip("bcdefghi", "abcdefgh", strict=True):
        lines.append(f"{name}: &{name} {part.format(','.join([f'*{before}'] * 9))}")
    text = "\n".join(lines)
    assert len(text) < 500
    tracemalloc.start()
    try:
        with pytest.raises(BadEntry, match="aliases"):
            OpenAPIConnection("lab", "Lab", text, NOBODY).generate_new_client()
        assert tracemalloc.get_traced_memory()[1] < 100 << 20
    finally:
        tracemalloc.stop()


def test_aliases_and_merges_of_an_honest_document_work() -> None:
    text = """
openapi: 3.1.0
paths:
  /a: &shared
    get: {operationId: a, parameters: &both [{name: plate, in: query, schema: &text {type: string}}]}
  /b:
    get: {<<: {operationId: x, summary: B}, operationId: b, parameters: *both}
"""
    client, sentences = client_of(text)
    assert (names_in(client), sentences) == (["a", "b"], [])
    assert client.b.__doc__.startswith("B")


def test_many_flaws_are_few_warnings() -> None:
    paths = {f"/p{number}": {"get": []} for number in range(50)}
    client, sentences = client_of({"openapi": "3.1.0", "paths": paths})
    assert names_in(client) == []
    assert len(sentences) == 21
    assert "30 more flaws" in sentences[-1]


def test_what_others_write_does_not_reach_the_terminal_as_it_is() -> None:
    content = document(**{"a": operation(description="\x1b[2J" + "x" * 10_000)}) | {"info": {"title": "\x1b[2JLab"}}
    content["paths"]["/\x1b[2J"] = {"get": operation()}
    client, sentences = client_of(content)
    assert repr(client).isprintable()
    assert len(client.a.__doc__) < 3000
    assert "\x1b" not in client.a.__doc__ + "".join(sentences)


class Recorder(http.server.BaseHTTPRequestHandler):
    """Answers each request with `server.answer(path)`: status, headers and content; `server.requests` keeps all."""

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.requests.append((self.path, dict(self.headers), content))  # type: ignore[attr-defined]
        status, headers, content = self.server.answer(self.path)  # type: ignore[attr-defined]
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Connection", "close")
        self.end_headers()
        with contextlib.suppress(OSError):  # who asked may have read enough
            self.wfile.write(content)

    do_POST = do_GET


class Service:
    """A running service: its address, what it answers, and the requests that came."""

    def __init__(self, server: Any) -> None:
        self._server = server
        self.url = f"http://127.0.0.1:{server.server_address[1]}"
        self.requests: list[tuple[str, dict[str, str], bytes]] = server.requests
        self.answers(lambda _: (200, {"Content-Type": "text/plain"}, b"pong"))

    def answers(self, answer: Callable[[str], tuple[int, dict[str, str], bytes]]) -> None:
        self._server.answer = answer

    def describes(self, content: Any) -> None:
        text = json.dumps(content).encode()
        self.answers(lambda path: (200, {}, text if path == "/openapi.json" else b"pong"))


@pytest.fixture
def services() -> Iterator[Callable[[], Service]]:
    """Starts services."""
    running: list[tuple[Any, threading.Thread]] = []

    def start() -> Service:
        server: Any = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Recorder)
        server.requests = []
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        running.append((server, thread))
        return Service(server)

    yield start
    for server, thread in running:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def service(services: Callable[[], Service]) -> Service:
    """A running service."""
    return services()


def test_nothing_but_the_document_is_fetched(services: Callable[[], Service]) -> None:
    here, elsewhere = services(), services()
    away = f"{elsewhere.url}/away.json"
    schemas = {
        "Ref": {"$ref": away},
        "Dynamic": {"$dynamicRef": f"{away}#node"},
        "Recursive": {"$recursiveRef": away},
        "Id": {"$id": away, "properties": {"a": {"$ref": "#/x"}}},
        "Dialect": {"$schema": away, "type": "string"},
        "Sloppy": {"oneOf": [{"$ref": "#/components/schemas/Sloppy/x-y"}], "x-y": {"type": "object"}},
    }
    schemas["Sloppy"]["discriminator"] = {"propertyName": "kind", "mapping": {"away": away}}
    for version in ("3.0.3", "3.1.0", "3.2.0"):
        content = document(version)
        content["components"]["schemas"] = schemas
        content["jsonSchemaDialect"] = content["externalDocs"] = away
        for name in schemas:
            body = {"content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{name}"}}}}
            content["paths"][f"/{name}"] = {"post": operation(operationId=name, requestBody=body)}
        content["paths"]["/item"] = {"$ref": away}
        client, sentences = client_of(content, server_url=here.url)
        assert set(names_in(client)) <= {"Recursive", "Sloppy", "good"}
        assert len(sentences) >= len(schemas) - 2
        for name in set(names_in(client)) - {"good"}:
            with contextlib.suppress(EdgeError):
                getattr(client, name)(body={"kind": "away"})
    assert elsewhere.requests == []


def test_a_fetched_document_is_bounded(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openapi_document, "LIMIT", 1 << 20)
    bomb = gzip.compress(bytes(64 << 20))
    assert len(bomb) < 100_000
    for headers, content in (({}, bytes(2 << 20)), ({"Content-Encoding": "gzip"}, bomb)):
        service.answers(lambda _, answer=(200, headers, content): answer)  # type: ignore[misc]
        with pytest.raises(BadEntry, match="larger than 1 MiB"):
            OpenAPIConnection("lab", "Lab", f"{service.url}/openapi.json").generate_new_client()
    monkeypatch.setattr(openapi_document, "SECONDS", 0.0)
    with pytest.raises(ConnectionFailed, match="too slowly"):
        OpenAPIConnection("lab", "Lab", f"{service.url}/openapi.json").generate_new_client()
    service.answers(lambda _: (200, {"Content-Encoding": "gzip"}, b"no gzip"))
    with pytest.raises(ConnectionFailed, match="broke off"):
        OpenAPIConnection("lab", "Lab", f"{service.url}/openapi.json").generate_new_client()


def test_a_redirect_of_the_document_is_not_followed(services: Callable[[], Service]) -> None:
    here, away = services(), services()
    here.answers(lambda _: (302, {"Location": f"{away.url}/openapi.json"}, b""))
    with pytest.raises(BadResponse, match="give that as spec"):
        OpenAPIConnection("lab", "Lab", f"{here.url}/openapi.json", token="k").generate_new_client()
    assert away.requests == []


BEARER = {"bearer": {"type": "http", "scheme": "bearer"}}


def secured(server: str | None = None, version: str = "3.1.0", **of_operation: Any) -> dict[str, Any]:
    """A document whose operations require a token."""
    content = document(version, call=operation(**of_operation)) | {"security": [{"bearer": []}]}
    content["components"]["securitySchemes"] = BEARER
    if server is not None:
        content["servers"] = [{"url": server}]
    return content


@pytest.mark.parametrize("form", ["{url}", "//{host}", "{url}/v1/..", "{scheme}://{host}", "http://127.0.0.1:{x}"])
def test_the_token_goes_to_another_server_only_if_server_url_says_so(
    services: Callable[[], Service], form: str
) -> None:
    here, away = services(), services()
    host = away.url.removeprefix("http://")
    content = secured(form.replace("{url}", away.url).replace("{host}", host))
    port = host.partition(":")[2]
    content["servers"][0]["variables"] = {"scheme": {"default": "http"}, "x": {"default": port}}
    here.describes(content)
    for credentials in ({"token": "k"}, {"username": "u", "password": "p"}):
        with pytest.raises(BadEntry, match="server_url"):
            OpenAPIConnection("lab", "Lab", f"{here.url}/openapi.json", **credentials).generate_new_client()
        with pytest.raises(BadEntry, match="server_url"):
            OpenAPIConnection("lab", "Lab", json.dumps(content), **credentials).generate_new_client()
    OpenAPIConnection("lab", "Lab", f"{here.url}/openapi.json").generate_new_client().call()
    assert "Authorization" not in away.requests[0][1]
    chosen = OpenAPIConnection("lab", "Lab", f"{here.url}/openapi.json", away.url, token="k").generate_new_client()
    chosen.call()
    assert away.requests[1][1]["Authorization"] == "Bearer k"
    assert not any("Authorization" in headers for _, headers, _ in here.requests)


def test_an_operation_of_another_server_is_left_out_of_a_client_with_a_token(services: Callable[[], Service]) -> None:
    here, away = services(), services()
    here.describes(secured(servers=[{"url": away.url}]))
    connection = OpenAPIConnection("lab", "Lab", f"{here.url}/openapi.json", token="k")
    with pytest.warns(InexactWarning, match="needs a connection of its own"):
        client = connection.generate_new_client()
    assert names_in(client) == ["good"]
    here.describes(secured(servers=[{"url": "/v2"}]))
    connection.generate_new_client().call()
    assert here.requests[-1][:1] == ("/v2/call",)
    assert here.requests[-1][1]["Authorization"] == "Bearer k"
    open_to_all = OpenAPIConnection("lab", "Lab", f"{here.url}/openapi.json")
    here.describes(secured(servers=[{"url": f"{away.url}/v3"}]))
    assert open_to_all.generate_new_client().call() == "pong"
    assert [path for path, _, _ in away.requests] == ["/v3/call"]


@pytest.mark.parametrize(
    "server", ["http://me:pw@{host}/", "http://{host}/?a=1", "http://{host}\\x", "ftp://{host}/", "{"]
)
def test_a_server_that_is_not_an_address_is_refused(service: Service, server: str) -> None:
    service.describes(secured(server.replace("{host}", service.url.removeprefix("http://"))))
    with pytest.raises(BadEntry) as raised:
        OpenAPIConnection("lab", "Lab", f"{service.url}/openapi.json").generate_new_client()
    assert "pw" not in str(raised.value)


def test_passwords_in_addresses_are_not_shown(service: Service) -> None:
    spec = service.url.replace("//", "//me:pw@") + "/openapi.json?key=pw"
    connection = OpenAPIConnection("lab", "Lab", spec, spec)
    assert "pw" not in repr(connection)
    service.answers(lambda _: (404, {}, b""))
    with pytest.raises(EdgeError) as raised:
        connection.generate_new_client()
    assert "pw" not in str(raised.value)


@pytest.mark.parametrize("value", ["..", ".", ""])
def test_a_path_parameter_does_not_lead_elsewhere(service: Service, value: str) -> None:
    content = with_path("/plates/{plate}/wells/{well}", parameter("plate", "path"), parameter("well", "path"))
    client, _ = client_of(content, server_url=f"{service.url}/v1")
    for values in ({"plate": value, "well": "A1"}, {"plate": "7", "well": value}):
        with pytest.raises(BadEntry, match="another path|elsewhere"):
            client.bad(**values)
    assert service.requests == []


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ("a/b", "a%2Fb"),
        ("../x", "..%2Fx"),
        ("%2e%2e", "%252e%252e"),
        ("a?b#c", "a%3Fb%23c"),
        ("{b}", "%7Bb%7D"),
        ("...", "..."),
        ("\u00fc\n", "%C3%BC%0A"),
        (";v=1", "%3Bv%3D1"),
    ],
)
def test_a_path_parameter_arrives_as_it_is(service: Service, value: str, path: str) -> None:
    content = with_path("/p/{plate}/{b}", parameter("plate", "path"), parameter("b", "path"))
    client, _ = client_of(content, server_url=service.url)
    client.bad(plate=value, b="x")
    assert service.requests[0][0] == f"/p/{path}/x"


def test_two_parameters_in_a_segment_do_not_make_dots(service: Service) -> None:
    content = with_path("/p/{a}{b}/x", parameter("a", "path"), parameter("b", "path"))
    client, _ = client_of(content, server_url=service.url)
    with pytest.raises(BadEntry, match="elsewhere"):
        client.bad(a=".", b=".")
    client.bad(a=".", b="..")
    assert service.requests[0][0] == "/p/.../x"


def test_parameters_may_have_any_name(service: Service) -> None:
    names = ["self", "body", "from", "class", "X-Mark", "__class__", "values", "2nd", "na me", "name", "\ufb01"]
    content = document(call=operation(*(parameter(name) for name in names)))
    client, sentences = client_of(content, server_url=service.url)
    assert sentences == []
    client.call(**dict.fromkeys(names, "v"))
    labels = list(inspect.signature(client.call).parameters)
    assert labels == ["self", "body", "from_", "class_", "X_Mark", "__class__", "values", "_2nd", "na_me", "name", "fi"]
    client.call(**dict.fromkeys(labels, "v"))
    assert service.requests[0][0] == service.requests[1][0]
    assert "from=v" in service.requests[0][0]
    with pytest.raises(BadEntry, match="twice"):
        client.call(**{"from": "v", "from_": "v"})
    with pytest.raises(BadEntry, match="no parameter 'other'"):
        client.call(other=1)


def test_parameters_that_share_a_name_in_several_places_are_all_sent(service: Service) -> None:
    body = {"content": {"application/json": {"schema": {}}}}
    content = document()
    content["paths"]["/p/{id}"] = {
        "parameters": [parameter("id", "path")],
        "post": operation(
            parameter("id"), parameter("id", "header"), parameter("body"), operationId="call", requestBody=body
        ),
    }
    client, _ = client_of(content, server_url=service.url)
    assert list(inspect.signature(client.call).parameters) == ["id", "id_query", "id_header", "body_query", "body"]
    client.call(id="a", id_query="b", id_header="c", body_query="d", body=7)
    path, headers, sent = service.requests[0]
    assert (path, headers["id"], sent) == ("/p/a?id=b&body=d", "c", b"7")


def test_a_parameter_of_the_operation_replaces_that_of_its_path(service: Service) -> None:
    content = document()
    content["paths"]["/p"] = {
        "parameters": [parameter("plate", type="integer")],
        "get": operation(parameter("plate", type="string"), operationId="call"),
    }
    client, _ = client_of(content, server_url=service.url)
    client.call(plate="seven")
    assert service.requests[0][0] == "/p?plate=seven"


def test_a_header_of_the_caller_is_not_replaced(service: Service) -> None:
    content = secured()
    content["paths"]["/call"]["get"]["parameters"] = [
        parameter("authorization", "header"),
        parameter("accept", "header"),
    ]
    client, _ = client_of(content, server_url=service.url, token="k")
    client.call(authorization="Own 7", accept="text/csv")
    client.call()
    assert service.requests[0][1] | {"authorization": "Own 7", "accept": "text/csv"} == service.requests[0][1]
    assert "Authorization" not in service.requests[0][1]
    assert service.requests[1][1]["Authorization"] == "Bearer k"
    with pytest.raises(BadEntry, match="cannot be sent"):
        client.call(accept="text/\u0434")


@pytest.mark.parametrize(
    "scheme",
    [{"type": "http", "scheme": "digest"}, {"type": "mutualTLS"}],
)
def test_a_token_is_not_sent_in_a_scheme_that_is_not_its_own(service: Service, scheme: dict[str, Any]) -> None:
    content = secured()
    content["components"]["securitySchemes"] = {"bearer": scheme}
    client, _ = client_of(content, server_url=service.url, token="k")
    client.call()
    assert "Authorization" not in service.requests[0][1]


@pytest.mark.parametrize("pattern", [r"^(a+)+$", r"^(.|.)*\n$", r"^(a|aa)+$", r"(x+x+)+y", "^(?=(a|aa)+$)b"])
def test_no_pattern_takes_forever(service: Service, pattern: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InexactWarning)
        content = document(call=operation(parameter("plate", type="string", pattern=pattern)))
        client = OpenAPIConnection("lab", "Lab", json.dumps(content), service.url).generate_new_client()
    if pattern.startswith("^(?="):
        client.call(plate="a" * 60 + "!")  # not checked here
        assert len(service.requests) == 1
    else:
        with pytest.raises(BadEntry, match="does not match"):
            client.call(plate="a" * 60 + "!")


def test_patterns_mean_what_javascript_says() -> None:
    content = document(call=operation(parameter("plate", type="string", pattern=r"^\d\p{L}$")))
    client, sentences = client_of(content)
    assert sentences == []
    for value in ("7a\n", "\u0667a", "77"):
        with pytest.raises(BadEntry, match="does not match"):
            client.call(plate=value)
    with pytest.raises(ConnectionFailed):
        client.call(plate="7\u00fc")


def test_an_enum_of_mixed_types_tells_them_apart() -> None:
    client, _ = client_of(document(call=operation(parameter("plate", enum=[1, "a", None]))))
    for value in (True, "1", "None", 2):
        with pytest.raises(BadEntry, match="not valid"):
            client.call(plate=value)
    for value in (1, "a", None):
        with pytest.raises(ConnectionFailed):
            client.call(plate=value)


def test_a_schema_that_may_hold_itself_checks_values_of_any_depth() -> None:
    tree = {
        "type": "object",
        "properties": {"inner": {"$ref": "#/components/schemas/Bad"}},
        "additionalProperties": False,
    }
    body = {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Bad"}}}}
    content = schema_of(Bad=tree)
    content["paths"]["/bad"] = {"post": operation(operationId="bad", requestBody=body)}
    client, sentences = client_of(content)
    assert sentences == []
    with pytest.raises(BadEntry, match="not valid"):
        client.bad(body={"inner": {"inner": {"other": 1}}})
    value: dict[str, Any] = {}
    for _ in range(2000):
        value = {"inner": value}
    with pytest.raises(BadEntry, match="too deep"):
        client.bad(body=value)


def test_the_documents_of_these_tests_are_valid_but_for_their_flaw() -> None:
    client, sentences = client_of(copy.deepcopy(secured(version="3.0.3")))
    assert (names_in(client), sentences) == (["call", "good"], [])
