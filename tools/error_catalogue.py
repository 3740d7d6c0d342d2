"""Writes the catalogue of errors: `python -m tools.error_catalogue [--check] docs/errors.md`.

Every sentence is read from the code that raises it, so the catalogue can lack none of them. What
stands for a value is shown as ``<name>``.
"""

from __future__ import annotations

import ast
import functools
import inspect
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import edge.api
from edge_core import errors
from tools.set_version import ROOT

CLASSES = {
    name: kind
    for name, kind in vars(errors).items()
    if inspect.isclass(kind) and issubclass(kind, errors.EdgeError) and not name.startswith("_")
}

SERVER = "When the server does not start"

INTRO = """# Errors

Every error this project raises is an `EdgeError`, and says in one sentence what happened and what to do. Catch the
class and not the sentence, which may be worded better in the next version:

```python
from edge.api import EdgeError, NotFound

try:
    table = edge.files.open("runs/plate-8.csv")
except NotFound:
    table = None
except EdgeError as error:
    print(error)
```

The classes come from `edge.api`, but for those whose section names another module. `PluginAttributeError` and
`PluginImportError` are how a `PluginError` looks as an attribute and in an import. An `ApiError` has the attributes
`status`, `code`, `request_id`, `method` and `url`; give the request id to the server's operator, whose log has it. No
error shows a token, a secret or a signature, and no exception of `requests` gets out.

Python's own errors stay what they are where they say it best: `FileNotFoundError` and the like for local files,
`TypeError` for an argument of a wrong type.

Below is each class with all of its sentences, those of the server included. `<name>` stands for a value.
"""


class Sentence(NamedTuple):
    """One way in which an error is met.

    Attributes:
        kind: name of its class.
        text: the sentence.
        code: the problem's short name on the wire, if it comes from the server.
        status: HTTP status, likewise.
    """

    kind: str
    text: str
    code: str = ""
    status: int = 0


@functools.cache
def sentences(root: Path = ROOT) -> list[Sentence]:
    """All sentences in the code of the core, the plugins and the server."""
    parsed = _parsed(root)
    trees = list(parsed.values())
    refusals = {name: problem for tree in trees for name, problem in _refusals(tree)}
    # What keeps the server from starting is none of the classes above, and is shown by its command.
    of_the_server = {
        one.name: SERVER
        for file, tree in parsed.items()
        for one in ast.walk(tree)
        if "edge_server" in file.parts
        and isinstance(one, ast.ClassDef)
        and [_name(base) for base in one.bases] == ["Exception"]
        and one.name != "Refusal"
    }
    kinds = {**of_the_server, **{name: name for name in (*CLASSES, *of_plugins(root))}}
    return sorted({one for tree in trees for one in _sentences_of(tree, refusals, kinds) if one.text})


def of_plugins(root: Path = ROOT) -> dict[str, str]:
    """The classes that plugins add to the tree: name -> what their section begins with."""
    found = {}
    for file, tree in _parsed(root).items():
        for one in (one for one in tree.body if isinstance(one, ast.ClassDef) and one.name not in CLASSES):
            bases = [_name(base) for base in one.bases]
            if one.name.startswith("_") or not {*bases} & {*CLASSES, "EdgeError"}:
                continue
            module = ".".join((*file.parent.parts[file.parts.index("plugins") + 2 :], file.stem))
            found[one.name] = _head(bases, module, ast.get_docstring(one) or "")
    return found


@functools.cache
def _parsed(root: Path) -> dict[Path, ast.Module]:
    packages = [root / "edge", root / "edge_core", *root.glob("plugins/*/edge_*")]
    files = [file for package in packages for file in package.rglob("*.py") if "testing" not in file.parts]
    return {file: ast.parse(file.read_text(encoding="utf-8")) for file in sorted(files)}


Problem = tuple[int, str]


def _refusals(tree: ast.Module) -> Iterator[tuple[str, Problem]]:
    """The server's short ways to refuse: functions that make a problem of the sentence they are given."""
    for kind in (one for one in ast.walk(tree) if isinstance(one, ast.ClassDef)):
        if any(_name(base) == "Refusal" for base in kind.bases):
            yield from ((kind.name, found) for call in _calls(kind) if (found := _problem(call)) is not None)
    for function in _functions(tree):
        parameters = {one.arg for one in function.args.args}
        for call in _calls(function):
            problem = _problem(call)
            if problem is not None and getattr(call.args[2], "id", None) in parameters:
                yield function.name, problem


def _sentences_of(tree: ast.Module, refusals: dict[str, Problem], kinds: dict[str, str]) -> Iterator[Sentence]:
    functions = {function.name: function for function in _functions(tree)}
    for function in functions.values():
        for call in _calls(function):
            name = _name(call.func)
            if name in kinds:
                yield from (Sentence(kinds[name], text) for text in _texts(call.args[0], function, functions))
            elif (problem := _problem(call)) is not None:
                yield from (_refused(*problem, text) for text in _texts(call.args[2], function, functions))
            elif name in refusals:
                yield from (_refused(*refusals[name], text) for text in _texts(call.args[0], function, functions))
    for table in ast.walk(tree):
        if not isinstance(table, ast.Dict):
            continue
        for key, value in zip(table.keys, table.values, strict=True):
            if isinstance(key, ast.Constant) and type(key.value) is int and isinstance(value, ast.Tuple):
                # Status -> code and sentence, for what libraries refuse by themselves.
                code, said = (getattr(one, "value", None) for one in value.elts[:2])
                if isinstance(code, str) and isinstance(said, str):
                    yield _refused(key.value, code, said)
            elif key is not None and _name(key) in CLASSES:
                # Class -> sentence, where an answer gives none.
                yield from (Sentence(_name(key), text) for text in _texts(value, tree, functions))


