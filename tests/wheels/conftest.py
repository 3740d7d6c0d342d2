"""Wheels of every distribution, environments that hold one of them each, and a server beside them."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.wheels.environments import BUILD, LOCKED, UV, Environment, Install, Wheel, run
from tools.local_server import LocalServer, local_server
from tools.set_version import ROOT, setup_files


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Wheel]:
    """Distribution -> its wheel, built from what git has or would take: leftovers of other builds are not seen."""
    tree, wheelhouse = tmp_path_factory.mktemp("tree"), tmp_path_factory.mktemp("wheelhouse")
    listed = run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=ROOT)
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():  # and not removed since
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, tree / name)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        folders = [path.parent for path in setup_files(tree)]
        build = [*UV, "build", "--wheel", "--out-dir", wheelhouse, *BUILD]
        list(pool.map(lambda folder: run(*build, folder, cwd=tree), folders))
    wheels = [Wheel(path) for path in sorted(wheelhouse.glob("*.whl"))]
    return {wheel.name: wheel for wheel in wheels}


@pytest.fixture(scope="session")
def install(wheels: dict[str, Wheel], tmp_path_factory: pytest.TempPathFactory) -> Install:
    """A new environment with these requirements; of our own distributions only what was just built."""
    ours = tmp_path_factory.mktemp("constraints") / "ours.txt"
    ours.write_text("".join(f"{name} @ {wheel.path.as_uri()}\n" for name, wheel in wheels.items()))
    locked = ours.with_name("locked.txt")

    def make(*requirements: str, resolution: str = "highest") -> Environment:
        environment = Environment(tmp_path_factory.mktemp(requirements[0]))
        run(*UV, "venv", "--clear", "--python", sys.executable, environment.folder, cwd=environment.folder)
        # What is asked for in its lowest version is the one thing that the lock may not decide.
        free = {re.split(r"[^\w-]", requirement)[0] for requirement in requirements if resolution != "highest"}
        locked.write_text("".join(line for line in LOCKED if line.partition("==")[0] not in free))
        options: list[str | Path] = ["--python", environment.python, "--resolution", resolution, *BUILD]
        options += ["--constraints", ours, "--constraints", locked]
        run(*UV, "pip", "install", *options, *requirements, cwd=environment.folder)
        run(*UV, "pip", "check", "--python", environment.python, cwd=environment.folder)
        return environment

    return make


@pytest.fixture(scope="session")
def server_environment(install: Install) -> Environment:
    return install("edge-server")


@pytest.fixture(scope="session")
def server_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("server") / "data"


@pytest.fixture(scope="session")
def server(server_environment: Environment, server_data: Path) -> Iterator[LocalServer]:
    """A server that runs from its wheel, in an environment the clients do not share."""
    with local_server(server_data, str(server_environment.python)) as running:
        yield running
