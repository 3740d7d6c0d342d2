"""A bad network for tests: a proxy that stands before a server and breaks chosen answers.

A plugin's calls go through `ChaosProxy.url` as they would to the server itself. `ChaosProxy.inject`
says what goes wrong, for which requests and how often:

    >>> from edge_core.testing.chaos import ChaosProxy, Cut, Stall, unavailable
    >>> with ChaosProxy(server_url) as proxy:
    ...     proxy.inject(unavailable(), times=1)  # the first request is refused,
    ...     proxy.inject(Cut(10, "body"), only="GET .*/v1/users/me")  # and these always break off
    ...     status = urllib.request.urlopen(proxy.url + "/healthz").status
    Traceback (most recent call last):
    urllib.error.HTTPError: HTTP Error 503: Service Unavailable
    >>> (proxy.connections, proxy.requests, proxy.struck)
    (1, 1, 1)

Faults are frozen values: `Delay`, `Cut`, `Reset`, `Stall`, `HalfClose`, `Slow`, `Garbage`, `Answer`
with its short forms `unavailable`, `throttled` and `error_inside`. Any function that takes an
`Exchange` is a fault as well.

It speaks HTTP/1.1 without TLS on both sides.
"""

from __future__ import annotations

import contextlib
import json
import re
import select
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from types import TracebackType
from typing import Literal
from urllib.parse import urlsplit

_BLOCK = 1 << 16
_LONGEST_HEAD = 1 << 20

Within = Literal["answer", "body", "request"]
"""What a fault's byte is counted in: the whole answer, its body, or the request (its head included)."""


