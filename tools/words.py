"""Checks that names say what they name: `python -m tools.words [FOLDER]` counts filler words and lists their places.

It needs nothing but Python, so it measures an old commit as well: check that out into a folder and name it. The exit
code is 1 if a place is listed. Counted are the identifiers that the code binds, not those it only uses: other
libraries' names are not ours to choose.
"""

from __future__ import annotations

import argparse
import ast
import re
import subprocess
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parent.parent

#: Words that tell nothing about what they stand for, wherever they are in a name: `found_rows`, `TheWanted`.
FILLERS = frozenset({"found", "one", "wanted", "said", "stated", "given", "made", "asked", "told"})

#: Names that tell nothing if they stand alone. `data` may be a parameter or attribute whose type says what it is.
EMPTY = frozenset({"obj", "tmp", "temp", "info", "item", "data"})

#: Names that others prescribe, and who does.
PRESCRIBED = {
    "handle_one_request": "`http.server.BaseHTTPRequestHandler`, in the standard library",
    "NotFound": "the documented name of an error",
    "not_found": "the error code of HTTP's 404 Not Found, and what raises it",
    "info": "a method of the file systems of fsspec",
    "connection_made": "a method of asyncio.Protocol",
}

#: English that nobody speaks today.
QUAINT = re.compile(
    r"\b(?:m(?:end|ends|ended|ending)|no\s+such|(?<!long\s)as\s+no(?:\s+\w+){1,2}\s+(?:can|do|does|has|is))\b",
    re.IGNORECASE,
)

#: What others print, which tests and error handlers look for.
QUOTED = re.compile(r"no\s+such (?:table|column|function|command|option|file or directory)\b", re.IGNORECASE)

#: Beginnings of docstrings that say nothing in `help()`, where no other docstring stands beside them.
DEPENDENT = re.compile(r"(?:The same|What hangs on)\b")

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_FENCE = re.compile(r"^ *```python\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
_HISTORY = ("CHANGES.md", "changes/")


@dataclass(frozen=True)
class Place:
    """A line to improve, and why.

    >>> print(Place("edge_core/config.py", 7, "the name `found_one` has the filler words found, one"))
    edge_core/config.py:7: the name `found_one` has the filler words found, one
    """

    path: str
    line: int
    reason: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.reason}"


@dataclass
class Part:
    """The count of one part of the repository: a package, its tests, the documents."""

    names: int = 0
    fillers: int = 0
    places: list[Place] = field(default_factory=list)


def main() -> int:
    """Prints the count of each part and each place; 1 if there is a place."""
    parser = argparse.ArgumentParser(prog="python -m tools.words", description="Finds names and texts to improve.")
    parser.add_argument("folder", nargs="?", type=Path, default=ROOT, help="a clone; default: this one")
    parts = check(parser.parse_args().folder)
    for part in parts.values():
        for place in part.places:
            print(place)
    print(f"\n{'part':<48}{'names':>8}{'fillers':>9}{'share':>9}{'places':>8}")
    for name, part in sorted(parts.items()):
        _print_count(name, part)
    total = Part()
    for part in parts.values():
        total.names += part.names
        total.fillers += part.fillers
        total.places += part.places
    _print_count("all", total)
    return 1 if total.places else 0


def _print_count(name: str, part: Part) -> None:
    share = part.fillers / part.names if part.names else 0
    print(f"{name:<48}{part.names:>8}{part.fillers:>9}{share:>9.2%}{len(part.places):>8}")


def check(folder: Path) -> dict[str, Part]:
    """Counts every Python file and document of a clone, by part of the repository."""
    parts: dict[str, Part] = {}
    for path in _files(folder):
        if path.startswith(_HISTORY):
            continue
        text = (folder / path).read_text(encoding="utf-8")
        part = parts.setdefault(_part(path), Part())
        _count(part, path, text)
    return parts


def words(name: str) -> set[str]:
    """The words of an identifier, in lower case.

    >>> sorted(words("HTTPAnswer_found2"))
    ['answer', 'found', 'http']
    """
    return {word.lower() for word in _WORD.findall(name)}


