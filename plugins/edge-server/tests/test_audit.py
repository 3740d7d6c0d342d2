"""Every change of who may do what, and of what is kept, leaves a line that says by whom; and never what was in it."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests
import sqlalchemy as sa
from click.testing import CliRunner

from edge_server.accounts import audit_routes
from edge_server.base import clock
from edge_server.base.problems import Refusal
from edge_server.data.database import FILE_NAME, SERVER, Database
from edge_server.identity import directory, operator_audit, renaming
from edge_server.identity.audit_lines import AuditLine
from edge_server.keys.signing import Signer
from edge_server.run import app, data_folder, start
from edge_server.run.command import server as command
from edge_server.run.openapi import document
from edge_server.testing.local_server import EdgeServer
from edge_server.web.context import OwnContext

from .administrators import PATCH, THINGS
from .engines import sqlite_only
from .launched import AT_HUB
from .wire import Api, client, refused

NOT_AUDITED = ("files.", "signed.", "whoami.")
"""Operations that change what has a history or an owner of its own: files, and a user's own profile."""

HIDDEN = "hidden-content-of"
"""In all that must not show in a line."""


def changes() -> list[str]:
    """All operations that change something and are audited."""
    operations = [
        str(operation["operationId"])
        for methods in document()["paths"].values()
        for method, operation in methods.items()
        if method in ("post", "put", "patch", "delete")
    ]
    return [operation for operation in operations if not operation.startswith(NOT_AUDITED) and operation not in AT_HUB]


class World:
    """An organization with an admin, and a server admin, who make each change once."""

    def __init__(self, server: EdgeServer) -> None:
        self.server = server
        self.root = client(server, server.create_token("admin"), "default")
        self.organization = server.create_organization()
        self.name = server.create_user(organization=self.organization, roles=["admin"])
        self.admin = client(server, server.create_token(self.name), self.organization)
        self.anyone = client(server, None, self.organization)
        self.actors: set[str] = set()
        self.values: list[str] = [str(self.admin.token), str(self.root.token)]

    def own(self, method: str, path: str, body: Any = None) -> requests.Response:
        """A call of the organization's admin."""
        return self._call(self.admin, method, f"/v1/orgs/{self.organization}/{path}", body)

    def of_server(self, method: str, path: str, body: Any = None) -> requests.Response:
        """A call of the server admin."""
        return self._call(self.root, method, f"/v1/admin/{path}", body)

    def by(self, api: Api, method: str, path: str, body: Any = None) -> requests.Response:
        return self._call(api, method, path, body)

    def user(self, organization: str | None = None, **more: Any) -> str:
        return self.server.create_user(organization=organization, **more)

    @staticmethod
    def _call(api: Api, method: str, path: str, body: Any) -> requests.Response:
        options = {} if body is None else {"json": body}
        return api.call(method, path, headers=PATCH if method == "PATCH" else {}, **options)

    # --- what recipes begin with

    def thing(self, folder: str) -> tuple[str, str]:
        """A thing of `THINGS` that is there: its folder, and its address."""
        (known,) = [entry for entry in THINGS if entry[0] == folder]
        for parent in THINGS:
            if folder.startswith(f"{parent[0]}/{parent[1]}/") or (folder, parent[0]) == (
                "compute/placeholders",
                "compute/app-profiles",
            ):
                self.thing(parent[0])
        assert self.own("POST", known[0], hidden(known[2])).status_code in (201, 409)
        return known[0], f"{known[0]}/{known[1]}"

    def invitation(self, user_name: str | None = None) -> dict[str, Any]:
        body = {"user_name": user_name or f"new-{secrets.token_hex(4)}", "email": f"{HIDDEN}@example.org"}
        return dict(self.own("POST", "invitations", body).json())

    def stranger(self) -> Api:
        """A user who is in no organization."""
        return client(self.server, self.server.create_token(self.user()), self.organization)


