"""Limited and expiring tokens: every route by every kind of them, and no way around their limits."""

from __future__ import annotations

import datetime as dt
import secrets
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from edge_server.base import clock
from edge_server.data.database import SERVER
from edge_server.identity import directory
from edge_server.keys.signing import Signer
from edge_server.run.app import build, engines_at
from edge_server.testing.local_server import EdgeServer

from .bringing import Bring
from .test_permissions import RULES, Rule, filled, routes
from .wire import Api, client, refused

NAMESPACES = (
    "admin",
    "applications",
    "billing",
    "compute",
    "files",
    "search",
    "secrets",
    "sources",
    "tokens",
    "whoami",
)

DAY = 24 * 3600


def namespace_of(operation: str) -> str:
    """Where the operation stands in a client's session, written down apart from the server's own answer to that."""
    first, _, rest = operation.partition(".")
    if first in ("audit", "invitations", "members", "quota"):
        return "admin"
    return "billing" if first == "admin" and rest.startswith("billing.") else first


def allowed(scopes: list[str], operation: str, method: str, organization: str | None) -> bool:
    """Whether a token with these scopes may do an operation, as the documentation says it.

    Args:
        scopes: what the token is limited to.
        operation: the operation's id.
        method: HTTP method.
        organization: short name of the one in the address; None if there is none.
    """
    if operation in ("whoami.read", "whoami.organizations"):
        return True
    namespace, reads = namespace_of(operation), method == "GET" or operation == "files.read_batch"
    organizations = [scope[4:] for scope in scopes if scope.startswith("org:")]
    named = [scope for scope in scopes if scope != "read" and not scope.startswith("org:")]
    if "read" in scopes and not reads:
        return False
    if named and namespace not in named and not (reads and f"{namespace}:read" in named):
        return False
    if not organizations or organization in organizations:
        return True
    return organization is None and namespace == "tokens"


@pytest.fixture
def everything(edge_server: EdgeServer) -> tuple[Api, str, str]:
    """Somebody who may do everything in two organizations and on the server, and these."""
    own, other = edge_server.create_organization(), edge_server.create_organization()
    name = edge_server.create_user(organization=own, roles=["admin", "developer"], server_admin=True)
    join(edge_server, name, other, "admin", "developer")
    return client(edge_server, edge_server.create_token(name), own), own, other


def join(server: EdgeServer, name: str, organization: str, *roles: str) -> None:
    with server.database.write(SERVER) as session:
        user, row = directory.find_user(session, name), directory.find_organization(session, organization)
        assert user is not None
        assert row is not None
        directory.add_member(session, user, row, roles)


def created(api: Api, **request: Any) -> dict[str, Any]:
    answer = api.call("POST", "/v1/users/me/tokens", json=request)
    assert answer.status_code == 201, answer.text
    token: dict[str, Any] = answer.json()
    return token


def limited(api: Api, *scopes: str, **request: Any) -> Api:
    """A client of a token of these scopes, of that user."""
    return Api(api.url, created(api, scopes=list(scopes), **request)["token"], api.organization, api.http)


# --- the walk


@pytest.mark.slow
def test_every_route_by_every_kind_of_limited_token(edge_server: EdgeServer, everything: tuple[Api, str, str]) -> None:
    root, own, other = everything
    kinds = [
        ["read"],
        [f"org:{own}"],
        [f"org:{own}", "read"],
        [f"org:{own}", f"org:{other}", "files"],
        ["files:read", f"org:{own}", "secrets"],
        ["sources", "tokens"],
        *([name] for name in NAMESPACES),
        *([f"{name}:read"] for name in NAMESPACES),
        *([name, f"org:{own}"] for name in NAMESPACES),
    ]
    app = build(engines_at(edge_server.data, Signer(b""), database=edge_server.database))
    http = app.test_client()
    callers = {tuple(scopes): created(root, scopes=scopes)["token"] for scopes in kinds}
    walked, leaks = 0, []
    for operation, method, path, _ in routes():
        if RULES[operation] in (Rule.ANYONE, Rule.HUB):
            continue
        for place in (own, other, "no-such-organization") if "{org}" in path else (None,):
            address = filled(path, place or "")

            def status(token: str | None, address: str = address, method: str = method) -> tuple[int, str]:
                answer = http.open(address, method=method, headers={"Authorization": f"Bearer {token}"})
                return answer.status_code, answer.json["code"] if answer.status_code >= 400 and answer.json else ""

            unlimited = status(root.token)
            assert unlimited[0] not in (401, 403, 500), (operation, unlimited)
            for scopes, token in callers.items():
                expected = unlimited if allowed(list(scopes), operation, method, place) else (403, "insufficient_scope")
                walked += 1
                got = status(token)
                if got != expected:
                    leaks.append(f"{', '.join(scopes)}: {method} {address} ({operation}) -> {got}, not {expected}")
    assert leaks == []
    print(f"{walked} calls: {len(RULES)} operations by {len(kinds)} kinds of limited token, {len(leaks)} leaks")
    assert walked >= len(kinds) * (len(RULES) - 10)


