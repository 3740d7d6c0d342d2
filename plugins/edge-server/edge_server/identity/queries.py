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

_OPEN = and_(Organization.status != DELETING, Organization.active)

_HOLDER_COLUMNS: list[Any] = [
    User.id.label("user_id"),
    User.user_name,
    User.server_admin,
    Token.id.label("token_id"),
    Token.uid.label("token_uid"),
    Token.expires_at,
    Token.scopes,
    Token.replaces,
]
_ROLE_COLUMNS: list[Any] = [
    Membership.organization_id,
    Membership.developer,
    Membership.admin,
    Membership.signing_uid,
]
_PROFILE_COLUMNS: list[Any] = [
    User.user_name,
    User.first_name,
    User.last_name,
    User.email,
    User.server_admin,
    User.license_name,
    Token.uid.label("token_uid"),
    Token.scopes,
    Token.expires_at,
    Token.lifetime,
]
_ORGANIZATION_COLUMNS: list[Any] = [Organization.name, Organization.title, Membership.developer, Membership.admin]

# Built once, so that SQLAlchemy finds them compiled.
_HOLDER = (
    select(*_HOLDER_COLUMNS)
    .join(Token, Token.user_id == User.id)
    .where(Token.digest == bindparam("digest"), Token.removed_at.is_(None))
)
_HOLDER_IN = (
    _HOLDER.add_columns(*_ROLE_COLUMNS)
    .outerjoin(Organization, and_(Organization.name == bindparam("organization"), _OPEN))
    .outerjoin(Membership, and_(Membership.user_id == User.id, Membership.organization_id == Organization.id))
)
_PROFILE = select(*_PROFILE_COLUMNS).join(Token, Token.user_id == User.id).where(Token.uid == bindparam("token"))
_ORGANIZATIONS = (
    select(*_ORGANIZATION_COLUMNS)
    .join(Membership, Membership.organization_id == Organization.id)
    .where(Membership.user_id == bindparam("user"), _OPEN, Organization.name > bindparam("after"))
    .order_by(Organization.name)
    .limit(bindparam("limit"))
)
_ORGANIZATIONS_AMONG = _ORGANIZATIONS.where(Organization.name.in_(bindparam("names", expanding=True)))


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


def profile(connection: Connection, token_uid: str) -> Row[Any]:
    """What a user is told of themselves, and of the token of this uid."""
    return connection.execute(_PROFILE, {"token": token_uid}).one()


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
