"""`Token`: an API token of the current user."""

from __future__ import annotations

import datetime as dt
from typing import ClassVar

from edge_core.records import Record, field


class Token(Record):
    """An API token of the current user.

    Only the record that `EdgeTokens.create` returns has the value: the server keeps just a digest of
    it. The value shows in `to_dict`, not in `repr`.
    """

    _hidden: ClassVar[frozenset[str]] = frozenset({"token"})

    id: str = field(doc="The token's id, which is not secret.")
    created_at: dt.datetime = field(doc="UTC.")
    note: str | None = field(default=None, doc="What it is for.")
    prefix: str = field(default="", doc="The beginning of its value, to tell it from others.")
    expires_at: dt.datetime | None = field(default=None, doc="UTC; null if it never expires.")
    last_used_at: dt.datetime | None = field(default=None, doc="UTC, to the minute or so; null if never.")
    scopes: list[str] | None = field(default=None, doc="What it is limited to; null if it is not.")
    token: str | None = field(default=None, doc="Its value; only in the answer that creates it.")
