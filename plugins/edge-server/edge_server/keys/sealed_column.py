"""Columns that hold sealed content: how a subsystem fills and reads one, and how a rotation finds it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from sqlalchemy.orm import InstrumentedAttribute

from edge_server.keys.sealing import Place, Sealer, Unsealable


@dataclasses.dataclass(frozen=True)
class SealedColumn:
    """Where a subsystem keeps sealed content.

    Attributes:
        column: the column; its table has an integer `id`. A row with NULL there keeps nothing.
        place: tells of a row where its content is sealed to, which never changes while it is there.
        sealer: seals and opens.
    """

    column: InstrumentedAttribute[Any]
    place: Callable[[Any], Place]
    sealer: Sealer

    def seal(self, row: Any, content: bytes) -> None:
        """Keep `content` in `row`; to be called in the writing transaction that stores the row.

        Raises:
            Unsealable: the sealing keys cannot be used.
        """
        setattr(row, self.column.key, self.sealer.seal(content, **self.place(row)))

    def open(self, row: Any) -> bytes:
        """The content that `row` keeps.

        Raises:
            Unsealable: it was sealed for another place, was changed, or its key is gone.
        """
        return self.sealer.open(getattr(row, self.column.key), **self.place(row))

    def holds(self, row: Any, content: bytes) -> bool:
        """Whether `row` keeps exactly this."""
        try:
            return self.open(row) == content
        except Unsealable:
            return False
