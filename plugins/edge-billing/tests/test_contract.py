"""edge-billing keeps the plugin contract."""

from __future__ import annotations

from edge_billing.namespace import EdgeBilling
from edge_core.testing.contract import Call, PluginContract

USAGE = {"id": 1, "billing_date": "2024-05-01", "org_name": "lab", "usage_type": "app_hours", "usage_quantity": "2.5"}
COST = {**USAGE, "computed_cost": "1.20", "currency": "EUR", "category": "Compute"}


class TestContract(PluginContract):
    distribution = "edge-billing"
    first_party = True
    checks_wheel = False  # the wheels of all of ours are looked into together
    kind = EdgeBilling
    calls = [
        Call("query", lambda billing: billing.query_cloud_usage(), {"items": [USAGE], "next": None}),
        Call("costs", lambda billing: billing.query_computed_costs(), {"items": [COST], "next": None}),
        Call("all", lambda billing: billing.all_cloud_usage(), {"items": [USAGE], "next": None}),
        Call("prices", lambda billing: billing.prices(), {"currency": "EUR", "prices": []}),
    ]
