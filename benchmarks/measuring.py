"""How figures are taken: fresh interpreters, rounds that alternate, and ratios formed inside a round."""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple


class Row(NamedTuple):
    """One line of the table.

    Attributes:
        name: B1, B2, ...; empty for a figure without a bar.
        what: what was measured.
        bar: the most it may be, in `unit`; None where there is none.
        unit: what follows the figures, such as ``x`` for a ratio.
        measured: one figure per round.
    """

    name: str
    what: str
    bar: float | None
    unit: str
    measured: list[float]

    @property
    def median(self) -> float:
        return statistics.median(self.measured)

    @property
    def is_far_above_its_bar(self) -> bool:
        """A busy machine may take twice the usual time; more than that is ours."""
        return self.bar is not None and self.median > 2 * self.bar

    def line(self) -> str:
        bar = "" if self.bar is None else f"{self.bar:g}{self.unit}"
        figures = [f"{figure:.3g}{self.unit}" for figure in (self.median, min(self.measured), max(self.measured))]
        return f"| {self.name} | {self.what} | {bar} | {figures[0]} ({figures[1]}..{figures[2]}) |"


def output(code: str, *arguments: str, path: str | None = None) -> str:
    """What a fresh interpreter prints that runs `code`.

    Args:
        code: a program.
        arguments: its arguments.
        path: a folder put first on its import path.
    """
    if path is not None:
        code = f"import sys; sys.path.insert(0, {path!r})\n{code}"
    # -I: what is measured is the installed package, and not what happens to be in the working folder.
    command = [sys.executable, "-I", "-c", code, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def seconds(code: str, *arguments: str, path: str | None = None) -> float:
    """Wall time of a fresh interpreter that runs `code`."""
    started = time.perf_counter()
    output(code, *arguments, path=path)
    return time.perf_counter() - started


def peak_mib(code: str, *arguments: str) -> float:
    """Peak memory of a fresh interpreter that runs `code`."""
    # Asked inside, since what the kernel tells a parent includes the parent's own peak before the exec.
    status = output(f"{code}; print(open('/proc/self/status').read())", *arguments)
    (line,) = [line for line in status.splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) / 1024


def figures(code: str, *arguments: str, env: Mapping[str, str] | None = None) -> Any:
    """The JSON that a fresh interpreter prints which runs `code`."""
    command = [sys.executable, "-I", "-c", code, *arguments]
    ran = subprocess.run(
        command, check=True, stdout=subprocess.PIPE, text=True, env={**os.environ, **env} if env else None
    )
    return json.loads(ran.stdout)


def cpu_seconds(pid: int) -> float:
    """CPU time of a process, all its threads and children; Linux only."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    own = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return own + sum(map(cpu_seconds, children(pid)))


def running_seconds(pid: int) -> float:
    """CPU time of a process of one thread, as exactly as the kernel counts it; Linux only."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


def children(pid: int) -> list[int]:
    """The processes that a process has started; Linux only."""
    listed = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for each in listed for child in each.read_text().split()]


def cores() -> tuple[set[int], set[int]]:
    """One for servers and one for the client, or all there are for both if there is but one; Linux only."""
    first, *others = sorted(os.sched_getaffinity(0))
    return {first}, {others[0]} if others else {first}


def size_of(text: str) -> int:
    """Return the bytes of a size on a command line.

    Raises:
        argparse.ArgumentTypeError: it is none.

    >>> size_of("2GiB")
    2147483648
    """
    match = re.fullmatch(r"(\d+) ?(KiB|MiB|GiB)", text)
    if not match:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size such as 256MiB or 2GiB")
    return int(match[1]) * {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}[match[2]]
