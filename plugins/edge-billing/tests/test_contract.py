"""The plugin contract, held against edge-billing."""

from __future__ import annotations

from typing import Any

from edge_billing.namespace import EdgeBilling
from edge_testing.contract import Call, PluginContract


def usage(n: int) -> dict[str, Any]:
    return {
        "id": n + 1,
        "billing_date": "2024-01-31",
        "cost_allocation_tag": None,
        "org_name": "kit",
        "classification": "internal",
        "usage_type": "object_storage",
        "usage_quantity": "12.5",
        "usage_quantity_units": "byte-hours",
        "estimated": False,
    }


def cost(n: int) -> dict[str, Any]:
    return {
        "id": n + 1,
        "billing_date": "2024-01-31",
        "org_name": "kit",
        "classification": "internal",
        "usage_type": "object_storage",
        "computed_cost": "0.0000012500",
        "category": "Object",
        "estimated": False,
        "currency": "EUR",
    }


PRICES = {"currency": "EUR", "prices": [{"usage_type": "app_hours", "price": "0.05", "per": "hour", "by_tag": {}}]}


class TestContract(PluginContract):
    distribution = "edge-billing"
    kind = EdgeBilling
    first_party = True
    checks_wheel = False  # the wheels of all of ours are looked into together
    calls = (
        # One page each, as the callers follow the ids.
        Call("query_cloud_usage", lambda billing: billing.query_cloud_usage(), {"items": [usage(0)], "next": None}),
        Call(
            "query_computed_costs", lambda billing: billing.query_computed_costs(), {"items": [cost(0)], "next": None}
        ),
        Call("prices", lambda billing: billing.prices(), PRICES),
    )
