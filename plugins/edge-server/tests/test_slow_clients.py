"""Slow clients, honest or not: what they get, and that nobody else waits for them.

The server has fewer threads here than there are slow connections of each kind.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from edge_server.base.problems import Refusal
from edge_server.testing.local_server import EdgeServer
from edge_server.web.transfers import Transfers

from .stores import environment_of, folder_only
from .wire import Api, client, close_all, refused

pytestmark = pytest.mark.skipif(os.name != "posix", reason="elsewhere waitress serves, which reads all by itself")

THREADS = 2
UPLOADS = 4
SLOW = 12
"""Slow connections of each kind: more than all threads together."""

LARGE = 8 << 20


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EdgeServer]:
    """A server with few threads."""
    server = EdgeServer(tmp_path_factory.mktemp("slow") / "data")
    server.start("--threads", str(THREADS), "--uploads", str(UPLOADS))
    yield server
    close_all()
    server.close()


@contextlib.contextmanager
def in_process(code: str, data: Path, *arguments: Path) -> Iterator[EdgeServer]:
    """A server that `code` runs on the folder it finds in `sys.argv`."""
    server = EdgeServer(data)
    process = subprocess.Popen(
        [sys.executable, "-c", code, data, *arguments],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | environment_of(data),
    )
    try:
        assert process.stdout is not None
        for line in process.stdout:
            if "EDGE_API_SERVICE_URL=" in line:
                server.url = line.partition("=")[2].strip()
            if "EDGE_API_TOKEN=" in line:
                break
        yield server
    finally:
        process.terminate()
        process.communicate(timeout=60)
        server.close()


@pytest.fixture
def api(server: EdgeServer) -> Api:
    """A member of a fresh organization."""
    organization = server.create_organization()
    return client(server, server.create_token(server.create_user(organization=organization)), organization)


@pytest.fixture
def wires() -> Iterator[list[socket.socket]]:
    """Connections that a test opens, closed in the end."""
    opened: list[socket.socket] = []
    yield opened
    for wire in opened:
        wire.close()


def connected(api: Api, wires: list[socket.socket], sent: bytes = b"") -> socket.socket:
    where = urlsplit(api.url)
    wire = socket.socket()
    wires.append(wire)
    wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    wire.settimeout(60)
    wire.connect((where.hostname, where.port))
    wire.sendall(sent)
    return wire


def head(api: Api, request: str, *lines: str, known: bool = True) -> bytes:
    """The header of a request of a member, or of someone unknown."""
    token = [f"Authorization: Bearer {api.token}"] if known else []
    return "\r\n".join([f"{request} HTTP/1.1", "Host: x", *token, *lines, "", ""]).encode()


def content(api: Api, *lines: str) -> bytes:
    return head(api, f"PUT /v1/orgs/{api.organization}/files/content?path=slow", *lines)


def answers(wire: socket.socket) -> bytes:
    """All that comes until the server closes."""
    with wire.makefile("rb") as file:
        return file.read()


def answered(wire: socket.socket) -> bytes:
    """The first answer's header, the body of which is short."""
    received = b""
    while b"\r\n\r\n" not in received:
        block = wire.recv(4096)
        assert block, "the server closed the connection without an answer"
        received += block
    return received


def slow(api: Api, kind: str) -> bytes:
    """What a slow client of a kind sends, and then no more."""
    folders = f"POST /v1/orgs/{api.organization}/files/folders"
    json = "Content-Type: application/json"
    return {
        "silent": b"",
        "half a header": b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Hal",
        "half a small body": head(api, folders, json, "Content-Length: 50000") + b"{",
        "half of some content": content(api, "Content-Length: 1000000") + b"half",
        "half a chunk": content(api, "Transfer-Encoding: chunked") + b"100\r\nhalf",
        "nothing after the promise of content": content(api, "Expect: 100-continue", "Content-Length: 1000000"),
        "half a body without a token": head(api, folders, json, "Content-Length: 1000000", known=False) + b"{",
        "half a body to nowhere": head(api, "POST /v1/nowhere", json, "Content-Length: 1000000") + b"{",
        "half a large JSON": head(api, folders, json, "Content-Length: 130000") + b"{",
        "an acceptance in chunks": head(
            api, "POST /v1/invitations/accept", json, "Transfer-Encoding: chunked", known=False
        ),
    }[kind]


KINDS = [
    "silent",
    "half a header",
    "half a small body",
    "half of some content",
    "half a chunk",
    "nothing after the promise of content",
    "half a body without a token",
    "half a body to nowhere",
    "half a large JSON",
    "an acceptance in chunks",
]


