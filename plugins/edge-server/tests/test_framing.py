"""Where a request ends: no byte of a body is ever answered as a request, whatever the headers say."""

from __future__ import annotations

import contextlib
import os
import re
import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from edge_server.web.transfers import Body

from .wire import Api

pytestmark = pytest.mark.skipif(os.name != "posix", reason="elsewhere waitress parses requests")

INNER = b"GET /v1/hidden HTTP/1.1\r\nHost: x\r\n\r\n"
"""A request for what does not exist, which stands in the body of another."""

ANSWER = re.compile(rb"HTTP/1\.[01] (\d\d\d) ")


def statuses(api: Api, *sent: bytes) -> list[bytes]:
    """The status of each answer until the server closes; each piece is sent once there is an answer to the last."""
    where = urlsplit(api.url)
    with socket.create_connection((where.hostname, where.port), timeout=60) as wire:
        received = b""
        for piece in sent:
            wire.sendall(piece)
            if piece is not sent[-1]:
                received += wire.recv(1 << 16)
        wire.shutdown(socket.SHUT_WR)
        with wire.makefile("rb") as file:
            return ANSWER.findall(received + file.read())


def posted(api: Api, *lines: str) -> bytes:
    request = f"POST /v1/orgs/{api.organization}/files/folders HTTP/1.1"
    known = ["Host: x", f"Authorization: Bearer {api.token}", "Content-Type: application/json"]
    return "\r\n".join([request, *known, *lines, "", ""]).encode()


LENGTHS = [
    ["Content-Length: 0", f"Content-Length: {len(INNER)}"],
    [f"Content-Length: {len(INNER)}"] * 2,
    [f"Content-Length: {len(INNER)}, {len(INNER)}"],
    [f"Content-Length: +{len(INNER)}"],
    ["Content-Length: -1"],
    [f"Content-Length : {len(INNER)}"],
    [f"Content-Length:\r\n {len(INNER)}"],
    ["Content-Length: 5", "Transfer-Encoding: chunked"],
    ["Transfer-Encoding: chunked", "Transfer-Encoding: chunked"],
    ["Transfer-Encoding: chunked, identity"],
    ["Transfer-Encoding: identity"],
    ["Transfer-Encoding: xchunked"],
    ["Transfer-Encoding : chunked"],
    ["Transfer-Encoding:\r\n chunked"],
    ["Transfer-Encoding:"],
]


@pytest.mark.parametrize("lines", LENGTHS, ids=", ".join)
def test_a_length_that_is_not_clear_is_refused_and_ends_the_connection(api: Api, lines: list[str]) -> None:
    assert statuses(api, posted(api, *lines) + b"0\r\n\r\n" + INNER) == [b"400"]


@pytest.mark.parametrize("digits", [19, 20, 22, 4000])
def test_a_length_with_leading_zeros_is_waited_for_as_any_other(api: Api, digits: int) -> None:
    header = posted(api, f"Content-Length: {len(INNER):0{digits}}")
    assert statuses(api, header + INNER) == [b"400"]
    where = urlsplit(api.url)
    with socket.create_connection((where.hostname, where.port), timeout=60) as wire:
        wire.sendall(header)
        wire.settimeout(0.2)
        with pytest.raises(TimeoutError):  # an answer before the body would leave the body to be taken for a request
            wire.recv(1)


@contextlib.contextmanager
def arriving(received: bytes) -> Iterator[tuple[Any, Body, socket.socket]]:
    """A request of which some has come, its body as the server reads it, and the socket that the rest comes by."""
    from gunicorn.config import Config
    from gunicorn.http.parser import RequestParser

    from edge_server.run.connection import Connection
    from edge_server.run.gunicorn_worker import _Body

    ours, theirs = socket.socketpair()
    with ours, theirs:
        connection = Connection(ours, ("127.0.0.1", 1), ("127.0.0.1", 2))
        connection.received += received
        parser = RequestParser(Config(), connection, connection.address)
        request = next(parser)
        body = _Body(request, parser.unreader, connection)
        assert not request.should_close()
        connection.may_wait = True
        yield request, body, theirs


