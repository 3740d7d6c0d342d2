"""When the files of a large folder that was deleted stop counting in the quota.

Their bytes are added up one after another, which is left to housekeeping: whoever deletes a folder of a million files
does not wait for it. Nobody is refused meanwhile for room that the folder still takes, nor told of it: who asks for
such room adds the bytes up first. Sums kept with each folder would make it needless, for a row of each folder above
that every upload changes, and a move of a folder twice.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy.orm import Session

from edge_server.base.problems import Refusal
from edge_server.data import budgets
from edge_server.files import clearing, quotas
from edge_server.files.clearing import Clearing
from edge_server.files.quotas import Limits
from edge_server.web.context import OwnContext
from edge_server.web.space import Room

_Answer = TypeVar("_Answer")


class Releases:
    """Releases deleted folders.

    Args:
        context: the subsystem's.
        clearing: what becomes of folders that are deleted.
    """

    def __init__(self, context: OwnContext, clearing: Clearing) -> None:
        self._context = context
        self._clearing = clearing

    def release(self, organization_id: int | None = None) -> bool:
        """Let the files of a deleted folder count in the quota no more, before they are cleared away.

        Nothing in the folder changes until that is done, so that its bytes are added up in a transaction that keeps
        nobody from writing.

        Args:
            organization_id: whose folder; None for any.

        Returns:
            whether there was one.
        """
        with self._context.read() as session:
            folder = clearing.removed(session, organization_id, released=False)
            if folder is None:
                return False
            with budgets.budget(None):
                size = clearing.bytes_below(session, folder.id)
        with self._context.write(folder.organization_id) as session:
            self._clearing.release(session, folder, size)
        return True

    def before_refusing(self, organization_id: int, run: Callable[[], _Answer]) -> _Answer:
        """Do what needs room; if there is none, once more when the organization's deleted folders are released.

        Args:
            organization_id: whose room.
            run: what to do, which can be done again after it was refused; what it gives is returned.

        Raises:
            Refusal: there is no room then either, or it is refused for something else.
        """
        try:
            return run()
        except Refusal as refusal:
            if refusal.code != quotas.FULL or not self.release(organization_id):
                raise
        while self.release(organization_id):
            pass
        return run()


def room(session: Session, organization_id: int, limits: Limits) -> Room:
    """What an organization holds and may hold, as if its deleted folders were released.

    Args:
        session: a transaction that reads.
        organization_id: which one.
        limits: the server's.
    """
    now = quotas.room(session, organization_id, limits)
    with budgets.budget(None):
        pending = sum(
            clearing.bytes_below(session, node_id) for node_id in clearing.unreleased(session, organization_id)
        )
    return dataclasses.replace(now, used=now.used - pending, deleted=now.deleted + pending)
