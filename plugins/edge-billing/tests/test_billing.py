"""`session.billing` against a live server, and what it refuses."""

from __future__ import annotations

import csv
import datetime as dt
import io
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import edge.edge_billing
from edge.api import BadEntry, EdgeSession, Forbidden, NotFound, ServerError
from edge_billing.cloud_usage import BillingCloudUsage
from edge_billing.computed_cost import BillingComputedCost
from edge_billing.namespace import EdgeBilling
from edge_server.billing import usage
from edge_server.data.database import SERVER
from edge_server.identity.directory import find_organization
from edge_server.testing.local_server import EdgeServer

Connect = Callable[..., EdgeSession]

HOUR = dt.timedelta(hours=1)


def today() -> dt.date:
    return dt.datetime.now(dt.UTC).date()


def run_an_app(
    server: EdgeServer, organization: str, profile: str, started_at: dt.datetime, until: dt.datetime
) -> None:
    """Report running time as a compute backend does."""
    with server.database.write(SERVER) as session:
        row = find_organization(session, organization)
        assert row is not None
        usage.report_app_time(session, row.id, profile, started_at, until)


@pytest.fixture
def priced(edge_server: EdgeServer) -> Any:
    """The live server with prices, which it reads when it is asked next."""
    path = edge_server.data / "prices.toml"

    def write(text: str) -> None:
        path.write_text(text)

    yield write
    path.unlink(missing_ok=True)


def test_the_namespace_and_the_records_are_the_documented_ones(edge_session: EdgeSession) -> None:
    assert type(edge_session.billing) is EdgeBilling
    assert edge.edge_billing.BillingCloudUsage is BillingCloudUsage
    assert edge.edge_billing.BillingComputedCost is BillingComputedCost


def test_what_was_used_is_there_at_once(edge_session: EdgeSession) -> None:
    edge_session.files.upload("a.csv", b"x" * 5000)
    usage_by_type = {record.usage_type: record for record in edge_session.billing.query_cloud_usage()}
    assert set(usage_by_type) == {"object_storage", "transfer_in", "transfer_out", "api_requests"}
    sent = usage_by_type["transfer_in"]
    assert sent.to_dict() == {
        "id": sent.id,
        "billing_date": today().isoformat(),
        "cost_allocation_tag": None,
        "org_name": edge_session.organization,
        "classification": "internal",
        "usage_type": "transfer_in",
        "usage_quantity": "5000",
        "usage_quantity_units": "bytes",
        "estimated": True,
    }
    assert (sent.billing_date, sent.usage_quantity, sent.estimated) == (today(), Decimal(5000), True)
    assert usage_by_type["api_requests"].usage_quantity == 1
    assert usage_by_type["object_storage"].usage_quantity_units == "byte-hours"


def test_each_filter_leaves_what_it_names(edge_server: EdgeServer, edge_session: EdgeSession) -> None:
    edge_session.files.upload("a.csv", b"x")
    billing = edge_session.billing

    def kinds(**filters: Any) -> set[str | None]:
        return {record.usage_type for record in billing.query_cloud_usage(**filters)}

    every = kinds()
    assert kinds(usage_type="transfer_in") == {"transfer_in"}
    assert kinds(service="transfer") == {"transfer_in", "transfer_out"}
    assert kinds(service="storage", usage_type="transfer_in") == set()
    assert kinds(classification="internal") == every
    assert kinds(classification="external") == set()
    assert kinds(billing_date=today()) == every
    assert kinds(billing_date=today() - dt.timedelta(days=1)) == set()
    assert kinds(date_range=(today() - dt.timedelta(days=3), today())) == every
    assert kinds(date_range=(today(), dt.date.max)) == every
    assert kinds(date_range=(dt.date.min, today() - dt.timedelta(days=1))) == set()


def test_pages_follow_each_other_without_a_gap(edge_session: EdgeSession, edge_server: EdgeServer) -> None:
    start = dt.datetime.combine(today() - dt.timedelta(days=9), dt.time(), dt.UTC)
    run_an_app(edge_server, edge_session.organization, "edge.medium", start, start + dt.timedelta(days=9))
    billing = edge_session.billing
    whole = [record.id for record in billing.query_cloud_usage(usage_type="app_hours")]
    assert len(whole) == 9
    seen: list[int | None] = []
    while page := billing.query_cloud_usage(
        usage_type="app_hours", page_size=2, start_after_id=seen[-1] if seen else None
    ):
        assert len(page) <= 2
        seen += [record.id for record in page]
    assert seen == whole == sorted(whole)  # type: ignore[type-var]
    assert [record.id for record in billing.all_cloud_usage(usage_type="app_hours", page_size=4)] == whole


