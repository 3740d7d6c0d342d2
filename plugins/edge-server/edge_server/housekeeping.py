"""Clearing away what nobody needs: expired uploads, deleted folders, content that was replaced or deleted.

Everything here can be done twice, by several processes at once, and be cut off at any point: a pass
begins with what the database says is left to do. So each worker tries now and then, and a file lock
only keeps them from doing the same work.
"""

from __future__ import annotations

import datetime as dt
import logging
import threading
import time
from pathlib import Path

import filelock
from sqlalchemy import select, update

from edge_server import clock, tree
from edge_server.database import FILE_NAME, Database
from edge_server.models import Version
from edge_server.store import Store
from edge_server.uploads import Uploads

log = logging.getLogger("edge_server")

LOCK = "housekeeping.lock"

INTERVAL = 60.0
"""Seconds between two passes."""

MARGIN = dt.timedelta(minutes=10)
"""How much longer content stays than it can be asked for, so that no answer under way loses it."""

COLLECTED = 500
"""Versions whose content one transaction notes as gone."""

PAUSE = 0.01
"""Seconds between two transactions, for others who want to write."""


def run(database: Database, store: Store) -> None:
    """One pass, to its end."""
    uploads = Uploads(database, store)
    for step in (uploads.sweep, lambda: _remove_more(database), lambda: collect(database, store)):
        while step():
            time.sleep(PAUSE)


def remove_folders(database: Database, seconds: float) -> None:
    """Go on with deleting large folders, for so long at most."""
    deadline = time.monotonic() + seconds
    while _is_removing(database) and time.monotonic() < deadline:
        _remove_more(database)


def collect(database: Database, store: Store) -> bool:
    """Drop the content of some versions that can no longer be read; False when none is left.

    Their rows stay, since stored byte-hours are computed from them.
    """
    due = clock.now() - tree.GRACE - MARGIN
    with database.read() as session:
        rows = session.execute(
            select(Version.id, Version.key)
            .where(Version.removed_at.is_not(None), Version.removed_at <= due, Version.collected_at.is_(None))
            .order_by(Version.removed_at)
            .limit(COLLECTED)
        ).all()
    if not rows:
        return False
    # First the content: what a crash leaves undone is found again.
    for row in rows:
        store.remove(row.key)
    with database.write() as session:
        session.execute(
            update(Version).where(Version.id.in_([row.id for row in rows])).values(collected_at=clock.now()),
            execution_options={"synchronize_session": False},
        )
    return True


def _is_removing(database: Database) -> bool:
    with database.read() as session:
        return tree.is_removing(session)


def _remove_more(database: Database) -> bool:
    if not _is_removing(database):
        return False
    with database.write() as session:
        return tree.remove_more(session)


class Housekeeper:
    """A thread that makes a pass now and then, if no other process is at it.

    Args:
        data: the data folder.
        interval: seconds between two passes.
    """

    def __init__(self, data: Path, interval: float = INTERVAL) -> None:
        self._data = data
        self._lock = filelock.FileLock(data / LOCK)
        self._interval = interval
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="housekeeping", daemon=True)

    def start(self) -> None:
        """Begin; in a process that forks, only after that."""
        self._thread.start()

    def stop(self) -> None:
        """Make no further pass."""
        self._stopped.set()

    def _loop(self) -> None:
        # Connections of its own: the application's hooks are about requests.
        database, store = Database(self._data / FILE_NAME), Store(self._data)
        while not self._stopped.wait(self._interval):
            try:
                with self._lock.acquire(blocking=False):
                    run(database, store)
            except filelock.Timeout:
                pass  # another process is at it
            except Exception:
                # A full disk, a locked database: the next pass finds the same work.
                log.exception("housekeeping failed; it is tried again")
        database.close()
