"""Requests that a CPU-second of the server answers, beside JupyterHub and Azurite: `python -m benchmarks server`.

Ours runs as `edge server run` starts it: default settings, all limits on, what is acknowledged is on
disk. None of the limits on how often is met, as they count neither of these requests. JupyterHub's
API tells who a token is, and Azurite keeps blobs, each request signed with the account's key by the
client. They are installed by the benchmark and run on empty folders, like ours, all on one core; the
client has another. They take turns, ratios are formed within a round, and a figure is the median of
the rounds. CPU time is that of all processes of a server, from /proc: Linux only. How often a put
waits for the disk is counted in the end, apart from what is timed.

`--quick` shows within a minute that all of it works. `--also PYTHON` measures the server that another
interpreter has, such as an older version's, in the same turns. `--postgresql ADDRESS` measures ours alone, of one
process and of two, with the database in a file and on the PostgreSQL of this machine at that address, whose processes
for it count as the server's do.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol
from urllib.parse import urlsplit

from benchmarks import load, peers
from benchmarks.engines import Postgresql, postgresql
from benchmarks.load import Answered
from benchmarks.measuring import children, cores, cpu_seconds
from tools.local_server import local_server

CLIENTS = (1, 8)
FILES = 50
CONTENT = b"x" * 1000

ROUNDS, SECONDS, WARM_UP = 5, 1.5, 0.3
QUICK_ROUNDS, QUICK_SECONDS, QUICK_WARM_UP = 1, 0.5, 0.2

TAIL = 10
"""The 99th percentile of a put with 8 clients is at most so many times its median."""

TRACED_SECONDS = 2.0
"""How long puts are sent while their fsyncs are counted."""


class Operation(NamedTuple):
    """What is asked of servers.

    Attributes:
        name: as the servers know it.
        peer: who does the same.
        aim: how many times the peer's requests per CPU-second are to be reached; None for no aim.
    """

    name: str
    peer: str
    aim: float | None


OPERATIONS = (
    Operation("whoami", "JupyterHub", 1.5),
    Operation("list", "Azurite", 1.5),
    Operation("stat", "Azurite", None),
    Operation("get", "Azurite", 1.0),
    Operation("put new", "Azurite", 0.8),
    Operation("put over", "Azurite", 0.8),
)
PUTS = ("put new", "put over")

WHAT = f"""\
- whoami: `GET /v1/users/me`, JupyterHub's `GET /hub/api/user`
- list: {FILES} entries of a folder, blobs of a container
- stat: an entry by its path, properties of a blob
- get, put new, put over: {len(CONTENT)} bytes; under names of their own, or the {FILES} same ones in turns"""


class Server(Protocol):
    """A running server; `pid` is of its first process, `name` tells its version."""

    pid: int
    name: str

    def cpu(self) -> float:
        """CPU seconds that it has used so far."""

    def run(self, operation: str, clients: int, seconds: float) -> Answered:
        """Do an operation for some seconds."""


class Ours:
    """A running server of ours, with a folder in which `FILES` files are."""

    def __init__(
        self, pid: int, name: str, port: int, token: str, organization: str, database: Postgresql | None
    ) -> None:
        self.pid = pid
        self.name = name
        self._database = database
        self._port = port
        self._authorization = f"Authorization: Bearer {token}"
        self._files = f"/v1/orgs/{organization}/files"
        self._paths = [f"fifty/{n:02}" for n in range(FILES)]
        self._names = itertools.count()
        answered = load.send(port, iter([self._put(path) for path in self._paths]), 201)
        if answered.failures:
            raise RuntimeError(f"{answered.failures} requests failed that prepare the server")

    def cpu(self) -> float:
        return cpu_seconds(self.pid) + (self._database.cpu() if self._database else 0.0)

    def run(self, operation: str, clients: int, seconds: float) -> Answered:
        status, requests = {
            "whoami": (200, itertools.repeat(self._get("/v1/users/me"))),
            "list": (200, itertools.repeat(self._get(f"{self._files}/entries?path=fifty&limit={FILES}"))),
            "stat": (200, itertools.cycle([self._get(f"{self._files}/entry?path={path}") for path in self._paths])),
            "get": (200, itertools.cycle([self._get(f"{self._files}/content?path={path}") for path in self._paths])),
            "put new": (201, (self._put(f"new/{n:07}") for n in self._names)),
            "put over": (201, itertools.cycle([self._put(path) for path in self._paths])),
        }[operation]
        return load.send(self._port, requests, status, clients=clients, seconds=seconds)

    def _get(self, address: str) -> bytes:
        return load.get(address, self._authorization)

    def _put(self, path: str) -> bytes:
        return load.put(f"{self._files}/content?path={path}", CONTENT, self._authorization)


class Run(NamedTuple):
    """What one turn gave.

    Attributes:
        per_cpu_second: requests.
        p50: milliseconds.
        p99: milliseconds.
        failures: requests.
    """

    per_cpu_second: float
    p50: float
    p99: float
    failures: int


# --- starting -------------------------------------------------------------------------------------


@contextlib.contextmanager
def _ours(python: str, workers: int = 1, address: str | None = None) -> Iterator[Ours]:
    """The server that an interpreter has, as people start it; with its database at an address, or in a file."""
    code = "import edge_server, os, platform; print(platform.python_version(), os.path.dirname(edge_server.__file__))"
    ran = subprocess.run([python, "-I", "-c", code], check=True, capture_output=True, text=True)
    version, source = ran.stdout.strip().split(" ", 1)
    git = ["git", "-C", source]
    commit = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    changed = subprocess.run([*git, "status", "--porcelain", "--", source], capture_output=True, text=True).stdout
    name = f"ours at {commit or source}{', changed' * bool(commit and changed)}"
    if workers > 1:
        name += f", {workers} processes"
    if address:
        name += ", on PostgreSQL"
    with contextlib.ExitStack() as stack:
        data_folder = Path(stack.enter_context(tempfile.TemporaryDirectory()), "edge-data")
        database = stack.enter_context(postgresql(address)) if address else None
        if database is not None:
            data_folder.mkdir(mode=0o700)
            database.settings(data_folder)
        server = stack.enter_context(local_server(data_folder, python, "--workers", str(workers)))
        url, token, organization = (server.environment[f"EDGE_API_{each}"] for each in ("SERVICE_URL", "TOKEN", "ORG"))
        yield Ours(server.pid, f"{name} (Python {version})", urlsplit(url).port or 80, token, organization, database)


@contextlib.contextmanager
def _running(also: Sequence[str], address: str | None) -> Iterator[tuple[list[Ours], dict[str, Server], list[str]]]:
    """Servers of ours, the peers by their names, and why peers are missing."""
    servers, client = cores()
    with contextlib.ExitStack() as stack:
        os.sched_setaffinity(0, servers)  # which processes that are started now inherit
        own = [stack.enter_context(_ours(python)) for python in (sys.executable, *also)]
        others: dict[str, Server] = {}
        missing: list[str] = []
        started: dict[str, contextlib.AbstractContextManager[Server]] = {}
        if address:
            for workers, database in ((2, None), (1, address), (2, address)):
                own.append(stack.enter_context(_ours(sys.executable, workers, database)))
        else:
            started = {"JupyterHub": peers.jupyterhub(), "Azurite": peers.azurite(FILES, CONTENT)}
        for name, peer in started.items():
            try:
                others[name] = stack.enter_context(peer)
            except peers.Missing as error:
                missing.append(f"**{name} is left out**: {error}")
                print(missing[-1], file=sys.stderr, flush=True)
        os.sched_setaffinity(0, client)
        yield own, others, missing


# --- measuring ------------------------------------------------------------------------------------


def _turn(server: Server, operation: str, clients: int, seconds: float, warm_up: float) -> Run:
    warmed = server.run(operation, clients, warm_up)
    before = server.cpu()
    answered = server.run(operation, clients, seconds)
    # The kernel counts hundredths of a second.
    used = max(0.01, server.cpu() - before)
    count, failures = len(answered.milliseconds), warmed.failures + answered.failures
    if not count:
        return Run(0, 0, 0, failures)
    return Run(count / used, answered.p50(), answered.p99(), failures)


Results = dict[tuple[Server, str, int], list[Run]]


def _measure(own: list[Ours], others: dict[str, Server], rounds: int, seconds: float, warm_up: float) -> Results:
    does = {each: [*own, *([others[each.peer]] if each.peer in others else [])] for each in OPERATIONS}
    for operation, servers in does.items():
        for server in servers:
            server.run(operation.name, max(CLIENTS), seconds)  # compilers at run time take a while
    results: Results = {}
    for n in range(rounds):
        print(f"round {n + 1} of {rounds}", file=sys.stderr, flush=True)
        for clients, (operation, servers) in itertools.product(CLIENTS, does.items()):
            for server in servers if n % 2 else reversed(servers):
                run = _turn(server, operation.name, clients, seconds, warm_up)
                results.setdefault((server, operation.name, clients), []).append(run)
    return results


def _fsyncs(server: Server, operation: str, strace: str) -> float:
    """Calls of one put that wait for the disk."""
    with tempfile.NamedTemporaryFile("r") as log:
        traced = [word for pid in _processes(server.pid) for word in ("-p", str(pid))]
        command = [strace, "-f", "-qq", "-e", "trace=fsync,fdatasync,sync_file_range,msync,sync", "-o", log.name]
        with subprocess.Popen([*command, *traced], stderr=subprocess.DEVNULL) as process:
            try:
                while process.poll() is None and not all(map(_is_traced, _processes(server.pid))):
                    time.sleep(0.05)
                answered = server.run(operation, 1, TRACED_SECONDS)
            finally:
                process.send_signal(signal.SIGINT)
        if process.returncode not in (0, -signal.SIGINT, 128 + signal.SIGINT) or answered.failures:
            raise RuntimeError(f"strace ended with {process.returncode}, {answered.failures} puts failed meanwhile")
        # Of a call that another thread's interrupts, the second line says that it is resumed.
        calls = [line for line in log if "sync" in line and "resumed>" not in line]
    return len(calls) / len(answered.milliseconds)


def _processes(pid: int) -> list[int]:
    return [pid, *itertools.chain.from_iterable(map(_processes, children(pid)))]


def _is_traced(pid: int) -> bool:
    statuses = [status.read_text() for status in Path(f"/proc/{pid}/task").glob("*/status")]
    return all("TracerPid:\t0\n" not in status for status in statuses)


# --- the report -----------------------------------------------------------------------------------


def _median(runs: Sequence[Run], figure: Callable[[Run], float]) -> float:
    return statistics.median(map(figure, runs))


def _ratio(runs: Sequence[Run], peer: Sequence[Run]) -> float:
    return statistics.median(
        own.per_cpu_second / other.per_cpu_second for own, other in zip(runs, peer, strict=True) if other.per_cpu_second
    )


def _report(own: list[Ours], others: dict[str, Server], results: Results) -> Iterator[tuple[str, bool]]:
    """The lines of the table, and whether each is near its aim."""
    yield (
        "| operation | clients | server | requests per CPU-second (min..max) | of the peer's | aim | p50 ms | p99 ms |",
        True,
    )
    yield "|---|---|---|---|---|---|---|---|", True
    for clients, operation in itertools.product(CLIENTS, OPERATIONS):
        peer = others.get(operation.peer)
        for server in [*own, *([peer] if peer else [])]:
            runs = results[server, operation.name, clients]
            rates = [run.per_cpu_second for run in runs]
            ratio = aim = ""
            is_near = True
            if peer is not None and server is not peer:
                times = _ratio(runs, results[peer, operation.name, clients])
                ratio = f"{times:.2f}x"
                if operation.aim is not None:
                    aim = f"{operation.aim:g}x"
                    is_near = times >= operation.aim / 2 or server is not own[0]
            latencies = f"{_median(runs, lambda run: run.p50):.2f} | {_median(runs, lambda run: run.p99):.2f}"
            figures = f"{statistics.median(rates):,.0f} ({min(rates):,.0f}..{max(rates):,.0f})"
            what = f"{operation.name} | {clients} | {server.name.partition(' (')[0]}"
            yield f"| {what} | {figures} | {ratio} | {aim} | {latencies} |", is_near
    yield "", True
    for server, operation_name in itertools.product(own, PUTS):
        runs = results[server, operation_name, max(CLIENTS)]
        times = _median(runs, lambda run: run.p99 / run.p50)
        yield (
            (
                f"- {operation_name} with {max(CLIENTS)} clients, {server.name.partition(' (')[0]}: "
                f"the 99th percentile is {times:.1f} times the median (aim: {TAIL} at most)"
            ),
            times <= 2 * TAIL or server is not own[0],
        )


def _report_fsyncs(servers: Sequence[Server]) -> None:
    strace = shutil.which("strace")
    if strace is None:
        print("\n**fsyncs are not counted**: strace is missing (on Debian: apt-get install strace)")
        return
    print()
    for server in servers:
        counts = " and ".join(f"{_fsyncs(server, each, strace):.2f} in a {each}" for each in PUTS)
        print(f"- fsyncs of {server.name.partition(' (')[0]}: {counts}", flush=True)


def main(arguments: Sequence[str] = ()) -> int:
    """Print the table; 1 if a request failed or a figure is below half of its aim."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks server", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one short round")
    parser.add_argument("--also", action="append", default=[], metavar="PYTHON", help="an interpreter with a server")
    parser.add_argument("--postgresql", metavar="ADDRESS", help="of one on this machine; ours alone then")
    options = parser.parse_args(arguments)
    rounds, seconds, warm_up = (
        (QUICK_ROUNDS, QUICK_SECONDS, QUICK_WARM_UP) if options.quick else (ROUNDS, SECONDS, WARM_UP)
    )
    with _running(options.also, options.postgresql) as (own, others, missing):
        results = _measure(own, others, rounds, seconds, warm_up)
        servers: list[Server] = [*own, *others.values()]
        print("Servers:", "; ".join(server.name for server in servers))
        print(f"Rounds: {rounds} of {seconds:g} s for each figure; load of the machine {os.getloadavg()[0]:.1f}\n")
        for line in (*missing, WHAT, ""):
            print(line)
        passed = True
        for line, is_near in _report(own, others, results):
            print(line)
            passed = passed and is_near
        _report_fsyncs([server for server in servers if server is not others.get("JupyterHub")])
    failures = sum(run.failures for runs in results.values() for run in runs)
    print(f"- requests that failed: {failures}")
    return 0 if passed and not failures else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
