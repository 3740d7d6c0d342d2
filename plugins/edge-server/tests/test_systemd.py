"""Under systemd: the server says when it is ready and when it stops, and systemd takes its unit file."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests
from click.testing import CliRunner

from edge_server.run import systemd
from edge_server.run.command import server as command
from edge_server.testing.local_server import EdgeServer
from tests.programs import program

from .wire import client, close_all

EXPOSED = 25
"""Tenths of systemd's measure of what a service can reach: 96 without any of the unit's restrictions."""


def unit(*arguments: str) -> str:
    done = CliRunner().invoke(command, ["unit", *arguments])
    assert done.exit_code == 0, done.output
    return done.stdout


def analyzed(path: Path, *arguments: str) -> str:
    """What systemd-analyze says of a unit file, which it has to be content with."""
    analyze = program("systemd-analyze", "apt-get install systemd")
    done = subprocess.run([analyze, *arguments, str(path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--data", "/srv/edge", "--config", "/etc/edge/server.toml", "--user", "nobody"),
        ("--", "--access-log", "--host", "fe80::1%$HOME"),
    ],
)
def test_systemd_takes_the_unit_file_and_finds_it_restricted(arguments: tuple[str, ...], tmp_path: Path) -> None:
    path = tmp_path / "edge-server.service"
    # The user is the machine's own, as one that does not exist is told.
    path.write_text(re.sub("^(User|Group)=.*$", r"\1=daemon", unit(*arguments), flags=re.MULTILINE))
    assert analyzed(path, "verify") == ""
    analyzed(path, "security", "--offline=true", f"--threshold={EXPOSED}")


def test_what_systemd_does_not_know_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "edge-server.service"
    path.write_text(unit().replace("=edge\n", "=root\n") + "\n[Service]\nProtectSytem=strict\n")
    assert "ProtectSytem" in analyzed(path, "verify")


def test_the_unit_runs_this_installation() -> None:
    text = unit("--data", "/srv/edge", "--config", "/etc/edge/server.toml", "--", "--access-log")
    line = re.findall("^ExecStart=(.*)$", text, re.MULTILINE)
    begin = f"{sys.executable} -m edge_server run --data /srv/edge --config /etc/edge/server.toml"
    assert line == [f"{begin} --access-log"]
    assert "ReadWritePaths=/srv/edge" in text
    assert "StateDirectory=edge\n" in unit()
    assert CliRunner().invoke(command, ["run", *line[0].split()[4:], "--help"]).exit_code == 0


@pytest.mark.parametrize("arguments", [("--user", "a b"), ("--user", "x\nExecStart=y"), ("--data", "/srv/a b")])
def test_what_cannot_stand_in_a_unit_is_refused(arguments: tuple[str, ...]) -> None:
    done = CliRunner().invoke(command, ["unit", *arguments])
    assert done.exit_code == 2
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (("--acess-log",), "No such option"),
        (("--workers", "many"), "many"),
        (("--workers", "0"), "--workers"),
        (("--url-prefix", "a b"), "--url-prefix: "),
        (("further",), "unexpected extra argument"),
        (("--data", "/srv/other"), "before the --"),
        (("--access-log", "--config", "/etc/edge.toml"), "before the --"),
        (("--help",), "leave it out"),
    ],
)
def test_what_the_server_would_not_start_with_is_refused(options: tuple[str, ...], why: str) -> None:
    done = CliRunner().invoke(command, ["unit", "--", *options])
    assert (done.exit_code, done.stdout) == (2, "")
    assert "`edge server run` does not take what is after the --: " in done.stderr
    assert why in done.stderr


def test_what_may_not_be_meant_is_a_warning_beside_the_unit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    relative = CliRunner().invoke(command, ["unit", "--data", "site", "--user", "root"])
    assert (relative.exit_code, f"ReadWritePaths={tmp_path / 'site'}\n" in relative.stdout) == (0, True)
    assert f"names {tmp_path / 'site'}, as --data is relative" in relative.stderr
    assert f"make it: install -d -m 700 -o root -g root {tmp_path / 'site'}" in relative.stderr
    assert "name a user of its own" in relative.stderr
    (tmp_path / "site").mkdir()
    assert CliRunner().invoke(command, ["unit", "--data", str(tmp_path / "site")]).stderr == ""
    assert CliRunner().invoke(command, ["unit"]).stderr == ""


@pytest.mark.parametrize(
    ("options", "address"),
    [
        ((), "127.0.0.1:8790"),
        (("--host", "::1", "--port", "80"), "[::1]:80"),
        (("--host", "localhost"), "127.0.0.1:8790"),
    ],
)
def test_systemd_takes_the_socket_unit(options: tuple[str, ...], address: str, tmp_path: Path) -> None:
    text = unit("--socket", "--", *options)
    assert f"ListenStream={address}\n" in text
    (tmp_path / "edge-server.socket").write_text(text)
    (tmp_path / "edge-server.service").write_text(re.sub("^(User|Group)=.*$", r"\1=daemon", unit(), flags=re.MULTILINE))
    assert analyzed(tmp_path / "edge-server.socket", "verify") == ""


@pytest.mark.parametrize(
    ("options", "why"), [(("--host", "edge.lab"), "name an address"), (("--port", "0"), "no port")]
)
def test_systemd_cannot_listen_at_any_address(options: tuple[str, ...], why: str) -> None:
    done = CliRunner().invoke(command, ["unit", "--socket", "--", *options])
    assert (done.exit_code, done.stdout) == (2, "")
    assert why in done.stderr


@pytest.mark.slow
def test_who_comes_while_the_server_starts_anew_is_answered(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor() as pool:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/healthz"
        for _ in range(2):
            early = pool.submit(requests.get, url, timeout=120)
            with handed_over(listener, tmp_path) as process:
                assert early.result().status_code == 200
                process.send_signal(signal.SIGTERM)
                assert process.wait(60) == 0


def test_what_no_server_can_listen_at_is_refused(tmp_path: Path) -> None:
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams,
        handed_over(datagrams, tmp_path) as process,
    ):
        _, written = process.communicate(timeout=60)
        assert (process.returncode, b"have a single ListenStream in the socket unit" in written) == (1, True)


HAND_OVER = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ |= {"LISTEN_FDS": "1", "LISTEN_PID": str(os.getpid())}
os.execv(sys.executable, [sys.executable, "-m", "edge_server", "run", "--data", sys.argv[2], "--port", "1"])
"""


