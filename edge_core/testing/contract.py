"""The contract kit: a pytest class that holds a plugin to the plugin contract.

An author subclasses it once, and pytest runs every rule:

    from edge_core.testing.contract import Call, Listing, PluginContract
    from lab_plugin.namespace import Lab

    NOTE = {"name": "n1", "text": "rinsed"}

    class TestContract(PluginContract):
        distribution = "lab-plugin"
        kind = Lab
        calls = [
            Call("read", lambda lab: lab.read("n1"), NOTE),
            Listing("list", lambda lab: lab.list(), NOTE),
        ]

The plugin must be installed (``pip install -e .`` will do). No server is needed: the calls are
answered by a small one of the kit's own, well and badly. What only some plugins can do is an
attribute of the class, documented below where it stands; an attribute left as it is means the rule
holds.

pytest is needed by this module alone, and by nothing else of the core.
"""

from __future__ import annotations

import ast
import functools
import importlib.util
import inspect
import json
import os
import pickle
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import importlib_metadata
import pytest

from edge_core.documented import NAMESPACES
from edge_core.errors import EdgeError
from edge_core.plugin import PLUGIN_API, Namespace
from edge_core.registry import Registry, normalized
from edge_core.session import RESERVED, EdgeSession, namespace_registry
from edge_core.testing.wire import Wire, closed_url

HEAVY = frozenset(
    {
        *("PIL", "alembic", "boto3", "botocore", "flask", "imageio", "marshmallow", "matplotlib", "numpy", "pandas"),
        *("pluggy", "pyarrow", "scipy", "sqlalchemy", "tqdm"),
    }
)
"""Modules that cost a user seconds or megabytes, so that importing a plugin must not load them."""

PAGE_SIZES = (1, 2, 3, 7, 1000)

ITEMS = 7
"""How many items a list has in the kit."""

TOMORROW = "field_of_tomorrow"
"""A field that no plugin knows."""

_PROBE = """
import importlib, json, sys
roots, modules = json.loads(sys.argv[1])
from edge_core.session import EdgeSession
with EdgeSession("edg_kit", "http://127.0.0.1:9", "kit") as session:
    session.namespaces()
    dir(session)
    hasattr(session, "no_such_plugin")
    before = set(sys.modules)
    listed = sorted(one for one in before if one.partition(".")[0] in roots)
for module in modules:
    importlib.import_module(module)
loaded = sorted({one.partition(".")[0] for one in set(sys.modules) - before})
print(json.dumps({"listed": listed, "loaded": loaded}))
"""


class Call(NamedTuple):
    """One call of the plugin's, and what the server answers it.

    Attributes:
        name: what the kit calls it in its messages.
        run: given the object on the session, makes the call.
        answer: the JSON of a good answer.
    """

    name: str
    run: Callable[[Any], Any]
    answer: Any = None


class Listing(NamedTuple):
    """A call that gives a list, which the server answers in pages.

    Attributes:
        name: what the kit calls it in its messages.
        run: given the object on the session, makes the call; what it gives is iterated over.
        item: the JSON of an item, or a function that makes that of the n-th.
        lazy: whether it asks for each page only when that is needed. False is for a call that
            promises a `list`.
    """

    name: str
    run: Callable[[Any], Any]
    item: Mapping[str, Any] | Callable[[int], Mapping[str, Any]]
    lazy: bool = True

    def items(self) -> list[dict[str, Any]]:
        return [dict(self.item(n) if callable(self.item) else self.item) for n in range(ITEMS)]


