"""The WSGI application."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

import flask

from edge_server.accounts import admin_routes, member_routes, token_routes, whoami_routes
from edge_server.accounts.removal import Removals
from edge_server.applications import routes as applications_routes
from edge_server.base import audit, clock, configuration, problems
from edge_server.billing import closing, metering, prices
from edge_server.billing import routes as billing_routes
from edge_server.compute import instance_types, machines
from edge_server.compute import routes as compute_routes
from edge_server.data import database
from edge_server.data.store import Store
from edge_server.files import housekeeping, signed_routes, upload_routes
from edge_server.files import routes as files_routes
from edge_server.identity import token_use
from edge_server.keys import sealing
from edge_server.keys.signing import Signer, read_key
from edge_server.run import server_routes
from edge_server.search import routes as search_routes
from edge_server.secrets import routes as secrets_routes
from edge_server.sources import routes as sources_routes
from edge_server.web import bodies, engines, idempotency, permissions, subsystems
from edge_server.web.description import describe
from edge_server.web.routes import refuse_unreadable_query


def create_app(data: Path, added: Sequence[subsystems.Subsystem] | None = None) -> flask.Flask:
    """The application on the data folder `data`.

    Args:
        data: the data folder.
        added: what plugins add; None for all that are installed.

    Raises:
        NotMigrated: the database is not at the revision this code works with.
        MissingRule: a route has no rule in the permission table.
        BadPrices: the price file cannot be used.
        BrokenSubsystem: what a plugin adds cannot be used.
        BadInstanceTypes: the catalogue of instance types cannot be used.
    """
    added = subsystems.installed() if added is None else added
    price_file = prices.PriceFile(data / prices.FILE_NAME)
    price_file.read()
    catalogue = instance_types.InstanceTypeFile(data / instance_types.FILE_NAME)
    catalogue.read()
    opened = database.Database(data / database.FILE_NAME)
    # A child process opens connections of its own: SQLite's do not survive a fork.
    with contextlib.closing(opened):
        opened.require_migrated()
        for subsystem in added:
            subsystem.require_migrated(opened)
    audit_log = audit.AuditLog(data / "logs" / audit.FILE_NAME)
    return build(
        engines.Services(
            opened,
            Store(data),
            Signer(read_key(data)),
            sealing.at(data),
            audit_log,
            configuration.read(data),
            prices=price_file,
            instance_types=catalogue,
            compute=machines.CatalogueBackend(catalogue),
        ),
        added,
    )


def build(parts: engines.Services, added: Sequence[subsystems.Subsystem] = ()) -> flask.Flask:
    """The application made of `parts`, with what plugins add."""
    app = flask.Flask("edge_server", static_folder=None)
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False
    # A trailing slash more is another address, and so is a doubled one: nothing is redirected.
    app.url_map.merge_slashes = False
    engines.install(app, parts)
    api = describe(app)
    for group in (
        server_routes,
        whoami_routes,
        token_routes,
        admin_routes,
        member_routes,
        files_routes,
        upload_routes,
        signed_routes,
        search_routes,
        secrets_routes,
        sources_routes,
        applications_routes,
        compute_routes,
        billing_routes,
    ):
        api.register_blueprint(group.routes)
    rules = subsystems.register(app, api, added)
    server_routes.install(app, [subsystem.name for subsystem in added])
    problems.install(app)
    app.after_request(bodies.drain)
    app.before_request(refuse_unreadable_query)
    permissions.install(app, rules)
    idempotency.install(app)
    parts.database.before_commit = idempotency.before_commit
    metering.install(app, parts.database)
    _plan(parts)
    return app


def _plan(parts: engines.Services) -> None:
    """Say what the server does in the background, once it is started."""
    removals = Removals(parts.database, parts.store, lambda: parts.background.stopping)
    parts.background.every(5, admin_routes.REMOVAL, removals.run)

    def write_use() -> None:
        seen = parts.token_use.take()
        if seen:
            with parts.database.write() as session:
                token_use.write_down(session, seen)

    parts.background.every(token_use.INTERVAL, "last use of tokens", write_use, at_end=True)
    parts.background.every(machines.INTERVAL, machines.TASK, lambda: machines.make_ready(parts.database, parts.compute))
    even = closing.EvenClock()

    def close_months() -> None:
        if even.runs_evenly():
            closing.close_ended(parts.database, parts.prices, clock.now())

    parts.background.every(closing.INTERVAL, "closing of months", close_months)
    parts.background.every(
        housekeeping.INTERVAL, "housekeeping", lambda: housekeeping.tidy(parts.database, parts.store)
    )
