"""Measures how much of the code that guards users is held by tests: `python -m tools.mutation [TARGET ...]`.

mutmut changes the code of a target in one place, runs the tests that reach the place, and counts whether one of them
fails: thousands of small attacks on the tests. `targets.toml` names what is changed and which tests are to notice.
What no test notices must stand in `equivalents.toml` with the reason why no test can. The exit code is 1 if a survivor
is not in it, if it names what does not survive, or if a score is below `LEAST_SCORE`, for which such reasons count
nothing.

A target can be looked into afterwards: `cd build/mutation/TARGET` and `mutmut browse`.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import json
import os
import resource
import shutil
import subprocess
import sys
import tomllib
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parent.parent
SETTINGS = ROOT / "tests" / "mutation"
WORK = ROOT / "build" / "mutation"

LEAST_SCORE = 0.85
"""The share of mutants that tests kill, of all there are."""

KILLED = frozenset({1, 3})
"""mutmut's exit codes for a test that fails, and an error in pytest."""

TIMED_OUT = frozenset({24, -24, 36, 152, 255})
"""mutmut's exit codes for a run that takes all its time, as one without end does; it counts as killed."""

SECONDS = 30
"""What is added to the time that the tests take without mutants, before four times all of it ends a run."""


@dataclass(frozen=True)
class Target:
    """What is mutated together.

    Attributes:
        name: its name.
        code: single functions of modules: ``edge_core.http.client:HttpClient.call``.
        tests: paths of test files.
        without: tests in them that cannot run here, such as those that look at the stack, which mutmut adds to.
    """

    name: str
    code: list[str]
    tests: list[str]
    without: list[str] = field(default_factory=list)

    @property
    def modules(self) -> set[str]:
        return {code.partition(":")[0] for code in self.code}


@dataclass(frozen=True)
class Mutant:
    """A change of one function: the lines that go, without their indentation, and those that come."""

    function: str
    line: str
    changed: str

    def __str__(self) -> str:
        return f"in {self.function}\n  - {self.line}\n  + {self.changed}"


@dataclass(frozen=True)
class Score:
    """What became of the mutants of a target.

    Attributes:
        target: its name.
        mutants: how many there were.
        survivors: those that no test killed.
        timed_out: how many took all their time; many are a sign of a machine that is too busy to measure.
        seconds: CPU time, of all processes.
    """

    target: str
    mutants: int
    survivors: list[Mutant]
    timed_out: int
    seconds: float

    @property
    def share(self) -> float:
        return 1 - len(self.survivors) / self.mutants


def main() -> int:
    """Mutates the targets and prints their scores and survivors; 1 if one falls short."""
    targets = read_targets()
    parser = argparse.ArgumentParser(prog="python -m tools.mutation", description="Measures mutation scores.")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(targets)}; default: all")
    names = parser.parse_args().targets or list(targets)
    os.nice(10)  # it takes all cores for minutes
    equivalents = read_equivalents()
    scores = [measure(targets[name]) for name in names]
    complaints = [complaint for score in scores for complaint in judge(score, targets[score.target], equivalents)]
    columns = ("mutants", "killed", "survived", "equivalent", "score", "timed out", "CPU s")
    print(f"\n{'target':<16}{''.join(f'{column:>12}' for column in columns)}")
    for score in scores:
        survived = len(score.survivors)
        excused = sum((Counter(score.survivors) & Counter(equivalents.keys())).values())
        counts = (score.mutants, score.mutants - survived, survived, excused)
        print(
            f"{score.target:<16}{''.join(f'{count:>12}' for count in counts)}"
            f"{score.share:>12.1%}{score.timed_out:>12}{score.seconds:>12.0f}"
        )
    print("\n".join(complaints))
    return 1 if complaints else 0


def read_targets() -> dict[str, Target]:
    """The targets by name. A module that one names stands for all its functions that none names."""
    settings = tomllib.loads((SETTINGS / "targets.toml").read_text(encoding="utf-8"))
    named = {code for target in settings.values() for code in target["code"] if ":" in code}
    for target in settings.values():
        target["code"] = [
            function
            for code in target["code"]
            for function in ([code] if code in named else functions_of(code))
            if code == function or function not in named
        ]
    return {name: Target(name, **target) for name, target in settings.items()}


def functions_of(module: str) -> dict[str, str]:
    """The source of each function that mutmut changes, by the names of the module and its own: ``a.b:Class.method``."""
    text = source_of(module).read_text(encoding="utf-8")
    functions = {}
    for node in ast.parse(text).body:
        if isinstance(node, ast.FunctionDef):
            functions[f"{module}:{node.name}"] = ast.get_source_segment(text, node) or ""
        elif isinstance(node, ast.ClassDef):
            for method in node.body:
                if isinstance(method, ast.FunctionDef):
                    functions[f"{module}:{node.name}.{method.name}"] = ast.get_source_segment(text, method) or ""
    return functions


def read_equivalents() -> dict[Mutant, str]:
    """The mutants that no test can kill, and why."""
    settings = tomllib.loads((SETTINGS / "equivalents.toml").read_text(encoding="utf-8"))
    return {
        Mutant(entry["function"], entry["line"], changed): entry["reason"]
        for entry in settings["equivalent"]
        for changed in entry["changed"]
    }


