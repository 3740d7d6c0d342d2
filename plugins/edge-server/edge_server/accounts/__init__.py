"""The subsystem of users, organizations, members, invitations and tokens."""

from __future__ import annotations

import datetime as dt

import marshmallow

from edge_server.accounts import (
    audit_routes,
    departures,
    hub_members,
    invitation_routes,
    member_routes,
    organization_routes,
    removal,
    token_routes,
    user_routes,
    whoami_routes,
)
from edge_server.accounts.departures import Departures
from edge_server.accounts.hub_members import HubMembers
from edge_server.accounts.hub_tokens import HubTokens
from edge_server.accounts.removal import Removals
from edge_server.identity import token_use
from edge_server.identity.hub_identity import hub_of
from edge_server.web.context import OwnContext
from edge_server.web.parts import Parts


class AuditSettings(marshmallow.Schema):
    """What the operator can set under [audit]."""

    keep_days = marshmallow.fields.Integer(
        load_default=365, strict=True, validate=marshmallow.validate.Range(1, 3650, error="write 1 to 3650 days")
    )


def server(context: OwnContext) -> Parts:
    """Accounts: who there is, what they belong to, what goes with them, and who changed what."""
    removals, leaving = Removals(context), Departures(context)
    context.every(removal.INTERVAL, removal.TASK, removals.run, alone=True)
    context.every(departures.INTERVAL, departures.TASK, leaving.run, alone=True)
    kept = dt.timedelta(days=context.settings(AuditSettings(), "audit")["keep_days"])
    context.every(audit_routes.INTERVAL, "audit", lambda: audit_routes.forget(context, kept), alone=True)

    def write_use() -> None:
        seen = context.engines.token_use.take()
        if seen:
            with context.write(context.SERVER) as session:
                token_use.write_down(session, seen)

    context.every(token_use.INTERVAL, "last use of tokens", write_use, at_end=True)

    hub = hub_of(context.engines.identity)
    if hub is not None:
        follower = HubMembers(context, hub)
        hub.admit, hub.dismiss = follower.admit, follower.dismiss
        context.every(hub_members.INTERVAL, "groups of the hub", follower.follow, alone=True)
        context.every(hub_members.TOKEN_INTERVAL, "tokens of the hub", follower.follow_tokens, alone=True)

    admin = context.routes("/v1/admin", group="admin")
    organization_routes.add(admin, context)
    user_routes.add(admin, context, leaving)
    members = context.routes("/v1", group="members")
    member_routes.add(members, context)
    invitation_routes.add(members, context)
    audit = context.routes("/v1", group="audit")
    audit_routes.add(audit, context)
    quota = organization_routes.own_quota_routes(context)
    tokens = token_routes.routes(context, None if hub is None else HubTokens(context, hub))
    return context.subsystem(whoami_routes.routes(context), tokens, admin, members, audit, quota)
