"""Every route, by everybody, in their own and in a foreign organization."""

from __future__ import annotations

from pathlib import Path

import flask
import pytest
import sqlalchemy as sa

from edge_server import clock, permissions, sealing, tokens
from edge_server.app import build
from edge_server.database import Database
from edge_server.local import EdgeServer
from edge_server.models import Token
from edge_server.permissions import RULES, MissingRule, Rule
from edge_server.services import Services
from edge_server.signing import Signer
from edge_server.store import Store

from .wire import Api, client, refused

STRANGERS = ("nobody", "malformed", "mistyped", "unknown", "expired", "removed")
USERS = ("outsider", "member", "developer", "admin", "server admin")


def routes(tmp_path: Path) -> list[tuple[str, str, str]]:
    """Operation, method and address of every route there is."""
    app = build(Services(Database(tmp_path / "none"), Store(tmp_path), Signer(b""), sealing.at(tmp_path)))
    return [
        (app.view_functions[rule.endpoint].operation_id, method, rule.rule)  # type: ignore[attr-defined]
        for rule in app.url_map.iter_rules()
        for method in sorted(rule.methods or ())
    ]


def identities(server: EdgeServer, organization: str) -> dict[str, str | None]:
    """A token for each kind of caller."""
    member = server.create_user(organization=organization)
    removed = server.create_token(member)
    with server.database.write() as session:
        forgotten = sa.update(Token).where(Token.digest == tokens.digest(removed)).values(removed_at=clock.now())
        session.execute(forgotten)
    good = server.create_token(member)
    return {
        "nobody": None,
        "malformed": "not a token",
        "mistyped": good[:-1] + ("0" if good[-1] != "0" else "1"),
        "unknown": tokens.new_token(),
        "expired": server.create_token(member, expires_in=-1),
        "removed": removed,
        "outsider": server.create_token(server.create_user(organization=server.create_organization())),
        "member": good,
        "developer": server.create_token(server.create_user(organization=organization, roles=["developer"])),
        "admin": server.create_token(server.create_user(organization=organization, roles=["admin"])),
        "server admin": server.create_token(server.create_user(server_admin=True)),
    }


def allowed(rule: Rule, identity: str, *, inside: bool) -> int | None:
    """The status that refuses `identity`, None if it may."""
    if rule is Rule.ANYONE:
        return None
    if identity in STRANGERS:
        return 401
    if rule is Rule.USER:
        return None
    if rule is Rule.SERVER_ADMIN:
        return None if identity == "server admin" else 403
    if not inside or identity in ("outsider", "server admin"):
        return 404
    ranks = {"member": 0, "developer": 1, "admin": 2}
    needed = {Rule.MEMBER: 0, Rule.DEVELOPER: 1, Rule.ORG_ADMIN: 2}
    return None if ranks[identity] >= needed[rule] else 403


@pytest.mark.slow
def test_every_route_lets_in_whom_the_table_says_and_nobody_else(edge_server: EdgeServer, tmp_path: Path) -> None:
    own, foreign = edge_server.create_organization(), edge_server.create_organization()
    callers = {name: client(edge_server, token, own) for name, token in identities(edge_server, own).items()}
    outside = None
    walked = 0
    for operation, method, rule in routes(tmp_path):
        for identity, caller in callers.items():
            for organization in (own, foreign, "no-such-organization"):
                path = rule.replace("<org>", organization).replace("<int:n>", "1")
                path = path.replace("<upload_id>", "x").replace("<version_key>", "x")
                answer = caller.call(method, path)
                expected = allowed(RULES[operation], identity, inside=organization == own)
                where = f"{identity}: {method} {path} -> {answer.status_code} {answer.text}"
                walked += 1
                if expected == 401:
                    assert answer.status_code == 401, where
                    assert answer.headers["WWW-Authenticate"] == "Bearer"
                elif expected == 404:
                    assert answer.status_code == 404, where
                    if method != "HEAD":
                        problem = refused(answer, 404, "not_found")
                        del problem["request_id"]
                        # One and the same answer, whether it is there or not.
                        outside = outside or problem
                        assert problem == outside
                elif expected == 403:
                    assert answer.status_code == 403, where
                elif RULES[operation] is not Rule.ANYONE:
                    assert answer.status_code not in (401, 403), where
                    assert outside is None or answer.text.find(outside["detail"]) < 0, where
    assert walked >= len(RULES) * len(callers) * 3


def test_the_table_has_the_routes_and_nothing_else(tmp_path: Path) -> None:
    assert {operation for operation, _, _ in routes(tmp_path)} == set(RULES)


@pytest.mark.parametrize("operation", [None, "files.burn"])
def test_a_route_without_a_rule_stops_the_start(operation: str | None) -> None:
    app = flask.Flask("test", static_folder=None)

    def burn() -> str:
        return "gone"

    if operation is not None:
        burn.__dict__["operation_id"] = operation
    app.add_url_rule("/v1/orgs/<org>/files/burn", view_func=burn, methods=["POST"])
    with pytest.raises(MissingRule, match=r"/v1/orgs/<org>/files/burn .* has no rule"):
        permissions.install(app)


@pytest.mark.parametrize(
    ("rule", "barred"),
    [
        (Rule.USER, ()),
        (Rule.MEMBER, ("outsider", "server admin")),
        (Rule.DEVELOPER, ("outsider", "server admin", "member")),
        (Rule.ORG_ADMIN, ("outsider", "server admin", "member", "developer")),
        (Rule.SERVER_ADMIN, ("outsider", "member", "developer", "admin")),
    ],
)
def test_each_rule_bars_whom_it_should(
    edge_server: EdgeServer, monkeypatch: pytest.MonkeyPatch, rule: Rule, barred: tuple[str, ...]
) -> None:
    organization = edge_server.create_organization()
    services = Services(edge_server.database, Store(edge_server.data), Signer(b""), sealing.at(edge_server.data))
    http = build(services).test_client()
    monkeypatch.setitem(RULES, "files.list", rule)
    callers = identities(edge_server, organization)
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


def test_a_mistyped_token_is_told_apart(api: Api) -> None:
    cut = api.call("GET", "/v1/users/me", headers={"Authorization": f"Bearer {api.token[:-3]}"})
    assert "mistyped" in refused(cut, 401, "unauthenticated")["detail"]
    foreign = api.call("GET", "/v1/users/me", headers={"Authorization": "Bearer ghp_abcdefgh"})
    assert "unknown" in refused(foreign, 401, "unauthenticated")["detail"]
