"""Starting, stopping, crashing and starting again."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit

import pytest
import requests
import sqlalchemy as sa
from click.testing import CliRunner, Result

from edge_server.base import clock
from edge_server.base.problems import CannotStart
from edge_server.data.database import SERVER
from edge_server.data.store import FolderStore, Written
from edge_server.files import sending
from edge_server.files.models import Upload
from edge_server.identity import directory
from edge_server.identity.models import Token
from edge_server.keys import sealing
from edge_server.keys.signing import Signer
from edge_server.run import data_folder, process
from edge_server.run.app import engines_at
from edge_server.run.command import server as command
from edge_server.testing.local_server import EdgeServer
from edge_server.web.leases import LEASE
from tests.waiting import wait_for

from .engines import sqlite_only
from .stores import environment_of, folder_only
from .wire import Api, client, close_all, refused


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[EdgeServer]:
    """A server of the test's own, not started."""
    server = EdgeServer(tmp_path / "data")
    yield server
    close_all()
    server.close()


def admin(server: EdgeServer) -> Api:
    return client(server, server.create_token("admin"), "default")


def run(*arguments: str | Path) -> Result:
    """The command, to its end."""
    return CliRunner().invoke(command, [str(argument) for argument in arguments])


def children_of(pid: int) -> set[int]:
    """The processes that `pid` has started."""
    listed = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True).stdout
    return {int(child) for child in listed.split()}


def sockets_of(pid: int) -> set[str]:
    """The sockets that a process has open."""
    links = set()
    for path in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed since it was listed
            links.add(os.readlink(path))
    return {link for link in links if link.startswith("socket:")}


def exports(text: str) -> dict[str, str]:
    """The settings in what the command printed."""
    lines = [shlex.split(line) for line in text.splitlines() if line.startswith("export ")]
    return dict(line[1].split("=", 1) for line in lines)


@pytest.mark.slow
def test_a_first_start_makes_all_that_is_needed_and_later_ones_go_on_with_it(own_server: EdgeServer) -> None:
    own_server.start()
    settings = exports(own_server.log)
    assert set(settings) == {"EDGE_API_SERVICE_URL", "EDGE_API_ORG", "EDGE_API_TOKEN"}
    assert settings["EDGE_API_SERVICE_URL"] == own_server.url
    first = client(own_server, settings["EDGE_API_TOKEN"], settings["EDGE_API_ORG"])
    me = first.call("GET", "/v1/users/me").json()
    assert me["server_admin"]
    assert me["organizations"][0]["roles"] == ["admin", "developer"]
    assert first.put("kept", b"kept").status_code == 201
    assert own_server.data.stat().st_mode & 0o777 == 0o700
    open_to_others = [path for path in own_server.data.rglob("*") if path.stat().st_mode & 0o077]
    assert {path.name for path in open_to_others} <= {"server.json"}, "it holds the address alone"
    running = json.loads((own_server.data / "server.json").read_text())
    assert running == {"url": own_server.url, "pid": own_server.pid}
    close_all()
    assert own_server.stop() == 0
    assert not (own_server.data / "server.json").exists()

    own_server.start()
    later = own_server.log.rpartition("shown only now")[2]
    assert later.count("EDGE_API_TOKEN=") == 1
    assert f"edge server env --data {own_server.data}" in later
    again = client(own_server, settings["EDGE_API_TOKEN"], "default")
    assert again.get("kept").content == b"kept"


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
def test_a_data_folder_that_others_could_read_is_closed(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    folder.chmod(0o755)
    with data_folder.locked(folder):
        assert folder.stat().st_mode & 0o777 == 0o700


def test_what_env_prints_is_quoted_for_the_shell() -> None:
    odd = data_folder.Access("http://127.0.0.1:1/$(x)", "a b", "edg_'x")
    assert exports(odd.exports()) == {
        "EDGE_API_SERVICE_URL": "http://127.0.0.1:1/$(x)",
        "EDGE_API_ORG": "a b",
        "EDGE_API_TOKEN": "edg_'x",
    }


def test_a_second_server_on_the_same_data_is_refused(edge_server: EdgeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data_folder, "LOCK_WAIT", 0.1)
    done = run("run", "--data", edge_server.data, "--port", "0")
    assert done.exit_code == 1
    assert done.stderr.startswith("Error: a server is running on")
    assert edge_server.url in done.stderr
    assert done.stderr.count("\n") == 1
    assert requests.get(f"{edge_server.url}/healthz", timeout=60).status_code == 200


def test_a_port_that_is_taken_is_a_sentence(edge_server: EdgeServer, tmp_path: Path) -> None:
    port = edge_server.url.rpartition(":")[2]
    done = run("run", "--data", tmp_path / "other", "--port", port)
    assert done.exit_code == 1
    assert "cannot listen at 127.0.0.1:" in done.stderr
    assert done.stderr.count("\n") == 1
    done = run("run", "--data", tmp_path / "other", "--host", "no.such.host.invalid")
    assert "is no address to listen at" in done.stderr


def test_a_folder_that_cannot_be_used_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("x")
    for path, sentence in (("file", "is a file"), ("file/below", "is a file"), ("mine", "holds other things")):
        result = run("run", "--data", tmp_path / path, "--port", "0")
        assert result.exit_code == 1
        assert sentence in result.output
        assert result.output.count("\n") == 1
    assert os.listdir(tmp_path / "mine") == ["thesis.tex"]


def test_a_folder_with_nothing_but_keys_is_a_servers(tmp_path: Path) -> None:
    (tmp_path / sealing.FILE_NAME).touch()
    with data_folder.locked(tmp_path):
        pass


def test_a_folder_that_cannot_be_written_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(tmp_path / "data"))

    monkeypatch.setattr(Path, "mkdir", refuse)
    result = run("run", "--data", tmp_path / "data", "--port", "0")
    assert result.exit_code == 1
    assert f"{tmp_path / 'data'} cannot be used (Permission denied)" in result.output


