"""Clearing away what nobody needs: expired uploads, deleted folders, content that was replaced or deleted.

Everything here can be done twice, by several processes at once, and be cut off at any point: a pass
begins with what the database says is left to do. One process at a time makes a pass, only so that no
two of them do the same work.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple, TypeVar

from sqlalchemy import and_, select, update

from edge_server.base import clock
from edge_server.base.problems import CannotStart, is_full, log
from edge_server.data import budgets
from edge_server.data.database import SERVER, Database
from edge_server.data.reserve import Reserve, missing_at
from edge_server.data.slices import Slices
from edge_server.data.store import Store
from edge_server.files import clearing, queries, quotas, tree
from edge_server.files.models import Version
from edge_server.files.releases import Releases
from edge_server.files.tree import Tree
from edge_server.files.uploads import Uploads
from edge_server.web.context import OwnContext

TASK = "housekeeping"
"""The background task's name."""

INTERVAL = 60.0
"""Seconds between two passes."""

MARGIN = dt.timedelta(minutes=10)
"""How much longer content stays than it can be asked for, so that no answer under way loses it."""

COLLECTED = 500
"""Versions whose content one transaction drops at most; how many it is depends on how long they take, see `Slices`."""

COLLECTING = 0.05
"""Seconds after which a transaction leaves the rest to its successor, since others want to write."""

PAUSE = 0.01
"""Seconds between two transactions at least, for others who want to write."""

BACKUP = "backup"
"""The block that a backup is in while it copies content, see `Database.alone`."""

BACKUP_PATIENCE = 1.0
"""Seconds that a backup tries to get into its block, where others look for a moment whether it is in there."""

_Answer = TypeVar("_Answer")


class BackupRunning(CannotStart):
    """Deleted content is kept for a backup that is being made."""


@contextlib.contextmanager
def keeping_deleted(database: Database) -> Iterator[None]:
    """Have no process drop deleted content during the block, but on a full disk; it ends with this process.

    Args:
        database: in a file; what is shared by hosts is backed up by tools of its own.

    Raises:
        BackupRunning: another process is in such a block.
    """
    deadline = time.monotonic() + BACKUP_PATIENCE
    with contextlib.ExitStack() as stack:
        while not stack.enter_context(database.alone(BACKUP)):
            if time.monotonic() > deadline:
                raise BackupRunning("another backup of this server is being made; wait for that")
            time.sleep(PAUSE)
        with database.write(SERVER):
            pass  # who looked before, and drops content, has committed that
        yield


class _Dropped(NamedTuple):
    """What one transaction dropped: versions, and bytes of content."""

    versions: int
    freed: int


