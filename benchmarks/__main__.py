"""`python -m benchmarks [startup calls lists]` prints the table; exit code 1 if a figure is above twice its bar."""

from __future__ import annotations

import platform
import sys

from benchmarks import calls, lists, startup

PARTS = {"startup": startup.rows, "calls": calls.rows, "lists": lists.rows}


def main() -> int:
    parts = sys.argv[1:] or list(PARTS)
    print(f"Python {platform.python_version()}, {platform.system()} {platform.machine()}; warm\n")
    print("| row | what | bar | median (min..max) |")
    print("|---|---|---|---|")
    failed = False
    for name in parts:
        for row in PARTS[name]():
            print(row.line(), flush=True)
            failed = failed or row.is_far_above_its_bar
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
