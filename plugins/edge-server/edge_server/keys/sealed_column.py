"""Columns that hold sealed content: how a subsystem fills and reads one, and how a rotation finds it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from sqlalchemy.orm import InstrumentedAttribute

from edge_server.keys.sealing import Place, Prepared, Sealer, Unsealable


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

    def prepare(self, row: Any, content: bytes) -> Prepared:
        """Seal `content` for `row`, before the transaction that stores it: the key may be on another machine.

        Args:
            row: the row, or another one that is sealed to the same place; it need not be in a transaction.
            content: what to seal.

        Returns:
            what `keep` takes.

        Raises:
            Unsealable: the sealing keys cannot be used.
            KeeperAway: the keeper of the key cannot be used just now.
        """
        return self.sealer.prepare(content, **self.place(row))

    def keep(self, row: Any, prepared: Prepared) -> None:
        """Keep in `row` what was prepared for it; to be called in the writing transaction that stores the row.

        Raises:
            Unsealable: the sealing keys cannot be used.
        """
        setattr(row, self.column.key, prepared())

    def open(self, row: Any) -> bytes:
        """The content that `row` keeps; never in a transaction that writes, since another machine may be asked.

        Raises:
            Unsealable: it was sealed for another place, was changed, or its key is gone.
            KeeperAway: the keeper of the key cannot be used just now.
        """
        return self.sealer.open(getattr(row, self.column.key), **self.place(row))

    def holds(self, row: Any, content: bytes) -> bool:
        """Whether `row` keeps exactly this; where `open` may be called.

        Raises:
            KeeperAway: the keeper of the key cannot be used just now.
        """
        try:
            return self.open(row) == content
        except Unsealable:
            return False
