"""Generates a client from an OpenAPI 3 document: it checks parameters and returns parsed answers."""

from __future__ import annotations

import base64
import inspect
import json
import keyword
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

import urllib3

from edge_core.errors import BadEntry
from edge_sources.openapi_calls import DescribedService, clipped, parsed, send
from edge_sources.openapi_document import load, operations, resolved, server_of, validator_of
from edge_sources.openapi_values import elements_of, form_part, is_json, joined, query_of, schema_of

FORM = "application/x-www-form-urlencoded"

MULTIPART = "multipart/form-data"


class Client:
    """The operations of a service; those without a tag are methods of the client, the others of its groups."""

    def __init__(self, title: str) -> None:
        self._title = title

    def __repr__(self) -> str:
        return f"<client of {self._title!r}: {', '.join(name for name in vars(self) if name != '_title')}>"


class Group:
    """The operations of one tag."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __repr__(self) -> str:
        return f"<group {self._name!r}: {', '.join(name for name in vars(self) if name != '_name')}>"


class Operation:
    """An operation, called with its parameters by name, and with its request body as ``body=``.

    Raises:
        BadEntry: a parameter is missing, unknown or not valid, or the service refused it.
        NotFound, Unauthenticated, Forbidden, Conflict, ServerError, ApiError: the service refused.
        ConnectionFailed: no answer came.
        BadResponse: the answer is labelled as JSON but is not, or redirects.
    """

    def __init__(self, service: _Service, method: str, path: str, described: dict[str, Any], name: str) -> None:
        self._service = service
        self._method = method.upper()
        self._path = path
        self._parameters: dict[str, dict[str, Any]] = described["parameters"]
        self._body: dict[str, Any] | None = described.get("requestBody")
        self._security: list[dict[str, Any]] = described["security"]
        self.__name__ = self.__qualname__ = name
        paragraphs = [described.get("summary"), described.get("description")]
        paragraphs += [f"{label}: {about.get('description', '')}" for label, about in self._parameters.items()]
        self.__doc__ = "\n\n".join(text for text in paragraphs if text) or f"{self._method} {path}"
        labels = [*self._parameters, *(["body"] if self._body else [])]
        self.__signature__ = inspect.Signature(
            [
                inspect.Parameter(
                    label,
                    inspect.Parameter.KEYWORD_ONLY,
                    default=inspect.Parameter.empty if self._parameters.get(label, {}).get("required") else None,
                )
                for label in labels
                if label.isidentifier() and not keyword.iskeyword(label)
            ]
        )

    def __call__(self, **values: Any) -> Any:
        body = values.pop("body", None) if self._body and "body" not in self._parameters else None
        self._check(values, body)
        path, query, headers, cookies = self._path, [], {}, {}
        for name, value in values.items():
            where = self._parameters[name]["in"]
            if where == "path":
                path = path.replace(f"{{{name}}}", quote(joined(value), safe=""))
            elif where == "query":
                query += query_of(self._parameters[name], name, value)
            elif where == "header":
                headers[name] = joined(value)
            else:
                cookies[name] = joined(value)
        return self._service.call(self._method, path, query, headers, cookies, self._content(body), self._security)

    def _check(self, values: dict[str, Any], body: Any) -> None:
        for name, value in values.items():
            if name not in self._parameters:
                known = ", ".join(self._parameters) or "none"
                raise BadEntry(f"{self.__name__} has no parameter {name!r}; it has: {known}")
            self._service.check(f"{self.__name__}: {name}", schema_of(self._parameters[name]), value)
        missing = [name for name, about in self._parameters.items() if about.get("required") and name not in values]
        if missing:
            raise BadEntry(f"{self.__name__} needs {', '.join(missing)}; give it by name")
        if body is None:
            if self._body and self._body.get("required"):
                raise BadEntry(f"{self.__name__} needs a body; give it as body=")
            return
        kind, about = self._form_of(body)
        if is_json(kind) or kind == FORM:
            self._service.check(f"{self.__name__}: body", about.get("schema", {}), body)

    def _form_of(self, body: Any) -> tuple[str, dict[str, Any]]:
        """Return the media type for a body, and the document's entry for it."""
        content: dict[str, dict[str, Any]] = (self._body or {}).get("content", {})
        raw = isinstance(body, (bytes, bytearray, memoryview)) or hasattr(body, "read")
        fitting = [kind for kind in content if is_json(kind) != raw] or list(content) or ["application/octet-stream"]
        kind = "application/json" if "application/json" in fitting else fitting[0]
        return kind, content.get(kind, {})

    def _content(self, body: Any) -> tuple[str, Any] | None:
        if body is None:
            return None
        kind, _ = self._form_of(body)
        if is_json(kind):
            try:
                return kind, json.dumps(body).encode()
            except (TypeError, ValueError):
                raise BadEntry(f"{self.__name__}: body holds a value that JSON cannot express; correct it") from None
        if isinstance(body, Mapping) and kind == FORM:
            return kind, urlencode(
                [(name, joined(part)) for name, value in body.items() for part in elements_of(value)]
            )
        if isinstance(body, Mapping) and kind == MULTIPART:
            content, kind = urllib3.encode_multipart_formdata(
                [(name, form_part(name, part)) for name, value in body.items() for part in elements_of(value)]
            )
            return kind, content
        if isinstance(body, str):
            return kind, body.encode()
        if isinstance(body, (bytes, bytearray, memoryview)) or hasattr(body, "read"):
            return kind, body
        raise BadEntry(f"{self.__name__}: a body of the type {kind} must be str, bytes or an open file; give it so")

    def __repr__(self) -> str:
        return f"<operation {self.__name__}{self.__signature__}>"


