"""Writes the table of the documented API: `python -m tools.reference docs/reference.md`.

It runs the test suite with a recorder (`tools.reference_recorder`), which notes each documented
member that a test itself calls, reads or iterates over. Then it imports the installed packages and
looks for each member of `tools/reference.toml`. A member that is not there, that takes other
arguments, or that no test called is not listed; all of these are printed, and nothing is written.

    python -m tools.reference docs/reference.md             # everything, some minutes
    python -m tools.reference docs/reference.md -- tests    # pytest arguments of your choice
    python -m tools.reference --partial docs/reference.md   # list what there is, whatever is missing
"""

from __future__ import annotations

import dataclasses
import enum
import importlib
import inspect
import json
import os
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from edge_core.records import Record
from tools.set_version import ROOT

DATA = Path(__file__).with_name("reference.toml")

INTRO = """# The documented API, member by member

Written by `python -m tools.reference docs/reference.md`, which imports the installed packages, looks at each member
and runs the tests: a member is listed only if it is there, takes the documented arguments, and is called by the test
in the last column. "seen" is documented, "old" was documented or used in published programs once, and "ours" is a
name we chose where the documentation promises something without naming it.

The modules of `AppProfile`, `AppProfileStatusEnum`, `AppPlaceholder` and `User` are not documented. The first three
are in `edge.edge_compute`, beside `edge.edge_tokens` and `edge.edge_billing`, and in `edge.api`.
"""

HEAD = "| member | kind | arguments, type or value | mark | called by |\n| --- | --- | --- | --- | --- |\n"


@dataclasses.dataclass(frozen=True)
class Member:
    """A documented member.

    Attributes:
        section: of the reference it is documented in.
        owner: name of its class.
        path: where the class is imported from.
        name: its own name.
        kind: new, method, property, attribute, field, member or error.
        stated: its arguments, type or value.
        mark: seen, old or ours.
    """

    section: str
    owner: str
    path: str
    name: str
    kind: str
    stated: str
    mark: str

    @property
    def key(self) -> str:
        """What the recorder notes it by."""
        return f"{self.path}:{self.owner}.{self.name}"


def members() -> Iterator[Member]:
    """All documented members, in the order of the sections."""
    for one in tomllib.loads(DATA.read_text(encoding="utf-8"))["class"]:
        for name, kind, stated, mark in one["members"]:
            yield Member(one["section"], one["name"], one["path"], name, kind, stated, mark)


def owner_of(member: Member) -> type[Any]:
    """The class a member is documented on.

    Raises:
        ImportError: its distribution is not installed.
        AttributeError: there is no such class.
    """
    found: type[Any] = getattr(importlib.import_module(member.path), member.owner)
    return found


def missing(member: Member) -> str | None:
    """What is wrong with a member as it is installed; None if nothing is."""
    try:
        owner = owner_of(member)
    except (ImportError, AttributeError) as error:
        return str(error)
    if member.kind == "error":
        return None if issubclass(owner, Exception) else "is no exception"
    if member.kind == "new":
        return _differs(member.stated, owner, owner._fields if _is_plain_record(owner) else None)
    if member.kind == "field":
        there = not issubclass(owner, Record) or member.name in owner._fields
        return None if there else "is no field of the record"
    if member.kind == "member":
        found = owner.__members__.get(member.name) if issubclass(owner, enum.Enum) else None
        if found is None:
            return "is not in the enumeration"
        return None if member.stated in ("", str(found.value)) else f"has the value {found.value!r}"
    if member.kind == "attribute":
        set_there = any(f"self.{member.name}" in inspect.getsource(one) for one in owner.__mro__[:-1])
        return None if set_there or member.name in dir(owner) else "is set nowhere"
    found = inspect.getattr_static(owner, member.name, None)
    if found is None:
        # What is made for each object is only declared on the class.
        declared = any(member.name in vars(base).get("__annotations__", {}) for base in owner.__mro__)
        return None if declared or _hangs_on_session(member) else "is not there"
    if member.kind == "method" and member.stated:
        return _differs(member.stated, getattr(owner, member.name), None)
    return None


def _hangs_on_session(member: Member) -> bool:
    """Whether a member is a property of the session or given to each of its objects."""
    if member.owner != "EdgeSession":
        return False
    from edge_core.session import EdgeSession

    return (
        member.name in dir(EdgeSession)
        or f"self.{member.name} = " in inspect.getsource(EdgeSession)
        or (member.name in _namespaces())
    )


