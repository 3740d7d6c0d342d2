"""The store in a bucket of an S3-compatible store.

What it rests on is what every such store was seen to do: it refuses bytes whose Content-MD5 is another, makes an upload
an object by the entity tags of its parts or not at all, shows an object whole or not at all, and lists it from then on.
Nothing rests on conditional requests, on reading single parts, or on checksums of whole objects, since stores differ in
these.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import errno
import hashlib
import io
import itertools
import math
import re
import secrets
import tempfile
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

from edge_server.data import s3_trial
from edge_server.data.s3_bucket import Bucket, Failed, NotThere, Refused, encoded
from edge_server.data.store import BLOCK, KEY, Block, MissingContent, StoreFailure, Written, WrongParts

PART = 8 << 20
"""Bytes of a part of content that is stored as it comes, and the most that is stored at once."""

LARGEST = 5 << 40
"""Bytes of the largest object that stores take."""

WRITERS = 8
"""Threads that write what is stored together."""

PAGE = 1000
"""Objects, uploads or parts that are listed with one request; no store lists more."""

PART_LIFETIME = 900
"""Seconds that the address of a part lives; nobody can end it before, but by completing or dropping the upload."""

STRAGGLING = 5.0
"""Seconds for which a store may be at a request that was on its way to it when the sender died."""

STRAGGLING_PER_PART = 0.02
"""Seconds more for each part of an upload to be completed; the slower of two stores took 0.0033 (JuiceFS on SQLite).

