"""The store in a bucket, on real object stores of two kinds: what is stored, what is refused, what is said."""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import hashlib
import io
import math
import os
import secrets
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import botocore.exceptions
import pytest
import requests
from botocore.awsrequest import AWSResponse
from urllib3 import HTTPResponse

from edge_server.data import s3_bucket, s3_store
from edge_server.data.s3_bucket import Bucket, Failed
from edge_server.data.s3_store import ObjectContent, S3Store
from edge_server.data.store import MissingContent, StoreFailure, Written, WrongParts
from tests.object_stores import Killable, free_port

from .buckets import STARTED, bucket_of

PART = bytes(5 << 20)
"""The least that all stores take as a part which is not the last one."""

CONTENT = PART + b"end"


@pytest.fixture
def store(bucket: Bucket, tmp_path: Path) -> S3Store:
    store = S3Store(bucket, tmp_path / "incoming")
    store.create()
    return store


def read(store: S3Store, key: str, start: int = 0, length: int | None = None) -> bytes:
    with contextlib.closing(store.open(key, start, length)) as content:
        return b"".join(content)


def put(store: S3Store, content: bytes) -> str:
    key = store.new_key()
    store.write(key, [content])
    return key


def written(content: bytes) -> Written:
    etag = f'"{hashlib.md5(content, usedforsecurity=False).hexdigest()}"'
    return Written(len(content), hashlib.sha256(content).hexdigest(), etag)


def test_content_is_read_whole_or_a_range_of_it_and_goes(store: S3Store) -> None:
    key = store.new_key()
    assert store.write(key, [b"abc", memoryview(b"def")]) == Written(6, hashlib.sha256(b"abcdef").hexdigest())
    assert (store.size(key), read(store, key)) == (6, b"abcdef")
    assert [read(store, key, *span) for span in ((1, 2), (4, None), (4, 9), (6, 0), (0, 0), (9, 2))] == [
        *(b"bc", b"ef", b"ef", b"", b"", b"")
    ]
    for span in ((0, None), (1, 2), (6, 0), (9, 2)):
        with contextlib.closing(store.open(key, *span)) as content:
            assert content.size == 6
    store.remove(key)
    store.remove(key)
    assert store.size(key) is None
    for span in ((0, None), (1, 2), (0, 0)):
        with pytest.raises(MissingContent):
            store.open(key, *span)


def test_content_can_be_empty(store: S3Store) -> None:
    key = store.new_key()
    assert store.write(key, []) == Written(0, hashlib.sha256().hexdigest())
    assert (store.size(key), read(store, key)) == (0, b"")


def test_content_of_several_parts_is_stored_as_it_comes(store: S3Store) -> None:
    content = secrets.token_bytes(2 * s3_store.PART + 3)
    key = store.new_key()
    blocks = (content[at : at + 3_000_000] for at in range(0, len(content), 3_000_000))
    assert store.write(key, blocks) == Written(len(content), hashlib.sha256(content).hexdigest())
    assert read(store, key) == content
    assert read(store, key, s3_store.PART - 1, 2) == content[s3_store.PART - 1 : s3_store.PART + 1]
    assert store.uploads() == []


@pytest.mark.parametrize("size", [3, s3_store.PART + 3], ids=["small", "parts"])
def test_nothing_is_left_of_what_breaks_off(store: S3Store, size: int) -> None:
    def breaking() -> Iterator[bytes]:
        yield bytes(size)
        raise ConnectionError("the sender is gone")

    with pytest.raises(ConnectionError, match="the sender is gone"):
        store.write(store.new_key(), breaking())
    with pytest.raises(ConnectionError, match="the sender is gone"):
        store.write_many(breaking())
    assert (all_keys(store), store.uploads()) == ([], [])


def test_several_contents_are_stored_together(store: S3Store) -> None:
    contents = [b"%d" % n for n in range(20)]
    keys = store.write_many(iter(contents))
    assert [read(store, key) for key in keys] == contents


