"""What a subsystem gives back to the server."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import sqlalchemy as sa

from edge_server.base.background import Task
from edge_server.keys.sealed_column import SealedColumn
from edge_server.web.counting import Counter
from edge_server.web.routes import Routes
from edge_server.web.stored_content import StoredContent


@dataclasses.dataclass(frozen=True)
class Parts:
    """A subsystem, as its callable gives it back; made by `Context.subsystem`.

    Attributes:
        routes: its groups of addresses.
        metadata: its tables; None if it has none, or keeps them in the server's own history.
        migrations: folder of the Alembic revisions that build those tables.
        sealed: its columns of sealed content.
        stored: its columns of keys of content.
        tasks: what it does beside answering.
        counters: called at the end of each request that counts for an organization.
        before_start: done once by a starting server, before it answers; other hosts may be writing meanwhile.
    """

    routes: tuple[Routes, ...]
    metadata: sa.MetaData | None
    migrations: Path | None
    sealed: tuple[SealedColumn, ...]
    stored: tuple[StoredContent, ...]
    tasks: tuple[Task, ...]
    counters: tuple[Counter, ...]
    before_start: tuple[Callable[[], object], ...]
