"""A bucket as an `edge_vfs.FileStore`."""

from __future__ import annotations

import base64
import contextlib
import datetime as dt
import functools
import hashlib
import io
import itertools
import os
import re
import threading
import weakref
from collections.abc import Callable, Collection, Iterator
from http import HTTPStatus
from typing import Any, NamedTuple, Protocol

from edge_core.errors import AlreadyExists, BadEntry, BadResponse, Conflict, ConnectionFailed, EdgeError, NotFound
from edge_sources import s3_keys
from edge_sources.s3_errors import status_of, translated
from edge_vfs import workers
from edge_vfs.openers.opener import warn
from edge_vfs.progress import Tracker
from edge_vfs.source import BLOCK, Part, Source, changed
from edge_vfs.store import Stat
from edge_vfs.transfers import unchanged

SMALL = 8 << 20
"""Bytes. Larger content is sent in parts."""

PART = 16 << 20
"""Bytes of a part, unless a known size needs larger ones to stay under `MAX_PARTS`."""

MAX_PARTS = 10_000
"""Maximum number of parts that stores take."""

AMAZON = "https://s3.us-east-1.amazonaws.com"
"""Address of the store of a connection that has none."""

DIGEST = "edge-sha256"
"""Name of the object's metadata that holds the SHA-256 of content we wrote."""

MTIME = "mtime"
"""Name of the object's metadata that holds when the uploaded local file was last modified: seconds since 1970, with a
point and nine digits for nanoseconds. rclone and s3fs write and read it as well."""

EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
"""Time of a folder, since stores keep none for it."""


_SECONDS = re.compile(r"(?P<sign>-?)(?P<seconds>[0-9]{1,10})(\.(?P<fraction>[0-9]*))?", re.ASCII)

_TAG = re.compile(r'"(?P<md5>[0-9a-f]{32})(-(?P<parts>[0-9]{1,5}))?"', re.ASCII)
"""An entity tag that is an MD5: of the content, or of the MD5s of so many parts."""

_PARTS_OF_OTHERS = (5 << 20, 8 << 20)
"""Bytes of a part by default: of rclone, and of boto3 and Amazon's command line."""

_KEPT = (
    "CacheControl",
    "ContentDisposition",
    "ContentEncoding",
    "ContentLanguage",
    "ContentType",
    "Expires",
    "Metadata",
)


class Bucket(Protocol):
    """A bucket and how to call its store; `S3Connection` is the class for it."""

    @property
    def bucket(self) -> str: ...
    @property
    def endpoint(self) -> str | None: ...
    def client(self, *, region: str | None = None) -> Any: ...


class Stored(Bucket, Protocol):
    """A bucket that is known by its connector's name, so that a pickle of it has no keys."""

    def itself(self) -> Stored: ...
    def report(self, direction: str, path: str, done: int, total: int | None, /, *, finished: bool) -> None: ...


class Report(Protocol):
    """Takes note of the progress of a transfer, with the arguments of `edge_vfs.FileStore.progress`."""

    def __call__(self, direction: str, path: str, done: int, total: int | None, /, *, finished: bool) -> None: ...


class Entry(NamedTuple):
    """A key, or a folder: the common beginning of several keys."""

    name: str
    kind: str
    modified_at: dt.datetime = EPOCH
    size: int | None = None
    sha256: str | None = None
    version: str | None = None
    source_mtime_ns: int | None = None
    digest: str | None = None
    part_size: int | None = None