HALF = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf"


def test_a_body_that_came_short_ends_the_connection() -> None:
    with arriving(HALF) as (request, _, theirs):
        theirs.shutdown(socket.SHUT_WR)
        assert request.body.read(10) == b"half"
        assert request.should_close()


def test_a_body_that_came_short_in_a_buffer_ends_the_connection() -> None:
    buffer = bytearray(20)
    with arriving(HALF) as (request, body, theirs):
        theirs.sendall(b"more")
        theirs.shutdown(socket.SHUT_WR)
        assert body.readinto(memoryview(buffer)) == len(b"halfmore")
        assert buffer.startswith(b"halfmore")
        assert request.should_close()


# gunicorn reads 8192 bytes in search of a header, and leaves the rest with the connection.
@pytest.mark.parametrize("here", [0, 100, 8000, 20_000, 30_000])
@pytest.mark.parametrize("size", [1, 1000, 30_000, 40_000])
def test_a_body_in_buffers_is_whole_and_leaves_the_next_request_alone(here: int, size: int) -> None:
    content = os.urandom(30_000)
    header = f"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: {len(content)}\r\n\r\n".encode()
    behind = INNER if here == len(content) else b""
    came = b""
    buffer = memoryview(bytearray(size))
    with arriving(header + content[:here] + behind) as (request, body, theirs):
        theirs.sendall(content[here:] + (INNER if not behind else b""))
        while count := body.readinto(buffer):
            came += buffer[:count]
        assert came == content
        assert request.body.read(1) == b""
        assert not request.should_close()


def test_a_body_in_chunks_comes_in_buffers() -> None:
    chunked = b"PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n4\r\nmore\r\n0\r\n\r\n"
    buffer = bytearray(6)
    with arriving(chunked) as (_, body, _):
        assert [(body.readinto(memoryview(buffer)), bytes(buffer[:2])) for _ in range(3)] == [
            (6, b"ha"),
            (2, b"re"),
            (0, b"re"),
        ]
        assert body.has_arrived()


def test_a_length_beyond_all_bounds_ends_the_connection(api: Api) -> None:
    accept = "POST /v1/invitations/accept HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    for header in (posted(api, f"Content-Length: {10**21}"), f"{accept}Content-Length: {10**21}\r\n\r\n".encode()):
        assert len(statuses(api, header, INNER)) == 1


@pytest.mark.parametrize("size", ["2;\n", "0x2", "+2", " 2", "2 ", "", '2;a="\r\nx"'])
def test_a_chunk_without_a_clear_size_ends_the_connection(api: Api, size: str) -> None:
    body = f"{size}\r\n{{}}\r\n0\r\n\r\n".encode()
    assert statuses(api, posted(api, "Transfer-Encoding: chunked") + body + INNER) == [b"400"]


def test_no_header_names_another_address(api: Api) -> None:
    token = f"Host: x\r\nAuthorization: Bearer {api.token}\r\n"
    prefixed = f"GET /prefix/v1/users/me HTTP/1.1\r\n{token}SCRIPT_NAME: /prefix\r\n\r\n"
    assert statuses(api, prefixed.encode()) == [b"404"]
    other = f"GET /v1/users/me HTTP/1.1\r\n{token}SCRIPT_NAME: /elsewhere\r\nPATH_INFO: /healthz\r\n\r\n"
    assert statuses(api, other.encode()) == [b"200"]
    schemes = f"GET /v1/users/me HTTP/1.1\r\n{token}X-Forwarded-Proto: https\r\nX-Forwarded-Ssl: off\r\n\r\n"
    assert statuses(api, schemes.encode()) == [b"200"], "which proxies to trust says the operator"
