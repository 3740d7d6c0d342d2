"""How often something may be asked for: what is costly, and what could be guessed at.

Windows are short, so that whoever is refused waits for seconds. Each process of the server counts for itself.
"""

from __future__ import annotations

import dataclasses
import logging
import math
import threading
from collections.abc import Mapping
from typing import Any

import limits
import marshmallow
from limits.storage import Storage
from limits.strategies import FixedWindowRateLimiter

from edge_server.base import clock
from edge_server.base.problems import Refusal

log = logging.getLogger("edge_server")

MOST_COUNTERS = 10_000
"""How many counters a limit keeps. Beyond, those that end first are forgotten: many addresses take no more memory."""


@dataclasses.dataclass(frozen=True)
class Limit:
    """What is limited.

    Attributes:
        name: of the setting.
        default: as ``AMOUNT per SECONDS seconds``.
        sentence: what happened too often, for people.
    """

    name: str
    default: str
    sentence: str


SEARCH = Limit("search", "100 per 10 seconds", "you search more often than this server allows")
SIGNING = Limit("signing", "20000 per 10 seconds", "you ask for more signed addresses than this server allows at once")
INVITING = Limit("inviting", "100 per 10 seconds", "you invite more often than this server allows")
FAILURES = Limit(
    "failures",
    "100 per 10 seconds",
    "too many wrong tokens, invitation codes or signatures come from your network address",
)

LIMITS = (SEARCH, SIGNING, INVITING, FAILURES)


class RateField(marshmallow.fields.Field):  # type: ignore[type-arg]  # marshmallow 3's takes none
    """A rate, as text such as "100 per 10 seconds"."""

    def _deserialize(self, value: Any, attr: str | None, *_: Any, **__: Any) -> limits.RateLimitItem:
        try:
            if isinstance(value, str):
                rate = limits.parse(value)
                if rate.amount > 0:
                    return rate
        except ValueError:
            pass
        raise marshmallow.ValidationError(
            'this is no rate; write text such as "100 per 10 seconds" or "300 per minute"'
        )


RateSettings = marshmallow.Schema.from_dict({limit.name: RateField() for limit in LIMITS}, name="RateSettings")
"""What the operator can set under [limits]."""


class _Counters(Storage):
    """The counters of one limit: as many as `MOST_COUNTERS`, where limits' own storage in memory has no bound.

    All of them count for as long, so the first ones in the dictionary are those that end first.
    """

    STORAGE_SCHEME = None

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()
        self._counts: dict[str, list[float]] = {}  # how often, and when it ends

    @property
    def base_exceptions(self) -> tuple[type[Exception], ...]:
        return ()

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        now = clock.monotonic()
        with self._lock:
            counter = self._counts.get(key)
            if counter is None or counter[1] <= now:
                self._counts.pop(key, None)
                self._forget(now)
                counter = self._counts[key] = [0, now + expiry]
            counter[0] += amount
            return int(counter[0])

    def _forget(self, now: float) -> None:
        """Drop counters that have ended, and the first of them to end where there are too many."""
        while self._counts:
            first = next(iter(self._counts))
            if self._counts[first][1] > now and len(self._counts) < MOST_COUNTERS:
                break
            del self._counts[first]

    def get(self, key: str) -> int:
        counter = self._counts.get(key)
        return 0 if counter is None or counter[1] <= clock.monotonic() else int(counter[0])

    def get_expiry(self, key: str) -> float:
        counter = self._counts.get(key)
        return clock.monotonic() if counter is None else counter[1]

    def check(self) -> bool:
        return True

    def reset(self) -> int:
        with self._lock:
            dropped, self._counts = len(self._counts), {}
        return dropped

    def clear(self, key: str) -> None:
        with self._lock:
            self._counts.pop(key, None)


class Rates:
    """Counts what is limited, in one process.

    Args:
        settings: rates in place of the defaults, by the limits' names.
    """

    def __init__(self, settings: Mapping[str, limits.RateLimitItem] | None = None) -> None:
        self._rates = {limit: limits.parse(limit.default) for limit in LIMITS}
        self._rates |= {limit: rate for limit in LIMITS if (rate := (settings or {}).get(limit.name)) is not None}
        self._limiters = {limit: FixedWindowRateLimiter(_Counters()) for limit in LIMITS}

    def spend(self, limit: Limit, who: str) -> None:
        """Count something that someone does.

        Args:
            limit: what.
            who: the user or the address, as the log shall name it.

        Raises:
            Refusal: it is too often.
        """
        rate, limiter = self._rates[limit], self._limiters[limit]
        if limiter.hit(rate, who):
            return
        # Once in each window, or a guesser could fill the disk with lines.
        if limiter.hit(limits.RateLimitItemPerSecond(1, rate.get_expiry(), "logged"), who):
            sentence = "%s is refused for now: more than %s in %s seconds (%s)"
            log.warning(sentence, who, rate.amount, rate.get_expiry(), limit.name)
        ends = limiter.get_window_stats(rate, who).reset_time
        seconds = max(1, math.ceil(ends - clock.monotonic()))
        detail = f"{limit.sentence}; wait {seconds} seconds and try again"
        raise Refusal(429, "too_many_requests", detail, {"Retry-After": str(seconds)})
