"""How the cost of operations grows with the files of an organization: `python -m benchmarks growth [FILES ...]`.

With `--postgresql postgres@127.0.0.1:5432` the database is on PostgreSQL, which has to run on this machine: one for
each column, gone afterwards.

The numbers of files are 1,000 to 1,000,000, which takes a while, or those that are given. The rows are put into the
database directly, without content, in folders as laboratories have them: 100 files in each. The application is called
within this process, and what is told is its CPU time, with that of PostgreSQL's processes for it, since wall time on a
busy machine says little; beside it stands the most CPU time that one transaction took in which nobody else could write.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime as dt
import math
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import sqlalchemy as sa
import sqlalchemy.event

from benchmarks.engines import Postgresql, postgresql
from benchmarks.organizations import SIZE, add_organization, fill, fill_with_folders
from edge_server.accounts.removal import Removals
from edge_server.base import clock
from edge_server.data.database import SERVER, Database
from edge_server.identity.models import User
from edge_server.run import start
from edge_server.run.app import build
from edge_server.web.context import OwnContext

FILES = (1_000, 10_000, 100_000, 1_000_000)
FLAT, LINEAR = 0.25, 1.1
"""Costs that grow with less than such a power of the number of files are flat, and linear; a busy machine adds some."""

GROWS_WITH = {
    "billing usage, after 300 days that nobody measured": "files that are measured",
    "remove it": "files that are removed",
}
"""What is linear in what it works on; all else is to be flat."""


class Cost(NamedTuple):
    """What something took.

    Attributes:
        cpu: milliseconds of CPU.
        locked: milliseconds of CPU of its longest writing transaction.
    """

    cpu: float
    locked: float

    def __str__(self) -> str:
        return f"{self.cpu:,.0f} / {self.locked:,.1f}"


class Site:
    """A server's application with an organization of many files.

    Args:
        folder: an empty folder.
        files: how many files the organization has.
        postgresql: where its database is, if not in the folder.
    """

    def __init__(self, folder: Path, files: int, postgresql: Postgresql | None) -> None:
        self._postgresql = postgresql
        if postgresql is not None:
            postgresql.settings(folder)
        self.engines, loaded, token = start.prepare(folder)
        self._token = token
        self._client = build(self.engines, loaded).test_client()
        self.database = self.engines.database
        self._clock = _Clock(dt.datetime.now(dt.UTC) - dt.timedelta(days=300))
        clock.replace(self._clock.wall, self._clock.even)
        with self.database.write(SERVER) as session:
            admin = session.scalars(sa.select(User)).one()
            self.user = admin.id
            self.lab = add_organization(session, self.engines, admin, "lab")
            other = add_organization(session, self.engines, admin, "other")
            self.bin = add_organization(session, self.engines, admin, "bin")
        fill(self.database, self.lab, self.user, files)
        fill(self.database, self.bin, self.user, files)
        fill_with_folders(self.database, other, files)

    def pass_days(self, days: float) -> None:
        self._clock.days += days

    def call(self, method: str, address: str, **options: Any) -> Cost:
        """What a request takes."""
        headers = {"Authorization": f"Bearer {self._token}"}

        def send() -> None:
            answer = self._client.open(address, method=method, headers=headers, **options)
            assert answer.status_code < 300, answer.text

        return self.cost(send)

    def cost(self, run: Callable[[], object]) -> Cost:
        """What a call takes."""
        with _locked(self.database, self._cpu) as spans:
            begun = self._cpu()
            run()
            cpu = self._cpu() - begun
        return Cost(cpu * 1000, max(spans, default=0.0) * 1000)

    def _cpu(self) -> float:
        return time.process_time() + (self._postgresql.cpu() if self._postgresql else 0.0)

    def used(self) -> int:
        """Bytes that count for the organization `bin`, as a server admin is told."""
        with self.database.read() as session:
            return self.engines.space.room(session, self.bin).used


class _Clock:
    def __init__(self, begin: dt.datetime) -> None:
        self._begin = begin
        self.days = 0.0

    def wall(self) -> dt.datetime:
        return self._begin + dt.timedelta(days=self.days)

    def even(self) -> float:
        return self.days * 86_400


@contextlib.contextmanager
def _locked(database: Database, cpu: Callable[[], float]) -> Iterator[list[float]]:
    """The CPU seconds, as `cpu` tells them, of each transaction of a block that writes."""
    begun: dict[int, float] = {}
    spans: list[float] = []

    def begin(connection: sa.Connection) -> None:
        options = connection.get_execution_options()
        if options.get("write", False) or not options.get("postgresql_readonly", True):
            begun[id(connection)] = cpu()

    def end(connection: sa.Connection) -> None:
        if id(connection) in begun:
            spans.append(cpu() - begun.pop(id(connection)))

    for name, listener in (("begin", begin), ("commit", end), ("rollback", end)):
        sa.event.listen(database.root, name, listener)
    yield spans
    for name, listener in (("begin", begin), ("commit", end), ("rollback", end)):
        sa.event.remove(database.root, name, listener)


def _join_many(site: Site, count: int) -> None:
    with site.database.write(SERVER) as session:
        admin = session.get_one(User, site.user)
        for n in range(count):
            add_organization(session, site.engines, admin, f"member-{n:05}")


# --- what is measured


def _costs(files: int, address: str | None) -> Iterator[tuple[str, Cost | str]]:
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        database = stack.enter_context(postgresql(address)) if address else None
        site = Site(Path(folder), files, database)
        with contextlib.closing(site.database):
            yield from _of_requests(site)
            yield from _of_billing(site)
            yield from _of_removing(site, files)


def _of_requests(site: Site) -> Iterator[tuple[str, Cost | str]]:
    files = "/v1/orgs/lab/files"
    run = f"{files}/entry?path=screens/plate-00000/run-0"
    for address in ("/v1/users/me", run):
        site.call("GET", address)  # what is done once in a process
    yield "stat", site.call("GET", run)
    yield (
        "list the 100 files of a folder",
        site.call("GET", f"{files}/entries?path=screens/plate-00000/run-0&limit=100"),
    )
    put = f"{files}/content?path=screens/plate-00000/run-0/new"
    yield "put a new file into it", site.call("PUT", put, data=b"x" * SIZE)
    yield "put over it", site.call("PUT", put, data=b"x" * SIZE)
    yield "read it", site.call("GET", put)
    yield "whoami of a member of 4 organizations", site.call("GET", "/v1/users/me")
    _join_many(site, 1000)
    yield "whoami of a member of 1,004", site.call("GET", "/v1/users/me")
    folders = f"{files}/entries?path=screens/plate-00000&kind=folder"
    yield "list the 10 folders of a folder, while another organization has as many as files", site.call("GET", folders)
    down = {"path": "screens", "new_path": "deep/er/screens"}
    yield "move the top folder two levels down", site.call("POST", f"{files}/move", json=down)
    up = {"path": "deep/er/screens", "new_path": "screens"}
    yield "move it back", site.call("POST", f"{files}/move", json=up)


def _of_billing(site: Site) -> Iterator[tuple[str, Cost | str]]:
    usage = "/v1/orgs/lab/billing/usage?limit=10"
    site.pass_days(1.5)  # until all files are there
    site.call("GET", usage)
    site.pass_days(2)
    site.call("GET", usage)
    site.pass_days(0.01)
    yield "billing usage, a quarter of an hour after the last", site.call("GET", usage)
    with site.database.write(SERVER) as session:
        for table in ("billing_readings", "billing_usage"):
            session.execute(sa.text(f"DELETE FROM {table}"))
    site.pass_days(296.5)
    yield "billing usage, after 300 days that nobody measured", site.call("GET", usage)


def _of_removing(site: Site, files: int) -> Iterator[tuple[str, Cost | str]]:
    yield (
        "delete a folder with all files: the answer",
        site.call("DELETE", "/v1/orgs/bin/files/entry?path=screens&recursive=true"),
    )
    yield "bytes that count after the answer", f"{site.used():,}"
    with site.database.write(SERVER) as session:
        session.execute(sa.text("DELETE FROM billing_readings"))
    yield "remove an organization, unmeasured: the answer", site.call("DELETE", "/v1/admin/organizations/lab")
    removal = site.cost(Removals(OwnContext("accounts", site.engines, ())).run)
    yield "remove it", removal
    yield "remove it, microseconds for each file", f"{1000 * removal.cpu / files:,.0f}"


def growth(first: Cost, last: Cost, times: float) -> str:
    """How CPU, and what is within the longest writing transaction, grows while files become `times` as many."""
    return " / ".join(_power(begin, end, times) for begin, end in zip(first, last, strict=True))


def _power(first: float, last: float, times: float) -> str:
    # A millisecond more or less says nothing.
    power = math.log((last + 1) / (first + 1), times)
    return "flat" if power < FLAT else "linear" if power < LINEAR else f"**files^{power:.1f}**"


def main(arguments: Sequence[str] = ()) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks growth", description=__doc__)
    parser.add_argument("files", type=int, nargs="*", default=FILES, help="of the organization, in each column")
    parser.add_argument("--postgresql", metavar="ADDRESS", help="of the PostgreSQL to use in place of SQLite")
    options = parser.parse_args(arguments)
    sizes = options.files
    columns = []
    for files in sizes:
        column = {}
        for name, cost in _costs(files, options.postgresql):
            column[name] = cost
            print(f"{files:,}: {name}: {cost}", file=sys.stderr, flush=True)
        columns.append(column)
    print("CPU milliseconds, and of the longest transaction in which nobody else could write\n")
    print(f"| operation | {' | '.join(f'{files:,} files' for files in sizes)} | grows | with |")
    print("|---" * (len(sizes) + 3) + "|")
    for name, first in columns[0].items():
        last = columns[-1][name]
        grows = ""
        if isinstance(first, Cost) and isinstance(last, Cost) and len(sizes) > 1:
            grows = growth(first, last, sizes[-1] / sizes[0])
        with_ = GROWS_WITH.get(name, "")
        print(f"| {name} | {' | '.join(str(column[name]) for column in columns)} | {grows} | {with_} |")
    return 0
