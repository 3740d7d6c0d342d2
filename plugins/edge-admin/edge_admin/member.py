"""`Member`: a user in one organization."""

from __future__ import annotations

from edge_admin.names import USER_NAME
from edge_core.records import PLAIN_TEXT, Pattern, Record, field

ROLE = Pattern("^(admin|developer)$", 'write "admin" or "developer"')


class Member(Record):
    """A user of an organization, with the roles they have in it."""

    user_name: str = field(pattern=USER_NAME, doc="The user's id across all Edge systems.")
    roles: list[str] = field(
        default_factory=list, max_length=2, item_pattern=ROLE, doc='"admin", "developer", both or neither.'
    )
    first_name: str | None = field(default=None, max_length=200, pattern=PLAIN_TEXT, doc="Changed by the user alone.")
    last_name: str | None = field(default=None, max_length=200, pattern=PLAIN_TEXT, doc="Changed by the user alone.")
    email: str | None = field(default=None, max_length=320, pattern=PLAIN_TEXT, doc="Changed by the user alone.")
    license_name: str | None = field(
        default=None, max_length=100, pattern=PLAIN_TEXT, doc="Changed by the admins of the user's home organization."
    )
    invited: bool = field(default=False, doc="Whether they are no member before they accept.")
    home: bool = field(default=False, doc="Whether this is the user's home organization.")