def _files(folder: Path) -> list[str]:
    """Paths of a clone's files; of an unpacked archive's, those in no hidden folder."""
    if (folder / ".git").exists():
        command = ["git", "-C", str(folder), "ls-files", "--cached", "--others", "--exclude-standard", "*.py", "*.md"]
        listing = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    else:
        paths = [path.relative_to(folder) for pattern in ("*.py", "*.md") for path in folder.rglob(pattern)]
        listing = [path.as_posix() for path in paths if not any(part.startswith(".") for part in path.parts)]
    return sorted(path for path in listing if (folder / path).is_file())


def _part(path: str) -> str:
    folders = path.split("/")[:-1]
    if path.endswith(".md"):
        return "documents"
    return "/".join(folders[:3] if folders[:1] == ["plugins"] else folders[:1]) or "."


def _count(part: Part, path: str, text: str) -> None:
    """Adds the names and places of a file."""
    if path.endswith(".md"):
        for block in _FENCE.finditer(text):
            _count_code(part, path, textwrap.dedent(block[1]), text.count("\n", 0, block.start(1)))
    else:
        tree = ast.parse(text)
        _count_names(part, path, tree, 0)
        for node, docstring in _docstrings(tree):
            if DEPENDENT.match(docstring.strip()):
                part.places.append(Place(path, node.lineno, f"a docstring begins with {docstring.strip()[:20]!r}"))
            for example in re.finditer(r"^ *>>> (.*\n(?: *\.\.\. .*\n?)*)", docstring, re.MULTILINE):
                code = re.sub(r"^ *\.\.\. ", "", example[1], flags=re.MULTILINE)
                _count_code(part, path, code, node.lineno + docstring.count("\n", 0, example.start()) - 1)
    for match in QUAINT.finditer(text):
        if not QUOTED.match(text, match.start()):
            phrase = " ".join(match[0].split())
            part.places.append(Place(path, text.count("\n", 0, match.start()) + 1, f"the words {phrase!r}"))


def _count_code(part: Part, path: str, code: str, before: int) -> None:
    """Adds the names of an example, which may be no more than a fragment."""
    try:
        tree = ast.parse(code)
    except SyntaxError:
        return
    _count_names(part, path, tree, before)


def _count_names(part: Part, path: str, tree: ast.AST, before: int) -> None:
    for name, node in bindings(tree):
        part.names += 1
        if name in PRESCRIBED:
            continue
        fillers = sorted(FILLERS & words(name))
        if fillers:
            part.fillers += 1
            kind = "words" if len(fillers) > 1 else "word"
            reason = f"the name `{name}` has the filler {kind} {', '.join(fillers)}"
        elif name in EMPTY and not _says_its_type(name, node):
            reason = f"the name `{name}` does not say what it is"
        else:
            continue
        part.places.append(Place(path, before + getattr(node, "lineno", 1), reason))


def _says_its_type(name: str, node: ast.AST) -> bool:
    annotation: ast.expr | None = getattr(node, "annotation", None)
    if name != "data" or annotation is None:
        return False
    return re.search(r"\b(Any|object)\b", ast.unparse(annotation)) is None


def bindings(tree: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    """The identifiers that code binds: variables, parameters, attributes of `self`, functions, classes, aliases.

    >>> code = "def load(path, *, limit=1):\\n    for row in path: self.row = row\\nimport numpy as np"
    >>> sorted({name for name, _ in bindings(ast.parse(code))})
    ['limit', 'load', 'np', 'path', 'row']
    """
    for node in ast.walk(tree):
        match node:
            case ast.AnnAssign(target=ast.Attribute() as target, annotation=annotation):
                target.annotation = annotation  # type: ignore[attr-defined]  # `walk` comes to the target later
            case ast.Name(id=name, ctx=ast.Store()) | ast.arg(arg=name):
                yield name, node
            case ast.Attribute(value=ast.Name(id="self" | "cls"), attr=name, ctx=ast.Store()):
                yield name, node
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield name, node
            case ast.ExceptHandler(name=str(name)) | ast.alias(asname=str(name)):
                yield name, node
            case ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)) | ast.MatchMapping(rest=str(name)):
                yield name, node


def _docstrings(tree: ast.AST) -> Iterator[tuple[ast.expr, str]]:
    """The texts that stand alone: of modules, classes and functions, and those behind what is assigned."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield node.value, node.value.value


if __name__ == "__main__":
    raise SystemExit(main())
