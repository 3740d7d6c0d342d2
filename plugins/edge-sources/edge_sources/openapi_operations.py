"""Finds the operations of an OpenAPI document, and what is wrong with each of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import unquote

from edge_sources.openapi_calls import clipped
from edge_sources.openapi_checks import Checks
from edge_sources.openapi_values import schema_of

METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")

_BESIDE = ("$ref", "summary", "description", "servers", "parameters")

#: Objects whose keys are names of the document's own choice.
_NAMED = {"callbacks", "content", "encoding", "headers", "responses"}
_NAMED_SCHEMAS = {"$defs", "definitions", "dependentSchemas", "patternProperties", "properties"}

#: Objects whose content is anything, even what looks like a reference.
_LITERAL = {"const", "default", "enum", "example", "examples", "links", "mapping", "value"}

#: Keywords whose schemas apply to the value itself, and not to a part of it.
_IN_PLACE = {"allOf", "anyOf", "oneOf", "not", "if", "then", "else", "dependentSchemas"}

_KINDS = {
    "callbacks": "callbacks",
    "headers": "header",
    "itemSchema": "schema",
    "parameters": "parameter",
    "requestBody": "request-body",
    "responses": "response",
    "schema": "schema",
}

_MOST_COMBINED = 10_000
"""Most schemas that apply to a value at once."""

TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
"""A name of a header or cookie (RFC 9110)."""

#: Headers that frame a message or belong to its parts elsewhere in the document.
_FRAMING = {"connection", "content-length", "cookie", "host", "te", "trailer", "transfer-encoding", "upgrade"}

_TEMPLATE = re.compile(r"/[^\s?#\\\x00-\x1f\x7f]*")
_VARIABLE = re.compile(r"\{([^{}]*)\}")

#: Of each place of a parameter, the styles that are written; the first is its default.
STYLES = {
    "path": ("simple",),
    "query": ("form", "spaceDelimited", "pipeDelimited", "deepObject"),
    "header": ("simple",),
    "cookie": ("form", "cookie"),
}


class Flaw(Exception):
    """What is wrong with an operation; the end of a sentence.

    Attributes:
        content: the operation in the document; empty if it is not known which it is.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.content: dict[str, Any] = {}


@dataclass(frozen=True)
class Described:
    """An operation as the document describes it, with references resolved.

    Attributes:
        method: HTTP method in lower case.
        path: path with its variables in braces.
        content: summary, description, tags and operationId.
        parameters: its parameters and those of its path.
        body: its request body.
        security: its security requirements; the first that can be met counts.
        servers: the servers of the operation or its path, if they differ from those of the document.
        remarks: what is wrong with it and does not matter for a call.
    """

    method: str
    path: str
    content: dict[str, Any]
    parameters: list[dict[str, Any]]
    body: dict[str, Any] | None
    security: list[dict[str, Any]]
    servers: list[dict[str, Any]]
    remarks: list[str]


def operations(content: dict[str, Any], version: str, checks: Checks) -> Iterator[tuple[str, Described | Flaw]]:
    """Iterate over the document's operations: method and path, and the operation or what is wrong with it."""
    reader = _Reader(content, version, checks)
    for path, path_item in content["paths"].items():
        if path.startswith("x-"):
            continue
        try:
            methods = resolved(content, path_item)
        except Flaw as flaw:
            yield path, flaw
            continue
        for method in reader.methods if methods is not path_item else ():
            if method in path_item:
                yield f"{method.upper()} {path}", Flaw("its path has a reference, beside which nothing counts")
        known = [method for method in reader.methods if method in methods]
        for key in methods:
            if key not in (*known, *_BESIDE) and not key.startswith("x-"):
                yield f"{key[:40]} {path}", Flaw(f"{key[:40]!r} is not a method of OpenAPI {version}")
        for method in known:
            label = f"{method.upper()} {path}"
            try:
                yield label, reader.described(method, path, methods)
            except Flaw as flaw:
                yield label, _of(methods[method], flaw)
            except RecursionError:
                yield label, _of(methods[method], Flaw("it nests too deep to be read"))


def _of(operation: Any, flaw: Flaw) -> Flaw:
    if isinstance(operation, dict):
        flaw.content = operation
    return flaw


