"""`User` as server admins see them."""

from __future__ import annotations

from edge_admin.names import ORGANIZATION_NAME, USER_NAME
from edge_core.records import PLAIN_TEXT, Record, field


class User(Record):
    """A person or machine that tokens belong to.

    >>> User("test-user-1", "Bob", "User", "bob@user.com").email
    'bob@user.com'
    """

    user_name: str = field(pattern=USER_NAME, doc="The user's id across all Edge systems; it never changes.")
    first_name: str | None = field(
        default=None, max_length=200, pattern=PLAIN_TEXT, doc="Changed by the user alone, once they have had a token."
    )
    last_name: str | None = field(
        default=None, max_length=200, pattern=PLAIN_TEXT, doc="Changed by the user alone, once they have had a token."
    )
    email: str | None = field(
        default=None, max_length=320, pattern=PLAIN_TEXT, doc="Changed by the user alone, once they have had a token."
    )
    server_admin: bool = field(default=False, doc="Whether the user administers the server.")
    home_org: str | None = field(
        default=None, pattern=ORGANIZATION_NAME, doc="Short name of the organization whose admins manage the license."
    )
    license_name: str | None = field(
        default=None, max_length=100, pattern=PLAIN_TEXT, doc="Stored and shown, not enforced."
    )
    uid: str | None = field(default=None, doc="Universally unique id, given by the server.")
