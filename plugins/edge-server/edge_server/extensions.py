"""The server halves of other people's plugins.

An entry point of the group ``edge.server`` names a callable, and its name is the subsystem's: all
addresses of the subsystem lie below ``/v1/orgs/{org}/NAME``. It is called with a `Context`, which
is all it needs of this package, and returns a dictionary:

    def server(context):
        routes = context.routes()

        @routes.operation("lims.list", "GET", "")
        @routes.arguments(ListPlates.schema(), location="query")
        @routes.response(200, PlatePage.schema())
        def list_plates(query, org):
            ...

        return {
            "blueprint": routes,
            "rules": {"lims.list": context.requires("member")},
            "metadata": metadata,               # a sqlalchemy.MetaData with its tables
            "migrations": folder,               # a folder of Alembic revisions
            "revision": "0001",                 # the newest of them
        }

Its operations are guarded, described and repeatable as the server's own are: the permission table
in force is the server's with the plugins' rules, and a route without a rule stops the start. Its
tables begin with ``NAME_``, and each has a column `organization_id` that refers to
``organizations.id``: that is how an organization is removed with all of its data. Their history
stands in a version table of its own, so that neither side waits for the other's revisions.

A server half that is broken stops the start: a server that came up without it would answer its
users that there is no such address.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import flask
import sqlalchemy as sa
from sqlalchemy.orm import InstrumentedAttribute, Session

from edge_core.errors import EdgeError
from edge_core.records import Record
from edge_core.registry import PluginRecord, Registry
from edge_server import changes, clock, pages, permissions, problems
from edge_server.database import Database
from edge_server.permissions import Caller, Member, Rule
from edge_server.problems import Refusal
from edge_server.routes import blueprint
from edge_server.routes.blueprint import Routes

GROUP = "edge.server"

ROLES = {"member": Rule.MEMBER, "developer": Rule.DEVELOPER, "admin": Rule.ORG_ADMIN}
"""What `Context.requires` takes."""

_PARTS = {"blueprint", "rules", "metadata", "migrations", "revision"}


class BadExtension(Exception):
    """A plugin's server half cannot be used; the message is one sentence for the operator."""


@dataclasses.dataclass(frozen=True)
class Extension:
    """What a plugin's server half gave.

    Attributes:
        name: the subsystem's name.
        distribution: who brings it.
        blueprint: its routes.
        rules: operation -> who may do it.
        metadata: its tables.
        migrations: folder of its Alembic revisions.
        revision: the newest of them.
    """

    name: str
    distribution: str
    blueprint: Routes
    rules: dict[str, Rule]
    metadata: sa.MetaData
    migrations: Path
    revision: str

    @property
    def version_table(self) -> str:
        """Where the database keeps its revision."""
        return f"alembic_version_{self.name}"


