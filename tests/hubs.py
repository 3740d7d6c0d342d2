"""JupyterHub for the tests: the real one, whose proxy is left out where nothing goes through it."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import requests

from edge_hub.configuration import SERVICE_SCOPES
from tests.object_stores import free_port

CONFIGURATION = """\
from jupyterhub.proxy import Proxy


class Unproxied(Proxy):
    '''Keeps routes, and leads nowhere: what is asked of the hub is asked of the hub itself.'''

    should_start = False

    def __init__(self, **options):
        super().__init__(**options)
        self.routes = {{}}

    async def add_route(self, routespec, target, data):
        self.routes[routespec] = {{"routespec": routespec, "target": target, "data": data}}

    async def delete_route(self, routespec):
        self.routes.pop(routespec, None)

    async def get_all_routes(self):
        return dict(self.routes)


c = get_config()
c.JupyterHub.proxy_class = Unproxied
c.JupyterHub.bind_url = "http://127.0.0.1:{bind_port}"
c.JupyterHub.hub_port = {port}
c.JupyterHub.db_url = "sqlite:///{folder}/jupyterhub.sqlite"
c.JupyterHub.cookie_secret_file = "{folder}/cookie_secret"
c.JupyterHub.authenticator_class = "dummy"
c.JupyterHub.spawner_class = "simple"
c.Authenticator.allow_all = True
c.JupyterHub.services = [{{"name": "driver", "api_token": "{driver_token}"}}]
c.JupyterHub.load_roles = [{{"name": "admin", "services": ["driver"]}}]
"""

BY_HAND = """\
c.JupyterHub.services.append({{"name": "api", "api_token": "{edge_token}"}})
c.JupyterHub.load_roles += [
    {{"name": "user", "scopes": ["self", "access:services!service=api"]}},
    {{"name": "edge-api", "services": ["api"], "scopes": {service_scopes}}},
]
"""


class RealHub:
    """A JupyterHub with a service of the tests that may do all.

    Args:
        folder: an empty folder.
        further: lines behind its configuration.
        by_hand: whether it has the service `api`, as the operator's guide says.
    """

    def __init__(self, folder: Path, further: str = "", *, by_hand: bool = True) -> None:
        self.folder = folder
        self.port = free_port()
        self.api_url = f"http://127.0.0.1:{self.port}/hub/api"
        self.edge_token = secrets.token_hex(16)
        self._driver_token = secrets.token_hex(16)
        self._process: subprocess.Popen[bytes] | None = None
        self.bind_port = free_port()
        text = (CONFIGURATION + (BY_HAND if by_hand else "")).format(
            bind_port=self.bind_port,
            port=self.port,
            folder=folder,
            edge_token=self.edge_token,
            driver_token=self._driver_token,
            service_scopes=list(SERVICE_SCOPES),
        )
        path = folder / "jupyterhub_config.py"
        path.touch(0o600)
        path.write_text(text + further)

    def start(self) -> None:
        """Start it and wait until it answers."""
        with open(self.folder / "output", "ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "jupyterhub", "-f", str(self.folder / "jupyterhub_config.py")],
                cwd=self.folder,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        deadline = time.monotonic() + 300  # of a machine that does much else
        while not self._answers():
            assert time.monotonic() < deadline, f"the hub does not answer: {self.log[-4000:]}"
            time.sleep(0.1)

    @property
    def log(self) -> str:
        """What it has written."""
        return (self.folder / "output").read_text(encoding="utf-8", errors="replace")

    def stop(self) -> None:
        """Stop it, with the servers that it has spawned."""
        if self._process is not None and self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGTERM)
            self._process.wait(60)

    def call(self, method: str, path: str, body: Any = None, *, token: str | None = None) -> Any:
        """What the hub's API answers, by default to the service of the tests."""
        answer = self.answer(method, path, body, token=token)
        assert answer.ok, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    def answer(self, method: str, path: str, body: Any = None, *, token: str | None = None) -> requests.Response:
        """An answer of the hub's API, whatever it is."""
        headers = {"Authorization": f"token {token or self._driver_token}"}
        with requests.Session() as http:
            http.trust_env = False
            return http.request(method, f"{self.api_url}{path}", headers=headers, json=body, timeout=60)

    def add_user(self, name: str | None = None, *, admin: bool = False) -> str:
        """Add a user, by default of a fresh name, and return the name."""
        name = name or f"user-{secrets.token_hex(4)}"
        self.call("POST", f"/users/{name}", {"admin": admin} if admin else None)
        return name

    def remove_user(self, name: str) -> None:
        """Delete a user."""
        self.call("DELETE", f"/users/{name}")

    def token(self, user: str, *, scopes: list[str] | None = None, expires_in: int | None = None) -> str:
        """A new token of a user, which may do what the user may unless scopes say what."""
        body: dict[str, Any] = {"expires_in": expires_in}
        if scopes is not None:
            body["scopes"] = scopes
        value: str = self.call("POST", f"/users/{user}/tokens", body)["token"]
        return value

    def token_id(self, token: str) -> str:
        """The id of a token."""
        value: str = self.call("GET", "/user", token=token)["token_id"]
        return value

    def revoke(self, user: str, token: str) -> None:
        """Remove a token."""
        self.call("DELETE", f"/users/{user}/tokens/{self.token_id(token)}")

    def group(self, name: str, *users: str, properties: Mapping[str, Any] | None = None) -> str:
        """Have a group with these members, and no others, and properties; return its name."""
        if self.answer("GET", f"/groups/{name}").status_code == 404:
            self.call("POST", f"/groups/{name}")
        present = set(self.call("GET", f"/groups/{name}")["users"])
        if users:
            self.call("POST", f"/groups/{name}/users", {"users": list(users)})
        if present - set(users):
            self.answer("DELETE", f"/groups/{name}/users", {"users": sorted(present - set(users))}).raise_for_status()
        self.call("PUT", f"/groups/{name}/properties", dict(properties or {}))
        return name

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, f"the hub has ended: {self.log[-4000:]}"
        try:
            return self.answer("GET", "/").ok
        except requests.ConnectionError:
            return False
