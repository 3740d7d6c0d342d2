"""Documented import path of the server administration's records."""

from typing import TYPE_CHECKING

from edge._lazy import exports

if TYPE_CHECKING:
    from edge_admin.organization import (
        Organization as Organization,
    )
    from edge_admin.organization import (
        OrganizationStatusEnum as OrganizationStatusEnum,
    )
    from edge_admin.user import User as User

__getattr__, __dir__ = exports(__name__)
