"""Downloads from a live server by clients that are killed."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edge_core.errors import ChecksumError
from edge_files.folder import Folder
from edge_files.wire import PART_SIZE
from edge_vfs.transfers import fetching
from edge_vfs.transfers.part_file import is_part

KILLS = 20

CONTENT = random.Random(20).randbytes(9 * PART_SIZE + 12_345)

CLIENT = """
import os, signal, sys, threading
from edge.api import EdgeSession
from edge_vfs import content
from edge_vfs.transfers import fetching

target, log, workers, lifetime = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
# All connections come at once, and stay.
fetching.ALONE = fetching.MEASURED = fetching.GAIN = 0
fetching.BUSY = float("inf")
lock = threading.Lock()
file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
read = content.Content.read
received = 0

def reading(self, size):
    global received
    block = read(self, size)
    with lock:
        os.write(file, b"%d\\n" % len(block))
        received += len(block)
        if received >= lifetime:
            os.kill(os.getpid(), signal.SIGKILL)
    return block

content.Content.read = reading
EdgeSession().files.download("large.bin", target, max_workers=workers)
"""

AFTER_THE_MAIN_THREAD = """
import sys, threading
from edge.api import EdgeSession

edge = EdgeSession()

def download():
    threading.main_thread().join()
    edge.files.download("large.bin", sys.argv[1])

threading.Thread(target=download).start()
"""


@pytest.fixture
def environment(files: Folder) -> dict[str, str]:
    """Return the environment of a process that uses the same files."""
    settings = files._store.session.config  # type: ignore[attr-defined]
    return {
        **os.environ,
        "EDGE_API_TOKEN": settings.api_token,
        "EDGE_API_SERVICE_URL": settings.service_url,
        "EDGE_API_ORG": settings.organization,
    }


@pytest.fixture
def run_client(environment: dict[str, str], tmp_path: Path) -> Callable[..., int]:
    """Download to ``place`` in a process of its own; returns its exit code."""
    (tmp_path / "place").mkdir()

    def run(workers: int, lifetime: int) -> int:
        arguments = [tmp_path / "place" / "a.bin", tmp_path / "log", str(workers), str(lifetime)]
        return subprocess.run([sys.executable, "-c", CLIENT, *arguments], env=environment, check=False).returncode

    return run


@pytest.mark.slow
def test_a_client_that_is_killed_again_and_again(files: Folder, run_client: Callable[..., int], tmp_path: Path) -> None:
    files.upload("large.bin", CONTENT)
    place = tmp_path / "place"
    chance = random.Random(9)
    allowed = killed = completed = 0
    while killed < KILLS:
        workers = chance.choice([1, 3, 8])
        code = run_client(workers, chance.randrange(1, 3 * PART_SIZE))
        (left,) = place.iterdir()
        if code == 0:  # it was whole before its end
            assert left.read_bytes() == CONTENT
            left.unlink()
            completed += 1
            continue
        assert code == -signal.SIGKILL
        assert is_part(left.name), "nothing incomplete is visible"
        killed += 1
        allowed += workers * PART_SIZE
    assert run_client(8, 1 << 60) == 0
    assert [path.name for path in place.iterdir()] == ["a.bin"]
    assert (place / "a.bin").read_bytes() == CONTENT
    received = sum(map(int, (tmp_path / "log").read_text().split()))
    again = received - (completed + 1) * len(CONTENT)
    assert again <= allowed
    print(f"{KILLS} kills: {again >> 20} MiB were received again, of {allowed >> 20} MiB that may be")


def test_a_thread_downloads_after_the_main_thread_has_ended(
    files: Folder, environment: dict[str, str], tmp_path: Path
) -> None:
    files.upload("large.bin", CONTENT)
    target = tmp_path / "a.bin"
    subprocess.run([sys.executable, "-c", AFTER_THE_MAIN_THREAD, target], env=environment, check=True, timeout=60)
    assert target.read_bytes() == CONTENT


def test_parts_are_kept_only_if_the_servers_digests_say_so(files: Folder, tmp_path: Path, edge_server: Any) -> None:
    content = CONTENT[: 2 * PART_SIZE + 99]
    files.upload("large.bin", content)
    store = edge_server.data / "content"
    (stored,) = [path for path in store.rglob("*") if path.is_file() and path.stat().st_size == len(content)]
    os.chmod(stored, 0o600)
    with stored.open("r+b") as file:
        file.seek(2 * PART_SIZE + 5)
        file.write(bytes([content[2 * PART_SIZE + 5] ^ 1]))
    with pytest.raises(ChecksumError):
        # With more connections the error may come before the other parts have.
        files.download("large.bin", tmp_path, max_workers=1)
    (part,) = tmp_path.iterdir()
    assert part.read_bytes() == content[: 2 * PART_SIZE], "what is wrong was not written"
    opened = files.open("large.bin", open_with="file")
    opened.seek(2 * PART_SIZE)
    with pytest.raises(ChecksumError):
        opened.read()
    stored.write_bytes(content)
    with part.open("r+b") as file:
        file.write(b"damaged")
    files.download("large.bin", tmp_path)
    assert (tmp_path / "large.bin").read_bytes() == content
    assert [path.name for path in tmp_path.iterdir()] == ["large.bin"]


def test_a_replaced_file_is_downloaded_anew(files: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = CONTENT[: 2 * PART_SIZE], CONTENT[-2 * PART_SIZE :]
    files.upload("large.bin", old)
    receive = fetching.Connections.received

    def replacing(self: fetching.Connections, connection: int, count: int) -> None:
        if files.stat("large.bin").size == len(old) and not replaced:
            replaced.append(True)
            files.upload("large.bin", new)
        receive(self, connection, count)

    replaced: list[bool] = []
    monkeypatch.setattr(fetching.Connections, "received", replacing)
    files.download("large.bin", tmp_path)
    assert (tmp_path / "large.bin").read_bytes() == old, "a download gives the version of its beginning"
    files.download("large.bin", tmp_path)
    assert (tmp_path / "large.bin").read_bytes() == new
