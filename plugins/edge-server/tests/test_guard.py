"""The guard alone, over views that do nothing: whom it lets in, what it says to others, and what a view learns."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import flask
import pytest
import sqlalchemy as sa
from werkzeug.test import TestResponse

from edge_server.base import clock, problems
from edge_server.base.problems import CannotStart
from edge_server.data.database import SERVER
from edge_server.data.declarative import Base
from edge_server.identity import directory, token_use, token_values
from edge_server.identity.models import Membership, Organization, Token, User
from edge_server.keys.signing import Signer
from edge_server.run.app import engines_at
from edge_server.web import counting, engines, permissions
from edge_server.web.engines import Engines
from edge_server.web.permissions import Rule

NEEDS_TOKEN = "this needs an API token; send it in the header Authorization: Bearer TOKEN"
MISTYPED = "the API token is mistyped or cut off; copy it again, or make a new one"
UNKNOWN = "the API token is unknown, expired or removed; make a new one"
OUTSIDE = "the organization cannot be found, or you are not in it; check its short name and your token"
FORBIDDEN = {
    Rule.DEVELOPER: "this is for the organization's developers and admins; ask one of them",
    Rule.ORG_ADMIN: "this is for the organization's admins; ask one of them",
    Rule.APPOINTER: "this is for the organization's admins, or a server admin while it has none; ask one of them",
    Rule.SERVER_ADMIN: "this is for server admins; ask one of them",
}


@dataclasses.dataclass
class Place:
    """An app with a view for each rule, over the organizations `lab`, which has an admin, and `orphan`, which has none.

    Attributes:
        tokens: of each user, by the user's name.
        counted: the organizations that requests were counted for.
        view: what every view does, beside saying what it learned.
    """

    app: flask.Flask
    engines: Engines
    tokens: dict[str, str]
    counted: list[int]
    view: Callable[[], object]

    def get(self, path: str, user: str | None = None, **headers: str) -> TestResponse:
        if user is not None:
            headers["Authorization"] = f"Bearer {self.tokens[user]}"
        return self.app.test_client().get(path, headers=headers, buffered=True)

    def id_of(self, kind: type[User] | type[Organization], name: str) -> int:
        column = User.user_name if kind is User else Organization.name
        with self.engines.database.read() as session:
            return session.scalars(sa.select(kind.id).where(column == name)).one()

    def change(self, statement: Any) -> None:
        with self.engines.database.write(SERVER) as session:
            session.execute(statement)


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


def view_of(name: str, rule: Rule, place: list[Place]) -> Callable[..., Any]:
    def view(org: str | None = None) -> dict[str, Any]:
        place[0].view()
        caller, member = permissions.caller_at_hand(), permissions.member_at_hand()
        return {
            "operation": permissions.operation_at_hand(),
            "caller": None if caller is None else [caller.id, caller.user_name, caller.server_admin],
            "member": None if member is None else [member.organization_id, *roles_of(member)],
            "signing_uid": None if member is None else member.signing_uid,
        }

    view.__dict__.update(operation_id=name, who=rule, secret_answer=False, limit=None, namespace="test")
    return view


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    parts = engines_at(tmp_path, Signer(b""))
    tokens = {}
    with contextlib.closing(parts.database):
        Base.metadata.create_all(parts.database.engine)
        with parts.database.write(SERVER) as session:
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
        itself: list[Place] = []
        for rule in Rule:
            path = f"/v1/orgs/<org>/{rule}" if rule in permissions.OF_AN_ORGANIZATION else f"/v1/{rule}"
            app.add_url_rule(path, view_func=view_of(f"test.{rule}", rule, itself), endpoint=rule.value)
        permissions.install(app)
        counted: list[int] = []
        counting.install(app, [lambda request: counted.append(request.organization_id)])
        itself.append(Place(app, parts, tokens, counted, lambda: None))
        yield itself[0]


def address(rule: Rule, organization: str = "lab") -> str:
    return f"/v1/orgs/{organization}/{rule}" if rule in permissions.OF_AN_ORGANIZATION else f"/v1/{rule}"


def refusal(answer: TestResponse) -> tuple[int, str, str]:
    return answer.status_code, answer.json["code"], answer.json["detail"]


LET_IN = {
    Rule.ANYONE: set(USERS),
    Rule.USER: set(USERS),
    Rule.MEMBER: {"member", "developer", "admin"},
    Rule.DEVELOPER: {"developer", "admin"},
    Rule.ORG_ADMIN: {"admin"},
    Rule.APPOINTER: {"admin"},
    Rule.SERVER_ADMIN: {"root"},
}


@pytest.mark.parametrize("rule", Rule)
def test_a_rule_lets_in_whom_it_names_and_tells_others_why_not(place: Place, rule: Rule) -> None:
    for user, roles in USERS.items():
        answer = place.get(address(rule), user)
        if user in LET_IN[rule]:
            assert answer.status_code == 200, (user, answer.text)
        elif rule in permissions.OF_AN_ORGANIZATION and roles is None:
            assert refusal(answer) == (404, "not_found", OUTSIDE), user
        else:
            assert refusal(answer) == (403, "forbidden", FORBIDDEN[rule]), user
    if rule is not Rule.ANYONE:
        assert refusal(place.get(address(rule))) == (401, "unauthenticated", NEEDS_TOKEN)


@pytest.mark.parametrize("rule", sorted(permissions.OF_AN_ORGANIZATION))
def test_an_organization_that_is_missing_is_as_an_organization_of_others(place: Place, rule: Rule) -> None:
    for user in USERS:
        assert refusal(place.get(address(rule, "no-lab"), user)) == (404, "not_found", OUTSIDE)
    place.change(sa.update(Organization).values(status=directory.DELETING))
    for user in USERS:
        for organization in ("lab", "orphan"):
            assert refusal(place.get(address(rule, organization), user)) == (404, "not_found", OUTSIDE)


def test_a_server_admin_appoints_only_where_there_is_no_admin(place: Place) -> None:
    orphan = place.id_of(Organization, "orphan")
    answer = place.get(address(Rule.APPOINTER, "orphan"), "root")
    assert (answer.json["member"], answer.json["signing_uid"]) == ([orphan, "appointing"], None)
    for rule in permissions.OF_AN_ORGANIZATION - {Rule.APPOINTER}:
        assert refusal(place.get(address(rule, "orphan"), "root")) == (404, "not_found", OUTSIDE)
    for user in set(USERS) - {"root"}:
        assert refusal(place.get(address(Rule.APPOINTER, "orphan"), user)) == (404, "not_found", OUTSIDE)


def test_a_server_admin_who_is_a_member_appoints_until_there_is_an_admin(place: Place) -> None:
    root, orphan, member = (
        place.id_of(User, "root"),
        place.id_of(Organization, "orphan"),
        place.id_of(User, "member"),
    )
    place.change(sa.insert(Membership).values(user_id=root, organization_id=orphan, developer=True, uid="m1"))
    place.change(sa.insert(Membership).values(user_id=member, organization_id=orphan, developer=True, uid="m2"))
    assert place.get(address(Rule.APPOINTER, "orphan"), "root").json["member"] == [orphan, "developer", "appointing"]
    assert place.get(address(Rule.MEMBER, "orphan"), "root").json["member"] == [orphan, "developer"]
    forbidden = (403, "forbidden", FORBIDDEN[Rule.APPOINTER])
    assert refusal(place.get(address(Rule.APPOINTER, "orphan"), "member")) == forbidden, "who does not run the server"
    assert refusal(place.get(address(Rule.ORG_ADMIN, "orphan"), "root"))[0] == 403
    place.change(sa.update(Membership).where(Membership.uid == "m2").values(admin=True))
    assert refusal(place.get(address(Rule.APPOINTER, "orphan"), "root")) == forbidden
    place.change(sa.update(Membership).where(Membership.uid == "m1").values(admin=True))
    assert place.get(address(Rule.APPOINTER, "orphan"), "root").json["member"] == [orphan, "developer", "admin"]


def test_a_view_learns_who_calls_and_what_they_are(place: Place) -> None:
    lab = place.id_of(Organization, "lab")
    for user in ("member", "developer", "admin"):
        caller = [place.id_of(User, user), user, False]
        with place.engines.database.read() as session:
            signing_uid = session.scalars(
                sa.select(Membership.signing_uid).where(Membership.user_id == caller[0])
            ).one()
        assert place.get(address(Rule.USER), user).json == {
            "operation": "test.user",
            "caller": caller,
            "member": None,
            "signing_uid": None,
        }
        assert place.get(address(Rule.MEMBER), user).json == {
            "operation": "test.member",
            "caller": caller,
            "member": [lab, *USERS[user]],
            "signing_uid": signing_uid,
        }
    root = [place.id_of(User, "root"), "root", True]
    assert place.get(address(Rule.SERVER_ADMIN), "root").json["caller"] == root
    assert place.get(address(Rule.ANYONE), "root").json["caller"] is None, "nobody looked at the token"
    assert permissions.member_at_hand() is None, "outside of a request"


def test_a_view_for_anyone_may_look_who_calls(place: Place) -> None:
    callers: list[permissions.Caller | None] = []
    place.view = lambda: callers.append(permissions.optional_caller())
    assert place.get("/v1/anyone").json["caller"] is None
    answer = place.get("/v1/anyone", "member")
    assert answer.json["caller"] == [place.id_of(User, "member"), "member", False]
    assert [None if caller is None else caller.user_name for caller in callers] == [None, "member"]
    for header, detail in (("Basic x", NEEDS_TOKEN), ("", NEEDS_TOKEN), ("Bearer edg_x", MISTYPED)):
        assert refusal(place.get("/v1/anyone", Authorization=header)) == (401, "unauthenticated", detail)


def test_each_way_to_send_a_token_is_read(place: Place) -> None:
    token = place.tokens["member"]
    for header in (f"Bearer {token}", f"bearer {token}", f"BEARER  {token} ", f" token {token}", f"Token {token}"):
        assert place.get("/v1/user", Authorization=header).json["caller"][1] == "member", header
    cut, mistyped = token[:-1], token[:-1] + ("a" if token[-1] != "a" else "b")
    never = token_values.new_token()
    invitation = token_values.new_token(token_values.INVITATION_PREFIX)
    for header, detail in (
        ("", NEEDS_TOKEN),
        ("Bearer", NEEDS_TOKEN),
        ("Bearer  ", NEEDS_TOKEN),
        (token, NEEDS_TOKEN),
        (f"Basic {token}", NEEDS_TOKEN),
        (f"Bearer {cut}", MISTYPED),
        (f"Bearer {mistyped}", MISTYPED),
        (f"Bearer {token} x", MISTYPED),
        (f"Bearer Bearer {token}", UNKNOWN),
        (f"Bearer {never}", UNKNOWN),
        (f"Bearer {invitation}", UNKNOWN),
        ("Bearer ghp_abcdefgh", UNKNOWN),
        (f"Bearer {token_values.digest(token)}", UNKNOWN),
    ):
        answer = place.get("/v1/user", Authorization=header)
        assert refusal(answer) == (401, "unauthenticated", detail), header
        assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_a_token_that_has_ended_is_refused(place: Place) -> None:
    token = place.tokens["member"]
    row = Token.digest == token_values.digest(token)
    for ended in ({"expires_at": clock.now()}, {"removed_at": clock.now(), "expires_at": None}):
        place.change(sa.update(Token).where(row).values(**ended))
        assert refusal(place.get("/v1/user", "member")) == (401, "unauthenticated", UNKNOWN)


def test_the_use_of_a_token_is_noted_if_it_is_good(place: Place) -> None:
    place.get("/v1/user", Authorization=f"Bearer {token_values.new_token()}")
    assert place.engines.token_use.take() == {}
    before = clock.now()
    place.get(address(Rule.ORG_ADMIN), "member")
    with place.engines.database.read() as session:
        digest = token_values.digest(place.tokens["member"])
        used = session.scalars(sa.select(Token.id).where(Token.digest == digest)).one()
    ((token_id, moment),) = place.engines.token_use.take().items()
    assert token_id == used
    assert before <= moment <= clock.now()
    assert place.engines.token_use.take() == {}


def test_the_later_of_two_uses_is_written_down_and_only_of_the_token_that_was_used(place: Place) -> None:
    def last_uses() -> list[dt.datetime | None]:
        with place.engines.database.read() as session:
            return list(session.scalars(sa.select(Token.last_used_at).where(Token.id.in_(ids)).order_by(Token.id)))

    def write_down(**seen: dt.datetime) -> None:
        with place.engines.database.write(SERVER) as session:
            token_use.write_down(session, {ids[int(name[1:])]: moment for name, moment in seen.items()})

    with place.engines.database.read() as session:
        ids = list(session.scalars(sa.select(Token.id).order_by(Token.id)))[:2]
    first, second = clock.now(), clock.now() + dt.timedelta(hours=1)
    write_down(n1=first)
    assert last_uses() == [None, first]
    write_down(n0=first, n1=second)
    assert last_uses() == [first, second]
    write_down(n0=second, n1=first)
    assert last_uses() == [second, second], "another process had seen the later one"


def test_a_request_counts_for_the_organization_that_the_caller_is_in(place: Place) -> None:
    lab = place.id_of(Organization, "lab")
    place.get(address(Rule.MEMBER), "member")
    assert place.counted == [lab]
    place.get(address(Rule.MEMBER), "outsider")
    place.get(address(Rule.USER), "member")
    assert place.counted == [lab]


def test_an_address_that_is_not_known_is_for_nobody(place: Place) -> None:
    assert refusal(place.get("/v1/nothing"))[:2] == (404, "unknown_route")


@pytest.mark.parametrize(
    "error", [sa.exc.NoResultFound("no row"), sa.exc.IntegrityError("INSERT", {}, Exception("FOREIGN KEY"))]
)
def test_what_fails_since_the_organization_went_meanwhile_says_that(
    place: Place, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        raise error

    def go_and_fail() -> None:
        place.change(sa.update(Organization).where(Organization.name == "lab").values(status=directory.DELETING))
        raise error

    place.view = fail
    for rule in (Rule.MEMBER, Rule.USER):
        assert refusal(place.get(address(rule), "member"))[:2] == (500, "internal")
    assert caplog.records[0].exc_info is not None
    assert caplog.records[0].exc_info[1] is error
    place.view = go_and_fail
    assert refusal(place.get(address(Rule.MEMBER), "member")) == (404, "not_found", OUTSIDE)


def test_the_rules_of_an_app_are_listed_by_operation(place: Place) -> None:
    rules = permissions.rules_of(place.app)
    assert rules == {f"test.{rule}": rule for rule in Rule}
    assert list(rules) == sorted(rules)


def test_a_route_without_a_rule_is_named(tmp_path: Path) -> None:
    app = flask.Flask("test", static_folder=None)
    app.add_url_rule("/v1/burn", view_func=lambda: "gone", endpoint="burn")
    with pytest.raises(CannotStart) as refused:
        permissions.install(app)
    assert str(refused.value) == "/v1/burn (burn) has no rule; say in its operation, by who=, who may do it"
