"""A browser at a JupyterHub of the tests that has no proxy: it finds the hub and what the hub has started by itself."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests

from tests.hubs import RealHub

_KEEP_PORTS = """
from jupyterhub.utils import random_port
import json, pathlib


def keep_port(spawner, hook=c.Spawner.get("pre_spawn_hook")):
    spawner.port = random_port()
    name = f"{spawner.user.name}-{spawner.name}.port"
    pathlib.Path(FOLDER, name).write_text(json.dumps([spawner.server.base_url, spawner.port]))
    return hook(spawner) if hook else None


c.Spawner.pre_spawn_hook = keep_port
"""


def keep_ports(folder: Path) -> str:
    """Lines behind a hub's configuration by which a `Browser` finds servers."""
    return _KEEP_PORTS.replace("FOLDER", repr(str(folder)))


class Browser:
    """Visits as a person does: with cookies, and where redirects lead.

    Args:
        hub: the hub, which has `keep_ports` in its configuration.
        ports: the folder that those name.
    """

    def __init__(self, hub: RealHub, ports: Path) -> None:
        self.http = requests.Session()
        self.http.trust_env = False
        self._hub = hub
        self._ports = ports

    def log_in(self, name: str) -> None:
        """Log in at the hub, whose passwords are anything."""
        self.open("/hub/login")
        form = {"username": name, "password": "any", "_xsrf": self.http.cookies.get("_xsrf", path="/hub/")}
        answer = self.send("POST", "/hub/login", data=form)
        assert answer.status_code == 302, answer.text

    def send(
        self, method: str, path: str, headers: Mapping[str, str] | None = None, **options: Any
    ) -> requests.Response:
        """An answer, whatever it is; no redirect is followed."""
        options = {"allow_redirects": False, "timeout": 60, **options}
        own = {"Accept": "text/html", "Sec-Fetch-Mode": "navigate", **(headers or {})}
        return self.http.request(method, f"{self.origin(path)}{path}", headers=own, **options)

    def open(self, path: str, headers: Mapping[str, str] | None = None) -> requests.Response:
        """A page, where its redirects lead."""
        for _ in range(10):
            answer = self.send("GET", path, headers)
            if answer.status_code not in (301, 302, 303, 307):
                return answer
            target = urlsplit(urljoin(path, answer.headers["Location"]))
            path = target.path + (f"?{target.query}" if target.query else "")
        raise AssertionError(f"{path}: too many redirects")

    def visit_shared(self, path: str) -> requests.Response:
        """The page of a server that is shared with who visits it, whom the hub asks for the first time."""
        page = self.send("GET", self.send("GET", path).headers["Location"])
        if page.status_code == 302:
            return self.open(page.headers["Location"])
        assert page.status_code == 200, "where the hub asks whether they want it"
        fields = dict(re.findall(r'name="(_xsrf|scopes)"[^>]*value="([^"]*)"', page.text, re.DOTALL))
        target = page.url.removeprefix(self.origin("/hub"))
        answer = self.send("POST", target, data=fields, headers={"Referer": page.url})
        return self.open(answer.headers["Location"])

    def origin(self, path: str) -> str:
        """Where the hub's proxy would hand on to."""
        for file in self._ports.glob("*.port"):
            prefix, port = json.loads(file.read_text())
            if f"{path}/".startswith(prefix):
                return f"http://127.0.0.1:{port}"
        return f"http://127.0.0.1:{self._hub.port}"
