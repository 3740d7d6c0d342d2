"""What a hub has answered of tokens, kept for seconds, and who waits for it.

The hub is another program, which may hang or answer slowly. So it is asked by threads of their own, as many as a
quarter of those that answer requests; so many requests wait for them at most, and none for longer than `TIMEOUT`. While
one lookup after the other ends, further requests stand in line, as when a class begins to work; once none has ended for
`STANDSTILL`, they are refused, and whoever comes then at once. A token that is in use is looked up again before its
answer ends, while requests go on with that.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import TypeVar

from edge_server.base import clock
from edge_server.base.problems import Refusal
from edge_server.identity.hub import TIMEOUT, HubUnavailable

KEPT = 10.0
"""Seconds from a question to the hub in which its answer counts: so long a token goes on that was revoked there."""

RENEWED = 5.0
"""Seconds after which an answer that is used is renewed."""

MOST_KEPT = 20_000
"""Answers that are kept; beyond, the oldest are forgotten: those to many wrong tokens take no more memory."""

SHARE = 4
"""The part of the threads that may wait for the hub."""

LINE_SHARE = 2
"""The part of the threads that may stand in line beside; what is left is for requests that need no hub."""

STANDSTILL = 0.5
"""Seconds without the end of a lookup after which nobody stands in line any more."""

_T = TypeVar("_T")


@dataclasses.dataclass(frozen=True)
class _Answer:
    """What the hub has said of a token.

    Attributes:
        since: when it was asked.
        refusal: what its bearer is answered; None if the token is good.
    """

    since: float
    refusal: Refusal | None


class HubAnswers:
    """The answers that one process has.

    Args:
        threads: tells how many threads of the process answer requests.
    """

    def __init__(self, threads: Callable[[], int]) -> None:
        self._threads = threads
        # Notified when a lookup ends, and when somebody does not wait any more.
        self._lock = threading.Condition(threading.Lock())
        self._answers: OrderedDict[str, _Answer] = OrderedDict()
        self._lookups: dict[str, concurrent.futures.Future[None]] = {}
        self._waiting = 0
        self._running = 0
        self._line = 0
        self._stands_still = False
        self._pool: concurrent.futures.ThreadPoolExecutor | None = None

    def require_good(self, digest: str, look_up: Callable[[], None]) -> None:
        """See that a token is good, by the hub's answer of the last seconds or by another.

        Args:
            digest: of the token.
            look_up: asks the hub; what it refuses by status 401 or 403 is kept as an answer.

        Raises:
            Refusal: the token is not good.
            HubUnavailable: the hub does not say in time.
        """
        deadline = time.monotonic() + TIMEOUT
        with self._lock:
            while True:
                answer = self._answers.get(digest)
                age = float("inf") if answer is None else clock.monotonic() - answer.since
                lookup = self._lookups.get(digest)
                if lookup is None and age >= RENEWED:
                    lookup = self._begin(digest, look_up)
                if answer is not None and age < KEPT:
                    if answer.refusal is not None:
                        raise _again(answer.refusal)
                    return
                if lookup is not None and self._waiting < self._most:
                    self._waiting += 1
                    break
                self._stand_in_line(deadline)
        self._wait(lookup, deadline)

    def run(self, ask: Callable[[], _T]) -> _T:
        """Ask the hub something else, waiting for it as for a token.

        Raises:
            HubUnavailable: the hub does not say in time.
        """
        deadline = time.monotonic() + TIMEOUT
        with self._lock:
            while self._waiting >= self._most or (future := self._submit(ask)) is None:
                self._stand_in_line(deadline)
            self._waiting += 1
        return self._wait(future, deadline)

    def forget(self, digest: str) -> None:
        """Look a token up anew when it comes next."""
        with self._lock:
            self._answers.pop(digest, None)

    @property
    def _most(self) -> int:
        return max(1, self._threads() // SHARE)

    def _begin(self, digest: str, look_up: Callable[[], None]) -> concurrent.futures.Future[None] | None:
        """Begin a lookup; None if too many are going on. The lock is held."""
        since = clock.monotonic()

        def note() -> None:
            try:
                look_up()
            except Refusal as refusal:
                if refusal.status in (401, 403):
                    self._keep(digest, _Answer(since, refusal))
                raise
            else:
                self._keep(digest, _Answer(since, None))
            finally:
                with self._lock:
                    self._lookups.pop(digest, None)

        future = self._submit(note)
        if future is not None:
            self._lookups[digest] = future
        return future

    def _submit(self, ask: Callable[[], _T]) -> concurrent.futures.Future[_T] | None:
        """Have another thread ask, if one is free. The lock is held."""
        if self._running >= self._most:
            return None
        if self._pool is None:
            # Not before the first request: threads do not survive the fork that makes a process of the server.
            self._pool = concurrent.futures.ThreadPoolExecutor(thread_name_prefix="edge-hub", max_workers=512)

        def run() -> _T:
            is_answered = True
            try:
                return ask()
            except HubUnavailable:
                is_answered = False
                raise
            finally:
                with self._lock:
                    self._running -= 1
                    self._stands_still &= not is_answered
                    self._lock.notify_all()

        self._running += 1
        return self._pool.submit(run)

    def _stand_in_line(self, deadline: float) -> None:
        """Return when something has ended, and it may be one's turn. The lock is held.

        Raises:
            HubUnavailable: nothing ends, or the line is as long as it may be.
        """
        if self._stands_still or self._line >= max(1, self._threads() // LINE_SHARE):
            raise HubUnavailable("as many lookups as may run at once are waiting for it")
        self._line += 1
        try:
            seconds = min(STANDSTILL, deadline - time.monotonic())
            if not self._lock.wait(seconds):
                self._stands_still |= seconds == STANDSTILL
                raise HubUnavailable("the lookups that may run at once did not end in time")
        finally:
            self._line -= 1

    def _wait(self, future: concurrent.futures.Future[_T], deadline: float) -> _T:
        """The result of a lookup, for one of the requests that are counted as waiting."""
        try:
            return future.result(max(0.0, deadline - time.monotonic()))
        except concurrent.futures.TimeoutError:
            raise HubUnavailable(f"it did not answer within {TIMEOUT:g} s") from None
        except Refusal as refusal:
            raise _again(refusal) from None
        finally:
            with self._lock:
                self._waiting -= 1
                self._lock.notify_all()

    def _keep(self, digest: str, answer: _Answer) -> None:
        with self._lock:
            self._answers.pop(digest, None)
            self._answers[digest] = answer
            while len(self._answers) > MOST_KEPT:
                self._answers.popitem(last=False)


def _again(refusal: Refusal) -> Refusal:
    """A refusal to raise, since one that is raised by several threads would collect where it has been."""
    if isinstance(refusal, HubUnavailable):
        return HubUnavailable(refusal.why)
    return Refusal(refusal.status, refusal.code, refusal.detail, refusal.headers)
