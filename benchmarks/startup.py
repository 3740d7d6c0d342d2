"""What it costs to import the API, construct a session and find its plugins."""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmarks.measuring import Row, output, peak_mib, seconds

EMPTY = "pass"
REQUESTS = "import requests"
SESSION = 'from edge.api import EdgeSession; edge = EdgeSession("edg_x", "http://localhost:1", "default")'
ACCESS = f"{SESSION}; edge.lab"

HEAVY = (
    "requests",
    "urllib3",
    "marshmallow",
    "pluggy",
    "importlib.metadata",
    "http.client",
    "ssl",
    "asyncio",
    "email",
)
"""What neither the import nor the constructor may load."""

ROUNDS = 15

DISTRIBUTIONS = (10, 100, 300)
"""How many further distributions are installed where plugins are looked for."""


def rows() -> list[Row]:
    """Measure."""
    for code in (EMPTY, REQUESTS, SESSION):
        seconds(code)  # compiles what is imported, and fills the file cache
    times = [(seconds(EMPTY), seconds(REQUESTS), seconds(SESSION)) for _ in range(ROUNDS)]
    memory = [(peak_mib(EMPTY), peak_mib(SESSION)) for _ in range(5)]
    loaded = heavy_modules_loaded()
    what = "import and construct a session"
    return [
        Row("B1", f"{what}, wall, of an empty interpreter", 3.5, "x", [session / empty for empty, _, session in times]),
        Row("B2", f"{what}, wall, of `{REQUESTS}`", 0.35, "x", [session / peer for _, peer, session in times]),
        Row("B3", f"{what}, peak memory over an empty interpreter", 5, " MiB", [more - less for less, more in memory]),
        Row("B4", f"heavy modules loaded by it: {', '.join(loaded) or 'none'}", 0, "", [len(loaded)]),
        *(row for count in DISTRIBUTIONS for row in _with_distributions(count)),
    ]


def _with_distributions(count: int) -> list[Row]:
    """Construction and first access with `count` more distributions, one of them a plugin."""
    with tempfile.TemporaryDirectory() as folder:
        site = Path(folder)
        for number in range(count - 1):
            _distribution(site, f"extra-{number}", f"[console_scripts]\nextra-{number} = extra:main\n")
        _distribution(site, "lab-plugin", "[edge.namespaces]\nlab = lab_plugin:Lab\n")
        (site / "lab_plugin.py").write_text("plugin_api = 1\nclass Lab:\n    def __init__(self, session): pass\n")
        seconds(ACCESS, path=folder)
        times = [[seconds(code, path=folder) for code in (EMPTY, SESSION, ACCESS)] for _ in range(7)]
    what = f"of an empty interpreter, {count} more distributions installed"
    return [
        Row("", f"construct a session, wall, {what}", None, "x", [session / empty for empty, session, _ in times]),
        Row("", f"and touch a first plugin, wall, {what}", None, "x", [access / empty for empty, _, access in times]),
    ]


def _distribution(site: Path, name: str, points: str) -> None:
    metadata = site / f"{name.replace('-', '_')}-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(points)


def heavy_modules_loaded() -> list[str]:
    """Which of `HEAVY` are loaded by the import and the constructor."""
    new = set(output(f"import sys; before = set(sys.modules); {SESSION}; print(*set(sys.modules) - before)").split())
    return [name for name in HEAVY if name in new]
