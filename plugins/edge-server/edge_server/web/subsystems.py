"""What other people's plugins add to the server: the server half of a subsystem.

A plugin's entry point in the group ``edge.server`` names a callable. The server calls it at its
start with a `Context`, which has all that it may need, so that it imports nothing of the server:

    plugin_api = 1

    def server(context):
        routes = context.routes()

        @routes.operation("lab.status", "GET", "/status")
        @routes.response(200, Status.schema())
        def status(org):
            return context.answer(Status(text="open"))

        return context.subsystem(routes, rules={"lab.status": context.requires("member")})

A subsystem keeps to its own name, which is the entry point's: its operations are called ``lab.…``,
its addresses begin with ``/v1/orgs/<org>/lab``, its tables are called ``lab_…``. So it cannot take
anything of the server's or of another plugin's. One that breaks a rule or fails stops the start,
with a sentence that names its distribution: a server that came up without it would tell its users
that their data is not there.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import flask
import flask_smorest
import sqlalchemy as sa
from sqlalchemy.orm import InstrumentedAttribute, Session

from edge_core.documented import NAMESPACES
from edge_core.errors import EdgeError
from edge_core.records import Record
from edge_core.registry import PluginRecord, Registry
from edge_server.base import clock, pages, problems
from edge_server.base.problems import Refusal
from edge_server.web import permissions, updates
from edge_server.web.engines import services
from edge_server.web.permissions import RULES, Caller, Member, Rule
from edge_server.web.routes import Routes, answer

if TYPE_CHECKING:
    from edge_server.data.database import Database

GROUP = "edge.server"

ROLES = {
    "anyone": Rule.ANYONE,
    "user": Rule.USER,
    "member": Rule.MEMBER,
    "developer": Rule.DEVELOPER,
    "org_admin": Rule.ORG_ADMIN,
    "server_admin": Rule.SERVER_ADMIN,
}
"""What `Context.requires` takes -> the rule of the permission table."""

_OWN = {"healthz", "meta", "members", "orgs", "search", "server", "signed", "uploads", "users", "whoami", *NAMESPACES}

_OF_AN_ORGANIZATION = (Rule.MEMBER, Rule.DEVELOPER, Rule.ORG_ADMIN)

_R = TypeVar("_R", bound=Record)


class BrokenSubsystem(Exception):
    """A plugin's server half cannot be used; the message is one sentence for the server's operator."""


@dataclasses.dataclass(frozen=True)
class Parts:
    """What a plugin's callable gives back, made by `Context.subsystem`."""

    routes: Sequence[Routes]
    rules: Mapping[str, Rule]
    metadata: sa.MetaData | None
    migrations: Path | None


@dataclasses.dataclass(frozen=True)
class Subsystem:
    """A plugin's server half, checked as far as that can be done without an application.

    Attributes:
        name: the entry point's name.
        distribution: who brings it.
        version: of that distribution.
        parts: what its callable gave.
        head: the revision its tables must be at; None if it has none.
    """

    name: str
    distribution: str
    version: str
    parts: Parts
    head: str | None

    @property
    def version_table(self) -> str:
        """Where the revision of its tables is kept, apart from the server's own and from all others'."""
        return f"alembic_version_{self.name}"

    def broken(self, reason: str) -> BrokenSubsystem:
        return _broken(self.name, self.distribution, self.version, reason)

    def require_migrated(self, database: Database) -> None:
        """Raise `NotMigrated` unless its tables are at the revision that its code works with."""
        from edge_server.data.database import NotMigrated

        found = database.revision(self.version_table) if self.head else None
        if found != self.head:
            raise NotMigrated(
                f"the tables of {self.name} in {database.path} are at revision {found or 'none'} and "
                f"{self.distribution} {self.version} needs {self.head}; `edge server run` brings them there"
            )


