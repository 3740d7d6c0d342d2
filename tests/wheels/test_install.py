"""The README's commands that install ask no index for a name of ours, which anyone could register there."""

from __future__ import annotations

import http.server
import os
import shutil
import threading
import urllib.parse
import venv
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.wheels.environments import LOCKED, Environment, Install, Wheel, run
from tools.set_version import ROOT

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.name == "nt", reason="the commands are of a POSIX shell"),
    pytest.mark.skipif(not LOCKED, reason="the newest versions are not those whose hashes are written down"),
]

README = (ROOT / "README.md").read_text(encoding="utf-8")
BUILD_COMMANDS = README.split("build wheels once", 1)[1].split("```\n")[1].strip().splitlines()
INSTALL_COMMANDS = README.split("build wheels once", 1)[1].split("```\n")[3].strip().splitlines()

PLUGINS = ["edge-vfs", "edge-files"]


class Index(http.server.ThreadingHTTPServer):
    """A package index that has nothing, and notes which names it is asked for."""

    def __init__(self) -> None:
        self.names: list[str] = []
        super().__init__(("127.0.0.1", 0), _Handler)
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def environment(self) -> dict[str, str]:
        """In which pip has no index but this."""
        others = {name: value for name, value in os.environ.items() if not name.upper().startswith("PIP_")}
        url = f"http://127.0.0.1:{self.server_address[1]}/simple"
        pip = {"CONFIG_FILE": os.devnull, "INDEX_URL": url, "NO_CACHE_DIR": "1", "RETRIES": "0"}
        return {**others, **{f"PIP_{name}": value for name, value in pip.items()}, "NO_PROXY": "127.0.0.1"}


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Index

    def do_GET(self) -> None:
        self.server.names.append(urllib.parse.urlsplit(self.path).path.strip("/").rpartition("/")[2])
        self.send_error(404)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def index() -> Iterator[Index]:
    with Index() as index:
        yield index
        index.shutdown()


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    """A new environment that has pip alone."""
    venv.create(tmp_path / "environment", with_pip=True, symlinks=True)
    return Environment(tmp_path / "environment")


@pytest.fixture(scope="module")
def clone(install: Install, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone that has the core, and the plugins that make `session.files`, after the README's commands that build."""
    clone = tmp_path_factory.mktemp("clone")
    listed = run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=ROOT)
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file() and (not name.startswith("plugins/") or name.split("/")[1] in PLUGINS):
            (clone / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, clone / name)
    # What the others need is some hundred megabytes.
    held = install("edge-files").run("import importlib.metadata as m; print(*(d.name for d in m.distributions()))")
    needed = {name.lower().replace("_", "-") for name in held.split()}
    pins = (ROOT / "third-party.txt").read_text().replace("\\\n", "\\").splitlines(keepends=True)
    chosen = [pin for pin in pins if pin[0] != "#" and Requirement(pin.partition("\\")[0]).name.lower() in needed]
    (clone / "third-party.txt").write_text("".join(chosen).replace("\\", "\\\n"))
    builder = Environment(tmp_path_factory.mktemp("builder"))
    venv.create(builder.folder, with_pip=True, symlinks=True)
    for command in BUILD_COMMANDS:
        run("sh", "-ec", command, cwd=clone, env=with_python(dict(os.environ), builder))
    return clone


def with_python(variables: dict[str, str], environment: Environment) -> dict[str, str]:
    """Variables in which `python` is that of an environment."""
    return {**variables, "PATH": f"{environment.scripts}{os.pathsep}{variables['PATH']}"}


def test_from_wheels_everything_comes_from_their_folder(
    clone: Path, environment: Environment, index: Index, tmp_path: Path
) -> None:
    shutil.copytree(clone / "wheels", tmp_path / "elsewhere" / "wheels")

    for command in INSTALL_COMMANDS:
        run("sh", "-ec", command, cwd=tmp_path / "elsewhere", env=with_python(index.environment, environment))

    assert index.names == []
    assert environment.run("from edge.api import Folder; print(Folder.__module__)")


def test_without_the_option_pip_looks_for_our_names_in_the_index(
    clone: Path, environment: Environment, index: Index, tmp_path: Path
) -> None:
    command = " ".join(INSTALL_COMMANDS).replace("--no-index", "--dry-run")
    run("sh", "-ec", command, cwd=clone, env=with_python(index.environment, environment))

    assert {"edge-files", "edge-core"} <= set(index.names)


def test_from_a_clone_pip_looks_for_other_names_alone_in_the_index(
    clone: Path, environment: Environment, index: Index, tmp_path: Path
) -> None:
    """As `-r requirements.txt` does, with a part of its lines."""
    others = tmp_path / "others"
    others.mkdir()
    for wheel in (clone / "wheels").glob("*.whl"):
        if not Wheel(wheel).name.startswith("edge-"):
            shutil.copy(wheel, others)
    (builds,) = [line.strip() for line in LOCKED if line.startswith("setuptools==")]
    fetch = [environment.python, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", others, builds]
    run(*fetch, cwd=tmp_path)
    lines = [line for line in (ROOT / "requirements.txt").read_text().splitlines() if line[:1] == "."]
    chosen = [line.partition("[")[0] for line in lines if line == "." or line.partition("[")[0][10:] in PLUGINS]
    assert len(chosen) == 1 + len(PLUGINS)

    variables = {**index.environment, "PIP_FIND_LINKS": str(others)}
    run(environment.python, "-m", "pip", "install", *chosen, cwd=clone, env=variables)

    assert "requests" in index.names
    assert [name for name in index.names if name.startswith("edge")] == []