class PluginContract:
    """Base of a plugin's contract test; subclass it under a name that begins with ``Test``."""

    distribution: ClassVar[str]
    """Name of the distribution under test."""

    kind: ClassVar[type[Any] | None] = None
    """The class on the session, if ``session.get(kind)`` is to find it; None where a function makes the object."""

    calls: ClassVar[Sequence[Call | Listing]] = ()
    """One of each kind of call the plugin makes. Without any, the rules of calls are skipped."""

    first_party: ClassVar[bool] = False
    """Whether it is this project's: named ``edge-x``, ``edge_x`` and ``x`` and free to take a documented name."""

    has_namespace: ClassVar[bool] = True
    """Whether it gives the session an attribute; False for one that brings openers, commands or hooks only."""

    results_pickle: ClassVar[bool] = True
    """Whether what its calls give can be pickled; False where that holds open files or connections."""

    keeps_unknown_fields: ClassVar[bool] = True
    """Whether what its calls give shows, in ``to_dict()``, what a newer server sends; False if they are no records."""

    may_load: ClassVar[frozenset[str]] = frozenset()
    """Modules of `HEAVY` that importing it may load all the same."""

    checks_wheel: ClassVar[bool] = True
    """Whether to build the wheel and look into it, which takes a second or two."""

    project: ClassVar[Path | None] = None
    """Folder the wheel is built from; None for the nearest one above the test with a ``pyproject.toml``."""

    # --- what it is -------------------------------------------------------------------------------

    def test_everything_it_brings_loads(self) -> None:
        """Each entry point can be imported and states the contract, and none is claimed twice."""
        assert self._points(), f"{self.distribution} brings nothing: it has no entry point in a group of edge's"
        for point in self._points():
            registry = namespace_registry() if point.group == "edge.namespaces" else Registry(point.group)
            try:
                registry.load(point.name)
            except (EdgeError, KeyError) as error:
                pytest.fail(f"{point.group}: {point.name}: {error}", pytrace=False)

    def test_its_names_follow_the_rules(self) -> None:
        """The attribute is a free lower-case name; ours have one name in three places."""
        for point in self._points("edge.namespaces"):
            name, root = point.name, point.module.partition(".")[0]
            assert name.isidentifier() and name == name.lower() and not name.startswith("_"), (  # noqa: PT018
                f"{name!r} is not a lower-case Python name"
            )
            assert name not in RESERVED, f"{name!r} is the session's own name"
            if self.first_party:
                triple = self.distribution, root, name
                assert triple == (f"edge-{name}", f"edge_{name}", name), f"distribution, package, name are {triple}"
            else:
                assert name not in NAMESPACES, f"{name!r} belongs to {NAMESPACES.get(name)}"
                assert root not in ("edge", "edge_core", "edge_server"), f"the package {root} is this project's"
        assert len(self._points("edge.namespaces")) == self.has_namespace, (
            "it must give one attribute, or say it has none"
        )

    def test_it_is_typed(self) -> None:
        """`py.typed` is there, and everything public on the session's object is annotated."""
        for root in sorted(self._roots()):
            assert (self._folder(root) / "py.typed").is_file(), f"{root} has no py.typed, so checkers ignore its types"
        if self.has_namespace:
            with _session(closed_url()) as session:
                bare = _unannotated(type(getattr(session, self._name())), self._roots())
            assert not bare, f"not annotated: {', '.join(bare)}"

    def test_get_gives_its_class(self) -> None:
        """`session.get(kind)` is the attribute, as an object of that class."""
        if self.kind is None:
            pytest.skip("kind is None")
        assert self.kind.__dict__.get("namespace") == self._name(), (
            f"{self.kind.__name__} must state namespace = {self._name()!r}"
        )
        with _session(closed_url()) as session:
            assert session.get(self.kind) is getattr(session, self._name())

    # --- when it loads ----------------------------------------------------------------------------

    def test_listing_imports_nothing(self) -> None:
        """Completion, `namespaces()` and a wrong name leave it unimported."""
        assert not self._probe()["listed"], f"imported before it was touched: {', '.join(self._probe()['listed'])}"

    def test_importing_loads_nothing_heavy(self) -> None:
        """What costs seconds loads inside the call that needs it."""
        heavy = HEAVY & set(self._probe()["loaded"]) - self.may_load
        assert not heavy, f"importing it loads {', '.join(sorted(heavy))}; import that inside the call that needs it"

    def test_the_second_access_is_a_plain_attribute(self) -> None:
        """The object is made once, and hangs on this session alone."""
        self._needs_namespace()
        with _session(closed_url()) as session, _session(closed_url()) as other:
            name = self._name()
            first = getattr(session, name)
            assert vars(session).get(name) is first, f"session.{name} is not a plain attribute after its first access"
            assert getattr(session, name) is first
            assert not hasattr(EdgeSession, name), f"it puts {name!r} on EdgeSession itself, which all plugins share"
            assert getattr(other, name) is not first, "two sessions share one object"

    def test_touching_it_asks_the_server_nothing(self) -> None:
        """`session.x` works where no server is."""
        self._needs_namespace()
        with Wire() as wire, _session(wire.url) as session:
            getattr(session, self._name())
            assert not wire.requests, f"it sent {wire.requests[0]} before anything was called"

    def test_it_imports_no_other_plugin(self) -> None:
        """Neither the server, nor another namespace, at import or later: what two share is a library."""
        forbidden = {"edge_server", *_namespace_packages()} - self._roots()
        found = [f"at import: {one}" for one in sorted(forbidden & set(self._probe()["loaded"]))]
        for root in sorted(self._roots()):
            folder = self._folder(root)
            for path in sorted(folder.rglob("*.py")):
                found += [
                    f"{path.relative_to(folder.parent)}:{line}: {module}"
                    for line, module in _imports(path)
                    if module.partition(".")[0] in forbidden
                ]
        assert not found, "; ".join(found)

    # --- how it fails -----------------------------------------------------------------------------

    def test_only_errors_of_edge_come_out(self) -> None:
        """Whatever the server does, what is raised is an `EdgeError`."""
        for call in self._calls():
            for fault, how in _FAULTS.items():
                with Wire(how) as wire:
                    self._leaks(call, fault, wire.url)
            self._leaks(call, "nothing listens", closed_url())

    def test_a_refusal_is_not_swallowed(self) -> None:
        """A call that was forbidden, or that failed, raises."""
        for call in self._calls():
            for status in (403, 500):
                with Wire(functools.partial(_refuse, status)) as wire, _session(wire.url) as session:
                    try:
                        self._run(call, session)
                    except Exception:  # noqa: S112  # which one it is, another rule tells
                        continue
                    pytest.fail(f"{call.name}: the server answered {status} and nothing was raised", pytrace=False)

    # --- what comes of a good answer --------------------------------------------------------------

    def test_unknown_fields_are_kept(self) -> None:
        """What a newer server sends breaks nothing and is not lost."""
        for call in self._calls():
            with Wire(_good(call, ITEMS, tomorrow=True)) as wire, _session(wire.url) as session:
                try:
                    result = self._run(call, session)
                except Exception as error:
                    pytest.fail(f"{call.name}: a further field in the answer led to {error!r}", pytrace=False)
                if self.keeps_unknown_fields:
                    for one in result if isinstance(call, Listing) else [result]:
                        if hasattr(one, "to_dict"):
                            assert TOMORROW in one.to_dict(), f"{call.name}: {type(one).__name__} lost a further field"

    def test_the_session_pickles_and_comes_back(self) -> None:
        """A session that was used can go to another process, and be used there."""
        for call in self._calls(needed=False):
            with Wire(_good(call, ITEMS)) as wire, _session(wire.url) as session:
                self._run(call, session)
                try:
                    copy = pickle.loads(pickle.dumps(session))  # noqa: S301  # pickled here
                except Exception as error:
                    pytest.fail(f"after {call.name} the session cannot be pickled: {error!r}", pytrace=False)
                with copy:
                    self._run(call, copy)

    def test_what_calls_give_pickles(self) -> None:
        """Results can go to another process, and are there what they were."""
        if not self.results_pickle:
            pytest.skip("results_pickle is False")
        for call in self._calls():
            with Wire(_good(call, ITEMS)) as wire, _session(wire.url) as session:
                result = self._run(call, session)
                try:
                    copy = pickle.loads(pickle.dumps(result))  # noqa: S301  # pickled here
                except Exception as error:
                    pytest.fail(f"{call.name}: what it gives cannot be pickled: {error!r}", pytrace=False)
                assert type(copy) is type(result)
                if any("__eq__" in vars(one) for one in type(result).__mro__[:-1]):  # not as object compares
                    assert copy == result, f"{call.name}: what it gives is another after pickling"

    def test_lists_are_complete_at_every_page_size(self) -> None:
        """All items arrive, in order, however few the server puts on a page, none on some."""
        for call in self._listings():
            whole = None
            for size in PAGE_SIZES:
                with Wire(_good(call, size)) as wire, _session(wire.url) as session:
                    found = list(call.run(getattr(session, self._name())))
                assert len(found) == ITEMS, f"{call.name}: {len(found)} of {ITEMS} items at {size} on a page"
                # Whatever the items are: they come out the same as from one page.
                shown = [one.to_dict() if hasattr(one, "to_dict") else repr(one) for one in found]
                whole = whole or (shown if _is_plain(found) else None)
                assert whole is None or shown == whole, f"{call.name}: other items at {size} on a page"

    def test_lists_are_lazy(self) -> None:
        """Nothing is asked for before the first item is, and no more than a page ahead of the reader."""
        for call in self._listings():
            if not call.lazy:
                continue
            with Wire(_good(call, 1)) as wire, _session(wire.url) as session:
                found = call.run(getattr(session, self._name()))
                assert not wire.requests, f"{call.name}: it asks the server before anything is read"
                items = iter(found)
                next(items)
                assert len(wire.requests) <= 2, f"{call.name}: one item read, {len(wire.requests)} pages asked for"
                del items

    # --- what is shipped --------------------------------------------------------------------------

    def test_the_wheel_holds_what_it_should(self, request: pytest.FixtureRequest) -> None:
        """Its package with `py.typed`, nothing under `edge/`, and no tests."""
        if not self.checks_wheel:
            pytest.skip("checks_wheel is False")
        folder = self.project or next(
            (one for one in request.path.parents if (one / "pyproject.toml").is_file()), request.path.parent
        )
        files = _wheel_files(folder)
        tops = {one.partition("/")[0] for one in files}
        assert "edge" not in tops, "the wheel ships something under edge/, which is edge-core's alone"
        assert not tops & {"tests", "test", "conftest.py"}, "the wheel ships tests as an importable package"
        inner = [one for one in files if re.match(r"[^/.]+/(.*/)?(tests?/|test_[^/]*\.py|conftest\.py)", one)]
        assert not inner, f"the wheel ships tests: {inner[0]}"
        for root in sorted(self._roots()):
            assert f"{root}/py.typed" in files, f"{root}/py.typed is not in the wheel; name it under package_data"

    # --- how it looks -----------------------------------------------------------------------------

    def _points(self, group: str = "") -> list[importlib_metadata.EntryPoint]:
        points = importlib_metadata.distribution(self.distribution).entry_points
        return [one for one in points if one.group.startswith("edge.") and group in ("", one.group)]

    def _name(self) -> str:
        self._needs_namespace()
        return self._points("edge.namespaces")[0].name

    def _needs_namespace(self) -> None:
        if not self.has_namespace:
            pytest.skip("has_namespace is False")

    def _roots(self) -> set[str]:
        return {point.module.partition(".")[0] for point in self._points()}

    def _folder(self, root: str) -> Path:
        spec = importlib.util.find_spec(root)
        assert spec is not None and spec.submodule_search_locations, f"{root} is not a package"  # noqa: PT018
        return Path(next(iter(spec.submodule_search_locations)))

    def _probe(self) -> dict[str, list[str]]:
        # The server's half loads in servers only, where its libraries are no burden.
        modules = sorted({point.module for point in self._points() if point.group != "edge.server"})
        return _probed(json.dumps([sorted(self._roots()), modules]), os.pathsep.join(sys.path))

    def _calls(self, *, needed: bool = True) -> Iterator[Call | Listing]:
        self._needs_namespace()
        if not self.calls and needed:
            pytest.skip("calls names none")
        yield from self.calls or [Call("touching it", lambda found: None)]

    def _listings(self) -> list[Listing]:
        found = [call for call in self._calls() if isinstance(call, Listing)]
        if not found:
            pytest.skip("calls names no Listing")
        return found

    def _run(self, call: Call | Listing, session: EdgeSession) -> Any:
        made = call.run(getattr(session, self._name()))
        return list(made) if isinstance(call, Listing) else made

    def _leaks(self, call: Call | Listing, fault: str, url: str) -> None:
        with _session(url) as session:
            try:
                result = self._run(call, session)
                for one in result if isinstance(call, Listing) else [result]:
                    if hasattr(one, "to_dict"):
                        one.to_dict()
            except EdgeError:
                return
            except Exception as error:
                pytest.fail(f"{call.name}: {fault}: {type(error).__module__}.{error!r} comes out", pytrace=False)


