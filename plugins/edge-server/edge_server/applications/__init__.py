"""The subsystem of applications."""

from __future__ import annotations

from edge_server.applications import catalogue, launch_routes, routes
from edge_server.applications.launching import Launches
from edge_server.applications.models import AppServer
from edge_server.web.context import OwnContext
from edge_server.web.parts import Parts


def server(context: OwnContext) -> Parts:
    """Applications of organizations: published by developers, approved by admins, seen by members."""
    passwords = context.sealed(AppServer.sealed, catalogue.server_place)
    launches = Launches(context, passwords)
    return context.subsystem(routes.routes(context, passwords), launch_routes.plan_routes(context, launches))
