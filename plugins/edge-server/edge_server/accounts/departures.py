"""Removing a user, and what the subsystems do afterwards until they are done.

Rows go in one transaction (see `data.ownership`). That transaction also notes which subsystems have
something to do beyond it, in other systems say; they do it in the background, and a note goes when its
subsystem has not raised, be that after a restart.
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.orm import Session

from edge_server.accounts import standing
from edge_server.accounts.models import Departure
from edge_server.base.problems import log
from edge_server.data import ownership
from edge_server.identity.models import User
from edge_server.web import lifecycle
from edge_server.web.context import OwnContext

TASK = "departures"
"""The background task's name."""

INTERVAL = 30.0
"""Seconds before what has failed is tried again."""


class Departures:
    """The users that are removed.

    Args:
        context: of the subsystem of accounts.
    """

    def __init__(self, context: OwnContext) -> None:
        self._context = context
        self._lifecycle = context.engines.lifecycle

    def remove(self, session: Session, user: User) -> None:
        """Take from a user all that is theirs; an empty row stays, since what they made refers to it.

        Args:
            session: a writing transaction; once it is committed, the task `TASK` can be woken.
            user: who goes.
        """
        standing.end_all(session, self._lifecycle, user.id)
        lifecycle.tell(self._lifecycle.user_removed, session, user.id)
        tables = ownership.tables_of(session.connection())
        for table in reversed(tables.sorted_tables):
            owned = ownership.owned_by(table, User.__tablename__, user.id)
            if owned is not None:
                session.execute(table.delete().where(owned))
        for key in ownership.references(tables, User.__tablename__, "SET NULL"):
            column = key.parent
            session.execute(sa.update(column.table).where(column == user.id).values({column.name: None}))
        # No name that can be given begins like this.
        user.user_name = f"~{user.uid}"
        user.first_name = user.last_name = user.email = user.license_name = None
        user.home_organization_id = None
        user.server_admin = False
        user.removed_at = self._context.now()
        session.add_all(Departure(user_id=user.id, subsystem=name) for name in self._lifecycle.user_gone)
        session.flush()

    def run(self) -> None:
        """Have the subsystems do what is left; in one process at a time."""
        with self._context.read() as session:
            left = session.execute(sa.select(Departure.user_id, Departure.subsystem)).all()
        for user_id, subsystem in left:
            callback = self._lifecycle.user_gone.get(subsystem)
            if callback is None:
                continue  # of a plugin that is not installed now
            if self._context.stopping:
                return
            try:
                callback(user_id)
            except Exception as error:
                log.error("what %s does after a user was removed failed and is tried again", subsystem, exc_info=error)
                continue
            with self._context.write(self._context.SERVER) as session:
                session.execute(
                    sa.delete(Departure).where(Departure.user_id == user_id, Departure.subsystem == subsystem)
                )
