"""A bucket as a store of files, for `edge_vfs`."""

from __future__ import annotations

import base64
import datetime as dt
import functools
import hashlib
import itertools
import weakref
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from edge_core.errors import AlreadyExists, BadEntry, BadResponse, Conflict, NotFound
from edge_sources.s3_errors import status_of, translated
from edge_vfs.source import Source
from edge_vfs.store import Stat

if TYPE_CHECKING:
    from edge_sources.s3 import S3Connection

SMALL = 8 << 20
"""Bytes. More than that is sent in parts."""

PART = 16 << 20
"""Bytes of a part, of which a store takes 10,000; larger where the size is known and needs it."""

DIGEST = "edge-sha256"
"""Where the SHA-256 of what we wrote is kept, with the object."""

EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
"""A folder has no time of its own."""


class Entry(NamedTuple):
    """What is known of a key, or of the folder that keys have in common."""

    name: str
    kind: str
    modified_at: dt.datetime = EPOCH
    size: int | None = None
    sha256: str | None = None
    version: str | None = None


class BucketStore:
    """A `edge_vfs.FileStore` of one bucket."""

    def __init__(self, connection: S3Connection) -> None:
        self._connection = connection
        self.bucket = connection.bucket
        self._client: Any = None
        self._wanted: dict[str, str] = {}

    @property
    def client(self) -> Any:
        """The boto3 client; a new one once the store was found to want signatures for another region.

        boto3 repeats some calls for the right region, but neither a bulk delete nor a signed address.
        """
        region = self._wanted.get("region")
        if self._client is None or region not in (None, self._client.meta.region_name):
            self._client = client = self._connection.client(region=region)
            # Not a method of ours, as the client would keep this object then.
            client.meta.events.register("before-sign.s3", functools.partial(_note_region, self._wanted))
            weakref.finalize(self, client.close)
        return self._client

    def stat(self, path: str, /) -> Entry:
        _check(path)
        if path:
            found = self._head(path)
            if found is not None:
                return found
        if path and not self._any_below(path):
            raise NotFound(
                f"there is no {'/' + path} in the bucket {self.bucket}; list the folder to see what there is"
            )
        return Entry(_basename(path), "folder")

    def children(self, path: str, /, kind: str | None = None) -> Iterator[Entry]:
        _check(path)
        prefix = f"{path}/" if path else ""
        paginator = self.client.get_paginator("list_objects_v2")
        pages = iter(paginator.paginate(Bucket=self.bucket, Prefix=prefix, Delimiter="/"))
        empty = True
        while True:
            with translated(f"the bucket {self.bucket}"):
                page = next(pages, None)
            if page is None:
                break
            found = [_child(one, prefix) for one in page.get("Contents", ())]
            found += [Entry(one["Prefix"][len(prefix) : -1], "folder") for one in page.get("CommonPrefixes", ())]
            empty = empty and not found
            for one in sorted(found, key=lambda entry: entry.name.encode()):
                if one.name and kind in (None, one.kind):
                    yield one
        if empty and path:
            raise NotFound(f"there is no folder {'/' + path} in the bucket {self.bucket}; list the folder above it")

    def reader(self, path: str, stat: Stat, /) -> Reader:
        return Reader(self, path, stat)

    def write(self, path: str, source: Source, /, *, overwrite: bool) -> None:
        _check(path, named=True)
        self._refuse_taken(path, file=overwrite)
        source.on_read = lambda done: self.progress("upload", path, done, source.size)
        content = source.small(SMALL)
        if content is None:
            size = self._write_parts(path, source)
        else:
            size = len(content)
            with translated(f"/{path}"):
                self.client.put_object(
                    Bucket=self.bucket,
                    Key=path,
                    Body=content,
                    ContentMD5=_md5(content),
                    Metadata={DIGEST: source.sha256()},
                )
        self.progress("upload", path, size, size, finished=True)

    def make_folder(self, path: str, /, *, exist_ok: bool) -> None:
        _check(path, named=True)
        self._refuse_taken(path, folder=exist_ok)
        if not self._any_below(path):
            with translated(f"/{path}"):
                self.client.put_object(Bucket=self.bucket, Key=f"{path}/", Body=b"", ContentMD5=_md5(b""))

    def move(self, path: str, new_path: str, /, *, overwrite: bool) -> None:
        _check(path, named=True)
        _check(new_path, named=True)
        stat = self.stat(path)
        if path == new_path:
            return
        if stat.kind == "folder" and f"{new_path}/".startswith(f"{path}/"):
            raise Conflict(f"/{path} cannot be moved into itself; choose another place")
        self._refuse_taken(new_path, file=overwrite and stat.kind == "file")
        if stat.kind == "file":
            self._copy(path, new_path)
            self._delete([path])
            return
        # A store knows no folders: every key is copied, then every key is deleted.
        for key in self._keys(f"{path}/"):
            self._copy(key, new_path + key[len(path) :])
        self._delete_below(f"{path}/")

    def delete(self, path: str, /, *, recursive: bool) -> None:
        _check(path, named=True)
        if self.stat(path).kind == "file":
            with translated(f"/{path}"):
                self.client.delete_object(Bucket=self.bucket, Key=path)
            return
        if not recursive and any(key != f"{path}/" for key in itertools.islice(self._keys(f"{path}/"), 2)):
            raise Conflict(f"the folder /{path} is not empty; recursive=True deletes it with all that is in it")
        self._delete_below(f"{path}/")

    def progress(self, direction: str, path: str, done: int, total: int | None, /, *, finished: bool = False) -> None:
        if self._connection._http is not None:
            self._connection._http.transferred(direction, path, done, total, finished=finished)

    def _head(self, path: str) -> Entry | None:
        import botocore.exceptions

        try:
            with translated(f"/{path}"):
                try:
                    found = self.client.head_object(Bucket=self.bucket, Key=path)
                except botocore.exceptions.ClientError as error:
                    if status_of(error) == 404:
                        return None
                    raise
        except NotFound:
            return None
        digest = found.get("Metadata", {}).get(DIGEST)
        return Entry(_basename(path), "file", found["LastModified"], found["ContentLength"], digest, found.get("ETag"))

    def _any_below(self, path: str) -> bool:
        with translated(f"the bucket {self.bucket}"):
            found = self.client.list_objects_v2(Bucket=self.bucket, Prefix=f"{path}/", MaxKeys=1)
        return bool(found.get("KeyCount") or found.get("Contents"))

    def _refuse_taken(self, path: str, *, file: bool = False, folder: bool = False) -> None:
        """See that nothing is at `path`, but for what the caller allows."""
        found = self._head(path)
        if found is not None and not file:
            raise AlreadyExists(f"there is a file /{path} already; choose another name, or allow to overwrite it")
        if not folder and self._any_below(path):
            raise AlreadyExists(f"there is a folder /{path} already; choose another name")

    def _write_parts(self, path: str, source: Source) -> int:
        part_size = max(PART, -(-(source.size or 0) // 10_000))
        with translated(f"/{path}"):
            upload = self.client.create_multipart_upload(Bucket=self.bucket, Key=path)["UploadId"]
        place: dict[str, Any] = {"Bucket": self.bucket, "Key": path, "UploadId": upload}
        size = 0
        parts: list[dict[str, Any]] = []
        try:
            for number, part in enumerate(source.parts(part_size), 1):
                body = part.read()
                with translated(f"/{path}"):
                    sent = self.client.upload_part(PartNumber=number, Body=body, ContentMD5=_md5(body), **place)
                parts.append({"PartNumber": number, "ETag": sent["ETag"]})
                size += len(body)
            with translated(f"/{path}"):
                self.client.complete_multipart_upload(MultipartUpload={"Parts": parts}, **place)
        except BaseException:
            # What was sent would be paid for until someone finds it.
            with translated(f"/{path}"):
                self.client.abort_multipart_upload(**place)
            raise
        return size

    def _copy(self, key: str, new_key: str) -> None:
        with translated(f"/{key}"):
            if key.endswith("/"):  # the mark of a folder, which some stores do not copy
                self.client.put_object(Bucket=self.bucket, Key=new_key, Body=b"", ContentMD5=_md5(b""))
                return
            self.client.copy({"Bucket": self.bucket, "Key": key}, self.bucket, new_key)

    def _keys(self, prefix: str) -> Iterator[str]:
        return self._connection.iter_keys(prefix)

    def _delete_below(self, prefix: str) -> None:
        """Delete all keys that begin with `prefix`."""
        # Stores that have real folders show one as a key once it is empty, so there is another look.
        before: list[str] = []
        while (keys := list(self._keys(prefix))) and keys != before:
            self._delete(keys)
            before = keys

    def _delete(self, keys: list[str]) -> None:
        found = sorted(keys, reverse=True)
        waiting = iter([key for key in found if not key.endswith("/")])
        while some := list(itertools.islice(waiting, 1000)):
            with translated(f"the bucket {self.bucket}"):
                answer = self.client.delete_objects(
                    Bucket=self.bucket, Delete={"Objects": [{"Key": key} for key in some], "Quiet": True}
                )
            if failed := answer.get("Errors"):
                one = failed[0].get("Key")
                raise Conflict(f"{len(failed)} of {len(some)} keys could not be deleted, such as {one!r}; try again")
        # Some stores have real folders, which go only when they are empty: last, and from the inside.
        for key in found:
            if key.endswith("/"):
                with translated(f"/{key}"):
                    self.client.delete_object(Bucket=self.bucket, Key=key)


class Reader:
    """The content of one version, told by its entity tag."""

    def __init__(self, store: BucketStore, path: str, stat: Stat) -> None:
        self._store = store
        self._path = path
        self._stat = stat

    def open(self, start: int, stop: int, /) -> Stream:
        options = {"IfMatch": self._stat.version} if self._stat.version else {}
        with translated(f"/{self._path}"):
            answer = self._store.client.get_object(
                Bucket=self._store.bucket, Key=self._path, Range=f"bytes={start}-{stop - 1}", **options
            )
        if answer["ContentLength"] != stop - start or answer.get("ETag", self._stat.version) != self._stat.version:
            answer["Body"].close()
            raise BadResponse(f"the store did not send the bytes asked for of /{self._path}; open it again")
        return Stream(answer["Body"], self._path)

    def url(self, expires_in: int, /) -> str:
        if not 1 <= expires_in <= 7 * 86400:
            raise BadEntry(f"expires_in must be 1 to {7 * 86400} seconds, not {expires_in}")
        address: str = self._store.client.generate_presigned_url(
            "get_object", Params={"Bucket": self._store.bucket, "Key": self._path}, ExpiresIn=expires_in
        )
        return address


class Stream:
    """An answer's body."""

    def __init__(self, body: Any, path: str) -> None:
        self._body = body
        self._path = path

    def read(self, size: int, /) -> bytes:
        with translated(f"/{self._path}"):
            data: bytes = self._body.read(size)
        return data

    def close(self) -> None:
        self._body.close()


def _note_region(wanted: dict[str, str], request: Any, **_: Any) -> None:
    region = request.context.get("signing", {}).get("region")
    if region:
        wanted["region"] = region


def _child(found: dict[str, Any], prefix: str) -> Entry:
    return Entry(found["Key"][len(prefix) :], "file", found["LastModified"], found["Size"], None, found.get("ETag"))


def _basename(path: str) -> str:
    return path.rpartition("/")[2]


def _check(path: str, *, named: bool = False) -> None:
    if not path and not named:
        return
    for segment in path.split("/"):
        if segment in ("", ".", "..") or any(ord(character) < 32 or ord(character) == 127 for character in segment):
            raise BadEntry(
                f"{path!r} has a name in it that is empty, . or .., or has control characters; give a plain path"
            )


def _md5(content: bytes) -> str:
    return base64.b64encode(hashlib.md5(content, usedforsecurity=False).digest()).decode()
