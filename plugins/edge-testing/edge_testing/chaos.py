"""A bad network for tests: a proxy that stands before a server and breaks chosen answers.

A plugin's calls go through `ChaosProxy.url` as they would to the server itself. `ChaosProxy.inject`
says what goes wrong, for which requests and how often:

    >>> from edge_testing.chaos import ChaosProxy, Cut, Stall, unavailable
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
import re
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from urllib.parse import urlsplit

from edge_testing.connection import Connection
from edge_testing.exchange import Exchange, Fault, pass_on
from edge_testing.faults import (
    Answer,
    Cut,
    Delay,
    Garbage,
    HalfClose,
    Reset,
    Slow,
    Stall,
    Within,
    error_inside,
    throttled,
    unavailable,
)

__all__ = [
    "ChaosProxy",
    "Exchange",
    "Fault",
    "Within",
    "Answer",
    "Cut",
    "Delay",
    "Garbage",
    "HalfClose",
    "Reset",
    "Slow",
    "Stall",
    "error_inside",
    "throttled",
    "unavailable",
]


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
        self._connections: set[Connection] = set()
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
            for connection in self._connections:
                connection.hang_up()
        while threads := self._alive():  # again, as the one that accepts may just have begun another
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
        with self._lock:  # whoever sees it there can join it
            self._threads.add(thread)
            thread.start()

    def _alive(self) -> list[threading.Thread]:
        with self._lock:
            return list(self._threads)

    def _accept(self) -> None:
        while True:
            client, _ = self._listener.accept()
            if self._closing.is_set():
                client.close()
                return
            connection = self._remember(client)
            with self._lock:
                self.connections += 1
            self._start(lambda connection=connection: self._serve(connection))  # type: ignore[misc]

    def _serve(self, client: Connection) -> None:
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
        return pass_on

    def _dial(self) -> Connection:
        return self._remember(socket.create_connection(self._server, timeout=None))

    def _remember(self, opened: socket.socket) -> Connection:
        connection = Connection(opened)
        with self._lock:
            self._connections.add(connection)
            if self._closing.is_set():
                connection.hang_up()
        return connection

    def _forget(self, connection: Connection) -> None:
        with self._lock:
            self._connections.discard(connection)
        connection.close()


@dataclass
class _Injected:
    fault: Fault
    left: int | None
    only: re.Pattern[str]