def hidden(body: dict[str, Any]) -> dict[str, Any]:
    """A body of `THINGS` with content that can be looked for."""
    replaced = dict(body)
    if "content" in replaced:
        replaced["content"] = {"a": f"{HIDDEN} secrets"}
    if "password" in replaced:
        replaced["password"] = f"{HIDDEN} registries"
    if "secret" in replaced:
        replaced["secret"] = {"password": f"{HIDDEN} connectors"}
    return replaced


Recipe = Callable[[World], requests.Response]


def add(folder: str) -> Recipe:
    def recipe(world: World) -> requests.Response:
        (known,) = [entry for entry in THINGS if entry[0] == folder]
        world.thing(folder)
        assert world.own("DELETE", f"{known[0]}/{known[1]}").status_code == 204
        return world.own("POST", known[0], hidden(known[2]))

    return recipe


def update(folder: str, body: Any, method: str = "PATCH") -> Recipe:
    return lambda world: world.own(method, world.thing(folder)[1], body)


def remove(folder: str) -> Recipe:
    return lambda world: world.own("DELETE", world.thing(folder)[1])


def oauth(method: str, body: Any = None) -> Recipe:
    def recipe(world: World) -> requests.Response:
        path = f"{world.thing('applications')[1]}/oauth-client"
        world.own("DELETE", path)
        registered = {"redirect_uri": "https://example.org/callback"}
        if method == "POST":
            return world.own("POST", path, registered)
        assert world.own("POST", path, registered).status_code == 201
        return world.own(method, path, body)

    return recipe


def approve(world: World) -> requests.Response:
    return world.own("POST", f"{world.thing('applications')[1]}/approve")


def revoke_token(world: World) -> requests.Response:
    created = world.by(world.admin, "POST", "/v1/users/me/tokens", {"note": f"{HIDDEN} note"}).json()
    world.values.append(created["token"])
    return world.by(world.admin, "DELETE", f"/v1/users/me/tokens/{created['id']}")


def create_token(world: World) -> requests.Response:
    answer = world.by(world.admin, "POST", "/v1/users/me/tokens", {"note": f"{HIDDEN} note"})
    world.values.append(answer.json()["token"])
    return answer


def renew_token(world: World) -> requests.Response:
    api = client(world.server, world.server.create_token(world.name, expires_in=60), world.organization)
    answer = world.by(api, "POST", "/v1/users/me/tokens/renew")
    world.values += [str(api.token), answer.json()["token"]]
    return answer


def invite(world: World) -> requests.Response:
    answer = world.own("POST", "invitations", {"user_name": "somebody", "email": f"{HIDDEN}@example.org"})
    world.values.append(answer.json()["code"])
    return answer


def accept(world: World) -> requests.Response:
    code = world.invitation()["code"]
    answer = world.by(world.anyone, "POST", "/v1/invitations/accept", {"code": code})
    world.values += [code, answer.json()["token"]]
    return answer


def profile_of(name: str) -> dict[str, str]:
    return {"user_name": name, "first_name": f"{HIDDEN} Bob", "email": f"{HIDDEN}@example.org"}


def own_invitation(method: str, ending: str = "") -> Recipe:
    def recipe(world: World) -> requests.Response:
        name = world.user()
        api = client(world.server, world.server.create_token(name), world.organization)
        invitation = world.invitation(name)["id"]
        answer = world.by(api, method, f"/v1/users/me/invitations/{invitation}{ending}")
        world.actors.add(name)
        return answer

    return recipe


