"""The WSGI application: the engines a server runs on, and the subsystems it is made of."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import flask
from werkzeug.routing import MapAdapter

from edge_server import accounts, applications, billing, compute, files, search, secrets, sources
from edge_server.base import audit, clock, configuration, problems
from edge_server.base.background import Background, Task
from edge_server.base.configuration import Configuration
from edge_server.data import database
from edge_server.data.database import Database
from edge_server.data.declarative import Base
from edge_server.data.migration import own_history
from edge_server.files import storage
from edge_server.identity import kinds
from edge_server.identity.token_use import TokenUse
from edge_server.keys import folder, keepers
from edge_server.keys.signing import Signer, read_key
from edge_server.run import logs, server_routes, server_settings
from edge_server.search import index
from edge_server.web import (
    bodies,
    counting,
    engines,
    idempotency,
    leases,
    permissions,
    receipts,
    snapshot,
    subsystems,
    transfers,
    url_prefix,
    work,
)
from edge_server.web.client_address import ProxySettings, TrustedProxies
from edge_server.web.description import describe
from edge_server.web.engines import Engines, Threads
from edge_server.web.leases import Leases
from edge_server.web.lifecycle import Lifecycle
from edge_server.web.machines import Machines
from edge_server.web.rates import Rates, RateSettings
from edge_server.web.routes import refuse_unreadable_query
from edge_server.web.space import Space
from edge_server.web.subsystems import Own, Subsystem

OWN = (
    Own(
        "accounts", accounts.server, ("admin", "audit", "invitations", "members", "quota", "tokens", "users", "whoami")
    ),
    Own("files", files.server, ("content", "parts", "signed")),
    Own("search", search.server),
    Own("secrets", secrets.server),
    Own("sources", sources.server),
    Own("applications", applications.server, ("oauth-clients", "launch-plans", "running-apps")),
    Own("compute", compute.server, ("placeholders", "placeholder-states")),
    Own("billing", billing.server),
)
"""The server's own subsystems."""

CHECKPOINTS = 10.0
"""Seconds between two looks at the size of the database's write-ahead log."""


FOLLOWED = 10.0
"""Seconds between two looks at the clock of a database that several hosts share."""

WARNED = dt.timedelta(seconds=2)
"""How far this host's clock may be from it without a line in the log."""


class _App(flask.Flask):
    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """The function itself. Views and hooks are plain functions; Flask would look at each in every request."""
        return func

    def create_url_adapter(self, request: flask.Request | None) -> MapAdapter | None:
        """What finds the view of a request by its path and method; Flask would also look at the host, for nothing."""
        return None if request is None else self.url_map.bind("", path_info=request.path, default_method=request.method)


def engines_at(
    data: Path,
    signer: Signer | None = None,
    settings: Configuration | None = None,
    *,
    threads: int = database.THREADS,
    **others: Any,
) -> Engines:
    """The engines of a server with the data folder `data`; nothing is made or read yet but the settings and the key.

    Args:
        data: the data folder.
        signer: signs its addresses; by default with the server's key, which is made if it is missing.
        settings: the operator's; by default those of the file in the data folder alone.
        threads: threads that answer requests.
        others: engines in place of those of the folder, by their names.

    Raises:
        CannotStart: the operator's settings cannot be used.
    """
    if settings is None:
        settings = Configuration(data / configuration.FILE_NAME)
    # What is wrong there is said before anything is made.
    server_settings.url_prefix_of(settings)
    logs.section_of(settings)
    keys = folder.folder_of(settings, data)
    answering = Threads(threads)
    opened: Database = others.get("database") or database.of_server(settings, data, threads)
    own = Engines(
        folder=data,
        database=opened,
        store=storage.store_of(settings, data),
        signer=Signer(read_key(keys)) if signer is None else signer,
        sealer=keepers.keepers_of(settings, keys),
        identity=kinds.identity_of(settings, lambda: answering.count),
        audit=audit.AuditLog(data / "logs" / audit.FILE_NAME),
        configuration=settings,
        names=index,
        kinds={},
        stored=[],
        token_use=TokenUse(),
        background=Background(opened.alone),
        leases=Leases(opened),
        lifecycle=Lifecycle(),
        threads=answering,
        rates=Rates(settings.section("limits", RateSettings())),
        proxies=TrustedProxies(settings.section("network", ProxySettings())["trusted_proxies"]),
        space=Space(),
        machines=Machines(),
    )
    return dataclasses.replace(own, **others)


def load(engines: Engines, *, plugins: bool = True) -> list[Subsystem]:
    """The subsystems of a server, to be called once with its engines.

    Args:
        engines: what they work with.
        plugins: whether to load the server halves of plugins.

    Raises:
        CannotStart: one of them cannot be used.
    """
    if engines.database.is_shared:
        engines.background.add(Task("clock", FOLLOWED, lambda: _follow(engines.database)))
    engines.background.add(Task("claims", leases.RENEWING, engines.leases.renew))
    engines.background.add(Task("checkpoint", CHECKPOINTS, engines.database.checkpoint))
    return subsystems.load(engines, OWN, plugins=plugins)


def _follow(opened: Database) -> None:
    ahead = clock.follow(opened.now)
    if abs(ahead) > WARNED:
        sentence = "this host's clock is %+.1f seconds off that of the database, which counts; set it right"
        problems.log.warning(sentence, ahead.total_seconds())


def require_migrated(engines: Engines, loaded: Sequence[Subsystem]) -> None:
    """See that the database is where this code needs it.

    Raises:
        CannotStart: it is not.
    """
    # A child process opens connections of its own: SQLite's do not survive a fork.
    with contextlib.closing(engines.database):
        own_history(Base.metadata).require_migrated(engines.database)
        subsystems.require_migrated(engines.database, loaded)


def build(
    parts: Engines,
    loaded: Sequence[Subsystem] | None = None,
    *,
    prefix: str | None = None,
    observer: counting.Observer | None = None,
) -> flask.Flask:
    """The application on the engines `parts`.

    Args:
        parts: the engines.
        loaded: the subsystems that work with them; None for the server's own.
        prefix: the path that all addresses begin with; None for what the operator has set.
        observer: hears of each request.

    Raises:
        CannotStart: a subsystem cannot be used.
    """
    loaded = load(parts, plugins=False) if loaded is None else loaded
    app = _App("edge_server", static_folder=None)
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False
    # A trailing slash more is another address, and so is a doubled one: nothing is redirected.
    app.url_map.merge_slashes = False
    engines.install(app, parts)
    prefix = server_settings.url_prefix_of(parts.configuration) if prefix is None else prefix
    url_prefix.install(app, prefix)
    api = describe(app)
    api.register_blueprint(server_routes.routes(parts, sorted(name for each in loaded for name in each.offers)))
    subsystems.register(app, api, loaded)
    problems.install(app)  # after `describe`, to answer in place of flask-smorest
    transfers.install(app, transfers.Transfers())
    app.after_request(bodies.drain)
    work.install(app)
    snapshot.install(app, parts.database)
    app.before_request(refuse_unreadable_query)
    permissions.install(app)
    idempotency.install(app)
    receipts.install(app)
    parts.database.before_write = _before_write
    parts.database.before_commit = idempotency.before_commit
    counting.install(app, [counter for each in loaded for counter in each.parts.counters], observer)
    return app


def _before_write() -> None:
    snapshot.end()
    idempotency.before_write()
