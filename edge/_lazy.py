"""The lazy re-exports of the documented import paths."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from edge_core.documented import EXPORTS, distribution_of


def exports(module: str) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """`__getattr__` and `__dir__` (PEP 562) of a module under ``edge``.

    Names resolve when they are asked for, so importing ``edge.api`` loads no plugin. A name whose
    distribution is not installed raises an `ImportError` that says which one to install.
    """
    names = EXPORTS[module]

    def __getattr__(name: str) -> Any:
        if name not in names:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        try:
            return getattr(importlib.import_module(names[name]), name)
        except Exception as error:
            raise _import_error(module, name, names[name], error) from error

    def __dir__() -> list[str]:
        return sorted(names)

    return __getattr__, __dir__


def _import_error(module: str, name: str, source: str, error: Exception) -> ImportError:
    from edge_core.errors import PluginImportError

    distribution = distribution_of(source)
    if isinstance(error, ModuleNotFoundError) and error.name == source.partition(".")[0]:
        sentence = f"{module}.{name} is not installed here; install the distribution {distribution} (README, Install)"
    else:
        import importlib.metadata

        try:
            version = importlib.metadata.version(distribution)
        except importlib.metadata.PackageNotFoundError:
            version = "(not installed)"
        sentence = (
            f"{module}.{name} is broken: {distribution} {version} failed with {type(error).__name__}: {error}; "
            f"fix, upgrade or uninstall {distribution}"
        )
    return PluginImportError(sentence, name=module)
