"""The subsystem of connectors. The server keeps their definitions and connects nowhere."""

from __future__ import annotations

from edge_server.sources import routes
from edge_server.sources.connectors import Connectors
from edge_server.web.context import Context
from edge_server.web.parts import Parts


def server(context: Context) -> Parts:
    """Connectors of organizations: kept by developers, read by members."""
    return context.subsystem(routes.routes(context, Connectors(context)))
