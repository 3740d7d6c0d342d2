"""Documented import path of `Token`."""

from typing import TYPE_CHECKING

from edge._lazy import exports

if TYPE_CHECKING:
    from edge_tokens.token import Token as Token

__getattr__, __dir__ = exports(__name__)