@sqlite_only("what is in the file")
def test_a_file_that_is_not_a_database_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "edge.sqlite3").write_bytes(b"not a database at all" * 100)
    result = run("run", "--data", tmp_path, "--port", "0")
    assert result.exit_code == 1
    assert "(file is not a database)" in result.output
    assert result.output.count("\n") == 1


def test_env_gives_a_token_of_its_own_and_forgets_the_expired_ones(edge_server: EdgeServer) -> None:
    edge_server.create_token("admin", note="local-env", expires_in=-1)
    edge_server.create_token("admin", note="other", expires_in=-1)
    done = run("env", "--data", edge_server.data)
    assert done.exit_code == 0, done.stderr
    settings = exports(done.stdout)
    assert settings["EDGE_API_SERVICE_URL"] == edge_server.url
    http = client(edge_server, settings["EDGE_API_TOKEN"], settings["EDGE_API_ORG"])
    assert http.names() == []
    with edge_server.database.read() as session:
        tokens = list(session.scalars(sa.select(Token).where(Token.note.in_(["local-env", "other"]))))
    assert sorted(token.note or "" for token in tokens) == ["local-env", "other"]
    (mine,) = (token for token in tokens if token.note == "local-env")
    assert mine.expires_at is not None
    assert (mine.expires_at - mine.created_at).days == 30


def test_env_lets_someone_back_in_who_lost_all_tokens(edge_server: EdgeServer) -> None:
    organization = edge_server.create_organization()
    user = edge_server.create_user(organization=organization)
    done = run("env", "--data", edge_server.data, "--user", user)
    assert done.exit_code == 0, done.stderr
    settings = exports(done.stdout)
    assert settings["EDGE_API_ORG"] == organization
    http = client(edge_server, settings["EDGE_API_TOKEN"], organization)
    assert http.call("GET", "/v1/users/me").json()["user_name"] == user
    unknown = run("env", "--data", edge_server.data, "--user", "nobody-there")
    assert unknown.exit_code == 1
    assert unknown.stderr.startswith("Error: the user 'nobody-there' is not on this server; `edge admin users list` ")


