"""Users, organizations and tokens of a real JupyterHub."""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from click.testing import CliRunner

from edge_core.errors import BadEntry, ConfigurationError, Conflict
from edge_core.session import EdgeSession
from edge_server.identity.hub_answers import KEPT
from edge_server.identity.models import Membership, Organization, User
from edge_server.run.command import server as command
from tests.hubs import RealHub
from tests.waiting import wait_for

from .hubs import HubSite, patient
from .test_permissions import BARRED_AT_HUB, RULES, STRANGERS, USERS, walk
from .wire import Api, client, refused

pytestmark = pytest.mark.slow

MERGE = {"Content-Type": "application/merge-patch+json"}


def organizations(api: Api) -> dict[str, list[str]]:
    """The organizations of a user, with their roles."""
    me = api.call("GET", "/v1/users/me").json()
    return {each["organization_name"]: each["roles"] for each in me["organizations"]}


def again(site: HubSite, name: str, organization: str) -> Api:
    """A user's view of an organization by a new token, of which nothing is kept yet."""
    return site.client(site.hub.token(name), organization)


@contextlib.contextmanager
def another_server(site: HubSite, data: Path, further: str = "") -> Iterator[HubSite]:
    """A server of its own at the same hub."""
    other = HubSite(site.hub, data, further)
    try:
        yield other
    finally:
        other.server.close()


def test_a_users_token_is_known_with_their_organizations_and_roles(hub_site: HubSite) -> None:
    name, api = hub_site.join("developer")
    me = api.call("GET", "/v1/users/me").json()
    assert me["user_name"] == name
    assert me["server_admin"] is False
    assert me["token"]["id"] == hub_site.hub.token_id(api.token or "")
    assert me["token"]["renewable"] is False
    assert me["organizations"] == [
        {"organization_name": api.organization, "title": api.organization, "roles": ["developer"]}
    ]
    assert api.put("a.txt", b"hello").status_code == 201
    assert api.get("a.txt").content == b"hello"
    # A token that may do nothing but this is as good, and all that a user's server has.
    narrow = hub_site.hub.token(name, scopes=["access:services!service=api"])
    assert hub_site.client(narrow, api.organization).get("a.txt").content == b"hello"


def test_the_compute_backend_is_the_hub(hub_site: HubSite) -> None:
    _, api = hub_site.join()
    organization = next(iter(organizations(api)))

    backend = api.call("GET", f"/v1/orgs/{organization}/compute/backend").json()

    assert (backend["name"], backend["starts_machines"]) == ("jupyterhub", False)
    assert "which keeps machines running for placeholders" in backend["note"]


def test_several_groups_add_roles_and_others_than_edges_say_nothing(hub_site: HubSite) -> None:
    name, api = hub_site.join()
    hub_site.hub.group(f"{api.organization}-runs", name, properties={"edge_organization": api.organization})
    hub_site.hub.group(f"{api.organization}-sails", name, properties={"boat": "blue"})
    roles = {"edge_organization": api.organization, "edge_roles": ["admin", "developer"]}
    hub_site.hub.group(f"{api.organization}-leads", name, properties=roles)
    assert organizations(api) == {api.organization: ["admin", "developer"]}


@pytest.mark.parametrize(
    "properties",
    [
        {"edge_organization": 7},
        {"edge_organization": ["lab"]},
        {"edge_organization": "../lab"},
        {"edge_organization": ""},
        {"edge_organization": "x" * 101},
        {"edge_roles": ["admin"]},
    ],
)
def test_a_property_that_names_no_organization_gives_none(hub_site: HubSite, properties: dict[str, Any]) -> None:
    name = hub_site.hub.add_user()
    hub_site.hub.group(f"odd-{secrets.token_hex(4)}", name, properties=properties)
    assert organizations(again(hub_site, name, "none")) == {}


@pytest.mark.parametrize("roles", ["admin", ["owner"], [["admin"]], {"admin": True}, 1])
def test_roles_that_are_none_give_none(hub_site: HubSite, roles: Any) -> None:
    name, organization = hub_site.hub.add_user(), f"org-{secrets.token_hex(4)}"
    hub_site.hub.group(organization, name, properties={"edge_organization": organization, "edge_roles": roles})
    assert organizations(again(hub_site, name, organization)) == {organization: []}


