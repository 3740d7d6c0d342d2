"""Uploads in parts over the wire."""

from __future__ import annotations

import base64
import concurrent.futures
import contextlib
import hashlib
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from urllib.parse import urlsplit

import pytest
import requests
import sqlalchemy as sa

from edge_files.wire import MAX_PARTS, PART_SIZE
from edge_server.base import clock
from edge_server.data.database import SERVER
from edge_server.data.store import FolderStore, Written
from edge_server.files.models import Upload, UploadSpace
from edge_server.files.uploads import part_size
from edge_server.testing.local_server import EdgeServer
from edge_server.web.leases import LEASE

from .engines import on_each_engine
from .pairs import single_host_only
from .stores import FOLDER, folder_only, kind, store_id, store_of
from .trees import housekeeping_on
from .wire import Api, client, refused, session

edge_server = on_each_engine

LARGE = os.urandom(PART_SIZE + 1000)


def test_an_upload_in_parts_becomes_the_file(api: Api) -> None:
    entry = api.upload("deep/large.bin", LARGE)
    assert entry.status_code == 200
    assert entry.json()["size"] == len(LARGE)
    assert entry.json()["sha256"] == hashlib.sha256(LARGE).hexdigest()
    assert api.stat("deep/large.bin").json() == {**entry.json(), "sha256": None}
    answer = api.get("deep/large.bin")
    assert answer.status_code == 307
    whole = requests.compat.urljoin(answer.url, answer.headers["Location"])
    assert api.http.get(whole).content == LARGE


def test_a_small_range_of_large_content_comes_at_once_with_the_address_of_all_of_it(api: Api) -> None:
    entry = api.upload("deep/large.bin", LARGE).json()
    for sent, span in (("bytes=5-9", slice(5, 10)), ("bytes=-7", slice(-7, None)), ("bytes=0-1048575", slice(1 << 20))):
        answer = api.files("GET", "/content", params={"path": "deep/large.bin"}, headers={"Range": sent})
        assert (answer.status_code, answer.content) == (206, LARGE[span])
        assert answer.headers["Content-Range"].endswith(f"/{len(LARGE)}")
        assert answer.headers["ETag"] == f'"{entry["digest"]}"'
        assert answer.headers["Cache-Control"] == "private, no-transform"
    address = requests.compat.urljoin(answer.url, answer.headers["Content-Location"])
    assert api.http.get(address).content == LARGE
    assert api.http.get(address, headers={"Range": "bytes=100-2000000"}).content == LARGE[100:2000001]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Range": "bytes=0-1048576"},
        {"Range": "bytes=5-"},
        {"Range": "bytes=0-1,3-4"},
        {"Range": "bytes=0-9", "If-Range": '"another"'},
    ],
)
def test_more_of_large_content_is_fetched_at_its_address(api: Api, headers: dict[str, str]) -> None:
    api.upload("large.bin", LARGE)
    answer = api.files("GET", "/content", params={"path": "large.bin"}, headers=headers)
    assert (answer.status_code, answer.content) == (307, b"")
    assert "Content-Location" not in answer.headers


def test_a_head_of_large_content_is_answered_at_its_address(api: Api) -> None:
    api.upload("large.bin", LARGE)
    answer = api.files("HEAD", "/content", params={"path": "large.bin"}, headers={"Range": "bytes=0-9"})
    assert answer.status_code == 307


def test_a_range_beyond_large_content_is_refused(api: Api) -> None:
    api.upload("large.bin", LARGE)
    headers = {"Range": f"bytes={len(LARGE)}-"}
    answer = api.files("GET", "/content", params={"path": "large.bin"}, headers=headers)
    refused(answer, 416, "range_not_satisfiable")
    assert answer.headers["Content-Range"] == f"bytes */{len(LARGE)}"


def test_small_content_has_no_other_address(api: Api) -> None:
    api.put("small.bin", b"small")
    answer = api.files("GET", "/content", params={"path": "small.bin"}, headers={"Range": "bytes=0-1"})
    assert answer.status_code == 206
    assert "Content-Location" not in answer.headers


