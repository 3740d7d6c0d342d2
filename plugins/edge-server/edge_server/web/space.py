"""What organizations hold and may hold: the subsystem of files counts it, and others tell of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from sqlalchemy.orm import Session


@dataclasses.dataclass(frozen=True)
class Room:
    """What an organization holds and may hold, in bytes.

    Attributes:
        quota: what newest versions and open uploads may hold; None for no limit.
        used: newest versions.
        uploads: reserved by open uploads.
        growth: what `used` grows by when all open uploads are completed as they are.
        deleted: content that no newest version has.
        deleted_limit: how much of that may be there for more to be stored; None for no limit.
    """

    quota: int | None
    used: int
    uploads: int
    growth: int
    deleted: int
    deleted_limit: int | None

    @property
    def promised(self) -> int:
        """What newest versions will hold when all open uploads are completed."""
        return self.used + self.growth


class Space:
    """Tells what an organization holds, once the subsystem of files is loaded.

    Attributes:
        room: called with a transaction and the organization's id.
    """

    room: Callable[[Session, int], Room]
