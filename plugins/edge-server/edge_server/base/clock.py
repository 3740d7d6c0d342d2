"""What time it is, in one place."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable


def now() -> dt.datetime:
    """The time in UTC."""
    return _now()


def monotonic() -> float:
    """Seconds since some moment, by a clock that nobody sets."""
    return _monotonic()


def replace(wall: Callable[[], dt.datetime], even: Callable[[], float]) -> None:
    """Tell another time in this process from now on, for simulations and tests.

    Args:
        wall: gives what `now` gives.
        even: gives what `monotonic` gives.
    """
    global _now, _monotonic
    _now, _monotonic = wall, even


def _system() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


_now: Callable[[], dt.datetime] = _system
_monotonic: Callable[[], float] = time.monotonic
