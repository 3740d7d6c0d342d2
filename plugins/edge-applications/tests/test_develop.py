"""An application from nothing to a published version, in its own environment, by the commands that a person types.

The pages of all templates were looked at in a browser as well; here is checked what can be without one.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import yaml

from edge_applications.develop.templates import FRAMEWORKS
from edge_core.session import EdgeSession

from .commands import EDGE, TEMPLATES, Person
from .engine import Engine

CHOSEN = os.environ.get("EDGE_APP_TEMPLATES", "generic")
"""Which templates are built: one, as the others take minutes to install, or `all`."""

#: Where the name of who visits can be seen without a browser. Panel and Streamlit send it by a websocket.
SHOWN = {"generic": "/", "plotly-dash": "/_dash-layout", "react": "/api/page"}


@pytest.fixture
def person(tmp_path: Path, developer: EdgeSession) -> Person:
    return Person(tmp_path, developer)


@pytest.mark.slow
@pytest.mark.parametrize("framework", FRAMEWORKS if CHOSEN == "all" else [CHOSEN])
def test_an_application_begins_is_tested_runs_and_is_published(framework: str, person: Person) -> None:
    person.edge.set_whoami("Zoë", "Lovelace")
    person.edge.files.upload("example/plates.csv", (TEMPLATES / "common" / "plates.csv").read_bytes())

    written = person.edge_command("app", "init", "viewer", "--framework", framework)
    folder = person.folder / "viewer"
    assert f"viewer is in viewer and in {person.edge.organization} (In Review)" in written
    assert person.edge.applications.list_application_ids() == ["viewer"]
    _visit(person, folder, SHOWN.get(framework))

    image = f"quay.io/{person.edge.organization}/viewer:0.1.0"
    login = {"EDGE_REGISTRY_USERNAME": "lab+robot", "EDGE_REGISTRY_PASSWORD": "s3cret-of-the-registry"}
    token = person.edge.tokens.create(note="CI", scopes=_documented_scopes(folder, person.edge.organization))
    written = _run_workflow(person, folder, {**login, "EDGE_API_TOKEN": token.token or ""})
    assert "2 passed" in written
    assert "viewer 0.1.0 answers its first page with status 200" in written
    assert f"Built {image}." in written
    assert f"Registered viewer 0.1.0 with {image}; it was pushed." in written
    assert person.engine.commands == ["build", "image", "login", "push"]
    assert person.edge.applications.get_app_version("viewer", "0.1.0").link == image
    assert "Skipped viewer 0.1.0" in person.edge_command("app", "publish", "--skip-existing", folder=folder, **login)
    assert person.engine.commands == ["build", "image", "login", "push"]
    _check_calls(person.engine, image, login)
    _check_context(folder / ".edge" / "image", framework)


def _run_workflow(person: Person, folder: Path, more: dict[str, str]) -> str:
    """Run the steps of the GitHub workflow but the installation, as a runner does, and return what they write."""
    steps = yaml.safe_load((folder / ".github" / "workflows" / "publish.yml").read_text())["jobs"]["publish"]["steps"]
    commands = {step["name"]: step["run"] for step in steps if "run" in step}
    installation = commands.pop("Install the edge command")
    assert '--no-index --find-links "$EDGE_WHEELS"' in installation
    edge = person.engine.folder / "edge"
    edge.write_text(f"#!{EDGE[0]}\nfrom edge_cli.main import main\nmain()\n")
    edge.chmod(0o755)
    written = ""
    for command in commands.values():
        done = subprocess.run(
            ["bash", "-eo", "pipefail", "-c", command],
            cwd=folder,
            env={**person.environment, **more},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        written += done.stdout + done.stderr
    return written


def _documented_scopes(folder: Path, organization: str) -> list[str]:
    """What the README of the application limits the token of CI to."""
    scopes = re.findall(r"--scope (\S+)", (folder / "README.md").read_text())
    assert scopes == [f"org:{organization}", "applications", "files:read"]
    return scopes


def _visit(person: Person, folder: Path, path: str | None) -> None:
    """Run it, look at who it says visits, and stop it as Ctrl-C does."""
    with person.running(folder) as running:
        try:
            assert running.stdout is not None
            line = running.stdout.readline()
            (address,) = re.findall(r"viewer runs at (http://127\.0\.0\.1:[0-9]+)/", line)
            with urllib.request.urlopen(address + (path or "/")) as answer:
                page = answer.read().decode()
            if path:
                assert "Zoë Lovelace" in page or "Zo\\u00eb Lovelace" in page
                assert "P-101" in page
        finally:
            running.send_signal(signal.SIGINT)
        assert running.wait() == 0
    processes = [Path(entry, "environ") for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    assert not [process for process in processes if str(folder / ".edge" / "env").encode() in _environment(process)]


def _environment(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError:  # it has ended, or is another user's
        return b""


def _check_calls(engine: Engine, image: str, login: dict[str, str]) -> None:
    build, _, signed_in, push = engine.calls
    assert build["arguments"][:3] == ["build", "--tag", image]
    assert push["arguments"] == ["push", image]
    assert signed_in["arguments"] == ["login", "--username", "lab+robot", "--password-stdin", "quay.io"]
    assert signed_in["stdin"] == login["EDGE_REGISTRY_PASSWORD"]
    # It reaches the engine by standard input alone, and the login stays nowhere.
    assert not [call for call in (signed_in, push) if login["EDGE_REGISTRY_PASSWORD"] in str(call["environment"])]
    assert signed_in["environment"]["DOCKER_CONFIG"] == push["environment"]["DOCKER_CONFIG"]
    assert not Path(push["environment"]["DOCKER_CONFIG"]).exists()


def _check_context(context: Path, framework: str) -> None:
    lines = (context / "app.txt").read_text().splitlines() + (context / "proxy.txt").read_text().splitlines()
    named = {line.rpartition("/")[2] for line in lines if " @ file:///opt/edge/wheels/" in line}
    assert named == {wheel.name for wheel in (context / "wheels").glob("*.whl")}
    assert {name.partition("-")[0] for name in named} == {"edge_core", "edge_files", "edge_hub", "edge_vfs"}
    assert not [line for line in lines if line.startswith("edge-") and " @ " not in line]
    # What it needs to know visitors of a hub.
    assert "edge-hub[app] @ " in (context / "proxy.txt").read_text()
    assert (context / "app" / "app.py").is_file()
    assert not [path for path in (context / "app").rglob("*") if path.name in (".edge", ".github", "test_app.py")]
    if framework == "react":
        assert (context / "app" / "frontend" / "dist" / "index.html").is_file()
    assert "9000" in (context / "Containerfile").read_text()


def test_both_workflows_run_the_same_commands() -> None:
    common = TEMPLATES / "common"
    github = yaml.safe_load((common / "dot-github" / "workflows" / "publish.yml").read_text())
    gitlab = yaml.safe_load((common / "dot-gitlab-ci.yml").read_text())
    steps = [step["run"].strip().splitlines() for step in github["jobs"]["publish"]["steps"] if "run" in step]

    assert steps == [gitlab["before_script"], gitlab["test"]["script"], gitlab["publish"]["script"]]
    assert github["permissions"] == {"contents": "read"}


@pytest.fixture(params=FRAMEWORKS)
def template(request: pytest.FixtureRequest) -> Path:
    return TEMPLATES / request.param.replace("-", "_")


def test_each_template_pins_its_versions_and_has_a_test(template: Path) -> None:
    entries: dict[str, Any] = yaml.safe_load(
        (template / "app_config.yaml").read_text().replace("{{", "x").replace("}}", "")
    )
    packages = [*entries["app_deps"]["pip"], *entries["env_deps"]["pip"]]
    assert [line for line in packages if "==" not in line] == ["edge-files"]
    assert "def test_" in (template / "test_app.py").read_text()
    if (template / "frontend").exists():
        frontend = json.loads((template / "frontend" / "package.json").read_text())
        versions = [*frontend["dependencies"].values(), *frontend["devDependencies"].values()]
        assert all(re.fullmatch(r"[0-9.]+", version) for version in versions)
        assert "resolved" not in (template / "frontend" / "package-lock.json").read_text()
