"""Documented import path of `ServerInfo`."""

from typing import TYPE_CHECKING

from edge._lazy import exports

if TYPE_CHECKING:
    from edge_applications.server_info import ServerInfo as ServerInfo

__getattr__, __dir__ = exports(__name__)
