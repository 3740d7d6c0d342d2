"""A backup of many files while users work, and what is restored from it: `python -m benchmarks backup`.

A server has `--files` files of 10 kB, which were uploaded through its API, and `--clients` users write, replace, read
and delete small files of their own, each with a pause of 20 ms after an answer. Meanwhile it is backed up, by `edge
server backup` in a process of its own, and then once more, which shares what has not changed. The second backup is
restored into another folder, checked by `edge server fsck --deep`, and served at another port, where each user's files
must be as they were at one moment of the backup. What is told is how long each command took, how much there is on disk,
and how long the users waited while nothing else happened and during each command. Exit code 1 if anything is lost or
damaged.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import itertools
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from benchmarks.peers import say
from benchmarks.transfers.programs import write_tree
from edge.api import EdgeSession
from edge_server.testing.local_server import EdgeServer

FILES, SIZE, IN_FOLDER = 100_000, 10_000, 1000

CLIENTS = 4

PACE = 0.02
"""Seconds between an answer and a user's next request."""

IDLE = 20.0
"""Seconds in which nothing but the users' work happens."""

KEPT = 40
"""Names that a user has."""

_ORGANIZATION = "default"


class Change(NamedTuple):
    """What a user did to a file.

    Attributes:
        begun: when the request was sent, in seconds.
        ended: when it was answered.
        content: of the file since; None if it was deleted.
    """

    begun: float
    ended: float
    content: bytes | None


class Wait(NamedTuple):
    """How long a user waited for an answer.

    Attributes:
        kind: of the request.
        begun: when it was sent, in seconds.
        seconds: until the answer had come.
    """

    kind: str
    begun: float
    seconds: float


class Caller:
    """Requests of a user.

    Args:
        url: of the server.
        token: the user's.
    """

    def __init__(self, url: str, token: str) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", urlsplit(url).port or 80)
        self._headers = {"Authorization": f"Bearer {token}"}

    def call(self, method: str, what: str, path: str, content: bytes | None = None) -> tuple[int, bytes]:
        """The status of an answer, and its body."""
        address = f"/v1/orgs/{_ORGANIZATION}/files/{what}?path={path}"
        self._connection.request(method, address, body=content, headers=self._headers)
        answer = self._connection.getresponse()
        return answer.status, answer.read()

    def close(self) -> None:
        self._connection.close()


class Client(threading.Thread):
    """A user at work, who knows all that was acknowledged.

    Args:
        number: of the user, for the folder's name.
        url: of the server.
        token: the user's.
        stopped: set when the work is over.

    Attributes:
        folder: of the user's own.
        changes: of each file, by its name.
        waits: for answers.
        faults: what was not as it must be.
    """

    def __init__(self, number: int, url: str, token: str, stopped: threading.Event) -> None:
        super().__init__(name=f"client-{number}")
        self.folder = f"client-{number}"
        self.changes: dict[str, list[Change]] = {}
        self.waits: list[Wait] = []
        self.faults: list[str] = []
        self._chance = random.Random(number)
        self._caller = Caller(url, token)
        self._stopped = stopped

    def run(self) -> None:
        try:
            while not self._stopped.wait(PACE):
                self._work(f"{self._chance.randrange(KEPT):02}")
        except (OSError, http.client.HTTPException) as error:
            self.faults.append(f"{self.folder}: {error!r}")
        finally:
            self._caller.close()

    def _work(self, name: str) -> None:
        changes = self.changes.setdefault(name, [])
        content = changes[-1].content if changes else None
        kind = self._chance.choice(("put", "put", "get", "delete"))
        if kind == "put" or content is None:
            new = self._chance.randbytes(self._chance.randrange(1, 2 * SIZE))
            self._change("put", name, 201, new)
        elif kind == "delete":
            self._change("delete", name, 204, None)
        elif self._ask("get", "GET", "content", name, 200) != content:
            self.faults.append(f"{self.folder}/{name} was read otherwise than it was acknowledged")

    def _change(self, kind: str, name: str, status: int, content: bytes | None) -> None:
        begun = time.monotonic()
        method, what = ("DELETE", "entry") if content is None else ("PUT", "content")
        self._ask(kind, method, what, name, status, content)
        self.changes[name].append(Change(begun, time.monotonic(), content))

    def _ask(self, kind: str, method: str, what: str, name: str, status: int, content: bytes | None = None) -> bytes:
        begun = time.monotonic()
        answer, body = self._caller.call(method, what, f"{self.folder}/{name}", content)
        self.waits.append(Wait(kind, begun, time.monotonic() - begun))
        if answer not in (status, 200):
            self.faults.append(f"{kind} of {self.folder}/{name} was answered with {answer}")
        return body

    def possible(self, name: str, begin: float, end: float) -> set[bytes | None]:
        """What a file was at some moment of a span."""
        possible: set[bytes | None] = {None}
        for change in self.changes[name]:
            if change.ended < begin:
                possible = {change.content}
            elif change.begun < end:
                possible.add(change.content)
        return possible