def test_running_time_is_split_by_days_and_priced_by_profile(
    edge_session: EdgeSession, edge_server: EdgeServer, priced: Callable[[str], None]
) -> None:
    priced('currency = "CHF"\n[app_hours]\nprice = 0.1\nper = "hour"\nby_tag = { "edge.medium" = 0.25 }\n')
    midnight = dt.datetime.combine(today(), dt.time(), dt.UTC)
    run_an_app(edge_server, edge_session.organization, "edge.medium", midnight - 2 * HOUR, midnight)
    run_an_app(edge_server, edge_session.organization, "edge.medium", midnight - HOUR / 3, midnight)
    run_an_app(edge_server, edge_session.organization, "edge.dashboard", midnight - 26 * HOUR, midnight - 20 * HOUR)
    hours = edge_session.billing.query_cloud_usage(usage_type="app_hours")
    assert {(record.billing_date, record.cost_allocation_tag): str(record.usage_quantity) for record in hours} == {
        (today() - dt.timedelta(days=1), "edge.medium"): "2.333333",
        (today() - dt.timedelta(days=2), "edge.dashboard"): "2.000000",
        (today() - dt.timedelta(days=1), "edge.dashboard"): "4.000000",
    }
    costs = edge_session.billing.query_computed_costs()
    assert sorted(cost.computed_cost for cost in costs) == [Decimal("0.2"), Decimal("0.4"), Decimal("0.5833333333")]
    assert {(cost.currency, cost.category, cost.estimated) for cost in costs} == {("CHF", "Compute", True)}
    assert edge_session.billing.query_computed_costs(category="Object") == []
    with pytest.raises(ValueError, match="after it begins"):
        run_an_app(edge_server, edge_session.organization, "edge.medium", midnight, midnight - HOUR)


def test_costs_are_exact_and_only_of_usage_with_a_price(
    edge_session: EdgeSession, priced: Callable[[str], None]
) -> None:
    edge_session.files.upload("a.csv", b"x" * 123_457)
    billing = edge_session.billing
    assert billing.query_computed_costs() == []
    assert billing.prices().to_dict() == {"currency": None, "prices": []}
    priced('currency = "EUR"\n[transfer_in]\nprice = 0.07\nper = "GB"\n')
    (cost,) = billing.query_computed_costs()
    assert cost.computed_cost == Decimal("0.0000086420")  # 123457 * 0.07 / 10**9 = 0.00000864199
    assert cost.to_dict()["computed_cost"] == "0.0000086420"
    assert (cost.usage_type, cost.category, cost.currency) == ("transfer_in", "Transfer", "EUR")
    assert billing.prices().prices[0].per == "GB"


def test_records_become_a_table(edge_session: EdgeSession) -> None:
    edge_session.files.upload("a.csv", b"x" * 10)
    records = edge_session.billing.query_cloud_usage()
    table = records.to_dataframe()
    assert list(table.columns) == list(records[0].to_dict())
    assert len(table) == len(records)
    assert table["billing_date"].dt.date.tolist() == [today()] * len(records)
    sent = table.loc[table["usage_type"] == "transfer_in", "usage_quantity"]
    assert sent.tolist() == [Decimal(10)]
    nothing = edge_session.billing.query_cloud_usage(classification="external").to_dataframe()
    assert list(nothing.columns) == list(table.columns)
    assert nothing["billing_date"].dt.year.tolist() == []


TOMORROW = today() + dt.timedelta(days=2)


