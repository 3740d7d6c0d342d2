"""Who may do what: one table, and the one place that looks at it.

An organization that does not exist and one the caller is not in are the same answer, 404, so that
nobody learns which names are taken. That holds for a server admin too, who runs the server and
does not read the files of an organization without being in it.
"""

from __future__ import annotations

import collections
import dataclasses
import enum
from collections.abc import Mapping

import flask
import sqlalchemy.exc

from edge_server.base import problems
from edge_server.base.problems import Refusal, not_found
from edge_server.billing import metering
from edge_server.identity import accounts, token_values
from edge_server.web.engines import services


class Rule(enum.Enum):
    """Who may do something."""

    ANYONE = "anyone"
    USER = "any user, for what is their own"
    MEMBER = "members of the organization"
    DEVELOPER = "its developers and admins"
    ORG_ADMIN = "its admins"
    APPOINTER = "its admins, or a server admin while it has none"
    SERVER_ADMIN = "server admins"


RULES: dict[str, Rule] = {
    "healthz": Rule.ANYONE,
    "meta": Rule.ANYONE,
    "whoami.read": Rule.USER,
    "whoami.update": Rule.USER,
    "files.list": Rule.MEMBER,
    "files.stat": Rule.MEMBER,
    "files.delete": Rule.MEMBER,
    "files.put": Rule.MEMBER,
    "files.content": Rule.MEMBER,
    "files.sign": Rule.MEMBER,
    "files.make_folder": Rule.MEMBER,
    "files.move": Rule.MEMBER,
    "files.uploads.start": Rule.MEMBER,
    "files.uploads.read": Rule.MEMBER,
    "files.uploads.abort": Rule.MEMBER,
    "files.uploads.sign": Rule.MEMBER,
    "files.uploads.complete": Rule.MEMBER,
    # Of the caller alone: no rule lets anyone else near them.
    "sources.list": Rule.MEMBER,
    "sources.get": Rule.MEMBER,
    "sources.add": Rule.DEVELOPER,
    "sources.update": Rule.DEVELOPER,
    "sources.remove": Rule.DEVELOPER,
    "secrets.user.list": Rule.MEMBER,
    "secrets.user.create": Rule.MEMBER,
    "secrets.user.read": Rule.MEMBER,
    "secrets.user.update": Rule.MEMBER,
    "secrets.user.delete": Rule.MEMBER,
    "secrets.organization.list": Rule.MEMBER,
    "secrets.organization.create": Rule.ORG_ADMIN,
    "secrets.organization.read": Rule.MEMBER,
    "secrets.organization.update": Rule.ORG_ADMIN,
    "secrets.organization.delete": Rule.ORG_ADMIN,
    # Members see approved applications and visible versions; see `applications.seen_by`.
    "applications.list": Rule.MEMBER,
    "applications.read": Rule.MEMBER,
    "applications.add": Rule.DEVELOPER,
    "applications.update": Rule.DEVELOPER,
    "applications.remove": Rule.ORG_ADMIN,
    "applications.approve": Rule.ORG_ADMIN,
    "applications.versions.list": Rule.MEMBER,
    "applications.versions.read": Rule.MEMBER,
    "applications.versions.add": Rule.DEVELOPER,
    "applications.versions.update": Rule.DEVELOPER,
    "applications.versions.remove": Rule.DEVELOPER,
    "applications.servers.list": Rule.DEVELOPER,
    "applications.servers.read": Rule.DEVELOPER,
    "applications.servers.add": Rule.DEVELOPER,
    "applications.servers.update": Rule.DEVELOPER,
    "applications.servers.remove": Rule.DEVELOPER,
    "applications.oauth.list": Rule.DEVELOPER,
    "applications.oauth.register": Rule.DEVELOPER,
    "applications.oauth.read": Rule.DEVELOPER,
    "applications.oauth.update": Rule.DEVELOPER,
    "applications.oauth.remove": Rule.DEVELOPER,
    "compute.backend": Rule.MEMBER,
    "compute.instance_types.list": Rule.MEMBER,
    "compute.instance_types.read": Rule.MEMBER,
    "compute.profiles.list": Rule.MEMBER,
    "compute.profiles.read": Rule.MEMBER,
    "compute.profiles.create": Rule.ORG_ADMIN,
    "compute.profiles.update": Rule.ORG_ADMIN,
    "compute.profiles.remove": Rule.ORG_ADMIN,
    "compute.placeholders.list": Rule.ORG_ADMIN,
    "compute.placeholders.read": Rule.ORG_ADMIN,
    "compute.placeholders.create": Rule.ORG_ADMIN,
    "compute.placeholders.update": Rule.ORG_ADMIN,
    "compute.placeholders.remove": Rule.ORG_ADMIN,
    "search": Rule.MEMBER,
    "tokens.list": Rule.USER,
    "tokens.create": Rule.USER,
    "tokens.read": Rule.USER,
    "tokens.remove": Rule.USER,
    "admin.organizations.list": Rule.SERVER_ADMIN,
    "admin.organizations.add": Rule.SERVER_ADMIN,
    "admin.organizations.read": Rule.SERVER_ADMIN,
    "admin.organizations.update": Rule.SERVER_ADMIN,
    "admin.organizations.remove": Rule.SERVER_ADMIN,
    "admin.quotas.read": Rule.SERVER_ADMIN,
    "admin.quotas.update": Rule.SERVER_ADMIN,
    "admin.users.list": Rule.SERVER_ADMIN,
    "admin.users.add": Rule.SERVER_ADMIN,
    "admin.users.read": Rule.SERVER_ADMIN,
    "admin.users.update": Rule.SERVER_ADMIN,
    "admin.users.remove": Rule.SERVER_ADMIN,
    "members.list": Rule.APPOINTER,
    "members.add": Rule.APPOINTER,
    "members.read": Rule.APPOINTER,
    "members.update": Rule.APPOINTER,
    "members.remove": Rule.APPOINTER,
    "invitations.list": Rule.APPOINTER,
    "invitations.create": Rule.APPOINTER,
    "invitations.remove": Rule.APPOINTER,
    # Its permission is the invitation's code.
    "invitations.accept": Rule.ANYONE,
    # Their permission is the address's signature.
    "signed.content": Rule.ANYONE,
    "signed.part": Rule.ANYONE,
    "billing.usage": Rule.ORG_ADMIN,
    "billing.costs": Rule.ORG_ADMIN,
    "billing.prices": Rule.ORG_ADMIN,
    "admin.billing.report": Rule.SERVER_ADMIN,
}
"""Operation -> who may do it."""