RECIPES: dict[str, Recipe] = {
    "members.add": lambda world: world.own("POST", "members", {"user_name": world.user(), "roles": ["developer"]}),
    "members.update": lambda world: world.own(
        "PATCH", f"members/{world.user(world.organization)}", {"roles": ["developer"]}
    ),
    "members.remove": lambda world: world.own("DELETE", f"members/{world.user(world.organization)}"),
    "members.revoke_addresses": lambda world: world.own(
        "DELETE", f"members/{world.user(world.organization)}/addresses"
    ),
    "invitations.create": invite,
    "invitations.remove": lambda world: world.own("DELETE", f"invitations/{world.invitation()['id']}"),
    "invitations.accept": accept,
    "invitations.own.accept": own_invitation("POST", "/accept"),
    "invitations.own.decline": own_invitation("DELETE"),
    "tokens.create": create_token,
    "tokens.remove": revoke_token,
    "tokens.renew": renew_token,
    "admin.organizations.add": lambda world: world.of_server(
        "POST", "organizations", {"name": f"o-{secrets.token_hex(4)}"}
    ),
    "admin.organizations.update": lambda world: world.of_server(
        "PATCH", f"organizations/{world.organization}", {"disable_launch": True}
    ),
    "admin.organizations.remove": lambda world: world.of_server(
        "DELETE", f"organizations/{world.server.create_organization()}"
    ),
    "admin.quotas.update": lambda world: world.of_server(
        "PATCH", f"organizations/{world.organization}/quota", {"storage_bytes": 10**9}
    ),
    "admin.users.add": lambda world: world.of_server("POST", "users", profile_of(f"u-{secrets.token_hex(4)}")),
    "admin.users.update": lambda world: world.of_server("PATCH", f"users/{world.user()}", {"server_admin": True}),
    "admin.users.remove": lambda world: world.of_server("DELETE", f"users/{world.user(world.organization)}"),
    "admin.users.revoke_addresses": lambda world: world.of_server(
        "DELETE", f"users/{world.user(world.organization)}/addresses"
    ),
    "secrets.user.create": add("secrets/user"),
    "secrets.user.update": update("secrets/user", {"content": {"a": f"{HIDDEN} secrets"}}, "PUT"),
    "secrets.user.delete": remove("secrets/user"),
    "secrets.organization.create": add("secrets/organization"),
    "secrets.organization.update": update("secrets/organization", {"content": {"a": f"{HIDDEN} secrets"}}, "PUT"),
    "secrets.organization.delete": remove("secrets/organization"),
    "applications.add": add("applications"),
    "applications.update": update("applications", {"idle_minutes": 8}),
    "applications.remove": remove("applications"),
    "applications.approve": approve,
    "applications.versions.add": add("applications/viewer/versions"),
    "applications.versions.update": update("applications/viewer/versions", {"title": "Another"}),
    "applications.versions.remove": remove("applications/viewer/versions"),
    "applications.servers.add": add("applications/viewer/servers"),
    "applications.servers.update": update("applications/viewer/servers", {"password": f"{HIDDEN} registries"}),
    "applications.servers.remove": remove("applications/viewer/servers"),
    "applications.oauth.register": oauth("POST"),
    "applications.oauth.update": oauth("PATCH", {"redirect_uri": "https://example.org/other"}),
    "applications.oauth.remove": oauth("DELETE"),
    "compute.profiles.create": add("compute/app-profiles"),
    "compute.profiles.update": update("compute/app-profiles", {"name": "Wider"}),
    "compute.profiles.remove": remove("compute/app-profiles"),
    "compute.placeholders.create": add("compute/placeholders"),
    "compute.placeholders.update": update("compute/placeholders", {"quantity": 3}),
    "compute.placeholders.remove": remove("compute/placeholders"),
    "sources.add": add("sources"),
    "sources.update": update("sources", {"title": "Another"}),
    "sources.remove": remove("sources"),
}
"""How each operation is made to change something."""


@pytest.fixture
def world(edge_server: EdgeServer) -> World:
    return World(edge_server)


def lines_of(server: EdgeServer, answer: requests.Response) -> list[AuditLine]:
    """The lines of a request."""
    with server.database.read() as session:
        return list(session.scalars(sa.select(AuditLine).where(AuditLine.request_id == answer.headers["X-Request-ID"])))