class _Reader:
    def __init__(self, content: dict[str, Any], version: str, checks: Checks) -> None:
        self._content = content
        self._checks = checks
        self._references = _References(content, version, checks)
        self.methods = (*METHODS, "query") if version == "3.2" else METHODS

    def described(self, method: str, path: str, path_item: dict[str, Any]) -> Described:
        operation = path_item[method]
        if not isinstance(operation, dict):
            raise Flaw("it is not an object")
        whole = dict(operation)
        own = self._parameters(operation.get("parameters", []))
        shared = self._parameters(path_item.get("parameters", []))
        whole["parameters"] = [*{**shared, **own}.values()]
        if "requestBody" in operation:
            whole["requestBody"] = resolved(self._content, operation["requestBody"])
        whole["security"] = operation.get("security", self._content.get("security", []))
        whole["servers"] = operation.get("servers") or path_item.get("servers") or []
        if reason := self._checks.flaw("operation", whole) or self._references.flaw(whole):
            raise Flaw(reason)
        self._check_path(path, whole["parameters"])
        for parameter in whole["parameters"]:
            _check_parameter(parameter)
        check_security(self._content, self._checks, whole["security"])
        return Described(
            method,
            path,
            operation,
            whole["parameters"],
            whole.get("requestBody"),
            whole["security"],
            whole["servers"],
            [*self._remarks(whole["parameters"])],
        )

    def _parameters(self, listed: Any) -> dict[tuple[str, str], dict[str, Any]]:
        """Return parameters by what identifies them: their place and name."""
        if not isinstance(listed, list):
            raise Flaw("its parameters are not a list")
        parameters: dict[tuple[str, str], dict[str, Any]] = {}
        for entry in listed:
            parameter = resolved(self._content, entry)
            if reason := self._checks.flaw("parameter", parameter):
                raise Flaw(f"a parameter is not valid: {reason}")
            place = parameter["in"]
            key = (place, parameter["name"].lower() if place == "header" else parameter["name"])
            if key in parameters:
                raise Flaw(f"it has the {place} parameter {parameter['name'][:40]!r} twice")
            parameters[key] = parameter
        return parameters

    def _check_path(self, path: str, parameters: list[dict[str, Any]]) -> None:
        if not _TEMPLATE.fullmatch(path) or not is_plain(path) or not _is_text(path):
            raise Flaw("its path is not one that begins with / and has no query, spaces and .. in it")
        if re.search(r"[{}]", _VARIABLE.sub("", path)):
            raise Flaw("the braces in its path do not match")
        variables = _VARIABLE.findall(path)
        names = [parameter["name"] for parameter in parameters if parameter["in"] == "path"]
        for name in (*variables, *names):
            if not name or name not in variables or name not in names:
                raise Flaw(f"the variables in its path and its path parameters differ in {name[:40]!r}")

    def _remarks(self, parameters: list[dict[str, Any]]) -> Iterator[str]:
        for parameter in parameters:
            schema = schema_of(parameter)
            if isinstance(schema, dict) and "default" in schema:
                reason = self._checks.reason(schema, schema["default"])
                if reason:
                    yield f"the default of {parameter['name'][:40]!r} is not valid ({reason}), and is never sent"


def check_security(content: dict[str, Any], checks: Checks, security: Any) -> None:
    """Check security requirements and the schemes they name.

    Raises:
        Flaw: they are not valid.
    """
    components = content.get("components")
    schemes = components.get("securitySchemes") if isinstance(components, dict) else None
    for requirement in security if isinstance(security, list) else [security]:
        if reason := checks.flaw("security-requirement", requirement):
            raise Flaw(f"its security requirements are not valid: {reason}")
        for name in requirement:
            if not isinstance(schemes, dict) or name not in schemes:
                raise Flaw(f"it requires the security scheme {name[:40]!r}, which the document does not have")
            scheme = resolved(content, schemes[name])
            if reason := checks.flaw("security-scheme", scheme):
                raise Flaw(f"its security scheme {name[:40]!r} is not valid: {reason}")
            if scheme["type"] == "apiKey" and scheme["in"] != "query" and not TOKEN.fullmatch(scheme["name"]):
                raise Flaw(f"its security scheme {name[:40]!r} is not the name of a header or cookie")


