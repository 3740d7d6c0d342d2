"""Documented import path of the billing records."""

from typing import TYPE_CHECKING

from edge._lazy import exports

if TYPE_CHECKING:
    from edge_billing.cloud_usage import BillingCloudUsage as BillingCloudUsage
    from edge_billing.computed_cost import BillingComputedCost as BillingComputedCost

__getattr__, __dir__ = exports(__name__)