def test_every_change_is_audited(edge_server: EdgeServer, world: World) -> None:
    assert sorted(RECIPES) == sorted(changes()), "each operation that changes something is tried here"
    silent, leaking = [], []
    for operation, recipe in RECIPES.items():
        answer = recipe(world)
        assert answer.status_code < 300, f"{operation} -> {answer.status_code} {answer.text}"
        lines = lines_of(edge_server, answer)
        if not lines or {line.action for line in lines} != {operation}:
            silent.append(operation)
        by = {line.user_name for line in lines}
        assert by <= ({"(anyone)"} if operation == "invitations.accept" else {"admin", world.name, *world.actors}), (
            operation
        )
        assert all(line.token_uid for line in lines) or operation == "invitations.accept"
        for line in lines:
            text = json.dumps([line.about, line.user_name, line.organization_name])
            leaking += [operation for word in (HIDDEN, "edg_", "edi_", "edo_", *world.values) if word in text]
    assert (silent, leaking) == ([], [])


def test_what_is_refused_leaves_no_line(edge_server: EdgeServer, world: World) -> None:
    other = world.user(world.organization)
    stale = {"If-Match": '"another-1"'}
    taken = world.thing("applications")[0]
    for answer in (
        world.own("POST", taken, THINGS[2][2]),
        world.own("POST", "members", {"user_name": other}),
        world.own("DELETE", "members/nobody"),
        world.admin.call("DELETE", f"/v1/orgs/{world.organization}/members/{other}", headers=stale),
        world.admin.call("DELETE", "/v1/admin/users/admin"),
        world.of_server("DELETE", "users/nobody"),
    ):
        assert 400 <= answer.status_code < 500
        assert lines_of(edge_server, answer) == []


def test_a_line_is_there_exactly_when_the_change_is(edge_server: EdgeServer, world: World) -> None:
    """The last part of the transaction fails: neither is there."""
    database = Database(edge_server.database.address)

    def fail(_session: object) -> None:
        raise Refusal(503, "unavailable", "not now; try again")

    engines = app.engines_at(edge_server.data, Signer(b""), database=database)
    http = app.build(engines).test_client()
    database.before_commit = fail
    name, headers = world.user(world.organization), {"Authorization": f"Bearer {world.admin.token}"}
    answer = http.delete(f"/v1/orgs/{world.organization}/members/{name}", headers=headers)
    database.close()
    assert answer.status_code == 503
    with edge_server.database.read() as session:
        line = sa.select(AuditLine.id).where(AuditLine.request_id == answer.headers["X-Request-ID"])
        assert session.scalar(line) is None
    assert world.own("GET", f"members/{name}").status_code == 200


def test_admins_read_the_lines_of_their_organization_and_server_admins_the_servers(
    edge_server: EdgeServer, world: World
) -> None:
    eve = World(edge_server)
    world.thing("secrets/organization")
    eve.thing("secrets/organization")
    name = world.user(world.organization)
    assert world.of_server("DELETE", f"users/{name}").status_code == 204
    own = world.own("GET", "audit").json()["items"]
    assert [(line["action"], line["about"]) for line in own] == [
        ("admin.users.remove", {"user_name": name}),
        ("secrets.organization.create", {"secret": "s"}),
    ]
    assert {line["organization_name"] for line in own} == {world.organization}
    assert [line["user_name"] for line in own] == ["admin", world.name]
    assert own[1]["token_id"] == world.by(world.admin, "GET", "/v1/users/me/tokens").json()["items"][0]["id"]
    of_server = world.of_server("GET", "audit?limit=1000").json()["items"]
    assert (of_server[0]["action"], of_server[0]["organization_name"]) == ("admin.users.remove", None)
    assert not [line for line in of_server if line["action"].startswith("secrets.")]
    # Nobody else.
    member = client(edge_server, edge_server.create_token(world.user(world.organization)), world.organization)
    refused(member.call("GET", f"/v1/orgs/{world.organization}/audit"), 403, "forbidden")
    refused(world.by(eve.admin, "GET", f"/v1/orgs/{world.organization}/audit"), 404, "not_found")
    refused(world.by(world.root, "GET", f"/v1/orgs/{world.organization}/audit"), 404, "not_found")
    refused(world.by(world.admin, "GET", "/v1/admin/audit"), 403, "forbidden")


