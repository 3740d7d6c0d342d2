"""What organizations used, day by day: counted as it happens, or derived from how long content was there.

All is kept in whole numbers (`edge_billing.usage_types.UsageType.counted`), so that no rounding adds
up. A day is one of UTC. What belongs to a day whose month is closed already, because it was counted
late or the clock jumped back, goes to the first day that is still open: nothing is lost, and what is
final stays as it is.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy import ColumnElement, and_, func, not_, or_, select
from sqlalchemy.orm import Session

from edge_billing.usage_types import APP_HOURS, INTERNAL, OBJECT_STORAGE, USAGE_TYPES, UsageType
from edge_server.billing.models import BillingMonth, BillingReading, BillingUsage
from edge_server.data.declarative import UtcDateTime
from edge_server.identity.models import Organization

DAY = dt.timedelta(days=1)

SETTLING = dt.timedelta(hours=1)
"""How long after a day its numbers may still grow: a transaction dates what it writes before it commits."""

_MICROSECOND = dt.timedelta(microseconds=1)
_AT_ONCE = 500


# The table of versions, which files write, by its name: subsystems do not import each other. These columns
# are all there is to agree on. A function of files that measures would have to know what a day is here,
# which months are closed and what was measured before.
VERSIONS = sa.table(
    "versions",
    sa.column("organization_id", sa.BigInteger()),
    sa.column("size", sa.BigInteger()),
    sa.column("created_at", UtcDateTime()),
    sa.column("removed_at", UtcDateTime()),
)
_version = VERSIONS.c


class Key(NamedTuple):
    """What one row counts."""

    organization_id: int
    day: dt.date
    usage_type: str
    tag: str = ""


def add(session: Session, amounts: Mapping[Key, int]) -> None:
    """Count further usage.

    Args:
        session: a writing transaction.
        amounts: how much of what.
    """
    open_from = first_open_day(session)
    further: dict[Key, int] = {}
    for key, amount in amounts.items():
        key = key._replace(day=max(key.day, open_from))
        further[key] = further.get(key, 0) + amount
    rows = _rows(session, further)
    names = _names(session, {key.organization_id for key in further})
    for key, amount in further.items():
        row = rows.get(key)
        if row is not None:
            row.amount += amount
        elif key.organization_id in names:  # not removed meanwhile
            session.add(_row(key, names[key.organization_id], amount))


def report_app_time(
    session: Session,
    organization_id: int,
    profile_id: str,
    started_at: dt.datetime,
    until: dt.datetime,
    *,
    machines: int = 1,
) -> None:
    """Count the time that machines of an app profile ran. This is how a compute backend reports it, each span once.

    Args:
        session: a writing transaction; the one that notes the span as reported.
        organization_id: whose app or placeholder it was.
        profile_id: the app profile, under which the hours are shown as cost allocation tag.
        started_at: when the span began, aware.
        until: when it ended, aware.
        machines: how many ran.

    Raises:
        ValueError: the span ends before it begins, or `machines` is negative.
    """
    if until < started_at or machines < 0:
        raise ValueError("a span of running time ends after it begins, and no number of machines is negative")
    amounts = {}
    for day in days(started_at.astimezone(dt.UTC).date(), until.astimezone(dt.UTC).date()):
        ran = machines * _overlap(started_at, until, day)
        if ran:
            amounts[Key(organization_id, day, APP_HOURS.name, profile_id)] = ran
    add(session, amounts)


def first_open_day(session: Session) -> dt.date:
    """The first day whose month is not closed; `date.min` while none is."""
    closed = session.scalar(select(func.max(BillingMonth.month)))
    return dt.date.min if closed is None else next_month(closed)


def next_month(day: dt.date) -> dt.date:
    """The first day of the month after the one that `day` is in."""
    return (day.replace(day=28) + dt.timedelta(days=4)).replace(day=1)


def days(first: dt.date, last: dt.date) -> Iterator[dt.date]:
    """The days from `first` to `last`, both among them."""
    return (first + dt.timedelta(days=n) for n in range((last - first).days + 1))


# --- stored content ------------------------------------------------------------------------------


class Measured(NamedTuple):
    """What an organization stored on the days that were not settled.

    Attributes:
        since: the first of these days.
        until: the moment of measuring.
        amounts: bytes times microseconds, by day; days without any are left out.
    """

    since: dt.date
    until: dt.datetime
    amounts: dict[dt.date, int]


def measure(session: Session, organization_id: int, now: dt.datetime) -> Measured:
    """Derive what an organization stored from its versions' lifetimes, for the days not settled before `now`.

    A version counts from `created_at` to `removed_at`. That replaced or deleted content can be read
    for another 24 hours is the server's courtesy and counts for nobody.
    """
    reading = session.get(BillingReading, organization_id)
    today = now.date()
    # A reading of the future was taken while the clock was wrong.
    before = None if reading is None else min(reading.measured_until, now)
    since = _first_day(session, organization_id) if before is None else (before - SETTLING).date()
    since = max(since or today, first_open_day(session))
    amounts = {day: _stored(session, organization_id, day, now) for day in days(since, today)}
    return Measured(since, now, {day: amount for day, amount in amounts.items() if amount})


def keep_measured(session: Session, organization_id: int, measured: Measured) -> None:
    """Write what `measure` gave, in place of what was written for these days before.

    Args:
        session: a writing transaction.
        organization_id: whose content it is.
        measured: what `measure` gave, in this transaction or an earlier one.
    """
    organization = session.get(Organization, organization_id)
    if organization is None:
        return  # removed meanwhile
    reading = session.get(BillingReading, organization_id)
    if reading is None:
        reading = BillingReading(organization_id=organization_id, measured_until=measured.until)
        session.add(reading)
    elif measured.until < reading.measured_until and (reading.measured_until - measured.until) < SETTLING:
        return  # another worker has measured later
    reading.measured_until = measured.until
    since = max(measured.since, first_open_day(session))
    key = Key(organization_id, since, OBJECT_STORAGE.name)
    mine = (BillingUsage.user_organization_id == organization_id, BillingUsage.usage_type == OBJECT_STORAGE.name)
    rows = {
        row.billing_date: row
        for row in session.scalars(select(BillingUsage).where(*mine, BillingUsage.billing_date >= since))
    }
    for day, amount in measured.amounts.items():
        if day < since:
            continue
        row = rows.pop(day, None)
        if row is None:
            session.add(_row(key._replace(day=day), organization.name, amount))
        else:
            row.amount = amount
    for row in rows.values():  # of a day that the clock jumped to by mistake
        session.delete(row)


def _first_day(session: Session, organization_id: int) -> dt.date | None:
    first = session.scalar(select(func.min(_version.created_at)).where(_version.organization_id == organization_id))
    return None if first is None else first.date()


def _stored(session: Session, organization_id: int, day: dt.date, now: dt.datetime) -> int:
    """Bytes times microseconds that were stored on `day`, up to `now`."""
    start, end = _bounds(day)
    end = min(end, now)
    mine = _version.organization_id == organization_id
    lived_through = and_(_version.created_at <= start, or_(_version.removed_at.is_(None), _version.removed_at >= end))
    whole = session.scalar(select(func.sum(_version.size)).where(mine, lived_through))
    amount = int(whole or 0) * ((end - start) // _MICROSECOND)
    # The others one by one, as databases do not agree on how to subtract moments.
    overlapping: ColumnElement[bool] = and_(
        _version.created_at < end, or_(_version.removed_at.is_(None), _version.removed_at > start)
    )
    others = select(_version.size, _version.created_at, _version.removed_at).where(
        mine, overlapping, not_(lived_through)
    )
    for size, created_at, removed_at in session.execute(others):
        lasted = min(removed_at or end, end) - max(created_at, start)
        amount += size * max(0, lasted // _MICROSECOND)
    return amount


# --- rows ----------------------------------------------------------------------------------------


def usage_type(row: BillingUsage) -> UsageType:
    """What the row counts."""
    return USAGE_TYPES[row.usage_type]


def _row(key: Key, organization: str, amount: int) -> BillingUsage:
    return BillingUsage(
        user_organization_id=key.organization_id,
        org_name=organization,
        billing_date=key.day,
        usage_type=key.usage_type,
        classification=INTERNAL,
        cost_allocation_tag=key.tag,
        amount=amount,
    )


def _names(session: Session, organizations: Collection[int]) -> dict[int, str]:
    """The short names of those organizations that there are."""
    ids = list(organizations)
    names: dict[int, str] = {}
    for at in range(0, len(ids), _AT_ONCE):
        part = select(Organization.id, Organization.name).where(Organization.id.in_(ids[at : at + _AT_ONCE]))
        names |= {row.id: row.name for row in session.execute(part)}
    return names


def _rows(session: Session, keys: Iterable[Key]) -> dict[Key, BillingUsage]:
    """The rows there are for `keys`, and maybe others."""
    places = sorted({(key.day, key.organization_id) for key in keys})
    by_key: dict[Key, BillingUsage] = {}
    for at in range(0, len(places), _AT_ONCE):
        part = places[at : at + _AT_ONCE]
        rows = select(BillingUsage).where(
            BillingUsage.billing_date.in_({day for day, _ in part}),
            BillingUsage.user_organization_id.in_({organization for _, organization in part}),
        )
        for row in session.scalars(rows.with_for_update()):
            assert row.user_organization_id is not None  # noqa: S101  # asked for
            by_key[Key(row.user_organization_id, row.billing_date, row.usage_type, row.cost_allocation_tag)] = row
    return by_key


def _bounds(day: dt.date) -> tuple[dt.datetime, dt.datetime]:
    start = dt.datetime.combine(day, dt.time(), dt.UTC)
    return start, start + DAY


def _overlap(first: dt.datetime, last: dt.datetime, day: dt.date) -> int:
    """Microseconds of the span that lie in `day`."""
    start, end = _bounds(day)
    return max(0, (min(last, end) - max(first, start)) // _MICROSECOND)
