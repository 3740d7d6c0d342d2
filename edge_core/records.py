"""Records: what the API sends and takes, with each field declared once.

A record is a class with annotated fields:

    class Organization(Record):
        organization_name: str
        roles: list[str] = field(default_factory=list)

From that one declaration come the constructor, the attributes, `to_dict`, and (in `edge_core.schemas`,
which alone needs marshmallow) the schema that checks input. An answer is read without marshmallow, as
loading a list through it takes about ten times as long.
"""

from __future__ import annotations

import datetime as dt
import enum
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, TypeVar, dataclass_transform

from edge_core.errors import BadResponse

if typing.TYPE_CHECKING:
    import marshmallow


class Pattern(str):
    """A regular expression for a field's whole text, with what it means in words.

    Args:
        expression: it begins with ``^`` and ends with ``$``.
        advice: what to write, as the error about another text says it: ``"use letters and digits"``.
    """

    __slots__ = ("advice",)

    def __new__(cls, expression: str, advice: str) -> Pattern:
        pattern = super().__new__(cls, expression)
        pattern.advice = advice
        return pattern

    advice: str


PLAIN_TEXT = Pattern(
    r"^[^\x00-\x1f\x7f-\x9f]*$", "write it on one line, without line breaks, tabs and other control characters"
)
"""The `pattern` of text on one line, without characters that a terminal or a log would obey."""

MISSING: Any = object()
_R = TypeVar("_R", bound="Record")
Reader = Callable[[Any], Any]

_UNREADABLE = (ValueError, TypeError, ArithmeticError, BadResponse)


def _unresolved(value: Any) -> Any:
    raise AssertionError("the annotations are not resolved yet; call fields_of")


class Field:
    """One declared field.

    Attributes:
        name: its name in the record and in JSON.
        default: its value where none comes; `MISSING` if there is none.
        default_factory: called for that value, where it is a list or a dictionary.
        limits: what an annotation alone cannot say, by the names of the parameters of `field`.
        hint: its type, once the annotations are types.
        reader: turns its JSON value into that type, from then on.
    """

    __slots__ = ("default", "default_factory", "hint", "limits", "name", "reader")

    def __init__(self, default: Any, default_factory: Callable[[], Any] | None, limits: dict[str, Any]) -> None:
        self.default = default
        self.default_factory = default_factory
        self.limits = limits
        self.name = ""
        self.hint: Any = None
        self.reader: Reader = _unresolved

    def fallback(self) -> Any:
        return self.default_factory() if self.default_factory is not None else self.default


def field(
    *,
    default: Any = MISSING,
    default_factory: Callable[[], Any] | None = None,
    doc: str | None = None,
    minimum: float | None = None,
    maximum: float | None = None,
    max_length: int | None = None,
    pattern: str | None = None,
    item_pattern: str | None = None,
) -> Any:
    """Declare what an annotation alone cannot say about a field.

    Args:
        default: value when it is not given; without one the field is required.
        default_factory: called for the value, where the default is a list or a dictionary.
        doc: one sentence for the API description.
        minimum: smallest number allowed.
        maximum: largest number allowed.
        max_length: most characters or items allowed.
        pattern: regular expression the whole text must match; it begins with ``^`` and ends with
            ``$``, since elsewhere (JSON Schema, "pattern") one without them matches any part. As a
            `Pattern` it has the words for the error.
        item_pattern: regular expression each text of a list must match, likewise.

    Raises:
        ValueError: a pattern does not begin with ``^`` and end with ``$``.
    """
    for expression in (pattern, item_pattern):
        if expression is not None and not (expression.startswith("^") and expression.endswith("$")):
            raise ValueError(f"the pattern {expression!r} is for a part of a text; begin it with ^ and end it with $")
    limits = {
        "doc": doc,
        "minimum": minimum,
        "maximum": maximum,
        "max_length": max_length,
        "pattern": pattern,
        "item_pattern": item_pattern,
    }
    return Field(default, default_factory, {key: value for key, value in limits.items() if value is not None})


