"""Bodies: bytes are read as they stream, counted and never held whole; JSON is, within a limit."""

from __future__ import annotations

import base64
import binascii
import collections
import contextlib
import hashlib
import re
from collections.abc import Iterator, Sequence

import flask
from werkzeug.exceptions import ClientDisconnected

from edge_server.base import at_hand
from edge_server.base.problems import Refusal, bad_entry, checksum_mismatch, too_large
from edge_server.data.store import BLOCK, Block
from edge_server.web import counting, permissions, snapshot, transfers

DRAINED = 1 << 20
"""Bytes of a refused body that are read all the same, if its sender is known."""

FIRST_BLOCK = 64 << 10
"""Bytes that are read at once of a body that begins with a line of JSON, until that has come."""

BUFFER = 256 << 10
"""Bytes of a body that are read at once: few enough to be hashed and written while a processor's cache has them."""

BUFFERS_KEPT = 16
"""Buffers that are kept while nobody reads."""

LARGEST_JSON = 64 << 10
"""Bytes of the body of an operation that states no other limit."""

_buffers = collections.deque[memoryview](maxlen=BUFFERS_KEPT)

_SHA256 = re.compile(r"(?:^|,)\s*sha-256\s*=\s*:([^:]*):")


def blocks(limit: int, too_long: str, **digests: str | None) -> Iterator[Block]:
    """The request's body in blocks, which counts as a transfer of the caller's (`transfers.of`) while it is read.

    A block is overwritten by the next one, so that no memory is taken anew for each.

    Args:
        limit: most bytes taken.
        too_long: sentence for a longer body.
        digests: what the body must have, in hexadecimal, by the name of the algorithm.

    Raises:
        Refusal: the body is longer than that, ends before its stated length, comes too slowly, or has another
            digest; or too many others come.
    """
    request = at_hand.request()
    length = request.content_length
    if length is not None and length > limit:
        raise too_large(too_long)
    size = 0
    expected = {name: digest for name, digest in digests.items() if digest is not None}
    hashes = {name: hashlib.new(name, usedforsecurity=False) for name in expected}
    snapshot.end()
    with transfers.of(_sender()), _buffer() as buffer:
        while block := _next(buffer[: limit + 1 - size]):
            size += len(block)
            if size > limit:
                raise too_large(too_long)
            for hashed in hashes.values():
                hashed.update(block)
            yield block
    if size < (length or 0):
        raise _ended()
    for name, digest in expected.items():
        if hashes[name].hexdigest() != digest:
            raise checksum_mismatch(f"the {name.upper()} of the body is not the one stated; send it again")


def begin_manifest(media_type: str, content: int) -> None:
    """Take the body of the request at hand for a line of JSON with content after it.

    Args:
        media_type: what such a body is called.
        content: most bytes after the line.

    Raises:
        Refusal: the body is called otherwise, or longer.
    """
    if flask.request.mimetype != media_type:
        raise Refusal(
            415, "unsupported_media_type", f"send a line of JSON and then content, with Content-Type: {media_type}"
        )
    flask.g.manifest = manifest = _Manifest(permissions.body_limit_at_hand() + content)
    if (flask.request.content_length or 0) > manifest.most:
        raise _too_much(manifest.most)


def has_manifest() -> bool:
    """Whether the body of the request at hand is a line of JSON with content after it."""
    return "manifest" in flask.g


def contents(sizes: Sequence[int]) -> Iterator[bytes]:
    """What comes after the line of JSON, cut into pieces; a transfer of the caller's while it is read.

    Args:
        sizes: bytes of each piece.

    Raises:
        Refusal: the body is shorter or longer, or comes too slowly; or too many others come.
    """
    manifest: _Manifest = flask.g.manifest
    total = len(manifest.line()) + 1 + sum(sizes)
    length = flask.request.content_length
    if length is not None and length != total:
        raise bad_entry(f"the body has {length} bytes, and {total} by its first line; send what the line says")
    snapshot.end()
    with transfers.of(_sender()):
        for size in sizes:
            yield manifest.take(size)
        if length is None and manifest.take(1, at_end=True):
            raise bad_entry(f"the body has more than {total} bytes, which its first line says; send no more")


