"""The table of the documented API says what is so: each member is there and called by the test it names."""

from __future__ import annotations

import ast
import functools
import importlib.util
from pathlib import Path

import pytest

from edge_core.documented import NAMESPACES
from tools import reference
from tools.set_version import ROOT

MEMBERS = list(reference.members())
DOCUMENT = ROOT / "docs" / "reference.md"


@pytest.mark.parametrize("member", MEMBERS, ids=lambda member: f"{member.owner}.{member.name}")
def test_each_documented_member_is_there_with_its_arguments(member: reference.Member) -> None:
    try:
        reference.owner_of(member)
    except ImportError as error:
        pytest.skip(str(error))
    distribution = NAMESPACES.get(member.name) if member.owner == "EdgeSession" else None
    if distribution is not None and importlib.util.find_spec(distribution.replace("-", "_")) is None:
        pytest.skip(f"{distribution} is not installed")
    assert reference.missing(member) is None


def test_only_what_a_test_calls_is_listed() -> None:
    rows = reference.listed(DOCUMENT.read_text(encoding="utf-8"))
    known = {(f"{one.section} {one.owner}", one.name) for one in MEMBERS}

    assert rows
    assert set(rows) <= known
    assert [test for test in rows.values() if not _is_there(test)] == []


def test_a_member_that_no_test_calls_is_not_listed() -> None:
    text, left_out = reference.table({})

    assert reference.listed(text) == {}
    assert len(left_out) == len(MEMBERS)


def _is_there(test: str) -> bool:
    path, _, name = test.partition("::")
    # The tests of a contract are inherited from the kit.
    files = [ROOT / path, ROOT / "edge_core" / "testing" / "contract.py"]
    return any(name.rpartition("::")[2] in _functions(file) for file in files)


@functools.cache
def _functions(file: Path) -> frozenset[str]:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return frozenset(one.name for one in ast.walk(tree) if isinstance(one, ast.FunctionDef))
