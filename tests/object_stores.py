"""Object stores for the tests, which are started here: real ones, as what is simulated promises too much."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple


class Store(NamedTuple):
    """An object store that is running."""

    endpoint: str
    access_key: str
    secret_key: str


class Killable(Store):
    """One that was started here.

    Attributes:
        process: what runs it.
        region: the one that it wants requests signed for; None where it takes any.
    """

    process: _Process
    region: str | None = None

    def kill(self) -> None:
        """End it in the middle of whatever it does."""
        self.process.kill()

    def start(self) -> None:
        """Start it again."""
        self.process.start()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


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
    port = free_port()
    options = ["--multi-buckets", "--keep-etag", "--object-tag", "--object-meta", "--no-banner", "--no-bgjob"]
    cache = ["--cache-dir", f"{folder}/cache", "--log", f"{folder}/gateway.log", "--attr-cache", "0"]
    command = [_program("juicefs"), "gateway", *options, *cache, meta, f"127.0.0.1:{port}"]
    with _running(command, folder, environment, port) as process:
        store = _killable(port, keys, process)
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
    servers = ("master", "volume", "filer", "s3")
    ports = {server: free_port() for server in servers}
    options = [f"-{server}.port={port}" for server, port in ports.items()]
    options += [f"-{server}.port.grpc={free_port()}" for server in servers]
    options += [f"-{server}.localSocket={folder}/{server}.sock" for server in ("filer", "s3")]
    options += ["-s3.port.iceberg=0", "-s3.port.lance=0", "-master.telemetry=false", "-master.volumeSizeLimitMB=64"]
    command = [_program("weed"), "server", f"-dir={folder}/volumes", "-ip=127.0.0.1", "-filer", "-s3", *options]
    command += [f"-s3.config={folder}/s3.json", "-volume.max=1000"]
    with _running(command, folder, {"PATH": os.environ["PATH"], "HOME": str(folder)}, ports["s3"]) as process:
        yield _killable(ports["s3"], keys, process)


def _killable(port: int, keys: tuple[str, str], process: _Process) -> Killable:
    store = Killable(f"http://127.0.0.1:{port}", *keys)
    store.process = process
    return store


def _program(name: str) -> Path:
    return Path(sys.executable).with_name(name)


class _Process:
    """A store's, which listens on a port."""

    def __init__(self, command: list[str | Path], folder: Path, environment: dict[str, str], port: int) -> None:
        self._command = command
        self._folder = folder
        self._environment = environment
        self._port = port
        self.start()

    def start(self) -> None:
        path = self._folder / "output"
        with open(path, "ab") as output:
            self._process = subprocess.Popen(
                self._command, env=self._environment, stdout=output, stderr=output, cwd=self._folder
            )
        try:
            wait_for("127.0.0.1", self._port, self._process, path)
        except BaseException:
            self.kill()
            raise

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


@contextlib.contextmanager
def _running(command: list[str | Path], folder: Path, environment: dict[str, str], port: int) -> Iterator[_Process]:
    process = _Process(command, folder, environment, port)
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
