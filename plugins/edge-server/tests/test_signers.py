"""Signed addresses and open uploads end with what allowed them."""

from __future__ import annotations

import dataclasses
import datetime as dt
import io
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qsl, urlencode

import pytest
import requests
import sqlalchemy as sa

from edge_core.session import EdgeSession
from edge_server.base import clock
from edge_server.data.database import SERVER
from edge_server.identity import directory
from edge_server.identity.models import Token
from edge_server.keys.signing import Signer, read_key
from edge_server.testing.local_server import EdgeServer
from edge_server.testing.simulation import SimulatedTime

from .engines import sqlite_only
from .stores import store_id
from .wire import Api, client, close_all, refused

PATCH = {"Content-Type": "application/merge-patch+json"}
WEEK = 7 * 86_400


@dataclasses.dataclass
class Share:
    """What a member hands to others: an address for a file, one for a part, and an upload."""

    api: Api
    other: Api
    name: str
    content: str
    part: str
    upload: str

    def use(self) -> tuple[int, int, int]:
        """The statuses of fetching the file and of sending a part with these addresses, and of the upload itself."""
        content = self.api.signed("GET", self.content)
        part = self.api.signed("PUT", self.part, data=b"12345")
        return content.status_code, part.status_code, self.of_another().status_code

    def of_another(self) -> requests.Response:
        """The upload, as another member of the organization finds it."""
        return self.other.files("GET", f"/uploads/{self.upload}")


def share(server: EdgeServer, organization: str, *roles: str) -> Share:
    name = server.create_user(organization=organization, roles=roles)
    api = client(server, server.create_token(name), organization)
    assert api.put(f"{name}.csv", b"shared").status_code == 201
    upload = api.start(f"{name}.bin", 5)["id"]
    content = api.files("GET", "/download-url", params={"path": f"{name}.csv", "expires_in": WEEK}).json()["url"]
    other = client(server, server.create_token(server.create_user(organization=organization)), organization)
    shared = Share(api, other, name, content, api.address(upload, 1), upload)
    assert shared.use() == (200, 200, 200)
    return shared


@pytest.fixture
def organization(edge_server: EdgeServer) -> str:
    return edge_server.create_organization()


@pytest.fixture
def admin(edge_server: EdgeServer, organization: str) -> Api:
    name = edge_server.create_user(organization=organization, roles=["admin"])
    return client(edge_server, edge_server.create_token(name), organization)


@pytest.fixture
def root(edge_server: EdgeServer) -> Api:
    return client(edge_server, edge_server.create_token("admin"), "default")


ENDED = (403, 403, 404)


def test_they_end_with_the_membership_and_another_does_not_revive_them(
    edge_server: EdgeServer, admin: Api, organization: str
) -> None:
    eve, bob = share(edge_server, organization), share(edge_server, organization)
    assert admin.call("DELETE", f"/v1/orgs/{organization}/members/{eve.name}").status_code == 204
    assert eve.use() == ENDED
    problem = refused(eve.api.signed("GET", eve.content), 403, "expired")
    assert "left the organization" in problem["detail"]
    assert bob.use() == (200, 200, 200)
    with edge_server.database.write(SERVER) as session:
        user, row = directory.find_user(session, eve.name), directory.find_organization(session, organization)
        assert user is not None
        assert row is not None
        directory.add_member(session, user, row)
    assert eve.use() == ENDED
    assert eve.api.files("GET", "/entries").status_code == 200


def test_they_end_with_the_user(edge_server: EdgeServer, root: Api, organization: str) -> None:
    eve = share(edge_server, organization)
    assert root.call("DELETE", f"/v1/admin/users/{eve.name}").status_code == 204
    assert eve.use() == ENDED