class BucketStore:
    """An `edge_vfs.FileStore` of a bucket.

    Args:
        connection: the bucket.
        report: takes note of the progress of a transfer.
        stored: returns the bucket as a pickle carries it, without keys.
    """

    def __init__(self, connection: Bucket, report: Report, stored: Callable[[], Stored]) -> None:
        self._connection = connection
        self._stored = stored
        self._report = report
        self.bucket = connection.bucket
        self._client: Any = None
        self._signing: dict[str, str] = {}

    def __eq__(self, other: object) -> bool:
        return self._key() == other._key() if isinstance(other, BucketStore) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._key())

    def _key(self) -> tuple[str, str]:
        return (self._connection.endpoint or AMAZON).rstrip("/"), self.bucket

    def __reduce__(self) -> tuple[Any, ...]:
        stored = self._stored()
        return type(self), (stored, stored.report, stored.itself)

    @property
    def client(self) -> Any:
        """The boto3 client; replaced once the store turns out to expect signatures for another region.

        boto3 repeats some calls for the right region, but neither bulk deletes nor signed addresses.
        """
        region = self._signing.get("region")
        if self._client is None or region not in (None, self._client.meta.region_name):
            self._client = client = self._connection.client(region=region)
            # Not a method of this object, which the client would keep alive.
            client.meta.events.register("before-sign.s3", functools.partial(_note_region, self._signing))
            weakref.finalize(self, client.close)
        return self._client

    def stat(self, path: str, /) -> Entry:
        if not path:
            return Entry("", "folder")
        _check(path)
        entry = self.head(path) or self.folder(path)
        if entry is None:
            raise NotFound(
                f"{s3_keys.named(path)} does not exist in the bucket {self.bucket}; list the folder above it"
            )
        return entry

    def head(self, key: str) -> Entry | None:
        """Return what the store knows of a key, whether or not it is a path; None if the key does not exist."""
        import botocore.exceptions

        try:
            with translated(s3_keys.named(key)):
                try:
                    head = self.client.head_object(Bucket=self.bucket, Key=key)
                except botocore.exceptions.ClientError as error:
                    if status_of(error) == 404:
                        return None
                    raise
        except NotFound:
            return None
        metadata = head.get("Metadata", {})
        return Entry(
            _basename(key),
            "file",
            head["LastModified"],
            head["ContentLength"],
            metadata.get(DIGEST),
            head.get("ETag"),
            _mtime_ns(metadata),
        )

    def _file(self, path: str) -> Entry:
        entry = self.head(path)
        if entry is None:
            raise NotFound(
                f"the file {s3_keys.named(path)} does not exist in the bucket {self.bucket}; list the folder above it"
            )
        return entry

    def folder(self, path: str) -> Entry | None:
        """Return the folder at `path`; None if it is not a path, or no key begins with it and ``/``."""
        exists = s3_keys.is_path(path) and self._any_below(path)
        return Entry(_basename(path), "folder") if exists else None

    def children(self, path: str, /, kind: str | None = None) -> Iterator[Entry]:
        if path:
            _check(path)
        prefix = f"{path}/" if path else ""
        empty = True
        hidden: list[str] = []
        more = False
        for page in self.pages(prefix, Delimiter="/"):
            contents, common = page.get("Contents", ()), page.get("CommonPrefixes", ())
            empty = empty and not contents and not common
            entries: list[Entry] = []
            for key in contents:
                entry = _child(key, prefix)
                if s3_keys.is_name(entry.name):
                    entries.append(entry)
                elif key["Key"] != prefix or entry.size:  # an empty object marks the folder and shows by it
                    hidden.append(key["Key"])
            for begin in common:
                name = begin["Prefix"][len(prefix) : -1]
                if s3_keys.is_name(name):
                    entries.append(Entry(name, "folder"))
                else:
                    first = next(self.pages(begin["Prefix"]))  # and no further page: there may be millions
                    hidden += [key["Key"] for key in first.get("Contents", ())]
                    more = more or bool(first.get("IsTruncated"))
            for entry in sorted(entries, key=lambda entry: entry.name.encode()):
                if kind in (None, entry.kind):
                    yield entry
        if empty and path:
            raise self._no_folder(path)
        _warn_of(hidden, more=more)

    @property
    def by_folder(self) -> bool:
        return False  # a store lists keys: a-b and a/x in this order

    def descendants(
        self, path: str, /, *, prefix: str = "", kind: str | None = None, after: str = ""
    ) -> Iterator[tuple[str, Entry]]:
        if path:
            _check(path)
        top = f"{path}/" if path else ""
        empty = True
        hidden: list[str] = []
        above: list[str] = []  # the folders of the key before, which have been given
        for page in self.pages(top + prefix):
            for key in page.get("Contents", ()):
                empty = False
                # An empty object marks the folder and shows by it.
                place = key["Key"][len(top) :] if key["Size"] else key["Key"][len(top) :].removesuffix("/")
                if not place and not key["Size"]:
                    continue
                is_marker = top + place != key["Key"]
                *names, last = place.split("/")
                folders = list(itertools.takewhile(s3_keys.is_name, [*names, last] if is_marker else names))
                for depth, name in enumerate(folders, 1):
                    folder = "/".join(folders[:depth])
                    if folders[:depth] != above[:depth] and folder.startswith(prefix) and kind != "file":
                        yield folder, Entry(name, "folder")
                above = folders
                if not s3_keys.is_path(place):
                    hidden.append(key["Key"])
                elif not is_marker and kind != "folder":
                    yield place, _child(key, key["Key"][: -len(last)])
        if empty and path and not (prefix and self._any_below(path)):
            raise self._no_folder(path)
        _warn_of(hidden)

    def _no_folder(self, path: str) -> NotFound:
        return NotFound(
            f"the folder {s3_keys.named(path)} does not exist in the bucket {self.bucket}; list the folder above it"
        )

    def pages(self, prefix: str, **options: Any) -> Iterator[dict[str, Any]]:
        """Iterate over the store's pages of the keys that begin with `prefix`.

        Args:
            prefix: the keys' common beginning; empty for all keys.
            **options: further parameters of ListObjectsV2, such as ``Delimiter="/"``.
        """
        pages = iter(
            self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix, **options)
        )
        while True:
            with translated(f"the bucket {self.bucket}"):
                page = next(pages, None)
            if page is None:
                return
            yield page

    def keys(self, prefix: str) -> Iterator[str]:
        """Iterate over the keys that begin with `prefix`, page after page."""
        for page in self.pages(prefix):
            for key in page.get("Contents", ()):
                yield key["Key"]

    def reader(self, path: str, stat: Stat, /) -> Reader:
        return Reader(self, path, stat)

    def write(self, path: str, source: Source, /, *, overwrite: bool, max_workers: int, resume: bool) -> None:
        _check(path, new=True)
        self._refuse_taken(path, file=overwrite)
        content = source.small(SMALL)
        if content is None:
            self._write_parts(path, source, max_workers, overwrite=overwrite)
        else:
            put = functools.partial(
                self.client.put_object,
                Bucket=self.bucket,
                Key=path,
                Body=content,
                ContentMD5=_md5(content),
                Metadata={DIGEST: hashlib.sha256(content).hexdigest(), **_time_of(source)},
            )
            self._make(path, put, overwrite=overwrite)

    def _make(self, path: str, make: Callable[..., object], *, overwrite: bool) -> None:
        """Have the store make a file, and with `overwrite` False only if there is none.

        Most stores check that as they make it (If-None-Match); those that do not have been asked just before.
        """
        import botocore.exceptions

        with translated(s3_keys.named(path)):
            if overwrite:
                make()
                return
            try:
                make(IfNoneMatch="*")
            except botocore.exceptions.ClientError as error:
                if status_of(error) == HTTPStatus.PRECONDITION_FAILED:
                    raise _taken(path) from None
                if status_of(error) != HTTPStatus.NOT_IMPLEMENTED:
                    raise
                make()

    def make_folder(self, path: str, /, *, exist_ok: bool) -> None:
        _check(path, new=True)
        self._refuse_taken(path, folder=exist_ok)
        if not self._any_below(path):
            with translated(s3_keys.named(path)):
                self.client.put_object(Bucket=self.bucket, Key=f"{path}/", Body=b"", ContentMD5=_md5(b""))

    def move(self, path: str, new_path: str, /, *, overwrite: bool, tracker: Tracker) -> None:
        _check(path)
        _check(new_path, new=True)
        stat = self.stat(path)
        if path == new_path:
            return
        if stat.kind == "folder" and f"{new_path}/".startswith(f"{path}/"):
            raise Conflict(f"/{path} cannot be moved into itself; choose another path")
        self._refuse_taken(new_path, file=overwrite and stat.kind == "file")
        if stat.kind == "file":
            self._copy(path, new_path)
            self._delete([path])
            return
        # Stores have no folders to move: every key is copied, then every key is deleted.
        prefix = f"{path}/"
        keys: dict[str, int] = {}
        for page in self.pages(prefix):
            sizes = {key["Key"]: key["Size"] for key in page.get("Contents", ())}
            keys.update(sizes)
            tracker.expect(files=len(sizes))
        for key, size in keys.items():
            self._copy(key, new_path + key[len(path) :], marker=key.endswith("/") and not size)
            tracker.done()
        self._delete_listed(prefix, keys, (), "moved")

    def copy(self, path: str, new_path: str, /, *, overwrite: bool) -> None:
        _check(path)
        _check(new_path, new=True)
        self._file(path)
        self._refuse_taken(new_path, file=overwrite)
        if path != new_path:
            self._copy(path, new_path)

    def has_content(self, path: str, stat: Stat, local: str | os.PathLike[str], /) -> bool:
        """Tell whether a local file has the content of a key; see `edge_vfs.store.ComparingStore`.

        The entity tag tells without a request, where it is made of MD5s; else the SHA-256 of content we wrote.
        """
        if _has_tag(local, stat.version or "", stat.size or 0):
            return True
        entry = self._file(path) if stat.sha256 is None else stat
        return entry.version == stat.version and unchanged.has_content(local, entry)

    def delete_version(self, path: str, version: str, /) -> None:
        """Delete a file if it has this entity tag; see `edge_vfs.store.VersionDeletingStore`.

        Most stores compare it as they delete (If-Match on DeleteObject). For those that do not, it is compared just
        before, so that what is written between the two is deleted.
        """
        import botocore.exceptions

        _check(path)
        shown = s3_keys.named(path)
        if self._file(path).version != version:
            raise Conflict(f"{shown} was replaced meanwhile, and stays; look at it, then try again")
        place = {"Bucket": self.bucket, "Key": path}
        with translated(shown):
            try:
                self.client.delete_object(**place, IfMatch=version)
            except botocore.exceptions.ClientError as error:
                if status_of(error) != HTTPStatus.NOT_IMPLEMENTED:
                    raise
                self.client.delete_object(**place)

    def delete(self, path: str, /, *, recursive: bool, tracker: Tracker) -> None:
        _check(path)
        if self.stat(path).kind == "file":
            with translated(s3_keys.named(path)):
                self.client.delete_object(Bucket=self.bucket, Key=path)
            return
        prefix = f"{path}/"
        if not recursive and any(key != prefix for key in itertools.islice(self.keys(prefix), 2)):
            raise Conflict(
                f"the folder {s3_keys.named(path)} is not empty; recursive=True deletes it and everything in it"
            )
        keys: set[str] = set()
        hidden: list[str] = []
        for key in self.keys(prefix):
            if s3_keys.is_within(key, prefix):
                keys.add(key)
                tracker.expect()
            else:
                hidden.append(key)
        self._delete_listed(prefix, keys, hidden, "deleted", tracker)
        if hidden:
            warn(
                f"{s3_keys.counted(hidden)} stay, as the folder {s3_keys.named(path)} cannot show them (a name would "
                "be empty, . or ..); the client() of the connection deletes any key"
            )

    def progress(self, direction: str, path: str, done: int, total: int | None, /, *, finished: bool = False) -> None:
        self._report(direction, path, done, total, finished=finished)

    def _any_below(self, path: str) -> bool:
        with translated(f"the bucket {self.bucket}"):
            page = self.client.list_objects_v2(Bucket=self.bucket, Prefix=f"{path}/", MaxKeys=1)
        return bool(page.get("KeyCount") or page.get("Contents"))

    def _refuse_taken(self, path: str, *, file: bool = False, folder: bool = False) -> None:
        """Raise `AlreadyExists` if something is at `path`, except a file or folder that the caller allows."""
        if self.head(path) is not None and not file:
            raise _taken(path)
        if not folder and self._any_below(path):
            raise AlreadyExists(f"a folder /{path} exists already; choose another name")

    def _write_parts(self, path: str, source: Source, max_workers: int, *, overwrite: bool) -> None:
        part_size = _part_size(source.size or 0)
        with translated(s3_keys.named(path)):
            upload = self.client.create_multipart_upload(Bucket=self.bucket, Key=path, Metadata=_time_of(source))[
                "UploadId"
            ]
        place: dict[str, Any] = {"Bucket": self.bucket, "Key": path, "UploadId": upload}
        tags: dict[int, str] = {}

        def send(numbered: tuple[int, Part]) -> None:
            number, part = numbered
            with contextlib.closing(part):
                tags[number] = self._send_part(place, number, part)

        try:
            stopped = threading.Event()
            last = MAX_PARTS if source.size is None else -(-source.size // part_size)
            parts = enumerate(source.parts(part_size, stopped, most=MAX_PARTS), 1)
            workers.each(send, parts, min(max_workers, last), stopped=stopped)
            source.check_unchanged()
            source.completing()
            if not overwrite:
                self._refuse_taken(path)  # sending may have taken hours
            sent = {"Parts": [{"PartNumber": n, "ETag": tags[n]} for n in sorted(tags)]}
            complete = functools.partial(self.client.complete_multipart_upload, MultipartUpload=sent, **place)
            self._make(path, complete, overwrite=overwrite)
        except BaseException:
            # Parts of an upload that is not completed stay in the store and are charged.
            with contextlib.suppress(EdgeError), translated(s3_keys.named(path)):
                self.client.abort_multipart_upload(**place)
            raise

    def _send_part(self, place: dict[str, Any], number: int, part: Part) -> str:
        """Send a part, and return its entity tag."""
        digest = part.digest("md5")
        body = _Body(part)
        try:
            with translated(s3_keys.named(place["Key"])):
                tag: str = self.client.upload_part(
                    PartNumber=number,
                    Body=io.BufferedReader(body, BLOCK),
                    ContentLength=len(part),
                    ContentMD5=base64.b64encode(digest).decode(),
                    **place,
                )["ETag"]
        except BadEntry:
            if part.digest("md5") != digest:
                raise changed() from None
            raise
        except ConnectionFailed:
            if body.error is not None:
                raise body.error from None
            raise
        part.sent()
        return tag

    def _copy(self, key: str, new_key: str, *, marker: bool = False) -> None:
        """Copy a key; `marker` tells that it is an empty object that marks a folder, which some stores do not copy."""
        with translated(s3_keys.named(key)):
            if marker:
                self.client.put_object(Bucket=self.bucket, Key=new_key, Body=b"", ContentMD5=_md5(b""))
                return
            source = {"Bucket": self.bucket, "Key": key}
            head = self.client.head_object(**source)
            if head["ContentLength"] <= SMALL:
                self.client.copy_object(CopySource=source, Bucket=self.bucket, Key=new_key)
                return
            # In parts, which must be of a single version, and for which the store does not copy the metadata.
            kept = {name: head[name] for name in _KEPT if name in head}
            self.client.copy(source, self.bucket, new_key, ExtraArgs={**kept, "CopySourceIfMatch": head["ETag"]})

    def _delete_listed(
        self,
        prefix: str,
        keys: Collection[str],
        others: Collection[str],
        done: str,
        tracker: Tracker | None = None,
    ) -> None:
        """Delete keys of a folder that were listed, and nothing else.

        Args:
            prefix: the folder's path and ``/``.
            keys: the keys to delete.
            others: the other keys that were listed, which stay.
            done: what is done to the folder, for the sentences.
            tracker: counts the keys that are deleted.

        Raises:
            Conflict: keys have appeared since, or could not be deleted.
        """
        self._delete(keys, tracker)
        # Stores with real folders list a folder as a key once it is empty, and then the folder that holds it.
        folders = s3_keys.folders_of(keys, prefix)
        left = set(self.keys(prefix)).difference(others)
        while emptied := left & folders:
            self._delete(emptied)
            before, left = left, set(self.keys(prefix)).difference(others)
            if left == before:
                break
        if not left and self.head(prefix) is not None:
            # SeaweedFS does not list an empty folder, but shows it in the folder above for a while.
            self._delete(folders)
        folder = s3_keys.named(prefix[:-1])
        if appeared := left.difference(folders, keys):
            raise Conflict(
                f"{s3_keys.counted(appeared)} appeared while the folder {folder} was {done}, and stay in it; look at "
                "them, then try again"
            )
        if left:
            raise Conflict(f"{s3_keys.counted(left)} could not be deleted; try again")

    def _delete(self, keys: Collection[str], tracker: Tracker | None = None) -> None:
        descending = sorted(keys, reverse=True)
        together = [key for key in descending if not key.endswith("/") and s3_keys.is_xml(key)]
        failed: list[str] = []
        for start in range(0, len(together), 1000):
            batch = [{"Key": key} for key in together[start : start + 1000]]
            with translated(f"the bucket {self.bucket}"):
                answer = self.client.delete_objects(Bucket=self.bucket, Delete={"Objects": batch, "Quiet": True})
            failed += [str(error.get("Key")) for error in answer.get("Errors", ())]
            if tracker is not None:
                tracker.done(len(batch))
        if failed:
            raise Conflict(f"{s3_keys.counted(failed)} could not be deleted; try again")
        # Some stores have real folders, which must be empty to be deleted: last, and the innermost first.
        for key in descending:
            if key.endswith("/") or not s3_keys.is_xml(key):
                with translated(s3_keys.named(key)):
                    self.client.delete_object(Bucket=self.bucket, Key=key)
                if tracker is not None:
                    tracker.done()


class Reader:
    """The content of a single version, identified by its entity tag."""

    def __init__(self, store: BucketStore, path: str, stat: Stat) -> None:
        self._store = store
        self._path = path
        self._stat = stat
        self._metadata: dict[str, str] | None = None

    def open(self, start: int, stop: int, /) -> Stream:
        options = {"IfMatch": self._stat.version} if self._stat.version else {}
        with translated(s3_keys.named(self._path)):
            answer = self._store.client.get_object(
                Bucket=self._store.bucket, Key=self._path, Range=f"bytes={start}-{stop - 1}", **options
            )
        if answer["ContentLength"] != stop - start or answer.get("ETag", self._stat.version) != self._stat.version:
            answer["Body"].close()
            shown = s3_keys.named(self._path)
            raise BadResponse(f"the store did not send the requested bytes of {shown}; open it again")
        self._metadata = answer.get("Metadata", {})
        return Stream(answer["Body"], self._path)

    def source_mtime_ns(self) -> int | None:
        if self._metadata is not None:
            return _mtime_ns(self._metadata)
        entry = self._stat if isinstance(self._stat, Entry) else None
        if entry is None or entry.source_mtime_ns is None:
            entry = self._store.head(self._path)  # an empty file, of which nothing is read
        return None if entry is None else entry.source_mtime_ns

    def url(self, expires_in: int, /) -> str:
        if not 1 <= expires_in <= 7 * 86400:
            raise BadEntry(f"expires_in must be 1 to {7 * 86400} seconds, not {expires_in}")
        address: str = self._store.client.generate_presigned_url(
            "get_object", Params={"Bucket": self._store.bucket, "Key": self._path}, ExpiresIn=expires_in
        )
        return address


class _Body(io.RawIOBase):
    """A part as boto3 reads it: once to sign it, where the connection has no TLS, and once for each try to send it.

    Attributes:
        error: what was raised while it was read, for which boto3 blames the connection.
    """

    def __init__(self, part: Part) -> None:
        self.error: Exception | None = None
        self._part = part
        self._offset = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._offset = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._offset, os.SEEK_END: len(self._part)}[whence]
        return self._offset

    def readinto(self, buffer: Any) -> int:
        try:
            block = self._part.read_at(self._offset, len(buffer))
        except Exception as error:
            self.error = error
            raise
        buffer[: len(block)] = block
        self._offset += len(block)
        return len(block)


