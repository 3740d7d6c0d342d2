"""Small files in batches over the wire: each is taken, refused or sent by itself."""

from __future__ import annotations

import hashlib
import json
import secrets
import socket
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import sqlalchemy as sa

from edge_files.wire import MAX_BATCH_CONTENT, MAX_BATCH_FILES, MAX_MANIFEST, SMALL_CONTENT
from edge_server.data.store import FolderStore
from edge_server.files.models import Version
from edge_server.identity.models import Organization
from edge_server.testing.local_server import EdgeServer

from .engines import on_each_engine
from .pairs import single_host_only
from .stores import keys_in, store_of
from .test_quota import set_quota
from .wire import Api, batch_of, client, refused

edge_server = on_each_engine

KEY = "Idempotency-Key"


def codes(answer: object) -> list[str | None]:
    assert answer.status_code == 200, answer.text  # type: ignore[attr-defined]
    return [outcome["error"] for outcome in answer.json()["items"]]  # type: ignore[attr-defined]


def stored(server: EdgeServer) -> int:
    """Number of contents in the store."""
    return len(keys_in(store_of(server.data)))


def test_a_batch_stores_what_single_files_store(api: Api) -> None:
    content = {"runs/a.csv": b"a,b\n", "runs/day/b.csv": b"", "/c": bytes(5000), "runs/u\u0308": b"x"}
    manifest, body = batch_of(list(content.items()))
    manifest["files"][0]["source_mtime_ns"] = -17
    answer = api.send_batch(manifest, body)
    assert codes(answer) == [None] * 4
    for (path, piece), outcome in zip(content.items(), answer.json()["items"], strict=True):
        assert outcome["path"] == path
        assert outcome["status"] == 201
        assert outcome["entry"] == api.stat(path).json()
        assert outcome["entry"]["sha256"] == hashlib.sha256(piece).hexdigest()
        assert api.get(path).content == piece
    assert api.stat("runs/a.csv").json()["source_mtime_ns"] == -17
    assert api.names("runs") == ["a.csv", "day", "\u00fc"]
    results = api.call("GET", f"/v1/orgs/{api.organization}/search?query=b.csv").json()["items"]
    assert results[0]["name"] == "b.csv"


def test_each_file_is_refused_by_itself(api: Api) -> None:
    api.put("taken", b"old")
    api.put("file", b"old")
    api.files("POST", "/folders", json={"path": "folder"})
    files = [
        ("good", b"1"),
        ("taken", b"2"),
        ("folder", b"3"),
        ("file/below", b"4"),
        ("a//b", b"5"),
        ("wrong", b"6"),
        ("", b"7"),
        ("new/good", b"8"),
    ]
    manifest, content = batch_of(files, overwrite=False)
    manifest["files"][5]["sha256"] = "0" * 64
    answer = api.send_batch(manifest, content)
    expected = [None, "already_exists", "already_exists", "conflict", "bad_entry", "checksum_mismatch", "bad_entry"]
    assert codes(answer) == [*expected, None]
    items = answer.json()["items"]
    assert [outcome["status"] for outcome in items] == [201, 409, 409, 409, 400, 400, 400, 201]
    assert items[1]["detail"] == api.put("taken", b"2", overwrite="false").json()["detail"]
    assert items[3]["detail"] == api.put("file/below", b"4").json()["detail"]
    assert api.names() == ["file", "folder", "good", "new", "taken"]
    assert api.get("taken").content == b"old"
    assert api.get("new/good").content == b"8"


def test_what_is_refused_leaves_no_content_and_no_folder(edge_server: EdgeServer, api: Api) -> None:
    api.put("taken", b"old")
    before = stored(edge_server)
    manifest, content = batch_of([("taken", b"2"), ("new/wrong", b"6")], overwrite=False)
    manifest["files"][1]["sha256"] = "0" * 64
    assert codes(api.send_batch(manifest, content)) == ["already_exists", "checksum_mismatch"]
    assert api.names() == ["taken"]
    assert stored(edge_server) == before


