"""`Organization` as administrators see it."""

from __future__ import annotations

import enum
from typing import ClassVar

from edge_admin.names import ORGANIZATION_NAME
from edge_core.records import PLAIN_TEXT, Record, field


class OrganizationStatusEnum(enum.Enum):
    """The state of an organization."""

    Active = "active"
    DisableApps = "disable_apps"
    """No app can be launched in the whole organization."""
    Deleting = "deleting"
    """Closed, while its data is being removed."""


class Organization(Record):
    """A group of users with data of their own.

    >>> Organization(name="lab", title="The lab").status
    <OrganizationStatusEnum.Active: 'active'>
    """

    # The name in the API description; a user's own view of an organization is another record.
    _described_as: ClassVar[str | None] = "AdminOrganization"

    name: str = field(pattern=ORGANIZATION_NAME, doc="Short name, as in the browser's address; it never changes.")
    title: str | None = field(
        default=None, max_length=200, pattern=PLAIN_TEXT, doc="Name for display; by default the short name."
    )
    status: OrganizationStatusEnum = field(
        default=OrganizationStatusEnum.Active, doc="deleting is set by removing the organization, not by an update."
    )
    disable_launch: bool = field(default=False, doc="No app can be launched.")
    shutdown_apps: bool = field(default=False, doc="Apps that run are stopped when launching is disabled.")
    active: bool = field(default=True, doc="false closes it to its members, with its data kept.")
    uid: str | None = field(default=None, doc="Universally unique id, given by the server.")
