"""A client generated from an OpenAPI 3 document: parameters checked, answers as plain data."""

from __future__ import annotations

import inspect
import json
import keyword
import os
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode, urljoin

import urllib3

from edge_core.errors import BadEntry, BadResponse, ConnectionFailed, error_from
from edge_sources.connection import need, parts_of

if TYPE_CHECKING:
    import requests

    from edge_sources.openapi import OpenAPIConnection

METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")

TIMEOUT = (5.0, 60.0)
"""Seconds to connect, and between bytes."""

FORM = "application/x-www-form-urlencoded"

MULTIPART = "multipart/form-data"


class Client:
    """The operations of a service; those without a tag are its own methods, the others its groups'."""

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
    """One operation, called with its parameters by name; ``body=`` is what is sent.

    Raises:
        BadEntry: a parameter is missing, unknown or not valid, or the service refuses it.
        NotFound, Unauthenticated, Forbidden, Conflict, ServerError, ApiError: the service refused.
        ConnectionFailed: no answer came.
        BadResponse: the answer is not the JSON it says to be, or leads elsewhere.
    """

    def __init__(self, service: _Service, method: str, path: str, described: dict[str, Any], name: str) -> None:
        self._service = service
        self._method = method.upper()
        self._path = path
        self._parameters: dict[str, dict[str, Any]] = described["parameters"]
        self._body: dict[str, Any] | None = described.get("requestBody")
        self._security: list[dict[str, Any]] = described["security"]
        self.__name__ = self.__qualname__ = name
        said = [described.get("summary"), described.get("description")]
        said += [f"{one}: {about.get('description', '')}" for one, about in self._parameters.items()]
        self.__doc__ = "\n\n".join(text for text in said if text) or f"{self._method} {path}"
        taken = [*self._parameters, *(["body"] if self._body else [])]
        self.__signature__ = inspect.Signature(
            [
                inspect.Parameter(
                    one,
                    inspect.Parameter.KEYWORD_ONLY,
                    default=inspect.Parameter.empty if self._parameters.get(one, {}).get("required") else None,
                )
                for one in taken
                if one.isidentifier() and not keyword.iskeyword(one)
            ]
        )

    def __call__(self, **values: Any) -> Any:
        body = values.pop("body", None) if self._body and "body" not in self._parameters else None
        self._check(values, body)
        path, query, headers, cookies = self._path, [], {}, {}
        for name, value in values.items():
            where = self._parameters[name]["in"]
            if where == "path":
                path = path.replace(f"{{{name}}}", quote(_joined(value), safe=""))
            elif where == "query":
                query += _query(self._parameters[name], name, value)
            elif where == "header":
                headers[name] = _joined(value)
            else:
                cookies[name] = _joined(value)
        return self._service.call(self._method, path, query, headers, cookies, self._content(body), self._security)

    def _check(self, values: dict[str, Any], body: Any) -> None:
        for name, value in values.items():
            if name not in self._parameters:
                known = ", ".join(self._parameters) or "none"
                raise BadEntry(f"{self.__name__} has no parameter {name!r}; it has: {known}")
            self._service.check(f"{self.__name__}: {name}", _schema(self._parameters[name]), value)
        missing = [name for name, about in self._parameters.items() if about.get("required") and name not in values]
        if missing:
            raise BadEntry(f"{self.__name__} needs {', '.join(missing)}; give it by name")
        if body is None:
            if self._body and self._body.get("required"):
                raise BadEntry(f"{self.__name__} needs a body; give it as body=")
            return
        kind, about = self._form_of(body)
        if _is_json(kind) or kind == FORM:
            self._service.check(f"{self.__name__}: body", about.get("schema", {}), body)

    def _form_of(self, body: Any) -> tuple[str, dict[str, Any]]:
        """In which of the document's media types a body goes."""
        content: dict[str, dict[str, Any]] = (self._body or {}).get("content", {})
        raw = isinstance(body, (bytes, bytearray, memoryview)) or hasattr(body, "read")
        fitting = [kind for kind in content if _is_json(kind) != raw] or list(content) or ["application/octet-stream"]
        kind = "application/json" if "application/json" in fitting else fitting[0]
        return kind, content.get(kind, {})

    def _content(self, body: Any) -> tuple[str, Any] | None:
        if body is None:
            return None
        kind, _ = self._form_of(body)
        if _is_json(kind):
            try:
                return kind, json.dumps(body).encode()
            except (TypeError, ValueError):
                raise BadEntry(f"{self.__name__}: body holds something that JSON cannot express; correct it") from None
        if isinstance(body, Mapping) and kind == FORM:
            return kind, urlencode([(name, _joined(one)) for name, value in body.items() for one in _each(value)])
        if isinstance(body, Mapping) and kind == MULTIPART:
            data, kind = urllib3.encode_multipart_formdata(
                [(name, _part(name, one)) for name, value in body.items() for one in _each(value)]
            )
            return kind, data
        if isinstance(body, str):
            return kind, body.encode()
        if isinstance(body, (bytes, bytearray, memoryview)) or hasattr(body, "read"):
            return kind, body
        raise BadEntry(f"{self.__name__}: a body of the type {kind} is text, bytes or an open file; give it as such")

    def __repr__(self) -> str:
        return f"<operation {self.__name__}{self.__signature__}>"