def test_who_is_let_in(hub_site: HubSite, tmp_path: Path) -> None:
    hub = hub_site.hub
    name, api = hub_site.join("admin")
    other = RealHub(tmp_path)
    other.start()
    try:
        foreign = other.token(other.add_user(name, admin=True))
    finally:
        other.stop()
    refused(hub_site.client(foreign).call("GET", "/v1/users/me"), 401, "unauthenticated")
    for token in ("edg_" + "0" * 39, "x" * 8, "short", "x" * 513, "tab\tin the middle"):
        refused(hub_site.client(token).call("GET", "/v1/users/me"), 401, "unauthenticated")
    service = refused(hub_site.client(hub.edge_token).call("GET", "/v1/users/me"), 403, "forbidden")
    assert "service api" in service["detail"]
    without = hub_site.client(hub.token(name, scopes=["read:users!user"]))
    assert "access:services!service=api" in refused(without.call("GET", "/v1/users/me"), 403, "forbidden")["detail"]
    assert api.call("GET", "/v1/users/me").status_code == 200


def test_an_admin_of_the_hub_is_a_server_admin_until_the_hub_says_otherwise(hub_site: HubSite) -> None:
    name, api = hub_site.join(admin=True)
    assert api.call("GET", "/v1/admin/users").status_code == 200
    # Running the server opens no organization that they are not in.
    other = hub_site.join()[1].organization
    assert client(hub_site.server, api.token, other).put("a.txt").status_code == 404
    hub_site.hub.call("PATCH", f"/users/{name}", {"admin": False})
    refused(again(hub_site, name, api.organization).call("GET", "/v1/admin/users"), 403, "forbidden")
    refused(api.call("GET", "/v1/admin/users"), 403, "forbidden")  # which is the same user's


def test_a_revoked_token_is_refused_within_seconds(hub_site: HubSite) -> None:
    name, api = hub_site.join()
    assert api.put("a.txt").status_code == 201
    began = time.monotonic()
    hub_site.hub.revoke(name, api.token or "")
    wait_for(lambda: api.get("a.txt").status_code != 200, "a token is good for ever")
    print(f"a revoked token was refused after {time.monotonic() - began:.1f} s")
    refused(api.get("a.txt"), 401, "unauthenticated")


def test_what_a_revoked_token_has_signed_ends_with_it(hub_site: HubSite) -> None:
    name, api = hub_site.join()
    assert api.put("a.txt", b"hello").status_code == 201
    address = api.files("GET", "/download-url", params={"path": "a.txt"}).json()["url"]
    assert api.signed("GET", address).content == b"hello"
    hub_site.hub.revoke(name, api.token or "")
    wait_for(lambda: api.get("a.txt").status_code == 401, "a token is good for ever")
    refused(api.signed("GET", address), 403, "expired")
    mine = again(hub_site, name, api.organization)
    assert mine.get("a.txt").content == b"hello"


@pytest.mark.parametrize("how", ["left", "emptied", "deleted", "without the property", "of another organization"])
def test_who_leaves_a_group_leaves_the_organization_which_stays(hub_site: HubSite, how: str) -> None:
    hub, organization = hub_site.hub, f"org-{secrets.token_hex(4)}"
    name, other = hub.add_user(), hub.add_user()
    properties = {"edge_organization": organization, "edge_roles": ["admin"]}
    hub.group(organization, name, other, properties=properties)
    api, others = again(hub_site, name, organization), again(hub_site, other, organization)
    assert api.put("a.txt", b"hello").status_code == 201
    assert others.get("a.txt").content == b"hello"
    address = api.files("GET", "/download-url", params={"path": "a.txt"}).json()["url"]
    if how == "left":
        hub.group(organization, other, properties=properties)
    elif how == "emptied":
        hub.answer("DELETE", f"/groups/{organization}/users", {"users": [name, other]}).raise_for_status()
    elif how == "deleted":
        hub.call("DELETE", f"/groups/{organization}")
    elif how == "without the property":
        hub.call("PUT", f"/groups/{organization}/properties", {})
    else:
        elsewhere = {**properties, "edge_organization": f"{organization}-2"}
        hub.call("PUT", f"/groups/{organization}/properties", elsewhere)
    wait_for(lambda: api.get("a.txt").status_code != 200, "who has left is still in")
    refused(api.get("a.txt"), 404, "not_found")
    refused(api.signed("GET", address), 403, "expired")
    root = hub_site.join(admin=True)[1]
    assert root.call("GET", f"/v1/admin/organizations/{organization}").json()["status"] == "active"
    # Who comes back finds what was there.
    if how == "deleted":
        hub.call("POST", f"/groups/{organization}")
    hub.group(organization, name, properties=properties)
    wait_for(lambda: api.get("a.txt").status_code == 200, "who is back is not in")
    assert api.get("a.txt").content == b"hello"