@pytest.mark.parametrize("how", ["closed", "removed"])
def test_they_end_with_the_organization(edge_server: EdgeServer, root: Api, organization: str, how: str) -> None:
    eve = share(edge_server, organization)
    path = f"/v1/admin/organizations/{organization}"
    if how == "closed":
        assert root.call("PATCH", path, json={"active": False}, headers=PATCH).status_code == 200
        assert eve.use() == (403, 403, 404)
        # It is shut, not emptied: what was open goes on once it is open again.
        assert root.call("PATCH", path, json={"active": True}, headers=PATCH).status_code == 200
        assert eve.use() == (200, 200, 200)
    else:
        assert root.call("DELETE", path).status_code == 202
        assert eve.use() == ENDED


def test_addresses_end_with_the_token_that_signed_them_and_uploads_go_on(
    edge_server: EdgeServer, organization: str
) -> None:
    eve = share(edge_server, organization)
    again = client(edge_server, edge_server.create_token(eve.name), organization)
    (first, _) = again.call("GET", "/v1/users/me/tokens").json()["items"]
    assert again.call("DELETE", f"/v1/users/me/tokens/{first['id']}").status_code == 204
    # The upload is the user's, who goes on with another token.
    assert eve.use() == (403, 403, 200)
    assert again.signed("PUT", again.address(eve.upload, 1), data=b"12345").status_code == 200


def test_an_address_lives_no_longer_than_its_token(edge_server: EdgeServer, organization: str) -> None:
    name = edge_server.create_user(organization=organization)
    api = client(edge_server, edge_server.create_token(name, expires_in=300), organization)
    api.put("a", b"a")
    signed = api.files("GET", "/download-url", params={"path": "a", "expires_in": WEEK}).json()
    part = api.files("POST", f"/uploads/{api.start('b', 1)['id']}/sign", json={"parts": [{"n": 1}]}).json()["parts"][0]
    for address in (signed, part):
        left = dt.datetime.fromisoformat(address["expires_at"]) - clock.now()
        assert dt.timedelta(seconds=270) < left <= dt.timedelta(seconds=300)
    assert api.signed("GET", signed["url"]).status_code == 200
    # Also where a token's end is moved forward afterwards.
    with edge_server.database.write(SERVER) as session:
        user = directory.find_user(session, name)
        assert user is not None
        session.execute(sa.update(Token).where(Token.user_id == user.id).values(expires_at=clock.now()))
    refused(api.signed("GET", signed["url"]), 403, "expired")


def test_an_admin_revokes_what_a_member_has_signed_and_open(
    edge_server: EdgeServer, admin: Api, organization: str
) -> None:
    eve, bob = share(edge_server, organization), share(edge_server, organization, "developer")
    path = f"/v1/orgs/{organization}/members/{eve.name}/addresses"
    refused(bob.api.call("DELETE", path), 403, "forbidden")
    refused(eve.api.call("DELETE", path), 403, "forbidden")
    for _ in range(2):
        assert admin.call("DELETE", path).status_code == 204
        assert eve.use() == ENDED
    assert bob.use() == (200, 200, 200)
    # They are a member all the same, and sign others.
    assert eve.api.get(f"{eve.name}.csv").content == b"shared"
    fresh = eve.api.files("GET", "/download-url", params={"path": f"{eve.name}.csv"}).json()["url"]
    assert eve.api.signed("GET", fresh).content == b"shared"
    refused(admin.call("DELETE", f"/v1/orgs/{organization}/members/nobody/addresses"), 404, "not_found")
    refused(admin.call("DELETE", "/v1/orgs/default/members/admin/addresses"), 404, "not_found")


def test_a_server_admin_revokes_a_users_in_all_organizations(
    edge_server: EdgeServer, root: Api, admin: Api, organization: str
) -> None:
    eve, bob = share(edge_server, organization), share(edge_server, organization)
    refused(admin.call("DELETE", f"/v1/admin/users/{eve.name}/addresses"), 403, "forbidden")
    assert root.call("DELETE", f"/v1/admin/users/{eve.name}/addresses").status_code == 204
    assert eve.use() == ENDED
    assert bob.use() == (200, 200, 200)
    refused(root.call("DELETE", "/v1/admin/users/nobody/addresses"), 404, "not_found")