def test_files_are_replaced_and_can_be_restored(api: Api) -> None:
    api.put("a", b"first")
    api.put("folder/b", b"first")
    assert codes(api.batch({"a": b"2", "folder/b": b"3", "folder/c": b"4"})) == [None] * 3
    assert [api.get(path).content for path in ("a", "folder/b", "folder/c")] == [b"2", b"3", b"4"]
    old = api.files("GET", "/versions", params={"path": "folder/b"}).json()["items"][0]
    api.files("POST", "/restore", json={"path": "folder/b", "version": old["version"]})
    assert api.get("folder/b").content == b"first"


def test_a_batch_counts_as_its_files_do(edge_server: EdgeServer, api: Api) -> None:
    def counted() -> tuple[int, ...]:
        with edge_server.database.read() as session:
            columns = (Organization.used_bytes, Organization.deleted_bytes)
            return tuple(session.execute(sa.select(*columns).where(Organization.name == api.organization)).one())

    api.put("a", b"12345")
    api.files("POST", "/copy", json={"path": "a", "new_path": "shares"})
    assert codes(api.batch({"a": b"123", "b": b"1234567"})) == [None, None]
    assert counted() == (3 + 5 + 7, 0)  # the copy has the content of what was replaced
    assert codes(api.batch({"shares": b"", "b": b"1"})) == [None, None]
    assert counted() == (3 + 1, 5 + 7)


def test_the_quota_refuses_the_files_that_do_not_fit(edge_server: EdgeServer, api: Api) -> None:
    api.put("old", b"12345")
    set_quota(edge_server, api.organization, 10)
    files = [("a", b"123"), ("large", b"1234567890"), ("b", b"12"), ("c", b"1"), ("old", b"54321"), ("empty", b"")]
    answer = api.batch(files)
    assert codes(answer) == [None, "quota_exceeded", None, "quota_exceeded", None, None]
    assert answer.json()["items"][1]["status"] == 507
    assert api.names() == ["a", "b", "empty", "old"]
    assert codes(api.batch([("old", b"1"), ("d", b"1234")])) == [None, None]


def test_the_quota_is_looked_at_again_once_the_content_is_here(edge_server: EdgeServer, api: Api) -> None:
    api.put("a", b"1")
    manifest, content = batch_of([("b", b"12"), ("c", b"123")])
    body = json.dumps(manifest).encode() + b"\n" + content
    with _sending(api, body, len(body) - 1) as wire:
        set_quota(edge_server, api.organization, 3)
        wire.sendall(body[-1:])
        answer = wire.makefile("rb").read()
    items = json.loads(answer.partition(b"\r\n\r\n")[2])["items"]
    assert [outcome["error"] for outcome in items] == [None, "quota_exceeded"]
    assert api.names() == ["a", "b"]


def _sending(api: Api, body: bytes, first: int) -> socket.socket:
    """A connection on which the first bytes of a batch were sent."""
    parts = urlsplit(api.url)
    wire = socket.create_connection((parts.hostname, parts.port))
    wire.sendall(
        f"POST /v1/orgs/{api.organization}/files/batch HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        f"Content-Type: application/vnd.edge.batch\r\n"
        f"Authorization: Bearer {api.token}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        + body[:first]
    )
    return wire


@single_host_only("what its own connection is answered")
def test_a_batch_that_breaks_off_stores_nothing(edge_server: EdgeServer, api: Api) -> None:
    before = stored(edge_server)
    manifest, content = batch_of([(f"f-{n}", secrets.token_bytes(1000)) for n in range(20)])
    body = json.dumps(manifest).encode() + b"\n" + content
    for first in (10, len(body) - len(content), len(body) - 1):
        with _sending(api, body, first) as wire:
            wire.shutdown(socket.SHUT_WR)
            answer = wire.makefile("rb").read()
        assert b" 400 " in answer.partition(b"\r\n")[0]
    assert api.names() == []
    assert stored(edge_server) == before
    assert list((edge_server.data / "incoming").iterdir()) == []


