"""Months: closed once, in order, and never by a clock that is wrong; storage to the microsecond."""

from __future__ import annotations

import contextlib
import datetime as dt
import random
import secrets
import threading
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from edge_server.base import clock, operator_files
from edge_server.base.operator_files import BadOperatorFile, OperatorFile
from edge_server.billing import closing, usage
from edge_server.billing.models import BillingMonth, BillingReading, BillingUsage
from edge_server.billing.prices import FILE_NAME as PRICES_NAME
from edge_server.billing.prices import NONE, PriceFile, Prices, PricesSchema
from edge_server.billing.usage import Key
from edge_server.data.database import FILE_NAME, SERVER, Database
from edge_server.data.migration import migrate, own_history
from edge_server.files import tree
from edge_server.files.models import Upload, Version
from edge_server.identity import directory
from edge_server.identity.models import Organization, User

from .postgresql import scratch_postgresql
from .work import Watch

UTC = dt.UTC
MARCH = dt.date(2031, 3, 1)
PRICES = (
    b'currency = "EUR"\n[object_storage]\nprice = 1\nper = "byte-hour"\n[api_requests]\nprice = 2\nper = "request"\n'
)


def at(day: int, hour: float = 0, month: int = 3) -> dt.datetime:
    return dt.datetime(2031, month, day, tzinfo=UTC) + dt.timedelta(hours=hour)


class Clock:
    """A clock a test sets."""

    def __init__(self) -> None:
        self.wall, self.even = at(1), 0.0

    def pass_to(self, moment: dt.datetime) -> None:
        self.even += (moment - self.wall).total_seconds()
        self.wall = moment

    def jump_to(self, moment: dt.datetime) -> None:
        self.wall = moment


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Clock:
    time = Clock()
    monkeypatch.setattr(clock, "_now", lambda: time.wall)
    monkeypatch.setattr(clock, "_monotonic", lambda: time.even)
    return time


@pytest.fixture
def database(request: pytest.FixtureRequest, time: Clock, tmp_path: Path) -> Iterator[Database]:
    with contextlib.ExitStack() as stack:
        if getattr(request, "param", "sqlite") == "postgresql":
            opened: Database = stack.enter_context(scratch_postgresql())
            own_history().upgrade(opened)
        else:
            opened = stack.enter_context(contextlib.closing(Database(tmp_path / FILE_NAME)))
            migrate(opened, tmp_path / "backups", [own_history()])
        with opened.write(SERVER) as session:
            directory.create_organization(session, [tree.plant], "lab")
            directory.create_user(session, "ada")
        yield opened


@pytest.fixture
def prices(tmp_path: Path) -> PriceFile:
    path = tmp_path / PRICES_NAME
    path.write_bytes(PRICES)
    return price_file(path)


def price_file(path: Path) -> PriceFile:
    return OperatorFile(path, PricesSchema(), NONE)


def parse(content: bytes) -> Prices:
    prices: Prices = operator_files.load(PRICES_NAME, content, PricesSchema())
    return prices


def ids(session: Session) -> tuple[int, int]:
    return session.scalars(sa.select(Organization.id)).one(), session.scalars(sa.select(User.id)).one()


def store(database: Database, size: int, created_at: dt.datetime, removed_at: dt.datetime | None = None) -> None:
    with database.write(SERVER) as session:
        organization, user = ids(session)
        version = Version(
            key=secrets.token_hex(20),
            organization_id=organization,
            size=size,
            digest="0" * 64,
            created_at=created_at,
            removed_at=removed_at,
            created_by=user,
        )
        session.add(version)
        if removed_at is None:
            session.execute(sa.update(Organization).values(used_bytes=Organization.used_bytes + size))


def count(database: Database, day: dt.date, requests: int) -> None:
    with database.write(SERVER) as session:
        usage.add(session, {Key(ids(session)[0], day, "api_requests"): requests})


def measure(database: Database) -> None:
    with database.read() as session:
        organization, _ = ids(session)
    closing.measure_up_to(database, organization, clock.now())


def rows(database: Database, usage_type: str = "object_storage") -> dict[dt.date, tuple[Decimal, bool]]:
    with database.read() as session:
        days = session.scalars(sa.select(BillingUsage).where(BillingUsage.usage_type == usage_type))
        return {row.billing_date: (usage.usage_type(row).quantity(row.amount), row.final) for row in days}