_TABLE = "edge_server.rules"


class MissingRule(Exception):
    """A route came without a rule."""


@dataclasses.dataclass(frozen=True)
class Caller:
    """The user a request acts for."""

    id: int
    user_name: str
    server_admin: bool


@dataclasses.dataclass(frozen=True)
class Member:
    """What the caller is in the organization that the address names."""

    organization_id: int
    developer: bool
    admin: bool
    appointing: bool = False
    """A server admin, in the one thing they may do in an organization that has no admin."""


def caller() -> Caller:
    """The user this request acts for."""
    found: Caller = flask.g.caller
    return found


def optional_caller() -> Caller | None:
    """The user a request acts for that needs none; None if it came without a token.

    Raises:
        Refusal: it came with a token that is not good.
    """
    header = flask.request.headers.get("Authorization")
    return None if header is None else _authenticate(header)


def member() -> Member:
    """What the caller is in the request's organization."""
    found: Member = flask.g.member
    return found


def rules_of(app: flask.Flask) -> Mapping[str, Rule]:
    """The table in force in `app`: the server's own rules, and those of plugins."""
    found: Mapping[str, Rule] = app.extensions[_TABLE]
    return found


def install(app: flask.Flask, added: Mapping[str, Rule] | None = None) -> None:
    """Guard every route of `app`, all of which are there already.

    Args:
        app: the application.
        added: the rules of plugins, for operations of their own.

    Raises:
        MissingRule: a route's operation is not in the table.
    """
    # The server's own come first: no plugin's rule can stand before one of them.
    table = app.extensions[_TABLE] = collections.ChainMap(RULES, dict(added or {}))
    for route in app.url_map.iter_rules():
        operation = _operation(app, route.endpoint)
        if operation not in table:
            raise MissingRule(
                f"{route.rule} ({operation or route.endpoint}) has no rule; say in edge_server.web.permissions.RULES "
                "who may do it"
            )
    app.before_request(_guard)
    # A request that was let in may find the organization's rows going from under it.
    for error in (sqlalchemy.exc.NoResultFound, sqlalchemy.exc.IntegrityError):
        app.register_error_handler(error, _from_vanished)


