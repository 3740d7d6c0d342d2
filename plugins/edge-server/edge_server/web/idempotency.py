"""Requests that can be sent again: one effect and one answer for each Idempotency-Key.

Works for every POST whose caller is known, before and after its view and without its help: a first
request claims its key, and whoever sends the same again gets the answer of the first; what is not a POST
is one transaction, and claims nothing (`receipts`). The draft for such keys is followed
(draft-ietf-httpapi-idempotency-key-header). A key belongs to its user and to the request it first
came with, for 24 hours. It is claimed once the request is known to be valid, and let go for good where
the view itself finds that it is not: the key of a request that could never do anything leaves no row.

The answer is committed in the same transaction as what it tells of: `keep`, which the views'
`answer` calls, marks it for the commit of the transaction that is open, and `Database.before_commit` brings it
there. So a view that writes makes its answer inside the transaction; after a crash either both are
there or neither. That commit is also where a request that was overtaken ends: one that outlived its
claim, so that another took the key, is rolled back. Refusals have no effect and are kept afterwards
in a transaction of their own, as are the answers of views that write nothing.

What a server that died was at is run again: after a start at once, and if only a worker died or other
hosts have the same database, when its claim has lapsed. That is soon, as claims are short, and a process
renews those of requests that take longer. Answers that hold a secret are never kept; the same request is
run again and gets an answer of its own. What such a request has issued it notes with `issued`, so that
the next run finds it and gives it another secret instead of issuing it twice.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import functools
import json
import math
import re
import secrets
from collections.abc import Callable
from typing import Any, Protocol, TypeVar, cast

import flask
import sqlalchemy.exc
from sqlalchemy import Connection, Row, update
from sqlalchemy.orm import Session

from edge_server.base import at_hand, clock
from edge_server.base.problems import Refusal, bad_entry, log, request_id
from edge_server.data.database import of_user
from edge_server.web import bodies, idempotency_keys
from edge_server.web.engines import engines
from edge_server.web.idempotency_keys import IdempotencyKey
from edge_server.web.leases import LEASE, Lease
from edge_server.web.permissions import caller, member_at_hand

HEADER = "Idempotency-Key"
REPLAYED = "Idempotency-Replayed"

KEY_PATTERN = "[ -~]{1,255}"
"""Printable ASCII."""

LIFETIME = dt.timedelta(hours=24)

MOST_KEYS = 20_000
"""Keys that one user has at a time. A further one is refused: to forget one early would run its request twice."""

_KEY = re.compile(KEY_PATTERN)

# Refusals of the moment or of the caller, not of what was asked.
_PASSING = (401, 403, 408, 429)

# Claims of requests that have ended and could not let go of their key, since the database could not be written.
_left: set[str] = set()

# Refusals of what was sent, whatever the state of things.
_INVALID = (400, 413, 415, 422)

_View = TypeVar("_View", bound=Callable[..., Any])

# Each answer has its own.
_NOT_KEPT = ("content-length", "x-request-id")


class Keeping(Protocol):
    """A request with a key, of which the answer is kept.

    Attributes:
        answer: what it will answer, if it is known already.
        kept: the answer that went into a transaction.
    """

    answer: flask.Response | None
    kept: flask.Response | None

    def settle(self, connection: Connection, response: flask.Response) -> None:
        """Put its answer into its transaction; raises what rolls that back if another request has the key."""


@dataclasses.dataclass
class _Run:
    """A request that holds its key.

    Attributes:
        row: the key's row.
        claim: what tells this holder from others.
        secret: its answer is not to be kept.
        subject: uid of what an earlier run, or this one, has issued.
        answer: what it will answer, if it is known already.
        kept: the answer that went into a transaction.
        lease: has the claim renewed.
    """

    row: int
    claim: str
    secret: bool
    subject: str | None = None
    answer: flask.Response | None = None
    kept: flask.Response | None = None
    lease: Lease | None = None

    def settle(self, connection: Connection, response: flask.Response) -> None:
        if not _settle(connection, self, response):
            raise in_progress(LEASE)


def install(app: flask.Flask) -> None:
    """Honour keys in `app`, behind everything else that looks at a request first."""
    app.after_request(_after)
    app.teardown_request(_over)


def once(view: _View) -> _View:
    """The view, to be called with valid requests: where an earlier one had the key of this one, its answer is given."""

    @functools.wraps(view)
    def run(*args: Any, **kwargs: Any) -> Any:
        replay = _claimed()
        return view(*args, **kwargs) if replay is None else replay

    run.once = True  # type: ignore[attr-defined]
    return cast(_View, run)


def keep(response: flask.Response) -> flask.Response:
    """Have the request's answer committed with the transaction that is open, if it came with a key."""
    keeping = at_work()
    if keeping is not None:
        keeping.answer = response
    return response


