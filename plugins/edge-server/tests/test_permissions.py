"""Every route, by everybody, in their own and in a foreign organization."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import flask
import pytest

from edge_server.base.problems import CannotStart
from edge_server.identity import token_values
from edge_server.keys.signing import Signer
from edge_server.run import permission_table
from edge_server.run.app import build, engines_at
from edge_server.run.openapi import document
from edge_server.testing.local_server import EdgeServer
from edge_server.web import permissions
from edge_server.web.permissions import Rule

from .wire import Api, client, refused

RULES = permission_table.rules()

STRANGERS = ("nobody", "malformed", "mistyped", "unknown", "expired", "removed")
OUTSIDERS = ("another user", "another's member", "another's admin")
BARRED_AT_HUB = ("a service", "without the scope", "not joined")
"""Who has a good token of a JupyterHub, and is no user here with it; the service is this server's own."""

USERS = (*OUTSIDERS, "member", "developer", "admin", "server admin")

Verdict = int | None
"""The status that refuses a caller; None where the rule lets them in."""


def routes() -> Iterator[tuple[str, str, str, str]]:
    """Operation, method, address and security of every operation in the API's description."""
    for path, operations in document()["paths"].items():
        for method, operation in operations.items():
            if method != "parameters":
                yield operation["operationId"], method.upper(), path, str(operation.get("security"))


def filled(path: str, organization: str) -> str:
    """The address with something in place of each parameter: the organization, and what nobody has."""
    path = path.replace("{org}", organization).replace("{n}", "1")
    return re.sub(r"\{(\w+)\}", "no-such-thing", path)


class People:
    """Organizations and users as in life: the server's admin adds the former, invitations make the latter."""

    def __init__(self, server: EdgeServer) -> None:
        self._server = server
        self.root = client(server, server.create_token("admin"), "default")
        self._anybody = client(server, None, "default")

    def organization(self, *, with_admin: bool = True) -> str:
        name = f"walk-{secrets.token_hex(4)}"
        assert self.root.call("POST", "/v1/admin/organizations", json={"name": name}).status_code == 201
        if with_admin:
            self.user(name, "admin")
        return name

    def user(self, organization: str, *roles: str, by: str | None = None) -> str:
        """The token of a new user."""
        body = {"user_name": f"walker-{secrets.token_hex(4)}", "roles": list(roles)}
        inviter = self.root if by is None else client(self._server, by, organization)
        invited = inviter.call("POST", f"/v1/orgs/{organization}/invitations", json=body)
        assert invited.status_code == 201, invited.text
        accepted = self._anybody.call("POST", "/v1/invitations/accept", json={"code": invited.json()["code"]})
        assert accepted.status_code == 200, accepted.text
        token: str = accepted.json()["token"]
        return token

    def token(self, of: str, **request: Any) -> dict[str, Any]:
        token: dict[str, Any] = client(self._server, of, "x").call("POST", "/v1/users/me/tokens", json=request).json()
        return token

    def identities(self, own: str, foreign: str) -> dict[str, str | None]:
        """A token for each kind of caller."""
        admin = self.user(own, "admin")
        member = self.user(own, by=admin)
        removed = self.token(member)
        path = f"/v1/users/me/tokens/{removed['id']}"
        assert client(self._server, member, own).call("DELETE", path).status_code == 204
        # Someone who is in no organization at all.
        alone = self.user(own, by=admin)
        me = client(self._server, alone, own).call("GET", "/v1/users/me").json()["user_name"]
        gone = client(self._server, admin, own).call("DELETE", f"/v1/orgs/{own}/members/{me}")
        assert gone.status_code == 204
        others_admin = self.user(foreign, "admin")
        # A server admin who is in no organization.
        runs = self.user(own, by=admin)
        me = client(self._server, runs, own).call("GET", "/v1/users/me").json()["user_name"]
        patch = {"json": {"server_admin": True}, "headers": {"Content-Type": "application/merge-patch+json"}}
        assert self.root.call("PATCH", f"/v1/admin/users/{me}", **patch).status_code == 200
        assert client(self._server, admin, own).call("DELETE", f"/v1/orgs/{own}/members/{me}").status_code == 204
        return {
            "nobody": None,
            "malformed": "not a token",
            "mistyped": member[:-1] + ("0" if member[-1] != "0" else "1"),
            "unknown": token_values.new_token(),
            "expired": self.token(member, expires_in=0)["token"],
            "removed": removed["token"],
            "another user": alone,
            "another's member": self.user(foreign, by=others_admin),
            "another's admin": others_admin,
            "member": member,
            "developer": self.user(own, "developer", by=admin),
            "admin": admin,
            "server admin": runs,
        }


@pytest.fixture
def people(edge_server: EdgeServer) -> People:
    return People(edge_server)


