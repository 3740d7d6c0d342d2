"""Import path of the compute records, beside those of tokens and billing."""

from typing import TYPE_CHECKING

from edge._lazy import exports

if TYPE_CHECKING:
    from edge_compute.app_placeholder import AppPlaceholder as AppPlaceholder
    from edge_compute.app_profile import (
        AppProfile as AppProfile,
    )
    from edge_compute.app_profile import (
        AppProfileStatusEnum as AppProfileStatusEnum,
    )

__getattr__, __dir__ = exports(__name__)