class Context:
    """What a plugin's server half works with.

    Attributes:
        name: the subsystem's name.
    """

    def __init__(self, name: str, database: Database) -> None:
        self.name = name
        self._database = database

    def routes(self) -> Routes:
        """A group of addresses below ``/v1/orgs/{org}/NAME``.

        Its decorators are `operation(operation_id, method, rule)`, `arguments(schema)`,
        `merge_patch(record)` and `response(status, schema)`; schemas come from records. A view gets
        its arguments and `org`, the organization's short name.
        """
        return Routes(self.name, __name__, url_prefix=f"/v1/orgs/<org>/{self.name}")

    def requires(self, role: str) -> Rule:
        """The rule that lets in an organization's members in a role: "member", "developer" or "admin".

        Developers include admins.
        """
        try:
            return ROLES[role]
        except KeyError:
            raise ValueError(f"there is no role {role!r}; the roles are {', '.join(ROLES)}") from None

    @contextlib.contextmanager
    def read(self) -> Iterator[Session]:
        """A transaction that only reads."""
        with self._database.read() as session:
            yield session

    @contextlib.contextmanager
    def write(self) -> Iterator[Session]:
        """A transaction that writes, committed at the end of the block unless it raises."""
        with self._database.write() as session:
            yield session

    def caller(self) -> Caller:
        """The user the request at hand acts for: `id` and `user_name`."""
        return permissions.caller()

    def member(self) -> Member:
        """What the caller is in the request's organization: `organization_id`, `developer`, `admin`."""
        return permissions.member()

    def page(
        self, session: Session, wanted: sa.Select[Any], key: InstrumentedAttribute[Any], query: pages.Query
    ) -> tuple[list[Any], str | None]:
        """The rows of one page and the cursor of the next; see `edge_server.pages.page`."""
        return pages.page(session, wanted, key, query)

    def answer(self, record: Record, status: int = 200, *, row: changes.Revised | None = None) -> flask.Response:
        """A record as a JSON answer; where the view writes, to be made inside its transaction.

        Args:
            record: the answer.
            status: HTTP status.
            row: the row it tells of, if updates of it are checked; it has `uid` and `revision`.
        """
        return blueprint.answer(record, status) if row is None else changes.answer(record, row, status)

    def require_unchanged(self, row: changes.Revised) -> None:
        """See that the row is as the request's `If-Match` has seen it; see `edge_server.changes`."""
        changes.require_unchanged(row)

    def patched(self, current: Any, patch: dict[str, Any], *, fixed: tuple[str, ...] = ()) -> Any:
        """The record as a merge patch makes it; see `edge_server.changes`."""
        return changes.patched(current, patch, fixed=fixed)

    def now(self) -> dt.datetime:
        """The time in UTC."""
        return clock.now()

    # To be raised: `raise context.not_found("there is no plate P7; list them")`.

    def bad_entry(self, detail: str) -> Refusal:
        """What was sent cannot be."""
        return problems.bad_entry(detail)

    def not_found(self, detail: str) -> Refusal:
        """There is no such thing, or not for this caller."""
        return problems.not_found(detail)

    def already_exists(self, detail: str) -> Refusal:
        """The name is taken."""
        return problems.already_exists(detail)

    def conflict(self, detail: str) -> Refusal:
        """Things are not in a state that allows this."""
        return problems.conflict(detail)


def load(database: Database) -> list[Extension]:
    """The server halves of all installed plugins, by name.

    Raises:
        BadExtension: one cannot be used.
    """
    registry = Registry(GROUP)
    for record in registry.unusable():
        raise bad(record.distribution, f"{record.name!r} of {record.distribution} cannot be used: {record.error}")
    records = {record.name: record for record in registry.records() if record.error is None}
    return [_load(registry, records[name], database) for name in registry.names()]


def _load(registry: Registry, record: PluginRecord, database: Database) -> Extension:
    name, distribution = record.name, record.distribution
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise bad(distribution, f"{name!r} of {distribution} is no name for a subsystem; use lower-case letters")
    if name in {operation.partition(".")[0] for operation in permissions.RULES}:
        raise bad(
            distribution,
            f"the subsystem {name!r} is the server's own; the author of {distribution} must choose another name",
        )
    try:
        made = registry.load(name, lambda target: target(Context(name, database)))
    except EdgeError as error:
        raise bad(distribution, str(error)) from error
    if not isinstance(made, dict) or set(made) != _PARTS:
        raise bad(
            distribution,
            f"the server half of {distribution} must return a dictionary with {', '.join(sorted(_PARTS))}; upgrade it",
        )
    made["migrations"] = Path(made["migrations"])
    extension = Extension(name=name, distribution=distribution, **made)
    _check(extension)
    return extension


def _check(extension: Extension) -> None:
    name, who = extension.name, extension.distribution
    for operation in extension.rules:
        if not operation.startswith(f"{name}."):
            raise bad(who, f"the operation {operation!r} of {who} must begin with '{name}.'; upgrade {who}")
    for table in extension.metadata.tables.values():
        if not table.name.startswith(f"{name}_"):
            raise bad(who, f"the table {table.name!r} of {who} must begin with '{name}_'; upgrade {who}")
        if "organization_id" not in table.c:
            raise bad(
                who,
                f"the table {table.name!r} of {who} has no organization_id, by which its rows are removed; upgrade it",
            )
    if not extension.migrations.is_dir():
        raise bad(who, f"the migrations of {who} are not at {extension.migrations}; install it anew")


def bad(distribution: str, said: str) -> BadExtension:
    """The error of a server half that cannot be used, with the way to start the server all the same."""
    return BadExtension(f"{said} (EDGE_DISABLE_PLUGINS={distribution} starts the server without it)")
