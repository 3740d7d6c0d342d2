"""gunicorn with a worker that slow clients cannot stop, Ctrl-C as a polite stop, and refusals as everywhere here.

Of gunicorn we use the parent process, the parser of requests and the writer of answers. A worker's
main thread is a `Poller`; its other threads get a request once its header, and a small body, have
come, and never wait for the other side to take an answer. What a thread waits for is a larger body,
of which the application admits only so many at once (`web.transfers`).
"""

from __future__ import annotations

import contextlib
import datetime as dt
import http
import json
import logging
import os
import secrets
import signal
import sys
import threading
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import gunicorn.arbiter  # type: ignore[import-untyped]
import gunicorn.systemd  # type: ignore[import-untyped]
from gunicorn.glogging import Logger  # type: ignore[import-untyped]
from gunicorn.http import errors, wsgi  # type: ignore[import-untyped]
from gunicorn.http.body import ChunkedReader, LengthReader  # type: ignore[import-untyped]
from gunicorn.http.parser import RequestParser  # type: ignore[import-untyped]
from gunicorn.workers import base  # type: ignore[import-untyped]

from edge_server.run import logs
from edge_server.run.connection import Connection
from edge_server.run.poller import Poller
from edge_server.run.threads import Threads
from edge_server.web import counting, transfers
from edge_server.web.client_address import TrustedProxies
from edge_server.web.engines import engines_of
from edge_server.web.transfers import ARRIVING, Body

_STATUS: tuple[tuple[type[Exception], int, str], ...] = (
    (errors.LimitRequestLine, 414, "the address is too long; shorten the path"),
    (errors.LimitRequestHeaders, 431, "the headers are too large; send fewer or shorter ones"),
    (errors.NoMoreData, 431, "the headers are too large; send fewer or shorter ones"),  # than `LONGEST_HEADER`
    (errors.ParseException, 400, "the request is not HTTP as it should be; check what sends it"),
)

_STOP = {signal.SIGTERM, signal.SIGINT}

DECIDING = 2
"""Requests with a body to be waited for that are looked at at once; the others' threads are left to work meanwhile."""

SENDERS = 16
"""Threads that send files, and what else was not taken at once."""

ABANDONERS = 2
"""Threads that end answers which nobody takes."""

SWITCHING = 0.0005
"""Seconds after which a thread that computes, such as a search, lets others go on; Python's own is ten times that."""

NOTED = 1.0
"""Seconds after which a worker tells its parent that it goes on, and looks whether that is there."""

DISCARDED = 64 << 10
"""Bytes that are thrown away of a body that was refused, so that its sender gets to read why."""


class Arbiter(gunicorn.arbiter.Arbiter):  # type: ignore[misc]
    """The parent of the workers."""

    starter: int | None = None
    """The process with which this one ends, whose child it is; None to go on without it."""

    def murder_workers(self) -> None:
        """Look after the workers, as gunicorn does each second, and after the process that has started this one."""
        super().murder_workers()
        if self.starter is not None and os.getppid() != self.starter:
            self.log.warning("the server ends, as process %d has ended, which had started it", self.starter)
            self.handle_term()

    def handle_term(self) -> None:
        """Stop, and say so to systemd if that has started the server, as gunicorn does when it is ready."""
        gunicorn.systemd.sd_notify("STOPPING=1", self.log)
        super().handle_term()

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
    """gunicorn's log, beside the server's own, in which a request cannot begin a line nor write to a terminal."""

    proxies = TrustedProxies()
    """The proxies that are believed where a request comes from."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        own = logging.getLogger(logs.OWN).handlers
        if own:
            self.error_log.handlers[:] = own
        if cfg.accesslog is not None:
            handler = logs.file_handler(Path(cfg.accesslog))
            handler.setFormatter(logs.json_formatter() or logging.Formatter(self.access_fmt))
            for replaced in self.access_log.handlers:
                replaced.close()
            self.access_log.handlers[:] = [handler]

    def access(self, resp: Any, req: Any, environ: dict[str, Any], request_time: Any) -> None:
        if logs.json_formatter() is None:
            super().access(resp, req, environ, request_time)
        elif self.access_log_enabled:
            self.access_log.info("", extra={logs.FIELDS: self._fields(resp, environ, request_time)})

    def _fields(self, resp: Any, environ: dict[str, Any], request_time: dt.timedelta) -> dict[str, Any]:
        """What a line of JSON has of a request: the template of its address, which names nobody and nothing."""
        reading = counting.reading_of(environ)
        return {
            "request_id": next((value for name, value in resp.headers if name.lower() == "x-request-id"), None),
            "client": self.proxies.client(environ.get("REMOTE_ADDR"), environ.get("HTTP_X_FORWARDED_FOR", "")),
            "method": reading.method or None,
            "route": reading.route or None,
            "status": resp.status_code,
            "code": reading.problem or None,
            "bytes_in": reading.bytes_in,
            "bytes_out": resp.sent,
            "seconds": round(request_time.total_seconds(), 4),
        }

    def atoms(self, resp: Any, req: Any, environ: dict[str, Any], request_time: Any) -> dict[str, Any]:
        atoms: dict[str, Any] = super().atoms(resp, req, environ, request_time)
        atoms["h"] = self.proxies.client(environ.get("REMOTE_ADDR"), environ.get("HTTP_X_FORWARDED_FOR", ""))
        # As in the address: decoded, it may hold line breaks and escape sequences.
        atoms["U"] = quote(f"{environ['SCRIPT_NAME']}{environ['PATH_INFO']}".encode("latin-1"))
        return atoms


class _Settings:
    """gunicorn's settings as attributes; its own take three calls each, and a request looks at fifteen."""

    def __init__(self, settings: Any) -> None:
        self._settings = settings

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._settings, name)
        setattr(self, name, value)
        return value