class Exchange:
    """One request that came in, and the way to its answer; what a fault works with.

    Attributes:
        method: HTTP method.
        target: path and query, as they came.
        headers: the request's headers, their names in lower case.
    """

    def __init__(self, proxy: ChaosProxy, client: _Wire, head: bytes) -> None:
        self._proxy = proxy
        self._client = client
        self._head = head
        self.method, self.target = _request_line(head)
        self.headers: Mapping[str, str] = _headers(head)
        self._left: Iterator[bytes] = client.body(head)
        self._server: _Wire | None = None
        self._keep = True

    def ask(self, limit: int | None = None) -> None:
        """Pass the request on to the server, or its first `limit` bytes."""
        self._server = self._proxy._dial()
        left = limit
        for block in self._request():
            try:
                self._server.send(block if left is None else block[:left])
            except OSError:
                self._keep = False
                return  # the server has answered before the end; its answer tells why
            if left is not None:
                left -= len(block)
                if left <= 0:
                    self._keep = False
                    return

    def answer(self) -> Iterator[bytes]:
        """The server's answer, its head first, then its body in blocks; asks the server if nobody did."""
        if self._server is None:
            self.ask()
        assert self._server is not None  # noqa: S101  # `ask` has made it
        head = b"HTTP/1.1 100 "
        while head.split(b" ", 2)[1].startswith(b"1"):
            head = self._server.head()
            if not head:
                self._keep = False
                return
        yield head
        bodiless = self.method == "HEAD" or head.split(b" ", 2)[1] in (b"204", b"304")
        headers = _headers(head)
        if not bodiless:
            yield from self._server.body(head, to_the_end=True)
        ends = "content-length" in headers or "transfer-encoding" in headers or bodiless
        if not ends or headers.get("connection", "").lower() == "close":
            self._keep = False

    def send(self, data: bytes) -> None:
        """Send bytes to the client."""
        self._client.send(data)

    def drain(self) -> None:
        """Read the rest of the request and throw it away, so that the client gets to reading an answer."""
        for _ in self._left:
            pass

    def close(self) -> None:
        """Close the connection to the client in order."""
        self._keep = False
        self._client.close()

    def reset(self) -> None:
        """Break the connection to the client (RST): what it has not read yet is lost."""
        self._keep = False
        self._client.reset()

    def half_close(self) -> None:
        """Say that nothing more comes, and go on listening until the client has gone."""
        self._keep = False
        with contextlib.suppress(OSError):
            self._client.socket.shutdown(socket.SHUT_WR)
        self.stall()

    def stall(self) -> None:
        """Do nothing until the client has gone or the proxy is closed."""
        self._keep = False
        while not self._proxy._closing.is_set() and not self._client.gone(0.02):
            pass

    def wait(self, seconds: float) -> None:
        """Wait, but not beyond the proxy's end or the client's."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if self._proxy._closing.is_set() or self._client.gone(min(left, 0.02), only_peek=True):
                return

    def _request(self) -> Iterator[bytes]:
        yield self._head
        yield from self._left

    def _finish(self) -> bool:
        """Whether the client may send its next request on this connection."""
        if self._server is not None:
            self._proxy._forget(self._server)
        return self._keep


Fault = Callable[[Exchange], None]
"""What is done with a request instead of passing it on and passing back its answer."""


def _pass(exchange: Exchange) -> None:
    for block in exchange.answer():
        exchange.send(block)


@dataclass(frozen=True)
class Delay:
    """The answer comes whole, after some seconds."""

    seconds: float

    def __call__(self, exchange: Exchange) -> None:
        exchange.ask()
        exchange.wait(self.seconds)
        _pass(exchange)


@dataclass(frozen=True)
class _AtByte:
    """A fault at one byte. What is shorter passes whole, and the fault follows it.

    Args:
        after: how many bytes pass.
        within: what they are counted in; with "request" the server never gets to see all of it.
    """

    after: int = 0
    within: Within = "answer"

    def _until_then(self, exchange: Exchange) -> None:
        if self.within == "request":
            exchange.ask(self.after)
            return
        left = self.after
        for number, block in enumerate(exchange.answer()):
            if number == 0 and self.within == "body":
                exchange.send(block)
                continue
            exchange.send(block[:left])
            left -= len(block)
            if left <= 0:
                return


class Cut(_AtByte):
    """The connection is closed in order."""

    def __call__(self, exchange: Exchange) -> None:
        self._until_then(exchange)
        exchange.close()


class Reset(_AtByte):
    """The connection is broken (RST)."""

    def __call__(self, exchange: Exchange) -> None:
        self._until_then(exchange)
        exchange.reset()


class Stall(_AtByte):
    """Nothing more comes, and the connection stays open."""

    def __call__(self, exchange: Exchange) -> None:
        self._until_then(exchange)
        exchange.stall()


class HalfClose(_AtByte):
    """The side that answers is closed, the side that listens stays open."""

    def __call__(self, exchange: Exchange) -> None:
        self._until_then(exchange)
        exchange.half_close()


@dataclass(frozen=True)
class Slow:
    """The answer comes whole, at some bytes per second."""

    bytes_per_second: float

    def __call__(self, exchange: Exchange) -> None:
        size = max(1, int(self.bytes_per_second / 20))
        for block in exchange.answer():
            for start in range(0, len(block), size):
                piece = block[start : start + size]
                exchange.send(piece)
                exchange.wait(len(piece) / self.bytes_per_second)


@dataclass(frozen=True)
class Garbage:
    """Bytes that are no HTTP come instead of an answer; the server is not asked."""

    data: bytes = b"\x16\x03\x01\x02\x00\x01 this is not HTTP\r\n\r\n" + bytes(range(256))

    def __call__(self, exchange: Exchange) -> None:
        exchange.drain()
        exchange.send(self.data)
        exchange.close()


@dataclass(frozen=True)
class Answer:
    """An answer of our own.

    Args:
        status: HTTP status code.
        body: its body.
        headers: headers beside Content-Length.
        handled: True: the server does what it was asked to, and only its answer is thrown away.
    """

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    handled: bool = False

    def __call__(self, exchange: Exchange) -> None:
        if self.handled:
            for _ in exchange.answer():
                pass
        else:
            exchange.drain()
        reason = HTTPStatus(self.status).phrase
        named = {**self.headers, "Content-Length": str(len(self.body))}
        lines = [f"HTTP/1.1 {self.status} {reason}", *(f"{name}: {value}" for name, value in named.items())]
        exchange.send("\r\n".join([*lines, "", ""]).encode("latin-1") + self.body)


def unavailable() -> Answer:
    """A 503 as a load balancer sends it."""
    return Answer(503, b"<html>no server available</html>", {"Content-Type": "text/html"})


def throttled(retry_after: int | str = 1) -> Answer:
    """A 429 with Retry-After."""
    return Answer(429, b"", {"Retry-After": str(retry_after)})


def error_inside(kind: str = "application/json") -> Answer:
    """A 200 whose body says that the call has failed."""
    problem = {
        "type": "about:blank",
        "title": "Internal Error",
        "status": 500,
        "code": "internal",
        "detail": "It failed.",
    }
    return Answer(200, json.dumps(problem).encode(), {"Content-Type": kind})


class ChaosProxy:
    """A proxy on a free loopback port; a context manager, after which no thread or socket is left.

    Args:
        server_url: address of the server, such as ``"http://127.0.0.1:8790"``; a path is kept.

    Attributes:
        url: what to give a client instead of `server_url`.
        connections: how many connections were made so far.
        requests: how many requests came so far.
        struck: how many of them met a fault.
    """

    def __init__(self, server_url: str) -> None:
        parts = urlsplit(server_url)
        if parts.scheme != "http" or parts.hostname is None:
            raise ValueError(f"{server_url!r} does not begin with http://; the proxy speaks no TLS")
        self._server = parts.hostname, parts.port or 80
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._faults: list[_Injected] = []
        self._wires: set[_Wire] = set()
        self._threads: set[threading.Thread] = set()
        self.connections = self.requests = self.struck = 0
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}{parts.path}"
        self._start(self._accept)

    def inject(self, fault: Fault, *, times: int | None = None, only: str = "") -> None:
        """Let requests meet a fault; of several injected, each request meets the first that fits.

        Args:
            fault: what happens.
            times: to how many requests; None for all.
            only: regular expression, searched for in ``"METHOD /path?query"``; by default any request.
        """
        with self._lock:
            self._faults.append(_Injected(fault, times, re.compile(only)))

    def calm(self) -> None:
        """Let every further request pass."""
        with self._lock:
            self._faults.clear()

    def close(self) -> None:
        """Close every connection and wait for every thread; safe to call twice."""
        if self._closing.is_set():
            return
        self._closing.set()
        with contextlib.suppress(OSError):  # wakes the thread that accepts
            socket.create_connection(self._listener.getsockname(), timeout=1).close()
        with self._lock:
            for wire in self._wires:
                wire.hang_up()
            threads = list(self._threads)
        for thread in threads:
            thread.join()
        self._listener.close()

    def __enter__(self) -> ChaosProxy:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _start(self, target: Callable[[], None]) -> None:
        def run() -> None:
            try:
                target()
            finally:
                with self._lock:
                    self._threads.discard(thread)

        thread = threading.Thread(target=run, name="edge-chaos-proxy", daemon=True)
        with self._lock:
            self._threads.add(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            client, _ = self._listener.accept()
            if self._closing.is_set():
                client.close()
                return
            wire = self._remember(client)
            with self._lock:
                self.connections += 1
            self._start(lambda wire=wire: self._serve(wire))  # type: ignore[misc]

    def _serve(self, client: _Wire) -> None:
        # Whichever side goes away or does not speak HTTP, the connection is over and nothing else.
        with contextlib.suppress(OSError, ValueError):
            while head := client.head():
                exchange = Exchange(self, client, head)
                fault = self._fault(f"{exchange.method} {exchange.target}")
                try:
                    fault(exchange)
                finally:
                    keep = exchange._finish()
                if not keep:
                    break
        self._forget(client)

    def _fault(self, request: str) -> Fault:
        with self._lock:
            self.requests += 1
            for injected in self._faults:
                if injected.left != 0 and injected.only.search(request):
                    injected.left = None if injected.left is None else injected.left - 1
                    self.struck += 1
                    return injected.fault
        return _pass

    def _dial(self) -> _Wire:
        return self._remember(socket.create_connection(self._server, timeout=None))

    def _remember(self, connection: socket.socket) -> _Wire:
        wire = _Wire(connection)
        with self._lock:
            self._wires.add(wire)
            if self._closing.is_set():
                wire.hang_up()
        return wire

    def _forget(self, wire: _Wire) -> None:
        with self._lock:
            self._wires.discard(wire)
        wire.close()


@dataclass
class _Injected:
    fault: Fault
    left: int | None
    only: re.Pattern[str]


class _Wire:
    """A socket, and what of HTTP has to be understood to tell one message from the next."""

    def __init__(self, connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = connection
        self._buffer = b""

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def head(self) -> bytes:
        """A message's head with the empty line that ends it; empty if the other side has gone."""
        while (end := self._buffer.find(b"\r\n\r\n")) < 0:
            if len(self._buffer) > _LONGEST_HEAD or not self._receive():
                return b""
        return self._take(end + 4)

    def body(self, head: bytes, *, to_the_end: bool = False) -> Iterator[bytes]:
        """The body that follows a head, as it is on the wire.

        Args:
            head: the message's head.
            to_the_end: a body of no stated length ends with the connection, as answers' do.
        """
        headers = _headers(head)
        if headers.get("transfer-encoding", "").lower() == "chunked":
            yield from self._chunks()
        elif "content-length" in headers:
            yield from self._stretch(int(headers["content-length"]))
        elif to_the_end:
            while self._buffer or self._receive():
                yield self._take(len(self._buffer))

    def _stretch(self, length: int) -> Iterator[bytes]:
        while length:
            if not self._buffer and not self._receive():
                raise ConnectionError("the other side has gone in the middle of a message")
            block = self._take(min(length, len(self._buffer)))
            length -= len(block)
            yield block

    def _chunks(self) -> Iterator[bytes]:
        while True:
            while (end := self._buffer.find(b"\r\n")) < 0:
                if not self._receive():
                    return
            line = self._take(end + 2)
            yield line
            size = int(line.partition(b";")[0], 16)
            yield from self._stretch(size + 2)  # trailers are not understood; nobody sends them
            if size == 0:
                return

    def gone(self, seconds: float, *, only_peek: bool = False) -> bool:
        """Whether the other side closes the connection within some seconds."""
        if not select.select([self.socket], [], [], seconds)[0]:
            return False
        try:
            seen = self.socket.recv(_BLOCK, socket.MSG_PEEK if only_peek else 0)
        except OSError:
            return True
        if seen and only_peek:
            time.sleep(seconds)  # there is something to read, so select does not wait
        return not seen

    def _receive(self) -> bool:
        block = self.socket.recv(_BLOCK)
        self._buffer += block
        return bool(block)

    def _take(self, size: int) -> bytes:
        taken, self._buffer = self._buffer[:size], self._buffer[size:]
        return taken

    def hang_up(self) -> None:
        """End the connection from another thread; its own one notices and closes the socket."""
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)

    def reset(self) -> None:
        with contextlib.suppress(OSError):
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def close(self) -> None:
        self.socket.close()


def _request_line(head: bytes) -> tuple[str, str]:
    method, _, rest = head.partition(b"\r\n")[0].decode("latin-1").partition(" ")
    return method, rest.rpartition(" ")[0]


def _headers(head: bytes) -> dict[str, str]:
    """A head's headers, under their names in lower case."""
    lines = head.decode("latin-1").split("\r\n")[1:]
    pairs = (line.partition(":") for line in lines if line)
    return {name.strip().lower(): value.strip() for name, _, value in pairs}