def test_an_upload_of_unknown_size_ends_with_its_last_part(api: Api) -> None:
    upload = api.start("a")
    assert upload["size"] is None
    parts = [api.part(upload["id"], 1, bytes(PART_SIZE)), api.part(upload["id"], 2, b"end")]
    assert api.complete(upload["id"], parts, bytes(PART_SIZE) + b"end").json()["size"] == PART_SIZE + 3


def test_parts_can_come_in_any_order_and_again(api: Api) -> None:
    upload = api.start("a", len(LARGE))
    api.part(upload["id"], 2, b"?" * 1000)
    api.part(upload["id"], 1, LARGE[:PART_SIZE])
    assert [part["n"] for part in api.files("GET", f"/uploads/{upload['id']}").json()["parts"]] == [1, 2]
    last = api.part(upload["id"], 2, LARGE[PART_SIZE:])
    held = api.files("GET", f"/uploads/{upload['id']}").json()["parts"]
    assert held[1] == {**last, "sha256": hashlib.sha256(LARGE[PART_SIZE:]).hexdigest()}
    assert api.complete(upload["id"], held, LARGE).status_code == 200


def test_an_upload_without_parts_is_an_empty_file(api: Api) -> None:
    for size in (0, None):
        upload = api.start(f"empty-{size}", size)
        assert api.complete(upload["id"], [], b"").json()["size"] == 0
        assert api.get(f"empty-{size}").content == b""


def test_the_digest_of_several_parts_is_that_of_theirs_which_are_kept(api: Api) -> None:
    pieces = [os.urandom(PART_SIZE), os.urandom(PART_SIZE), b"end"]
    upload = api.start("a", len(b"".join(pieces)))["id"]
    for n, piece in enumerate(pieces, 1):
        api.part(upload, n, piece)
    entry = api.complete_by_digest(upload, pieces, sha256="1" * 64).json()
    sha256s = [hashlib.sha256(piece) for piece in pieces]
    digest = hashlib.sha256(b"".join(sha256.digest() for sha256 in sha256s)).hexdigest()
    assert (entry["digest"], entry["part_size"], entry["sha256"]) == (digest, PART_SIZE, None)
    assert api.complete_by_digest(upload, pieces).json() == entry
    assert api.stat("a").json() == entry
    assert api.files("GET", "/entries").json()["items"] == [entry]
    version = api.files("GET", "/versions", params={"path": "a"}).json()["items"][0]
    assert (version["digest"], version["part_size"], version["sha256"]) == (digest, PART_SIZE, None)
    kept = [
        {"n": n, "size": len(piece), "sha256": sha256.hexdigest()}
        for n, (piece, sha256) in enumerate(zip(pieces, sha256s, strict=True), 1)
    ]
    assert api.files("GET", "/digests", params={"path": "a"}).json() == {"items": kept, "next": None}
    first = api.files("GET", "/digests", params={"path": "a", "limit": 2}).json()
    assert first["items"] == kept[:2]
    second = api.files("GET", "/digests", params={"path": "a", "limit": 2, "cursor": first["next"]}).json()
    assert second == {"items": kept[2:], "next": None}
    # A copy shares the content, and so its digests.
    assert api.files("POST", "/copy", json={"path": "a", "new_path": "b"}).json()["digest"] == digest
    api.put("a", b"newer")
    assert api.files("GET", "/digests", params={"path": "b"}).json()["items"] == kept
    by_version = {"path": "a", "version": entry["version"]}
    assert api.files("GET", "/digests", params=by_version).json()["items"] == kept
    assert api.files("GET", "/digests", params={"path": "a"}).json() == {"items": [], "next": None}
    answer = api.get("b")
    content = api.http.get(requests.compat.urljoin(answer.url, answer.headers["Location"]))
    assert hashlib.sha256(content.content).digest() == hashlib.sha256(b"".join(pieces)).digest()
    part = api.files("GET", "/content", params={"path": "b"}, headers={"Range": "bytes=0-9"})
    assert part.headers["ETag"] == f'"{digest}"'
    if kind() == FOLDER:  # an object store has entity tags of its own
        assert content.headers["ETag"] == f'"{digest}"'