@dataclass_transform(field_specifiers=(field,))
class Record:
    """Base of every record.

    Fields can be given by keyword or, in the order of their declaration, by position; attributes
    can be read and set. What a newer server sends beyond the declared fields is kept and shows in
    `to_dict`.

    >>> class Shelf(Record):
    ...     name: str
    ...     plates: int = 0
    >>> shelf = Shelf("north", plates=3)
    >>> shelf.plates += 1
    >>> shelf.to_dict()
    {'name': 'north', 'plates': 4}
    """

    _fields: ClassVar[dict[str, Field]] = {}
    # Name, kind and reader of each field, once the annotations are types.
    _plan: ClassVar[tuple[tuple[str, type | None, Reader], ...]] = ()
    # Its name in the API description, where that is not the class's.
    _described_as: ClassVar[str | None] = None
    # Field names that `repr` leaves out.
    _hidden: ClassVar[frozenset[str]] = frozenset()

    # The answer as it came.
    _answer: dict[str, Any]
    _etag: str | None = None
    # Names of the fields that were set; None stands for all of them, in a record made by hand.
    _changed: frozenset[str] | None = frozenset()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        fields = dict(cls._fields)
        for name, hint in cls.__dict__.get("__annotations__", {}).items():
            if name.startswith("_") or _is_class_variable(hint):
                continue
            if hasattr(Record, name):
                raise TypeError(
                    f"{cls.__name__} cannot have a field {name!r}, which is a record's own; name it otherwise"
                )
            default = cls.__dict__.get(name, MISSING)
            declared = default if isinstance(default, Field) else Field(default, None, {})
            declared.name = name
            fields[name] = declared
            if default is not MISSING:
                delattr(cls, name)  # or it would be read where a record has no value
        cls._fields = fields
        cls._plan = ()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        fields = self._fields
        if len(args) > len(fields):
            raise TypeError(f"{type(self).__name__}() takes {len(fields)} fields, {len(args)} were given")
        values = dict(zip(fields, args, strict=False))
        for name in kwargs:
            if name not in fields:
                raise TypeError(f"{type(self).__name__}() has no field {name!r}; it has {', '.join(fields)}")
            if name in values:
                raise TypeError(f"{type(self).__name__}() got {name!r} twice")
        values |= kwargs
        for name, declared in fields.items():
            if name not in values:
                fallback = declared.fallback()
                if fallback is MISSING:
                    raise TypeError(f"{type(self).__name__}() needs {name!r}")
                values[name] = fallback
        self.__dict__.update(values, _answer={}, _changed=None)

    @classmethod
    def from_answer(cls: type[_R], answer: Any, etag: str | None = None) -> _R:
        """Read the decoded JSON of an answer.

        A field whose value cannot be read is an error only for who reads that field.

        Args:
            answer: the decoded JSON.
            etag: the answer's ``ETag``, by which an update notices that someone else was faster.

        Raises:
            BadResponse: `answer` is not a JSON object.
        """
        if type(answer) is not dict:
            raise BadResponse(
                f"the server sent {_json_name(answer)} where {cls.__name__} was expected; "
                "client and server may be of different versions"
            )
        record = _new(cls)
        values = record.__dict__
        for name, kind, read in cls._plan or cls._resolve():
            value = answer.get(name, MISSING)
            if type(value) is kind:
                values[name] = value
            elif value is not MISSING:
                try:  # noqa: SIM105  # costs nothing where nothing is raised
                    values[name] = read(value)
                except _UNREADABLE:
                    pass  # no error until it is read
        values["_answer"] = answer
        if etag is not None:
            values["_etag"] = etag
        return record

    @classmethod
    def _resolve(cls) -> tuple[tuple[str, type | None, Reader], ...]:
        """Turn the annotations into types; once per class, on first need."""
        hints = typing.get_type_hints(cls)
        plan = []
        for name, declared in cls._fields.items():
            declared.hint = hints[name]
            kind = without_none(declared.hint)[0]
            declared.reader = _reader(declared.hint)
            plan.append((name, kind if kind in (*_AS_THEY_ARE, float) else None, declared.reader))
        cls._plan = tuple(plan)
        return cls._plan

    if not typing.TYPE_CHECKING:  # a type checker that saw this would let every misspelt name pass

        def __getattr__(self, name):
            """A field that the answer did not have, or not as it should be."""
            declared = self._fields.get(name)
            if declared is None:
                raise AttributeError(f"{type(self).__name__} has no field {name!r}; it has {', '.join(self._fields)}")
            value = self.__dict__[name] = self._without_value(declared)
            return value

    def _without_value(self, declared: Field) -> Any:
        name = declared.name
        if name in self._answer:
            try:
                return declared.reader(self._answer[name])
            except (ValueError, TypeError, ArithmeticError):
                raise BadResponse(
                    f"the server sent {_json_name(self._answer[name])} in field {name!r} of {type(self).__name__}, "
                    f"which is not a valid {_type_name(declared.hint)}"
                ) from None
        fallback = declared.fallback()
        if fallback is MISSING:
            raise BadResponse(
                f"the server sent {type(self).__name__} without its field {name!r}; "
                "client and server may be of different versions"
            )
        return fallback

    def to_dict(self) -> dict[str, Any]:
        """The record as plain JSON data, fields of a newer server included."""
        plain = dict(self._answer)
        values = self.__dict__
        for name in self._fields:
            if name in values:
                value = values[name]
                plain[name] = value if type(value) in _PLAIN else _plain(value)
            elif name not in plain:
                plain[name] = _plain(getattr(self, name))
        return plain

    def changes(self) -> dict[str, Any]:
        """What was set since the record came from the server, as a merge patch (RFC 7396).

        A record made by hand gives all its fields. What a newer server sent beyond the declared
        fields is never part of it, so that an old client erases nothing it does not know.
        """
        patch: dict[str, Any] = {}
        for name in self._fields.keys() & self.__dict__.keys():
            value = self.__dict__[name]
            was_set = self._changed is None or name in self._changed
            if isinstance(value, Record) and not was_set:
                inner = value.changes()
                if inner:
                    patch[name] = inner
            elif was_set or (isinstance(value, (list, dict)) and self._differs(name, value)):
                patch[name] = _plain(value)
        return patch

    def _differs(self, name: str, value: Any) -> bool:
        """Whether a list or dictionary was changed in place since it came."""
        declared = self._fields[name]
        before = declared.reader(self._answer[name]) if name in self._answer else declared.fallback()
        return bool(_plain(before) != _plain(value))

    @classmethod
    def schema(cls) -> marshmallow.Schema:
        """The marshmallow schema of this record, one object per class.

        Loading gives a record and refuses unknown fields; dumping takes a record or a dictionary.
        """
        from edge_core import schemas

        return schemas.schema(cls)

    @classmethod
    def patch_schema(cls) -> marshmallow.Schema:
        """The marshmallow schema of a merge patch of this record (RFC 7396), one object per class.

        Every field can be left out, or be null to go back to its default. Loading checks the patch
        and gives it as it was sent.
        """
        from edge_core import schemas

        return schemas.patch_schema(cls)

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return self.to_dict() == other.to_dict()

    __hash__ = None  # type: ignore[assignment]  # records can be changed

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={getattr(self, name)!r}" for name in self._fields if name not in self._hidden)
        return f"{type(self).__name__}({shown})"

    if not typing.TYPE_CHECKING:  # a type checker that saw this would let every misspelt name pass

        def __setattr__(self, name, value):
            if name not in self._fields:
                raise AttributeError(f"{type(self).__name__} has no field {name!r}; it has {', '.join(self._fields)}")
            self.__dict__[name] = value
            if self._changed is not None:
                self.__dict__["_changed"] = self._changed | {name}


