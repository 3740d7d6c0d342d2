"""The proxy that breaks answers: each fault is what it says, and nothing is left afterwards."""

from __future__ import annotations

import doctest
import http.client
import json
import os
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from edge_testing import chaos
from edge_testing.chaos import (
    Answer,
    ChaosProxy,
    Cut,
    Delay,
    Exchange,
    Garbage,
    HalfClose,
    Reset,
    Slow,
    Stall,
    error_inside,
    throttled,
    unavailable,
)
from tests.waiting import wait_for

BODY = bytes(range(256)) * 1000


class Handler(BaseHTTPRequestHandler):
    """Echoes what it is sent, or answers with `BODY`; notes what came."""

    protocol_version = "HTTP/1.1"
    seen: list[str]

    def do_GET(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        body = self.rfile.read(length)
        if len(body) < length:
            return
        self.seen.append(f"{self.command} {self.path}")
        answer = body or (b"ok" if self.path == "/healthz" else BODY)
        self.send_response(200)
        if self.path == "/chunked":
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for start in range(0, len(answer), 100_000):
                block = answer[start : start + 100_000]
                self.wfile.write(b"%x\r\n%s\r\n" % (len(block), block))
            self.wfile.write(b"0\r\n\r\n")
            return
        if self.path == "/until-the-end":
            self.close_connection = True
        else:
            self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer)

    do_POST = do_HEAD = do_GET

    def log_message(self, *args: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    seen: list[str]

    def handle_error(self, request: object, client_address: object) -> None:
        pass  # clients that break off are what is tested here

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


@pytest.fixture
def server() -> Iterator[Server]:
    handler = type("OwnHandler", (Handler,), {"seen": []})
    with Server(("127.0.0.1", 0), handler) as server:
        server.seen = handler.seen
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def proxy(server: Server) -> Iterator[ChaosProxy]:
    with ChaosProxy(server.url) as proxy:
        yield proxy


def connection(proxy: ChaosProxy, timeout: float = 60) -> http.client.HTTPConnection:
    return http.client.HTTPConnection(proxy.url.removeprefix("http://"), timeout=timeout)


def get(proxy: ChaosProxy, path: str = "/", timeout: float = 60) -> bytes:
    with urllib.request.urlopen(proxy.url + path, timeout=timeout) as answer:
        content: bytes = answer.read()
    return content


def raw(proxy: ChaosProxy) -> socket.socket:
    """A connection that has sent a GET."""
    wire = socket.create_connection(("127.0.0.1", int(proxy.url.rpartition(":")[2])), timeout=60)
    wire.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    return wire


def all_of(wire: socket.socket) -> bytes:
    with wire:
        return b"".join(iter(lambda: wire.recv(1 << 16), b""))


@pytest.mark.parametrize("path", ["/", "/chunked", "/until-the-end"])
def test_without_a_fault_everything_passes(proxy: ChaosProxy, path: str) -> None:
    assert get(proxy, path) == BODY
    assert (proxy.connections, proxy.requests, proxy.struck) == (1, 1, 0)


def test_a_connection_is_kept_as_the_server_keeps_it(proxy: ChaosProxy) -> None:
    client = connection(proxy)
    for number in range(3):
        client.request("POST", "/", body=b"x" * (number + 1))
        assert client.getresponse().read() == b"x" * (number + 1)
    client.request("HEAD", "/")
    assert client.getresponse().read() == b""
    client.request("POST", "/", body=iter([b"a", b"bc"]), encode_chunked=True, headers={"Transfer-Encoding": "chunked"})
    client.getresponse()
    client.close()
    assert (proxy.connections, proxy.requests) == (1, 5)


def test_a_path_in_the_server_address_is_kept(server: Server) -> None:
    with ChaosProxy(server.url + "/services/api") as proxy:
        get(proxy, "/v1")
    assert server.seen == ["GET /services/api/v1"]


def test_a_server_with_tls_is_refused() -> None:
    with pytest.raises(ValueError, match="no TLS"):
        ChaosProxy("https://127.0.0.1:1")


def test_a_server_that_is_not_there_closes_the_connection() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    with ChaosProxy(url) as proxy, pytest.raises(ConnectionError):
        get(proxy)


def test_a_fault_strikes_as_often_and_where_it_is_injected(proxy: ChaosProxy) -> None:
    proxy.inject(unavailable(), times=2, only="^GET /bad")
    assert get(proxy) == BODY
    for _ in range(2):
        with pytest.raises(urllib.error.HTTPError):
            get(proxy, "/bad?x=1")
    assert get(proxy, "/bad") == BODY
    proxy.inject(unavailable())
    for _ in range(3):
        with pytest.raises(urllib.error.HTTPError):
            get(proxy)
    proxy.calm()
    assert get(proxy) == BODY
    assert proxy.struck == 5


def test_delay_only_delays(proxy: ChaosProxy) -> None:
    proxy.inject(Delay(0.2))
    start = time.monotonic()
    assert get(proxy) == BODY
    assert time.monotonic() - start >= 0.2


@pytest.mark.parametrize("after", [0, 5, 17, 100_000])
def test_cut_passes_so_many_bytes_and_then_ends(proxy: ChaosProxy, after: int) -> None:
    proxy.inject(Cut(after))
    assert len(all_of(raw(proxy))) == after


def test_cut_counts_in_the_body(proxy: ChaosProxy) -> None:
    proxy.inject(Cut(70_000, "body"))
    head, _, body = all_of(raw(proxy)).partition(b"\r\n\r\n")
    assert b"Content-Length: 256000" in head
    assert body == BODY[:70_000]


def test_what_is_shorter_passes_before_the_cut(proxy: ChaosProxy) -> None:
    proxy.inject(Cut(1 << 30))
    client = connection(proxy)
    client.request("GET", "/")
    assert client.getresponse().read() == BODY
    # The end of the connection, or its reset where the request arrives after it.
    with pytest.raises(ConnectionError):
        client.request("GET", "/")
        client.getresponse()
    client.close()


def test_a_cut_request_never_reaches_the_server_whole(proxy: ChaosProxy, server: Server) -> None:
    proxy.inject(Cut(5000, "request"), times=1)
    client = connection(proxy)
    with pytest.raises((http.client.HTTPException, OSError)):
        client.request("POST", "/cut", body=BODY)
        client.getresponse()
    client.close()
    assert get(proxy) == BODY
    assert server.seen == ["GET /"]


def test_reset_breaks_the_connection(proxy: ChaosProxy) -> None:
    proxy.inject(Reset(10))
    with pytest.raises(ConnectionResetError), raw(proxy) as wire:
        while wire.recv(1 << 16):
            pass


def test_stall_sends_nothing_more_and_keeps_the_connection(proxy: ChaosProxy) -> None:
    proxy.inject(Stall(10))
    with raw(proxy) as wire:
        assert len(wire.recv(1 << 16)) == 10
        wire.settimeout(0.2)
        with pytest.raises(TimeoutError):
            wire.recv(1)


def test_half_close_ends_the_answer_and_still_listens(proxy: ChaosProxy) -> None:
    proxy.inject(HalfClose(10))
    with raw(proxy) as wire:
        assert len(wire.recv(1 << 16)) == 10
        assert wire.recv(1) == b""
        for _ in range(3):
            wire.sendall(b"x")
            time.sleep(0.02)


def test_slow_keeps_its_rate(proxy: ChaosProxy) -> None:
    proxy.inject(Slow(500))
    start = time.monotonic()
    assert get(proxy, "/healthz") == b"ok"
    assert time.monotonic() - start > 0.1


def test_garbage_is_no_http(proxy: ChaosProxy, server: Server) -> None:
    proxy.inject(Garbage())
    with pytest.raises(http.client.BadStatusLine):
        get(proxy)
    assert server.seen == []


def test_an_answer_of_ours_takes_the_place_of_the_servers(proxy: ChaosProxy, server: Server) -> None:
    proxy.inject(unavailable(), only="/a")
    proxy.inject(throttled(7), only="/b")
    proxy.inject(error_inside(), only="/c")
    proxy.inject(Answer(504, handled=True), only="/d")
    client = connection(proxy)
    got = []
    for path in "abcd":
        client.request("POST", f"/{path}", body=BODY)
        answer = client.getresponse()
        got.append((answer.status, answer.headers["Retry-After"], answer.read()))
    client.close()
    assert [status for status, _, _ in got] == [503, 429, 200, 504]
    assert got[1][1] == "7"
    assert json.loads(got[2][2])["code"] == "internal"
    assert server.seen == ["POST /d"]
    assert proxy.connections == 1


def test_a_function_is_a_fault(proxy: ChaosProxy) -> None:
    def backwards(exchange: Exchange) -> None:
        head, *blocks = exchange.answer()
        exchange.send(head)
        exchange.send(b"".join(blocks)[::-1])

    proxy.inject(backwards)
    assert get(proxy) == BODY[::-1]


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="reads /proc")
@pytest.mark.parametrize("fault", [Stall(), Delay(600), Slow(1), HalfClose(5), Stall(100, "request")], ids=repr)
def test_nothing_is_left_of_it(server: Server, fault: chaos.Fault) -> None:
    get_fds = lambda: len(os.listdir("/proc/self/fd"))  # noqa: E731
    before = get_fds()
    start = time.monotonic()
    with ChaosProxy(server.url) as proxy:
        proxy.inject(fault)
        wires = [raw(proxy) for _ in range(5)]
        wait_for(lambda: proxy.connections == 5)
    assert time.monotonic() - start < 120, "it waits for its delay"
    proxy.close()
    assert [thread for thread in threading.enumerate() if "chaos" in thread.name] == []
    for wire in wires:
        wire.close()
    wait_for(lambda: get_fds() <= before)  # the server's own side


