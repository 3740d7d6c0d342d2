"""Documented import path of `Application`."""

from typing import TYPE_CHECKING

from edge._lazy import exports

if TYPE_CHECKING:
    from edge_applications.application import (
        Application as Application,
    )
    from edge_applications.application import (
        AppResource as AppResource,
    )
    from edge_applications.application import (
        AppStatusEnum as AppStatusEnum,
    )

__getattr__, __dir__ = exports(__name__)
