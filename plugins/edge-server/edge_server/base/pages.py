"""Lists in pages: each begins after a key that the page before ended with."""

from __future__ import annotations

import base64
import binascii
from typing import Any, Protocol

import sqlalchemy as sa
from sqlalchemy.orm import InstrumentedAttribute, Session

from edge_server.base.problems import bad_entry


class Query(Protocol):
    """What asks for a page."""

    limit: Any
    cursor: Any


def page(
    session: Session, rows: sa.Select[Any], key: InstrumentedAttribute[Any], query: Query, *, descending: bool = False
) -> tuple[list[Any], str | None]:
    """The rows of one page in the order of `key`, and the cursor of the page after it, if there is one.

    Args:
        session: a transaction.
        rows: what selects all rows.
        key: a column that no two of them share; a number or text.
        query: the size of the page, and where it begins.
        descending: the largest key comes first.

    Raises:
        Refusal: the cursor is none that `page` gave.
    """
    if query.cursor is not None:
        last = key_of(query.cursor, key.type.python_type)
        rows = rows.where(key < last if descending else key > last)
    order = key.desc() if descending else key
    both = session.execute(rows.add_columns(key.label("page_key")).order_by(order).limit(query.limit + 1)).all()
    page = [row[0] for row in both[: query.limit]]
    more = len(both) > query.limit
    return page, cursor_of(both[query.limit - 1].page_key) if more else None


def cursor_of(key: str | int) -> str:
    """The cursor of the page that begins after `key`."""
    return base64.urlsafe_b64encode(str(key).encode()).decode().rstrip("=")


def key_of(cursor: str, kind: type) -> Any:
    """The key that the page of a cursor begins after.

    Raises:
        Refusal: the cursor is none that `cursor_of` gave.
    """
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        key = kind(base64.b64decode(padded, altchars=b"-_", validate=True).decode())
        # More digits than a key has are none; the database could not even compare them.
        if isinstance(key, int) and not 0 <= key < 1 << 63:
            raise ValueError
    except (ValueError, binascii.Error):
        raise bad_entry("cursor: it is not one this server gave; begin the listing anew") from None
    return key
