"""`Invitation`: how a person joins an organization, and a new user gets a first token."""

from __future__ import annotations

import datetime as dt
from typing import ClassVar

from edge_core.records import Record, field


class Invitation(Record):
    """An invitation to an organization; only the answer that creates it has the code."""

    _hidden: ClassVar[frozenset[str]] = frozenset({"code"})

    id: str = field(doc="The invitation's id, which is not secret.")
    user_name: str = field(doc="Name of the invited user.")
    organization_name: str = field(doc="Short name of the organization.")
    created_at: dt.datetime = field(doc="UTC.")
    expires_at: dt.datetime = field(doc="UTC.")
    email: str | None = field(default=None, doc="Address of a new user; ignored for others.")
    roles: list[str] = field(default_factory=list, doc='"admin", "developer", both or neither.')
    created_by: str | None = field(default=None, doc="User name of the inviting admin.")
    accepted_at: dt.datetime | None = field(default=None, doc="UTC; null while it is open.")
    code: str | None = field(default=None, doc="The one-time code; only in the answer that creates it.")