@pytest.mark.parametrize(
    ("filters", "sentence"),
    [
        ({"billing_date": today(), "date_range": (today(), today())}, "exclude each other; give one of them"),
        (
            {"date_range": (today(), today() - dt.timedelta(days=1))},
            "before it begins on .*; give the earlier day first",
        ),
        ({"billing_date": TOMORROW}, r"is in the future, and today is .* \(UTC\)"),
        ({"date_range": (TOMORROW, TOMORROW)}, "is in the future"),
        ({"billing_date": "2024-01-01"}, "give a day as datetime.date"),
        ({"billing_date": dt.datetime(2024, 1, 1)}, "without a time zone"),
        ({"date_range": today()}, "give the first and the last day as a pair"),
        ({"date_range": (today(),)}, "give the first and the last day as a pair"),
        ({"usage_type": "object_strage"}, "there is no 'object_strage'; it is one of object_storage, "),
        ({"classification": "Internal"}, "it is one of internal, external"),
        ({"service": "s3"}, "it is one of storage, transfer, api, apps"),
        ({"page_size": 0}, "page_size is 0; give a whole number from 1 to 10000"),
        ({"page_size": 10_001}, "page_size is 10001"),
        ({"page_size": True}, "page_size is True"),
        ({"start_after_id": -1}, "cursor: it is no id of a record"),
        ({"start_after_id": 10**30}, "cursor: it is no id of a record"),
        ({"start_after_id": "7"}, "give the id of the last record you have"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_cannot_be_is_refused_in_a_sentence(edge_session: EdgeSession, filters: Any, sentence: str) -> None:
    for query in (edge_session.billing.query_cloud_usage, edge_session.billing.query_computed_costs):
        with pytest.raises(BadEntry, match=sentence):
            query(**filters)


def test_a_moment_counts_for_its_day_in_utc(edge_session: EdgeSession) -> None:
    edge_session.files.upload("a.csv", b"x")
    noon = dt.datetime.combine(today(), dt.time(12), dt.UTC)
    east = noon.astimezone(dt.timezone(dt.timedelta(hours=14)))
    assert east.date() > today()
    assert edge_session.billing.query_cloud_usage(billing_date=east)
    with pytest.raises(BadEntry, match="there is no 'Blob'; it is one of Compute, Object, Block, Transfer"):
        edge_session.billing.query_computed_costs(category="Blob")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            'currency = "EUR"\n[object_strage]\nprice = 1\nper = "GB-month"\n',
            "object_strage: .*usage type",
        ),
        ('currency = "EUR"\n[transfer_in]\nprice = -0.01\nper = "GB"\n', "transfer_in.price: a price is not negative"),
        (
            'currency = "EUR"\n[transfer_in]\nprice = nan\nper = "GB"\n',
            "transfer_in.price: write it as a number",
        ),
        (
            'currency = "EUR"\n[transfer_in]\nprice = "1"\nper = "GB"\n',
            "transfer_in.price: write it as a number",
        ),
        (
            'currency = "EUR"\n[transfer_in]\nprice = 1\nper = "GB-month"\n',
            "transfer_in.per: a price is for one of byte, kB, ",
        ),
        (
            'currency = "EUR"\n[transfer_in]\nprice = 1\nper = "GB"\ntax = 2\n',
            "transfer_in.tax: it is unknown here; a price has price, per and by_tag",
        ),
        ('currency = "EUR"\ntransfer_in = 1\n', r'transfer_in: write it as a table \["transfer_in"\]'),
        ('[transfer_in]\nprice = 1\nper = "GB"\n', "currency: write it as a code of ISO 4217"),
        (
            'currency = "EUR"\n[app_hours]\nprice = 1\nper = "hour"\nby_tag = {x = -1}\n',
            "by_tag.x: a price is not negative",
        ),
        ("currency =", "is not TOML"),
    ],
)
def test_a_wrong_price_file_is_reported_in_a_sentence_and_usage_goes_on(
    edge_session: EdgeSession, priced: Callable[[str], None], text: str, sentence: str
) -> None:
    priced(text)
    with pytest.raises(ServerError, match=rf"price file is wrong: prices.toml.*{sentence}"):
        edge_session.billing.query_computed_costs()
    with pytest.raises(ServerError, match=sentence):
        edge_session.billing.prices()
    assert edge_session.billing.query_cloud_usage() is not None


@pytest.mark.slow
def test_a_server_does_not_start_with_a_wrong_price_file(tmp_path: Path) -> None:
    server = EdgeServer(tmp_path / "data")
    server.data.mkdir()
    (server.data / "server.lock").touch()
    (server.data / "prices.toml").write_text('currency = "EUR"\n[blocks]\nprice = 1\n')
    with pytest.raises(RuntimeError, match=r"Error: prices\.toml: blocks: .*usage type; it is one of"):
        server.start()


