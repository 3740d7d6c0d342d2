"""`AuditLine`: a change that somebody made."""

from __future__ import annotations

import datetime as dt

from edge_core.records import Record, field


class AuditLine(Record):
    """Who changed what, and when; never the content of a secret, the value of a token or somebody's profile."""

    at: dt.datetime = field(doc="UTC.")
    user_name: str = field(
        doc='Who did it; "(anyone)" without a token, "(operator)" by a command on the server\'s machine, "(hub)" if it '
        "follows from a JupyterHub's users and groups."
    )
    action: str = field(doc="The operation, as in the permission table.")
    about: dict[str, str] = field(default_factory=dict, doc="What it was done to.")
    organization_name: str | None = field(default=None, doc="Short name of the organization; null for the server.")
    token_id: str | None = field(default=None, doc="Id of the token it was done with, which is not secret.")
    request_id: str = field(default="", doc="Id of the request, as in the server's log; empty of a command.")
