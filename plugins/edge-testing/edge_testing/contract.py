"""The contract kit: a pytest class that holds a plugin to the plugin contract.

An author subclasses it once, and pytest runs every rule:

    from edge_testing.contract import Call, Listing, PluginContract
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
"""

from __future__ import annotations

import functools
import importlib.metadata
import importlib.util
import json
import os
import pickle
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest

from edge_core.documented import NAMESPACES
from edge_core.errors import EdgeError
from edge_core.plugin import PLUGIN_API
from edge_core.registry import Registry
from edge_core.session import RESERVED, EdgeSession, namespace_registry
from edge_testing.calls import FAULTS, ITEMS, TOMORROW, Call, Listing, good, refuse
from edge_testing.inspection import imports, namespace_packages, probed, takes, unannotated
from edge_testing.wheels import wheel_files
from edge_testing.wire import Wire, closed_url

__all__ = ["Call", "Listing", "PluginContract"]

HEAVY = frozenset(
    {
        *("PIL", "alembic", "boto3", "botocore", "flask", "imageio", "marshmallow", "matplotlib", "numpy", "pandas"),
        *("pluggy", "pyarrow", "scipy", "sqlalchemy", "tqdm"),
    }
)
"""Modules that cost a user seconds or megabytes, so that importing a plugin must not load them."""

_METHODS_OF_OPENERS = {
    **{"open": ("file",), "options": ("file",), "recognizes": ("head",)},
    **{"save": ("file", "value"), "save_options": ("basename",), "difference": ("value", "opened")},
}
"""Methods that an opener has or may have, and their arguments by position."""