@pytest.mark.parametrize("kind", KINDS)
def test_nobody_waits_for_slow_senders(server: EdgeServer, api: Api, wires: list[socket.socket], kind: str) -> None:
    for _ in range(SLOW):
        connected(api, wires, slow(api, kind))
    token = server.create_token(server.create_user(organization=api.organization))
    for other in (client(server, token, api.organization), api):
        assert other.call("GET", "/healthz").status_code == 200
        assert other.call("GET", "/v1/users/me").status_code == 200
        assert other.put("small", b"small").status_code == 201
        assert other.files("POST", "/folders", json={"path": "made", "exist_ok": True}).status_code == 201
    # One user's slow bodies leave room for another's large ones.
    assert client(server, token, api.organization).put("large", bytes(500_000)).status_code == 201


@folder_only("large content, which the server itself sends")
def test_nobody_waits_for_slow_readers(api: Api, wires: list[socket.socket]) -> None:
    sent = os.urandom(LARGE)
    api.upload("large", sent)
    url = api.files("GET", "/download-url", params={"path": "large"}).json()["url"]
    readers = [connected(api, wires, head(api, f"GET /{url}", known=False)) for _ in range(SLOW)]
    assert api.call("GET", "/v1/users/me").status_code == 200
    assert api.put("small", b"small").status_code == 201
    assert api.get("small").content == b"small"
    assert api.signed("GET", url).content == sent, "others read it whole meanwhile"
    # Slow as they were, they get all of it.
    received = answered(readers[0])
    while len(received) < LARGE:
        received += readers[0].recv(1 << 20)
    assert received.partition(b"\r\n\r\n")[2] == sent


def test_nobody_waits_for_who_does_not_read_a_long_list(api: Api, wires: list[socket.socket]) -> None:
    for number in range(60):
        api.files("POST", "/folders", json={"path": f"{number:03}" + "x" * 200})
    request = head(api, f"GET /v1/orgs/{api.organization}/files/entries?path=&limit=1000")
    readers = [connected(api, wires, request * 99) for _ in range(SLOW)]
    assert api.call("GET", "/v1/users/me").status_code == 200
    received = b""
    while received.count(b"HTTP/1.1 200 OK") < 99:
        received += readers[0].recv(1 << 20)


def test_nobody_waits_for_a_disk_that_others_read_from(tmp_path: Path, wires: list[socket.socket]) -> None:
    code = """
import os, pathlib, sys, time
from edge_server.run.command import server
read, turns = os.sendfile, pathlib.Path(sys.argv[2])
def sendfile(*arguments):
    while not turns.exists():
        time.sleep(0.01)
    return read(*arguments)
os.sendfile = sendfile
server(["run", "--port", "0", "--threads", "2", "--data", sys.argv[1]])
"""
    with in_process(code, tmp_path / "data", tmp_path / "turns") as server:
        api = client(server, server.create_token("admin"), "default")
        api.put("small", b"small")
        request = head(api, "GET /v1/orgs/default/files/content?path=small")
        readers = [connected(api, wires, request) for _ in range(SLOW)]
        assert api.call("GET", "/v1/users/me").status_code == 200
        (tmp_path / "turns").touch()
        assert all(answered(reader).startswith(b"HTTP/1.1 200 ") for reader in readers)


# --- shares ---------------------------------------------------------------------------------------


def test_a_user_has_a_share_of_the_bodies_and_all_together_have_an_end(
    server: EdgeServer, api: Api, wires: list[socket.socket]
) -> None:
    others = [
        client(server, server.create_token(server.create_user(organization=api.organization)), api.organization)
        for _ in range(UPLOADS)
    ]

    def begin(sender: Api) -> socket.socket:
        wire = connected(sender, wires, content(sender, "Expect: 100-continue", "Content-Length: 100000"))
        assert answered(wire).startswith(b"HTTP/1.1 100 Continue\r\n\r\n")
        return wire

    first = begin(api)
    busy = refused(api.put("more", bytes(100_000)), 429, "busy")
    assert busy["detail"].startswith("you are sending 1 large bodies at once")
    assert int(api.put("more", bytes(100_000)).headers["Retry-After"]) > 0
    assert api.put("small", b"small").status_code == 201, "what has come with its header needs no share"
    for other in others[:-1]:
        begin(other)
    full = others[-1].put("more", bytes(100_000))
    refused(full, 503, "busy")
    assert int(full.headers["Retry-After"]) > 0
    first.sendall(bytes(100_000))
    assert b" 201 " in answered(first)
    assert api.put("more", bytes(100_000)).status_code == 201