class Stream:
    """The body of an answer."""

    def __init__(self, body: Any, path: str) -> None:
        self._body = body
        self._path = path

    def read(self, size: int, /) -> bytes:
        with translated(s3_keys.named(self._path)):
            block: bytes = self._body.read(size)
        return block

    def close(self) -> None:
        self._body.close()


def _taken(path: str) -> AlreadyExists:
    return AlreadyExists(f"a file /{path} exists already; choose another name, or allow to overwrite it")


def _note_region(signing: dict[str, str], request: Any, **_: Any) -> None:
    region = request.context.get("signing", {}).get("region")
    if region:
        signing["region"] = region


def _warn_of(hidden: Collection[str], *, more: bool = False) -> None:
    """Warn of keys that a folder cannot show; `more` tells that there are others, which are not counted."""
    if hidden:
        warn(
            f"{s3_keys.counted(hidden, more=more)} cannot be shown in a folder, as a name would be empty, . or ..; "
            "the connection's list_keys lists and open opens any key"
        )


def _child(key: dict[str, Any], prefix: str) -> Entry:
    return Entry(key["Key"][len(prefix) :], "file", key["LastModified"], key["Size"], None, key.get("ETag"))


def _time_of(source: Source) -> dict[str, str]:
    """Return the metadata for the time of the uploaded local file."""
    if source.mtime_ns is None:
        return {}
    seconds, nanoseconds = divmod(abs(source.mtime_ns), 10**9)
    return {MTIME: f"{'-' if source.mtime_ns < 0 else ''}{seconds}.{nanoseconds:09}"}


