"""A real hub with `edge_hub.configure`, and what `edge hub run` starts."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import requests
from click.testing import CliRunner

from edge_core.errors import ConfigurationError
from edge_core.session import EdgeSession
from edge_hub import running
from edge_hub.command import hub as command
from edge_hub.spawning.table import Table
from edge_server.base.problems import CannotStart
from edge_server.run import data_folder
from tests.hubs import RealHub
from tests.programs import program
from tests.waiting import wait_for

APP = Path(__file__).with_name("reporting_app.py")

CONFIGURED = """
import edge_hub

c.Spawner.start_timeout = c.Spawner.http_timeout = 300  # of a machine that does much else
c.Spawner.cmd = [{python!r}, {app!r}]
c.Spawner.environment = {{"REPORTS": {reports!r}}}
c.SimpleLocalProcessSpawner.home_dir_template = {home!r}
c.JupyterHub.load_groups = {{
    "lab": {{"users": ["ada", "bob"], "properties": {{"edge_organization": "lab", "edge_roles": ["developer"]}}}},
}}
edge_hub.configure(c, data={data!r}, port={port}, hub_url="http://127.0.0.1:{port}")
"""


@pytest.mark.slow
def test_an_app_of_a_configured_hub_needs_nothing(tmp_path: Path, free_port: int) -> None:
    """The service is started by the hub, and is asked where the hub's proxy would hand on to."""
    folder, reports = tmp_path / "hub", tmp_path / "reports"
    folder.mkdir()
    reports.mkdir()
    text = CONFIGURED.format(
        python=sys.executable,
        app=str(APP),
        reports=str(reports),
        home=str(tmp_path / "home" / "{username}"),
        data=str(tmp_path / "edge"),
        port=free_port,
    )
    hub = RealHub(folder, text, by_hand=False)
    hub.start()
    try:
        for user in ("ada", "bob"):
            hub.call("POST", f"/users/{user}/servers/app")
            wait_for((reports / user).exists)
            assert json.loads((reports / user).read_text()) == {
                "user": user,
                "organization": "lab",
                "service": f"http://127.0.0.1:{free_port}/services/api",
                "size": 10 << 20,
                "search": [f"{user}.bin"],
                "secret": {"of": user},
                "token is": user,
            }
        with EdgeSession(hub.token("ada"), f"http://127.0.0.1:{free_port}/services/api", "lab", retries=20) as edge:
            assert edge.files.list() == ["ada.bin", "bob.bin"]
            assert edge.secrets.list_user_secrets() == ["word"]
    finally:
        hub.stop()


@pytest.fixture
def proxy() -> Path:
    """The program of the hub's proxy."""
    return Path(os.environ.get("EDGE_TEST_PROXY") or program(running.PROXY, f"npm install -g {running.PROXY}@5.3.0"))


@pytest.mark.slow
def test_a_hub_is_run_with_its_proxy_and_an_edge_server(tmp_path: Path, free_port: int, proxy: Path) -> None:
    folder = tmp_path / "try"
    line = [str(Path(sys.executable).with_name("edge")), "hub", "run", "--data", str(folder), "--port", str(free_port)]
    http = requests.Session()
    http.trust_env = False
    hub, settings = f"http://127.0.0.1:{free_port}/hub", folder / "hub" / "settings.json"

    def is_up() -> bool:
        assert process.poll() is None, (tmp_path / "output").read_text()
        try:
            return http.get(f"http://127.0.0.1:{free_port}/services/api/healthz", timeout=60).ok
        except requests.ConnectionError:
            return False

    with open(tmp_path / "output", "wb") as output:
        process = subprocess.Popen([*line, "--proxy", str(proxy)], stdout=output, stderr=output, start_new_session=True)
    try:
        wait_for(is_up)
        assert "runs as you and can read" in (tmp_path / "output").read_text()
        assert stat.S_IMODE(settings.stat().st_mode) == 0o600
        passwords = json.loads(settings.read_text())
        http.get(f"{hub}/login", timeout=60)
        form = {
            "username": "ada",
            "password": passwords["user_password"],
            "_xsrf": http.cookies.get("_xsrf", path="/hub/"),
        }
        assert http.post(f"{hub}/login", data=form, allow_redirects=False, timeout=60).status_code == 302
        headers = {"X-XSRFToken": http.cookies.get("_xsrf", path="/hub/") or ""}
        token = http.post(f"{hub}/api/users/ada/tokens", json={}, headers=headers, timeout=60).json()["token"]
        with EdgeSession(token, f"http://127.0.0.1:{free_port}/services/api", "default", retries=20) as edge:
            assert edge.whoami().user_name == "ada"
            assert not edge.whoami().server_admin
            content = os.urandom(40_000_000)
            edge.files.upload("large.bin", content)
            assert edge.files.open("large.bin", open_with="file").read() == content
        assert passwords["user_password"] not in (tmp_path / "output").read_text()
        process.kill()
        process.wait(120)
        wait_for(lambda: not is_running(folder / "edge"), "the Edge server of a hub that was killed goes on")
        proxy_pid = int((folder / "hub" / running.PROXY_PID).read_text())
        again = subprocess.run([*line, "--proxy", str(proxy)], capture_output=True, text=True, timeout=120)
        assert f"end it by: kill {proxy_pid}" in again.stderr
        os.kill(proxy_pid, signal.SIGTERM)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(120)


