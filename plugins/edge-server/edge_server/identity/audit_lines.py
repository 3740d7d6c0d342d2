"""The table of what was changed, by whom."""

from __future__ import annotations

import datetime as dt

from sqlalchemy import BigInteger, ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from edge_server.base import clock
from edge_server.data.declarative import Base, RowId


class AuditLine(Base):
    """A change that was made, of an organization or, where that is null, of the server.

    It names users and tokens by text, since it tells of them when they are gone. The user is also there by the id of
    their row, which stays when they are renamed or removed; without one it was nobody, or is not known any more.
    """

    __tablename__ = "audit_lines"
    __table_args__ = (Index(None, "organization_id", "id"),)

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    at: Mapped[dt.datetime] = mapped_column(default=clock.now, index=True)
    organization_id: Mapped[int | None] = mapped_column(ForeignKey("organizations.id", ondelete="CASCADE"))
    organization_name: Mapped[str | None] = mapped_column(String(100))
    user_id: Mapped[int | None] = mapped_column(BigInteger)
    user_name: Mapped[str] = mapped_column(String(100))
    token_uid: Mapped[str | None] = mapped_column(String(36))
    action: Mapped[str] = mapped_column(String(100))
    about: Mapped[str]
    request_id: Mapped[str] = mapped_column(String(100))
