"""edge-admin keeps the plugin contract."""

from __future__ import annotations

from edge_admin.namespace import EdgeAdmin
from edge_admin.organization import Organization
from edge_core.testing.contract import Call, Listing, PluginContract


def _organization(n: int) -> dict[str, object]:
    return {"name": f"lab-{n}", "title": "The lab", "status": "active", "uid": f"o{n}"}


class TestContract(PluginContract):
    distribution = "edge-admin"
    first_party = True
    checks_wheel = False  # the wheels of all of ours are looked into together
    kind = EdgeAdmin
    calls = [
        Listing("list", lambda admin: admin.list_organizations(), _organization, lazy=False),
        Listing("names", lambda admin: admin.list_organization_names(), _organization, lazy=False),
        Call("get", lambda admin: admin.get_organization("lab-1"), _organization(1)),
        Call("add", lambda admin: admin.add_organization(Organization(name="lab-1")), _organization(1)),
        Call(
            "update",
            lambda admin: admin.update_organization(Organization.from_answer(_organization(1))),
            _organization(1),
        ),
        Call("remove", lambda admin: admin.remove_organization("lab-1"), {**_organization(1), "status": "deleting"}),
        Call("remove_user", lambda admin: admin.remove_user("ada")),
    ]
