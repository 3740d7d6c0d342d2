"""The tables of applications, their versions, registry credentials and OAuth clients."""

from __future__ import annotations

import datetime as dt
from typing import Any

from sqlalchemy import JSON, ForeignKey, LargeBinary, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from edge_server.base import clock
from edge_server.data.declarative import Base, ByteOrdered, Revised, RowId, new_uid
from edge_server.identity.models import Organization


class Application(Revised, Base):
    """What an organization publishes under one id, in versions."""

    __tablename__ = "applications"
    __table_args__ = (UniqueConstraint("organization_id", "app_id"),)

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    uid: Mapped[str] = mapped_column(String(36), unique=True, default=new_uid)
    organization_id: Mapped[int] = mapped_column(ForeignKey("organizations.id", ondelete="CASCADE"))
    app_id: Mapped[str] = mapped_column(ByteOrdered)
    visible_auto_add: Mapped[bool]
    visible_versions: Mapped[list[str]] = mapped_column(JSON)
    idle_minutes: Mapped[int | None]
    status: Mapped[str] = mapped_column(String(20))
    max_resources: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    max_global_resources: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    created_at: Mapped[dt.datetime] = mapped_column(default=clock.now)

    organization: Mapped[Organization] = relationship()


class AppVersion(Revised, Base):
    """One version of an application."""

    __tablename__ = "app_versions"
    __table_args__ = (UniqueConstraint("application_id", "version"),)

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    uid: Mapped[str] = mapped_column(String(36), unique=True, default=new_uid)
    application_id: Mapped[int] = mapped_column(ForeignKey("applications.id", ondelete="CASCADE"))
    version: Mapped[str] = mapped_column(ByteOrdered)
    title: Mapped[str] = mapped_column(String(200))
    description: Mapped[str]
    icon: Mapped[str]
    kind: Mapped[str] = mapped_column(String(50))
    framework: Mapped[str | None] = mapped_column(String(50))
    link: Mapped[str]
    recommended_profile: Mapped[str | None] = mapped_column(String(100))
    volume_mount_point: Mapped[str | None]
    suggested_volume_size: Mapped[int | None]
    profiles: Mapped[Any | None] = mapped_column(JSON(none_as_null=True))
    default_profile: Mapped[str | None] = mapped_column(String(100))
    created_at: Mapped[dt.datetime] = mapped_column(default=clock.now)


class AppServer(Revised, Base):
    """An application's credentials for a registry; the password is sealed."""

    __tablename__ = "app_servers"
    __table_args__ = (UniqueConstraint("application_id", "domain"),)

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    uid: Mapped[str] = mapped_column(String(36), unique=True, default=new_uid)
    application_id: Mapped[int] = mapped_column(ForeignKey("applications.id", ondelete="CASCADE"))
    domain: Mapped[str] = mapped_column(ByteOrdered)
    username: Mapped[str] = mapped_column(String(200))
    sealed: Mapped[bytes] = mapped_column(LargeBinary)
    created_at: Mapped[dt.datetime] = mapped_column(default=clock.now)

    application: Mapped[Application] = relationship()


class AppRun(Base):
    """From when to when an application ran for a user, as far as its hours are counted."""

    __tablename__ = "app_runs"
    __table_args__ = (UniqueConstraint("user_id", "server_name", "started_at"),)

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    organization_id: Mapped[int] = mapped_column(ForeignKey("organizations.id", ondelete="CASCADE"), index=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    server_name: Mapped[str] = mapped_column(String(100))
    app_id: Mapped[str] = mapped_column(ByteOrdered)
    version: Mapped[str] = mapped_column(ByteOrdered)
    # "" for none.
    profile_id: Mapped[str] = mapped_column(String(100))
    # When the hub started it, and until when its hours are counted.
    started_at: Mapped[dt.datetime]
    counted_until: Mapped[dt.datetime]
    # Null while it runs.
    ended_at: Mapped[dt.datetime | None] = mapped_column(index=True)


class AppState(Base):
    """What the proxy in front of an application has told of it last, which the hub does not know."""

    __tablename__ = "app_states"
    __table_args__ = (UniqueConstraint("user_id", "server_name"),)

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    organization_id: Mapped[int] = mapped_column(ForeignKey("organizations.id", ondelete="CASCADE"), index=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    server_name: Mapped[str] = mapped_column(String(100))
    # When the hub started it, by which it is told from an earlier and a later start.
    started_at: Mapped[dt.datetime]
    app_id: Mapped[str] = mapped_column(ByteOrdered)
    version: Mapped[str] = mapped_column(ByteOrdered)
    profile_id: Mapped[str | None] = mapped_column(String(100))
    url: Mapped[str]
    state: Mapped[str] = mapped_column(String(20))
    exit_code: Mapped[int | None]
    last_lines: Mapped[list[str] | None] = mapped_column(JSON(none_as_null=True))
    noted_at: Mapped[dt.datetime] = mapped_column(default=clock.now, index=True)


class OAuthClient(Revised, Base):
    """An application as an OAuth client; its secret is known by its digest, as a token is.

    Where it is a client of a hub, the secret is kept sealed as well: a hub that has lost it is told again.
    """

    __tablename__ = "oauth_clients"

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    uid: Mapped[str] = mapped_column(String(36), unique=True, default=new_uid)
    application_id: Mapped[int] = mapped_column(ForeignKey("applications.id", ondelete="CASCADE"), unique=True)
    client_id: Mapped[str] = mapped_column(ByteOrdered, unique=True)
    digest: Mapped[str] = mapped_column(String(64))
    sealed: Mapped[bytes | None] = mapped_column(LargeBinary)
    redirect_uri: Mapped[str]
    created_at: Mapped[dt.datetime] = mapped_column(default=clock.now)

    application: Mapped[Application] = relationship()
