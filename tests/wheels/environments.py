"""Wheels, and environments to install them in."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from email import message_from_bytes
from email.message import Message
from pathlib import Path
from typing import NamedTuple, Protocol

from tools.set_version import ROOT

UV = [sys.executable, "-m", "uv", "--no-progress"]

CONSTRAINTS = [str(ROOT / name) for name in filter(None, [os.environ.get("EDGE_TEST_CONSTRAINTS")])]
"""The file with the versions to install. Without it, environments get the newest there are."""

LOCKED = [line for name in CONSTRAINTS for line in Path(name).read_text().splitlines(keepends=True)]

BUILD = [option for name in CONSTRAINTS for option in ("--build-constraints", name)]
"""What builds a distribution has the locked version too."""


def run(*command: str | Path, cwd: Path, env: dict[str, str] | None = None) -> str:
    """What the command prints; all it wrote is in the failure if it fails."""
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


class Wheel(NamedTuple):
    path: Path

    @property
    def name(self) -> str:
        return self.path.name.split("-")[0].replace("_", "-")

    @property
    def files(self) -> list[str]:
        with zipfile.ZipFile(self.path) as archive:
            return archive.namelist()

    @property
    def metadata(self) -> Message:
        with zipfile.ZipFile(self.path) as archive:
            (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
            return message_from_bytes(archive.read(name))

    @property
    def requirements(self) -> list[str]:
        """What it needs, without its extras."""
        return [
            requirement for requirement in self.metadata.get_all("Requires-Dist", []) if "extra ==" not in requirement
        ]


class Environment(NamedTuple):
    """A virtual environment; what runs in it sees nothing of the repository."""

    folder: Path

    @property
    def scripts(self) -> Path:
        return self.folder / ("Scripts" if os.name == "nt" else "bin")

    @property
    def python(self) -> Path:
        return self.scripts / "python"

    def run(self, program: str, env: dict[str, str] | None = None) -> str:
        """What a Python program prints."""
        return run(self.python, "-I", "-c", program, cwd=self.folder, env=env)


class Install(Protocol):
    """Makes an environment with these requirements."""

    def __call__(self, *requirements: str, resolution: str = "highest") -> Environment: ...