def test_each_operation_is_in_a_namespace_that_a_token_can_be_limited_to(everything: tuple[Api, str, str]) -> None:
    root, *_ = everything
    of_users = [operation for operation, rule in RULES.items() if rule not in (Rule.ANYONE, Rule.HUB)]
    assert {namespace_of(operation) for operation in of_users} == set(NAMESPACES)
    for name in NAMESPACES:
        assert created(root, scopes=[name])["scopes"] == [name]


def test_a_head_is_guarded_like_the_get_that_it_is(everything: tuple[Api, str, str]) -> None:
    root, own, _ = everything
    root.put("a", b"content")
    content = f"/v1/orgs/{own}/files/content"
    assert limited(root, "files:read").call("HEAD", content, params={"path": "a"}).status_code == 200
    assert limited(root, "secrets").call("HEAD", content, params={"path": "a"}).status_code == 403


@pytest.mark.parametrize(
    "wrong", ["file", "Files", "files:write", "read:files", "org:", "", "*", "files,secrets", "org", "x" * 5000]
)
def test_a_scope_that_is_not_known_is_refused_by_those_that_are(everything: tuple[Api, str, str], wrong: str) -> None:
    root, *_ = everything
    answer = root.call("POST", "/v1/users/me/tokens", json={"scopes": ["files", wrong]})
    detail = refused(answer, 400, "bad_entry")["detail"]
    assert detail.startswith("scopes: ")
    assert "they are read, org:NAME for an organization, and admin, applications, billing, " in detail
    assert all(f" {name}," in detail for name in NAMESPACES)
    assert "each of these also as in admin:read" in detail
    assert len(detail) < 500


def test_no_scopes_at_all_is_neither_everything_nor_nothing(everything: tuple[Api, str, str]) -> None:
    root, *_ = everything
    assert (
        "leave them out"
        in refused(root.call("POST", "/v1/users/me/tokens", json={"scopes": []}), 400, "bad_entry")["detail"]
    )
    assert created(root)["scopes"] is None


def test_a_token_is_limited_to_an_organization_that_its_user_is_in(
    edge_server: EdgeServer, everything: tuple[Api, str, str]
) -> None:
    root, own, other = everything
    foreign = edge_server.create_organization()
    details = [
        refused(root.call("POST", "/v1/users/me/tokens", json={"scopes": [f"org:{name}"]}), 400, "bad_entry")["detail"]
        for name in (foreign, "no-such-one")
    ]
    # The same sentence, whether or not there is such an organization.
    assert details[0].replace(foreign, "NAME") == details[1].replace("no-such-one", "NAME")
    assert ", ".join(sorted([own, other])) in details[0]


def test_a_refusal_says_what_the_token_lacks(everything: tuple[Api, str, str]) -> None:
    root, own, other = everything
    reader = limited(root, "files:read", f"org:{own}")
    answer = reader.put("a")
    detail = refused(answer, 403, "insufficient_scope")["detail"]
    assert f"limited to the scopes files:read, org:{own} and lacks the scope files;" in detail
    assert answer.headers["WWW-Authenticate"] == 'Bearer error="insufficient_scope"'
    secret = reader.call("GET", f"/v1/orgs/{own}/secrets/user")
    assert "lacks the scope secrets:read;" in refused(secret, 403, "insufficient_scope")["detail"]
    for name in (other, "no-such-organization"):
        elsewhere = reader.call("GET", f"/v1/orgs/{name}/files/entries")
        assert f"lacks the scope org:{name};" in refused(elsewhere, 403, "insufficient_scope")["detail"]
    profile = limited(root, f"org:{own}").call("PUT", "/v1/users/me", json={"email": "eve@example.org"})
    assert "outside of organizations" in refused(profile, 403, "insufficient_scope")["detail"]


# --- what a token tells


