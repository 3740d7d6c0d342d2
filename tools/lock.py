"""Renew `constraints.txt` and `third-party.txt`: `python -m tools.lock`.

`constraints.txt` has the versions that the README's commands and every test run install. All that is declared is
resolved at once, for every platform and Python that we support: what the distributions need with all their extras, what
a contributor works with, what single environments need beside that, what runs the tests, and what builds the wheels.

`third-party.txt` has those of them that the distributions need of others, with the hashes of their files, so that they
can be fetched without one of our own names being asked for.
"""

from __future__ import annotations

import configparser
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path

from tools.set_version import ROOT, setup_files

CONSTRAINTS = "constraints.txt"
THIRD_PARTY = "third-party.txt"

RUNNERS = ["tox", "tox-uv"]
"""What the README's test command installs with pip."""

HEADER = """\
# The versions that the README's commands and every test run install. Renewed by: tox -e lock
"""

THIRD_PARTY_HEADER = """\
# What our distributions need of others, with all extras, and the hashes of its files. Renewed by: tox -e lock
"""


def build_requirements() -> list[str]:
    """What the build system of our distributions needs, such as ``setuptools>=77``."""
    requires: list[str] = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    return requires


def environment_requirements() -> list[str]:
    """What single environments of tox.ini need beside the others."""
    config = configparser.ConfigParser(interpolation=None)
    config.read(ROOT / "tox.ini")
    texts = [config[section].get("deps", "") for section in config.sections()]
    return sorted({line for text in texts for line in text.splitlines() if line and not line.startswith("-")})


def distributions(root: Path = ROOT) -> list[str]:
    """The names of our own distributions, which are never pinned."""
    names = []
    for path in setup_files(root):
        config = configparser.ConfigParser(interpolation=None)
        config.read(path)
        names.append(config["metadata"]["name"])
    return names


def compile_constraints(root: Path = ROOT) -> str:
    """The text of ``constraints.txt``, of the newest versions that go together."""
    lines = [*RUNNERS, *build_requirements(), *environment_requirements()]
    return HEADER + _compile(root, lines, "requirements-dev.txt", "--upgrade")


def compile_third_party(root: Path = ROOT) -> str:
    """The text of ``third-party.txt``, of the versions in ``constraints.txt``."""
    folders = [f"./{path.parent.relative_to(root)}" for path in setup_files(root)]
    return THIRD_PARTY_HEADER + _compile(root, folders, "--generate-hashes", f"--constraint={CONSTRAINTS}")


def _compile(root: Path, lines: Sequence[str], *arguments: str) -> str:
    sources = [str(path.relative_to(root)) for path in setup_files(root)]
    command = [
        *(sys.executable, "-m", "uv", "pip", "compile", "--quiet"),
        *("--universal", "--python-version", "3.11", "--all-extras", "--no-header", "--no-annotate"),
        *(f"--no-emit-package={name}" for name in distributions(root)),
        *(*arguments, *sources, "-"),
    ]
    text = "".join(f"{line}\n" for line in lines)
    return subprocess.run(command, cwd=root, input=text, stdout=subprocess.PIPE, text=True, check=True).stdout


def main() -> int:
    (ROOT / CONSTRAINTS).write_text(compile_constraints())
    (ROOT / THIRD_PARTY).write_text(compile_third_party())
    return 0


if __name__ == "__main__":
    sys.exit(main())