class Context:
    """What a plugin's server half works with.

    Args:
        name: the subsystem's name.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    # --- at the start -----------------------------------------------------------------------------

    def routes(self, prefix: str | None = None) -> Routes:
        """A group of addresses; ``/v1/orgs/<org>/NAME`` unless `prefix` says otherwise.

        Its decorators are ``operation(id, method, address)``, ``arguments(schema)``,
        ``response(status, schema)`` and ``merge_patch(record)``. A view gets what its arguments are,
        then what its address names.
        """
        prefix = prefix or f"/v1/orgs/<org>/{self.name}"
        return Routes(self.name, __name__, url_prefix=prefix)

    def requires(self, role: str) -> Rule:
        """The rule that lets in who has `role`.

        Args:
            role: "member", "developer" or "org_admin" of the organization in the address, each of
                them including the next; "user" for any user, "server_admin", or "anyone".
        """
        if role not in ROLES:
            raise ValueError(f"there is no role {role!r}; the roles are {', '.join(ROLES)}")
        return ROLES[role]

    def subsystem(
        self,
        *routes: Routes,
        rules: Mapping[str, Rule],
        metadata: sa.MetaData | None = None,
        migrations: Path | None = None,
    ) -> Parts:
        """What the callable returns.

        Args:
            routes: its groups of addresses.
            rules: operation id -> who may do it, for each operation.
            metadata: its tables, if it has any; their names begin with the subsystem's.
            migrations: folder of the Alembic revisions that build those tables.
        """
        return Parts(routes, dict(rules), metadata, migrations)

    # --- in a request -----------------------------------------------------------------------------

    def read(self) -> AbstractContextManager[Session]:
        """A transaction that only reads: one unchanging view, and never a wait."""
        return services().database.read()

    def write(self) -> AbstractContextManager[Session]:
        """A transaction that writes, committed at the end of the block unless it raises."""
        return services().database.write()

    def caller(self) -> Caller:
        """The user this request acts for: ``id``, ``user_name``, ``server_admin``."""
        return permissions.caller()

    def member(self) -> Member:
        """What the caller is in the organization: ``organization_id``, ``developer``, ``admin``."""
        return permissions.member()

    def page(
        self, session: Session, wanted: sa.Select[Any], key: InstrumentedAttribute[Any], query: pages.Query
    ) -> tuple[list[Any], str | None]:
        """The rows of one page in the order of `key`, and the cursor of the page after it, if there is one.

        Args:
            session: a transaction.
            wanted: what selects all rows.
            key: a column that no two of them share; a number or text.
            query: the size of the page (``limit``), and where it begins (``cursor``).
        """
        return pages.page(session, wanted, key, query)

    def answer(self, record: Record, row: updates.Revised | None = None, status: int = 200) -> flask.Response:
        """A record as the answer. Where the view writes, this belongs inside its transaction.

        Args:
            record: what to send.
            row: the row it tells of, if that can be updated: it has a ``uid``, and a ``revision``
                that SQLAlchemy counts (``version_id_col``). The answer then says which state that is.
            status: HTTP status code.
        """
        return answer(record, status) if row is None else updates.answer(record, row, status)

    def nothing(self) -> flask.Response:
        """The answer to a request that asked for nothing back."""
        return flask.Response(status=204)

    def require_unchanged(self, row: updates.Revised) -> None:
        """Refuse the request if it has seen another state of `row` than there is (``If-Match``)."""
        updates.require_unchanged(row)

    def patched(self, current: _R, patch: Mapping[str, Any], *, fixed: Collection[str] = ()) -> _R:
        """The record as a merge patch makes it, checked like one that was sent whole; `fixed` fields stay."""
        return updates.patched(current, patch, fixed=fixed)

    def now(self) -> dt.datetime:
        """The time in UTC."""
        return clock.now()

    # Refusals are raised: ``raise context.not_found("there is no ...; do ...")``. Each is one sentence:
    # what happened, and what to do.

    def bad_entry(self, detail: str) -> Refusal:
        """What was sent cannot be (400)."""
        return problems.bad_entry(detail)

    def forbidden(self, detail: str) -> Refusal:
        """This caller may not (403), for what no rule of the table can say."""
        return Refusal(403, "forbidden", detail)

    def not_found(self, detail: str) -> Refusal:
        """There is no such thing, or not for this caller (404)."""
        return problems.not_found(detail)

    def already_exists(self, detail: str) -> Refusal:
        """The name is taken (409)."""
        return problems.already_exists(detail)

    def conflict(self, detail: str) -> Refusal:
        """Things are not in a state that allows this (409)."""
        return problems.conflict(detail)


def installed() -> list[Subsystem]:
    """The server halves of all plugins that are switched on, by name.

    Raises:
        BrokenSubsystem: one of them cannot be used.
    """
    registry = Registry(GROUP, refuse=_refuse)
    for record in registry.unusable():
        raise _broken(record.name, record.distribution, record.version, f"cannot be used: {record.error}")
    # The others of that name are switched off.
    by_name = {record.name: record for record in registry.records() if record.error is None}
    return [_load(registry, by_name[name]) for name in registry.names()]


def register(app: flask.Flask, api: flask_smorest.Api, found: Sequence[Subsystem]) -> dict[str, Rule]:
    """Add the routes of `found` to `app`; returns the rules they came with.

    Raises:
        BrokenSubsystem: routes and rules do not fit each other, or are not within the subsystem's name.
    """
    rules: dict[str, Rule] = {}
    for subsystem in found:
        before = set(app.view_functions)
        try:
            for routes in subsystem.parts.routes:
                api.register_blueprint(routes)
        except Exception as error:
            raise subsystem.broken(f"has routes that cannot be added ({type(error).__name__}: {error})") from error
        _check_routes(app, subsystem, before)
        rules |= subsystem.parts.rules
    return rules


def _refuse(name: str, distribution: str) -> str | None:
    taken = _OWN | {operation.partition(".")[0] for operation in RULES}
    if name in taken:
        return f"{name!r} is a name of the server's own; its author must choose another"
    if not name.isidentifier() or name != name.lower() or name.startswith("_"):
        return f"{name!r} is not a lower-case Python name; its author must choose another"
    return None


def _load(registry: Registry, record: PluginRecord) -> Subsystem:
    who = record.name, record.distribution, record.version
    try:
        parts = registry.load(record.name, lambda target: target(Context(record.name)))
    except EdgeError as error:
        raise _broken(*who, f"cannot be loaded: {error}") from error
    if not isinstance(parts, Parts):
        raise _broken(*who, f"gave a {type(parts).__name__}; its author returns context.subsystem(...)")
    return Subsystem(*who, parts, _head(who, parts))


def _head(who: tuple[str, str, str], parts: Parts) -> str | None:
    """The newest of the revisions, having seen that the tables are the subsystem's own."""
    name = who[0]
    for table in sorted(parts.metadata.tables if parts.metadata is not None else ()):
        if table != name and not table.startswith(f"{name}_"):
            raise _broken(*who, f"has a table {table!r}; its author calls it {name}_{table}")
    if parts.migrations is None:
        if parts.metadata is not None and parts.metadata.tables:
            raise _broken(*who, "has tables and no migrations; its author gives their folder")
        return None
    from edge_server.data.migration import revisions

    try:
        heads = revisions(parts.migrations).get_heads()
    except Exception as error:
        raise _broken(*who, f"has migrations that cannot be read ({type(error).__name__}: {error})") from error
    if len(heads) != 1:
        raise _broken(*who, f"has {len(heads)} newest migrations in {parts.migrations}; one is right")
    return heads[0]


