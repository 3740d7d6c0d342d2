"""Connectors: how they are found and sealed. The server keeps their definitions and connects nowhere."""

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
from edge_server.keys.sealing import Place, Sealer, Unsealable
from edge_server.search import index
from edge_server.sources.models import Connector
from edge_sources import wire
from edge_sources.wire import ConnectorDefinition

KIND = "connector"
"""What search calls one."""


def place(row: Connector) -> Place:
    """Where a connector's credentials are sealed to: the same for as long as the row is there."""
    return Place(organization=row.organization.uid, owner="connectors", name=row.uid)


def find_all(session: Session, organization_id: int, *, after: str, limit: int) -> list[Connector]:
    """Up to `limit` connectors whose names come after `after`."""
    found = select(Connector).where(Connector.organization_id == organization_id, Connector.name > after)
    return list(session.scalars(found.order_by(Connector.name).limit(limit)))


def get(session: Session, organization_id: int, connector: str) -> Connector:
    """The connector of that name or uid.

    Raises:
        Refusal: there is none.
    """
    row = None
    if wire.is_uid(connector):
        row = _find(session, organization_id, Connector.uid == connector.lower())
    elif wire.is_name(connector):
        row = _find(session, organization_id, Connector.name == connector)
    if row is None:
        raise not_found(f"there is no connector {connector!r}; list the connectors to see their names")
    return row


def definition(sealer: Sealer, row: Connector) -> ConnectorDefinition:
    """All of a connector.

    Raises:
        Unsealable: its credentials cannot be opened.
    """
    secret: dict[str, Any] = json.loads(sealer.open(row.sealed, **place(row)))
    return ConnectorDefinition(
        name=row.name, title=row.title, kind=row.kind, definition=json.loads(row.definition), secret=secret
    )


def create(session: Session, sealer: Sealer, organization_id: int, wanted: ConnectorDefinition) -> Connector:
    """Add a connector.

    Raises:
        Refusal: there is one of that name, or it cannot be one.
    """
    _refuse_taken(session, organization_id, wanted.name, None)
    now = clock.now()
    row = Connector(
        organization=session.get_one(Organization, organization_id),
        uid=new_uid(),
        kind=wanted.kind,
        created_at=now,
        modified_at=now,
    )
    _fill(row, sealer, wanted)
    session.add(row)
    _flush(session, wanted.name)
    index.add(session, organization_id, KIND, row.uid, row.name)
    return row


def replace(session: Session, sealer: Sealer, row: Connector, wanted: ConnectorDefinition) -> None:
    """Make a connector what is wanted.

    Raises:
        Refusal: its new name is taken, or it cannot be one.
    """
    renamed = wanted.name != row.name
    if renamed:
        _refuse_taken(session, row.organization_id, wanted.name, row)
    _fill(row, sealer, wanted)
    row.modified_at = clock.now()
    _flush(session, wanted.name)
    if renamed:
        index.rename(session, row.uid, row.name)


def remove(session: Session, row: Connector) -> None:
    """Remove a connector."""
    index.remove(session, [row.uid])
    session.delete(row)


def holds(sealer: Sealer, row: Connector, wanted: ConnectorDefinition) -> bool:
    """Whether a connector is exactly this."""
    try:
        return definition(sealer, row).to_dict() == wanted.to_dict()
    except Unsealable:
        return False


def _fill(row: Connector, sealer: Sealer, wanted: ConnectorDefinition) -> None:
    plain, secret = _encoded(wanted.definition), _encoded(wanted.secret)
    if len(plain) + len(secret) > wire.MAX_BYTES:
        raise bad_entry(f"definition: with its credentials it has more than {wire.MAX_BYTES} bytes; shorten it")
    row.name, row.title, row.definition = wanted.name, wanted.title, plain
    row.sealed = sealer.seal(secret.encode(), **place(row))


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
    wanted = select(Connector).where(Connector.organization_id == organization_id, condition)
    return session.scalar(wanted.options(joinedload(Connector.organization)))


def _flush(session: Session, name: str) -> None:
    try:
        session.flush()
    except sqlalchemy.exc.IntegrityError:
        # Where writers do not wait for one another, the other one is seen only here.
        raise _taken(name) from None


def _taken(name: str) -> Refusal:
    return already_exists(f"there is a connector {name!r} already; choose another name, or update that one")
