"""Memory that a large file takes on its way up and down.

A server and a client run in processes of their own. Each side's figure is its peak during the
transfer over what it held before, after one small file went up and down; the server's is the sum
over its workers. Linux only, as the figures come from /proc.
"""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from benchmarks.transfers.programs import write_random
from tools.local_server import local_server

MIB = 1 << 20
BAR_MIB = 64

CLIENT = """
import json, sys, time
from edge.api import EdgeSession

def seconds(call, *args):
    started = time.perf_counter()
    call(*args)
    return time.perf_counter() - started

source, target = sys.argv[1:]
edge = EdgeSession()
edge.files.upload("small.bin", b"small")
edge.files.download("small.bin", target)
print("idle", flush=True)
input()
up = seconds(edge.files.upload, "large.bin", source)
down = seconds(edge.files.download, "large.bin", target)
print(json.dumps([up, down]), flush=True)
input()
"""


class Transfer(NamedTuple):
    """What one file of `size` bytes cost.

    Attributes:
        size: bytes.
        upload_seconds: wall time up.
        download_seconds: wall time down.
        client_mib: peak of the client over idle.
        server_mib: peak of the server's processes over idle.
        intact: whether what came back has the SHA-256 of what was sent.
    """

    size: int
    upload_seconds: float
    download_seconds: float
    client_mib: float
    server_mib: float
    intact: bool

    @property
    def within_bars(self) -> bool:
        return self.intact and max(self.client_mib, self.server_mib) <= BAR_MIB


def measure(size: int, folder: Path) -> Transfer:
    """Send a file of `size` bytes up and down; `folder` needs room for it three times."""
    source, target = folder / "source.bin", folder / "target.bin"
    write_random(source, size)
    with local_server(folder / "data") as server:
        command = [sys.executable, "-I", "-c", CLIENT, str(source), str(target)]
        client = subprocess.Popen(
            command, env=server.environment, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        try:
            _next_line(client)
            client_idle, server_idle = _idle([client.pid]), _idle(_tree(server.pid))
            _go_on(client)
            upload_seconds, download_seconds = json.loads(_next_line(client))
            client_bytes = _added([client.pid], client_idle)
            server_bytes = _added(_tree(server.pid), server_idle)
            _go_on(client)
        finally:
            client.communicate(timeout=60)
    return Transfer(
        size,
        upload_seconds,
        download_seconds,
        client_bytes / MIB,
        server_bytes / MIB,
        _sha256(source) == _sha256(target),
    )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _next_line(client: subprocess.Popen[str]) -> str:
    assert client.stdout is not None
    line = client.stdout.readline()
    if not line:
        raise RuntimeError("the client failed; its error is above")
    return line


def _go_on(client: subprocess.Popen[str]) -> None:
    assert client.stdin is not None
    client.stdin.write("\n")
    client.stdin.flush()


# --- memory of processes --------------------------------------------------------------------------


def _tree(pid: int) -> list[int]:
    """A process and all below it."""
    return [pid, *(descendant for child in _children(pid) for descendant in _tree(child))]


def _children(pid: int) -> Iterator[int]:
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        yield from map(int, children.read_text().split())


def _idle(pids: list[int]) -> dict[int, int]:
    """Bytes each process holds now; its peak is counted from here on."""
    for pid in pids:
        # proc(5): 5 sets the peak back to what is held now.
        Path(f"/proc/{pid}/clear_refs").write_text("5")
    return {pid: _bytes(pid, "VmRSS") for pid in pids}


def _added(pids: list[int], idle: dict[int, int]) -> int:
    """Peak over idle in bytes; of a process that is new since, all it holds."""
    return sum(_bytes(pid, "VmHWM") - idle.get(pid, 0) for pid in pids)


def _bytes(pid: int, what: str) -> int:
    match = re.search(rf"^{what}:\s+(\d+) kB$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return int(match[1]) * 1024 if match else 0
