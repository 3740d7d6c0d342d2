"""One request that came to the proxy, and the way to its answer."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

from edge_testing.connection import Connection, headers_of, request_line

if TYPE_CHECKING:
    from edge_testing.chaos import ChaosProxy


class Exchange:
    """One request that came in, and the way to its answer; what a fault works with.

    Attributes:
        method: HTTP method.
        target: path and query, as they came.
        headers: the request's headers, their names in lower case.
    """

    def __init__(self, proxy: ChaosProxy, client: Connection, head: bytes) -> None:
        self._proxy = proxy
        self._client = client
        self._head = head
        self.method, self.target = request_line(head)
        self.headers: Mapping[str, str] = headers_of(head)
        self._left: Iterator[bytes] = client.body(head)
        self._server: Connection | None = None
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
        assert self._server is not None  # `ask` connects to it
        head = b"HTTP/1.1 100 "
        while head.split(b" ", 2)[1].startswith(b"1"):
            head = self._server.head()
            if not head:
                self._keep = False
                return
        yield head
        bodiless = self.method == "HEAD" or head.split(b" ", 2)[1] in (b"204", b"304")
        headers = headers_of(head)
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


def pass_on(exchange: Exchange) -> None:
    for block in exchange.answer():
        exchange.send(block)
