"""Move the one version that all distributions share: `python -m tools.set_version 0.2.0`.

Writes `version =` into the setup.cfg of the root and of every plugin, and moves what they require
of each other to the same minor line (``edge-core~=0.2.0``). A test checks that all agree.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent

VERSION = re.compile(r"^version = (?P<version>.*)$", re.MULTILINE)
PIN = re.compile(r"(?P<requirement>\bedge-[a-z]+(?:\[[a-z,]+\])?)~=(?P<line>[\w.]+)")


def setup_files(root: Path = ROOT) -> list[Path]:
    """The setup.cfg of every distribution, the core's first."""
    return [root / "setup.cfg", *sorted(root.glob("plugins/*/setup.cfg"))]


def minor_line(version: str) -> str:
    """What our distributions require of each other: ``0.2.0`` for every ``0.2.N``."""
    major, minor, _ = version.split(".")
    return f"{major}.{minor}.0"


def set_version(version: str, root: Path = ROOT) -> None:
    """Write `version` into every setup.cfg.

    Args:
        version: three numbers, such as ``0.2.0``.
        root: the repository.

    Raises:
        ValueError: `version` is not three numbers.
    """
    if not re.fullmatch(r"\d+\.\d+\.\d+", version):
        raise ValueError(f"a version is three numbers, such as 0.2.0, and not {version!r}")
    for path in setup_files(root):
        text = VERSION.sub(f"version = {version}", path.read_text())
        path.write_text(PIN.sub(rf"\g<requirement>~={minor_line(version)}", text))


def main() -> int:
    try:
        (version,) = sys.argv[1:]
        set_version(version)
    except ValueError as error:
        print(f"usage: python -m tools.set_version X.Y.Z ({error})", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
