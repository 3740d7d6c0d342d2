"""Generates a client from an OpenAPI 3 document: it checks parameters and returns parsed answers."""

from __future__ import annotations

import base64
import inspect
import json
import keyword
import os
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote, urlencode, urljoin

import urllib3

from edge_core.errors import BadEntry, BadResponse, ConnectionFailed, error_from
from edge_sources.connection import need, parts_of

if TYPE_CHECKING:
    import requests

    from edge_core.http import Route

METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")

TIMEOUT = (5.0, 60.0)
"""Seconds to connect, and between bytes."""

FORM = "application/x-www-form-urlencoded"

MULTIPART = "multipart/form-data"


class DescribedService(Protocol):
    """A service with an API description, and the credentials for it; `OpenAPIConnection` is the class for it."""

    @property
    def spec(self) -> str: ...
    @property
    def server_url(self) -> str | None: ...
    @property
    def token(self) -> str | None: ...
    @property
    def username(self) -> str | None: ...
    @property
    def password(self) -> str | None: ...
    def route(self, url: str) -> Route: ...


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
        """Return the media type for a body, and the document's entry for it."""
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
                raise BadEntry(f"{self.__name__}: body holds a value that JSON cannot express; correct it") from None
        if isinstance(body, Mapping) and kind == FORM:
            return kind, urlencode([(name, _joined(part)) for name, value in body.items() for part in _each(value)])
        if isinstance(body, Mapping) and kind == MULTIPART:
            content, kind = urllib3.encode_multipart_formdata(
                [(name, _part(name, part)) for name, value in body.items() for part in _each(value)]
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
        self.url = _server_of(connection, document)
        schemes = document.get("components", {}).get("securitySchemes", {})
        self._schemes = {name: _resolved(document, about) for name, about in schemes.items()}

    def check(self, what: str, schema: dict[str, Any], value: Any) -> None:
        # With the document's components, to which the schema may refer.
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
            self._connection, method, self.url + path, params=query, headers=headers, content=content and content[1]
        )
        return _plain(answer)

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
    service = _Service(connection, document, _validator_of(document))
    headers: dict[str, str] = {}
    query: list[tuple[str, str]] = []
    cookies: dict[str, str] = {}
    service._authenticate(document.get("security", []), query, headers, cookies)
    answer = _send(connection, "GET", f"{service.url}/", params=query, headers=headers, timeout=(timeout, timeout))
    if answer.status_code in (401, 403):
        _plain(answer)


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
        answer = _send(connection, "GET", connection.spec, timeout=waits)
        if answer.status_code != 200:
            _plain(answer)
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
        reason = _clipped(getattr(error, "message", None) or str(error))
        raise BadEntry(f"the API description is not a valid OpenAPI 3 document: {reason}; correct it") from None


def _validator_of(document: dict[str, Any]) -> Any:
    import openapi_schema_validator

    old = document["openapi"].startswith("3.0")
    return openapi_schema_validator.OAS30Validator if old else openapi_schema_validator.OAS31Validator


def _operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, path_item in document.get("paths", {}).items():
        methods = _resolved(document, path_item)
        for method in METHODS:
            if method not in methods:
                continue
            described = dict(methods[method])
            parameters = [
                _resolved(document, parameter)
                for parameter in [*methods.get("parameters", []), *described.get("parameters", [])]
            ]
            described["parameters"] = {parameter["name"]: parameter for parameter in parameters}
            if "requestBody" in described:
                described["requestBody"] = _resolved(document, described["requestBody"])
            described.setdefault("security", document.get("security", []))
            yield method, path, described


def _resolved(document: dict[str, Any], node: Any) -> dict[str, Any]:
    """Return a node of the document, or what it refers to if it is a reference."""
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
                    f"the API description refers to {_clipped(reference)}, which it does not have; correct it"
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


