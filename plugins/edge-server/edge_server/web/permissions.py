"""Who may do what: the rule stands on the operation, and this is the one place that looks at it.

An organization that does not exist and one the caller is not in are the same answer, 404, so that
nobody learns which names are taken. That holds for a server admin too, who runs the server and
does not read the files of an organization without being in it.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
from typing import Protocol, cast

import flask
import sqlalchemy.exc

from edge_server.base import problems
from edge_server.base.problems import CannotStart, Refusal, not_found
from edge_server.identity import directory, token_values
from edge_server.web import counting, throttling
from edge_server.web.engines import engines
from edge_server.web.rates import Limit


class Rule(enum.StrEnum):
    """Who may do something."""

    ANYONE = "anyone"
    USER = "user"
    MEMBER = "member"
    DEVELOPER = "developer"
    ORG_ADMIN = "org_admin"
    APPOINTER = "appointer"
    SERVER_ADMIN = "server_admin"


ANYONE, USER, MEMBER, DEVELOPER, ORG_ADMIN, APPOINTER, SERVER_ADMIN = Rule

PEOPLE = {
    ANYONE: "anyone",
    USER: "any user, for what is their own",
    MEMBER: "members of the organization",
    DEVELOPER: "the organization's developers and admins",
    ORG_ADMIN: "the organization's admins",
    APPOINTER: "the organization's admins, or a server admin while it has none",
    SERVER_ADMIN: "server admins",
}
"""Whom a rule lets in, for people."""

OF_AN_ORGANIZATION = frozenset({MEMBER, DEVELOPER, ORG_ADMIN, APPOINTER})
"""The rules that need an organization in the address."""


@dataclasses.dataclass(frozen=True)
class Caller:
    """The user a request acts for, and the token it came with."""

    id: int
    user_name: str
    server_admin: bool
    token_uid: str
    token_expires_at: dt.datetime | None


@dataclasses.dataclass(frozen=True)
class Member:
    """What the caller is in the organization that the address names."""

    organization_id: int
    developer: bool
    admin: bool
    signing_uid: str | None = None
    """What the caller's signed addresses name; None for a server admin who is no member."""
    appointing: bool = False
    """A server admin, in the one thing they may do in an organization that has no admin."""


class Operation(Protocol):
    """A view, with what its declaration says of it."""

    operation_id: str
    who: Rule
    secret_answer: bool
    limit: Limit | None


def caller() -> Caller:
    """The user this request acts for."""
    return cast(Caller, flask.g.caller)


def caller_at_hand() -> Caller | None:
    """The user this request acts for; None outside a request, or where that is not known."""
    return cast(Caller | None, flask.g.get("caller")) if flask.has_request_context() else None


def optional_caller() -> Caller | None:
    """The user a request acts for that needs none; None if it came without a token.

    Raises:
        Refusal: it came with a token that is not good.
    """
    header = flask.request.headers.get("Authorization")
    if header is None:
        return None
    flask.g.caller = _authenticate(header)
    return caller()


def member() -> Member:
    """What the caller is in the request's organization."""
    return cast(Member, flask.g.member)


def member_at_hand() -> Member | None:
    """What the caller is in the request's organization; None outside a request, or where the address names none."""
    return flask.g.get("member") if flask.has_request_context() else None


def operation_at_hand() -> str:
    """The id of the operation that the request asks for."""
    return _operation(flask.current_app, flask.request.endpoint or "").operation_id


def rule_at_hand() -> Rule:
    """The rule of the operation that the request asks for."""
    return _operation(flask.current_app, flask.request.endpoint or "").who


def rules_of(app: flask.Flask) -> dict[str, Rule]:
    """The rule of each operation of `app`, by the operation's id, in alphabetical order."""
    operations = [_operation(app, endpoint) for endpoint in app.view_functions]
    return {view.operation_id: view.who for view in sorted(operations, key=lambda view: view.operation_id)}


def _operation(app: flask.Flask, endpoint: str) -> Operation:
    return cast(Operation, app.view_functions[endpoint])


