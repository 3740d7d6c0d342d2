"""Writes the reference: `python -m tests.reference.table docs/reference.md`.

`tests/test_reference.py` checks that the written page is current, `tests/test_reference_calls.py` uses each member.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from tests.reference import inspection
from tests.reference.members import SECTIONS, Class, Member, Opener, Section

CALLS = "tests/test_reference_calls.py"

INTRO = f"""# Reference

What `EdgeSession` and its namespaces offer: each class with its import path, and each member as it is called. The
whole docstrings, with arguments, units and errors, are what `help(edge.files.open)` shows.

This page is generated from the installed packages, and [{CALLS}](../{CALLS})
uses every line of it against a running server. To write it anew:

    python -m tests.reference.table docs/reference.md
"""


def text() -> str:
    """The page."""
    parts = [INTRO]
    for section in SECTIONS:
        parts.append(f"## {_heading(section)}\n\nCalled by `{section.test}`.\n")
        for entry in section.classes:
            parts += _class(entry)
        if section.variables:
            parts.append("Without arguments, a session takes its values from the environment:\n")
            parts.append("\n".join(f"- `{name}`" for name, _ in section.variables) + "\n")
        if section.openers:
            parts.append("What a file is opened with, by the suffix of its name or by `open_with`:\n")
            rows = [_opener(opener) for opener in section.openers]
            parts.append("| open_with | suffixes | |\n| --- | --- | --- |\n" + "\n".join(rows) + "\n")
    return "\n".join(parts)


def _heading(section: Section) -> str:
    return f"`{section.title}`" if section.namespace else section.title


def _class(entry: Class) -> Iterator[str]:
    kind = inspection.load(entry.path)
    yield f"### {entry.name}\n"
    imports = [f"`from {path.rpartition('.')[0]} import {entry.name}`" for path in entry.paths]
    yield f"{' or '.join(imports)}\n\n{inspection.sentence_of_class(kind)}\n"
    if entry.forms:
        yield f"    {entry.name}{inspection.shown(inspection.constructor(kind))}\n"
    if entry.members:
        rows = [_row(kind, member) for member in entry.members]
        yield "| member | |\n| --- | --- |\n" + "\n".join(rows) + "\n"


def _row(kind: type, member: Member) -> str:
    if member.kind == "value":
        return f"| `{member.name}` | `{member.value!r}` |"
    called = inspection.shown(inspection.signature(kind, member.name)) if member.kind == "method" else ""
    sentence = inspection.sentence_of_member(kind, member).replace("|", "\\|")
    return f"| `{member.name}{called}` | {sentence} |"


def _opener(opener: Opener) -> str:
    suffixes = " ".join(f"`{suffix}`" for suffix in inspection.suffixes_of(opener))
    return f'| `"{opener.name}"` | {suffixes} | {inspection.sentence_of_opener(opener)} |'


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(text(), encoding="utf-8")
