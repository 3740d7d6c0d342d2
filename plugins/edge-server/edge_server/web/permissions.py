"""Who may do what: the rule stands on the operation, and this is the one place that looks at it.

An organization that does not exist and one the caller is not in are the same answer, 404, so that
nobody learns which names are taken. That holds for a server admin too, who runs the server and
does not read the files of an organization without being in it.

A token may be limited: to reading, to organizations, to parts of the API (`token_scopes`). What it lacks is told before
anything is looked up, so that the answer is the same whether or not there is such an organization.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
from typing import Any, Protocol, cast

import flask
import sqlalchemy.exc
from sqlalchemy import Row

from edge_server.base import at_hand, clock, problems
from edge_server.base.problems import CannotStart, Refusal, not_found
from edge_server.data.database import of_user, session_of
from edge_server.identity import directory, kinds, queries, token_scopes
from edge_server.identity.models import Token
from edge_server.identity.token_scopes import UNLIMITED, Scopes
from edge_server.web import counting, snapshot, throttling
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
    HUB = "hub"


ANYONE, USER, MEMBER, DEVELOPER, ORG_ADMIN, APPOINTER, SERVER_ADMIN, HUB = Rule

PEOPLE = {
    ANYONE: "anyone",
    USER: "any user, for what is their own",
    MEMBER: "members of the organization",
    DEVELOPER: "the organization's developers and admins",
    ORG_ADMIN: "the organization's admins",
    APPOINTER: "the organization's admins, or a server admin for others while it has none",
    SERVER_ADMIN: "server admins",
    HUB: "the JupyterHub of this server itself, by the token of its service",
}
"""Whom a rule lets in, for people."""

OF_AN_ORGANIZATION = frozenset({MEMBER, DEVELOPER, ORG_ADMIN, APPOINTER})
"""The rules that need an organization in the address."""


WITHOUT_USER = frozenset({ANYONE, HUB})
"""The rules by which nobody's token is at hand, whatever it is limited to."""

FOR_EVERY_TOKEN = frozenset({"whoami.read", "whoami.organizations"})
"""The operations that no limit keeps a token from: to tell whom it acts for, and what it is limited to."""

EVERYWHERE = frozenset({"tokens"})
"""The namespaces that are no organization's and still open to a token of one: they keep to what is `within_reach`."""

READING = frozenset({"GET", "HEAD"})
"""The methods that change nothing."""


@dataclasses.dataclass(frozen=True)
class Caller:
    """The user a request acts for, and the token it came with.

    Attributes:
        id: the user's row.
        user_name: the user's name.
        server_admin: whether the user runs the server.
        token_uid: uid of the token.
        token_expires_at: when the token ends; None for never.
        scopes: what the token is limited to.
    """

    id: int
    user_name: str
    server_admin: bool
    token_uid: str
    token_expires_at: dt.datetime | None
    scopes: Scopes = UNLIMITED


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
    namespace: str
    max_json: int
    repeatable: bool
    reads: bool


def caller() -> Caller:
    """The user this request acts for."""
    return cast(Caller, at_hand.kept().caller)


def holder() -> Row[Any]:
    """What the look at the request's token has found of it and its user; see `queries.holder`."""
    return cast("Row[Any]", at_hand.kept().holder)


def caller_at_hand() -> Caller | None:
    """The user this request acts for; None outside a request, or where that is not known."""
    return cast(Caller | None, at_hand.kept().get("caller")) if flask.has_request_context() else None


def optional_caller() -> Caller | None:
    """The user a request acts for that needs none; None if it came without a token.

    Raises:
        Refusal: it came with a token that is not good.
    """
    header = flask.request.headers.get("Authorization")
    if header is None:
        return None
    flask.g.caller = _caller_of(_authenticate(header))
    _require_scopes(_operation(flask.current_app, flask.request.endpoint or ""))
    return caller()


def within_reach(token: Token) -> bool:
    """Whether a token of the caller's may do nothing that the one at hand may not."""
    return (UNLIMITED if token.scopes is None else token_scopes.parse(token.scopes)).within(caller().scopes)


def member() -> Member:
    """What the caller is in the request's organization."""
    return cast(Member, at_hand.kept().member)