class Housekeeping:
    """What is done beside answering.

    Args:
        context: the subsystem's.
        store: where content and the parts of uploads are.
        names: the tree.
        uploads: the uploads.
    """

    def __init__(self, context: OwnContext, store: Store, names: Tree, uploads: Uploads) -> None:
        self.reserve = Reserve(context.engines.folder)
        self._context = context
        self._store = store
        self._tree = names
        self._uploads = uploads
        self._releases = Releases(context, names.clearing)
        self._clearing_slices = Slices(clearing.BATCH)
        self._collecting_slices = Slices(COLLECTED)

    def run(self) -> None:
        """One pass, to its end."""
        for step in (self._uploads.sweep, self._uploads.shrink, self.release, self._clear, self.collect):
            begun = time.monotonic()
            while step():
                # As long as that took, so that others have half of the time.
                time.sleep(max(PAUSE, time.monotonic() - begun))
                begun = time.monotonic()
        self.make_room()
        self.reserve.keep()

    def release(self, organization_id: int | None = None) -> bool:
        """Let the files of a deleted folder count in the quota no more, see `Releases`; also on a full disk."""
        return self.deleting(lambda: self._releases.release(organization_id))

    def purge(self, organization_id: int | None = None) -> tuple[int, int]:
        """Drop all deleted content now, whether or not it could still be read and restored.

        Args:
            organization_id: whose; None for all.

        Returns:
            how many versions it dropped, and the bytes that are free by that.

        Raises:
            BackupRunning: a backup needs what is left.
        """
        while self.release(organization_id) or self._clear(organization_id):
            time.sleep(PAUSE)
        versions = freed = 0
        while True:
            dropped = self._collect(dt.timedelta(0), organization_id, before=self._require_no_backup)
            if not dropped.versions:
                return versions, freed
            versions += dropped.versions
            freed += dropped.freed

    def deleting(self, run: Callable[[], _Answer]) -> _Answer:
        """Do what deletes something; on a full disk in the room that is kept for that.

        Args:
            run: what to do, which can be done again after it has failed; what it gives is returned.
        """
        try:
            return run()
        except Exception as error:
            if not is_full(error) or not self.reserve.release():
                raise
            return run()

    def make_room(self, seconds: float | None = None) -> None:
        """Drop deleted content before its time if its disk is nearly full, what went first at the beginning.

        Args:
            seconds: how long that may take; None to go on until there is room or nothing is left.
        """
        disk = self._store.disk
        missing = 0 if disk is None else missing_at(disk)
        if not missing:
            return
        log.warning("the disk of %s is nearly full, so deleted content goes before its time", self._store.place)
        deadline = None if seconds is None else time.monotonic() + seconds
        with budgets.budget(None):
            while missing > 0 and (deadline is None or time.monotonic() < deadline):
                dropped = self._collect(dt.timedelta(0), at_most=missing)
                missing -= dropped.freed
                if not (dropped.versions or self.release() or self._clear()):
                    return

    def collect(self) -> bool:
        """Drop the content of some versions that can no longer be read; False when none is left.

        While a backup is made, all stays.
        """
        with contextlib.suppress(BackupRunning):
            return self._collect(tree.GRACE + MARGIN, before=self._require_no_backup).versions > 0
        return False

    def collect_at_rest(self) -> None:
        """Drop the content of all versions that can no longer be read, where no answer is under way."""
        while self._collect(tree.GRACE).versions:
            pass

    def _require_no_backup(self) -> None:
        """See that no backup is made; under the lock of those who write, so that no two look at once.

        Raises:
            BackupRunning: one is.
        """
        database = self._context.engines.database
        if database.is_shared:
            return
        with database.alone(BACKUP) as is_alone:
            if not is_alone:
                raise BackupRunning(
                    "a backup of this server is being made, for which deleted content is kept; run this again when "
                    "that has ended"
                )

    def _collect(
        self,
        kept: dt.timedelta,
        organization_id: int | None = None,
        at_most: int | None = None,
        before: Callable[[], None] = lambda: None,
    ) -> _Dropped:
        """Drop the content of some versions that were removed at least so long ago.

        Content that a version shares which still counts stays. Their rows stay in any case, since stored byte-hours
        are computed from them.

        Args:
            kept: how long removed versions are kept.
            organization_id: whose; None for all.
            at_most: bytes after which it stops.
            before: called under the lock, before anything is dropped; nothing is if it raises.
        """
        due = and_(
            Version.removed_at.is_not(None),
            Version.removed_at <= clock.now() - kept,
            Version.collected_at.is_(None),
        )
        if organization_id is not None:
            due = and_(due, Version.organization_id == organization_id)
        with self._context.read() as session:  # usually there is nothing, which needs no lock
            if session.scalar(select(Version.id).where(due).limit(1)) is None:
                return _Dropped(0, 0)
        slices = self._collecting_slices
        most = min(slices.rows, COLLECTED)
        with self._context.write(self._context.SERVER) as session:
            before()
            slices.begin()
            deadline = time.monotonic() + COLLECTING
            # Copies are made from versions that are not due, under the same locks. So none is made of what goes here.
            rows = session.execute(
                select(Version.id, Version.key, Version.size, Version.organization_id)
                .where(due)
                .order_by(Version.removed_at)
                .limit(most)
                .with_for_update()
            ).all()
            ids = {row.id for row in rows}
            uncollected = select(Version.id, Version.key).where(
                Version.key.in_({row.key for row in rows}), Version.collected_at.is_(None)
            )
            sharing = session.execute(uncollected).all()
            shared = {other.key for other in sharing if other.id not in ids}
            collected: set[int] = set()
            contents: dict[str, tuple[int, int]] = {}
            for row in rows:
                # First the content: what a crash leaves undone is found again.
                if row.key not in shared:
                    self._store.remove(row.key)
                    contents[row.key] = row.organization_id, row.size
                collected.add(row.id)
                freed = sum(size for _, size in contents.values())
                if time.monotonic() > deadline or (at_most is not None and freed >= at_most):
                    break
            session.execute(
                update(Version).where(Version.id.in_(collected)).values(collected_at=clock.now()),
                execution_options={"synchronize_session": False},
            )
            # Content counts until the last of its versions is collected.
            left = {other.key for other in sharing if other.id not in collected}
            queries.remove_part_digests(session, contents.keys() - left)
            for key, (owner, size) in contents.items():
                if key not in left:
                    quotas.count(session, owner, deleted=-size)
        slices.end(most)
        return _Dropped(len(collected), sum(size for _, size in contents.values()))

    def _clear(self, organization_id: int | None = None) -> bool:
        """Clear away some of a deleted folder whose bytes are released; False if there is none."""
        with self._context.read() as session:  # usually there is nothing, which needs no lock
            folder = clearing.removed(session, organization_id, released=True)
        if folder is None:
            return False
        slices = self._clearing_slices
        rows = min(slices.rows, clearing.BATCH)
        with self._context.write(folder.organization_id) as session:
            slices.begin()
            self._tree.clearing.clear(session, folder.organization_id, rows)
        slices.end(rows)
        return True
