"""What a program costs that transfers files: its own time and CPU time, and the CPU time of the server it talks to.

Each run is a process of its own. What Python needs to begin, imports and the first connection, is not counted, as all
of that is done before the clock starts; of other programs everything is. Linux only, as the figures of servers come
from /proc.
"""

from __future__ import annotations

import json
import operator
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, NamedTuple

from benchmarks.measuring import cpu_seconds
from benchmarks.peers import say

MIB = 1 << 20

MEASURED = """
import json, resource, sys, time

def measured(call):
    print("ready", flush=True)
    input()
    began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF)
    counts = call()
    seconds, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF)
    user, system = after.ru_utime - before.ru_utime, after.ru_stime - before.ru_stime
    counts = counts if isinstance(counts, dict) else {}
    print(json.dumps({"wall": seconds, "user": user, "system": system, "counts": counts}))
"""
"""What the code of a Python client begins with; it hands `measured` what is measured."""


class Cost(NamedTuple):
    """What a run took, all in seconds.

    Attributes:
        wall: from its beginning to its end.
        user: CPU time of the client in its own code.
        system: CPU time of the client in the system's code.
        server: CPU time of the server, 0 without one.
        counts: what a Python client has counted.
    """

    wall: float
    user: float
    system: float
    server: float = 0.0
    counts: Mapping[str, float] = {}

    @property
    def cpu(self) -> float:
        """CPU time of the client."""
        return self.user + self.system


class Client(NamedTuple):
    """Who is measured.

    Attributes:
        name: for the table.
        run: does what is measured once.
    """

    name: str
    run: Callable[[], Cost]


Costs = dict[str, list[Cost]]
"""What each round took, by the clients' names."""

WALL: Callable[[Cost], float] = operator.attrgetter("wall")
CPU: Callable[[Cost], float] = operator.attrgetter("cpu")
SERVER: Callable[[Cost], float] = operator.attrgetter("server")


def nothing() -> None:
    """Prepare nothing."""


def python_run(
    code: str,
    *arguments: object,
    python: str | Path = sys.executable,
    environment: Mapping[str, str] | None = None,
    server: int = 0,
    before: Callable[[], None] = nothing,
) -> Cost:
    """Run Python code that calls `measured` once.

    Args:
        code: the code, without what it begins with.
        arguments: of its command line.
        python: the interpreter.
        environment: variables on top of this process's own.
        server: id of the process whose CPU time is counted.
        before: called once everything is imported, before the clock starts.

    Raises:
        RuntimeError: it failed.
    """
    command = [str(python), "-I", "-c", MEASURED + code, *map(str, arguments)]
    variables = {**os.environ, **(environment or {})}
    with subprocess.Popen(command, env=variables, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        _line(process.stdout)
        before()
        used = cpu_seconds(server) if server else 0.0
        process.stdin.write("\n")
        process.stdin.flush()
        figures = json.loads(_line(process.stdout))
        if server:
            used = cpu_seconds(server) - used
    return Cost(**figures, server=used)


def _line(output: IO[str]) -> str:
    line = output.readline()
    if not line:
        raise RuntimeError("a client failed; its error is above")
    return line


def program_run(
    command: Sequence[str],
    *,
    stdout: int | None = None,
    environment: Mapping[str, str] | None = None,
    server: int = 0,
    before: Callable[[], None] = nothing,
) -> Cost:
    """Run a program.

    Args:
        command: the program and its arguments.
        stdout: handle of the file it writes to; None for none.
        environment: all its variables; None for those of this process.
        server: id of the process whose CPU time is counted.
        before: called before the clock starts.

    Raises:
        RuntimeError: it failed.
    """
    before()
    used = cpu_seconds(server) if server else 0.0
    began = time.perf_counter()
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL if stdout is None else stdout)
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{command[0]} ended with {process.returncode}; its error is above")
    if server:
        used = cpu_seconds(server) - used
    return Cost(wall, usage.ru_utime, usage.ru_stime, used)


