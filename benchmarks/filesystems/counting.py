"""A proxy that counts requests and the bytes of their answers."""

from __future__ import annotations

import contextlib
import http.client
import http.server
import json
import threading
from collections.abc import Iterator
from urllib.parse import urlsplit

BLOCK = 64 << 10

_CONNECTION = {"connection", "keep-alive", "transfer-encoding"}
"""Headers in lower case that concern a single connection."""


class Counts:
    """What has gone through proxies.

    Attributes:
        requests: number of requests.
        sent: bytes of the bodies of answers.
    """

    def __init__(self) -> None:
        self.requests = self.sent = 0
        self._lock = threading.Lock()

    def add(self, requests: int, sent: int) -> None:
        """Count requests, or bytes of answers."""
        with self._lock:
            self.requests += requests
            self.sent += sent


class _Handler(http.server.BaseHTTPRequestHandler):
    """Passes on what comes by one connection of a client."""

    protocol_version = "HTTP/1.1"
    target: str
    counts: Counts

    def setup(self) -> None:
        super().setup()
        self._upstream = http.client.HTTPConnection(self.target, timeout=60)

    def finish(self) -> None:
        self._upstream.close()
        with contextlib.suppress(OSError):  # a client that has gone
            super().finish()

    def handle(self) -> None:
        with contextlib.suppress(ConnectionError):  # an answer that the client breaks off
            super().handle()

    def _pass_on(self) -> None:
        self.counts.add(1, 0)
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        upstream = self._upstream
        upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            if name.lower() not in _CONNECTION:
                upstream.putheader(name, value)
        upstream.endheaders(body or None)
        answer = upstream.getresponse()
        self.send_response_only(answer.status, answer.reason)
        for name, value in answer.getheaders():
            if name.lower() not in _CONNECTION:
                self.send_header(name, value)
        whole = None
        if answer.length is None:  # of unknown length, which ends a connection, or comes in chunks
            whole = answer.read()
            self.send_header("Content-Length", str(len(whole)))
        self.end_headers()
        for block in iter(lambda: answer.read(BLOCK), b"") if whole is None else [whole]:
            self.wfile.write(block)
            self.counts.add(0, len(block))

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = _pass_on  # noqa: N815  # names of the library

    def log_message(self, *_: object) -> None:
        """Write nothing."""


class _Totals(http.server.BaseHTTPRequestHandler):
    """Tells the counts to the process that is counted."""

    counts: Counts

    def do_GET(self) -> None:
        body = json.dumps([self.counts.requests, self.counts.sent]).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Write nothing."""


@contextlib.contextmanager
def serving(handler: type[http.server.BaseHTTPRequestHandler]) -> Iterator[str]:
    """Serve in threads during the block; gives the address."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@contextlib.contextmanager
def proxy(url: str, counts: Counts) -> Iterator[str]:
    """A proxy in front of the server at `url` during the block; gives its address."""
    with serving(type("Handler", (_Handler,), {"target": urlsplit(url).netloc, "counts": counts})) as address:
        yield address


@contextlib.contextmanager
def totals(counts: Counts) -> Iterator[str]:
    """An address that tells the counts as a list in JSON: requests and bytes."""
    with serving(type("Totals", (_Totals,), {"counts": counts})) as address:
        yield address
