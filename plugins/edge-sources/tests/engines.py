"""Real engines for the tests: an object store started here, and the machine's databases."""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import pytest


class Store(NamedTuple):
    """An object store that is running."""

    endpoint: str
    access_key: str
    secret_key: str


class Server(NamedTuple):
    """A database server that is running."""

    kind: str
    host: str
    port: int
    admin: str
    admin_password: str


class Database(NamedTuple):
    """A scratch database and its user."""

    kind: str
    host: str
    port: int
    name: str
    username: str
    password: str


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


@contextlib.contextmanager
def object_store(folder: Path) -> Iterator[Store]:
    """JuiceFS's gateway, which is MinIO's front over a local folder."""
    program = Path(sys.executable).with_name("juicefs")
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
        [program, "format", "--storage", "file", "--bucket", f"{folder}/data/", "--trash-days", "0", meta, "store"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert formatted.returncode == 0, formatted.stderr
    port = free_port()
    options = ["--multi-buckets", "--keep-etag", "--object-tag", "--object-meta", "--no-banner", "--no-bgjob"]
    cache = ["--cache-dir", f"{folder}/cache", "--log", f"{folder}/gateway.log", "--attr-cache", "0"]
    with open(folder / "output", "wb") as output:
        process = subprocess.Popen(
            [program, "gateway", *options, *cache, meta, f"127.0.0.1:{port}"],
            env=environment,
            stdout=output,
            stderr=output,
            cwd=folder,
        )
    try:
        wait_for("127.0.0.1", port, process, folder / "output")
        yield Store(f"http://127.0.0.1:{port}", *keys)
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(20)
        process.kill()
        process.wait()


def wait_for(host: str, port: int, process: subprocess.Popen[bytes], output: Path) -> None:
    for _ in range(600):
        assert process.poll() is None, output.read_text(errors="replace")
        if answers(host, port):
            return
        time.sleep(0.1)
    raise AssertionError("it does not start: " + output.read_text(errors="replace"))


def answers(host: str, port: int) -> bool:
    """Whether anyone listens there."""
    try:
        socket.create_connection((host, port), 5).close()
    except OSError:
        return False
    return True


def server(kind: str, variable: str, default: str) -> Server:
    """The machine's database server; the test is skipped only where nobody listens at its address.

    Whatever else is wrong fails the test, so that a server that is there is a server that was tested.
    """
    parts = urlsplit(f"//{os.environ.get(variable, default)}")
    host, port = parts.hostname or "127.0.0.1", parts.port or 0
    if not answers(host, port):
        pytest.skip(f"nobody answers for {kind} at {host}:{port}; name another in {variable}")
    return Server(kind, host, port, parts.username or "", parts.password or "")
