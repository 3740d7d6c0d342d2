"""The subsystem of applications."""

from __future__ import annotations

from edge_server.applications import app_runs, catalogue, hub_logins, launch_routes, oauth_clients, oauth_routes, routes
from edge_server.applications.app_runs import AppRuns
from edge_server.applications.app_shares import AppShares
from edge_server.applications.hub_logins import HubLogins
from edge_server.applications.launching import Launches
from edge_server.applications.models import AppServer, OAuthClient
from edge_server.applications.running import RunningApps
from edge_server.identity.hub_identity import hub_of
from edge_server.web.context import OwnContext
from edge_server.web.parts import Parts


def server(context: OwnContext) -> Parts:
    """Applications of organizations: published by developers, approved by admins, seen by members."""
    passwords = context.sealed(AppServer.sealed, catalogue.server_place)
    secrets = context.sealed(OAuthClient.sealed, oauth_clients.place)
    launches = Launches(context, passwords)
    identity = hub_of(context.engines.identity)
    apps = RunningApps(identity)
    runs = shares = logins = None
    if identity is not None:
        shares = AppShares(context, identity, apps.ask)
        runs = AppRuns(context, identity.hub, launches, AppShares(context, identity, lambda ask: ask()))
        context.every(app_runs.INTERVAL, app_runs.TASK, runs.look, alone=True)
        identity.logins = logins = HubLogins(context, secrets, identity)
        context.every(hub_logins.INTERVAL, hub_logins.TASK, logins.look, alone=True)
        context.on_organization_removed(logins.organization_removed)
    return context.subsystem(
        routes.routes(context, passwords, logins),
        oauth_routes.routes(context, secrets, logins),
        launch_routes.plan_routes(context, launches),
        launch_routes.running_routes(context, launches, apps, shares, runs),
    )