def test_content_of_a_single_part_has_its_own_sha256(api: Api) -> None:
    for path, pieces in (("a", [b"abc"]), ("empty", [])):
        upload = api.start(path)["id"]
        for n, piece in enumerate(pieces, 1):
            api.part(upload, n, piece)
        entry = api.complete_by_digest(upload, pieces).json()
        sha256 = hashlib.sha256(b"".join(pieces)).hexdigest()
        assert (entry["digest"], entry["part_size"], entry["sha256"]) == (sha256, None, sha256)
        assert api.files("GET", "/digests", params={"path": path}).json()["items"] == []


def test_a_digest_that_the_parts_do_not_have_is_refused(api: Api) -> None:
    pieces = [bytes(PART_SIZE), b"end"]
    upload = api.start("a")["id"]
    for n, piece in enumerate(pieces, 1):
        api.part(upload, n, piece)
    refused(api.complete_by_digest(upload, pieces, digest="0" * 64), 400, "checksum_mismatch")
    refused(api.complete_by_digest(upload, [pieces[0], b"END"]), 400, "checksum_mismatch")
    held = api.files("GET", f"/uploads/{upload}").json()["parts"]
    where = f"/uploads/{upload}/complete"
    assert "sha256" in refused(api.files("POST", where, json={"parts": held}), 400, "bad_entry")["detail"]
    unstated = [{**part, "sha256": None} for part in held]
    refused(api.files("POST", where, json={"digest": "0" * 64, "parts": unstated}), 400, "bad_entry")
    assert api.complete_by_digest(upload, pieces).status_code == 200
    refused(api.complete_by_digest(upload, [*pieces, b""]), 409, "conflict")
    single = api.start("b")["id"]
    part = api.part(single, 1, b"abc")
    refused(api.complete(single, [part], b"abd"), 400, "checksum_mismatch")


def test_an_older_client_that_states_the_whole_sha256_sees_it_confirmed(api: Api) -> None:
    upload = api.start("a", len(LARGE))["id"]
    parts = [api.part(upload, 1, LARGE[:PART_SIZE]), api.part(upload, 2, LARGE[PART_SIZE:])]
    sha256 = hashlib.sha256(LARGE).hexdigest()
    for _ in range(2):
        assert api.complete(upload, parts, LARGE).json()["sha256"] == sha256
    refused(api.complete(upload, parts, b"other"), 409, "conflict")
    # Nobody has compared it, so that nobody else is told.
    assert api.stat("a").json()["sha256"] is None


def test_a_repeated_complete_gives_the_same_version(api: Api) -> None:
    upload = api.start("a", 3)
    parts = [api.part(upload["id"], 1, b"abc")]
    first = api.complete(upload["id"], parts, b"abc").json()
    assert api.complete(upload["id"], parts, b"abc").json() == first
    api.put("a", b"newer")
    api.files("POST", "/move", json={"path": "a", "new_path": "b"})
    assert api.complete(upload["id"], parts, b"abc").json() == first
    assert api.get("b").content == b"newer"
    refused(api.complete(upload["id"], parts, b"other"), 409, "conflict")
    refused(api.files("DELETE", f"/uploads/{upload['id']}"), 409, "conflict")
    refused(api.signed("PUT", api.address(upload["id"], 1), data=b"xyz"), 409, "conflict")


def test_two_completes_at_once_are_the_same_version(api: Api) -> None:
    for round_ in range(5):
        content = os.urandom(2000) * 1000
        upload = api.start(f"f{round_}", len(content))
        parts = [api.part(upload["id"], 1, content)]
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(lambda _: _fresh(api).complete(upload["id"], parts, content), range(4)))  # noqa: B023
        assert {answer.status_code for answer in answers} == {200}
        assert len({answer.json()["version"] for answer in answers}) == 1


def test_a_complete_that_does_not_fit_is_refused_and_the_upload_stays_open(api: Api) -> None:
    upload = api.start("a", len(LARGE))["id"]
    first = api.part(upload, 1, LARGE[:PART_SIZE])
    second = {"n": 2, "size": 1000, "etag": '"nothing"'}
    assert "part 2" in refused(api.complete(upload, [first, second], LARGE), 409, "conflict")["detail"]
    refused(api.complete(upload, [first], LARGE), 409, "conflict")
    second = api.part(upload, 2, LARGE[PART_SIZE:])
    assert "not stated" in refused(api.complete(upload, [first], LARGE), 409, "conflict")["detail"]
    refused(api.complete(upload, [first, first, second], LARGE), 400, "bad_entry")
    refused(api.complete(upload, [second], LARGE), 400, "bad_entry")
    refused(api.complete(upload, [{**first, "size": 7}, second], LARGE), 400, "bad_entry")
    refused(api.complete(upload, [{**first, "etag": second["etag"]}, second], LARGE), 400, "checksum_mismatch")
    refused(api.complete(upload, [{**first, "sha256": "0" * 64}, second], LARGE), 400, "checksum_mismatch")
    refused(api.stat("a"), 404, "not_found")
    assert api.complete(upload, [second, first], LARGE).status_code == 200


