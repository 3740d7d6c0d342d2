"""Documented import path of `AppVersion` and its enumerations."""

from typing import TYPE_CHECKING

from edge._lazy import exports

if TYPE_CHECKING:
    from edge_applications.app_version import (
        AppFrameworkEnum as AppFrameworkEnum,
    )
    from edge_applications.app_version import (
        AppKindEnum as AppKindEnum,
    )
    from edge_applications.app_version import (
        AppProxyKindEnum as AppProxyKindEnum,
    )
    from edge_applications.app_version import (
        AppVersion as AppVersion,
    )

__getattr__, __dir__ = exports(__name__)
