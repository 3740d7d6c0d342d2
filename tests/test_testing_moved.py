"""`edge_core.testing` leads to `edge_testing` for one minor version."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator

import pytest

from edge.api import MissingPackage

MODULES = ["chaos", "contract", "wire"]


@pytest.fixture(autouse=True)
def unimported() -> Iterator[None]:
    """No module of `edge_core.testing` is there yet, nor afterwards."""
    names = ["edge_core.testing", *(f"edge_core.testing.{name}" for name in MODULES)]
    for name in names:
        sys.modules.pop(name, None)
    yield
    for name in names:
        sys.modules.pop(name, None)


@pytest.mark.parametrize("name", MODULES)
def test_an_old_module_is_the_new_module_with_a_warning(name: str) -> None:
    with pytest.warns(DeprecationWarning, match=rf"edge_core\.testing\.{name} is edge_testing\.{name} now") as warnings:
        module = importlib.import_module(f"edge_core.testing.{name}")
    assert module is importlib.import_module(f"edge_testing.{name}")
    assert "install the distribution edge-testing" in str(warnings[0].message)


def test_the_warning_points_at_the_import() -> None:
    with pytest.warns(DeprecationWarning, match=r"edge_testing\.wire") as warnings:
        from edge_core.testing import wire
    assert warnings[0].filename == __file__
    assert wire is importlib.import_module("edge_testing.wire")


def test_a_class_can_be_imported_from_its_old_place() -> None:
    with pytest.warns(DeprecationWarning, match=r"edge_testing\.chaos"):
        from edge_core.testing.chaos import ChaosProxy
    assert ChaosProxy.__module__ == "edge_testing.chaos"


def test_without_edge_testing_the_error_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "edge_testing"]:
        monkeypatch.delitem(sys.modules, name)
    finders = [finder for finder in sys.meta_path if "editable" not in str(finder)]
    monkeypatch.setattr(sys, "meta_path", finders)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if not path.endswith("edge-testing")])
    with (
        pytest.warns(DeprecationWarning, match=r"edge_testing\.chaos"),
        pytest.raises(MissingPackage, match="install the distribution edge-testing"),
    ):
        importlib.import_module("edge_core.testing.chaos")
