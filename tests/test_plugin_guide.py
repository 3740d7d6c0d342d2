"""The guide for authors of plugins names all there is, and nothing else."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path

from edge_cli.plugins import KINDS
from edge_server.web.context import Context
from edge_server.web.permissions import Rule
from edge_testing.contract import PluginContract

GUIDE = (Path(__file__).parents[1] / "docs" / "plugins.md").read_text(encoding="utf-8")


def test_every_group_of_entry_points_is_in_it() -> None:
    assert set(re.findall(r"^\| `(edge\.\w+)` \|", GUIDE, flags=re.M)) == set(KINDS.values())


def test_every_switch_of_the_kit_is_in_it_and_has_a_docstring() -> None:
    switches = {name for name in PluginContract.__annotations__ if not name.startswith("_")}
    table = GUIDE.split("| attribute |")[1].split("\n\n")[0]
    assert set(re.findall(r"^\| `(\w+)", table, flags=re.M)) == switches
    source = ast.parse(Path(inspect.getfile(PluginContract)).read_text())
    (kit,) = [
        statement
        for statement in source.body
        if isinstance(statement, ast.ClassDef) and statement.name == "PluginContract"
    ]
    for statement, following in zip(kit.body, kit.body[1:], strict=False):
        if isinstance(statement, ast.AnnAssign):
            assert isinstance(following, ast.Expr), ast.unparse(statement)


def test_all_of_the_context_is_in_it() -> None:
    members = {name for name in vars(Context) if not name.startswith("_")}
    tables = [table.split("\n\n")[0] for table in GUIDE.split("| of the context, ")[1:]]
    cells = [cell for table in tables for cell in re.findall(r"^\| (.*?) \|", table, flags=re.M)]
    assert {name for cell in cells for name in re.findall(r"`(\w+)", cell)} == members


def test_all_roles_are_in_it() -> None:
    rule = GUIDE.split("- **Permissions.**")[1].split("\n- ")[0]
    assert {role.value for role in Rule} - set(re.findall(r"`(\w+)`", rule)) == {"appointer", "hub"}, "the server's own"


def test_its_python_is_python() -> None:
    for block in re.findall(r"^```python\n(.*?)^```", GUIDE, flags=re.M | re.S):
        ast.parse(block)
