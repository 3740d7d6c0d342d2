"""`Invitation`: how a person gets into an organization, and a new one to a first token."""

from __future__ import annotations

import datetime as dt
from typing import ClassVar

from edge_core.records import Record, field


class Invitation(Record):
    """An invitation that was made; its code is there once, where it was made."""

    __slots__ = ()

    _hidden: ClassVar[frozenset[str]] = frozenset({"code"})

    id: str = field(doc="The invitation's id, which is no secret.")
    user_name: str = field(doc="Whom it is for.")
    organization_name: str = field(doc="Where they are invited to.")
    created_at: dt.datetime = field(doc="UTC.")
    expires_at: dt.datetime = field(doc="UTC.")
    email: str | None = field(default=None, doc="Kept as theirs, if they are new.")
    roles: list[str] = field(default_factory=list, doc='"admin", "developer", both or neither.')
    created_by: str | None = field(default=None, doc="User name of who made it.")
    accepted_at: dt.datetime | None = field(default=None, doc="UTC; null while it is open.")
    code: str | None = field(default=None, doc="The one-time code; only in the answer that makes it.")
