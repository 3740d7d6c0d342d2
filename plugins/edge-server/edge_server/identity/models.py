"""The tables of users, organizations, memberships, tokens and invitations."""

from __future__ import annotations

import datetime as dt

import sqlalchemy as sa
from sqlalchemy import JSON, ForeignKey, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship, validates
from sqlalchemy.types import BigInteger

from edge_server.base import clock
from edge_server.data.declarative import Base, Revised, RowId, new_uid
from edge_server.identity import name_keys


class Organization(Revised, Base):
    """A group of users with data of their own.

    What goes with it is said by `ondelete` on the foreign keys that refer to it; see `data.ownership`.
    """

    __tablename__ = "organizations"

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    uid: Mapped[str] = mapped_column(String(36), unique=True, default=new_uid)
    name: Mapped[str] = mapped_column(String(100), unique=True)
    name_key: Mapped[str | None] = mapped_column(String(name_keys.LENGTH), index=True, unique=True)
    title: Mapped[str] = mapped_column(String(200))
    status: Mapped[str] = mapped_column(String(20), default="active")
    disable_launch: Mapped[bool] = mapped_column(default=False)
    shutdown_apps: Mapped[bool] = mapped_column(default=False)
    active: Mapped[bool] = mapped_column(default=True)
    created_at: Mapped[dt.datetime] = mapped_column(default=clock.now)
    # Bytes of the newest versions of its files: all it may have, where that is not the server's
    # default, and all it has.
    quota_bytes: Mapped[int | None] = mapped_column(BigInteger)
    used_bytes: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    # Bytes of content that is stored and that no newest version has: what was replaced or deleted.
    deleted_bytes: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    # Bytes of the newest versions in deleted folders that are being cleared away, which count as used no more.
    released_bytes: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    # Whether the groups of a JupyterHub say who is in it.
    hub: Mapped[bool] = mapped_column(default=False, server_default=sa.false())

    @validates("name")
    def _key(self, _: str, name: str) -> str:
        self.name_key = name_keys.name_key(name)
        return name


class User(Revised, Base):
    """A person or machine that tokens belong to.

    What says who made something refers to this row for ever (``ondelete="RESTRICT"``), so removing a
    user empties it, and removes the rows that go with it (``ondelete="CASCADE"``).
    """

    __tablename__ = "users"

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    uid: Mapped[str] = mapped_column(String(36), unique=True, default=new_uid)
    user_name: Mapped[str] = mapped_column(String(100), unique=True)
    name_key: Mapped[str | None] = mapped_column(String(name_keys.LENGTH), index=True, unique=True)
    first_name: Mapped[str | None] = mapped_column(String(200))
    last_name: Mapped[str | None] = mapped_column(String(200))
    email: Mapped[str | None] = mapped_column(String(320))
    server_admin: Mapped[bool] = mapped_column(default=False)
    license_name: Mapped[str | None] = mapped_column(String(100))
    home_organization_id: Mapped[int | None] = mapped_column(
        ForeignKey("organizations.id", ondelete="SET NULL"), index=True
    )
    created_at: Mapped[dt.datetime] = mapped_column(default=clock.now)
    activated_at: Mapped[dt.datetime | None]
    removed_at: Mapped[dt.datetime | None]
    # Idempotency keys that their requests have, as `web.idempotency_keys` counts them.
    key_count: Mapped[int] = mapped_column(default=0, server_default="0")
    # When the user was created at the JupyterHub, in UTC: who is created anew there under the name is somebody else.
    hub_created: Mapped[str | None] = mapped_column(String(40))

    home: Mapped[Organization | None] = relationship()

    @validates("user_name")
    def _key(self, _: str, name: str) -> str:
        self.name_key = name_keys.name_key(name)
        return name


class Membership(Revised, Base):
    """That a user belongs to an organization, and in which roles."""

    __tablename__ = "memberships"
    __table_args__ = (
        UniqueConstraint("user_id", "organization_id"),
        Index("uq_memberships_signing_uid", "signing_uid", unique=True),
    )

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    uid: Mapped[str] = mapped_column(String(36), default=new_uid)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    organization_id: Mapped[int] = mapped_column(ForeignKey("organizations.id", ondelete="CASCADE"), index=True)
    developer: Mapped[bool] = mapped_column(default=False)
    admin: Mapped[bool] = mapped_column(default=False)
    # What the addresses name that the user has signed in the organization: with another one they all end.
    signing_uid: Mapped[str] = mapped_column(String(36), default=new_uid, server_default="")

    organization: Mapped[Organization] = relationship()
    user: Mapped[User] = relationship()


class Token(Base):
    """What is kept of an API token: enough to know it again, not enough to use it."""

    __tablename__ = "tokens"

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    uid: Mapped[str] = mapped_column(String(36), unique=True, default=new_uid)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    note: Mapped[str | None] = mapped_column(String(200))
    prefix: Mapped[str] = mapped_column(String(20))
    digest: Mapped[str] = mapped_column(String(64), unique=True)
    created_at: Mapped[dt.datetime] = mapped_column(default=clock.now)
    expires_at: Mapped[dt.datetime | None]
    removed_at: Mapped[dt.datetime | None]
    last_used_at: Mapped[dt.datetime | None]
    # What it is limited to, in words; null if it is not.
    scopes: Mapped[list[str] | None] = mapped_column(JSON(none_as_null=True))
    # The limited token that it was made with, and goes with.
    parent: Mapped[str | None] = mapped_column(String(36), index=True)
    # Seconds that it is good for, of one that can be renewed; and the one it was renewed from, until its first use.
    lifetime: Mapped[int | None]
    replaces: Mapped[str | None] = mapped_column(String(36), index=True, unique=True)
    # Of a token of a JupyterHub, its id there.
    hub_id: Mapped[str | None] = mapped_column(String(40))

    user: Mapped[User] = relationship()


class Invitation(Base):
    """What is kept of an invitation: its code is known by its digest, as a token is.

    An accepted one stays, so that whoever sends the same request again can be given its answer: it
    holds the key of that request and the token that was made.
    """

    __tablename__ = "invitations"

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    uid: Mapped[str] = mapped_column(String(36), unique=True, default=new_uid)
    organization_id: Mapped[int] = mapped_column(ForeignKey("organizations.id", ondelete="CASCADE"), index=True)
    user_name: Mapped[str] = mapped_column(String(100))
    # Who had that name when the invitation was made. A user who comes later under it has not been invited.
    user_uid: Mapped[str | None] = mapped_column(String(36), index=True)
    email: Mapped[str | None] = mapped_column(String(320))
    developer: Mapped[bool] = mapped_column(default=False)
    admin: Mapped[bool] = mapped_column(default=False)
    digest: Mapped[str] = mapped_column(String(64), unique=True)
    created_at: Mapped[dt.datetime] = mapped_column(default=clock.now)
    created_by: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="RESTRICT"))
    expires_at: Mapped[dt.datetime]
    accepted_at: Mapped[dt.datetime | None]
    accepted_key: Mapped[str | None] = mapped_column(String(64))
    token_uid: Mapped[str | None] = mapped_column(String(36))
    # Whether a limited token made it, which has none of a server admin's power.
    limited: Mapped[bool] = mapped_column(default=False, server_default=sa.false())

    organization: Mapped[Organization] = relationship()
    creator: Mapped[User] = relationship()