_new = object.__new__


def fields_of(kind: type[Record]) -> dict[str, Field]:
    """The fields of a class of records by name, each with its type."""
    if not kind._plan:
        kind._resolve()
    return kind._fields


def _is_class_variable(hint: Any) -> bool:
    return "ClassVar" in hint if isinstance(hint, str) else typing.get_origin(hint) is ClassVar


# --- from JSON ------------------------------------------------------------------------------------


_UTC, _parse_moment = dt.UTC, dt.datetime.fromisoformat  # looked up for every moment of every list

# What JSON gives as it is to be. An int is no float, and a bool is an int to `isinstance`, so types are compared.
_AS_THEY_ARE = (str, int, bool)


def _exactly(kind: type) -> Reader:
    def read(value: Any) -> Any:
        # bool is an int to Python, and never one on the wire.
        if isinstance(value, kind) and (kind is bool or not isinstance(value, bool)):
            return value
        raise TypeError

    return read


def _read_float(value: Any) -> float:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    raise TypeError


def _read_decimal(value: Any) -> Any:
    from decimal import Decimal

    if isinstance(value, str):
        return Decimal(value)
    raise TypeError


def _is_decimal(kind: type) -> bool:
    # By its name, since the module takes a millisecond to load and few records have one.
    return (kind.__module__, kind.__name__) == ("decimal", "Decimal")


