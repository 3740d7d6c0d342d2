"""The tables of the search index."""

from __future__ import annotations

from sqlalchemy import ForeignKey, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from edge_server.data.declarative import NAME_LENGTH, Base, ByteOrdered, RowId

Trigram = String(3).with_variant(String(3, collation="C"), "postgresql")


class SearchName(Base):
    """A name that `search` finds, of whatever kind."""

    __tablename__ = "search_names"
    __table_args__ = (Index("ix_search_names_organization_id_key", "organization_id", "key"),)

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    organization_id: Mapped[int] = mapped_column(ForeignKey("organizations.id", ondelete="CASCADE"))
    kind: Mapped[str] = mapped_column(String(20))
    uid: Mapped[str] = mapped_column(String(36), unique=True)
    name: Mapped[str] = mapped_column(String(NAME_LENGTH))
    # Number of the whole name.
    key: Mapped[int] = mapped_column(server_default="0")


class SearchWord(Base):
    """A word that stands in names of an organization, once for all of them."""

    __tablename__ = "search_words"
    __table_args__ = (UniqueConstraint("organization_id", "word"),)

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    organization_id: Mapped[int] = mapped_column(ForeignKey("organizations.id", ondelete="CASCADE"))
    word: Mapped[str] = mapped_column(ByteOrdered)


class SearchTrigram(Base):
    """That a word holds three characters in a row."""

    __tablename__ = "search_trigrams"
    __table_args__ = {"sqlite_with_rowid": False}

    organization_id: Mapped[int] = mapped_column(ForeignKey("organizations.id", ondelete="CASCADE"), primary_key=True)
    trigram: Mapped[str] = mapped_column(Trigram, primary_key=True)
    # No foreign key: to remove a word, the database would look for it through the whole table.
    word_id: Mapped[int] = mapped_column(RowId, primary_key=True)


class SearchPlace(Base):
    """That a word stands in a name."""

    __tablename__ = "search_places"
    __table_args__ = {"sqlite_with_rowid": False}

    word_id: Mapped[int] = mapped_column(ForeignKey("search_words.id"), primary_key=True)
    # No foreign key, likewise.
    name_id: Mapped[int] = mapped_column(RowId, primary_key=True)