That one spoils an upload that two requests complete at once: in 19 of 80 tries its object was not the parts.
"""

REOPENED = 2
"""How often reading content goes on where the connection broke off."""

_MD5 = re.compile('"(?P<md5>[0-9a-f]{32})"')

_OF_PARTS = re.compile('"[0-9a-f]{32}-[0-9]+"')
"""The entity tag of an object that was made of parts, where it is the MD5 of their MD5s."""


class _Sum(NamedTuple):
    """What is known of bytes on their way.

    Attributes:
        size: bytes.
        sha256: binary.
        md5: binary.
    """

    size: int
    sha256: bytes
    md5: bytes


class S3Store:
    """The store in a bucket, below a prefix of keys.

    Content is an object; an upload is a multipart upload of the object that it becomes, and its id here is the key with
    the store's id of the upload. A part that is larger than a block is written to a folder of this machine first, so
    that its digest can go before it, and so that it can be sent again.

    Args:
        bucket: the bucket, in which nobody else writes below the prefix.
        folder: keeps what is on its way to the store.
        prefix: what the names of all objects of this store begin with; empty, or with a slash at its end.
        public: the bucket as clients reach it, for addresses that they are given; None to give none.

    Attributes:
        checks_sha256: whether the store was seen to refuse a part with another SHA-256; known once `create` was called.
    """

    max_size = LARGEST
    disk = None
    tags_parts = True

    def __init__(self, bucket: Bucket, folder: Path, prefix: str = "", *, public: Bucket | None = None) -> None:
        self.bucket = bucket
        self.checks_sha256 = False
        self._folder = folder
        self._prefix = prefix
        self._public = public

    @property
    def place(self) -> str:
        """The bucket, and what names of objects begin with."""
        return f"{self.bucket.place}{self._prefix and f', below {self._prefix}'}"

    @property
    def signs_parts(self) -> bool:
        """Whether clients send parts to the store: they reach it, and it refuses those with another SHA-256."""
        return self.checks_sha256 and self._public is not None

    def create(self) -> None:
        """Make the folder for what is on its way, and see that the bucket can be used, and what its store compares.

        Raises:
            StoreFailure: it cannot.
        """
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.is_empty()  # asks for nothing but the bucket
        self._sign_for(self.bucket.signed_region())
        refused = s3_trial.refused_digests(self.bucket, self._object(self.new_key()))
        s3_trial.require_md5(self.bucket, refused)
        self.checks_sha256 = s3_trial.SHA256 in refused

    def _sign_for(self, region: str) -> None:
        """Sign for a region from now on, whichever was set."""
        self.bucket = dataclasses.replace(self.bucket, region=region)
        if self._public is not None:
            self._public = dataclasses.replace(self._public, region=region)

    def check(self) -> str:
        """Try the store, and tell in a sentence what it lacks.

        Raises:
            StoreFailure: it cannot be used.
        """
        self.is_empty()
        lacks = s3_trial.lacking(self.bucket, self._prefix)
        region = self.bucket.signed_region()
        if self.bucket.region not in (None, region):
            lacks.append(f"its region is {region}, which is used in place of region in [storage]; correct that")
        return "; ".join([f"{self.bucket.place} can be used", *lacks])

    def reach(self) -> None:
        """See that the store answers for the bucket."""
        try:
            self.bucket.call("head_bucket")
        except NotThere:
            raise self.bucket.missing() from None

    def is_empty(self) -> bool:
        """Whether there is no content yet, nor that of subsystems."""
        try:
            folders = [f"{self._prefix}{folder}/" for folder in ("content", "subsystems")]
            listed = [self.bucket.call("list_objects_v2", MaxKeys=1, Prefix=folder) for folder in folders]
        except NotThere:
            raise self.bucket.missing() from None
        return not any(each.get("Contents") for each in listed)

    def owners(self) -> list[str]:
        """Who has claimed the store, by objects below `owner/` and the owner's name."""
        folder = self._claim("")
        pages = self.bucket.pages("list_objects_v2", PAGE, Prefix=folder)
        names = (listed["Key"].removeprefix(folder) for page in pages for listed in page.get("Contents", ()))
        return sorted({owner for owner, _, claim in (name.partition("/") for name in names) if claim})

    def claim(self, owner: str) -> list[str]:
        """Claim the store by an object that nobody else writes.

        Each claimant lists all claims once its own is there. So of two owners who claim at once, the later one sees
        both and withdraws, and so may the earlier one, who can try again; never do both keep theirs.
        """
        key = f"{self._claim(owner)}/{secrets.token_hex(8)}"
        content = owner.encode()
        self.bucket.call("put_object", Key=key, Body=content, ContentMD5=encoded(_sum_of(content).md5))
        owners = self.owners()
        if owners != [owner]:
            self._if_there("delete_object", Key=key)
        return owners

    def claimed_by(self, owner: str) -> str:
        """Where the object is that says who has claimed the store."""
        return f"the object below {self._claim(owner)}/ in {self.bucket.place}"

    def _claim(self, owner: str) -> str:
        """What the names of an owner's claims begin with."""
        return f"{self._prefix}owner/{owner}"

    def part(self, name: str) -> S3Store:
        """A store of its own below this one, for the subsystem of that name."""
        return S3Store(self.bucket, self._folder, f"{self._prefix}subsystems/{name}/", public=self._public)

    # --- content

    def new_key(self) -> str:
        """A key for content to come."""
        return secrets.token_hex(20)

    def write(self, key: str, blocks: Iterable[Block]) -> Written:
        """Store `blocks` under `key`; on any failure nothing is left."""
        pieces = _pieces(blocks)
        try:
            first = next(pieces)
            second = next(pieces, None)
            if second is None:
                summed = self._put(key, first)
                return Written(summed.size, summed.sha256.hex())
            return self._write_in_parts(key, itertools.chain((first, second), pieces))
        except BaseException:
            with contextlib.suppress(StoreFailure):  # it was the first failure that counts; `fsck` finds what is left
                self.remove(key)
            raise

    def _write_in_parts(self, key: str, pieces: Iterable[bytes]) -> Written:
        """Store what is more than a part, of which the store sees all or nothing."""
        whole = hashlib.sha256()
        parts: list[Written] = []
        upload = self.start_upload(key, key)
        try:
            for piece in pieces:
                whole.update(piece)
                parts.append(self.write_part(upload, len(parts) + 1, 0, [piece]))
            self.complete_upload(upload, key, parts, in_doubt=False)
        except BaseException:
            with contextlib.suppress(StoreFailure):
                self.drop_upload(upload)
            raise
        return Written(sum(part.size for part in parts), whole.hexdigest())

    def write_many(self, contents: Iterable[bytes]) -> list[str]:
        """Store small contents under keys of their own, and give these; on any failure nothing is left.

        Args:
            contents: what to store; the next is taken when there is room for it in memory.
        """
        keys: list[str] = []
        waiting: deque[concurrent.futures.Future[_Sum]] = deque()
        try:
            with concurrent.futures.ThreadPoolExecutor(WRITERS) as writers:
                for content in contents:
                    keys.append(self.new_key())
                    waiting.append(writers.submit(self._put, keys[-1], content))
                    if len(waiting) > WRITERS:
                        waiting.popleft().result()
                for written in waiting:
                    written.result()
        except BaseException:
            with contextlib.suppress(StoreFailure):
                for key in keys:
                    self.remove(key)
            raise
        return keys

    def _put(self, key: str, content: bytes) -> _Sum:
        summed = _sum_of(content)
        self.bucket.call("put_object", Key=self._object(key), Body=content, ContentMD5=encoded(summed.md5))
        return summed

    def open(self, key: str, start: int = 0, length: int | None = None) -> ObjectContent:
        """Content, or `length` bytes of it from `start` on.

        Raises:
            MissingContent: there is none.
        """
        if length == 0:
            size = self.size(key)
            if size is None:
                raise MissingContent(key)
            return ObjectContent(self, key, size, start, 0, io.BytesIO())
        body, size = self.read(key, start, length)
        rest = max(0, size - start)
        return ObjectContent(self, key, size, start, rest if length is None else min(length, rest), body)

    def read(self, key: str, start: int, length: int | None) -> tuple[Any, int]:
        """The bytes of content as they come, from `start` on, and the size of all of it.

        Raises:
            MissingContent: there is none.
        """
        chosen = {}
        if start or length is not None:
            chosen["Range"] = f"bytes={start}-" if length is None else f"bytes={start}-{start + length - 1}"
        try:
            answer = self.bucket.call("get_object", Key=self._object(key), **chosen)
        except NotThere:
            raise MissingContent(key) from None
        except Refused as error:
            if error.status != 416:  # it is shorter than that
                raise
            return io.BytesIO(), self.size(key) or 0
        return answer["Body"], _size_of(answer)

    def size(self, key: str) -> int | None:
        """Bytes under `key`; None if there is nothing."""
        head = self._head(key)
        return None if head is None else int(head["ContentLength"])

    def address(self, key: str, lifetime: int, headers: Mapping[str, str]) -> str | None:
        """Where anyone can fetch content at the store itself; None if clients are not sent there."""
        if self._public is None:
            return None
        chosen = {f"Response{name.replace('-', '')}": value for name, value in headers.items()}
        return self._public.address("get_object", lifetime, Key=self._object(key), **chosen)

    def remove(self, key: str) -> None:
        """Drop the content under `key`, if there is any."""
        # Each by a request of its own: some stores refuse the request for several as boto3 sends it.
        self._if_there("delete_object", Key=self._object(key))

    def _object(self, key: str) -> str:
        """The name of the object with the content under `key`."""
        return f"{self._prefix}content/{key}"

    def _head(self, key: str) -> dict[str, Any] | None:
        """What the store says of an object; None if there is none.

        Raises:
            StoreFailure: it is being made just now, as JuiceFS shows while an upload is completed by two at once.
        """
        head: dict[str, Any] | None = self._if_there("head_object", Key=self._object(key))
        if head is not None and "ETag" not in head:
            raise StoreFailure(
                errno.EIO, f"{self.bucket.place}: the store shows an object that is not whole yet; try again"
            )
        return head

    def _if_there(self, operation: str, **arguments: Any) -> Any:
        """Call an operation; gives None where what it is about is not there."""
        try:
            return self.bucket.call(operation, **arguments)
        except NotThere:
            return None

    # --- uploads in parts

    def start_upload(self, upload: str, key: str) -> str:
        """Open a multipart upload of the object that the upload becomes."""
        started = self.bucket.call("create_multipart_upload", Key=self._object(key), ChecksumAlgorithm="SHA256")
        return f"{key}/{started['UploadId']}"

    def write_part(self, upload: str, n: int, offset: int, blocks: Iterable[Block]) -> Written:
        """Send one part once all of it has come."""
        with tempfile.SpooledTemporaryFile(max_size=BLOCK, dir=str(self._folder)) as file:
            summed = _spool(blocks, file)
            file.seek(0)
            try:
                answer = self.bucket.call(
                    "upload_part",
                    **self._named(upload),
                    PartNumber=n,
                    Body=file,
                    ContentLength=summed.size,
                    ContentMD5=encoded(summed.md5),
                    ChecksumSHA256=encoded(summed.sha256),
                )
            except NotThere:
                raise MissingContent(upload) from None
        return Written(summed.size, summed.sha256.hex(), answer["ETag"])

    def part_address(self, upload: str, n: int, size: int, sha256: str) -> tuple[str, str]:
        """Where a part can be sent, with its length and its digest signed."""
        if self._public is None:
            raise MissingContent(upload)
        digest = encoded(bytes.fromhex(sha256))
        named = {**self._named(upload), "PartNumber": n, "ContentLength": size, "ChecksumSHA256": digest}
        return self._public.address("upload_part", PART_LIFETIME, **named), digest

    def complete_upload(self, upload: str, key: str, parts: Sequence[Written], *, in_doubt: bool) -> None:
        """Make the parts an object, which the store does by their entity tags: it refuses those of other parts."""
        if not parts:  # of which no store makes an object
            self._put(key, b"")
            self.drop_upload(upload)
            return
        try:
            self.bucket.call_once(
                "complete_multipart_upload",
                **self._named(upload),
                MultipartUpload={"Parts": [_named_part(n, part) for n, part in enumerate(parts, 1)]},
            )
            is_own = True
        except NotThere:  # it was completed before, or dropped
            is_own = False
        except Failed:
            if self.has_upload(upload):
                raise
            is_own = False  # Ceph's gateway says so of an upload that was dropped
        except Refused as error:
            head = self._head(key)
            if head is not None and _is_of(head, parts):  # somebody has completed it just now
                return
            wrong = self._wrong(upload, parts)
            if not wrong and error.is_damaged:  # one of them has another digest, and the store does not say which
                wrong = list(range(1, len(parts) + 1))
            if not wrong:
                raise
            raise WrongParts(wrong) from None
        head = self._head(key)
        if head is None or not _is_of(head, parts):
            if is_own and head is not None:
                self.remove(key)
            raise MissingContent(upload)

    def _wrong(self, upload: str, parts: Sequence[Written]) -> list[int]:
        """The numbers of the parts that the store does not hold as they were stored."""
        held = self.parts_held(upload)
        return [n for n, part in enumerate(parts, 1) if (part.size, part.etag) not in held.get(n, ())]

    def parts_held(self, upload: str) -> dict[int, set[tuple[int, str]]]:
        """The sizes and entity tags of the parts that are there, by their numbers; none where the upload is gone.

        A store may list a part that was sent twice both ways.
        """
        held: dict[int, set[tuple[int, str]]] = {}
        try:
            for page in self.bucket.pages("list_parts", PAGE, **self._named(upload)):
                for part in page.get("Parts", ()):
                    held.setdefault(part["PartNumber"], set()).add((part["Size"], part["ETag"]))
        except NotThere:
            return {}
        return held

    def has_upload(self, upload: str) -> bool:
        """Whether the store still has the multipart upload."""
        return self._if_there("list_parts", MaxParts=1, **self._named(upload)) is not None

    def straggling(self, parts: int) -> float:
        """Some seconds, since a store goes on with the request of somebody who died."""
        return STRAGGLING + STRAGGLING_PER_PART * parts

    def drop_upload(self, upload: str) -> None:
        """Drop an upload and its parts, if they are there."""
        self._if_there("abort_multipart_upload", **self._named(upload))

    def _named(self, upload: str) -> dict[str, str]:
        """The arguments that name an upload."""
        key, _, number = upload.partition("/")
        return {"Key": self._object(key), "UploadId": number}

    # --- what lies there

    def prefixes(self) -> list[str]:
        """The letters that keys begin with."""
        return list("0123456789abcdef")

    def keys(self, prefix: str, unchanged_since: float) -> list[str]:
        """The keys of content that begin with a letter and were last written before a time (seconds)."""
        keys: list[str] = []
        folder = self._object("")
        for page in self.bucket.pages("list_objects_v2", PAGE, Prefix=folder + prefix):
            for listed in page.get("Contents", ()):
                key = listed["Key"].removeprefix(folder)
                # Other names are not ours to judge.
                if listed["LastModified"].timestamp() < unchanged_since and KEY.fullmatch(key):
                    keys.append(key)
        return keys

    def uploads(self, unchanged_since: float = math.inf) -> list[str]:
        """The uploads that are open, begun before a time (seconds)."""
        uploads: list[str] = []
        folder = self._object("")
        for page in self.bucket.pages("list_multipart_uploads", PAGE, Prefix=folder):
            for listed in page.get("Uploads", ()):
                key = listed["Key"].removeprefix(folder)
                if listed["Initiated"].timestamp() < unchanged_since and KEY.fullmatch(key):
                    uploads.append(f"{key}/{listed['UploadId']}")
        return uploads

    def drop_incoming(self, unchanged_since: float) -> int:
        """Nothing is dropped: what is on its way to the store has no name."""
        return 0


