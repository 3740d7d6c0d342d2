"""What a plugin's code imports, loads and annotates, seen without running its calls."""

from __future__ import annotations

import ast
import functools
import inspect
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edge_core.installed import normalized
from edge_core.plugin import Namespace
from edge_core.session import namespace_registry

_PROBE = """
import importlib, json, sys
roots, modules = json.loads(sys.argv[1])
from edge_core.session import EdgeSession
with EdgeSession("edg_kit", "http://127.0.0.1:9", "kit") as session:
    session.namespaces()
    dir(session)
    hasattr(session, "no_such_plugin")
    before = set(sys.modules)
    listed = sorted(name for name in before if name.partition(".")[0] in roots)
for module in modules:
    importlib.import_module(module)
loaded = sorted({name.partition(".")[0] for name in set(sys.modules) - before})
print(json.dumps({"listed": listed, "loaded": loaded}))
"""


@functools.cache
def probed(query: str, path: str) -> dict[str, list[str]]:
    environment = {**os.environ, "PYTHONPATH": path}
    command = [sys.executable, "-c", _PROBE, query]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"importing it in a new interpreter failed:\n{done.stderr}"
    modules: dict[str, list[str]] = json.loads(done.stdout.splitlines()[-1])
    return modules


def namespace_packages() -> set[str]:
    """The packages of all plugins that give the session an attribute."""
    return {
        record.source.partition(":")[0].partition(".")[0].strip()
        for record in namespace_registry().records()
        if normalized(record.distribution) != "edge-core"
    }


def takes(method: Any, *arguments: str) -> bool:
    """Return whether a method can be called with so many arguments by position."""
    try:
        inspect.signature(method).bind(*arguments)
    except TypeError:
        return False
    return True


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Line and module of each import that runs; what is for type checkers alone does not."""
    tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
    unused = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If)
        and "TYPE_CHECKING" in ast.dump(node.test)
        and not isinstance(node.test, ast.UnaryOp)
        for statement in node.body
        for inner in ast.walk(statement)
    }
    for node in ast.walk(tree):
        if node in unused:
            continue
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.lineno, node.module


def unannotated(kind: type[Any], roots: set[str]) -> list[str]:
    """The public members of `kind`, of its own distribution, with a parameter or result that has no annotation."""
    bare = []
    for owner in kind.__mro__:
        if owner is Namespace or owner.__module__.partition(".")[0] not in roots:
            continue
        for name, member in vars(owner).items():
            if name.startswith("_"):
                continue
            function = getattr(member, "__func__", getattr(member, "fget", getattr(member, "func", member)))
            if not inspect.isfunction(function):
                continue
            signature = inspect.signature(function)
            parameters = list(signature.parameters.values())[0 if isinstance(member, staticmethod) else 1 :]
            lacking = [parameter.name for parameter in parameters if parameter.annotation is inspect.Parameter.empty]
            if signature.return_annotation is inspect.Signature.empty:
                lacking.append("its result")
            if lacking:
                bare.append(f"{owner.__name__}.{name} ({', '.join(lacking)})")
    return bare
