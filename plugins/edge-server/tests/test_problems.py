"""Refusals and failures: always a problem document, never a secret."""

from __future__ import annotations

import base64
import errno
import hashlib
import logging
import re
import socket
import sqlite3
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import sqlalchemy as sa

from edge_server.base.problems import is_full
from edge_server.data import store
from edge_server.keys.signing import Signer
from edge_server.run.app import build, engines_at
from edge_server.testing.local_server import EdgeServer

from .pairs import single_host_only
from .stores import folder_only, store_of
from .wire import Api, client, close_all, refused

from_its_own_wire = single_host_only("nginx answers by itself what is no HTTP, and what it does not hand on")


def test_the_server_says_that_it_is_well_and_what_it_is(api: Api) -> None:
    api.token = None
    assert api.call("GET", "/healthz").json() == {"status": "ok"}
    meta = api.call("GET", "/v1/meta").json()
    assert meta["api"] == "v1"
    assert {"files", "whoami"} <= set(meta["subsystems"])
    assert meta["version"]


@pytest.mark.parametrize(
    "path",
    [
        *("/", "/v2/meta", "/v1/meta/", "/v1//meta", "/v1/orgs/x/files/nothing"),
        pytest.param("/%00", marks=from_its_own_wire),
    ],
)
def test_an_unknown_address_is_a_problem(api: Api, path: str) -> None:
    refused(api.call("GET", path), 404, "unknown_route")


@pytest.mark.parametrize("method", ["OPTIONS", "PATCH", "POST", pytest.param("TRACE", marks=from_its_own_wire)])
def test_a_method_an_address_does_not_know_is_a_problem(api: Api, method: str) -> None:
    answer = api.call(method, "/v1/meta")
    refused(answer, 405, "method_not_allowed")
    assert set(answer.headers["Allow"].split(", ")) == {"GET", "HEAD"}


def test_an_address_of_its_own_allows_its_own_methods(api: Api) -> None:
    """And not those of the address that would take its last word for an id."""
    answer = api.call("PUT", "/v1/users/me/tokens/renew")
    refused(answer, 405, "method_not_allowed")
    assert answer.headers["Allow"] == "POST"
    assert set(api.call("PUT", "/v1/users/me/tokens/x").headers["Allow"].split(", ")) == {"GET", "HEAD", "DELETE"}


def test_a_body_that_cannot_be_read_is_a_problem(api: Api) -> None:
    json = {"Content-Type": "application/json"}
    refused(api.files("POST", "/folders", data=b"{", headers=json), 400, "bad_entry")
    refused(api.files("POST", "/folders", data=b"\xff", headers=json), 400, "bad_entry")
    refused(api.files("POST", "/folders", data=b"[" * 100_000, headers=json), 400, "bad_entry")
    refused(api.files("POST", "/folders", data=b"{}"), 415, "unsupported_media_type")
    refused(api.files("POST", "/folders", data=bytes(9 << 20), headers=json), 413, "too_large")
    chunked = (bytes(1 << 20) for _ in range(9))
    refused(api.files("POST", "/folders", data=chunked, headers=json), 413, "too_large")


def test_numbers_of_thousands_of_digits_are_refused(api: Api) -> None:
    digits = "1" * 4301
    json = {"Content-Type": "application/json"}
    for body in (f'{{"path": {digits}}}', f'{{"path": "a", "exist_ok": {digits}}}', f'{{"path": [{digits}e999]}}'):
        answer = api.files("POST", "/folders", data=body.encode(), headers=json)
        assert answer.status_code in (400, 422), answer.text
        refused(answer, answer.status_code, "bad_entry")
    size = api.files("POST", "/uploads", data=f'{{"path": "a", "size": {digits}}}'.encode(), headers=json)
    refused(size, size.status_code, "bad_entry")
    answer = api.call("GET", f"/v1/orgs/{api.organization}/files/entries?path=&limit={digits}")
    refused(answer, 422, "bad_entry")
    api.put("a", b"content")
    digits = "1" * 2000
    for span in (f"bytes=0-{digits}", f"bytes={digits}-", f"bytes=-{digits}", f"bytes={digits}-{digits}"):
        assert api.files("GET", "/content", params={"path": "a"}, headers={"Range": span}).status_code in (
            200,
            206,
            416,
        )
    for query in (f"cursor={digits}", "cursor=x", "cursor=-1", f"cursor={1 << 64}"):
        answer = api.call("GET", f"/v1/orgs/{api.organization}/billing/events?{query}")
        assert answer.status_code < 500, answer.text
    for path in (f"/v1/uploads/x/parts/{digits}", f"/v1/orgs/{api.organization}/files/uploads/{digits}"):
        assert api.call("PUT", path).status_code < 500


