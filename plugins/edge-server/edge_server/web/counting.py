"""Counting requests, and the bytes of their bodies both ways, for the organizations they are of.

Bytes are counted where they pass: those of a request as they are read, those of an answer as they
are handed to the network, so that a range, a body that broke off and a transfer that the other side
cut count for what was really moved. A request counts on the day it ends. What the server itself
failed to answer (5xx) counts for nobody, nor does what came without a right to the organization.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, BinaryIO, NamedTuple, Protocol, cast

import flask

from edge_server.base import at_hand


class Request(NamedTuple):
    """A request that has ended.

    Attributes:
        organization_id: the organization it counts for.
        bytes_in: bytes of its body that were read.
        bytes_out: bytes of the answer's body that were sent.
    """

    organization_id: int
    bytes_in: int
    bytes_out: int


Counter = Callable[[Request], None]
"""Called at the end of each request that counts; it must be quick."""


class Observer(Protocol):
    """Hears of every request, whether or not it counts for an organization; each call must be quick."""

    def begun(self) -> None:
        """Hear that one has begun."""
        ...

    def ended(self, reading: Reading, /) -> None:
        """Hear that one has ended, its answer's body included."""
        ...


_READING = "edge_server.reading"


class Reading:
    """What is counted of one request.

    Attributes:
        organization_id: whom it counts for; None as long as that is nobody.
        status: of the answer; 0 as long as there is none.
        seconds: until the answer began.
        sending: the answer is a file, and counts itself.
        method: of the request, where there is such an address.
        route: the template of its address, such as ``/v1/orgs/<org>/files``; empty where there is none.
        problem: the code of the problem that the answer tells; empty where there is none.
    """

    __slots__ = (
        "_begun",
        "_counters",
        "_observer",
        "bytes_in",
        "bytes_out",
        "method",
        "organization_id",
        "problem",
        "route",
        "seconds",
        "sending",
        "status",
    )

    def __init__(self, counters: Sequence[Counter], observer: Observer | None = None) -> None:
        self._begun = time.perf_counter()
        self._counters = counters
        self._observer = observer
        self.organization_id: int | None = None
        self.bytes_in = 0
        self.bytes_out = 0
        self.status = 0
        self.seconds = 0.0
        self.sending = False
        self.method = self.route = self.problem = ""

    @property
    def failed(self) -> bool:
        """Whether the server failed to answer it."""
        return self.status >= 500

    def answer(self, status: int) -> None:
        """Take down that the answer begins."""
        self.status = status
        self.seconds = time.perf_counter() - self._begun

    def finish(self) -> None:
        """Hand over what was counted; the request has ended."""
        observer, self._observer = self._observer, None
        if observer is not None:
            observer.ended(self)
        if self.organization_id is not None and not self.failed:
            request = Request(self.organization_id, self.bytes_in, self.bytes_out)
            for counter in self._counters:
                counter(request)
            self.organization_id = None


def install(app: flask.Flask, counters: Sequence[Counter], observer: Observer | None = None) -> None:
    """Count the requests of `app`.

    Args:
        app: the application.
        counters: called for those that count for an organization.
        observer: hears of all of them.
    """
    inner = app.wsgi_app
    app.after_request(_describe)

    def counted(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        reading = Reading(counters, observer)
        if observer is not None:
            observer.begun()
        environ[_READING] = reading
        if "HTTP_TRANSFER_ENCODING" in environ or environ.get("CONTENT_LENGTH", "0") not in ("", "0"):
            environ["wsgi.input"] = _Received(environ["wsgi.input"], reading)

        def start(status: str, *rest: Any) -> Any:
            reading.answer(int(status[:3]))
            return start_response(status, *rest)

        answer = inner(environ, start)
        return answer if reading.sending else _Answered(answer, reading)

    app.wsgi_app = counted  # type: ignore[method-assign]


def _describe(response: flask.Response) -> flask.Response:
    """Take down which address the request at hand was for, by its template alone."""
    reading, request = _reading(), at_hand.request()
    if reading is not None:
        reading.problem = at_hand.kept().get("problem", "")
        if request.url_rule is not None:
            reading.method, reading.route = request.method, request.url_rule.rule
    return response


def reading_of(environ: dict[str, Any]) -> Reading:
    """What was counted of a request that the app has answered, by the environment that it had."""
    reading: Reading = environ[_READING]
    return reading


def charge(organization_id: int) -> None:
    """Count the request at hand for an organization."""
    reading = _reading()
    if reading is not None:
        reading.organization_id = organization_id


def is_charged() -> bool:
    """Whether the request at hand counts for an organization."""
    reading = _reading()
    return reading is not None and reading.organization_id is not None


def received(count: int) -> None:
    """Count bytes of the body of the request at hand that were read past its stream."""
    reading = _reading()
    if reading is not None:
        reading.bytes_in += count


def sent_elsewhere(count: int) -> None:
    """Count bytes that whoever asks fetches from where the answer at hand sends them."""
    reading = _reading()
    if reading is not None:
        reading.bytes_out += count


def sending(file: BinaryIO, length: int) -> BinaryIO:
    """A file for the server to send `length` bytes of from here on, which counts those that are sent."""
    reading = _reading()
    if reading is None:
        return file
    reading.sending = True
    return cast(BinaryIO, _Sent(file, length, reading))


def _reading() -> Reading | None:
    return at_hand.request().environ.get(_READING) if flask.has_request_context() else None


class _Received:
    """A request's body that counts what is read of it."""

    def __init__(self, stream: Any, reading: Reading) -> None:
        self._stream = stream
        self._reading = reading

    def read(self, size: int = -1) -> bytes:
        block: bytes = self._stream.read(size)
        self._reading.bytes_in += len(block)
        return block

    def readline(self, size: int = -1) -> bytes:
        line: bytes = self._stream.readline(size)
        self._reading.bytes_in += len(line)
        return line

    def readlines(self, hint: int = -1) -> list[bytes]:
        lines: list[bytes] = self._stream.readlines(hint)
        self._reading.bytes_in += sum(map(len, lines))
        return lines

    def __iter__(self) -> Iterator[bytes]:
        while line := self.readline():
            yield line

    def __getattr__(self, name: str) -> Any:
        if name.startswith("readinto"):
            # waitress' streams have it, which Werkzeug would rather call; then nothing was counted.
            raise AttributeError(name)
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
