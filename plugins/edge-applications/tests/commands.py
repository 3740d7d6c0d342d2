"""How tests call the commands of applications."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from click.testing import Result

from edge_applications import app_config
from edge_core.session import EdgeSession

from .engine import Engine

Run = Callable[..., Result]
"""Calls `edge app`, as somebody of the organization."""

TEMPLATES = Path(app_config.__file__).parent / "templates"

EDGE = [sys.executable, "-c", "from edge_cli.main import main; main()"]


class Person:
    """A developer at a terminal: a folder, settings in the environment, and a stand-in for docker before all others.

    Args:
        folder: the folder.
        edge: whose settings these are.
        engine: whether there is the stand-in.
    """

    def __init__(self, folder: Path, edge: EdgeSession, *, engine: bool = True) -> None:
        self.folder = folder
        self.edge = edge
        self._stand_in = Engine(folder / "engine") if engine else None
        self.environment = {
            **os.environ,
            "EDGE_API_TOKEN": edge.config.api_token,
            "EDGE_API_SERVICE_URL": edge.config.service_url,
            "EDGE_API_ORG": edge.config.organization,
            "EDGE_CONFIG_FILE": str(folder / "settings" / "config.ini"),
            "no_proxy": "127.0.0.1",
        }
        if self._stand_in is not None:
            self.environment["PATH"] = f"{self._stand_in.folder}{os.pathsep}{os.environ['PATH']}"

    @property
    def engine(self) -> Engine:
        """The stand-in."""
        assert self._stand_in is not None
        return self._stand_in

    def edge_command(self, *arguments: str, folder: Path | None = None, **more: str) -> str:
        """Run `edge`, and return what it wrote; it must succeed."""
        done = subprocess.run(
            [*EDGE, *arguments],
            cwd=folder or self.folder,
            env={**self.environment, **more},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def running(self, folder: Path) -> subprocess.Popen[str]:
        """Start `edge app run` at a free port."""
        return subprocess.Popen(
            [*EDGE, "app", "run", "--port", "0", "--app-port", str(free_port())],
            cwd=folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