PAGE_SIZES = (1, 2, 3, 7, 1000)


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

    def test_its_openers_can_be_used(self) -> None:
        """Each opener is made without arguments, lists its suffixes, and has methods that take what they are given."""
        for point in self._points("edge.openers"):
            opener = Registry(point.group).load(point.name, lambda target: target())
            suffixes = getattr(opener, "suffixes", None)
            assert isinstance(suffixes, tuple), f"{point.name} has no tuple of suffixes"
            for suffix in suffixes:
                assert suffix == suffix.lower() and suffix.startswith("."), (  # noqa: PT018
                    f"{point.name} lists {suffix!r}, which is not a dot and lower case, and would never be found"
                )
            assert hasattr(opener, "open"), f"{point.name} has no method open"
            for name, arguments in _METHODS_OF_OPENERS.items():
                if hasattr(opener, name) and not takes(getattr(opener, name), *arguments):
                    pytest.fail(f"{point.name}: {name} does not take ({', '.join(arguments)})", pytrace=False)

    def test_it_is_typed(self) -> None:
        """`py.typed` is there, and everything public on the session's object is annotated."""
        for root in sorted(self._roots()):
            assert (self._folder(root) / "py.typed").is_file(), f"{root} has no py.typed, so checkers ignore its types"
        if self.has_namespace:
            with _session(closed_url()) as session:
                bare = unannotated(type(getattr(session, self._name())), self._roots())
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
        forbidden = {"edge_server", *namespace_packages()} - self._roots()
        reached = [f"at import: {module}" for module in sorted(forbidden & set(self._probe()["loaded"]))]
        for root in sorted(self._roots()):
            folder = self._folder(root)
            for path in sorted(folder.rglob("*.py")):
                reached += [
                    f"{path.relative_to(folder.parent)}:{line}: {module}"
                    for line, module in imports(path)
                    if module.partition(".")[0] in forbidden
                ]
        assert not reached, "; ".join(reached)

    # --- how it fails -----------------------------------------------------------------------------

    def test_only_errors_of_edge_come_out(self) -> None:
        """Whatever the server does, what is raised is an `EdgeError`."""
        for call in self._calls():
            for fault, how in FAULTS.items():
                with Wire(how) as wire:
                    self._leaks(call, fault, wire.url)
            self._leaks(call, "nothing listens", closed_url())

    def test_a_refusal_is_not_swallowed(self) -> None:
        """A call that was forbidden, or that failed, raises."""
        for call in self._calls():
            for status in (403, 500):
                with Wire(functools.partial(refuse, status)) as wire, _session(wire.url) as session:
                    try:
                        self._run(call, session)
                    except Exception:  # noqa: S112  # which one it is, another rule tells
                        continue
                    pytest.fail(f"{call.name}: the server answered {status} and nothing was raised", pytrace=False)

    # --- what comes of a good answer --------------------------------------------------------------

    def test_unknown_fields_are_kept(self) -> None:
        """What a newer server sends breaks nothing and is not lost."""
        for call in self._calls():
            with Wire(good(call, ITEMS, tomorrow=True)) as wire, _session(wire.url) as session:
                try:
                    result = self._run(call, session)
                except Exception as error:
                    pytest.fail(f"{call.name}: a further field in the answer led to {error!r}", pytrace=False)
                if self.keeps_unknown_fields:
                    for record in result if isinstance(call, Listing) else [result]:
                        if hasattr(record, "to_dict"):
                            kind = type(record).__name__
                            assert TOMORROW in record.to_dict(), f"{call.name}: {kind} lost a further field"

    def test_the_session_pickles_and_comes_back(self) -> None:
        """A session that was used can go to another process, and be used there."""
        for call in self._calls(needed=False):
            with Wire(good(call, ITEMS)) as wire, _session(wire.url) as session:
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
            with Wire(good(call, ITEMS)) as wire, _session(wire.url) as session:
                result = self._run(call, session)
                try:
                    copy = pickle.loads(pickle.dumps(result))  # noqa: S301  # pickled here
                except Exception as error:
                    pytest.fail(f"{call.name}: what it gives cannot be pickled: {error!r}", pytrace=False)
                assert type(copy) is type(result)
                if any("__eq__" in vars(kind) for kind in type(result).__mro__[:-1]):  # not as object compares
                    assert copy == result, f"{call.name}: what it gives is another after pickling"

    def test_lists_are_complete_at_every_page_size(self) -> None:
        """All items arrive, in order, however few the server puts on a page, none on some."""
        for call in self._listings():
            whole = None
            for size in PAGE_SIZES:
                with Wire(good(call, size)) as wire, _session(wire.url) as session:
                    items = list(call.run(getattr(session, self._name())))
                assert len(items) == ITEMS, f"{call.name}: {len(items)} of {ITEMS} items at {size} on a page"
                # Whatever the items are, they are those of a single page.
                shown = [record.to_dict() if hasattr(record, "to_dict") else repr(record) for record in items]
                whole = whole or (shown if _is_plain(items) else None)
                assert whole is None or shown == whole, f"{call.name}: other items at {size} on a page"

    def test_lists_are_lazy(self) -> None:
        """Nothing is asked for before the first item is, and no more than a page ahead of the reader."""
        for call in self._listings():
            if not call.lazy:
                continue
            with Wire(good(call, 1)) as wire, _session(wire.url) as session:
                listing = call.run(getattr(session, self._name()))
                assert not wire.requests, f"{call.name}: it asks the server before anything is read"
                items = iter(listing)
                next(items)
                assert len(wire.requests) <= 2, f"{call.name}: one item read, {len(wire.requests)} pages asked for"
                del items

    # --- what is shipped --------------------------------------------------------------------------

    def test_the_wheel_holds_what_it_should(self, request: pytest.FixtureRequest) -> None:
        """Its package with `py.typed`, nothing under `edge/`, and no tests."""
        if not self.checks_wheel:
            pytest.skip("checks_wheel is False")
        folder = self.project or next(
            (parent for parent in request.path.parents if (parent / "pyproject.toml").is_file()), request.path.parent
        )
        files = wheel_files(folder)
        tops = {file.partition("/")[0] for file in files}
        assert "edge" not in tops, "the wheel ships something under edge/, which is edge-core's alone"
        assert not tops & {"tests", "test", "conftest.py"}, "the wheel ships tests as an importable package"
        inner = [file for file in files if re.match(r"[^/.]+/(.*/)?(tests?/|test_[^/]*\.py|conftest\.py)", file)]
        assert not inner, f"the wheel ships tests: {inner[0]}"
        for root in sorted(self._roots()):
            assert f"{root}/py.typed" in files, f"{root}/py.typed is not in the wheel; name it under package_data"

    # --- how it looks -----------------------------------------------------------------------------

    def _points(self, group: str = "") -> list[importlib.metadata.EntryPoint]:
        points = importlib.metadata.distribution(self.distribution).entry_points
        return [point for point in points if point.group.startswith("edge.") and group in ("", point.group)]

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
        return probed(json.dumps([sorted(self._roots()), modules]), os.pathsep.join(sys.path))

    def _calls(self, *, needed: bool = True) -> Iterator[Call | Listing]:
        self._needs_namespace()
        if not self.calls and needed:
            pytest.skip("calls names none")
        yield from self.calls or [Call("touching it", lambda namespace: None)]

    def _listings(self) -> list[Listing]:
        listings = [call for call in self._calls() if isinstance(call, Listing)]
        if not listings:
            pytest.skip("calls names no Listing")
        return listings

    def _run(self, call: Call | Listing, session: EdgeSession) -> Any:
        result = call.run(getattr(session, self._name()))
        return list(result) if isinstance(call, Listing) else result

    def _leaks(self, call: Call | Listing, fault: str, url: str) -> None:
        with _session(url) as session:
            try:
                result = self._run(call, session)
                for record in result if isinstance(call, Listing) else [result]:
                    if hasattr(record, "to_dict"):
                        record.to_dict()
            except EdgeError:
                return
            except Exception as error:
                pytest.fail(f"{call.name}: {fault}: {type(error).__module__}.{error!r} comes out", pytrace=False)


def _session(url: str) -> EdgeSession:
    return EdgeSession("edg_kit", url, "kit", retries=0, timeout=60)


def _is_plain(items: list[Any]) -> bool:
    """Whether items can be told apart by what they show."""
    return all(hasattr(record, "to_dict") or isinstance(record, (str, int, float, dict, tuple)) for record in items)


assert PLUGIN_API == 1, "the rules above are those of contract 1"