@contextlib.contextmanager
def handed_over(listener: socket.socket, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A server that is started as systemd starts it: its socket is file descriptor 3."""
    process = subprocess.Popen(
        [sys.executable, "-c", HAND_OVER, str(listener.fileno()), str(folder / "data")],
        pass_fds=[listener.fileno()],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        cwd="/",
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def test_units_of_two_servers_share_no_folder() -> None:
    # systemd removes it when one of them stops, and the other one's numbers would be gone.
    assert "RuntimeDirectory=%N\n" in unit()


def test_a_service_sees_its_data_at_home() -> None:
    assert "ProtectHome=read-only\n" in unit("--data", "/home/edge/site")


def test_there_is_more_time_to_stop_than_the_server_takes() -> None:
    assert systemd.STOP_SECONDS > systemd.GRACE
    assert f"TimeoutStopSec={systemd.STOP_SECONDS}s" in unit()


@pytest.fixture
def supervisor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> socket.socket:
    """A socket as systemd has one."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    listener.bind(str(tmp_path / "notify"))
    listener.settimeout(60)
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    return listener


@pytest.mark.slow
def test_a_server_is_ready_when_it_listens_and_ends_what_it_answers(supervisor: socket.socket, tmp_path: Path) -> None:
    own = EdgeServer(tmp_path / "data")
    own.start()
    try:
        assert supervisor.recv(100).startswith(b"READY=1\n")
        assert requests.get(f"{own.url}/healthz", timeout=60).status_code == 200
        api = client(own, own.create_token("admin"), "default")
        content = bytes(2 << 20)
        where = urlsplit(f"{own.url}/{api.address(api.start('late', len(content))['id'], 1)}")
        with socket.create_connection((where.hostname, where.port), 60) as sender:
            head = f"PUT {where.path}?{where.query} HTTP/1.1\r\nHost: edge\r\nContent-Length: {len(content)}\r\n"
            sender.sendall(f"{head}Expect: 100-continue\r\n\r\n".encode())
            assert sender.recv(100).startswith(b"HTTP/1.1 100"), "it has begun to answer"
            sender.sendall(content[: 1 << 20])
            os.kill(own.pid, signal.SIGTERM)
            assert supervisor.recv(100) == b"STOPPING=1"
            sender.sendall(content[1 << 20 :])
            assert sender.recv(100).startswith(b"HTTP/1.1 200")
        begun = time.monotonic()
        assert own.stop() == 0
        assert time.monotonic() - begun < systemd.STOP_SECONDS
    finally:
        supervisor.close()
        close_all()
        own.close()
