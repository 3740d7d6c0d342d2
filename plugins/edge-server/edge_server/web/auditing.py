"""Audit lines: of changes in the transaction that makes them, and of every request that matters in the audit log.

What admins read is the lines of changes (`audit_lines`), each of which is there exactly if its change
is. The log (`base.audit`) also has who read which secret, which changes nothing; a line of it may tell
of a change that failed in the end. What the operator does by commands on the server's machine is in
the lines alone: a log that another account of the machine makes could keep the server from writing it.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence

import flask
from sqlalchemy import Connection, insert

from edge_server.base import at_hand
from edge_server.base.audit import AuditLog
from edge_server.base.problems import request_id
from edge_server.identity.audit_lines import AuditLine
from edge_server.identity.models import Organization
from edge_server.web import permissions

ANYONE = "(anyone)"
"""The user of a line whose request came without a token."""


@contextlib.contextmanager
def within(connection: Connection) -> Iterator[None]:
    """Make lines that are noted during the block part of a transaction that writes."""
    if not flask.has_request_context():
        yield
        return
    kept = at_hand.kept()
    outer = kept.get("audited_in")
    kept.audited_in = connection
    try:
        yield
    finally:
        kept.audited_in = outer


def note(log: AuditLog, about: Mapping[str, str], places: Sequence[Organization | None] | None = None) -> None:
    """Write a line of what is done in the request at hand.

    Args:
        log: the audit log.
        about: to which thing, never its content.
        places: the organizations whose admins are to read it, and None for server admins. By default the
            organization of the request, or the server where its address names none; and both of what a
            server admin does in an organization.

    Raises:
        OSError: it cannot be written, so what it tells of must not happen.
    """
    caller, member, action = permissions.caller_at_hand(), permissions.member_at_hand(), permissions.operation_at_hand()
    user = ANYONE if caller is None else caller.user_name
    own = (flask.request.view_args or {}).get("org")
    scopes: list[tuple[int | None, str | None]]
    if places is not None:
        scopes = [(None, None) if place is None else (place.id, place.name) for place in places]
    elif member is None:
        scopes = [(None, None)]
    else:
        scopes = [(member.organization_id, own), *([(None, own)] if member.appointing else [])]
    log.note(user, action, own if places is None else next((name for _, name in scopes if name), None), about)
    connection: Connection | None = flask.g.get("audited_in")
    if connection is None:
        return
    common = {
        "user_id": None if caller is None else caller.id,
        "user_name": user,
        "token_uid": None if caller is None else caller.token_uid,
        "action": action,
        "about": json.dumps(dict(about)),
        "request_id": request_id(),
    }
    lines = [{**common, "organization_id": number, "organization_name": name} for number, name in scopes]
    connection.execute(insert(AuditLine), lines)
