"""An upload in parts: several threads send them, and what the server holds of an earlier try is not sent again.

The server is the journal. It tells the digests of the parts it holds of an open upload, each part of the source is
compared with its own, and only those that differ are sent. So an upload goes on after a crash, on another machine, and
after the file has changed, and nothing is kept on this side.
"""

from __future__ import annotations

import base64
import contextlib
import functools
import hashlib
import logging
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from edge_core import retries
from edge_core.errors import (
    BadEntry,
    BadResponse,
    ChecksumError,
    Conflict,
    ConnectionFailed,
    EdgeError,
    Forbidden,
    NotFound,
)
from edge_core.http import ServiceClient
from edge_core.sizes import shown
from edge_files.wire import (
    MAX_PARTS,
    CompleteUpload,
    Entry,
    HeldPart,
    PartToSign,
    SignedPart,
    SignedParts,
    SignParts,
    StartUpload,
    Upload,
)
from edge_vfs import digests, source, workers
from edge_vfs.source import Part, Source

log = logging.getLogger("edge.transfers")

resumed_log = logging.getLogger("edge.transfers.resumed")

SIGNED_AHEAD = 16
"""Number of parts whose addresses are requested at once."""

PART_HEADERS = frozenset({"content-type", "content-md5", "content-length", "x-amz-checksum-sha256"})
"""Headers that the server may have sent along with a part; any other, such as Host, would let it speak for the user."""

PATIENCE = 90.0
"""Seconds to wait for a part that still arrives from a sender that was cut off; servers give up on it after 60."""

PAUSE = 1.0
"""Seconds to the next look at what the server is doing, where it does not say."""

_EMPTY = hashlib.sha256().digest()

_T = TypeVar("_T")


def send(http: ServiceClient, path: str, content: Source, *, overwrite: bool, max_workers: int, resume: bool) -> None:
    """Upload content in parts.

    Ctrl-C, a crash, a lost connection, a full quota or a file that is there meanwhile leave the upload open, and it is
    resumed the next time. It is dropped if no file can have the path, if the content of one that was not resumed is
    wrong, and if nobody can resume it as its size is not known.

    Parts that turn out to be wrong when the upload is to be completed, such as damaged ones, are sent again. Where
    another process sends to the same path, the parts of one may take the place of those of the other. Whoever finds
    that out, as most of them are wrong, starts once more, with an upload of its own; the last one completed stays.

    Args:
        http: calls the server.
        path: path of the file.
        content: what is sent.
        overwrite: False refuses to replace a file.
        max_workers: maximum number of parts that are sent at once.
        resume: whether parts that the server holds of an earlier upload are kept.

    Raises:
        BadEntry: the content cannot seek, and has more parts than an upload may have.
        EdgeError: the content changed while it was sent.
    """
    sending = _Sending(http, path, content, overwrite, max_workers)
    sending.open(resume=resume and content.can_seek)
    try:
        try:
            sending.run(is_last=False)
        except ChecksumError as error:
            if not content.can_seek or not sending.takes_wrong_parts_again():
                raise
            log.info("parts of the upload of %r are sent again: %s", path, error)
            sending.run(is_last=False)
    except (ChecksumError, Conflict, NotFound) as error:
        if not content.can_seek:
            raise
        sending.drop_own(error)
        log.info("the upload of %r starts once more, as another process has changed or completed it: %s", path, error)
        sending.open(resume=False)
        sending.run()


