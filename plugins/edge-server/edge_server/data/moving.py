"""How far a move into this database has come, which the database itself says as long as it has not ended.

Each slice of a move is noted in the transaction that makes it. So a move that is interrupted goes on behind the last
one, and no server takes the half of another for its own.
"""

from __future__ import annotations

import dataclasses
import json

import sqlalchemy as sa

from edge_server.base.problems import CannotStart
from edge_server.data import site_values

NAME = "moving"
"""The name under which the database has it."""


@dataclasses.dataclass
class Moving:
    """A move that has begun and not ended.

    Attributes:
        id: the move's, which the folder that it is from has as well.
        source: that folder.
        owner: by which the database claims the store of content.
        references: the statements that add the foreign keys, which are taken away meanwhile.
        rows: how many of each table are there.
        contents: the last key that is there, of each column of keys of content.
    """

    id: str
    source: str
    owner: str
    references: list[str]
    rows: dict[str, int] = dataclasses.field(default_factory=dict)
    contents: dict[str, str] = dataclasses.field(default_factory=dict)

    def keep(self, connection: sa.Connection) -> None:
        """Note it in a transaction that writes what is the server's."""
        site_values.keep(connection, NAME, json.dumps(dataclasses.asdict(self)))


def read(connection: sa.Connection) -> Moving | None:
    """The move that has begun and not ended, if there is one."""
    value = site_values.read(connection, NAME)
    return None if value is None else Moving(**json.loads(value))


def require_ended(connection: sa.Connection, place: str) -> None:
    """See that the database is no part of a server that is still being moved into it.

    Args:
        connection: to the database.
        place: what a sentence calls it.

    Raises:
        CannotStart: it is.
    """
    move = read(connection)
    if move is not None:
        raise CannotStart(
            f"the database {place} holds a part of the server that is being moved there from {move.source}; run "
            "`edge server move` once more, which goes on where it was"
        )
