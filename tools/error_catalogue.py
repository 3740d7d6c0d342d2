"""Writes the list of errors: `python -m tools.error_catalogue docs/errors.md`.

The classes are read from the packages, the server's codes from its source; `tests/test_errors.py` checks that the
written list is current.
"""

from __future__ import annotations

import importlib
import inspect
import re
import sys
from pathlib import Path

import edge.api
from edge_core import errors
from tools.set_version import ROOT

_CLASS = re.compile(r"^class (\w+)\(([\w, .]+)\):", re.MULTILINE)
_CODE = re.compile(r"""\b([45]\d\d)(?:,|: \()\s*"([a-z_]+)",""")  # `Refusal(404, "not_found",` and tables by status

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

An `ApiError` has the attributes `status`, `code`, `request_id`, `method` and `url`; give the request id to the server's
operator, whose log has it. No error shows a token, a secret or a signature, and no exception of `requests` gets out.
Python's own errors stay what they are where they say it best: `FileNotFoundError` and the like for local files,
`TypeError` for an argument of a wrong type. What keeps a server from starting is not an `EdgeError`: `edge server`
prints it, and ends with exit code 1.

## Classes

The classes come from `edge.api`, except those whose line names another module.

| class | is a | meaning |
| --- | --- | --- |
"""

CODES = """
## Codes of the server

The server refuses with a problem document (RFC 9457), whose `code` programs can rely on. It becomes this class:

| status | code | class |
| --- | --- | --- |
"""


def classes(root: Path = ROOT) -> list[type[errors.EdgeError]]:
    """The public classes of the tree: those of the core, then those of the plugins by module."""
    tree = [kind for kind in vars(errors).values() if inspect.isclass(kind) and issubclass(kind, errors.EdgeError)]
    names = {kind.__name__ for kind in tree}
    for path in sorted(root.glob("plugins/*/edge_*/**/*.py")):
        for name, bases in _CLASS.findall(path.read_text(encoding="utf-8")):
            if names & set(re.split(r"[, .]+", bases)):
                module = ".".join(path.relative_to(root).with_suffix("").parts[2:])
                tree.append(getattr(importlib.import_module(module), name))
    return [kind for kind in tree if not kind.__name__.startswith("_")]


def codes(root: Path = ROOT) -> list[tuple[int, str, str]]:
    """Status, code and name of the class of each way in which a server refuses."""
    sources = [path.read_text(encoding="utf-8") for path in root.glob("plugins/*/edge_*/**/*.py")]
    pairs = {(int(status), code) for source in sources for status, code in _CODE.findall(source)}
    return [(status, code, _kind(status, code)) for status, code in sorted(pairs)]


def _kind(status: int, code: str) -> str:
    problem = {"code": code, "detail": "A sentence."}
    return type(errors.error_from(status=status, method="GET", url="", problem=problem, request_id=None)).__name__


def text(root: Path = ROOT) -> str:
    """The page."""
    rows = [f"| {_shown(kind)} | {_bases(kind)} | {_sentence(kind)} |" for kind in classes(root)]
    refusals = [f"| {status} | `{code}` | `{kind}` |" for status, code, kind in codes(root)]
    return INTRO + "\n".join(rows) + "\n" + CODES + "\n".join(refusals) + "\n"


def _shown(kind: type) -> str:
    return f"`{kind.__name__}`" + ("" if hasattr(edge.api, kind.__name__) else f", from `{kind.__module__}`")


def _bases(kind: type) -> str:
    return ", ".join(f"`{base.__name__}`" for base in kind.__bases__)


def _sentence(kind: type) -> str:
    return inspect.cleandoc(kind.__doc__ or "").partition("\n")[0].replace("|", "\\|")


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(text(), encoding="utf-8")
