"""Files and folders over the wire."""

from __future__ import annotations

import base64
import hashlib
import socket
import unicodedata
from urllib.parse import urlsplit

import pytest

from edge_server.testing.local_server import EdgeServer

from .engines import on_each_engine
from .pairs import single_host_only
from .wire import Api, client, refused

edge_server = on_each_engine

SMALL_CONTENT = 1 << 20


def test_what_is_put_is_what_is_got(api: Api) -> None:
    answer = api.put("runs/2024/plate.csv", b"a,b\n1,2\n")
    assert answer.status_code == 201
    entry = answer.json()
    assert entry["name"] == "plate.csv"
    assert entry["kind"] == "file"
    assert entry["size"] == 8
    assert entry["sha256"] == hashlib.sha256(b"a,b\n1,2\n").hexdigest()
    assert entry["modified_at"].endswith("Z")
    got = api.get("runs/2024/plate.csv")
    assert got.status_code == 200
    assert got.content == b"a,b\n1,2\n"
    assert got.headers["ETag"] == f'"{entry["sha256"]}"'
    assert got.headers["X-Content-Type-Options"] == "nosniff"
    assert got.headers["Content-Type"] == "application/octet-stream"
    assert api.stat("/runs/2024/plate.csv").json() == entry


def test_an_empty_file_is_a_file(api: Api) -> None:
    assert api.put("empty", b"").status_code == 201
    assert api.get("empty").content == b""
    assert api.stat("empty").json()["size"] == 0


def test_putting_again_makes_a_new_version_and_the_old_can_still_be_read(api: Api) -> None:
    first = api.put("a", b"one").json()
    second = api.put("a", b"two").json()
    assert first["uid"] == second["uid"]
    assert first["version"] != second["version"]
    assert api.get("a").content == b"two"
    assert api.get("a", version=first["version"]).content == b"one"
    refused(api.get("a", version="nonsense"), 404, "not_found")


def test_put_without_overwrite_refuses_a_name_that_is_taken(api: Api) -> None:
    assert api.put("a", b"one", overwrite="false").status_code == 201
    refused(api.put("a", b"two", overwrite="false"), 409, "already_exists")
    assert api.get("a").content == b"one"


def test_put_refuses_what_cannot_be_a_files_place(api: Api) -> None:
    api.put("file")
    api.files("POST", "/folders", json={"path": "folder"})
    assert "file" in refused(api.put("file/below"), 409, "conflict")["detail"]
    refused(api.put("folder"), 409, "already_exists")
    refused(api.put(""), 400, "bad_entry")
    refused(api.put("/"), 400, "bad_entry")


def test_content_too_large_for_a_request_is_sent_to_uploads(api: Api) -> None:
    assert api.put("just", bytes(SMALL_CONTENT)).status_code == 201
    assert "upload" in refused(api.put("more", bytes(SMALL_CONTENT + 1)), 413, "too_large")["detail"]
    chunked = api.files("PUT", "/content", params={"path": "more"}, data=iter([bytes(SMALL_CONTENT), b"x"]))
    refused(chunked, 413, "too_large")
    assert api.names() == ["just"]


def test_a_content_digest_is_compared_before_anything_is_stored(api: Api) -> None:
    def put(content: bytes, digest: str) -> object:
        return api.files(
            "PUT", "/content", params={"path": "a"}, data=content, headers={"Content-Digest": f"sha-256=:{digest}:"}
        )

    digest = base64.b64encode(hashlib.sha256(b"right").digest()).decode()
    refused(put(b"wrong", digest), 400, "checksum_mismatch")
    refused(put(b"right", "c2hvcnQ="), 400, "bad_entry")
    refused(put(b"right", "!"), 400, "bad_entry")
    assert api.names() == []
    assert put(b"right", digest).status_code == 201


@single_host_only("what its own connection is answered")
def test_a_body_that_breaks_off_stores_nothing(api: Api) -> None:
    parts = urlsplit(api.url)
    with socket.create_connection((parts.hostname, parts.port)) as wire:
        wire.sendall(
            f"PUT /v1/orgs/{api.organization}/files/content?path=cut HTTP/1.1\r\nHost: x\r\n"
            f"Authorization: Bearer {api.token}\r\nContent-Length: 100\r\n\r\n".encode()
            + b"only so much"
        )
        wire.shutdown(socket.SHUT_WR)
        answer = wire.makefile("rb").read()
    assert b" 400 " in answer.partition(b"\r\n")[0]
    assert b"ended before" in answer
    assert api.names() == []


