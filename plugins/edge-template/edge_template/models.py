"""The table of the server half. What is declared here and what the migrations build must be the same."""

from __future__ import annotations

import datetime as dt
import uuid

from sqlalchemy import BigInteger, DateTime, Integer, String, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

# SQLite numbers rows by itself only in a column whose type is exactly INTEGER.
RowId = BigInteger().with_variant(Integer(), "sqlite")


class Base(DeclarativeBase):
    """The tables of this plugin, which know nothing of the server's."""


class Entry(Base):
    """An entry in the log book of an instrument."""

    __tablename__ = "template_entries"

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    uid: Mapped[str] = mapped_column(String(36), unique=True, default=lambda: str(uuid.uuid4()))
    # The migration makes it a foreign key into the server's table, so that an organization that is
    # removed takes its log books with it. To these classes that table is unknown.
    organization_id: Mapped[int] = mapped_column(BigInteger, index=True)
    instrument: Mapped[str] = mapped_column(String(100))
    text: Mapped[str] = mapped_column(Text)
    author: Mapped[str] = mapped_column(String(100))
    created_at: Mapped[dt.datetime] = mapped_column(DateTime(timezone=True))
    modified_at: Mapped[dt.datetime] = mapped_column(DateTime(timezone=True))
    revision: Mapped[int] = mapped_column(default=1)

    # SQLAlchemy counts the changes, by which an update notices that someone else was faster.
    __mapper_args__ = {"version_id_col": revision}
