"""Metering: each request is counted for its organization, with the bytes of its bodies both ways.

Bytes are counted where they pass: those of a request as they are read, those of an answer as they
are handed to the network, so that a range, a body that broke off and a transfer that the other side
cut count for what was really moved. A request counts on the day it ends. What the server itself
failed to answer (5xx) counts for nobody, nor does what came without a right to the organization.

Each worker keeps its counts in memory and writes them every `FLUSH_SECONDS`, and when it stops. If
it is killed, that much is lost.
"""

from __future__ import annotations

import datetime as dt
import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any, BinaryIO

import flask
import sqlalchemy.exc

from edge_billing.usage_types import API_REQUESTS, TRANSFER_IN, TRANSFER_OUT
from edge_server.base import clock
from edge_server.billing import usage
from edge_server.billing.usage import Key
from edge_server.data.database import Database

FLUSH_SECONDS = 10.0

_NAME = "edge_server.meter"
_READING = "edge_server.reading"

_COUNTED = (API_REQUESTS.name, TRANSFER_IN.name, TRANSFER_OUT.name)

log = logging.getLogger("edge_server")


class Meter:
    """The counts of one process, and the thread that writes them.

    It has a thread of its own, since what else goes on in the background may take longer than counts
    may wait.

    Args:
        database: where they go.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._counts: dict[tuple[int, dt.date], list[int]] = {}
        self._guard = threading.Lock()
        self._flushing = threading.Lock()
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def count(self, organization_id: int, requests: int, bytes_in: int, bytes_out: int) -> None:
        """Count what was just used."""
        key = (organization_id, clock.now().date())
        with self._guard:
            counts = self._counts.get(key)
            if counts is None:
                self._counts[key] = [requests, bytes_in, bytes_out]
            else:
                counts[0] += requests
                counts[1] += bytes_in
                counts[2] += bytes_out

    def flush(self) -> None:
        """Write what was counted. What cannot be written now is kept for the next time."""
        with self._flushing:
            with self._guard:
                counts, self._counts = self._counts, {}
            if not counts:
                return
            amounts = {
                Key(organization, day, name): amount
                for (organization, day), each in counts.items()
                for name, amount in zip(_COUNTED, each, strict=True)
                if amount
            }
            try:
                try:
                    self._write(amounts)
                except sqlalchemy.exc.IntegrityError:
                    # Another worker wrote a day's first row in the same moment; now it is there.
                    self._write(amounts)
            except BaseException:
                self._take_back(counts)
                raise

    def start(self) -> None:
        """Begin to write the counts; after a fork, since a thread does not survive one."""
        self._thread = threading.Thread(target=self._run, name="edge-meter", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Write the last counts, and end."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join()
        self._flush_or_log()

    def _write(self, amounts: dict[Key, int]) -> None:
        with self._database.write() as session:
            usage.add(session, amounts)

    def _run(self) -> None:
        while not self._stopped.wait(FLUSH_SECONDS):
            self._flush_or_log()

    def _flush_or_log(self) -> None:
        try:
            self.flush()
        except Exception as error:
            log.error("usage could not be written, and is kept: %s", _named(error))

    def _take_back(self, counts: dict[tuple[int, dt.date], list[int]]) -> None:
        with self._guard:
            for key, more in counts.items():
                now = self._counts.get(key)
                self._counts[key] = more if now is None else [a + b for a, b in zip(now, more, strict=True)]


class Reading:
    """What is counted of one request.

    Attributes:
        organization_id: whom it counts for; None as long as that is nobody.
        failed: the server failed to answer it.
        sending: the answer is a file, and counts itself.
    """

    __slots__ = ("bytes_in", "bytes_out", "failed", "meter", "organization_id", "sending")

    def __init__(self, meter: Meter) -> None:
        self.meter = meter
        self.organization_id: int | None = None
        self.bytes_in = 0
        self.bytes_out = 0
        self.failed = False
        self.sending = False

    def finish(self) -> None:
        """Hand over what was counted; the request has ended."""
        if self.organization_id is not None and not self.failed:
            self.meter.count(self.organization_id, 1, self.bytes_in, self.bytes_out)
            self.organization_id = None


def install(app: flask.Flask, database: Database) -> None:
    """Count the requests of `app`."""
    meter = Meter(database)
    app.extensions[_NAME] = meter
    inner = app.wsgi_app

    def metered(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        reading = Reading(meter)
        environ[_READING] = reading
        if "HTTP_TRANSFER_ENCODING" in environ or environ.get("CONTENT_LENGTH", "0") not in ("", "0"):
            environ["wsgi.input"] = _Received(environ["wsgi.input"], reading)

        def start(status: str, *rest: Any) -> Any:
            reading.failed = status.startswith("5")
            return start_response(status, *rest)

        answer = inner(environ, start)
        return answer if reading.sending else _Answered(answer, reading)

    app.wsgi_app = metered  # type: ignore[method-assign]


def meter_of(app: flask.Flask) -> Meter:
    """The meter that counts the requests of `app`."""
    found: Meter = app.extensions[_NAME]
    return found


def charge(organization_id: int) -> None:
    """Count the request at hand for an organization."""
    reading = _reading()
    if reading is not None:
        reading.organization_id = organization_id


def sending(file: BinaryIO, length: int) -> BinaryIO:
    """A file for the server to send `length` bytes of from here on, which counts those that are sent."""
    reading = _reading()
    if reading is None:
        return file
    reading.sending = True
    sent: Any = _Sent(file, length, reading)
    return sent  # type: ignore[no-any-return]


def _reading() -> Reading | None:
    return flask.request.environ.get(_READING) if flask.has_request_context() else None


def _named(error: Exception) -> str:
    """An error for the log, which shall not hold what a statement's parameters hold."""
    return type(error.orig).__name__ if isinstance(error, sqlalchemy.exc.DBAPIError) else repr(error)


