"""Records of requests and answers of billing; the server imports them."""

from __future__ import annotations

import datetime as dt
import decimal

from edge_billing.cloud_usage import BillingCloudUsage
from edge_billing.computed_cost import BillingComputedCost
from edge_core.records import Record, field

LARGEST_PAGE = 10_000


class DatesQuery(Record):
    """The days of a query: a single day, a range, or all."""

    billing_date: dt.date | None = field(default=None, doc="This day (UTC); not together with a range.")
    date_from: dt.date | None = field(default=None, doc="This day (UTC) and later ones.")
    date_to: dt.date | None = field(default=None, doc="This day (UTC) and earlier ones.")


class UsageQuery(DatesQuery):
    """Query for records of usage, in the order of their ids."""

    usage_type: str | None = None
    classification: str | None = None
    service: str | None = None
    limit: int = field(default=1000, minimum=1, maximum=LARGEST_PAGE, doc="Most records of one page.")
    cursor: str | None = field(default=None, doc="Id of the last record of the page before this.")


class CostQuery(UsageQuery):
    """Query for records of costs, in the order of their ids."""

    category: str | None = None


class UsagePage(Record):
    """One page of usage."""

    items: list[BillingCloudUsage]
    next: str | None = field(default=None, doc="Cursor of the next page; null on the last one.")


class CostPage(Record):
    """One page of costs."""

    items: list[BillingComputedCost]
    next: str | None = field(default=None, doc="Cursor of the next page; null on the last one.")


class Price(Record):
    """The price of a usage type."""

    usage_type: str
    price: decimal.Decimal
    per: str = field(doc='Unit of the price, such as "GB-month".')
    by_tag: dict[str, decimal.Decimal] = field(
        default_factory=dict, doc="Other prices, by the cost allocation tag they are for."
    )


class PriceList(Record):
    """The prices in force."""

    currency: str | None = field(default=None, doc="Code of ISO 4217; null where there are no prices.")
    prices: list[Price] = field(default_factory=list)
