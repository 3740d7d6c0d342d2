"""How many bodies a process waits for at once, and how many of them for one user.

A thread that reads a body waits for its sender. So that slow senders, honest or not, never take the
threads that answer everything else, there are threads more for them, and no more of them than that
may be reading; each user gets a share. Who may send a body at all was looked at before.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Protocol, cast

import flask

from edge_server.base import at_hand
from edge_server.web.shares import Shares

AT_ONCE = 64
"""Bodies that a process waits for at once."""

SHARE = 4
"""One user gets no more than one in so many."""

RETRY_AFTER = 2
"""Seconds."""

NOBODY = 0
"""Whoever is not known; no user has this id."""

ARRIVING = "edge_server.arriving"
"""Where a server that waits for bodies puts the request's `Body` into the environment."""

_NAME = "edge_server.transfers"


class Body(Protocol):
    """The body of a request on a server that waits for it."""

    def has_arrived(self) -> bool:
        """Whether it is here, so that nobody has to wait for it any more."""
        ...

    def readinto(self, buffer: memoryview) -> int:
        """Fill `buffer` with what comes next, unless the body ends before; returns how many bytes it put there.

        Raises:
            OSError: it stopped coming, or comes too slowly (`TimeoutError`).
        """
        ...

    def discard(self, most: int) -> None:
        """Let up to `most` bytes more of it come after the answer, so that the sender gets to read that."""
        ...


class Transfers:
    """Who sends a body now.

    Args:
        at_once: bodies at once; of one user, a quarter of that.
    """

    def __init__(self, at_once: int = AT_ONCE) -> None:
        self.at_once = at_once
        self._share = max(1, at_once // SHARE)
        self._shares = Shares(
            "you are sending {} large bodies at once, which is what one user may; try again",
            "{} large bodies are being sent at once, which is all that may; try again",
            retry_after=RETRY_AFTER,
        )

    def of(self, user_id: int) -> contextlib.AbstractContextManager[None]:
        """Count a body of a user during the block.

        Raises:
            Refusal: the user sends as many as one may already, or all together do.
        """
        return self._shares.taken(user_id, share=self._share, at_once=self.at_once)


def install(app: flask.Flask, transfers: Transfers) -> None:
    """Have `app` count by `transfers`."""
    app.extensions[_NAME] = transfers


def installed(app: flask.Flask) -> Transfers:
    """What `app` counts by."""
    return cast(Transfers, app.extensions[_NAME])


@contextlib.contextmanager
def of(user_id: int) -> Iterator[None]:
    """Count the body of the request at hand for a user during the block, unless all of it has come already.

    Args:
        user_id: whose body it is; `NOBODY` for all who are not known together.

    Raises:
        Refusal: the user sends as many as one may already, or all together do.
    """
    body = arriving()
    if body is None or body.has_arrived() or flask.g.get("transfers"):
        yield
        return
    with installed(flask.current_app).of(user_id):
        flask.g.transfers = True
        try:
            yield
        finally:
            flask.g.transfers = False


def arriving() -> Body | None:
    """The body of the request at hand; None where the server has all of it before it asks the application."""
    return cast("Body | None", at_hand.request().environ.get(ARRIVING))
