"""What is counted of a request, where it is kept, and what is lost when a worker dies."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import sqlalchemy as sa

from edge_server.billing.meter import Meter
from edge_server.billing.models import BillingUsage
from edge_server.identity.models import Organization
from edge_server.run import app, process, start
from edge_server.testing.local_server import EdgeServer
from edge_server.web.counting import Request
from tests.waiting import wait_for

from .pairs import single_host_only
from .stores import folder_only, keys_in, store_of
from .wire import Api, client

Counts = dict[str, int]

at_once = single_host_only("the other one writes down within a minute what it has counted")


def counts(server: EdgeServer, organization: str) -> Counts:
    """What is written down for an organization, over all days."""
    rows = sa.select(BillingUsage.usage_type, BillingUsage.amount)
    totals: Counts = {}
    with server.database.read() as session:
        for row in session.execute(rows.where(BillingUsage.org_name == organization)):
            totals[row.usage_type] = totals.get(row.usage_type, 0) + row.amount
    return totals


@pytest.fixture
def admin(edge_server: EdgeServer) -> Api:
    """An admin of a fresh organization, who can ask for its usage."""
    organization = edge_server.create_organization()
    return client(
        edge_server,
        edge_server.create_token(edge_server.create_user(organization=organization, roles=["admin"])),
        organization,
    )


def used(api: Api) -> Counts:
    """What the server says was used, storage aside."""
    answer = api.call("GET", f"/v1/orgs/{api.organization}/billing/usage")
    assert answer.status_code == 200, answer.text
    return {
        row["usage_type"]: int(row["usage_quantity"])
        for row in answer.json()["items"]
        if row["usage_type"] != "object_storage"
    }


@at_once
def test_bodies_are_counted_both_ways(admin: Api) -> None:
    stored = admin.put("a.csv", b"x" * 1000)
    read = admin.get("a.csv")
    assert used(admin) == {
        "api_requests": 2,
        "transfer_in": 1000,
        "transfer_out": len(stored.content) + len(read.content),
    }


@at_once
def test_a_range_counts_for_what_it_has(admin: Api) -> None:
    admin.put("a.csv", bytes(range(200)) * 5)
    before = used(admin)["transfer_out"]
    listing = len(admin.call("GET", f"/v1/orgs/{admin.organization}/billing/usage").content)  # both listings are alike
    for sent, length in (("bytes=10-19", 10), ("bytes=-7", 7), ("bytes=990-", 10)):
        answer = admin.files("GET", "/content", params={"path": "a.csv"}, headers={"Range": sent})
        assert (answer.status_code, len(answer.content)) == (206, length)
    after = used(admin)["transfer_out"]
    assert after - before - listing >= 27
    assert after - before - 27 == pytest.approx(2 * listing, abs=20)


@at_once
def test_a_small_range_of_large_content_counts_for_what_it_has(admin: Api) -> None:
    assert admin.upload("a.bin", b"x" * 3_000_000).status_code == 200
    before = used(admin)
    answer = admin.files("GET", "/content", params={"path": "a.bin"}, headers={"Range": "bytes=5-500004"})
    assert (answer.status_code, len(answer.content)) == (206, 500_000)
    after = used(admin)
    assert after["api_requests"] == before["api_requests"] + 2
    assert 500_000 < after["transfer_out"] - before["transfer_out"] < 502_000


@at_once
def test_what_has_no_body_or_only_a_head_counts_as_a_request_alone(admin: Api) -> None:
    admin.put("a.csv", b"x" * 500)
    before = used(admin)
    answer = admin.files("HEAD", "/content", params={"path": "a.csv"})
    assert answer.headers["Content-Length"] == "500"
    assert admin.files("DELETE", "/entry", params={"path": "a.csv"}).status_code == 204
    after = used(admin)
    assert after["api_requests"] == before["api_requests"] + 3
    assert after["transfer_in"] == 500


@at_once
def test_parts_and_signed_addresses_count_for_their_organization(admin: Api) -> None:
    content = b"x" * 3_000_000
    assert admin.upload("a.bin", content).status_code == 200
    sent = used(admin)
    assert 3_000_000 < sent["transfer_in"] < 3_000_500
    assert sent["api_requests"] == 4  # start, sign, the part, complete
    url = admin.files("GET", "/download-url", params={"path": "a.bin"}).json()["url"]
    before = used(admin)
    assert admin.signed("GET", url).content == content
    after = used(admin)
    assert after["api_requests"] == before["api_requests"] + 2
    assert 3_000_000 < after["transfer_out"] - before["transfer_out"] < 3_002_000


@at_once
def test_a_body_that_breaks_off_counts_for_what_came(admin: Api) -> None:
    url = urlsplit(admin.url)
    with socket.create_connection((url.hostname, url.port)) as raw:
        raw.sendall(
            f"PUT /v1/orgs/{admin.organization}/files/content?path=a.bin HTTP/1.1\r\nHost: x\r\n"
            f"Authorization: Bearer {admin.token}\r\nContent-Length: 1000000\r\n\r\n".encode()
            + b"x" * 400_000
        )
        raw.shutdown(socket.SHUT_WR)
        raw.recv(65536)
    wait_for(lambda: used(admin).get("transfer_in", 0) == 400_000, "the count of what came did not come")


@folder_only("content that the server sends itself")
def test_an_answer_nobody_waits_for_counts_for_what_was_sent(edge_server: EdgeServer, admin: Api) -> None:
    size = 60_000_000
    upload = admin.start("large.bin", size)
    content = b"x" * size
    step = upload["part_size"]
    parts = [admin.part(upload["id"], n, content[at : at + step]) for n, at in enumerate(range(0, size, step), 1)]
    assert admin.complete(upload["id"], parts, content).status_code == 200
    url = admin.files("GET", "/download-url", params={"path": "large.bin"}).json()["url"]
    before = used(admin)
    where = urlsplit(admin.url)
    received = 0
    with socket.socket() as raw:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        raw.connect((where.hostname, where.port))
        raw.sendall(f"GET /{url} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        while received < 2_000_000:
            block = raw.recv(65536)
            assert block, "the answer has ended"
            received += len(block)

    def cut_off() -> bool:
        return used(admin)["transfer_out"] - before["transfer_out"] > 1_000_000

    wait_for(cut_off, "the count of what was sent did not come")
    sent = used(admin)["transfer_out"] - before["transfer_out"]
    assert 1_900_000 < sent < size / 2


def test_strangers_and_failures_count_for_nobody(
    edge_server: EdgeServer, admin: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    outsider = client(
        edge_server,
        edge_server.create_token(edge_server.create_user(organization=edge_server.create_organization())),
        admin.organization,
    )
    assert outsider.put("a.csv", b"x" * 100).status_code == 404
    assert client(edge_server, None, admin.organization).put("a.csv", b"x" * 100).status_code == 401
    assert used(admin) == {}
    # A version whose bytes the server has lost.
    assert admin.put("a.csv", b"x" * 100).status_code == 201
    before = used(admin)
    store = store_of(edge_server.data)
    for key in keys_in(store):
        if store.size(key) == 100:
            store.remove(key)
    assert admin.get("a.csv").status_code == 500
    after = used(admin)
    assert after["api_requests"] == before["api_requests"] + 1  # the listing before


def test_what_could_not_be_written_is_kept(edge_server: EdgeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    organization = edge_server.create_organization()
    with edge_server.database.read() as session:
        organization_id = session.scalar(sa.select(Organization.id).where(Organization.name == organization))
    assert organization_id is not None
    meter = Meter(edge_server.database)
    meter.count(Request(organization_id, 10, 20))
    with monkeypatch.context() as patch:

        def fail(*_: object) -> None:
            raise OSError(28, "No space left on device")

        patch.setattr("edge_server.billing.usage.add", fail)
        with pytest.raises(OSError, match="No space"):
            meter.flush()
    meter.count(Request(organization_id, 1, 1))
    meter.flush()
    meter.flush()
    assert counts(edge_server, organization) == {"api_requests": 2, "transfer_in": 11, "transfer_out": 21}


@pytest.mark.slow
def test_a_stop_writes_the_last_counts_and_a_kill_loses_ten_seconds_at_most(tmp_path: Path) -> None:
    server = EdgeServer(tmp_path / "data")
    try:
        server.start("--workers", "2")
        api = client(server, server.create_token("admin"), "default")
        for n in range(20):
            assert api.put(f"{n}.csv", b"x" * 10).status_code == 201
        api.http.close()
        server.stop()
        assert counts(server, "default")["api_requests"] == 20
        server.start("--workers", "2")
        api = client(server, api.token, "default")
        for n in range(20):
            assert api.put(f"{n}.csv", b"x" * 10).status_code == 201
        wait_for(
            lambda: counts(server, "default")["api_requests"] == 40, "what was counted ten seconds ago did not come"
        )
        assert api.put("last.csv", b"x" * 10).status_code == 201
        server.kill()
        assert counts(server, "default")["transfer_in"] in (400, 410)
        server.start()
        api = client(server, api.token, "default")
        seen = used(api)  # what was once told is there for good
        server.kill()
        server.start()
        again = used(client(server, api.token, "default"))
        assert all(again[name] >= value for name, value in seen.items())
    finally:
        server.close()


@pytest.fixture
def on_waitress(tmp_path: Path) -> Iterator[EdgeServer]:
    """A server on waitress, which reads the files it sends, in a thread of this process."""
    folder = tmp_path / "data"
    folder.mkdir()
    engines, loaded, _ = start.prepare(folder)
    application = app.build(engines, loaded)
    listener = process.listen("127.0.0.1", 0)
    import waitress  # type: ignore[import-untyped]

    server = waitress.create_server(application, sockets=[listener], threads=4, ident=None)
    thread = threading.Thread(target=server.run)
    thread.start()
    shown = EdgeServer(folder)
    shown.url = process.url_of(listener)
    yield shown
    server.task_dispatcher.shutdown()
    server.asyncore.close_all(server._map)  # its loop ends when there is nothing to wait for
    thread.join(60)
    assert not thread.is_alive()
    shown.close()


def test_counts_are_the_same_on_the_other_server(on_waitress: EdgeServer) -> None:
    api = client(on_waitress, on_waitress.create_token("admin"), "default")
    out = len(api.put("a.csv", b"x" * 900_000).content)
    out += len(api.get("a.csv").content)
    ranged = api.files("GET", "/content", params={"path": "a.csv"}, headers={"Range": "bytes=100000-399999"})
    assert ranged.status_code == 206
    assert used(api) == {"api_requests": 3, "transfer_in": 900_000, "transfer_out": out + 300_000}