class _Service:
    """Where the calls go, and with which credentials."""

    def __init__(self, connection: OpenAPIConnection, document: dict[str, Any], validator: Any) -> None:
        self._connection = connection
        self._document = document
        self._validator = validator
        self.url = _server_of(connection, document)
        schemes = document.get("components", {}).get("securitySchemes", {})
        self._schemes = {name: _resolved(document, about) for name, about in schemes.items()}

    def check(self, what: str, schema: dict[str, Any], value: Any) -> None:
        # The whole document beside the schema, so that its references are found.
        whole = {**schema, "components": self._document.get("components", {})}
        for error in self._validator(whole).iter_errors(value):
            raise BadEntry(f"{what} is not valid: {_clipped(error.message)}; correct it")

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
        answer = _send(
            self._connection, method, self.url + path, params=query, headers=headers, data=content and content[1]
        )
        return _plain(answer)

    def _authenticate(
        self,
        security: list[dict[str, Any]],
        query: list[tuple[str, str]],
        headers: dict[str, str],
        cookies: dict[str, str],
    ) -> None:
        """Add the credentials of the first way in that we have all of."""
        import requests.auth

        own = self._connection
        for way in security:
            schemes = [self._schemes.get(name, {}) for name in way]
            basic = [one for one in schemes if one.get("type") == "http" and one.get("scheme", "").lower() == "basic"]
            if (basic and not own.username) or (len(basic) < len(schemes) and not own.token):
                continue
            for one in schemes:
                token = own.token or ""
                if one in basic:
                    headers["Authorization"] = requests.auth._basic_auth_str(own.username or "", own.password or "")
                elif one.get("type") != "apiKey":
                    headers["Authorization"] = f"Bearer {token}"
                elif one.get("in") == "header":
                    headers[one["name"]] = token
                elif one.get("in") == "query":
                    query.append((one["name"], token))
                else:
                    cookies[one["name"]] = token
            return


def make_client(connection: OpenAPIConnection) -> Client:
    """The client of a connection; see `OpenAPIConnection.generate_new_client`."""
    document = load(connection)
    validator = _validator_of(document)
    service = _Service(connection, document, validator)
    client = Client(str(document["info"]["title"]))
    for method, path, described in _operations(document):
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


def check(connection: OpenAPIConnection, timeout: float) -> None:
    """See that the document is there and valid, and that its service answers and lets the credentials in."""
    document = load(connection, timeout)
    service = _Service(connection, document, _validator_of(document))
    headers: dict[str, str] = {}
    query: list[tuple[str, str]] = []
    cookies: dict[str, str] = {}
    service._authenticate(document.get("security", []), query, headers, cookies)
    answer = _send(connection, "GET", f"{service.url}/", params=query, headers=headers, timeout=(timeout, timeout))
    if answer.status_code in (401, 403):
        _plain(answer)


