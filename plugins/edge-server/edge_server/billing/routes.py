"""The addresses of usage and costs: an organization's, and for those who run the server of all organizations."""

from __future__ import annotations

import csv
import datetime as dt
import io
import re
from collections.abc import Collection, Iterator
from typing import Any

import flask
from sqlalchemy import ColumnElement, Select, and_, or_, select

from edge_billing.cloud_usage import BillingCloudUsage
from edge_billing.computed_cost import BillingComputedCost
from edge_billing.usage_types import CATEGORIES, CLASSIFICATIONS, SERVICES, USAGE_TYPES
from edge_billing.wire import CostPage, CostQuery, DatesQuery, PriceList, UsagePage, UsageQuery
from edge_server.base import clock
from edge_server.base.problems import bad_entry
from edge_server.billing import closing
from edge_server.billing.meter import Meter
from edge_server.billing.models import BillingUsage
from edge_server.billing.prices import PriceFile, Prices, in_force
from edge_server.billing.usage import usage_type
from edge_server.identity.directory import DELETING
from edge_server.identity.models import Organization
from edge_server.web.context import Context
from edge_server.web.permissions import ORG_ADMIN, SERVER_ADMIN
from edge_server.web.routes import Routes

FRESH = dt.timedelta(minutes=1)
"""How old the measure of what is stored today may be in an answer."""

REPORT_COLUMNS = (
    "id",
    "billing_date",
    "org_name",
    "classification",
    "service",
    "category",
    "usage_type",
    "cost_allocation_tag",
    "usage_quantity",
    "usage_quantity_units",
    "computed_cost",
    "currency",
    "estimated",
)

Conditions = list[ColumnElement[bool]]
"""What rows have to be, all of it."""

_AT_ONCE = 1000

_ID = re.compile("[0-9]{1,18}", re.ASCII)


def routes(context: Context, price_file: PriceFile, meter: Meter) -> Routes:
    """Below ``/v1/orgs/<org>/billing`` and ``/v1/admin/billing``."""
    routes = context.routes("/v1")

    def bring_up_to_date() -> None:
        # What this worker has counted so far is written, and what is stored is measured.
        meter.flush()
        closing.measure_up_to(context, context.member().organization_id, context.now(), fresh=FRESH)

    def page(query: UsageQuery, conditions: Conditions) -> tuple[list[BillingUsage], str | None]:
        # Not by `context.page`: clients begin after any record they have, so that a cursor is its id as it is.
        if query.cursor is not None and not _ID.fullmatch(query.cursor):
            raise bad_entry("cursor: it is no id of a record; give the id of the last one you have, or begin anew")
        after = int(query.cursor or 0)
        with context.read() as session:
            rows = list(session.scalars(_rows(conditions, after, query.limit + 1)))
        more = len(rows) > query.limit
        rows = rows[: query.limit]
        return rows, str(rows[-1].id) if more else None

    def csv_of(conditions: Conditions, prices: Prices) -> Iterator[str]:
        yield _lines([REPORT_COLUMNS])
        after = 0
        while True:
            # A transaction for each piece: one that stayed open while a slow reader reads would keep the
            # database's log from being cleared.
            with context.read() as session:
                rows = list(session.scalars(_rows(conditions, after, _AT_ONCE)))
            if not rows:
                return
            yield _lines([_report_line(row, prices) for row in rows])
            after = rows[-1].id

    @routes.operation("billing.usage", "GET", "/orgs/<org>/billing/usage", who=ORG_ADMIN)
    @routes.arguments(UsageQuery.schema(), location="query")
    @routes.response(200, UsagePage.schema())
    def usage(query: UsageQuery, org: str) -> flask.Response:
        """List what the organization used, a record for each day and usage type."""
        conditions = _conditions(query, context.member().organization_id)
        bring_up_to_date()
        rows, following = page(query, conditions)
        return context.answer(UsagePage(items=[_usage(row) for row in rows], next=following))

    @routes.operation("billing.costs", "GET", "/orgs/<org>/billing/costs", who=ORG_ADMIN)
    @routes.arguments(CostQuery.schema(), location="query")
    @routes.response(200, CostPage.schema())
    def costs(query: CostQuery, org: str) -> flask.Response:
        """List what the organization's usage costs; usage that has no price is not among it."""
        conditions = _conditions(query, context.member().organization_id)
        _check("category", query.category, CATEGORIES)
        if query.category is not None:
            conditions.append(_of_types(each.name for each in USAGE_TYPES.values() if each.category == query.category))
        prices = in_force(price_file)
        conditions.append(_has_cost(prices))
        bring_up_to_date()
        rows, following = page(query, conditions)
        return context.answer(CostPage(items=[_cost(row, prices) for row in rows], next=following))

    @routes.operation("billing.prices", "GET", "/orgs/<org>/billing/prices", who=ORG_ADMIN)
    @routes.response(200, PriceList.schema())
    def price_list(org: str) -> flask.Response:
        """Tell the prices in force, which make the costs that are still estimated."""
        return context.answer(in_force(price_file).record())

    @routes.operation("admin.billing.report", "GET", "/admin/billing/report", who=SERVER_ADMIN)
    @routes.arguments(DatesQuery.schema(), location="query")
    @routes.response(200, {"type": "string"}, content_type="text/csv")
    def report(query: DatesQuery) -> flask.Response:
        """Send usage and costs of all organizations as CSV (RFC 4180)."""
        conditions = _in_days(query)
        prices = in_force(price_file)
        meter.flush()
        now = context.now()
        with context.read() as session:
            organizations = session.scalars(select(Organization.id).where(Organization.status != DELETING)).all()
        for organization in organizations:
            closing.measure_up_to(context, organization, now, fresh=FRESH)
        headers = {"Content-Disposition": f'attachment; filename="edge-billing-{now:%Y-%m-%d}.csv"'}
        return flask.Response(csv_of(conditions, prices), headers=headers, content_type="text/csv; charset=utf-8")

    return routes


