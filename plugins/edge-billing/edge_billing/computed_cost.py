"""`BillingComputedCost`: the cost of a day's usage."""

from __future__ import annotations

import datetime as dt
import decimal

from edge_core.records import Record, field


class BillingComputedCost(Record):
    """The cost of one kind of usage by an organization on a day."""

    computed_cost: decimal.Decimal = field(doc="The cost, in `currency`.")
    id: int | None = field(default=None, doc="Number of the record; later records have larger ones.")
    billing_date: dt.date | None = field(default=None, doc="Day in UTC.")
    org_name: str | None = field(default=None, doc="Short name of the organization.")
    classification: str | None = field(default=None, doc='"internal" or "external".')
    usage_type: str | None = field(default=None, doc='What was used, such as "object_storage".')
    category: str | None = field(default=None, doc='"Compute", "Object", "Block" or "Transfer".')
    estimated: bool | None = field(default=None, doc="True until the month is closed; false is final.")
    currency: str | None = field(default=None, doc="Code of ISO 4217, such as EUR.")
