"""The documented import paths: one table, its twins for the checker, and what the plugins define."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
from pathlib import Path

import pytest

import edge
from edge_core.documented import EXPORTS, NAMESPACES, distribution_of
from edge_core.session import EdgeSession

FOLDER = Path(edge.__file__).parent

each_path = pytest.mark.parametrize("path", sorted(EXPORTS))


def _source(path: str) -> Path:
    base = FOLDER.parent.joinpath(*path.split("."))
    return base / "__init__.py" if base.is_dir() else base.with_suffix(".py")


def _for_the_checker(source: Path) -> dict[str, str]:
    """Name -> module of what the file imports under `if TYPE_CHECKING`."""
    guarded = [
        node
        for node in ast.parse(source.read_text()).body
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
    ]
    imports = [node for block in guarded for node in block.body if isinstance(node, ast.ImportFrom)]
    # `import X as X` is what makes a re-export of it.
    return {
        alias.name: str(statement.module)
        for statement in imports
        for alias in statement.names
        if alias.asname == alias.name
    }


def _installed(module: str) -> bool:
    return importlib.util.find_spec(module.partition(".")[0]) is not None


@each_path
def test_what_the_checker_sees_is_what_the_table_says(path: str) -> None:
    assert _for_the_checker(_source(path)) == EXPORTS[path]


def test_every_file_that_re_exports_is_in_the_table() -> None:
    paths = {
        ".".join(["edge", *file.relative_to(FOLDER).with_suffix("").parts]).removesuffix(".__init__")
        for file in FOLDER.rglob("*.py")
        if "exports(__name__)" in file.read_text()
    }

    assert paths == set(EXPORTS)


@each_path
def test_installed_distributions_define_what_the_table_says(path: str) -> None:
    module = importlib.import_module(path)
    defined = {name: importlib.import_module(source) for name, source in EXPORTS[path].items() if _installed(source)}

    for name, source in defined.items():
        assert getattr(module, name) is getattr(source, name)


@each_path
def test_a_name_whose_distribution_is_missing_says_which_to_install(path: str) -> None:
    module = importlib.import_module(path)

    for name, source in EXPORTS[path].items():
        if not _installed(source):
            with pytest.raises(ImportError, match=f"install the distribution {distribution_of(source)} "):
                getattr(module, name)


def test_the_checker_knows_every_documented_property() -> None:
    annotations = [
        node for node in ast.walk(ast.parse(inspect.getsource(EdgeSession))) if isinstance(node, ast.AnnAssign)
    ]

    assert set(NAMESPACES) <= {node.target.id for node in annotations if isinstance(node.target, ast.Name)}