def _check_routes(app: flask.Flask, subsystem: Subsystem, before: Collection[str]) -> None:
    name, rules = subsystem.name, subsystem.parts.rules
    operations = set()
    for route in app.url_map.iter_rules():
        if route.endpoint in before:
            continue
        operation = getattr(app.view_functions[route.endpoint], "operation_id", None)
        allowed = f"/v1/orgs/<org>/{name}", f"/v1/users/me/{name}", f"/v1/{name}", f"/v1/admin/{name}"
        if not any(route.rule == one or route.rule.startswith(f"{one}/") for one in allowed):
            raise subsystem.broken(f"has the address {route.rule}; its addresses begin with {allowed[0]}")
        if operation is None or not operation.startswith(f"{name}."):
            raise subsystem.broken(f"has the operation {operation!r} at {route.rule}; its operations are {name}.…")
        if operation in operations:
            raise subsystem.broken(f"has the operation {operation} twice; each has an id of its own")
        if operation not in rules:
            raise subsystem.broken(f"has no rule for {operation}; its author says in rules= who may do it")
        if rules[operation] in _OF_AN_ORGANIZATION and "org" not in route.arguments:
            raise subsystem.broken(f"wants a role in an organization for {operation}, and {route.rule} names none")
        operations.add(operation)
    for operation, rule in rules.items():
        if operation not in operations:
            raise subsystem.broken(f"has a rule for {operation!r}, and no such operation")
        if not isinstance(rule, Rule):
            raise subsystem.broken(f"has a rule for {operation} that context.requires did not make")


def _broken(name: str, distribution: str, version: str, reason: str) -> BrokenSubsystem:
    return BrokenSubsystem(
        f"the server half {name!r} of {distribution} {version} {reason}; mend or uninstall {distribution}, "
        f"or start without it: EDGE_DISABLE_PLUGINS={distribution}"
    )
