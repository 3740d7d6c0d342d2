"""The subsystem of applications."""

from __future__ import annotations

from edge_server.applications import catalogue, routes
from edge_server.applications.models import AppServer
from edge_server.web.context import OwnContext, Parts


def server(context: OwnContext) -> Parts:
    """Applications."""
    context.sealed(AppServer.sealed, catalogue.server_place)
    return context.subsystem(routes.routes)
