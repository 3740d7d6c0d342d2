"""What a large file goes through when its server or its client is killed: `python -m benchmarks kills`.

A file of 200 MiB goes up and down while the server is killed and started again ten times, and while the client is
killed and started again twenty times, each time after a random number of bytes. In the end the content must be what was
sent, nothing may be left beside it, and what went again may be at most a part of each connection for each kill. Exit
code 1 if one of that is not so.
"""

from __future__ import annotations

import argparse
import contextlib
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

from benchmarks.measuring import size_of
from benchmarks.peers import free_port, say
from benchmarks.transfers.programs import MIB, write_random
from edge_files.wire import PART_SIZE
from edge_server.testing.local_server import EdgeServer
from edge_vfs.transfers.fetching import MAX_CONNECTIONS
from edge_vfs.workers import WORKERS

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

    def __init__(self, folder: Path, source: Path) -> None:
        self._folder = folder
        self._source = source
        self._port = free_port()
        self._counts = folder / "counts"
        self._chance = random.Random(17)
        self._client: subprocess.Popen[bytes] | None = None
        self.failures = 0
        self.server = EdgeServer(folder / "edge-data")
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
            checked = subprocess.run(command, capture_output=True, text=True)
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


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def outcomes(size: int, server_kills: int, client_kills: int, folder: Path) -> Iterator[Outcome]:
    """Transfer a file of `size` bytes both ways, with kills of both sides."""
    source = folder / "source.bin"
    write_random(source, size)
    (folder / "down").mkdir()
    victims = _Victims(folder, source)
    with contextlib.closing(victims.server):
        ways: list[tuple[Literal["up", "down"], int]] = [("up", WORKERS), ("down", MAX_CONNECTIONS)]
        for direction, connections in ways:
            for who, kill, kills in (
                ("server", victims.kill_server, server_kills),
                ("client", victims.kill_client, client_kills),
            ):
                transfers, transferred = victims.run(direction, kill, kills)
                allowed = kills * connections * PART_SIZE
                again = transferred - transfers * size
                faults = victims.faults(direction)
                yield Outcome(f"{who}, {kills} times", direction, transfers, victims.failures, again, allowed, faults)


def main(arguments: Sequence[str] = ()) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks kills", description=__doc__)
    parser.add_argument("--size", type=size_of, default=200 * MIB, help="of the file; 200MiB by default")
    parser.add_argument("--server-kills", type=int, default=10, help="10 by default")
    parser.add_argument("--client-kills", type=int, default=20, help="20 by default")
    options = parser.parse_args(arguments)
    print(f"{options.size / MIB:,.0f} MiB in parts of {PART_SIZE / MIB:.0f} MiB\n")
    print("| direction | killed | transfers | failed calls | went again, of at most | faults |")
    print("|---|---|---|---|---|---|", flush=True)
    is_good = True
    with tempfile.TemporaryDirectory(prefix="edge-kills-") as folder:
        for outcome in outcomes(options.size, options.server_kills, options.client_kills, Path(folder)):
            print(outcome.line(), flush=True)
            is_good = is_good and outcome.is_good
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
