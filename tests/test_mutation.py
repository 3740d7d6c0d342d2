"""What is mutated by night exists by day, and the judgement over it is right."""

from __future__ import annotations

import dataclasses

import pytest

from tools import mutation
from tools.mutation import ROOT, Mutant, Score, Target

TARGETS = mutation.read_targets()
EQUIVALENTS = mutation.read_equivalents()

BUDGET = Target("budget", ["edge_core.retries:Budget.take"], ["tests/test_retries.py"])
SURVIVOR = Mutant("edge_core.retries:Budget.take", "return True", "return False")


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_a_target_names_code_and_tests_that_exist(target: Target) -> None:
    for function in target.code:
        assert function in mutation.functions_of(function.partition(":")[0]), function
    assert len(set(target.code)) == len(target.code)
    for path in target.tests:
        assert (ROOT / path).is_file()
    for test in target.without:
        path, _, name = test.partition("::")
        assert f"def {name}(" in (ROOT / path).read_text(encoding="utf-8")


def test_what_must_be_measured_is() -> None:
    assert list(TARGETS) == ["authentication", "hub", "signing", "permissions", "retry", "paths"]
    assert mutation.LEAST_SCORE == 0.85


def test_a_function_that_a_target_names_is_in_no_other() -> None:
    for function in mutation.functions_of("edge_server.web.permissions"):
        assert [function in target.code for target in TARGETS.values()].count(True) == 1, function


@pytest.mark.parametrize("mutant", EQUIVALENTS, ids=str)
def test_an_equivalent_has_a_reason_and_changes_a_line_that_stands_in_a_target(mutant: Mutant) -> None:
    functions = mutation.functions_of(mutant.function.partition(":")[0])
    lines = [line.strip() for line in functions[mutant.function].splitlines()]
    assert all(line in lines for line in mutant.line.split("\n"))
    assert mutant.line != mutant.changed
    assert EQUIVALENTS[mutant].endswith(".")
    assert any(mutant.function in target.code for target in TARGETS.values())


def test_a_mutant_is_read_from_its_name_and_its_diff() -> None:
    diff = "--- a.py\n+++ a.py\n@@ -1,3 +1,3 @@\n def take(self):\n-    return True\n+    return False\n"
    assert mutation.read_mutant("edge_core.retries.xǁBudgetǁtake__mutmut_5", diff) == SURVIVOR
    function = mutation.read_mutant("edge_core.retries.x_delay__mutmut_12", diff).function
    assert function == "edge_core.retries:delay"


@pytest.mark.parametrize(
    ("function", "pattern"),
    [
        ("edge_core.retries:delay", "edge_core.retries.x_delay__mutmut_*"),
        ("edge_core.retries:Budget.take", "edge_core.retries.xǁBudgetǁtake__mutmut_*"),
    ],
)
def test_mutmut_gets_functions_by_its_own_names(function: str, pattern: str) -> None:
    assert mutation.pattern_of(function) == pattern


def test_a_survivor_with_a_reason_is_no_complaint() -> None:
    score = Score("budget", 10, [SURVIVOR], 0, 1.0)
    assert score.share == pytest.approx(0.9)
    assert mutation.judge(score, BUDGET, {SURVIVOR: "It is the same."}) == []


def test_a_survivor_without_a_reason_is_listed() -> None:
    (complaint,) = mutation.judge(Score("budget", 10, [SURVIVOR], 0, 1.0), BUDGET, {})
    assert "survives: in edge_core.retries:Budget.take\n  - return True\n  + return False" in complaint


def test_a_reason_for_what_does_not_survive_is_listed_where_it_was_run() -> None:
    others = {dataclasses.replace(SURVIVOR, function="edge_core.retries:Budget.give_back"): "It is the same."}
    assert mutation.judge(Score("budget", 10, [], 0, 1.0), BUDGET, others) == []
    (complaint,) = mutation.judge(Score("budget", 10, [], 0, 1.0), BUDGET, {SURVIVOR: "It is the same."})
    assert "does not survive: in edge_core.retries:Budget.take" in complaint


@pytest.mark.parametrize(("mutants", "enough"), [(100, True), (20, True), (19, False)])
def test_reasons_do_not_raise_a_score(mutants: int, enough: bool) -> None:
    survivors = [dataclasses.replace(SURVIVOR, changed=f"return {n}") for n in range(3)]
    complaints = mutation.judge(Score("budget", mutants, survivors, 0, 1.0), BUDGET, dict.fromkeys(survivors, "Same."))
    assert (complaints == []) is enough
    assert enough or "budget has a score of 84.2%; at least 85% is needed" in complaints[0]
