"""The errors a user can meet: one tree under `EdgeError`.

`error_from` is the one door from an HTTP answer to an exception, so that a status code is read in
one place only.
"""

from __future__ import annotations

from typing import Any


class EdgeError(Exception):
    """Base of every error this project raises."""


class EdgeSessionError(EdgeError):
    """No session can be opened; what `EdgeSession()` raises where its settings are missing is one."""


class ConfigurationError(EdgeSessionError):
    """A setting is missing or cannot be right; the message names each way to give it."""


class PluginError(EdgeError):
    """A plugin is missing, broken, incompatible, blocked, or claimed twice."""


class PluginAttributeError(PluginError, AttributeError):
    """`PluginError` met as an attribute, so that `hasattr`, `copy` and completion go on."""


class PluginImportError(PluginError, ImportError):
    """`PluginError` met in an import."""


class MissingPackage(EdgeError, ImportError):
    """A package that is optional, and needed for this, is not installed; the message has the command."""


class ConnectionFailed(EdgeError):
    """No answer came: refused, unknown host, TLS failure, timeout, or cut off in the middle.

    Args:
        message: one sentence: what happened and what to do.
        request_id: the identifier the call was sent under; None where it was no call of the session.
        method: HTTP method of the call.
        url: address of the call, without its query.
    """

    def __init__(
        self, message: str, *, request_id: str | None = None, method: str | None = None, url: str | None = None
    ) -> None:
        super().__init__(message)
        self.request_id = request_id
        self.method = method
        self.url = url


class BadResponse(EdgeError):
    """An answer came that is not what an Edge server sends."""


class ChecksumError(EdgeError):
    """Bytes arrived whole but are not the bytes that were sent."""


class ApiError(EdgeError):
    """The server refused a call.

    Args:
        message: one sentence: what happened and what to do.
        status: HTTP status code, or None where the client itself refused.
        code: the problem's short name on the wire, such as ``"not_found"``.
        request_id: the identifier the server logged the call under.
        method: HTTP method of the call.
        url: address of the call, without its query.
        retry_after: seconds after which the server wants to be asked again; None if it does not say.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        code: str | None = None,
        request_id: str | None = None,
        method: str | None = None,
        url: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.status = status
        self.code = code
        self.request_id = request_id
        self.method = method
        self.url = url

    def __str__(self) -> str:
        text = str(self.args[0])
        return f"{text} [request {self.request_id}]" if self.request_id else text

    def __reduce__(self) -> tuple[Any, ...]:
        # Keyword-only arguments do not survive BaseException's own pickling.
        return (type(self), self.args, self.__dict__)


class BadEntry(ApiError):
    """What was sent is not valid: a name, a definition, a parameter."""


class Unauthenticated(ApiError):
    """The server does not accept the token: mistyped, expired or removed."""


class Forbidden(ApiError):
    """The token is good, but its user may not do this."""


class NotFound(ApiError):
    """What the call names does not exist, or belongs to another organization."""


class AlreadyExists(ApiError):
    """The name is taken."""


class Conflict(ApiError):
    """The thing is not in a state that allows this, or someone else changed it first."""


class QuotaExceeded(ApiError):
    """The organization's files may hold no more; nothing was stored."""


class ServerError(ApiError):
    """The server failed (5xx), or asks to slow down (429)."""


_BY_STATUS: dict[int, type[ApiError]] = {
    400: BadEntry,
    401: Unauthenticated,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    410: NotFound,
    412: Conflict,
    413: BadEntry,
    414: BadEntry,
    415: BadEntry,
    416: BadEntry,
    422: BadEntry,
    429: ServerError,
    431: BadEntry,
}

_ADVICE: dict[type[ApiError], str] = {
    Unauthenticated: (
        "the server does not accept this API token; make a new one and give it as api_token= or in EDGE_API_TOKEN"
    ),
    Forbidden: "this token's user may not do that; ask an administrator of the organization",
    ServerError: "the server failed; try again later, and give its operator the request id",
}

LONGEST_DETAIL = 2000
"""Characters of a server's sentence that an error takes over."""

# Answers that a proxy or load balancer in front of the server gives by itself, so without a problem document.
_ADVICE_BY_STATUS = {
    408: "a proxy in front of the server did not get the whole request in time; try again, or on a faster line",
    413: (
        "a proxy in front of the server refuses a body of this size; ask its operator to allow larger ones (nginx "
        "takes 1 MB unless its configuration has the line `client_max_body_size 0;`)"
    ),
    414: (
        "a proxy in front of the server refuses an address of this length; shorten the path, or ask its operator to "
        "allow longer ones (in nginx by the line `large_client_header_buffers 4 128k;`)"
    ),
    431: (
        "a proxy in front of the server refuses headers of this size; ask its operator to allow larger ones (in nginx "
        "by the line `large_client_header_buffers 4 128k;`)"
    ),
    429: "the server asks to slow down; try again later, with fewer calls at once",
    502: "a proxy in front of the server gets no proper answer from it; try again later, or tell its operator",
    503: "the server is not available, as when it starts again or is overloaded; try again later",
    504: "a proxy in front of the server gave up waiting for it; try again later, or tell its operator",
}


def error_from(
    *,
    status: int,
    method: str,
    url: str,
    problem: dict[str, Any] | None,
    request_id: str | None,
    retry_after: float | None = None,
    store_advice: str | None = None,
) -> EdgeError:
    """The exception for an answer whose status is 400 or more.

    Args:
        status: HTTP status code.
        method: HTTP method of the call.
        url: address of the call; its query is dropped, as it may hold a signature.
        problem: the decoded problem document (RFC 9457), or None if the body was not one.
        request_id: the answer's ``X-Request-ID``.
        retry_after: the answer's ``Retry-After``, in seconds from now; None if there is none.
        store_advice: what to do where another server than Edge's answered, that of its content; None for Edge's own.
    """
    url = url.partition("?")[0]
    if problem is None and status not in (401, 403, *_ADVICE_BY_STATUS) and status < 500:
        advice = f"; {store_advice}" if store_advice else ", so it is not an Edge server; check the service URL"
        return BadResponse(f"{url} answered {status} without saying why{advice}")
    code = problem.get("code") if problem else None
    if code == "checksum_mismatch":
        return ChecksumError(_on_a_line(problem.get("detail") or "") if problem else "")
    kind = _BY_STATUS.get(status, ServerError if status >= 500 else ApiError)
    if code == "already_exists":
        kind = AlreadyExists
    elif code == "quota_exceeded":
        kind = QuotaExceeded
    detail = problem.get("detail") if problem else None
    if detail:
        message = _on_a_line(detail)
    elif store_advice:
        message = f"the store of the server's content answered {status}; try again, or {store_advice}"
    else:
        message = _advice(kind, status)
    return kind(
        message,
        status=status,
        code=str(code) if code else None,
        request_id=_on_a_line(request_id) if request_id else None,
        method=method,
        url=url,
        retry_after=retry_after,
    )


def _on_a_line(text: object) -> str:
    """What a server says, in which a terminal finds no commands and no line of its own."""
    sentence = str(text)[:LONGEST_DETAIL]
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in sentence)


def _advice(kind: type[ApiError], status: int) -> str:
    return _ADVICE_BY_STATUS.get(status) or _ADVICE.get(kind, f"the call was refused with status {status}")
