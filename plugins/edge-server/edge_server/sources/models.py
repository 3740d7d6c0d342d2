"""The table of connectors."""

from __future__ import annotations

import datetime as dt

from sqlalchemy import ForeignKey, LargeBinary, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from edge_server.base import clock
from edge_server.data.declarative import Base, ByteOrdered, Revised, RowId, new_uid
from edge_server.identity.models import Organization


class Connector(Revised, Base):
    """A connection that is kept for the members of an organization; its credentials are sealed."""

    __tablename__ = "connectors"
    __table_args__ = (UniqueConstraint("organization_id", "name"),)

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    uid: Mapped[str] = mapped_column(String(36), unique=True, default=new_uid)
    organization_id: Mapped[int] = mapped_column(ForeignKey("organizations.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(ByteOrdered)
    title: Mapped[str] = mapped_column(String(200))
    kind: Mapped[str] = mapped_column(String(50))
    definition: Mapped[str] = mapped_column(Text)
    sealed: Mapped[bytes] = mapped_column(LargeBinary)
    created_at: Mapped[dt.datetime] = mapped_column(default=clock.now)
    modified_at: Mapped[dt.datetime] = mapped_column(default=clock.now)

    organization: Mapped[Organization] = relationship()
