"""What is left to do in the background, and since when: for an operator who asks whether it keeps up."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import NamedTuple

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from edge_server.base import clock
from edge_server.files import housekeeping, tree
from edge_server.files.models import Node, Upload, Version


class Due(NamedTuple):
    """Work of one kind.

    Attributes:
        kind: what is to be cleared away.
        amount: how much of it there is.
        since: when the oldest of it became due, in UTC; None if there is none.
    """

    kind: str
    amount: int
    since: dt.datetime | None

    @property
    def lag(self) -> dt.timedelta:
        """How long the oldest has been due."""
        return max(dt.timedelta(0), clock.now() - self.since) if self.since is not None else dt.timedelta(0)


def due(session: Session) -> Iterator[Due]:
    """What `housekeeping` is to clear away by now."""
    now = clock.now()
    kept = tree.GRACE + housekeeping.MARGIN
    expired = (Upload.expires_at, Upload.expires_at <= now)
    deleted = (Version.removed_at, Version.removed_at <= now - kept, Version.collected_at.is_(None))
    folders = (Node.removed_at, Node.removed_at.is_not(None))
    for kind, (moment, *conditions), grace in (
        ("expired uploads", expired, dt.timedelta(0)),
        ("deleted content", deleted, kept),
        ("deleted folders", folders, dt.timedelta(0)),
    ):
        amount, oldest = session.execute(select(func.count(), func.min(moment)).where(*conditions)).one()
        yield Due(kind, amount, None if oldest is None else oldest + grace)