def test_who_sends_no_request_leaves_as_well(hub_site: HubSite) -> None:
    name, api = hub_site.join("admin")
    assert api.put("a.txt").status_code == 201
    hub_site.hub.remove_user(name)

    def is_member() -> bool:
        rows = sa.select(Membership.id).join(Membership.user).join(Membership.organization)
        with hub_site.server.database.read() as session:
            return session.scalar(rows.where(User.user_name == name, Organization.name == api.organization)) is not None

    assert is_member()
    wait_for(lambda: not is_member(), "who is gone at the hub is a member here")


def test_an_organization_that_is_there_is_joined_by_the_operators_word_alone(hub_site: HubSite, tmp_path: Path) -> None:
    root = hub_site.join(admin=True)[1]
    organization = f"org-{secrets.token_hex(4)}"
    assert root.call("POST", "/v1/admin/organizations", json={"name": organization}).status_code == 201
    name = hub_site.hub.add_user()
    for place in (organization, organization.upper()):
        hub_site.hub.group(f"{place}-admins", name, properties={"edge_organization": place, "edge_roles": ["admin"]})
    assert organizations(again(hub_site, name, organization)) == {}
    refused(again(hub_site, name, organization).put("a.txt"), 404, "not_found")
    with another_server(hub_site, tmp_path / "data", f'join_organizations = ["{organization}"]') as other:
        other.server.start()
        other.server.create_organization(organization)
        assert organizations(again(other, name, organization)) == {organization: ["admin"]}
        assert again(other, name, organization).put("a.txt").status_code == 201


def test_a_user_who_is_there_is_joined_by_the_operators_word_alone(hub_site: HubSite, tmp_path: Path) -> None:
    name, stranger = hub_site.hub.add_user(), hub_site.hub.add_user()
    with another_server(hub_site, tmp_path / "data", f'join_users = ["{name}"]') as other:
        other.server.start()
        organization = other.server.create_organization()
        for each in (name, stranger):
            other.server.create_user(each, organization=organization, roles=("admin",))
        before = refused(again(other, stranger, organization).call("GET", "/v1/users/me"), 403, "forbidden")
        assert "join_users" in before["detail"]
        assert organizations(again(other, name, organization)) == {organization: ["admin"]}
        # Their tokens of before are none any more.
        own = client(other.server, other.server.create_token(name), organization)
        assert "JupyterHub" in refused(own.call("GET", "/v1/users/me"), 401, "unauthenticated")["detail"]


def test_who_is_created_anew_at_the_hub_gets_nothing_of_who_had_the_name(hub_site: HubSite) -> None:
    hub = hub_site.hub
    name, api = hub_site.join("admin")
    base = f"/v1/orgs/{api.organization}/secrets/user"
    assert api.call("POST", base, json={"name": "password", "content": {"word": "of the first"}}).ok
    assert api.call("GET", f"{base}/password").status_code == 200
    hub.remove_user(name)
    hub.add_user(name)
    hub.group(f"{api.organization}-again", name, properties={"edge_organization": api.organization})
    anew = again(hub_site, name, api.organization)
    assert organizations(anew) == {api.organization: []}
    refused(anew.call("GET", f"{base}/password"), 404, "not_found")
    root = hub_site.join(admin=True)[1]
    names = [user["user_name"] for user in pages(root, "/v1/admin/users")]
    (aside,) = [each for each in names if each.startswith(f"{name}.before-")]
    # What is not at the hub can be removed.
    assert root.call("DELETE", f"/v1/admin/users/{aside}").status_code == 204
    actions = {line["action"] for line in pages(root, "/v1/admin/audit")}
    assert {"hub.users.add", "hub.users.set_aside", "hub.members.add"} <= actions


