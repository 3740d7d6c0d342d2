"""What an operator's programs ask at an address of its own: ``/readyz`` and ``/metrics``."""

from __future__ import annotations

import json
import logging
import socket
import threading
from collections.abc import Callable, Iterable
from typing import Any

from edge_server.run.metrics import Collected, Metrics, Sums
from edge_server.run.readiness import Readiness
from edge_server.web.engines import Engines

PLAIN = "text/plain; version=0.0.4; charset=utf-8"
"""The media type of Prometheus's text format: https://prometheus.io/docs/instrumenting/exposition_formats/."""

THREADS = 4

CONNECTIONS = 50
"""Connections at once; who watches a server has one or two."""

IDLE_SECONDS = 30


class Monitoring:
    """Answers at the operator's address, in each process that answers; whichever takes a connection answers for all.

    Args:
        engines: what the server runs on.
        metrics: what it counts.
        listener: where it listens.
    """

    def __init__(self, engines: Engines, metrics: Metrics, listener: socket.socket) -> None:
        self._engines = engines
        self._metrics = metrics
        self._listener = listener
        self._readiness = Readiness(engines)
        self._sums = Sums(engines)
        self._server: Any = None

    def start(self) -> None:
        """Begin to answer, in this process."""
        import waitress  # type: ignore[import-untyped]

        logging.getLogger("waitress.queue").setLevel(logging.ERROR)
        self._server = waitress.create_server(
            self._answer,
            sockets=[self._listener],
            threads=THREADS,
            connection_limit=CONNECTIONS,
            channel_timeout=IDLE_SECONDS,
            ident=None,
        )
        threading.Thread(target=self._server.run, name="edge-monitoring", daemon=True).start()

    def forget(self, pid: int) -> None:
        """Let what a process was at when it ended count no more; in its parent."""
        self._metrics.forget(pid)

    def _answer(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        look = {"/readyz": self._ready, "/metrics": self._shown}.get(environ["PATH_INFO"])
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            status, kind, body = "405 Method Not Allowed", "text/plain", b"ask with GET\n"
        elif look is None:
            status, kind, body = "404 Not Found", "text/plain", b"here are /readyz and /metrics\n"
        else:
            status, kind, body = look()
        start_response(status, [("Content-Type", kind), ("Content-Length", str(len(body)))])
        return [b"" if environ["REQUEST_METHOD"] == "HEAD" else body]

    def _ready(self) -> tuple[str, str, bytes]:
        outcomes = self._readiness.outcomes()
        is_ready = all(outcome.is_usable for outcome in outcomes if outcome.is_needed)
        document = {
            "status": "ready" if is_ready else "unavailable",
            "engines": {
                outcome.name: {
                    "usable": outcome.is_usable,
                    "needed": outcome.is_needed,
                    "seconds": round(outcome.seconds, 3),
                    **({"detail": outcome.sentence} if outcome.sentence else {}),
                }
                for outcome in outcomes
            },
        }
        status = "200 OK" if is_ready else "503 Service Unavailable"
        return status, "application/json", json.dumps(document).encode() + b"\n"

    def _shown(self) -> tuple[str, str, bytes]:
        collected = Collected(self._readiness.outcomes(), self._sums.latest(), self._engines.folder)
        return "200 OK", PLAIN, self._metrics.text(collected)
