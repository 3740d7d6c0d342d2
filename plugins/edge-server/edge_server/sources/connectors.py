"""Connectors as they are kept: by name or uid, their credentials sealed."""

from __future__ import annotations

import json
from typing import Any

import sqlalchemy.exc
from sqlalchemy import select
from sqlalchemy.orm import Session, joinedload

from edge_server.base import clock
from edge_server.base.problems import Refusal, already_exists, bad_entry, not_found
from edge_server.data.declarative import new_uid
from edge_server.identity.models import Organization
from edge_server.keys.sealing import Place, Prepared
from edge_server.sources.models import Connector
from edge_server.web.context import Context
from edge_sources import wire
from edge_sources.wire import ConnectorDefinition


def place(row: Connector) -> Place:
    """Where a connector's credentials are sealed to: the same for as long as the row is there."""
    return Place(organization=row.organization.uid, owner="connectors", name=row.uid)


class Connectors:
    """The connectors of all organizations.

    Args:
        context: what they work with.
    """

    def __init__(self, context: Context) -> None:
        self._sealed = context.sealed(Connector.sealed, place)
        self._names = context.names("connector")

    def get(self, session: Session, organization_id: int, connector: str) -> Connector:
        """The connector of that name or uid.

        Raises:
            Refusal: it cannot be found.
        """
        row = None
        if wire.is_uid(connector):
            row = _find(session, organization_id, Connector.uid == connector.lower())
        elif wire.is_name(connector):
            row = _find(session, organization_id, Connector.name == connector)
        if row is None:
            raise not_found(f"there is no connector {connector!r}; list the connectors to see their names")
        return row

    def definition(self, row: Connector) -> ConnectorDefinition:
        """All of a connector, with its credentials; never in a transaction that writes.

        Raises:
            Unsealable: its credentials cannot be opened.
            KeeperAway: the keeper of the key cannot be used just now.
        """
        return ConnectorDefinition(
            name=row.name,
            title=row.title,
            kind=row.kind,
            definition=json.loads(row.definition),
            secret=json.loads(self._sealed.open(row)),
        )

    def begin(self, session: Session, organization_id: int) -> Connector:
        """A connector that is not there yet, in a transaction that reads: what is prepared for it is for its uid."""
        return Connector(organization=session.get_one(Organization, organization_id), uid=new_uid())

    def prepare(self, row: Connector, definition: ConnectorDefinition) -> Prepared:
        """Seal the credentials that a connector is to have; never in a transaction that writes.

        Raises:
            Refusal: the definition is not valid.
            KeeperAway: the keeper of the key cannot be used just now.
        """
        plain, secret = _encoded(definition.definition), _encoded(definition.secret)
        if len(plain) + len(secret) > wire.MAX_BYTES:
            raise bad_entry(f"definition: with its credentials it has more than {wire.MAX_BYTES} bytes; shorten it")
        return self._sealed.prepare(row, secret.encode())

    def create(
        self, session: Session, organization_id: int, uid: str, definition: ConnectorDefinition, prepared: Prepared
    ) -> Connector:
        """Add a connector.

        Args:
            session: a transaction that writes.
            organization_id: whose it is.
            uid: its uid.
            definition: what it is.
            prepared: the credentials of it, for that uid.

        Raises:
            Refusal: its name is taken.
        """
        _refuse_taken(session, organization_id, definition.name, None)
        now = clock.now()
        row = Connector(organization_id=organization_id, uid=uid, kind=definition.kind, created_at=now, modified_at=now)
        self._fill(row, definition, prepared)
        session.add(row)
        _flush(session, definition.name)
        self._names.add(session, organization_id, row.uid, row.name)
        return row

    def replace(self, session: Session, row: Connector, definition: ConnectorDefinition, prepared: Prepared) -> None:
        """Give a connector another definition, of which the credentials were prepared.

        Raises:
            Refusal: its new name is taken.
        """
        renamed = definition.name != row.name
        if renamed:
            _refuse_taken(session, row.organization_id, definition.name, row)
        self._fill(row, definition, prepared)
        row.modified_at = clock.now()
        _flush(session, definition.name)
        if renamed:
            self._names.rename(session, row.uid, row.name)

    def remove(self, session: Session, row: Connector) -> None:
        """Remove a connector."""
        self._names.remove(session, [row.uid])
        session.delete(row)

    def _fill(self, row: Connector, definition: ConnectorDefinition, prepared: Prepared) -> None:
        row.name, row.title, row.definition = definition.name, definition.title, _encoded(definition.definition)
        self._sealed.keep(row, prepared)


def _encoded(content: dict[str, Any]) -> str:
    try:
        return json.dumps(content, allow_nan=False)
    except ValueError:
        raise bad_entry("definition: it holds a number that JSON cannot express; give another") from None


def _refuse_taken(session: Session, organization_id: int, name: str, but: Connector | None) -> None:
    if not wire.is_name(name):
        raise bad_entry("name: it has the form of a uid; choose another")
    if _find(session, organization_id, Connector.name == name) not in (None, but):
        raise _taken(name)


def _find(session: Session, organization_id: int, condition: Any) -> Connector | None:
    rows = select(Connector).where(Connector.organization_id == organization_id, condition)
    return session.scalar(rows.options(joinedload(Connector.organization)))


def _flush(session: Session, name: str) -> None:
    try:
        session.flush()
    except sqlalchemy.exc.IntegrityError:
        # Where writers do not wait for one another, the other one is seen only here.
        raise _taken(name) from None


def _taken(name: str) -> Refusal:
    return already_exists(f"there is a connector {name!r} already; choose another name, or update that one")
