"""`OpenAPIConnection` against a service that answers over HTTP, and against our own server's description."""

from __future__ import annotations

import base64
import inspect
import io
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from edge_core.errors import (
    ApiError,
    BadEntry,
    BadResponse,
    ConnectionFailed,
    Forbidden,
    NotFound,
    ServerError,
    Unauthenticated,
)
from edge_server.testing.local_server import EdgeServer
from edge_sources.connection import ConnectionStatus
from edge_sources.openapi import OpenAPIConnection
from tests.object_stores import free_port

from .pets import ANIMALS, PETS


@pytest.mark.parametrize("kind", ["yaml", "json", "text"])
def test_operations_are_methods_grouped_by_tag(url: str, kind: str) -> None:
    spec = PETS if kind == "text" else f"{url}/openapi.{kind}"
    connection = OpenAPIConnection("pets", "Pets", spec, f"{url}/v1" if kind == "text" else None, token="k")
    client = connection.generate_new_client()
    assert client.pet.findPetsByStatus(status="sold") == [ANIMALS[1]]
    assert client.pet.getPetById(petId=2) == ANIMALS[2]
    assert client.pet.addPet(body={"name": "Ada", "id": 3}) == {"name": "Ada", "id": 3}
    assert client.ping() == "pong"
    assert [name for name in dir(client.pet) if not name.startswith("_")] == [
        "addPet",
        "findPetsByStatus",
        "getPetById",
    ]
    assert "status" in inspect.signature(client.pet.findPetsByStatus).parameters
    assert "Finds pets" in client.pet.findPetsByStatus.__doc__
    assert "findPetsByStatus" in repr(client.pet)
    assert "pet" in repr(client)


def test_parameters_are_checked_before_anything_is_sent(url: str, shop: Any) -> None:
    client = OpenAPIConnection("pets", "Pets", f"{url}/openapi.yaml").generate_new_client()
    del shop.request
    for call in (
        lambda: client.pet.findPetsByStatus(),
        lambda: client.pet.findPetsByStatus(status="lost"),
        lambda: client.pet.findPetsByStatus(status="sold", other=1),
        lambda: client.pet.getPetById(petId="one"),
        lambda: client.pet.addPet(),
        lambda: client.pet.addPet(body={"id": 3}),
    ):
        with pytest.raises(BadEntry):
            call()
    assert not hasattr(shop, "request")


def test_bodies_go_in_the_form_the_document_says(url: str, shop: Any) -> None:
    document = yaml.safe_load(PETS)
    forms = {
        "merge": ["application/merge-patch+json"],
        "form": ["application/x-www-form-urlencoded"],
        "files": ["multipart/form-data"],
        "raw": ["application/octet-stream"],
        "both": ["application/octet-stream", "application/vnd.lab+json", "application/json"],
        "xml": ["application/xml"],
    }
    for name, kinds in forms.items():
        body = {"content": {kind: {"schema": {}} for kind in kinds}}
        document["paths"][f"/{name}"] = {
            "post": {"operationId": name, "requestBody": body, "responses": {"200": {"description": "pong"}}}
        }
    client = OpenAPIConnection("pets", "Pets", json.dumps(document, default=str), f"{url}/v1", token="k")
    calls: Any = client.generate_new_client()

    def sent(name: str, body: Any) -> tuple[str, bytes]:
        assert getattr(calls, name)(body=body) == "pong"
        return shop.request[3]["Content-Type"], shop.request[4]

    assert sent("merge", {"a": None}) == ("application/merge-patch+json", b'{"a": null}')
    assert sent("form", {"a": "x y", "b": [1, True]}) == ("application/x-www-form-urlencoded", b"a=x+y&b=1&b=true")
    assert sent("raw", b"\x00\x01") == ("application/octet-stream", b"\x00\x01")
    assert sent("raw", io.BytesIO(b"ab")) == ("application/octet-stream", b"ab")
    assert sent("both", {"a": 1}) == ("application/json", b'{"a": 1}')
    assert sent("both", b"ab") == ("application/octet-stream", b"ab")
    assert sent("xml", "<a/>") == ("application/xml", b"<a/>")
    kind, body = sent(
        "files", {"file": b"content", "about": {"plate": 7}, "label": "Gr\u00fc\u00dfe", "tags": ["a", "b"]}
    )
    assert kind.startswith("multipart/form-data; boundary=")
    for part in (b'name="file"; filename="file"', b"content", b'{"plate": 7}', "Gr\u00fc\u00dfe".encode()):
        assert part in body
    assert body.count(b'name="tags"') == 2
    for wrong in ({"a": 1}, 7):
        with pytest.raises(BadEntry, match="application/xml"):
            calls.xml(body=wrong)
    with pytest.raises(BadEntry, match="JSON"):
        calls.merge(body={"a": object()})


