"""The subsystem of search by name."""

from __future__ import annotations

from edge_server.search import routes
from edge_server.web.context import OwnContext
from edge_server.web.parts import Parts


def server(context: OwnContext) -> Parts:
    """One address, at which members find what the names of any subsystem lead to."""
    return context.subsystem(routes.routes(context))