def source_of(module: str) -> Path:
    """The file of a module, from its distribution in this repository."""
    path = Path(*module.split(".")).with_suffix(".py")
    (source,) = (folder / path for folder in (ROOT, *ROOT.glob("plugins/*")) if (folder / path).is_file())
    return source


def measure(target: Target) -> Score:
    """Mutate a target, in a folder of its own where every package is at the top, as mutmut needs it."""
    print(f"{target.name} ...", flush=True)
    folder = WORK / target.name
    shutil.rmtree(folder, ignore_errors=True)
    lay_out(target, folder)
    mutmut = str(Path(sys.executable).with_name("mutmut"))
    before = _cpu_seconds()
    patterns = map(pattern_of, target.code)
    with (folder / "mutmut.log").open("wb") as log:
        done = subprocess.run([mutmut, "run", *patterns], cwd=folder, stdout=log, stderr=subprocess.STDOUT)
    if done.returncode != 0:
        raise SystemExit(f"mutmut cannot run {target.name}; see {folder / 'mutmut.log'}")
    seconds = _cpu_seconds() - before
    exit_codes: dict[str, int | None] = {}
    for meta in folder.glob("mutants/**/*.meta"):
        exit_codes |= json.loads(meta.read_text(encoding="utf-8"))["exit_code_by_key"]
    run = {name: code for name, code in exit_codes.items() if code is not None}
    survivors = read_mutants(folder, [name for name, code in run.items() if code not in KILLED | TIMED_OUT])
    timed_out = sum(code in TIMED_OUT for code in run.values())
    return Score(target.name, len(run), survivors, timed_out, seconds)


def lay_out(target: Target, folder: Path) -> None:
    """Copy what a target needs: the packages with its code, the tests, and the settings of pytest."""
    packages = {}
    for module in target.modules:
        name = module.partition(".")[0]
        packages[name] = source_of(f"{name}.__init__").parent
    tests = {Path("tests"), *(Path(path).parent for path in target.tests)}
    leave_out = shutil.ignore_patterns("__pycache__")
    for name, package in packages.items():
        shutil.copytree(package, folder / name, ignore=leave_out)
    for path in tests:
        shutil.copytree(ROOT / path, folder / path, ignore=leave_out, dirs_exist_ok=True)
    deselected = [f"--deselect={test}" for test in target.without]
    settings = {
        "source_paths": sorted(packages),
        "only_mutate": sorted(f"{module.replace('.', '/')}.py" for module in target.modules),
        "also_copy": sorted({path.parts[0] for path in tests}),
        "pytest_add_cli_args_test_selection": ["-m", "not slow", *deselected, *target.tests],
    }
    timeouts = [f"timeout_constant = {SECONDS}\n", "timeout_multiplier = 4\n"]
    lines = [f"{name} = {json.dumps(paths)}\n" for name, paths in settings.items()]
    own = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    text = "".join([own, "\n[tool.mutmut]\n", "use_git_change_detection = false\n", *timeouts, *lines])
    (folder / "pyproject.toml").write_text(text, encoding="utf-8")


def pattern_of(function: str) -> str:
    """mutmut's pattern for the mutants of a function."""
    module, _, name = function.partition(":")
    owner, _, method = name.rpartition(".")
    return f"{module}.x{f'ǁ{owner}ǁ' if owner else '_'}{method}__mutmut_*"


def read_mutants(folder: Path, names: list[str]) -> list[Mutant]:
    """What mutmut has changed in the mutants of these names."""
    from mutmut.configuration import reset_config
    from mutmut.mutation.diff_apply import get_diff_for_mutant

    with contextlib.chdir(folder):
        reset_config()
        return [read_mutant(name, get_diff_for_mutant(name)) for name in names]


def read_mutant(name: str, diff: str) -> Mutant:
    """A mutant from its name and its diff, as mutmut shows it."""
    module, _, mangled = name.partition("__mutmut_")[0].rpartition(".")
    function = mangled.removeprefix("x").removeprefix("ǁ").replace("ǁ", ".") if "ǁ" in mangled else mangled[2:]
    lines = [line for line in diff.splitlines() if not line.startswith(("---", "+++"))]
    gone, come = (
        "\n".join(line[1:].strip() for line in lines if line.startswith(sign) and line[1:].strip()) for sign in "-+"
    )
    return Mutant(f"{module}:{function}", gone, come)


def judge(score: Score, target: Target, equivalents: dict[Mutant, str]) -> list[str]:
    """What is wrong with a score."""
    complaints = [
        f"\nsurvives: {mutant}\n  Write a test that fails then, or say in equivalents.toml why none can."
        for mutant in score.survivors
        if mutant not in equivalents
    ]
    complaints += [
        f"\ndoes not survive: {mutant}\n  Take it out of equivalents.toml."
        for mutant in equivalents
        if mutant.function in target.code and mutant not in score.survivors
    ]
    if score.share < LEAST_SCORE:
        complaints.append(f"\n{score.target} has a score of {score.share:.1%}; at least {LEAST_SCORE:.0%} is needed")
    return complaints


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    sys.exit(main())
