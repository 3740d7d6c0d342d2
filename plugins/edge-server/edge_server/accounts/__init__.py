"""The subsystem of users, organizations, members, invitations and tokens."""

from __future__ import annotations

from edge_server.accounts import admin_routes, member_routes, token_routes, whoami_routes
from edge_server.accounts.removal import Removals
from edge_server.data.database import SERVER
from edge_server.identity import token_use
from edge_server.web.context import OwnContext, Parts


def server(context: OwnContext) -> Parts:
    """Accounts."""
    engines = context.engines
    removals = Removals(engines.database, engines.store, lambda: context.stopping)
    context.every(5, admin_routes.REMOVAL, removals.run, alone=True)

    def write_use() -> None:
        seen = engines.token_use.take()
        if seen:
            with context.write(SERVER) as session:
                token_use.write_down(session, seen)

    context.every(token_use.INTERVAL, "last use of tokens", write_use, at_end=True)
    return context.subsystem(whoami_routes.routes, token_routes.routes, admin_routes.routes, member_routes.routes)
