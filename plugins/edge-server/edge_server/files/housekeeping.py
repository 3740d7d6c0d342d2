"""Clearing away what nobody needs: expired uploads, deleted folders, content that was replaced or deleted.

Everything here can be done twice, by several processes at once, and be cut off at any point: a pass
begins with what the database says is left to do. One process at a time makes a pass, only so that no
two of them do the same work.
"""

from __future__ import annotations

import datetime as dt
import time

from sqlalchemy import and_, select, update

from edge_server.base import clock
from edge_server.data import budgets
from edge_server.data.store import FolderStore
from edge_server.files import tree
from edge_server.files.models import Version
from edge_server.files.tree import Tree
from edge_server.files.uploads import Uploads
from edge_server.web.context import OwnContext

INTERVAL = 60.0
"""Seconds between two passes."""

MARGIN = dt.timedelta(minutes=10)
"""How much longer content stays than it can be asked for, so that no answer under way loses it."""

COLLECTED = 500
"""Versions whose content one transaction drops at most."""

COLLECTING = 0.2
"""Seconds after which a transaction leaves the rest to its successor, since others want to write."""

PAUSE = 0.01
"""Seconds between two transactions, for others who want to write."""


class Housekeeping:
    """What is done beside answering.

    Args:
        context: the subsystem's.
        store: where content and the parts of uploads are.
        names: the tree.
        uploads: the uploads.
    """

    def __init__(self, context: OwnContext, store: FolderStore, names: Tree, uploads: Uploads) -> None:
        self._context = context
        self._store = store
        self._tree = names
        self._uploads = uploads

    def run(self) -> None:
        """One pass, to its end."""
        for step in (self._uploads.sweep, self._remove_more, self.collect):
            while step():
                time.sleep(PAUSE)

    def remove_folders(self, organization_id: int, seconds: float) -> None:
        """Go on with deleting large folders of an organization, for so long at most."""
        deadline = time.monotonic() + seconds
        with budgets.budget(None):
            while self._remove_more(organization_id) and time.monotonic() < deadline:
                pass

    def collect(self) -> bool:
        """Drop the content of some versions that can no longer be read; False when none is left.

        Content that a version shares which still counts stays. Their rows stay in any case, since stored byte-hours
        are computed from them.
        """
        due = and_(
            Version.removed_at.is_not(None),
            Version.removed_at <= clock.now() - tree.GRACE - MARGIN,
            Version.collected_at.is_(None),
        )
        with self._context.read() as session:  # usually there is nothing, which needs no lock
            if session.scalar(select(Version.id).where(due).limit(1)) is None:
                return False
        deadline = time.monotonic() + COLLECTING
        with self._context.write(self._context.SERVER) as session:
            # Copies are made from versions that are not due, under the same locks. So none is made of what goes here.
            rows = session.execute(
                select(Version.id, Version.key)
                .where(due)
                .order_by(Version.removed_at)
                .limit(COLLECTED)
                .with_for_update()
            ).all()
            ids = {row.id for row in rows}
            uncollected = select(Version.id, Version.key).where(
                Version.key.in_({row.key for row in rows}), Version.collected_at.is_(None)
            )
            shared = {other.key for other in session.execute(uncollected) if other.id not in ids}
            collected = []
            for row in rows:
                # First the content: what a crash leaves undone is found again.
                if row.key not in shared:
                    self._store.remove(row.key)
                collected.append(row.id)
                if time.monotonic() > deadline:
                    break
            session.execute(
                update(Version).where(Version.id.in_(collected)).values(collected_at=clock.now()),
                execution_options={"synchronize_session": False},
            )
        return True

    def _remove_more(self, organization_id: int | None = None) -> bool:
        with self._context.read() as session:  # usually there is nothing, which needs no lock
            if not tree.is_removing(session, organization_id):
                return False
        with self._context.write(self._context.SERVER if organization_id is None else organization_id) as session:
            return self._tree.remove_more(session, organization_id)