def _functions(tree: ast.Module) -> list[ast.FunctionDef]:
    return [one for one in ast.walk(tree) if isinstance(one, ast.FunctionDef)]


def _calls(function: ast.AST) -> list[ast.Call]:
    return [one for one in ast.walk(function) if isinstance(one, ast.Call) and one.args]


def _name(node: ast.expr) -> str:
    return str(getattr(node, "id", None) or getattr(node, "attr", ""))


def _problem(call: ast.Call) -> Problem | None:
    """Status and code, if the call makes a problem."""
    if _name(call.func) not in ("Refusal", "problem", "__init__") or len(call.args) < 3:
        return None
    status, code = (getattr(one, "value", None) for one in call.args[:2])
    return (status, code) if isinstance(status, int) and isinstance(code, str) else None


def _refused(status: int, code: str, text: str) -> Sentence:
    problem = {"code": code, "detail": text}
    error = errors.error_from(status=status, method="GET", url="", problem=problem, request_id=None)
    return Sentence(type(error).__name__, text, code, status)


def _texts(node: ast.expr, scope: ast.AST, functions: dict[str, ast.FunctionDef]) -> Iterable[str]:
    """The sentences an expression can be; none if it is somebody else's text handed on."""
    if isinstance(node, ast.Name):
        assigned = [
            one.value
            for one in ast.walk(scope)
            if isinstance(one, ast.Assign) and any(getattr(target, "id", "") == node.id for target in one.targets)
        ]
        return [text for value in assigned for text in _texts(value, scope, functions)]
    if isinstance(node, ast.Call) and _name(node.func) in functions:
        function = functions[_name(node.func)]
        returned = [one.value for one in ast.walk(function) if isinstance(one, ast.Return) and one.value]
        return [text for value in returned for text in _texts(value, function, functions)]
    if isinstance(node, ast.IfExp):
        return [*_texts(node.body, scope, functions), *_texts(node.orelse, scope, functions)]
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        rights = list(_texts(node.right, scope, functions))
        return [left + right for left in _texts(node.left, scope, functions) for right in rights]
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return [node.value]
    if isinstance(node, ast.JoinedStr):
        text = "".join(
            str(part.value) if isinstance(part, ast.Constant) else _placeholder(part) for part in node.values
        )
        return [text] if len(text) > len("<name>") * len(node.values) / 2 else []
    return []


def _placeholder(part: ast.expr) -> str:
    names = [
        found
        for one in ast.walk(part)
        if (found := getattr(one, "attr", None) or getattr(one, "id", None)) and found not in ("self", "str", "bare")
    ]
    return f"<{names[0].strip('_').replace('_', ' ').lower()}>" if names else "<value>"


def text(root: Path = ROOT) -> str:
    """The catalogue."""
    lines = [INTRO]
    found = sentences(root)
    for name, kind in CLASSES.items():
        module = None if hasattr(edge.api, name) else kind.__module__
        bases = [base.__name__ for base in kind.__bases__]
        lines.append(f"## {name}\n\n{_head(bases, module, inspect.cleandoc(kind.__doc__ or ''))}\n")
        lines += _table([one for one in found if one.kind == name])
    for name, said in of_plugins(root).items():
        lines.append(f"## {name}\n\n{said}\n")
        lines += _table([one for one in found if one.kind == name])
    lines.append(f"## {SERVER}\n\nWhat the `edge server` commands say to whoever runs the server.\n")
    lines += _table([one for one in found if one.kind == SERVER])
    return "\n".join(lines).rstrip() + "\n"


def _head(bases: list[str], module: str | None, doc: str) -> str:
    article = "An" if bases[0][0] in "AE" else "A"
    place = f", from `{module}`" if module else ""
    return f"{article} {', '.join(f'`{base}`' for base in bases)}{place}: {doc.partition(chr(10))[0]}"


def _table(rows: list[Sentence]) -> list[str]:
    if not rows:
        return []
    with_code = any(one.code for one in rows)
    lines = [
        "| what happened | what to do |" + (" status, code |" if with_code else ""),
        "| --- | --- |" + (" --- |" if with_code else ""),
    ]
    for one in rows:
        happened, advice = _parts(one.text)
        code = f" {one.status} `{one.code}` |" if one.code else " |" if with_code else ""
        lines.append(f"| {happened} | {advice} |{code}")
    return [*lines, ""]


def _parts(sentence: str) -> tuple[str, str]:
    happened, _, advice = " ".join(sentence.split()).replace("|", "\\|").replace("<", "&lt;").partition("; ")
    return happened, advice


def main() -> int:
    *options, path = sys.argv[1:] or [""]
    if not path or options not in ([], ["--check"]):
        print("usage: python -m tools.error_catalogue [--check] PATH", file=sys.stderr)
        return 2
    current = text()
    if not options:
        Path(path).write_text(current, encoding="utf-8")
    elif Path(path).read_text(encoding="utf-8") != current:
        print(f"{path} is not current; run python -m tools.error_catalogue {path}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
