"""Documented import path of `Organization` and its status."""

from typing import TYPE_CHECKING

from edge._lazy import exports

if TYPE_CHECKING:
    from edge_admin.organization import (
        Organization as Organization,
    )
    from edge_admin.organization import (
        OrganizationStatusEnum as OrganizationStatusEnum,
    )

__getattr__, __dir__ = exports(__name__)
