"""The table of metered usage types, with their units, services and categories."""

from __future__ import annotations

import decimal
from typing import NamedTuple

INTERNAL = "internal"
EXTERNAL = "external"
CLASSIFICATIONS = (INTERNAL, EXTERNAL)
"""Use of Edge itself, and other applications in the same account."""

COMPUTE = "Compute"
OBJECT = "Object"
BLOCK = "Block"
TRANSFER = "Transfer"
CATEGORIES = (COMPUTE, OBJECT, BLOCK, TRANSFER)

PLACES = decimal.Decimal("0.000001")
"""The precision of quantities, which are rounded half to even."""

_MICROSECONDS_PER_HOUR = 3_600_000_000


class UsageType(NamedTuple):
    """A kind of usage.

    Attributes:
        name: the `usage_type` of records.
        units: the `usage_quantity_units` of records.
        service: the part of Edge that was used.
        category: the category of its costs.
        title: for people.
        counted: how many counts of the server make a unit. The server counts in whole numbers, so
            that sums are exact: bytes, requests, and bytes or machines times microseconds.
    """

    name: str
    units: str
    service: str
    category: str
    title: str
    counted: int = 1

    def quantity(self, amount: int) -> decimal.Decimal:
        """The quantity in `units` of an amount that the server counted."""
        if self.counted == 1:
            return decimal.Decimal(amount)
        with decimal.localcontext(prec=60):
            return (decimal.Decimal(amount) / self.counted).quantize(PLACES, decimal.ROUND_HALF_EVEN)


OBJECT_STORAGE = UsageType(
    "object_storage", "byte-hours", "storage", OBJECT, "Stored content", counted=_MICROSECONDS_PER_HOUR
)
TRANSFER_IN = UsageType("transfer_in", "bytes", "transfer", TRANSFER, "Transfer in")
TRANSFER_OUT = UsageType("transfer_out", "bytes", "transfer", TRANSFER, "Transfer out")
API_REQUESTS = UsageType("api_requests", "requests", "api", COMPUTE, "API requests")
APP_HOURS = UsageType("app_hours", "hours", "apps", COMPUTE, "Running apps", counted=_MICROSECONDS_PER_HOUR)

_ALL = (OBJECT_STORAGE, TRANSFER_IN, TRANSFER_OUT, API_REQUESTS, APP_HOURS)

USAGE_TYPES = {usage_type.name: usage_type for usage_type in _ALL}
"""Usage type by its name."""

SERVICES = tuple(dict.fromkeys(usage_type.service for usage_type in _ALL))