def test_env_loads_no_subsystem(edge_server: EdgeServer) -> None:
    code = """
import sys
from edge_server.run.command import server
server(["env", "--data", sys.argv[1]], standalone_mode=False)
print(*{name.split(".")[1] for name in sys.modules if name.startswith("edge_server.")})
print(*{"alembic", "cryptography", "flask_smorest", "webargs"} & set(sys.modules))
"""
    ran = subprocess.run(
        [sys.executable, "-c", code, edge_server.data],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | environment_of(edge_server.data),
    )
    *_, rooms, heavy = ran.stdout.splitlines()
    assert set(rooms.split()) == {"base", "data", "identity", "run"}
    assert not heavy, "what each start of a shell would wait for"


@pytest.mark.slow
def test_env_without_a_server_is_a_sentence(own_server: EdgeServer, tmp_path: Path) -> None:
    own_server.start()
    own_server.kill()
    assert (own_server.data / "server.json").exists()
    for folder in (own_server.data, tmp_path / "never"):
        done = run("env", "--data", folder)
        assert done.exit_code == 1
        assert done.stderr.startswith("Error: no server is running on")
        assert done.stderr.count("\n") == 1


@sqlite_only("what is left is dropped at its start, when no other host can be at it")
@pytest.mark.slow
@folder_only("a file that nobody has left there")
def test_an_upload_goes_on_after_a_kill(own_server: EdgeServer) -> None:
    own_server.start()
    api = admin(own_server)
    upload = api.start("a", 4)["id"]
    part = api.part(upload, 1, b"abcd")
    orphan = own_server.data / "uploads" / "left-by-nobody"
    orphan.write_bytes(b"x")
    own_server.kill()
    own_server.start()
    api.url = own_server.url
    assert api.complete(upload, [part], b"abcd").status_code == 200
    assert api.get("a").content == b"abcd"
    assert not orphan.exists()


@pytest.mark.slow
@folder_only("parts without entity tags")
def test_an_upload_that_a_crash_left_half_completed_can_be_completed(own_server: EdgeServer) -> None:
    own_server.start()
    api = admin(own_server)
    upload = api.start("a", 4)["id"]
    part = api.part(upload, 1, b"abcd")
    own_server.kill()
    # As if it had died after the content was stored, and before the transaction that says so.
    with own_server.database.write(SERVER) as session:
        row = session.scalars(sa.select(Upload).where(Upload.uid == upload)).one()
        row.completing_until = clock.now() + LEASE
        parts = [Written(4, hashlib.sha256(b"abcd").hexdigest())]
        FolderStore(own_server.data).complete_upload(row.store_id, row.key, parts, in_doubt=False)
    own_server.start()
    api.url = own_server.url
    refused(api.signed("PUT", api.address(upload, 1), data=b"abce"), 409, "conflict")
    assert api.part(upload, 1, b"abcd") == part
    assert api.complete(upload, [part], b"abcd").status_code == 200
    assert api.get("a").content == b"abcd"


@pytest.mark.slow
@folder_only("a file that is being written")
@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="reads /proc")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_lets_a_request_finish(own_server: EdgeServer, number: signal.Signals) -> None:
    own_server.start()
    api = admin(own_server)
    where = urlsplit(own_server.url)
    with socket.create_connection((where.hostname, where.port)) as wire:
        wire.sendall(
            f"PUT /v1/orgs/default/files/content?path=late HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
            f"Authorization: Bearer {api.token}\r\nContent-Length: 100000\r\n\r\n".encode()
            + bytes(50_000)
        )
        wait_for(lambda: list((own_server.data / "incoming").iterdir()))  # a worker is at it
        before = sockets_of(own_server.pid)
        # As a terminal does on Ctrl-C: to the workers as well.
        os.killpg(own_server.pid, number)
        wait_for(lambda: sockets_of(own_server.pid) < before)  # it listens no more
        wire.sendall(bytes(50_000))
        answer = wire.makefile("rb").read()
    assert answer.startswith(b"HTTP/1.1 201 ")
    assert own_server.stop() == 0
    assert "Traceback" not in own_server.log
    assert not (own_server.data / "server.json").exists()


