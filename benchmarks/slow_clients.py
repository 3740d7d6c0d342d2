"""What slow clients cost the others: `python -m benchmarks slow-clients`; fewer by `.slow_clients --each 100`.

A server runs as `edge server run` starts it. A process of its own holds a thousand slow connections
of one kind, opening each again that the server ends, while this one asks for `/healthz`, each time
on a new connection, and for the caller's own profile on one that stays open. No request of ours may
fail, and the median may be 10 ms or five times that of an idle server. Linux only, as CPU time comes
from /proc.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import os
import resource
import selectors
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from benchmarks.measuring import Row, cpu_seconds
from tools.local_server import local_server

EACH = 1000
"""Connections of each kind."""

SECONDS = 12.0
"""How long each attack is watched, from when all connections are there."""

BAR_MS = 10.0
TIMES_IDLE = 5.0

ANSWER_WAIT = 5.0
"""Seconds after which a request of ours has failed."""

LARGE = 32 << 20
"""Bytes of the answer that slow readers ask for."""


class Slow(NamedTuple):
    """A kind of slow client.

    Attributes:
        what: for the table.
        first: what it sends at once.
        then: what it sends a byte of each second, again and again; empty for nothing.
        reads: it takes a byte of the answer each second; the others read nothing.
    """

    what: str
    first: bytes
    then: bytes = b""
    reads: bool = False


class Service(NamedTuple):
    """A running server.

    Attributes:
        pid: its first process; workers are children of it.
        url: where it answers.
        token: of a user who is a member of `organization`.
        organization: a name.
        large: address of `LARGE` bytes, relative to the service URL.
    """

    pid: int
    url: str
    token: str
    organization: str
    large: str


class Figures(NamedTuple):
    """What others met during an attack.

    Attributes:
        healthz: milliseconds of each request.
        whoami: milliseconds of each request.
        failures: requests that were not answered with 200 within `ANSWER_WAIT` seconds.
        cpu_percent: of one core, which the server used.
    """

    healthz: list[float]
    whoami: list[float]
    failures: int
    cpu_percent: float


def kinds(service: Service) -> dict[str, Slow]:
    """The kinds of slow clients, by their names."""
    known = f"Authorization: Bearer {service.token}\r\n"
    files = f"/v1/orgs/{service.organization}/files"

    def head(request: str, *lines: str) -> bytes:
        return f"{request} HTTP/1.1\r\nHost: x\r\n{''.join(lines)}\r\n".encode()

    long = "Content-Length: 1000000\r\n"
    short = "Content-Length: 60000\r\n"
    json = "Content-Type: application/json\r\n"
    endless = b"X-Filler: 0123456789\r\n"
    return {
        "silent": Slow("say nothing", b""),
        "half-header": Slow("send half a header", b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Fil"),
        "header": Slow("send a header a byte a second", b"GET /healthz HTTP/1.1\r\n", endless),
        "content": Slow(
            "send content a byte a second, with a token", head(f"PUT {files}/content?path=slow", known, long), b"x"
        ),
        "chunks": Slow(
            "send content in chunks of a byte a second, with a token",
            head(f"PUT {files}/content?path=slow", known, "Transfer-Encoding: chunked\r\n"),
            b"1\r\nx\r\n",
        ),
        "json": Slow(
            "send JSON a byte a second, with a token", head(f"POST {files}/folders", known, json, short), b" "
        ),
        "unknown": Slow("send a body a byte a second to a 401", head(f"POST {files}/folders", json, long), b" "),
        "nowhere": Slow("send a body a byte a second to a 404", head("POST /v1/nowhere", known, long), b" "),
        "readers": Slow("read a large answer a byte a second", head(f"GET /{service.large}"), reads=True),
    }


# --- the attack -----------------------------------------------------------------------------------


def attack(url: str, slow: Slow, count: int) -> None:
    """Hold `count` slow connections until killed; prints a line once all of them are there."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, count + 100)), hard))
    where = urlsplit(url)
    selector = selectors.DefaultSelector()
    sent: dict[socket.socket, int] = {}
    due = [time.monotonic()]

    def opened() -> None:
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(ANSWER_WAIT)
        with contextlib.suppress(OSError):
            connection.connect((where.hostname, where.port))
            connection.sendall(slow.first)
            connection.setblocking(False)
            sent[connection] = 0
            if not slow.reads:
                selector.register(connection, selectors.EVENT_READ)
            return
        connection.close()

    def closed(connection: socket.socket) -> None:
        with contextlib.suppress(KeyError):
            selector.unregister(connection)
        sent.pop(connection, None)
        connection.close()

    while len(sent) < count and time.monotonic() < due[0] + 20:
        opened()
    print(len(sent), flush=True)
    while True:
        for key, _ in selector.select(0.2):
            connection = key.fileobj
            assert isinstance(connection, socket.socket)
            with contextlib.suppress(BlockingIOError):
                try:
                    more = connection.recv(65536)
                except ConnectionError:
                    more = b""
                if not more:
                    closed(connection)
        if time.monotonic() < due[0] + 1:
            continue
        due[0] = time.monotonic()
        for connection, count_sent in list(sent.items()):
            try:
                if slow.reads:
                    if not connection.recv(1):
                        closed(connection)
                elif slow.then:
                    at = count_sent % len(slow.then)
                    # A chunk is a line of its own, which is the least that can be sent of one.
                    piece = slow.then if slow.then.endswith(b"x\r\n") else slow.then[at : at + 1]
                    connection.send(piece)
                    sent[connection] = count_sent + 1
            except BlockingIOError:
                pass
            except OSError:
                closed(connection)
        for _ in range(count - len(sent)):
            if time.monotonic() > due[0] + 1:
                break
            opened()