def test_only_the_last_part_may_be_short(api: Api) -> None:
    upload = api.start("a")["id"]
    parts = [api.part(upload, 1, b"short"), api.part(upload, 2, b"end")]
    refused(api.complete(upload, parts, b"shortend"), 400, "bad_entry")
    sized = api.start("b", PART_SIZE + 5)["id"]
    for n, content in ((1, b"short"), (2, b"1234"), (3, b"x"), (0, b"x"), (MAX_PARTS + 1, b"x")):
        address = api.address(sized, n) if 0 < n <= MAX_PARTS else None
        if address is not None:
            refused(api.signed("PUT", address, data=content), 400, "bad_entry")
    refused(api.signed("PUT", api.address(upload, 3), data=b""), 400, "bad_entry")


def test_a_part_larger_than_a_part_is_refused_before_it_is_read(api: Api) -> None:
    upload = api.start("a")["id"]
    refused(api.signed("PUT", api.address(upload, 1), data=bytes(PART_SIZE + 1)), 413, "too_large")
    chunked = iter([bytes(PART_SIZE), b"x"])
    refused(api.signed("PUT", api.address(upload, 1), data=chunked), 413, "too_large")
    assert api.files("GET", f"/uploads/{upload}").json()["parts"] == []


@single_host_only("what its own connection is answered")
def test_a_part_that_breaks_off_is_not_held_and_takes_the_old_part_with_it(api: Api) -> None:
    upload = api.start("a", 1000)["id"]
    api.part(upload, 1, b"1" * 1000)
    parts = urlsplit(api.url)
    with socket.create_connection((parts.hostname, parts.port)) as wire:
        head = f"PUT /{api.address(upload, 1)} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n"
        wire.sendall(head.encode() + b"2" * 500)
        wire.shutdown(socket.SHUT_WR)
        assert b" 400 " in wire.makefile("rb").read().partition(b"\r\n")[0]
    assert api.files("GET", f"/uploads/{upload}").json()["parts"] == []


def test_bytes_bound_to_an_address_are_compared(api: Api) -> None:
    md5 = base64.b64encode(hashlib.md5(b"right").digest()).decode()
    sha256 = hashlib.sha256(b"right").hexdigest()
    for bound in ({"md5": md5}, {"sha256": sha256}, {"md5": md5, "sha256": sha256}):
        upload = api.start("a", 5)["id"]
        part = api.sign(upload, 1, **bound)
        address = requests.compat.urljoin(f"{api.url}/", part["url"])  # of the store, if that compares SHA-256
        wrong = api.http.put(address, data=b"wrong", headers=part["headers"])
        if address.startswith(api.url):
            refused(wrong, 400, "checksum_mismatch")
        else:
            assert wrong.status_code == 400
        assert api.files("GET", f"/uploads/{upload}").json()["parts"] == []
        right = api.http.put(address, data=b"right", headers=part["headers"])
        assert right.status_code == 200
        if address.startswith(api.url):
            assert right.headers["ETag"] == f'"{sha256}"'
        held = {"n": 1, "size": 5, "etag": right.headers["ETag"], "sha256": sha256}
        assert api.files("GET", f"/uploads/{upload}").json()["parts"] == [held]
    wrong = api.files("POST", f"/uploads/{upload}/sign", json={"parts": [{"n": 1, "md5": "no"}]})
    refused(wrong, 400, "bad_entry")


