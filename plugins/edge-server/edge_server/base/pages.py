"""Lists in pages: each begins after a key that the page before ended with."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

import sqlalchemy as sa
from sqlalchemy.orm import InstrumentedAttribute, Session

from edge_server.base.problems import Refusal, bad_entry

_Row = TypeVar("_Row")


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
    page, following = cut(both, lambda row: row.page_key, query)
    return [row[0] for row in page], following


def cut(rows: Sequence[_Row], key: Callable[[_Row], str | int], query: Query) -> tuple[Sequence[_Row], str | None]:
    """The rows of one page, and the cursor of the page after it, if there is one.

    Args:
        rows: the rows from where the page begins, in their order, one more than it may have if there is one.
        key: gives a row's key.
        query: the size of the page.
    """
    page = rows[: query.limit]
    return page, cursor_of(key(page[-1])) if len(rows) > len(page) else None


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
        raise bad_cursor() from None
    return key


def bad_cursor() -> Refusal:
    """What refuses a cursor that no page ended with."""
    return bad_entry("cursor: it is not one this server gave; begin the listing anew")
