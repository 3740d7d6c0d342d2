"""The guide to deployment: its commands run, and what cannot run here is looked at by its parts."""

from __future__ import annotations

import json
import os
import re
import shlex
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from edge_core.session import EdgeSession
from edge_server.base.configuration import Configuration
from edge_server.run import logs, server_settings
from edge_server.run.command import server as command
from edge_server.testing.local_server import EdgeServer

from .engines import sqlite_only
from .stores import folder_only
from .wire import close_all

ROOT = Path(__file__).parents[3]
GUIDE = (ROOT / "docs" / "deployment.md").read_text(encoding="utf-8")


def section(title: str) -> str:
    """A section of the guide."""
    text = GUIDE.partition(f"\n## {title}\n")[2]
    assert text, f"the guide has no section {title}"
    return text.partition("\n## ")[0]


def blocks(text: str, language: str = "") -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def run(script: str) -> subprocess.CompletedProcess[str]:
    """Run commands in a shell that finds ours, and stops at the first that fails."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script], env={**os.environ, "PATH": path}, capture_output=True, text=True
    )


@pytest.mark.slow
@sqlite_only("what backup copies")
@folder_only("what backup copies")
def test_the_drill_gives_a_server_with_all_that_the_first_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own, drill = EdgeServer(tmp_path / "var" / "edge"), EdgeServer(tmp_path / "var" / "edge-drill")
    own.data.mkdir(parents=True)
    with socket.create_server(("127.0.0.1", 0)) as unused:
        watched_at = "{}:{}".format(*unused.getsockname())
    (own.data / "server.toml").write_text(f'[server]\nmetrics_listen = "{watched_at}"\n')
    own.start()
    try:
        token = own.create_token("admin")
        with EdgeSession(token, own.url, "default") as edge:
            edge.files.upload("kept/small", b"small")
            edge.files.upload("kept/large", bytes(9 << 20))
            edge.secrets.create_user_secret("kept", {"password": "correct horse"})
        folders, drilled, started = blocks(section("The drill"))
        assert folders.startswith("install -d -o edge -g edge ")
        script = drilled.replace("runuser -u edge -- ", "")
        for folder in ("/var/lib/", "/mnt/"):
            assert folder in script
        done = run(script.replace("/var/lib/", f"{tmp_path}/var/").replace("/mnt/", f"{tmp_path}/mnt/"))
        assert done.returncode == 0, done.stdout + done.stderr
        close_all()
        assert watched_at in (drill.data / "server.toml").read_text()
        variable, _, address = next(word for word in shlex.split(started) if "=" in word).partition("=")
        monkeypatch.setenv(variable, f"{address.rpartition(':')[0]}:0")  # the port of the guide may be taken here
        drill.start()
        with EdgeSession(token, drill.url, "default") as edge:
            with edge.files.open("kept/small", open_with="file") as file:
                assert file.read() == b"small"
            with edge.files.open("kept/large", open_with="file") as file:
                assert file.read() == bytes(9 << 20)
            assert edge.secrets.read_user_secret("kept")["password"] == "correct horse"
    finally:
        close_all()
        drill.close()
        own.close()


def test_the_command_has_what_the_guide_types() -> None:
    commands = re.findall(r"^(?:runuser -u edge -- )?(?:/opt/edge[^/ ]*/bin/)?edge server (.*)$", GUIDE, re.MULTILINE)
    assert len(commands) > 6
    for line in commands:
        words = shlex.split(line.partition(" > ")[0].partition(" -- ")[0])
        name, options = words[0], [word for word in words[1:] if word.startswith("--")]
        known = {option for parameter in command.commands[name].params for option in parameter.opts}
        assert set(options) <= known, line


def test_the_admin_logs_in_again_at_the_public_address_and_invites_everybody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    for name in ("EDGE_CONFIG_FILE", "EDGE_API_TOKEN", "EDGE_API_SERVICE_URL", "EDGE_API_ORG"):
        monkeypatch.delenv(name, raising=False)
    server = EdgeServer(tmp_path / "data")
    server.start("--url-prefix", "/services/api")
    try:
        profiles = tmp_path / ".edge" / "config.ini"
        profiles.parent.mkdir()
        token = server.create_token("admin")
        profiles.write_text(f"[default]\napi_token = {token}\nservice_url = http://127.0.0.1:8790\n")
        profiles.chmod(0o600)
        (tmp_path / "people.txt").write_text("ada ada@example.org\nben ben@example.org\n")
        script = "\n".join(blocks(section("Its users"))).replace("https://edge.example.com/services/api", server.url)
        done = run(f"cd {shlex.quote(str(tmp_path))}\n{script}")
        assert done.returncode == 0, done.stdout + done.stderr
        invitations = (tmp_path / "invitations.txt").read_text().splitlines()
        assert [line.partition(":")[0] for line in invitations] == ["ada@example.org", "ben@example.org"]
        done = run(f"edge --profile ada {invitations[0].partition(': edge ')[2]} && edge --profile ada whoami")
        assert "* default: Default" in done.stdout, done.stderr
    finally:
        close_all()
        server.close()


def test_an_upgrade_installs_while_the_server_runs_and_starts_what_was_installed() -> None:
    before, switch = map(str.splitlines, blocks(section("Upgrading")))
    python = before[0].partition("venv ")[2] + "/bin/"
    assert before[1].startswith(f"{python}python -m pip install ")
    assert switch[0].startswith(f"{python}edge server unit ")
    assert switch[-1] == "systemctl restart edge-server"
    assert not any("pip" in line for line in switch)


def test_the_container_installs_what_there_is_and_starts_what_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = blocks(section("In a container"), "dockerfile")[0].splitlines()
    instructions = [line.partition(" ")[::2] for line in lines]
    assert {word for word, _ in instructions} <= {
        *("FROM", "COPY", "WORKDIR", "RUN", "USER", "VOLUME", "EXPOSE", "ENV", "ENTRYPOINT"),
    }
    of = {word: [rest for other, rest in instructions if other == word] for word, _ in instructions}
    for script in of["RUN"]:
        assert subprocess.run(["bash", "-n", "-c", script]).returncode == 0
    install = shlex.split(of["RUN"][0])
    for name in ("constraints.txt", "requirements.txt"):
        assert (ROOT / name).is_file()
        assert name in install
    offered = (ROOT / "plugins" / "edge-server" / "setup.cfg").read_text().partition("[options.extras_require]")[2]
    engines = install[install.index("requirements.txt") + 1 :]
    assert len(engines) == 3
    assert all(re.search(rf"^[\w ]+=\s+{re.escape(name)}[>=]", offered, re.MULTILINE) for name in engines)
    entry = json.loads(of["ENTRYPOINT"][0])
    assert entry[:3] == ["python", "-m", "edge_server"]
    assert CliRunner().invoke(command, [*entry[3:], "--help"]).exit_code == 0
    settings = Configuration(Path("server.toml"), dict(word.split("=", 1) for word in of["ENV"][0].split()))
    assert server_settings.metrics_listen_of(settings) == ("0.0.0.0", 8791)
    assert logs.section_of(settings)["format"] == logs.JSON
    settings.require_known()


def test_its_links_lead_somewhere() -> None:
    for target, anchor in re.findall(r"\]\(([^)#]*)#?([^)]*)\)", GUIDE):
        path = ROOT / "docs" / target if target else ROOT / "docs" / "deployment.md"
        assert path.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
            anchors = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
            assert anchor in anchors, f"{target}#{anchor}"
