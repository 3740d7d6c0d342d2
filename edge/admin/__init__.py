"""Documented import path of the server administration's `Organization`."""

from typing import TYPE_CHECKING

from edge._lazy import exports

if TYPE_CHECKING:
    from edge_admin.organization import Organization as Organization

__getattr__, __dir__ = exports(__name__)
