"""A client that costs little and is the same for every server: prebuilt requests over connections that stay open."""

from __future__ import annotations

import re
import selectors
import socket
import statistics
import time
from collections.abc import Iterator
from typing import NamedTuple

PATIENCE = 60.0
"""Seconds without any answer after which the requests that wait have failed."""

_END = b"\r\n\r\n"
_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)\r\n", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked\r\n", re.IGNORECASE)
_LAST_CHUNK = b"\r\n0\r\n\r\n"


class Answered(NamedTuple):
    """How a server answered.

    Attributes:
        milliseconds: of each request, from its first byte sent to its answer's last byte received.
        failures: requests that were answered otherwise than expected, or not at all.
    """

    milliseconds: list[float]
    failures: int

    def p50(self) -> float:
        return statistics.median(self.milliseconds)

    def p99(self) -> float:
        return sorted(self.milliseconds)[int(0.99 * len(self.milliseconds))]


def get(path: str, *headers: str, method: str = "GET") -> bytes:
    """The bytes of a request without a body."""
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", *headers, "", ""]).encode()


def put(path: str, content: bytes, *headers: str) -> bytes:
    """The bytes of a request that puts `content`."""
    return get(path, *headers, f"Content-Length: {len(content)}", method="PUT") + content


def send(
    port: int, requests: Iterator[bytes], status: int, *, clients: int = 1, seconds: float = float("inf")
) -> Answered:
    """Have some clients send requests, each the next one as soon as its last one is answered.

    Args:
        port: of a server on this machine.
        requests: what they send in turns, until there are no more.
        status: of the answer to each.
        clients: connections.
        seconds: after which they send no more.
    """
    milliseconds: list[float] = []
    failures = 0
    until = time.perf_counter() + seconds
    with selectors.DefaultSelector() as selector:

        def send_next(connection: _Connection) -> None:
            request = next(requests, None) if time.perf_counter() < until else None
            if request is None:
                connection.close(selector)
            else:
                connection.send(request)

        for _ in range(clients):
            connection = _Connection(port)
            selector.register(connection.socket, selectors.EVENT_READ, connection)
            send_next(connection)
        while selector.get_map():
            events = selector.select(PATIENCE)
            if not events:
                waiting = [key.data for key in selector.get_map().values()]
                failures += len(waiting)
                for connection in waiting:
                    connection.close(selector)
            for key, _ in events:
                connection = key.data
                try:
                    if not connection.has_answer():
                        continue
                except OSError:
                    failures += 1
                    connection.close(selector)
                    continue
                milliseconds.append(1000 * (time.perf_counter() - connection.begun))
                failures += connection.status() != status
                send_next(connection)
    return Answered(milliseconds, failures)


class _Connection:
    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.begun = 0.0
        self._received = b""
        self._is_head = False

    def send(self, request: bytes) -> None:
        self._received = b""
        self._is_head = request.startswith(b"HEAD ")
        self.begun = time.perf_counter()
        self.socket.sendall(request)

    def close(self, selector: selectors.BaseSelector) -> None:
        selector.unregister(self.socket)
        self.socket.close()

    def status(self) -> int:
        return int(self._received[9:12])

    def has_answer(self) -> bool:
        """Take what has come, and tell whether it is the whole answer.

        Raises:
            ConnectionError: the server has closed the connection.
        """
        block = self.socket.recv(1 << 18)
        if not block:
            raise ConnectionError
        self._received += block
        end = self._received.find(_END)
        if end < 0:
            return False
        head = self._received[: end + 2]
        if self._is_head:
            return True
        if _CHUNKED.search(head):
            return self._received.endswith(_LAST_CHUNK)
        length = _LENGTH.search(head)
        return len(self._received) >= end + len(_END) + (int(length[1]) if length else 0)
