"""The table of secrets."""

from __future__ import annotations

import datetime as dt

from sqlalchemy import ForeignKey, Index, LargeBinary, String, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from edge_server.base import clock
from edge_server.data.declarative import Base, ByteOrdered, Revised, RowId, new_uid
from edge_server.identity.models import Organization, User


class Secret(Revised, Base):
    """A secret of a user in an organization, or of the organization itself if it has no user."""

    __tablename__ = "secrets"
    __table_args__ = (
        UniqueConstraint("organization_id", "user_id", "name"),
        # The constraint above does not hold organizations' names apart: NULLs are all different to it.
        Index(
            "uq_secrets_organization_name",
            "organization_id",
            "name",
            unique=True,
            sqlite_where=text("user_id IS NULL"),
            postgresql_where=text("user_id IS NULL"),
        ),
    )

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    uid: Mapped[str] = mapped_column(String(36), unique=True, default=new_uid)
    organization_id: Mapped[int] = mapped_column(ForeignKey("organizations.id", ondelete="CASCADE"))
    user_id: Mapped[int | None] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    name: Mapped[str] = mapped_column(ByteOrdered)
    sealed: Mapped[bytes] = mapped_column(LargeBinary)
    created_at: Mapped[dt.datetime] = mapped_column(default=clock.now)
    modified_at: Mapped[dt.datetime] = mapped_column(default=clock.now)

    organization: Mapped[Organization] = relationship()
    user: Mapped[User | None] = relationship()
