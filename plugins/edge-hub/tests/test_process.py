"""Applications that run behind the proxy, and what is left of them: nothing."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edge_core.errors import ConfigurationError
from edge_core.session import EdgeSession
from edge_hub.app_proxy import process
from edge_hub.app_proxy.process import AppFailed, Launch, serve
from edge_hub.app_proxy.proxy import AppProxy, always
from edge_hub.app_proxy.visitors import Visitor
from tests.waiting import wait_for

ADA = Visitor("ada", "Ada Lovelace")

STUBBORN = """
import os, signal, subprocess, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN)
open(sys.argv[1], "w").write(str(os.getpid()) + "\\n")
signal.pause()
"""

APP = """
import http.server, subprocess, sys
port, folder = int(sys.argv[1]), sys.argv[2]
subprocess.Popen([sys.executable, folder + "/stubborn.py", folder + "/child.pid"])

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        user = self.headers.get("X-Forwarded-User", "nobody").encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(user)))
        self.end_headers()
        self.wfile.write(user)

print("listening", flush=True)
http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()
"""


@pytest.fixture
def lines() -> list[str]:
    return []


Start = Callable[..., Launch]


@pytest.fixture
def launch(tmp_path: Path, lines: list[str], free_port: int) -> Start:
    """Writes an application of one Python file."""

    def write(source: str, *arguments: str) -> Launch:
        (tmp_path / "app.py").write_text(textwrap.dedent(source))
        command = [sys.executable, "app.py", *arguments]
        return Launch(command, tmp_path, os.environ, ("127.0.0.1", free_port), lines.append)

    return write


def is_running(pid: int) -> bool:
    """Whether a process is there that is not only waiting for its parent to take note of its end."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


def child(folder: Path) -> int | None:
    """The process that the application has started, once it runs."""
    file = folder / "child.pid"
    return int(file.read_text()) if file.exists() and file.read_text().endswith("\n") else None


def run(launch: Launch, when_ready: Any = None, patience: float | None = None) -> None:
    async def nothing(_address: str) -> None: ...

    proxy = AppProxy(launch.address, always(ADA))
    asyncio.run(serve(launch, proxy, ("127.0.0.1", 0), when_ready or nothing, patience=patience))


def test_an_application_runs_behind_the_proxy_and_all_of_it_ends(
    launch: Start,
    tmp_path: Path,
    free_port: int,
    lines: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(process, "STOP_TIMEOUT", 0.2)
    (tmp_path / "stubborn.py").write_text(STUBBORN)
    pids = []

    def visit(address: str) -> bytes:
        pids.append(wait_for(lambda: child(tmp_path)))
        return urllib.request.urlopen(address).read()

    async def when_ready(address: str) -> None:
        assert await asyncio.to_thread(visit, address) == b"ada"

    run(launch(APP, str(free_port), str(tmp_path)), when_ready)

    assert lines[0] == "listening"
    wait_for(lambda: not is_running(pids[0]))


def test_an_application_that_ends_says_so_with_its_last_lines(launch: Start) -> None:
    with pytest.raises(AppFailed, match="has ended with exit code 3") as failed:
        run(launch("print('no table'); raise SystemExit(3)"))

    assert failed.value.last_lines == ["no table"]


def test_an_application_that_never_listens_says_where_it_should(launch: Start, free_port: int) -> None:
    with pytest.raises(AppFailed, match="does not answer after") as failed:
        run(launch("import signal; signal.pause()"), patience=0.3)

    assert f"Nothing listens at http://127.0.0.1:{free_port} yet." in str(failed.value)


def test_a_command_that_is_not_there_is_a_sentence(tmp_path: Path, free_port: int) -> None:
    with pytest.raises(AppFailed, match="streamlut cannot be started"):
        run(Launch(["streamlut"], tmp_path, {"PATH": ""}, ("127.0.0.1", free_port), print))


def test_what_listens_at_the_port_already_is_not_taken_for_the_application(launch: Start, free_port: int) -> None:
    import socket

    with socket.create_server(("127.0.0.1", free_port)), pytest.raises(ConfigurationError, match="cannot be had"):
        run(launch("import signal; signal.pause()"))


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_a_signal_stops_the_application_with_its_processes(
    number: signal.Signals, tmp_path: Path, free_port: int, edge_session: EdgeSession
) -> None:
    settings = edge_session.config
    (tmp_path / "app.py").write_text(APP)
    (tmp_path / "stubborn.py").write_text(STUBBORN.replace("signal.signal(", "0 and signal.signal("))
    started = subprocess.Popen(
        [
            *(sys.executable, "-m", "edge_hub.app_proxy", "--listen", "127.0.0.1:0", "--app", f"127.0.0.1:{free_port}"),
            *("--", sys.executable, "app.py", str(free_port), str(tmp_path)),
        ],
        cwd=tmp_path,
        env={
            **os.environ,
            "EDGE_APP_IDENTITY": "session",
            "EDGE_API_TOKEN": settings.api_token,
            "EDGE_API_SERVICE_URL": settings.service_url,
            "EDGE_API_ORG": settings.organization,
        },
        stdout=subprocess.PIPE,
    )
    with started:
        pid = wait_for(lambda: child(tmp_path))
        started.send_signal(number)
        assert started.wait(process.STOP_TIMEOUT * 60) == 0

    wait_for(lambda: not is_running(pid))


@pytest.mark.slow
def test_whoever_reaches_the_port_is_not_taken_for_the_user_unasked() -> None:
    started = subprocess.run(
        [sys.executable, "-m", "edge_hub.app_proxy", "true"], capture_output=True, text=True, check=False
    )

    assert started.returncode == 1
    assert started.stderr.startswith("Error: nothing says who visits this application; set EDGE_APP_IDENTITY=session")
