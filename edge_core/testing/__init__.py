"""The former place of `edge_testing`, kept for one minor version; `edge_testing` is a distribution of its own."""

from __future__ import annotations

import importlib
import warnings
from types import ModuleType

from edge_core.errors import MissingPackage


def moved(name: str) -> ModuleType:
    """The module of `edge_testing` that was here, with a warning at the line that imports it.

    Raises:
        MissingPackage: edge-testing is not installed.
    """
    warnings.warn(
        f"edge_core.testing.{name} is edge_testing.{name} now, and will go with the next minor version; "
        "install the distribution edge-testing and import it from there",
        DeprecationWarning,
        stacklevel=3,
    )
    try:
        return importlib.import_module(f"edge_testing.{name}")
    except ModuleNotFoundError as error:
        if error.name != "edge_testing":
            raise
        raise MissingPackage(
            f"edge_core.testing.{name} is edge_testing.{name} now; install the distribution edge-testing"
        ) from None
