"""The environment of an application: what `app_deps` names, in `.edge/env` of its folder."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shutil
import sys
from pathlib import Path
from typing import NamedTuple

from packaging.requirements import Requirement

from edge_applications.app_config import AppConfig
from edge_applications.develop import edge_packages, edm_names, steps
from edge_core.errors import BadEntry, ConfigurationError

OWN_FOLDER = ".edge"
"""What we keep in an application's folder: its environment, logs, and what is made for its image."""

OLDEST_PYTHON = (3, 11)

_MARK = "edge-app.json"


class Needs(NamedTuple):
    """What an environment is made of.

    Attributes:
        python: version of Python with two numbers.
        others: requirements that pip takes from an index.
        ours: the distributions of Edge that are needed, with their extras.
        warnings: sentences on what was left out.
    """

    python: str
    others: list[Requirement]
    ours: dict[str, Requirement]
    warnings: list[str]


class Environment(NamedTuple):
    """A virtual environment.

    Attributes:
        folder: where it is.
    """

    folder: Path

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    def variables(self) -> dict[str, str]:
        """The environment variables of a process in it, on top of ours."""
        path = os.environ.get("PATH", os.defpath)
        kept = {name: value for name, value in os.environ.items() if name != "PYTHONHOME"}
        return {**kept, "VIRTUAL_ENV": str(self.folder), "PATH": f"{self.folder / 'bin'}{os.pathsep}{path}"}


def needs(config: AppConfig, *, development: bool) -> Needs:
    """Read what the application needs.

    Args:
        config: its configuration.
        development: with what working on it needs, which does not belong into its image.

    Raises:
        BadEntry: an entry is no requirement, or the version of Python is too old.
        ConfigurationError: a distribution of Edge that it needs is not installed here.
    """
    python = config.python_version or f"{sys.version_info.major}.{sys.version_info.minor}"
    if tuple(map(int, python.split("."))) < OLDEST_PYTHON:
        oldest = ".".join(map(str, OLDEST_PYTHON))
        raise BadEntry(
            f"python_version: {python} is older than {oldest}, the oldest that Edge runs with; run edge app upgrade"
        )
    translated = edm_names.translate(config.app_deps.edm)
    lines = [*config.app_deps.pip, *(config.env_deps.pip if development else ())]
    requirements = [*translated.requirements, *edm_names.parse_pip(lines)]
    ours = edge_packages.with_requirements(line for line in requirements if edge_packages.is_ours(line.name))
    others = {str(line): line for line in requirements if not edge_packages.is_ours(line.name)}
    return Needs(python, list(others.values()), ours, translated.warnings)


def existing(folder: Path, config: AppConfig) -> Environment | None:
    """The environment of an application if it was built whole from what the configuration says now."""
    environment = Environment(folder / OWN_FOLDER / "env")
    try:
        mark = json.loads((environment.folder / _MARK).read_text())
    except (OSError, ValueError):
        return None
    return environment if mark == {"needs": _digest(needs(config, development=True))} else None


def build(folder: Path, config: AppConfig, *, verbose: bool = False) -> tuple[Environment, list[str]]:
    """Build the environment anew, by uv if there is one, and return it with warnings on what was left out.

    Raises:
        BadEntry: an entry is no requirement.
        ConfigurationError: the version of Python or a distribution of Edge is not here.
        StepFailed: something cannot be installed.
    """
    needed = needs(config, development=True)
    environment = Environment(folder / OWN_FOLDER / "env")
    lines = [str(line) for line in needed.others]
    lines += [located(line, edge_packages.source(name)) for name, line in needed.ours.items()]
    own = _own_folder(folder)
    requirements = own / "requirements.txt"
    requirements.write_text("".join(f"{line}\n" for line in lines))
    uv = _uv()
    # Whatever it was, it is not whole any more.
    (environment.folder / _MARK).unlink(missing_ok=True)
    create: list[str | Path]
    install: list[str | Path]
    if uv:
        create = [*uv, "venv", "--clear", "--python", needed.python, environment.folder]
        # A folder of Edge's source may have changed, which uv does not see.
        fresh = [option for name in needed.ours for option in ("--refresh-package", name)]
        install = [*uv, "pip", "install", "--python", environment.python, *fresh, "--requirement", requirements]
    else:
        create = [_python(needed.python), "-m", "venv", "--clear", environment.folder]
        install = [environment.python, "-m", "pip", "install", "--requirement", requirements]
    steps.run("Creating the environment", create, log=own / "env.log", folder=folder, verbose=verbose)
    if lines:
        steps.run("Installing packages", install, log=own / "install.log", folder=folder, verbose=verbose)
    build_frontend(folder, verbose=verbose)
    (environment.folder / _MARK).write_text(json.dumps({"needs": _digest(needed)}))
    return environment, needed.warnings


def build_frontend(folder: Path, *, verbose: bool = False) -> None:
    """Build what browsers load, where there is a `frontend/package.json`, as of a React application."""
    frontend, own = folder / "frontend", folder / OWN_FOLDER
    if not (frontend / "package.json").is_file():
        return
    npm = shutil.which("npm")
    if npm is None:
        raise ConfigurationError("npm, which builds the frontend of the application, is not here; install Node.js 20")
    install = [npm, "ci" if (frontend / "package-lock.json").is_file() else "install", "--no-audit", "--no-fund"]
    steps.run("Installing packages of the frontend", install, log=own / "npm.log", folder=frontend, verbose=verbose)
    steps.run("Building the frontend", [npm, "run", "build"], log=own / "build.log", folder=frontend, verbose=verbose)


def wheel_command(source: Path, wheels: Path) -> list[str | Path]:
    """What builds the wheel of a folder of source."""
    uv = _uv()
    if uv:
        return [*uv, "build", "--wheel", "--out-dir", wheels, source]
    return [sys.executable, "-m", "pip", "wheel", "--no-deps", "--wheel-dir", wheels, source]


def _own_folder(folder: Path) -> Path:
    own = folder / OWN_FOLDER
    try:
        own.mkdir(exist_ok=True)
        if not os.access(own, os.W_OK):
            raise PermissionError
    except OSError:
        raise ConfigurationError(
            f"{folder} is read-only, and the environment of the application is kept in it; make it writable, or copy it"
        ) from None
    return own


def _uv() -> list[str]:
    uv = shutil.which("uv")
    if uv:
        return [uv]
    return [sys.executable, "-m", "uv"] if importlib.util.find_spec("uv") else []


def _python(version: str) -> str:
    if version == f"{sys.version_info.major}.{sys.version_info.minor}":
        return sys.executable
    python = shutil.which(f"python{version}")
    if python is None:
        raise ConfigurationError(
            f"Python {version} is not here; install it or uv, or change python_version in app_config.yaml"
        )
    return python


def located(requirement: Requirement, path: Path) -> str:
    """The requirement, to be met by a folder or wheel."""
    extras = f"[{','.join(sorted(requirement.extras))}]" if requirement.extras else ""
    return f"{requirement.name}{extras} @ {path.as_uri()}"


def _digest(needed: Needs) -> str:
    sources = {name: str(edge_packages.source(name)) for name in needed.ours}
    lines = [needed.python, *map(str, needed.others), *map(str, needed.ours.values()), json.dumps(sources)]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
