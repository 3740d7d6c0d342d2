"""The subsystem of secrets."""

from __future__ import annotations

from edge_server.secrets import routes
from edge_server.secrets.models import Secret
from edge_server.secrets.vault import Vault, place
from edge_server.web.context import Context
from edge_server.web.parts import Parts


def server(context: Context) -> Parts:
    """Secrets of users, and of organizations for all of their members."""
    return context.subsystem(routes.routes(context, Vault(context.sealed(Secret.sealed, place))))
