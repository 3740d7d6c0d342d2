"""edge-template keeps the plugin contract."""

from __future__ import annotations

from edge_template.namespace import Template
from edge_template.wire import TemplateEntry
from edge_testing.contract import Call, Listing, PluginContract


def _entry(n: int) -> dict[str, object]:
    moment = "2024-05-01T12:00:00Z"
    entry = {"uid": f"u{n}", "instrument": "centrifuge-2", "text": f"Run {n}.", "author": "ada"}
    return {**entry, "created_at": moment, "modified_at": moment}


class TestContract(PluginContract):
    distribution = "edge-template"
    kind = Template
    calls = [
        Listing("list", lambda template: template.list(), _entry),
        Call("create", lambda template: template.create("centrifuge-2", "Run 1."), _entry(1)),
        Call("read", lambda template: template.read("u1"), _entry(1)),
        Call("update", lambda template: template.update(TemplateEntry.from_answer(_entry(1))), _entry(1)),
        Call("delete", lambda template: template.delete("u1")),
    ]