def pages(api: Api, path: str) -> list[dict[str, Any]]:
    """All that a list of the API has."""
    items: list[dict[str, Any]] = []
    params: dict[str, Any] = {"limit": 1000}
    while True:
        page = api.call("GET", path, params=params).json()
        items += page["items"]
        if page["next"] is None:
            return items
        params["cursor"] = page["next"]


def test_names_that_differ_by_case_are_not_taken_for_each_other(hub_site: HubSite, tmp_path: Path) -> None:
    folder = tmp_path / "hub"
    folder.mkdir()
    hub = RealHub(
        folder,
        "from jupyterhub.auth import DummyAuthenticator\n"
        "class AsTheyAre(DummyAuthenticator):\n"
        "    def normalize_username(self, username):\n"
        "        return username\n"
        "c.JupyterHub.authenticator_class = AsTheyAre\n",
    )
    hub.start()
    site = HubSite(hub, tmp_path / "data")
    try:
        site.server.start()
        ann, other = (again(site, hub.add_user(name), "none") for name in ("Ann", "ann"))
        assert ann.call("GET", "/v1/users/me").json()["user_name"] == "Ann"
        assert "upper and lower case" in refused(other.call("GET", "/v1/users/me"), 403, "forbidden")["detail"]
        assert ann.call("GET", "/v1/users/me").status_code == 200
    finally:
        site.server.close()
        hub.stop()


# --- session.tokens


def session_of(site: HubSite, api: Api) -> EdgeSession:
    return EdgeSession(api.token, site.server.url, api.organization, retries=20)


def test_tokens_are_created_listed_and_removed_at_the_hub(hub_site: HubSite) -> None:
    name, api = hub_site.join()
    with session_of(hub_site, api) as edge:
        token = edge.tokens.create(note="for a build", expires_in=3600)
        at_hub = hub_site.hub.call("GET", f"/users/{name}/tokens/{token.id}")
        assert at_hub["note"] == "for a build"
        # For this service, and for nothing that the caller's could do beside.
        scopes = hub_site.hub.call("GET", "/user", token=token.token)["scopes"]
        assert {scope for scope in scopes if not scope.startswith("read:users:")} == {"access:services!service=api"}
        assert hub_site.hub.answer("GET", f"/users/{name}/tokens", token=token.token).status_code in (403, 404)
        listed = {each.id: each for each in edge.tokens.list()}
        assert listed[token.id].note == "for a build"
        assert listed[token.id].expires_at is not None
        assert hub_site.hub.token_id(api.token or "") in listed
        with EdgeSession(token.token, hub_site.server.url, api.organization, retries=20) as narrow:
            assert narrow.whoami().user_name == name
            edge.tokens.remove(token.id)
            refused(hub_site.client(token.token or "").call("GET", "/v1/users/me"), 401, "unauthenticated")
        assert hub_site.hub.answer("GET", f"/users/{name}/tokens/{token.id}").status_code == 404
        with pytest.raises(Exception, match="not one of yours"):
            edge.tokens.remove(token.id)


def test_a_token_of_another_user_or_for_something_else_is_not_there(hub_site: HubSite) -> None:
    name, api = hub_site.join()
    other = hub_site.join()[0]
    foreign = hub_site.hub.token_id(hub_site.hub.token(other))
    elsewhere = hub_site.hub.token_id(hub_site.hub.token(name, scopes=["read:users!user"]))
    for token_id in (foreign, elsewhere, "a0", "x", "..", "a1/../a2"):
        for method in ("GET", "DELETE"):
            assert api.call(method, f"/v1/users/me/tokens/{token_id}").status_code in (404, 405), token_id
    assert hub_site.hub.answer("GET", f"/users/{other}/tokens/{foreign}").ok
    assert hub_site.hub.answer("GET", f"/users/{name}/tokens/{elsewhere}").ok
    listed = [token["id"] for token in pages(api, "/v1/users/me/tokens")]
    assert foreign not in listed
    assert elsewhere not in listed


def test_tokens_are_listed_in_pages(hub_site: HubSite) -> None:
    name, api = hub_site.join()
    for _ in range(4):
        hub_site.hub.token(name)
    first = api.call("GET", "/v1/users/me/tokens", params={"limit": 2}).json()
    second = api.call("GET", "/v1/users/me/tokens", params={"limit": 2, "cursor": first["next"]}).json()
    third = api.call("GET", "/v1/users/me/tokens", params={"limit": 2, "cursor": second["next"]}).json()
    assert [len(page["items"]) for page in (first, second, third)] == [2, 2, 1]
    assert third["next"] is None
    assert len({token["id"] for page in (first, second, third) for token in page["items"]}) == 5


