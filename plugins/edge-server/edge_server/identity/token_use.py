"""When tokens were last used, kept without a write on the way of a request.

Each process notes the uses in memory and writes them down together, in the background. A token is
written at most once a minute by each process.
"""

from __future__ import annotations

import datetime as dt
import threading

from sqlalchemy import or_, update
from sqlalchemy.orm import Session

from edge_server.base import clock
from edge_server.identity.models import Token

INTERVAL = 60.0
"""Seconds between two times that uses are written down."""


class TokenUse:
    """The uses of tokens that one process has seen and not written down yet."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seen: dict[int, dt.datetime] = {}

    def note(self, token_id: int) -> None:
        """Note that a token is used now."""
        with self._lock:
            self._seen[token_id] = clock.now()

    def take(self) -> dict[int, dt.datetime]:
        """What was noted since this was called last: the row of each token, and when it was used."""
        with self._lock:
            seen, self._seen = self._seen, {}
        return seen


def write_down(session: Session, seen: dict[int, dt.datetime]) -> None:
    """Write uses down, unless another process has seen later ones."""
    for token_id, moment in seen.items():
        later = or_(Token.last_used_at.is_(None), Token.last_used_at < moment)
        session.execute(
            update(Token).where(Token.id == token_id, later).values(last_used_at=moment),
            execution_options={"synchronize_session": False},
        )