def test_a_part_refused_for_its_senders_share_leaves_what_is_there(api: Api, wires: list[socket.socket]) -> None:
    upload = api.start("a", 100_000)["id"]
    held = api.part(upload, 1, b"1" * 100_000)
    connected(api, wires, content(api, "Expect: 100-continue", "Content-Length: 100000"))
    answered(wires[0])
    refused(api.signed("PUT", api.address(upload, 1), data=b"2" * 100_000), 429, "busy")
    assert [part["n"] for part in api.files("GET", f"/uploads/{upload}").json()["parts"]] == [1]
    assert api.complete(upload, [held], b"1" * 100_000).status_code == 200


def test_shares_are_counted_and_returned() -> None:
    transfers = Transfers(8)
    with contextlib.ExitStack() as held:
        held.enter_context(transfers.of(1))
        held.enter_context(transfers.of(1))
        for user, status in ((1, 429), (2, None), (3, None), (4, None), (2, None), (3, None), (4, None), (5, 503)):
            if status is None:
                held.enter_context(transfers.of(user))
                continue
            with pytest.raises(Refusal) as refusal, transfers.of(user):
                pass
            assert refusal.value.status == status
    with transfers.of(5):
        pass


@pytest.mark.slow
def test_a_client_sends_again_after_a_busy_answer(server: EdgeServer, api: Api, wires: list[socket.socket]) -> None:
    from edge.api import EdgeSession

    first = connected(api, wires, content(api, "Expect: 100-continue", "Content-Length: 100000"))
    answered(first)
    threading.Timer(0.5, lambda: first.shutdown(socket.SHUT_RDWR)).start()
    with EdgeSession(api_token=api.token, service_url=server.url, organization=api.organization) as edge:
        edge.files.upload("mine", bytes(100_000))
        assert edge.files.read_bytes("mine") == bytes(100_000)


def test_what_takes_long_and_has_no_body_keeps_no_body_waiting(tmp_path: Path, wires: list[socket.socket]) -> None:
    code = """
import pathlib, sys, time
from edge_server.run.command import server
from edge_server.search import finding
find, turns = finding.find, pathlib.Path(sys.argv[2])
def found(*arguments, **options):
    while not turns.exists():
        time.sleep(0.01)
    return find(*arguments, **options)
finding.find = found
server(["run", "--port", "0", "--data", sys.argv[1]])
"""
    with in_process(code, tmp_path / "data", tmp_path / "turns") as server:
        api = client(server, server.create_token("admin"), "default")
        search = "GET /v1/orgs/default/search?query=x"
        expecting = [
            connected(api, wires, head(api, search, line))
            for line in ("Expect: 100-continue", "Transfer-Encoding: chunked")
        ]
        assert api.put("large", bytes(500_000)).status_code == 201
        (tmp_path / "turns").touch()
        assert all(answered(wire).startswith(b"HTTP/1.1 200 ") for wire in expecting)


# --- refusals, which wait for no body -------------------------------------------------------------


@pytest.mark.parametrize("kind", ["half a body without a token", "half a body to nowhere"])
def test_what_is_refused_anyway_is_refused_before_its_body(api: Api, wires: list[socket.socket], kind: str) -> None:
    wire = connected(api, wires, slow(api, kind))
    answer = answers(wire)
    assert answer.startswith(b"HTTP/1.1 401 " if "token" in kind else b"HTTP/1.1 404 ")
    assert b"\r\nConnection: close\r\n" in answer


def test_a_sender_that_expects_100_continue_gets_it_or_a_refusal(api: Api, wires: list[socket.socket]) -> None:
    expecting = ("Expect: 100-continue", "Content-Length: 100000")
    wire = connected(api, wires, content(api, *expecting))
    assert answered(wire).startswith(b"HTTP/1.1 100 Continue")
    wire.sendall(bytes(100_000))
    assert answered(wire).startswith(b"HTTP/1.1 201 ")
    refused_early = connected(api, wires, content(api, *expecting).replace(b"Bearer ", b"Bearer x"))
    assert answers(refused_early).startswith(b"HTTP/1.1 401 ")


def test_a_known_sender_gets_to_read_why_a_body_was_refused(api: Api, wires: list[socket.socket]) -> None:
    wire = connected(api, wires, content(api, "Content-Length: 1900000"))
    wire.sendall(bytes(900_000))
    assert answers(wire).startswith(b"HTTP/1.1 413 ")


