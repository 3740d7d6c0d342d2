"""The caller's own record."""

from __future__ import annotations

from edge.api import EdgeSession, WhoAmI
from edge_server.data.database import SERVER
from edge_server.identity import directory
from edge_server.testing.local_server import EdgeServer

from .wire import Api, client, refused


def test_whoami_tells_the_user_and_the_organizations_with_their_roles(edge_server: EdgeServer) -> None:
    organization = edge_server.create_organization()
    user = edge_server.create_user(organization=organization, roles=["developer", "admin"])
    me = client(edge_server, edge_server.create_token(user), organization).call("GET", "/v1/users/me").json()
    token = me.pop("token")
    assert {**token, "id": None} == {"id": None, "scopes": None, "expires_at": None, "renewable": False}
    assert me == {
        "user_name": user,
        "first_name": None,
        "last_name": None,
        "email": None,
        "server_admin": False,
        "license_name": None,
        "organizations": [{"organization_name": organization, "title": organization, "roles": ["admin", "developer"]}],
        "organizations_next": None,
    }


def test_a_member_of_many_organizations_gets_them_in_pages(edge_server: EdgeServer) -> None:
    user = edge_server.create_user()
    with edge_server.database.write(SERVER) as session:
        row = directory.find_user(session, user)
        assert row is not None
        for n in range(1205):
            added = directory.create_organization(session, [], f"{user}-{n:04}", f"Laboratory {n}")
            directory.add_member(session, row, added, ["developer"] if n % 2 else [])
    token = edge_server.create_token(user)
    api = client(edge_server, token, f"{user}-0000")
    first = api.call("GET", "/v1/users/me").json()
    assert [each["organization_name"] for each in first["organizations"]] == [f"{user}-{n:04}" for n in range(100)]
    query = {"cursor": first["organizations_next"], "limit": 3}
    page = api.call("GET", "/v1/users/me/organizations", params=query).json()
    assert [each["title"] for each in page["items"]] == ["Laboratory 100", "Laboratory 101", "Laboratory 102"]
    assert page["next"] is not None
    refused(api.call("GET", "/v1/users/me/organizations", params={"cursor": "!"}), 400, "bad_entry")
    # Who uses the client sees a single list.
    with EdgeSession(token, edge_server.url, f"{user}-0000") as edge:
        me = edge.whoami()
    assert type(me) is WhoAmI
    assert [each.organization_name for each in me.organizations] == [f"{user}-{n:04}" for n in range(1205)]
    assert [me.organizations[n].roles for n in (1203, 1204)] == [["developer"], []]
    assert not hasattr(me, "organizations_next")


def test_a_profile_is_replaced_whole(api: Api) -> None:
    me = api.call("PUT", "/v1/users/me", json={"first_name": "Ada", "email": "ada@example.org"}).json()
    assert (me["first_name"], me["last_name"], me["email"]) == ("Ada", None, "ada@example.org")
    assert api.call("GET", "/v1/users/me").json() == me
    me = api.call("PUT", "/v1/users/me", json={"last_name": "Lovelace"}).json()
    assert (me["first_name"], me["last_name"], me["email"]) == (None, "Lovelace", None)


def test_a_profile_that_cannot_be_is_refused(api: Api) -> None:
    for wrong in (
        {"first_name": "x" * 201},
        {"first_name": "a\0b"},
        {"last_name": "a\n"},
        {"first_name": 1},
        {"user_name": "root"},
        {"server_admin": True},
    ):
        problem = refused(api.call("PUT", "/v1/users/me", json=wrong), 422, "bad_entry")
        assert list(problem["errors"]) == list(wrong)
    refused(api.call("PUT", "/v1/users/me", json=[]), 422, "bad_entry")
