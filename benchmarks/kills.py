"""What a large file goes through when its server or its client is killed: `python -m benchmarks kills`.

A file of 200 MiB goes up and down while the server is killed and started again ten times, and while the client is
killed and started again twenty times, each time after a random number of bytes. With `--store seaweedfs` or
`--store juicefs` the server has its content in a bucket of one that is started here, which is killed ten times as well.
In the end the content must be what was sent, nothing may be left beside it, and what went again may be at most a part
of each connection for each kill. Exit code 1 if one of that is not so.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import hashlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import boto3

from benchmarks.measuring import size_of
from benchmarks.peers import free_port, say
from benchmarks.transfers.programs import MIB, write_random
from edge_files.wire import PART_SIZE
from edge_server.testing.local_server import EdgeServer
from edge_vfs.transfers.fetching import MAX_CONNECTIONS
from edge_vfs.workers import WORKERS
from tests import object_stores
from tests.object_stores import Killable

WAIT = 300.0
"""Seconds after which a transfer that does not go on has failed."""

CLIENT = """
import os, sys
from edge.api import EdgeSession
from edge_vfs import content, source
direction, path, counts = sys.argv[1:]
file = os.open(counts, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

def count(kind):
    read = kind.read
    def counting(self, *arguments):
        block = read(self, *arguments)
        os.write(file, b"%d\\n" % len(block))
        return block
    kind.read = counting

count(source.Part)
count(content.Content)
files = EdgeSession().files
files.upload("large.bin", path) if direction == "up" else files.download("large.bin", path)
"""
"""Writes down how many bytes go, a line for each block, which outlives the process."""


class Outcome(NamedTuple):
    """What became of a file.

    Attributes:
        killed: who was, and how often.
        direction: where the file went.
        transfers: how often it went, as it may be there before all kills are done.
        failures: calls that ended with an error, and were made again.
        again: bytes that went again.
        allowed: maximum number of them.
        faults: what is not as it must be.
    """

    killed: str
    direction: str
    transfers: int
    failures: int
    again: int
    allowed: int
    faults: list[str]

    @property
    def is_good(self) -> bool:
        return not self.faults and self.again <= self.allowed

    def line(self) -> str:
        faults = "; ".join(self.faults) or "none"
        again = f"{self.again / MIB:.1f} of {self.allowed / MIB:,.0f} MiB"
        return f"| {self.direction} | {self.killed} | {self.transfers} | {self.failures} | {again} | {faults} |"


class _Victims:
    """A server and a client of it, which can be killed."""

    def __init__(self, folder: Path, source: Path, store: Killable | None) -> None:
        self._folder = folder
        self._source = source
        self._port = free_port()
        self._counts = folder / "counts"
        self._chance = random.Random(17)
        self._client: subprocess.Popen[bytes] | None = None
        self.failures = 0
        self.server = EdgeServer(folder / "edge-data")
        if store is not None:
            _put_in_bucket(self.server.data, store)
        self.start_server()
        self._environment = {
            "EDGE_API_SERVICE_URL": self.server.url,
            "EDGE_API_TOKEN": self.server.create_token("admin"),
            "EDGE_API_ORG": "default",
            "NO_PROXY": "127.0.0.1",
        }

    def start_server(self) -> None:
        self.server.start("--port", str(self._port))

    def kill_server(self) -> None:
        self.server.kill()
        self.start_server()

    def kill_client(self) -> None:
        assert self._client is not None
        self._client.kill()

    def transferred(self) -> int:
        """Return the bytes that went so far, in all calls."""
        with contextlib.suppress(FileNotFoundError):
            return sum(map(int, self._counts.read_text().split()))
        return 0

    def run(self, direction: Literal["up", "down"], kill: Callable[[], None], kills: int) -> tuple[int, int]:
        """Transfer the file until all kills are done; return how often, and the bytes that went."""
        self._counts.unlink(missing_ok=True)
        self.failures = done = transfers = 0
        while done < kills:
            transfers += 1
            code: int | None = 1
            while code != 0:
                self._start(direction)
                while (code := self._wait(self._next() if done < kills else None)) is None:
                    kill()
                    done += 1
                self.failures += code not in (0, -signal.SIGKILL)
            say(f"{direction}: {done} of {kills} kills")
        return transfers, self.transferred()

    def _next(self) -> int:
        """Return how many bytes go before the next kill: so many that most parts arrive in the end."""
        return self.transferred() + self._chance.randrange(1, 3 * PART_SIZE)

    def _start(self, direction: str) -> None:
        path = self._source if direction == "up" else self.target
        command = [sys.executable, "-I", "-c", CLIENT, direction, str(path), str(self._counts)]
        environment = {**os.environ, **self._environment}
        self._client = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)

    def _wait(self, due: int | None) -> int | None:
        """Wait for the client's end, or until so many bytes have gone; return its exit code, or None if they have."""
        assert self._client is not None
        until = time.monotonic() + WAIT
        while time.monotonic() < until:
            code = self._client.poll()
            if code is not None:
                return code
            if due is not None and self.transferred() >= due:
                return None
            time.sleep(0.005)
        raise RuntimeError(f"a transfer does not end within {WAIT:.0f} s")

    @property
    def target(self) -> Path:
        return self._folder / "down" / "large.bin"

    def faults(self, direction: str) -> list[str]:
        """Return what is not as it must be after a transfer."""
        faults = []
        if direction == "up":
            self._start("down")
            assert self._client is not None
            if self._client.wait(WAIT):
                faults.append("the file on the server cannot be downloaded")
            command = [sys.executable, "-I", "-m", "edge_server", "fsck", "--deep", "--data", str(self.server.data)]
            self.server.stop()
            url = self.server.database_url
            database = {} if url is None else {"EDGE_SERVER_DATABASE_URL": url}
            checked = subprocess.run(command, capture_output=True, text=True, env=os.environ | database)
            self.start_server()
            if checked.returncode:
                faults.append(f"fsck finds {checked.stdout.strip()[-300:]}")
        if _sha256(self.target) != _sha256(self._source):
            faults.append("the content is not what was sent")
        left = [path.name for path in self.target.parent.iterdir() if path != self.target]
        if left:
            faults.append(f"left beside it: {', '.join(left)}")
        self.target.unlink()
        return faults


def _put_in_bucket(data: Path, store: Killable) -> None:
    """Have a server whose data folder is not there yet keep its content in a bucket."""
    keys = {"aws_access_key_id": store.access_key, "aws_secret_access_key": store.secret_key}
    client = boto3.client("s3", endpoint_url=store.endpoint, region_name=store.region or "us-east-1", **keys)
    until = time.monotonic() + WAIT
    while True:
        try:
            client.create_bucket(Bucket="kills")
            break
        except client.exceptions.ClientError:  # it listens before it can write
            if time.monotonic() > until:
                raise
            time.sleep(0.1)
    settings = {
        "kind": "s3",
        "bucket": "kills",
        "endpoint": store.endpoint,
        "region": store.region or "us-east-1",
        "access_key": store.access_key,
        "secret_key": store.secret_key,
    }
    data.mkdir(mode=0o700)
    path = data / "server.toml"
    path.touch(0o600)
    path.write_text("[storage]\n" + "".join(f'{name} = "{value}"\n' for name, value in settings.items()))


def _restart(store: Killable) -> None:
    store.kill()
    store.start()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Kills(NamedTuple):
    """How often each is killed, in each direction.

    Attributes:
        server: the server.
        client: the client.
        store: the object store; not where the content is in a folder.
    """

    server: int = 10
    client: int = 20
    store: int = 10


def outcomes(size: int, kills: Kills, folder: Path, store: Killable | None = None) -> Iterator[Outcome]:
    """Transfer a file of `size` bytes both ways, with kills of all sides.

    Args:
        size: bytes of the file.
        kills: how often each side is killed.
        folder: an empty one.
        store: where the server has its content; by default in a folder.
    """
    source = folder / "source.bin"
    write_random(source, size)
    (folder / "down").mkdir()
    victims = _Victims(folder, source, store)
    with contextlib.closing(victims.server):
        sides = [("server", victims.kill_server, kills.server), ("client", victims.kill_client, kills.client)]
        if store is not None:
            sides.append(("store", functools.partial(_restart, store), kills.store))
        ways: list[tuple[Literal["up", "down"], int]] = [("up", WORKERS), ("down", MAX_CONNECTIONS)]
        for direction, connections in ways:
            for side, kill, times in sides:
                transfers, transferred = victims.run(direction, kill, times)
                allowed = times * connections * PART_SIZE
                again = transferred - transfers * size
                faults = victims.faults(direction)
                yield Outcome(f"{side}, {times} times", direction, transfers, victims.failures, again, allowed, faults)


STORES = {"seaweedfs": object_stores.seaweedfs, "juicefs": object_stores.juicefs}


def main(arguments: Sequence[str] = ()) -> int:
    """Print the table."""
    usual = Kills()
    parser = argparse.ArgumentParser(prog="python -m benchmarks kills", description=__doc__)
    parser.add_argument("--size", type=size_of, default=200 * MIB, help="of the file; 200MiB by default")
    parser.add_argument("--server-kills", type=int, default=usual.server, help=f"{usual.server} by default")
    parser.add_argument("--client-kills", type=int, default=usual.client, help=f"{usual.client} by default")
    parser.add_argument("--store-kills", type=int, default=usual.store, help=f"{usual.store} by default")
    parser.add_argument("--store", choices=sorted(STORES), help="where the content is; by default in a folder")
    options = parser.parse_args(arguments)
    print(f"{options.size / MIB:,.0f} MiB in parts of {PART_SIZE / MIB:.0f} MiB, in {options.store or 'a folder'}\n")
    print("| direction | killed | transfers | failed calls | went again, of at most | faults |")
    print("|---|---|---|---|---|---|", flush=True)
    is_good = True
    kills = Kills(options.server_kills, options.client_kills, options.store_kills)
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="edge-kills-")))
        store: Killable | None = None
        if options.store:
            (folder / "store").mkdir()
            store = stack.enter_context(STORES[options.store](folder / "store"))
        for outcome in outcomes(options.size, kills, folder, store):
            print(outcome.line(), flush=True)
            is_good = is_good and outcome.is_good
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