def hours(database: Database) -> dict[int, Decimal]:
    return {day.day: quantity for day, (quantity, _) in rows(database).items()}


def test_storage_is_measured_by_lifetimes_split_at_midnight(database: Database, time: Clock) -> None:
    store(database, 100, at(1, 12), at(3, 6))
    store(database, 7, at(2, 1), at(2, 1) + dt.timedelta(microseconds=3_600_000_001))
    store(database, 5, at(4), at(4, 24))
    store(database, 9, at(2, 5), at(2, 4))  # removed before it was made, by a clock that was set back
    time.pass_to(at(5, 12))
    store(database, 1, at(5, 11.5))
    measure(database)
    assert hours(database) == {1: 1200, 2: 2400 + 7, 3: 600, 4: 120, 5: Decimal("0.5")}


def test_what_is_read_of_files_is_there() -> None:
    for table, model in ((usage.VERSIONS, Version), (usage.UPLOADS, Upload)):
        for column in table.columns:
            assert isinstance(column.type, type(model.__table__.c[column.name].type))


@pytest.mark.parametrize("database", ["sqlite", "postgresql"], indirect=True)
def test_a_measure_is_the_sum_of_what_each_version_lasted(database: Database, time: Clock) -> None:
    chance = random.Random(7)
    versions = []
    for size in range(1, 200):
        created_at = at(1) + dt.timedelta(microseconds=chance.randrange(12 * 24 * 3600 * 10**6))
        lasted = dt.timedelta(microseconds=chance.randrange(-(10**10), 4 * 24 * 3600 * 10**6))
        versions.append((size, created_at, created_at + lasted if chance.random() < 0.7 else None))
    for hour in range(3):  # on the stroke of midnight
        versions.append((1000 + hour, at(2), at(3)))
        versions.append((2000 + hour, at(5), None))
    versions.append((3000, at(25), None))  # by a clock that was wrong
    for version in versions:
        store(database, *version)
    for moment in (at(3, 7), at(6), at(6, 0.5), at(11, 23)):
        now = moment
        time.pass_to(now)
        with database.write(SERVER) as session:
            # What is removed later is stored now, and the other way round.
            for row in session.scalars(sa.select(Version)):
                (row.removed_at,) = [end for size, _, end in versions if size == row.size]
                if row.removed_at is not None and row.removed_at >= now:
                    row.removed_at = None
            session.flush()
            held = session.scalar(sa.select(sa.func.sum(Version.size)).where(Version.removed_at.is_(None)))
            session.execute(sa.update(Organization).values(used_bytes=held))
        measure(database)
        for day in usage.days(at(1).date(), now.date()):
            start = dt.datetime.combine(day, dt.time(), UTC)
            end = min(start + usage.DAY, now)
            expected = sum(
                size * max(0, (min(removed_at or end, end) - max(created_at, start)) // dt.timedelta(microseconds=1))
                for size, created_at, removed_at in versions
            )
            with database.read() as session:
                row = session.scalar(sa.select(BillingUsage).where(BillingUsage.billing_date == day))
                assert (0 if row is None else row.amount) == expected, day


def test_files_of_a_deleted_folder_count_until_then_whether_or_not_it_is_cleared_away(
    database: Database, time: Clock
) -> None:
    store(database, 100, at(1, 12))
    with database.write(SERVER) as session:  # deleted at 18 o'clock, and no version says so yet
        session.execute(sa.update(Organization).values(used_bytes=0, released_bytes=100))
    time.pass_to(at(1, 20))
    measure(database)
    assert hours(database) == {1: 800}
    with database.write(SERVER) as session:
        session.execute(sa.update(Version).values(removed_at=at(1, 18)))
        session.execute(sa.update(Organization).values(released_bytes=0))
    measure(database)
    assert hours(database) == {1: 600}


def test_days_that_nobody_measured_take_a_single_pass_over_the_versions(database: Database, time: Clock) -> None:
    for n in range(100):
        store(database, 1, at(1) + dt.timedelta(minutes=n), at(2) if n % 2 else None)

    def steps_of_measure(moment: dt.datetime) -> tuple[int, int]:
        time.pass_to(moment)
        with Watch(database).watching() as done:
            measure(database)
        reading = next(work for work in done if not work.writes)
        return reading.statements, reading.steps

    def forget() -> None:
        with database.write(SERVER) as session:
            session.execute(sa.delete(BillingReading))

    statements, steps = steps_of_measure(at(3))
    forget()
    assert steps_of_measure(at(3, 300 * 24)) == (statements, steps)
    # And days that were measured take none over what was there before.
    statements, steps = steps_of_measure(at(3, 300 * 24 + 2))
    for n in range(400):
        store(database, 1, at(1, n / 60), at(3) if n % 2 else None)
    more_statements, more_steps = steps_of_measure(at(3, 300 * 24 + 4))
    assert (more_statements, more_steps) <= (statements, steps + 2)


def test_rows_of_versions_are_kept_until_their_last_month_is_closed(
    database: Database, time: Clock, prices: PriceFile
) -> None:
    store(database, 1, at(1), at(20))
    store(database, 2, at(1), at(2, month=4))
    store(database, 3, at(1), at(20))
    store(database, 4, at(1), at(20))
    store(database, 5, at(1))
    with database.write(SERVER) as session:
        organization, user = ids(session)
        session.execute(sa.update(Version).where(Version.size.in_([1, 2, 4])).values(collected_at=at(21)))
        whole = session.scalars(sa.select(Version.id).where(Version.size == 4)).one()
        session.add(
            Upload(
                key="0a" * 20,
                organization_id=organization,
                path="x",
                part_size=1,
                overwrite=True,
                expires_at=at(22),
                created_by=user,
                version_id=whole,
            )
        )

    def left() -> list[int]:
        closing.prune(database)
        with database.read() as session:
            return list(session.scalars(sa.select(Version.size).order_by(Version.size)))

    time.pass_to(at(3, month=4))
    assert left() == [1, 2, 3, 4, 5]
    assert closing.close_ended(database, prices, clock.now()) == [MARCH]
    final = rows(database)
    # One has content still, and one is what the answer to a repeated request tells of.
    assert left() == [2, 3, 4, 5]
    measure(database)
    assert rows(database) == final


def test_what_a_closed_organization_stored_counts_up_to_then(
    database: Database, time: Clock, prices: PriceFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(closing, "PRUNED", 1)
    store(database, 10, at(29))
    with database.read() as session:
        organization, _ = ids(session)
    time.pass_to(at(30))
    measure(database)
    time.pass_to(at(30, 12))
    with Watch(database).watching() as done, database.write(SERVER) as session:
        session.get_one(Organization, organization).status = directory.DELETING
        usage.note_end(session, organization, clock.now())
    assert [work.rows for work in done] == [2]
    # The server was off for a while.
    time.pass_to(at(2, month=4))
    assert closing.close_ended(database, prices, clock.now()) == [MARCH]
    assert hours(database) == {29: 240, 30: 120}
    with database.write(SERVER) as session:
        session.execute(sa.delete(Version))  # the removal has begun
    measure(database)
    assert hours(database) == {29: 240, 30: 120}


def test_a_measure_that_is_late_does_not_undo_the_last_of_a_closed_organization(
    database: Database, time: Clock
) -> None:
    store(database, 10, at(1))
    time.pass_to(at(1, 3))
    with database.read() as session:
        organization, _ = ids(session)
        late = usage.measure(session, organization, clock.now())
    time.pass_to(at(1, 5))
    with database.write(SERVER) as session:
        session.get_one(Organization, organization).status = directory.DELETING
        usage.note_end(session, organization, clock.now())
    measure(database)
    with database.write(SERVER) as session:
        usage.keep_measured(session, organization, late)
    assert hours(database) == {1: 50}


def test_a_day_grows_until_it_is_over_and_days_without_a_server_are_not_missing(
    database: Database, time: Clock
) -> None:
    store(database, 10, at(1))
    time.pass_to(at(1, 6))
    measure(database)
    assert hours(database) == {1: 60}
    time.pass_to(at(1, 23))
    measure(database)
    assert hours(database) == {1: 230}
    time.pass_to(at(4, 1))  # nobody measured for days
    measure(database)
    assert hours(database) == {1: 240, 2: 240, 3: 240, 4: 10}


def test_a_store_of_petabytes_is_counted_exactly(database: Database, time: Clock) -> None:
    size = 10**18 - 1
    store(database, size, at(1))
    time.pass_to(at(2))
    measure(database)
    assert hours(database) == {1: 24 * size}


def test_content_that_can_still_be_read_for_a_day_counts_for_nobody(database: Database, time: Clock) -> None:
    store(database, 100, at(1), at(1, 2))
    time.pass_to(at(1, 20))
    measure(database)
    assert hours(database) == {1: 200}


def test_a_clock_that_jumps_leaves_nothing_behind(database: Database, time: Clock) -> None:
    store(database, 10, at(1))
    time.pass_to(at(3, 12))
    measure(database)
    right = rows(database)
    time.jump_to(at(20))
    measure(database)
    assert len(rows(database)) > len(right)
    time.jump_to(at(3, 12))
    measure(database)
    assert rows(database) == right
    time.jump_to(at(2, 1))
    measure(database)
    time.jump_to(at(3, 12))
    measure(database)
    assert rows(database) == right


def test_a_month_is_closed_an_hour_after_its_end_with_its_costs(
    database: Database, time: Clock, prices: PriceFile
) -> None:
    store(database, 2, at(31))
    count(database, dt.date(2031, 3, 30), 5)
    time.pass_to(at(1, 0.99, month=4))
    assert closing.close_ended(database, prices, clock.now()) == []
    time.pass_to(at(1, 1, month=4))
    assert closing.close_ended(database, prices, clock.now()) == [MARCH]
    with database.read() as session:
        costs = {
            (row.billing_date.isoformat(), row.usage_type): (row.final, row.computed_cost, row.currency)
            for row in session.scalars(sa.select(BillingUsage).where(BillingUsage.final))
        }
    assert costs == {
        ("2031-03-30", "api_requests"): (True, Decimal(10), "EUR"),
        ("2031-03-31", "object_storage"): (True, Decimal(48), "EUR"),
    }


def test_a_month_closed_twice_or_by_many_at_once_is_closed_once(
    database: Database, time: Clock, prices: PriceFile, tmp_path: Path
) -> None:
    count(database, MARCH, 5)
    time.pass_to(at(2, month=4))
    others = [Database(database.address) for _ in range(4)]
    closed: list[list[dt.date]] = []
    threads = [
        threading.Thread(target=lambda other=other: closed.append(closing.close_ended(other, prices, clock.now())))  # type: ignore[misc]
        for other in others
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(closed) == [[], [], [], [MARCH]]
    final = rows(database, "api_requests")
    assert closing.close_ended(database, prices, clock.now()) == []
    assert closing.close(database, MARCH, parse(PRICES.replace(b"2", b"3")), clock.now()) is False
    assert rows(database, "api_requests") == final
    with database.read() as session:
        assert session.scalars(sa.select(BillingMonth.month)).all() == [MARCH]
    for other in others:
        other.close()


def test_what_comes_too_late_goes_to_the_first_open_day(database: Database, time: Clock, prices: PriceFile) -> None:
    count(database, dt.date(2031, 3, 30), 5)
    time.pass_to(at(2, month=4))
    closing.close_ended(database, prices, clock.now())
    count(database, dt.date(2031, 3, 30), 7)
    count(database, dt.date(2031, 2, 1), 1)
    count(database, dt.date(2031, 4, 1), 2)
    assert rows(database, "api_requests") == {
        dt.date(2031, 3, 30): (Decimal(5), True),
        dt.date(2031, 4, 1): (Decimal(10), False),
    }


def test_final_storage_is_not_measured_again(database: Database, time: Clock, prices: PriceFile) -> None:
    store(database, 10, at(30))
    time.pass_to(at(2, month=4))
    closing.close_ended(database, prices, clock.now())
    final = {day: row for day, row in rows(database).items() if row[1]}
    assert len(final) == 2
    with database.write(SERVER) as session:
        session.execute(sa.update(Version).values(size=99, created_at=at(1)))
    for moment in (at(15), at(1, month=2), at(3, month=4)):
        time.jump_to(moment)
        measure(database)
        assert {day: row for day, row in rows(database).items() if row[1]} == final


def test_months_are_closed_in_order_and_none_is_left_out(database: Database, time: Clock, prices: PriceFile) -> None:
    store(database, 1, at(1))
    time.pass_to(at(5, month=6))
    closed = closing.close_ended(database, prices, clock.now())
    assert closed == [MARCH, dt.date(2031, 4, 1), dt.date(2031, 5, 1)]
    assert {quantity for quantity, final in rows(database).values() if final} == {Decimal(24)}


def test_a_wrong_price_file_leaves_the_month_open(database: Database, time: Clock, tmp_path: Path) -> None:
    count(database, MARCH, 5)
    time.pass_to(at(2, month=4))
    path = tmp_path / PRICES_NAME
    path.write_text('currency = "EUR"\n[apples]\n')
    file = price_file(path)
    assert closing.close_ended(database, file, clock.now()) == []
    path.write_bytes(PRICES)
    assert closing.close_ended(database, file, clock.now()) == [MARCH]


def test_the_clock_has_to_run_evenly_before_a_month_is_closed(time: Clock) -> None:
    even = closing.EvenClock()
    assert not even.runs_evenly()
    time.pass_to(time.wall + dt.timedelta(seconds=closing.EVEN_SECONDS - 1))
    assert not even.runs_evenly()
    time.pass_to(time.wall + dt.timedelta(seconds=1))
    assert even.runs_evenly()
    for jump in (dt.timedelta(days=40), dt.timedelta(days=-3)):
        time.jump_to(time.wall + jump)
        assert not even.runs_evenly()
        time.pass_to(time.wall + dt.timedelta(seconds=closing.EVEN_SECONDS))
        assert even.runs_evenly()
    for _ in range(100):  # a time server that brings it to the right time slowly
        time.pass_to(time.wall + dt.timedelta(seconds=10))
        time.jump_to(time.wall + dt.timedelta(seconds=2))
        assert even.runs_evenly()


def test_a_price_file_is_read_again_when_it_has_changed(tmp_path: Path) -> None:
    path = tmp_path / PRICES_NAME
    file = price_file(path)
    assert file.read().currency is None
    path.write_bytes(PRICES)
    assert file.read().currency == "EUR"
    assert file.read() is file.read()
    path.write_bytes(PRICES.replace(b"EUR", b"USDX"[:3]))
    assert file.read().currency == "USD"
    path.unlink()
    assert file.read().prices == {}


@pytest.mark.parametrize(
    ("usage_type", "per", "amount", "cost"),
    [
        ("object_storage", "GB-month", 10**9 * 730 * 3_600_000_000, "0.0230000000"),
        ("object_storage", "GiB-month", 2**30 * 730 * 3_600_000_000, "0.0230000000"),
        ("object_storage", "byte-hour", 3_600_000_000, "0.0230000000"),
        ("transfer_in", "TB", 10**12, "0.0230000000"),
        ("transfer_out", "MiB", 2**20 * 3, "0.0690000000"),
        ("api_requests", "million requests", 1, "0.0000000230"),
        ("app_hours", "hour", 1_800_000_000, "0.0115000000"),
    ],
)
def test_a_price_is_for_the_unit_it_names(usage_type: str, per: str, amount: int, cost: str) -> None:
    prices = parse(f'currency = "EUR"\n[{usage_type}]\nprice = 0.023\nper = "{per}"\n'.encode())
    assert format(prices.cost(usage.USAGE_TYPES[usage_type], "", amount), "f") == cost


def test_prices_are_exact_and_in_the_order_of_the_file() -> None:
    names = ["transfer_out", "api_requests", "object_storage", "transfer_in"]
    units = {"api_requests": "request", "object_storage": "GB-month"}
    tables = [f'[{name}]\nprice = 0.10\nper = "{units.get(name, "GB")}"\n' for name in names]
    prices = parse(("currency = 'EUR'\n" + "".join(tables)).encode())
    assert list(prices.prices) == names
    assert {str(price.price) for price in prices.prices.values()} == {"0.10"}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('currency = "EUR\\n"\n', "currency: write it as a code of ISO 4217"),
        ('currency = "EUR"\n[transfer_in]\nprice = 1\n', "transfer_in.per: it is missing; write what the price is for"),
        ('currency = "EUR"\n[transfer_in]\nprice = 1e30\nper = "GB"\n', "transfer_in.price: .* reasonable size"),
        ('currency = "EUR"\n[transfer_in]\nprice = true\nper = "GB"\n', "transfer_in.price: write it as a number"),
        ('currency = "EUR"\n[app_hours]\nprice = 1\nper = "hour"\nby_tag = 3\n', "app_hours.by_tag: .* table"),
    ],
)
def test_what_is_wrong_with_a_price_names_the_place(text: str, sentence: str) -> None:
    with pytest.raises(BadOperatorFile, match=f"^prices.toml: {sentence}"):
        parse(text.encode())
