"""What metering costs a request: `python -m benchmarks.metering`.

Two servers run, one with metering and one without it, and get the same requests in turns, so that
whatever else the machine does falls on both. What is compared is the CPU time of the servers'
processes, as wall time on a busy machine says little; it has no finer grain than a clock tick, so
each turn has many requests. The figure is the median over pairs of turns. Exit code 1 if metering
costs a request 3 % or more. Linux only, as the figures come from /proc.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

BAR_PERCENT = 3.0

WITHOUT = """
import sys
from edge_server import metering

class Nothing:
    start = stop = flush = lambda self: None

metering.install = lambda app, database, prices: None
metering.meter_of = lambda app: Nothing()
from edge_server.cli import server
server(prog_name="edge server")
"""

WITH = """
from edge_server.cli import server
server(prog_name="edge server")
"""


class Server(NamedTuple):
    """A running server, with one connection to it that stays open."""

    pid: int
    connection: http.client.HTTPConnection
    headers: dict[str, str]

    def call(self, method: str, path: str, body: bytes | None = None) -> None:
        self.connection.request(method, f"/v1/orgs/default/files{path}", body, self.headers)
        answer = self.connection.getresponse()
        answer.read()
        assert answer.status < 300, answer.status


@contextlib.contextmanager
def serving(program: str, data: Path) -> Iterator[Server]:
    """Run a server in which `program` starts it."""
    command = [sys.executable, "-c", program, "run", "--data", str(data), "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        settings: dict[str, str] = {}
        while "EDGE_API_TOKEN" not in settings:
            line = process.stdout.readline()
            assert line, "the server ended before it listened"
            name, _, value = line.removeprefix("export ").strip().partition("=")
            settings[name] = value
        where = urlsplit(settings["EDGE_API_SERVICE_URL"])
        connection = http.client.HTTPConnection(where.hostname or "", where.port)
        yield Server(process.pid, connection, {"Authorization": f"Bearer {settings['EDGE_API_TOKEN']}"})
        connection.close()
    finally:
        process.terminate()
        process.communicate(timeout=60)


def cpu_seconds(pid: int) -> float:
    """CPU time of a process and of all below it."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    own = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    # schedstat counts in nanoseconds, and per thread.
    with contextlib.suppress(OSError):
        threads = Path(f"/proc/{pid}/task").glob("*/schedstat")
        own = sum(int(path.read_text().split()[0]) for path in threads) / 1e9
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return own + sum(cpu_seconds(int(child)) for child in children)


def turn(server: Server, call: Callable[[Server], None], count: int) -> tuple[float, float]:
    """CPU and wall seconds of one request, over `count` of them."""
    cpu, wall = cpu_seconds(server.pid), time.perf_counter()
    for _ in range(count):
        call(server)
    return (cpu_seconds(server.pid) - cpu) / count, (time.perf_counter() - wall) / count


CALLS: dict[str, Callable[[Server], None]] = {
    "list a folder of 10 files": lambda server: server.call("GET", "/entries?path="),
    "stat a file": lambda server: server.call("GET", "/entry?path=0.bin"),
    "read 10 kB": lambda server: server.call("GET", "/content?path=0.bin"),
    "write 10 kB": lambda server: server.call("PUT", "/content?path=0.bin", b"x" * 10_000),
}


def main() -> int:
    parser = argparse.ArgumentParser(description="What metering costs a request.")
    parser.add_argument("--pairs", type=int, default=40, help="pairs of turns; 40 by default")
    parser.add_argument("--requests", type=int, default=100, help="requests of a turn; 100 by default")
    given = parser.parse_args()
    worst = 0.0
    print(f"{given.pairs} pairs of turns of {given.requests} requests each\n")
    print("| request | CPU without | CPU with | metering, CPU | metering, wall | bar |")
    print("|---|---|---|---|---|---|")
    with (
        tempfile.TemporaryDirectory() as folder,
        serving(WITHOUT, Path(folder, "without")) as without,
        serving(WITH, Path(folder, "with")) as metered,
    ):
        for name, call in CALLS.items():
            for server in (without, metered):
                for n in range(10):
                    server.call("PUT", f"/content?path={n}.bin", b"x" * 10_000)
                turn(server, call, given.requests)  # warm
            pairs = []
            for n in range(given.pairs):
                first, second = (without, metered) if n % 2 else (metered, without)
                one, other = turn(first, call, given.requests), turn(second, call, given.requests)
                pairs.append((one, other) if first is without else (other, one))
            cpu = 100 * (statistics.median(b[0] / a[0] for a, b in pairs) - 1)
            wall = 100 * (statistics.median(b[1] / a[1] for a, b in pairs) - 1)
            before = 1e6 * statistics.median(a[0] for a, _ in pairs)
            after = 1e6 * statistics.median(b[0] for _, b in pairs)
            worst = max(worst, cpu)
            print(f"| {name} | {before:.0f} us | {after:.0f} us | {cpu:+.1f} % | {wall:+.1f} % | {BAR_PERCENT:.0f} % |")
    return 0 if worst < BAR_PERCENT else 1


if __name__ == "__main__":
    sys.exit(main())