def _check_parameter(parameter: dict[str, Any]) -> None:
    name, place = parameter["name"], parameter["in"]
    if place not in STYLES:
        raise Flaw(f"it has a parameter in {place!r}, which this client cannot send")
    style = parameter.get("style", STYLES[place][0])
    if style not in STYLES[place]:
        raise Flaw(f"its parameter {name[:40]!r} has the style {style!r}, which this client cannot write")
    if not name or not _is_text(name):
        raise Flaw("it has a parameter without a name")
    if place in ("header", "cookie") and not TOKEN.fullmatch(name):
        raise Flaw(f"its parameter {name[:40]!r} is not the name of a {place}")
    if place == "header" and name.lower() in _FRAMING:
        raise Flaw(f"its parameter {name!r} is a header that only the HTTP client may set")


def is_plain(path: str) -> bool:
    """Return whether no segment of a path is `.` or `..`, which leads to another path.

    >>> is_plain("/pets/..")
    False
    >>> is_plain("/pets/%2E%2e/owners")
    False
    """
    return not any(unquote(segment) in (".", "..") for segment in path.split("/"))


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeError:
        return False
    return True


def resolved(content: dict[str, Any], node: Any) -> dict[str, Any]:
    """Return a node of the document, or the node it refers to if it is a reference.

    >>> resolved({"parts": {"plate": {"type": "string"}}}, {"$ref": "#/parts/plate"})
    {'type': 'string'}

    Raises:
        Flaw: the reference leads to nothing or out of the document, or in a circle, or the node is not an object.
    """
    for _ in range(100):
        if not isinstance(node, dict):
            raise Flaw("a part of it is not an object")
        if "$ref" not in node:
            return node
        node = target(content, node["$ref"])
    raise Flaw("its references lead in a circle")


def target(content: dict[str, Any], reference: Any) -> Any:
    """Return the node to which a reference leads.

    Raises:
        Flaw: it leads to nothing, or out of the document.
    """
    return _node_at(content, _steps(reference))