@pytest.mark.parametrize(
    ("paths", "sentence"),
    [
        (("a", "b", "/a"), "two files of the batch have the path 'a'"),
        (("\u00fc", "u\u0308"), "two files of the batch have the path"),
        (("a/b", "a"), "'a' is a file of the batch, so nothing can be put below it"),
    ],
)
def test_two_files_of_a_path_are_refused_together(api: Api, paths: tuple[str, ...], sentence: str) -> None:
    answer = api.batch([(path, b"x") for path in paths])
    assert sentence in refused(answer, 400, "bad_entry")["detail"]
    assert api.names() == []


@single_host_only("what its own connection is answered")
def test_what_is_no_batch_is_refused(api: Api) -> None:
    manifest, content = batch_of([("a", b"123")])
    line = json.dumps(manifest).encode()

    def send(body: bytes, kind: str = "application/vnd.edge.batch") -> object:
        return api.files("POST", "/batch", data=body, headers={"Content-Type": kind})

    refused(send(line + b"\n" + content, "application/json"), 415, "unsupported_media_type")
    refused(send(line + content), 400, "bad_entry")
    refused(send(b""), 400, "bad_entry")
    refused(send(b"{}\n" + content), 422, "bad_entry")
    refused(send(b"no json\n" + content), 400, "bad_entry")
    for wrong in (content[:-1], content + b"x"):
        assert "by its first line" in refused(send(line + b"\n" + wrong), 400, "bad_entry")["detail"]
    chunked = {"Content-Type": "application/vnd.edge.batch"}
    for wrong, sentence in ((content[:-1], "ended before"), (content + b"x", "more than")):
        answer = api.files("POST", "/batch", data=iter([line + b"\n", wrong]), headers=chunked)
        assert sentence in refused(answer, 400, "bad_entry")["detail"]
    assert codes(api.files("POST", "/batch", data=iter([line, b"\n" + content]), headers=chunked)) == [None]


