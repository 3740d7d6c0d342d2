"""Whose signed addresses are: each names the token, membership and rule that it was signed with, and ends with them.

This is looked up each time an address is used, in the database and never in memory, so that all
processes of a server refuse it from the same moment on.
"""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import bindparam, or_, select

from edge_server.base import clock
from edge_server.base.problems import Refusal
from edge_server.identity.directory import DELETING
from edge_server.identity.models import Membership, Organization, Token
from edge_server.web import permissions, snapshot
from edge_server.web.permissions import OF_AN_ORGANIZATION, Rule

PARAMETER = "signer"
"""The parameter of signed addresses; one that nobody's request has signed has none."""

_IN_USE = (
    Token.uid == bindparam("token"),
    Token.removed_at.is_(None),
    or_(Token.expires_at.is_(None), Token.expires_at > bindparam("now")),
)

# Asked each time an address is used, so built once.
_TOKEN = select(Token.id).where(*_IN_USE)
_MEMBERSHIP = (
    select(Membership.developer, Membership.admin)
    .join(Token, Token.user_id == Membership.user_id)
    .join(Organization, Organization.id == Membership.organization_id)
    .where(
        Membership.signing_uid == bindparam("membership"),
        *_IN_USE,
        Organization.status != DELETING,
        Organization.active,
    )
)


def parameter() -> dict[str, str]:
    """The parameter that names who signs an address in the request at hand; nothing if nobody does."""
    caller = permissions.caller_at_hand()
    if caller is None:
        return {}
    member, rule = permissions.member_at_hand(), permissions.rule_at_hand()
    if member is None or member.signing_uid is None or rule not in OF_AN_ORGANIZATION:
        return {PARAMETER: caller.token_uid}
    return {PARAMETER: f"{caller.token_uid}.{member.signing_uid}.{rule}"}


def require_standing(query: Mapping[str, str]) -> None:
    """See that who signed an address could sign it now.

    Args:
        query: its parameters, whose signature is good.

    Raises:
        Refusal: they could not.
    """
    if PARAMETER not in query:
        return
    token, *role = query[PARAMETER].split(".")
    values: dict[str, object] = {"token": token, "now": clock.now()}
    connection = snapshot.connection()
    if not role:
        stands = connection.scalar(_TOKEN, values) is not None
    else:
        values["membership"], rule = role
        row = connection.execute(_MEMBERSHIP, values).first()
        stands = row is not None and permissions.allows(Rule(rule), row.developer, row.admin)
    if not stands:
        raise Refusal(
            403,
            "expired",
            "this address has ended, as its signer left the organization or removed the token, or an admin ended it; "
            "ask for a new one",
        )