def test_clients_of_a_stalled_answer_come_and_go(proxy: ChaosProxy) -> None:
    proxy.inject(Stall())
    for _ in range(3):
        raw(proxy).close()
    wait_for(lambda: not proxy._connections)
    assert len(proxy._threads) == 1


def test_its_end_waits_for_a_connection_that_just_begins(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    start = threading.Thread.start
    held: list[bool] = []

    def start_noted(thread: threading.Thread) -> None:
        if thread.name == "edge-chaos-proxy":
            held.append(proxy._lock.locked())  # so that nobody finds it who could not join it yet
        start(thread)

    with ChaosProxy(server.url) as proxy:
        monkeypatch.setattr(threading.Thread, "start", start_noted)
        with raw(proxy):
            wait_for(lambda: held)
    assert held == [True]
    assert not proxy._threads


def test_what_is_no_http_ends_the_connection(proxy: ChaosProxy) -> None:
    with socket.create_connection(("127.0.0.1", int(proxy.url.rpartition(":")[2])), timeout=60) as wire:
        wire.sendall(b"POST / HTTP/1.1\r\nContent-Length: many\r\n\r\n")
        assert wire.recv(100) == b""
    assert get(proxy) == BODY


def test_the_example_in_its_documentation_runs(server: Server) -> None:
    names = {"server_url": server.url, "urllib": urllib}
    tests = doctest.DocTestFinder(recurse=False).find(chaos, "chaos", extraglobs=names)
    runner = doctest.DocTestRunner(optionflags=doctest.IGNORE_EXCEPTION_DETAIL)
    for test in tests:
        runner.run(test)
    assert runner.summarize(verbose=False) == (0, 3)
