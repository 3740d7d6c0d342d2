"""The guard alone, over views that do nothing: whom it lets in, what it says to others, and what a view learns."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import flask
import pytest
import sqlalchemy as sa

from edge_server.base import clock, problems
from edge_server.base.problems import CannotStart
from edge_server.data.database import SERVER
from edge_server.identity import directory, token_scopes, token_use, token_values
from edge_server.identity.models import Membership, Organization, Token, User
from edge_server.web import permissions
from edge_server.web.permissions import Rule

from .guarded import USERS, Place, address, refusal

NEEDS_TOKEN = "this needs an API token; send it in the header Authorization: Bearer TOKEN"
MISTYPED = "the API token is mistyped or cut off; copy it again, or make a new one"
UNKNOWN = "the API token is unknown, expired or removed; make a new one"
OUTSIDE = "the organization cannot be found, or you are not in it; check its short name and your token"
FORBIDDEN = {
    Rule.DEVELOPER: "this is for the organization's developers and admins; ask one of them",
    Rule.ORG_ADMIN: "this is for the organization's admins; ask one of them",
    Rule.APPOINTER: (
        "this is for the organization's admins, or a server admin for others while it has none; ask one of them"
    ),
    Rule.SERVER_ADMIN: "this is for server admins; ask one of them",
    Rule.HUB: "this is for the JupyterHub of this server itself, by the token of its service, and for nobody else",
}


LET_IN = {
    Rule.ANYONE: set(USERS),
    Rule.USER: set(USERS),
    Rule.MEMBER: {"member", "developer", "admin"},
    Rule.DEVELOPER: {"developer", "admin"},
    Rule.ORG_ADMIN: {"admin"},
    Rule.APPOINTER: {"admin"},
    Rule.SERVER_ADMIN: {"root"},
    Rule.HUB: set(),
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
    assert (permissions.caller_at_hand(), permissions.member_at_hand()) == (None, None), "outside of a request"


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
    end = clock.now()
    for ended, sentence in (
        ({"expires_at": end}, f"the API token expired on {end:%Y-%m-%d at %H:%M} UTC; make a new one, "),
        ({"removed_at": clock.now()}, UNKNOWN),
        ({"expires_at": None}, UNKNOWN),
    ):
        place.change(sa.update(Token).where(row).values(**ended))
        status, code, detail = refusal(place.get("/v1/user", "member"))
        assert (status, code) == (401, "unauthenticated")
        assert detail.startswith(sentence)


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
    assert {name: rule for name, rule in rules.items() if name.startswith("test.")} == {
        f"test.{rule}": rule for rule in Rule
    }
    assert list(rules) == sorted(rules)


def test_the_namespaces_of_an_app_are_those_that_need_a_token(place: Place) -> None:
    assert permissions.namespaces_of(place.app)["test.member"] == "test"
    assert set(permissions.namespaces_of(place.app)) == {
        name for name, rule in permissions.rules_of(place.app).items() if rule not in (Rule.ANYONE, Rule.HUB)
    }
    with place.app.app_context():
        assert permissions.namespaces() == ["lab", "limited", "test", "tokens", "whoami"]


def test_a_route_without_a_rule_is_named(tmp_path: Path) -> None:
    app = flask.Flask("test", static_folder=None)
    app.add_url_rule("/v1/burn", view_func=lambda: "gone", endpoint="burn")
    with pytest.raises(CannotStart) as refused:
        permissions.install(app)
    assert str(refused.value) == "/v1/burn (burn) has no rule; say in its operation, by who=, who may do it"


LACKING = (
    "this token is limited to the scopes {} and lacks the scope {}; use a token that has it, or one without limits"
)
OUTSIDE_OF_ORGANIZATIONS = (
    "this token is limited to the scopes {}, and this is outside of organizations; use a token without a scope org:NAME"
)


@pytest.mark.parametrize(
    ("scopes", "method", "path", "sentence"),
    [
        (["read"], "GET", address(Rule.MEMBER), None),
        (["read"], "HEAD", address(Rule.MEMBER), None),
        (["read"], "PUT", address(Rule.MEMBER), LACKING.format("read", "test")),
        (["test:read"], "GET", address(Rule.MEMBER), None),
        (["test:read"], "PUT", address(Rule.MEMBER), LACKING.format("test:read", "test")),
        (["test"], "PUT", address(Rule.MEMBER), None),
        (["lab", "tokens:read"], "GET", address(Rule.MEMBER), LACKING.format("lab, tokens:read", "test:read")),
        (["org:lab"], "PUT", address(Rule.MEMBER), None),
        (["org:orphan"], "GET", address(Rule.MEMBER), LACKING.format("org:orphan", "org:lab")),
        (["org:lab"], "GET", address(Rule.MEMBER, "no-lab"), LACKING.format("org:lab", "org:no-lab")),
        (["org:lab"], "GET", address(Rule.USER), OUTSIDE_OF_ORGANIZATIONS.format("org:lab")),
        (["org:lab", "tokens"], "GET", "/v1/lab.list", LACKING.format("org:lab, tokens", "lab:read")),
        (["org:lab"], "PUT", "/v1/tokens.list", None),
        (["org:lab", "test"], "GET", "/v1/tokens.list", LACKING.format("org:lab, test", "tokens:read")),
        (["org:orphan", "lab:read"], "PUT", "/v1/whoami.read", None),
    ],
)
def test_a_limited_token_is_kept_to_its_scopes(
    place: Place, scopes: list[str], method: str, path: str, sentence: str | None
) -> None:
    place.limit("member", *scopes)
    answer = place.call(method, path, "member")
    if sentence is None:
        assert answer.status_code == 200, answer.text
    else:
        assert refusal(answer) == (403, "insufficient_scope", sentence)
        assert answer.headers["WWW-Authenticate"] == 'Bearer error="insufficient_scope"'
        assert place.counted == []


def test_a_limited_token_is_as_limited_where_none_is_needed(place: Place) -> None:
    place.view = lambda: permissions.optional_caller()
    place.limit("member", "lab")
    sentence = LACKING.format("lab", "test:read")
    assert refusal(place.get("/v1/anyone", "member")) == (403, "insufficient_scope", sentence)
    assert place.get("/v1/lab/things/1", "member").status_code == 200


def test_a_token_makes_no_wider_ones_and_reaches_none(place: Place) -> None:
    kinds: list[tuple[str, ...]] = [(), ("lab",), ("lab:read",), ("org:lab",), ("lab", "org:lab"), ("tokens",)]
    parsed = {kind: token_scopes.parse(kind) if kind else token_scopes.UNLIMITED for kind in kinds}
    refused: set[tuple[str, ...]] = set()

    def compare() -> None:
        for kind, scopes in parsed.items():
            assert permissions.within_reach(Token(scopes=list(kind) or None)) is (kind not in refused)
            if kind in refused:
                with pytest.raises(problems.Refusal) as refusal:
                    permissions.require_scopes_within(scopes)
                assert (refusal.value.status, refusal.value.code) == (403, "insufficient_scope")
                assert refusal.value.detail == (
                    "this token is limited to the scopes lab, and makes only tokens as limited; leave the scopes out, "
                    "or use a token without limits"
                )
            else:
                permissions.require_scopes_within(scopes)

    place.view = compare
    assert place.get("/v1/lab.list", "member").status_code == 200
    place.limit("member", "lab")
    refused = {(), ("org:lab",), ("tokens",)}
    assert place.get("/v1/lab.list", "member").status_code == 200


def test_what_is_limited_is_limited_for_each_user(place: Place) -> None:
    for user in ("member", "outsider"):
        for _ in range(2):
            assert place.get("/v1/limited/user", user).status_code == 200
        answer = place.get("/v1/limited/user", user)
        assert refusal(answer)[:2] == (429, "too_many_requests")
        assert answer.json["detail"].startswith("you search more often than this server allows; wait ")
    assert place.get(address(Rule.USER), "member").status_code == 200
    for _ in range(2):
        assert place.get("/v1/limited/anyone").status_code == 200
    assert place.get("/v1/limited/anyone", "developer").status_code == 429, "nobody looked at the token: its address"


def test_wrong_tokens_are_limited_for_each_address_and_right_ones_are_not(place: Place) -> None:
    wrong = [f"Bearer {token_values.new_token()}", "Bearer edg_x", "Bearer x"]
    for _ in range(20):
        assert place.get("/v1/user").status_code == 401
        assert place.get("/v1/user", Authorization="Basic x").status_code == 401
    for number in range(100):
        assert place.get("/v1/user", Authorization=wrong[number % 3]).status_code == 401
    for header in wrong:
        answer = place.get("/v1/user", Authorization=header)
        assert refusal(answer)[:2] == (429, "too_many_requests")
        assert answer.json["detail"].startswith("too many wrong tokens, invitation codes or signatures come from")
    assert place.get("/v1/user", "member").status_code == 200


def test_a_renewed_token_takes_the_place_of_the_former_when_it_is_first_used(place: Place) -> None:
    with place.engines.database.write(SERVER) as session:
        digest = token_values.digest(place.tokens["member"])
        former = session.scalars(sa.select(Token).where(Token.digest == digest)).one()
        successor, renewed = directory.renew_token(session, former)
        uid = successor.uid
    assert place.get("/v1/user", "member").status_code == 200, "both are good until then"
    callers: list[permissions.Caller] = []
    place.view = lambda: callers.append(permissions.caller())
    assert place.get("/v1/user", Authorization=f"Bearer {renewed}").status_code == 200
    assert refusal(place.get("/v1/user", "member")) == (401, "unauthenticated", UNKNOWN)
    assert (callers[0].token_uid, callers[0].token_expires_at) == (uid, None)
    assert callers[0].scopes == token_scopes.UNLIMITED


def test_a_view_learns_what_the_token_is_limited_to_and_when_it_ends(place: Place) -> None:
    place.limit("member", "test:read")
    end = clock.now() + dt.timedelta(hours=1)
    place.change(
        sa.update(Token).where(Token.digest == token_values.digest(place.tokens["member"])).values(expires_at=end)
    )
    callers: list[permissions.Caller] = []
    place.view = lambda: callers.append(permissions.caller())
    place.get("/v1/user", "member")
    assert callers[0].scopes == token_scopes.parse(["test:read"])
    assert callers[0].token_expires_at == end


@pytest.mark.parametrize(
    ("rule", "developer", "admin", "allowed"),
    [
        (Rule.MEMBER, False, False, True),
        (Rule.DEVELOPER, False, False, False),
        (Rule.DEVELOPER, True, False, True),
        (Rule.DEVELOPER, False, True, True),
        *((rule, True, False, False) for rule in (Rule.ORG_ADMIN, Rule.APPOINTER)),
        *((rule, False, True, True) for rule in (Rule.ORG_ADMIN, Rule.APPOINTER)),
    ],
)
def test_a_rule_of_an_organization_lets_in_who_has_its_role(
    rule: Rule, developer: bool, admin: bool, allowed: bool
) -> None:
    assert permissions.allows(rule, developer, admin) is allowed