def test_what_is_damaged_on_its_way_is_not_stored(store: S3Store) -> None:
    def damage(request: Any, **_: Any) -> None:
        request.body = b"abX"

    events = store.bucket.client.meta.events
    events.register("before-send.s3.PutObject", damage)
    try:
        with pytest.raises(StoreFailure):
            put(store, b"abc")
    finally:
        events.unregister("before-send.s3.PutObject", damage)
    assert all_keys(store) == []


def all_keys(store: S3Store, unchanged_since: float = math.inf) -> list[str]:
    return [key for prefix in store.prefixes() for key in store.keys(prefix, unchanged_since)]


def test_keys_are_listed_by_their_beginning_and_age(store: S3Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3_store, "PAGE", 2)
    keys = [letter * 40 for letter in "0a"] + [f"f{n:039x}" for n in range(5)]
    for key in keys:
        store.write(key, [b"1"])
    other = store.part("plugin")
    foreign = put(other, b"2")
    store.bucket.call("put_object", Key="content/not-ours", Body=b"3")
    later = time.time() + 60  # stores note whole seconds
    assert sorted(all_keys(store, later)) == sorted(keys)
    assert store.keys("f", later) == keys[2:]
    assert all_keys(store, time.time() - 60) == []
    assert all_keys(other) == [foreign]
    assert read(other, foreign) == b"2"
    assert store.size(foreign) is None


def test_an_upload_becomes_content_by_its_parts_alone(store: S3Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3_store, "PAGE", 2)
    key = store.new_key()
    upload = store.start_upload("an id", key)
    assert store.uploads() == [upload]
    last = store.write_part(upload, 2, len(PART), [b"e", b"nd"])
    assert last == written(b"end")
    store.write_part(upload, 1, 0, [b"sent before"])
    first = store.write_part(upload, 1, 0, [PART])
    assert store.size(key) is None
    for _ in range(2):  # whose answer got lost is asked again
        store.complete_upload(upload, key, [first, last], in_doubt=False)
        assert not store.has_upload(upload)
        assert hashlib.sha256(read(store, key)).digest() == hashlib.sha256(CONTENT).digest()
    assert store.uploads() == []
    with pytest.raises(MissingContent):
        store.write_part(upload, 1, 0, [b"late"])
    store.drop_upload(upload)
    assert store.size(key) == len(CONTENT)


# Others may refuse to complete an upload that holds further parts, as Ceph's gateway does.
@pytest.mark.parametrize("bucket", STARTED, indirect=True)
def test_an_object_leaves_out_parts_of_no_completion(store: S3Store) -> None:
    key = store.new_key()
    upload = store.start_upload("an id", key)
    part = store.write_part(upload, 1, 0, [b"abc"])
    store.write_part(upload, 2, 3, [b"further"])
    store.complete_upload(upload, key, [part], in_doubt=False)
    assert (read(store, key), store.uploads()) == (b"abc", [])


def test_a_part_that_somebody_else_has_sent_meanwhile_is_named(store: S3Store) -> None:
    key = store.new_key()
    upload = store.start_upload("an id", key)
    first, last = store.write_part(upload, 1, 0, [PART]), written(b"end")
    store.write_part(upload, 2, len(PART), [b"END"])
    with pytest.raises(WrongParts) as wrong:
        store.complete_upload(upload, key, [first, last], in_doubt=True)
    assert list(wrong.value.numbers) == [2]
    assert store.size(key) is None
    store.write_part(upload, 2, len(PART), [b"end"])
    store.complete_upload(upload, key, [first, last], in_doubt=True)
    assert read(store, key, len(PART)) == b"end"


def test_an_object_of_other_parts_is_no_content(store: S3Store) -> None:
    key = store.new_key()
    upload = store.start_upload("an id", key)
    part = store.write_part(upload, 1, 0, [b"abc"])
    with pytest.raises(MissingContent):  # of a store that makes it nevertheless
        store.complete_upload(upload, key, [dataclasses.replace(part, size=4)], in_doubt=False)
    assert store.size(key) is None


