"""What organizations used, day by day: counted as it happens, or derived from how long content was there.

All is kept in whole numbers (`edge_billing.usage_types.UsageType.counted`), so that no rounding adds
up. A day is one of UTC. What belongs to a day whose month is closed already, because it was counted
late or the clock jumped back, goes to the first day that is still open: nothing is lost, and what is
final stays as it is.
"""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from edge_billing.usage_types import APP_HOURS, INTERNAL, OBJECT_STORAGE, USAGE_TYPES, UsageType
from edge_server.billing.models import BillingMonth, BillingReading, BillingUsage
from edge_server.data.declarative import RowId, UtcDateTime
from edge_server.identity.models import Organization

DAY = dt.timedelta(days=1)

SETTLING = dt.timedelta(hours=1)
"""How long after a day its numbers may still grow: a transaction dates what it writes before it commits."""

_MICROSECOND = dt.timedelta(microseconds=1)
_DAY_LENGTH = DAY // _MICROSECOND
_AT_ONCE = 500


# The tables of versions and uploads, which files write, by their names: subsystems do not import each other. These
# columns are all there is to agree on. A function of files that measures would have to know what a day is here,
# which months are closed and what was measured before.
VERSIONS = sa.table(
    "versions",
    sa.column("id", RowId),
    sa.column("organization_id", sa.BigInteger()),
    sa.column("size", sa.BigInteger()),
    sa.column("created_at", UtcDateTime()),
    sa.column("removed_at", UtcDateTime()),
    sa.column("collected_at", UtcDateTime()),
)
_KEPT = sa.DateTime(timezone=True)

UPLOADS = sa.table("uploads", sa.column("version_id", RowId))
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

    What is stored now is known (`Organization.used_bytes`, and what is still to be cleared away), and leads back to
    what was stored when these days began.
    So the versions that came or went since are gone through, once, and no others.

    Args:
        session: a reading transaction, which sees one state of the database.
        organization_id: whose content.
        now: up to when.
    """
    reading = session.get(BillingReading, organization_id)
    today = now.date()
    # A reading of the future was taken while the clock was wrong.
    before = None if reading is None else min(reading.measured_until, now)
    since = _first_day(session, organization_id) if before is None else (before - SETTLING).date()
    since = min(max(since or today, first_open_day(session)), today)
    start, end = _as_kept(session, _bounds(since)[0]), _as_kept(session, now)
    count = (today - since).days + 1
    amounts = [0] * count
    grown = [0] * (count + 1)  # by how much a day begins with more bytes than the day before

    def change(size: int, moment: dt.datetime) -> None:
        passed = moment - start
        amounts[passed.days] += size * (_DAY_LENGTH - passed.seconds * 1_000_000 - passed.microseconds)
        grown[passed.days + 1] += size

    held = select(Organization.used_bytes + Organization.released_bytes)
    stored = session.scalar(held.where(Organization.id == organization_id)) or 0
    for size, created_at in _came_and_stayed(session, organization_id, _bounds(since)[0]):
        stored -= size
        if created_at < end:
            # As `change` does it; there may be very many of these.
            passed = created_at - start
            day = passed.days
            amounts[day] += size * (_DAY_LENGTH - passed.seconds * 1_000_000 - passed.microseconds)
            grown[day + 1] += size
    for size, created_at, removed_at in _went(session, organization_id, _bounds(since)[0]):
        if created_at <= start:
            stored += size
        if removed_at <= created_at:
            continue  # by a clock that was set back
        if start < created_at < end:
            change(size, created_at)
        if removed_at < end and created_at < end:
            change(-size, removed_at)
    for n in range(count):
        stored += grown[n]
        amounts[n] += stored * _DAY_LENGTH
    # What is stored now counts to the end of the day above.
    amounts[-1] -= (stored + grown[count]) * ((_bounds(today)[1] - now) // _MICROSECOND)
    return Measured(since, now, {since + n * DAY: amount for n, amount in enumerate(amounts) if amount})


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
    elif reading.closed_at is not None:
        if measured.until != reading.closed_at:
            return  # it was measured before it was closed, by a request that is late
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
    new = []
    for day, amount in measured.amounts.items():
        if day < since:
            continue
        row = rows.pop(day, None)
        if row is None:
            new.append(_values(key._replace(day=day), organization.name, amount))
        else:
            row.amount = amount
    if new:  # of a year perhaps
        session.execute(sa.insert(BillingUsage), new)
    for row in rows.values():  # of a day that the clock jumped to by mistake
        session.delete(row)


def note_end(session: Session, organization_id: int, now: dt.datetime) -> None:
    """Note that an organization stores nothing from `now` on, in the transaction that closes it."""
    reading = session.get(BillingReading, organization_id)
    if reading is None:
        created_at = session.get_one(Organization, organization_id).created_at
        reading = BillingReading(organization_id=organization_id, measured_until=created_at)
        session.add(reading)
    reading.closed_at = now


def unneeded(session: Session, organization_id: int, limit: int) -> Sequence[int]:
    """The ids of versions whose rows nothing needs any more: the content is gone, and the last day's month closed."""
    open_from = first_open_day(session)
    if open_from == dt.date.min:
        return []
    rows = select(_version.id).where(
        _version.organization_id == organization_id,
        _version.removed_at.is_not(None),
        _version.removed_at < _bounds(open_from)[0],
        _version.collected_at.is_not(None),
        ~sa.exists().where(UPLOADS.c.version_id == _version.id),
    )
    return session.scalars(rows.limit(limit)).all()