def test_an_upload_needs_a_place_for_the_file(api: Api) -> None:
    api.put("file")
    api.put("folder/x")
    refused(api.files("POST", "/uploads", json={"path": "file", "overwrite": False}), 409, "already_exists")
    refused(api.files("POST", "/uploads", json={"path": "folder"}), 409, "already_exists")
    refused(api.files("POST", "/uploads", json={"path": "file/below"}), 409, "conflict")
    refused(api.files("POST", "/uploads", json={"path": ""}), 400, "bad_entry")
    refused(api.files("POST", "/uploads", json={"path": "a", "size": 1 << 60}), 400, "bad_entry")
    for wrong in ({"size": -1}, {"size": 1.5}, {"size": True}, {"colour": "red"}, {"size": 10**40}):
        answer = api.files("POST", "/uploads", json={"path": "a", **wrong})
        assert answer.status_code in (400, 422), answer.text


def test_the_place_is_looked_at_again_when_the_upload_is_completed(api: Api) -> None:
    upload = api.start("a/b", 1, overwrite=False)["id"]
    parts = [api.part(upload, 1, b"x")]
    api.put("a", b"a file where a folder must be")
    refused(api.complete(upload, parts, b"x"), 409, "conflict")
    api.files("DELETE", "/entry", params={"path": "a"})
    api.put("a/b", b"someone was faster")
    refused(api.complete(upload, parts, b"x"), 409, "already_exists")
    api.files("DELETE", "/entry", params={"path": "a/b"})
    assert api.complete(upload, parts, b"x").status_code == 200


def test_an_aborted_upload_is_gone(api: Api, edge_server: EdgeServer) -> None:
    upload = api.start("a", 1)["id"]
    kept = store_id(edge_server, upload)
    address = api.address(upload, 1)
    assert kept in store_of(edge_server.data).uploads()
    assert api.files("DELETE", f"/uploads/{upload}").status_code == 204
    assert kept not in store_of(edge_server.data).uploads()
    refused(api.signed("PUT", address, data=b"x"), 404, "not_found")
    refused(api.files("GET", f"/uploads/{upload}"), 404, "not_found")
    refused(api.files("DELETE", f"/uploads/{upload}"), 404, "not_found")
    refused(api.complete(upload, [], b""), 404, "not_found")


def test_an_upload_is_resumed_with_its_parts(api: Api, edge_server: EdgeServer) -> None:
    upload = api.start("a", len(LARGE), resume=True, source_mtime_ns=1)
    assert upload["parts"] == [], "a new one, as there is none yet"
    part = api.part(upload["id"], 1, LARGE[:PART_SIZE])
    resumed = api.start("a", len(LARGE), resume=True, source_mtime_ns=2)
    assert resumed["id"] == upload["id"]
    assert resumed["parts"] == [{**part, "sha256": hashlib.sha256(LARGE[:PART_SIZE]).hexdigest()}]
    assert resumed["expires_at"] > upload["expires_at"], "it has the time of a new one again"
    second = api.part(upload["id"], 2, LARGE[PART_SIZE:])
    entry = api.complete(upload["id"], [part, second], LARGE).json()
    assert entry["source_mtime_ns"] == 2
    assert api.start("a", len(LARGE), resume=True)["id"] != upload["id"], "it is completed"


def test_the_newest_of_several_uploads_is_resumed(api: Api) -> None:
    uploads = [api.start("a", 8)["id"] for _ in range(3)]
    assert api.start("a", 8, resume=True)["id"] == uploads[-1]
    assert api.files("DELETE", f"/uploads/{uploads[-1]}").status_code == 204
    assert api.start("a", 8, resume=True)["id"] == uploads[-2]
    assert api.start("a", 8, resume=False)["id"] not in uploads


@pytest.mark.parametrize("other", [{"path": "b"}, {"size": 9}, {"size": None}, {"overwrite": False}], ids=repr)
def test_only_an_upload_of_the_same_is_resumed(api: Api, other: dict[str, object]) -> None:
    upload = api.start("a", 8, resume=True)["id"]
    assert api.start(**{"path": "a", "size": 8, "resume": True, **other})["id"] != upload  # type: ignore[arg-type]
    assert api.start("a", 8, resume=True)["id"] == upload


def test_an_upload_of_unknown_size_is_never_resumed(api: Api) -> None:
    upload = api.start("a", resume=True)["id"]
    assert api.start("a", resume=True)["id"] != upload


