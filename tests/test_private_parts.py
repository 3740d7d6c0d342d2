"""What we use of other libraries and they may change at any time: which parts, and up to which version.

The detection goes by names: a private name that neither a distribution of ours nor those it builds on define belongs
to another library.
"""

from __future__ import annotations

import ast
import configparser
import functools
import importlib
import inspect
import pkgutil
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, TypeGuard

import pytest

from tools import words
from tools.set_version import ROOT

_FOLDERS = [ROOT / "edge_core", *ROOT.glob("plugins/*/edge_*")]
PACKAGES = {path.name: path for path in _FOLDERS if path.name.isidentifier()}

#: The libraries of ours, which our other packages build on and reach into.
SHARED = {"edge_core": [], "edge_vfs": ["edge_core"]}


class Part(NamedTuple):
    """A part of another library, and the first version of it that nobody has looked at."""

    library: str
    below: str


#: By package of ours and name; the bound is in the package's setup.cfg.
PARTS = {
    ("edge_core", "_content"): Part("requests", "3"),
    ("edge_core", "_format_error"): Part("marshmallow", "5"),
    ("edge_hub", "_service_map"): Part("jupyterhub", "7"),
    ("edge_server", "MAX_REQUEST_LINE"): Part("gunicorn", "28"),
    ("edge_server", "gunicorn.arbiter"): Part("gunicorn", "28"),
    ("edge_server", "gunicorn.glogging"): Part("gunicorn", "28"),
    ("edge_server", "gunicorn.http"): Part("gunicorn", "28"),
    ("edge_server", "gunicorn.http.body"): Part("gunicorn", "28"),
    ("edge_server", "gunicorn.http.message"): Part("gunicorn", "28"),
    ("edge_server", "gunicorn.http.parser"): Part("gunicorn", "28"),
    ("edge_server", "gunicorn.systemd"): Part("gunicorn", "28"),
    ("edge_server", "gunicorn.workers"): Part("gunicorn", "28"),
    ("edge_sources", "_read_timeout"): Part("pymysql", "2"),
}

#: Modules of others that their documentation does not name, so that all of them is private.
UNDOCUMENTED = re.compile(r"gunicorn\.(?!app\b|config\b)")

#: What a library documents despite the underscore: marshmallow in its guide to fields of one's own, Flask in its
#: chapter on signals, for the object behind a proxy, and fsspec in its guide to file systems of one's own.
DOCUMENTED = {"_deserialize", "_get_current_object", "_intrans", "_open", "_strip_protocol"}

#: What metaclasses put into each class: those of abc, of marshmallow's schemas, and of fsspec's file systems.
BY_METACLASSES = {"_abc_impl", "_cache", "_declared_fields", "_hooks", "_instantiation_lock", "_latest", "_pid"}

#: What Python documents despite the underscore.
PYTHON = {"_asdict", "_exit", "_fields", "_getframe", "_make", "_replace"}


def used(package: Path) -> set[str]:
    """Private names of others in the source of a package."""
    ours = _defined(package)
    for name in SHARED.get(package.name, SHARED):
        ours |= _defined(PACKAGES[name])
    return {name for tree in _trees(package) for name in _used(tree)} - ours - PYTHON - DOCUMENTED


@functools.cache
def _trees(package: Path) -> list[ast.Module]:
    return [ast.parse(path.read_text(encoding="utf-8")) for path in package.rglob("*.py")]


@functools.cache
def _defined(package: Path) -> frozenset[str]:
    names = {name for tree in _trees(package) for name, _ in words.bindings(tree)}
    slots = [node.value for tree in _trees(package) for node in ast.walk(tree) if _is_slots(node)]
    return frozenset(names | {name for value in slots for name in re.findall(r"\w+", ast.unparse(value))})


def _is_slots(node: ast.AST) -> TypeGuard[ast.Assign]:
    return isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__slots__"


def _used(tree: ast.Module) -> Iterator[str]:
    foreign = set()
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(attr=name) if re.match("_[^_]", name):
                yield name
            case ast.Import():
                modules = [alias.name for alias in node.names]
                foreign |= {alias.asname or alias.name for alias in node.names if not _is_known(alias.name)}
                yield from (module for module in modules if UNDOCUMENTED.match(module))
            case ast.ImportFrom(module=str(module), level=0) if not _is_known(module):
                yield from (alias.name for alias in node.names if re.match("_[^_]", alias.name))
                if UNDOCUMENTED.match(module):
                    yield module
    for node in ast.walk(tree):
        # A constant of another library that we replace.
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and ast.unparse(node.value) in foreign:
            yield node.attr


def _is_known(module: str) -> bool:
    root = module.partition(".")[0]
    return root in sys.stdlib_module_names or root == "edge" or root in PACKAGES


def overridden(package: str) -> set[str]:
    """Private methods of others that classes of a package replace."""
    names = set()
    for module in _modules(package):
        for kind in vars(module).values():
            if inspect.isclass(kind) and kind.__module__ == module.__name__:
                bases = [base for base in kind.__mro__[1:] if not _is_known(base.__module__)]
                names |= {name for base in bases for name in vars(kind).keys() & vars(base).keys() if name[:1] == "_"}
    return {name for name in names if not name.startswith("__")} - DOCUMENTED - BY_METACLASSES


def _modules(package: str) -> Iterator[object]:
    root = importlib.import_module(package)
    yield root
    for module in pkgutil.walk_packages(root.__path__, f"{package}."):
        # The former place of edge_testing warns when it is imported.
        if not re.search(r"migrations|__main__|edge_core\.testing", module.name):
            yield importlib.import_module(module.name)


@pytest.mark.parametrize(
    "package",
    [pytest.param(name, marks=[pytest.mark.slow] if name == "edge_server" else []) for name in sorted(PACKAGES)],
)
def test_private_parts_of_others_are_those_that_are_listed(package: str) -> None:
    listed = {name for owner, name in PARTS if owner == package}
    assert used(PACKAGES[package]) | overridden(package) == listed


@pytest.mark.parametrize(("package", "name"), PARTS)
def test_each_has_an_upper_bound(package: str, name: str) -> None:
    part = PARTS[package, name]
    config = configparser.ConfigParser(interpolation=None)
    config.read((PACKAGES[package].parent if package != "edge_core" else ROOT) / "setup.cfg")
    values = [config["options"]["install_requires"], *dict(config.items("options.extras_require")).values()]
    lines = [line for value in values for line in value.splitlines() if re.match(rf"{part.library}\b", line, re.I)]
    assert lines
    assert all(re.search(rf",<{re.escape(part.below)}(?=;|$)", line) for line in lines), lines


def test_what_is_private_is_noticed(tmp_path: Path) -> None:
    package = tmp_path / "edge_lab"
    package.mkdir()
    (package / "shelf.py").write_text(
        "import gunicorn.http.message\n"
        "import requests\n"
        "from marshmallow.fields import _Hidden\n"
        "class Shelf:\n"
        "    def __init__(self):\n"
        "        self._plates = sys._getframe()\n"
        "    def take(self, shelf):\n"
        "        requests.models.LIMIT = requests.get(shelf._plates)._others_body\n"
        "        requests.LIMIT = gunicorn.http.message.LIMIT\n"
        "        return self._taken\n"
    )
    assert used(package) == {"gunicorn.http.message", "_Hidden", "_others_body", "LIMIT", "_taken"}
