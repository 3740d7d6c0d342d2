"""Whether the server can do its work: each engine is tried, and none may keep whoever asks waiting."""

from __future__ import annotations

import concurrent.futures
import threading
import time
from collections.abc import Callable
from typing import NamedTuple

import sqlalchemy as sa

from edge_server.base.problems import CannotStart
from edge_server.identity.models import Organization
from edge_server.run import data_folder
from edge_server.web.engines import Engines

PATIENCE = 3.0
"""Seconds within which an engine has to answer; who watches a server waits for ten, usually."""


class Outcome(NamedTuple):
    """How an engine was.

    Attributes:
        name: which one.
        is_usable: whether it can be used.
        is_needed: whether the server can do nothing without it.
        seconds: what the look took.
        sentence: why it cannot be used; empty if it can.
    """

    name: str
    is_usable: bool
    is_needed: bool
    seconds: float
    sentence: str


class Check:
    """A look at an engine, in a thread of its own; while one hangs, there is no second one.

    Args:
        name: the engine's.
        look: raises if it cannot be used.
        needed: whether the server can do nothing without it.
    """

    def __init__(self, name: str, look: Callable[[], object], *, needed: bool = True) -> None:
        self.name = name
        self._look = look
        self._needed = needed
        self._lock = threading.Lock()
        self._pending: concurrent.futures.Future[float] | None = None

    def outcome(self, deadline: float) -> Outcome:
        """How the engine is.

        Args:
            deadline: when it has to have answered, by `time.monotonic`.
        """
        pending, begun = self.begin(), time.monotonic()
        sentence = ""
        seconds = 0.0
        try:
            seconds = pending.result(max(0.0, deadline - begun))
        except TimeoutError:
            seconds = time.monotonic() - begun
            sentence = f"it did not answer within {PATIENCE:.0f} seconds"
        except CannotStart as error:
            sentence = str(error)
        except Exception as error:
            sentence = f"it failed ({type(error).__name__})"
        return Outcome(self.name, not sentence, self._needed, seconds, sentence)

    def begin(self) -> concurrent.futures.Future[float]:
        """Begin a look, unless one is going on; gives its end, with the seconds it took."""
        with self._lock:
            if self._pending is None or self._pending.done():
                self._pending = concurrent.futures.Future()
                threading.Thread(
                    target=self._run, args=(self._pending,), name=f"edge-check-{self.name}", daemon=True
                ).start()
            return self._pending

    def _run(self, pending: concurrent.futures.Future[float]) -> None:
        begun = time.monotonic()
        try:
            self._look()
        except BaseException as error:
            pending.set_exception(error)
        else:
            pending.set_result(time.monotonic() - begun)


class Readiness:
    """The engines of a server, to be looked at.

    Args:
        engines: what the server runs on.
    """

    def __init__(self, engines: Engines) -> None:
        self._engines = engines
        self.checks = [Check("database", self._database), Check("store", self._store)]
        if engines.sealer.transit is not None:
            # Files and everything else go on without it, and other hosts would miss it as well.
            self.checks.append(Check("keeper", engines.sealer.transit.trial, needed=False))

    def outcomes(self) -> list[Outcome]:
        """How each of the engines is; all of them are looked at together, within `PATIENCE`."""
        deadline = time.monotonic() + PATIENCE
        for check in self.checks:
            check.begin()
        return [check.outcome(deadline) for check in self.checks]

    def _database(self) -> None:
        with data_folder.explained(self._engines.folder), self._engines.database.read() as session:
            session.scalar(sa.select(Organization.id).limit(1))

    def _store(self) -> None:
        stores = {self._engines.store, *(stored.store for stored in self._engines.stored)}
        with data_folder.explained(self._engines.folder):
            for store in stores:
                store.reach()