class ObjectContent:
    """A range of an object, which goes on where the connection breaks off.

    Args:
        store: where it is.
        key: of the content.
        size: bytes of all of it.
        start: where the range begins.
        length: bytes of the range.
        body: gives them.
    """

    def __init__(self, store: S3Store, key: str, size: int, start: int, length: int, body: Any) -> None:
        self.size = size
        self._store = store
        self._key = key
        self._position = start
        self._end = start + length
        self._body = body

    def __iter__(self) -> Iterator[bytes]:
        reopened = 0
        while self._position < self._end:
            try:
                with self._store.bucket.translated():
                    block: bytes = self._body.read(min(BLOCK, self._end - self._position))
            except StoreFailure:
                if reopened == REOPENED:
                    raise
                reopened += 1
                self.close()
                self._body, _ = self._store.read(self._key, self._position, self._end - self._position)
                continue
            if not block:
                return
            self._position += len(block)
            yield block

    def close(self) -> None:
        self._body.close()


def _size_of(answer: dict[str, Any]) -> int:
    """The size of all of an object of which a range was read."""
    span: str = answer.get("ContentRange", "")
    return int(span.rpartition("/")[2]) if span else int(answer["ContentLength"])


def _pieces(blocks: Iterable[Block]) -> Iterator[bytes]:
    """Content in pieces of `PART` bytes, the last of which may be shorter; at least one."""
    gathered = bytearray()
    is_first = True
    for block in blocks:
        gathered += block
        while len(gathered) > PART:
            yield bytes(gathered[:PART])
            del gathered[:PART]
            is_first = False
    if gathered or is_first:
        yield bytes(gathered)


