"""Users, organizations, memberships and tokens: what the server itself makes and looks up."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Collection, Sequence
from typing import Any, Protocol

from sqlalchemy import Select, delete, or_, select, update
from sqlalchemy.orm import Session, contains_eager

from edge_server.base import clock
from edge_server.identity import token_scopes, token_values
from edge_server.identity.models import Membership, Organization, Token, User
from edge_server.identity.name_keys import name_key
from edge_server.identity.token_scopes import UNLIMITED, Scopes

ROLES = ("admin", "developer")

DELETING = "deleting"
"""The status of an organization that is closed and whose data is being removed."""

SHOWN_FOR = dt.timedelta(days=30)
"""How long a token shows in its owner's list after it has expired."""


class Roles(Protocol):
    """A membership, or a row with its roles."""

    admin: Any
    developer: Any


def create_user(session: Session, user_name: str, *, server_admin: bool = False) -> User:
    """Add a user, who belongs to no organization yet."""
    user = User(user_name=user_name, server_admin=server_admin)
    session.add(user)
    session.flush()
    return user


def create_organization(
    session: Session,
    added: Sequence[Callable[[Session, int], object]],
    name: str,
    title: str | None = None,
    *,
    row_id: int | None = None,
) -> Organization:
    """Add an organization.

    Args:
        session: a writing transaction.
        added: what the subsystems do in it with a new organization's id.
        name: short name, as in addresses.
        title: name for display; the short name if there is none.
        row_id: its number (`new_row_id`); None for the next one, while nobody removes any. SQLite would give that of a
            removed organization again, to which a request may still be writing.
    """
    organization = Organization(id=row_id, name=name, title=title or name)
    session.add(organization)
    session.flush()
    for run in added:
        run(session, organization.id)
    return organization


def add_member(session: Session, user: User, organization: Organization, roles: Collection[str] = ()) -> None:
    """Make `user` a member of `organization`.

    Args:
        session: a writing transaction.
        user: the new member.
        organization: where.
        roles: "admin", "developer", both or neither.

    Raises:
        ValueError: a role is not one of these.
    """
    unknown = set(roles) - set(ROLES)
    if unknown:
        raise ValueError(f"there is no role {sorted(unknown)[0]!r}; the roles are {', '.join(ROLES)}")
    membership = Membership(
        user_id=user.id,
        organization_id=organization.id,
        admin="admin" in roles,
        developer="developer" in roles,
    )
    session.add(membership)
    session.flush()


def create_token(
    session: Session, user: User, *, note: str | None = None, expires_in: dt.timedelta | None = None
) -> str:
    """Add an API token and return its value, which is not kept and cannot be shown again.

    Args:
        session: a writing transaction.
        user: whom it acts for.
        note: what it is for.
        expires_in: how long it is good for; forever by default.
    """
    return add_token(session, user, note=note, expires_in=expires_in)[1]


def add_token(
    session: Session,
    user: User,
    *,
    note: str | None = None,
    expires_in: dt.timedelta | None = None,
    not_after: dt.datetime | None = None,
    scopes: Scopes = UNLIMITED,
    parent: str | None = None,
    renewable: bool = False,
) -> tuple[Token, str]:
    """Add an API token, and return its row and its value.

    Args:
        session: a writing transaction.
        user: whom it acts for.
        note: what it is for.
        expires_in: how long it is good for; forever by default.
        not_after: when it ends at the latest.
        scopes: what it is limited to.
        parent: uid of the limited token that it goes with.
        renewable: whether it can be renewed for as long again.
    """
    created_at = clock.now()
    # Each new one pays for the old ones.
    forgotten = or_(Token.expires_at <= created_at - SHOWN_FOR, Token.removed_at <= created_at - SHOWN_FOR)
    session.execute(
        delete(Token).where(Token.user_id == user.id, forgotten), execution_options={"synchronize_session": False}
    )
    user.activated_at = user.activated_at or created_at
    own_end = None if expires_in is None else created_at + expires_in
    value = token_values.new_token()
    token = Token(
        user_id=user.id,
        note=note,
        prefix=token_values.public_prefix(value),
        digest=token_values.digest(value),
        created_at=created_at,
        expires_at=min((end for end in (own_end, not_after) if end is not None), default=None),
        scopes=scopes.texts(),
        parent=parent,
        lifetime=int(expires_in.total_seconds()) if renewable and expires_in is not None else None,
    )
    session.add(token)
    session.flush()
    return token, value


def replace_value(session: Session, token: Token) -> str:
    """Give a token another value, which is returned; the one before is void."""
    value = token_values.new_token()
    token.prefix, token.digest = token_values.public_prefix(value), token_values.digest(value)
    session.flush()
    return value


