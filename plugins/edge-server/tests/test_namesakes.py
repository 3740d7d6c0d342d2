"""An organization that takes the place of a removed one has nothing to do with it."""

from __future__ import annotations

import os
import socket
from urllib.parse import urlsplit

import pytest

from edge_server.testing.local_server import EdgeServer

from .test_running import wait_for
from .wire import Api, client


def replaced(server: EdgeServer, name: str) -> str:
    """Remove the newest organization and add another of its name, whose only member is returned."""
    root = client(server, server.create_token(server.create_user(server_admin=True)), name)
    assert root.call("DELETE", f"/v1/admin/organizations/{name}").status_code == 202
    record = {"name": name, "title": "another"}
    wait_for(lambda: root.call("POST", "/v1/admin/organizations", json=record).status_code == 201)
    return server.create_user(organization=name)


@pytest.mark.skipif(os.name != "posix", reason="elsewhere waitress answers only whole requests")
def test_a_request_that_outlives_its_organization_changes_no_other(edge_server: EdgeServer, api: Api) -> None:
    where = urlsplit(api.url)
    header = [f"PUT /v1/orgs/{api.organization}/files/content?path=late HTTP/1.1", "Host: x", "Connection: close"]
    header += [f"Authorization: Bearer {api.token}", "Content-Length: 100000", "Expect: 100-continue", "", ""]
    with socket.create_connection((where.hostname, where.port), timeout=60) as wire:
        wire.sendall("\r\n".join(header).encode())
        assert wire.recv(4096).startswith(b"HTTP/1.1 100 ")
        other = replaced(edge_server, api.organization)
        wire.sendall(bytes(100_000))
        with wire.makefile("rb") as file:
            assert file.read().startswith(b"HTTP/1.1 404 ")
    assert client(edge_server, edge_server.create_token(other), api.organization).names() == []


def test_an_answer_of_a_removed_organization_is_none_of_its_namesake(edge_server: EdgeServer, api: Api) -> None:
    key = {"Idempotency-Key": api.organization}
    assert api.files("POST", "/folders", json={"path": "a"}, headers=key).status_code == 201
    name = api.call("GET", "/v1/users/me").json()["user_name"]
    replaced(edge_server, api.organization)
    root = client(edge_server, edge_server.create_token(edge_server.create_user(server_admin=True)), api.organization)
    assert root.call("POST", f"/v1/orgs/{api.organization}/members", json={"user_name": name}).status_code == 201
    answer = api.files("POST", "/folders", json={"path": "a"}, headers=key)
    assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_mismatch")
