"""When a failed call is tried again, and after how long.

The numbers are those of the AWS SDKs' standard mode, which has been under more fire than any other
published policy: full jitter under an exponential bound, and a budget that all calls of a session
share, so that a server that is down costs a busy client about one request per call, not three. A proxy
without a server is given more time than theirs: it says so at once, for the seconds that a start takes or
for which it leaves alone a host that has failed.
"""

from __future__ import annotations

import contextlib
import contextvars
import datetime as dt
import random
import threading
import time
from collections.abc import Iterator

from edge_core import forks

STATUSES = frozenset({429, 502, 503, 504})
"""Statuses that say "later" rather than "no"."""

IDEMPOTENT = frozenset({"GET", "HEAD", "PUT", "DELETE", "OPTIONS"})
"""Methods that have the same effect once or twice (RFC 9110); POST and PATCH need an ``Idempotency-Key``.

DELETE has one as well: without, what is sent again would be answered that there is nothing to delete.
"""

SCALE = 0.05
"""Seconds. Bound of the first wait, doubled with each further one."""

PATIENT_SCALE = 1.0
"""Seconds. Bound of the first wait after a status of `PATIENT`."""

PATIENT = frozenset({429, 502, 504})
"""Statuses that say that the server is called too often, or that a proxy gets no answer from it."""

LONGEST = 20.0
"""Seconds. No bound grows beyond."""

RETRY_AFTER_EXTRA = 5.0
"""Seconds. How much longer than our own wait a ``Retry-After`` may make us wait where a server or a proxy fails."""

PATIENCE = 30.0
"""Seconds. For so long a call goes on, however few the retries are, where what it needs is known to be only away.

That is where a server says when to come again, as while its database starts, and where nothing listens at a store whose
address a server has just given.
"""

CAPACITY = 500
COST = 14
"""What a retry takes from the budget; a call that succeeds puts back 1."""


class Budget:
    """What all calls of a session may spend on retries together; safe to share between threads."""

    _lock: threading.Lock

    def __init__(self) -> None:
        self._left = CAPACITY
        forks.renew_lock(self)

    @property
    def left(self) -> int:
        return self._left

    def take(self) -> bool:
        """Pay for one retry; False if there is not enough left."""
        with self._lock:
            if self._left < COST:
                return False
            self._left -= COST
            return True

    def give_back(self) -> None:
        """Note a call that succeeded."""
        if self._left < CAPACITY:
            with self._lock:
                self._left = min(CAPACITY, self._left + 1)


class Gate:
    """Where the threads of a call wait together once a server has told one of them to come later."""

    def __init__(self) -> None:
        self._opens = 0.0

    def close(self, seconds: float) -> None:
        """Let no request of the call go for a number of seconds."""
        self._opens = max(self._opens, time.monotonic() + seconds)

    def wait(self) -> None:
        """Return once it is open."""
        while (seconds := self._opens - time.monotonic()) > 0:
            time.sleep(seconds)


gate: contextvars.ContextVar[Gate | None] = contextvars.ContextVar("gate", default=None)
"""The gate of the call that the thread works for; None if the call has no other threads."""


hurried: contextvars.ContextVar[bool] = contextvars.ContextVar("hurried", default=False)
"""Whether calls are tried once, as somebody waits for the program to end."""


@contextlib.contextmanager
def at_once() -> Iterator[None]:
    """A block whose calls are tried once, whatever comes of them."""
    token = hurried.set(True)
    try:
        yield
    finally:
        hurried.reset(token)


def wait(attempt: int, status: int | None, retry_after: str | None) -> float:
    """Seconds to wait after a failed attempt.

    Args:
        attempt: number of the attempt that failed, from 1.
        status: status of its answer; None if none came.
        retry_after: the answer's ``Retry-After`` header: seconds, or a date (RFC 9110).
    """
    scale = PATIENT_SCALE if status in PATIENT else SCALE
    bound = min(LONGEST, scale * 2.0 ** min(attempt - 1, 30))
    own = random.uniform(0, bound)  # noqa: S311  # spreads clients, hides nothing
    later = delay(retry_after)
    if later is None:
        return own
    # Of a limit (429) the server knows when it ends: who comes earlier is refused again.
    return min(max(own, later), LONGEST if status == 429 else own + RETRY_AFTER_EXTRA)


def says_when(status: int | None, retry_after: str | None) -> bool:
    """Whether a server that cannot answer says when it can; a limit (429) is of the caller's making, and may last.

    Args:
        status: status of the answer; None if none came.
        retry_after: its ``Retry-After`` header.
    """
    return status in (409, 503) and delay(retry_after) is not None


def delay(retry_after: str | None) -> float | None:
    """The delay in a ``Retry-After`` header, in seconds from now; None if it cannot be read."""
    text = (retry_after or "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    if not text:
        return None
    from email.utils import parsedate_to_datetime

    try:
        moment = parsedate_to_datetime(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=dt.UTC)
        return max(0.0, (moment - dt.datetime.now(dt.UTC)).total_seconds())
    except (ValueError, OverflowError):
        return None
