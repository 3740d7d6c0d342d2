"""What all tables are made of: the declarative base with its naming rules, and the shared column types."""

from __future__ import annotations

import datetime as dt
import secrets
import uuid
from typing import Any

from sqlalchemy import DateTime, LargeBinary, MetaData, String, Text, TypeDecorator
from sqlalchemy.orm import DeclarativeBase, Mapped, declared_attr, mapped_column
from sqlalchemy.types import BigInteger, Integer

NAME_LENGTH = 255
"""Most characters of a node's name; `paths` limits it to as many bytes."""


# SQLite numbers rows by itself only in a column whose type is exactly INTEGER.
RowId = BigInteger().with_variant(Integer(), "sqlite")


# SQLite compares text by its UTF-8 bytes unless told otherwise; PostgreSQL has to be told.
ByteOrdered = String(NAME_LENGTH).with_variant(String(NAME_LENGTH, collation="C"), "postgresql")


class UtcDateTime(TypeDecorator[dt.datetime]):
    """A moment: aware and in UTC on both sides, also where the database keeps no time zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: dt.datetime | None, dialect: Any) -> dt.datetime | None:
        return None if value is None else value.astimezone(dt.UTC)

    def process_result_value(self, value: dt.datetime | None, dialect: Any) -> dt.datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=dt.UTC) if value.tzinfo is None else value.astimezone(dt.UTC)


class HexBytes(TypeDecorator[str]):
    """Hexadecimal text, in lower case, of which the database keeps the bytes: half as many."""

    impl = LargeBinary
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Any) -> bytes | None:
        return None if value is None else bytes.fromhex(value)

    def process_result_value(self, value: bytes | None, dialect: Any) -> str | None:
        return None if value is None else value.hex()


class UidBytes(TypeDecorator[str]):
    """What `new_uid` makes, of which the database keeps the 16 bytes.

    Any other text is NULL there: nothing is equal to it, and a column that must have a value refuses it.
    """

    impl = LargeBinary
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Any) -> bytes | None:
        try:
            uid = uuid.UUID(value or "")
        except ValueError:
            return None
        return uid.bytes if str(uid) == value else None

    def process_result_value(self, value: bytes | None, dialect: Any) -> str | None:
        if value is None:
            return None
        digits = value.hex()  # as `str` of a `UUID` has them, in a quarter of its time
        return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def new_uid() -> str:
    """A universally unique id."""
    return str(uuid.uuid4())


def new_row_id() -> int:
    """The number of a row that no other of its table has had, nor one that is gone."""
    return 1 + secrets.randbits(62)


class Base(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {  # as SQLAlchemy declares it
        dt.datetime: UtcDateTime(),
        str: Text(),
    }


class Revised:
    """Adds a count of changes to a table, by which `updates` tells states of a row apart."""

    revision: Mapped[int] = mapped_column(default=1)

    @declared_attr.directive
    @classmethod
    def __mapper_args__(cls) -> dict[str, Any]:
        # SQLAlchemy counts, and refuses an update of a row that has been counted further meanwhile.
        return {"version_id_col": cls.revision}
