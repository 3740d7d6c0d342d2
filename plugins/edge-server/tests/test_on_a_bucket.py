"""A server whose content is in a bucket: what clients see is what they see of one with a folder."""

from __future__ import annotations

import dataclasses
import hashlib
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
import sqlalchemy as sa
from click.testing import CliRunner

from edge_core.session import EdgeSession
from edge_files.wire import PART_SIZE, SMALL_CONTENT
from edge_server.base import clock
from edge_server.base.problems import CannotStart
from edge_server.data.database import SERVER
from edge_server.data.s3_bucket import Bucket
from edge_server.data.s3_store import S3Store
from edge_server.files import fsck, housekeeping, housekeeping_on
from edge_server.files.models import Upload, Version
from edge_server.run import app, start
from edge_server.run.command import server
from edge_server.testing.local_server import EdgeServer
from edge_server.web.engines import Engines
from edge_vfs import digests
from tests.object_stores import Killable, free_port

from .buckets import bucket_of, configure
from .test_housekeeping import InProcess
from .wire import Api, client, refused
from .wire import session as http_session

LARGE = secrets.token_bytes(PART_SIZE) + b"end"


@dataclasses.dataclass
class Served:
    """A server in this process, of which nothing but the requests runs."""

    engines: Engines
    api: Api

    @property
    def store(self) -> S3Store:
        assert isinstance(self.engines.store, S3Store)
        return self.engines.store

    def keys(self) -> list[str]:
        return [key for prefix in self.store.prefixes() for key in self.store.keys(prefix, 1e12)]

    def check(self) -> fsck.Report:
        return fsck.check(self.engines.database, self.store, deep=True)


UID = "[0-9a-f-]{36}"


def serve(folder: Path) -> Served:
    engines, loaded, token = start.prepare(folder)
    http = http_session()
    http.mount("http://in-process", InProcess(app.build(engines, loaded)))
    return Served(engines, Api("http://in-process", token, "default", http))


@pytest.fixture
def served(bucket: Bucket, tmp_path: Path) -> Iterator[Served]:
    configure(tmp_path / "data", bucket)
    served = serve(tmp_path / "data")
    yield served
    served.engines.database.close()


@pytest.fixture
def api(served: Served) -> Api:
    return served.api


@pytest.fixture(scope="session")
def bucket_server(seaweedfs: Killable, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EdgeServer]:
    """A running server, with its content in a bucket."""
    own = EdgeServer(tmp_path_factory.mktemp("on-a-bucket") / "data")
    configure(own.data, bucket_of(seaweedfs))
    own.start()
    yield own
    own.close()


@pytest.fixture
def edge(bucket_server: EdgeServer) -> Iterator[EdgeSession]:
    organization = bucket_server.create_organization()
    user = bucket_server.create_user(organization=organization)
    with EdgeSession(bucket_server.create_token(user), bucket_server.url, organization) as session:
        yield session