def test_a_folder_lists_its_children_by_their_bytes_page_by_page(api: Api) -> None:
    names = ["Z", "a", "b.txt", "é", "z", "ab", "\U0001f600", "\uffee", "_", "10", "9"]
    for name in names:
        api.put(f"f/{name}")
    expected = sorted((unicodedata.normalize("NFC", name) for name in names), key=str.encode)
    assert api.names("f") == expected
    listed: list[str] = []
    cursor = None
    while True:
        page = api.files("GET", "/entries", params={"path": "f", "limit": 4, "cursor": cursor}).json()
        listed += [entry["name"] for entry in page["items"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert listed == expected


def test_a_list_that_ends_with_a_page_has_no_next_page(api: Api) -> None:
    for name in "ab":
        api.put(name)
    assert api.files("GET", "/entries", params={"limit": 2}).json()["next"] is None


def test_a_list_can_be_of_a_single_kind(api: Api) -> None:
    api.put("folder/file")
    api.put("file")
    assert api.names() == ["file", "folder"]
    assert api.names(kind="file") == ["file"]
    assert api.names(kind="folder") == ["folder"]


def test_what_cannot_be_listed_is_refused(api: Api) -> None:
    api.put("file")
    assert "is a file" in refused(api.files("GET", "/entries", params={"path": "file"}), 404, "not_found")["detail"]
    refused(api.files("GET", "/entries", params={"path": "none"}), 404, "not_found")
    refused(api.files("GET", "/entries", params={"cursor": "\N{SNOWMAN}"}), 400, "bad_entry")
    refused(api.files("GET", "/entries", params={"cursor": "abcde"}), 400, "bad_entry")
    for wrong in ({"limit": 0}, {"limit": 1001}, {"limit": "many"}, {"kind": "link"}, {"page": 2}):
        problem = refused(api.files("GET", "/entries", params=wrong), 422, "bad_entry")
        assert list(problem["errors"]) == list(wrong)
        assert next(iter(wrong)) in problem["detail"]


def test_the_root_is_a_folder_without_a_name(api: Api) -> None:
    for path in ("", "/"):
        entry = api.stat(path).json()
        assert entry["kind"] == "folder"
        assert entry["name"] == ""
        assert entry["size"] is None
        assert entry["version"] is None


def test_folders_are_added_with_their_parents(api: Api) -> None:
    answer = api.files("POST", "/folders", json={"path": "a/b/c"})
    assert answer.status_code == 201
    assert answer.json()["name"] == "c"
    assert api.names("a") == ["b"]
    refused(api.files("POST", "/folders", json={"path": "a/b"}), 409, "already_exists")
    again = api.files("POST", "/folders", json={"path": "a/b/c", "exist_ok": True})
    assert again.status_code == 201
    assert again.json()["uid"] == answer.json()["uid"]
    api.put("file")
    refused(api.files("POST", "/folders", json={"path": "file", "exist_ok": True}), 409, "already_exists")
    refused(api.files("POST", "/folders", json={"path": "file/x"}), 409, "conflict")
    refused(api.files("POST", "/folders", json={"path": ""}), 400, "bad_entry")


def test_a_folder_that_is_not_empty_is_deleted_only_recursively(api: Api) -> None:
    version = api.put("a/b/c", b"kept").json()["version"]
    delete = {"path": "a"}
    refused(api.files("DELETE", "/entry", params=delete), 409, "not_empty")
    assert api.files("DELETE", "/entry", params={**delete, "recursive": "true"}).status_code == 204
    refused(api.stat("a/b/c"), 404, "not_found")
    refused(api.stat("a"), 404, "not_found")
    assert api.get("a/b/c", version=version).content == b"kept"
    refused(api.files("DELETE", "/entry", params=delete), 404, "not_found")
    refused(api.files("DELETE", "/entry", params={"path": ""}), 400, "bad_entry")


def test_an_empty_folder_and_a_file_are_deleted_without_more_ado(api: Api) -> None:
    api.files("POST", "/folders", json={"path": "a"})
    api.put("b")
    for path in "ab":
        assert api.files("DELETE", "/entry", params={"path": path}).status_code == 204
    assert api.names() == []


def test_the_times_of_sources_are_set_of_newest_versions_only(api: Api, edge_server: EdgeServer) -> None:
    organization = edge_server.create_organization()
    other = client(
        edge_server, edge_server.create_token(edge_server.create_user(organization=organization)), organization
    )
    old = api.put("a", b"old").json()["version"]
    new = api.put("a", b"new").json()["version"]
    foreign = other.put("a").json()["version"]
    before = api.stat("a").json()
    versions = [old, new, foreign, "unknown"]
    times = [{"version": version, "source_mtime_ns": n} for n, version in enumerate(versions)]
    assert api.files("PUT", "/source-times", json={"files": times}).status_code == 204
    assert api.stat("a").json() == {**before, "source_mtime_ns": 1}
    assert other.stat("a").json()["source_mtime_ns"] is None
    assert api.files("PUT", "/source-times", json={"files": []}).status_code == 204
    for wrong in ([{"version": new, "source_mtime_ns": 1 << 63}], [{"version": new}], times * 126):
        refused(api.files("PUT", "/source-times", json={"files": wrong}), 422, "bad_entry")


def test_a_file_is_deleted_in_a_certain_version_only(api: Api) -> None:
    old = api.put("a", b"old").json()["version"]
    new = api.put("a", b"new").json()["version"]
    delete = {"path": "a", "version": old}
    refused(api.files("DELETE", "/entry", params=delete), 412, "changed")
    refused(api.files("DELETE", "/entry", params={**delete, "recursive": "true"}), 412, "changed")
    assert api.get("a").content == b"new"
    assert api.files("DELETE", "/entry", params={**delete, "version": new}).status_code == 204
    refused(api.files("DELETE", "/entry", params={**delete, "version": new}), 404, "not_found")
    api.put("a/b")
    refused(api.files("DELETE", "/entry", params={**delete, "version": new, "recursive": "true"}), 412, "changed")
    assert api.names("a") == ["b"]


def move(api: Api, path: str, new_path: str, **more: object) -> object:
    return api.files("POST", "/move", json={"path": path, "new_path": new_path, **more})


def test_a_move_keeps_the_entry_and_all_in_it(api: Api) -> None:
    before = api.put("a/b/file", b"content").json()
    answer = move(api, "a/b", "new/place/c")
    assert answer.status_code == 200
    assert answer.json()["name"] == "c"
    assert api.stat("new/place/c/file").json() == before
    assert api.names("a") == []
    assert api.get("new/place/c/file").content == b"content"


def test_a_move_onto_a_file_needs_overwrite(api: Api) -> None:
    first = api.put("one", b"1").json()
    old = api.put("two", b"2").json()
    refused(move(api, "one", "two"), 409, "already_exists")
    assert move(api, "one", "two", overwrite=True).json()["uid"] == first["uid"]
    assert api.names() == ["two"]
    assert api.get("two").content == b"1"
    assert api.get("two", version=old["version"]).content == b"2"


def test_folders_are_never_replaced_by_a_move(api: Api) -> None:
    api.put("folder/x")
    api.put("other/y")
    api.put("file")
    refused(move(api, "file", "folder", overwrite=True), 409, "already_exists")
    refused(move(api, "folder", "file", overwrite=True), 409, "already_exists")
    refused(move(api, "folder", "other", overwrite=True), 409, "already_exists")


def test_a_move_into_itself_is_refused_and_onto_itself_changes_nothing(api: Api) -> None:
    api.put("a/b/c")
    refused(move(api, "a", "a/b/x"), 409, "cycle")
    refused(move(api, "a", "a/a"), 409, "cycle")
    assert move(api, "a/b", "/a/b").status_code == 200
    assert move(api, "a", "ab").status_code == 200
    refused(move(api, "", "x"), 400, "bad_entry")
    refused(move(api, "ab", ""), 400, "bad_entry")
    refused(move(api, "none", "x"), 404, "not_found")
    refused(move(api, "ab", "ab/b/c/d"), 409, "cycle")
    api.put("z")
    refused(move(api, "ab", "z/x"), 409, "conflict")


def test_nothing_comes_to_lie_deeper_than_a_path_can_say(api: Api) -> None:
    deep = "/".join(["d"] * 60)
    api.put(f"{deep}/f")
    assert "deep" in refused(move(api, "d", f"x/{'/'.join(['y'] * 50)}"), 400, "bad_entry")["detail"]
    assert move(api, "d", "x/y/z").status_code == 200


def test_the_longest_path_there_is_can_be_read(api: Api) -> None:
    path = "/".join(["ä" * 127] * 100)
    assert api.put(path, b"deep").status_code == 201
    assert api.get(path).content == b"deep"


@pytest.mark.parametrize("path", ["a//b", "a/", "//a", ".", "a/../b", "a\0b", "a\nb", "a\x7f", "\x85", "x" * 256])
def test_names_that_cannot_be_are_refused_everywhere(api: Api, path: str) -> None:
    refused(api.put(path), 400, "bad_entry")
    refused(api.stat(path), 400, "bad_entry")
    refused(api.get(path), 400, "bad_entry")
    refused(api.files("POST", "/folders", json={"path": path}), 400, "bad_entry")
    refused(api.files("POST", "/uploads", json={"path": path}), 400, "bad_entry")
    refused(move(api, "a", path), 400, "bad_entry")


@pytest.mark.parametrize(
    "name", ["back\\slash", " ", "a b", "%2e%2e", "..a", "?x=1&y", "#", "+", "nul", "ﬁ", "'\"", "‮"]
)
def test_odd_names_stay_as_they_are(api: Api, name: str) -> None:
    assert api.put(f"in/{name}", name.encode()).status_code == 201
    assert api.names("in") == [name]
    assert api.get(f"in/{name}").content == name.encode()


def test_a_name_in_two_unicode_forms_is_the_same_file(api: Api) -> None:
    api.put("caf\u00e9", b"composed")
    assert api.put("cafe\u0301", b"decomposed").status_code == 201
    assert api.names() == ["caf\u00e9"]
    refused(api.stat("CAF\u00c9"), 404, "not_found")


def test_text_that_is_no_text_is_refused(api: Api) -> None:
    raw = api.files("POST", "/folders", data=b'{"path": "\\ud800"}', headers={"Content-Type": "application/json"})
    refused(raw, 400, "bad_entry")
    query = api.call("GET", f"/v1/orgs/{api.organization}/files/entry?path=%FF")
    refused(query, 400, "bad_entry")


@pytest.mark.parametrize(
    ("requested", "expected"),
    [
        ("bytes=0-4", b"01234"),
        ("bytes=5-", b"56789"),
        ("bytes=-3", b"789"),
        ("bytes=-100", b"0123456789"),
        ("bytes=8-100", b"89"),
        ("BYTES=9-9", b"9"),
    ],
)
def test_a_range_is_that_part_of_the_content(api: Api, requested: str, expected: bytes) -> None:
    api.put("ten", b"0123456789")
    answer = api.files("GET", "/content", params={"path": "ten"}, headers={"Range": requested})
    assert answer.status_code == 206
    assert answer.content == expected
    start = b"0123456789".index(expected)
    assert answer.headers["Content-Range"] == f"bytes {start}-{start + len(expected) - 1}/10"
    assert answer.headers["Content-Length"] == str(len(expected))


@pytest.mark.parametrize(
    "requested", ["bytes=0-1,4-5", "lines=1-2", "bytes=5-2", "bytes=-", "bytes", f"bytes={'9' * 5000}-"]
)
def test_what_is_not_a_single_plain_range_is_ignored(api: Api, requested: str) -> None:
    api.put("ten", b"0123456789")
    answer = api.files("GET", "/content", params={"path": "ten"}, headers={"Range": requested})
    assert answer.status_code == 200
    assert answer.content == b"0123456789"


def test_a_range_beyond_the_end_is_refused_with_the_size(api: Api) -> None:
    api.put("ten", b"0123456789")
    api.put("empty", b"")
    for path, requested, size in (("ten", "bytes=10-", 10), ("ten", "bytes=-0", 10), ("empty", "bytes=0-", 0)):
        answer = api.files("GET", "/content", params={"path": path}, headers={"Range": requested})
        refused(answer, 416, "range_not_satisfiable")
        assert answer.headers["Content-Range"] == f"bytes */{size}"


def test_a_range_of_content_that_has_changed_is_the_whole_content(api: Api) -> None:
    etag = f'"{api.put("a", b"0123456789").json()["sha256"]}"'
    ranged = {"Range": "bytes=0-1"}
    same = api.files("GET", "/content", params={"path": "a"}, headers={**ranged, "If-Range": etag})
    other = api.files("GET", "/content", params={"path": "a"}, headers={**ranged, "If-Range": '"other"'})
    assert same.content == b"01"
    assert other.content == b"0123456789"


def test_a_head_has_the_headers_and_no_body(api: Api) -> None:
    api.put("ten", b"0123456789")
    answer = api.files("HEAD", "/content", params={"path": "ten"}, headers={"Range": "bytes=0-1"})
    assert answer.status_code == 200
    assert answer.headers["Content-Length"] == "10"
    assert answer.content == b""


def test_a_folder_has_no_content(api: Api) -> None:
    api.put("folder/x")
    refused(api.get("folder"), 400, "bad_entry")
    refused(api.get("none"), 404, "not_found")
    refused(api.files("GET", "/download-url", params={"path": "folder"}), 400, "bad_entry")


def test_an_organization_sees_only_its_own_files(api: Api, edge_server: EdgeServer) -> None:
    other_organization = edge_server.create_organization()
    other_user = edge_server.create_user(organization=other_organization)
    other = client(edge_server, edge_server.create_token(other_user), other_organization)
    version = api.put("same", b"mine").json()["version"]
    assert other.names() == []
    assert other.put("same", b"theirs").status_code == 201
    assert api.get("same").content == b"mine"
    refused(other.get("same", version=version), 404, "not_found")
