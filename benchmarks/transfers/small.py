"""The sections of many files, and of many calls."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path
from typing import NamedTuple

from benchmarks.answering import LATE, answering
from benchmarks.measuring import Row
from benchmarks.peers import say
from benchmarks.transfers.code import (
    BOTO3_DOWN_FOLDER,
    BOTO3_UP_FOLDER,
    DOWN_FOLDER,
    LATE_CALLS,
    LISTING,
    REQUESTS_FILES,
    UP_FOLDER,
)
from benchmarks.transfers.objects import BUCKET
from benchmarks.transfers.place import EACH, OURS, PART, REQUESTS, SMALL_FILE, THREADS, Place, Result
from benchmarks.transfers.programs import (
    CPU,
    SERVER,
    WALL,
    Client,
    Cost,
    measure,
    median,
    of,
    python_run,
    table,
    write_tree,
)


class _Tree(NamedTuple):
    """Local files, and how many there are."""

    top: Path
    files: int


class _Folders:
    """What clients do with folders of small files; each round has folders of its own."""

    def __init__(self, place: Place, all_of: _Tree, part: _Tree) -> None:
        self._place = place
        self._all = all_of
        self._part = part
        self._round: dict[tuple[str, str], int] = {}

    def trees(self) -> dict[str, _Tree]:
        """Return what each client transfers, by its name."""
        place = self._place
        trees = {site.name: self._all if site is place.ours else self._part for site in place.sites}
        if (store := place.objects) is not None:
            trees[store.boto3] = self._part
            if store.rclone is not None:
                trees[store.rclone_name] = self._part
        return trees

    def clients(self, verb: str) -> list[Client]:
        """Return what does ``up``, ``up again``, ``down`` or ``down again``."""
        names = list(self.trees())
        if self._place.objects is not None and verb.endswith("again"):
            names.remove(self._place.objects.boto3)  # which skips nothing
        return [Client(name, partial(self._run, name, verb)) for name in names]

    def _run(self, name: str, verb: str) -> Cost:
        place, tree = self._place, self.trees()[name]
        n = self._round[name, verb] = self._round.get((name, verb), -1) + 1
        remote, local = f"tree-{n}", place.folder / f"{name.replace(' ', '-')}-{n}"
        direction = verb.partition(" ")[0]
        store = place.objects
        for site in place.sites:
            if site.name == name:
                code, path = (UP_FOLDER, tree.top) if direction == "up" else (DOWN_FOLDER, local)
                return site.run(code, remote, path)
        assert store is not None
        if name == store.boto3:
            code, path = (BOTO3_UP_FOLDER, tree.top) if direction == "up" else (BOTO3_DOWN_FOLDER, local)
            return python_run(code, remote, path, python=store.python, environment=store.environment, server=store.pid)
        there = f"bench:{BUCKET}/rclone-{remote}"
        ends = [str(tree.top), there] if direction == "up" else [there, str(local)]
        return store.run_rclone(["copy", *ends])


def tree(place: Place) -> Result:
    count = place.sizes.files
    # boto3 and the old version would take many minutes.
    part = _Tree(place.folder / "part", max(EACH, count // PART))
    write_tree(part.top, part.files, SMALL_FILE, EACH)
    whole = _Tree(place.folder / "whole", count)
    write_tree(whole.top, whole.files, SMALL_FILE, EACH)
    folders = _Folders(place, whole, part)
    counts = {name: tree.files for name, tree in folders.trees().items()}
    lines: list[str] = []
    rows: list[Row] = []
    verbs = {"up": "up", "up again": "up again, unchanged", "down": "down", "down again": "down again, unchanged"}
    bars = {"up": 0.33, "down": 0.2}
    for verb, what in verbs.items():
        title = f"files of {SMALL_FILE // 1024} KiB {what}"
        costs = measure(title, folders.clients(verb), place.sizes.rounds)
        lines += table(
            f"{title} ({', '.join(f'{name}: {counts[name]:,}' for name in costs)})", costs, base=OURS, files=counts
        )
        if verb in bars and (before := place.older) is not None:
            share = counts[before.name] / counts[OURS]
            ratios = [share * ratio for ratio in of(costs, OURS, before.name, WALL)]
            rows.append(Row("", f"{title}, wall of a file, of {before.name}", bars[verb], "x", ratios))
        if verb not in bars:
            client = [1000 * run.cpu / count for run in costs[OURS]]
            server = [1000 * run.server / count for run in costs[OURS]]
            rows.append(Row("", f"{title}, client CPU of a file", 0.1, " ms", client))
            rows.append(Row("", f"{title}, server CPU of a file", 0.2, " ms", server))
    return Result(lines, rows)


def sequence(place: Place) -> Result:
    count, site = place.sizes.sequence, place.ours
    top = place.folder / "sequence"
    write_tree(top, count, SMALL_FILE, EACH)
    rounds = iter(range(2 * place.sizes.rounds))
    token = site.server.environment["EDGE_API_TOKEN"]

    def in_sequence(verb: str) -> Cost:
        cost = python_run(REQUESTS_FILES, verb, top, site.files_url(""), token, server=site.server.pid)
        shutil.rmtree(f"{top}.down", ignore_errors=True)
        return cost

    def folder(verb: str) -> Cost:
        if verb == "up":
            return site.run(UP_FOLDER, f"sequence-{next(rounds)}", top)
        return site.run(DOWN_FOLDER, "sequence", place.folder / f"sequence-{next(rounds)}")

    site.run(UP_FOLDER, "sequence", top)
    lines: list[str] = []
    rows: list[Row] = []
    for name, verb, bar in (("B15", "down", 0.45), ("B16", "up", 0.6)):
        title = f"{count:,} files of {SMALL_FILE // 1024} KiB {verb}"
        clients = [Client(REQUESTS, partial(in_sequence, verb)), Client(OURS, partial(folder, verb))]
        costs = measure(title, clients, place.sizes.rounds)
        lines += table(title, costs, base=REQUESTS, files={REQUESTS: count, OURS: count})
        what = f"{title}, wall, of a session of requests, one after another"
        rows.append(Row(name, what, bar, "x", of(costs, OURS, REQUESTS, WALL)))
    return Result(lines, rows)


def late(place: Place) -> Result:
    calls = place.sizes.calls
    with answering() as url:
        clients = [
            Client(name, partial(python_run, LATE_CALLS, name, url, THREADS, calls)) for name in (REQUESTS, OURS)
        ]
        costs = measure("calls to a late server", clients, place.sizes.rounds)
    title = f"{calls:,} calls of {THREADS} threads, each answered after {1000 * LATE:.0f} ms"
    limit = LATE * calls / THREADS
    rows = [
        Row("B17", f"{title}, wall, of the least there can be", 1.67, "x", [run.wall / limit for run in costs[OURS]]),
        Row("B17", f"{title}, wall, of requests.Session", 0.5, "x", of(costs, OURS, REQUESTS, WALL)),
    ]
    return Result(table(title, costs, base=REQUESTS), rows)


def listing(place: Place) -> Result:
    count, site = place.sizes.listed, place.ours
    top = place.folder / "listed"
    write_tree(top, count, 16, 10, ".csv")
    say(f"uploading {count:,} files in {count // 10:,} folders")
    uploaded = site.run(UP_FOLDER, "listed", top)
    lines = [
        f"\n{count:,} files in {count // 10:,} folders\n",
        "| what | requests | wall s (min..max) | client CPU s | server CPU s |",
        "|---|---|---|---|---|",
        f"| upload of the folder, once | | {uploaded.wall:.3g} | {uploaded.cpu:.3g} | {uploaded.server:.3g} |",
    ]
    clients = [Client(name, partial(site.run, code, "listed", top)) for name, code in LISTING.items()]
    for name, runs in measure("listing", clients, place.sizes.rounds).items():
        if any(run.counts["count"] != count for run in runs):
            raise RuntimeError(f"{name} gave other files than were uploaded")
        walls = sorted(run.wall for run in runs)
        wall = f"{median(runs, WALL):.3g} ({walls[0]:.3g}..{walls[-1]:.3g})"
        requests = f"{median(runs, lambda run: run.counts['requests']):.0f}"
        lines.append(f"| {name} | {requests} | {wall} | {median(runs, CPU):.3g} | {median(runs, SERVER):.3g} |")
    return Result(lines, [])
