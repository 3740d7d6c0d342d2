"""Records as answers."""

from __future__ import annotations

import json
from typing import Any, Protocol

import flask

from edge_core.records import Record
from edge_server.web import idempotency


class Revised(Protocol):
    """A row that counts its changes."""

    uid: Any
    revision: Any


def etag(row: Revised) -> str:
    """The row's entity tag; of another row under the same name it is another one."""
    return f'"{row.uid}-{row.revision}"'


def answer(record: Record, row: Revised | None = None, status: int = 200) -> flask.Response:
    """A record as a JSON answer. Dumping through marshmallow would take a listing ten times as long.

    Where the view writes, this belongs inside its transaction: the answer to a request that can be
    sent again is committed with it.

    Args:
        record: what to send.
        row: the row it tells of, if that can be updated: the answer says which state of it that is.
            One that was changed must be flushed first, so that the change has been counted.
        status: HTTP status code.
    """
    headers = {} if row is None else {"ETag": etag(row)}
    content = json.dumps(record.to_dict()) + "\n"
    return idempotency.keep(flask.Response(content, status, headers, content_type="application/json"))


def nothing() -> flask.Response:
    """An answer without content, kept as `answer` is."""
    return idempotency.keep(flask.Response(status=204))
