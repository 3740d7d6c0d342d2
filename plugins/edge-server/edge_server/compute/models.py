"""The tables of app profiles and placeholders."""

from __future__ import annotations

import datetime as dt

from sqlalchemy import Float, ForeignKey, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from edge_server.base import clock
from edge_server.data.declarative import Base, ByteOrdered, Revised, RowId, new_uid


class AppProfile(Revised, Base):
    """A machine, or a part of one, that an organization's applications can be given."""

    __tablename__ = "app_profiles"
    __table_args__ = (UniqueConstraint("organization_id", "profile_id"),)

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    uid: Mapped[str] = mapped_column(String(36), unique=True, default=new_uid)
    organization_id: Mapped[int] = mapped_column(ForeignKey("organizations.id", ondelete="CASCADE"))
    profile_id: Mapped[str] = mapped_column(ByteOrdered)
    name: Mapped[str] = mapped_column(String(200))
    instance_name: Mapped[str] = mapped_column(String(100))
    cpu: Mapped[float] = mapped_column(Float)
    gpu: Mapped[int]
    memory: Mapped[float] = mapped_column(Float)
    status: Mapped[str] = mapped_column(String(20), index=True)
    disable: Mapped[bool]
    created_at: Mapped[dt.datetime] = mapped_column(default=clock.now)


class AppPlaceholder(Revised, Base):
    """Machines of an app profile that are to be kept running."""

    __tablename__ = "app_placeholders"
    __table_args__ = (UniqueConstraint("organization_id", "name"),)

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    uid: Mapped[str] = mapped_column(String(36), unique=True, default=new_uid)
    organization_id: Mapped[int] = mapped_column(ForeignKey("organizations.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(ByteOrdered)
    profile_id: Mapped[str] = mapped_column(ByteOrdered)
    quantity: Mapped[int]
    disable: Mapped[bool]
    created_at: Mapped[dt.datetime] = mapped_column(default=clock.now)
    # By the word of the hub that keeps them, and when that was.
    ready: Mapped[int | None]
    reported_at: Mapped[dt.datetime | None]