def test_bytes_of_an_upload_that_ended_are_dropped(edge_server: EdgeServer, admin: Api, organization: str) -> None:
    from .trees import uploads_on

    eve = share(edge_server, organization)
    uploads = uploads_on(edge_server.data, edge_server.database)
    upload = store_id(edge_server, eve.upload)
    assert upload in set(uploads.store.uploads())
    assert admin.call("DELETE", f"/v1/orgs/{organization}/members/{eve.name}").status_code == 204
    while uploads.sweep():
        pass
    assert upload not in set(uploads.store.uploads())


def test_an_address_that_names_no_signer_or_another_is_none(edge_server: EdgeServer, organization: str) -> None:
    eve, bob = share(edge_server, organization), share(edge_server, organization)
    path, _, query = eve.content.partition("?")
    values = dict(parse_qsl(query))
    for signer in ("", "x", "x.y.member", dict(parse_qsl(bob.content))["signer"]):
        refused(eve.api.signed("GET", f"{path}?{urlencode({**values, 'signer': signer})}"), 403, "bad_signature")
    del values["signer"]
    refused(eve.api.signed("GET", f"{path}?{urlencode(values)}"), 403, "bad_signature")


@sqlite_only("how it plans")
def test_signers_are_looked_up_by_indexes(edge_server: EdgeServer, organization: str) -> None:
    """However many users, tokens and memberships there are."""
    from edge_server.web import signers

    for statement in (signers._TOKEN, signers._MEMBERSHIP):
        compiled = statement.compile(edge_server.database.engine, compile_kwargs={"render_postcompile": True})
        with edge_server.database.engine.connect() as connection:
            text = f"EXPLAIN QUERY PLAN {compiled}".replace("?", "NULL")
            steps = [row[3] for row in connection.exec_driver_sql(text)]
        assert steps
        assert all(step.startswith("SEARCH") for step in steps), steps


# --- every way to use an address for what it is not for


@pytest.fixture
def time(tmp_path: Path) -> SimulatedTime:
    time = SimulatedTime(tmp_path / "time")
    time.set(clock.now().replace(microsecond=0))
    return time


@pytest.fixture
def timed_server(time: SimulatedTime, tmp_path: Path) -> Iterator[EdgeServer]:
    """A server whose clock the test sets."""
    server = EdgeServer(tmp_path / "data", time=time)
    try:
        server.start()
        yield server
    finally:
        close_all()
        server.close()


def member_of(server: EdgeServer, organization: str) -> Api:
    return client(server, server.create_token(server.create_user(organization=organization)), organization)


def signed(api: Api, path: str, seconds: int, **more: str) -> str:
    query = {"path": path, "expires_in": seconds, **more}
    return str(api.files("GET", "/download-url", params=query).json()["url"])


def with_path(url: str, old: str, new: str) -> str:
    """An address that leads elsewhere, with what was signed for it."""
    path, _, query = url.partition("?")
    assert old in path
    return f"{path.replace(old, new)}?{query}"


def with_query(url: str, **values: str) -> str:
    path, _, query = url.partition("?")
    return f"{path}?{urlencode({**dict(parse_qsl(query)), **values})}"


