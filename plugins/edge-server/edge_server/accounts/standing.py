"""What users have open in organizations, and how it ends: the addresses they have signed, and their uploads."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.orm import Session

from edge_server.data.declarative import new_uid
from edge_server.identity.models import Membership
from edge_server.web import lifecycle
from edge_server.web.lifecycle import Lifecycle


def end(session: Session, events: Lifecycle, membership: Membership) -> None:
    """End what a member has open, before they leave.

    Args:
        session: a writing transaction.
        events: what subsystems do then.
        membership: whose, and where.
    """
    lifecycle.tell(events.member_left, session, membership.organization_id, membership.user_id)


def revoke(session: Session, events: Lifecycle, membership: Membership) -> None:
    """End what a member has open who stays."""
    # No change that an admin who edits the member's roles would have to look at.
    session.execute(
        sa.update(Membership).where(Membership.id == membership.id).values(signing_uid=new_uid()),
        execution_options={"synchronize_session": False},
    )
    end(session, events, membership)


def end_all(session: Session, events: Lifecycle, user_id: int) -> None:
    """End what a user has open in all organizations, before they go."""
    for membership in _of(session, user_id):
        end(session, events, membership)


def revoke_all(session: Session, events: Lifecycle, user_id: int) -> None:
    """End what a user has open in all organizations, who stays."""
    for membership in _of(session, user_id):
        revoke(session, events, membership)


def _of(session: Session, user_id: int) -> list[Membership]:
    return list(session.scalars(sa.select(Membership).where(Membership.user_id == user_id)))
