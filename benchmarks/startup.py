"""What it costs to import the API and construct a session, beside an empty interpreter and `requests`."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from typing import NamedTuple

EMPTY = "pass"
REQUESTS = "import requests"
SESSION = 'from edge.api import EdgeSession; EdgeSession("edg_x", "http://localhost:1", "default")'

HEAVY = (
    "requests",
    "urllib3",
    "marshmallow",
    "pluggy",
    "importlib_metadata",
    "http.client",
    "ssl",
    "asyncio",
    "email",
)
"""What neither the import nor the constructor may load."""

ROUNDS = 15


class Row(NamedTuple):
    """One line of the table.

    Attributes:
        name: B1, B2, ...
        what: what was measured.
        bar: the most it may be, in `unit`.
        unit: what follows the figures, such as ``x`` for a ratio.
        measured: one figure per round.
    """

    name: str
    what: str
    bar: float
    unit: str
    measured: list[float]

    @property
    def median(self) -> float:
        return statistics.median(self.measured)

    def line(self) -> str:
        figures = [f"{figure:.3g}{self.unit}" for figure in (self.median, min(self.measured), max(self.measured))]
        return f"| {self.name} | {self.what} | {self.bar:g}{self.unit} | {figures[0]} ({figures[1]}..{figures[2]}) |"


def rows() -> list[Row]:
    """Measure; rounds are interleaved, and each ratio is formed inside its round."""
    for code in (EMPTY, REQUESTS, SESSION):
        _seconds(code)  # compiles what is imported, and fills the file cache
    times = [(_seconds(EMPTY), _seconds(REQUESTS), _seconds(SESSION)) for _ in range(ROUNDS)]
    memory = [(_peak_mib(EMPTY), _peak_mib(SESSION)) for _ in range(5)]
    loaded = heavy_modules_loaded()
    what = "import and construct a session"
    return [
        Row("B1", f"{what}, wall, of an empty interpreter", 3.5, "x", [session / empty for empty, _, session in times]),
        Row("B2", f"{what}, wall, of `{REQUESTS}`", 0.35, "x", [session / peer for _, peer, session in times]),
        Row("B3", f"{what}, peak memory over an empty interpreter", 5, " MiB", [more - less for less, more in memory]),
        Row("B4", f"heavy modules loaded by it: {', '.join(loaded) or 'none'}", 0, "", [len(loaded)]),
    ]


def heavy_modules_loaded() -> list[str]:
    """Which of `HEAVY` are loaded by the import and the constructor."""
    new = set(_output(f"import sys; before = set(sys.modules); {SESSION}; print(*set(sys.modules) - before)").split())
    return [name for name in HEAVY if name in new]


def _seconds(code: str) -> float:
    started = time.perf_counter()
    _output(code)
    return time.perf_counter() - started


def _peak_mib(code: str) -> float:
    # Asked inside, since what the kernel tells a parent includes the parent's own peak before the exec.
    status = _output(f"{code}; print(open('/proc/self/status').read())")
    (line,) = [line for line in status.splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) / 1024


def _output(code: str) -> str:
    # -I: what is measured is the installed package, and not what happens to be in the working folder.
    return subprocess.run([sys.executable, "-I", "-c", code], check=True, capture_output=True, text=True).stdout
