"""The table of idempotency keys, and its statements. None of them looks at more rows the more keys there are.

How many keys a user has is counted on the user's row, by what adds and deletes them.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterable
from typing import Any, cast

import sqlalchemy as sa
from sqlalchemy import Connection, ForeignKey, Index, LargeBinary, Row, String, UniqueConstraint, bindparam
from sqlalchemy.orm import Mapped, mapped_column

from edge_server.data.declarative import Base, RowId
from edge_server.identity.models import User

SWEPT = 100
"""Most expired keys that `sweep` clears away."""


class IdempotencyKey(Base):
    """A key that a request came with: free to be run, claimed by a run of it, or answered."""

    __tablename__ = "idempotency_keys"
    __table_args__ = (
        UniqueConstraint("user_id", "key"),
        Index("ix_idempotency_keys_user_id_expires_at", "user_id", "expires_at"),
    )

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    key: Mapped[str] = mapped_column(String(255))
    fingerprint: Mapped[str] = mapped_column(String(64))
    expires_at: Mapped[dt.datetime] = mapped_column(index=True)
    claim: Mapped[str | None] = mapped_column(String(16))
    claimed_until: Mapped[dt.datetime | None]
    subject: Mapped[str | None] = mapped_column(String(36))
    status: Mapped[int | None]
    headers: Mapped[str | None]
    body: Mapped[bytes | None] = mapped_column(LargeBinary)


_KEYS = cast(sa.Table, IdempotencyKey.__table__)
_USERS = cast(sa.Table, User.__table__)

# Built once, so that SQLAlchemy finds them compiled.
# The row as whoever holds it has left it: where writers do not wait for each other, it may be settled this moment.
_FIND = (
    sa.select(_KEYS).where(_KEYS.c.user_id == bindparam("user"), _KEYS.c.key == bindparam("its_key")).with_for_update()
)
_ADD = _KEYS.insert().returning(_KEYS.c.id)
_CHANGE = _KEYS.update().where(_KEYS.c.id == bindparam("row"))
_FORGET = _KEYS.delete().where(_KEYS.c.id == bindparam("row"))
_EXPIRED = (
    sa.select(_KEYS.c.id).where(_KEYS.c.expires_at <= bindparam("now")).limit(SWEPT).with_for_update(skip_locked=True)
)
_SWEEP = _KEYS.delete().where(_KEYS.c.id.in_(_EXPIRED)).returning(_KEYS.c.user_id)
_FIRST = sa.select(_KEYS.c.expires_at).where(_KEYS.c.user_id == bindparam("user")).order_by(_KEYS.c.expires_at).limit(1)
_HELD = sa.and_(
    _KEYS.c.id == bindparam("row"),
    _KEYS.c.status.is_(None),
    sa.or_(_KEYS.c.claim == bindparam("holder"), _KEYS.c.claim.is_(None)),
)
_RENEW = (
    _KEYS.update()
    .where(_KEYS.c.id == bindparam("row"), _KEYS.c.claim == bindparam("holder"))
    .values(claimed_until=bindparam("until"))
)
_SETTLE = _KEYS.update().where(_HELD).returning(_KEYS.c.id)
_LET_GO = _KEYS.delete().where(_HELD).returning(_KEYS.c.user_id)
_HOLD = (
    sa.select(_USERS.c.id)
    .where(_USERS.c.id.in_(bindparam("users", expanding=True)))
    .order_by(_USERS.c.id)
    .with_for_update(key_share=True)
)
_COUNT = (
    _USERS.update()
    .where(_USERS.c.id == bindparam("user"))
    .values(key_count=_USERS.c.key_count + bindparam("change", type_=sa.Integer))
)
_COUNT_BELOW = _COUNT.where(_USERS.c.key_count < bindparam("most"))
_COUNT_ANEW = _USERS.update().values(
    key_count=sa.select(sa.func.count()).where(_KEYS.c.user_id == _USERS.c.id).scalar_subquery()
)


def find(connection: Connection, user_id: int, key: str) -> Row[Any] | None:
    """The row of a user's key; None if it is free."""
    return connection.execute(_FIND, {"user": user_id, "its_key": key}).first()


def add(connection: Connection, **values: object) -> int:
    """Add a key, which `has_room` has counted, by the values of its columns; returns its row."""
    row: int = connection.execute(_ADD, values).scalar_one()
    return row


def change(connection: Connection, row: int, **values: object) -> None:
    """Give columns of a key other values."""
    connection.execute(_CHANGE, {"row": row, **values})


def forget(connection: Connection, row: int, user_id: int) -> None:
    """Delete a key of a user."""
    connection.execute(_FORGET, {"row": row})
    _count_less(connection, [user_id])


def sweep(connection: Connection, now: dt.datetime, user_id: int) -> None:
    """Forget some of the keys that have expired, before another one of a user is counted."""
    owners = connection.execute(_SWEEP, {"now": now}).scalars().all()
    if owners:
        # All at once and in order, or two that sweep wait for each other's user.
        connection.execute(_HOLD, {"users": sorted({*owners, user_id})})
        _count_less(connection, owners)


def has_room(connection: Connection, user_id: int, most: int) -> bool:
    """Count another key of a user; False if there are `most` already."""
    counted = connection.execute(_COUNT_BELOW, {"user": user_id, "change": 1, "most": most})
    return counted.rowcount == 1


def count_beyond(connection: Connection, user_id: int) -> None:
    """Count another key of a user who has more than are allowed, of which some are about to be swept."""
    connection.execute(_COUNT, {"user": user_id, "change": 1})


def first_to_expire(connection: Connection, user_id: int) -> dt.datetime | None:
    """When the first of a user's keys expires; None without any."""
    first: dt.datetime | None = connection.scalar(_FIRST, {"user": user_id})
    return first


def settle(connection: Connection, row: int, holder: str, **values: object) -> bool:
    """Give columns of a key other values, unless another holder has taken it over or it has its answer."""
    return connection.execute(_SETTLE, {"row": row, "holder": holder, **values}).first() is not None


def renew(connection: Connection, until: dt.datetime, *, row: int, holder: str) -> bool:
    """Renew a claim; False if another holder has taken the key over or it has its answer."""
    return connection.execute(_RENEW, {"row": row, "holder": holder, "until": until}).rowcount == 1


def let_go(connection: Connection, row: int, holder: str) -> bool:
    """Delete a key, unless another holder has taken it over or it has its answer."""
    owners = connection.execute(_LET_GO, {"row": row, "holder": holder}).scalars().all()
    _count_less(connection, owners)
    return bool(owners)


def count_anew(connection: Connection) -> None:
    """Count the keys of all users; only while nobody adds any."""
    connection.execute(_COUNT_ANEW)


def _count_less(connection: Connection, owners: Iterable[int]) -> None:
    """Take keys off the counts of their users, who are in order so that no two transactions deadlock.

    Args:
        connection: in a transaction that writes.
        owners: a user's row for each key.
    """
    changes = [{"user": user, "change": -count} for user, count in sorted(Counter(owners).items())]
    if changes:
        connection.execute(_COUNT, changes)
