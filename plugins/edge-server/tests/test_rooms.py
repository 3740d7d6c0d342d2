"""The rooms of the server: each imports only what lies below it, and no module imports in a circle."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import edge_server

ROOT = Path(edge_server.__file__).parent

FLOORS = (
    {"base"},
    {"data"},
    {"keys"},
    {"identity"},
    {"web"},
    {"accounts", "files", "search", "secrets", "sources", "applications", "compute", "billing"},
    {"run"},
    {"testing"},
)
"""From the lowest to the highest; rooms of one floor know nothing of each other."""

FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}

MODULES = [
    path
    for path in sorted(ROOT.rglob("*.py"))
    if path.parent != ROOT and "migrations" not in path.relative_to(ROOT).parts
]


def name_of(path: Path) -> str:
    """The dotted name below `edge_server`."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


NAMES = {name_of(path) for path in MODULES}


def imports_of(path: Path, *, at_once: bool = False) -> Iterator[str]:
    """The modules of the server that a module imports: all of them, or those that it needs when it is imported."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    statements = _at_once(tree.body) if at_once else ast.walk(tree)
    for statement in statements:
        if isinstance(statement, ast.ImportFrom) and (statement.module or "").startswith("edge_server"):
            package = (statement.module or "").removeprefix("edge_server").lstrip(".")
            for alias in statement.names:
                inner = f"{package}.{alias.name}".lstrip(".")
                yield inner if inner in NAMES else package


def _at_once(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    for statement in body:
        if not (isinstance(statement, ast.If) and "TYPE_CHECKING" in ast.unparse(statement.test)):
            yield statement


def test_every_room_has_a_floor() -> None:
    assert {path.relative_to(ROOT).parts[0] for path in MODULES} == set(FLOOR)


@pytest.mark.parametrize("room", sorted(FLOOR))
def test_a_room_imports_only_what_lies_below_it(room: str) -> None:
    upwards = [
        f"{name_of(path)} imports {imported}"
        for path in MODULES
        if path.relative_to(ROOT).parts[0] == room
        for imported in imports_of(path)
        if (above := imported.partition(".")[0]) != room and FLOOR.get(above, 0) >= FLOOR[room]
    ]
    assert upwards == []


def test_no_module_imports_in_a_circle() -> None:
    graph = {name_of(path): set(imports_of(path, at_once=True)) & NAMES - {name_of(path)} for path in MODULES}
    done: set[str] = set()
    while ready := {name for name, imported in graph.items() if name not in done and imported <= done}:
        done |= ready
    assert {name: sorted(graph[name] - done) for name in graph.keys() - done} == {}


def test_a_room_is_several_modules_and_each_does_something() -> None:
    for room in FLOOR:
        assert len([path for path in MODULES if path.parent == ROOT / room]) > 2, room
    for path in MODULES:
        body = ast.parse(path.read_text(encoding="utf-8")).body
        rest = [each for each in body if not isinstance(each, (ast.Import, ast.ImportFrom, ast.Expr))]
        assert rest or path.name == "__init__.py", f"{name_of(path)} only hands on what it imports"


def test_modules_of_different_rooms_have_different_names() -> None:
    """But for what many rooms have: their addresses, their tables, and the statements that are asked most."""
    names = [path.stem for path in MODULES if path.stem not in {"__init__", "routes", "models", "queries"}]
    assert sorted({name for name in names if names.count(name) > 1}) == []
    assert not {name for name in names if name in FLOOR}
