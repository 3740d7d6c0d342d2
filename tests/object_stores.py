"""Object stores for the tests, which are started here: real ones, as what is simulated promises too much."""

from __future__ import annotations

import contextlib
import json
import os
import random
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit


class Store(NamedTuple):
    """An object store that is running."""

    endpoint: str
    access_key: str
    secret_key: str


class Running(Store):
    """One whose engine was found to run, or was started here.

    Attributes:
        region: the one that it wants requests signed for; None where it takes any.
    """

    region: str | None = None

    def require_running(self) -> None:
        """See that it has not ended by itself."""


class Killable(Running):
    """One that was started here.

    Attributes:
        process: what runs it.
    """

    process: _Process

    def kill(self) -> None:
        """End it in the middle of whatever it does."""
        self.process.kill()

    def require_running(self) -> None:
        """See that it has not ended by itself; else what it printed is told."""
        self.process.require_running()

    def start(self) -> None:
        """Start it again."""
        self.process.start()


ELSEWHERE = "EDGE_TEST_S3"
"""Where a store answers that is tried, too, such as Ceph's, which no fixture starts: `http://key:secret@host:port`."""

PORTS = range(10240, 32768)
"""Where servers of the tests listen: below the ports that systems give to connections, which may take one meanwhile."""


def free_port() -> int:
    """A port of this machine at which nobody listens."""
    return free_ports(1)[0]


def free_ports(count: int) -> list[int]:
    """As many ports of this machine, all different, at which nobody listens."""
    free: list[int] = []
    for port in random.sample(PORTS, len(PORTS)):
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            free.append(port)
        if len(free) == count:
            return free
    raise OSError(f"there are no {count} free ports from {PORTS.start} to {PORTS.stop}")


@contextlib.contextmanager
def elsewhere(_: Path) -> Iterator[Running]:
    """The store that somebody else has started, whose address and keys EDGE_TEST_S3 has."""
    address = urlsplit(os.environ[ELSEWHERE])
    assert address.password, f"write {ELSEWHERE} as http://key:secret@host:port"
    keys = unquote(address.username or ""), unquote(address.password)
    yield Running(f"{address.scheme}://{address.netloc.rpartition('@')[2]}", *keys)


@contextlib.contextmanager
def juicefs(folder: Path) -> Iterator[Killable]:
    """JuiceFS's gateway, which is MinIO's front over a file system."""
    keys = f"key{secrets.token_hex(6)}", secrets.token_hex(20)
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "MINIO_ROOT_USER": keys[0],
        "MINIO_ROOT_PASSWORD": keys[1],
        "MINIO_REGION": "eu-lab",  # not the one that clients sign for at first
    }
    meta = f"sqlite3://{folder}/meta.db"
    formatted = subprocess.run(
        [
            *(_program("juicefs"), "format", "--storage", "file", "--bucket", f"{folder}/data/"),
            *("--trash-days", "0", meta, "store"),
        ],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert formatted.returncode == 0, formatted.stderr
    options = ["--multi-buckets", "--keep-etag", "--object-tag", "--object-meta", "--no-banner", "--no-bgjob"]
    cache = ["--cache-dir", f"{folder}/cache", "--log", f"{folder}/gateway.log", "--attr-cache", "0"]
    port = free_port()
    command = [_program("juicefs"), "gateway", *options, *cache, meta, f"127.0.0.1:{port}"]
    with _running(command, folder, environment, [port]) as process:
        store = _killable(process, keys)
        store.region = environment["MINIO_REGION"]
        yield store


@contextlib.contextmanager
def seaweedfs(folder: Path) -> Iterator[Killable]:
    """SeaweedFS, an object store that keeps its keys in a tree of folders."""
    keys = f"key{secrets.token_hex(6)}", secrets.token_hex(20)
    identity = {
        "name": "tests",
        "credentials": [{"accessKey": keys[0], "secretKey": keys[1]}],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }
    (folder / "s3.json").write_text(json.dumps({"identities": [identity]}))
    (folder / "volumes").mkdir()
    servers = ("s3", "filer", "volume", "master")
    ports = free_ports(2 * len(servers))
    names = [f"-{server}.port{kind}" for kind in ("", ".grpc") for server in servers]
    options = [f"{name}={port}" for name, port in zip(names, ports, strict=True)]
    options += [f"-{server}.localSocket={folder}/{server}.sock" for server in ("filer", "s3")]
    options += ["-s3.port.iceberg=0", "-s3.port.lance=0", "-master.telemetry=false", "-master.volumeSizeLimitMB=64"]
    command = [_program("weed"), "server", f"-dir={folder}/volumes", "-ip=127.0.0.1", "-filer", "-s3", *options]
    command += [f"-s3.config={folder}/s3.json", "-volume.max=1000"]
    with _running(command, folder, {"PATH": os.environ["PATH"], "HOME": str(folder)}, ports) as process:
        yield _killable(process, keys)


def _killable(process: _Process, keys: tuple[str, str]) -> Killable:
    store = Killable(f"http://127.0.0.1:{process.ports[0]}", *keys)
    store.process = process
    return store


def _program(name: str) -> Path:
    return Path(sys.executable).with_name(name)


class _Process:
    """A store's, which listens on ports.

    Attributes:
        ports: the first is the one that clients know.
    """

    def __init__(
        self, command: list[str | Path], folder: Path, environment: dict[str, str], ports: Sequence[int]
    ) -> None:
        self._command = command
        self._folder = folder
        self._output = folder / "output"
        self._environment = environment
        self.ports = ports
        self.start()

    def start(self) -> None:
        with open(self._output, "ab") as output:
            self._process = subprocess.Popen(
                self._command, env=self._environment, stdout=output, stderr=output, cwd=self._folder
            )
        try:
            for port in self.ports:
                wait_for("127.0.0.1", port, self._process, self._output)
        except BaseException:
            self.kill()
            raise

    def require_running(self) -> None:
        assert self._process.poll() is None, self._output.read_text(errors="replace")

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


@contextlib.contextmanager
def _running(
    command: list[str | Path], folder: Path, environment: dict[str, str], ports: Sequence[int]
) -> Iterator[_Process]:
    process = _Process(command, folder, environment, ports)
    try:
        yield process
    finally:
        process.kill()  # nobody needs what it keeps, and an orderly end takes SeaweedFS half a minute


def wait_for(host: str, port: int, process: subprocess.Popen[bytes], output: Path) -> None:
    deadline = time.monotonic() + 300  # of a machine that does much else
    while not answers(host, port):
        assert process.poll() is None, output.read_text(errors="replace")
        assert time.monotonic() < deadline, "it does not start: " + output.read_text(errors="replace")
        time.sleep(0.1)


def answers(host: str, port: int) -> bool:
    """Whether anyone listens there."""
    try:
        socket.create_connection((host, port), 5).close()
    except OSError:
        return False
    return True