class _Manifest:
    """A body that is a line of JSON with content after it.

    Args:
        most: bytes of all of it.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._line: bytes | None = None
        self._ahead = bytearray()

    def line(self) -> bytes:
        """The line, without its end; it can be asked for again.

        Raises:
            Refusal: it has more bytes than the operation takes, the body has none, or it stopped coming.
        """
        if self._line is None:
            limit = permissions.body_limit_at_hand()
            end = -1
            with transfers.of(_sender()):
                while end < 0:
                    searched = len(self._ahead)
                    if searched > limit:
                        raise too_large(f"the first line of the body has more than {limit} bytes; send fewer files")
                    block = _read(FIRST_BLOCK)
                    if not block:
                        raise bad_entry(
                            "the body has no line of JSON; send one that ends with a line feed, then content"
                        )
                    self._ahead += block
                    end = self._ahead.find(b"\n", searched)
            if end > limit:
                raise too_large(f"the first line of the body has more than {limit} bytes; send fewer files")
            self._line = bytes(self._ahead[:end])
            del self._ahead[: end + 1]
        return self._line

    def take(self, size: int, *, at_end: bool = False) -> bytes:
        """The next bytes.

        Args:
            size: how many.
            at_end: whether the body may end before.

        Raises:
            Refusal: it ended before, or stopped coming.
        """
        while len(self._ahead) < size:
            block = _read(BLOCK)
            if not block:
                if at_end:
                    break
                raise _ended()
            self._ahead += block
        piece = bytes(self._ahead[:size])
        del self._ahead[:size]
        return piece


def whole() -> bytes:
    """The body of a request that is JSON, or the JSON that stands before content; it can be asked for again.

    Raises:
        Refusal: it has more bytes than its operation takes (`Routes.operation`), or stopped coming.
    """
    if has_manifest():
        snapshot.end()
        manifest: _Manifest = flask.g.manifest
        return manifest.line()
    request = at_hand.request()
    limit = permissions.body_limit_at_hand()
    if (request.content_length or 0) > limit:
        raise _too_much(limit)
    request.max_content_length = limit + 1
    snapshot.end()
    try:
        with transfers.of(_sender()):
            raw = request.get_data()
    except ClientDisconnected as error:
        # Werkzeug's word for whatever keeps a body of limited length from coming.
        if isinstance(error.__context__, TimeoutError):
            raise _stalled() from None
        raise
    if len(raw) > limit:  # one of no stated length is cut there
        raise _too_much(limit)
    return raw


def drain(response: flask.Response) -> flask.Response:
    """Let what a refusal left unread come, within reason, if its sender is known.

    Whoever is cut off while sending may never read the answer.
    """
    body = transfers.arriving()
    if body is not None and (permissions.caller_at_hand() is not None or counting.is_charged()):
        body.discard(max(DRAINED, flask.g.manifest.most) if has_manifest() else DRAINED)
    return response


def _read(size: int) -> bytes:
    """Up to so many bytes of the body; none at its end.

    Raises:
        Refusal: it stopped coming, or its sender has gone away in the middle.
    """
    with _broken_off():
        block: bytes = flask.request.stream.read(size)
    return block


def _next(buffer: memoryview) -> Block:
    """What comes next of the body, up to the size of a buffer that it may be put into; nothing at its end.

    Raises:
        Refusal: as `_read` does.
    """
    body = transfers.arriving()
    if body is None:
        return _read(len(buffer))
    with _broken_off():
        count = body.readinto(buffer)
    counting.received(count)
    return buffer[:count]


@contextlib.contextmanager
def _buffer() -> Iterator[memoryview]:
    """Memory for a block, used by one after another: the system hands out memory page by page, which takes its time."""
    try:
        buffer = _buffers.pop()
    except IndexError:
        buffer = memoryview(bytearray(BUFFER))
    try:
        yield buffer
    finally:
        _buffers.append(buffer)


@contextlib.contextmanager
def _broken_off() -> Iterator[None]:
    """Refuse a body that stopped coming in the block, or whose sender has gone away in the middle."""
    try:
        yield
    except TimeoutError:
        raise _stalled() from None
    except OSError:
        # What servers raise when the sender goes away in the middle.
        raise _ended() from None


def _ended() -> Refusal:
    return bad_entry("the body ended before its stated length; send it again")


def _sender() -> int:
    caller = permissions.caller_at_hand()
    return transfers.NOBODY if caller is None else caller.id


def _too_much(limit: int) -> Refusal:
    return too_large(f"the body has more than {limit} bytes, which is the most at this address; send less at once")


def _stalled() -> Refusal:
    return Refusal(408, "timeout", "the body came too slowly; send it again over a faster line, or in smaller parts")


def content_digest() -> str | None:
    """The body's SHA-256 in hexadecimal as its Content-Digest header (RFC 9530) states it; None without one.

    Raises:
        Refusal: the header states a SHA-256 that cannot be one.
    """
    match = _SHA256.search(at_hand.request().headers.get("Content-Digest", ""))
    if match is None:
        return None
    try:
        digest = base64.b64decode(match[1], validate=True)
    except binascii.Error:
        digest = b""
    if len(digest) != 32:
        raise bad_entry("the Content-Digest header holds no SHA-256; write it as sha-256=:BASE64:")
    return digest.hex()
