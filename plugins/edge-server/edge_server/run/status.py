"""What an operator asks of a server: `edge server status` and `edge server users`, whether or not it runs."""

from __future__ import annotations

import contextlib
import datetime as dt
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import sqlalchemy as sa

from edge_server.base import clock
from edge_server.files import backlog, totals
from edge_server.files.backlog import Due
from edge_server.files.models import Node
from edge_server.files.storage import SECTION, StorageSettings
from edge_server.files.totals import Totals
from edge_server.identity import directory
from edge_server.identity.models import Membership, Organization, Token, User
from edge_server.run import app, data_folder, server_routes, start
from edge_server.web.engines import Engines

LATE = dt.timedelta(hours=1)
"""How long work may be due while a server runs; a pass of housekeeping begins each minute."""


class Status(NamedTuple):
    """How a server is.

    Attributes:
        version: of this code.
        revision: of the database.
        url: where the server runs; None if none does.
        database: a place for a sentence.
        database_bytes: what it takes.
        store: a place for a sentence.
        free_bytes: of the disk of the data folder.
        keeper: what seals secrets.
        organizations: that stay.
        users: that were not removed.
        files: in all organizations.
        totals: what the organizations hold.
        due: work in the background.
    """

    version: str
    revision: str
    url: str | None
    database: str
    database_bytes: int
    store: str
    free_bytes: int
    keeper: str
    organizations: int
    users: int
    files: int
    totals: Totals
    due: list[Due]

    @property
    def late(self) -> list[Due]:
        """Work that a server that runs should have done long ago."""
        return [each for each in self.due if self.url is not None and each.lag > LATE]

    def to_dict(self) -> dict[str, Any]:
        """The values of JSON; times in seconds, sizes in bytes."""
        due = {
            each.kind.replace(" ", "_"): {"amount": each.amount, "lag_seconds": round(each.lag.total_seconds())}
            for each in self.due
        }
        return {
            **self._asdict(),
            "totals": self.totals._asdict(),
            "due": due,
            "late": [each.kind for each in self.late],
        }


class Account(NamedTuple):
    """A user of a server.

    Attributes:
        user_name: the name.
        server_admin: whether the user runs the server.
        organizations: the user's roles in each, by its short name.
        tokens: how many can be used.
        last_used_at: when one of them was used last, in UTC; None if never.
        created_at: when the user was made, in UTC.
    """

    user_name: str
    server_admin: bool
    organizations: dict[str, list[str]]
    tokens: int
    last_used_at: dt.datetime | None
    created_at: dt.datetime

    def to_dict(self) -> dict[str, Any]:
        """The values of JSON."""
        last_used_at = None if self.last_used_at is None else self.last_used_at.isoformat()
        return {**self._asdict(), "last_used_at": last_used_at, "created_at": self.created_at.isoformat()}


def status(data: Path, config: Path | None = None) -> Status:
    """How the server on `data` is.

    Args:
        data: the data folder.
        config: the file of the operator's settings.

    Raises:
        CannotStart: there is no server's data, or it cannot be used.
    """
    with _opened(data, config) as opened:
        quota = opened.configuration.section(SECTION, StorageSettings()).get("quota")
        with opened.database.read() as session:
            held = totals.totals(session, quota)
            organizations = sa.select(sa.func.count(Organization.id)).where(Organization.status != directory.DELETING)
            users = sa.select(sa.func.count(User.id)).where(User.removed_at.is_(None))
            files = sa.select(sa.func.count(Node.id)).where(Node.version_id.is_not(None))
            accounts = session.scalar(organizations) or 0, session.scalar(users) or 0, session.scalar(files) or 0
            due = list(backlog.due(session))
        return Status(
            server_routes.version(),
            str(opened.database.revision()),
            data_folder.running_url(data) if data_folder.is_locked(data) else None,
            opened.database.place,
            opened.database.size(),
            opened.store.place,
            shutil.disk_usage(data).free,
            opened.sealer.keeper,
            *accounts,
            totals=held,
            due=due,
        )


def users(data: Path, config: Path | None = None) -> list[Account]:
    """The users of the server on `data`, by their names.

    Args:
        data: the data folder.
        config: the file of the operator's settings.

    Raises:
        CannotStart: there is no server's data, or it cannot be used.
    """
    with _opened(data, config) as opened:
        now = clock.now()
        usable = (Token.removed_at.is_(None), sa.or_(Token.expires_at.is_(None), Token.expires_at > now))
        memberships = sa.select(Membership.user_id, Organization.name, Membership.admin, Membership.developer)
        with opened.database.read() as session:
            tokens = {
                row.user_id: row
                for row in session.execute(
                    sa.select(
                        Token.user_id,
                        sa.func.count().filter(*usable).label("usable"),
                        sa.func.max(Token.last_used_at).label("last_used_at"),
                    ).group_by(Token.user_id)
                )
            }
            roles: dict[int, dict[str, list[str]]] = {}
            of = memberships.join(Organization, Organization.id == Membership.organization_id)
            for row in session.execute(of.order_by(Organization.name)):
                roles.setdefault(row.user_id, {})[row.name] = [role for role in directory.ROLES if getattr(row, role)]
            rows = session.scalars(sa.select(User).where(User.removed_at.is_(None)).order_by(User.user_name)).all()
        return [
            Account(
                row.user_name,
                row.server_admin,
                roles.get(row.id, {}),
                tokens[row.id].usable if row.id in tokens else 0,
                tokens[row.id].last_used_at if row.id in tokens else None,
                row.created_at,
            )
            for row in rows
        ]


@contextlib.contextmanager
def _opened(data: Path, config: Path | None) -> Iterator[Engines]:
    """The engines of a server that may be running, to be read from."""
    with start.engines(data, config) as opened, data_folder.explained(data):
        app.require_migrated(opened, app.load(opened))
        start.follow_clock(opened.database)
        yield opened