def measure(what: str, clients: Sequence[Client], rounds: int) -> Costs:
    """Let clients take turns; each round goes the other way round than the one before."""
    costs: Costs = {client.name: [] for client in clients}
    for n in range(rounds):
        say(f"{what}, round {n + 1} of {rounds}")
        for client in reversed(clients) if n % 2 else clients:
            costs[client.name].append(client.run())
    return costs


# --- files ----------------------------------------------------------------------------------------


def write_random(path: Path, size: int) -> None:
    """Write a file of which no two MiB are alike, so that one in the wrong place is noticed."""
    block = os.urandom(MIB)
    with path.open("wb") as file:
        for n in range(size // MIB):
            file.write(n.to_bytes(8, "big") + block[8:])
        file.write(block[: size % MIB])


def write_tree(top: Path, files: int, size: int, each: int, suffix: str = ".bin") -> None:
    """Write files of random content, `each` of them in a folder."""
    for n in range(files):
        folder = top / f"{n // each:05}"
        if n % each == 0:
            folder.mkdir(parents=True)
        (folder / f"plate-{n:06}{suffix}").write_bytes(os.urandom(size))


def warm(folder: Path, size: int) -> None:
    """Leave memory behind that the page cache can have at once.

    A page that the system has not used lately costs much more where the machine is a virtual one, whose host has taken
    it back meanwhile; whoever writes a new file would pay for that, and who writes over an old one would not.
    """
    block = bytes(MIB)
    path = folder / "warm.bin"
    with path.open("wb") as file:
        for _ in range(-(-size // MIB)):
            file.write(block)
    path.unlink()


# --- tables ---------------------------------------------------------------------------------------


def table(title: str, costs: Costs, *, base: str, files: Mapping[str, int] | None = None) -> list[str]:
    """Return the lines of a table.

    Args:
        title: above it.
        costs: what is shown.
        base: who the others are compared with.
        files: number of files that a run of each transferred, for figures of one; None for those of a run.
    """
    unit = "s" if files is None else "ms"
    head = ["client", f"wall {unit}", f"client CPU {unit} (user + system)", f"server CPU {unit}"]
    head += ["wall", "client CPU"] if files is None else ["files/s", "wall", "client CPU"]
    lines = [
        f"\n{title}; x: of {base}, median (min..max) of {len(costs[base])}\n",
        _row(head),
        _row(["---"] * len(head)),
    ]
    for name, runs in costs.items():
        count = 1 if files is None else files[name]
        scale = 1 if files is None else 1000 / count

        def figure(value: Callable[[Cost], float], runs: list[Cost] = runs, scale: float = scale) -> str:
            return f"{scale * median(runs, value):.3g}"

        cells = [name, figure(lambda run: run.wall)]
        cells.append(f"{figure(CPU)} ({figure(lambda run: run.user)} + {figure(lambda run: run.system)})")
        cells.append(figure(lambda run: run.server) if any(run.server for run in runs) else "")
        if files is not None:
            cells.append(f"{count / median(runs, WALL):,.0f}")
        for value in (WALL, CPU):
            share = 1.0 if files is None else files[base] / count
            ratios = sorted(share * ratio for ratio in of(costs, name, base, value))
            cells.append(f"{statistics.median(ratios):.2f}x ({ratios[0]:.2f}..{ratios[-1]:.2f})")
        lines.append(_row(cells))
    return lines


def of(costs: Costs, name: str, base: str, value: Callable[[Cost], float]) -> list[float]:
    """Return the ratio of two clients in each round."""
    return [value(run) / value(other) for run, other in zip(costs[name], costs[base], strict=True)]


def median(runs: Sequence[Cost], value: Callable[[Cost], float]) -> float:
    """Return the median of a figure."""
    return statistics.median(map(value, runs))


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