def test_a_token_does_not_outlive_that_of_its_maker(hub_site: HubSite) -> None:
    name, api = hub_site.join()
    short = hub_site.client(hub_site.hub.token(name, expires_in=600), api.organization)
    ends = short.call("GET", "/v1/users/me").json()["token"]["expires_at"]
    for body in ({}, {"expires_in": 86_400}):
        token = short.call("POST", "/v1/users/me/tokens", json=body).json()
        assert token["expires_at"] <= ends
    shorter = short.call("POST", "/v1/users/me/tokens", json={"expires_in": 60}).json()
    assert shorter["expires_at"] < ends


def test_what_the_hub_cannot_make_is_refused_by_a_sentence(hub_site: HubSite) -> None:
    _, api = hub_site.join()
    with session_of(hub_site, api) as edge:
        with pytest.raises(BadEntry, match="JupyterHub's, which does not know these scopes"):
            edge.tokens.create(scopes=["read"])
        with pytest.raises(BadEntry, match="expired"):
            edge.tokens.create(expires_in=0)
        with pytest.raises(Conflict, match="Token page"):
            edge.http.core.post("/v1/users/me/tokens/renew")


def test_a_request_for_a_token_sent_again_leaves_a_single_token(hub_site: HubSite) -> None:
    name, api = hub_site.join()
    options = {"json": {"note": "again"}, "headers": {"Idempotency-Key": secrets.token_hex(8)}}
    first, second = (api.call("POST", "/v1/users/me/tokens", **options).json() for _ in range(2))
    assert first["token"] != second["token"]
    notes = [token["note"] for token in hub_site.hub.call("GET", f"/users/{name}/tokens")["api_tokens"]]
    assert notes.count("again") == 1
    refused(hub_site.client(first["token"]).call("GET", "/v1/users/me"), 401, "unauthenticated")
    assert hub_site.client(second["token"]).call("GET", "/v1/users/me").status_code == 200


# --- what the hub keeps


def test_what_the_hub_keeps_is_refused_by_a_sentence_that_says_where(hub_site: HubSite) -> None:
    root_name, root = hub_site.join("admin", admin=True)
    name, api = hub_site.join("admin", organization=root.organization)
    assert api.put("a.txt").status_code == 201

    def kept(method: str, path: str, **options: Any) -> str:
        detail: str = refused(root.call(method, path, **options), 409, "kept_by_hub")["detail"]
        assert "hub" in detail
        return detail

    org = f"/v1/orgs/{root.organization}"
    assert "Admin page" in kept("POST", "/v1/admin/users", json={"user_name": "carol"})
    assert "Admin page" in kept("DELETE", f"/v1/admin/users/{name}")
    assert "Admin page" in kept("PATCH", f"/v1/admin/users/{name}", json={"server_admin": True}, headers=MERGE)
    kept("POST", f"{org}/members", json={"user_name": name})
    kept("PATCH", f"{org}/members/{name}", json={"roles": []}, headers=MERGE)
    kept("DELETE", f"{org}/members/{name}")
    kept("POST", f"{org}/invitations", json={"user_name": "carol"})
    # What is not the hub's is as ever.
    licensed = root.call("PATCH", f"/v1/admin/users/{name}", json={"license_name": "full"}, headers=MERGE)
    assert licensed.status_code == 200
    own = f"org-{secrets.token_hex(4)}"
    assert root.call("POST", "/v1/admin/organizations", json={"name": own}).status_code == 201
    assert root.call("POST", f"/v1/orgs/{own}/members", json={"user_name": name}).status_code == 201
    assert set(organizations(again(hub_site, name, own))) == {root.organization, own}
    hub_site.hub.remove_user(name)
    assert root.call("DELETE", f"/v1/admin/users/{name}").status_code == 204
    assert root.call("GET", f"/v1/admin/users/{name}").status_code == 404
    assert root.call("GET", f"/v1/admin/users/{root_name}").status_code == 200