def test_a_token_tells_its_limits_and_no_organization_beyond(everything: tuple[Api, str, str]) -> None:
    root, own, other = everything
    me = root.call("GET", "/v1/users/me").json()
    assert [each["organization_name"] for each in me["organizations"]] == sorted([own, other])
    assert me["token"]["scopes"] is None
    record = created(root, scopes=["files", f"org:{own}"], expires_in=60)
    me = client_of(root, record).call("GET", "/v1/users/me").json()
    assert [each["organization_name"] for each in me["organizations"]] == [own]
    assert me["token"] == {
        "id": record["id"],
        "scopes": ["files", f"org:{own}"],
        "expires_at": record["expires_at"],
        "renewable": False,
    }
    assert other not in str(me)


def test_a_refusal_names_no_organization_that_the_token_is_kept_from(
    edge_server: EdgeServer, everything: tuple[Api, str, str]
) -> None:
    root, own, other = everything
    name = edge_server.create_user(organization=own)
    join(edge_server, name, other)
    kept = limited(client(edge_server, edge_server.create_token(name), own), f"org:{own}")
    assert root.call("DELETE", f"/v1/orgs/{own}/members/{name}").status_code == 204
    answer = kept.call("POST", "/v1/users/me/tokens", json={"scopes": [f"org:{own}"]})
    assert refused(answer, 400, "bad_entry")["detail"] == f"scopes: you are in no organization {own!r}"


def client_of(api: Api, record: dict[str, Any]) -> Api:
    return Api(api.url, record["token"], api.organization, api.http)


# --- no escalation by tokens


def test_a_limited_token_makes_tokens_as_limited(everything: tuple[Api, str, str]) -> None:
    root, own, other = everything
    api = limited(root, f"org:{own}", "files", "tokens")
    assert created(api)["scopes"] == ["files", f"org:{own}", "tokens"], "as it is, if nothing is said"
    assert created(api, scopes=["files:read", f"org:{own}"])["scopes"] == ["files:read", f"org:{own}"]
    for wider in (
        ["read"],
        ["files"],
        [f"org:{own}"],
        [f"org:{other}", "files"],
        [f"org:{own}", "secrets"],
        [f"org:{own}", f"org:{other}", "files"],
        [f"org:{own}", "files", "tokens", "search:read"],
    ):
        answer = api.call("POST", "/v1/users/me/tokens", json={"scopes": wider})
        assert "only tokens as limited" in refused(answer, 403, "insufficient_scope")["detail"]
    refused(limited(root, "files").call("POST", "/v1/users/me/tokens", json={}), 403, "insufficient_scope")
    refused(limited(root, "read").call("POST", "/v1/users/me/tokens", json={}), 403, "insufficient_scope")


def test_an_expiring_token_makes_none_that_outlives_it(everything: tuple[Api, str, str]) -> None:
    root, *_ = everything
    parent = created(root, expires_in=DAY)
    api = client_of(root, parent)
    assert created(api)["expires_at"] == parent["expires_at"]
    assert created(api, expires_in=10 * DAY)["expires_at"] == parent["expires_at"]
    shorter = created(api, expires_in=60)
    assert moment(shorter["expires_at"]) - moment(shorter["created_at"]) == dt.timedelta(seconds=60)
    assert created(client_of(root, shorter), expires_in=100 * DAY)["expires_at"] == shorter["expires_at"]
    assert created(api, expires_in=0)["expires_at"] < parent["expires_at"]
    assert created(root)["expires_at"] is None, "a token that never expires goes on making such"


def moment(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text)


def test_a_limited_token_reaches_no_token_beyond_it(everything: tuple[Api, str, str]) -> None:
    root, own, other = everything
    wide, foreign = created(root), created(root, scopes=[f"org:{other}"])
    mine = created(root, scopes=[f"org:{own}", "files:read"])
    api = limited(root, f"org:{own}", note="the limited one")
    for beyond in (wide, foreign):
        for method in ("GET", "DELETE"):
            refused(api.call(method, f"/v1/users/me/tokens/{beyond['id']}"), 404, "not_found")
    ids = [token["id"] for token in api.call("GET", "/v1/users/me/tokens").json()["items"]]
    assert mine["id"] in ids
    assert not {wide["id"], foreign["id"]} & set(ids)
    assert api.call("DELETE", f"/v1/users/me/tokens/{mine['id']}").status_code == 204
    assert client_of(root, wide).call("GET", "/v1/users/me").status_code == 200