def _read_datetime(value: Any) -> dt.datetime:
    moment = _parse_moment(value)
    if moment.tzinfo is _UTC:
        return moment
    if moment.tzinfo is None:
        raise ValueError
    return moment.astimezone(dt.UTC)


def _read_enum(kind: type[enum.Enum]) -> Reader:
    def read(value: Any) -> Any:
        try:
            return kind(value)
        except ValueError:
            return value  # a newer server's value: kept, never a crash

    return read


def _reader(hint: Any) -> Reader:
    """The function that turns a JSON value into `hint`; raises TypeError or ValueError if it cannot."""
    hint, nullable = without_none(hint)
    read = _reader_of(hint)
    if not nullable:
        return read

    def read_nullable(value: Any) -> Any:
        return None if value is None else read(value)

    return read_nullable


def _reader_of(hint: Any) -> Reader:
    origin = typing.get_origin(hint)
    if origin is list:
        (kind,) = typing.get_args(hint)
        inner = None if kind in _AS_THEY_ARE else _reader(kind)

        def read_list(value: Any) -> list[Any]:
            if type(value) is not list:
                raise TypeError
            if inner is not None:
                return [inner(element) for element in value]
            for element in value:
                if type(element) is not kind:
                    raise TypeError
            return value.copy()

        return read_list
    if origin is dict:
        kind = typing.get_args(hint)[1]
        inner = None if kind in _AS_THEY_ARE else _reader(kind)

        def read_dict(value: Any) -> dict[str, Any]:
            if type(value) is not dict:
                raise TypeError
            if inner is not None:
                return {key: inner(element) for key, element in value.items()}
            for element in value.values():
                if type(element) is not kind:
                    raise TypeError
            return value.copy()

        return read_dict
    if hint is Any:
        return lambda value: value
    if isinstance(hint, type):
        if issubclass(hint, Record):
            return hint.from_answer
        if issubclass(hint, enum.Enum):
            return _read_enum(hint)
        if hint is dt.datetime:
            return _read_datetime
        if hint is dt.date:
            return dt.date.fromisoformat
        if _is_decimal(hint):
            return _read_decimal
        if hint is float:
            return _read_float
        if hint in (str, int, bool, dict, list):
            return _exactly(hint)
    raise TypeError(f"a record cannot hold a field of type {hint!r}")


def without_none(hint: Any) -> tuple[Any, bool]:
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        rest = [choice for choice in typing.get_args(hint) if choice is not type(None)]
        if len(rest) == 1:
            return rest[0], True
    return hint, False


# --- to JSON --------------------------------------------------------------------------------------

# Most of what is in a record goes out as it is. Subclasses, such as members of an enumeration, are looked at.
_PLAIN = frozenset({str, int, bool, float, type(None)})


def _plain(value: Any) -> Any:
    if type(value) in _PLAIN:
        return value
    if isinstance(value, Record):
        return value.to_dict()
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, dt.datetime):
        moment = value if value.tzinfo is _UTC else value.astimezone(_UTC)
        return moment.isoformat().removesuffix("+00:00") + "Z"
    if isinstance(value, dt.date):
        return value.isoformat()
    if _is_decimal(type(value)):
        return format(value, "f")  # without an exponent
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    return value


def _json_name(value: Any) -> str:
    names: Iterator[tuple[Any, str]] = iter(
        [(type(None), "null"), (bool, "a boolean"), (dict, "an object"), (list, "a list"), (str, "a text")]
    )
    return next((name for kind, name in names if isinstance(value, kind)), "a number")


def _type_name(hint: Any) -> str:
    return hint.__name__ if isinstance(hint, type) else str(hint).replace("typing.", "")