def _session(url: str) -> EdgeSession:
    return EdgeSession("edg_kit", url, "kit", retries=0, timeout=10)


@functools.cache
def _probed(asked: str, path: str) -> dict[str, list[str]]:
    environment = {**os.environ, "PYTHONPATH": path}
    command = [sys.executable, "-c", _PROBE, asked]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)  # noqa: S603
    assert done.returncode == 0, f"importing it in a new interpreter failed:\n{done.stderr}"
    found: dict[str, list[str]] = json.loads(done.stdout.splitlines()[-1])
    return found


def _namespace_packages() -> set[str]:
    """The packages of all plugins that give the session an attribute."""
    return {
        record.source.partition(":")[0].partition(".")[0].strip()
        for record in namespace_registry().records()
        if normalized(record.distribution) != "edge-core"
    }


def _imports(path: Path) -> Iterator[tuple[int, str]]:
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


def _unannotated(kind: type[Any], roots: set[str]) -> list[str]:
    """The public members of `kind`, of its own distribution, with a parameter or result of no stated type."""
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
            given = list(signature.parameters.values())[0 if isinstance(member, staticmethod) else 1 :]
            wanting = [one.name for one in given if one.annotation is inspect.Parameter.empty]
            if signature.return_annotation is inspect.Signature.empty:
                wanting.append("its result")
            if wanting:
                bare.append(f"{owner.__name__}.{name} ({', '.join(wanting)})")
    return bare


