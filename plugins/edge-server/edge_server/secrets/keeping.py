"""Secrets: whose they are, how they are sealed, and which of two writers comes first."""

from __future__ import annotations

import json
from typing import Any

import sqlalchemy.exc
from sqlalchemy import select
from sqlalchemy.orm import Session, joinedload

from edge_core.errors import BadEntry
from edge_secrets import wire
from edge_server.base import clock
from edge_server.base.problems import Refusal, already_exists, bad_entry, not_found
from edge_server.identity.models import Organization, User
from edge_server.keys.sealing import Place, Sealer, Unsealable
from edge_server.secrets.models import Secret


def place(row: Secret) -> Place:
    """Where a secret's content is sealed to: the same for as long as the row is there."""
    owner = "secrets/organization" if row.user is None else f"secrets/user/{row.user.uid}"
    return Place(organization=row.organization.uid, owner=owner, name=row.name)


def find_all(session: Session, organization_id: int, user_id: int | None, *, after: str, limit: int) -> list[Secret]:
    """Up to `limit` secrets whose names come after `after`.

    Args:
        session: a transaction.
        organization_id: whose, or in which organization.
        user_id: the user whose they are; None for the organization's own.
        after: a name, or nothing to begin with the first.
        limit: most secrets wanted.
    """
    found = select(Secret).where(*_owned(organization_id, user_id), Secret.name > after)
    return list(session.scalars(found.order_by(Secret.name).limit(limit)))


def get(session: Session, organization_id: int, user_id: int | None, name: str) -> Secret:
    """The secret of that name.

    Raises:
        Refusal: there is none.
    """
    # What cannot be a name is none, and not every database can be asked for it.
    row = _find(session, organization_id, user_id, name) if wire.is_name(name) else None
    if row is None:
        raise not_found(f"there is no secret {name!r}; list the secrets to see their names")
    return row


def content(sealer: Sealer, row: Secret) -> dict[str, Any]:
    """What a secret holds.

    Raises:
        Unsealable: it cannot be opened.
    """
    opened: dict[str, Any] = json.loads(sealer.open(row.sealed, **place(row)))
    return opened


def create(
    session: Session, sealer: Sealer, organization_id: int, user_id: int | None, name: str, value: dict[str, Any]
) -> Secret:
    """Add a secret.

    Raises:
        Refusal: there is one of that name, or it cannot be one.
    """
    encoded = _encoded(value)
    if _find(session, organization_id, user_id, name) is not None:
        raise _taken(name)
    organization = session.get_one(Organization, organization_id)
    user = None if user_id is None else session.get_one(User, user_id)
    row = Secret(organization=organization, user=user, name=name)
    row.sealed = sealer.seal(encoded, **place(row))
    session.add(row)
    try:
        session.flush()
    except sqlalchemy.exc.IntegrityError:
        # Where writers do not wait for one another, the other one is seen only here.
        raise _taken(name) from None
    return row


def replace(session: Session, sealer: Sealer, row: Secret, value: dict[str, Any]) -> None:
    """Give a secret other content.

    Raises:
        Refusal: it cannot be one.
    """
    row.sealed = sealer.seal(_encoded(value), **place(row))
    row.modified_at = clock.now()
    session.flush()


def holds(sealer: Sealer, row: Secret, value: dict[str, Any]) -> bool:
    """Whether a secret holds exactly this."""
    try:
        return sealer.open(row.sealed, **place(row)) == _encoded(value)
    except Unsealable:
        return False


def _owned(organization_id: int, user_id: int | None) -> tuple[Any, ...]:
    # `== None` is how SQLAlchemy writes IS NULL.
    return Secret.organization_id == organization_id, Secret.user_id == user_id


def _find(session: Session, organization_id: int, user_id: int | None, name: str) -> Secret | None:
    wanted = select(Secret).where(*_owned(organization_id, user_id), Secret.name == name)
    return session.scalar(wanted.options(joinedload(Secret.organization), joinedload(Secret.user)))


def _taken(name: str) -> Refusal:
    return already_exists(f"there is a secret {name!r} already; choose another name, or update that one")


def _encoded(value: dict[str, Any]) -> bytes:
    try:
        return wire.encode(value)
    except BadEntry as error:
        raise bad_entry(str(error)) from None