def test_an_object_that_is_not_whole_yet_is_looked_at_again_later(
    store: S3Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = store.new_key()
    upload = store.start_upload("an id", key)
    part = store.write_part(upload, 1, 0, [b"abc"])
    call = Bucket.call

    def without_tag(self: Bucket, operation: str, **arguments: Any) -> Any:
        return {"ContentLength": 3} if operation == "head_object" else call(self, operation, **arguments)

    with monkeypatch.context() as patched:
        patched.setattr(Bucket, "call", without_tag)
        with pytest.raises(StoreFailure, match="not whole yet; try again"):
            store.complete_upload(upload, key, [part], in_doubt=False)
    store.complete_upload(upload, key, [part], in_doubt=True)
    assert store.size(key) == 3


def test_an_upload_without_bytes_becomes_empty_content(store: S3Store) -> None:
    key = store.new_key()
    upload = store.start_upload("an id", key)
    store.complete_upload(upload, key, [], in_doubt=False)
    assert (store.size(key), store.uploads()) == (0, [])


def test_an_upload_is_dropped_once_or_twice(store: S3Store) -> None:
    key = store.new_key()
    upload = store.start_upload("an id", key)
    part = store.write_part(upload, 1, 0, [b"abc"])
    assert store.uploads(time.time() - 60) == []
    assert store.uploads(time.time() + 60) == [upload]
    assert store.has_upload(upload)
    assert store.part("plugin").uploads() == []
    for _ in range(2):
        store.drop_upload(upload)
        assert not store.has_upload(upload)
    assert store.uploads() == []
    with pytest.raises(MissingContent):
        store.write_part(upload, 1, 0, [b"abc"])
    with pytest.raises(MissingContent):
        store.complete_upload(upload, key, [part], in_doubt=False)


@pytest.mark.parametrize("is_dropped", [True, False])
def test_an_upload_is_gone_where_a_store_that_fails_has_none(store: S3Store, is_dropped: bool) -> None:
    """As Ceph's gateway answers so where that was dropped."""
    key = store.new_key()
    upload = store.start_upload("an id", key)
    part = store.write_part(upload, 1, 0, [b"abc"])
    if is_dropped:
        store.drop_upload(upload)
    events = s3_bucket._client(store.bucket, os.getpid(), 1).meta.events
    raw = io.BytesIO(b"<Error><Code>InternalError</Code></Error>")
    events.register(
        "before-send.s3.CompleteMultipartUpload", lambda **_: AWSResponse("", 500, {}, HTTPResponse(body=raw))
    )
    with pytest.raises(MissingContent if is_dropped else Failed):
        store.complete_upload(upload, key, [part], in_doubt=False)
    assert store.has_upload(upload) != is_dropped


def test_an_upload_is_completed_by_a_request_that_is_sent_once(store: S3Store) -> None:
    """As the store may be at the first one still when a second one comes, and spoil what both make."""
    key = store.new_key()
    upload = store.start_upload("an id", key)
    part = store.write_part(upload, 1, 0, [b"abc"])
    sent = []

    def no_answer(**_: Any) -> None:
        sent.append(1)
        raise botocore.exceptions.ReadTimeoutError(endpoint_url="")

    for client in (store.bucket.client, s3_bucket._client(store.bucket, os.getpid(), 1)):
        client.meta.events.register("before-send.s3.CompleteMultipartUpload", no_answer)
    with pytest.raises(StoreFailure, match="gives no answer"):
        store.complete_upload(upload, key, [part], in_doubt=False)
    assert len(sent) == 1


def test_parts_on_their_way_leave_no_file(store: S3Store, tmp_path: Path) -> None:
    upload = store.start_upload("an id", store.new_key())
    store.write_part(upload, 1, 0, [PART])
    assert list((tmp_path / "incoming").iterdir()) == []


def test_of_several_owners_at_once_never_two_get_the_store(store: S3Store) -> None:
    for n in range(5):
        contested = S3Store(store.bucket, Path(), f"round-{n}/")
        at_once = threading.Barrier(4)

        def claim(owner: str, contested: S3Store = contested, at_once: threading.Barrier = at_once) -> bool:
            at_once.wait(60)
            return contested.claim(owner) == [owner]

        with concurrent.futures.ThreadPoolExecutor(4) as threads:
            winners = {owner for owner, is_own in zip("abca", threads.map(claim, "abca"), strict=True) if is_own}
        assert len(winners) <= 1
        assert contested.owners() == sorted(winners)
        assert contested.is_empty()


def test_whoever_comes_while_another_claims_withdraws(store: S3Store, monkeypatch: pytest.MonkeyPatch) -> None:
    owners = S3Store.owners

    def meanwhile(self: S3Store) -> list[str]:
        monkeypatch.setattr(S3Store, "owners", owners)
        assert store.claim("b") == ["a", "b"]
        return owners(self)

    monkeypatch.setattr(S3Store, "owners", meanwhile)
    assert store.claim("a") == ["a"]
    assert store.claim("a") == ["a"]  # another host of the same
    assert (store.claim("b"), store.owners()) == (["a", "b"], ["a"])
    assert store.part("plugin").owners() == []


class BreakingOff:
    """The beginning of content, behind which the connection is lost."""

    def __init__(self, left: bytes) -> None:
        self._left = left

    def read(self, size: int) -> bytes:
        block, self._left = self._left[:size], self._left[size:]
        if not block:
            raise ConnectionResetError("the connection is lost")
        return block

    def close(self) -> None:
        """Nothing is open."""


def test_reading_goes_on_where_the_connection_breaks_off(store: S3Store, monkeypatch: pytest.MonkeyPatch) -> None:
    key = put(store, b"abcdef")
    assert b"".join(ObjectContent(store, key, 6, 1, 4, BreakingOff(b"bc"))) == b"bcde"
    monkeypatch.setattr(store, "read", lambda *_: (BreakingOff(b""), 6))
    with pytest.raises(StoreFailure, match="the store gives no answer"):
        list(ObjectContent(store, key, 6, 1, 4, BreakingOff(b"bc")))


def test_each_process_has_a_client_of_its_own(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    client = bucket.client
    assert bucket.client is client
    monkeypatch.setattr(os, "getpid", lambda: -1)  # as in a process that was forked
    assert bucket.client is not client


@pytest.mark.parametrize("region", [None, "us-east-1"])
def test_addresses_are_signed_for_the_region_that_the_store_wants(
    juicefs: Killable, tmp_path: Path, region: str | None
) -> None:
    bucket = dataclasses.replace(bucket_of(juicefs), region=region)
    store = S3Store(bucket, tmp_path, public=bucket)
    store.create()
    key = put(store, b"content")
    assert requests.get(store.address(key, 60, {}), timeout=60).content == b"content"
    sentence = S3Store(bucket, tmp_path).check()
    assert ("its region is eu-lab, which is used in place of region in [storage]" in sentence) == (region is not None)


SECRET = "hunter2-kept"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"secret_key": SECRET}, "rejects the keys|does not permit"),
        ({"access_key": "nobody"}, "rejects the keys|does not permit"),
        ({"name": "no-such-bucket"}, "the bucket is not there; make it"),
        ({"endpoint": f"http://127.0.0.1:{free_port()}"}, "gives no answer .*; check endpoint"),
    ],
)
def test_a_sentence_says_what_is_wrong(bucket: Bucket, tmp_path: Path, change: Any, sentence: str) -> None:
    wrong = S3Store(dataclasses.replace(bucket, **change), tmp_path)
    with pytest.raises(StoreFailure, match=sentence) as failure:
        wrong.create()
    assert SECRET not in f"{failure.value} {failure.value!r} {wrong.bucket!r}"
    assert wrong.bucket.name in str(failure.value)


def test_without_keys_the_sentence_names_where_they_can_stand(
    seaweedfs: Killable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HOME", str(tmp_path))
    bucket = dataclasses.replace(bucket_of(seaweedfs), access_key=None, secret_key=None)
    with pytest.raises(StoreFailure, match=r"access_key and secret_key in \[storage\], or AWS_ACCESS_KEY_ID"):
        S3Store(bucket, tmp_path).create()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", seaweedfs.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", seaweedfs.secret_key)
    S3Store(dataclasses.replace(bucket, region="us-east-1"), tmp_path).create()
