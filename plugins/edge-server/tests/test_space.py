"""What open uploads and deleted content take: nothing passes the quota, and nothing locks a user out."""

from __future__ import annotations

import concurrent.futures
import contextlib
import datetime as dt
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
import sqlalchemy as sa
from click.testing import CliRunner

from edge_files.wire import PART_SIZE, StartUpload
from edge_server.base import clock
from edge_server.base.problems import Refusal
from edge_server.data.database import FILE_NAME, SERVER, Database
from edge_server.data.migration import migrate, own_history
from edge_server.data.store import FolderStore
from edge_server.files import quotas, tree, uploads
from edge_server.files.models import Upload, UploadSpace, Version
from edge_server.files.quotas import Limits
from edge_server.files.uploads import QUIET, SIGNED, Uploads
from edge_server.identity import directory
from edge_server.identity.models import Organization
from edge_server.run import command
from edge_server.testing.local_server import EdgeServer
from edge_server.web import transfers

from .postgresql import scratch_postgresql
from .stores import store_id, store_of
from .test_quota import set_quota
from .trees import housekeeping_on, uploads_on
from .wire import Api, client, refused

MIB = 1 << 20


def on_disk(server: EdgeServer, organization: str) -> int:
    """Bytes that an organization has in the server's store."""
    with server.database.read() as session:
        row = session.scalars(sa.select(Organization).where(Organization.name == organization)).one()
        keys = set(session.scalars(sa.select(Version.key).where(Version.organization_id == row.id)))
        is_open = (Upload.organization_id == row.id, Upload.version_id.is_(None))
        assert not session.scalars(sa.select(Upload.uid).where(*is_open)).all()
    store = store_of(server.data)
    return sum(store.size(key) or 0 for key in keys)


def organization(server: EdgeServer, name: str) -> Organization:
    with server.database.read() as session:
        return session.scalars(sa.select(Organization).where(Organization.name == name)).one()


def backdate(server: EdgeServer, upload: str, age: dt.timedelta) -> None:
    """Let so much time pass since an upload was opened or had a part."""
    with server.database.write(SERVER) as session:
        values = {"created_at": clock.now() - age}
        row = session.scalars(sa.select(Upload).where(Upload.uid == upload)).one()
        if row.active_at is not None:
            values["active_at"] = clock.now() - age
        session.execute(sa.update(Upload).where(Upload.uid == upload).values(**values))


def try_part(api: Api, upload: str, n: int, content: Any) -> requests.Response:
    return api.signed("PUT", api.address(upload, n), data=content)


# --- open uploads count


