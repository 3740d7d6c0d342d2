"""Who asks, and what they are in an organization: what every request looks up.

Each function takes a connection in a transaction and gives rows of the columns that are needed. Loading objects of
the mapped classes would take several times as long, and nothing here changes any.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import Connection, Row, and_, bindparam, select

from edge_server.identity.directory import DELETING
from edge_server.identity.models import Membership, Organization, Token, User

# By the tables and not by the classes, whose columns SQLAlchemy takes longer to know again.
_user, _token, _membership, _organization = (mapped.__table__.c for mapped in (User, Token, Membership, Organization))

_OPEN = and_(_organization.status != DELETING, _organization.active)

_HOLDER_COLUMNS: list[Any] = [
    _user.id.label("user_id"),
    _user.user_name,
    _user.server_admin,
    _user.first_name,
    _user.last_name,
    _user.email,
    _user.license_name,
    _token.id.label("token_id"),
    _token.uid.label("token_uid"),
    _token.expires_at,
    _token.scopes,
    _token.lifetime,
    _token.replaces,
    _token.hub_id,
]
_ROLE_COLUMNS: list[Any] = [
    _membership.organization_id,
    _membership.developer,
    _membership.admin,
    _membership.signing_uid,
]
_ORGANIZATION_COLUMNS: list[Any] = [_organization.name, _organization.title, _membership.developer, _membership.admin]

# Built once, so that SQLAlchemy finds them compiled.
_HOLDER = (
    select(*_HOLDER_COLUMNS)
    .join(Token.__table__, _token.user_id == _user.id)
    .where(_token.digest == bindparam("digest"), _token.removed_at.is_(None))
)
_HOLDER_IN = (
    _HOLDER.add_columns(*_ROLE_COLUMNS)
    .outerjoin(Organization.__table__, and_(_organization.name == bindparam("organization"), _OPEN))
    .outerjoin(
        Membership.__table__, and_(_membership.user_id == _user.id, _membership.organization_id == _organization.id)
    )
)
_ORGANIZATIONS = (
    select(*_ORGANIZATION_COLUMNS)
    .join(Membership.__table__, _membership.organization_id == _organization.id)
    .where(_membership.user_id == bindparam("user"), _OPEN, _organization.name > bindparam("after"))
    .order_by(_organization.name)
    .limit(bindparam("limit"))
)
_ORGANIZATIONS_AMONG = _ORGANIZATIONS.where(_organization.name.in_(bindparam("names", expanding=True)))


def holder(connection: Connection, digest: str) -> Row[Any] | None:
    """The token of a digest and its user, be it expired; None if there is none, or it was removed."""
    return connection.execute(_HOLDER, {"digest": digest}).first()


def holder_in(connection: Connection, digest: str, organization: str) -> Row[Any] | None:
    """The token of a digest and its user as by `holder`, with what the user is in an organization.

    Args:
        connection: in a transaction.
        digest: of the token.
        organization: short name; its columns are None where none of that name is open, or the user is not in it.
    """
    return connection.execute(_HOLDER_IN, {"digest": digest, "organization": organization}).first()


def organizations(
    connection: Connection, user_id: int, names: Collection[str] | None, *, after: str = "", limit: int
) -> Sequence[Row[Any]]:
    """The open organizations that a user is in, with their roles, in the order of their short names.

    Args:
        connection: in a transaction.
        user_id: of the user.
        names: short names of those that a token is limited to; None for all.
        after: the name before the first.
        limit: how many at most.
    """
    values = {"user": user_id, "after": after, "limit": limit}
    if names is None:
        return connection.execute(_ORGANIZATIONS, values).all()
    return connection.execute(_ORGANIZATIONS_AMONG, {**values, "names": list(names)}).all()