def _namespaces() -> set[str]:
    from edge_core.session import namespace_registry

    return set(namespace_registry().names())


def _is_plain_record(owner: type[Any]) -> bool:
    return issubclass(owner, Record) and owner.__init__ is Record.__init__


def _differs(stated: str, target: Any, fields: Any) -> str | None:
    """How the arguments of `target` differ from the documented ones; further optional ones may follow."""
    wanted = [one.strip() for one in stated.strip("()").split(",") if one.strip()]
    if fields is not None:
        has = dict.fromkeys(fields, True)
    else:
        try:
            parameters = inspect.signature(target).parameters
        except (TypeError, ValueError):
            return None
        has = {name: one.default is not inspect.Parameter.empty for name, one in parameters.items() if name != "self"}
    names = [one.partition("=")[0] for one in wanted]
    by_keyword = any(one.endswith("=") for one in wanted)
    absent = [name for name in names if name not in has]
    if absent:
        return f"takes no {', '.join(absent)}"
    if not by_keyword and list(has)[: len(names)] != names and fields is None:
        positional = [name for name, one in zip(names, wanted, strict=True) if "=" not in one]
        if list(has)[: len(positional)] != positional:
            return f"takes its arguments in the order {', '.join(has)}"
    if fields is not None and not by_keyword and list(has)[: len(names)] != names:
        return f"takes its arguments in the order {', '.join(has)}"
    optional = [one.partition("=")[0] for one in wanted if "=" in one]
    demanded = [name for name in optional if not has[name]]
    return f"demands {', '.join(demanded)}" if demanded else None


def record(arguments: list[str]) -> dict[str, str]:
    """Run tests; gives for each member the first test, by name, that called it."""
    with tempfile.TemporaryDirectory() as folder:
        notes = Path(folder) / "notes.json"
        command = [sys.executable, "-m", "pytest", "-q", "-p", "tools.reference_recorder", *arguments]
        environment = {**os.environ, "EDGE_REFERENCE_NOTES": str(notes)}
        ran = subprocess.run(command, cwd=ROOT, env=environment, check=False)
        if ran.returncode not in (0, 1) or not notes.exists():
            raise click.ClickException("the tests did not run; see above")
        if ran.returncode == 1:
            click.echo("some tests failed; what they called is not counted", err=True)
        found: dict[str, str] = json.loads(notes.read_text(encoding="utf-8"))
    return found


def table(called: dict[str, str]) -> tuple[str, list[str]]:
    """The table as Markdown, and a sentence for each member that cannot be listed."""
    text, left_out = [INTRO], []
    section = owner = ""
    for member in members():
        said = missing(member) or (None if member.key in called else "is called by no test")
        if said is not None:
            left_out.append(f"{member.section} {member.path}.{member.owner}.{member.name}: {said}")
            continue
        if (member.section, member.owner) != (section, owner):
            section, owner = member.section, member.owner
            text.append(f"\n## {section} {owner}\n\n`from {member.path} import {owner}`\n\n{HEAD}")
        stated = member.stated.replace("|", "\\|")
        test = called[member.key]
        text.append(
            f"| `{member.name}` | {member.kind} | {f'`{stated}`' if stated else ''} | {member.mark} | `{test}` |\n"
        )
    return "".join(text), left_out


def listed(document: str) -> dict[tuple[str, str], str]:
    """The rows of a written table: class and member -> test that calls it."""
    rows: dict[tuple[str, str], str] = {}
    heading = ""
    for line in document.splitlines():
        if line.startswith("## "):
            heading = line.removeprefix("## ")
        row = re.fullmatch(r"\| `(\w+)` \|.*\| `([^`]+)` \|", line)
        if row:
            rows[heading, row[1]] = row[2]
    return rows


@click.command()
@click.option("--partial", is_flag=True, help="Write what can be listed, though something is left out.")
@click.argument("path", type=click.Path(dir_okay=False, path_type=Path))
@click.argument("arguments", nargs=-1)
def main(partial: bool, path: Path, arguments: tuple[str, ...]) -> None:
    """Run the tests, and write the table to PATH."""
    text, left_out = table(record(list(arguments)))
    for said in left_out:
        click.echo(f"left out: {said}", err=True)
    if left_out and not partial:
        raise click.ClickException(f"{len(left_out)} documented members cannot be listed; {path} is as it was")
    path.write_text(text, encoding="utf-8")
    click.echo(f"{len(listed(text))} members listed, {len(left_out)} left out")


if __name__ == "__main__":
    main()
