"""The command `python -m benchmarks transfers`."""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from benchmarks import older, transfers
from benchmarks.measuring import Row, size_of
from benchmarks.peers import Missing
from benchmarks.transfers import large, small
from benchmarks.transfers.code import (
    BOTO3_PREPARE,
    PREPARE,
)
from benchmarks.transfers.objects import objects, rclone_missing
from benchmarks.transfers.place import OURS, SMALL, Place, Result, Site, Sizes
from benchmarks.transfers.programs import (
    python_run,
    write_random,
)
from tools.local_server import local_server

SECTIONS: dict[str, Callable[[Place], Result]] = {
    "large": large.file,
    "reading": large.reading,
    "proxies": large.through_proxies,
    "sink": large.to_sink,
    "memory": large.memory_used,
    "small": small.tree,
    "sequence": small.sequence,
    "late": small.late,
    "listing": small.listing,
}

WITH_OBJECTS = {"large", "small"}
"""Sections in which the object store is measured as well, and an older version."""

# --- the command ----------------------------------------------------------------------------------


@contextlib.contextmanager
def _place(folder: Path, sections: Sequence[str], sizes: Sizes, against: str | None) -> Iterator[Place]:
    """Everything that is measured, running, with the large file on all servers."""
    source = folder / "source.bin"
    write_random(source, sizes.large)
    has_peers = not WITH_OBJECTS.isdisjoint(sections)
    versions = [(OURS, Path(sys.executable))]
    if against is not None and has_peers:
        commit, python = older.installed_at(against)
        versions.append((f"{OURS} at {commit}", python))
    with contextlib.ExitStack() as stack:
        sites = []
        for n, (name, python) in enumerate(versions):
            server = stack.enter_context(local_server(folder / f"data-{n}", str(python)))
            sites.append(Site(name, python, server))
            sites[-1].run(PREPARE, source)
        store = None
        if has_peers:
            try:
                store = stack.enter_context(objects(folder))
            except Missing as error:
                print(f"**boto3 and rclone are left out**: {error}", flush=True)
            else:
                if store.rclone is None:
                    print(f"**rclone is left out**: {rclone_missing()}", flush=True)
                python_run(BOTO3_PREPARE, source, python=store.python, environment=store.environment)
        yield Place(folder, sites, store, sizes, source)


def _options(arguments: Sequence[str]) -> tuple[argparse.Namespace, Sizes]:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks transfers",
        description=transfers.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=f"{', '.join(SECTIONS)}; all by default")
    parser.add_argument("--small", action="store_true", help="little of everything, one round")
    parser.add_argument("--size", type=size_of, help="of the large file, such as 256MiB; 1GiB by default")
    parser.add_argument("--files", type=int, help=f"small files; {Sizes().files:,} by default")
    parser.add_argument("--listed", type=int, help=f"files that are listed; {Sizes().listed:,} by default")
    parser.add_argument("--rounds", type=int, help=f"turns of each client; {Sizes().rounds} by default")
    parser.add_argument("--against", metavar="COMMIT", help="a commit whose client and server are measured as well")
    parser.add_argument("--folder", type=Path, help="where the files go; a temporary folder by default")
    options = parser.parse_args(arguments)
    unknown = set(options.sections) - set(SECTIONS)
    if unknown:
        parser.error(f"there is no section {' or '.join(sorted(unknown))}; choose from {', '.join(SECTIONS)}")
    sizes = SMALL if options.small else Sizes()
    overrides = {"large": options.size, "files": options.files, "listed": options.listed, "rounds": options.rounds}
    return options, sizes._replace(**{name: value for name, value in overrides.items() if value is not None})


def main(arguments: Sequence[str] = ()) -> int:
    """Print the tables; 1 if a figure is above twice its bar."""
    options, sizes = _options(arguments)
    chosen = options.sections or list(SECTIONS)
    versions = [f"Python {platform.python_version()}", _first_line("curl", "--version")]
    rows: list[Row] = []
    with (
        tempfile.TemporaryDirectory(dir=options.folder, prefix="edge-transfers-") as folder,
        _place(Path(folder), chosen, sizes, options.against) as place,
    ):
        if place.objects is not None:
            versions += [place.objects.name, place.objects.boto3, place.objects.rclone_name]
        print(f"{', '.join(filter(None, versions))}; load of the machine {os.getloadavg()[0]:.1f}")
        for name in chosen:
            try:
                result = SECTIONS[name](place)
            except Missing as error:
                print(f"\n**{name} is left out**: {error}", flush=True)
                continue
            print(*result.lines, sep="\n", flush=True)
            rows += result.rows
    print("\n| row | what | bar | median (min..max) |\n|---|---|---|---|")
    for row in rows:
        print(row.line())
    print(f"\nload of the machine {os.getloadavg()[0]:.1f}")
    return 1 if any(row.is_far_above_its_bar for row in rows) else 0


def _first_line(*command: str) -> str:
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return " ".join(output.split()[:2])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