@pytest.mark.slow
def test_a_worker_that_dies_is_replaced_and_the_folder_stays_taken(
    own_server: EdgeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data_folder, "LOCK_WAIT", 0.1)
    own_server.start("--workers", "2")
    children = wait_for(lambda: len(children_of(own_server.pid)) == 2 and children_of(own_server.pid))
    for child, number in zip(children, (signal.SIGTERM, signal.SIGKILL), strict=True):
        os.kill(child, number)
    wait_for(lambda: len(children_of(own_server.pid) - children) == 2)
    assert admin(own_server).call("GET", "/healthz").status_code == 200
    assert (own_server.data / "server.json").exists()
    done = run("run", "--data", own_server.data, "--port", "0")
    assert "a server is running on" in done.stderr


@pytest.mark.slow
def test_the_server_leaves_nothing_outside_of_its_folder(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    code = "import sys; from edge_server.run.command import server; server(['run', '--port', '0', '--data', '../data'])"
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=home,
        env={**os.environ, "HOME": str(home), "XDG_RUNTIME_DIR": str(home), "TMPDIR": str(home)},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        for line in process.stdout:
            if "EDGE_API_TOKEN" in line:
                break
        # The last of what a start makes.
        for task in ("audit", "departures", "housekeeping", "pruning", "removal"):
            wait_for((tmp_path / "data" / f"{task}.lock").exists)
        assert list(home.rglob("*")) == []
    finally:
        process.terminate()
        process.communicate(timeout=60)
    assert process.returncode == 0
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == [
        "audit.lock",
        "content",
        "departures.lock",
        "edge.sqlite3",
        "housekeeping.lock",
        "incoming",
        "pruning.lock",
        "removal.lock",
        "reserve",
        "sealing.keys",
        "sealing.lock",
        "server.lock",
        "signing.key",
        "signing.lock",
        "uploads",
    ]


def test_others_who_can_reach_the_server_are_warned_of(tmp_path: Path) -> None:
    for host, loopback, url in (
        ("127.0.0.1", True, "http://127.0.0.1:"),
        ("localhost", True, "http://"),
        ("0.0.0.0", False, "http://127.0.0.1:"),
        ("::1", True, "http://[::1]:"),
    ):
        try:
            listener = process.listen(host, 0)
        except CannotStart:
            assert host == "::1", "only IPv6 may be missing here"
            continue
        with listener:
            assert process.is_loopback(listener) is loopback
            assert process.url_of(listener).startswith(url)


@folder_only("what the system sends from a file")
def test_a_large_download_goes_through_sendfile_and_a_range_stops_where_it_should(
    edge_server: EdgeServer, api: Api
) -> None:
    content = os.urandom(3 << 20)
    api.upload("large", content)
    url = api.files("GET", "/download-url", params={"path": "large"}).json()["url"]
    where = urlsplit(edge_server.url)
    with socket.create_connection((where.hostname, where.port)) as wire:
        wire.settimeout(60)
        for _ in range(2):  # twice on one connection: a byte too many would break the second
            wire.sendall(f"GET /{url} HTTP/1.1\r\nHost: x\r\nRange: bytes=1000-1999999\r\n\r\n".encode())
            reader = wire.makefile("rb")
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                head += reader.readline()
            assert b"206" in head
            assert reader.read(1999000) == content[1000:2000000]


@folder_only("files that are open")
def test_content_is_handed_to_the_server_as_a_file_unless_it_is_small(edge_server: EdgeServer, api: Api) -> None:
    from edge_server.run.app import build

    content = os.urandom(sending.READ_AT_ONCE + 6)
    entry = api.put("a", content).json()
    app = build(engines_at(edge_server.data, Signer(b""), database=edge_server.database))
    handed: list[int] = []

    def wrapper(file: BinaryIO, size: int) -> list[bytes]:
        handed.append(file.tell())
        with contextlib.closing(file):
            return [file.read(size)]

    for start, places in ((5, [5]), (6, [])):
        handed.clear()
        answer = app.test_client().get(
            f"/v1/orgs/{api.organization}/files/content?path=a&version={entry['version']}",
            headers={"Authorization": f"Bearer {api.token}", "Range": f"bytes={start}-"},
            environ_overrides={"wsgi.file_wrapper": wrapper},
        )
        assert answer.data == content[start:]
        assert handed == places


@pytest.mark.slow
def test_waitress_serves_the_same(edge_server: EdgeServer, api: Api) -> None:
    code = """
import sys, pathlib
from edge_server.run import app, process, start
listener = process.listen("127.0.0.1", 0)
ready = lambda: print(process.url_of(listener), flush=True)
with start.engines(pathlib.Path(sys.argv[1])) as engines:
    engines.store.create()  # as at the start of a server, which finds out how a bucket's addresses are signed
    process.serve_with_waitress(app.build(engines, app.load(engines)), listener, 4, ready)
"""
    process = subprocess.Popen(
        [sys.executable, "-c", code, edge_server.data],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | environment_of(edge_server.data),
    )
    try:
        assert process.stdout is not None
        over = client(edge_server, api.token, api.organization)
        over.url = process.stdout.readline().strip()
        _check_waitress(over)
    finally:
        process.terminate()
        process.communicate(timeout=60)
    assert process.returncode == 0


def _check_waitress(over: Api) -> None:
    content = os.urandom(9 << 20)
    assert over.put("small", b"0123456789").status_code == 201
    ranged = over.files("GET", "/content", params={"path": "small"}, headers={"Range": "bytes=2-3"})
    assert ranged.content == b"23"
    assert over.upload("large", content).status_code == 200
    signed = over.files("GET", "/download-url", params={"path": "large"}).json()["url"]
    assert over.signed("GET", signed).content == content
    assert over.signed("GET", signed, headers={"Range": "bytes=100-199"}).content == content[100:200]
    refused(over.put("more", bytes((1 << 20) + 1)), 413, "too_large")


@pytest.mark.slow
def test_a_server_that_does_not_start_says_why(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file")
    with pytest.raises(RuntimeError, match="is a file; choose a folder"):
        EdgeServer(tmp_path / "data").start()


def test_the_first_token_is_shown_also_where_the_start_fails_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise CannotStart("this start fails")

    monkeypatch.setattr(process, "serve", fail)
    done = CliRunner().invoke(command, ["run", "--data", str(tmp_path / "data"), "--port", "0"])
    assert (done.exit_code, done.stderr) == (1, "Error: this start fails\n")
    assert "did not start. This token is shown only now" in done.stdout
    assert done.stdout.count("export EDGE_API_TOKEN=edg_") == 1


@pytest.mark.slow
def test_a_server_starts_in_a_folder_that_is_closed_to_it(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir()
    # That a folder is gone is the same to the system, and holds for root as well.
    code = "import os, sys; os.rmdir(os.getcwd()); from edge_server.run.command import server; server(sys.argv[1:])"
    server = subprocess.Popen(
        [sys.executable, "-c", code, "run", "--data", str(tmp_path / "data"), "--port", "0"],
        cwd=closed,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert server.stdout is not None
    assert "listens" in server.stdout.readline()
    server.terminate()
    server.communicate(timeout=60)
    assert server.returncode == 0


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="root alone can give a folder away")
def test_root_leaves_nothing_in_the_folder_of_another_users_server(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir(mode=0o700)
    for uid, name in ((1, "daemon"), (54321, "'#54321'")):
        os.chown(folder, uid, -1)
        for arguments in (["run"], ["fsck"], ["purge"], ["rotate-keys"], ["migrate"], ["backup", str(tmp_path / "to")]):
            done = CliRunner().invoke(command, [*arguments, "--data", str(folder)])
            assert done.exit_code == 1
            assert f"run: runuser -u {name} -- edge server {arguments[0]} ..." in done.stderr
    assert list(folder.iterdir()) == []
    done = CliRunner().invoke(command, ["status", "--data", str(folder)])
    assert "belongs to" not in done.stderr


def test_roles_that_do_not_exist_are_refused(edge_server: EdgeServer) -> None:
    organization = edge_server.create_organization()
    with pytest.raises(ValueError, match="there is no role 'owner'"):
        edge_server.create_user(organization=organization, roles=["owner"])
    with pytest.raises(LookupError):
        edge_server.create_user(organization="nowhere")
    with pytest.raises(LookupError):
        edge_server.create_token("nobody")
    assert directory.ROLES == ("admin", "developer")


def test_a_session_is_of_a_fresh_organization(edge_session: object) -> None:
    me = edge_session.whoami()  # type: ignore[attr-defined]
    assert [membership.roles for membership in me.organizations] == [["admin", "developer"]]
