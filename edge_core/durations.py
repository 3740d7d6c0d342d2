"""How long something lasts, as users give it."""

from __future__ import annotations

import datetime as dt

from edge_core.errors import BadEntry


def whole_seconds(duration: int | dt.timedelta) -> int:
    """The duration in seconds; a number stays what it is.

    >>> whole_seconds(dt.timedelta(days=1))
    86400

    Raises:
        BadEntry: a timedelta is no whole number of seconds.
    """
    if not isinstance(duration, dt.timedelta):
        return duration
    seconds, rest = divmod(duration, dt.timedelta(seconds=1))
    if rest:
        raise BadEntry(f"{duration} is no whole number of seconds; round it")
    return seconds