def test_what_a_server_admin_does_in_an_organization_is_read_by_both(edge_server: EdgeServer, world: World) -> None:
    organization, name = edge_server.create_organization(), world.user()
    answer = world.by(world.root, "POST", f"/v1/orgs/{organization}/members", {"user_name": name, "roles": ["admin"]})
    assert answer.status_code == 201
    lines = lines_of(edge_server, answer)
    assert {(line.organization_id is None, line.organization_name) for line in lines} == {
        (True, organization),
        (False, organization),
    }


def test_lines_are_filtered_and_come_in_pages(world: World) -> None:
    for n in range(5):
        body = {"name": f"s{n}", "content": {}}
        assert world.own("POST", "secrets/organization", body).status_code == 201
    assert world.own("DELETE", "secrets/organization/s0").status_code == 204
    name = world.user(world.organization)
    world.own("DELETE", f"members/{name}")

    def read(**query: Any) -> list[str]:
        answer = world.admin.call("GET", f"/v1/orgs/{world.organization}/audit", params=query)
        assert answer.status_code == 200, answer.text
        return [line["about"].get("secret", line["about"].get("user_name")) for line in answer.json()["items"]]

    everything = [name, "s0", "s4", "s3", "s2", "s1", "s0"]
    assert read() == everything
    assert read(action="secrets") == everything[1:]
    assert read(action="secrets.organization.delete") == ["s0"]
    assert read(user_name="nobody") == read(action="secrets.user") == read(action="operator") == []
    for wrong in ("secret", "secrets.%", "secrets.", "nosuch", ""):
        refused(world.own("GET", f"audit?action={wrong.replace('%', '%25')}"), 400, "bad_entry")
    assert read(user_name=world.name) == everything
    past, future = clock.now() - dt.timedelta(hours=1), clock.now() + dt.timedelta(hours=1)
    assert read(since=past.isoformat(), until=future.isoformat()) == everything
    assert read(since=future.isoformat()) == read(until=past.isoformat()) == []
    pages, cursor = [], None
    while True:
        page = world.admin.call("GET", f"/v1/orgs/{world.organization}/audit", params={"limit": 2, "cursor": cursor})
        pages.append(len(page.json()["items"]))
        cursor = page.json()["next"]
        if cursor is None:
            break
    assert pages == [2, 2, 2, 1]
    refused(world.own("GET", "audit?since=yesterday"), 422, "bad_entry")


def test_lines_go_with_their_organization_and_after_their_time(edge_server: EdgeServer, world: World) -> None:
    world.thing("secrets/organization")
    moment = clock.now() - dt.timedelta(days=366)
    with edge_server.database.write(SERVER) as session:
        row = directory.find_organization(session, world.organization)
        assert row is not None
        about = {"user_name": "x", "action": "test.old", "about": "{}", "request_id": "x"}
        session.add_all(AuditLine(at=moment, organization_id=row.id, **about) for _ in range(1500))
    engines = app.engines_at(edge_server.data, Signer(b""), database=edge_server.database)
    audit_routes.forget(OwnContext("accounts", engines, ()), dt.timedelta(days=365))
    own = [line["action"] for line in world.own("GET", "audit?limit=1000").json()["items"]]
    assert own == ["secrets.organization.create"]


def test_the_operator_says_how_long_lines_stay(tmp_path: Path) -> None:
    settings = tmp_path / "server.toml"
    settings.write_text("[audit]\nkeep_days = 30\n")
    app.load(app.engines_at(settings.parent, Signer(b"")), plugins=False)
    settings.write_text("[audit]\nkeep_days = 0\n")
    with pytest.raises(Exception, match=r"audit.keep_days: write 1 to 3650 days"):
        app.load(app.engines_at(settings.parent, Signer(b"")), plugins=False)


