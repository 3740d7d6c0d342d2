"""What comes back: an answer whose body the caller reads, or the error it stands for."""

from __future__ import annotations

import json as jsonlib
from collections.abc import Iterator, Mapping
from typing import Any

import requests
import urllib3.exceptions

from edge_core import retries
from edge_core.errors import BadResponse, ConnectionFailed, EdgeError, error_from
from edge_core.http.failures import FAILURES, STORE, sentence_of
from edge_core.redaction import bare

BLOCK = 1 << 20
"""Bytes moved at once; smaller blocks cost up to three times the time."""


LARGEST = 64 << 20
"""Bytes of the largest answer that is read whole; lists come in pages far below it."""

LARGEST_REFUSAL = 1 << 20
"""Bytes of the largest answer that is read for the reason of a refusal."""

HUB_PAGES = (b"window.jhdata", b"<p>configurable-http-proxy</p>")
"""What is in the page of a JupyterHub, or of its proxy, for an address that is not known there."""


class Answer:
    """An answer whose body is still to be read; closing it gives the connection back.

    Attributes:
        status: HTTP status code.
        headers: the answer's headers, whatever their case.
        url: address the answer came from, without its query.
    """

    def __init__(self, response: requests.Response, method: str, request_id: str, advice: str) -> None:
        self._response = response
        self._method = method
        self._request_id = request_id
        self._advice = advice
        self.status = response.status_code
        self.headers: Mapping[str, str] = response.headers
        self.url = bare(response.url)

    def read(self, size: int | None = None) -> bytes:
        """Up to `size` bytes of the body, fewer only at its end; all of it by default.

        Raises:
            ConnectionFailed: the body broke off before its end.
        """
        try:
            content: bytes = self._response.raw.read(size, decode_content=False)
        except FAILURES as error:
            self._response.close()
            raise self._broken(error) from None
        return content

    def blocks(self, size: int = BLOCK) -> Iterator[bytes]:
        """The body in blocks of at most `size` bytes."""
        while block := self.read(size):
            yield block

    def whole(self) -> bytes:
        """The whole body, also of an answer that was fetched whole.

        Raises:
            BadResponse: the body is packed, which nobody asked for, or larger than `LARGEST`.
        """
        try:
            return _whole(self._response, LARGEST)
        except FAILURES as error:
            raise self._broken(error) from None

    def json(self) -> Any:
        """The body decoded from JSON; None if there is none.

        Raises:
            BadResponse: the body is not JSON, is packed, which nobody asked for, or larger than `LARGEST`.
        """
        content = self.whole()
        if not content:
            return None
        kind = self.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        try:
            if kind != "application/json" and not kind.endswith("+json"):
                raise ValueError
            return jsonlib.loads(content)
        except (ValueError, RecursionError):
            raise BadResponse(
                f"{self.url} answered with {kind or 'something unnamed'} instead of JSON; "
                "check that the service URL is an Edge service (it often ends in /services/api)"
            ) from None

    def _broken(self, error: Exception) -> ConnectionFailed:
        sentence = sentence_of(error, self.url, self._advice)
        return ConnectionFailed(sentence, request_id=self._request_id, method=self._method, url=self.url)

    def close(self) -> None:
        self._response.close()

    def __enter__(self) -> Answer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def leave_body(response: requests.Response) -> None:
    """Leave the body to whoever reads the answer."""


def read_body(response: requests.Response) -> None:
    """Read the whole body, so that an answer that breaks off, in its body or its head, fails here.

    Raises:
        BadResponse: the body is packed, which nobody asked for, or larger than `LARGEST`, or `LARGEST_REFUSAL` if it
            refuses.
    """
    if is_redirect(response):
        return
    content = _whole(response, LARGEST if response.status_code < 400 else min(LARGEST, LARGEST_REFUSAL))
    if not content and _ends_with_connection(response):
        raise urllib3.exceptions.ProtocolError("IncompleteRead")


def _whole(response: requests.Response, most: int) -> bytes:
    """The whole body, which a server that means harm must not let grow without end, nor unpack to it.

    It is read once, and stays with the response.
    """
    unread: Any = False  # what requests has there until a body was read
    if response._content is unread:
        response._content = _read(response, most)
    return response.content


def _read(response: requests.Response, most: int) -> bytes:
    packing = response.headers.get("Content-Encoding", "").strip() or "identity"
    if packing.lower() != "identity":
        response.close()
        raise BadResponse(
            f"{bare(response.url)} answered in the encoding {packing}, which was not asked for; "
            "check whether a proxy on the way packs answers"
        )
    blocks, size = [], 0
    # In large blocks; the 10 KiB that `content` reads at a time cost a long list a tenth more.
    while block := response.raw.read(BLOCK, decode_content=False):
        size += len(block)
        if size > most:
            response.close()
            raise BadResponse(
                f"{bare(response.url)} answered with more than {most >> 20} MiB, so it is not an Edge server; "
                "check the service URL"
            )
        blocks.append(block)
    return b"".join(blocks)


def _ends_with_connection(response: requests.Response) -> bool:
    """Whether only the end of the connection ends the answer; http.client takes a cut head for such a one."""
    has_end = "Content-Length" in response.headers or "Transfer-Encoding" in response.headers
    return not has_end and response.status_code not in (204, 304)


def is_redirect(response: requests.Response) -> bool:
    return response.status_code in (301, 302, 303, 307, 308)


def is_hubs(response: requests.Response) -> bool:
    """Whether a JupyterHub answers in the place of a service, or its proxy, to which the hub has not told the way."""
    kind = response.headers.get("Content-Type", "")
    if response.status_code < 300 or "json" in kind:
        return False
    if "X-JupyterHub-Version" in response.headers:
        return True
    if response.status_code != 404:
        return False
    content = _whole(response, LARGEST_REFUSAL)
    # The proxy's own words while the hub, which it asks for a page, is away.
    return any(page in content for page in HUB_PAGES) if kind else content == b"Not Found"


def refusal(response: requests.Response, method: str, request_id: str, advice: str) -> EdgeError:
    """The error that an answer of 400 or more stands for; `advice` says what to do about a wrong address."""
    problem = None
    with response:
        try:
            content = _whole(response, LARGEST_REFUSAL)
            document = jsonlib.loads(content) if "json" in response.headers.get("Content-Type", "") else None
            problem = document if isinstance(document, dict) and "code" in document else None
        except (*FAILURES, ValueError, RecursionError, BadResponse):
            pass  # the status alone still says what happened
    return error_from(
        status=response.status_code,
        method=method,
        url=response.url,
        problem=problem,
        store_advice=STORE if advice == STORE else None,
        request_id=response.headers.get("X-Request-ID", request_id),
        retry_after=retries.delay(response.headers.get("Retry-After")),
    )
