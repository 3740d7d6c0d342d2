"""How tests call the commands of applications."""

from __future__ import annotations

from collections.abc import Callable

from click.testing import Result

Run = Callable[..., Result]
"""Calls `edge app`, as somebody of the organization."""