def _first_day(session: Session, organization_id: int) -> dt.date | None:
    first = session.scalar(select(func.min(_version.created_at)).where(_version.organization_id == organization_id))
    return None if first is None else first.date()


def _came_and_stayed(session: Session, organization_id: int, start: dt.datetime) -> Iterator[Sequence[Any]]:
    """Size and beginning of the versions that came after `start` and are still there, see `_went`."""
    mine = select(_version.size, sa.type_coerce(_version.created_at, _KEPT))
    mine = mine.where(_version.organization_id == organization_id, _version.removed_at.is_(None))
    return _rows_of(session, mine.where(_version.created_at > start))


def _went(session: Session, organization_id: int, start: dt.datetime) -> Iterator[Sequence[Any]]:
    """Size, beginning and end of the versions that went after `start`, or that came after it and have gone.

    Moments are as the database keeps them. There may be many, of which a time zone for each moment would take as long
    as all else.
    """
    mine = select(
        _version.size, sa.type_coerce(_version.created_at, _KEPT), sa.type_coerce(_version.removed_at, _KEPT)
    ).where(_version.organization_id == organization_id, _version.removed_at.is_not(None))
    # In two parts, each of which has an index.
    both = sa.union_all(
        mine.where(_version.created_at > start),
        mine.where(_version.created_at <= start, _version.removed_at > start),
    )
    return _rows_of(session, both)


def _rows_of(session: Session, rows: sa.Executable) -> Iterator[Sequence[Any]]:
    return itertools.chain.from_iterable(session.execute(rows).partitions(_AT_ONCE))


def _as_kept(session: Session, moment: dt.datetime) -> dt.datetime:
    """A moment to be compared with what `_went` gives: SQLite keeps no time zone, all is in UTC."""
    return moment.replace(tzinfo=None) if session.get_bind().dialect.name == "sqlite" else moment


# --- rows ----------------------------------------------------------------------------------------


def usage_type(row: BillingUsage) -> UsageType:
    """What the row counts."""
    return USAGE_TYPES[row.usage_type]


def _row(key: Key, organization: str, amount: int) -> BillingUsage:
    return BillingUsage(**_values(key, organization, amount))


def _values(key: Key, organization: str, amount: int) -> dict[str, Any]:
    return {
        "user_organization_id": key.organization_id,
        "org_name": organization,
        "billing_date": key.day,
        "usage_type": key.usage_type,
        "classification": INTERNAL,
        "cost_allocation_tag": key.tag,
        "amount": amount,
    }


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
