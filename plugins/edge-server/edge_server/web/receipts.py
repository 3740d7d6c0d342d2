"""What a request with an Idempotency-Key leaves once it is done, so that the same sent again is answered alike.

This is for a DELETE, PATCH or PUT. Such a request is done in one transaction, and its receipt, which is its key with
its answer, is the last part of that. So nothing is claimed before, as it is for a POST (`idempotency`), and what is
sent once costs a look and a row. What is sent again, since the answer was lost, gets the answer of the first.

If the first is done only after that look, the second is refused, as what it deletes is gone, the name it takes is taken
or what it changes is not as it was; or it comes upon what was put there meanwhile, and then the receipt of the first
rolls it back. In either case it gets the answer of the first as well. What was refused has had no effect and leaves no
receipt.

A view whose effect is not all in one transaction, but at a hub or a store as well, makes its answer behind that. Its
receipt is a transaction of its own then: if the server dies before, what is sent again finds that it is done.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import functools
from collections.abc import Callable
from typing import Any, TypeVar, cast

import flask
import sqlalchemy as sa
import sqlalchemy.exc
from sqlalchemy import Connection, ForeignKey, LargeBinary, String, bindparam
from sqlalchemy.orm import Mapped, mapped_column

from edge_server.base import at_hand, clock
from edge_server.base.problems import Refusal, bad_entry, log, request_id
from edge_server.data.database import of_user
from edge_server.data.declarative import Base
from edge_server.identity.models import User
from edge_server.web import bodies, idempotency, snapshot
from edge_server.web.engines import engines
from edge_server.web.leases import LEASE
from edge_server.web.permissions import caller

METHODS = frozenset({"DELETE", "PATCH", "PUT"})

LIFETIME = dt.timedelta(minutes=15)
"""How long a receipt is kept: longer than any client goes on trying. As they are many, it is not for a day."""

SWEPT = 100
"""Most old receipts that a new one clears away."""

# Of one that was done already: it is gone, its name is taken, it is not as it was.
_DONE_MEANWHILE = (404, 409, 412)

_CONDITIONS = ("If-Match", "If-None-Match")

_View = TypeVar("_View", bound=Callable[..., Any])


class Receipt(Base):
    """A request that was done, and its answer."""

    __tablename__ = "receipts"

    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    key: Mapped[str] = mapped_column(String(255), primary_key=True)
    fingerprint: Mapped[str] = mapped_column(String(64))
    expires_at: Mapped[dt.datetime] = mapped_column(index=True)
    status: Mapped[int]
    headers: Mapped[str]
    body: Mapped[bytes] = mapped_column(LargeBinary)


_RECEIPTS = cast(sa.Table, Receipt.__table__)
_USERS = cast(sa.Table, User.__table__)

# Built once, so that SQLAlchemy finds them compiled.
_ITS = sa.and_(_RECEIPTS.c.user_id == bindparam("user"), _RECEIPTS.c.key == bindparam("its_key"))
_FIND = sa.select(_RECEIPTS).where(_ITS, _RECEIPTS.c.expires_at > bindparam("now"))
_EXPIRED = (
    sa.select(_RECEIPTS.c.user_id, _RECEIPTS.c.key)
    .where(_RECEIPTS.c.expires_at <= bindparam("now"))
    .limit(SWEPT)
    .with_for_update(skip_locked=True)
)
# An old one under the same key goes in any case.
_SWEEP = _RECEIPTS.delete().where(
    _RECEIPTS.c.expires_at <= bindparam("now"),
    sa.or_(_ITS, sa.tuple_(_RECEIPTS.c.user_id, _RECEIPTS.c.key).in_(_EXPIRED)),
)
_OTHERS = [column for column in _RECEIPTS.c if column.name != "user_id"]
# A user who has removed themselves has none.
_ADD = _RECEIPTS.insert().from_select(
    ["user_id", *(column.name for column in _OTHERS)],
    sa.select(_USERS.c.id, *(bindparam(f"its_{column.name}", type_=column.type) for column in _OTHERS)).where(
        _USERS.c.id == bindparam("user")
    ),
)


class Overtaken(Exception):
    """Another request under the key is done, so that this one must not have an effect."""


@dataclasses.dataclass
class _Keeping:
    """A request with a key.

    Attributes:
        user_id: its caller.
        key: its key.
        fingerprint: what is the same for the same request only.
        answer: what it will answer, if it is known already.
        kept: the answer that went into a transaction.
    """

    user_id: int
    key: str
    fingerprint: str
    answer: flask.Response | None = None
    kept: flask.Response | None = None

    def settle(self, connection: Connection, response: flask.Response) -> None:
        """Leave the receipt.

        Raises:
            Overtaken: there is one.
        """
        now = clock.now()
        connection.execute(_SWEEP, {"now": now, "user": self.user_id, "its_key": self.key})
        columns = {"key": self.key, "fingerprint": self.fingerprint, "expires_at": now + LIFETIME}
        columns |= idempotency.columns_of(response)
        values = {f"its_{name}": value for name, value in columns.items()}
        try:
            connection.execute(_ADD, {"user": self.user_id, **values})
        except sqlalchemy.exc.IntegrityError:
            raise Overtaken from None

    def replay(self, connection: Connection) -> flask.Response | None:
        """The answer to the same request that was done; None if there is none.

        Raises:
            Refusal: the key came with another request.
        """
        row = connection.execute(_FIND, {"user": self.user_id, "its_key": self.key, "now": clock.now()}).first()
        if row is None:
            return None
        idempotency.require_same(row, self.fingerprint)
        return idempotency.replay(row)


def install(app: flask.Flask) -> None:
    """Leave receipts of what `app` has done elsewhere than in a transaction."""
    app.after_request(_after)


def once(view: _View) -> _View:
    """The view, with whatever is sent again under its key answered as it was the first time."""
    takes_json = hasattr(view, "once")

    @functools.wraps(view)
    def run(*args: Any, **kwargs: Any) -> Any:
        keeping = _keeping(takes_json)
        if keeping is None:
            return view(*args, **kwargs)
        replay = keeping.replay(snapshot.connection())
        if replay is not None:
            return replay
        idempotency.works(keeping)
        try:
            return view(*args, **kwargs)
        except Overtaken:
            refusal = idempotency.in_progress(LEASE)
        except Refusal as error:
            if error.status not in _DONE_MEANWHILE:
                raise
            refusal = error
        with engines().database.engine.connect() as connection:
            replay = keeping.replay(connection)
        if replay is None:
            raise refusal
        return replay

    return cast(_View, run)


def _keeping(takes_json: bool) -> _Keeping | None:
    key = idempotency.key_at_hand()
    view = flask.current_app.view_functions[flask.request.endpoint or ""]
    if key is None or getattr(view, "secret_answer", False):
        return None
    request = at_hand.request()
    conditions = [request.headers.get(name, "") for name in _CONDITIONS]
    content = bodies.whole() if takes_json else _digest(request)
    return _Keeping(caller().id, key, idempotency.fingerprint_of("\n".join(conditions).encode() + b"\n" + content))


def _digest(request: flask.Request) -> bytes:
    """What tells the content of a request from other content, which is not read before it is stored.

    Raises:
        Refusal: it says nothing of the kind.
    """
    digest = request.headers.get("Content-Digest", "")
    if not digest and (request.content_length or "Transfer-Encoding" in request.headers):
        raise bad_entry(f"{idempotency.HEADER}: content that comes with a key needs a Content-Digest")
    return digest.encode()


def _after(response: flask.Response) -> flask.Response:
    keeping = idempotency.at_work()
    if not isinstance(keeping, _Keeping) or keeping.kept is not None or not 200 <= response.status_code < 300:
        return response
    if idempotency.REPLAYED in response.headers:
        return response
    keeping.answer = None
    try:
        with engines().database.write_rows(of_user(keeping.user_id)) as connection:
            keeping.settle(connection, response)
    except Overtaken:
        pass  # by one that was sent at the same time, and had the same effect elsewhere
    except sqlalchemy.exc.SQLAlchemyError as error:
        # What was done was done, and the answer to it is the better one.
        log.error("the receipt of request %s could not be kept: %s", request_id(), idempotency.name_of(error))
    return response