def verdict(rule: Rule, identity: str, organization: str) -> Verdict:
    """What `identity` has to expect at a route with `rule`, in the own or in the foreign organization."""
    if rule is Rule.ANYONE:
        return None
    if identity in STRANGERS:
        return 401
    if rule is Rule.HUB:
        return None if identity == "a service" else 403
    if identity in BARRED_AT_HUB:
        return 403
    if rule is Rule.USER:
        return None
    if rule is Rule.SERVER_ADMIN:
        return None if identity == "server admin" else 403
    ranks = {
        "own": {"member": 0, "developer": 1, "admin": 2},
        "foreign": {"another's member": 0, "another's admin": 2},
        "none": {},
    }[organization]
    if identity not in ranks:
        return 404
    needed = {Rule.MEMBER: 0, Rule.DEVELOPER: 1, Rule.ORG_ADMIN: 2, Rule.APPOINTER: 2}[rule]
    return None if ranks[identity] >= needed else 403


def walk(callers: dict[str, Api], own: str, foreign: str) -> tuple[int, list[str]]:
    """How many calls every route by everybody takes, and those whose answer is not what the table says.

    Args:
        callers: identity -> a client that comes as it.
        own: the organization of the member, the developer and the admin.
        foreign: another organization.
    """
    places = {"own": own, "foreign": foreign, "none": "no-such-organization"}
    outside: dict[str, Any] = {}
    leaks = []
    walked = 0
    for operation, method, path, _ in routes():
        for identity, caller in callers.items():
            for place, organization in places.items():
                if "{org}" not in path and place != "own":
                    continue  # the same address again
                answer = caller.call(method, filled(path, organization))
                expected = verdict(RULES[operation], identity, place)
                walked += 1
                if expected is None and RULES[operation] is not Rule.ANYONE:
                    # Let in: to be told that the request is not valid, or that the thing cannot be found.
                    fine = answer.status_code not in (401, 403, 500)
                    fine = fine and (outside == {} or outside["detail"] not in answer.text)
                elif expected is None:
                    fine = answer.status_code < 500
                elif expected == 404:
                    problem = refused(answer, 404, "not_found")
                    del problem["request_id"]
                    # One and the same answer, whether it is there or not.
                    outside = outside or problem
                    fine = problem == outside
                else:
                    fine = answer.status_code == expected
                    fine = fine and (expected != 401 or answer.headers["WWW-Authenticate"] == "Bearer")
                if not fine:
                    leaks.append(f"{identity}, {place}: {method} {path} -> {answer.status_code} {answer.text[:200]}")
    return walked, leaks


@pytest.mark.slow
def test_every_route_lets_in_whom_the_table_says_and_nobody_else(each_server: EdgeServer) -> None:
    people = People(each_server)
    own, foreign = people.organization(with_admin=False), people.organization(with_admin=False)
    callers = {name: client(each_server, token, own) for name, token in people.identities(own, foreign).items()}
    assert set(callers) == {*STRANGERS, *USERS}
    walked, leaks = walk(callers, own, foreign)
    assert leaks == []
    print(f"{walked} calls: {len(RULES)} operations by {len(callers)} identities, {len(leaks)} leaks")
    assert walked >= len(RULES) * len(callers)


@pytest.mark.slow
def test_what_a_user_has_no_other_user_reaches(edge_server: EdgeServer, people: People) -> None:
    """With the real ids of real things, where a guess would not do."""
    own, foreign = people.organization(with_admin=False), people.organization(with_admin=False)
    admin, eve = people.user(own, "admin"), people.user(foreign, "admin")
    mine = people.token(admin, note="mine")
    upload = client(edge_server, admin, own).start("big", 10)["id"]
    invited = client(edge_server, admin, own).call(
        "POST", f"/v1/orgs/{own}/invitations", json={"user_name": f"late-{secrets.token_hex(4)}"}
    )
    invitation = invited.json()["id"]
    name = client(edge_server, admin, own).call("GET", "/v1/users/me").json()["user_name"]
    for token in (eve, people.root.token):
        other = client(edge_server, token, foreign)
        for method, path in (
            ("GET", f"/v1/users/me/tokens/{mine['id']}"),
            ("DELETE", f"/v1/users/me/tokens/{mine['id']}"),
            *(
                (method, f"/v1/orgs/{org}/files/uploads/{upload}")
                for method in ("GET", "DELETE")
                for org in (own, foreign)
            ),
            *(("DELETE", f"/v1/orgs/{org}/invitations/{invitation}") for org in (own, foreign)),
            *((method, f"/v1/orgs/{org}/members/{name}") for method in ("GET", "DELETE") for org in (own, foreign)),
        ):
            refused(other.call(method, path), 404, "not_found")
    assert client(edge_server, admin, own).call("GET", f"/v1/orgs/{own}/members/{name}").status_code == 200


