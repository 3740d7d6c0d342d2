"""Who the session acts as."""

from __future__ import annotations

from edge_core.records import PLAIN_TEXT, Record, field


class Organization(Record):
    """An organization the user belongs to."""

    __slots__ = ()

    organization_name: str = field(doc="Short name, as in the browser's address.")
    title: str = field(doc="Name for display.")
    roles: list[str] = field(default_factory=list, doc='"admin", "developer", both or neither.')


class WhoAmI(Record):
    """The user a token belongs to."""

    __slots__ = ()

    user_name: str = field(doc="The user's id across all Edge systems.")
    first_name: str | None = None
    last_name: str | None = None
    email: str | None = None
    server_admin: bool = False
    license_name: str | None = None
    organizations: list[Organization] = field(default_factory=list)


class Profile(Record):
    """What a user may change of their own record; None erases."""

    __slots__ = ()

    first_name: str | None = field(default=None, max_length=200, pattern=PLAIN_TEXT)
    last_name: str | None = field(default=None, max_length=200, pattern=PLAIN_TEXT)
    email: str | None = field(default=None, max_length=320, pattern=PLAIN_TEXT)