def test_an_invitation_is_accepted_with_a_token_of_the_hub(hub_site: HubSite) -> None:
    _, root = hub_site.join(admin=True)
    name, api = hub_site.join()
    assert api.put("a.txt").status_code == 201
    own = f"org-{secrets.token_hex(4)}"
    assert root.call("POST", "/v1/admin/organizations", json={"name": own}).status_code == 201
    invited = root.call("POST", f"/v1/orgs/{own}/invitations", json={"user_name": name}).json()
    nobody = client(hub_site.server, None, own)
    answer = nobody.call("POST", "/v1/invitations/accept", json={"code": invited["code"]})
    assert "JupyterHub" in refused(answer, 401, "unauthenticated")["detail"]
    accepted = api.call("POST", "/v1/invitations/accept", json={"code": invited["code"]}).json()
    assert accepted["token"] is None
    assert own in organizations(api)


def test_a_new_server_at_a_hub_has_nobody_and_makes_no_token(hub_site: HubSite, tmp_path: Path) -> None:
    with another_server(hub_site, tmp_path / "data") as other:
        other.server.start()
        assert "EDGE_API_TOKEN" not in other.server.log
        assert hub_site.hub.api_url in other.server.log
        with other.server.database.read() as session:
            assert session.scalars(sa.select(User.user_name)).all() == []
        env = CliRunner().invoke(command, ["env", "--data", str(other.server.data)])
        assert env.exit_code == 1
        assert "Token page" in env.output


def test_where_the_hub_lets_nobody_register_clients_nothing_is_registered(hub_site: HubSite) -> None:
    _, api = hub_site.join("developer")
    assert hub_site.hub.answer("GET", "/services", token=hub_site.hub.edge_token).status_code == 403
    applications = f"/v1/orgs/{api.organization}/applications"
    assert api.call("POST", applications, json={"app_id": "viewer"}).status_code == 201
    address = f"{applications}/viewer/oauth-client"
    answer = api.call("POST", address, json={"redirect_uri": "https://viewer.example.com/oauth"})
    assert (
        "external_apps=True of edge_hub.configure, or the scope admin:services"
        in refused(answer, 409, "conflict")["detail"]
    )
    refused(api.call("GET", address), 404, "not_found")