@pytest.mark.slow
def test_an_address_opens_a_single_thing_for_its_time(time: SimulatedTime, timed_server: EdgeServer) -> None:
    mine, foreign = timed_server.create_organization(), timed_server.create_organization()
    api, other = member_of(timed_server, mine), member_of(timed_server, foreign)
    first = api.put("a.csv", b"first").json()["version"]
    second = api.put("a.csv", b"second", overwrite="true").json()["version"]
    elsewhere = other.put("a.csv", b"not yours").json()["version"]
    content = signed(api, "a.csv", 60)
    upload, another = api.start("b.bin", 5)["id"], api.start("c.bin", 5)["id"]
    foreign_upload = other.start("b.bin", 5)["id"]
    part = api.address(upload, 1)
    assert api.signed("GET", content).content == b"second"
    assert api.signed("PUT", part, data=b"12345").status_code == 200
    gets = {
        "other version": with_path(content, second, first),
        "other key": with_path(content, second, "0" * 36),
        "other organization": with_path(content, second, elsewhere),
        "changed disposition": with_query(content, filename="setup.exe"),
        "no disposition": content.replace("filename=", "name="),
        "later end": with_query(content, expires="9999999999"),
        "of a part": f"{content.partition('?')[0]}?{part.partition('?')[2]}",
    }
    for attack, url in gets.items():
        answer = api.signed("GET", url)
        assert answer.status_code in (403, 404), attack
        assert b"first" not in answer.content, attack
        assert b"not yours" not in answer.content, attack
    puts = {
        "other part": with_path(part, "/1", "/2"),
        "other upload": with_path(part, upload, another),
        "other organization": with_path(part, upload, foreign_upload),
        "later end": with_query(part, expires="9999999999"),
        "a digest more": with_query(part, sha256="0" * 64),
        "of content": f"{part.partition('?')[0]}?{content.partition('?')[2]}",
    }
    for attack, url in puts.items():
        assert api.signed("PUT", url, data=b"evil!").status_code in (403, 404), attack
    for method in ("PUT", "POST", "PATCH", "DELETE"):
        assert api.signed(method, content, data=b"evil!").status_code == 405
    for method in ("GET", "POST", "DELETE"):
        assert api.signed(method, part).status_code == 405
    signer = Signer(read_key(timed_server.data))
    values = {name: value for name, value in parse_qsl(content.partition("?")[2]) if name in ("filename", "signer")}
    of_put = signer.address("PUT", content.partition("?")[0], time.now() + dt.timedelta(minutes=1), values)
    refused(api.signed("GET", of_put), 403, "bad_signature")
    # To the second.
    begin = time.now()
    time.set(begin + dt.timedelta(seconds=59))
    assert api.signed("GET", content).content == b"second"
    time.set(begin + dt.timedelta(seconds=61))
    refused(api.signed("GET", content), 403, "expired")
    time.set(begin + dt.timedelta(minutes=15, seconds=1))
    refused(api.signed("PUT", part, data=b"12345"), 403, "expired")
    # Used again after what they are for is gone.
    content, part = signed(api, "a.csv", WEEK), api.address(upload, 1)
    assert api.files("DELETE", "/entry", params={"path": "a.csv"}).status_code == 204
    assert api.files("DELETE", f"/uploads/{upload}").status_code == 204
    refused(api.signed("PUT", part, data=b"12345"), 404, "not_found")
    assert api.signed("GET", content).content == b"second", "for whoever is at it; the docs promise 24 hours"
    time.set(time.now() + dt.timedelta(hours=24))
    refused(api.signed("GET", content), 404, "not_found")


@pytest.mark.slow
@pytest.mark.parametrize("minutes", [-15, 15])
def test_clocks_that_differ_by_a_quarter_hour_harm_no_transfer(
    time: SimulatedTime, timed_server: EdgeServer, minutes: int
) -> None:
    """The client's clock is the machine's; the server's alone decides."""
    time.jump(time.now() + dt.timedelta(minutes=minutes))
    organization = timed_server.create_organization()
    api = member_of(timed_server, organization)
    content = bytes(range(256)) * 24_000
    with EdgeSession(api.token, timed_server.url, organization) as edge:
        edge.files.upload("large.bin", io.BytesIO(content))
        assert edge.files.open("large.bin", open_with="file").read() == content
        url = edge.files.open("large.bin", open_with="file").download_url()
    assert api.http.get(url, timeout=60).content == content
    # Nor does a clock that is set meanwhile make an address last.
    address = signed(api, "large.bin", 600)
    time.jump(time.now() - dt.timedelta(minutes=15))
    assert api.signed("GET", address).status_code == 200
    time.jump(time.now() + dt.timedelta(minutes=15 + 10, seconds=1))
    refused(api.signed("GET", address), 403, "expired")
