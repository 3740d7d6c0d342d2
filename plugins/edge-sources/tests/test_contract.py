"""edge-sources keeps the plugin contract."""

from __future__ import annotations

from edge_sources.namespace import EdgeData
from edge_sources.sql import SQLConnection
from edge_testing.contract import Call, Listing, PluginContract

UID = "0b2a6d26-9a3c-4a63-8f5b-1d1f4a1b2c3d"
TIMES = {"created_at": "2024-05-01T12:00:00Z", "modified_at": "2024-05-01T12:00:00Z"}
ENTRY = {"uid": UID, "name": "lims", "title": "LIMS", "kind": "sql", **TIMES}
OPEN = {**ENTRY, "definition": {"host": "db.example.com", "db_kind": "postgresql"}, "secret": {"password": "x"}}


def lims() -> SQLConnection:
    return SQLConnection("lims", "LIMS", "db.example.com", password="x")


class TestContract(PluginContract):
    distribution = "edge-sources"
    first_party = True
    checks_wheel = False  # the wheels of all of ours are looked into together
    kind = EdgeData
    keeps_unknown_fields = False  # a connection is its content, and a list is names
    calls = [
        Listing("list", lambda sources: sources.list(), lambda n: {**ENTRY, "name": f"s{n}"}, lazy=False),
        Listing("scan", lambda sources: sources.scan(), lambda n: {**ENTRY, "name": f"s{n}"}),
        Call("get", lambda sources: sources.get("lims"), OPEN),
        Call("add", lambda sources: sources.add(lims()), ENTRY),
        Call("update", lambda sources: sources.update(lims()), ENTRY),
        Call("remove", lambda sources: sources.remove("lims")),
    ]
