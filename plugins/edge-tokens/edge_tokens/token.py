"""`Token`."""

from __future__ import annotations

import datetime as dt
from typing import ClassVar

from edge_core.records import Record, field


class Token(Record):
    """An API token of the current user.

    Its value is there once, in what `EdgeTokens.create` returns, and never again: the server keeps
    only what it needs to know the token by. It shows in `to_dict`, not in `repr`.
    """

    __slots__ = ()

    _hidden: ClassVar[frozenset[str]] = frozenset({"token"})

    id: str = field(doc="The token's id, which is no secret.")
    created_at: dt.datetime = field(doc="UTC.")
    note: str | None = field(default=None, doc="What it is for.")
    prefix: str = field(default="", doc="How its value begins, to tell it from others.")
    expires_at: dt.datetime | None = field(default=None, doc="UTC; null if it never expires.")
    last_used_at: dt.datetime | None = field(default=None, doc="UTC, to the minute or so; null if never.")
    token: str | None = field(default=None, doc="Its value; only in the answer that creates it.")
