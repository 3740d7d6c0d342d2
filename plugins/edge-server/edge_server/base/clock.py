"""What time it is, in one place.

Hosts that share a database tell its time, so that a lease that one has taken ends for all at once: see `follow`.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable

_NONE = dt.timedelta()


def now() -> dt.datetime:
    """The time in UTC."""
    return _now() - _ahead


def monotonic() -> float:
    """Seconds since some moment, by a clock that nobody sets."""
    return _monotonic()


def follow(other: Callable[[], dt.datetime | None]) -> dt.timedelta:
    """Tell the time of another clock in this process from now on, until this is called again.

    Args:
        other: asks for its time, in UTC; None if there is nothing to follow.

    Returns:
        How far this host's clock is ahead of it. What the question took is not known better, so that a difference
        within that changes nothing.
    """
    global _ahead
    if _now is not _system:
        return _NONE
    before = _now()
    theirs = other()
    took = _now() - before
    if theirs is not None:
        ahead = before + took / 2 - theirs
        if abs(ahead - _ahead) > abs(took) / 2:
            _ahead = ahead
    return _ahead


def replace(wall: Callable[[], dt.datetime], even: Callable[[], float]) -> None:
    """Tell another time in this process from now on, for simulations and tests.

    Args:
        wall: gives what `now` gives.
        even: gives what `monotonic` gives.
    """
    global _now, _monotonic, _ahead
    _now, _monotonic, _ahead = wall, even, _NONE


def _system() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


_now: Callable[[], dt.datetime] = _system
_monotonic: Callable[[], float] = time.monotonic
_ahead = _NONE