def test_nobody_resumes_another_users_upload(api: Api, edge_server: EdgeServer) -> None:
    upload = api.start("a", 8, resume=True)["id"]
    for role in ((), ("admin",)):
        other = edge_server.create_user(organization=api.organization, roles=role)
        api_of_other = client(edge_server, edge_server.create_token(other), api.organization)
        assert api_of_other.start("a", 8, resume=True)["id"] != upload
    assert api.start("a", 8, resume=True)["id"] == upload


def test_a_token_that_only_reads_resumes_nothing(api: Api) -> None:
    api.start("a", 8, resume=True)
    token = api.call("POST", "/v1/users/me/tokens", json={"scopes": ["read"]}).json()["token"]
    reading = Api(api.url, token, api.organization, api.http)
    start = {"path": "a", "size": 8, "resume": True}
    refused(reading.files("POST", "/uploads", json=start), 403, "insufficient_scope")


def test_a_resumed_upload_needs_a_place_for_the_file(api: Api) -> None:
    start = {"path": "a", "size": 8, "overwrite": False, "resume": True}
    upload = api.start(**start)["id"]  # type: ignore[arg-type]
    api.put("a", b"another file")
    refused(api.files("POST", "/uploads", json=start), 409, "already_exists")
    api.files("DELETE", "/entry", params={"path": "a"})
    assert api.start(**start)["id"] == upload  # type: ignore[arg-type]


def test_an_upload_that_is_being_completed_is_not_resumed(api: Api, edge_server: EdgeServer) -> None:
    upload = api.start("a", 8, resume=True)["id"]
    change(edge_server, sa.update(Upload).values(completing_until=clock.now() + LEASE))
    assert api.files("GET", f"/uploads/{upload}").json()["completing"]
    assert api.start("a", 8, resume=True)["id"] != upload


@folder_only("parts without entity tags")
def test_an_upload_that_nobody_completed_in_time_is_resumed(api: Api, edge_server: EdgeServer) -> None:
    upload = api.start("a", 3, resume=True)["id"]
    api.part(upload, 1, b"abc")
    # As a server leaves it that dies before, or after, the content has its key.
    for moved in (False, True):
        change(edge_server, sa.update(Upload).values(completing_until=clock.now()))
        if moved:
            with edge_server.database.read() as session:
                row = session.scalars(sa.select(Upload).where(Upload.uid == upload)).one()
            parts = [Written(3, hashlib.sha256(b"abc").hexdigest())]
            FolderStore(edge_server.data).complete_upload(row.store_id, row.key, parts, in_doubt=False)
        resumed = api.start("a", 3, resume=True)
        assert (resumed["id"], resumed["resumed"], resumed["completing"]) == (upload, True, False)
        assert [part["n"] for part in resumed["parts"]] == [1]
    assert api.complete_by_digest(upload, [b"abc"]).status_code == 200
    assert api.get("a").content == b"abc"


def test_an_upload_is_another_organizations_no_business(api: Api, edge_server: EdgeServer) -> None:
    upload = api.start("a", 1)["id"]
    other = _fresh(api)
    other.organization = edge_server.create_organization()
    other.token = edge_server.create_token(edge_server.create_user(organization=other.organization))
    refused(other.files("GET", f"/uploads/{upload}"), 404, "not_found")
    refused(other.files("DELETE", f"/uploads/{upload}"), 404, "not_found")
    refused(other.complete(upload, [], b""), 404, "not_found")
    refused(other.files("POST", f"/uploads/{upload}/sign", json={"parts": [{"n": 1}]}), 404, "not_found")


def test_an_upload_expires_and_is_cleared_away(api: Api, edge_server: EdgeServer) -> None:
    upload = api.start("a", 1)["id"]
    kept = store_id(edge_server, upload)
    with edge_server.database.write(SERVER) as session:
        session.execute(sa.update(Upload).where(Upload.uid == upload).values(expires_at=clock.now()))
    refused(api.files("GET", f"/uploads/{upload}"), 404, "not_found")
    refused(api.complete(upload, [], b""), 404, "not_found")
    housekeeping_on(edge_server.data, edge_server.database).run()
    assert kept not in store_of(edge_server.data).uploads()