def _mtime_ns(metadata: dict[str, str]) -> int | None:
    """Return the time of the uploaded local file in nanoseconds; None if the metadata has none."""
    number = _SECONDS.fullmatch(metadata.get(MTIME, ""))
    if number is None:
        return None
    nanoseconds = int(number["seconds"]) * 10**9 + int((number["fraction"] or "").ljust(9, "0")[:9])
    return -nanoseconds if number["sign"] else nanoseconds


def _has_tag(local: str | os.PathLike[str], tag: str, size: int) -> bool:
    """Return whether a local file of `size` bytes has an entity tag that is its MD5, or that of the MD5s of its parts.

    That is what stores and their clients agree on, if the store does not encrypt. Of how many bytes the parts are
    no store tells; they are ours, or those of other clients that would be as many.
    """
    form = _TAG.fullmatch(tag)
    if form is None:
        return False
    if form["parts"] is None:
        return _md5_of(local, 0) == form["md5"]
    number = int(form["parts"])
    part_sizes = {_part_size(size), *_PARTS_OF_OTHERS}
    return any(
        _md5_of(local, part_size) == form["md5"]
        for part_size in sorted(part_sizes)
        if max(1, -(-size // part_size)) == number
    )


def _md5_of(local: str | os.PathLike[str], part_size: int) -> str:
    """Return the hexadecimal MD5 of a file; over those of its parts of `part_size` bytes, if that is not 0."""
    whole = hashlib.md5(usedforsecurity=False)
    with open(local, "rb", buffering=0) as file:
        while True:
            part, length = hashlib.md5(usedforsecurity=False), 0
            while block := file.read(min(BLOCK, part_size - length) if part_size else BLOCK):
                part.update(block)
                length += len(block)
            if not part_size:
                return part.hexdigest()
            if not length:
                return whole.hexdigest()
            whole.update(part.digest())


def _part_size(size: int) -> int:
    return max(PART, -(-size // MAX_PARTS))


def _basename(key: str) -> str:
    return key.rpartition("/")[2] or key


def _check(path: str, *, new: bool = False) -> None:
    """Check that a folder can show `path`, and that a file or folder can be made there if it is `new`.

    Raises:
        BadEntry: it cannot.
    """
    if not s3_keys.is_path(path) or (new and s3_keys.has_controls(path)):
        raise BadEntry(
            f"{path!r} has a name that is empty, . or .., or has control characters; give a path without these, or "
            "open an existing key by open of the connection"
        )


def _md5(content: bytes) -> str:
    return base64.b64encode(hashlib.md5(content, usedforsecurity=False).digest()).decode()
