"""What can go wrong with an answer, each a frozen value."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Literal

from edge_testing.exchange import Exchange, pass_on

Within = Literal["answer", "body", "request"]
"""What a fault's byte is counted in: the whole answer, its body, or the request (its head included)."""


@dataclass(frozen=True)
class Delay:
    """The answer comes whole, after some seconds."""

    seconds: float

    def __call__(self, exchange: Exchange) -> None:
        exchange.ask()
        exchange.wait(self.seconds)
        pass_on(exchange)


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

    content: bytes = b"\x16\x03\x01\x02\x00\x01 this is not HTTP\r\n\r\n" + bytes(range(256))

    def __call__(self, exchange: Exchange) -> None:
        exchange.drain()
        exchange.send(self.content)
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
