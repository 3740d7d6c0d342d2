"""The marshmallow half of records: schemas that check input and describe the API, built from the same fields."""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import functools
import typing
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import marshmallow
from marshmallow import ValidationError, validate
from marshmallow.exceptions import SCHEMA

from edge_core.records import MISSING, Field, Pattern, Record, fields_of, without_none

MOST_ERRORS = 19
"""Wrong items or fields of one thing that are told; of the rest it is said how many there are."""

_schemas: dict[type, marshmallow.Schema] = {}
_patch_schemas: dict[type, marshmallow.Schema] = {}


def schema(cls: type[Record]) -> marshmallow.Schema:
    """The marshmallow schema of a class of records, one object per class.

    Loading gives a record and refuses unknown fields; dumping takes a record or a dictionary.
    """

    if cls not in _schemas:
        _schemas[cls] = _build_schema(cls)
    return _schemas[cls]


def patch_schema(cls: type[Record]) -> marshmallow.Schema:
    """The marshmallow schema of a merge patch of a class of records (RFC 7396), one object per class.

    Every field can be left out, or be null to go back to its default. Loading checks the patch
    and gives it as it was sent.
    """
    if cls not in _patch_schemas:
        _patch_schemas[cls] = _build_patch_schema(cls)
    return _patch_schemas[cls]


class _Strict(marshmallow.Schema):
    """Refuses unknown fields; many of them all at once, which marshmallow would list one by one."""

    class Meta:
        unknown = marshmallow.RAISE

    # In place of marshmallow's hooks before and after loading, which take longer than what they do here. Its own name
    # for the values is `data`, by which nobody passes them.
    def load(self, values: Any, *, many: bool | None = None, **options: Any) -> Any:  # type: ignore[override]
        if self.many if many is None else many:
            if not isinstance(values, (list, tuple)):
                raise ValidationError({SCHEMA: ["Not a list."]})
            return _load_each(enumerate(values), len(values), lambda _, each: self.load(each, many=False, **options))
        if isinstance(values, Mapping) and len(values) > len(self.load_fields) + MOST_ERRORS:
            unknown = [name for name in values if name not in self.load_fields]
            errors: dict[str, list[str]] = {name: ["Unknown field."] for name in unknown[:MOST_ERRORS]}
            if len(unknown) > MOST_ERRORS:
                errors[SCHEMA] = [f"There are {len(unknown) - MOST_ERRORS} more unknown fields."]
            raise ValidationError(errors)
        return self._loaded(values, super().load(values, many=False, **options))

    def _loaded(self, values: Any, loaded: Any) -> Any:
        """What loading gives: of `values`, of which marshmallow made `loaded`."""
        return loaded


class _List(marshmallow.fields.List):  # type: ignore[type-arg]  # marshmallow 3's takes none
    """A list that is refused by its length before its items are looked at, and after `MOST_ERRORS` wrong ones.

    Args:
        inner: the field of an item.
        most: the most items.
        options: marshmallow's.
    """

    def __init__(self, inner: Any, *, most: int | None = None, **options: Any) -> None:
        super().__init__(inner, **options)
        self._length = _no_longer(most, "items")

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> list[Any]:
        if not isinstance(value, (list, tuple)):
            raise self.make_error("invalid")
        self._length(value)
        return _load_each(enumerate(value), len(value), lambda _, element: self.inner.deserialize(element, **kwargs))


