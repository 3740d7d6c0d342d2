"""The organization's files: the store behind `session.files`, which calls the server."""

from __future__ import annotations

import base64
import functools
import hashlib
import os
from collections.abc import Iterator, Sequence
from http import HTTPStatus
from typing import Any
from urllib.parse import urljoin

import edge_vfs
from edge_core.errors import BadEntry, BadResponse, EdgeError, Forbidden, NotFound
from edge_core.http import Answer, ServiceClient
from edge_core.paging import Pages
from edge_core.plugin import Namespace
from edge_files import sending
from edge_files.batches import Batches
from edge_files.wire import (
    MAX_NS,
    MAX_SOURCE_TIMES,
    MIN_NS,
    SMALL_CONTENT,
    Copy,
    Entry,
    FileVersion,
    MakeFolder,
    Move,
    OpenUpload,
    PartDigest,
    Restore,
    SignedAddress,
    SourceTime,
    SourceTimes,
)
from edge_vfs.progress import Tracker
from edge_vfs.store import BatchLimits, FolderByFolder, SmallFile, Stat

COMMAND_PREFIX = "edge:"
"""What a path in the organization begins with on the command line, where it can be a local one."""


class OrganizationStore(Namespace):
    """An `edge_vfs.FileStore` of the session's organization."""

    namespace = "files"

    def __eq__(self, other: object) -> bool:
        return self._key() == other._key() if isinstance(other, OrganizationStore) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._key())

    def _key(self) -> tuple[str, str]:
        return self.session.config.service_url, self.session.organization

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.session,)

    def stat(self, path: str, /) -> Entry:
        try:
            return Entry.from_answer(self.http.get("/entry", params={"path": path}))
        except (NotFound, BadEntry) as error:
            if path.startswith(COMMAND_PREFIX):
                error.args = (f'{error.args[0]}; "{COMMAND_PREFIX}" is for the command line, leave it out here',)
            raise

    def children(self, path: str, /, kind: str | None = None) -> Pages[Entry]:
        return self.http.items("/entries", params={"path": path, "kind": kind}, make=Entry.from_answer)

    @property
    def by_folder(self) -> bool:
        return True

    def descendants(
        self, path: str, /, *, prefix: str = "", kind: str | None = None, after: str = ""
    ) -> Iterator[tuple[str, Entry]]:
        params = {"path": path, "recursive": True, "prefix": prefix or None, "kind": kind, "after": after or None}
        try:
            for entry in self.http.items("/entries", params=params, make=Entry.from_answer):
                if entry.path is None or entry.path.rpartition("/")[2] != entry.name:
                    raise BadResponse("the server sent an entry without its path; tell its operator")
                yield entry.path, entry
        except BadEntry as error:
            # A server of before this parameter refuses it, or else the listing of the folder fails alike.
            if error.status != HTTPStatus.UNPROCESSABLE_ENTITY:
                raise
            raise FolderByFolder from None

    def reader(self, path: str, stat: Stat, /) -> Reader:
        return Reader(self.http, path, stat)

    def progress(self, direction: str, path: str, done: int, total: int | None, /, *, finished: bool = False) -> None:
        self.http.transferred(direction, path, done, total, finished=finished)

    def write(self, path: str, source: edge_vfs.Source, /, *, overwrite: bool, max_workers: int, resume: bool) -> None:
        content = source.small(SMALL_CONTENT)
        if content is None:
            sending.send(self.http, path, source, overwrite=overwrite, max_workers=max_workers, resume=resume)
            return
        digest = hashlib.sha256(content)
        encoded = base64.b64encode(digest.digest()).decode()
        headers = {"Content-Type": "application/octet-stream", "Content-Digest": f"sha-256=:{encoded}:"}
        if not overwrite:
            # Sent again since its answer was lost, it would be refused for what it has stored itself.
            headers["Idempotency-Key"] = os.urandom(16).hex()
        params = {"path": path, "overwrite": overwrite, "source_mtime_ns": source.mtime_ns}
        with self.http.fetch("PUT", "/content", params=params, headers=headers, body=content) as answer:
            sending.check_stored(answer.json(), digest.hexdigest())

    @property
    def batch_limits(self) -> BatchLimits | None:
        return self._batches.limits

    def write_many(self, files: Sequence[SmallFile], /, *, overwrite: bool) -> list[EdgeError | None]:
        return self._batches.write(files, overwrite=overwrite)

    def read_many(self, files: Sequence[tuple[str, Stat]], /) -> list[bytes | None]:
        return self._batches.read(files)

    def read_newest(self, paths: Sequence[str], /) -> list[bytes | None]:
        return self._batches.read_newest(paths)

    def set_source_times(self, times: Sequence[tuple[str, int]], /) -> None:
        for start in range(0, len(times), MAX_SOURCE_TIMES):
            files = [
                SourceTime(version=version, source_mtime_ns=mtime_ns)
                for version, mtime_ns in times[start : start + MAX_SOURCE_TIMES]
                if MIN_NS <= mtime_ns <= MAX_NS
            ]
            try:
                self.http.put("/source-times", json=SourceTimes(files=files).to_dict())
            except NotFound as error:
                if error.code != "unknown_route":
                    raise
                return  # a server of before, which keeps the times it has

    @functools.cached_property
    def _batches(self) -> Batches:
        return Batches(self.http)

    def make_folder(self, path: str, /, *, exist_ok: bool) -> None:
        _check_kind(self.http.post("/folders", json=MakeFolder(path=path, exist_ok=exist_ok).to_dict()), "folder")

    def move(self, path: str, new_path: str, /, *, overwrite: bool, tracker: Tracker) -> None:
        _check_kind(self.http.post("/move", json=Move(path=path, new_path=new_path, overwrite=overwrite).to_dict()))

    def copy(self, path: str, new_path: str, /, *, overwrite: bool) -> None:
        body = Copy(path=path, new_path=new_path, overwrite=overwrite)
        _check_kind(self.http.post("/copy", json=body.to_dict()), "file")

    def versions(self, path: str) -> Pages[FileVersion]:
        """Iterate over the versions of a file that are kept, each after those that were stored before it."""
        return self.http.items("/versions", params={"path": path}, make=FileVersion.from_answer)

    def restore(self, path: str, version: str) -> None:
        """Make a version the newest one again of the file at a path."""
        _check_kind(self.http.post("/restore", json=Restore(path=path, version=version).to_dict()), "file")

    def uploads(self) -> Pages[OpenUpload]:
        """Iterate over the organization's open uploads, as they were opened."""
        return self.http.items("/uploads", make=OpenUpload.from_answer)

    def abort_upload(self, upload: str) -> None:
        """Drop an open upload and what was sent of it."""
        self.http.delete(f"/uploads/{upload}")

    def delete_version(self, path: str, version: str, /) -> None:
        self.http.delete("/entry", params={"path": path, "version": version})

    def delete(self, path: str, /, *, recursive: bool, tracker: Tracker) -> None:
        self.http.delete("/entry", params={"path": path, "recursive": recursive})


