"""The installed packages, asked for what is documented of them."""

from __future__ import annotations

import enum
import importlib
import importlib.metadata
import inspect
import re
from collections.abc import Iterator
from typing import Any

from edge_core import config
from edge_core.documented import NAMESPACES
from edge_core.plugin import Namespace
from edge_core.records import Record
from tests.reference.members import SECTIONS, Member, Opener, Section

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def load(path: str) -> Any:
    """What an import path names."""
    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(module), name)


# --- is it there as documented


def problems(section: Section) -> Iterator[str]:
    """What is not there as it is documented, each in a sentence."""
    known = {name for names in config.ENVIRONMENT.values() for name in names}
    for name, _ in section.variables:
        if name not in known:
            yield f"{name} is not read"
    for opener in section.openers:
        if opener.name not in OPENERS_OWN and opener.name not in openers():
            yield f"{opener.key} is not installed"
        elif lost := set(opener.suffixes.split()) - set(suffixes_of(opener)):
            yield f"{opener.key} does not open {', '.join(sorted(lost))}"
    if section.openers and (unknown := openers().keys() - {opener.name for opener in section.openers}):
        yield f"the openers {', '.join(sorted(unknown))} are not in the data"
    for entry in section.classes:
        kinds = []
        for path in entry.paths:
            try:
                kinds.append(load(path))
            except (ImportError, AttributeError) as error:
                yield f"{path} cannot be imported: {error}"
        if len(kinds) < len(entry.paths):
            continue
        if any(kind is not kinds[0] for kind in kinds):
            yield f"{' and '.join(entry.paths)} are not the same"
        for form in entry.forms:
            if difference := _difference(form, constructor(kinds[0])):
                yield f"{entry.path}({form}): {difference}"
        for member in entry.members:
            if difference := _problem(kinds[0], member):
                yield f"{entry.path}.{member.name}: {difference}"
        if not sentence_of_class(kinds[0]):
            yield f"{entry.path} has no docstring"


def _problem(kind: type, member: Member) -> str | None:
    if member.kind == "value":
        constant = kind.__members__.get(member.name)
        if constant is None:
            return "the member is missing"
        return None if constant.value == member.value else f"is {constant.value!r}, documented as {member.value!r}"
    if member.namespace:
        return None if member.name in NAMESPACES else "is given by no distribution"
    if member.kind == "attribute":
        return None if _has_attribute(kind, member.name) else "the attribute is missing"
    function = inspect.getattr_static(kind, member.name, None)
    if function is None or not callable(getattr(kind, member.name)):
        return "the method is missing"
    if member.parameters is None:
        return None
    return _difference(member.parameters, signature(kind, member.name))


def _has_attribute(kind: type, name: str) -> bool:
    if issubclass(kind, Record) and name in kind._fields:
        return True
    attribute = inspect.getattr_static(kind, name, None)
    if attribute is not None:
        return not inspect.isroutine(attribute)
    # What each instance is given; that it is, the test sees by reading it.
    return any(name in described(base) for base in kind.__mro__)


def _difference(documented: str, actual: inspect.Signature) -> str | None:
    """Why a call as documented would not do, or None."""
    # The text is Python's own, so Python reads it.
    promised = inspect.signature(eval(f"lambda {documented}: None"))
    order = [parameter for parameter in actual.parameters.values() if parameter.kind in _POSITIONAL]
    for place, expected in enumerate(promised.parameters.values()):
        if expected.kind in _VARIADIC:
            if not any(other.kind == expected.kind for other in actual.parameters.values()):
                return f"takes no {expected}"
            continue
        parameter = actual.parameters.get(expected.name)
        if parameter is None or parameter.kind in _VARIADIC:
            return f"has no parameter {expected.name}"
        if expected.kind in _POSITIONAL and (place >= len(order) or order[place].name != expected.name):
            return f"its parameter {place + 1} is not {expected.name}"
        if expected.default is not expected.empty and parameter.default != expected.default:
            return f"{expected.name} is {parameter.default!r} by default, documented as {expected.default!r}"
    for name, other in actual.parameters.items():
        if name not in promised.parameters and other.kind not in _VARIADIC and other.default is other.empty:
            return f"needs {name}, which is not documented"
    return None


# --- how it is called


