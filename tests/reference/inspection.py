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


def is_installed(distribution: str) -> bool:
    try:
        importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def missing_namespaces() -> set[str]:
    """Documented properties of the session that nothing installed gives."""
    return {name for name, distribution in NAMESPACES.items() if not is_installed(distribution)}


def installed_sections() -> list[Section]:
    """The sections, without what belongs to distributions that are not installed."""
    missing = missing_namespaces()
    return [
        section._replace(
            classes=tuple(
                one._replace(
                    members=tuple(
                        member for member in one.members if not member.namespace or member.name not in missing
                    )
                )
                for one in section.classes
            )
        )
        for section in SECTIONS
        if section.namespace not in missing
    ]


def missing_keys() -> list[str]:
    """What is documented and belongs to distributions that are not installed."""
    there = {key for section in installed_sections() for key in section.uses()}
    return [key for section in SECTIONS for key in section.uses() if key not in there]


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
    if section.openers and (unknown := openers().keys() - {one.name for one in section.openers}):
        yield f"the openers {', '.join(sorted(unknown))} are not in the data"
    for one in section.classes:
        kinds = []
        for path in one.paths:
            try:
                kinds.append(load(path))
            except (ImportError, AttributeError) as error:
                yield f"{path} cannot be imported: {error}"
        if len(kinds) < len(one.paths):
            continue
        if any(kind is not kinds[0] for kind in kinds):
            yield f"{' and '.join(one.paths)} are not the same"
        for form in one.forms:
            if difference := _difference(form, constructor(kinds[0])):
                yield f"{one.path}({form}): {difference}"
        for member in one.members:
            if difference := _problem(kinds[0], member):
                yield f"{one.path}.{member.name}: {difference}"
        if not sentence_of_class(kinds[0]):
            yield f"{one.path} has no docstring"


def _problem(kind: type, member: Member) -> str | None:
    if member.kind == "value":
        found = kind.__members__.get(member.name)
        if found is None:
            return "there is no such member"
        return None if found.value == member.value else f"is {found.value!r}, documented as {member.value!r}"
    if member.namespace:
        return None if member.name in NAMESPACES else "is given by no distribution"
    if member.kind == "attribute":
        return None if _has_attribute(kind, member.name) else "there is no such attribute"
    function = inspect.getattr_static(kind, member.name, None)
    if function is None or not callable(getattr(kind, member.name)):
        return "there is no such method"
    if member.parameters is None:
        return None
    return _difference(member.parameters, signature(kind, member.name))


def _has_attribute(kind: type, name: str) -> bool:
    if issubclass(kind, Record) and name in kind._fields:
        return True
    found = inspect.getattr_static(kind, name, None)
    if found is not None:
        return not inspect.isroutine(found)
    # What each instance is given; that it is, the test sees by reading it.
    return any(name in described(base) for base in kind.__mro__)


def _difference(documented: str, actual: inspect.Signature) -> str | None:
    """Why a call as documented would not do, or None."""
    # The text is Python's own, so Python reads it.
    wanted = inspect.signature(eval(f"lambda {documented}: None"))
    order = [one for one in actual.parameters.values() if one.kind in _POSITIONAL]
    for place, one in enumerate(wanted.parameters.values()):
        if one.kind in _VARIADIC:
            if not any(other.kind == one.kind for other in actual.parameters.values()):
                return f"takes no {one}"
            continue
        found = actual.parameters.get(one.name)
        if found is None or found.kind in _VARIADIC:
            return f"has no parameter {one.name}"
        if one.kind in _POSITIONAL and (place >= len(order) or order[place].name != one.name):
            return f"its parameter {place + 1} is not {one.name}"
        if one.default is not one.empty and found.default != one.default:
            return f"{one.name} is {found.default!r} by default, documented as {one.default!r}"
    for name, other in actual.parameters.items():
        if name not in wanted.parameters and other.kind not in _VARIADIC and other.default is other.empty:
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
        if any(one.default is one.empty for one in parameters[_required(parameters) :]):
            parameters = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in parameters]
        return inspect.Signature(parameters)
    return _without_self(inspect.signature(vars(kind)["__init__"]))


def _is_missing(value: Any) -> bool:
    return type(value) is object


def _required(parameters: list[inspect.Parameter]) -> int:
    """How many there are before the first that need not be given."""
    return next((place for place, one in enumerate(parameters) if one.default is not one.empty), len(parameters))


def signature(kind: type, name: str) -> inspect.Signature:
    """How a method is called."""
    function = inspect.getattr_static(kind, name)
    if isinstance(function, (classmethod, staticmethod)):
        return inspect.signature(getattr(kind, name))
    return _without_self(inspect.signature(function))


def _without_self(found: inspect.Signature) -> inspect.Signature:
    return found.replace(parameters=list(found.parameters.values())[1:])


def shown(found: inspect.Signature) -> str:
    """A signature as users read it: names and defaults."""
    bare = [
        one.replace(annotation=one.empty, default=one.default if one.default is one.empty else _Shown(one.default))
        for one in found.parameters.values()
    ]
    return str(found.replace(parameters=bare, return_annotation=found.empty))


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
    return {one.name: one.load() for one in files if one.group == "edge.openers"}


def suffixes_of(opener: Opener) -> tuple[str, ...]:
    found: tuple[str, ...] = () if opener.name in OPENERS_OWN else openers()[opener.name].suffixes
    return found


def sentence_of_opener(opener: Opener) -> str:
    return OPENERS_OWN.get(opener.name) or sentence_of_class(openers()[opener.name])


# --- what it says of itself


def sentence(docstring: str | None) -> str:
    """The first sentence."""
    paragraph = " ".join(inspect.cleandoc(docstring or "").partition("\n\n")[0].split())
    found = re.match(r".+?[.!?](?=\s|$)", paragraph)
    return (found[0] if found else paragraph).replace("``", "`")


def sentence_of_class(kind: type) -> str:
    return sentence(vars(kind).get("__doc__"))


def described(kind: type) -> dict[str, str]:
    """What a class's docstring says of its arguments and attributes."""
    text = inspect.cleandoc(vars(kind).get("__doc__") or "")
    entries = re.findall(r"^ {4}\*{0,2}(\w+): ((?:.|\n {8})+)", text, re.MULTILINE)
    return {name: " ".join(said.split()) for name, said in entries}


def sentence_of_member(kind: type, member: Member) -> str:
    """What a member says of itself."""
    if member.namespace:
        section = next(one for one in SECTIONS if one.namespace == member.name)
        return sentence_of_class(load(section.classes[0].path))
    if member.kind == "value":
        return ""
    found = inspect.getattr_static(kind, member.name, None)
    if issubclass(kind, Record) and member.name in kind._fields:
        return sentence(kind._fields[member.name].limits.get("doc"))
    if isinstance(found, property) or member.kind == "method":
        return sentence(inspect.getdoc(getattr(kind, member.name)))
    for base in kind.__mro__:
        if said := described(base).get(member.name):
            text = sentence(said)
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