class _Sending:
    """The sending of content, as one upload or another."""

    def __init__(self, http: ServiceClient, path: str, content: Source, overwrite: bool, max_workers: int) -> None:
        self._http = http
        self._path = path
        self._content = content
        self._overwrite = overwrite
        self._max_workers = max_workers
        self._signing = threading.Lock()
        self._stopped = threading.Event()
        self._skipped: set[int] = set()  # parts that were counted as skipped, and are not counted again
        self._counted: dict[int, Part] = {}

    def open(self, *, resume: bool) -> None:
        """Open an upload; what was sent to another one is taken off the count."""
        self._take_back(list(self._counted))
        size = self._content.size
        start = StartUpload(
            path=self._path,
            size=size,
            overwrite=self._overwrite,
            source_mtime_ns=self._content.mtime_ns,
            resume=resume,
        )
        self._upload = Upload.from_answer(self._http.post("/uploads", json=start.to_dict()))
        self._here = f"/uploads/{self._upload.id}"
        self._held = {held.n: held for held in self._upload.parts}
        self._last = MAX_PARTS if size is None else max(1, -(-size // self._upload.part_size))
        self._addresses: dict[int, SignedPart] = {}
        self._parts: dict[int, HeldPart] = {}
        if size is None:
            log.info(
                "the size of what is uploaded to %r is not known, so that it can have up to %s",
                *(self._path, shown(MAX_PARTS * self._upload.part_size)),
            )

    def takes_wrong_parts_again(self) -> bool:
        """Ask the server which parts are wrong, so that `run` sends those again; return False if most of them are.

        Raises:
            NotFound: the upload is gone, or completed by another process.
        """
        held = {part.n: part.sha256 for part in Upload.from_answer(self._http.get(self._here)).parts}
        wrong = [n for n, part in self._parts.items() if held.get(n) != part.sha256]
        if 2 * len(wrong) > len(self._parts):
            return False
        for n in wrong:
            del self._parts[n]
            self._held.pop(n, None)
        self._take_back(wrong)
        return True

    def _take_back(self, numbers: Iterable[int]) -> None:
        for n in numbers:
            if (part := self._counted.pop(n, None)) is not None:
                part.rewind()
        self._content.restarting()

    def run(self, *, is_last: bool = True) -> None:
        """Send the parts and complete the upload; if it `is_last`, wrong parts are dropped."""
        try:
            self._stopped = stopped = threading.Event()
            parts = enumerate(self._content.parts(self._upload.part_size, stopped, most=MAX_PARTS), 1)
            workers.each(self._take, parts, min(self._max_workers, self._last), stopped=stopped)
            self._content.check_unchanged()
            self._content.completing()
            self._complete()
        except BaseException as error:
            if not self._content.can_seek or isinstance(error, BadEntry):
                if not self._dropped_after(error) and isinstance(error, ConnectionFailed):
                    self._complete()  # only the answer was lost, and the server gives it again
                    return
            elif is_last:
                self.drop_own(error)
            if self._content.can_seek and self._parts and isinstance(error, (KeyboardInterrupt, ConnectionFailed)):
                error.add_note("what was sent is kept, and uploading again goes on from it")
            raise
        if self._held and self._skipped:
            skipped = sum(part.size for n, part in self._parts.items() if n in self._skipped)
            total = sum(part.size for part in self._parts.values())
            resumed_log.info(
                "%s of %s of %r were on the server already and were not sent again",
                *(shown(skipped), shown(total), self._path),
            )

    def _take(self, numbered: tuple[int, Part]) -> None:
        """Send a part, unless the server holds it."""
        n, part = numbered
        with contextlib.closing(part):
            if n in self._parts:
                return  # sent before, and right
            held = self._held.get(n)
            if held is not None and held.size == len(part) and held.sha256 == part.digest("sha256").hex():
                if n not in self._skipped:
                    self._skipped.add(n)
                    part.skip()
                self._parts[n] = held
                return
            part.counts = n not in self._skipped
            self._counted[n] = part
            self._parts[n] = self._send(n, part)

    def _send(self, n: int, part: Part) -> HeldPart:
        digest = self._upload.signed_digest
        if digest not in (None, "sha256", "md5"):
            raise BadResponse(
                f"the server asks for a digest that this version does not know ({digest}); update edge-files"
            )
        signed = None if digest is None else part.digest(digest)
        to_sign = PartToSign(
            n=n,
            sha256=signed.hex() if signed is not None and digest == "sha256" else None,
            md5=base64.b64encode(signed).decode() if signed is not None and digest == "md5" else None,
        )
        expired: SignedPart | None = None
        while True:
            address = self._address(to_sign, expired)
            try:
                etag = _patiently(functools.partial(self._put, n, part, address))
                break
            except Forbidden:
                if expired is not None:
                    raise
                expired = address
            except (ConnectionFailed, workers.Stopped):
                raise
            except EdgeError:
                if digest is not None and part.digest(digest) != signed:
                    raise source.changed() from None
                raise
        with self._signing:
            self._addresses.pop(n, None)
        return HeldPart(n=n, size=len(part), etag=etag, sha256=part.sha256())

    def _put(self, n: int, part: Part, address: SignedPart) -> str:
        if not PART_HEADERS.issuperset(name.lower() for name in address.headers):
            raise BadResponse(
                f"the server asks for headers of part {n} that no store needs; tell the server's operator"
            )
        with self._http.fetch_signed("PUT", address.url, headers=address.headers, body=part) as answer:
            etag = answer.headers.get("ETag")
            if not etag:
                raise BadResponse(f"{answer.url} did not confirm part {n} of the upload; try again")
            return etag

    def _address(self, part: PartToSign, expired: SignedPart | None) -> SignedPart:
        """Return where a part goes, signed anew if it is where it went before."""
        if self._upload.signed_digest is not None:
            return self._sign([part])[part.n]
        with self._signing:  # the others wait for what is signed ahead
            if self._stopped.is_set():
                raise workers.Stopped
            address = self._addresses.get(part.n)
            if address is None or address is expired:
                ahead = range(part.n, min(part.n + SIGNED_AHEAD, self._last + 1))
                # What was signed at the same time has expired as well.
                numbers = {part.n, *self._addresses} if expired else {part.n, *ahead} - set(self._addresses)
                try:
                    self._addresses.update(self._sign([PartToSign(n=number) for number in sorted(numbers)]))
                except EdgeError:
                    self._stopped.set()  # before another waits as long for the same
                    raise
            return self._addresses[part.n]

    def _sign(self, parts: list[PartToSign]) -> dict[int, SignedPart]:
        answer = self._http.post(f"{self._here}/sign", json=SignParts(parts=parts).to_dict())
        addresses = {address.n: address for address in SignedParts.from_answer(answer).parts}
        for part in parts:
            if part.n not in addresses:
                raise BadResponse(
                    f"the server sent no address for part {part.n}; check that client and server have the same version"
                )
        return addresses

    def _complete(self) -> None:
        parts = [self._parts[n] for n in sorted(self._parts)]
        digest = digests.of_parts([bytes.fromhex(part.sha256 or "") for part in parts] or [_EMPTY])
        completion = CompleteUpload(digest=digest, parts=parts).to_dict()
        complete = functools.partial(self._http.post, f"{self._here}/complete", json=completion)
        check_stored(_patiently(complete, self._is_completing), digest)

    def _is_completing(self) -> bool:
        """Return whether the server says that it is still making the upload a file."""
        with contextlib.suppress(EdgeError):
            return Upload.from_answer(self._http.get(self._here)).completing
        return False

    def drop_own(self, error: BaseException) -> None:
        """Drop wrong parts, but not of an upload that was open before: they may be right for who opened it."""
        if isinstance(error, ChecksumError) and not self._upload.resumed:
            self._drop()

    def _dropped_after(self, error: BaseException) -> bool:
        with retries.at_once() if isinstance(error, KeyboardInterrupt) else contextlib.nullcontext():
            return self._drop()

    def _drop(self) -> bool:
        """Drop what was sent, if the server can be reached; otherwise it is dropped when the upload expires.

        Returns:
            False if the server does not, as the upload is completed, or being completed.
        """
        try:
            self._http.delete(self._here)
        except Conflict:
            return False
        except EdgeError:
            pass
        return True


def check_stored(answer: Any, digest: str) -> None:
    """Check that the server stored what was sent.

    Raises:
        BadResponse: it did not.
    """
    if Entry.from_answer(answer).digest != digest:
        raise BadResponse("the server did not confirm that it stored what was sent; look at the file, then try again")


def _patiently(call: Callable[[], _T], is_under_way: Callable[[], bool] = lambda: False) -> _T:
    """Return what a call gives, again while the server says that a part is still arriving.

    Args:
        call: what is called.
        is_under_way: tells whether the server still does what was asked, so that neither this takes too long nor a
            connection that was given up meanwhile is an error.
    """
    until = time.monotonic() + PATIENCE
    while True:
        try:
            return call()
        except Conflict as error:
            if error.retry_after is None:
                raise
            if time.monotonic() + error.retry_after > until:
                if not is_under_way():
                    raise
                until = time.monotonic() + PATIENCE
            time.sleep(error.retry_after)
        except ConnectionFailed:
            if not is_under_way():
                raise
            time.sleep(PAUSE)
