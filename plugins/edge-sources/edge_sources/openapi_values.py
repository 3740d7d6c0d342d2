"""Writes parameters and request bodies in the forms that OpenAPI 3 defines."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any


def schema_of(parameter: dict[str, Any]) -> Any:
    """Return the schema of a parameter, which is its own or that of its media type."""
    if "schema" in parameter:
        return parameter["schema"]
    described: dict[str, Any] = next(iter(parameter.get("content", {}).values()), {})
    return described.get("schema", {})


def query_of(parameter: dict[str, Any], name: str, value: Any) -> list[tuple[str, str]]:
    """Return a query parameter in the style that the document sets for it (OpenAPI 3, "Parameter Object").

    >>> query_of({}, "status", ["sold", "new"])
    [('status', 'sold'), ('status', 'new')]
    >>> query_of({"style": "deepObject"}, "age", {"min": 3})
    [('age[min]', '3')]

    Args:
        parameter: the document's description of the parameter.
        name: its name.
        value: its value, as Python has it.
    """
    if "content" in parameter:
        return [(name, json.dumps(value))]
    style = parameter.get("style", "form")
    explode = parameter.get("explode", style == "form")
    if isinstance(value, (list, tuple)):
        if explode:
            return [(name, joined(element)) for element in value]
        separator = {"spaceDelimited": " ", "pipeDelimited": "|"}.get(style, ",")
        return [(name, separator.join(joined(element) for element in value))]
    if isinstance(value, Mapping):
        if style == "deepObject":
            return [(f"{name}[{key}]", joined(inner)) for key, inner in value.items()]
        if explode:
            return [(str(key), joined(inner)) for key, inner in value.items()]
    return [(name, joined(value))]


def text_of(parameter: dict[str, Any], value: Any) -> str:
    """Return a parameter in a path, header or cookie as the document says, before it is escaped.

    >>> text_of({"explode": True}, {"row": 7, "column": 3})
    'row=7,column=3'
    """
    if "content" in parameter:
        return json.dumps(value)
    if isinstance(value, Mapping) and parameter.get("explode", False):
        return ",".join(f"{name}={joined(inner)}" for name, inner in value.items())
    return joined(value)


def joined(value: Any) -> str:
    """Return a value as text, with the elements of lists and objects joined by commas.

    >>> joined([7, True, None])
    '7,true,'
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, tuple)):
        return ",".join(joined(element) for element in value)
    if isinstance(value, Mapping):
        return ",".join(f"{name},{joined(inner)}" for name, inner in value.items())
    return "" if value is None else str(value)


def elements_of(value: Any) -> list[Any]:
    """Return the elements of a list, and any other value as the only element."""
    return list(value) if isinstance(value, (list, tuple)) else [value]


def form_part(name: str, value: Any) -> Any:
    """Return a part of a form with files (OpenAPI 3, "Special Considerations for multipart Content")."""
    if hasattr(value, "read"):
        return os.path.basename(str(getattr(value, "name", name))), value.read()
    if isinstance(value, (bytes, bytearray, memoryview)):
        return name, bytes(value)
    if isinstance(value, Mapping):
        return None, json.dumps(value), "application/json"
    return joined(value)


def is_json(kind: str) -> bool:
    """Return whether a media type is one of JSON.

    >>> is_json("application/problem+json; charset=utf-8")
    True
    """
    kind = kind.partition(";")[0].strip().lower()
    return kind == "application/json" or kind.endswith("+json")