def _is_plain(found: list[Any]) -> bool:
    """Whether items can be told apart by what they show."""
    return all(hasattr(one, "to_dict") or isinstance(one, (str, int, float, dict, tuple)) for one in found)


# --- answers, good and bad ------------------------------------------------------------------------

Answered = tuple[int, dict[str, str], bytes]


def _json(status: int, data: Any, kind: str = "application/json") -> Answered:
    return status, {"Content-Type": kind, "ETag": '"kit-1"'}, json.dumps(data).encode()


def _problem(status: int) -> Answered:
    codes = {403: "forbidden", 404: "not_found", 409: "conflict", 412: "changed", 422: "bad_entry", 500: "internal"}
    document = {
        "type": "about:blank",
        "title": "No",
        "status": status,
        "detail": "the kit says no; go on",
        "code": codes[status],
        "request_id": "kit",
    }
    return _json(status, document, "application/problem+json")


def _refuse(status: int, _: Any) -> Answered:
    return _problem(status)


_FAULTS: dict[str, Callable[[Any], Answered]] = {
    **{f"status {status}": functools.partial(_refuse, status) for status in (403, 404, 409, 412, 422, 500)},
    "a page of HTML": lambda _: (200, {"Content-Type": "text/html"}, b"<html>Please log in</html>"),
    "a list where an object belongs": lambda _: _json(200, []),
    "an empty object": lambda _: _json(200, {}),
    "null": lambda _: _json(200, None),
    "numbers for everything": lambda _: _json(200, {"items": [7], "next": None, "name": 7}),
    "half an answer": lambda _: (200, {"Content-Type": "application/json", "Content-Length": "9999"}, b'{"items": ['),
    "no answer": lambda _: (0, {}, b""),
}


