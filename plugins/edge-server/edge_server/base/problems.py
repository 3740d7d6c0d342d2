"""How the server says no: problem documents (RFC 9457), whatever went wrong."""

from __future__ import annotations

import errno
import http
import json
import logging
import re
import secrets
from typing import Any

import flask
import marshmallow
import sqlalchemy.exc
import sqlalchemy.orm.exc
from werkzeug.exceptions import HTTPException

from edge_server.base import at_hand

log = logging.getLogger("edge_server")

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")

# By name, since Windows has not all of them.
_FULL = {getattr(errno, name) for name in ("ENOSPC", "EDQUOT", "EFBIG") if hasattr(errno, name)}
_FAILING = {
    getattr(errno, name)
    for name in ("EIO", "EROFS", "EACCES", "EPERM", "ENODEV", "ENXIO", "ESTALE", "EMFILE", "ENFILE", "ENOMEM")
    if hasattr(errno, name)
}

# Primary result codes (https://sqlite.org/rescode.html): out of memory, read-only, I/O error, cannot open, protocol.
_SQLITE_FULL = 13
_SQLITE_FAILING = (7, 8, 10, 14, 15)

# https://www.postgresql.org/docs/current/errcodes-appendix.html
_POSTGRESQL_FULL = "53100"
_POSTGRESQL_INTERRUPTED = "57014"
# Waited too long for a lock, was in the way of another, or found too many connections; the same works later.
_POSTGRESQL_BUSY = ("55P03", "40001", "40P01", "53300")
_POSTGRESQL_FAILING = ("08", "25006", "25P03", "53", "57P", "58")


MOST_ERRORS = 20
"""Fields that one answer says something of."""

LONGEST_DETAIL = 1000
"""Characters of a sentence in an answer; what a request has sent stands shortened in it."""

LONGEST_NAME = 100
"""Characters of a field's name in an answer, which may be one that the request has made up."""


class CannotStart(Exception):
    """The server cannot start, or a command on its data cannot run; the message is one sentence for the operator."""