class _Body(Body):
    """The body of a request, as the application finds it in `web.transfers.ARRIVING`."""

    def __init__(self, request: Any, unreader: Any, connection: Connection) -> None:
        self._request = request
        self._unreader = unreader
        self._connection = connection
        self._reader = request.body.reader
        request.body.reader = self

    def read(self, size: int) -> bytes:
        """What gunicorn's body reads; a chunk that is none breaks it off, and ends the connection after the answer."""
        left = self._reader.length if isinstance(self._reader, LengthReader) else 0
        try:
            content: bytes = self._reader.read(size)
        except errors.ParseException:
            # What comes next could be taken for a request.
            self._request.force_close()
            raise OSError("the body is not in chunks, as its headers say") from None
        if len(content) < min(size, left):
            # gunicorn takes the rest for read, and what comes of it later for a request.
            self._request.force_close()
        return content

    def readinto(self, buffer: memoryview) -> int:
        """Fill a buffer past gunicorn, which moves each byte seven times and holds all other threads up meanwhile."""
        if not isinstance(self._reader, LengthReader):
            content: bytes = self._request.body.read(len(buffer))
            buffer[: len(content)] = content
            return len(content)
        buffer = buffer[: self._reader.length]
        count = self._read_ahead(buffer)
        while count < len(buffer) and (more := self._connection.recv_into(buffer[count:])):
            count += more
        self._reader.length -= count
        if count < len(buffer):
            self._request.force_close()
        return count

    def _read_ahead(self, buffer: memoryview) -> int:
        """Put into a buffer what gunicorn has read of the body with the header; returns how many bytes."""
        ahead: bytes = self._unreader.take_buffered()
        count = min(len(ahead), len(buffer))
        buffer[:count] = ahead[:count]
        self._unreader.unread(ahead[count:])
        return count

    def has_arrived(self) -> bool:
        match self._reader:
            case LengthReader():
                here = len(self._unreader.buf.getvalue()) + len(self._connection.received)
                return bool(self._reader.length <= here)
            case ChunkedReader():
                return self._reader.parser is None
            case _:
                return False

    def discard(self, most: int) -> None:
        self._connection.discardable = most