def constructor(kind: type) -> inspect.Signature:
    """How the class is called; a record's fields are its parameters."""
    if issubclass(kind, Record) and "__init__" not in vars(kind):
        parameters = []
        for name, field in kind._fields.items():
            fallback = field.fallback()
            default = inspect.Parameter.empty if _is_missing(fallback) else fallback
            parameters.append(inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=default))
        if any(parameter.default is parameter.empty for parameter in parameters[_required(parameters) :]):
            parameters = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in parameters]
        return inspect.Signature(parameters)
    return _without_self(inspect.signature(vars(kind)["__init__"]))


def _is_missing(value: Any) -> bool:
    return type(value) is object


def _required(parameters: list[inspect.Parameter]) -> int:
    """How many there are before the first that need not be given."""
    return next(
        (place for place, parameter in enumerate(parameters) if parameter.default is not parameter.empty),
        len(parameters),
    )


def signature(kind: type, name: str) -> inspect.Signature:
    """How a method is called."""
    function = inspect.getattr_static(kind, name)
    if isinstance(function, (classmethod, staticmethod)):
        return inspect.signature(getattr(kind, name))
    return _without_self(inspect.signature(function))


def _without_self(function: inspect.Signature) -> inspect.Signature:
    return function.replace(parameters=list(function.parameters.values())[1:])


def shown(function: inspect.Signature) -> str:
    """A signature as users read it: names and defaults."""
    bare = [
        parameter.replace(
            annotation=parameter.empty,
            default=parameter.default if parameter.default is parameter.empty else _Shown(parameter.default),
        )
        for parameter in function.parameters.values()
    ]
    return str(function.replace(parameters=bare, return_annotation=function.empty))


class _Shown:
    """A default in a signature."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __repr__(self) -> str:
        if isinstance(self.value, enum.Enum):
            return f"{type(self.value).__name__}.{self.value.name}"
        return "..." if type(self.value) is object else repr(self.value)


# --- openers


OPENERS_OWN = {"file": "The bytes, as a `File`."}
"""Those that are no entry points."""


def openers() -> dict[str, Any]:
    """The opener classes of this project, by name."""
    files = importlib.metadata.distribution("edge-vfs").entry_points
    return {point.name: point.load() for point in files if point.group == "edge.openers"}


def suffixes_of(opener: Opener) -> tuple[str, ...]:
    suffixes: tuple[str, ...] = () if opener.name in OPENERS_OWN else openers()[opener.name].suffixes
    return suffixes


def sentence_of_opener(opener: Opener) -> str:
    return OPENERS_OWN.get(opener.name) or sentence_of_class(openers()[opener.name])


# --- what it says of itself


def sentence(docstring: str | None) -> str:
    """The first sentence."""
    paragraph = " ".join(inspect.cleandoc(docstring or "").partition("\n\n")[0].split())
    match = re.match(r".+?[.!?](?=\s|$)", paragraph)
    return (match[0] if match else paragraph).replace("``", "`")


def sentence_of_class(kind: type) -> str:
    return sentence(vars(kind).get("__doc__"))


def described(kind: type) -> dict[str, str]:
    """What a class's docstring says of its arguments and attributes."""
    text = inspect.cleandoc(vars(kind).get("__doc__") or "")
    entries = re.findall(r"^ {4}\*{0,2}(\w+): ((?:.|\n {8})+)", text, re.MULTILINE)
    return {name: " ".join(description.split()) for name, description in entries}


def sentence_of_member(kind: type, member: Member) -> str:
    """What a member says of itself."""
    if member.namespace:
        section = next(section for section in SECTIONS if section.namespace == member.name)
        return sentence_of_class(load(section.classes[0].path))
    if member.kind == "value":
        return ""
    attribute = inspect.getattr_static(kind, member.name, None)
    if issubclass(kind, Record) and member.name in kind._fields:
        return sentence(kind._fields[member.name].limits.get("doc"))
    if isinstance(attribute, property) or member.kind == "method":
        return sentence(inspect.getdoc(getattr(kind, member.name)))
    for base in kind.__mro__:
        if description := described(base).get(member.name):
            text = sentence(description)
            return text[0].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")
    return ""


# --- what else there is


def public_members(kind: type) -> set[str]:
    """The members a class and its bases in this project define for its users."""
    if issubclass(kind, enum.Enum):
        return set(kind.__members__)
    bases = [
        base
        for base in kind.__mro__
        if base.__module__.partition(".")[0].startswith("edge") and base not in (Record, Namespace)
    ]
    return {
        name
        for base in bases
        for name in vars(base)
        if not name.startswith("_") and not (issubclass(base, Namespace) and name in _CONTRACT)
    } - {"plugin_api"}


_CONTRACT = ("namespace", "base_path")
"""What a namespace states for the core."""
