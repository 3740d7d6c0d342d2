"""An app with views that do nothing, in this process, and users of each kind: for tests of the guard alone."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import flask
import limits
import pytest
import sqlalchemy as sa
from werkzeug.test import TestResponse

from edge_server.base import problems
from edge_server.data.database import SERVER
from edge_server.data.declarative import Base
from edge_server.identity import directory, token_scopes
from edge_server.identity.models import Organization, User
from edge_server.keys.signing import Signer
from edge_server.run.app import engines_at
from edge_server.web import counting, engines, permissions, snapshot
from edge_server.web.engines import Engines
from edge_server.web.permissions import Rule
from edge_server.web.rates import SEARCH, SIGNING, Limit, Rates


@dataclasses.dataclass
class Place:
    """An app with a view for each rule, over the organizations `lab`, which has an admin, and `orphan`, which has none.

    What is limited may be done twice in 10 seconds: signing, and `/v1/limited/anyone` and `/v1/limited/user`.
    `/v1/lab/things/THING` is an address to sign.

    Attributes:
        tokens: of each user, by the user's name.
        counted: the organizations that requests were counted for.
        view: what every view does, beside saying what it learned.
    """

    app: flask.Flask
    engines: Engines
    tokens: dict[str, str]
    counted: list[int]
    view: Callable[[], object] = lambda: None

    def get(self, path: str, user: str | None = None, **headers: str) -> TestResponse:
        return self.call("GET", path, user, **headers)

    def call(self, method: str, path: str, user: str | None = None, **headers: str) -> TestResponse:
        if user is not None:
            headers["Authorization"] = f"Bearer {self.tokens[user]}"
        # Buffered, as what is counted of a request is told when its answer was sent.
        return self.app.test_client().open(path, method=method, headers=headers, buffered=True)

    def limit(self, user: str, *scopes: str) -> None:
        """Give a user a token of these scopes."""
        with self.engines.database.write(SERVER) as session:
            row = session.scalars(sa.select(User).where(User.user_name == user)).one()
            self.tokens[user] = directory.add_token(session, row, scopes=token_scopes.parse(scopes))[1]

    def id_of(self, kind: type[User] | type[Organization], name: str) -> int:
        column = User.user_name if kind is User else Organization.name
        with self.engines.database.read() as session:
            return session.scalars(sa.select(kind.id).where(column == name)).one()

    def id_of_user(self, name: str) -> int:
        return self.id_of(User, name)

    def change(self, statement: Any) -> None:
        with self.engines.database.write(SERVER) as session:
            session.execute(statement)


METHODS = ["GET", "PUT"]

USERS = {
    # name -> roles in `lab`, None for nobody there
    "member": (),
    "developer": ("developer",),
    "admin": ("admin",),
    "outsider": None,
    "root": None,
}


def roles_of(member: permissions.Member) -> list[str]:
    return [role for role in ("developer", "admin", "appointing") if getattr(member, role)]


def view_of(name: str, rule: Rule, place: list[Place], limit: Limit | None = None) -> Callable[..., Any]:
    def view(**_: str) -> dict[str, Any]:
        place[0].view()
        caller, member = permissions.caller_at_hand(), permissions.member_at_hand()
        if member is not None:
            assert permissions.member() is member
            assert permissions.caller() is caller
            assert all(isinstance(role, bool) for role in (member.developer, member.admin, member.appointing))
        assert permissions.rule_at_hand() is rule
        return {
            "operation": permissions.operation_at_hand(),
            "caller": None if caller is None else [caller.id, caller.user_name, caller.server_admin],
            "member": None if member is None else [member.organization_id, *roles_of(member)],
            "signing_uid": None if member is None else member.signing_uid,
        }

    namespace = name.partition(".")[0]
    view.__dict__.update(
        operation_id=name, who=rule, secret_answer=False, reads=False, limit=limit, namespace=namespace
    )
    return view


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    twice = limits.parse("2 per 10 seconds")
    rates = Rates({limit.name: twice for limit in (SEARCH, SIGNING)})
    parts = engines_at(tmp_path, Signer(b"key"), rates=rates)
    tokens = {}
    with contextlib.closing(parts.database):
        with parts.database.write(SERVER) as session:
            Base.metadata.create_all(session.connection())
            lab = directory.create_organization(session, [], "lab")
            directory.create_organization(session, [], "orphan")
            for name, roles in USERS.items():
                user = directory.create_user(session, name, server_admin=name == "root")
                if roles is not None:
                    directory.add_member(session, user, lab, roles)
                tokens[name] = directory.create_token(session, user)
        app = flask.Flask("test", static_folder=None)
        engines.install(app, parts)
        problems.install(app)
        snapshot.install(app, parts.database)
        itself: list[Place] = []
        for rule in Rule:
            path = f"/v1/orgs/<org>/{rule}" if rule in permissions.OF_AN_ORGANIZATION else f"/v1/{rule}"
            app.add_url_rule(
                path, view_func=view_of(f"test.{rule}", rule, itself), endpoint=rule.value, methods=METHODS
            )
        for rule in (Rule.ANYONE, Rule.USER):
            view = view_of(f"limited.{rule}", rule, itself, SEARCH)
            app.add_url_rule(f"/v1/limited/{rule}", view_func=view, endpoint=f"limited.{rule}")
        for name in ("whoami.read", "tokens.list", "lab.list"):
            app.add_url_rule(f"/v1/{name}", view_func=view_of(name, Rule.USER, itself), endpoint=name, methods=METHODS)
        things = view_of("lab.thing", Rule.ANYONE, itself)
        app.add_url_rule("/v1/lab/things/<thing>", view_func=things, endpoint="thing", methods=METHODS)
        permissions.install(app)
        counted: list[int] = []
        counting.install(app, [lambda request: counted.append(request.organization_id)])
        itself.append(Place(app, parts, tokens, counted))
        yield itself[0]


def address(rule: Rule, organization: str = "lab") -> str:
    return f"/v1/orgs/{organization}/{rule}" if rule in permissions.OF_AN_ORGANIZATION else f"/v1/{rule}"


def refusal(answer: TestResponse) -> tuple[int, str, str]:
    return answer.status_code, answer.json["code"], answer.json["detail"]