def member_at_hand() -> Member | None:
    """What the caller is in the request's organization; None outside a request, or where the address names none."""
    return at_hand.kept().get("member") if flask.has_request_context() else None


def operation_at_hand() -> str:
    """The id of the operation that the request asks for."""
    return _operation(flask.current_app, flask.request.endpoint or "").operation_id


def rule_at_hand() -> Rule:
    """The rule of the operation that the request asks for."""
    return _operation(flask.current_app, flask.request.endpoint or "").who


def body_limit_at_hand() -> int:
    """The most bytes of JSON that the operation takes that the request asks for."""
    return _operation(flask.current_app, flask.request.endpoint or "").max_json


def rules_of(app: flask.Flask) -> dict[str, Rule]:
    """The rule of each operation of `app`, by the operation's id, in alphabetical order."""
    operations = [_operation(app, endpoint) for endpoint in app.view_functions]
    return {view.operation_id: view.who for view in sorted(operations, key=lambda view: view.operation_id)}


def namespaces_of(app: flask.Flask) -> dict[str, str]:
    """The namespace of each operation of `app` that needs a token, by the operation's id."""
    operations = [_operation(app, endpoint) for endpoint in app.view_functions]
    return {view.operation_id: view.namespace for view in operations if view.who not in WITHOUT_USER}


def namespaces() -> list[str]:
    """What a token can be limited to, in alphabetical order."""
    return sorted(set(namespaces_of(flask.current_app).values()))


def require_scopes_within(scopes: Scopes) -> None:
    """See that what a token is to be limited to is within what the one at hand is.

    Raises:
        Refusal: it is not.
    """
    mine = caller().scopes
    if not scopes.within(mine):
        raise _insufficient(
            f"this token is limited to {_in_words(mine)}, and makes only tokens as limited; leave the scopes out, or "
            "use a token without limits"
        )


def body_limits_of(app: flask.Flask) -> dict[str, int]:
    """The most bytes of JSON that each operation of `app` takes, by the operation's id."""
    operations = [_operation(app, endpoint) for endpoint in app.view_functions]
    return {view.operation_id: view.max_json for view in operations}


def repeatable_of(app: flask.Flask) -> set[str]:
    """The ids of the operations of `app` that look at no ``Idempotency-Key``, as they can be repeated without."""
    operations = [_operation(app, endpoint) for endpoint in app.view_functions]
    return {view.operation_id for view in operations if view.repeatable}


def reading_of(app: flask.Flask) -> set[str]:
    """The ids of the operations of `app` that change nothing although they are sent by POST."""
    operations = [_operation(app, endpoint) for endpoint in app.view_functions]
    return {view.operation_id for view in operations if view.reads}


def _reads(operation: Operation, method: str) -> bool:
    return operation.reads or method in READING


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
    request, kept = at_hand.request(), at_hand.kept()
    if request.endpoint is None:
        return  # an address that is not known, as Flask says next
    operation = _operation(at_hand.app(), request.endpoint)
    rule = operation.who
    if rule is ANYONE:
        return
    if rule is HUB:
        _require_hub(request.headers.get("Authorization"))
        return
    organization: str | None = (request.view_args or {})["org"] if rule in OF_AN_ORGANIZATION else None
    kept.holder = holder = _authenticate(request.headers.get("Authorization"), organization)
    kept.caller = _caller_of(holder)
    _require_scopes(operation)
    if rule is SERVER_ADMIN and not kept.caller.server_admin:
        raise _forbidden(rule)
    if organization is None:
        return
    kept.member = membership = _member(holder, organization, rule)
    counting.charge(membership.organization_id)
    if not allows(rule, membership.developer, membership.admin) and not membership.appointing:
        raise _forbidden(rule)


def _within_limits() -> None:
    request = at_hand.request()
    if request.endpoint is None:
        return
    limit = _operation(at_hand.app(), request.endpoint).limit
    if limit is not None:
        me = caller_at_hand()
        throttling.spend(limit, None if me is None else me.user_name)


def allows(rule: Rule, developer: bool, admin: bool) -> bool:
    """Whether a rule lets in a member who has these roles."""
    if rule is DEVELOPER:
        return developer or admin
    return rule is MEMBER or admin