def _spool(blocks: Iterable[Block], file: IO[bytes]) -> _Sum:
    """Write what comes into a file."""
    size, sha256, md5 = 0, hashlib.sha256(), hashlib.md5(usedforsecurity=False)
    for block in blocks:
        file.write(block)
        sha256.update(block)
        md5.update(block)
        size += len(block)
    return _Sum(size, sha256.digest(), md5.digest())


def _sum_of(content: bytes) -> _Sum:
    md5 = hashlib.md5(content, usedforsecurity=False).digest()
    return _Sum(len(content), hashlib.sha256(content).digest(), md5)


def _named_part(n: int, part: Written) -> dict[str, Any]:
    """A part as a completion states it."""
    return {"PartNumber": n, "ETag": part.etag, "ChecksumSHA256": encoded(bytes.fromhex(part.sha256))}


def _is_of(head: dict[str, Any], parts: Sequence[Written]) -> bool:
    """Whether an object has the size of some parts, and their entity tags where these are MD5s."""
    if head["ContentLength"] != sum(part.size for part in parts):
        return False
    tags = [_MD5.fullmatch(part.etag or "") for part in parts]
    if not _OF_PARTS.fullmatch(head["ETag"]) or not all(tags):
        return True
    md5s = b"".join(bytes.fromhex(tag["md5"]) for tag in tags if tag)
    whole = hashlib.md5(md5s, usedforsecurity=False).hexdigest()
    return bool(head["ETag"] == f'"{whole}-{len(parts)}"')
