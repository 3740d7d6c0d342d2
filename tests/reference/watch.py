"""Notes which documented members a test uses, while it uses them.

Only what the test's own file does counts: a member that our code uses behind the test's back was
called by no test.
"""

from __future__ import annotations

import contextlib
import enum
import functools
import importlib
import inspect
import os
import sys
import types
from typing import Any

import pytest

from edge_core import config, errors
from edge_core.session import EdgeSession
from tests.reference.inspection import load
from tests.reference.members import Class, Section


class Watch:
    """Watches the classes of a section until it is closed.

    Args:
        section: whose classes.
        file: path of the test's file.

    Attributes:
        used: what was used so far, by the keys of `Section.uses`.
    """

    def __init__(self, section: Section, file: str) -> None:
        self.used: set[str] = set()
        self._file = file
        self._patch = pytest.MonkeyPatch()
        self._undo = contextlib.ExitStack()
        self._undo.callback(self._patch.undo)
        for entry in section.classes:
            self._watch(load(entry.path), entry)
        paths = [path for entry in section.classes for path in entry.paths]
        for module in {path.rpartition(".")[0] for path in paths}:
            self._watch_reading(importlib.import_module(module), types.ModuleType, module, paths)
        self._watch_raising({load(entry.path): f"{entry.path}()" for entry in section.classes if entry.error})

    def close(self) -> None:
        """Put everything back."""
        self._undo.close()

    def _watch(self, kind: Any, entry: Class) -> None:
        if issubclass(kind, enum.Enum):
            keys = [f"{entry.path}.{member.name}" for member in entry.members]
            self._watch_reading(kind, type(kind), entry.path, keys)
            return
        if entry.forms:
            self._watch_constructing(kind, entry)
        for member in entry.members:
            if member.kind == "method":
                self._watch_calling(kind, member.name, f"{entry.path}.{member.name}")
        attributes = {
            member.name: f"{entry.path}.{member.name}" for member in entry.members if member.kind == "attribute"
        }
        if attributes:
            self._watch_attributes(kind, attributes)

    def _is_test(self, frame: types.FrameType) -> bool:
        return frame.f_code.co_filename == self._file

    def _watch_constructing(self, kind: Any, entry: Class) -> None:
        real = kind.__init__

        @functools.wraps(real)
        def watched(instance: Any, *arguments: Any, **named: Any) -> None:
            real(instance, *arguments, **named)
            if self._is_test(sys._getframe(1)):
                self.used.add(f"{entry.path}()")
                if isinstance(instance, EdgeSession):
                    self._note_variables(instance, named)

        self._patch.setattr(kind, "__init__", watched)

    def _note_variables(self, session: EdgeSession, arguments: dict[str, Any]) -> None:
        """Those of the environment that the session has its settings from."""
        for setting, variables in config.ENVIRONMENT.items():
            variable = next((name for name in variables if os.environ.get(name)), None)
            if variable and setting not in arguments and getattr(session.config, setting) == os.environ[variable]:
                self.used.add(variable)

    def _watch_calling(self, kind: Any, name: str, key: str) -> None:
        static = inspect.getattr_static(kind, name)
        real = static.__func__ if isinstance(static, (classmethod, staticmethod)) else static

        @functools.wraps(real)
        def watched(*arguments: Any, **named: Any) -> Any:
            if self._is_test(sys._getframe(1)):
                self.used.add(key)
                if takes_opener:
                    opener = parameters.bind(*arguments, **named).arguments.get("open_with")
                    self.used.add(f'open_with="{opener}"')
            return real(*arguments, **named)

        parameters = inspect.signature(real)
        takes_opener = "open_with" in parameters.parameters
        wrapped = type(static)(watched) if isinstance(static, (classmethod, staticmethod)) else watched
        self._patch.setattr(kind, name, wrapped)

    def _watch_attributes(self, kind: Any, keys: dict[str, str]) -> None:
        real = kind.__getattribute__

        def watched(instance: Any, name: str) -> Any:
            if name in keys and self._is_test(sys._getframe(1)):
                self.used.add(keys[name])
            return real(instance, name)

        self._patch.setattr(kind, "__getattribute__", watched)

    def _watch_reading(self, owner: Any, kind: type, path: str, keys: list[str]) -> None:
        """Note what is read of a module or an enumeration, which takes a class of its own for them."""

        def watched(self_: Any, name: str) -> Any:
            key = f"{path}.{name}"
            if key in keys and self._is_test(sys._getframe(1)):
                self.used.add(key)
            return kind.__getattribute__(self_, name)

        self._undo.callback(setattr, owner, "__class__", kind)
        owner.__class__ = type(kind.__name__, (kind,), {"__getattribute__": watched})

    def _watch_raising(self, keys: dict[type, str]) -> None:
        def noted(error: Any, *arguments: Any, **named: Any) -> None:
            super(errors.EdgeError, error).__init__(*arguments, **named)
            if type(error) in keys:
                self.used.add(keys[type(error)])

        if keys:
            self._patch.setattr(errors.EdgeError, "__init__", noted, raising=False)