def _steps(reference: Any) -> tuple[str, ...]:
    """Return the keys on the way to the target of a reference in the document (RFC 6901)."""
    if not isinstance(reference, str):
        raise Flaw("a reference in it is not a text")
    if not reference.startswith("#"):
        raise Flaw(f"it refers to another document ({clipped(reference)!r}), and nothing but this one is read")
    pointer = unquote(reference[1:])
    if pointer and not pointer.startswith("/"):
        raise Flaw(f"it refers to {clipped(reference)!r}, which is not a path in the document")
    return tuple(step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/")[1:])


def _node_at(content: dict[str, Any], steps: tuple[str, ...]) -> Any:
    node: Any = content
    for step in steps:
        try:
            if isinstance(node, list) and not step.isdecimal():
                raise KeyError(step)  # -1 is no place in a list
            node = node[int(step)] if isinstance(node, list) else node[step]
        except (KeyError, IndexError, TypeError, ValueError):
            raise Flaw(f"it refers to {clipped('#/' + '/'.join(steps))!r}, which the document does not have") from None
    return node


class _Node(NamedTuple):
    """A part of the document to which something refers, and what it should be."""

    kind: str
    steps: tuple[str, ...]


class _Reference(NamedTuple):
    """A reference, and whether what it leads to applies to the same value as the part that has it."""

    node: _Node
    in_place: bool


class _References:
    """What parts of a document refer to, directly or not; each part is read once."""

    def __init__(self, content: dict[str, Any], version: str, checks: Checks) -> None:
        self._content = content
        self._version = version
        self._checks = checks
        self._flaws: dict[_Node, str | None] = {}
        self._combined: dict[_Node, int] = {}  # the schemas that apply at once to a value

    def flaw(self, operation: dict[str, Any]) -> str | None:
        """Return what is wrong with an operation's schemas, or with what it refers to; None if nothing is."""
        references, flaw = self._part("operation", operation)
        if flaw is not None:
            return flaw
        self._settle([node for node, _ in references])
        for node, _ in references:
            if (flaw := self._flaws[node]) is not None:
                return flaw
        too_many = sum(self._combined[node] for node, in_place in references if in_place) > _MOST_COMBINED
        return "its schemas combine too many others" if too_many else None

    def _settle(self, nodes: list[_Node]) -> None:
        """Find what is wrong with nodes, and with all to which they lead."""
        new: dict[_Node, list[_Reference]] = {}
        flaws: dict[_Node, str | None] = {}
        waiting = list(nodes)
        while waiting:
            node = waiting.pop()
            if node not in new and node not in self._flaws:
                new[node], flaws[node] = self._part(node.kind, _node_at(self._content, node.steps))
                waiting += [other for other, _ in new[node]]
        self._combine(new, flaws)
        sources: dict[_Node, list[_Node]] = {}
        for node, references in new.items():
            for other, _ in references:
                sources.setdefault(other, []).append(node)
                flaws[node] = flaws[node] or self._flaws.get(other)
        waiting = [node for node, flaw in flaws.items() if flaw is not None]
        while waiting:
            node = waiting.pop()
            for source in sources.get(node, []):
                if flaws[source] is None:
                    flaws[source] = flaws[node]
                    waiting.append(source)
        self._flaws |= flaws

    def _combine(self, new: dict[_Node, list[_Reference]], flaws: dict[_Node, str | None]) -> None:
        """Count the schemas that apply at once, those first that combine no others; what is left is a circle."""
        inner = {node: [other for other, in_place in references if in_place] for node, references in new.items()}
        outer: dict[_Node, list[_Node]] = {}
        missing = dict.fromkeys(new, 0)
        for node, others in inner.items():
            for other in others:
                if other in new:
                    outer.setdefault(other, []).append(node)
                    missing[node] += 1
        ready = [node for node, count in missing.items() if not count]
        while ready:
            node = ready.pop()
            self._combined[node] = min(1 + sum(self._combined[other] for other in inner[node]), _MOST_COMBINED + 1)
            if self._combined[node] > _MOST_COMBINED:
                flaws[node] = flaws[node] or "its schemas combine too many others"
            for source in outer.get(node, []):
                missing[source] -= 1
                if not missing[source]:
                    ready.append(source)
        for node in new.keys() - self._combined.keys():
            self._combined[node] = 1
            flaws[node] = flaws[node] or "its references lead in a circle"

    def _part(self, kind: str, content: Any) -> tuple[list[_Reference], str | None]:
        """Return what a part of the document refers to, and what is wrong with the part itself."""
        references: list[_Reference] = []
        try:
            is_reference = isinstance(content, dict) and "$ref" in content and kind != "schema"
            if kind in _KINDS.values() and not is_reference and (reason := self._checks.flaw(kind, content)):
                raise Flaw(f"the {kind} to which it refers is not valid: {reason}")
            for reference in self._read(kind, content):
                _node_at(self._content, reference.node.steps)
                references.append(reference)
        except Flaw as flaw:
            return [], str(flaw)
        return references, None

    def _read(self, kind: str, content: Any) -> Iterator[_Reference]:
        """Iterate over the references in a part of the document, and check the schemas in it.

        Raises:
            Flaw: a schema is not valid.
        """
        waiting = [(content, kind, True)]
        while waiting:
            node, kind, in_place = waiting.pop()
            if isinstance(node, list):
                waiting += [(child, kind, in_place) for child in node]
            if not isinstance(node, dict):
                continue
            if kind == "schema":
                self._check_schema(node)
            for key, value in node.items():
                if key in ("$ref", "$dynamicRef", "$recursiveRef"):
                    yield _Reference(_Node(kind, _steps(value)), in_place)
                elif key in _LITERAL or key.startswith("x-"):
                    continue
                elif isinstance(value, dict) and key in (_NAMED_SCHEMAS if kind == "schema" else _NAMED):
                    inner = "schema" if kind == "schema" else _KINDS.get(key, "other")
                    waiting += [(child, inner, in_place and key in _IN_PLACE) for child in value.values()]
                elif kind == "schema":
                    waiting.append((value, kind, in_place and key in _IN_PLACE))
                else:
                    inner = _KINDS.get(key, "other")
                    # A schema of OpenAPI 3.0 has been checked with what it is a part of.
                    if inner == "schema" and self._version != "3.0" and (reason := self._checks.flaw(inner, value)):
                        raise Flaw(reason)
                    waiting.append((value, inner, inner == "schema"))

    def _check_schema(self, schema: dict[str, Any]) -> None:
        for key in ("$id", "$schema"):
            if key in schema:
                raise Flaw(f"a schema of it has {key}, by which it is read in another way than the document")
        pattern = schema.get("pattern")
        patterns = schema.get("patternProperties")
        if isinstance(pattern, str) and (reason := self._checks.flaw_of_pattern(pattern)):
            raise Flaw(reason)
        for name in patterns if isinstance(patterns, dict) else ():
            if reason := self._checks.flaw_of_pattern(name, of_name=True):
                raise Flaw(reason)
