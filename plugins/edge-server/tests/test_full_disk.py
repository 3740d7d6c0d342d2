"""A disk that is full: deleting helps, deleted content can be freed at once, and the server goes on with the space.

The disk is a small tmpfs, which can be mounted by root on Linux; elsewhere those tests are skipped.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from edge_server.data.database import FILE_NAME, VERSION_TABLE
from edge_server.data.migrations import HEAD
from edge_server.data.reserve import FILE_NAME as RESERVE
from edge_server.run import data_folder
from edge_server.run.command import server as command
from edge_server.testing.local_server import EdgeServer
from tests.waiting import wait_for

from .engines import sqlite_only
from .stores import FOLDER, environment_of, folder_only, kind
from .wire import Api, client, close_all, refused

MIB = 1 << 20


def invoke(data: Path, *arguments: str) -> Result:
    return CliRunner().invoke(command, [arguments[0], "--data", str(data), *arguments[1:]])


# --- purge


def test_purge_frees_deleted_content_while_the_server_runs(edge_server: EdgeServer, api: Api) -> None:
    kept, gone = os.urandom(1000), os.urandom(2000)
    api.put("a", kept)
    version = api.stat("a").json()["version"]
    api.put("a", gone)
    api.put("folder/b", b"12345")
    api.files("POST", "/copy", json={"path": "folder/b", "new_path": "c"})
    api.files("DELETE", "/entry", params={"path": "folder", "recursive": "true"})
    address = api.files("GET", "/download-url", params={"path": "a", "version": version}).json()["url"]
    done = invoke(edge_server.data, "purge", "--org", api.organization, "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout) == {"versions": 2, "freed_bytes": 1000}, "the copy has the content of the other"
    assert api.get("a").content == gone
    assert api.get("c").content == b"12345"
    refused(api.get("a", version=version), 404, "not_found")
    refused(api.signed("GET", address), 404, "not_found")
    assert len(api.files("GET", "/versions", params={"path": "a"}).json()["items"]) == 1
    refused(api.files("POST", "/restore", json={"path": "a", "version": version}), 404, "not_found")
    done = invoke(edge_server.data, "purge", "--org", api.organization)
    assert done.stderr == "0 deleted or replaced versions dropped, 0 bytes freed\n"
    done = invoke(edge_server.data, "purge", "--org", "nobody")
    assert done.exit_code == 1
    assert "the organization 'nobody' is not on this server" in done.stderr


@sqlite_only("a folder without a file")
def test_purge_explains_what_is_no_data_folder(tmp_path: Path) -> None:
    done = invoke(tmp_path, "purge")
    assert done.exit_code == 1
    assert "holds no server's data" in done.output


# --- a small disk


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 32 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=32m", "tmpfs", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip(f"a tmpfs cannot be mounted here: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture
def small(disk: Path) -> Iterator[EdgeServer]:
    server = EdgeServer(disk / "data")
    server.start("--threads", "4", "--access-log")
    try:
        yield server
    finally:
        close_all()
        server.close()


def fill(folder: Path) -> None:
    """Take all that is free, as another program would."""
    with contextlib.suppress(OSError), open(folder / "other", "wb", buffering=0) as file:
        while file.write(bytes(4096)):
            pass


@folder_only("content that takes the room of its disk")
@pytest.mark.slow
def test_deleting_on_a_full_disk_makes_room(small: EdgeServer, disk: Path) -> None:
    own = client(small, small.create_token("admin"), "default")
    content = os.urandom(MIB)
    stored = 0
    while (answer := own.put(f"f{stored}", content)).status_code == 201:
        stored += 1
    refused(answer, 507, "insufficient_storage")
    assert answer.headers["Retry-After"]
    assert stored > 10
    fill(disk)
    assert (small.data / RESERVE).exists()
    assert own.get("f0").content == content, "reading needs no room"
    for path in ("f0", "f1", "f2"):
        assert own.files("DELETE", "/entry", params={"path": path}).status_code == 204
    assert own.put("new", content).status_code == 201
    assert own.get("new").content == content
    assert own.get("f3").content == content
    (disk / "other").unlink()
    assert "failed" not in small.log
    done = invoke(small.data, "fsck", "--deep")
    assert done.exit_code == 0, done.output


@folder_only("content that takes the room of its disk")
@pytest.mark.slow
def test_deleting_makes_room_on_the_disk_that_content_is_on(disk: Path, tmp_path: Path) -> None:
    with serving(tmp_path / "data", disk / "content") as (own, _):
        content = os.urandom(MIB)
        stored = 0
        while own.put(f"f{stored}", content).status_code == 201:
            stored += 1
        assert stored > 10
        fill(disk)
        for path in ("f0", "f1", "f2"):
            assert own.files("DELETE", "/entry", params={"path": path}).status_code == 204
        assert own.put("new", content).status_code == 201


@folder_only("content that is on another disk")
@pytest.mark.slow
def test_deleted_content_on_another_disk_stays(disk: Path, tmp_path: Path) -> None:
    with serving(disk / "data", tmp_path / "content") as (own, server):
        assert own.put("a", b"a").status_code == 201
        version = own.stat("a").json()["version"]
        fill(disk)
        assert own.files("DELETE", "/entry", params={"path": "a"}).status_code == 204
        assert "before its time" not in server.log
        assert own.get("a", version=version).content == b"a"


@sqlite_only("which is copied before it is migrated")
@pytest.mark.slow
@pytest.mark.parametrize("name", [["run", "--port", "0"], ["migrate"]], ids=["run", "migrate"])
def test_a_newer_server_on_a_full_disk_is_a_sentence(small: EdgeServer, disk: Path, name: list[str]) -> None:
    small.stop()
    before = f"{int(HEAD) - 1:04}"
    with contextlib.closing(sqlite3.connect(small.data / FILE_NAME)) as connection, connection:
        connection.execute(f"UPDATE {VERSION_TABLE} SET version_num = ?", (before,))
    (small.data / RESERVE).unlink(missing_ok=True)
    fill(disk)
    os.truncate(disk / "other", (disk / "other").stat().st_size - (96 << 10))  # in which it opens
    done = ended(small.data, *name)
    assert done.returncode == 1
    assert "No space left on device" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not list((small.data / "backups").glob("*"))
    (disk / "other").unlink()


@contextlib.contextmanager
def serving(data: Path, content: Path) -> Iterator[tuple[Api, EdgeServer]]:
    """A server whose content is apart from its data folder."""
    data.mkdir(mode=0o700)
    (data / "server.toml").write_text(f"[storage]\ndirectory = {json.dumps(str(content))}\n")
    server = EdgeServer(data)
    server.start("--threads", "4")
    try:
        yield client(server, server.create_token("admin"), "default"), server
    finally:
        close_all()
        server.close()


@folder_only("content that takes the room of its disk")
@pytest.mark.slow
def test_purge_on_a_full_disk_makes_room(small: EdgeServer, disk: Path) -> None:
    own = client(small, small.create_token("admin"), "default")
    content = os.urandom(MIB)
    for _ in range(4):
        assert own.put("a", content).status_code == 201
    for running in (True, False):
        fill(disk)
        if not running:
            small.stop()
        (small.data / RESERVE).unlink(missing_ok=not running)
        fill(disk)
        done = invoke(small.data, "purge", "--json")
        assert done.exit_code == 0, done.output
        (disk / "other").unlink()
        if running:
            assert json.loads(done.stdout) == {"versions": 3, "freed_bytes": 3 * MIB}
            assert own.put("a", content).status_code == 201
    done = invoke(small.data, "fsck", "--deep")
    assert done.exit_code == 0, done.output


@pytest.mark.slow
def test_every_operation_tells_of_a_full_disk_and_goes_on_later(small: EdgeServer, disk: Path) -> None:
    own = client(small, small.create_token("admin"), "default")
    first = own.start("large")["id"]
    addresses = [own.address(first, n) for n in (1, 2)]
    own.put("a", b"1")
    (small.data / RESERVE).unlink()
    fill(disk)
    content = os.urandom(MIB)
    answers = [own.put(f"f{n}", content) for n in range(3)]
    answers += [own.signed("PUT", address, data=bytes(8 * MIB)) for address in addresses]
    answers += [own.files("POST", "/uploads", json={"path": f"u{n}" * 40, "size": 1}) for n in range(60)]
    answers += [
        own.files("POST", "/folders", json={"path": "x" * 200 + str(n)}, headers={"Idempotency-Key": f"k{n}"})
        for n in range(200)
    ]
    states = {answer.status_code for answer in answers}
    assert 507 in states
    assert states <= {201, 503, 507}, states
    for answer in answers:
        if answer.status_code > 500:
            problem = answer.json()
            assert problem["code"] in ("insufficient_storage", "storage_failed")
            assert answer.headers["Retry-After"]
            assert problem["request_id"] == answer.headers["X-Request-ID"]
    (disk / "other").unlink()
    for n, answer in enumerate(answers[-200:]):
        again = own.files("POST", "/folders", json={"path": "x" * 200 + str(n)}, headers={"Idempotency-Key": f"k{n}"})
        assert again.status_code == 201, (answer.text, again.text)
    assert own.put("f", content).status_code == 201
    assert own.upload("g", os.urandom(2 * MIB)).status_code == 200
    small.restart()
    own.url = small.url
    assert own.get("f").content == content
    done = invoke(small.data, "fsck", "--deep")
    assert done.exit_code == 0, done.output
    assert "Traceback" not in small.log


COMMANDS = (
    ("check",),
    ("env",),
    ("migrate",),
    ("rename-user", "admin", "boss"),
    ("rename-organization", "default", "lab"),
    ("rotate-keys",),
    ("rotate-keys", "--signing"),
    ("fsck", "--deep"),
    ("backup", "outside"),
    ("backup", "disk"),
    ("restore", "outside"),
    ("move", "--to", "disk/site/server.toml"),
    ("run", "--port", "0"),
    ("purge",),
)
"""Each command, and where its folders are: on the full disk, or outside of it."""

OF_A_FOLDER = ("backup", "restore")
"""Those that say at once that content in a bucket is not theirs."""


def ended(data: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """What became of a command in a process of its own; a server that starts is stopped."""
    command_line = [sys.executable, "-m", "edge_server", arguments[0], "--data", str(data), *arguments[1:]]
    environment = os.environ | environment_of(data)
    with subprocess.Popen(
        command_line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        if arguments[0] == "run":
            wait_for(lambda: process.poll() is not None or data_folder.running_url(data))
            process.terminate()
        printed, complaint = process.communicate()
        return subprocess.CompletedProcess(command_line, process.returncode, printed, complaint)


@sqlite_only("which is on the disk")
@pytest.mark.slow
@pytest.mark.parametrize("left", [0, 96 << 10], ids=["nothing", "96 KiB"])
def test_every_command_on_a_full_disk_is_a_sentence_or_done(
    small: EdgeServer, disk: Path, tmp_path: Path, left: int
) -> None:
    own = client(small, small.create_token("admin"), "default")
    content = os.urandom(MIB)
    assert own.put("a", content).status_code == 201
    assert own.call("POST", "/v1/orgs/default/secrets/user", json={"name": "n", "content": {"a": 1}}).status_code == 201
    small.stop()
    backups = tmp_path / "outside"
    in_folder = kind() == FOLDER
    assert invoke(small.data, "backup", str(backups)).exit_code == (0 if in_folder else 1)
    (disk / "site").mkdir()
    (disk / "site" / "server.toml").touch()
    moved = disk / "site" / "server.toml"
    places = {"outside": str(backups), "disk": str(disk / "backups"), "disk/site/server.toml": str(moved)}
    for name, *arguments in COMMANDS:
        if name in OF_A_FOLDER and not in_folder:
            continue
        (small.data / RESERVE).unlink(missing_ok=True)
        fill(disk)
        os.truncate(disk / "other", (disk / "other").stat().st_size - left)
        folder = disk / "restored" if name == "restore" else small.data
        done = ended(folder, name, *(places.get(argument, argument) for argument in arguments))
        (disk / "other").unlink()
        assert done.returncode in (0, 1, -signal.SIGTERM), (name, done.stderr)
        if done.returncode == 1:
            assert len((done.stderr or done.stdout).strip().splitlines()) == 1, (name, done.stdout, done.stderr)
        (small.data / "moved.json").unlink(missing_ok=True)
        shutil.rmtree(disk / "restored", ignore_errors=True)
        shutil.rmtree(disk / "backups", ignore_errors=True)
    assert invoke(small.data, "fsck", "--deep").exit_code == 0
    small.start()
    own.url = small.url
    if own.get("a").status_code == 404:
        own.organization = "lab"  # as it is called since
    assert own.get("a").content == content
    assert own.call("GET", f"/v1/orgs/{own.organization}/secrets/user/n").json()["content"] == {"a": 1}
