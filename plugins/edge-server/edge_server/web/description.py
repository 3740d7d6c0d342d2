"""The API's description: what flask-smorest makes of the routes, and what it cannot know."""

from __future__ import annotations

from typing import Any

import flask
import flask_smorest
import marshmallow
from apispec.ext.marshmallow import MarshmallowPlugin

from edge_core.records import Record, field
from edge_server.web import idempotency, receipts, url_prefix
from edge_server.web.permissions import ANYONE, HUB, body_limits_of, repeatable_of, rules_of

_NAME = "edge_server.api"

_PROBLEM = {"schema": {"$ref": "#/components/schemas/Problem"}}

_KEY = {
    "in": "header",
    "name": idempotency.HEADER,
    "required": False,
    "schema": {"type": "string", "pattern": f"^{idempotency.KEY_PATTERN}$"},
    "description": (
        "A new one for each new request makes it safe to send that request again "
        "(draft-ietf-httpapi-idempotency-key-header): for 24 hours, or 15 minutes if it is no POST, it has its "
        "effect once, and the same user gets the same answer again. An answer that holds a signature or another secret "
        "is not kept: the request is run again and answered anew."
    ),
}

_REPLAYED = {
    "description": f'"true" on an answer that was given before, to the first request with this {idempotency.HEADER}.',
    "schema": {"type": "string", "enum": ["true"]},
}


class Problem(Record):
    """Why a request was refused (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str = field(doc="One sentence: what happened and what to do.")
    code: str = field(doc="The problem's short name, for programs.")
    request_id: str = field(doc="What the server logged the request under.")
    errors: dict[str, list[str]] = field(
        default_factory=dict, doc="What is wrong with which field; at most 20 of them."
    )
    more_errors: int = field(default=0, doc="How many further fields are wrong, at the least.")


class _Api(flask_smorest.Api):  # type: ignore[misc]
    ERROR_SCHEMA = Problem.schema()


def describe(app: flask.Flask) -> flask_smorest.Api:
    """The description of `app`, which grows with each group of routes registered through it."""
    app.config.update(API_TITLE="Edge API", API_VERSION="v1", OPENAPI_VERSION="3.0.3")
    plugin = MarshmallowPlugin(schema_name_resolver=_name)
    api = _Api(app, spec_kwargs={"marshmallow_plugin": plugin})
    api.spec.components.security_scheme("token", {"type": "http", "scheme": "bearer"})
    app.extensions[_NAME] = api
    return api


def description_of(app: flask.Flask) -> dict[str, Any]:
    """The finished OpenAPI document."""
    api: flask_smorest.Api = app.extensions[_NAME]
    document: dict[str, Any] = api.spec.to_dict()
    rules, limits, repeatable = rules_of(app), body_limits_of(app), repeatable_of(app)
    for path in document["paths"].values():
        for method, operation in path.items():
            if method == "parameters":
                continue
            # Any of many statuses, and always the same document.
            operation["responses"] = {
                status: response
                for status, response in operation["responses"].items()
                if status.isdigit() and int(status) < 400
            }
            operation["responses"]["default"] = {
                "description": "Refused; the problem says why.",
                "content": {"application/problem+json": _PROBLEM},
            }
            body = operation.get("requestBody", {})
            if any("$ref" in about.get("schema", {}) for about in body.get("content", {}).values()):
                body["x-max-bytes"] = limits[operation["operationId"]]
            if rules[operation["operationId"]] is not ANYONE:
                operation["security"] = [{"token": []}]
                operation["x-permission"] = rules[operation["operationId"]].value
                if method.upper() in receipts.METHODS and rules[operation["operationId"]] is not HUB:
                    _takes_key(operation)
                elif method == "post" and operation["operationId"] not in repeatable:
                    _takes_key(operation)
                    operation["responses"]["409"] = {"$ref": "#/components/responses/Conflict"}
    prefix = url_prefix.of(app)
    if prefix:
        document["servers"] = [{"url": prefix}]
    components = document["components"]
    del components["responses"], components["schemas"]["PaginationMetadataSchema"]  # flask-smorest's own, unused
    later = {"Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer"}}}
    components["parameters"] = {"IdempotencyKey": _KEY}
    components["headers"] = {"IdempotencyReplayed": _REPLAYED}
    components["responses"] = {
        "Conflict": _refused("idempotency_in_progress", "is still being answered", later),
        "Unprocessable": _refused("idempotency_mismatch", "was another one", {}),
    }
    _narrow_nulls(components["schemas"])
    _open_answers(document)
    return document


def _takes_key(operation: dict[str, Any]) -> None:
    """Say that an operation takes a key, and what that can lead to."""
    operation.setdefault("parameters", []).append({"$ref": "#/components/parameters/IdempotencyKey"})
    responses = operation["responses"]
    for response in responses.values():
        replayed = {"$ref": "#/components/headers/IdempotencyReplayed"}
        response.setdefault("headers", {})[idempotency.REPLAYED] = replayed
    responses["422"] = {"$ref": "#/components/responses/Unprocessable"}


def _refused(code: str, reason: str, headers: dict[str, Any]) -> dict[str, Any]:
    """A status that a key can lead to, beside the operation's own reasons for it."""
    return {
        "description": f"Refused. The code {code} says that the first request with this {idempotency.HEADER} {reason}.",
        "content": {"application/problem+json": _PROBLEM},
        "headers": {idempotency.REPLAYED: {"$ref": "#/components/headers/IdempotencyReplayed"}, **headers},
    }


def _narrow_nulls(schemas: dict[str, Any]) -> None:
    """Where a record or null is asked for, let no other object do, as apispec's way to say "null" would."""
    for schema in schemas.values():
        for about in schema.get("properties", {}).values():
            for choice in about.get("anyOf", ()):
                if choice == {"type": "object", "nullable": True}:
                    choice["enum"] = [None]


def _open_answers(document: dict[str, Any]) -> None:
    """Let answers have further fields: strict as requests are, they would break clients with each new field."""
    schemas = document["components"]["schemas"]
    in_requests: set[str] = set()
    names = {
        name
        for path in document["paths"].values()
        for operation in path.values()
        if isinstance(operation, dict)
        for name in _mentioned(operation.get("requestBody"))
    }
    while names:
        in_requests |= names
        names = {inner for name in names for inner in _mentioned(schemas[name])} - in_requests
    for name, schema in schemas.items():
        if name not in in_requests:
            schema.pop("additionalProperties", None)


def _mentioned(value: Any) -> set[str]:
    """The names of the schemas that a piece of the document refers to."""
    if isinstance(value, dict):
        own = {str(value["$ref"]).rpartition("/")[2]} if "$ref" in value else set()
        return own.union(*map(_mentioned, value.values()))
    return set().union(*map(_mentioned, value)) if isinstance(value, list) else set()


def _name(schema: marshmallow.Schema | type[marshmallow.Schema]) -> str:
    """A schema's name is its record's."""
    return (schema if isinstance(schema, type) else type(schema)).__name__