def _operation(app: flask.Flask, endpoint: str) -> str | None:
    return getattr(app.view_functions[endpoint], "operation_id", None)


def _guard() -> None:
    request = flask.request
    if request.endpoint is None:
        return  # no such route: Flask says so next
    rule = rules_of(flask.current_app)[_operation(flask.current_app, request.endpoint) or ""]
    if rule is Rule.ANYONE:
        return
    flask.g.caller = _authenticate(request.headers.get("Authorization"))
    if rule is Rule.USER:
        return
    if rule is Rule.SERVER_ADMIN:
        if not flask.g.caller.server_admin:
            raise _forbidden(rule)
        return
    flask.g.member = found = _member((request.view_args or {})["org"], rule)
    metering.charge(found.organization_id)
    allowed = {
        Rule.MEMBER: True,
        Rule.DEVELOPER: found.developer or found.admin,
        Rule.ORG_ADMIN: found.admin,
        Rule.APPOINTER: found.admin or found.appointing,
    }
    if not allowed[rule]:
        raise _forbidden(rule)


def _authenticate(header: str | None) -> Caller:
    scheme, _, value = (header or "").strip().partition(" ")
    value = value.strip()
    # "token" is what JupyterHub and its clients write.
    if scheme.lower() not in ("bearer", "token") or not value:
        raise _unauthenticated("this needs an API token; send it in the header Authorization: Bearer TOKEN")
    if value.startswith(token_values.PREFIX) and not token_values.is_well_formed(value):
        raise _unauthenticated("the API token is mistyped or cut off; copy it again, or make a new one")
    if token_values.is_well_formed(value):
        with services().database.read() as session:
            found = accounts.token_user(session, value)
        if found is not None:
            services().token_use.note(found.token_id)
            return Caller(found.user.id, found.user.user_name, found.user.server_admin)
    raise _unauthenticated("the API token is unknown, expired or removed; make a new one")


def _member(organization: str, rule: Rule) -> Member:
    me = caller()
    with services().database.read() as session:
        found = accounts.membership(session, me.id, organization)
        appointing = False
        if rule is Rule.APPOINTER and me.server_admin and (found is None or not found.admin):
            there = accounts.find_organization(session, organization)
            if there is not None and there.status != accounts.DELETING and not accounts.has_admin(session, there.id):
                if found is None:
                    return Member(there.id, developer=False, admin=False, appointing=True)
                appointing = True
    if found is None:
        raise no_organization()
    return Member(found.organization_id, found.developer, found.admin, appointing)


def no_organization() -> Refusal:
    """There is no such organization, or not for this caller."""
    return not_found("there is no such organization, or you are not in it; check its short name and your token")


def _from_vanished(error: Exception) -> flask.Response:
    """Say that the organization is gone, if that is why a request failed."""
    found: Member | None = flask.g.get("member")
    if found is not None:
        with services().database.read() as session:
            if not accounts.is_open(session, found.organization_id):
                return problems.answer_to(no_organization())
    return problems.answer_to(error)


def _unauthenticated(detail: str) -> Refusal:
    return Refusal(401, "unauthenticated", detail, {"WWW-Authenticate": "Bearer"})


def _forbidden(rule: Rule) -> Refusal:
    return Refusal(403, "forbidden", f"this is for {rule.value}; ask one of them")
