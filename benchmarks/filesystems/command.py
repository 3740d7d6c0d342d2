"""The command `python -m benchmarks filesystems`."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks import filesystems
from benchmarks.filesystems import clients, counting, hub
from benchmarks.filesystems.clients import CLIENTS, NONE, OURS, PLAIN, S3FS, TASKS, UNCHECKED, Measured, Servers, Work
from benchmarks.measuring import Row, figures, size_of
from benchmarks.peers import Missing, say
from benchmarks.readers import MEMBER, make_bytes, make_parquet, make_zip
from benchmarks.transfers.objects import BUCKET, CLIENT, objects
from tools.local_server import LocalServer, local_server

MIB = 1 << 20

MEMBERS = 2000

RANDOM = 4096
"""Bytes of a read at a random place."""


class Sizes(NamedTuple):
    """How much is read.

    Attributes:
        file: bytes of each file.
        random: reads at random places.
        rounds: turns of each client.
    """

    file: int = 200 * MIB
    random: int = 500
    rounds: int = 5


SMALL = Sizes(20 * MIB, 100, 1)


class Bar(NamedTuple):
    """What a task of ours may take at most.

    Attributes:
        row: its number among the bars.
        requests: number of requests.
        sent: bytes; None where there is no bar.
    """

    row: str
    requests: int
    sent: float | None = None


class Place(NamedTuple):
    """Everything that is measured, running, with the files on all servers.

    Attributes:
        server: ours.
        python: the interpreter of the other clients.
        servers: where the clients find the files.
        files: the files by their names.
        work: how much the tasks read.
        column: bytes of a column of the parquet file.
        clients: names of those that are measured.
    """

    server: LocalServer
    python: Path
    servers: Servers
    files: Mapping[str, Path]
    work: Work
    column: int
    clients: Sequence[str]

    def bars(self) -> dict[str, Bar]:
        """Return the bars of the tasks."""
        return {
            "names": Bar("B18", 2, 0.2e6),
            "member": Bar("B19", 4, 0.35e6),
            "column": Bar("B20", 13, 1.3 * self.column),
            "all": Bar("B21", 35, 1.02 * self.work.size),
            "random": Bar("B22", self.work.random + 1, 17 * self.work.random * RANDOM),
            "first": Bar("B23", 2),
            "open": Bar("B23", 1, 4096),
        }


_UPLOAD = """
import json, sys
from edge.api import EdgeSession
addresses = {}
with EdgeSession() as edge:
    for name, path in json.loads(sys.argv[1]).items():
        edge.files.upload(name, path)
        addresses[name] = edge.files.open(name, open_with="file").download_url(86400)
print(json.dumps(addresses))
"""

_UPLOAD_OBJECTS = f"""{CLIENT}
import json, sys
for name, path in json.loads(sys.argv[1]).items():
    s3.upload_file(path, "{BUCKET}", name)
"""


@contextlib.contextmanager
def _place(folder: Path, sizes: Sizes, chosen: Sequence[str]) -> Iterator[Place]:
    files = {name: folder / name for name in ("a.zip", "a.parquet", "a.bin", "small.bin")}
    make_zip(files["a.zip"], sizes.file, MEMBERS)
    column = make_parquet(files["a.parquet"], sizes.file)
    make_bytes(files["a.bin"], sizes.file)
    files["small.bin"].write_bytes(b"small")
    paths = json.dumps({name: str(path) for name, path in files.items()})
    work = Work(MEMBERS, MEMBER, column // 8, sizes.file, sizes.random)
    with contextlib.ExitStack() as stack:
        python = clients.peers_python()
        server = stack.enter_context(local_server(folder / "data"))
        addresses = figures(_UPLOAD, paths, env=server.environment)
        store_url = None
        if S3FS in chosen:
            try:
                store = stack.enter_context(objects(folder))
            except Missing as error:
                print(f"**{S3FS} is left out**: {error}", flush=True)
                chosen = [client for client in chosen if client != S3FS]
            else:
                store_url = store.environment["EDGE_BENCH_S3"]
                command = [str(store.python), "-I", "-c", _UPLOAD_OBJECTS, paths]
                subprocess.run(command, env={**os.environ, **store.environment}, check=True)
        hub_url = stack.enter_context(hub.hub(files, addresses))
        servers = Servers(server.environment, addresses, store_url, hub_url)
        yield Place(server, python, servers, files, work, column, chosen)


@contextlib.contextmanager
def _counted(place: Place) -> Iterator[Servers]:
    """The servers of a place behind a proxy that counts."""
    counts = counting.Counts()
    servers = place.servers
    url = servers.edge["EDGE_API_SERVICE_URL"]
    with contextlib.ExitStack() as stack:
        proxied = stack.enter_context(counting.proxy(url, counts))
        addresses = {name: address.replace(url, proxied, 1) for name, address in servers.addresses.items()}
        hub_url = stack.enter_context(hub.hub(place.files, addresses))
        yield Servers(
            {**servers.edge, "EDGE_API_SERVICE_URL": proxied},
            addresses,
            None if servers.objects is None else stack.enter_context(counting.proxy(servers.objects, counts)),
            stack.enter_context(counting.proxy(hub_url, counts)),
            stack.enter_context(counting.totals(counts)),
        )


def _table(task: str, bar: Bar, counts: Mapping[str, Measured], walls: Mapping[str, list[float]]) -> list[str]:
    """Return the lines of a task's table."""
    limits = f"{bar.requests} requests" + ("" if bar.sent is None else f", {bar.sent / 1e6:,.2f} MB")
    lines = [
        f"\n{bar.row}: {TASKS[task]} (bar: {limits}); x: of {OURS}, median (min..max) of {len(walls[OURS])}\n",
        "| client | requests | MB | wall ms | wall |",
        "|---|---|---|---|---|",
    ]
    for client, count in counts.items():
        ratios = sorted(wall / ours for wall, ours in zip(walls[client], walls[OURS], strict=True))
        megabytes, wall = f"{count.sent / 1e6:,.2f}", f"{1000 * statistics.median(walls[client]):.3g}"
        cells = [client, str(count.requests), megabytes, wall]
        cells.append(f"{statistics.median(ratios):.2f}x ({ratios[0]:.2f}..{ratios[-1]:.2f})")
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _ratios(walls: Mapping[str, Mapping[str, list[float]]], task: str, client: str, base: str) -> list[float]:
    return [wall / other for wall, other in zip(walls[client][task], walls[base][task], strict=True)]


