"""What the README says works: its Python runs, and its plugin attaches."""

from __future__ import annotations

import inspect
import itertools
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from edge_core.config import ENVIRONMENT
from edge_core.session import EdgeSession

ARGUMENTS = [name for name in inspect.signature(EdgeSession).parameters if name != "version_num"]
README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")


def section(title: str) -> str:
    return README.split(f"\n## {title}\n")[1].split("\n## ")[0]


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.M | re.S)


@pytest.fixture
def organization(edge_session: EdgeSession, monkeypatch: pytest.MonkeyPatch) -> EdgeSession:
    """A fresh organization whose settings are in the environment, as an app on the platform finds them."""
    settings = edge_session.config
    monkeypatch.setenv("EDGE_API_TOKEN", settings.api_token)
    monkeypatch.setenv("EDGE_API_SERVICE_URL", settings.service_url)
    monkeypatch.setenv("EDGE_API_ORG", settings.organization)
    return edge_session


@pytest.mark.slow
def test_the_python_in_it_runs(
    organization: EdgeSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("plate-7.csv").write_text("sample,volume\n" + "A,1.5\n" * 400)
    organization.files.upload("runs/plate-7.csv", "plate-7.csv")
    opening = blocks(README.split("## Try it")[0], "python")
    five_lines = blocks(section("Five lines each"), "python")
    assert len(opening) == 1
    assert len(five_lines) >= 7
    names: dict[str, Any] = {}
    for block in opening + five_lines:
        exec(compile(block, "README.md", "exec"), names)
    assert names["df"].shape == (400, 2)
    assert Path("copy.csv").read_bytes() == Path("plate-7.csv").read_bytes()
    shown = capsys.readouterr().out
    assert "['plate-7.csv']" in shown
    assert "plate-8.csv" in shown
    names["edge"].close()


@pytest.mark.slow
def test_a_plugin_written_from_it_alone_attaches(organization: EdgeSession, tmp_path: Path) -> None:
    text = section("Add a plugin")
    (setup,) = blocks(text, "ini")
    (module,) = blocks(text, "python")
    (build,) = blocks(text, "toml")
    source = tmp_path / "lab-plugin"
    source.mkdir()
    (source / "setup.cfg").write_text(setup)
    (source / "lab_plugin.py").write_text(module)
    (source / "pyproject.toml").write_text(build)
    site = tmp_path / "site"
    install = [
        *(sys.executable, "-m", "uv", "pip", "install", "--quiet", "--no-deps", "--python", sys.executable),
        *("--build-constraints", str(Path(__file__).parent.parent / "constraints.txt")),
        *("--target", str(site), str(source)),
    ]
    subprocess.run(install, check=True, timeout=120)
    use = """
from edge.api import EdgeSession
edge = EdgeSession()
print(edge.lab.name(), *(one.status for one in edge.namespaces() if one.name == "lab"))
"""
    shown = subprocess.run(
        [sys.executable, "-c", use],
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert shown.stdout.split() == [organization.whoami().user_name, "loaded"]


PLUGINS = ["EDGE_DISABLE_PLUGINS", "EDGE_ENABLE_PLUGINS", "EDGE_STRICT_PLUGINS"]
SETTINGS = [
    *itertools.chain(*ENVIRONMENT.values()),
    "EDGE_CONFIG_FILE",
    "EDGE_PROGRESS",
    *PLUGINS,
    *(f"`{name}=`" for name in ARGUMENTS),
]


@pytest.mark.parametrize("setting", SETTINGS)
def test_every_setting_is_explained(setting: str) -> None:
    assert setting in section("Configuration")


def test_ci_runs_the_command_it_names() -> None:
    ci = (Path(__file__).parent.parent / ".ci" / "run").read_text(encoding="utf-8")
    (_, command) = (block.strip() for block in blocks(section("Try it"), ""))
    assert command.endswith("tox")
    assert command in ci