def test_credentials_go_as_the_document_says(url: str, shop: Any) -> None:
    client = OpenAPIConnection("pets", "Pets", f"{url}/openapi.yaml", token="k1").generate_new_client()
    client.pet.findPetsByStatus(status="sold")
    assert shop.request[3]["Authorization"] == "Bearer k1"
    client.pet.getPetById(petId=1)
    assert shop.request[3]["X-Key"] == "k1"
    client.ping()
    assert "Authorization" not in shop.request[3]
    basic = OpenAPIConnection("pets", "Pets", f"{url}/openapi.yaml", username="u", password="p").generate_new_client()
    basic.pet.addPet(body={"name": "Ada"})
    assert shop.request[3]["Authorization"] == "Basic " + base64.b64encode(b"u:p").decode()


def test_refusals_are_our_errors(url: str) -> None:
    client = OpenAPIConnection("pets", "Pets", f"{url}/openapi.yaml", token="k").generate_new_client()
    for pet, error in {
        9: NotFound,
        403: Forbidden,
        500: ServerError,
        418: ApiError,
        302: BadResponse,
        200: BadResponse,
    }.items():
        with pytest.raises(error):
            client.pet.getPetById(petId=pet)
    gone = OpenAPIConnection("pets", "Pets", PETS, f"http://127.0.0.1:{free_port()}").generate_new_client()
    with pytest.raises(ConnectionFailed, match="check spec and server_url of the connector"):
        gone.ping()


def test_a_call_that_cannot_be_sent_is_refused(url: str) -> None:
    document = yaml.safe_load(PETS)
    document["paths"]["/ping"]["get"]["parameters"] = [{"name": "X-Mark", "in": "header", "schema": {"type": "string"}}]
    text = json.dumps(document, default=str)
    client: Any = OpenAPIConnection("pets", "Pets", text, f"{url}/v1").generate_new_client()
    assert client.ping(**{"X-Mark": "a"}) == "pong"
    with pytest.raises(BadEntry, match="InvalidHeader"):
        client.ping(**{"X-Mark": "a\r\nX-Other: b"})
    for address in ("http://[::1", "http://127.0.0.1:port"):
        with pytest.raises(BadEntry, match="address"):
            OpenAPIConnection("pets", "Pets", text, address).generate_new_client()
        with pytest.raises(BadEntry, match="address"):
            OpenAPIConnection("pets", "Pets", f"{address}/openapi.json").generate_new_client()
    with pytest.raises(BadEntry, match="InvalidURL"):
        OpenAPIConnection("pets", "Pets", text, "http://*").generate_new_client().ping()


def test_the_status_of_a_test_tells_the_reason(url: str) -> None:
    def status(spec: str, **more: Any) -> ConnectionStatus:
        return OpenAPIConnection("pets", "Pets", spec, **more).test(30)

    assert status(f"{url}/openapi.yaml", token="k") is ConnectionStatus.VALID_CONNECTION
    assert status(f"{url}/openapi.yaml", token="wrong") is ConnectionStatus.BAD_CREDENTIALS
    assert status(f"http://127.0.0.1:{free_port()}/openapi.yaml") is ConnectionStatus.NO_CONNECTION
    assert status("http://no-such-host.invalid/openapi.yaml") is ConnectionStatus.NO_CONNECTION
    assert status("this: is not one") is ConnectionStatus.NO_CONNECTION


def test_what_is_no_document_is_refused() -> None:
    whole = yaml.safe_load(PETS)
    for spec in (
        "{",
        "[1, 2]",
        "swagger: '2.0'",
        "openapi: 3.0.3",
        json.dumps({**whole, "paths": 7}, default=str),
        "!!python/object/apply:os.getcwd []",
    ):
        with pytest.raises(BadEntry):
            OpenAPIConnection("pets", "Pets", spec, "http://127.0.0.1:1").generate_new_client()
    with pytest.raises(BadEntry):
        OpenAPIConnection("pets", "Pets", "")
    with pytest.raises(BadEntry, match="server_url"):
        OpenAPIConnection(
            "pets", "Pets", "openapi: 3.1.0\ninfo: {title: x, version: '1'}\npaths: {}"
        ).generate_new_client()


@pytest.mark.slow
def test_our_own_servers_description_makes_a_client(edge_server: EdgeServer) -> None:
    document = (Path(__file__).parents[3] / "docs" / "openapi.json").read_text()
    user = edge_server.create_user()
    connection = OpenAPIConnection("edge", "Edge", document, edge_server.url, token=edge_server.create_token(user))
    client = connection.generate_new_client()
    assert client.whoami.whoami_read()["user_name"] == user
    assert client.whoami.whoami_update(body={"first_name": "Ada"})["first_name"] == "Ada"  # a merge patch
    connection.token = "x"
    with pytest.raises(Unauthenticated):
        connection.generate_new_client().whoami.whoami_read()