def test_limits(api: Api) -> None:
    assert codes(api.batch([(f"n-{n}", b"x") for n in range(MAX_BATCH_FILES)])) == [None] * MAX_BATCH_FILES
    refused(api.batch([(f"n-{n}", b"x") for n in range(MAX_BATCH_FILES + 1)]), 422, "bad_entry")
    full = [(f"m-{n}", bytes(SMALL_CONTENT)) for n in range(MAX_BATCH_CONTENT // SMALL_CONTENT)]
    assert codes(api.batch(full)) == [None] * len(full)
    assert "send fewer" in refused(api.batch([*full, ("more", b"x")]), 400, "bad_entry")["detail"]
    refused(api.batch([("large", bytes(SMALL_CONTENT + 1))]), 422, "bad_entry")
    manifest, content = batch_of([("a", b"x")])
    refused(api.send_batch({**manifest, "x": "x" * MAX_MANIFEST}, content), 413, "too_large")
    refused(api.send_batch(manifest, bytes(MAX_BATCH_CONTENT + MAX_MANIFEST)), 413, "too_large")


def test_a_batch_sent_again_is_answered_as_before(edge_server: EdgeServer, api: Api) -> None:
    manifest, content = batch_of([("a", b"123"), ("b", bytes(SMALL_CONTENT)), ("c", bytes(SMALL_CONTENT)), ("d/", b"")])
    key = {KEY: secrets.token_hex(8)}
    first = api.send_batch(manifest, content, **key)
    again = api.send_batch(manifest, content, **key)
    assert again.json() == first.json()
    assert again.headers["Idempotency-Replayed"] == "true"
    with edge_server.database.read() as session:
        assert (
            session.scalar(
                sa.select(sa.func.count())
                .select_from(Version)
                .join(Organization, Organization.id == Version.organization_id)
                .where(Organization.name == api.organization)
            )
            == 3
        )
    other, content = batch_of([("a", b"321"), ("b", b"")])
    refused(api.send_batch(other, content, **key), 422, "idempotency_mismatch")


def test_a_refusal_can_be_read_while_the_content_is_still_being_sent(api: Api) -> None:
    files = [(f"f-{n}", secrets.token_bytes(SMALL_CONTENT)) for n in range(8)]
    for _ in range(3):
        refused(api.batch([*files[:-1], ("f-0", files[-1][1])]), 400, "bad_entry")


def test_a_store_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = FolderStore(tmp_path)
    store.create()
    assert store.write_many([]) == []
    keys = store.write_many([b"1", b"22", b""])
    assert [store.size(key) for key in keys] == [1, 2, 0]
    assert len({key[:2] for key in keys}) == 1

    def failing() -> object:
        for n in range(10):
            yield bytes([n])
        raise OSError("the sender is gone")

    with pytest.raises(OSError, match="the sender is gone"):
        store.write_many(failing())  # type: ignore[arg-type]
    monkeypatch.setattr(FolderStore, "_all_into_place", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        store.write_many([b"1"])
    assert list((tmp_path / "incoming").iterdir()) == []
    assert sum(1 for path in (tmp_path / "content").rglob("*") if path.is_file()) == 3


# --- reading


def test_files_are_read_together(api: Api) -> None:
    api.put("a", b"first")
    old = api.stat("a").json()
    api.batch([("a", b"second"), ("folder/b", b""), ("c", b"third")])
    pieces, content = api.read_batch(
        {"path": "c"},
        {"path": "nothing"},
        {"path": "folder/b"},
        {"path": "a", "version": old["version"]},
        {"path": "a"},
    )
    assert [piece["state"] for piece in pieces] == ["sent", "missing", "sent", "sent", "sent"]
    assert content == b"thirdfirstsecond"
    assert pieces[3] == {
        "path": "a",
        "state": "sent",
        **{name: old[name] for name in ("version", "size", "sha256", "source_mtime_ns")},
    }
    assert api.read_batch() == ([], b"")


def test_what_is_absent_and_what_is_anothers_are_missing_alike(edge_server: EdgeServer, api: Api) -> None:
    other = edge_server.create_organization()
    name = edge_server.create_user(organization=other)
    foreign = client(edge_server, edge_server.create_token(name), other)
    theirs = foreign.put("secret", b"secret").json()
    api.put("folder/file", b"x")
    requested = [
        {"path": "secret"},
        {"path": "secret", "version": theirs["version"]},
        {"path": "folder"},
        {"path": "a//b"},
        {"path": "", "version": "nothing"},
        {"path": "folder/file/below"},
    ]
    pieces, content = api.read_batch(*requested)
    assert content == b""
    empty = {"state": "missing", "version": None, "size": None, "sha256": None, "source_mtime_ns": None}
    assert pieces == [{**empty, "path": each["path"]} for each in requested]


def test_what_does_not_fit_is_left_out_and_what_fits_is_sent(edge_server: EdgeServer, api: Api) -> None:
    full = [(f"m-{n}", bytes(SMALL_CONTENT)) for n in range(MAX_BATCH_CONTENT // SMALL_CONTENT)]
    api.batch(full)
    api.batch([("more", b"x"), ("empty", b"")])
    api.upload("large", bytes(SMALL_CONTENT + 1))
    requested = [{"path": path} for path in ("large", *(path for path, _ in full), "more", "empty")]
    pieces, content = api.read_batch(*requested)
    assert [piece["state"] for piece in pieces] == ["left_out", *["sent"] * len(full), "left_out", "sent"]
    assert len(content) == MAX_BATCH_CONTENT
    assert pieces[0]["size"] == SMALL_CONTENT + 1
    answer = api.files("POST", "/batch/read", json={"files": [{"path": "x"}] * (MAX_BATCH_FILES + 1)})
    refused(answer, 422, "bad_entry")


def test_damaged_content_is_left_out(edge_server: EdgeServer, api: Api) -> None:
    damaged, lost = (f"{word} of {api.organization}".encode() for word in ("damaged", "lost"))
    api.batch([("a", damaged), ("b", lost), ("c", b"789")])
    with edge_server.database.read() as session:
        columns = sa.select(Version.digest, Version.key)
        keys = {row.digest: row.key for row in session.execute(columns)}
    store = store_of(edge_server.data)
    store.write(keys[hashlib.sha256(damaged).hexdigest()], [b"12"])
    store.remove(keys[hashlib.sha256(lost).hexdigest()])
    pieces, content = api.read_batch({"path": "a"}, {"path": "b"}, {"path": "c"})
    assert [piece["state"] for piece in pieces] == ["left_out", "left_out", "sent"]
    assert content == b"789"