def load(connection: OpenAPIConnection, timeout: float | None = None) -> dict[str, Any]:
    """The document of a connection, valid and complete in itself.

    Raises:
        BadEntry: it is not.
        ConnectionFailed: it cannot be fetched.
    """
    need("a client from an API description", "openapi", "yaml", "openapi_spec_validator", "openapi_schema_validator")
    import yaml

    text: Any = connection.spec
    if connection.spec.startswith(("http://", "https://")):
        waits = TIMEOUT if timeout is None else (timeout, timeout)
        answer = _send(connection, "GET", connection.spec, timeout=waits)
        if answer.status_code != 200:
            _plain(answer)
            raise BadResponse(f"there is no API description at that address (status {answer.status_code}); check spec")
        text = answer.content
    try:
        document = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506  # safe both
    except (yaml.YAMLError, UnicodeError, RecursionError):
        raise BadEntry("the API description is neither JSON nor YAML; correct it") from None
    if not isinstance(document, dict) or not str(document.get("openapi", "")).startswith("3."):
        raise BadEntry("the API description is no OpenAPI 3 document; convert it, or give another")
    # A date or the like of YAML's would be none of JSON's.
    document = json.loads(json.dumps(document, default=str))
    for reference in _references(document):
        if not reference.startswith("#/"):
            raise BadEntry(f"the API description refers to another document ({_clipped(reference)}); put all in one")
    _validate(document)
    return dict(document)


def _validate(document: dict[str, Any]) -> None:
    import openapi_spec_validator

    try:
        openapi_spec_validator.validate(document)
    except RecursionError:
        raise BadEntry("the API description nests too deep to be read; simplify it") from None
    except Exception as error:
        said = _clipped(getattr(error, "message", None) or str(error))
        raise BadEntry(f"the API description is no valid OpenAPI 3 document: {said}; correct it") from None


def _validator_of(document: dict[str, Any]) -> Any:
    import openapi_schema_validator

    old = document["openapi"].startswith("3.0")
    return openapi_schema_validator.OAS30Validator if old else openapi_schema_validator.OAS31Validator


def _operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, found in document.get("paths", {}).items():
        item = _resolved(document, found)
        for method in METHODS:
            if method not in item:
                continue
            described = dict(item[method])
            parameters = [
                _resolved(document, one) for one in [*item.get("parameters", []), *described.get("parameters", [])]
            ]
            described["parameters"] = {one["name"]: one for one in parameters}
            if "requestBody" in described:
                described["requestBody"] = _resolved(document, described["requestBody"])
            described.setdefault("security", document.get("security", []))
            yield method, path, described


def _resolved(document: dict[str, Any], found: Any) -> dict[str, Any]:
    """What a reference within the document stands for."""
    for _ in range(100):
        if not (isinstance(found, dict) and "$ref" in found):
            return dict(found)
        reference = str(found["$ref"])
        found = document
        for step in reference.removeprefix("#/").split("/"):
            try:
                found = found[step.replace("~1", "/").replace("~0", "~")]
            except (KeyError, TypeError):
                raise BadEntry(f"the API description has no {_clipped(reference)}; correct it") from None
    raise BadEntry("the API description refers to itself in a circle; correct it")


def _references(part: Any) -> Iterator[str]:
    waiting = [part]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            if isinstance(one.get("$ref"), str):
                yield one["$ref"]
            waiting += one.values()
        elif isinstance(one, list):
            waiting += one


def _server_of(connection: OpenAPIConnection, document: dict[str, Any]) -> str:
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