def issued_before() -> str | None:
    """The uid of what the request has issued when it was run before."""
    run = _run()
    return None if run is None else run.subject


def issued(uid: str) -> None:
    """Note what the request issues, in the transaction that commits next; before its answer is kept."""
    run = _run()
    if run is not None:
        run.subject = uid


def before_write() -> None:
    """Forget an answer of the request at hand that is not committed: its transaction was rolled back, or was none."""
    keeping = at_work()
    if keeping is not None:
        keeping.answer = None


def before_commit(connection: Connection) -> None:
    """Put the answer of the request at hand into its transaction.

    Raises:
        Refusal, Overtaken: another request has taken the key meanwhile, so this one must not have an effect.
    """
    keeping = at_work()
    if keeping is None or keeping.answer is None:
        return
    keeping.settle(connection, keeping.answer)
    keeping.kept, keeping.answer = keeping.answer, None


def release_all(session: Session) -> None:
    """Let go of the keys that requests of an earlier server hold, and count all; only while nobody answers any."""
    session.execute(
        update(IdempotencyKey).where(IdempotencyKey.claim.is_not(None)).values(claim=None, claimed_until=None)
    )
    idempotency_keys.count_anew(session.connection())


def at_work() -> Keeping | None:
    """The request at hand, if it came with a key and its answer is kept."""
    return at_hand.kept().get("idempotency") if flask.has_request_context() else None


def works(keeping: Keeping) -> None:
    """Have the answer of the request at hand kept by `keeping`."""
    flask.g.idempotency = keeping


def _run() -> _Run | None:
    keeping = at_work()
    return keeping if isinstance(keeping, _Run) else None


def key_at_hand() -> str | None:
    """The key that the request at hand came with; None without one, and where the caller is not known.

    Raises:
        Refusal: it is no key.
    """
    key = at_hand.request().headers.get(HEADER)
    if key is None or "caller" not in at_hand.kept():
        return None
    if not _KEY.fullmatch(key):
        raise bad_entry(f"{HEADER}: a key is 1 to 255 printable ASCII characters; make one of random characters")
    return key


def _claimed() -> flask.Response | None:
    """Claim the request's key, if it comes with one; the answer, if an earlier one got it."""
    if at_hand.request().method != "POST":
        return None
    key = key_at_hand()
    if key is None:
        return None
    view = flask.current_app.view_functions[flask.request.endpoint or ""]
    if getattr(view, "repeatable", False):
        return None
    fingerprint = fingerprint_of(bodies.whole())
    secret = getattr(view, "secret_answer", False)
    with engines().database.write(of_user(caller().id)) as session:
        claimed = _claim(session.connection(), caller().id, key, fingerprint, secret)
    if not isinstance(claimed, _Run):
        return claimed
    renewal = functools.partial(idempotency_keys.renew, row=claimed.row, holder=claimed.claim)
    claimed.lease = engines().leases.hold(of_user(caller().id), renewal)
    works(claimed)
    return None


def _over(_error: BaseException | None) -> None:
    run = _run()
    if run is not None and run.lease is not None:
        engines().leases.let_go(run.lease)


def _after(response: flask.Response) -> flask.Response:
    run = _run()
    if run is None or run.kept is response:
        return response
    run.answer = None
    try:
        with engines().database.write_rows(of_user(caller().id)) as connection:
            _settle(connection, run, response)
    except sqlalchemy.exc.SQLAlchemyError as error:
        # What was done was done, and the answer to it is the better one; the claim lapses by itself elsewhere.
        _left.add(run.claim)
        log.error("the answer to request %s could not be kept: %s", request_id(), name_of(error))
    return response


def name_of(error: sqlalchemy.exc.SQLAlchemyError) -> str:
    """What kind of error it is, by the name that the database's driver has for it."""
    return type(getattr(error, "orig", error)).__name__