def test_the_pages_of_a_limited_token_hold_what_it_reaches_and_no_more(everything: tuple[Api, str, str]) -> None:
    root, *_ = everything
    for n in range(6):
        created(root, scopes=["files"] if n % 2 else ["secrets"])
    api = limited(root, "files", "tokens")
    first = api.call("GET", "/v1/users/me/tokens", params={"limit": 2}).json()
    second = api.call("GET", "/v1/users/me/tokens", params={"limit": 2, "cursor": first["next"]}).json()
    assert [token["scopes"] for token in (*first["items"], *second["items"])] == [
        ["files"],
        ["files"],
        ["files"],
        ["files", "tokens"],
    ]
    assert second["next"] is None


def test_a_request_sent_again_by_a_lesser_token_gives_no_value_of_a_greater(everything: tuple[Api, str, str]) -> None:
    root, *_ = everything
    key = {"Idempotency-Key": secrets.token_hex(8)}
    unlimited = root.call("POST", "/v1/users/me/tokens", json={"note": "job"}, headers=key).json()
    for lesser in (limited(root, "tokens"), client_of(root, created(root, expires_in=DAY))):
        refused(lesser.call("POST", "/v1/users/me/tokens", json={"note": "job"}, headers=key), 409, "conflict")
    assert client_of(root, unlimited).call("GET", "/v1/users/me").status_code == 200, "its value is as it was"


def test_a_removed_limited_token_takes_along_its_children(everything: tuple[Api, str, str]) -> None:
    root, *_ = everything
    parent = created(root, scopes=["tokens", "files"])
    child = created(client_of(root, parent))
    grandchild = created(client_of(root, child))
    assert root.call("DELETE", f"/v1/users/me/tokens/{parent['id']}").status_code == 204
    for gone in (parent, child, grandchild):
        refused(client_of(root, gone).call("GET", "/v1/users/me"), 401, "unauthenticated")
    # What an unlimited one has made stays, as ever.
    parent = created(root)
    child = created(client_of(root, parent))
    assert root.call("DELETE", f"/v1/users/me/tokens/{parent['id']}").status_code == 204
    assert client_of(root, child).call("GET", "/v1/users/me").status_code == 200


# --- renewing


def renewed(api: Api) -> dict[str, Any]:
    answer = api.call("POST", "/v1/users/me/tokens/renew")
    assert answer.status_code == 201, answer.text
    assert answer.headers["Cache-Control"] == "no-store"
    record: dict[str, Any] = answer.json()
    return record


def test_a_renewed_token_is_good_until_its_successor_is_used(everything: tuple[Api, str, str]) -> None:
    root, *_ = everything
    old = created(root, note="laptop", expires_in=DAY, scopes=["files", "tokens"])
    api = client_of(root, old)
    lost = renewed(api)
    new = renewed(api)
    assert lost["id"] not in str(root.call("GET", "/v1/users/me/tokens").json()), "a lost answer leaves no second one"
    assert new["token"] not in (old["token"], lost["token"])
    assert {name: new[name] for name in ("note", "scopes", "expires_at")} == {
        name: old[name] for name in ("note", "scopes", "expires_at")
    }, "it is no more than the old one was"
    refused(client_of(root, lost).call("GET", "/v1/users/me"), 401, "unauthenticated")
    assert api.call("GET", "/v1/users/me").status_code == 200, "the old one, as long as the new one is not used"
    assert client_of(root, new).call("GET", "/v1/users/me").status_code == 200
    refused(api.call("GET", "/v1/users/me"), 401, "unauthenticated")
    refused(api.call("POST", "/v1/users/me/tokens/renew"), 401, "unauthenticated")
    assert client_of(root, renewed(client_of(root, new))).call("GET", "/v1/users/me").status_code == 200


def test_a_removed_token_takes_along_its_unused_successor(everything: tuple[Api, str, str]) -> None:
    root, *_ = everything
    leaked = created(root)
    hidden = renewed(client_of(root, leaked))
    assert root.call("DELETE", f"/v1/users/me/tokens/{leaked['id']}").status_code == 204
    refused(client_of(root, hidden).call("GET", "/v1/users/me"), 401, "unauthenticated")


def test_the_children_of_a_limited_token_go_on_when_it_is_renewed(everything: tuple[Api, str, str]) -> None:
    root, *_ = everything
    parent = created(root, scopes=["tokens", "files"])
    child = created(client_of(root, parent))
    successor = renewed(client_of(root, parent))
    assert client_of(root, successor).call("GET", "/v1/users/me").status_code == 200
    assert client_of(root, child).call("GET", "/v1/users/me").status_code == 200
    assert root.call("DELETE", f"/v1/users/me/tokens/{successor['id']}").status_code == 204
    refused(client_of(root, child).call("GET", "/v1/users/me"), 401, "unauthenticated")


