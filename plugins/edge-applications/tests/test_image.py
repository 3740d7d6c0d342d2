"""An image that a real engine builds and runs, where EDGE_APP_ENGINE says that one is here: `docker` or `podman`."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_core.session import EdgeSession
from tests.waiting import wait_for

from .commands import TEMPLATES, Person, free_port

ENGINE = os.environ.get("EDGE_APP_ENGINE")

IMAGE = "localhost/lab/viewer:0.1.0"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not ENGINE, reason="EDGE_APP_ENGINE names no engine that builds images"),
]


def test_an_image_is_built_and_shows_who_visits(developer: EdgeSession, tmp_path: Path) -> None:
    person = Person(tmp_path, developer, engine=False)
    person.edge.set_whoami("Zoë", "Lovelace")
    person.edge.files.upload("example/plates.csv", (TEMPLATES / "common" / "plates.csv").read_bytes())
    person.edge_command("app", "init", "viewer", "--framework", "generic", "--no-env")
    folder = tmp_path / "viewer"

    written = person.edge_command("app", "build", "--engine", str(ENGINE), "--image", IMAGE, folder=folder)

    assert f"Built {IMAGE}." in written
    assert _run("image", "inspect", "--format", "{{.Config.User}}", IMAGE).strip() == "app"
    try:
        with _running(person) as address:
            page = wait_for(lambda: _page(address), "the application does not listen")
    finally:
        _run("image", "rm", IMAGE)
    assert "Hello, Zoë Lovelace" in page
    assert "<td>P-101</td>" in page


def _run(*arguments: str) -> str:
    done = subprocess.run([str(ENGINE), *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@contextlib.contextmanager
def _running(person: Person) -> Iterator[str]:
    """Run the image as it starts itself, but for the addresses: the server of the tests is on this machine alone."""
    outer, inner = (f"127.0.0.1:{free_port()}" for _ in range(2))
    places = {"0.0.0.0:8888": outer, "127.0.0.1:9000": inner}
    entry, *arguments = json.loads(_run("image", "inspect", "--format", "{{json .Config.Entrypoint}}", IMAGE))
    command = json.loads(_run("image", "inspect", "--format", "{{json .Config.Cmd}}", IMAGE))
    assert set(places) < set(arguments)
    names = ("EDGE_API_TOKEN", "EDGE_API_SERVICE_URL", "EDGE_API_ORG")
    settings = [part for name in names for part in ("--env", f"{name}={person.environment[name]}")]
    options = ["--detach", "--network", "host", "--env", "EDGE_APP_IDENTITY=session", *settings]
    placed = [places.get(argument, argument) for argument in arguments]
    container = _run("run", *options, "--entrypoint", entry, IMAGE, *placed, *command).strip()
    try:
        yield f"http://{outer}/"
    finally:
        _run("rm", "--force", container)


def _page(address: str) -> str | None:
    """The application's page; None as long as it does not answer."""
    with contextlib.suppress(urllib.error.URLError, ConnectionError), urllib.request.urlopen(address) as answer:
        page = str(answer.read().decode())
        return page if "Hello" in page else None
    return None
