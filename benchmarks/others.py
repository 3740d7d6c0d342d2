"""How long others wait while a user or the operator does something large: `python -m benchmarks others`.

Another user, in an organization of their own, asks `healthz`, `stat`s a file and puts a small one, at an even pace, and
meanwhile a folder is deleted until nothing is left of it, an organization removed until its name is free, a large
folder listed by pages, 16 users search, and the operator runs `edge server fsck` and makes a backup of the database.
What is told is the median and the 95th percentile, each beside that of the idle seconds before and after.

A server runs as `edge server run` starts it, with default settings, on a core of its own where there are two. The rows
are put into its database directly, and their content is one file of many names. `--files` says how many files the
folder and the organization have that go; ten times as many are listed and searched. Linux only.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import datetime as dt
import functools
import http.client
import itertools
import json
import os
import secrets
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote, urlsplit

import sqlalchemy as sa

from benchmarks import load
from benchmarks.load import Answered
from benchmarks.measuring import cores
from benchmarks.organizations import SIZE, add_organization, fill
from edge_server.data.database import SERVER, Database
from edge_server.files.models import Node, Version
from edge_server.identity import directory
from edge_server.identity.models import Organization, User
from edge_server.run import start
from edge_server.testing.local_server import EdgeServer

FILES = 10_000
LISTED = 10
"""Files that are listed and searched, for each that goes."""

SEARCHERS = 16

PACE = 0.02
"""Seconds between an answer and the next request of the same kind."""

IDLE, SECONDS = 10.0, 10.0
"""How long nothing else happens, and how long what can be done again is done at least."""

PATIENCE = 3600.0
"""Seconds after which what is cleared away in the background is given up."""

AIM = 3
"""The 95th percentile while a folder is deleted is at most so many times the idle one."""

KINDS = ("healthz", "stat", "put")

_LINKS = 30_000
"""Names that one file has at most."""


class Site:
    """A running server with organizations: ``others`` of the one who waits, ``bin``, ``leaving`` and ``large``.

    Args:
        folder: an empty folder.
        files: how many files are in ``bin`` and ``leaving`` each.
    """

    def __init__(self, folder: Path, files: int) -> None:
        self.folder = folder / "data"
        self.folder.mkdir(mode=0o700)
        engines, _, token = start.prepare(self.folder)
        assert token is not None
        self.token = token
        with contextlib.closing(engines.database) as database:
            with database.write(SERVER) as session:
                admin = session.scalars(sa.select(User)).one()
                user = admin.id
                names = ("others", "bin", "leaving", "large")
                ids = {name: add_organization(session, engines, admin, name) for name in names}
                large = session.get_one(Organization, ids["large"])
                self.searchers = []
                for n in range(SEARCHERS):
                    searcher = directory.create_user(session, f"searcher-{n}")
                    directory.add_member(session, searcher, large)
                    self.searchers.append(directory.create_token(session, searcher))
            yesterday = dt.datetime.now(dt.UTC) - dt.timedelta(days=1)
            fill(database, ids["bin"], user, files, since=yesterday)
            fill(database, ids["leaving"], user, files, since=yesterday)
            fill(database, ids["large"], user, LISTED * files, in_folder=LISTED * files, since=yesterday)
            _store(self.folder / "content", database)
        self.server = EdgeServer(self.folder)

    @property
    def port(self) -> int:
        return urlsplit(self.server.url).port or 80

    def call(self, method: str, address: str) -> bytes:
        """Send a request of the admin's, and give the body of its answer.

        Raises:
            RuntimeError: it is refused.
        """
        connection = http.client.HTTPConnection("127.0.0.1", self.port)
        with contextlib.closing(connection):
            connection.request(method, address, headers={"Authorization": f"Bearer {self.token}"})
            answer = connection.getresponse()
            body = answer.read()
        if answer.status >= 300:
            raise RuntimeError(f"{method} {address}: {body.decode()}")
        return body

    def wait_until_gone(self, rows: sa.Select[int]) -> None:
        """Wait until the database has none of some rows.

        Raises:
            RuntimeError: it has some for too long.
        """
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            with self.server.database.read() as session:
                if session.execute(rows.limit(1)).first() is None:
                    return
            time.sleep(0.2)
        raise RuntimeError("what was deleted is not cleared away")


def _store(content: Path, database: Database) -> None:
    """Store the content of all files, as few files of many names."""
    with database.read() as session:
        keys = session.scalars(sa.select(Version.key)).all()
    folders = {key[:2] for key in keys}
    for folder in folders:
        (content / folder).mkdir(mode=0o700, exist_ok=True)
    source = content
    for n, key in enumerate(keys):
        path = content / key[:2] / key
        if n % _LINKS == 0:
            path.write_bytes(secrets.token_bytes(SIZE))
            source = path
        else:
            os.link(source, path)


# --- what is done meanwhile -----------------------------------------------------------------------


def _delete(site: Site) -> str:
    begun = time.monotonic()
    site.call("DELETE", "/v1/orgs/bin/files/entry?path=screens&recursive=true")
    answer = time.monotonic() - begun
    site.wait_until_gone(sa.select(Node.id).where(Node.removed_at.is_not(None)))
    return f"answered after {answer:.2f} s"


def _remove(site: Site) -> str:
    begun = time.monotonic()
    site.call("DELETE", "/v1/admin/organizations/leaving")
    answer = time.monotonic() - begun
    site.wait_until_gone(sa.select(Organization.id).where(Organization.name == "leaving"))
    return f"answered after {answer:.2f} s"


def _list(site: Site) -> str:
    entries = 0
    for _ in _again():
        cursor = ""
        while True:
            address = f"/v1/orgs/large/files/entries?path=screens/plate-00000/run-0&limit=1000{cursor}"
            page = json.loads(site.call("GET", address))
            entries += len(page["items"])
            if page["next"] is None:
                break
            cursor = f"&cursor={quote(page['next'])}"
    return f"{entries:,} entries"


def _search(site: Site, *, patient: bool = True) -> str:
    """Search for a while, and after a refusal wait as long as it tells, if `patient`, or as after an answer."""
    until = time.perf_counter() + SECONDS
    answered = [collections.Counter[int]() for _ in range(SEARCHERS)]

    def search(n: int) -> None:
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", site.port)) as connection:
            for plate in itertools.count(n):
                name = f"2024-05-15_plate-{plate % 10:05}_run-{plate % 7}_G{n:02}_DAPI_S{plate % 9973:07}.tif"
                headers = {"Authorization": f"Bearer {site.searchers[n]}"}
                connection.request("GET", f"/v1/orgs/large/search?query={name}", headers=headers)
                answer = connection.getresponse()
                answer.read()
                answered[n][answer.status] += 1
                wait = float(answer.headers.get("Retry-After", PACE)) if patient else PACE
                if time.perf_counter() + wait > until:
                    return
                time.sleep(wait)

    threads = [threading.Thread(target=search, args=(n,)) for n in range(SEARCHERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    total = sum(answered, collections.Counter())
    refused = ", ".join(f"{total[status]:,} refused ({status})" for status in sorted(total.keys() - {200}))
    return f"{total[200]:,} answered, {refused}"


def _fsck(site: Site) -> str:
    times = 0
    for _ in _again():
        command = [sys.executable, "-I", "-m", "edge_server", "fsck", "--data", str(site.folder)]
        ran = subprocess.run(command, capture_output=True, text=True)
        if ran.returncode:
            raise RuntimeError(f"fsck ended with {ran.returncode}: {ran.stdout[-1000:]}{ran.stderr[-1000:]}")
        times += 1
    return f"{times} times"


def _back_up(site: Site) -> str:
    times = 0
    for _ in _again():
        with tempfile.TemporaryDirectory() as folder:
            backup = site.server.database.back_up(Path(folder))
            assert backup is not None, "this measures a SQLite file"
            size = backup.stat().st_size
        times += 1
    return f"{times} times {size / 1e6:,.0f} MB"


def _authorization(token: str) -> str:
    return f"Authorization: Bearer {token}"


def _again() -> Iterator[None]:
    """Once, and again until `SECONDS` have passed."""
    until = time.monotonic() + SECONDS
    while True:
        yield
        if time.monotonic() > until:
            return


# --- measuring ------------------------------------------------------------------------------------


class Wait(NamedTuple):
    """How long answers took, in milliseconds, and how many requests failed."""

    median: float
    p95: float
    failures: int

    @classmethod
    def of(cls, *answered: Answered) -> Wait:
        milliseconds = sorted(itertools.chain.from_iterable(each.milliseconds for each in answered))
        p95 = milliseconds[int(0.95 * len(milliseconds))]
        return cls(statistics.median(milliseconds), p95, sum(each.failures for each in answered))


Waits = dict[str, Answered]
"""By kind of request."""


class Probe:
    """The one who waits.

    Args:
        site: the server.
    """

    def __init__(self, site: Site) -> None:
        self._site = site
        self._names = itertools.count()

    def during(self, run: Callable[[], str]) -> tuple[Waits, str]:
        """How long they wait while something is done, and what that tells."""
        stop = threading.Event()
        waits: Waits = {}

        def ask(kind: str, status: int, request: Callable[[], bytes]) -> None:
            def requests() -> Iterator[bytes]:
                while not stop.wait(PACE):
                    yield request()

            waits[kind] = load.send(self._site.port, requests(), status)

        files, token = "/v1/orgs/others/files", _authorization(self._site.token)
        probed: dict[str, tuple[int, Callable[[], bytes]]] = {
            "healthz": (200, lambda: load.get("/healthz")),
            "stat": (200, lambda: load.get(f"{files}/entry?path=some/file", token)),
            "put": (201, lambda: load.put(f"{files}/content?path=new/{next(self._names)}", b"x" * SIZE, token)),
        }
        answered = load.send(self._site.port, iter([load.put(f"{files}/content?path=some/file", b"x", token)]), 201)
        if answered.failures:
            raise RuntimeError("the server takes no file")
        threads = [threading.Thread(target=ask, args=(kind, *probed[kind])) for kind in KINDS]
        for thread in threads:
            thread.start()
        try:
            outcome = run()
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        return waits, outcome


class Row(NamedTuple):
    """A line of the table.

    Attributes:
        name: what is done.
        seconds: how long that takes.
        outcome: what it tells.
        idle: by kind, how long others wait before and after.
        during: by kind, how long they wait meanwhile.
    """

    name: str
    seconds: float
    outcome: str
    idle: dict[str, Wait]
    during: dict[str, Wait]

    def times(self, kind: str) -> float:
        """What the 95th percentile is of the idle one."""
        return self.during[kind].p95 / self.idle[kind].p95

    def line(self) -> str:
        cells = [self.name, f"{self.seconds:.0f} s, {self.outcome}"]
        for kind in KINDS:
            idle, during = self.idle[kind], self.during[kind]
            failures = f", **{during.failures} failed**" * bool(during.failures)
            cells.append(
                f"{idle.median:.1f} / {idle.p95:.1f} -> {during.median:.1f} / {during.p95:.1f} "
                f"({during.median / idle.median:.1f}x / {self.times(kind):.1f}x){failures}"
            )
        return f"| {' | '.join(cells)} |"


def _rows(site: Site, files: int) -> Iterator[Row]:
    probe = Probe(site)
    done: dict[str, Callable[[Site], str]] = {
        f"deletion of a folder of {files:,} files": _delete,
        f"removal of an organization of {files:,} files": _remove,
        f"listing of {LISTED * files:,} files by pages of 1,000": _list,
        f"{SEARCHERS} users who search among {LISTED * files:,} files": _search,
        "the same, who ask again at once when they are refused": functools.partial(_search, patient=False),
        "fsck": _fsck,
        "backup": _back_up,
    }

    def rest() -> str:
        time.sleep(IDLE)
        return ""

    before, _ = probe.during(rest)
    for name, run in done.items():
        begun = time.monotonic()
        waits, outcome = probe.during(functools.partial(run, site))
        seconds = time.monotonic() - begun
        after, _ = probe.during(rest)
        idle = {kind: Wait.of(before[kind], after[kind]) for kind in KINDS}
        yield Row(name, seconds, outcome, idle, {kind: Wait.of(waits[kind]) for kind in KINDS})
        before = after


def main(arguments: Sequence[str] = ()) -> int:
    """Print the table; 1 if others wait for twice the aim while a folder is deleted, or a request of theirs fails."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks others", description=__doc__)
    parser.add_argument("--files", type=int, default=FILES, help=f"in what goes (default {FILES:,})")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        servers, clients = cores()
        site = Site(Path(folder), options.files)
        with contextlib.closing(site.server):
            os.sched_setaffinity(0, servers)  # which processes that are started now inherit
            site.server.start()
            os.sched_setaffinity(0, clients)
            print("milliseconds, median / 95th percentile: idle -> meanwhile (of the idle ones)\n")
            print(f"| during | took | {' | '.join(KINDS)} |")
            print("|---" * (2 + len(KINDS)) + "|", flush=True)
            rows = []
            for row in _rows(site, options.files):
                print(row.line(), flush=True)
                rows.append(row)
    times = {kind: rows[0].times(kind) for kind in KINDS}
    reached = ", ".join(f"{kind} {each:.1f}x" for kind, each in times.items())
    print(f"\n95th percentile during the {rows[0].name}: {reached} of idle (aim: under {AIM}x)")
    print(f"load of the machine {os.getloadavg()[0]:.1f}")
    failures = sum(wait.failures for row in rows for wait in (*row.idle.values(), *row.during.values()))
    return 1 if failures or max(times.values()) > 2 * AIM else 0