def _server_of(connection: DescribedService, document: dict[str, Any]) -> str:
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
    connection: DescribedService,
    method: str,
    url: str,
    *,
    params: Any = None,
    headers: Mapping[str, str] | None = None,
    content: Any = None,
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
                data=content,
                timeout=timeout,
                # Credentials in a service's own headers would be sent along to any host.
                allow_redirects=False,
                **connection.route(url),
            )
    except (
        requests.exceptions.InvalidURL,
        requests.exceptions.InvalidHeader,
        requests.exceptions.InvalidSchema,
    ) as error:
        raise BadEntry(
            f"{where}: this cannot be sent ({type(error).__name__}); check server_url and the parameters"
        ) from None
    except (requests.RequestException, ValueError, OSError) as error:
        raise ConnectionFailed(f"{where} gave no answer ({type(error).__name__}); try again") from None


def _plain(answer: requests.Response) -> Any:
    """Return the content of an answer, parsed if it is JSON; raise the error for a status that is not a success."""
    status, url = answer.status_code, answer.url.partition("?")[0]
    method = answer.request.method or "GET"
    kind = answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if status >= 400:
        reason = ""
        if _is_json(kind):
            try:
                problem = answer.json()
            except ValueError:
                problem = None
            if isinstance(problem, dict):
                reason = next((str(problem[key]) for key in ("detail", "message", "title") if problem.get(key)), "")
        detail = f"{method} {url} was refused with status {status}" + (f": {_clipped(reason)}" if reason else "")
        raise error_from(status=status, method=method, url=url, problem={"detail": detail}, request_id=None)
    if status >= 300:
        raise BadResponse(f"{url} redirects, and credentials are not sent to other addresses; correct server_url")
    if not answer.content:
        return None
    if _is_json(kind):
        try:
            return answer.json()
        except ValueError:
            raise BadResponse(f"{url} sent an answer that is labelled as JSON but is not; try again") from None
    return answer.text if kind.startswith("text/") else answer.content


def _schema(parameter: dict[str, Any]) -> dict[str, Any]:
    if "schema" in parameter:
        return dict(parameter["schema"])
    described: dict[str, Any] = next(iter(parameter.get("content", {}).values()), {})
    return dict(described.get("schema", {}))


def _query(parameter: dict[str, Any], name: str, value: Any) -> list[tuple[str, str]]:
    """Return a query parameter in the style that the document sets for it (OpenAPI 3, "Parameter Object")."""
    if "content" in parameter:
        return [(name, json.dumps(value))]
    style = parameter.get("style", "form")
    explode = parameter.get("explode", style == "form")
    if isinstance(value, (list, tuple)):
        if explode:
            return [(name, _joined(element)) for element in value]
        separator = {"spaceDelimited": " ", "pipeDelimited": "|"}.get(style, ",")
        return [(name, separator.join(_joined(element) for element in value))]
    if isinstance(value, Mapping):
        if style == "deepObject":
            return [(f"{name}[{key}]", _joined(inner)) for key, inner in value.items()]
        if explode:
            return [(str(key), _joined(inner)) for key, inner in value.items()]
    return [(name, _joined(value))]


def _joined(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, tuple)):
        return ",".join(_joined(element) for element in value)
    if isinstance(value, Mapping):
        return ",".join(f"{name},{_joined(inner)}" for name, inner in value.items())
    return "" if value is None else str(value)


def _each(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _part(name: str, value: Any) -> Any:
    """Return a part of a form with files (OpenAPI 3, "Special Considerations for multipart Content")."""
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
    """Return the text as a Python identifier without leading underscores, unless it begins with a digit."""
    name = re.sub(r"\W+", "_", text).strip("_") or "operation"
    if name[0].isdigit() or keyword.iskeyword(name):
        name = f"{name}_" if keyword.iskeyword(name) else f"_{name}"
    return name


def _clipped(text: str) -> str:
    return text.partition("\n")[0][:200]
