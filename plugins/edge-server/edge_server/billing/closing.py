"""Closing months: an hour after a month is over its usage and costs become final, by themselves.

Every worker looks for a month to close; the database lets one of them do it, and to the others it
is done. A month is closed once, in one transaction, after all months before it, and never opened
again.

A clock that is wrong must not close a month that is not over. So months are closed only while the
clock has run evenly for some time, judged by one that nobody sets: after a start or a jump the
server waits.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import logging
import time

import sqlalchemy as sa
import sqlalchemy.exc
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from edge_server.base import clock
from edge_server.base.operator_files import BadOperatorFile
from edge_server.billing import usage
from edge_server.billing.models import BillingMonth, BillingReading, BillingUsage
from edge_server.billing.prices import PriceFile, Prices
from edge_server.data import budgets
from edge_server.data.database import SERVER, Transactions
from edge_server.identity import directory
from edge_server.identity.models import Organization

INTERVAL = 10.0
"""Seconds between two looks for a month to close."""

EVEN_SECONDS = 600.0
"""How long the clock must have run evenly."""

PRUNING_INTERVAL = 3600.0
"""Seconds between two looks for rows that nothing needs any more."""

PRUNED = 1000
"""Rows that one transaction deletes at most."""

PAUSE = 0.01
"""Seconds between two transactions, for others who want to write."""

JUMP_SECONDS = 60.0
"""What it may be off by between two looks at it."""

log = logging.getLogger("edge_server")


class EvenClock:
    """Whether the clock has run evenly; to be asked now and then."""

    def __init__(self) -> None:
        self._offset: float | None = None
        self._since = 0.0

    def runs_evenly(self) -> bool:
        """Whether the clock has not jumped for `EVEN_SECONDS`, as far as this object has seen."""
        even = clock.monotonic()
        offset = clock.now().timestamp() - even
        if self._offset is None or abs(offset - self._offset) > JUMP_SECONDS:
            if self._offset is not None:
                log.warning("the clock jumped by %.0f seconds; months stay open for a while", offset - self._offset)
            self._since = even
        self._offset = offset  # a clock that is brought to the right time slowly does not jump
        return even - self._since >= EVEN_SECONDS


def next_to_close(session: Session, now: dt.datetime) -> dt.date | None:
    """The month to close next, by its first day; None if all are closed that are over."""
    month = usage.first_open_day(session)
    if month == dt.date.min:
        first = session.scalar(select(func.min(Organization.created_at)))
        if first is None:
            return None
        earliest = session.scalar(select(func.min(BillingUsage.billing_date)))
        month = min(first.date(), earliest or first.date()).replace(day=1)
    return month if usage.next_month(month) <= (now - usage.SETTLING).date() else None


def close_ended(database: Transactions, prices: PriceFile, now: dt.datetime) -> list[dt.date]:
    """Close all months that are over; returns the first days of those that this call has closed."""
    closed: list[dt.date] = []
    while True:
        with database.read() as session:
            month = next_to_close(session, now)
            organizations = session.scalars(select(Organization.id)).all() if month is not None else []
        if month is None:
            return closed
        try:
            in_force = prices.read()
        except BadOperatorFile as error:
            log.error("the month %s stays open: %s", f"{month:%Y-%m}", error)
            return closed
        for organization in organizations:
            measure_up_to(database, organization, now)
        if not close(database, month, in_force, now):
            return closed
        closed.append(month)
        log.info("the month %s is closed", f"{month:%Y-%m}")


def close(database: Transactions, month: dt.date, prices: Prices, now: dt.datetime) -> bool:
    """Make a month final at these prices; False if it is not the one to be closed, as when it is closed already.

    Args:
        database: where it stands.
        month: its first day.
        prices: what its usage costs.
        now: the time; the stored content of every organization has been measured up to then.
    """
    try:
        with database.write(SERVER) as session:
            if next_to_close(session, now) != month:
                return False
            session.add(BillingMonth(month=month, closed_at=now))
            session.flush()
            in_month = (BillingUsage.billing_date >= month, BillingUsage.billing_date < usage.next_month(month))
            # Of an earlier month there can be nothing open.
            for row in session.scalars(select(BillingUsage).where(*in_month, BillingUsage.final.is_(False))):
                row.final = True
                row.computed_cost = prices.cost(usage.usage_type(row), row.cost_allocation_tag, row.amount)
                row.currency = None if row.computed_cost is None else prices.currency
    except sqlalchemy.exc.IntegrityError:
        return False  # another worker's insertion of the month was first
    return True


def measure_up_to(
    database: Transactions, organization_id: int, now: dt.datetime, *, fresh: dt.timedelta | None = None
) -> None:
    """Bring an organization's stored content up to `now`; not if that was done less than `fresh` ago.

    One that is closed is measured up to that moment, once: afterwards its versions go.
    """
    with database.read() as session:
        reading = session.get(BillingReading, organization_id)
        if reading is not None and reading.closed_at is not None:
            if reading.measured_until == reading.closed_at:
                return
            now = reading.closed_at
        elif not directory.is_open(session, organization_id):
            return  # an older server has closed and measured it
        elif fresh is not None and reading is not None and dt.timedelta() <= now - reading.measured_until < fresh:
            return
        with budgets.budget(None):
            measured = usage.measure(session, organization_id, now)
    # Another worker may have written the same day's first row just now, and then it has measured.
    with contextlib.suppress(sqlalchemy.exc.IntegrityError), database.write(organization_id) as session:
        usage.keep_measured(session, organization_id, measured)


def prune(database: Transactions) -> None:
    """Delete the rows of versions that were kept for months that are closed now."""
    with database.read() as session:
        organizations = session.scalars(select(Organization.id)).all()
    for organization in organizations:
        while True:
            with database.read() as session:
                ids = usage.unneeded(session, organization, PRUNED)
            if not ids:
                break
            with database.write(organization) as session:
                session.execute(sa.delete(usage.VERSIONS).where(usage.VERSIONS.c.id.in_(ids)))
            time.sleep(PAUSE)
