"""Loading subsystems: the server's own, and those that plugins bring.

A subsystem that breaks a rule or fails stops the start, with a sentence that names its distribution:
a server that came up without it would tell its users that their data is not there.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

import flask
import flask_smorest

from edge_core.documented import NAMESPACES
from edge_core.errors import EdgeError
from edge_core.registry import PluginRecord, Registry
from edge_server.base.problems import CannotStart, log
from edge_server.data import ownership
from edge_server.data.database import PLUGIN_TABLE, Database
from edge_server.data.migration import History
from edge_server.identity import token_scopes
from edge_server.web.context import Context, OwnContext, address_is_within
from edge_server.web.engines import Engines
from edge_server.web.parts import Parts
from edge_server.web.permissions import OF_AN_ORGANIZATION

GROUP = "edge.server"

_SERVERS = {"healthz", "limits", "log", "meta", "network", "orgs", "server", "storage", *token_scopes.WORDS}
"""Names in addresses, operations and sections of settings that belong to no subsystem."""


@dataclasses.dataclass(frozen=True)
class Own:
    """One of the server's own subsystems.

    Attributes:
        name: what it is called.
        server: the callable that makes it.
        claims: further names that its operations and addresses begin with.
    """

    name: str
    server: Callable[[OwnContext], Parts]
    claims: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Subsystem:
    """A subsystem, checked as far as that can be done without an application.

    Attributes:
        name: its name.
        claims: further names that its operations and addresses begin with.
        parts: what its callable gave.
        plugin: the plugin that brings it; None for the server's own.
        history: the migrations of its tables; None if it has none of its own.
    """

    name: str
    claims: tuple[str, ...]
    parts: Parts
    plugin: PluginRecord | None = None
    history: History | None = None

    @property
    def offers(self) -> list[str]:
        """The names under which a client's session reaches it."""
        if self.plugin is not None:
            return [self.name]
        return [name for name in (self.name, *self.claims) if name in {*NAMESPACES, "search", "whoami"}]

    def namespace_of(self, operation: str) -> str:
        """What a token is limited to that may do an operation: where a client's session has it."""
        first = operation.partition(".")[0]
        if self.plugin is None and first in self.offers:
            return first
        return "admin" if "admin" in self.offers else self.name

    def broken(self, reason: str) -> CannotStart:
        """The error that says why it cannot be used."""
        return CannotStart(f"{self.name} {reason}") if self.plugin is None else _broken(self.plugin, reason)


def load(engines: Engines, own: Sequence[Own], *, plugins: bool = True) -> list[Subsystem]:
    """The server's own subsystems, and those of all plugins that are switched on, by name.

    Args:
        engines: what they work with.
        own: the server's own.
        plugins: whether to load those of plugins.

    Raises:
        CannotStart: one of them cannot be used.
    """
    loaded = [
        Subsystem(each.name, each.claims, each.server(OwnContext(each.name, engines, each.claims))) for each in own
    ]
    taken = _SERVERS | {name for each in own for name in (each.name, *each.claims)}
    if plugins:
        loaded += _of_plugins(engines, taken)
    engines.configuration.require_known()
    for subsystem in loaded:
        for task in subsystem.parts.tasks:
            engines.background.add(task)
    return loaded


def _of_plugins(engines: Engines, taken: Collection[str]) -> Iterator[Subsystem]:
    def refuse(name: str, distribution: str) -> str | None:
        if name in taken:
            return f"{name!r} is a name of the server's own; its author must choose another"
        if not name.isidentifier() or name != name.lower() or name.startswith("_"):
            return f"{name!r} is not a lower-case Python name; its author must choose another"
        return None

    registry = Registry(GROUP, refuse=refuse)
    for record in registry.unusable():
        raise _broken(record, f"cannot be used: {record.error}")
    # The others of that name are switched off.
    by_name = {record.name: record for record in registry.records() if record.error is None}
    for name in registry.names():
        record = by_name[name]
        try:
            parts = registry.load(name, functools.partial(_call, Context(name, engines)))
        except EdgeError as error:
            if isinstance(error.__cause__, CannotStart):
                raise _broken(record, f"cannot start: {error.__cause__}") from error
            raise _broken(record, f"cannot be loaded: {error}") from error
        if not isinstance(parts, Parts):
            raise _broken(record, f"gave a {type(parts).__name__}; its author returns context.subsystem(...)")
        subsystem = Subsystem(name, (), parts, record)
        _check_tables(subsystem)
        yield dataclasses.replace(subsystem, history=_history(subsystem))