@contextlib.contextmanager
def attacked(service: Service, kind: str, count: int) -> Iterator[int]:
    """Keep up an attack during the block; gives how many connections were there at the beginning."""
    command = [sys.executable, "-m", "benchmarks.slow_clients", "--attack", kind, "--each", str(count), *service]
    process = subprocess.Popen([str(word) for word in command], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield int(process.stdout.readline() or 0)
    finally:
        process.kill()
        process.communicate()


# --- the others -----------------------------------------------------------------------------------


def watch(service: Service, seconds: float) -> Figures:
    """Ask as others do, for a while."""
    where = urlsplit(service.url)
    healthz: list[float] = []
    whoami: list[float] = []
    failures = 0
    kept: http.client.HTTPConnection | None = None
    until = time.monotonic() + seconds
    before, started = cpu_seconds(service.pid), time.monotonic()
    while time.monotonic() < until:
        fresh = http.client.HTTPConnection(where.hostname or "", where.port, timeout=ANSWER_WAIT)
        try:
            healthz.append(_milliseconds(fresh, "/healthz", {}))
        except (OSError, http.client.HTTPException):
            failures += 1
        fresh.close()
        kept = kept or http.client.HTTPConnection(where.hostname or "", where.port, timeout=ANSWER_WAIT)
        try:
            whoami.append(_milliseconds(kept, "/v1/users/me", {"Authorization": f"Bearer {service.token}"}))
        except (OSError, http.client.HTTPException):
            failures += 1
            kept.close()
            kept = None
        time.sleep(0.02)
    if kept is not None:
        kept.close()
    used = cpu_seconds(service.pid) - before
    return Figures(healthz, whoami, failures, 100 * used / (time.monotonic() - started))


def _milliseconds(connection: http.client.HTTPConnection, path: str, headers: dict[str, str]) -> float:
    started = time.perf_counter()
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    answer.read()
    if answer.status != 200:
        raise http.client.HTTPException(str(answer.status))
    return 1000 * (time.perf_counter() - started)


# --- the table ------------------------------------------------------------------------------------


@contextlib.contextmanager
def served() -> Iterator[Service]:
    """A server with a large file."""
    from edge.api import EdgeSession

    with tempfile.TemporaryDirectory() as folder:
        large = Path(folder, "large.bin")
        large.write_bytes(os.urandom(LARGE))
        with local_server(Path(folder, "edge-data")) as server:
            url, token, organization = (
                server.environment[f"EDGE_API_{name}"] for name in ("SERVICE_URL", "TOKEN", "ORG")
            )
            with EdgeSession(api_token=token, service_url=url, organization=organization) as edge:
                edge.files.upload("large.bin", large)
                address = edge.files.open("large.bin").download_url()
            yield Service(server.pid, url, token, organization, address.removeprefix(url).lstrip("/"))


def measure(service: Service, chosen: list[str], count: int, seconds: float) -> Iterator[tuple[str, int, Figures]]:
    """What others meet: first without an attack, then during each."""
    yield "nobody", 0, watch(service, seconds / 2)
    for kind in chosen:
        with attacked(service, kind, count) as held:
            yield kind, held, watch(service, seconds)


def rows(count: int = EACH, seconds: float = SECONDS) -> Iterator[Row]:
    """The lines of the table, three for each kind of slow clients."""
    with served() as service:
        described = kinds(service)
        bar = BAR_MS
        for kind, held, figures in measure(service, list(described), count, seconds):
            if kind == "nobody":
                idle = statistics.median([*figures.healthz, *figures.whoami])
                bar = max(BAR_MS, TIMES_IDLE * idle)
                what = "an idle server"
            else:
                what = f"{held} {described[kind].what}"
            yield Row("", f"{what}: /healthz", bar, " ms", figures.healthz or [1000 * ANSWER_WAIT])
            yield Row("", f"{what}: whoami", bar, " ms", figures.whoami or [1000 * ANSWER_WAIT])
            yield Row("", f"{what}: requests that failed", 0, "", [figures.failures])
            yield Row("", f"{what}: CPU of the server", None, " %", [figures.cpu_percent])


def main() -> int:
    parser = argparse.ArgumentParser(description="What slow clients cost the others.")
    parser.add_argument("--each", type=int, default=EACH, help="connections of each kind; 1000 by default")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="how long each attack is watched")
    parser.add_argument("--attack", metavar="KIND", help="only hold connections of a kind, to the SERVICE that follows")
    parser.add_argument("service", nargs="*", help="pid, URL, token, organization and address of a large file")
    options = parser.parse_args()
    if options.attack:
        pid, *others = options.service
        service = Service(int(pid), *others)
        attack(service.url, kinds(service)[options.attack], options.each)
    print("| row | what | bar | median (min..max) |")
    print("|---|---|---|---|")
    failed = False
    for row in rows(options.each, options.seconds):
        print(row.line(), flush=True)
        failed = failed or row.is_far_above_its_bar
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