class Refusal(Exception):
    """Raised anywhere to answer with a problem document.

    Args:
        status: HTTP status code.
        code: the problem's short name, in snake case, for programs.
        detail: one sentence for people: what happened and what to do.
        headers: further headers of the answer.
    """

    def __init__(self, status: int, code: str, detail: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.headers = headers or {}


def bad_entry(detail: str) -> Refusal:
    """What was sent cannot be."""
    return Refusal(400, "bad_entry", detail)


def invalid(error: marshmallow.ValidationError) -> Refusal:
    """What was sent does not fit its schema; the sentence tells the first field that is wrong."""
    return bad_entry(f"{first_error(error)}; correct it and send it again")


def first_error(error: marshmallow.ValidationError) -> str:
    """The first field that is wrong, and what is wrong with it."""
    field, messages = next(iter(_flat(error.messages).items()))
    return f"{field}: {messages[0].rstrip('.')}"


def not_found(detail: str) -> Refusal:
    """It cannot be found, or not by this caller."""
    return Refusal(404, "not_found", detail)


def already_exists(detail: str) -> Refusal:
    """The name is taken."""
    return Refusal(409, "already_exists", detail)


def conflict(detail: str) -> Refusal:
    """Things are not in a state that allows this."""
    return Refusal(409, "conflict", detail)


def checksum_mismatch(detail: str) -> Refusal:
    """The bytes that came are not the bytes that were stated."""
    return Refusal(400, "checksum_mismatch", detail)


def too_large(detail: str) -> Refusal:
    """More bytes than may come this way."""
    return Refusal(413, "too_large", detail)


# Of what Flask, Werkzeug and webargs refuse by themselves: code and sentence by status.
_BY_STATUS: dict[int, tuple[str, str]] = {
    400: ("bad_entry", "the request could not be read; check its body and headers"),
    404: ("unknown_route", "this server does not know that address; check the service URL and both sides' versions"),
    405: ("method_not_allowed", "this address does not know that method; the Allow header names those it knows"),
    413: ("too_large", "the body is larger than this address takes"),
    415: ("unsupported_media_type", "send the body as JSON, with the header Content-Type: application/json"),
    422: ("bad_entry", "what was sent is not valid"),
}


def request_id() -> str:
    """The id of the request at hand: the client's own if it is a plain word, else a new one."""
    kept = at_hand.kept()
    own: str | None = kept.get("request_id")
    if own is None:
        sent = at_hand.request().headers.get("X-Request-ID", "")
        own = kept.request_id = sent if _REQUEST_ID.fullmatch(sent) else secrets.token_hex(8)
    return own


def problem(
    status: int,
    code: str,
    detail: str,
    *,
    headers: dict[str, str] | None = None,
    errors: dict[str, list[str]] | None = None,
) -> flask.Response:
    """A problem document as an answer, which is small whatever the request has sent."""
    document: dict[str, Any] = {
        "type": "about:blank",
        "title": http.HTTPStatus(status).phrase,
        "status": status,
        "detail": shortened(detail, LONGEST_DETAIL),
        "code": code,
        "request_id": request_id(),
    }
    at_hand.kept().problem = code
    if errors:
        first = list(errors.items())[:MOST_ERRORS]
        document["errors"] = {
            shortened(name, LONGEST_NAME): [shortened(text, LONGEST_DETAIL) for text in texts] for name, texts in first
        }
        if len(errors) > len(first):
            document["more_errors"] = len(errors) - len(first)
    body = json.dumps(document) + "\n"
    return flask.Response(body, status, headers, content_type="application/problem+json")


def shortened(text: str, longest: int = LONGEST_DETAIL) -> str:
    """A text that may hold what a request has sent, without the middle if it is long: its end says what to do."""
    return text if len(text) <= longest else f"{text[: longest // 2]} … {text[-longest // 2 :]}"


def install(app: flask.Flask) -> None:
    """Make `app` answer every failure with a problem document, and every request with its id."""
    app.register_error_handler(Refusal, _from_refusal)
    app.register_error_handler(HTTPException, _from_http)
    app.register_error_handler(Exception, _from_failure)
    app.after_request(_with_request_id)


def answer_to(error: Exception) -> flask.Response:
    """The problem document that says what went wrong."""
    return _from_refusal(error) if isinstance(error, Refusal) else _from_failure(error)


def _with_request_id(response: flask.Response) -> flask.Response:
    response.headers["X-Request-ID"] = request_id()
    return response


def _from_refusal(refusal: Refusal) -> flask.Response:
    return problem(refusal.status, refusal.code, refusal.detail, headers=refusal.headers)


def _from_http(error: HTTPException) -> flask.Response:
    status = error.code or 500
    fallback = "internal" if status >= 500 else "bad_entry"
    code, detail = _BY_STATUS.get(status, (fallback, error.description or "the request was refused"))
    headers = {name: value for name, value in error.get_headers() if name not in ("Content-Type", "Content-Length")}
    if status == 405 and (methods := _own_methods()):
        headers["Allow"] = ", ".join(sorted(methods))
    # webargs leaves what is wrong with which field on the exception.
    errors = _flat(getattr(error, "data", {}).get("messages", {}))
    if errors:
        field, texts = next(iter(errors.items()))
        field = shortened(field, LONGEST_NAME)
        detail = f"{field}: {texts[0].rstrip('.')}; correct it and send it again"
    return problem(status, code, detail, headers=headers, errors=errors)


def _own_methods() -> set[str]:
    """The methods of the address at hand, if it is one of its own, such as ``tokens/renew`` beside ``tokens/<id>``."""
    rules = [rule for rule in flask.current_app.url_map.iter_rules() if rule.rule == flask.request.path]
    return {method for rule in rules for method in rule.methods or ()}


def _flat(messages: Any, name: str = "") -> dict[str, list[str]]:
    """Messages by dotted field name, as in ``parts.0.n``, from webargs' nested ones by location."""
    if not isinstance(messages, dict):
        texts = messages if isinstance(messages, list) else [messages]
        return {name: [str(text) for text in texts]}
    flat: dict[str, list[str]] = {}
    for key, inner in messages.items():
        of_the_whole = key == "_schema" or (not name and key in ("json", "query"))
        flat |= _flat(inner, name if of_the_whole else f"{name}.{key}".lstrip("."))
    return {key or "body": texts for key, texts in flat.items()}


def _from_failure(error: Exception) -> flask.Response:
    where = f"{flask.request.method} {flask.request.path!a} [request {request_id()}]"
    if is_full(error):
        log.error("%s: the disk or its quota is full", where)
        return _from_refusal(storage_full())
    if is_busy(error):
        log.error("%s: the database stayed locked: %s", where, _shortly(error))
        return problem(503, "busy", "the server is busy writing; try again", headers={"Retry-After": "1"})
    if is_failing(error):
        log.error("%s: the disk or the database fails: %s", where, error)
        return _from_refusal(storage_failing())
    if is_interrupted(error):
        log.error("%s: it asked more of the database than a request may", where)
        detail = "the request asks more of the server's database than one may; ask for less at once, or try again later"
        return problem(503, "too_much_work", detail, headers={"Retry-After": "10"})
    if isinstance(error, sqlalchemy.orm.exc.StaleDataError):
        return problem(
            409, "conflict", "someone else changed it at the same moment; get it again and repeat your change"
        )
    log.error("%s failed", where, exc_info=error)
    return problem(500, "internal", "the server failed; try again later, and give its operator the request id")


def is_interrupted(error: BaseException) -> bool:
    """Whether `error` says that the database was told to stop."""
    if not isinstance(error, sqlalchemy.exc.OperationalError):
        return False
    return "interrupted" in str(error.orig) or _sqlstate(error) == _POSTGRESQL_INTERRUPTED


def is_busy(error: BaseException) -> bool:
    """Whether `error` says that others use the database, so that the same may be done a moment later."""
    if isinstance(error, sqlalchemy.exc.TimeoutError):  # all connections of this process are in use
        return True
    if not isinstance(error, sqlalchemy.exc.DBAPIError):
        return False
    if _is_postgresql(error):
        # What is refused a connection has no SQLSTATE.
        return _sqlstate(error) in _POSTGRESQL_BUSY or "too many clients" in str(error.orig)
    return isinstance(error, sqlalchemy.exc.OperationalError) and "locked" in str(error.orig)


def storage_full() -> Refusal:
    """No room for what was sent."""
    return Refusal(
        507,
        "insufficient_storage",
        "the server's disk is full; nothing was stored, delete files or ask its operator for space",
        {"Retry-After": "60"},
    )


def storage_failing() -> Refusal:
    """A disk, database or object store that cannot be written or read just now."""
    return Refusal(
        503,
        "storage_failed",
        "the server cannot use its storage just now, and has not acknowledged what was sent; "
        "try again later, and give its operator the request id",
        {"Retry-After": "5"},
    )


def is_full(error: BaseException) -> bool:
    """Whether `error` says that a disk or a quota is full."""
    if isinstance(error, sqlalchemy.exc.DBAPIError):
        return _sqlite_code(error) == _SQLITE_FULL or _sqlstate(error) == _POSTGRESQL_FULL
    return isinstance(error, OSError) and error.errno in _FULL


def is_failing(error: BaseException) -> bool:
    """Whether `error` says that a disk, or the database, cannot be used just now."""
    if isinstance(error, sqlalchemy.exc.DBAPIError):
        if _is_postgresql(error):
            # What cannot connect, or is cut off, has no SQLSTATE.
            is_cut_off = isinstance(error, sqlalchemy.exc.OperationalError) and not _sqlstate(error)
            return error.connection_invalidated or is_cut_off or _sqlstate(error).startswith(_POSTGRESQL_FAILING)
        return _sqlite_code(error) in _SQLITE_FAILING
    return isinstance(error, OSError) and error.errno in _FAILING


def _is_postgresql(error: sqlalchemy.exc.DBAPIError) -> bool:
    return type(error.orig).__module__.startswith("psycopg")


def _sqlstate(error: sqlalchemy.exc.DBAPIError) -> str:
    """The SQLSTATE of an error of PostgreSQL; "" where it has none."""
    return getattr(error.orig, "sqlstate", None) or ""


def _shortly(error: BaseException) -> str:
    """What a driver says, without the statement."""
    return str(getattr(error, "orig", error)).partition("\n")[0]


def _sqlite_code(error: sqlalchemy.exc.DBAPIError) -> int | None:
    """SQLite's primary result code."""
    code: int | None = getattr(error.orig, "sqlite_errorcode", None)
    if code is None:
        return _SQLITE_FULL if "database or disk is full" in str(error.orig) else None
    return code & 0xFF
