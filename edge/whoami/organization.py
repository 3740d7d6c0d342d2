"""Documented import path of the `Organization` of `WhoAmI`."""

from typing import TYPE_CHECKING

from edge._lazy import exports

if TYPE_CHECKING:
    from edge_core.whoami import Organization as Organization

__getattr__, __dir__ = exports(__name__)
