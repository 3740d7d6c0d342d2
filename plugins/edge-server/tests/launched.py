"""A server whose users launch applications at a hub, and a small server in the place of that hub."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
import sqlalchemy as sa

from edge_applications.names import server_name
from edge_server.applications.models import Application, AppVersion
from edge_server.compute.models import AppProfile
from edge_server.data.database import SERVER
from edge_server.data.declarative import Base
from edge_server.identity import directory, hub, hub_answers
from edge_server.identity.hub import Hub
from edge_server.identity.hub_identity import HubIdentity
from edge_server.keys import sealing
from edge_server.keys.sealing import KeyFile
from edge_server.keys.signing import Signer
from edge_server.run.app import build, engines_at, load
from edge_server.web.engines import Engines

TOKEN = "token-of-the-service"
CREATED = "2026-11-01T10:00:00+00:00"
IMAGE = "quay.io/lab/viewer:1.0.0"


class Planned:
    """A server at a hub.

    Attributes:
        parts: its engines.
        lab: id of the organization.
        database: where its rows are.
        app: the server.
        http: asks it.
    """

    def __init__(self, parts: Engines, lab: int) -> None:
        self.parts = parts
        self.lab = lab
        self.database = parts.database
        loaded = load(parts, plugins=False)
        self.tasks = {task.name: task for subsystem in loaded for task in subsystem.parts.tasks}
        self.app = build(parts, loaded)
        self.http = self.app.test_client()

    def run(self, task: str) -> None:
        """Do what the server does beside answering, once."""
        self.tasks[task].run()

    def send(self, token: str | None = TOKEN, **changes: Any) -> Any:
        body = {
            "user_name": "ann",
            "organization": "lab",
            "app_id": "viewer",
            "version": "1.0.0",
            "profile": None,
            "server_name": server_name("lab", "viewer"),
        } | changes
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        return self.http.post("/v1/launch-plans", json=body, headers=headers)

    def plan(self, **changes: Any) -> dict[str, Any]:
        answer = self.send(**changes)
        assert answer.status_code == 200, answer.text
        assert answer.headers["Cache-Control"] == "no-store"
        plan: dict[str, Any] = answer.json
        return plan

    def refused(self, status: int, **changes: Any) -> str:
        answer = self.send(**changes)
        assert answer.status_code == status, answer.text
        detail: str = answer.json["detail"]
        assert detail.count(". ") == 0
        return detail

    def change(self, *statements: sa.Executable) -> None:
        with self.database.write(SERVER) as session:
            for statement in statements:
                session.execute(statement)


@contextlib.contextmanager
def planned_at(folder: Path, api_url: str, **engines: Any) -> Iterator[Planned]:
    """A server at a hub, with the organization `lab`, its application `viewer`, and the users `ann`, `dev` and `boss`.

    Args:
        folder: an empty folder.
        api_url: of the hub.
        engines: in place of those of the folder.
    """
    identity = HubIdentity(Hub(api_url, TOKEN, "api"), lambda: 16)
    parts = engines_at(folder, Signer(b"key"), identity=identity, **engines)
    with contextlib.closing(parts.database), pytest.MonkeyPatch.context() as patch:
        for module in (hub, hub_answers):
            patch.setattr(module, "TIMEOUT", 60.0)  # a busy machine has a hub in the tests answer late
        with parts.database.write(SERVER) as session:
            Base.metadata.create_all(session.connection())
            lab = directory.create_organization(session, [], "lab")
            lab.hub = True
            directory.create_organization(session, [], "other")
            for name, roles in (("ann", ()), ("dev", ("developer",)), ("boss", ("admin",))):
                user = directory.create_user(session, name)
                user.hub_created = CREATED
                directory.add_member(session, user, lab, roles)
            session.add(
                Application(
                    organization_id=lab.id,
                    app_id="viewer",
                    visible_auto_add=True,
                    visible_versions=["1.0.0", "1.1.0"],
                    status="approved",
                    idle_minutes=30,
                )
            )
            session.flush()
            for version in ("1.0.0", "1.1.0", "2.0.0"):
                session.add(
                    AppVersion(
                        application_id=session.scalar(sa.select(Application.id)),
                        version=version,
                        title="Viewer",
                        description="",
                        icon="",
                        kind="native",
                        framework="panel",
                        link=IMAGE.replace("1.0.0", version),
                        volume_mount_point="/data",
                        suggested_volume_size=5,
                    )
                )
            session.add(
                AppProfile(
                    organization_id=lab.id,
                    profile_id="lab.large",
                    name="Large",
                    instance_name="m5.xlarge",
                    cpu=3.5,
                    gpu=0,
                    memory=14.0,
                    status="ready",
                    disable=False,
                )
            )
        lab_id = lab.id
        KeyFile(folder / sealing.FILE_NAME).create()
        yield Planned(parts, lab_id)


@contextlib.contextmanager
def viewer_runs(folder: Path, hub: StandInHub) -> Iterator[Planned]:
    """A server at a hub, where the viewer of `ann` runs and is not stopped for being idle.

    Args:
        folder: an empty folder.
        hub: the hub.
    """
    with planned_at(folder, hub.api_url) as server:
        server.change(sa.update(Application).values(idle_minutes=None))
        hub.run("ann")
        yield server


ROLES: dict[str, list[str]] = {"ann": [], "dev": ["developer"], "boss": ["admin"]}

AT_HUB = {
    "applications.launch",
    "applications.launch_plan",
    "applications.running.note",
    "applications.running.share",
    "applications.running.stop",
    "applications.running.unshare",
    "compute.placeholders.note",
}
"""The operations that do something at a server of a hub alone, and are tried at one in tests of their own."""

STARTED = "2026-11-20T08:00:00.000000Z"


class StandInHub:
    """Answers as a hub with these users, and runs servers in words alone; or answers as a test says.

    Attributes:
        servers: by user and name, as the hub tells of them.
        stopped: those that do not run, by user and name.
        shares: owner, server, "user" or "group", and the name of that.
        services: by name, as they were added.
        admins: the users who are admins of the hub.
        groups: beside those that each have one of the users, as the hub tells of them.
        odd: answers by method and path, in place of its own: called with the handler.
        calls: what it was asked for.
    """

    def __init__(self) -> None:
        self.servers: dict[tuple[str, str], dict[str, Any]] = {}
        self.stopped: set[tuple[str, str]] = set()
        self.shares: list[tuple[str, str, str, str]] = []
        self.services: dict[str, dict[str, Any]] = {}
        self.admins: set[str] = set()
        self.groups: list[dict[str, Any]] = []
        self.odd: dict[str, Callable[[Any], None]] = {}
        self.calls: list[str] = []
        self.members = dict(ROLES)
        own = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                path = urlsplit(self.path).path.removeprefix("/hub/api")
                call = f"{self.command} {unquote(path)}"
                own.calls.append(call)
                length = int(self.headers.get("Content-Length", 0))
                self.sent = json.loads(self.rfile.read(length)) if length else None
                self.query = parse_qs(urlsplit(self.path).query)
                odd = own.odd.get(call)
                if odd is not None:
                    odd(self)
                else:
                    self.reply(*own.answer(self.command, unquote(path), self.headers["Authorization"], self.sent))

            do_GET = do_POST = do_PATCH = do_DELETE = answer

            def reply(self, status: int, content: Any = None) -> None:
                raw = b"" if content is None else json.dumps(content).encode()
                self.send_response(status)
                if status != 204:
                    self.send_header("Content-Length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw)

            def log_message(self, *_: object) -> None: ...

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: object) -> None: ...

        self._server = Server(("127.0.0.1", 0), Handler)
        self.api_url = f"http://127.0.0.1:{self._server.server_address[1]}/hub/api"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, method: str, path: str, authorization: str, sent: Any) -> tuple[int, Any]:
        """Status and content of an answer."""
        words = path.strip("/").split("/")
        if words == ["user"]:
            return self._visitor(authorization.partition(" ")[2])
        if words == ["groups"]:
            groups = [*(self._group(name) for name in self.members), *self.groups]
            return 200, {"items": groups, "_pagination": {"next": None}}
        if words[0] == "services":
            return self._service_call(method, words[1:], sent)
        if words == ["users"]:
            users = sorted({user for user, _ in self.servers})
            return 200, {"items": [self._user(name) for name in users], "_pagination": {"next": None}}
        if words[0] == "shares":
            return self._share_call(method, words[1], words[2:], sent)
        if words[2:] == ["shared"]:
            return 200, self._share_page([share for share in self.shares if words[1] == share[3]])
        if len(words) == 2:
            return 200, self._user(words[1])
        if words[2] == "tokens":
            return 200, self._token(words[3])
        return self._server_call(method, words[1], words[3], sent)

    def run(self, user: str, app_id: str = "viewer", *, name: str | None = None, **changes: Any) -> dict[str, Any]:
        """Have a server run that is an application; returns what the hub tells of it, which can be changed."""
        edge = {"service": "api", "organization": "lab", "app_id": app_id, "version": "1.0.0", "profile": None}
        edge |= {key: changes.pop(key) for key in list(changes) if key in edge}
        name = name or server_name(edge["organization"], app_id)  # type: ignore[arg-type]
        return self._add(user, name, {"edge": edge}, **changes)

    def _add(self, user: str, name: str, options: Any, **changes: Any) -> dict[str, Any]:
        model = {
            "name": name,
            "ready": True,
            "pending": None,
            "started": STARTED,
            "last_activity": STARTED,
            "url": f"/user/{user}/{name}/",
            "full_url": None,
            "user_options": options,
        } | changes
        self.servers[user, name] = model
        return model

    def _service_call(self, method: str, names: list[str], sent: Any) -> tuple[int, Any]:
        if not names:
            return 200, {name: {"name": name, "info": model["info"]} for name, model in self.services.items()}
        (name,) = names
        if method == "POST" and name in self.services:
            return 409, {"status": 409, "message": f"Service {name} already exists"}
        if method == "POST":
            self.services[name] = sent
            return 201, {"name": name, "info": sent["info"]}
        if name not in self.services:
            return 404, {"status": 404, "message": "none"}
        model = self.services.pop(name) if method == "DELETE" else self.services[name]
        return 200, None if method == "DELETE" else {"name": name, "info": model["info"]}

    def _server_call(self, method: str, user: str, name: str, sent: Any) -> tuple[int, Any]:
        if method == "GET":
            known = self.servers.get((user, name))
            return (
                (200, known or {})
                if known or (user, name) in self.stopped
                else (404, {"status": 404, "message": "none"})
            )
        if method == "DELETE" and (sent or {}).get("remove"):
            self.stopped.discard((user, name))
        if method == "POST":
            if (user, name) in self.servers:
                return 400, {"status": 400, "message": f"{user}:{name} is already running"}
            self._add(user, name, sent, ready=False, pending="spawn")
            return 202, None
        return (204, None) if self.servers.pop((user, name), None) else (404, {"status": 404, "message": "none"})

    def _share_call(self, method: str, owner: str, name: list[str], sent: Any) -> tuple[int, Any]:
        if method == "GET":
            return 200, self._share_page([share for share in self.shares if share[0] == owner])
        ((kind, whom),) = sent.items()
        share = (owner, name[0], kind, whom)
        if method == "PATCH":
            self.shares = [each for each in self.shares if each != share]
            return 200, {}
        if whom not in self.members:
            return 400, {"status": 400, "message": f"{kind} {whom} is unknown"}
        if share not in self.shares:
            self.shares.append(share)
        return 200, self._share(share)

    def _share_page(self, shares: list[tuple[str, str, str, str]]) -> dict[str, Any]:
        return {"items": [self._share(share) for share in shares], "_pagination": {"next": None}}

    def _share(self, share: tuple[str, str, str, str]) -> dict[str, Any]:
        owner, name, kind, whom = share
        return {"user": None, "group": None, "server": {"user": {"name": owner}, "name": name}, kind: {"name": whom}}

    def _visitor(self, token: str) -> tuple[int, Any]:
        name = token.removeprefix("token-of-")
        if name not in ROLES:
            return 403, {"status": 403, "message": "Missing or invalid credentials."}
        scopes = ["access:services!service=api"]
        user = {"kind": "user", "name": name, "groups": self._groups_of(name), "scopes": scopes}
        return 200, {**user, "admin": name in self.admins, "token_id": f"a{sorted(ROLES).index(name)}"}

    def _user(self, name: str) -> dict[str, Any]:
        servers = {server: model for (user, server), model in self.servers.items() if user == name}
        user = {"name": name, "admin": name in self.admins, "created": CREATED, "groups": self._groups_of(name)}
        return {**user, "servers": servers}

    def _groups_of(self, name: str) -> list[str]:
        return [name, *(group["name"] for group in self.groups if name in group["users"])]

    def _group(self, name: str) -> dict[str, Any]:
        properties = {"edge_organization": "lab", "edge_roles": self.members[name]}
        return {"name": name, "users": [name], "properties": properties}

    def _token(self, token_id: str) -> dict[str, Any]:
        return {"id": token_id, "scopes": [], "note": "", "created": CREATED, "expires_at": None, "last_activity": None}


@pytest.fixture(name="hub")
def stand_in_hub() -> Iterator[StandInHub]:
    """A hub that a test has in hand."""
    own = StandInHub()
    yield own
    own.close()
