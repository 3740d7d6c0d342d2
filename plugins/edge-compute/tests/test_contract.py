"""edge-compute keeps the plugin contract."""

from __future__ import annotations

from edge_compute.app_placeholder import AppPlaceholder
from edge_compute.app_profile import AppProfile
from edge_compute.namespace import EdgeCompute
from edge_testing.contract import Call, Listing, PluginContract


def _type(n: int) -> dict[str, object]:
    return {"instance_name": f"m{n}.large", "cpu": 2.0, "gpu": 0, "memory": 8.0}


def _profile(n: int) -> dict[str, object]:
    return {"uid": f"u{n}", "profile_id": f"lab.p{n}", "instance_name": "m5.large", "status": "ready"}


def _placeholder(n: int) -> dict[str, object]:
    return {"uid": f"u{n}", "name": f"p{n}", "profile_id": "lab.p1", "quantity": n}


class TestContract(PluginContract):
    distribution = "edge-compute"
    kind = EdgeCompute
    first_party = True
    checks_wheel = False  # the wheels of all of ours are looked into together
    calls = [
        Listing("list_instance_types", lambda compute: compute.list_instance_types(), _type, lazy=False),
        Listing("list_app_profiles", lambda compute: compute.list_app_profiles(), _profile, lazy=False),
        Call("retrieve_app_profile", lambda compute: compute.retrieve_app_profile("lab.p1"), _profile(1)),
        Call("create_app_profile", lambda compute: compute.create_app_profile("lab.p1", AppProfile()), _profile(1)),
        Call("update_app_profile", lambda compute: compute.update_app_profile("lab.p1", AppProfile()), _profile(1)),
        Call("remove_app_profile", lambda compute: compute.remove_app_profile("lab.p1")),
        Listing("list_placeholders", lambda compute: compute.list_placeholders(), _placeholder, lazy=False),
        Call("retrieve_placeholder", lambda compute: compute.retrieve_placeholder("p1"), _placeholder(1)),
        Call("create_placeholder", lambda compute: compute.create_placeholder(AppPlaceholder()), _placeholder(1)),
        Call("remove_placeholder", lambda compute: compute.remove_placeholder("p1")),
    ]
