"""The subsystem of applications."""

from __future__ import annotations

from edge_server.applications import catalogue, routes
from edge_server.applications.models import AppServer
from edge_server.web.context import Context
from edge_server.web.parts import Parts


def server(context: Context) -> Parts:
    """Applications of organizations: published by developers, approved by admins, seen by members."""
    passwords = context.sealed(AppServer.sealed, catalogue.server_place)
    return context.subsystem(routes.routes(context, passwords))