class _Dict(marshmallow.fields.Dict):
    """A dictionary that is refused after `MOST_ERRORS` wrong values."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> dict[Any, Any]:
        if not isinstance(value, Mapping):
            raise self.make_error("invalid")

        def load(key: Any, element: Any) -> tuple[Any, Any]:
            name = self.key_field.deserialize(key) if self.key_field else key
            return name, self.value_field.deserialize(element, **kwargs) if self.value_field else element

        return dict(_load_each(value.items(), len(value), load))


def _load_each(elements: Iterable[tuple[Any, Any]], count: int, load: Callable[[Any, Any], Any]) -> list[Any]:
    """What `load` makes of each key and element of a collection; after `MOST_ERRORS` wrong ones it goes no further."""
    loaded: list[Any] = []
    errors: dict[Any, Any] = {}
    for at, (key, element) in enumerate(elements, 1):
        try:
            loaded.append(load(key, element))
        except ValidationError as error:
            errors[key] = error.messages
            if len(errors) == MOST_ERRORS:
                if at < count:
                    errors[SCHEMA] = [f"{count - at} more were not looked at."]
                break
    if errors:
        raise ValidationError(errors)
    return loaded


def _build_schema(cls: type[Record]) -> marshmallow.Schema:
    class RecordSchema(_Strict):
        def _loaded(self, values: Any, loaded: Any) -> Record:
            return cls(**loaded)

    fields = {name: _schema_field(declared.hint, declared) for name, declared in fields_of(cls).items()}
    # The class's name is its name in the API description.
    schema_class = type(cls._described_as or cls.__name__, (RecordSchema,), {**fields, "__doc__": cls.__doc__})
    return typing.cast(marshmallow.Schema, schema_class())


def _build_patch_schema(cls: type[Record]) -> marshmallow.Schema:
    class PatchSchema(_Strict):
        def _loaded(self, values: Any, loaded: Any) -> Any:
            return values

    fields = {}
    for name, declared in fields_of(cls).items():
        own = _schema_field(declared.hint, declared)
        if isinstance(own, marshmallow.fields.Nested):
            own = marshmallow.fields.Nested(patch_schema(without_none(declared.hint)[0]), metadata=own.metadata)
        elif isinstance(own, marshmallow.fields.Dict) and own.value_field is not None:
            own.value_field.allow_none = True  # takes the key out
        own.required, own.allow_none, own.load_default = False, True, marshmallow.missing
        fields[name] = own
    schema_class = type(f"{cls._described_as or cls.__name__}Patch", (PatchSchema,), {**fields, "__doc__": cls.__doc__})
    return typing.cast(marshmallow.Schema, schema_class())


def _whole(pattern: str) -> Any:
    """A check that the whole text matches."""

    class Whole(validate.Regexp):
        # marshmallow's own looks at the beginning, and to `$` a newline more is no part of the text.
        def __call__(self, value: Any) -> Any:
            if self.regex.fullmatch(value) is None:
                raise ValidationError(self._format_error(value))
            return value

    advice = pattern.advice if isinstance(pattern, Pattern) else f"write what matches {pattern}"
    return Whole(pattern, error=advice.replace("{", "{{").replace("}", "}}"))


def _within(least: float | None, most: float | None) -> validate.Range:
    """A check of a number, with our own words."""
    if most is None:
        advice = "write a number that is {min} or more"
    elif least is None:
        advice = "write a number that is {max} or less"
    else:
        advice = "write a number from {min} to {max}"
    return validate.Range(min=least, max=most, error=advice)


def _no_longer(most: int | None, of_what: str) -> validate.Length:
    """A check of how many characters or items there are, with our own words."""
    return validate.Length(max=most, error=f"write at most {{max}} {of_what}")


def _schema_field(hint: Any, declared: Field | None = None) -> marshmallow.fields.Field[Any]:
    hint, nullable = without_none(hint)
    options: dict[str, Any] = {"allow_none": nullable or hint == Any}
    if declared is not None:
        limits = declared.limits
        checks: list[Any] = []
        if "minimum" in limits or "maximum" in limits:
            checks.append(_within(limits.get("minimum"), limits.get("maximum")))
        if "max_length" in limits:
            checks.append(_no_longer(limits["max_length"], "characters" if hint is str else "items"))
        if "pattern" in limits:
            checks.append(_whole(limits["pattern"]))
        options["validate"] = checks or None
        options["metadata"] = {"description": limits["doc"]} if "doc" in limits else {}
        if declared.default_factory is not None:
            options["load_default"] = declared.default_factory
        elif declared.default is not MISSING:
            options["load_default"] = declared.default
        else:
            options["required"] = True
    origin = typing.get_origin(hint)
    if origin is list:
        items = _schema_field(typing.get_args(hint)[0])
        if declared is not None and "item_pattern" in declared.limits:
            items.validators.append(_whole(declared.limits["item_pattern"]))
        most = None if declared is None else declared.limits.get("max_length")
        return _List(items, most=most, **options)
    if origin is dict or hint is dict:
        values = [_schema_field(inner) for inner in typing.get_args(hint)[1:]]
        return _Dict(keys=marshmallow.fields.String(), values=values[0] if values else None, **options)
    if isinstance(hint, type) and issubclass(hint, Record):
        # By object: by name, nested schemas of plugins are not found when the API is described.
        return marshmallow.fields.Nested(schema(hint), **options)
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        # Null can be a member's value, and is None in a record then, until it is made that member.
        options["allow_none"] = nullable or any(member.value is None for member in hint)
        return marshmallow.fields.Enum(hint, by_value=True, **options)
    if hint is dt.datetime:
        return marshmallow.fields.AwareDateTime(format="iso", default_timezone=dt.UTC, **options)
    plain: dict[Any, Any] = {
        str: marshmallow.fields.String,
        dt.date: marshmallow.fields.Date,
        Any: marshmallow.fields.Raw,
        **_strict(),
    }
    if hint is decimal.Decimal:
        # On the wire a text, as JSON's numbers are read as binary ones.
        options["metadata"] = {**options.get("metadata", {}), "type": "string", "format": "decimal"}
        return marshmallow.fields.Decimal(as_string=True, **options)
    return typing.cast("marshmallow.fields.Field[Any]", plain[hint](**options))


@functools.cache
def _strict() -> dict[type, Any]:
    """Fields for numbers and booleans as JSON has them; marshmallow's own take 0, "no" and true for each other."""

    class Boolean(marshmallow.fields.Boolean):
        def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Any:
            if not isinstance(value, bool):
                raise self.make_error("invalid", input=value)
            return value

    class Integer(marshmallow.fields.Integer):
        def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Any:
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                raise self.make_error("invalid", input=value)
            return super()._deserialize(value, *args, **kwargs)

    class Float(marshmallow.fields.Float):
        def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Any:
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                raise self.make_error("invalid", input=value)
            return super()._deserialize(value, *args, **kwargs)

    return {bool: Boolean, int: functools.partial(Integer, strict=True), float: Float}  # pyright: ignore[reportCallIssue]
