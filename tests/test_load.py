"""The client of the server's benchmark, `benchmarks.load`: what it counts is what the server did."""

from __future__ import annotations

import http.server
import itertools
import threading
from collections.abc import Iterator

import pytest

from benchmarks import load


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path == "/hang-up":
            self.close_connection = True
            return
        self.send_response(404 if self.path == "/missing" else 200)
        if self.path == "/chunks":
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for block in (b"5\r\nhello\r\n", b"0\r\n\r\n"):
                self.wfile.write(block)
                self.wfile.flush()
        else:
            self.send_header("Content-Length", "300000")
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(b"x" * 300_000)

    do_HEAD = do_GET

    def do_PUT(self) -> None:
        self.send_response(201 if self.rfile.read(int(self.headers["Content-Length"])) == b"content" else 400)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None: ...


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    "content",
    [load.get("/"), load.get("/", method="HEAD"), load.get("/chunks")],
    ids=["length", "head", "chunks"],
)
def test_every_request_is_answered(port: int, content: bytes) -> None:
    answered = load.send(port, itertools.repeat(content, 20), 200, clients=3)
    assert (len(answered.milliseconds), answered.failures) == (20, 0)


def test_content_is_put(port: int) -> None:
    assert load.send(port, iter([load.put("/", b"content")]), 201).failures == 0
    assert load.send(port, iter([load.put("/", b"another")]), 201).failures == 1


def test_another_status_is_a_failure(port: int) -> None:
    assert load.send(port, iter([load.get("/"), load.get("/missing"), load.get("/")]), 200).failures == 1


def test_a_connection_that_the_server_ends_is_a_failure(port: int) -> None:
    assert load.send(port, iter([load.get("/hang-up")]), 200) == load.Answered([], 1)


def test_clients_stop_after_the_time_that_they_have(port: int) -> None:
    assert len(load.send(port, itertools.repeat(load.get("/chunks")), 200, clients=2, seconds=0.05).milliseconds) >= 1


def test_percentiles() -> None:
    answered = load.Answered([float(n) for n in range(100, 0, -1)], 0)
    assert (answered.p50(), answered.p99()) == (50.5, 100)