# --- what is asked for ---------------------------------------------------------------------------


def _conditions(query: UsageQuery, organization_id: int) -> Conditions:
    """What the rows have to be.

    Raises:
        Refusal: no row could ever be like that.
    """
    _check("usage_type", query.usage_type, USAGE_TYPES)
    _check("classification", query.classification, CLASSIFICATIONS)
    _check("service", query.service, SERVICES)
    conditions = _in_days(query)
    conditions.append(BillingUsage.user_organization_id == organization_id)
    if query.usage_type is not None:
        conditions.append(BillingUsage.usage_type == query.usage_type)
    if query.classification is not None:
        conditions.append(BillingUsage.classification == query.classification)
    if query.service is not None:
        conditions.append(_of_types(each.name for each in USAGE_TYPES.values() if each.service == query.service))
    return conditions


def _in_days(query: DatesQuery) -> Conditions:
    today = clock.now().date()
    day, first, last = query.billing_date, query.date_from, query.date_to
    if day is not None and (first is not None or last is not None):
        raise bad_entry("billing_date and a range of dates exclude each other; give one of them")
    for earliest in (day, first):
        if earliest is not None and earliest > today:
            raise bad_entry(f"{earliest} is in the future, and today is {today} (UTC); ask for days up to today")
    if first is not None and last is not None and last < first:
        raise bad_entry(f"the range of dates ends on {last}, before it begins on {first}; give the earlier day first")
    conditions: Conditions = []
    if day is not None:
        conditions.append(BillingUsage.billing_date == day)
    if first is not None:
        conditions.append(BillingUsage.billing_date >= first)
    if last is not None:
        conditions.append(BillingUsage.billing_date <= last)
    return conditions


def _check(name: str, value: str | None, known: Collection[str]) -> None:
    if value is not None and value not in known:
        raise bad_entry(f"{name}: there is no {value!r}; it is one of {', '.join(known)}")


def _of_types(names: Iterator[str]) -> ColumnElement[bool]:
    return BillingUsage.usage_type.in_(list(names))


def _has_cost(prices: Prices) -> ColumnElement[bool]:
    return or_(
        and_(BillingUsage.final.is_(True), BillingUsage.computed_cost.is_not(None)),
        and_(BillingUsage.final.is_(False), BillingUsage.usage_type.in_(list(prices.prices))),
    )


def _rows(conditions: Conditions, after: int, limit: int) -> Select[BillingUsage]:
    return select(BillingUsage).where(*conditions, BillingUsage.id > after).order_by(BillingUsage.id).limit(limit)


# --- what is answered ----------------------------------------------------------------------------


def _usage(row: BillingUsage) -> BillingCloudUsage:
    kind = usage_type(row)
    return BillingCloudUsage(
        id=row.id,
        billing_date=row.billing_date,
        cost_allocation_tag=row.cost_allocation_tag or None,
        org_name=row.org_name,
        classification=row.classification,
        usage_type=row.usage_type,
        usage_quantity=kind.quantity(row.amount),
        usage_quantity_units=kind.units,
        estimated=not row.final,
    )


def _cost(row: BillingUsage, prices: Prices) -> BillingComputedCost:
    kind = usage_type(row)
    cost, currency = row.computed_cost, row.currency
    if not row.final:
        cost, currency = prices.cost(kind, row.cost_allocation_tag, row.amount), prices.currency
    assert cost is not None  # noqa: S101  # such rows were asked for
    return BillingComputedCost(
        id=row.id,
        billing_date=row.billing_date,
        org_name=row.org_name,
        classification=row.classification,
        usage_type=row.usage_type,
        computed_cost=cost,
        category=kind.category,
        estimated=not row.final,
        currency=currency,
    )


def _report_line(row: BillingUsage, prices: Prices) -> list[Any]:
    kind = usage_type(row)
    cost, currency = row.computed_cost, row.currency
    if not row.final:
        cost, currency = prices.cost(kind, row.cost_allocation_tag, row.amount), prices.currency
    return [
        row.id,
        row.billing_date,
        _text(row.org_name),
        row.classification,
        kind.service,
        kind.category,
        row.usage_type,
        _text(row.cost_allocation_tag),
        format(kind.quantity(row.amount), "f"),
        kind.units,
        "" if cost is None else format(cost, "f"),
        "" if cost is None else currency,
        "false" if row.final else "true",
    ]


def _text(cell: str) -> str:
    """A text that no spreadsheet takes for a formula."""
    return f"'{cell}" if cell[:1] in ("=", "+", "-", "@", "\t", "\r") else cell


def _lines(rows: Any) -> str:
    written = io.StringIO()
    csv.writer(written).writerows(rows)
    return written.getvalue()
