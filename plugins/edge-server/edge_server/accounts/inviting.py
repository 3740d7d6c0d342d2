"""Making an invitation: by name, whether or not anybody has it, so that nobody learns who is on the server."""

from __future__ import annotations

import datetime as dt
from typing import Protocol

from sqlalchemy import delete, func, or_
from sqlalchemy.orm import Session

from edge_server.base import clock
from edge_server.identity import directory, token_values
from edge_server.identity.models import Invitation, Organization, User
from edge_server.identity.token_scopes import UNLIMITED
from edge_server.web import permissions

LIFETIME = dt.timedelta(days=7)


class Request(Protocol):
    """What asks for an invitation."""

    user_name: str
    roles: list[str]


def invite(session: Session, organization: Organization, request: Request, code: str) -> Invitation:
    """Add an invitation, which voids an open one of the same name.

    Args:
        session: a writing transaction.
        organization: to what.
        request: whom, and to which roles; the `email` of a new user, if it has one.
        code: what accepts it; who has the name now also finds the invitation in their own list.
    """
    now = clock.now()
    user = directory.find_user(session, request.user_name)
    _sweep(session, request.user_name, organization)
    invitation = Invitation(
        organization=organization,
        user_name=request.user_name,
        user_uid=None if user is None else user.uid,
        email=getattr(request, "email", None),
        admin="admin" in request.roles,
        developer="developer" in request.roles,
        digest=token_values.digest(code),
        created_at=now,
        creator=session.get_one(User, permissions.caller().id),
        limited=permissions.caller().scopes != UNLIMITED,
        expires_at=now + LIFETIME,
    )
    session.add(invitation)
    session.flush()
    return invitation


def audited(row: Invitation) -> dict[str, str]:
    """What an audit line tells of an invitation."""
    roles = ", ".join(role for role in directory.ROLES if getattr(row, role))
    return {"invitation": row.uid, "user_name": row.user_name, "roles": roles}


def _sweep(session: Session, user_name: str, organization: Organization) -> None:
    """Void the open invitations of a user, and forget those that expired long ago."""
    # Names that are invited are ASCII.
    same = (func.lower(Invitation.user_name) == user_name.lower()) & Invitation.accepted_at.is_(None)
    old = Invitation.expires_at < clock.now() - directory.SHOWN_FOR
    session.execute(
        delete(Invitation).where(Invitation.organization_id == organization.id, or_(same, old)),
        execution_options={"synchronize_session": False},
    )
