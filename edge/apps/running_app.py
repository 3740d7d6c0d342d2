"""Import path of `RunningApp`, its status, and with whom it is shared."""

from typing import TYPE_CHECKING

from edge._lazy import exports

if TYPE_CHECKING:
    from edge_applications.running_app import RunningApp as RunningApp
    from edge_applications.running_app import RunningAppStatusEnum as RunningAppStatusEnum
    from edge_applications.running_app import SharedWith as SharedWith

__getattr__, __dir__ = exports(__name__)