def install(app: flask.Flask) -> None:
    """Guard every route of `app`, all of which are there already.

    Raises:
        CannotStart: a route states no rule.
    """
    for route in app.url_map.iter_rules():
        view = app.view_functions[route.endpoint]
        if not isinstance(getattr(view, "who", None), Rule):
            raise CannotStart(
                f"{route.rule} ({route.endpoint}) has no rule; say in its operation, by who=, who may do it"
            )
    app.before_request(_guard)
    app.before_request(_within_limits)
    # A request that was let in may find the organization's rows going from under it.
    for error in (sqlalchemy.exc.NoResultFound, sqlalchemy.exc.IntegrityError):
        app.register_error_handler(error, _from_vanished)


def _guard() -> None:
    request = flask.request
    if request.endpoint is None:
        return  # an address that is not known, as Flask says next
    rule = _operation(flask.current_app, request.endpoint).who
    if rule is ANYONE:
        return
    flask.g.caller = _authenticate(request.headers.get("Authorization"))
    if rule is USER:
        return
    if rule is SERVER_ADMIN:
        if not flask.g.caller.server_admin:
            raise _forbidden(rule)
        return
    flask.g.member = membership = _member((request.view_args or {})["org"], rule)
    counting.charge(membership.organization_id)
    if not allows(rule, membership.developer, membership.admin) and not membership.appointing:
        raise _forbidden(rule)


def _within_limits() -> None:
    request = flask.request
    if request.endpoint is None:
        return
    limit = _operation(flask.current_app, request.endpoint).limit
    if limit is not None:
        me = caller_at_hand()
        throttling.spend(limit, None if me is None else me.user_name)


def allows(rule: Rule, developer: bool, admin: bool) -> bool:
    """Whether a rule lets in a member who has these roles."""
    if rule is DEVELOPER:
        return developer or admin
    return rule is MEMBER or admin


def _authenticate(header: str | None) -> Caller:
    scheme, _, value = (header or "").strip().partition(" ")
    value = value.strip()
    # "token" is what JupyterHub and its clients write.
    if scheme.lower() not in ("bearer", "token") or not value:
        raise _unauthenticated("this needs an API token; send it in the header Authorization: Bearer TOKEN")
    if value.startswith(token_values.PREFIX) and not token_values.is_well_formed(value):
        throttling.failed()
        raise _unauthenticated("the API token is mistyped or cut off; copy it again, or make a new one")
    if token_values.is_well_formed(value):
        with engines().database.read() as session:
            holder = directory.token_user(session, value)
        if holder is not None:
            engines().token_use.note(holder.token_id)
            user = holder.user
            return Caller(user.id, user.user_name, user.server_admin, holder.token_uid, holder.expires_at)
    throttling.failed()
    raise _unauthenticated("the API token is unknown, expired or removed; make a new one")


def _member(organization_name: str, rule: Rule) -> Member:
    me = caller()
    with engines().database.read() as session:
        membership = directory.membership(session, me.id, organization_name)
        appointing = False
        if rule is APPOINTER and me.server_admin and (membership is None or not membership.admin):
            organization = directory.find_organization(session, organization_name)
            if (
                organization is not None
                and organization.status != directory.DELETING
                and not directory.has_admin(session, organization.id)
            ):
                if membership is None:
                    return Member(organization.id, developer=False, admin=False, appointing=True)
                appointing = True
    if membership is None:
        raise no_organization()
    return Member(
        membership.organization_id, membership.developer, membership.admin, membership.signing_uid, appointing
    )


def no_organization() -> Refusal:
    """The organization cannot be found, or not by this caller."""
    return not_found("the organization cannot be found, or you are not in it; check its short name and your token")


def _from_vanished(error: Exception) -> flask.Response:
    """Say that the organization is gone, if that is why a request failed."""
    membership = member_at_hand()
    if membership is not None:
        with engines().database.read() as session:
            if not directory.is_open(session, membership.organization_id):
                return problems.answer_to(no_organization())
    return problems.answer_to(error)


def _unauthenticated(detail: str) -> Refusal:
    return Refusal(401, "unauthenticated", detail, {"WWW-Authenticate": "Bearer"})


def _forbidden(rule: Rule) -> Refusal:
    return Refusal(403, "forbidden", f"this is for {PEOPLE[rule]}; ask one of them")
