"""The audit lines of what no request does: the operator by commands on the server's machine, and a JupyterHub."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

import sqlalchemy as sa

from edge_server.identity.audit_lines import AuditLine

OPERATOR = "(operator)"
"""The user of a line of what was done by a command on the server's machine."""

HUB = "(hub)"
"""The user of a line of what follows from the users and groups of the JupyterHub."""

FIRST_START = "operator.first_start"
RENAME_USER = "operator.users.rename"
RENAME_ORGANIZATION = "operator.organizations.rename"
CREATE_TOKEN = "operator.tokens.create"  # noqa: S105
PURGE = "operator.content.purge"
ROTATE_KEYS = "operator.keys.rotate"
MOVE = "operator.server.move"

ACTIONS = frozenset({FIRST_START, RENAME_USER, RENAME_ORGANIZATION, CREATE_TOKEN, PURGE, ROTATE_KEYS, MOVE})
"""The actions of the operator, which are no operations of the API."""

HUB_ADD_USER = "hub.users.add"
HUB_JOIN_USER = "hub.users.join"
HUB_SET_USER_ASIDE = "hub.users.set_aside"
HUB_UPDATE_USER = "hub.users.update"
HUB_ADD_ORGANIZATION = "hub.organizations.add"
HUB_JOIN_ORGANIZATION = "hub.organizations.join"
HUB_ADD_MEMBER = "hub.members.add"
HUB_UPDATE_MEMBER = "hub.members.update"
HUB_REMOVE_MEMBER = "hub.members.remove"

HUB_ACTIONS = frozenset(
    {
        HUB_ADD_USER,
        HUB_JOIN_USER,
        HUB_SET_USER_ASIDE,
        HUB_UPDATE_USER,
        HUB_ADD_ORGANIZATION,
        HUB_JOIN_ORGANIZATION,
        HUB_ADD_MEMBER,
        HUB_UPDATE_MEMBER,
        HUB_REMOVE_MEMBER,
    }
)
"""What follows from a JupyterHub's users and groups."""


def note(
    connection: sa.Connection,
    action: str,
    about: Mapping[str, str],
    organizations: Iterable[tuple[int, str]] = (),
    *,
    by: str = OPERATOR,
) -> None:
    """Write the lines of what the operator does by a command, or follows from a hub: the server's, and organizations'.

    The database may be an older server's; one that has no audit yet gets no line.

    Args:
        connection: of the transaction that makes the change.
        action: one of `ACTIONS`, or of `HUB_ACTIONS`.
        about: to which thing, never its content.
        organizations: id and short name of those whose admins are to read it.
        by: the user of the lines.
    """
    if not sa.inspect(connection).has_table(AuditLine.__tablename__):
        return
    places: list[tuple[int | None, str | None]] = [(None, None), *organizations]
    common = {"user_name": by, "action": action, "about": json.dumps(dict(about)), "request_id": ""}
    lines = [{**common, "organization_id": number, "organization_name": name} for number, name in places]
    connection.execute(sa.insert(AuditLine), lines)