def test_a_part_still_arriving_holds_complete_back(api: Api, edge_server: EdgeServer) -> None:
    content = b"1" * 100_000
    upload = api.start("a", 100_000)["id"]
    parts = [api.part(upload, 1, content)]
    where = urlsplit(api.url)
    with socket.create_connection((where.hostname, where.port)) as wire:
        head = f"PUT /{api.address(upload, 1)} HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n"
        wire.sendall(head.encode() + b"2" * 50_000)
        deadline = time.monotonic() + 60
        while api.files("GET", f"/uploads/{upload}").json()["parts"]:
            assert time.monotonic() < deadline, "the part that arrives anew does not void the old one"
        done: list[requests.Response] = []
        complete = partial(_fresh(api).complete, upload, parts, content)
        thread = threading.Thread(target=lambda: done.append(patiently(complete)))
        thread.start()
        thread.join(0.3)
        assert not done
        wire.sendall(b"2" * 50_000)
        assert b" 200 " in wire.recv(1000).partition(b"\r\n")[0]
        thread.join()
    refused(done[0], 400, "checksum_mismatch")


def test_a_part_has_a_single_writer_at_a_time(api: Api) -> None:
    upload = api.start("a", 100_000)["id"]
    with begun_part(api, upload, b"1" * 50_000, 100_000) as first:
        done: list[requests.Response] = []
        address = api.address(upload, 1)
        send = partial(_fresh(api).signed, "PUT", address, data=b"2" * 100_000)
        second = threading.Thread(target=lambda: done.append(patiently(send)))
        second.start()
        second.join(0.3)
        assert not done
        first.sendall(b"1" * 50_000)
        assert b" 200 " in first.recv(1000).partition(b"\r\n")[0]
        second.join()
    assert done[0].status_code == 200
    held = api.files("GET", f"/uploads/{upload}").json()["parts"]
    assert [part["sha256"] for part in held] == [hashlib.sha256(b"2" * 100_000).hexdigest()]
    assert api.complete_by_digest(upload, [b"2" * 100_000]).status_code == 200


def test_a_late_sender_cannot_change_what_is_shown(api: Api, edge_server: EdgeServer) -> None:
    content = b"2" * 100_000
    upload = api.start("a", 100_000)["id"]
    kept = store_id(edge_server, upload)
    with begun_part(api, upload, b"1" * 50_000, 100_000) as late:
        lapsed(edge_server)
        api.part(upload, 1, content)
        assert api.complete_by_digest(upload, [content]).status_code == 200
        late.sendall(b"1" * 50_000)
        assert b" 409 " in late.recv(1000).partition(b"\r\n")[0]
    assert api.get("a").content == content
    assert kept not in store_of(edge_server.data).uploads()
    assert list((edge_server.data / "incoming").iterdir()) == []


def test_a_part_that_a_late_sender_has_changed_is_sent_again(api: Api, edge_server: EdgeServer) -> None:
    pieces = [b"2" * PART_SIZE, b"end"]
    upload = api.start("a", PART_SIZE + 3)["id"]
    api.part(upload, 2, pieces[1])
    with begun_part(api, upload, b"1" * 50_000, PART_SIZE) as late:
        lapsed(edge_server)
        api.part(upload, 1, pieces[0])
        late.sendall(b"1" * (PART_SIZE - 50_000))
        assert b" 409 " in late.recv(1000).partition(b"\r\n")[0]
    entry = api.complete_by_digest(upload, pieces)
    # An object store may keep both, of which the completion names one.
    if kind() == FOLDER or entry.status_code != 200:
        assert "part 1" in refused(entry, 400, "checksum_mismatch")["detail"]
        assert [part["n"] for part in api.files("GET", f"/uploads/{upload}").json()["parts"]] == [2]
        assert list((edge_server.data / "incoming").iterdir()) == []
        api.part(upload, 1, pieces[0])
        entry = api.complete_by_digest(upload, pieces)
    assert entry.status_code == 200
    answer = api.get("a")
    content = api.http.get(requests.compat.urljoin(answer.url, answer.headers["Location"])).content
    assert content == b"".join(pieces)