def test_the_check_before_a_start_asks_the_hub(hub_site: HubSite, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    site = HubSite(hub_site.hub, folder)
    fine = CliRunner().invoke(command, ["check", "--data", str(folder)])
    assert f"identity: the JupyterHub at {hub_site.hub.api_url} knows the service api" in fine.output
    assert (
        "for external applications its role lacks the scopes admin:services, access:services!service=api" in fine.output
    )
    path = site.server.data / "server.toml"
    text = path.read_text()
    path.write_text(text.replace(hub_site.hub.edge_token, "not the token"))
    wrong = CliRunner().invoke(command, ["check", "--data", str(folder)])
    assert wrong.exit_code == 1
    assert "correct api_token" in wrong.output
    assert "not the token" not in wrong.output
    path.write_text(text.replace(hub_site.hub.edge_token, hub_site.hub.token(hub_site.hub.add_user())))
    assert "not of the service api" in CliRunner().invoke(command, ["check", "--data", str(folder)]).output


# --- a hub that is away


def test_a_hub_that_is_away_keeps_only_those_out_who_come_anew(tmp_path: Path) -> None:
    folder = tmp_path / "hub"
    folder.mkdir()
    hub = RealHub(folder)
    hub.start()
    site = HubSite(hub, tmp_path / "data")
    try:
        site.server.start()
        _, api = site.join()
        other = client(site.server, hub.token(hub.add_user()), "none")
        assert api.put("a.txt", b"hello").status_code == 201
        address = api.files("GET", "/download-url", params={"path": "a.txt"}).json()["url"]
        hub.stop()
        known = client(site.server, api.token, api.organization)
        began = time.monotonic()
        away = refused(other.call("GET", "/v1/users/me"), 503, "identity_unavailable")
        assert "JupyterHub" in away["detail"]
        assert int(other.call("GET", "/v1/users/me").headers["Retry-After"]) > 0
        if known.get("a.txt").status_code != 200:
            assert time.monotonic() - began > KEPT / 4, "a token was forgotten at once"
        wait_for(lambda: known.get("a.txt").status_code == 503, "an answer is kept for ever")
        assert api.signed("GET", address).content == b"hello"
        assert api.call("GET", "/healthz").status_code == 200
        hub.start()
        wait_for(lambda: known.get("a.txt").status_code == 200, "the hub answers, and nobody is let in")
        assert hub.edge_token not in site.server.log
        assert (api.token or "") not in site.server.log
        assert site.server.log.count("cannot be used") >= 1
    finally:
        site.server.close()
        hub.stop()


# --- the walk


def identities(site: HubSite, own: str, foreign: str) -> dict[str, str | None]:
    """A token of the hub for each kind of caller."""
    hub = site.hub

    def member(organization: str, *roles: str, admin: bool = False) -> str:
        return site.join(*roles, organization=organization, admin=admin)[1].token or ""

    name = hub.add_user()
    removed, expired = hub.token(name), hub.token(name, expires_in=1)
    hub.revoke(name, removed)
    wait_for(lambda: not hub.answer("GET", "/user", token=expired).ok, "the hub lets a token go on that has expired")
    in_own = member(own)
    stranger = hub.add_user()
    site.server.create_user(stranger, organization=own, roles=("admin", "developer"), server_admin=True)
    return {
        "nobody": None,
        "malformed": "not a token",
        "mistyped": in_own[:-1] + ("0" if in_own[-1] != "0" else "1"),
        "unknown": secrets.token_hex(16),
        "expired": expired,
        "removed": removed,
        "a service": hub.edge_token,
        "without the scope": hub.token(name, scopes=["read:users!user"]),
        "not joined": hub.token(stranger),
        "another user": hub.token(hub.add_user()),
        "another's member": member(foreign),
        "another's admin": member(foreign, "admin"),
        "member": in_own,
        "developer": member(own, "developer"),
        "admin": member(own, "admin"),
        "server admin": hub.token(hub.add_user(admin=True)),
    }


def test_every_route_lets_in_whom_the_table_says_with_tokens_of_the_hub(hub_site: HubSite) -> None:
    own, foreign = f"org-{secrets.token_hex(4)}", f"org-{secrets.token_hex(4)}"
    # There before the hub names them, they would be nobody's but their own.
    for organization in (own, foreign):
        api = hub_site.join(organization=organization)[1]
        assert organizations(api) == {organization: []}
    callers = {
        name: patient(client(hub_site.server, token, own)) for name, token in identities(hub_site, own, foreign).items()
    }
    assert set(callers) == {*STRANGERS, *BARRED_AT_HUB, *USERS}
    walked, leaks = walk(callers, own, foreign)
    print(f"{walked} calls: {len(RULES)} operations by {len(callers)} identities of the hub, {len(leaks)} leaks")
    assert leaks == []
    assert walked >= len(RULES) * len(callers)


# --- a session that has nothing but the hub's variables


def test_a_session_asks_for_the_organization_at_its_first_call(
    hub_site: HubSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, api = hub_site.join()
    monkeypatch.setenv("JUPYTERHUB_API_TOKEN", api.token or "")
    monkeypatch.setenv("EDGE_API_SERVICE_URL", hub_site.server.url)
    with EdgeSession(retries=20) as edge:
        assert edge.config.organization == ""
        assert "organization=''" in repr(edge)
        files = edge.files
        files.upload("a.txt", b"hello")
        assert edge.organization == api.organization
        assert files.list() == ["a.txt"]
        assert edge.search("a.txt")[0].path == "a.txt"
    other = f"org-{secrets.token_hex(4)}"
    hub_site.hub.group(other, name, properties={"edge_organization": other})
    hub_site.hub.revoke(name, api.token or "")
    monkeypatch.setenv("JUPYTERHUB_API_TOKEN", hub_site.hub.token(name))
    with EdgeSession(retries=20) as edge:
        with pytest.raises(ConfigurationError, match="several organizations") as raised:
            edge.files.list()
        assert other in str(raised.value)
        assert api.organization in str(raised.value)
    monkeypatch.setenv("EDGE_API_ORG", other)
    with EdgeSession(retries=20) as edge:
        assert edge.files.list() == []
    monkeypatch.delenv("EDGE_API_ORG")
    monkeypatch.setenv("JUPYTERHUB_API_TOKEN", hub_site.hub.token(hub_site.hub.add_user()))
    with EdgeSession(retries=20) as edge, pytest.raises(ConfigurationError, match="in no organization"):
        edge.files.list()
