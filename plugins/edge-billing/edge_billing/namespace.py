"""The namespace `session.billing`."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from edge_billing.cloud_usage import BillingCloudUsage
from edge_billing.computed_cost import BillingComputedCost
from edge_billing.rows import Rows
from edge_billing.wire import LARGEST_PAGE, PriceList
from edge_core.errors import BadEntry
from edge_core.plugin import Namespace
from edge_core.replacing import replacing

if TYPE_CHECKING:
    import matplotlib.axes

plugin_api = 1

_R = TypeVar("_R")
_B = TypeVar("_B", BillingCloudUsage, BillingComputedCost)

DateRange = tuple[dt.date, dt.date]
"""The first and the last day, both included."""


class EdgeBilling(Namespace):
    """The usage of the organization and its costs: a record for each day and usage type.

    Days are days of UTC. A record is estimated until the server closes its month, soon after the month
    is over; then it is final and never changes again. For administrators of the organization.
    """

    namespace = "billing"

    def query_cloud_usage(
        self,
        usage_type: str | None = None,
        classification: str | None = None,
        service: str | None = None,
        billing_date: dt.date | None = None,
        date_range: DateRange | None = None,
        start_after_id: int | None = None,
        page_size: int = 1000,
    ) -> Rows[BillingCloudUsage]:
        """A page of the records of usage, in the order of their ids.

        Args:
            usage_type: only "object_storage", "transfer_in", "transfer_out",
                "api_requests" or "app_hours".
            classification: only "internal" or only "external".
            service: only "storage", "transfer", "api" or "apps".
            billing_date: only this day (UTC); not together with `date_range`.
            date_range: only the days from the first to the last, both included (UTC).
            start_after_id: the `id` of the last record of the page before.
            page_size: most records, 1 to 10,000.

        Returns:
            A list, which also has `to_dataframe()`.

        Raises:
            BadEntry: parameters exclude each other, a value does not exist, or the days are reversed
                or in the future.
            Forbidden: the user is not an administrator of the organization.
        """
        query = _query(usage_type, classification, service, billing_date, date_range, start_after_id, page_size)
        return Rows(BillingCloudUsage, self._page("/usage", query, BillingCloudUsage.from_answer))

    def query_computed_costs(
        self,
        usage_type: str | None = None,
        classification: str | None = None,
        service: str | None = None,
        billing_date: dt.date | None = None,
        date_range: DateRange | None = None,
        start_after_id: int | None = None,
        page_size: int = 1000,
        *,
        category: str | None = None,
    ) -> Rows[BillingComputedCost]:
        """A page of the records of costs, in the order of their ids.

        Usage without a price has no cost, and no record here; the operator of the server sets prices.

        Args:
            usage_type: only this one, as in `query_cloud_usage`.
            classification: only "internal" or only "external".
            service: only this one.
            billing_date: only this day (UTC); not together with `date_range`.
            date_range: only the days from the first to the last, both included (UTC).
            start_after_id: the `id` of the last record of the page before.
            page_size: most records, 1 to 10,000.
            category: only "Compute", "Object", "Block" or "Transfer".

        Returns:
            A list, which also has `to_dataframe()`.

        Raises:
            BadEntry: as in `query_cloud_usage`.
            Forbidden: the user is not an administrator of the organization.
            ServerError: the server's price file is wrong; its operator has to correct it.
        """
        query = _query(usage_type, classification, service, billing_date, date_range, start_after_id, page_size)
        return Rows(
            BillingComputedCost, self._page("/costs", {**query, "category": category}, BillingComputedCost.from_answer)
        )

    def all_cloud_usage(self, **filters: Any) -> Rows[BillingCloudUsage]:
        """All records of usage, read page by page, with the filters of `query_cloud_usage`."""
        return Rows(BillingCloudUsage, _all(self.query_cloud_usage, filters))

    def all_computed_costs(self, **filters: Any) -> Rows[BillingComputedCost]:
        """All records of costs, read page by page, with the filters of `query_computed_costs`."""
        return Rows(BillingComputedCost, _all(self.query_computed_costs, filters))

    def prices(self) -> PriceList:
        """The prices in force; without a currency if the server has no prices."""
        return PriceList.from_answer(self.http.get("/prices"))

    def plot(
        self,
        usage_type: str | None = None,
        classification: str | None = None,
        service: str | None = None,
        date_range: DateRange | None = None,
        *,
        category: str | None = None,
        ax: matplotlib.axes.Axes | None = None,
    ) -> matplotlib.axes.Axes:
        """Draw the cost of each day, stacked by usage type; estimates are drawn lighter.

        Args:
            usage_type: only this one, as in `query_cloud_usage`.
            classification: only "internal" or only "external".
            service: only this one.
            date_range: the first and the last day, both included; the last 30 days by default.
            category: only this one.
            ax: axes to draw into; by default those of a new figure.

        Returns:
            The axes with the plot.

        Raises:
            MissingPackage: matplotlib is not installed.
            BadEntry: as in `query_cloud_usage`.
        """
        from edge_billing import figure

        if date_range is None:
            today = dt.datetime.now(dt.UTC).date()
            date_range = (today - dt.timedelta(days=29), today)
        costs = self.all_computed_costs(
            usage_type=usage_type,
            classification=classification,
            service=service,
            date_range=date_range,
            category=category,
        )
        return figure.draw(costs, date_range, self.session.organization, ax)

    def download_report(
        self,
        file_path: str | os.PathLike[str] | None = None,
        billing_date: dt.date | None = None,
        date_range: DateRange | None = None,
    ) -> bytes:
        """The usage and costs of all organizations of the server as CSV; for server administrators.

        Args:
            file_path: file to write it to too; an existing one is replaced.
            billing_date: only this day (UTC); not together with `date_range`.
            date_range: only the days from the first to the last, both included (UTC).

        Returns:
            The CSV, in UTF-8, with a line of column names first.

        Raises:
            Forbidden: the user is not a server administrator.
            BadEntry: as in `query_cloud_usage`.
        """
        http = self.session.http.for_plugin(__name__, "/v1/admin/billing")
        query = _days(billing_date, date_range)
        with http.stream("GET", "/report", params=query, headers={"Accept": "text/csv"}) as answer:
            content = b"".join(answer.blocks())
        if file_path is not None:
            with replacing(file_path) as file:
                file.write(content)
        return content

    def _page(self, path: str, query: dict[str, Any], make: Callable[[Any], _R]) -> list[_R]:
        return next(self.http.items(path, params=query, make=make).by_page(query.pop("cursor"))).items


def _all(query: Callable[..., Rows[_B]], filters: dict[str, Any]) -> Iterator[_B]:
    last = filters.pop("start_after_id", None)
    size = filters.pop("page_size", LARGEST_PAGE)
    while True:
        page = query(**filters, start_after_id=last, page_size=size)
        yield from page
        if len(page) < size:
            return
        last = page[-1].id


def _query(
    usage_type: str | None,
    classification: str | None,
    service: str | None,
    billing_date: dt.date | None,
    date_range: DateRange | None,
    start_after_id: int | None,
    page_size: int,
) -> dict[str, Any]:
    if isinstance(page_size, bool) or not isinstance(page_size, int) or not 1 <= page_size <= LARGEST_PAGE:
        raise BadEntry(f"page_size is {page_size!r}; give a whole number from 1 to {LARGEST_PAGE}")
    if start_after_id is not None and (isinstance(start_after_id, bool) or not isinstance(start_after_id, int)):
        raise BadEntry(f"start_after_id is {start_after_id!r}; give the id of the last record you have")
    return {
        "usage_type": usage_type,
        "classification": classification,
        "service": service,
        **_days(billing_date, date_range),
        "limit": page_size,
        "cursor": None if start_after_id is None else str(start_after_id),
    }


def _days(billing_date: dt.date | None, date_range: DateRange | None) -> dict[str, str | None]:
    if billing_date is not None and date_range is not None:
        raise BadEntry("billing_date and date_range exclude each other; give one of them")
    first = last = None
    if date_range is not None:
        if not isinstance(date_range, (tuple, list)) or len(date_range) != 2:
            raise BadEntry(f"date_range is {date_range!r}; give the first and the last day as a pair of datetime.date")
        first, last = (_day("date_range", day) for day in date_range)
    return {
        "billing_date": None if billing_date is None else _day("billing_date", billing_date),
        "date_from": first,
        "date_to": last,
    }


def _day(name: str, day: Any) -> str:
    """The day in UTC in the form that is sent."""
    if isinstance(day, dt.datetime):
        if day.tzinfo is None:
            raise BadEntry(
                f"{name} has a time without a time zone, whose day in UTC is not known; give a datetime.date"
            )
        day = day.astimezone(dt.UTC).date()
    if not isinstance(day, dt.date):
        raise BadEntry(f"{name} has {day!r}; give a day as datetime.date, such as datetime.date(2024, 1, 31)")
    return day.isoformat()