class _Received:
    """A request's body that counts what is read of it."""

    def __init__(self, stream: Any, reading: Reading) -> None:
        self._stream = stream
        self._reading = reading

    def read(self, size: int = -1) -> bytes:
        data: bytes = self._stream.read(size)
        self._reading.bytes_in += len(data)
        return data

    def readline(self, size: int = -1) -> bytes:
        data: bytes = self._stream.readline(size)
        self._reading.bytes_in += len(data)
        return data

    def readlines(self, hint: int = -1) -> list[bytes]:
        lines: list[bytes] = self._stream.readlines(hint)
        self._reading.bytes_in += sum(map(len, lines))
        return lines

    def __iter__(self) -> Iterator[bytes]:
        while line := self.readline():
            yield line

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class _Answered:
    """An answer's body that counts each block once the server comes back for the next."""

    __slots__ = ("_blocks", "_body", "_last", "_reading")

    def __init__(self, body: Iterable[bytes], reading: Reading) -> None:
        self._body = body
        self._blocks = iter(body)
        self._reading = reading
        self._last = 0

    def __iter__(self) -> _Answered:
        return self

    def __next__(self) -> bytes:
        self._reading.bytes_out += self._last
        self._last = 0
        block = next(self._blocks)
        self._last = len(block)
        return block

    def close(self) -> None:
        try:
            close = getattr(self._body, "close", None)
            if close is not None:
                close()
        finally:
            self._reading.finish()


class _Sent:
    """A file as servers send one: by reading it, or by the system, which is told where that ended by `seek`."""

    mode = "rb"

    def __init__(self, file: BinaryIO, length: int, reading: Reading) -> None:
        self._file = file
        self._length = length
        self._reading = reading
        self._start = self._at = file.tell()

    def fileno(self) -> int:
        return self._file.fileno()

    def read(self, size: int = -1) -> bytes:
        block = self._file.read(size)
        self._at += len(block)
        return block

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = self._file.seek(offset, whence)
        return self._at

    def tell(self) -> int:
        return self._at

    def seekable(self) -> bool:
        return True

    def close(self) -> None:
        self._file.close()
        # Who reads in blocks reads more than there is to send.
        self._reading.bytes_out += min(self._at - self._start, self._length)
        self._start = self._at
        self._reading.finish()
