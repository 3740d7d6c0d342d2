"""Records: what the API sends and takes, with each field declared once.

A record is a class with annotated fields:

    class Organization(Record):
        organization_name: str
        roles: list[str] = field(default_factory=list)

From that one declaration come the constructor, the attributes, `to_dict`, and the marshmallow
schema. An answer is wrapped, not loaded: converting a field waits until it is read, since loading
a list through marshmallow costs about fifty times the plain objects. Marshmallow is imported only
when a schema is asked for.
"""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import functools
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, TypeVar, dataclass_transform

from edge_core.errors import BadResponse

if typing.TYPE_CHECKING:
    import marshmallow

PLAIN_TEXT = r"^[^\x00-\x1f\x7f-\x9f]*$"
"""The `pattern` of text on one line, without characters that a terminal or a log would obey."""

_MISSING: Any = object()
_R = TypeVar("_R", bound="Record")
Reader = Callable[[Any], Any]

_UNREADABLE = (ValueError, TypeError, ArithmeticError)


ONE_BY_ONE = 1
"""How many fields of an answer convert alone; who reads more is taken to read them all, which is faster together."""


class _Field:
    """One declared field; as a class attribute it converts the field when it is first read.

    It has no `__set__`, so a value in the record's `__dict__` goes before it: reading a field a second
    time, or one that was set, costs what a plain attribute does.
    """

    __slots__ = ("default", "default_factory", "hint", "kind", "limits", "name", "reader")

    def __init__(self, default: Any, default_factory: Callable[[], Any] | None, limits: dict[str, Any]) -> None:
        self.default = default
        self.default_factory = default_factory
        self.limits = limits
        self.name = ""
        self.hint: Any = None
        self.reader: Reader | None = None
        self.kind: type | None = None  # what JSON gives as it is to be, so that no reader need be called

    def fallback(self) -> Any:
        return self.default_factory() if self.default_factory is not None else self.default

    def __get__(self, record: Record | None, owner: type[Record]) -> Any:
        if record is None:
            return self
        values = record.__dict__
        if len(values) >= ONE_BY_ONE:
            record._convert_all()
            if self.name in values:
                return values[self.name]
        value = record._data.get(self.name, _MISSING)
        if type(value) is not self.kind:
            value = record._convert(self, value)
        values[self.name] = value
        return value