# --- no escalation by other ways


def expires(address: str) -> float:
    return float(parse_qs(urlsplit(address).query)["expires"][0])


def test_a_signed_address_does_not_outlive_the_token_that_it_was_signed_with(everything: tuple[Api, str, str]) -> None:
    root, *_ = everything
    root.put("a", b"content")
    record = created(root, expires_in=120)
    api, end = client_of(root, record), moment(record["expires_at"]).timestamp()
    address = api.files("GET", "/download-url", params={"path": "a", "expires_in": DAY}).json()
    assert expires(address["url"]) <= end
    assert moment(address["expires_at"]).timestamp() == expires(address["url"])
    assert api.signed("GET", address["url"]).content == b"content"
    upload = api.start("b", 10)
    signed = api.files("POST", f"/uploads/{upload['id']}/sign", json={"parts": [{"n": 1}]}).json()["parts"][0]
    assert expires(signed["url"]) <= end
    assert moment(signed["expires_at"]).timestamp() == expires(signed["url"])
    never = root.files("GET", "/download-url", params={"path": "a", "expires_in": DAY}).json()
    assert expires(never["url"]) > clock.now().timestamp() + DAY - 60, "with a token that never expires, as asked for"
    # Who may only read is given no address to write to.
    reader = limited(root, "files:read")
    refused(reader.files("POST", f"/uploads/{upload['id']}/sign", json={}), 403, "insufficient_scope")


def test_a_limited_token_accepts_no_invitation(edge_server: EdgeServer, everything: tuple[Api, str, str]) -> None:
    root, own, _ = everything
    third = edge_server.create_organization()
    boss = edge_server.create_user(organization=third, roles=["admin"])
    name = root.call("GET", "/v1/users/me").json()["user_name"]
    inviter = client(edge_server, edge_server.create_token(boss), third)
    code = inviter.call("POST", f"/v1/orgs/{third}/invitations", json={"user_name": name}).json()["code"]
    for scopes in (["read"], [f"org:{own}"], ["files"], ["admin:read"]):
        answer = limited(root, *scopes).call("POST", "/v1/invitations/accept", json={"code": code})
        refused(answer, 403, "insufficient_scope")
    assert root.call("POST", "/v1/invitations/accept", json={"code": code}).status_code == 200


def test_an_invitation_by_a_limited_token_is_no_way_into_another_organization(
    edge_server: EdgeServer, everything: tuple[Api, str, str]
) -> None:
    """What a server admin invites to gives a first token to who has none, in all organizations they may appoint in."""
    root, own, taken = everything
    other = edge_server.create_organization()

    def code(api: Api, where: str = other) -> str:
        name = edge_server.create_user(organization=where, roles=["admin"])
        invited = api.call("POST", f"/v1/orgs/{own}/invitations", json={"user_name": name})
        assert invited.status_code == 201, invited.text
        return str(invited.json()["code"])

    nobody = client(edge_server, None, own)
    accepted = nobody.call("POST", "/v1/invitations/accept", json={"code": code(limited(root, f"org:{own}"))})
    refused(accepted, 401, "unauthenticated")
    assert nobody.call("POST", "/v1/invitations/accept", json={"code": code(root)}).json()["token"]
    refused(nobody.call("POST", "/v1/invitations/accept", json={"code": code(root, taken)}), 401, "unauthenticated")
    # Nor is one of the user's other token, whose request the limited one sends again for a code.
    again = {"json": {"user_name": edge_server.create_user(organization=other)}, "headers": {"Idempotency-Key": own}}
    for api in (root, limited(root, f"org:{own}")):
        answer = api.call("POST", f"/v1/orgs/{own}/invitations", **again)
    refused(nobody.call("POST", "/v1/invitations/accept", json={"code": answer.json()["code"]}), 401, "unauthenticated")


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PUT", "/v1/users/me", {"email": "eve@example.org"}),
        ("POST", "/v1/orgs/{own}/applications/viewer/oauth-client", {"redirect_uri": "https://eve.example.org/"}),
        ("POST", "/v1/orgs/{own}/invitations", {"user_name": "eve", "roles": ["admin"]}),
        ("PATCH", "/v1/admin/users/{me}", {"license_name": "x"}),
        ("POST", "/v1/users/me/tokens/renew", None),
        ("POST", "/v1/orgs/{own}/secrets/user", {"name": "a", "value": "b"}),
    ],
)
def test_a_token_for_files_changes_nothing_else(
    everything: tuple[Api, str, str], method: str, path: str, body: dict[str, Any] | None
) -> None:
    root, own, _ = everything
    me = root.call("GET", "/v1/users/me").json()
    path = path.format(own=own, me=me["user_name"])
    for scopes in (["files"], ["files", "tokens:read"], ["read"], ["files", f"org:{own}"]):
        refused(limited(root, *scopes).call(method, path, json=body), 403, "insufficient_scope")
    assert root.call("GET", "/v1/users/me").json()["email"] is None


