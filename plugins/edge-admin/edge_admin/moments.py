"""Moments that people write."""

from __future__ import annotations

import datetime as dt


def read_moment(text: str) -> dt.datetime:
    """The moment that `text` tells in ISO 8601, of a day its beginning; in UTC unless it says otherwise.

    Raises:
        ValueError: it tells none.
    """
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("write a time such as 2026-01-31 or 2026-01-31T08:00Z") from None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=dt.UTC)
