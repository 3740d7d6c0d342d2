"""The audit lines of what the operator does by commands on the server's machine."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

import sqlalchemy as sa

from edge_server.identity.audit_lines import AuditLine

OPERATOR = "(operator)"
"""The user of a line of what was done by a command on the server's machine."""

FIRST_START = "operator.first_start"
RENAME_USER = "operator.users.rename"
RENAME_ORGANIZATION = "operator.organizations.rename"
CREATE_TOKEN = "operator.tokens.create"  # noqa: S105
PURGE = "operator.content.purge"
ROTATE_KEYS = "operator.keys.rotate"
MOVE = "operator.server.move"

ACTIONS = frozenset({FIRST_START, RENAME_USER, RENAME_ORGANIZATION, CREATE_TOKEN, PURGE, ROTATE_KEYS, MOVE})
"""The actions of the operator, which are no operations of the API."""


def note(
    connection: sa.Connection, action: str, about: Mapping[str, str], organizations: Iterable[tuple[int, str]] = ()
) -> None:
    """Write the lines of what the operator does by a command: the server's, and those of organizations.

    The database may be an older server's; one that has no audit yet gets no line.

    Args:
        connection: of the transaction that makes the change.
        action: one of `ACTIONS`.
        about: to which thing, never its content.
        organizations: id and short name of those whose admins are to read it.
    """
    if not sa.inspect(connection).has_table(AuditLine.__tablename__):
        return
    places: list[tuple[int | None, str | None]] = [(None, None), *organizations]
    common = {"user_name": OPERATOR, "action": action, "about": json.dumps(dict(about)), "request_id": ""}
    lines = [{**common, "organization_id": number, "organization_name": name} for number, name in places]
    connection.execute(sa.insert(AuditLine), lines)
