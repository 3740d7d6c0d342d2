"""edge-tokens keeps the plugin contract."""

from __future__ import annotations

from edge_core.testing.contract import Call, Listing, PluginContract
from edge_tokens.namespace import EdgeTokens


def _token(n: int) -> dict[str, object]:
    return {"id": f"t{n}", "created_at": "2024-05-01T12:00:00Z", "note": "build", "prefix": "edg_x"}


class TestContract(PluginContract):
    distribution = "edge-tokens"
    first_party = True
    checks_wheel = False  # the wheels of all of ours are looked into together
    kind = EdgeTokens
    calls = [
        Listing("list", lambda tokens: tokens.list(), _token, lazy=False),
        Call("get", lambda tokens: tokens.get("t1"), _token(1)),
        Call("create", lambda tokens: tokens.create("build"), {**_token(1), "token": "edg_value"}),
        Call("remove", lambda tokens: tokens.remove("t1")),
    ]