def _good(call: Call | Listing, size: int, *, tomorrow: bool = False) -> Callable[[Any], Answered]:
    """A server that answers `call` as it should, lists `size` items at a time."""
    more = {TOMORROW: {"deep": [1]}} if tomorrow else {}
    if isinstance(call, Call):
        answer = {**call.answer, **more} if isinstance(call.answer, dict) else call.answer
        return lambda _: (204, {}, b"") if answer is None else _json(200, answer)
    items = [{**one, **more} for one in call.items()]

    def page(request: Any) -> Answered:
        at, empty = 0, False
        if request.query.get("cursor"):
            at, empty = json.loads(request.query["cursor"])
        if empty:
            return _json(200, {"items": [], "next": json.dumps([at, False])})
        following = json.dumps([at + size, at == 0]) if at + size < len(items) else None
        return _json(200, {"items": items[at : at + size], "next": following, **more})

    return page


# --- the wheel ------------------------------------------------------------------------------------


def _wheel_files(folder: Path) -> list[str]:
    """The names of the files in the wheel that is built from `folder`, which stays as it is."""
    with tempfile.TemporaryDirectory() as scratch:
        copy, out = Path(scratch) / "project", Path(scratch) / "out"
        ignored = shutil.ignore_patterns("*.egg-info", "build", "dist", "__pycache__", ".*")
        shutil.copytree(folder, copy, ignore=ignored)
        out.mkdir()
        said = ""
        for command in _builders(out):
            done = subprocess.run(command, cwd=copy, capture_output=True, text=True, check=False)  # noqa: S603
            if done.returncode == 0:
                with zipfile.ZipFile(next(out.glob("*.whl"))) as wheel:
                    return wheel.namelist()
            said += f"{done.stdout}\n{done.stderr}\n"  # an old setuptools alone builds none, say
    assert not said, f"the wheel of {folder} cannot be built:\n{said}"
    pytest.skip("nothing here builds wheels; install setuptools, pip or uv")


def _builders(out: Path) -> Iterator[list[str]]:
    """Commands that build a wheel, the quickest first."""
    if importlib.util.find_spec("setuptools") is not None:
        build = "import sys; from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])"
        yield [sys.executable, "-c", build, str(out)]
    if importlib.util.find_spec("pip") is not None:
        yield [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(out), "."]
    uv = shutil.which("uv") or shutil.which("uv", path=str(Path(sys.executable).parent))
    if uv is not None:
        yield [uv, "build", "--quiet", "--wheel", "--out-dir", str(out), "."]


assert PLUGIN_API == 1, "the rules above are those of contract 1"
