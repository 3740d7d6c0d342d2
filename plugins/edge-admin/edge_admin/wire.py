"""Records of requests and answers beside the documented ones; the server imports them."""

from __future__ import annotations

import datetime as dt

from edge_admin.audit_line import AuditLine
from edge_admin.invitation import Invitation
from edge_admin.member import ROLE, Member
from edge_admin.names import USER_NAME
from edge_admin.organization import Organization
from edge_admin.user import User
from edge_core.records import PLAIN_TEXT, Record, field


class AdminQuery(Record):
    """Query for a page of a list, in the order of the names."""

    limit: int = field(default=100, minimum=1, maximum=1000, doc="Most items of one page.")
    cursor: str | None = field(default=None, doc="The `next` of the page before this.")


class AuditQuery(Record):
    """Query for a page of audit lines, the newest first."""

    limit: int = field(default=100, minimum=1, maximum=1000, doc="Most items of one page.")
    cursor: str | None = field(default=None, doc="The `next` of the page before this.")
    since: dt.datetime | None = field(default=None, doc="This moment and later ones.")
    until: dt.datetime | None = field(default=None, doc="Moments before this one.")
    user_name: str | None = field(default=None, max_length=100, doc="Lines of who has this name now, else of the name.")
    action: str | None = field(default=None, max_length=100, doc='An operation, or a group such as "members".')


class AuditPage(Record):
    """One page of audit lines."""

    items: list[AuditLine]
    next: str | None = field(default=None, doc="Cursor of the page after it; null on the last one.")


class OrganizationPage(Record):
    """One page of the server's organizations."""

    items: list[Organization]
    next: str | None = field(default=None, doc="Cursor of the page after it; null on the last one.")


class UserPage(Record):
    """One page of the server's users."""

    items: list[User]
    next: str | None = field(default=None, doc="Cursor of the page after it; null on the last one.")


class MemberPage(Record):
    """One page of an organization's members."""

    items: list[Member]
    next: str | None = field(default=None, doc="Cursor of the page after it; null on the last one.")


class InvitationPage(Record):
    """One page of an organization's invitations."""

    items: list[Invitation]
    next: str | None = field(default=None, doc="Cursor of the page after it; null on the last one.")


class AddMember(Record):
    """A membership to add."""

    user_name: str = field(pattern=USER_NAME, doc="The user's id across all Edge systems.")
    roles: list[str] = field(
        default_factory=list, max_length=2, item_pattern=ROLE, doc='"admin", "developer", both or neither.'
    )


class Invite(Record):
    """An invitation to create, of a user who need not exist yet."""

    user_name: str = field(pattern=USER_NAME, doc="Name of the user, who need not exist yet.")
    email: str | None = field(
        default=None, max_length=320, pattern=PLAIN_TEXT, doc="Address of a new user; ignored for others."
    )
    roles: list[str] = field(
        default_factory=list, max_length=2, item_pattern=ROLE, doc='"admin", "developer", both or neither.'
    )
