"""The subsystem of secrets."""

from __future__ import annotations

from edge_server.secrets import keeping, routes
from edge_server.secrets.models import Secret
from edge_server.web.context import OwnContext, Parts


def server(context: OwnContext) -> Parts:
    """Secrets."""
    context.sealed(Secret.sealed, keeping.place)
    return context.subsystem(routes.routes)