# --- deadlines ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def hasty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EdgeServer]:
    """A server that waits for a moment only, and whose least rates are high."""
    code = """
import sys
from edge_server.run import connection, poller
from edge_server.run.command import server
poller.IDLE_SECONDS = poller.HEADER_SECONDS = 0.5
connection.RATE_SECONDS = poller.RATE_SECONDS = 0.5
poller.HELD = 300_000
server(["run", "--port", "0", "--access-log", "--data", sys.argv[1]])
"""
    with in_process(code, tmp_path_factory.mktemp("hasty") / "data") as server:
        yield server


@pytest.fixture
def hurried(hasty: EdgeServer) -> Api:
    """A member of a fresh organization of that server."""
    organization = hasty.create_organization()
    return client(hasty, hasty.create_token(hasty.create_user(organization=organization)), organization)


@pytest.mark.parametrize(
    "kind", ["half a header", "half a small body", "half of some content", "half a chunk", "half a large JSON"]
)
def test_a_request_that_does_not_come_to_its_end_is_refused(
    hurried: Api, wires: list[socket.socket], kind: str
) -> None:
    answer = answers(connected(hurried, wires, slow(hurried, kind)))
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b'"code": "timeout"' in answer


def test_a_sender_below_the_least_rate_is_cut_off_however_steadily_it_sends(
    hurried: Api, wires: list[socket.socket]
) -> None:
    wire = connected(hurried, wires, content(hurried, "Content-Length: 1000000"))
    wire.settimeout(0.05)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            wire.sendall(b"x")
            if wire.recv(12) == b"HTTP/1.1 408":
                return
        except TimeoutError:
            pass
    pytest.fail("a byte now and then kept the connection")


def test_who_says_nothing_is_closed(hurried: Api, wires: list[socket.socket]) -> None:
    assert answers(connected(hurried, wires)) == b""


def test_a_reader_below_the_least_rate_is_cut_off(hasty: EdgeServer, hurried: Api, wires: list[socket.socket]) -> None:
    hurried.upload("large", bytes(LARGE))
    url = hurried.files("GET", "/download-url", params={"path": "large"}).json()["url"]
    wire = connected(hurried, wires, head(hurried, f"GET /{url}", known=False))
    log = hasty.data / "logs" / "access.log"
    deadline = time.monotonic() + 60
    while url.partition("?")[0] not in log.read_text():  # which tells of requests that have ended
        assert time.monotonic() < deadline, "who reads nothing is waited for"
        time.sleep(0.05)
    assert len(answers(wire)) < LARGE


def test_what_is_held_of_requests_has_an_end(hurried: Api, wires: list[socket.socket]) -> None:
    long = head(hurried, "POST /v1/nowhere", "Content-Length: 60000") + bytes(50_000)
    for _ in range(20):
        connected(hurried, wires, long)
    assert hurried.call("GET", "/healthz").status_code == 200
    assert any(not answers(wire) for wire in wires), "those that came first were closed without a word"


# --- connections ----------------------------------------------------------------------------------


def test_more_connections_than_there_may_be_files_close_those_that_wait_longest(
    tmp_path: Path, wires: list[socket.socket]
) -> None:
    code = """
import resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (400, 500))
from edge_server.run.command import server
server(["run", "--port", "0", "--data", sys.argv[1]])
"""
    with in_process(code, tmp_path / "data") as server:
        anybody = client(server, None, "default")
        for _ in range(700):
            connected(anybody, wires)
        assert anybody.call("GET", "/healthz").status_code == 200
        assert answers(wires[0]) == b""


def test_requests_that_come_together_are_answered_in_order(api: Api, wires: list[socket.socket]) -> None:
    put = content(api, "Content-Length: 5") + b"first"
    get = head(api, f"GET /v1/orgs/{api.organization}/files/content?path=slow", "Connection: close")
    answer = answers(connected(api, wires, b"\r\n" + put + get))
    first, _, second = answer.partition(b"HTTP/1.1 200 OK")
    assert first.startswith(b"HTTP/1.1 201 ")
    assert second.endswith(b"first")


def test_a_request_may_come_byte_by_byte(api: Api, wires: list[socket.socket]) -> None:
    wire = connected(api, wires)
    for byte in content(api, "Content-Length: 5", "Connection: close") + b"bytes":
        wire.send(bytes([byte]))
    assert answers(wire).startswith(b"HTTP/1.1 201 ")
    assert api.get("slow").content == b"bytes"


def test_headers_without_an_end_are_refused(api: Api, wires: list[socket.socket]) -> None:
    wire = connected(api, wires, b"GET /healthz HTTP/1.1\r\n")
    with contextlib.suppress(ConnectionError):
        for number in range(40):
            wire.sendall(f"X-{number}: {'x' * 8000}\r\n".encode() * 4)
    assert b" 431 " in answers(wire).partition(b"\r\n")[0]
