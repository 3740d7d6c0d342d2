"""`python -m benchmarks [startup calls lists slow-clients]` prints the table; exit code 1 if a figure is far too high.

That is above twice its bar. Without names it is the first three, as slow clients take minutes.

`python -m benchmarks growth [FILES ...]`, `search-quality [FILES ...]`, `server`, `others`, `transfers`, `filesystems`,
`kills`, `hosts`, `backup` and `upgrades` print other tables, see `benchmarks.growth`, `benchmarks.search_quality`,
`benchmarks.server`, `benchmarks.others`, `benchmarks.transfers`, `benchmarks.filesystems`, `benchmarks.kills`,
`benchmarks.hosts`, `benchmarks.backup` and `benchmarks.upgrades`.
"""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable, Iterable, Sequence

from benchmarks import (
    backup,
    calls,
    growth,
    kills,
    lists,
    others,
    search_quality,
    server,
    slow_clients,
    startup,
    upgrades,
)
from benchmarks.filesystems import command as filesystems
from benchmarks.hosts import command as hosts
from benchmarks.measuring import Row
from benchmarks.transfers import command as transfers

PARTS: dict[str, Callable[[], Iterable[Row]]] = {
    "startup": startup.rows,
    "calls": calls.rows,
    "lists": lists.rows,
    "slow-clients": slow_clients.rows,
}
USUAL = ["startup", "calls", "lists"]


COMMANDS: dict[str, Callable[[Sequence[str]], int]] = {
    "growth": growth.main,
    "search-quality": search_quality.main,
    "server": server.main,
    "others": others.main,
    "kills": kills.main,
    "hosts": hosts.main,
    "filesystems": filesystems.main,
    "transfers": transfers.main,
    "backup": backup.main,
    "upgrades": upgrades.main,
}


def main() -> int:
    parts = sys.argv[1:] or USUAL
    if parts[0] in COMMANDS:
        return COMMANDS[parts[0]](parts[1:])
    if not PARTS.keys() >= set(parts):
        print(__doc__)
        return 0 if parts[0] in ("-h", "--help") else 2
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