def _send(
    connection: OpenAPIConnection,
    method: str,
    url: str,
    *,
    params: Any = None,
    headers: Mapping[str, str] | None = None,
    data: Any = None,
    timeout: tuple[float, float] = TIMEOUT,
) -> requests.Response:
    import requests

    parts = parts_of(url)
    where = parts._replace(query="", fragment="", netloc=parts.netloc.rpartition("@")[2]).geturl()
    try:
        with requests.Session() as session:
            session.trust_env = False  # a .netrc entry would replace the credentials
            return session.request(
                method,
                url,
                params=params,
                headers=dict(headers or {}),
                data=data,
                timeout=timeout,
                # Credentials in headers of a service's own would follow to any place.
                allow_redirects=False,
                **connection.route(url),
            )
    except (
        requests.exceptions.InvalidURL,
        requests.exceptions.InvalidHeader,
        requests.exceptions.InvalidSchema,
    ) as error:
        said = type(error).__name__
        raise BadEntry(f"{where}: this cannot be sent ({said}); check server_url and the parameters") from None
    except (requests.RequestException, ValueError, OSError) as error:
        raise ConnectionFailed(f"{where} gave no answer ({type(error).__name__}); try again") from None


def _plain(answer: requests.Response) -> Any:
    """An answer as plain data, or the error it is."""
    status, url = answer.status_code, answer.url.partition("?")[0]
    method = answer.request.method or "GET"
    kind = answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if status >= 400:
        said = ""
        if _is_json(kind):
            try:
                found = answer.json()
            except ValueError:
                found = None
            if isinstance(found, dict):
                said = next((str(found[one]) for one in ("detail", "message", "title") if found.get(one)), "")
        detail = f"{method} {url} was refused with status {status}" + (f": {_clipped(said)}" if said else "")
        raise error_from(status=status, method=method, url=url, problem={"detail": detail}, request_id=None)
    if status >= 300:
        raise BadResponse(f"{url} redirects elsewhere, where the credentials must not go; give the right server_url")
    if not answer.content:
        return None
    if _is_json(kind):
        try:
            return answer.json()
        except ValueError:
            raise BadResponse(f"{url} answered with something that is not the JSON it says; try again") from None
    return answer.text if kind.startswith("text/") else answer.content


def _schema(parameter: dict[str, Any]) -> dict[str, Any]:
    if "schema" in parameter:
        return dict(parameter["schema"])
    described: dict[str, Any] = next(iter(parameter.get("content", {}).values()), {})
    return dict(described.get("schema", {}))


def _query(parameter: dict[str, Any], name: str, value: Any) -> list[tuple[str, str]]:
    """A query parameter, in the style the document gives it (OpenAPI 3, "Parameter Object")."""
    if "content" in parameter:
        return [(name, json.dumps(value))]
    style = parameter.get("style", "form")
    explode = parameter.get("explode", style == "form")
    if isinstance(value, (list, tuple)):
        if explode:
            return [(name, _joined(one)) for one in value]
        between = {"spaceDelimited": " ", "pipeDelimited": "|"}.get(style, ",")
        return [(name, between.join(_joined(one) for one in value))]
    if isinstance(value, Mapping):
        if style == "deepObject":
            return [(f"{name}[{one}]", _joined(inner)) for one, inner in value.items()]
        if explode:
            return [(str(one), _joined(inner)) for one, inner in value.items()]
    return [(name, _joined(value))]


def _joined(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, tuple)):
        return ",".join(_joined(one) for one in value)
    if isinstance(value, Mapping):
        return ",".join(f"{name},{_joined(inner)}" for name, inner in value.items())
    return "" if value is None else str(value)


def _each(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _part(name: str, value: Any) -> Any:
    """A part of a form with files (OpenAPI 3, "Special Considerations for multipart Content")."""
    if hasattr(value, "read"):
        return os.path.basename(str(getattr(value, "name", name))), value.read()
    if isinstance(value, (bytes, bytearray, memoryview)):
        return name, bytes(value)
    if isinstance(value, Mapping):
        return None, json.dumps(value), "application/json"
    return _joined(value)


def _is_json(kind: str) -> bool:
    kind = kind.partition(";")[0].strip().lower()
    return kind == "application/json" or kind.endswith("+json")


def _name(text: str) -> str:
    """The text as a name of Python's that is nobody's own."""
    name = re.sub(r"\W+", "_", text).strip("_") or "operation"
    if name[0].isdigit() or keyword.iskeyword(name):
        name = f"{name}_" if keyword.iskeyword(name) else f"_{name}"
    return name


def _clipped(text: str) -> str:
    return text.partition("\n")[0][:200]