def _require_scopes(operation: Operation) -> None:
    """See that the token at hand is not limited to other things.

    Raises:
        Refusal: it is.
    """
    scopes = caller().scopes
    if scopes == UNLIMITED or operation.operation_id in FOR_EVERY_TOKEN:
        return
    namespace = getattr(operation, "namespace", "")
    lacking = scopes.lacking(namespace, writes=not _reads(operation, flask.request.method))
    if lacking is None and operation.who in OF_AN_ORGANIZATION:
        lacking = scopes.lacking_organization((flask.request.view_args or {})["org"])
    elif lacking is None and scopes.organizations is not None and namespace not in EVERYWHERE:
        raise _insufficient(
            f"this token is limited to {_in_words(scopes)}, and this is outside of organizations; use a token without "
            f"a scope {token_scopes.ORGANIZATION}NAME"
        )
    if lacking is not None:
        raise _insufficient(
            f"this token is limited to {_in_words(scopes)} and lacks the scope {lacking}; use a token that has it, or "
            "one without limits"
        )


def _in_words(scopes: Scopes) -> str:
    return f"the scopes {', '.join(scopes.texts() or ())}"


def _insufficient(detail: str) -> Refusal:
    # RFC 6750, section 3.1
    return Refusal(403, "insufficient_scope", detail, {"WWW-Authenticate": 'Bearer error="insufficient_scope"'})


def _require_hub(header: str | None) -> None:
    """See that it is the hub that asks, which acts for nobody.

    Raises:
        Refusal: it is somebody else.
    """
    if not engines().identity.is_hub(_value(header)):
        _authenticate(header)
        raise _forbidden(HUB)


def _value(header: str | None) -> str:
    """The token of a header; empty if it holds none."""
    scheme, _, value = (header or "").strip().partition(" ")
    # "token" is what JupyterHub and its clients write.
    return value.strip() if scheme.lower() in ("bearer", "token") else ""


def _authenticate(header: str | None, organization: str | None = None) -> Row[Any]:
    """The token of the request at hand and its user, with what the user is in an organization; see `queries.holder`.

    Raises:
        Refusal: there is no token, or it is not good.
    """
    value = _value(header)
    if not value:
        raise kinds.unauthenticated("this needs an API token; send it in the header Authorization: Bearer TOKEN")
    identity = engines().identity
    try:
        digest = identity.digest_of(value)
    except Refusal as refusal:
        if refusal.status == 401:
            throttling.failed()
        raise
    connection = snapshot.connection()
    if organization is None:
        holder = queries.holder(connection, digest)
    else:
        holder = queries.holder_in(connection, digest, organization)
    if holder is None:
        throttling.failed()
        raise kinds.unknown()
    if holder.expires_at is not None and holder.expires_at <= clock.now():
        throttling.failed()
        raise kinds.unauthenticated(
            f"the API token expired on {holder.expires_at:%Y-%m-%d at %H:%M} UTC; {identity.renewal}"
        )
    if holder.replaces is not None:
        with engines().database.write(of_user(holder.user_id)) as session:
            directory.finish_renewal(session, holder.token_uid)
    engines().token_use.note(holder.token_id)
    return holder


def _caller_of(holder: Row[Any]) -> Caller:
    scopes = UNLIMITED if holder.scopes is None else token_scopes.parse(holder.scopes)
    return Caller(holder.user_id, holder.user_name, holder.server_admin, holder.token_uid, holder.expires_at, scopes)


def _member(holder: Row[Any], organization_name: str, rule: Rule) -> Member:
    is_member = holder.organization_id is not None
    appointing = False
    if rule is APPOINTER and holder.server_admin and not holder.admin:
        with session_of(snapshot.connection()) as session:
            organization = directory.find_organization(session, organization_name)
            if (
                organization is not None
                and organization.status != directory.DELETING
                and not directory.has_admin(session, organization.id)
            ):
                if not is_member:
                    return Member(organization.id, developer=False, admin=False, appointing=True)
                appointing = True
    if not is_member:
        raise no_organization()
    return Member(holder.organization_id, holder.developer, holder.admin, holder.signing_uid, appointing)


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


def _forbidden(rule: Rule) -> Refusal:
    advice = ", and for nobody else" if rule is HUB else "; ask one of them"
    return Refusal(403, "forbidden", f"this is for {PEOPLE[rule]}{advice}")