# --- plugins

LAB = """
plugin_api = 1
import datetime as dt
from edge_core.records import Record

class Text(Record):
    text: str

def server(context):
    routes = context.routes()

    @routes.operation("lab.status", "GET", "/status", who="member")
    @routes.response(200, Text.schema())
    def status(org):
        later = context.address_expiry(dt.timedelta(days=9))
        return context.answer(Text(text=context.signed_address("GET", "v1/lab/page", later)))

    @routes.operation("lab.open", "POST", "/open", who="member")
    @routes.response(200, Text.schema())
    def open_(org):
        return context.answer(Text(text="open"))

    @routes.operation("admin.lab.purge", "POST", "/purge", who="server_admin")
    @routes.response(200, Text.schema())
    def purge(org):
        return context.answer(Text(text="purged"))

    pages = context.routes("/v1/lab", group="lab pages")

    @pages.operation("lab.page", "GET", "/page", who="anyone")
    @pages.response(200, Text.schema())
    def page():
        me = context.optional_caller()
        return context.answer(Text(text="nobody" if me is None else me.user_name))

    return context.subsystem(routes, pages)
"""


def test_the_namespace_of_a_plugin_is_a_scope(
    bring: Bring, edge_server: EdgeServer, everything: tuple[Api, str, str]
) -> None:
    bring(LAB)
    root, own, _ = everything
    engines = engines_at(edge_server.data, Signer(b""), database=edge_server.database)
    from edge_server.run import app as application

    http = application.build(engines, application.load(engines)).test_client()

    def call(token: str | None, method: str, path: str, **options: Any) -> Any:
        return http.open(path, method=method, headers={"Authorization": f"Bearer {token}"}, **options)

    def token(*scopes: str, expires_in: int | None = None) -> str:
        answer = call(
            root.token, "POST", "/v1/users/me/tokens", json={"scopes": list(scopes), "expires_in": expires_in}
        )
        assert answer.status_code == 201, answer.text
        return str(answer.json["token"])

    status, open_, purge = f"/v1/orgs/{own}/lab/status", f"/v1/orgs/{own}/lab/open", f"/v1/orgs/{own}/lab/purge"
    lab, reads, files = token("lab"), token("lab:read"), token("files")
    assert [call(lab, *each).status_code for each in (("GET", status), ("POST", open_), ("POST", purge))] == [200] * 3
    assert [call(reads, *each).status_code for each in (("GET", status), ("POST", open_))] == [200, 403]
    assert [call(files, *each).status_code for each in (("GET", status), ("POST", open_))] == [403, 403]
    assert call(token("admin"), "POST", purge).status_code == 403
    assert call(files, "GET", f"/v1/orgs/{own}/files/entries").status_code == 200
    # Who it is asks in an operation for anyone is not told by a token that is for other things.
    assert call(files, "GET", "/v1/lab/page").status_code == 403
    assert call(reads, "GET", "/v1/lab/page").status_code == 200
    assert http.get("/v1/lab/page").json == {"text": "nobody"}
    signed = call(token("lab", expires_in=60), "GET", status).json["text"]
    assert expires(signed) <= clock.now().timestamp() + 60
    # Where the plugin is gone, its scope lets nothing pass.
    for path in ("/v1/orgs/{own}/files/entries", "/v1/orgs/{own}/secrets/user"):
        refused(client(edge_server, lab, own).call("GET", path.format(own=own)), 403, "insufficient_scope")


@pytest.mark.parametrize("name", ["read", "org"])
def test_no_plugin_is_called_as_a_scope_is(bring: Bring, tmp_path: Any, name: str) -> None:
    from edge_server.base.problems import CannotStart
    from edge_server.run import app as application

    bring(LAB.replace("lab", name), point=name)
    with pytest.raises(CannotStart, match="is a name of the server's own"):
        application.load(engines_at(tmp_path, Signer(b"")))
