"""What metering costs a request: `python -m benchmarks.metering`.

The application is called within this process, one request with metering and the same one without
it in turns, so that whatever else the machine does falls on both. What is compared is the thread's
CPU time, since wall time on a busy machine says little; and without a socket the request is
cheaper than in life, so that the share of metering comes out rather too large. What every worker
writes each ten seconds is measured on its own. Exit code 1 if metering costs a request 3 % or more.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import flask
from werkzeug.wsgi import FileWrapper

from edge_server.billing.meter import FLUSH_SECONDS, Meter
from edge_server.run import start
from edge_server.run.app import build
from edge_server.run.data_folder import ORGANIZATION
from edge_server.web import counting
from edge_server.web.engines import engines_of

BAR_PERCENT = 3.0

REQUESTS = {
    "list a folder of 10 files": ("GET", "entries", "path=", b""),
    "stat a file": ("GET", "entry", "path=0.bin", b""),
    "read 10 kB": ("GET", "content", "path=0.bin", b""),
    "read 1 MiB": ("GET", "content", "path=large.bin", b""),
    "write 10 kB": ("PUT", "content", "path=0.bin", b"x" * 10_000),
}

Wsgi = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class Nothing:
    """What takes the place of metering's parts where a request meets them."""

    @staticmethod
    def charge(organization_id: int) -> None: ...

    @staticmethod
    def sending(file: Any, length: int) -> Any:
        return file


@contextlib.contextmanager
def without_metering() -> Iterator[None]:
    kept = counting.charge, counting.sending
    counting.charge, counting.sending = Nothing.charge, Nothing.sending
    try:
        yield
    finally:
        counting.charge, counting.sending = kept


def call(wsgi: Wsgi, token: str, method: str, address: str, query: str, body: bytes) -> int:
    """Nanoseconds of CPU that one request took."""
    environ = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": f"/v1/orgs/{ORGANIZATION}/files/{address}",
        "QUERY_STRING": query,
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_AUTHORIZATION": f"Bearer {token}",
        "CONTENT_LENGTH": str(len(body)) if body else "",
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": sys.stderr,
        "wsgi.url_scheme": "http",
        "wsgi.file_wrapper": FileWrapper,
    }
    statuses: list[str] = []
    started = time.thread_time_ns()
    answer = wsgi(environ, lambda status, *_: statuses.append(status))
    for _ in answer:
        pass
    close = getattr(answer, "close", None)
    if close is not None:
        close()
    taken = time.thread_time_ns() - started
    assert statuses[0].startswith("2"), statuses
    return taken


def measure(app: flask.Flask, token: str, request: tuple[str, str, str, bytes], rounds: int) -> tuple[float, float]:
    """Microseconds of CPU of one request, without metering and with it.

    Of all requests, the fastest tenth ends there: others on the machine can only slow one down.
    """
    plain: Wsgi = flask.Flask.wsgi_app.__get__(app)
    metered: Wsgi = app.wsgi_app
    without: list[int] = []
    with_: list[int] = []
    for n in range(rounds + 50):
        for metering_is_on in (True, False) if n % 2 else (False, True):
            if metering_is_on:
                with_.append(call(metered, token, *request))
            else:
                with without_metering():
                    without.append(call(plain, token, *request))
    return statistics.quantiles(without[50:], n=10)[0] / 1000, statistics.quantiles(with_[50:], n=10)[0] / 1000


def flush_milliseconds(app: flask.Flask, rounds: int = 20) -> float:
    """CPU milliseconds to write the counts of one organization."""
    meter = Meter(engines_of(app).database)
    meter.flush()
    taken = []
    for _ in range(rounds):
        meter.count(counting.Request(1, 1, 1))
        started = time.thread_time_ns()
        meter.flush()
        taken.append(time.thread_time_ns() - started)
    return statistics.median(taken) / 1e6


def main() -> int:
    parser = argparse.ArgumentParser(description="What metering costs a request.")
    parser.add_argument("--rounds", type=int, default=2000, help="requests of each kind; 2000 by default")
    rounds = parser.parse_args().rounds
    worst = 0.0
    with tempfile.TemporaryDirectory() as folder:
        engines, loaded, token = start.prepare(Path(folder))
        app = build(engines, loaded)
        for n in range(10):
            call(app.wsgi_app, token or "", "PUT", "content", f"path={n}.bin", b"x" * 10_000)
        call(app.wsgi_app, token or "", "PUT", "content", "path=large.bin", b"x" * (1 << 20))
        print(f"CPU time of one request, the fastest tenth of {rounds}, in turns\n")
        print("| request | without | with metering | difference | bar |")
        print("|---|---|---|---|---|")
        for name, request in REQUESTS.items():
            before, after = measure(app, token or "", request, rounds)
            percent = 100 * (after / before - 1)
            worst = max(worst, percent)
            figures = f"{before:.1f} us | {after:.1f} us | {percent:+.2f} % | {BAR_PERCENT:.0f} %"
            print(f"| {name} | {figures} |", flush=True)
        flush = flush_milliseconds(app)
        share = 100 * flush / 1000 / FLUSH_SECONDS
        cost = f"{flush:.1f} ms of CPU each {FLUSH_SECONDS:.0f} s: {share:.3f} %"
        print(f"\nWriting the counts takes a worker {cost}")
    return 0 if worst < BAR_PERCENT else 1


if __name__ == "__main__":
    sys.exit(main())
