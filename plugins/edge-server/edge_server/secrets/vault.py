"""Secrets as they are kept: whose they are, how they are sealed, and which of two writers comes first."""

from __future__ import annotations

import json
from typing import Any

import sqlalchemy as sa
import sqlalchemy.exc
from sqlalchemy import select
from sqlalchemy.orm import Session, joinedload

from edge_core.errors import BadEntry
from edge_secrets import wire
from edge_server.base import clock
from edge_server.base.problems import Refusal, already_exists, bad_entry, not_found
from edge_server.identity.models import Organization, User
from edge_server.keys.sealed_column import SealedColumn
from edge_server.keys.sealing import Place, Prepared
from edge_server.secrets.models import Secret


def place(row: Secret) -> Place:
    """Where a secret's content is sealed to: the same for as long as the row is there."""
    owner = "secrets/organization" if row.user is None else f"secrets/user/{row.user.uid}"
    return Place(organization=row.organization.uid, owner=owner, name=row.name)


class Vault:
    """The secrets of all organizations and of their users.

    Args:
        sealed: the column of their content.
    """

    def __init__(self, sealed: SealedColumn) -> None:
        self._sealed = sealed

    def all_of(self, organization_id: int, user_id: int | None) -> sa.Select[Any]:
        """What selects all secrets of an owner.

        Args:
            organization_id: whose, or in which organization.
            user_id: the user whose they are; None for the organization's own.
        """
        # `== None` is how SQLAlchemy writes IS NULL.
        return select(Secret).where(Secret.organization_id == organization_id, Secret.user_id == user_id)

    def get(self, session: Session, organization_id: int, user_id: int | None, name: str) -> Secret:
        """The secret of that name.

        Raises:
            Refusal: it cannot be found.
        """
        # What cannot be a name is none, and not every database can be asked for it.
        row = self._find(session, organization_id, user_id, name) if wire.is_name(name) else None
        if row is None:
            raise not_found(f"there is no secret {name!r}; list the secrets to see their names")
        return row

    def content(self, row: Secret) -> dict[str, Any]:
        """What a secret holds; never in a transaction that writes.

        Raises:
            Unsealable: it cannot be opened.
            KeeperAway: the keeper of the key cannot be used just now.
        """
        opened: dict[str, Any] = json.loads(self._sealed.open(row))
        return opened

    def prepare(
        self, session: Session, organization_id: int, user_id: int | None, name: str, value: dict[str, Any]
    ) -> Prepared:
        """Seal what a secret of that name is to hold, in a transaction that reads.

        Raises:
            Refusal: it cannot be one.
            KeeperAway: the keeper of the key cannot be used just now.
        """
        encoded = _encoded(value)
        organization = session.get_one(Organization, organization_id)
        user = None if user_id is None else session.get_one(User, user_id)
        return self._sealed.prepare(Secret(organization=organization, user=user, name=name), encoded)

    def create(
        self, session: Session, organization_id: int, user_id: int | None, name: str, prepared: Prepared
    ) -> Secret:
        """Add a secret.

        Raises:
            Refusal: there is one of that name.
        """
        if self._find(session, organization_id, user_id, name) is not None:
            raise _taken(name)
        row = Secret(organization_id=organization_id, user_id=user_id, name=name)
        self._sealed.keep(row, prepared)
        session.add(row)
        try:
            session.flush()
        except sqlalchemy.exc.IntegrityError:
            # Where writers do not wait for one another, the other one is seen only here.
            raise _taken(name) from None
        return row

    def replace(self, session: Session, row: Secret, prepared: Prepared) -> None:
        """Give a secret other content."""
        self._sealed.keep(row, prepared)
        row.modified_at = clock.now()
        session.flush()

    def holds(self, row: Secret, value: dict[str, Any]) -> bool:
        """Whether a secret holds exactly this; never in a transaction that writes.

        Raises:
            KeeperAway: the keeper of the key cannot be used just now.
        """
        return self._sealed.holds(row, _encoded(value))

    def _find(self, session: Session, organization_id: int, user_id: int | None, name: str) -> Secret | None:
        rows = self.all_of(organization_id, user_id).where(Secret.name == name)
        row: Secret | None = session.scalar(rows.options(joinedload(Secret.organization), joinedload(Secret.user)))
        return row


def _taken(name: str) -> Refusal:
    return already_exists(f"there is a secret {name!r} already; choose another name, or update that one")


def _encoded(value: dict[str, Any]) -> bytes:
    try:
        return wire.encode(value)
    except BadEntry as error:
        raise bad_entry(str(error)) from None
