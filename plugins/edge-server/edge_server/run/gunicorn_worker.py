"""gunicorn with Ctrl-C as a polite stop, and with refusals like everybody else's here."""

from __future__ import annotations

import http
import json
import secrets
import signal
import socket
from typing import Any
from urllib.parse import quote

import gunicorn.arbiter  # type: ignore[import-untyped]
from gunicorn.glogging import Logger  # type: ignore[import-untyped]
from gunicorn.http import errors  # type: ignore[import-untyped]
from gunicorn.workers.gthread import ThreadWorker  # type: ignore[import-untyped]

_STATUS: tuple[tuple[type[Exception], int, str], ...] = (
    (errors.LimitRequestLine, 414, "the address is too long; shorten the path"),
    (errors.LimitRequestHeaders, 431, "the headers are too large; send fewer or shorter ones"),
    (errors.ParseException, 400, "the request is not HTTP as it should be; check what sends it"),
)

_STOP = {signal.SIGTERM, signal.SIGINT}


class Arbiter(gunicorn.arbiter.Arbiter):  # type: ignore[misc]
    """The parent of the workers."""

    def handle_int(self) -> None:
        """Stop on Ctrl-C as on SIGTERM: let requests finish."""
        self.handle_term()

    def spawn_worker(self) -> Any:
        """Start a worker, keeping a stop that comes meanwhile until the worker can hear it.

        Between the fork and its own handlers it has ours, which would note the stop where nobody
        looks; the parent would then wait for its whole patience.
        """
        signal.pthread_sigmask(signal.SIG_BLOCK, _STOP)
        try:
            return super().spawn_worker()
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOP)


class Log(Logger):  # type: ignore[misc]
    """gunicorn's log, in which a request cannot begin a line of its own nor write to a terminal."""

    def atoms(self, resp: Any, req: Any, environ: dict[str, Any], request_time: Any) -> dict[str, Any]:
        atoms: dict[str, Any] = super().atoms(resp, req, environ, request_time)
        # As in the address: decoded, it may hold line breaks and escape sequences.
        atoms["U"] = quote(environ["PATH_INFO"].encode("latin-1"))
        return atoms


class _Reader:
    """Reads a body; a chunk that is none breaks it off, and ends the connection after the answer."""

    def __init__(self, request: Any) -> None:
        self._request = request
        self._reader = request.body.reader

    def read(self, size: int) -> bytes:
        try:
            content: bytes = self._reader.read(size)
        except errors.ParseException:
            # What comes next could be taken for a request.
            self._request.force_close()
            raise OSError("the body is not in chunks, as its headers say") from None
        return content


class Worker(ThreadWorker):  # type: ignore[misc]
    """A process that answers requests in threads."""

    def init_signals(self) -> None:
        super().init_signals()
        # A terminal sends Ctrl-C to the workers as well, who have to wait for the parent's word.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOP)

    def handle_request(self, req: Any, conn: Any) -> Any:
        req.body.reader = _Reader(req)
        return super().handle_request(req, conn)

    def handle_error(self, req: Any, client: socket.socket, addr: Any, exc: Exception) -> None:
        """Answer what could not even be read; what was sent may hold a token and goes into no log."""
        refusal = next(((status, detail) for kind, status, detail in _STATUS if isinstance(exc, kind)), None)
        if refusal is None:
            self.log.error("a request failed outside of the application: %s", type(exc).__name__)
        status, detail = refusal or (500, "the server failed; try again later")
        title = http.HTTPStatus(status).phrase
        request_id = secrets.token_hex(8)
        document = {
            "type": "about:blank",
            "title": title,
            "status": status,
            "detail": detail,
            "code": "internal" if status == 500 else "bad_entry",
            "request_id": request_id,
        }
        body = json.dumps(document).encode() + b"\n"
        head = (
            f"HTTP/1.1 {status} {title}\r\nContent-Type: application/problem+json\r\nX-Request-ID: {request_id}\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        )
        try:
            client.sendall(head.encode() + body)
        except OSError:
            self.log.debug("the other side is gone")