@pytest.mark.parametrize(
    "content", [b"[" * 100_000, b"{}", b"[1]", b"1" * 5000, b'["a",1,"b","c","d"]', b"[1e999,1,1,1,1]", b"\xff"]
)
@pytest.mark.parametrize(
    "address", ["search?query=ab", "files/entries?path=", "sources?limit=1", "applications?limit=1"]
)
def test_a_cursor_that_the_server_never_gave_is_refused(api: Api, content: bytes, address: str) -> None:
    cursor = base64.urlsafe_b64encode(content).decode().rstrip("=")
    answer = api.call("GET", f"/v1/orgs/{api.organization}/{address}&cursor={cursor[:6000]}")
    assert answer.status_code < 500, answer.text


@from_its_own_wire
@pytest.mark.parametrize("chunk", [b"zz\r\nab\r\n", b"-1\r\n", b"\r\n\r\n", b"5\r\nab", b"1" * 5000 + b"\r\n"])
@pytest.mark.parametrize("start", ["PUT {files}/content?path=a", "POST {files}/folders", "GET {files}/nothing"])
def test_a_chunk_that_is_none_is_refused(api: Api, edge_server: EdgeServer, start: str, chunk: bytes) -> None:
    parts = urlsplit(edge_server.url)
    request = (
        f"{start.format(files=f'{parts.path}/v1/orgs/{api.organization}/files')} HTTP/1.1\r\nHost: a\r\n"
        f"Authorization: Bearer {api.token}\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    ).encode()
    with socket.create_connection((parts.hostname, parts.port), timeout=60) as connection:
        connection.sendall(request + chunk)
        connection.shutdown(socket.SHUT_WR)
        answer = b"".join(iter(lambda: connection.recv(1 << 16), b""))
    assert answer[9:12] in (b"400", b"404"), answer
    assert b'"code"' in answer


def test_a_field_that_is_wrong_is_named(api: Api) -> None:
    problem = refused(api.files("POST", "/folders", json={"exist_ok": "maybe"}), 422, "bad_entry")
    assert set(problem["errors"]) == {"path", "exist_ok"}
    problem = refused(api.files("POST", "/uploads/x/sign", json={"parts": [{"n": 1}, {"n": 0}]}), 422, "bad_entry")
    assert set(problem["errors"]) == {"parts.1.n"}
    assert problem["detail"].startswith("parts.1.n: ")
    refused(api.call("GET", f"/v1/orgs/{api.organization}/files/entry?path=a&path=b"), 400, "bad_entry")
    refused(api.files("GET", "/entry", params={"path": "a", "depth": 1}), 422, "bad_entry")


@pytest.mark.parametrize("sent", ["mine-1._", "x" * 64])
def test_a_plain_request_id_is_kept(api: Api, sent: str) -> None:
    assert api.call("GET", "/healthz", headers={"X-Request-ID": sent}).headers["X-Request-ID"] == sent
    assert refused(api.call("GET", "/no", headers={"X-Request-ID": sent}), 404, "unknown_route")["request_id"] == sent


@pytest.mark.parametrize("sent", ["", "x" * 65, "a b", "a\tb", "é", "<script>", "a,b"])
def test_an_odd_request_id_is_replaced(api: Api, sent: str) -> None:
    answer = api.call("GET", "/healthz", headers={"X-Request-ID": sent.encode("latin-1")})
    assert re.fullmatch(r"[0-9a-f]{16}", answer.headers["X-Request-ID"])


@from_its_own_wire
@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET /" + b"x" * 200_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", b"414"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 20_000 + b"\r\n\r\n", b"431"),
        (b"nonsense with edg_secret\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nedg_secret\r\n\r\n", b"400"),
    ],
)
def test_what_is_not_http_is_a_problem_too(edge_server: EdgeServer, sent: bytes, status: bytes) -> None:
    parts = urlsplit(edge_server.url)
    with socket.create_connection((parts.hostname, parts.port)) as wire:
        wire.sendall(sent)
        answer = wire.makefile("rb").read()
    assert answer.startswith(b"HTTP/1.1 " + status)
    assert b"application/problem+json" in answer
    assert b"X-Request-ID" in answer
    assert b"edg_secret" not in answer
    assert "edg_secret" not in edge_server.log