def fingerprint_of(content: bytes) -> str:
    """What is the same for the same request only, and gives no hold to whoever guesses what was in it.

    Args:
        content: what it came with.
    """
    request = flask.request
    # One of an organization that was removed is not the same in another of its name.
    member = member_at_hand()
    parts = [request.method, request.path, sorted(request.args.items(multi=True))]
    head = json.dumps([*parts, *([] if member is None else [member.organization_id])]).encode()
    return engines().signer.digest(head + b"\n" + content)


def _claim(connection: Connection, user_id: int, key: str, fingerprint: str, secret: bool) -> _Run | flask.Response:
    """Claim a key for this request; the answer, if an earlier one got it.

    Raises:
        Refusal: the key came with another request, the first one is still being answered, or there are too many.
    """
    now = clock.now()
    claim, until = secrets.token_hex(8), now + LEASE
    row = idempotency_keys.find(connection, user_id, key)
    if row is not None and row.expires_at <= now:
        idempotency_keys.forget(connection, row.id, user_id)
        row = None
    if row is None:
        idempotency_keys.sweep(connection, now, user_id)
        _require_room(connection, user_id, now)
        added = idempotency_keys.add(
            connection,
            user_id=user_id,
            key=key,
            fingerprint=fingerprint,
            expires_at=now + LIFETIME,
            claim=claim,
            claimed_until=until,
        )
        return _Run(added, claim, secret)
    require_same(row, fingerprint)
    if row.status is not None:
        return replay(row)
    if row.claimed_until is not None and row.claimed_until > now and row.claim not in _left:
        raise in_progress(row.claimed_until - now)
    _left.discard(row.claim or "")
    idempotency_keys.change(connection, row.id, claim=claim, claimed_until=until)
    return _Run(row.id, claim, secret, row.subject)


def _require_room(connection: Connection, user_id: int, now: dt.datetime) -> None:
    """See that the user may have another key, and count it.

    Raises:
        Refusal: those there are good for hours yet.
    """
    if idempotency_keys.has_room(connection, user_id, MOST_KEYS):
        return
    first = idempotency_keys.first_to_expire(connection, user_id)
    if first is None or first <= now:  # the sweep gets to those
        idempotency_keys.count_beyond(connection, user_id)
        return
    seconds = math.ceil((first - now).total_seconds())
    raise Refusal(
        429,
        "too_many_keys",
        f"you have sent {MOST_KEYS} requests with an {HEADER} in 24 hours; wait, or send fewer",
        {"Retry-After": str(seconds)},
    )


def _settle(connection: Connection, run: _Run, response: flask.Response) -> bool:
    """Let go of the key, with the answer if that is to be kept; False if another request has taken it over.

    The key of a request that was not valid, or gave a secret and has issued nothing, is free again.
    """
    if run.subject is None and (run.secret or response.status_code in _INVALID):
        return idempotency_keys.let_go(connection, run.row, run.claim)
    values: dict[str, object] = {"claim": None, "claimed_until": None, "subject": run.subject}
    if not run.secret and _is_final(response):
        values |= columns_of(response)
    return idempotency_keys.settle(connection, run.row, run.claim, **values)


def _is_final(response: flask.Response) -> bool:
    """Whether the same request would have to get the same answer again."""
    status = response.status_code
    if not response.is_sequence:
        return False  # a stream
    refused = 400 <= status < 500 and status not in _PASSING and "Retry-After" not in response.headers
    return refused or 200 <= status < 300


def require_same(row: Row[Any], fingerprint: str) -> None:
    """See that a key came with the same request before.

    Raises:
        Refusal: it came with another one.
    """
    if row.fingerprint != fingerprint:
        raise Refusal(
            422, "idempotency_mismatch", f"this {HEADER} came with another request before; use a new key for each"
        )


def columns_of(response: flask.Response) -> dict[str, object]:
    """An answer, as `replay` takes it from a row."""
    headers = [(name, value) for name, value in response.headers if name.lower() not in _NOT_KEPT]
    return {"status": response.status_code, "headers": json.dumps(headers), "body": response.get_data()}


def replay(row: Row[Any]) -> flask.Response:
    """The answer that was given before."""
    response = flask.Response(row.body, row.status, json.loads(row.headers or "[]"))
    response.headers[REPLAYED] = "true"
    return response


def in_progress(lapse: dt.timedelta) -> Refusal:
    """The refusal of a request whose key another one holds, for so long unless it renews its claim."""
    return Refusal(
        409,
        "idempotency_in_progress",
        f"the first request with this {HEADER} is still being answered; send it again for its answer",
        {"Retry-After": str(math.ceil(lapse.total_seconds()))},
    )
