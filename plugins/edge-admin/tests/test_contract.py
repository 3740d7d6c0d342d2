"""edge-admin keeps the plugin contract."""

from __future__ import annotations

from edge_admin.namespace import EdgeAdmin
from edge_admin.organization import Organization
from edge_admin.user import User
from edge_testing.contract import Call, Listing, PluginContract


def _organization(n: int) -> dict[str, object]:
    return {"uid": f"u{n}", "name": f"lab-{n}", "title": "The lab", "status": "active"}


def _user(n: int) -> dict[str, object]:
    return {"uid": f"u{n}", "user_name": f"ada-{n}"}


def _invitation(n: int) -> dict[str, object]:
    moment = "2024-05-01T12:00:00Z"
    return {
        "id": f"i{n}",
        "user_name": f"ada-{n}",
        "organization_name": "lab",
        "created_at": moment,
        "expires_at": moment,
    }


def _audit_line(n: int) -> dict[str, object]:
    return {
        "at": "2024-05-01T12:00:00Z",
        "user_name": f"ada-{n}",
        "action": "members.remove",
        "about": {},
        "request_id": "r",
    }


class TestContract(PluginContract):
    distribution = "edge-admin"
    kind = EdgeAdmin
    first_party = True
    checks_wheel = False  # the wheels of all of ours are looked into together
    calls = [
        Listing("list_organizations", lambda admin: admin.list_organizations(), _organization, lazy=False),
        Call("get_organization", lambda admin: admin.get_organization("lab-1"), _organization(1)),
        Call("add_organization", lambda admin: admin.add_organization(Organization(name="lab-1")), _organization(1)),
        Call(
            "update_organization", lambda admin: admin.update_organization(Organization(name="lab-1")), _organization(1)
        ),
        Call("remove_organization", lambda admin: admin.remove_organization("lab-1"), _organization(1)),
        Call("get_quota", lambda admin: admin.get_quota("lab-1"), {"storage_bytes": None, "used_bytes": 3}),
        Listing("list_users", lambda admin: admin.list_users(), _user, lazy=False),
        Call("get_user", lambda admin: admin.get_user("ada-1"), _user(1)),
        Call("add_user", lambda admin: admin.add_user(User("ada-1")), _user(1)),
        Call("remove_user", lambda admin: admin.remove_user("ada-1")),
        Listing("list_members", lambda admin: admin.list_members(), _user, lazy=False),
        Call("set_roles", lambda admin: admin.set_roles("ada-1", ["admin"]), {**_user(1), "roles": ["admin"]}),
        Listing("list_invitations", lambda admin: admin.list_invitations(), _invitation, lazy=False),
        Listing("list_audit_lines", lambda admin: admin.list_audit_lines(), _audit_line, lazy=False),
        Listing("list_own_invitations", lambda admin: admin.list_own_invitations(), _invitation, lazy=False),
        Call("remove_invitation", lambda admin: admin.remove_invitation("i1")),
    ]