def renew_token(session: Session, token: Token) -> tuple[Token, str]:
    """Add the token that takes the place of another once it is used, and return its row and its value.

    Until then both are good, so that whoever fails to keep the new one still has the old one. It is limited as the
    old one is. A token that can be renewed gets as long again as it had; any other ends when it would have.
    Renewed again before that, it gets another successor, and the one before is void.
    """
    session.execute(delete(Token).where(Token.replaces == token.uid))
    lifetime = None if token.lifetime is None else dt.timedelta(seconds=token.lifetime)
    successor, value = add_token(
        session,
        token.user,
        note=token.note,
        expires_in=lifetime,
        not_after=token.expires_at if lifetime is None else None,
        scopes=UNLIMITED if token.scopes is None else token_scopes.parse(token.scopes),
        parent=token.parent,
        renewable=lifetime is not None,
    )
    successor.replaces = token.uid
    session.flush()
    return successor, value


def finish_renewal(session: Session, successor: str) -> None:
    """Void the token that another one, which is used for the first time, was renewed from."""
    token = session.scalar(select(Token).where(Token.uid == successor, Token.replaces.is_not(None)))
    if token is not None:
        session.execute(update(Token).where(Token.uid == token.replaces).values(removed_at=clock.now()))
        session.execute(update(Token).where(Token.parent == token.replaces).values(parent=token.uid))
        token.replaces = None


def remove_token(session: Session, token: Token) -> None:
    """Void a token with the unused one that it was renewed to, and if it is limited those that were made with it."""
    token.removed_at = clock.now()
    session.flush()
    heirs = or_(Token.parent == token.uid, Token.replaces == token.uid)
    for heir in session.scalars(select(Token).where(heirs, Token.removed_at.is_(None))).all():
        remove_token(session, heir)


def prune_tokens(session: Session, user: User, note: str) -> None:
    """Delete the expired tokens of `user` that carry `note`."""
    expired = Token.expires_at <= clock.now()
    session.execute(delete(Token).where(Token.user_id == user.id, Token.note == note, expired))


def find_user(session: Session, user_name: str) -> User | None:
    """The user of that name, in upper or lower case."""
    return session.scalar(select(User).where(User.name_key == name_key(user_name), User.removed_at.is_(None)))


def find_organization(session: Session, name: str) -> Organization | None:
    """The organization of that short name, which is part of addresses and so taken letter for letter."""
    return session.scalar(select(Organization).where(Organization.name == name))


def namesake(session: Session, name: str) -> Organization | None:
    """The organization whose short name differs from this one by case alone, or not at all."""
    return session.scalar(select(Organization).where(Organization.name_key == name_key(name)))


def select_memberships(user_id: int, scopes: Scopes = UNLIMITED) -> Select[Any]:
    """What selects all that a user is a member of, each with its organization.

    Args:
        user_id: of the user.
        scopes: of a token, which may be limited to some of these organizations.
    """
    rows = (
        select(Membership)
        .join(Membership.organization)
        .options(contains_eager(Membership.organization))
        .where(Membership.user_id == user_id, Organization.status != DELETING, Organization.active)
    )
    return rows if scopes.organizations is None else rows.where(Organization.name.in_(scopes.organizations))


def memberships(session: Session, user_id: int) -> list[tuple[Membership, Organization]]:
    """All that a user is a member of, by the organizations' names."""
    rows = session.scalars(select_memberships(user_id).order_by(Organization.name))
    return [(membership, membership.organization) for membership in rows]


def roles_of(membership: Roles) -> list[str]:
    """The roles a member has."""
    return [role for role in ROLES if getattr(membership, role)]


def is_open(session: Session, organization_id: int) -> bool:
    """Whether an organization is there, and not being removed."""
    row = select(Organization.id).where(Organization.id == organization_id, Organization.status != DELETING)
    return session.scalar(row) is not None


def has_admin(session: Session, organization_id: int, *, besides: User | None = None) -> bool:
    """Whether an organization has an admin; one who has never had a token has not taken it over yet.

    Args:
        session: a transaction; a writing one for `SERVER`, if it is to stay true.
        organization_id: which.
        besides: an admin who does not count.
    """
    admin = (
        select(Membership.id)
        .join(Membership.user)
        .where(Membership.organization_id == organization_id, Membership.admin, User.activated_at.is_not(None))
    )
    if besides is not None:
        admin = admin.where(User.id != besides.id)
    return session.scalar(admin.limit(1)) is not None


def is_last_admin(session: Session, membership: Membership) -> bool:
    """Whether nobody would look after an organization without this member."""
    user = membership.user
    if not membership.admin or user.activated_at is None:
        return False
    return not has_admin(session, membership.organization_id, besides=user)


def server_admins(session: Session) -> list[User]:
    """Who runs the server, the first one first; in a writing transaction nobody else can be among them."""
    admins = select(User).where(User.server_admin, User.removed_at.is_(None)).order_by(User.id).with_for_update()
    return list(session.scalars(admins))


def is_last_server_admin(session: Session, user: User) -> bool:
    """Whether nobody would run the server without `user`; in a writing transaction, so that it stays true."""
    return [admin.id for admin in server_admins(session)] == [user.id]
