"""What all hosts of a server agree on, in the database: short texts by name."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from edge_server.data.declarative import Base


class SiteValue(Base):
    """A text that is the same for all hosts."""

    __tablename__ = "site_values"

    name: Mapped[str] = mapped_column(String(255), primary_key=True)
    value: Mapped[str]


def read(connection: sa.Connection, name: str) -> str | None:
    """The value of a name; None if there is none, or the database is older than this table."""
    if not sa.inspect(connection).has_table(SiteValue.__tablename__):
        return None
    value: str | None = connection.scalar(sa.select(SiteValue.value).where(SiteValue.name == name))
    return value


def keep(connection: sa.Connection, name: str, value: str | None) -> None:
    """Give a name another value, or none.

    Args:
        connection: in a transaction that writes what is the server's.
        name: at most 255 characters.
        value: the value; None for none.
    """
    connection.execute(sa.delete(SiteValue).where(SiteValue.name == name))
    if value is not None:
        connection.execute(sa.insert(SiteValue).values(name=name, value=value))
