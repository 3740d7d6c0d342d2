"""Reads an OpenAPI 3 document: fetches and validates it, and resolves its references."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urljoin

from edge_core.errors import BadEntry, BadResponse
from edge_sources.connection import need, parts_of
from edge_sources.openapi_calls import TIMEOUT, DescribedService, clipped, parsed, send

METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")


def load(connection: DescribedService, timeout: float | None = None) -> dict[str, Any]:
    """Return the document of a connection; it is valid, and refers to no other document.

    Raises:
        BadEntry: the document is not valid, or refers to another.
        ConnectionFailed: it cannot be fetched.
        MissingPackage: a package that this needs is not installed.
    """
    need("a client from an API description", "openapi", "yaml", "openapi_spec_validator", "openapi_schema_validator")
    import yaml

    text: Any = connection.spec
    if connection.spec.startswith(("http://", "https://")):
        waits = TIMEOUT if timeout is None else (timeout, timeout)
        answer = send(connection, "GET", connection.spec, timeout=waits)
        if answer.status_code != 200:
            parsed(answer)
            raise BadResponse(f"no API description is at the address of spec (status {answer.status_code}); check spec")
        text = answer.content
    try:
        document = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506  # safe both
    except (yaml.YAMLError, UnicodeError, RecursionError):
        raise BadEntry("the API description is neither JSON nor YAML; correct it") from None
    if not isinstance(document, dict) or not str(document.get("openapi", "")).startswith("3."):
        raise BadEntry("the API description is not an OpenAPI 3 document; convert it, or give another")
    # YAML has types that JSON lacks, such as dates.
    document = json.loads(json.dumps(document, default=str))
    for reference in _references(document):
        if not reference.startswith("#/"):
            raise BadEntry(f"the API description refers to another document ({clipped(reference)}); put all in one")
    _validate(document)
    return dict(document)


def _validate(document: dict[str, Any]) -> None:
    import openapi_spec_validator

    try:
        openapi_spec_validator.validate(document)
    except RecursionError:
        raise BadEntry("the API description nests too deep to be read; simplify it") from None
    except Exception as error:
        reason = clipped(getattr(error, "message", None) or str(error))
        raise BadEntry(f"the API description is not a valid OpenAPI 3 document: {reason}; correct it") from None


def validator_of(document: dict[str, Any]) -> Any:
    """Return the class that validates values by schemas of the document's version."""
    import openapi_schema_validator

    old = document["openapi"].startswith("3.0")
    return openapi_schema_validator.OAS30Validator if old else openapi_schema_validator.OAS31Validator


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Iterate over the document's operations: method, path, and description with references resolved."""
    for path, path_item in document.get("paths", {}).items():
        methods = resolved(document, path_item)
        for method in METHODS:
            if method not in methods:
                continue
            described = dict(methods[method])
            parameters = [
                resolved(document, parameter)
                for parameter in [*methods.get("parameters", []), *described.get("parameters", [])]
            ]
            described["parameters"] = {parameter["name"]: parameter for parameter in parameters}
            if "requestBody" in described:
                described["requestBody"] = resolved(document, described["requestBody"])
            described.setdefault("security", document.get("security", []))
            yield method, path, described


def resolved(document: dict[str, Any], node: Any) -> dict[str, Any]:
    """Return a node of the document, or the node it refers to if it is a reference.

    >>> resolved({"parts": {"plate": {"type": "string"}}}, {"$ref": "#/parts/plate"})
    {'type': 'string'}

    Raises:
        BadEntry: the reference leads to nothing, or in a circle.
    """
    for _ in range(100):
        if not (isinstance(node, dict) and "$ref" in node):
            return dict(node)
        reference = str(node["$ref"])
        node = document
        for step in reference.removeprefix("#/").split("/"):
            try:
                node = node[step.replace("~1", "/").replace("~0", "~")]
            except (KeyError, TypeError):
                raise BadEntry(
                    f"the API description refers to {clipped(reference)}, which it does not have; correct it"
                ) from None
    raise BadEntry("the API description has references in a circle; correct it")


def _references(part: Any) -> Iterator[str]:
    waiting = [part]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            if isinstance(node.get("$ref"), str):
                yield node["$ref"]
            waiting += node.values()
        elif isinstance(node, list):
            waiting += node


def server_of(connection: DescribedService, document: dict[str, Any]) -> str:
    """Return the address of the service, without a slash at the end.

    Raises:
        BadEntry: neither the connection nor the document has a valid address.
    """
    servers: list[dict[str, Any]] = document.get("servers") or [{"url": "/"}]
    url = connection.server_url
    if not url:
        url = str(servers[0]["url"])
        for name, about in servers[0].get("variables", {}).items():
            url = url.replace(f"{{{name}}}", str(about["default"]))
        if connection.spec.startswith(("http://", "https://")):
            parts_of(url)
            url = urljoin(connection.spec, url)
    if parts_of(url).scheme not in ("http", "https"):
        raise BadEntry("the API description does not say where its service is; give server_url")
    return url.rstrip("/")
