"""edge-files keeps the plugin contract."""

from __future__ import annotations

from edge_testing.contract import Call, Listing, PluginContract


def _entry(n: int) -> dict[str, object]:
    about = {"name": f"plate-{n}.csv", "kind": "file", "uid": f"u{n}", "size": n, "version": f"v{n}"}
    return {**about, "modified_at": "2024-05-01T12:00:00Z"}


class TestContract(PluginContract):
    distribution = "edge-files"
    first_party = True
    checks_wheel = False  # the wheels of all of ours are looked into together
    calls = [
        Listing("list", lambda files: files.list(), _entry, lazy=False),
        Call("make_folder", lambda files: files.make_folder("runs"), {**_entry(1), "kind": "folder"}),
        Call("delete", lambda files: files.delete("runs")),
        Call("open", lambda files: files.open("plate-1.csv", open_with="file"), _entry(1)),
    ]
