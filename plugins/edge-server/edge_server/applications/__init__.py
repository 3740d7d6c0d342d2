"""The subsystem of applications."""

from __future__ import annotations

from edge_server.applications import app_runs, catalogue, launch_routes, routes
from edge_server.applications.app_runs import AppRuns
from edge_server.applications.app_shares import AppShares
from edge_server.applications.launching import Launches
from edge_server.applications.models import AppServer
from edge_server.applications.running import RunningApps
from edge_server.identity.hub_identity import hub_of
from edge_server.web.context import OwnContext
from edge_server.web.parts import Parts


def server(context: OwnContext) -> Parts:
    """Applications of organizations: published by developers, approved by admins, seen by members."""
    passwords = context.sealed(AppServer.sealed, catalogue.server_place)
    launches = Launches(context, passwords)
    identity = hub_of(context.engines.identity)
    apps = RunningApps(identity)
    runs = shares = None
    if identity is not None:
        shares = AppShares(context, identity, apps.ask)
        runs = AppRuns(context, identity.hub, launches, AppShares(context, identity, lambda ask: ask()))
        context.every(app_runs.INTERVAL, app_runs.TASK, runs.look, alone=True)
    return context.subsystem(
        routes.routes(context, passwords),
        launch_routes.plan_routes(context, launches),
        launch_routes.running_routes(context, launches, apps, shares, runs),
    )