class _Service:
    """Sends the calls of a client, with the connection's credentials."""

    def __init__(self, connection: DescribedService, document: dict[str, Any], validator: Any) -> None:
        self._connection = connection
        self._document = document
        self._validator = validator
        self.url = server_of(connection, document)
        schemes = document.get("components", {}).get("securitySchemes", {})
        self._schemes = {name: resolved(document, about) for name, about in schemes.items()}

    def check(self, what: str, schema: dict[str, Any], value: Any) -> None:
        # With the document's components, to which the schema may refer.
        whole = {**schema, "components": self._document.get("components", {})}
        for error in self._validator(whole).iter_errors(value):
            raise BadEntry(f"{what} is not valid: {clipped(error.message)}; correct it")

    def call(
        self,
        method: str,
        path: str,
        query: list[tuple[str, str]],
        headers: dict[str, str],
        cookies: dict[str, str],
        content: tuple[str, Any] | None,
        security: list[dict[str, Any]],
    ) -> Any:
        headers = {"Accept": "application/json, */*;q=0.5", **headers}
        if content is not None:
            headers["Content-Type"] = content[0]
        query, cookies = list(query), dict(cookies)
        self._authenticate(security, query, headers, cookies)
        if cookies:
            headers["Cookie"] = "; ".join(f"{name}={quote(value, safe='')}" for name, value in cookies.items())
        answer = send(
            self._connection, method, self.url + path, params=query, headers=headers, content=content and content[1]
        )
        return parsed(answer)

    def _authenticate(
        self,
        security: list[dict[str, Any]],
        query: list[tuple[str, str]],
        headers: dict[str, str],
        cookies: dict[str, str],
    ) -> None:
        """Add the credentials of the first security requirement for which the connection has all of them."""
        username, password, token = (self._connection.username, self._connection.password, self._connection.token)
        for requirement in security:
            schemes = [self._schemes.get(name, {}) for name in requirement]
            basic = [
                scheme
                for scheme in schemes
                if scheme.get("type") == "http" and scheme.get("scheme", "").lower() == "basic"
            ]
            if (basic and not username) or (len(basic) < len(schemes) and not token):
                continue
            for scheme in schemes:
                if scheme in basic:
                    credentials = f"{username}:{password or ''}".encode("latin-1")
                    headers["Authorization"] = f"Basic {base64.b64encode(credentials).decode()}"
                elif scheme.get("type") != "apiKey":
                    headers["Authorization"] = f"Bearer {token}"
                elif scheme.get("in") == "header":
                    headers[scheme["name"]] = str(token)
                elif scheme.get("in") == "query":
                    query.append((scheme["name"], str(token)))
                else:
                    cookies[scheme["name"]] = str(token)
            return


def make_client(connection: DescribedService) -> Client:
    """Return the client of a connection; for its errors see `OpenAPIConnection.generate_new_client`."""
    document = load(connection)
    validator = validator_of(document)
    service = _Service(connection, document, validator)
    client = Client(str(document["info"]["title"]))
    for method, path, described in operations(document):
        name = _name(described.get("operationId") or f"{method}_{path}")
        operation = Operation(service, method, path, described, name)
        for tag in described.get("tags") or [None]:
            holder: Any = client
            if tag is not None:
                holder = vars(client).setdefault(_name(tag), Group(tag))
            if name in vars(holder):
                raise BadEntry(f"the document has two operations {name!r}; correct one of them")
            setattr(holder, name, operation)
    return client


def check(connection: DescribedService, timeout: float) -> None:
    """Check that the document exists and is valid, and that its service answers and accepts the credentials.

    Args:
        connection: the service.
        timeout: seconds to connect, and between bytes.

    Raises:
        BadEntry: the document is not valid.
        ConnectionFailed: the document cannot be fetched, or the service does not answer.
        Unauthenticated, Forbidden: the service rejects the credentials.
    """
    document = load(connection, timeout)
    service = _Service(connection, document, validator_of(document))
    headers: dict[str, str] = {}
    query: list[tuple[str, str]] = []
    cookies: dict[str, str] = {}
    service._authenticate(document.get("security", []), query, headers, cookies)
    answer = send(connection, "GET", f"{service.url}/", params=query, headers=headers, timeout=(timeout, timeout))
    if answer.status_code in (401, 403):
        parsed(answer)


def _name(text: str) -> str:
    """Return the text as a Python identifier without leading underscores, unless it begins with a digit."""
    name = re.sub(r"\W+", "_", text).strip("_") or "operation"
    if name[0].isdigit() or keyword.iskeyword(name):
        name = f"{name}_" if keyword.iskeyword(name) else f"_{name}"
    return name