def kind_of_store(server: EdgeServer) -> Any:
    return type(store_of(server.data))


def in_process(server: EdgeServer) -> Any:
    return build(engines_at(server.data, Signer(b""), database=server.database)).test_client()


def test_a_failure_is_a_problem_that_tells_nothing(
    edge_server: EdgeServer, api: Api, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(kind_of_store(edge_server), "write", fail)
    answer = in_process(edge_server).put(
        f"/v1/orgs/{api.organization}/files/content?path=name", headers={"Authorization": f"Bearer {api.token}"}
    )
    assert answer.status_code == 500
    assert answer.json["code"] == "internal"
    assert "secret detail" not in answer.text
    assert "secret detail" in caplog.text
    assert answer.json["request_id"] in caplog.text
    assert api.token not in caplog.text
    assert "path=name" not in caplog.text


@folder_only("a disk that is forced to keep what is written")
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_says_so_and_leaves_nothing_behind(
    edge_server: EdgeServer,
    api: Api,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    number: int,
) -> None:
    def full(*_: object) -> None:
        raise OSError(number, "no space")

    http = in_process(edge_server)
    headers = {"Authorization": f"Bearer {api.token}"}
    before = sorted((edge_server.data / "content").glob("*/*"))
    with monkeypatch.context() as patch, caplog.at_level(logging.CRITICAL):
        patch.setattr(store.os, "fsync", full)
        answer = http.put(f"/v1/orgs/{api.organization}/files/content?path=a", headers=headers, data=b"x")
        assert answer.status_code == 507
        assert answer.json["code"] == "insufficient_storage"
    assert list((edge_server.data / "incoming").iterdir()) == []
    assert sorted((edge_server.data / "content").glob("*/*")) == before
    assert api.names() == []


def test_a_full_database_is_a_full_disk() -> None:
    assert is_full(sa.exc.OperationalError("INSERT", {}, sqlite3.OperationalError("database or disk is full")))
    assert not is_full(sa.exc.OperationalError("INSERT", {}, sqlite3.OperationalError("no such table")))
    assert not is_full(OSError(errno.EACCES, "no"))


def test_a_complete_that_fails_at_the_last_moment_can_be_repeated(
    edge_server: EdgeServer, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = api.start("a", 4)["id"]
    part = api.part(upload, 1, b"abcd")
    kind = kind_of_store(edge_server)
    complete_upload = kind.complete_upload

    def fail(*arguments: Any, **options: Any) -> None:
        complete_upload(*arguments, **options)
        raise OSError(errno.ENOSPC, "no space")

    body = {"sha256": hashlib.sha256(b"abcd").hexdigest(), "parts": [part]}
    with monkeypatch.context() as patch:
        patch.setattr(kind, "complete_upload", fail)
        answer = in_process(edge_server).post(
            f"/v1/orgs/{api.organization}/files/uploads/{upload}/complete",
            json=body,
            headers={"Authorization": f"Bearer {api.token}"},
        )
    assert answer.status_code == 507
    refused(api.stat("a"), 404, "not_found")
    assert api.complete(upload, [part], b"abcd").status_code == 200
    assert api.get("a").content == b"abcd"


@single_host_only("its log")
@pytest.mark.slow
def test_the_log_holds_no_token_and_no_signature(tmp_path: Path) -> None:
    server = EdgeServer(tmp_path / "data")
    server.start("--access-log")
    try:
        admin = client(server, server.create_token("admin"), "default")
        admin.put("a", b"x")
        url = admin.files("GET", "/download-url", params={"path": "a"}).json()["url"]
        assert admin.signed("GET", url).status_code == 200
        admin.signed("GET", f"{url}x")
        admin.call("GET", "/v1/meta", headers={"X-Request-ID": "see-me"})
        admin.call("GET", "/v1/no%0a127.0.0.1 forged%1b]0;owned%07")
    finally:
        close_all()
        server.close()
    access = (server.data / "logs" / "access.log").read_text()
    assert "GET /v1/meta" in access
    assert "see-me" in access
    assert '"GET /v1/no%0A127.0.0.1%20forged%1B%5D0%3Bowned%07"' in access
    assert all(line.startswith("127.0.0.1 [") for line in access.splitlines())
    for log in (access, server.log.partition("EDGE_API_TOKEN=")[2].partition("\n")[2]):
        assert "edg_" not in log
        assert "signature" not in log
        assert "?" not in log
