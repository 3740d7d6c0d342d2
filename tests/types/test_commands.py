"""A misspelt call on the session is a type error in every command of ours, by both checkers."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.slow


def command_modules() -> list[Path]:
    """The modules with commands that open a session."""
    return [path for path in sorted(ROOT.glob("plugins/edge-*/edge_*/**/*.py")) if opens_a_session(path.read_text())]


def opens_a_session(source: str) -> bool:
    return any(isinstance(node, ast.arg) and node.arg == "open_session" for node in ast.walk(ast.parse(source)))


def calls(source: str) -> list[ast.Attribute]:
    """The members of the session that commands use, each to its end: ``edge.files.upload``, ``edge.whoami``."""
    tree = ast.parse(source)
    parents = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
    sessions = [node for node in ast.walk(tree) if isinstance(node, ast.Name) and node.id == "edge"]
    members = []
    for node in sessions:
        member: ast.AST = node
        while isinstance(parents[member], ast.Attribute):
            member = parents[member]
        if isinstance(member, ast.Attribute):
            members.append(member)
    return members


def misspelt(source: str) -> tuple[str, set[int]]:
    """The module with the last name of each of these members misspelt, and the lines of them."""
    lines = source.split("\n")
    lines_of_calls = set()
    members = [member for member in calls(source) if member.end_lineno and member.end_col_offset]
    for member in sorted(members, key=lambda member: (member.end_lineno, member.end_col_offset), reverse=True):
        number, column = member.end_lineno or 0, member.end_col_offset or 0
        lines[number - 1] = f"{lines[number - 1][:column]}_misspelt{lines[number - 1][column:]}"
        lines_of_calls.add(number)
    return "\n".join(lines), lines_of_calls


def mypy(folder: Path) -> set[tuple[str, int]]:
    command = ["-m", "mypy", "--strict", "--config-file=", "--disable-error-code=import-untyped", "."]
    done = subprocess.run([sys.executable, *command], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return {(name, int(line)) for name, line in re.findall(r"^(\w+\.py):(\d+): error: .*_misspelt", done.stdout, re.M)}


def basedpyright(folder: Path) -> set[tuple[str, int]]:
    (folder / "pyrightconfig.json").write_text('{"typeCheckingMode": "standard"}')
    command = ["-m", "basedpyright", "--outputjson", "--pythonpath", sys.executable]
    done = subprocess.run([sys.executable, *command], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return {
        (Path(diagnostic["file"]).name, diagnostic["range"]["start"]["line"] + 1)
        for diagnostic in json.loads(done.stdout)["generalDiagnostics"]
        if diagnostic["severity"] == "error" and "_misspelt" in diagnostic["message"]
    }


@pytest.mark.parametrize("check", [mypy, basedpyright], ids=["mypy", "basedpyright"])
def test_a_misspelt_call_in_a_command_is_refused(check: Callable[[Path], set[tuple[str, int]]], tmp_path: Path) -> None:
    expected = set()
    for path in command_modules():
        source, lines = misspelt(path.read_text())
        name = f"{path.parent.name}_{path.name}"
        (tmp_path / name).write_text(source)
        expected |= {(name, line) for line in lines}
    # Files, sources, applications (4), tokens, admin, billing, compute, secrets, template; whoami, search, versions.
    assert len(command_modules()) == 15
    assert len(expected) > 60
    assert check(tmp_path) == expected


def test_the_calls_of_a_command_are_seen() -> None:
    source = "with open_session() as edge:\n    edge.files.upload('a')\n    edge.whoami()\n    store(edge)\n"
    changed, lines = misspelt(source)
    assert changed.splitlines()[1:] == [
        "    edge.files.upload_misspelt('a')",
        "    edge.whoami_misspelt()",
        "    store(edge)",
    ]
    assert lines == {2, 3}
