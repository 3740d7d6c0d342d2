"""The caller's own record."""

from __future__ import annotations

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
    }


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
