"""`BillingCloudUsage`: the usage of a kind on a day."""

from __future__ import annotations

import datetime as dt
import decimal

from edge_core.records import Record, field


class BillingCloudUsage(Record):
    """The usage of one kind by an organization on a day."""

    id: int | None = field(default=None, doc="Number of the record; later records have larger ones.")
    billing_date: dt.date | None = field(default=None, doc="Day in UTC.")
    cost_allocation_tag: str | None = field(default=None, doc="Of running apps: the id of their profile.")
    org_name: str | None = field(default=None, doc="Short name of the organization.")
    classification: str | None = field(default=None, doc='"internal" or "external".')
    usage_type: str | None = field(default=None, doc='What was used, such as "object_storage".')
    usage_quantity: decimal.Decimal | None = field(default=None, doc="How much of it, in `usage_quantity_units`.")
    usage_quantity_units: str | None = field(default=None, doc='Such as "byte-hours".')
    estimated: bool | None = field(default=None, doc="True until the month is closed; false is final.")