class Worker(base.Worker):  # type: ignore[misc]
    """A process that answers requests in threads."""

    def init_signals(self) -> None:
        super().init_signals()
        # A terminal sends Ctrl-C to the workers as well, who have to wait for the parent's word.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOP)

    def run(self) -> None:
        # A request passes from thread to thread, and at each pass may wait that long for one that computes.
        sys.setswitchinterval(SWITCHING)
        self.log.proxies = engines_of(self.wsgi).proxies
        self._settings = _Settings(self.cfg)
        at_once = transfers.installed(self.wsgi).at_once
        self._deciding = threading.Semaphore(DECIDING)
        answering = Threads(self.cfg.threads, "answering", self._answer, self.log)
        receiving = Threads(at_once + DECIDING, "receiving", self._receive, self.log)
        sending = Threads(SENDERS, "sending", self._answer, self.log)
        abandoning = Threads(ABANDONERS, "abandoning", self._abandon, self.log)
        self._poller = poller = Poller(
            self.sockets,
            self.PIPE,  # which signals write into as well
            self.cfg.worker_connections,
            answer=answering.take,
            receive=receiving.take,
            proceed=sending.take,
            abandon=abandoning.take,
            too_slow=lambda: _refusal(408, "the request did not come to its end in time; send it again"),
        )
        noted = 0.0
        while self.alive:
            poller.poll(NOTED)
            if time.monotonic() - noted >= NOTED:
                noted = time.monotonic()
                self.notify()
                if self.ppid != os.getppid():
                    break
        poller.stop()
        until = time.monotonic() + self.cfg.graceful_timeout
        while not poller.is_empty() and time.monotonic() < until:
            self.notify()
            poller.poll(0.1)
        for threads in (answering, receiving, sending, abandoning):
            threads.stop()

    # --- in other threads -------------------------------------------------------------------------

    def _answer(self, connection: Connection) -> None:
        """Begin an answer, or go on with it, as far as the other side takes it."""
        if connection.steps is None:
            connection.steps = self._steps(connection)
        try:
            connection.context.run(next, connection.steps)
        except StopIteration:
            connection.steps = None
        except Exception as error:  # a thread must give its connection back
            self.log.error("a request failed outside of the application: %s", type(error).__name__)
            connection.steps = None
            connection.keeps = False
        self._poller.give_back(connection)

    def _receive(self, connection: Connection) -> None:
        """Answer a request whose body is waited for, once it is its turn."""
        self._deciding.acquire()
        decided = contextlib.ExitStack()
        decided.callback(self._deciding.release)
        # From then on the thread has little to do.
        connection.before_body = decided.close
        with decided:
            self._answer(connection)

    def _abandon(self, connection: Connection) -> None:
        try:
            if connection.steps is not None:
                connection.context.run(connection.steps.close)
        finally:
            connection.close()

    def _steps(self, connection: Connection) -> Generator[None]:
        """Answer a request; each step ends where the other side has to take something first."""
        connection.keeps = False
        sent = connection.sent
        parser = RequestParser(self._settings, connection, connection.address)
        try:
            yield from self._handle(next(parser), parser, connection)
        except (StopIteration, OSError) as error:
            self.log.debug("the other side is gone: %s", type(error).__name__)
        except Exception as error:  # to be answered all the same
            refusal = _refusal_of(error) or self._failure(error)
            connection.clear()
            if connection.sent > sent:
                return  # in the middle of an answer, which ends here
            connection.sendall(refusal)
            connection.discardable = DISCARDED
            with contextlib.suppress(OSError):
                while not connection.flush():
                    yield
        if connection.keeps:
            connection.received[:0] = parser.unreader.buf.getvalue()

    def _handle(self, request: Any, parser: Any, connection: Connection) -> Generator[None]:
        body = _Body(request, parser.unreader, connection)
        response, environ = wsgi.create(request, connection, connection.address, connection.server, self._settings)
        environ["wsgi.multithread"] = True
        environ[ARRIVING] = body
        if not self.alive:
            response.force_close()
        begun = dt.datetime.now()
        connection.may_wait = not connection.is_whole
        answer = self.wsgi(environ, response.start_response)
        try:
            connection.may_wait = False
            if body.has_arrived():
                body.discard(0)
            else:
                # What is left is not waited for.
                response.force_close()
                connection.discardable = connection.discardable or DISCARDED
            if isinstance(answer, environ["wsgi.file_wrapper"]):
                response.write_file(answer)
                # Not here, where a slow disk would keep other requests waiting.
                yield
            else:
                for block in answer:
                    response.write(block)
                    while not connection.flush():
                        yield
            response.close()
            while not connection.flush():
                yield
        finally:
            self.log.access(response, request, environ, dt.datetime.now() - begun)
            if hasattr(answer, "close"):
                answer.close()
        if not response.should_close():
            while request.body.read(DISCARDED):
                pass  # the rest of the body, which is here
            connection.keeps = True

    def _failure(self, error: Exception) -> bytes:
        # What was sent may hold a token and goes into no log.
        self.log.error("a request failed outside of the application: %s", type(error).__name__)
        return _refusal(500, "the server failed; try again later")


def _refusal_of(error: Exception) -> bytes | None:
    """The answer to what could not even be read."""
    for kind, status, detail in _STATUS:
        if isinstance(error, kind):
            return _refusal(status, detail)
    return None


def _refusal(status: int, detail: str) -> bytes:
    title = http.HTTPStatus(status).phrase
    request_id = secrets.token_hex(8)
    document = {
        "type": "about:blank",
        "title": title,
        "status": status,
        "detail": detail,
        "code": {408: "timeout", 500: "internal"}.get(status, "bad_entry"),
        "request_id": request_id,
    }
    body = json.dumps(document).encode() + b"\n"
    head = (
        f"HTTP/1.1 {status} {title}\r\nContent-Type: application/problem+json\r\nX-Request-ID: {request_id}\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body
