"""`ServerInfo`: how the images of an application are fetched from a registry."""

from __future__ import annotations

from typing import ClassVar

from edge_applications.names import APP_ID, DOMAIN
from edge_core.records import PLAIN_TEXT, Record, field


class ServerInfo(Record):
    """Credentials of an application for one registry; images find theirs by its domain.

    The password goes to the server and never comes back: in the server's records it is None, and an
    update that leaves it at None keeps the stored one.

    >>> ServerInfo("viewer", "quay.io", "lab+robot", "secret")
    ServerInfo(app_id='viewer', domain='quay.io', username='lab+robot')
    """

    _hidden: ClassVar[frozenset[str]] = frozenset({"password"})

    app_id: str = field(pattern=APP_ID, doc="The application.")
    domain: str = field(pattern=DOMAIN, doc="Host of the registry, such as quay.io; it stays.")
    username: str = field(default="", max_length=200, pattern=PLAIN_TEXT, doc="User name at the registry.")
    password: str | None = field(
        default=None, max_length=10000, doc="Password or token. It is stored encrypted and never sent back."
    )
