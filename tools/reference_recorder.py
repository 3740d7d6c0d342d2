"""A pytest plugin that notes which documented members the tests themselves use: `-p tools.reference_recorder`.

A method counts when a test calls it, a property or field when a test reads it, a member of an
enumeration when a test names it or goes through the enumeration, an error when one is made during a
test. What our own code does among itself does not count, and neither does a test that fails.
"""

from __future__ import annotations

import enum
import functools
import json
import os
import sys
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from tools import reference

_TESTS = f"{os.sep}tests{os.sep}"

_current: set[str] | None = None
_called: dict[str, str] = {}


def pytest_configure() -> None:
    """Watch the members of every class that is there."""
    watched: dict[type[Any], list[reference.Member]] = {}
    for member in reference.members():
        try:
            watched.setdefault(reference.owner_of(member), []).append(member)
        except (ImportError, AttributeError):
            continue
    for owner, members in watched.items():
        _watch(owner, members)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Note what a test uses, under its name."""
    global _current
    _current, item.stash[_failed] = set(), False
    try:
        return (yield)
    finally:
        if not item.stash[_failed]:
            for key in _current:
                _called[key] = min(_called.get(key, item.nodeid), item.nodeid)
        _current = None


_failed = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    """Remember that a test failed."""
    report: Any = yield
    if report.failed or report.skipped:
        item.stash[_failed] = True
    return report


def pytest_unconfigure() -> None:
    """Write the notes down."""
    notes = os.environ.get("EDGE_REFERENCE_NOTES")
    if notes:
        short = {key: test.partition("[")[0] for key, test in _called.items()}
        Path(notes).write_text(json.dumps(short), encoding="utf-8")


def _note(key: str) -> None:
    """Note a member, if it is a test that called what called this."""
    try:
        caller = sys._getframe(2)
    except ValueError:  # called from a thread of a library's own
        return
    if _current is not None and _TESTS in caller.f_code.co_filename:
        _current.add(key)


def _watch(owner: type[Any], members: list[reference.Member]) -> None:
    if issubclass(owner, enum.Enum):
        _watch_enumeration(owner, {one.name: one.key for one in members})
        return
    read = {one.name: one.key for one in members if one.kind in ("field", "property", "attribute")}
    for one in members:
        if one.kind == "new":
            _replace(owner, "__init__", one.key)
        elif one.kind == "method":
            _replace(owner, one.name, one.key)
        elif one.kind == "error":
            _watch_error(owner, one.key)
    if read:
        before: Any = owner.__getattribute__

        def getattribute(self: Any, name: str) -> Any:
            if name in read:
                _note(read[name])
            return before(self, name)

        owner.__getattribute__ = getattribute  # type: ignore[assignment]


def _replace(owner: type[Any], name: str, key: str) -> None:
    method: Callable[..., Any] | None = getattr(owner, name, None)
    if method is None:
        return

    @functools.wraps(method)
    def noted(*args: Any, **kwargs: Any) -> Any:
        _note(key)
        return method(*args, **kwargs)

    setattr(owner, name, noted)


def _watch_error(owner: type[Any], key: str) -> None:
    method = owner.__init__

    @functools.wraps(method)
    def made(self: Any, *args: Any, **kwargs: Any) -> None:
        if _current is not None and type(self) is owner:
            _current.add(key)
        method(self, *args, **kwargs)

    owner.__init__ = made


def _watch_enumeration(owner: type[enum.Enum], keys: dict[str, str]) -> None:
    class Watched(type(owner)):  # type: ignore[misc]
        def __getattribute__(cls, name: str) -> Any:
            if name in keys:
                _note(keys[name])
            return super().__getattribute__(name)

        def __iter__(cls) -> Any:
            for key in keys.values():
                _note(key)
            return super().__iter__()

    owner.__class__ = Watched  # type: ignore[method-assign]
