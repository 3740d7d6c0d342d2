"""`python -m benchmarks` prints the table; exit code 1 if a figure is above twice its bar."""

from __future__ import annotations

import platform
import sys

from benchmarks import startup


def main() -> int:
    rows = startup.rows()
    print(
        f"Python {platform.python_version()}, {platform.system()} {platform.machine()}; {startup.ROUNDS} rounds, warm\n"
    )
    print("| row | what | bar | median (min..max) |")
    print("|---|---|---|---|")
    for row in rows:
        print(row.line())
    # A busy machine may take twice the usual time; more than that is ours.
    return 1 if any(row.median > 2 * row.bar for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
