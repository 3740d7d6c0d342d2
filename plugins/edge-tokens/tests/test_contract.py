"""edge-tokens keeps the plugin contract."""

from __future__ import annotations

from edge_testing.contract import Call, Listing, PluginContract
from edge_tokens.namespace import EdgeTokens


def _token(n: int) -> dict[str, object]:
    return {"id": f"t{n}", "note": f"job {n}", "prefix": "edg_abcd", "created_at": "2024-05-01T12:00:00Z"}


class TestContract(PluginContract):
    distribution = "edge-tokens"
    kind = EdgeTokens
    first_party = True
    checks_wheel = False  # the wheels of all of ours are looked into together
    calls = [
        Listing("list", lambda tokens: tokens.list(), _token, lazy=False),
        Call("get", lambda tokens: tokens.get("t1"), _token(1)),
        Call("create", lambda tokens: tokens.create("job"), {**_token(1), "token": "edg_" + "a" * 39}),
        Call("remove", lambda tokens: tokens.remove("t1")),
    ]
