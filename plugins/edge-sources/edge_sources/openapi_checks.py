"""Checks parts of an OpenAPI document against its specification, and values against the document's schemas.

Nothing is fetched, whatever a document refers to, and no pattern takes more than linear time: those that RE2 cannot
match are not checked here, and `Checks.unchecked` lists them.
"""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Iterator
from typing import Any

from edge_core.errors import BadEntry
from edge_sources.openapi_calls import clipped

VERSIONS = ("3.0", "3.1", "3.2")

_PATTERN = 1000
"""Most characters of a pattern: RE2 takes seconds for longer ones."""

#: Patterns whose time may grow faster than the cube of a text's length in Python's `re`.
_COSTLY = re.compile(r"\)[*+{?]|(?:[*+{].*){4}", re.DOTALL)


class Checks:
    """The checks of a document.

    Attributes:
        unchecked: patterns of schemas that values are not checked against.
    """

    def __init__(self, content: dict[str, Any], version: str) -> None:
        self._version = version
        self._root: dict[str, Any] = {name: content[name] for name in ("components", "paths") if name in content}
        self.unchecked: list[str] = []

    def flaw(self, kind: str, part: Any) -> str | None:
        """Return what is wrong with a part of the document; None if nothing is.

        Args:
            kind: what it should be, by its name in the schema of OpenAPI 3.1: ``"operation"``, ``"parameter"``, ...
            part: what it is.
        """
        if kind == "schema" and self._version != "3.0":
            return self._flaw_of_schema(part)
        return _first(_described(self._version, kind).iter_errors(part))

    def _flaw_of_schema(self, schema: Any) -> str | None:
        import jsonschema

        try:
            _dialect(self._version).check_schema(schema, format_checker=None)  # patterns are not Python's
        except jsonschema.SchemaError as error:
            return clipped(error.message)
        return None

    def flaw_of_pattern(self, pattern: str, *, of_name: bool = False) -> str | None:
        """Return what is wrong with a regular expression; None if nothing is.

        Args:
            pattern: the expression.
            of_name: whether it is one for names of properties.
        """
        if of_name:
            return (
                f"its schema has the pattern {pattern[:40]!r} for names, which may take forever to match"
                if len(pattern) > _PATTERN or _COSTLY.search(pattern) or not _is_regular(pattern)
                else None
            )
        if _matcher(pattern) is None:
            if len(pattern) <= _PATTERN and not _is_regular(pattern):
                return f"its schema has the pattern {pattern[:40]!r}, which is not a regular expression"
            if pattern not in self.unchecked:
                self.unchecked.append(pattern)
        return None

    def reason(self, schema: Any, value: Any) -> str | None:
        """Return why a value does not fit a schema of the document; None if it fits.

        Raises:
            BadEntry: the schema cannot be applied to the value.
        """
        import referencing

        # With the parts of the document to which the schema may refer.
        whole: dict[str, Any] = {"allOf": [schema], **self._root}
        validator = _validator(self._version)(whole, registry=referencing.Registry())
        try:
            return next((clipped(error.message) for error in validator.iter_errors(value)), None)
        except RecursionError:
            raise BadEntry("the schema or the value nests too deep to be checked; simplify it") from None
        except Exception as error:
            raise BadEntry(
                f"the schema in the API description cannot be applied ({type(error).__name__}); correct it"
            ) from None


def _first(errors: Iterator[Any]) -> str | None:
    """Return the sentence of the error that says most."""
    from jsonschema.exceptions import best_match

    error = best_match(itertools.islice(errors, 100))
    if error is None:
        return None
    where = "/".join(str(step) for step in error.absolute_path)
    return clipped(f"{where}: {error.message}" if where else error.message)


@functools.cache
def _described(version: str, kind: str) -> Any:
    """Return the validator of a kind of object, by OpenAPI's own schema of the version."""
    import jsonschema
    import referencing
    from openapi_spec_validator import schemas

    whole: Any = getattr(schemas, f"schema_v{version.replace('.', '')}")
    if version == "3.0":
        name = {"callbacks": "Callback"}.get(kind) or "".join(word.title() for word in kind.split("-"))
        part = {"definitions": dict(whole["definitions"]), "allOf": [{"$ref": f"#/definitions/{name}"}]}
        return jsonschema.Draft4Validator(part, registry=referencing.Registry())
    part = {"$defs": dict(whole["$defs"]), "$ref": f"#/$defs/{kind}"}
    return jsonschema.Draft202012Validator(part, registry=referencing.Registry())


@functools.cache
def _validator(version: str) -> Any:
    """Return the class that validates values by schemas of the version."""
    from jsonschema.validators import extend

    return extend(_dialect(version), {"pattern": _pattern})


def _dialect(version: str) -> Any:
    import openapi_schema_validator

    return getattr(openapi_schema_validator, f"OAS{version.replace('.', '')}Validator")


def _pattern(validator: Any, pattern: str, instance: Any, schema: Any) -> Iterator[Any]:
    import jsonschema

    if validator.is_type(instance, "string") and (matcher := _matcher(pattern)) and not matcher.search(instance):
        yield jsonschema.ValidationError(f"{instance!r} does not match {pattern!r}")


@functools.lru_cache(1000)
def _matcher(pattern: str) -> Any:
    import re2

    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(pattern, options) if len(pattern) <= _PATTERN else None
    except (re2.error, UnicodeError):
        return None


def _is_regular(pattern: str) -> bool:
    # Of JavaScript, which Python's `re` spells differently.
    pattern = re.sub(
        r"\\[pP]\{\w+\}", "x", pattern.replace("(?<", "(?P<").replace("(?P<=", "(?<=").replace("(?P<!", "(?<!")
    )
    try:
        re.compile(pattern)
    except (re.error, OverflowError, RecursionError):
        return False
    return True
