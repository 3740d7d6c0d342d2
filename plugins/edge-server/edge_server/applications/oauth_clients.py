"""Applications as OAuth clients: what one must be, and where its secret is sealed to."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import select
from sqlalchemy.orm import Session

from edge_applications.names import is_web_address
from edge_server.applications.models import Application, OAuthClient
from edge_server.base.problems import bad_entry, not_found
from edge_server.identity import hub_clients
from edge_server.keys.sealing import Place

_ADDRESS = re.compile(
    r"https?://(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(:[0-9]*)?([/?]([a-z0-9._~:/?@!$&'()+,;=-]|%[0-9a-f]{2})*)?", re.IGNORECASE
)
"""By RFC 3986, which the hub takes to the letter when somebody logs in."""

LONGEST_REDIRECT = 1000
"""Characters of a redirect URI; a hub on PostgreSQL takes 1023."""


def get(session: Session, application: Application) -> OAuthClient:
    """An application's OAuth client.

    Raises:
        Refusal: it is not registered.
    """
    row = session.scalar(select(OAuthClient).where(OAuthClient.application_id == application.id))
    if row is None:
        raise not_found(f"{application.app_id} is not registered as an OAuth client; register it first")
    return row


def new_client_id(session: Session, application: Application) -> str:
    """A client id that no other application has.

    It is made of two names that may have hyphens: those of `a-b` and `c` and of `a` and `b-c` would be the same.
    The second one gets something of its own, behind a sign that no name has: nobody can take the id of another away.
    """
    name = f"{hub_clients.PREFIX}{application.organization.name}-{application.app_id}"
    client_id = hub_clients.client_id(name)
    if session.scalar(select(OAuthClient.id).where(OAuthClient.client_id == client_id)) is None:
        return client_id
    return f"{client_id}~{application.uid[:8]}"


def check_redirect_uri(address: str) -> None:
    """See that a login can send a user there (RFC 6749, section 3.1.2), and nowhere else.

    Raises:
        Refusal: it cannot.
    """
    if not is_web_address(address) or "#" in address:
        raise bad_entry(
            "redirect_uri: it is no absolute address without a fragment; write it as in https://viewer.example.com/oauth"
        )
    if "*" in address:
        raise bad_entry(
            "redirect_uri: it has a *, and addresses are compared letter by letter; write the one address that a login "
            "sends users back to"
        )
    if not _ADDRESS.fullmatch(address):
        raise bad_entry(
            "redirect_uri: it has characters that an address has only encoded; write them as in "
            "https://viewer.example.com/a%20b, and a host of other letters than a to z as xn--..."
        )
    if len(address) > LONGEST_REDIRECT:
        raise bad_entry(f"redirect_uri: it has more than {LONGEST_REDIRECT} characters; choose a shorter one")


def ids_of(session: Session, applications: sa.Select[Any] | Sequence[int]) -> list[str]:
    """The client ids that applications have.

    Args:
        session: a transaction.
        applications: their ids, or what selects these.
    """
    return list(session.scalars(select(OAuthClient.client_id).where(OAuthClient.application_id.in_(applications))))


def place(row: OAuthClient) -> Place:
    """Where a secret is sealed to: the same for as long as the row is there."""
    application = row.application
    return Place(
        organization=application.organization.uid,
        owner=f"applications/{application.uid}/oauth-client",
        name=row.client_id,
    )
