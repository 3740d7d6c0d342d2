"""The table of what is still to be done for users that were removed."""

from __future__ import annotations

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from edge_server.data.declarative import Base


class Departure(Base):
    """That a subsystem has not done yet what it does after a user was removed."""

    __tablename__ = "departures"

    user_id: Mapped[int] = mapped_column(
        ForeignKey("users.id", ondelete="RESTRICT"), primary_key=True, autoincrement=False
    )
    subsystem: Mapped[str] = mapped_column(String(100), primary_key=True)