class Step(NamedTuple):
    """Something that was done while the users worked.

    Attributes:
        name: what it was.
        begun: when, in seconds.
        ended: when it was over.
        outcome: what it tells.
    """

    name: str
    begun: float
    ended: float
    outcome: str

    def line(self, clients: Sequence[Client]) -> str:
        """A line of the table."""
        waits = [wait for client in clients for wait in client.waits if self.begun <= wait.begun < self.ended]
        cells = [self.name, _span(self.ended - self.begun), self.outcome]
        for kind in ("put", "delete", "get"):
            seconds = sorted(wait.seconds for wait in waits if wait.kind == kind)
            figures = (seconds[len(seconds) // 2], seconds[int(0.95 * len(seconds))], seconds[-1]) if seconds else ()
            cells.append(" / ".join(f"{1000 * each:,.0f}" for each in figures))
        return f"| {' | '.join(cells)} |"


def _span(seconds: float) -> str:
    return f"{int(seconds) // 60} min {seconds % 60:.1f} s"


def _edge_server(*arguments: str | Path) -> str:
    """What the command prints.

    Raises:
        RuntimeError: it failed.
    """
    command = [sys.executable, "-m", "edge_server", *map(str, arguments)]
    ran = subprocess.run(command, capture_output=True, text=True)
    if ran.returncode:
        raise RuntimeError(f"{arguments[0]} ended with {ran.returncode}: {ran.stdout[-1000:]}{ran.stderr[-1000:]}")
    return ran.stdout


def _on_disk(folder: Path) -> str:
    """How much room a folder takes, where files of several names count once."""
    files = [os.lstat(os.path.join(top, name)) for top, _, names in os.walk(folder) for name in names]
    return f"{sum({each.st_ino: 512 * each.st_blocks for each in files}.values()) / 1e6:,.0f} MB"


def _fill(server: EdgeServer, token: str, folder: Path, files: int) -> None:
    with tempfile.TemporaryDirectory(dir=folder) as top:
        write_tree(Path(top), files, SIZE, IN_FOLDER)
        session = EdgeSession(api_token=token, service_url=server.url, organization=_ORGANIZATION)
        with contextlib.closing(session) as edge:
            edge.files.upload_folder("screens", top, progress=False)


@contextlib.contextmanager
def _working(server: EdgeServer, token: str, count: int) -> Iterator[list[Client]]:
    """Users who work during the block."""
    stopped = threading.Event()
    clients = [Client(number, server.url, token, stopped) for number in range(count)]
    for client in clients:
        client.start()
    try:
        yield clients
    finally:
        stopped.set()
        for client in clients:
            client.join()


def _step(name: str, run: Callable[[], str]) -> Step:
    say(name)
    begun = time.monotonic()
    outcome = run()
    return Step(name, begun, time.monotonic(), outcome)


def _steps(data: Path, folder: Path) -> Iterator[Step]:
    """What is done while the users work; the second backup is that which is restored."""
    backups, keys, restored = folder / "backups", folder / "keys", folder / "restored"

    def rest() -> str:
        time.sleep(IDLE)
        return ""

    def back_up() -> str:
        report = json.loads(_edge_server("backup", backups, "--data", data, "--keys", keys, "--json", "-q"))
        figures = f"{report['files']:,} files, {report['shared']:,} of {report['contents']:,} contents shared"
        return f"{figures}; backups {_on_disk(backups)}"

    def restore() -> str:
        report = json.loads(_edge_server("restore", backups, "--data", restored, "--keys", keys, "--json", "-q"))
        return f"{report['files']:,} files; {_on_disk(restored)}"

    def check() -> str:
        return _edge_server("fsck", "--deep", "--data", restored, "-q").strip()

    yield _step("nothing else", rest)
    yield _step("backup", back_up)
    yield _step("second backup", back_up)
    yield _step("restore", restore)
    yield _step("fsck --deep of what was restored", check)


def _compare(restored: Path, token: str, clients: Sequence[Client], backup: Step) -> list[str]:
    """What is otherwise on the restored server than it was at any moment of the backup."""
    faults: list[str] = []
    server = EdgeServer(restored)
    with contextlib.closing(server):
        server.start()
        caller = Caller(server.url, token)
        for client in clients:
            for name in client.changes:
                status, body = caller.call("GET", "content", f"{client.folder}/{name}")
                content = body if status == 200 else None
                if content not in client.possible(name, backup.begun, backup.ended):
                    faults.append(f"{client.folder}/{name} is restored otherwise than it was")
        caller.close()
    return faults


def main(arguments: Sequence[str] = ()) -> int:
    """Print the table; 1 if something is lost or damaged."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks backup", description=__doc__)
    parser.add_argument("--files", type=int, default=FILES, help=f"{FILES:,} by default")
    parser.add_argument("--clients", type=int, default=CLIENTS, help=f"users who work; {CLIENTS} by default")
    parser.add_argument("--folder", type=Path, help="on the disk that is measured; by default that of temporary files")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="edge-backup-", dir=options.folder) as temporary:
        folder = Path(temporary)
        server = EdgeServer(folder / "data")
        with contextlib.closing(server):
            server.start("--workers", "2")
            token = server.create_token("admin")
            say(f"upload of {options.files:,} files")
            _fill(server, token, folder, options.files)
            print(f"data folder {_on_disk(server.data)}; waits of users in ms: median / 95th percentile / most\n")
            print("| during | took | outcome | put | delete | get |")
            print("|---|---|---|---|---|---|", flush=True)
            with _working(server, token, options.clients) as clients:
                steps: dict[str, Step] = {}
                for step in _steps(server.data, folder):
                    steps[step.name] = step
                    print(step.line(clients), flush=True)
        faults = [*itertools.chain.from_iterable(client.faults for client in clients)]
        faults += _compare(folder / "restored", token, clients, steps["second backup"])
    for fault in faults:
        print(fault)
    answers = sum(len(client.waits) for client in clients)
    print(f"\n{answers:,} answers to {len(clients)} users, {len(faults)} faults; load {os.getloadavg()[0]:.1f}")
    return 1 if faults else 0