def _call(context: Context, server: Callable[[Context], object]) -> object:
    return server(context)


def register(app: flask.Flask, api: flask_smorest.Api, subsystems: Sequence[Subsystem]) -> None:
    """Add the routes of `subsystems` to `app`.

    Raises:
        CannotStart: routes are not within the subsystem's names, or cannot be added.
    """
    for subsystem in subsystems:
        before = set(app.view_functions)
        try:
            for routes in subsystem.parts.routes:
                api.register_blueprint(routes)
        except Exception as error:
            raise subsystem.broken(f"has routes that cannot be added ({type(error).__name__}: {error})") from error
        _check_routes(app, subsystem, before)


def _check_tables(subsystem: Subsystem) -> None:
    """See that the tables are the subsystem's own."""
    metadata = subsystem.parts.metadata
    name = subsystem.name
    for table in sorted(metadata.tables if metadata is not None else ()):
        if table != name and not table.startswith(f"{name}_"):
            raise subsystem.broken(f"has a table {table!r}; its author calls it {name}_{table}")
    if subsystem.parts.migrations is None and metadata is not None and metadata.tables:
        raise subsystem.broken("has tables and no migrations; its author gives their folder")


def _history(subsystem: Subsystem) -> History | None:
    migrations, plugin = subsystem.parts.migrations, subsystem.plugin
    if migrations is None or plugin is None:
        return None
    return History(
        name=subsystem.name,
        owner=f"{plugin.distribution} {plugin.version}",
        maker=plugin.distribution,
        folder=migrations,
        version_table=f"{PLUGIN_TABLE}{subsystem.name}",
        metadata=subsystem.parts.metadata,
        broken=subsystem.broken,
    )


def require_migrated(database: Database, subsystems: Sequence[Subsystem]) -> None:
    """See that the database is at the revisions that this code works with, and has its tables and columns.

    Raises:
        CannotStart: it is not.
    """
    for subsystem in subsystems:
        if subsystem.history is not None:
            subsystem.history.require_migrated(database)


def require_ownership(database: Database, subsystems: Sequence[Subsystem]) -> None:
    """See that each row of the database goes with its organization or user, or is said not to.

    A table of a plugin that is not loaded is only warned of: nothing that the operator can install or
    switch off would change it.

    Raises:
        CannotStart: a foreign key does not say what becomes of its rows.
    """
    for key in ownership.undecided(ownership.tables_of(database.engine)):
        table, column, owner = key.parent.table.name, key.parent.name, key.column.table.name
        reason = f"has a reference {table}.{column} to {owner} that does not say what becomes of the row"
        for subsystem in subsystems:
            if subsystem.plugin is not None and (table == subsystem.name or table.startswith(f"{subsystem.name}_")):
                raise subsystem.broken(f'{reason}; its author gives it ondelete="CASCADE", or "SET NULL" to keep it')
        log.warning("a plugin that is not in use %s; its rows keep one of these from being removed", reason)


def _check_routes(app: flask.Flask, subsystem: Subsystem, before: Collection[str]) -> None:
    names = (subsystem.name, *subsystem.claims)
    operations = set()
    for route in app.url_map.iter_rules():
        if route.endpoint in before:
            continue
        view: Any = app.view_functions[route.endpoint]
        operation = getattr(view, "operation_id", None)
        if not address_is_within(route.rule, names):
            raise subsystem.broken(f"has the address {route.rule}; its addresses begin with /v1/orgs/<org>/{names[0]}")
        if operation is None or not _is_within(operation, names):
            raise subsystem.broken(f"has the operation {operation!r} at {route.rule}; its operations are {names[0]}.…")
        if operation in operations:
            raise subsystem.broken(f"has the operation {operation} twice; each has an id of its own")
        if view.who in OF_AN_ORGANIZATION and "org" not in route.arguments:
            raise subsystem.broken(f"wants a role in an organization for {operation}, and {route.rule} names none")
        view.namespace = subsystem.namespace_of(operation)
        operations.add(operation)


def _is_within(operation: str, names: Collection[str]) -> bool:
    """Whether an operation's id begins with one of these names, or with ``admin.`` and one of them."""
    first, *rest = operation.split(".")
    return first in names or (first == "admin" and rest[0] in names)


def _broken(plugin: PluginRecord, reason: str) -> CannotStart:
    name = plugin.distribution
    return CannotStart(
        f"the server half {plugin.name!r} of {name} {plugin.version} {reason}; fix or uninstall {name}, "
        f"or start without it: EDGE_DISABLE_PLUGINS={name}"
    )
