"""edge-secrets keeps the plugin contract."""

from __future__ import annotations

from edge_secrets.namespace import EdgeSecrets
from edge_testing.contract import Call, Listing, PluginContract

ENTRY = {"name": "warehouse", "created_at": "2024-05-01T12:00:00Z", "modified_at": "2024-05-01T12:00:00Z"}


class TestContract(PluginContract):
    distribution = "edge-secrets"
    first_party = True
    checks_wheel = False  # the wheels of all of ours are looked into together
    kind = EdgeSecrets
    keeps_unknown_fields = False  # a secret is its content, and a list is names
    calls = [
        Listing("list", lambda secrets: secrets.list_user_secrets(), lambda n: {**ENTRY, "name": f"s{n}"}, lazy=False),
        Call("read", lambda secrets: secrets.read_user_secret("warehouse"), {**ENTRY, "content": {"password": "x"}}),
        Call("create", lambda secrets: secrets.create_user_secret("warehouse", {"password": "x"}), ENTRY),
        Call("update", lambda secrets: secrets.update_user_secret("warehouse", {"password": "x"}), ENTRY),
        Call("delete", lambda secrets: secrets.delete_user_secret("warehouse")),
    ]