def field(
    *,
    default: Any = _MISSING,
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
            ``$``, since elsewhere (JSON Schema, "pattern") one without them matches any part.
        item_pattern: regular expression each text of a list must match, likewise.

    Raises:
        ValueError: a pattern does not begin with ``^`` and end with ``$``.
    """
    for one in (pattern, item_pattern):
        if one is not None and not (one.startswith("^") and one.endswith("$")):
            raise ValueError(f"the pattern {one!r} is for a part of a text; begin it with ^ and end it with $")
    limits = {
        "doc": doc,
        "minimum": minimum,
        "maximum": maximum,
        "max_length": max_length,
        "pattern": pattern,
        "item_pattern": item_pattern,
    }
    return _Field(default, default_factory, {key: value for key, value in limits.items() if value is not None})


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

    if not typing.TYPE_CHECKING:  # a type checker would take each field for a name missing from it
        __slots__ = ("__dict__", "_data")

    _fields: ClassVar[dict[str, _Field]] = {}
    # Name, kind and reader of each field, once the annotations are types.
    _plan: ClassVar[tuple[tuple[str, type | None, Reader], ...]] = ()
    _schema: ClassVar[Any] = None
    _patch_schema: ClassVar[Any] = None
    # Its name in the API description, where that is not the class's.
    _described_as: ClassVar[str | None] = None
    # Field names that `repr` leaves out.
    _hidden: ClassVar[frozenset[str]] = frozenset()

    # The answer as it came. What was read or set of it is in `__dict__`, by the fields' names.
    _data: dict[str, Any]
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
            declared = cls.__dict__.get(name, _MISSING)
            found = declared if isinstance(declared, _Field) else _Field(declared, None, {})
            found.name = name
            setattr(cls, name, found)
            fields[name] = found
        cls._fields = fields
        cls._plan = ()
        cls._schema = cls._patch_schema = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        fields = self._fields
        if len(args) > len(fields):
            raise TypeError(f"{type(self).__name__}() takes {len(fields)} fields, {len(args)} were given")
        values = dict(zip(fields, args, strict=False))
        for name, value in kwargs.items():
            if name not in fields:
                raise TypeError(f"{type(self).__name__}() has no field {name!r}; it has {', '.join(fields)}")
            if name in values:
                raise TypeError(f"{type(self).__name__}() got {name!r} twice")
            values[name] = value
        for name, declared in fields.items():
            if name not in values:
                fallback = declared.fallback()
                if fallback is _MISSING:
                    raise TypeError(f"{type(self).__name__}() needs {name!r}")
                values[name] = fallback
        _set_data(self, {})
        self.__dict__.update(values, _changed=None)

    @classmethod
    def from_answer(cls: type[_R], data: Any, etag: str | None = None) -> _R:
        """Wrap the decoded JSON of an answer; fields convert when they are read.

        Args:
            data: the decoded JSON.
            etag: the answer's ``ETag``, by which an update notices that someone else was faster.

        Raises:
            BadResponse: `data` is not a JSON object.
        """
        if type(data) is not dict:
            raise BadResponse(
                f"the server sent {_json_name(data)} where {cls.__name__} was expected; "
                "client and server may be of different versions"
            )
        record = _new(cls)
        _set_data(record, data)
        if etag is not None:
            record.__dict__["_etag"] = etag
        return record

    def _convert_all(self) -> None:
        if not self._plan:
            self._resolve()
        values = self.__dict__
        before = values.copy()
        get, missing = self._data.get, _MISSING
        for name, kind, read in self._plan:
            value = get(name, missing)
            if type(value) is kind:
                values[name] = value
            elif value is not missing:
                try:
                    values[name] = read(value)
                except (*_UNREADABLE, BadResponse):
                    pass  # no error until it is read itself
        values.update(before)  # what was read or set before stays

    def _convert(self, declared: _Field, raw: Any) -> Any:
        if raw is _MISSING:
            fallback = declared.fallback()
            if fallback is _MISSING:
                raise BadResponse(
                    f"the server sent {type(self).__name__} without its field {declared.name!r}; "
                    "client and server may be of different versions"
                )
            return fallback
        reader = declared.reader or self._resolve(declared)
        try:
            return reader(raw)
        except _UNREADABLE:
            raise BadResponse(
                f"the server sent {_json_name(raw)} in field {declared.name!r} of {type(self).__name__}, "
                f"which is not a valid {_type_name(declared.hint)}"
            ) from None

    @classmethod
    def _resolve(cls, wanted: _Field | None = None) -> Any:
        """Turn the annotations into types; once per class, on first need."""
        hints = typing.get_type_hints(cls)
        plan = []
        for name, declared in cls._fields.items():
            declared.hint = hints[name]
            declared.reader = _reader(hints[name])
            kind = _without_none(hints[name])[0]
            declared.kind = kind if kind in (*_AS_THEY_ARE, float) else None
            plan.append((name, declared.kind, declared.reader))
        cls._plan = tuple(plan)
        return wanted.reader if wanted else None

    @classmethod
    def _resolved(cls) -> dict[str, _Field]:
        if any(declared.reader is None for declared in cls._fields.values()):
            cls._resolve()
        return cls._fields

    def to_dict(self) -> dict[str, Any]:
        """The record as plain JSON data, fields of a newer server included."""
        data = dict(self._data)
        for name in self._fields:
            if name in self.__dict__:
                data[name] = _plain(self.__dict__[name])
            elif name not in data:
                data[name] = _plain(getattr(self, name))
        return data

    def changes(self) -> dict[str, Any]:
        """What was set since the record came from the server, as a merge patch (RFC 7396).

        A record made by hand gives all its fields. What a newer server sent beyond the declared
        fields is never part of it, so that an old client erases nothing it does not know.
        """
        found: dict[str, Any] = {}
        for name in self._fields.keys() & self.__dict__.keys():
            value = self.__dict__[name]
            was_set = self._changed is None or name in self._changed
            if isinstance(value, Record) and not was_set:
                inner = value.changes()
                if inner:
                    found[name] = inner
            elif was_set or (isinstance(value, (list, dict)) and self._differs(name, value)):
                found[name] = _plain(value)
        return found

    def _differs(self, name: str, value: Any) -> bool:
        """Whether a list or dictionary was changed in place since it was read."""
        declared = self._fields[name]
        before = declared.reader(self._data[name]) if declared.reader and name in self._data else declared.fallback()
        return bool(_plain(before) != _plain(value))

    @classmethod
    def schema(cls) -> marshmallow.Schema:
        """The marshmallow schema of this record, one object per class.

        Loading gives a record and refuses unknown fields; dumping takes a record or a dictionary.
        """
        schema: marshmallow.Schema | None = cls._schema  # set to None in each new class, so never a parent's
        if schema is None:
            schema = cls._schema = _build_schema(cls)
        return schema

    @classmethod
    def patch_schema(cls) -> marshmallow.Schema:
        """The marshmallow schema of a merge patch of this record (RFC 7396), one object per class.

        Every field can be left out, or be null to go back to its default. Loading checks the patch
        and gives it as it was sent.
        """
        schema: marshmallow.Schema | None = cls._patch_schema
        if schema is None:
            schema = cls._patch_schema = _build_patch_schema(cls)
        return schema

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

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_data": self._data}

    def __setstate__(self, state: dict[str, Any]) -> None:
        _set_data(self, state.pop("_data"))
        self.__dict__.update(state)


_new = object.__new__
_set_data: Callable[[Record, dict[str, Any]], None] = Record.__dict__["_data"].__set__


def _is_class_variable(hint: Any) -> bool:
    return "ClassVar" in hint if isinstance(hint, str) else typing.get_origin(hint) is ClassVar


# --- from JSON ------------------------------------------------------------------------------------


_UTC, _parse_moment = dt.UTC, dt.datetime.fromisoformat  # asked for with every moment of every list

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


def _read_decimal(value: Any) -> decimal.Decimal:
    if isinstance(value, str):
        return decimal.Decimal(value)
    raise TypeError


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
    hint, nullable = _without_none(hint)
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
        item = None if kind in _AS_THEY_ARE else _reader(kind)

        def read_list(value: Any) -> list[Any]:
            if type(value) is not list:
                raise TypeError
            if item is not None:
                return [item(one) for one in value]
            for one in value:
                if type(one) is not kind:
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
                return {key: inner(one) for key, one in value.items()}
            for one in value.values():
                if type(one) is not kind:
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
        if hint is decimal.Decimal:
            return _read_decimal
        if hint is float:
            return _read_float
        if hint in (str, int, bool, dict, list):
            return _exactly(hint)
    raise TypeError(f"a record cannot hold a field of type {hint!r}")


def _without_none(hint: Any) -> tuple[Any, bool]:
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        rest = [one for one in typing.get_args(hint) if one is not type(None)]
        if len(rest) == 1:
            return rest[0], True
    return hint, False


# --- to JSON --------------------------------------------------------------------------------------


def _plain(value: Any) -> Any:
    if isinstance(value, Record):
        return value.to_dict()
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, dt.datetime):
        return value.astimezone(dt.UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, dt.date):
        return value.isoformat()
    if isinstance(value, decimal.Decimal):
        return format(value, "f")  # without an exponent
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    return value


def _json_name(value: Any) -> str:
    names: Iterator[tuple[Any, str]] = iter(
        [(type(None), "null"), (bool, "a boolean"), (dict, "an object"), (list, "a list"), (str, "a text")]
    )
    return next((name for kind, name in names if isinstance(value, kind)), "a number")


def _type_name(hint: Any) -> str:
    return hint.__name__ if isinstance(hint, type) else str(hint).replace("typing.", "")


# --- to marshmallow -------------------------------------------------------------------------------


def _build_schema(cls: type[Record]) -> marshmallow.Schema:
    import marshmallow

    class RecordSchema(marshmallow.Schema):
        class Meta:
            unknown = marshmallow.RAISE

        @marshmallow.post_load
        def _to_record(self, data: dict[str, Any], **_: Any) -> Record:
            return cls(**data)

    declared = {name: _schema_field(one.hint, one) for name, one in cls._resolved().items()}
    # The class's name is its name in the API description.
    schema_class = type(cls._described_as or cls.__name__, (RecordSchema,), {**declared, "__doc__": cls.__doc__})
    return typing.cast("marshmallow.Schema", schema_class())


def _build_patch_schema(cls: type[Record]) -> marshmallow.Schema:
    import marshmallow

    class PatchSchema(marshmallow.Schema):
        class Meta:
            unknown = marshmallow.RAISE

        @marshmallow.post_load(pass_original=True)
        def _as_sent(self, _data: dict[str, Any], original: dict[str, Any], **_: Any) -> dict[str, Any]:
            return original

    declared = {}
    for name, one in cls._resolved().items():
        found = _schema_field(one.hint, one)
        if isinstance(found, marshmallow.fields.Nested):
            found = marshmallow.fields.Nested(_without_none(one.hint)[0].patch_schema(), metadata=found.metadata)
        elif isinstance(found, marshmallow.fields.Dict) and found.value_field is not None:
            found.value_field.allow_none = True  # takes the key out
        found.required, found.allow_none, found.load_default = False, True, marshmallow.missing
        declared[name] = found
    schema_class = type(
        f"{cls._described_as or cls.__name__}Patch", (PatchSchema,), {**declared, "__doc__": cls.__doc__}
    )
    return typing.cast("marshmallow.Schema", schema_class())


def _whole(pattern: str) -> Any:
    """A check that the whole text matches."""
    from marshmallow import ValidationError, validate

    class Whole(validate.Regexp):
        # marshmallow's own looks at the beginning, and to `$` a newline more is no part of the text.
        def __call__(self, value: Any) -> Any:
            if self.regex.fullmatch(value) is None:
                raise ValidationError(self._format_error(value))
            return value

    return Whole(pattern)


def _schema_field(hint: Any, declared: _Field | None = None) -> marshmallow.fields.Field[Any]:
    from marshmallow import fields, validate

    hint, nullable = _without_none(hint)
    options: dict[str, Any] = {"allow_none": nullable or hint == Any}
    if declared is not None:
        limits = declared.limits
        checks: list[Any] = []
        if "minimum" in limits or "maximum" in limits:
            checks.append(validate.Range(min=limits.get("minimum"), max=limits.get("maximum")))
        if "max_length" in limits:
            checks.append(validate.Length(max=limits["max_length"]))
        if "pattern" in limits:
            checks.append(_whole(limits["pattern"]))
        options["validate"] = checks or None
        options["metadata"] = {"description": limits["doc"]} if "doc" in limits else {}
        if declared.default_factory is not None:
            options["load_default"] = declared.default_factory
        elif declared.default is not _MISSING:
            options["load_default"] = declared.default
        else:
            options["required"] = True
    origin = typing.get_origin(hint)
    if origin is list:
        items = _schema_field(typing.get_args(hint)[0])
        if declared is not None and "item_pattern" in declared.limits:
            items.validators.append(_whole(declared.limits["item_pattern"]))
        return fields.List(items, **options)
    if origin is dict or hint is dict:
        values = [_schema_field(inner) for inner in typing.get_args(hint)[1:]]
        return fields.Dict(keys=fields.String(), values=values[0] if values else None, **options)
    if isinstance(hint, type) and issubclass(hint, Record):
        # By object: by name, nested schemas of plugins are not found when the API is described.
        return fields.Nested(hint.schema(), **options)
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        # Null can be a member's value, and is None in a record then, until it is made that member.
        options["allow_none"] = nullable or any(one.value is None for one in hint)
        return fields.Enum(hint, by_value=True, **options)
    if hint is dt.datetime:
        return fields.AwareDateTime(format="iso", default_timezone=dt.UTC, **options)
    plain: dict[Any, Any] = {
        str: fields.String,
        dt.date: fields.Date,
        Any: fields.Raw,
        **_strict(),
    }
    if hint is decimal.Decimal:
        # On the wire a text, as JSON's numbers are read as binary ones.
        options["metadata"] = {**options.get("metadata", {}), "type": "string", "format": "decimal"}
        return fields.Decimal(as_string=True, **options)
    return typing.cast("marshmallow.fields.Field[Any]", plain[hint](**options))


@functools.cache
def _strict() -> dict[type, Any]:
    """Fields for numbers and booleans as JSON has them; marshmallow's own take 0, "no" and true for each other."""
    from marshmallow import fields

    class Boolean(fields.Boolean):
        def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Any:
            if not isinstance(value, bool):
                raise self.make_error("invalid", input=value)
            return value

    class Integer(fields.Integer):
        def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Any:
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                raise self.make_error("invalid", input=value)
            return super()._deserialize(value, *args, **kwargs)

    class Float(fields.Float):
        def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Any:
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                raise self.make_error("invalid", input=value)
            return super()._deserialize(value, *args, **kwargs)

    return {bool: Boolean, int: functools.partial(Integer, strict=True), float: Float}  # pyright: ignore[reportCallIssue]
