"""Writes the reference: `python -m tests.reference.table [--check] docs/reference.md`.

Before it writes, it runs the tests that use each member, so that the table holds what is installed
and was called, and nothing else. `--check` compares the text only, as those tests run by themselves.
"""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tests.reference import inspection
from tests.reference.members import OURS, Class, Member, Opener, Section

ROOT = Path(__file__).parent.parent.parent
CALLS = "tests/test_reference_calls.py"

INTRO = f"""# Reference

What `EdgeSession` and its namespaces offer: each class with its import path, and each member as it is called. The
whole docstrings, with arguments, units and errors, are what `help(edge.files.open)` shows.

This page is generated from the installed packages, and [{CALLS}](../{CALLS})
uses every line of it against a running server; what no test has called is not listed. To write it anew, which runs
that file first and says what is documented and missing:

    python -m tests.reference.table docs/reference.md
"""


def text() -> str:
    """The page."""
    parts = [INTRO]
    for section in inspection.installed_sections():
        parts.append(f"## {_heading(section)}\n\nCalled by `{section.test}`.\n")
        for one in section.classes:
            parts += _class(one)
        if section.variables:
            parts.append("Without arguments, a session takes its values from the environment:\n")
            parts.append("\n".join(f"- `{name}`" for name, _ in section.variables) + "\n")
        if section.openers:
            parts.append("What a file is opened with, by the suffix of its name or by `open_with`:\n")
            rows = [_opener(one) for one in section.openers]
            parts.append("| open_with | suffixes | |\n| --- | --- | --- |\n" + "\n".join(rows) + "\n")
    return "\n".join(parts)


def _heading(section: Section) -> str:
    return f"`{section.title}`" if section.namespace else section.title


def _class(one: Class) -> Iterator[str]:
    kind = inspection.load(one.path)
    yield f"### {one.name}\n"
    imports = [f"`from {path.rpartition('.')[0]} import {one.name}`" for path in one.paths]
    yield f"{' or '.join(imports)}\n\n{inspection.sentence_of_class(kind)}\n"
    if one.forms:
        yield f"    {one.name}{inspection.shown(inspection.constructor(kind))}\n"
    if one.members:
        rows = [_row(kind, member) for member in one.members]
        yield "| member | |\n| --- | --- |\n" + "\n".join(rows) + "\n"


def _row(kind: type, member: Member) -> str:
    if member.kind == "value":
        return f"| `{member.name}` | `{member.value!r}` |"
    called = inspection.shown(inspection.signature(kind, member.name)) if member.kind == "method" else ""
    said = inspection.sentence_of_member(kind, member).replace("|", "\\|")
    return f"| `{member.name}{called}` | {said} |"


def _opener(one: Opener) -> str:
    suffixes = " ".join(f"`{suffix}`" for suffix in inspection.suffixes_of(one))
    return f'| `"{one.name}"` | {suffixes} | {inspection.sentence_of_opener(one)} |'


def summary() -> str:
    """How much there is, and what is documented and missing."""
    marks: Counter[str] = Counter()
    for section in inspection.installed_sections():
        marks.update(mark for _, mark in section.variables)
        marks.update(one.mark for one in section.openers)
        for one in section.classes:
            marks[one.mark] += len(list(one.uses())) - len(one.members)
            marks.update(member.mark for member in one.members)
    documented = sum(count for mark, count in marks.items() if mark != OURS)
    lines = [
        f"documented and there: {documented} ({', '.join(f'{n} {mark}' for mark, n in marks.items() if mark != OURS)})",
        f"of this project: {marks[OURS]}",
    ]
    missing = inspection.missing_keys()
    if missing:
        names = ", ".join(sorted(inspection.missing_namespaces()))
        lines += [f"documented and not installed: {len(missing)} (of {names})", *(f"  {key}" for key in missing)]
    return "\n".join(lines)


def main() -> int:
    *options, path = sys.argv[1:] or [""]
    if not path or options not in ([], ["--check"]):
        print("usage: python -m tests.reference.table [--check] PATH", file=sys.stderr)
        return 2
    if options:
        if Path(path).read_text(encoding="utf-8") != text():
            print(f"{path} is not current; run python -m tests.reference.table {path}", file=sys.stderr)
            return 1
        return 0
    ran = subprocess.run([sys.executable, "-m", "pytest", "-q", CALLS], cwd=ROOT)
    if ran.returncode:
        print(f"{path} is left as it was: {CALLS} fails", file=sys.stderr)
        return 1
    Path(path).write_text(text(), encoding="utf-8")
    print(summary())
    return 0


if __name__ == "__main__":
    sys.exit(main())