def test_a_part_whose_sender_died_can_be_sent_after_a_while(api: Api, edge_server: EdgeServer) -> None:
    upload = api.start("a", 3)["id"]
    api.part(upload, 1, b"abd")
    lapsed(edge_server)
    part = api.part(upload, 1, b"abc")
    lapsed(edge_server)
    assert api.complete(upload, [part], b"abc").status_code == 200
    assert api.get("a").content == b"abc"


def test_a_part_of_an_upload_that_is_being_completed_is_refused(api: Api, edge_server: EdgeServer) -> None:
    upload = api.start("a", 3)["id"]
    part = api.part(upload, 1, b"abc")
    # Also once whoever completes it has had its time: the parts may be content already.
    for until in (clock.now() + LEASE, clock.now()):
        change(edge_server, sa.update(Upload).values(completing_until=until))
        problem = refused(api.signed("PUT", api.address(upload, 1), data=b"abd"), 409, "conflict")
        assert problem["detail"] == "this upload is being completed; start a new one to change the file"
    # An object store may still be at what whoever has failed has begun.
    assert patiently(lambda: api.complete(upload, [part], b"abc")).status_code == 200


def test_concurrent_uploads_of_a_name_all_succeed_and_a_single_content_stays(api: Api) -> None:
    contents = [f"content {n}".encode() for n in range(8)]

    def put(content: bytes) -> int:
        member = _fresh(api)
        return (member.upload("a", content) if content[-1] % 2 else member.put("a", content)).status_code

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert set(pool.map(put, contents)) == {200, 201}
    assert api.get("a").content in contents


def test_of_concurrent_creations_of_a_name_a_single_creation_wins(api: Api) -> None:
    def put(n: int) -> requests.Response:
        member = _fresh(api)
        if n % 3 == 0:
            return member.put("a", b"%d" % n, overwrite="false")
        if n % 3 == 1:
            return member.files("POST", "/folders", json={"path": "a"})
        answer = member.files("POST", "/uploads", json={"path": "a", "size": 1, "overwrite": False})
        if answer.status_code != 201:
            return answer
        upload = answer.json()["id"]
        return member.complete(upload, [member.part(upload, 1, b"x")], b"x")

    with concurrent.futures.ThreadPoolExecutor(9) as pool:
        answers = list(pool.map(put, range(9)))
    won = [answer for answer in answers if answer.status_code < 300]
    assert len(won) == 1
    for answer in answers:
        if answer not in won:
            refused(answer, 409, "already_exists")


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (None, PART_SIZE),
        (0, PART_SIZE),
        (PART_SIZE * MAX_PARTS, PART_SIZE),
        (PART_SIZE * MAX_PARTS + 1, 2 * PART_SIZE),
        (PART_SIZE * MAX_PARTS * 8, 8 * PART_SIZE),
    ],
)
def test_parts_are_as_small_as_their_number_allows(size: int | None, expected: int) -> None:
    assert part_size(size) == expected


@contextlib.contextmanager
def begun_part(api: Api, upload: str, content: bytes, length: int) -> Iterator[socket.socket]:
    """A connection that has sent the beginning of part 1, once the server is at it."""
    where = urlsplit(api.url)

    def active_at() -> str | None:
        return api.files("GET", "/uploads").json()["items"][-1]["active_at"]

    before = active_at()
    with socket.create_connection((where.hostname, where.port)) as wire:
        head = f"PUT /{api.address(upload, 1)} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n"
        wire.sendall(head.encode() + content)
        deadline = time.monotonic() + 60
        while active_at() == before:
            assert time.monotonic() < deadline, "the server has not begun with the part"
        yield wire


def change(server: EdgeServer, statement: sa.Update) -> None:
    """Change what the database says, past the server."""
    with server.database.write(SERVER) as session:
        session.execute(statement, execution_options={"synchronize_session": False})


def patiently(call: Callable[[], requests.Response]) -> requests.Response:
    """What is answered once nobody is waited for any more."""
    while "Retry-After" in (answer := call()).headers:
        time.sleep(int(answer.headers["Retry-After"]))
    return answer


def lapsed(server: EdgeServer) -> None:
    """Have the parts that are being written be those of a worker that was killed, which is not going to renew them."""
    change(server, sa.update(UploadSpace).values(writer="somebody", writing_until=clock.now()))


def _fresh(api: Api) -> Api:
    """The member over another connection."""
    return Api(api.url, api.token, api.organization, session())
