"""Those who administer organizations while the server is killed, and a ledger of what must be there after it."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable
from typing import Any

import requests

from edge_server.testing.local_server import EdgeServer

from .wire import Api, client

PATCH = {"Content-Type": "application/merge-patch+json"}

THINGS: list[tuple[str, str, dict[str, Any]]] = [
    ("secrets/user", "s", {"name": "s", "content": {"password": "correct horse"}}),
    ("secrets/organization", "s", {"name": "s", "content": {"key": [1, {"b": None}]}}),
    ("applications", "viewer", {"app_id": "viewer", "visible_auto_add": True, "idle_minutes": 7}),
    (
        "applications/viewer/versions",
        "1.0",
        {"app_id": "viewer", "version": "1.0", "title": "V", "link": "quay.io/a/b:1"},
    ),
    (
        "applications/viewer/servers",
        "quay.io",
        {"app_id": "viewer", "domain": "quay.io", "username": "robot", "password": "battery staple"},
    ),
    (
        "compute/app-profiles",
        "wide",
        {"profile_id": "wide", "name": "Wide", "instance_name": "m5.large", "cpu": 2.0, "gpu": 0, "memory": 8.0},
    ),
    ("compute/placeholders", "warm", {"name": "warm", "profile_id": "wide", "quantity": 2}),
    (
        "sources",
        "lims",
        {"name": "lims", "title": "The LIMS", "kind": "sql", "definition": {"host": "h"}, "secret": {"password": "x"}},
    ),
]
"""Below which address of an organization, under which name, and what is made there."""

HIDDEN = ("password",)
"""What is never read back."""


class Ledger:
    """What the server has acknowledged, and what may or may not have come through."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.organizations: dict[str, set[str]] = {}
        self.users: set[str] = set()
        self.roles: dict[tuple[str, str], list[list[str]]] = {}
        self.tokens: dict[str, str] = {}
        self.removed: dict[str, str] = {}
        self.files: dict[tuple[str, str, str], bytes] = {}
        self.things: dict[tuple[str, str, str], dict[str, Any]] = {}
        self.acknowledged = 0

    def note(self, write: Callable[[], Any]) -> None:
        with self._lock:
            write()

    def done(self) -> None:
        with self._lock:
            self.acknowledged += 1


class Administrator(threading.Thread):
    """Administers, in turns, until the server is gone."""

    def __init__(self, server: EdgeServer, root: str, ledger: Ledger) -> None:
        super().__init__()
        self._root = client(server, root, "default")
        self._server = server
        self._ledger = ledger
        self.failure: BaseException | None = None

    def run(self) -> None:
        try:
            while True:
                self._turn()
        except requests.RequestException:
            pass  # the server is gone
        except BaseException as error:
            self.failure = error

    def _call(self, api: Api, method: str, path: str, **options: Any) -> Any:
        answer = api.call(method, path, **options)
        assert answer.status_code < 300, f"{method} {path} -> {answer.status_code} {answer.text}"
        self._ledger.done()
        return answer.json() if answer.content else None

    def _turn(self) -> None:
        ledger, name = self._ledger, f"kill-{secrets.token_hex(5)}"
        self._call(self._root, "POST", "/v1/admin/organizations", json={"name": name})
        ledger.note(lambda: ledger.organizations.update({name: {name}}))
        # A person comes by an invitation, makes tokens and removes one.
        invited = {"user_name": name, "roles": ["admin"]}
        code = self._call(self._root, "POST", f"/v1/orgs/{name}/invitations", json=invited)["code"]
        stranger = client(self._server, None, name)
        first = self._call(stranger, "POST", "/v1/invitations/accept", json={"code": code})["token"]
        ledger.note(lambda: ledger.users.add(name))
        ledger.note(lambda: ledger.tokens.update({first: name}))
        mine = client(self._server, first, name)
        tokens = [self._call(mine, "POST", "/v1/users/me/tokens", json={"note": str(n)}) for n in range(2)]
        ledger.note(lambda: ledger.tokens.update({tokens[0]["token"]: name}))
        self._call(mine, "DELETE", f"/v1/users/me/tokens/{tokens[1]['id']}")
        ledger.note(lambda: ledger.removed.update({tokens[1]["token"]: name}))
        # Another one, who is added and whose roles change.
        other = f"{name}-b"
        self._call(self._root, "POST", "/v1/admin/users", json={"user_name": other, "home_org": name})
        ledger.note(lambda: ledger.users.add(other))
        self._call(mine, "POST", f"/v1/orgs/{name}/members", json={"user_name": other})
        ledger.note(lambda: ledger.roles.update({(name, first): [[]]}))
        for roles in (["developer"], ["admin", "developer"], []):
            ledger.note(lambda roles=roles: ledger.roles[name, first].append(roles))
            self._call(mine, "PATCH", f"/v1/orgs/{name}/members/{other}", json={"roles": roles}, headers=PATCH)
            ledger.note(lambda roles=roles: ledger.roles.update({(name, first): [roles]}))
        title = secrets.token_hex(4)
        ledger.note(lambda: ledger.organizations[name].add(title))
        path = f"/v1/admin/organizations/{name}"
        self._call(self._root, "PATCH", path, json={"title": title, "shutdown_apps": True}, headers=PATCH)
        ledger.note(lambda: ledger.organizations.update({name: {title}}))
        content = secrets.token_bytes(300)
        self._call(mine, "PUT", f"/v1/orgs/{name}/files/content", params={"path": "a/b.bin"}, data=content)
        ledger.note(lambda: ledger.files.update({(name, first, "a/b.bin"): content}))
        for folder, thing, body in THINGS:
            self._call(mine, "POST", f"/v1/orgs/{name}/{folder}", json=body)
            kept = {key: value for key, value in body.items() if key not in HIDDEN}
            ledger.note(lambda at=f"{folder}/{thing}", kept=kept: ledger.things.update({(name, first, at): kept}))


def check(server: EdgeServer, root: str, ledger: Ledger) -> None:
    """That all that was acknowledged is there."""
    admin = client(server, root, "default")
    for name, titles in ledger.organizations.items():
        assert admin.call("GET", f"/v1/admin/organizations/{name}").json()["title"] in titles
    for name in ledger.users:
        assert admin.call("GET", f"/v1/admin/users/{name}").status_code == 200
    for token, name in ledger.tokens.items():
        api = Api(server.url, token, name, admin.http)
        assert api.call("GET", "/v1/users/me").json()["user_name"] == name
    for token, name in ledger.removed.items():
        assert Api(server.url, token, name, admin.http).call("GET", "/v1/users/me").status_code == 401
    for (name, token), possible in ledger.roles.items():
        api = Api(server.url, token, name, admin.http)
        assert api.call("GET", f"/v1/orgs/{name}/members/{name}-b").json()["roles"] in possible
    for (name, token, path), kept in ledger.things.items():
        record = Api(server.url, token, name, admin.http).call("GET", f"/v1/orgs/{name}/{path}").json()
        assert {key: record.get(key) for key in kept} == kept, path
    for (name, token, path), content in ledger.files.items():
        assert Api(server.url, token, name, admin.http).get(path).content == content
