"""A server that answers as it is told to, and remembers what it was asked."""

from __future__ import annotations

import http.server
import socket
import threading
from collections.abc import Callable, Mapping
from types import MappingProxyType, TracebackType
from typing import NamedTuple
from urllib.parse import parse_qsl, urlsplit


class Request(NamedTuple):
    """What was asked for.

    Attributes:
        method: HTTP method.
        path: the address without its query.
        query: the query's values by their names.
        body: what was sent.
        headers: its headers, by their names in lower case.
    """

    method: str
    path: str
    query: dict[str, str]
    body: bytes
    headers: Mapping[str, str] = MappingProxyType({})


Answer = Callable[[Request], tuple[int, dict[str, str], bytes]]
"""Gives status, headers and body; status 0 closes the connection without a word."""


class Wire:
    """A server on a free port of this machine, for the length of a ``with`` block.

    Args:
        answer: makes the answer to each request; by default 204.

    Attributes:
        url: its service URL.
        requests: what it was asked so far.
    """

    def __init__(self, answer: Answer = lambda request: (204, {}, b"")) -> None:
        self.requests: list[Request] = []
        self._answer = answer
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def answer(self, request: Request) -> tuple[int, dict[str, str], bytes]:
        self.requests.append(request)
        return self._answer(request)

    def __enter__(self) -> Wire:
        # Looks often whether it is to stop: there is one of these for each fault.
        threading.Thread(target=self._server.serve_forever, args=(0.005,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False  # a client may hold its connection open

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients go away in the middle; that is theirs to do."""


def _handler(wire: Wire) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 30

        def handle_one_request(self) -> None:
            self.raw_requestline = self.rfile.readline(65537)
            if not self.raw_requestline or not self.parse_request():
                self.close_connection = True
                return
            parts = urlsplit(self.path)
            body = self._body()
            headers = {name.lower(): value for name, value in self.headers.items()}
            request = Request(self.command, parts.path, dict(parse_qsl(parts.query)), body, headers)
            status, answered, content = wire.answer(request)
            if status == 0:
                self.close_connection = True
                return
            self.send_response(status)
            length = answered.get("Content-Length", str(len(content)))
            for name, value in {**answered, "Content-Length": length}.items():
                if status != 204 or name != "Content-Length":
                    self.send_header(name, value)
            if length != str(len(content)):
                self.close_connection = True
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)
            self.wfile.flush()

        def _body(self) -> bytes:
            if "chunked" not in self.headers.get("Transfer-Encoding", ""):
                return self.rfile.read(int(self.headers.get("Content-Length") or 0))
            body = b""
            while size := int(self.rfile.readline().partition(b";")[0], 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return body

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing; the tests do."""

    return Handler


def closed_url() -> str:
    """A service URL at which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return f"http://127.0.0.1:{port}"