def test_the_client_sends_and_reads_as_ever(edge: EdgeSession, tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(LARGE)
    (tmp_path / "small").write_bytes(b"123")
    edge.files.upload("in/large", tmp_path / "large")
    edge.files.upload("in/small", tmp_path / "small")
    edge.files.download("in/large", tmp_path / "back")
    assert hashlib.sha256((tmp_path / "back").read_bytes()).digest() == hashlib.sha256(LARGE).digest()
    with edge.files.open("in/large", "file") as large:
        spans = [(0, 2), (PART_SIZE - 2, PART_SIZE + 1), (100, 3_000_000)]
        assert large.read_ranges(spans) == [LARGE[start:stop] for start, stop in spans]
        answer = requests.get(large.download_url(), headers={"Range": "bytes=1-3"}, timeout=60)
    assert (answer.status_code, answer.content, len(answer.history)) == (206, LARGE[1:4], 1)
    assert edge.files.read_bytes("in/small") == b"123"


def test_small_content_comes_through_the_server(api: Api, served: Served) -> None:
    content = secrets.token_bytes(SMALL_CONTENT)
    assert api.put("small", content).status_code == 201
    assert api.put("empty", b"").status_code == 201
    assert (api.get("small").status_code, api.get("small").content) == (200, content)
    part = api.files("GET", "/content", params={"path": "small"}, headers={"Range": "bytes=10-12"})
    assert (part.status_code, part.content) == (206, content[10:13])
    assert api.get("empty").content == b""
    assert api.batch({f"batch/{n}": b"%d" % n for n in range(10)}).status_code == 200
    files, read = api.read_batch(*({"path": f"batch/{n}"} for n in range(10)))
    assert (read, len(served.keys())) == (b"0123456789", 12)
    assert files[3]["size"] == 1


def test_large_content_is_fetched_from_the_store_for_minutes(api: Api, bucket: Bucket) -> None:
    assert api.upload("in/large.bin", LARGE).status_code == 200
    answer = api.get("in/large.bin")
    assert (answer.status_code, answer.headers["Cache-Control"]) == (307, "no-store")
    address = answer.headers["Location"]
    assert address.startswith(f"{bucket.endpoint}/")
    assert int(parse_qs(urlsplit(address).query)["X-Amz-Expires"][0]) <= 300
    whole = requests.get(address, timeout=60)
    assert hashlib.sha256(whole.content).digest() == hashlib.sha256(LARGE).digest()
    assert whole.headers["Content-Disposition"].startswith('attachment; filename="large.bin"')
    assert whole.headers["Content-Type"] == "application/octet-stream"
    part = requests.get(address, headers={"Range": f"bytes={PART_SIZE}-"}, timeout=60)
    assert (part.status_code, part.content) == (206, b"end")
    small = api.files("GET", "/content", params={"path": "in/large.bin"}, headers={"Range": "bytes=1-2"})
    assert (small.status_code, small.content) == (206, LARGE[1:3])
    assert small.headers["Content-Location"].startswith(f"{bucket.endpoint}/")  # which whoever reads on uses
    for method in ("PUT", "DELETE"):
        assert requests.request(method, address, timeout=60).status_code == 403


def test_an_address_for_people_is_ours_and_ends_with_its_signer(bucket_server: EdgeServer) -> None:
    organization = bucket_server.create_organization()
    user = bucket_server.create_user(organization=organization)
    api = client(bucket_server, bucket_server.create_token(user), organization)
    assert api.upload("large", LARGE).status_code == 200
    url = api.files("GET", "/download-url", params={"path": "large"}).json()["url"]
    assert not url.startswith(("/", "http"))
    assert api.start("more", len(LARGE))["signed_digest"] == "sha256"  # as the client sees it too
    head = api.signed("HEAD", url)
    assert (head.status_code, head.headers["Content-Length"]) == (200, str(len(LARGE)))
    assert api.signed("GET", url, allow_redirects=False).status_code == 307
    beyond = api.signed("GET", url, headers={"Range": f"bytes={len(LARGE)}-"}, allow_redirects=False)
    refused(beyond, 416, "range_not_satisfiable")
    token = api.call("GET", "/v1/users/me/tokens").json()["items"][0]["id"]
    assert api.call("DELETE", f"/v1/users/me/tokens/{token}").status_code == 204
    refused(api.signed("GET", url, allow_redirects=False), 403, "expired")


def test_content_comes_through_the_server_where_clients_cannot_reach_the_store(bucket: Bucket, tmp_path: Path) -> None:
    configure(tmp_path / "data", bucket, direct="false")
    served = serve(tmp_path / "data")
    assert served.api.upload("large", LARGE).status_code == 200
    url = served.api.files("GET", "/download-url", params={"path": "large"}).json()["url"]
    answer = served.api.signed("GET", url, headers={"Range": "bytes=0-1"}, allow_redirects=False)
    assert (answer.status_code, answer.content) == (206, LARGE[:2])
    whole = served.api.signed("GET", url, allow_redirects=False)
    assert hashlib.sha256(whole.content).digest() == hashlib.sha256(LARGE).digest()
    served.engines.database.close()


def test_clients_are_sent_to_the_address_that_they_reach(bucket: Bucket, tmp_path: Path) -> None:
    configure(tmp_path / "data", bucket, public_endpoint="https://files.example.com")
    served = serve(tmp_path / "data")
    assert served.api.upload("large", LARGE).status_code == 200
    address = served.api.get("large").headers["Location"]
    assert address.startswith(f"https://files.example.com/{bucket.name}/")
    served.engines.database.close()


def test_what_is_deleted_goes_and_what_is_nobodys_too(
    api: Api, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert api.put("small", b"123").status_code == 201
    assert api.put("small", b"1234").status_code == 201
    assert api.upload("large", LARGE).status_code == 200
    assert api.files("POST", "/copy", json={"path": "large", "new_path": "copy"}).status_code == 201
    assert len(served.keys()) == 3
    api.files("DELETE", "/entry", params={"path": "large"})
    assert housekeeping_on(served.engines).purge()[1] == 3
    assert len(served.keys()) == 2
    assert hashlib.sha256(requests.get(api.get("copy").headers["Location"], timeout=60).content).digest() == (
        hashlib.sha256(LARGE).digest()
    )
    served.store.write(served.store.new_key(), [b"nobody's"])
    served.store.start_upload("nobody's", served.store.new_key())
    upload = api.start("open", len(LARGE))["id"]
    assert served.check() == fsck.Report(versions=2)
    later = clock.now() + 2 * fsck.GRACE
    monkeypatch.setattr(clock, "now", lambda: later)
    report = served.check()
    assert (report.orphans, report.is_clean, len(served.keys()), len(served.store.uploads())) == (2, True, 2, 1)
    assert api.files("DELETE", f"/uploads/{upload}").status_code == 204
    assert served.store.uploads() == []


def test_an_upload_that_expires_is_dropped(api: Api, served: Served) -> None:
    upload = api.start("expires", len(LARGE))["id"]
    api.part(upload, 1, LARGE[:PART_SIZE])
    with served.engines.database.write(SERVER) as session:
        session.execute(sa.update(Upload).values(expires_at=clock.now()))
    housekeeping_on(served.engines).run()
    assert served.store.uploads() == []


def test_an_upload_is_resumed_with_the_parts_that_are_held(api: Api, served: Served, tmp_path: Path) -> None:
    upload = api.start("resumed", len(LARGE))
    api.part(upload["id"], 1, LARGE[:PART_SIZE])
    served.engines.database.close()
    again = serve(tmp_path / "data").api
    again.token = api.token
    resumed = again.start("resumed", len(LARGE), resume=True)
    assert (resumed["id"], [part["n"] for part in resumed["parts"]]) == (upload["id"], [1])
    again.part(upload["id"], 2, LARGE[PART_SIZE:])
    for _ in range(2):
        answer = again.complete_by_digest(upload["id"], [LARGE[:PART_SIZE], LARGE[PART_SIZE:]])
        assert answer.status_code == 200, answer.text
    assert served.check().is_clean


def test_a_part_that_was_changed_behind_the_server_is_sent_again(api: Api, served: Served) -> None:
    upload = api.start("changed", len(LARGE))["id"]
    pieces = [LARGE[:PART_SIZE], LARGE[PART_SIZE:]]
    api.part(upload, 1, pieces[0])
    served.store.write_part(served.store.uploads()[0], 2, 0, [b"END"])
    with served.engines.database.write(SERVER) as session:  # as of a sender that was given up, and came through late
        row = session.scalars(sa.select(Upload)).one()
        of_end = {"size": 3, "sha256": hashlib.sha256(b"end").hexdigest(), "etag": f'"{"0" * 32}"'}
        session.execute(
            sa.insert(sa.table("upload_parts", *map(sa.column, ("upload_id", "n", *of_end)))).values(
                upload_id=row.id, n=2, **of_end
            )
        )
    refused(api.complete_by_digest(upload, pieces), 400, "checksum_mismatch")
    api.part(upload, 2, pieces[1])
    assert api.complete_by_digest(upload, pieces).status_code == 200
    assert served.check().is_clean


def test_damaged_and_missing_content_is_reported_and_not_sent(api: Api, served: Served) -> None:
    api.put("rotten", b"abc")
    api.put("lost", b"12345")
    assert api.upload("large", LARGE).status_code == 200
    assert api.upload("gone", LARGE).status_code == 200
    with served.engines.database.read() as session:
        keys = [row.key for row in session.scalars(sa.select(Version).order_by(Version.id))]
    for key, content in ((keys[0], b"abX"), (keys[2], LARGE[:-1] + b"X")):
        served.store.bucket.call("put_object", Key=f"content/{key}", Body=content)
    for key in (keys[1], keys[3]):
        served.store.remove(key)
    damages = [str(damage) for damage in served.check().damages]
    assert [("missing" in damage, "damaged" in damage) for damage in damages] == 2 * [(False, True), (True, False)]
    assert f"part 2 (bytes {PART_SIZE} to {len(LARGE) - 1})" in damages[2]
    refused(api.get("lost"), 500, "damaged")
    refused(api.get("gone"), 500, "damaged")


def test_a_quota_holds(bucket: Bucket, tmp_path: Path) -> None:
    configure(tmp_path / "data", bucket, quota="9 MB")
    served = serve(tmp_path / "data")
    assert served.api.upload("large", LARGE).status_code == 200
    refused(served.api.put("small", bytes(SMALL_CONTENT)), 507, "quota_exceeded")
    refused(served.api.files("POST", "/uploads", json={"path": "more", "size": 9_000_000}), 507, "quota_exceeded")
    assert len(served.keys()) == 1
    assert served.store.uploads() == []
    served.engines.database.close()


def test_a_store_that_gives_no_answer_is_503_and_nothing_is_acknowledged(
    api: Api, served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    api.put("there", b"123")
    served.store.bucket = dataclasses.replace(served.store.bucket, endpoint=f"http://127.0.0.1:{free_port()}")
    refused(api.put("new", b"123"), 503, "storage_failed")
    refused(api.get("there"), 503, "storage_failed")
    refused(api.batch({"a": b"1"}), 503, "storage_failed")
    refused(api.files("POST", "/uploads", json={"path": "large", "size": len(LARGE)}), 503, "storage_failed")
    assert api.names() == ["there"]
    assert "the store gives no answer" in caplog.text
    assert str(served.store.bucket.secret_key) not in caplog.text


def test_a_full_store_is_507(api: Api, served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(request: Any, **_: Any) -> Any:
        import botocore.awsrequest

        return botocore.awsrequest.AWSResponse(request.url, 507, {}, _Raw())

    events = served.store.bucket.client.meta.events
    events.register("before-send.s3.PutObject", full)
    try:
        refused(api.put("new", b"123"), 507, "insufficient_storage")
    finally:
        events.unregister("before-send.s3.PutObject", full)


class _Raw:
    def stream(self, *_: Any, **__: Any) -> Iterator[bytes]:
        yield b""


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('kind = "tape"', r'server\.toml: storage\.kind: write "folder" or "s3"'),
        ('kind = "s3"', 'no bucket is set; name it, as in bucket = "edge"'),
        ('bucket = "edge"', r'bucket is set, which a folder has not; set kind to "s3"'),
        ('kind = "s3"\nbucket = "../x"', r"server\.toml: storage\.bucket: this is no name of a bucket"),
        (
            'kind = "s3"\nbucket = "edge"\nprefix = "a/b"',
            r"server\.toml: storage\.prefix: write a name of letters",
        ),
        ('kind = "s3"\nbucket = "edge"\nprefix = "owner"', r"that is none of the server's own"),
        ('prefix = "edge"', r'prefix is set, which a folder has not; set kind to "s3"'),
        ('kind = "s3"\nbucket = "edge"\naccess_key = "a"', "access_key and secret_key belong together"),
        ('kind = "s3"\nbucket = "edge"\nendpoint = "s3.example.com"', r"storage\.endpoint: write the address"),
        ('kind = "s3"\nbucket = "edge"\nendpoint = "https://a:b@s3.example.com"', r"storage\.endpoint: write the addr"),
        ('kind = "s3"\nbucket = "edge"\npublic_endpoint = 5', r"storage\.public_endpoint: write the address"),
        ('kind = "s3"\nbucket = "edge"\nendpont = "x"', "there is no setting storage.endpont; remove it"),
    ],
)
def test_a_sentence_names_a_setting_that_is_wrong(tmp_path: Path, text: str, sentence: str) -> None:
    (tmp_path / "server.toml").write_text(f"[storage]\n{text}\n")
    with pytest.raises(CannotStart, match=sentence):
        start.prepare(tmp_path)


def test_without_boto3_a_sentence_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "edge_server.data.s3_bucket", None)
    (tmp_path / "server.toml").write_text('[storage]\nkind = "s3"\nbucket = "edge"\n')
    with pytest.raises(CannotStart, match="run: python -m pip install boto3"):
        start.prepare(tmp_path)


def checked(folder: Path) -> tuple[int, str]:
    result = CliRunner().invoke(server, ["check", "--data", str(folder)])
    line = next(line for line in result.output.splitlines() if line.startswith(("store: ", "settings: cannot")))
    return result.exit_code, line


def test_check_tries_the_store_and_leaves_nothing(seaweedfs: Killable, juicefs: Killable, tmp_path: Path) -> None:
    bucket = bucket_of(seaweedfs)
    configure(tmp_path, bucket)
    assert checked(tmp_path) == (0, f"store: {bucket.place} can be used")
    assert S3Store(bucket, tmp_path).is_empty()
    bucket.call("put_bucket_versioning", VersioningConfiguration={"Status": "Enabled"})
    code, line = checked(tmp_path)
    assert code == 0
    assert "can be used; it keeps old versions of objects" in line
    configure(tmp_path, bucket_of(juicefs))
    code, line = checked(tmp_path)
    assert code == 0
    assert line.endswith("can be used; it does not compare SHA-256")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"secret_key": "hunter2-kept"}, "the store rejects the keys|does not permit this"),
        ({"name": "no-such-bucket"}, "the bucket is not there; make it"),
        ({"endpoint": f"http://127.0.0.1:{free_port()}"}, "the store gives no answer"),
    ],
)
def test_check_and_start_say_what_keeps_a_store_from_being_used(
    seaweedfs: Killable, tmp_path: Path, change: dict[str, str], sentence: str
) -> None:
    configure(tmp_path, dataclasses.replace(bucket_of(seaweedfs), **change))
    code, line = checked(tmp_path)
    assert code == 1
    assert line.startswith("store: cannot be used: ")
    with pytest.raises(CannotStart, match=sentence) as failure:
        start.prepare(tmp_path)
    assert str(failure.value) in line
    assert "hunter2-kept" not in line