def test_billing_is_for_administrators(edge_server: EdgeServer, connect: Connect) -> None:
    organization = edge_server.create_organization()
    for roles in (("developer",), ()):
        user = edge_server.create_user(organization=organization, roles=roles)
        token = edge_server.create_token(user)
        with EdgeSession(api_token=token, service_url=edge_server.url, organization=organization) as session:
            for call in (
                session.billing.query_cloud_usage,
                session.billing.query_computed_costs,
                session.billing.prices,
                session.billing.download_report,
            ):
                with pytest.raises(Forbidden):
                    call()
    outside = connect(edge_server, edge_server.create_organization())
    token = outside.config.api_token
    stranger = EdgeSession(api_token=token, service_url=edge_server.url, organization=organization)
    with stranger, pytest.raises(NotFound):
        stranger.billing.query_cloud_usage()


@pytest.mark.slow
def test_a_server_admin_gets_a_report_of_all_organizations(
    edge_server: EdgeServer, connect: Connect, priced: Callable[[str], None], tmp_path: Path
) -> None:
    priced('currency = "EUR"\n[transfer_in]\nprice = 1\nper = "byte"\n')
    names = [edge_server.create_organization() for _ in range(3)]
    for size, name in enumerate(names, 1):
        connect(edge_server, name).files.upload("a.bin", b"x" * size)
    # Who runs the server need not be in any of them.
    token = edge_server.create_token(edge_server.create_user(server_admin=True))
    with EdgeSession(api_token=token, service_url=edge_server.url, organization=names[0]) as session:
        content = session.billing.download_report(tmp_path / "report.csv", date_range=(today(), today()))
        assert (tmp_path / "report.csv").read_bytes() == content
        assert [path.name for path in tmp_path.iterdir()] == ["report.csv"]
        with pytest.raises(NotFound):
            session.billing.query_cloud_usage()
        with pytest.raises(BadEntry, match="in the future"):
            session.billing.download_report(billing_date=TOMORROW)
        assert len(session.billing.download_report(billing_date=dt.date(2000, 1, 1)).splitlines()) == 1
    rows = list(csv.DictReader(io.StringIO(content.decode(), newline="")))
    sent = {row["org_name"]: row for row in rows if row["usage_type"] == "transfer_in"}
    for size, name in enumerate(names, 1):
        row = sent[name]
        assert (row["usage_quantity"], row["usage_quantity_units"]) == (str(size), "bytes")
        assert (Decimal(row["computed_cost"]), row["currency"]) == (size, "EUR")
        assert (row["category"], row["service"], row["estimated"]) == ("Transfer", "transfer", "true")
    assert any(row["computed_cost"] == "" for row in rows if row["usage_type"] == "api_requests")


def test_a_cell_of_the_report_is_never_a_formula(edge_server: EdgeServer, connect: Connect) -> None:
    organization = edge_server.create_organization()
    start = dt.datetime.combine(today(), dt.time(), dt.UTC)
    run_an_app(edge_server, organization, '=HYPERLINK("x")', start - HOUR, start)
    content = connect(edge_server, organization, server_admin=True).billing.download_report()
    rows = list(csv.DictReader(io.StringIO(content.decode(), newline="")))
    assert '\'=HYPERLINK("x")' in {row["cost_allocation_tag"] for row in rows}


def test_the_books_outlive_the_organization(
    edge_server: EdgeServer, connect: Connect, priced: Callable[[str], None]
) -> None:
    organization = edge_server.create_organization()
    connect(edge_server, organization).files.upload("a.bin", b"x" * 50_000)
    token = edge_server.create_token(edge_server.create_user(server_admin=True))
    with EdgeSession(api_token=token, service_url=edge_server.url, organization=organization) as session:
        session.admin.remove_organization(organization)
        deadline = time.monotonic() + 60
        while organization in {row.name for row in session.admin.list_organizations()}:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        content = session.billing.download_report()
    rows = list(csv.DictReader(io.StringIO(content.decode(), newline="")))
    left = {row["usage_type"]: row["usage_quantity"] for row in rows if row["org_name"] == organization}
    assert left["transfer_in"] == "50000"
    assert Decimal(left["object_storage"]) > 0