@pytest.mark.parametrize("chunked", [False, True])
def test_an_upload_that_states_no_size_holds_no_more_than_the_quota(
    edge_server: EdgeServer, api: Api, chunked: bool
) -> None:
    set_quota(edge_server, api.organization, 4 * MIB)
    upload = api.start("a")["id"]
    answers = []
    for n in range(1, 13):
        content = os.urandom(MIB)
        answers.append(try_part(api, upload, n, iter([content]) if chunked else content))
    assert [answer.status_code for answer in answers].count(200) <= 4
    assert {answer.status_code for answer in answers} == {200, 507}
    refused(answers[-1], 507, "quota_exceeded")
    with edge_server.database.read() as session:
        assert session.scalar(sa.select(Upload.held_bytes).where(Upload.uid == upload)) <= 4 * MIB
    refused(api.put("b", b"1" * (4 * MIB // 4)), 507, "quota_exceeded")


def test_parts_that_break_off_or_shrink_count_as_what_was_sent(edge_server: EdgeServer, api: Api) -> None:
    set_quota(edge_server, api.organization, 4 * MIB)
    upload = api.start("a")["id"]
    where = urlsplit(api.url)
    states = []
    for n in range(1, 9):
        with socket.create_connection((where.hostname, where.port)) as wire:
            head = f"PUT /{api.address(upload, n)} HTTP/1.1\r\nHost: x\r\nContent-Length: {MIB}\r\n\r\n"
            with contextlib.suppress(OSError):  # a refused one is not read
                wire.sendall(head.encode() + bytes(MIB - 1))
                wire.shutdown(socket.SHUT_WR)
            states.append(wire.makefile("rb").read(12)[-3:])
    assert states == [b"400"] * 4 + [b"507"] * 4
    for n in range(1, 5):
        assert try_part(api, upload, n, b"x").status_code == 200, "a part that is sent again has its room"
    refused(try_part(api, upload, 5, b"x"), 507, "quota_exceeded")
    assert api.files("GET", "/uploads").json()["items"][0]["held_bytes"] == 4 * MIB


def test_the_size_of_an_upload_is_reserved(edge_server: EdgeServer, api: Api) -> None:
    set_quota(edge_server, api.organization, 10)
    upload = api.start("a", 8)["id"]
    detail = refused(api.put("b", b"123"), 507, "quota_exceeded")["detail"]
    assert detail.startswith(
        "the organization may hold 10 bytes and holds 0 bytes, and 8 bytes for open uploads, so 3 bytes more do not fit"
    )
    assert "`edge files uploads` lists them, `edge files abort` drops them" in detail
    refused(api.files("POST", "/uploads", json={"path": "c", "size": 3}), 507, "quota_exceeded")
    assert api.put("b", b"12").status_code == 201
    part = api.part(upload, 1, b"12345678")
    assert api.complete(upload, [part], b"12345678").status_code == 200
    assert api.files("GET", "/uploads").json()["items"] == []
    refused(api.put("d", b"1"), 507, "quota_exceeded")


def test_open_uploads_are_listed_and_dropped_by_any_member(edge_server: EdgeServer, api: Api) -> None:
    set_quota(edge_server, api.organization, 10)
    upload = api.start("a", 8)["id"]
    other = client(
        edge_server, edge_server.create_token(edge_server.create_user(organization=api.organization)), api.organization
    )
    (listed,) = other.files("GET", "/uploads").json()["items"]
    assert (listed["id"], listed["path"], listed["size"]) == (upload, "a", 8)
    assert (listed["reserved_bytes"], listed["held_bytes"], listed["active_at"]) == (8, 0, None)
    assert listed["created_by"] == api.call("GET", "/v1/users/me").json()["user_name"]
    assert other.files("DELETE", f"/uploads/{upload}").status_code == 204
    assert other.files("GET", "/uploads").json()["items"] == []
    assert other.put("b", b"1234567890").status_code == 201
    elsewhere = client(edge_server, edge_server.create_token("admin"), "default")
    assert upload not in [each["id"] for each in elsewhere.files("GET", "/uploads").json()["items"]]


def test_what_replaces_a_file_counts_the_difference_and_uploads_hold_a_quota_at_most(
    edge_server: EdgeServer, api: Api
) -> None:
    set_quota(edge_server, api.organization, 10)
    api.put("a", b"1234567890")
    first = api.start("a", 6)["id"]
    second = client(
        edge_server, edge_server.create_token(edge_server.create_user(organization=api.organization)), api.organization
    )
    refused(second.files("POST", "/uploads", json={"path": "a", "size": 5}), 507, "quota_exceeded")
    assert second.start("a", 4)
    refused(api.put("b", b"1"), 507, "quota_exceeded")
    assert api.complete(first, [api.part(first, 1, b"123456")], b"123456").status_code == 200
    assert api.put("b", b"1234").status_code == 201
    refused(api.put("c", b"1"), 507, "quota_exceeded")


# --- what is reserved and never sent


def test_an_hour_without_a_part_leaves_what_is_held(edge_server: EdgeServer, api: Api) -> None:
    size = PART_SIZE + 10
    set_quota(edge_server, api.organization, size)
    upload = api.start("a", size)["id"]
    last = api.part(upload, 2, b"1234567890")
    refused(api.put("b", b"1"), 507, "quota_exceeded")
    backdate(edge_server, upload, dt.timedelta(minutes=61))
    cleaner = housekeeping_on(edge_server.data, edge_server.database)
    cleaner.run()
    assert api.files("GET", "/uploads").json()["items"][0]["reserved_bytes"] == 10
    assert api.put("b", b"12345").status_code == 201
    # It goes on by the parts that come, as far as there is room.
    first = os.urandom(PART_SIZE)
    refused(try_part(api, upload, 1, first), 507, "quota_exceeded")
    api.files("DELETE", "/entry", params={"path": "b"})
    assert api.complete(upload, [api.part(upload, 1, first), last], first + b"1234567890").status_code == 200


def test_a_new_upload_finds_the_room_of_idle_ones_by_itself(edge_server: EdgeServer, api: Api) -> None:
    set_quota(edge_server, api.organization, 10)
    upload = api.start("a", 10)["id"]
    refused(api.files("POST", "/uploads", json={"path": "b", "size": 10}), 507, "quota_exceeded")
    backdate(edge_server, upload, dt.timedelta(minutes=61))
    assert api.start("b", 10)
    assert api.files("GET", f"/uploads/{upload}").status_code == 200


def test_a_new_upload_replaces_the_older_upload_of_the_user_to_the_path(edge_server: EdgeServer, api: Api) -> None:
    set_quota(edge_server, api.organization, 10)
    first = api.start("a", 8)["id"]
    api.part(first, 1, b"12345678")
    other = client(
        edge_server, edge_server.create_token(edge_server.create_user(organization=api.organization)), api.organization
    )
    refused(other.files("POST", "/uploads", json={"path": "a", "size": 8}), 507, "quota_exceeded")
    refused(api.files("POST", "/uploads", json={"path": "b", "size": 8}), 507, "quota_exceeded")
    refused(api.files("POST", "/uploads", json={"path": "a", "size": 11}), 507, "quota_exceeded")
    assert api.files("GET", f"/uploads/{first}").status_code == 200, "one that is refused drops nothing"
    kept = store_id(edge_server, first)
    second = api.start("a", 8)["id"]
    refused(api.files("GET", f"/uploads/{first}"), 404, "not_found")
    assert kept not in store_of(edge_server.data).uploads()
    assert api.complete(second, [api.part(second, 1, b"abcdefgh")], b"abcdefgh").status_code == 200


def test_older_uploads_that_are_sent_stay_where_there_is_room(edge_server: EdgeServer, api: Api) -> None:
    started = api.start("a", 8)
    first = started["id"]
    second = api.start("a", 8)["id"]
    assert api.files("GET", f"/uploads/{first}").status_code == 200, "of several who send a file at once none fails"
    quiet = SIGNED if started["signed_digest"] else QUIET  # what goes to the store, the server does not see
    backdate(edge_server, first, quiet + dt.timedelta(minutes=1))
    third = api.start("a", 8)["id"]
    refused(api.files("GET", f"/uploads/{first}"), 404, "not_found")
    assert [each["id"] for each in api.files("GET", "/uploads").json()["items"]] == [second, third]


def test_a_resumed_upload_reserves_its_room_again_and_is_not_cleared_away(edge_server: EdgeServer, api: Api) -> None:
    set_quota(edge_server, api.organization, 3 * PART_SIZE)
    size = 2 * PART_SIZE
    upload = api.start("a", size)["id"]
    api.part(upload, 1, bytes(PART_SIZE))
    backdate(edge_server, upload, dt.timedelta(hours=2))
    api.start("b", size)  # which takes what was not filled
    start = {"path": "a", "size": size, "resume": True}
    refused(api.files("POST", "/uploads", json=start), 507, "quota_exceeded")
    assert api.files("GET", f"/uploads/{upload}").status_code == 200
    other = api.files("GET", "/uploads").json()["items"][1]["id"]
    assert api.files("DELETE", f"/uploads/{other}").status_code == 204
    assert api.start("a", size, resume=True)["id"] == upload
    assert api.files("GET", "/uploads").json()["items"][0]["reserved_bytes"] == size
    assert api.start("a", 8)["id"] != upload
    assert api.files("GET", f"/uploads/{upload}").status_code == 200, "it was resumed just now"


def test_a_slow_part_keeps_its_upload(edge_server: EdgeServer, api: Api) -> None:
    upload = api.start("a", 100_000)["id"]
    where = urlsplit(api.url)
    with socket.create_connection((where.hostname, where.port)) as wire:
        head = f"PUT /{api.address(upload, 1)} HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n"
        wire.sendall(head.encode() + b"2" * 50_000)
        deadline = time.monotonic() + 60
        while not api.files("GET", "/uploads").json()["items"][0]["active_at"]:
            assert time.monotonic() < deadline, "the part that arrives does not count"
        backdate(edge_server, upload, dt.timedelta(minutes=2))
        api.start("a", 100_000)
        wire.sendall(b"2" * 50_000)
        assert b" 200 " in wire.recv(1000).partition(b"\r\n")[0]


# --- how many


@pytest.fixture(params=["sqlite", "postgresql"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    with contextlib.ExitStack() as stack:
        if request.param == "sqlite":
            database = stack.enter_context(contextlib.closing(Database(tmp_path / FILE_NAME)))
            migrate(database, tmp_path / "backups", [own_history()])
        else:
            database = stack.enter_context(scratch_postgresql())
            own_history().upgrade(database)
        yield database


@pytest.fixture
def members(opened: Database) -> tuple[int, list[int]]:
    """An organization and four users in it."""
    with opened.write(SERVER) as session:
        row = directory.create_organization(session, [tree.plant], "lab", "Lab")
        users = [directory.create_user(session, f"user-{n}") for n in range(4)]
        for user in users:
            directory.add_member(session, user, row, ())
        session.flush()
        return row.id, [user.id for user in users]


def limited(folder: Path, database: Database, limits: Limits) -> Uploads:
    own = uploads_on(folder, database)
    own.store.create()
    return Uploads(own.context, own.store, own.names, limits)


def test_a_user_and_an_organization_have_so_many_uploads_open(
    opened: Database, members: tuple[int, list[int]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    organization_id, users = members
    own = limited(tmp_path, opened, Limits())
    monkeypatch.setattr(uploads, "OPEN_OF_USER", 3)
    monkeypatch.setattr(uploads, "OPEN_OF_ORGANIZATION", 5)

    def start(user: int, path: str) -> str:
        return own.start(organization_id, users[user], StartUpload(path=path), lambda upload: upload.id)

    first = [start(0, f"a{n}") for n in range(3)]
    with pytest.raises(Refusal, match="you have 3 uploads open, .* `edge files abort` drops") as raised:
        start(0, "more")
    assert (raised.value.status, raised.value.code) == (429, "too_many_uploads")
    assert start(0, "a0") not in first, "the older one to the path makes way"
    start(1, "b0")
    start(1, "b1")
    with pytest.raises(Refusal, match="the organization has 5 uploads open"):
        start(2, "c")
    own.abort(organization_id, first[1])
    start(2, "c")


def test_uploads_of_several_users_at_once_never_pass_the_quota(
    opened: Database, members: tuple[int, list[int]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of known and unknown size, in parts that come at the same moment; what is held is looked at all the while."""
    organization_id, users = members
    quota = 1000
    own = limited(tmp_path, opened, Limits(quota=quota))
    barrier = threading.Barrier(16)
    passed: list[int] = []

    def held() -> int:
        with opened.read() as session:
            now = quotas.room(session, organization_id, Limits(quota=quota))
            space = session.scalar(sa.select(sa.func.coalesce(sa.func.sum(UploadSpace.size), 0)))
            assert now.uploads >= int(space or 0)
            return now.used + now.uploads

    def send(n: int) -> int:
        barrier.wait(60)
        sent = 0
        for turn in range(4):
            start = StartUpload(path=f"f{n}-{turn}", size=90 if n % 2 else None)
            with contextlib.suppress(Refusal):
                upload = own.start(organization_id, users[n % 4], start, lambda upload: upload.id)
                own.write_part(upload, 1, 90, lambda _: iter([b"x" * 90]))
                sent += 90
            passed.append(held())
        return sent

    monkeypatch.setattr(transfers, "of", lambda user_id: contextlib.nullcontext())
    own.context.charge = lambda organization_id: None  # type: ignore[method-assign]  # there is no request
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        sent = list(pool.map(send, range(16)))
    assert sum(sent) == 990
    assert max(passed) == 990
    store = own.store
    if isinstance(store, FolderStore):
        stored = [path.stat().st_size for path in (tmp_path / "uploads").iterdir()]
    else:
        held = (size for upload in store.uploads() for part in store.parts_held(upload).values() for size, _ in part)
        stored = [*held]
    assert sum(stored) == 990


# --- deleted content


def test_overwriting_a_file_holds_no_more_than_the_limits(edge_server: EdgeServer, api: Api) -> None:
    set_quota(edge_server, api.organization, 4 * MIB)
    states = [api.put("a", os.urandom(MIB)).status_code for _ in range(61)]
    assert states.count(201) == 17
    assert set(states) == {201, 507}
    assert on_disk(edge_server, api.organization) == 17 * MIB
    row = organization(edge_server, api.organization)
    assert (row.used_bytes, row.deleted_bytes) == (MIB, 16 * MIB)
    detail = refused(api.put("a", os.urandom(MIB)), 507, "quota_exceeded")["detail"]
    assert detail.startswith("the organization holds 16.8 MB of deleted and replaced content, which stays for 24 hours")
    assert "`edge server purge`" in detail
    refused(api.files("POST", "/uploads", json={"path": "a", "size": MIB}), 507, "quota_exceeded")
    # Deleting is always possible, and what is deleted can be restored.
    assert api.files("DELETE", "/entry", params={"path": "a"}).status_code == 204
    newest = api.files("GET", "/versions", params={"path": "a"}).json()["items"][-1]["version"]
    assert api.files("POST", "/restore", json={"path": "a", "version": newest}).status_code == 200


def test_what_is_too_large_to_be_kept_as_deleted_names_the_way_out(edge_server: EdgeServer, api: Api) -> None:
    api.upload("h", bytes(9 * MIB))
    set_quota(edge_server, api.organization, 2 * MIB)
    for answer in (api.put("h", b"12345678"), api.files("POST", "/uploads", json={"path": "h", "size": 8})):
        detail = refused(answer, 507, "quota_exceeded")["detail"]
        assert detail.startswith(
            "replacing this would keep 9.4 MB as deleted content, and the organization may hold 8.4 MB of it; delete"
        )
    assert api.files("DELETE", "/entry", params={"path": "h"}).status_code == 204
    detail = refused(api.put("h", b"12345678"), 507, "quota_exceeded")["detail"]
    assert detail.startswith("the organization holds 9.4 MB of deleted and replaced content, which stays for 24 hours")
    purged = CliRunner().invoke(
        command.server, ["purge", "--data", str(edge_server.data), "--org", api.organization], catch_exceptions=False
    )
    assert purged.exit_code == 0
    assert api.put("h", b"12345678").status_code == 201


def test_what_does_not_fit_beside_the_deleted_names_both(edge_server: EdgeServer, api: Api) -> None:
    set_quota(edge_server, api.organization, 10)
    for _ in range(5):
        assert api.put("a", os.urandom(9)).status_code < 300
    detail = refused(api.put("a", b"1"), 507, "quota_exceeded")["detail"]
    assert "holds 36 bytes of deleted and replaced content" in detail
    assert "may hold 40 bytes, so 9 bytes that this would replace do not fit; wait" in detail


def test_content_counts_once_however_many_versions_share_it(edge_server: EdgeServer, api: Api) -> None:
    def counted() -> tuple[int, int]:
        row = organization(edge_server, api.organization)
        return row.used_bytes, row.deleted_bytes

    api.put("a", b"12345")
    api.files("POST", "/copy", json={"path": "a", "new_path": "folder/b"})
    assert counted() == (10, 0)
    api.put("a", b"123")
    assert counted() == (8, 0), "the copy has it"
    api.files("DELETE", "/entry", params={"path": "folder", "recursive": "true"})
    assert counted() == (3, 5)
    old = api.files("GET", "/versions", params={"path": "a"}).json()["items"][0]["version"]
    api.files("POST", "/restore", json={"path": "a", "version": old})
    assert counted() == (5, 3)
    api.files("POST", "/restore", json={"path": "a", "version": old})
    assert counted() == (5, 3)
    api.put("b", b"1")
    api.files("POST", "/move", json={"path": "a", "new_path": "b", "overwrite": True})
    assert counted() == (5, 4)
    api.files("DELETE", "/entry", params={"path": "b"})
    assert counted() == (0, 9)
    assert on_disk(edge_server, api.organization) == 9