def test_a_store_that_does_not_compare_digests_is_refused(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edge_server.data import s3_trial

    monkeypatch.setattr(s3_trial, "_is_refused", lambda *_: False)
    with pytest.raises(OSError, match="takes bytes that have another Content-MD5"):
        S3Store(bucket, tmp_path).create()


def test_a_bucket_with_content_is_refused_by_an_empty_database(bucket: Bucket, tmp_path: Path) -> None:
    configure(tmp_path / "one", bucket)
    first = serve(tmp_path / "one")
    first.api.put("a", b"1")
    first.engines.database.close()
    configure(tmp_path / "other", bucket)
    with pytest.raises(CannotStart, match="is empty, and there is content already"):
        start.prepare(tmp_path / "other")
    start.prepare(tmp_path / "one")[0].database.close()


def test_deleted_content_in_a_bucket_stays_on_a_full_disk(
    api: Api, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.put("a", b"1")
    api.files("DELETE", "/entry", params={"path": "a"})
    monkeypatch.setattr(housekeeping, "missing_at", lambda _folder: 1 << 20)
    housekeeping_on(served.engines).make_room()
    assert len(served.keys()) == 1


@pytest.fixture
def direct(seaweedfs: Killable, tmp_path: Path) -> Iterator[Served]:
    """A server whose store takes parts from clients."""
    configure(tmp_path / "data", bucket_of(seaweedfs))
    served = serve(tmp_path / "data")
    yield served
    served.engines.database.close()


PIECES = [LARGE[:PART_SIZE], LARGE[PART_SIZE:]]


def signed(api: Api, upload: str, n: int, piece: bytes) -> dict[str, Any]:
    """The address of a part at the store, with its headers."""
    body = {"parts": [{"n": n, "sha256": hashlib.sha256(piece).hexdigest()}]}
    answer = api.files("POST", f"/uploads/{upload}/sign", json=body)
    assert answer.status_code == 200, answer.text
    return dict(answer.json()["parts"][0])


def send(api: Api, upload: str, n: int, piece: bytes) -> dict[str, Any]:
    """Send a part to the store; gives it as a completion states it."""
    part = signed(api, upload, n, piece)
    answer = requests.put(part["url"], data=piece, headers=part["headers"], timeout=60)
    assert answer.status_code == 200, answer.text
    sha256 = hashlib.sha256(piece).hexdigest()
    return {"n": n, "size": len(piece), "etag": answer.headers["ETag"], "sha256": sha256}


def complete(api: Api, upload: str, parts: list[dict[str, Any]]) -> requests.Response:
    digest = digests.of_parts([bytes.fromhex(part["sha256"]) for part in parts])
    return api.files("POST", f"/uploads/{upload}/complete", json={"digest": digest, "parts": parts})


def test_parts_go_to_the_store_which_takes_nothing_else_for_them(direct: Served) -> None:
    upload = direct.api.start("large", len(LARGE))
    assert upload["signed_digest"] == "sha256"
    part = signed(direct.api, upload["id"], 2, PIECES[1])
    assert part["url"].startswith(f"{direct.store.bucket.endpoint}/")
    assert int(parse_qs(urlsplit(part["url"]).query)["X-Amz-Expires"][0]) <= 900
    for content in (b"END", b"ends", b"en", LARGE):
        assert requests.put(part["url"], data=content, headers=part["headers"], timeout=60).status_code in (400, 403)
    assert requests.put(part["url"], data=PIECES[1], timeout=60).status_code == 403
    assert direct.api.files("GET", f"/uploads/{upload['id']}").json()["parts"] == []
    parts = [send(direct.api, upload["id"], n, piece) for n, piece in enumerate(PIECES, 1)]
    assert direct.api.files("GET", f"/uploads/{upload['id']}").json()["parts"] == parts
    for _ in range(2):
        assert complete(direct.api, upload["id"], parts).status_code == 200
    late = requests.put(part["url"], data=PIECES[1], headers=part["headers"], timeout=60)
    assert late.status_code == 404
    assert (direct.check(), direct.store.uploads()) == (fsck.Report(versions=1), [])


def test_parts_go_both_ways_at_once(direct: Served) -> None:
    upload = direct.api.start("large", len(LARGE))["id"]
    first = send(direct.api, upload, 1, PIECES[0])
    second = {**direct.api.part(upload, 2, PIECES[1]), "sha256": hashlib.sha256(PIECES[1]).hexdigest()}
    assert complete(direct.api, upload, [first, second]).status_code == 200
    assert direct.check().is_clean


def test_what_was_sent_to_the_store_is_resumed(direct: Served) -> None:
    upload = direct.api.start("large", len(LARGE))
    first = send(direct.api, upload["id"], 1, PIECES[0])
    signed(direct.api, upload["id"], 2, PIECES[1])  # which was not sent then
    resumed = direct.api.start("large", len(LARGE), resume=True)
    assert (resumed["id"], resumed["parts"]) == (upload["id"], [first])
    second = send(direct.api, upload["id"], 2, PIECES[1])
    assert complete(direct.api, upload["id"], [first, second]).status_code == 200


def test_a_part_that_was_not_sent_or_is_another_is_refused_and_sent_again(direct: Served) -> None:
    upload = direct.api.start("large", len(LARGE))["id"]
    first = send(direct.api, upload, 1, PIECES[0])
    signed(direct.api, upload, 2, PIECES[1])
    lie = {"n": 2, "size": 3, "etag": f'"{"0" * 32}"', "sha256": hashlib.sha256(PIECES[1]).hexdigest()}
    refused(complete(direct.api, upload, [first, lie]), 400, "checksum_mismatch")
    # Bytes that were sent for another digest are not taken for those of this one.
    other = send(direct.api, upload, 2, b"END")
    signed(direct.api, upload, 2, PIECES[1])
    refused(complete(direct.api, upload, [first, {**lie, "etag": other["etag"]}]), 400, "checksum_mismatch")
    parts = [send(direct.api, upload, n, piece) for n, piece in enumerate(PIECES, 1)]
    assert complete(direct.api, upload, parts).status_code == 200
    assert direct.check().is_clean


def test_what_is_signed_counts_and_cannot_be_more_than_the_upload(direct: Served) -> None:
    upload = direct.api.start("large", len(LARGE))["id"]
    signed(direct.api, upload, 1, PIECES[0])
    listed = direct.api.files("GET", "/uploads").json()["items"][0]
    assert (listed["held_bytes"], listed["reserved_bytes"]) == (PART_SIZE, len(LARGE))
    body = {"parts": [{"n": 3, "sha256": hashlib.sha256(b"more").hexdigest()}]}
    refused(direct.api.files("POST", f"/uploads/{upload}/sign", json=body), 400, "bad_entry")
    part = signed(direct.api, upload, 2, PIECES[1])
    assert direct.api.files("DELETE", f"/uploads/{upload}").status_code == 204
    assert requests.put(part["url"], data=PIECES[1], headers=part["headers"], timeout=60).status_code == 404
    refused(direct.api.files("POST", f"/uploads/{upload}/sign", json=body), 404, "not_found")


def test_parts_go_through_the_server_where_the_store_cannot_compare_them(
    seaweedfs: Killable, juicefs: Killable, tmp_path: Path
) -> None:
    for name, bucket, more in (
        ("juicefs", bucket_of(juicefs), {}),
        ("unreached", bucket_of(seaweedfs), {"direct": "false"}),
    ):
        configure(tmp_path / name, bucket, **more)
        served = serve(tmp_path / name)
        upload = served.api.start("large", len(LARGE))
        assert upload["signed_digest"] is None
        assert not signed(served.api, upload["id"], 1, PIECES[0])["url"].startswith("http")
        served.engines.database.close()


def test_parts_of_what_has_no_known_size_go_through_the_server(direct: Served) -> None:
    upload = direct.api.start("large")
    assert upload["signed_digest"] is None
    assert not signed(direct.api, upload["id"], 1, PIECES[0])["url"].startswith("http")


def prepared(folder: Path) -> None:
    start.prepare(folder)[0].database.close()


@pytest.fixture
def filled(tmp_path: Path) -> Path:
    """The data folder of another server, which has content of its own."""
    (tmp_path / "filled").mkdir()
    other = serve(tmp_path / "filled")
    other.api.put("theirs", b"123")
    other.engines.database.close()
    return tmp_path / "filled"


def test_a_bucket_of_another_database_is_refused(
    api: Api, served: Served, bucket: Bucket, filled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.put("ours", b"123")
    configure(filled, bucket)
    later = clock.now() + 2 * fsck.GRACE
    monkeypatch.setattr(clock, "now", lambda: later)
    sentence = (
        rf"^the store holds the content of another server's database, as the object below owner/{UID}/ in the bucket "
        rf"{bucket.name} at \S+ says; name another directory, bucket or prefix in \[storage\], or remove that if the "
        "content is this server's$"
    )
    with pytest.raises(CannotStart, match=sentence):
        start.prepare(filled)
    with pytest.raises(CannotStart, match=sentence):
        start.check(filled, deep=False)
    code, line = checked(filled)
    assert (code, line.startswith("store: cannot be used: the store holds the content of another ")) == (1, True)
    assert start.check(served.engines.folder, deep=False).is_clean
    assert (len(served.keys()), api.get("ours").content) == (1, b"123")


def test_servers_with_a_prefix_each_share_a_bucket(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("ada", "ben"):
        configure(tmp_path / name, bucket, prefix=name)
    ada, ben = serve(tmp_path / "ada"), serve(tmp_path / "ben")
    for site, content in ((ada, b"1"), (ben, b"22")):
        assert site.api.put("same", content).status_code == 201
    later = clock.now() + 2 * fsck.GRACE
    monkeypatch.setattr(clock, "now", lambda: later)
    assert (ada.check(), ben.check()) == (fsck.Report(versions=1), fsck.Report(versions=1))
    assert (ada.api.get("same").content, ben.api.get("same").content) == (b"1", b"22")
    listed = bucket.call("list_objects_v2").get("Contents", [])
    assert {each["Key"].partition("/")[0] for each in listed} == {"ada", "ben"}
    for site in (ada, ben):
        site.engines.database.close()


def test_a_bucket_is_claimed_once(served: Served, bucket: Bucket) -> None:
    owners = served.store.owners()
    assert [len(owner) for owner in owners] == [36]
    served.engines.database.close()
    prepared(served.engines.folder)
    assert served.store.owners() == owners
    assert len(claims(bucket)) == 1


def test_a_bucket_that_nobody_has_claimed_goes_to_the_database_that_names_its_content(
    api: Api, served: Served, bucket: Bucket, filled: Path
) -> None:
    """As one that an earlier version used."""
    api.put("ours", b"123")
    unclaim(bucket)
    configure(filled, bucket)
    with pytest.raises(CannotStart, match="holds content of which the database .* names nothing, so that it may be an"):
        prepared(filled)
    assert claims(bucket) == []
    served.engines.database.close()
    prepared(served.engines.folder)
    with pytest.raises(CannotStart, match="the content of another server's database"):
        prepared(filled)
    api.files("DELETE", "/entry", params={"path": "ours"})
    housekeeping_on(served.engines).purge()
    unclaim(bucket)
    with pytest.raises(CannotStart, match="nothing is in the bucket"):
        prepared(filled)  # which has its content elsewhere


def test_a_bucket_that_two_have_claimed_is_nobodys(served: Served, bucket: Bucket) -> None:
    bucket.call("put_object", Key="owner/somebody/1", Body=b"")  # of one that was killed before it withdrew
    with pytest.raises(CannotStart, match="another server's database, as the object below owner/somebody/ in"):
        prepared(served.engines.folder)
    bucket.call("delete_object", Key="owner/somebody/1")
    prepared(served.engines.folder)


def claims(bucket: Bucket) -> list[str]:
    listed = bucket.call("list_objects_v2", Prefix="owner/").get("Contents", [])
    return [each["Key"] for each in listed if not each["Key"].endswith("/")]


def unclaim(bucket: Bucket) -> None:
    for claim in claims(bucket):
        bucket.call("delete_object", Key=claim)
