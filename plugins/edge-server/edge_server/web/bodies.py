"""Bodies: bytes are read as they stream, counted and never held whole; JSON is, within a limit."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterator

import flask
from werkzeug.exceptions import ClientDisconnected

from edge_server.base.problems import Refusal, bad_entry, checksum_mismatch, too_large
from edge_server.data.store import BLOCK
from edge_server.web import counting, permissions, snapshot, transfers

DRAINED = 1 << 20
"""Bytes of a refused body that are read all the same, if its sender is known."""

LARGEST_JSON = 64 << 10
"""Bytes of the body of an operation that states no other limit."""

_SHA256 = re.compile(r"(?:^|,)\s*sha-256\s*=\s*:([^:]*):")


def blocks(limit: int, too_long: str, **digests: str | None) -> Iterator[bytes]:
    """The request's body in blocks, which counts as a transfer of the caller's (`transfers.of`) while it is read.

    Args:
        limit: most bytes taken.
        too_long: sentence for a longer body.
        digests: what the body must have, in hexadecimal, by the name of the algorithm.

    Raises:
        Refusal: the body is longer than that, ends before its stated length, comes too slowly, or has another
            digest; or too many others come.
    """
    request = flask.request
    length = request.content_length
    if length is not None and length > limit:
        raise too_large(too_long)
    size = 0
    expected = {name: digest for name, digest in digests.items() if digest is not None}
    hashes = {name: hashlib.new(name, usedforsecurity=False) for name in expected}
    snapshot.end()
    try:
        with transfers.of(_sender()):
            while block := request.stream.read(min(BLOCK, limit + 1 - size)):
                size += len(block)
                if size > limit:
                    raise too_large(too_long)
                for hashed in hashes.values():
                    hashed.update(block)
                yield block
    except TimeoutError:
        raise _stalled() from None
    except OSError:
        # What servers raise when the sender goes away in the middle.
        size = -1
    if size < (length or 0):
        raise bad_entry("the body ended before its stated length; send it again")
    for name, digest in expected.items():
        if hashes[name].hexdigest() != digest:
            raise checksum_mismatch(f"the {name.upper()} of the body is not the one stated; send it again")


def whole() -> bytes:
    """The body of a request that is JSON; it can be asked for again.

    Raises:
        Refusal: it has more bytes than its operation takes (`Routes.operation`), or stopped coming.
    """
    request = flask.request
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
        body.discard(DRAINED)
    return response


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
    match = _SHA256.search(flask.request.headers.get("Content-Digest", ""))
    if match is None:
        return None
    try:
        digest = base64.b64decode(match[1], validate=True)
    except binascii.Error:
        digest = b""
    if len(digest) != 32:
        raise bad_entry("the Content-Digest header holds no SHA-256; write it as sha-256=:BASE64:")
    return digest.hex()
