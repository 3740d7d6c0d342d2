"""The tree of errors, and the page that lists all of it."""

from __future__ import annotations

from pathlib import Path

import edge.api
from edge_core import errors
from tools import error_catalogue
from tools.set_version import ROOT

PAGE = ROOT / "docs" / "errors.md"
CORE = [kind for kind in error_catalogue.classes() if kind.__module__ == errors.__name__]


def test_the_page_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == error_catalogue.text(), (
        "run python -m tools.error_catalogue docs/errors.md"
    )


def test_a_class_or_code_without_a_line_is_noticed(tmp_path: Path) -> None:
    package = tmp_path / "plugins" / "edge-vfs" / "edge_vfs"
    package.mkdir(parents=True)
    (package / "openers.py").write_text(
        "class UnreadableContent(EdgeError):\n"
        "    pass\n"
        "def take(plate):\n"
        "    raise Refusal(\n"
        "        410,\n"
        "        'gone',\n"
        "        'the plate was thrown away; make another',\n"
        "    )\n"
        "BY_STATUS = {404: ('unknown_route', 'this address does not exist')}\n".replace("'", '"')
    )
    assert [kind.__name__ for kind in error_catalogue.classes(tmp_path)][-1] == "UnreadableContent"
    assert error_catalogue.codes(tmp_path) == [(404, "unknown_route", "NotFound"), (410, "gone", "NotFound")]


def test_every_class_of_the_core_can_be_imported_from_edge_api() -> None:
    names = {kind.__name__ for kind in CORE}
    assert {"EdgeError", "NotFound"} < names
    assert {name for name in names if getattr(edge.api, name, None) is not getattr(errors, name)} == {
        "PluginAttributeError",
        "PluginImportError",
    }


def test_the_tree_stays_small() -> None:
    assert len(CORE) <= 20, "an error class more is one more for every user to know"