def measure(place: Place, rounds: int, *, is_small: bool) -> bool:
    """Print the tables; return whether ours is within its bars."""
    measured = place.clients
    counts: dict[str, dict[str, Measured]] = {}
    with _counted(place) as servers:
        for client in measured:
            say(f"counting {client}")
            counts[client] = clients.run(client, place.python, servers, place.work)
    walls: dict[str, dict[str, list[float]]] = {
        client: {task: [] for task in clients.tasks_of(client)} for client in measured
    }
    for n in range(rounds):
        for client in reversed(measured) if n % 2 else measured:
            say(f"round {n + 1} of {rounds}: {client}")
            for task, figure in clients.run(client, place.python, place.servers, place.work).items():
                walls[client][task].append(figure.seconds)
    within = True
    for task, bar in place.bars().items():
        doing = [client for client in measured if task in counts[client]]
        counted = {client: counts[client][task] for client in doing}
        timed = {client: walls[client][task] for client in doing}
        print(*_table(task, bar, counted, timed), sep="\n", flush=True)
        ours = counts[OURS][task]
        within = within and ours.requests <= bar.requests
        # The table of contents at the end of a small file is a large part of it.
        within = within and (is_small or bar.sent is None or ours.sent <= bar.sent)
    rows: list[Row] = []
    if PLAIN in measured:
        what = "all in reads of 1 MiB, wall, of requests' iter_content"
        rows.append(Row("", what, None, "x", _ratios(walls, "all", OURS, PLAIN)))
        rows.append(Row("B21", f"{what}, not checked", 1.3, "x", _ratios(walls, "all", UNCHECKED, PLAIN)))
    if NONE in measured:
        what = "random reads, wall, of fsspec http without a cache"
        rows.append(Row("B22", what, 0.6, "x", _ratios(walls, "random", OURS, NONE)))
    print("\n| row | what | bar | median (min..max) |\n|---|---|---|---|")
    for row in rows:
        print(row.line())
    return within and not any(row.is_far_above_its_bar for row in rows)


def main(arguments: Sequence[str] = ()) -> int:
    """Print the tables; 1 if a count of ours is above its bar, or a time above twice its bar."""
    others = [client for client in CLIENTS if client not in (OURS, UNCHECKED)]
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks filesystems",
        description=filesystems.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "clients", nargs="*", metavar="CLIENT", help=f"beside ours: {', '.join(others)}; all by default"
    )
    parser.add_argument("--small", action="store_true", help="little of everything, one round")
    parser.add_argument("--size", type=size_of, help="of each file, such as 50MiB; 200MiB by default")
    parser.add_argument("--rounds", type=int, help=f"turns of each client; {Sizes().rounds} by default")
    parser.add_argument("--folder", type=Path, help="where the files go; a temporary folder by default")
    options = parser.parse_args(arguments)
    if unknown := sorted(set(options.clients) - set(others)):
        parser.error(f"there is no client {' or '.join(unknown)}; choose from {', '.join(others)}")
    chosen = [OURS, UNCHECKED, *(client for client in others if not options.clients or client in options.clients)]
    sizes = SMALL if options.small else Sizes()
    overrides = {"file": options.size, "rounds": options.rounds}
    sizes = sizes._replace(**{name: value for name, value in overrides.items() if value is not None})
    print(f"Python {platform.python_version()}, {clients.versions()}; load of the machine {os.getloadavg()[0]:.1f}")
    with (
        tempfile.TemporaryDirectory(dir=options.folder, prefix="edge-filesystems-") as folder,
        _place(Path(folder), sizes, chosen) as place,
    ):
        within = measure(place, sizes.rounds, is_small=sizes.file < Sizes().file)
    print(f"\nload of the machine {os.getloadavg()[0]:.1f}")
    return 0 if within else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
