"""Content as an answer: whole or one range of it, sent by the system where it can."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable
from urllib.parse import quote

import flask
from werkzeug.wsgi import ClosingIterator

from edge_files.wire import SMALL_CONTENT
from edge_server.base import at_hand
from edge_server.base.problems import Refusal, not_found
from edge_server.data.store import BLOCK, Content, FileContent, MissingContent, Store
from edge_server.files.queries import VersionRow
from edge_server.web import counting

ADDRESS_LIFETIME = 300
"""Seconds that the address of a store lives, which does not end with the right of whoever asked for it."""

_HEADERS = {"Cache-Control": "private, no-transform", "Content-Type": "application/octet-stream"}

READ_AT_ONCE = 64 << 10
"""Bytes that are read and sent with the header; of more, the system sends the file."""

# More digits than any size has are no number we have to read.
_RANGE = re.compile(r"bytes=\s*(\d{0,19})-(\d{0,19})\s*", re.IGNORECASE)

# What may stand unescaped in an extended parameter (RFC 8187).
_PLAIN = "!#$&+-.^_`|~"


def store_address(store: Store, version: VersionRow, filename: str) -> str | None:
    """Where the content of a version can be fetched without the server, for some minutes; None if it cannot.

    Args:
        store: where the content is.
        version: what is fetched.
        filename: name to save it under.
    """
    return store.address(version.key, ADDRESS_LIFETIME, {**_HEADERS, "Content-Disposition": disposition(filename)})


def redirect(store: Store, version: VersionRow, filename: str) -> flask.Response | None:
    """Send who asks to `store_address`; None if there is none, or the content is too small for that.

    Args:
        store: where the content is.
        version: what to send.
        filename: name to save it under.

    Raises:
        Refusal: the content is not all there, or the range that the request asks for lies beyond it.
    """
    if version.size <= SMALL_CONTENT or at_hand.request().method != "GET":
        return None
    address = store_address(store, version, filename)
    if address is None:
        return None
    span = requested(version)
    size = store.size(version.key)
    if size != version.size:
        raise _damaged(version, is_missing=size is None)
    counting.sent_elsewhere(version.size if span is None else len(span))
    # Whoever keeps the answer for longer than the address lives is sent to where nothing is.
    return flask.Response(status=307, headers={"Location": address, "Cache-Control": "no-store"})


def answer(store: Store, version: VersionRow, filename: str | None = None) -> flask.Response:
    """The content of a version, or the range of it that the request asks for.

    Args:
        store: where the content is.
        version: what to send.
        filename: name to save it under; without one it is not marked as a download.

    Raises:
        Refusal: the range lies beyond the content.
    """
    headers = {
        "Accept-Ranges": "bytes",
        **_HEADERS,
        "ETag": _etag(version),
        # Whatever it looks like, no browser shall run it.
        "X-Content-Type-Options": "nosniff",
    }
    if filename is not None:
        headers["Content-Disposition"] = disposition(filename)
    span = requested(version)
    if span is None:
        start, length, status = 0, version.size, 200
    else:
        start, length, status = span.start, len(span), 206
        headers["Content-Range"] = f"bytes {span.start}-{span.stop - 1}/{version.size}"
    headers["Content-Length"] = str(length)
    if at_hand.request().method == "HEAD":
        return flask.Response(status=status, headers=headers)
    content = _opened(store, version, start, length)
    return flask.Response(_body(content, length), status, headers, direct_passthrough=True)


def requested(version: VersionRow) -> range | None:
    """The bytes of a version's content that the request asks for; None for all of them.

    Raises:
        Refusal: the range lies beyond the content.
    """
    request = at_hand.request()
    etag = _etag(version)
    if request.method != "GET" or request.headers.get("If-Range", etag) != etag:
        return None
    return chosen(request.headers.get("Range"), version.size)


def chosen(header: str | None, size: int) -> range | None:
    """The bytes a Range header asks for; None for all of them.

    Several ranges, other units and what cannot be read are ignored, as RFC 9110 allows.

    Raises:
        Refusal: the range lies beyond the content.
    """
    match = _RANGE.fullmatch(header or "")
    if match is None or match.groups() == ("", ""):
        return None
    first, last = match.groups()
    if not first:
        span = range(max(0, size - int(last)), size)
    else:
        if last and int(last) < int(first):
            return None
        span = range(int(first), min(int(last) + 1, size) if last else size)
    if not span:
        raise Refusal(
            416,
            "range_not_satisfiable",
            f"the range lies beyond the content's {size} bytes; ask for a part of it",
            {"Content-Range": f"bytes */{size}"},
        )
    return span


def disposition(filename: str) -> str:
    """The Content-Disposition header (RFC 6266) that saves a download under `filename`."""
    plain = re.sub(r'[^ -~]|["\\%]', "_", filename)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(filename, safe=_PLAIN)}"


def _etag(version: VersionRow) -> str:
    return f'"{version.digest}"'


def _opened(store: Store, version: VersionRow, start: int, length: int) -> Content:
    """The stored content, if it is all there: a shorter one would leave the reader waiting for the rest."""
    try:
        content = store.open(version.key, start, length)
        if content.size == version.size:
            return content
        content.close()
    except MissingContent:
        raise _damaged(version, is_missing=True) from None
    raise _damaged(version, is_missing=False)


def _damaged(version: VersionRow, *, is_missing: bool) -> Refusal:
    """That content is not all there."""
    if is_missing and version.removed_at is not None:  # the server's operator has just freed it
        return not_found("this content was deleted and is no longer kept; ask for the newest")
    return Refusal(
        500, "damaged", "the server's copy of this content is damaged; tell its operator, who may have a backup"
    )


def _body(content: Content, length: int) -> Iterable[bytes]:
    if length <= READ_AT_ONCE:
        with contextlib.closing(content):
            return list(content)
    # Under gunicorn the wrapper becomes sendfile(). A server that offers one stops at the stated
    # Content-Length (PEP 3333); Werkzeug's own range wrapper would hide the file from it.
    wrapper = at_hand.request().environ.get("wsgi.file_wrapper")
    if wrapper is not None and isinstance(content, FileContent):
        wrapped: Iterable[bytes] = wrapper(counting.sending(content.file, content.length), BLOCK)
        return wrapped
    return ClosingIterator(content, content.close)
