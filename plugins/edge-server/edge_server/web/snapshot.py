"""What a request reads of the database: one transaction, from the look at its token to the view's first block.

It ends with that block, or earlier where something is written or a body is waited for, and with the request at the
latest: a slow client holds no connection, and no state of the database that others have left behind.
"""

from __future__ import annotations

import flask
from sqlalchemy import Connection

from edge_server.base import at_hand
from edge_server.data.database import Database
from edge_server.web.engines import engines

_NAME = "snapshot"


def install(app: flask.Flask, database: Database) -> None:
    """End the transaction of each request of `app` in time."""
    database.before_write = end
    app.after_request(_after)
    app.teardown_request(_teardown)


def connection() -> Connection:
    """The connection of the request at hand, to look up who asks; whoever needs it longer takes it."""
    kept = at_hand.kept()
    own: Connection | None = kept.get(_NAME)
    if own is None:
        own = engines().database.engine.connect()
        setattr(kept, _NAME, own)
    return own


def take(database: Database) -> Connection:
    """The connection of the request at hand, or another where it has none, or none any more; the caller closes it."""
    own: Connection | None = at_hand.kept().pop(_NAME, None) if flask.has_request_context() else None
    return database.engine.connect() if own is None else own


def end() -> None:
    """End the transaction of the request at hand, if nobody has taken it; what is read next is looked up anew."""
    own: Connection | None = at_hand.kept().pop(_NAME, None) if flask.has_request_context() else None
    if own is not None:
        own.close()


def _after(response: flask.Response) -> flask.Response:
    end()  # before the answer is sent
    return response


def _teardown(_error: BaseException | None) -> None:
    end()  # of a request that was refused before it came to an answer