def test_a_server_admin_appoints_where_there_is_no_admin_and_does_nothing_else_there(people: People) -> None:
    organization = people.organization(with_admin=False)
    for operation, method, path, _ in routes():
        if "{org}" in path:
            answer = people.root.call(method, filled(path, organization))
            if RULES[operation] is Rule.APPOINTER:
                assert answer.status_code in (200, 404, 415, 422), (operation, answer.text)
                assert "you are not in it" not in answer.text
            else:
                assert refused(answer, 404, "not_found")["detail"].startswith("the organization cannot be found")


def test_every_route_has_a_verdict(tmp_path: Path) -> None:
    app = build(engines_at(tmp_path, Signer(b"")))
    served = {
        (app.view_functions[rule.endpoint].operation_id, method)  # type: ignore[attr-defined]
        for rule in app.url_map.iter_rules()
        for method in rule.methods or ()
    }
    described = {(operation, method) for operation, method, _, _ in routes()}
    # HEAD comes with GET, and is guarded with it.
    assert {(operation, method) for operation, method in served if method != "HEAD"} == described
    assert {operation for operation, _ in served} == set(RULES)
    for operation, _, path, security in routes():
        assert (security == "None") is (RULES[operation] is Rule.ANYONE)
        # What is the caller's own is in no organization, where nothing would look at their membership.
        assert "{org}" not in path or RULES[operation] not in (Rule.ANYONE, Rule.USER), path
        for identity in (*STRANGERS, *USERS):
            for place in ("own", "foreign", "none"):
                assert verdict(RULES[operation], identity, place) in (None, 401, 403, 404)


@pytest.mark.parametrize("operation", [None, "files.burn"])
def test_a_route_without_a_rule_stops_the_start(operation: str | None) -> None:
    app = flask.Flask("test", static_folder=None)

    def burn() -> str:
        return "gone"

    if operation is not None:
        burn.__dict__["operation_id"] = operation
    app.add_url_rule("/v1/orgs/<org>/files/burn", view_func=burn, methods=["POST"])
    with pytest.raises(CannotStart, match=r"/v1/orgs/<org>/files/burn .* has no rule"):
        permissions.install(app)


@pytest.mark.parametrize(
    ("rule", "barred"),
    [
        (Rule.USER, ()),
        (Rule.MEMBER, (*OUTSIDERS, "server admin")),
        (Rule.DEVELOPER, (*OUTSIDERS, "server admin", "member")),
        (Rule.ORG_ADMIN, (*OUTSIDERS, "server admin", "member", "developer")),
        (Rule.APPOINTER, (*OUTSIDERS, "server admin", "member", "developer")),
        (Rule.SERVER_ADMIN, (*OUTSIDERS, "member", "developer", "admin")),
        (Rule.HUB, USERS),
    ],
)
def test_each_rule_bars_whom_it_should(
    edge_server: EdgeServer, people: People, monkeypatch: pytest.MonkeyPatch, rule: Rule, barred: tuple[str, ...]
) -> None:
    organization, foreign = people.organization(with_admin=False), people.organization(with_admin=False)
    app = build(engines_at(edge_server.data, Signer(b""), database=edge_server.database))
    http = app.test_client()
    (listing,) = (view for view in app.view_functions.values() if view.operation_id == "files.list")  # type: ignore[union-attr]
    monkeypatch.setattr(listing, "who", rule)
    callers = people.identities(organization, foreign)
    let_in = set()
    for identity, token in callers.items():
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        # A wrong parameter, to be refused only after the rule has let the caller in.
        status = http.get(f"/v1/orgs/{organization}/files/entries?wrong=1", headers=headers).status_code
        if identity in STRANGERS:
            assert status == 401
        elif status == 422:
            let_in.add(identity)
        else:
            assert status in (403, 404)
    assert let_in == set(USERS) - set(barred)


def test_both_ways_to_send_a_token_are_taken(api: Api) -> None:
    for scheme in ("Bearer", "bearer", "BEARER", "token", "Token"):
        answer = api.call("GET", "/v1/users/me", headers={"Authorization": f"{scheme} {api.token}"})
        assert answer.status_code == 200
    for header in (f"Basic {api.token}", api.token, "Bearer", "Bearer ", f"Bearer {api.token} x", "Bearer \xff"):
        answer = api.call("GET", "/v1/users/me", headers={"Authorization": header.encode("latin-1")})
        refused(answer, 401, "unauthenticated")


def test_a_mistyped_token_is_refused_as_mistyped(api: Api) -> None:
    cut = api.call("GET", "/v1/users/me", headers={"Authorization": f"Bearer {api.token[:-3]}"})
    assert "mistyped" in refused(cut, 401, "unauthenticated")["detail"]
    foreign = api.call("GET", "/v1/users/me", headers={"Authorization": "Bearer ghp_abcdefgh"})
    assert "unknown" in refused(foreign, 401, "unauthenticated")["detail"]
