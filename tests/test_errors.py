"""The tree of errors, and the catalogue that lacks none of them."""

from __future__ import annotations

from pathlib import Path

import pytest

import edge.api
from edge_core import errors
from tools.error_catalogue import CLASSES, of_plugins, sentences, text

KEPT = Path(__file__).parent.parent / "docs" / "errors.md"


def test_the_kept_catalogue_is_current() -> None:
    assert KEPT.read_text(encoding="utf-8") == text(), "run python -m tools.error_catalogue docs/errors.md"


@pytest.mark.parametrize("name", CLASSES)
def test_every_class_is_explained_and_can_be_imported(name: str) -> None:
    assert f"\n## {name}\n" in KEPT.read_text(encoding="utf-8")
    if name not in ("PluginAttributeError", "PluginImportError"):
        assert getattr(edge.api, name) is CLASSES[name]


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("ConnectionFailed", "nothing listens at <host>; check the service URL, and that the server runs"),
        ("PluginAttributeError", "session.<name> is not installed here; install the distribution"),
        ("Forbidden", "this token's user may not do that; ask an administrator"),
        ("Unauthenticated", "the API token is mistyped or cut off; copy it again"),
        ("Conflict", "someone else changed it since you read it; get it again"),
        ("ServerError", "the server is busy writing; try again"),
        ("BadEntry", "size: an upload has at most"),
    ],
)
def test_the_catalogue_reads_every_way_in_which_an_error_is_made(kind: str, said: str) -> None:
    assert [one for one in sentences() if one.kind == kind and one.text.startswith(said)]


def test_the_catalogue_notices_a_new_sentence(tmp_path: Path) -> None:
    package = tmp_path / "plugins" / "edge-lab" / "edge_lab"
    package.mkdir(parents=True)
    (package / "shelf.py").write_text(
        "class NoShelf(NotFound):\n"
        "    'There is no such shelf.'\n"
        "def find(name):\n"
        "    said = f'there is no shelf {name}; look on another floor'\n"
        "    raise NoShelf(said)\n"
        "def _gone(detail):\n"
        "    return Refusal(410, 'gone', detail)\n"
        "def take(plate):\n"
        "    raise _gone(f'{plate.name} was thrown away; make another')\n"
    )
    found = {(one.kind, one.text, one.status, one.code) for one in sentences(tmp_path)}
    assert found == {
        ("NoShelf", "there is no shelf <name>; look on another floor", 0, ""),
        ("NotFound", "<name> was thrown away; make another", 410, "gone"),
    }
    assert of_plugins(tmp_path) == {"NoShelf": "A `NotFound`, from `edge_lab.shelf`: There is no such shelf."}


def test_only_errors_of_ours_are_in_the_tree() -> None:
    assert all(issubclass(kind, errors.EdgeError) for kind in CLASSES.values())
    assert len(CLASSES) <= 20, "an error class more is one more for every user to know"