class Reader:
    """The content of one version: small content is read from the API, large content from a signed address.

    A server sends the first small range of large content itself, with the address for what is read next, or it
    redirects to that address, as servers of before and stores elsewhere do.
    """

    at_once = SMALL_CONTENT

    def __init__(self, http: ServiceClient, path: str, stat: Stat) -> None:
        self._http = http
        self._params = {"path": path, "version": stat.version}
        self._size = stat.size or 0
        self._source_mtime_ns = stat.source_mtime_ns if isinstance(stat, Entry) else None
        self._address: str | None = None
        self._digests: list[bytes] | None = None

    def open(self, start: int, stop: int, /) -> Answer:
        span = range(start, stop)
        headers = {"Accept-Encoding": "identity"}
        if len(span) < self._size:
            headers["Range"] = f"bytes={start}-{stop - 1}"
        if (address := self._address) is not None:  # which several threads use and renew
            try:
                return self._checked(self._http.signed("GET", address, headers=headers), span)
            except Forbidden:
                pass  # it has expired
        answer = self._http.stream_or_redirect("/content", params=self._params, headers=headers)
        if answer.status < 300:
            if (location := answer.headers.get("Content-Location")) is not None:
                self._address = urljoin(answer.url, location)
            return self._checked(answer, span)
        with answer:
            answer.read()  # to its end, so that the connection can be used again
        self._address = address = urljoin(answer.url, answer.headers.get("Location", ""))
        return self._checked(self._http.signed("GET", address, headers=headers), span)

    def source_mtime_ns(self) -> int | None:
        return self._source_mtime_ns

    def digests(self) -> Sequence[bytes]:
        if self._digests is None:
            parts = list(self._http.items("/digests", params=self._params, make=PartDigest.from_answer))
            try:
                self._digests = [bytes.fromhex(part.sha256) for part in parts]
            except ValueError:
                raise BadResponse("the server sent digests of parts that are none; try again") from None
        return self._digests

    def url(self, expires_in: int, /) -> str:
        query = {**self._params, "expires_in": expires_in}
        address = SignedAddress.from_answer(self._http.get("/download-url", params=query))
        return self._http.absolute(address.url)

    def _checked(self, answer: Answer, span: range) -> Answer:
        """Return `answer` if it holds the requested bytes, of content of the expected size."""
        whole_range = f"bytes 0-{self._size - 1}/{self._size}"
        requested_range = f"bytes {span.start}-{span.stop - 1}/{self._size}"
        length = str(len(span))
        if (
            answer.status not in (200, 206)
            or answer.headers.get("Content-Range", whole_range) != requested_range
            or answer.headers.get("Content-Length", length) != length
        ):
            answer.close()
            raise BadResponse(
                f"{answer.url} did not send the requested bytes; check whether a proxy drops the Range header "
                "or answers in place of the server"
            )
        return answer


def _check_kind(answer: Any, *kinds: str) -> None:
    """Check that the answer describes an entry; some proxies send their errors with status 200."""
    entry = Entry.from_answer(answer)
    if entry.kind not in (kinds or ("file", "folder")):
        raise BadResponse(
            f"the server answered with an entry of the kind {entry.kind!r}, which was not requested; try again"
        )