def is_running(data: Path) -> bool:
    """Whether a server has the data folder."""
    try:
        with data_folder.locked(data):
            return False
    except CannotStart:
        return True


def test_what_is_missing_is_named_with_what_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free_port: int
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigurationError, match="npm install --prefix .* configurable-http-proxy@5"):
        running.prepare(tmp_path / "try", port=free_port)
    with pytest.raises(ConfigurationError, match="is no program; name configurable-http-proxy by --proxy"):
        running.prepare(tmp_path / "try", port=free_port, proxy=tmp_path / "none")
    find_spec = running.importlib.util.find_spec
    for package in ("jupyterhub", "jupyter_server"):
        monkeypatch.setattr(
            running.importlib.util,
            "find_spec",
            lambda name, without=package: None if name == without else find_spec(name),
        )
        with pytest.raises(ConfigurationError, match=rf"{package} is not installed; .* -r requirements-hub\.txt"):
            running.prepare(tmp_path / "try", port=free_port)
    assert not (tmp_path / "try").exists()


def test_passwords_stay_and_nobody_else_reads_them(tmp_path: Path, free_port: int) -> None:
    program = tmp_path / "proxy"
    program.touch(0o755)
    first, second = (running.prepare(tmp_path / "try", port=free_port, proxy=program, users=["eve"]) for _ in range(2))
    example = first.applications.read_text()
    assert Table(first.applications).entries() == []
    lines = [line.removeprefix("# ") for line in example.splitlines() if "=" in line or "[[" in line]
    assert set(tomllib.loads("\n".join(lines))["application"][0]) == {"app_id", "version", "folder", "command"}
    assert first.url == f"http://127.0.0.1:{free_port}"
    assert stat.S_IMODE(second.settings.stat().st_mode) == 0o600
    kept = json.loads(second.settings.read_text())
    assert kept["users"] == ["eve"]
    assert len(kept["user_password"]) >= 8
    assert len(kept["admin_password"]) >= 32
    (tmp_path / "try" / "applications.toml").write_text("# mine")
    again = running.prepare(tmp_path / "try", port=free_port, proxy=program)
    assert json.loads(again.settings.read_text())["admin_password"] == kept["admin_password"]
    assert again.applications.read_text() == "# mine"
    second.settings.write_text("{")
    with pytest.raises(ConfigurationError, match="is damaged; remove it"):
        running.prepare(tmp_path / "try", port=free_port, proxy=program)


def test_the_command_says_in_a_line_what_is_wrong(tmp_path: Path) -> None:
    answer = CliRunner().invoke(command, ["run", "--data", str(tmp_path / "try"), "--proxy", str(tmp_path / "none")])
    assert answer.exit_code == 1
    assert isinstance(answer.exception, ConfigurationError), "which the `edge` command shows in a line"


def test_apps_that_outlived_a_hub_find_it_at_the_same_inner_ports_again(tmp_path: Path, free_port: int) -> None:
    program = tmp_path / "proxy"
    program.touch(0o755)

    def ports() -> list[int]:
        prepared = running.prepare(tmp_path / "try", port=free_port, proxy=program)
        return [json.loads(prepared.settings.read_text())[name] for name in running.INNER_PORTS]

    first = ports()
    assert ports() == first
    with socket.create_server(("127.0.0.1", first[0])):
        second = ports()
    assert second[0] != first[0]
    assert second[1:] == first[1:]


def test_a_proxy_that_outlived_its_hub_is_named(tmp_path: Path) -> None:
    program = tmp_path / "proxy"
    program.touch(0o755)
    (tmp_path / "hub").mkdir()
    (tmp_path / "hub" / running.PROXY_PID).write_text(str(os.getpid()))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(
            ConfigurationError, match=rf"still listens at 127.0.0.1:{port}; end it by: kill {os.getpid()}"
        ):
            running.prepare(tmp_path, port=port, proxy=program)
        (tmp_path / "hub" / running.PROXY_PID).unlink()
        with pytest.raises(ConfigurationError, match="choose another --port"):
            running.prepare(tmp_path, port=port, proxy=program)