# --- the operator


def operated(folder: Path) -> dict[tuple[str, str | None], dict[str, str]]:
    """What the lines of the operator are about, by their action and organization."""
    with contextlib.closing(Database(folder / FILE_NAME)) as database, database.read() as session:
        lines = session.scalars(sa.select(AuditLine).where(AuditLine.user_name == operator_audit.OPERATOR)).all()
        assert {(line.organization_id is None) == (line.organization_name is None) for line in lines} <= {True}
        assert {(line.token_uid, line.request_id) for line in lines} == {(None, "")}
        return {(line.action, line.organization_name): json.loads(line.about) for line in lines}


@sqlite_only("which `edge server move` leaves")
def test_what_the_operator_changes_by_a_command_leaves_a_line(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    _, _, first = start.prepare(folder)

    def run(*words: str) -> None:
        done = CliRunner().invoke(command, [*words, "--data", str(folder)])
        assert done.exit_code == 0, done.output

    run("rename-user", "admin", "ada")
    run("rename-organization", "default", "lab")
    run("purge")
    run("purge", "--org", "lab")
    run("rotate-keys")
    with data_folder.locked(folder), data_folder.announced(folder, "http://127.0.0.1:1"):
        access = data_folder.local_access(folder, "ada")
    settings = tmp_path / "site" / "server.toml"
    settings.parent.mkdir()
    settings.write_text("")
    run("move", "--to", str(settings))
    lines = operated(settings.parent)
    created, begun = lines.pop(("operator.tokens.create", None)), lines.pop(("operator.first_start", None))
    assert lines == {
        ("operator.first_start", "default"): begun,
        ("operator.users.rename", None): {"name": "admin", "new_name": "ada"},
        ("operator.users.rename", "default"): {"name": "admin", "new_name": "ada"},
        ("operator.organizations.rename", None): {"name": "default", "new_name": "lab"},
        ("operator.organizations.rename", "lab"): {"name": "default", "new_name": "lab"},
        ("operator.content.purge", None): {"organization": "lab"},
        ("operator.content.purge", "lab"): {"organization": "lab"},
        ("operator.keys.rotate", None): {"lost": "", "keeper": "file"},
        ("operator.server.move", None): {"from": str(folder), "to": str(settings)},
    }
    assert (begun["user_name"], begun["organization"], created["user_name"]) == ("admin", "default", "ada")
    assert {action for action, _ in lines} | {"operator.tokens.create"} == operator_audit.ACTIONS
    text = json.dumps([*lines.values(), created, begun])
    assert not [token for token in (first, access.token) if token is None or token in text]


def test_a_command_of_the_operator_that_fails_leaves_no_line(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    start.prepare(folder)
    before = operated(folder)
    for words in (["rename-user", "nobody", "ada"], ["env", "--user", "admin"], ["purge", "--org", "nowhere"]):
        assert CliRunner().invoke(command, [*words, "--data", str(folder)]).exit_code == 1
    assert operated(folder) == before


# --- renamed users


def test_lines_follow_a_user_who_is_renamed(edge_server: EdgeServer, world: World) -> None:
    world.thing("secrets/organization")
    old, new = world.name, f"{world.name}-2"

    def read(name: str) -> list[str]:
        answer = world.admin.call("GET", f"/v1/orgs/{world.organization}/audit", params={"user_name": name})
        return [line["user_name"] for line in answer.json()["items"]]

    with edge_server.database.write(SERVER) as session:
        renaming.rename(session.connection(), renaming.USER, old, new)
    assert read(new) == read(new.upper()) == [old]
    assert read(old) == [old], "nobody has the name now"
    assert edge_server.create_user(old) == old
    assert read(old) == [], "who has the name now did none of it"
    assert read(new) == [old]
