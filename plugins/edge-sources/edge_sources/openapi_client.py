"""Generates a client from an OpenAPI 3 document: it checks parameters and returns parsed answers."""

from __future__ import annotations

import base64
import inspect
import json
import keyword
import re
import unicodedata
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

import urllib3

from edge_core.errors import BadEntry
from edge_sources.openapi_calls import DescribedService, clipped, parsed, send
from edge_sources.openapi_checks import Checks
from edge_sources.openapi_document import Document, load, own_server_of, server_of
from edge_sources.openapi_operations import Described, Flaw, check_security, is_plain, operations, resolved
from edge_sources.openapi_values import elements_of, form_part, is_json, joined, query_of, schema_of, text_of

FORM = "application/x-www-form-urlencoded"

MULTIPART = "multipart/form-data"

_PARAGRAPH = 2000
"""Most characters of a description that `help()` shows."""

_REMARKS = 20
"""Most warnings about one document."""


class _Holder:
    """What has operations as attributes, and knows which were left out."""

    # Apart from the operations, which may have any name.
    __slots__ = ("__dict__", "__weakref__", "_left_out")

    def __init__(self) -> None:
        self._left_out: dict[str, str] = {}

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "_left_out":  # such as those that `copy` looks for
            raise AttributeError(name)
        if name in self._left_out:
            raise AttributeError(
                f"{name} was left out of this client: {self._left_out[name]}; correct the document if you can"
            )
        raise AttributeError(f"the API description has no operation {name!r} here; print this to see what it has")


class Client(_Holder):
    """The operations of a service; those without a tag are methods of the client, the others of its groups."""

    def __init__(self, title: str) -> None:
        super().__init__()
        self._title = title

    def __repr__(self) -> str:
        return f"<client of {self._title!r}: {', '.join(name for name in vars(self) if name != '_title')}>"


class Group(_Holder):
    """The operations of one tag."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name

    def __repr__(self) -> str:
        return f"<group {self._name!r}: {', '.join(name for name in vars(self) if name != '_name')}>"


class Operation:
    """An operation, called with its parameters by name, and with its request body as ``body=``.

    A parameter whose name is not one of Python's has another: `from` is ``from_=``, `X-Mark` is ``X_Mark=``, and
    `body` in the query is ``body_query=`` if there is a request body as well. ``**{"X-Mark": 7}`` works too.

    Raises:
        BadEntry: a parameter is missing, unknown or not valid, or the service refused it.
        NotFound, Unauthenticated, Forbidden, Conflict, ServerError, ApiError: the service refused.
        ConnectionFailed: no answer came.
        BadResponse: the answer is labelled as JSON but is not, or redirects.
    """

    def __init__(self, service: _Service, described: Described, name: str) -> None:
        self._service = service
        self._url = service.url_of(described)
        self._method = described.method.upper()
        self._path = described.path
        self._body = described.body
        self._security = described.security
        self._parameters = _labelled(described.parameters, has_body=self._body is not None)
        self._labels = _labels_by_name(self._parameters)
        self.__name__ = self.__qualname__ = name
        paragraphs = [described.content.get("summary"), described.content.get("description")]
        for label, parameter in self._parameters.items():
            also = "" if label == parameter["name"] else f" ({clipped(parameter['name'])}, in: {parameter['in']})"
            paragraphs.append(f"{label}{also}: {parameter.get('description', '')}")
        self.__doc__ = "\n\n".join(_shown(text) for text in paragraphs if text) or f"{self._method} {self._path}"
        required = {label: bool(parameter.get("required")) for label, parameter in self._parameters.items()}
        if self._body is not None:
            required["body"] = bool(self._body.get("required"))
        self.__signature__ = inspect.Signature(
            [
                inspect.Parameter(
                    label,
                    inspect.Parameter.KEYWORD_ONLY,
                    default=inspect.Parameter.empty if needed else None,
                )
                for label, needed in required.items()
            ]
        )

    def __call__(self, /, *unnamed: Any, **values: Any) -> Any:
        if unnamed:
            names = ", ".join(f"{name}=" for name in self.__signature__.parameters) or "nothing"
            raise BadEntry(f"{self.__name__} takes its values by name; give {names}")
        body = values.pop("body", None) if self._body is not None else None
        values = self._by_label(values)
        self._check(values, body)
        variables: dict[str, str] = {}
        query: list[tuple[str, str]] = []
        headers: dict[str, str] = {}
        cookies: dict[str, str] = {}
        for label, value in values.items():
            parameter = self._parameters[label]
            name, place = parameter["name"], parameter["in"]
            if place == "query":
                query += query_of(parameter, name, value)
            else:
                {"path": variables, "header": headers, "cookie": cookies}[place][name] = text_of(parameter, value)
        url = self._url + self._filled(variables)
        return self._service.call(self._method, url, query, headers, cookies, self._content(body), self._security)

    def _by_label(self, values: dict[str, Any]) -> dict[str, Any]:
        """Return the values by the labels of their parameters, for which the names in the document work as well."""
        labelled: dict[str, Any] = {}
        for name, value in values.items():
            label = name if name in self._parameters else self._labels.get(name)
            if label is None:
                known = ", ".join([*self._parameters, *(["body"] if self._body is not None else [])]) or "none"
                raise BadEntry(f"{self.__name__} has no parameter {clipped(name)!r}; it has: {known}")
            if label in labelled:
                raise BadEntry(f"{self.__name__} gets {label} twice, as {clipped(name)!r} too; give it once")
            labelled[label] = value
        return labelled

    def _filled(self, variables: dict[str, str]) -> str:
        """Return the path with its variables filled in, which leads nowhere else than the document says."""
        try:
            escaped = {name: quote(text, safe="") for name, text in variables.items()}
        except UnicodeError:
            raise BadEntry(f"{self.__name__}: a parameter in the path is not Unicode text; correct it") from None
        path = re.sub(r"\{([^{}]*)\}", lambda match: escaped[match[1]], self._path)
        for name, text in variables.items():
            if not text:
                raise BadEntry(
                    f"{self.__name__}: {clipped(name)} is empty, which leads to another path; give it a value"
                )
        if not is_plain(path):
            names = ", ".join(clipped(name) for name in variables)
            raise BadEntry(
                f"{self.__name__}: {names} makes . or .. of a part of the path, which leads elsewhere; change it"
            )
        return path

    def _check(self, values: dict[str, Any], body: Any) -> None:
        for label, value in values.items():
            self._service.check(f"{self.__name__}: {label}", schema_of(self._parameters[label]), value)
        missing = [
            label for label, parameter in self._parameters.items() if parameter.get("required") and label not in values
        ]
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

    def __init__(self, connection: DescribedService, document: Document) -> None:
        self._connection = connection
        self._content = document.content
        self.checks = Checks(document.content, document.version)
        self.url = server_of(connection, document)

    def url_of(self, described: Described) -> str:
        """Return the address under which an operation's path is.

        Raises:
            Flaw: the credentials may not go there, or it is not valid.
        """
        if not described.servers:
            return self.url
        try:
            return own_server_of(self._connection, self.url, described.servers)
        except BadEntry as error:
            raise Flaw(str(error)) from None

    def security(self) -> list[dict[str, Any]]:
        """Return the security requirements of the document; none if they are not valid."""
        security = self._content.get("security", [])
        try:
            check_security(self._content, self.checks, security)
        except Flaw:
            return []
        return list(security)

    def check(self, what: str, schema: Any, value: Any) -> None:
        if reason := self.checks.reason(schema, value):
            raise BadEntry(f"{what} is not valid: {reason}; correct it")

    def call(
        self,
        method: str,
        url: str,
        query: list[tuple[str, str]],
        headers: dict[str, str],
        cookies: dict[str, str],
        content: tuple[str, Any] | None,
        security: list[dict[str, Any]],
    ) -> Any:
        names = {name.lower() for name in headers}
        if content is not None and "content-type" not in names:
            headers["Content-Type"] = content[0]
        if "accept" not in names:
            headers["Accept"] = "application/json, */*;q=0.5"
        self.authenticate(security, query, headers, cookies)
        if cookies:
            headers["Cookie"] = "; ".join(f"{name}={quote(value, safe='')}" for name, value in cookies.items())
        answer = send(self._connection, method, url, params=query, headers=headers, content=content and content[1])
        return parsed(answer)

    def authenticate(
        self,
        security: list[dict[str, Any]],
        query: list[tuple[str, str]],
        headers: dict[str, str],
        cookies: dict[str, str],
    ) -> None:
        """Add the credentials of the first security requirement for which the connection has all of them."""
        username, password, token = (self._connection.username, self._connection.password, self._connection.token)
        for requirement in security:
            schemes = [
                resolved(self._content, self._content["components"]["securitySchemes"][name]) for name in requirement
            ]
            basic = [
                scheme
                for scheme in schemes
                if scheme.get("type") == "http" and scheme.get("scheme", "").lower() == "basic"
            ]
            if (basic and not username) or (len(basic) < len(schemes) and not token):
                continue
            if any(scheme["type"] == "mutualTLS" or _is_unknown(scheme) for scheme in schemes):
                continue
            explicit = {name.lower() for name in headers}
            for scheme in schemes:
                if scheme in basic:
                    if "authorization" not in explicit:
                        headers["Authorization"] = _basic(str(username), password or "")
                elif scheme["type"] != "apiKey":
                    if "authorization" not in explicit:
                        headers["Authorization"] = f"Bearer {token}"
                elif scheme["in"] == "header":
                    if scheme["name"].lower() not in explicit:
                        headers[scheme["name"]] = str(token)
                elif scheme["in"] == "query":
                    query.append((scheme["name"], str(token)))
                else:
                    cookies[scheme["name"]] = str(token)
            return


def _is_unknown(scheme: dict[str, Any]) -> bool:
    """Return whether a security scheme is one of HTTP for which a connection has no credentials."""
    return scheme["type"] == "http" and str(scheme["scheme"]).lower() not in ("basic", "bearer")


def _basic(username: str, password: str) -> str:
    try:
        credentials = f"{username}:{password}".encode("latin-1")
    except UnicodeError:
        raise BadEntry("the username or password has letters that HTTP cannot carry; use Latin letters") from None
    return f"Basic {base64.b64encode(credentials).decode()}"


def make_client(connection: DescribedService) -> Client:
    """Return the client of a connection; for its errors see `OpenAPIConnection.generate_new_client`."""
    document = load(connection)
    service = _Service(connection, document)
    client = Client(document.title)
    remarks = [f"has {clipped(key)!r} twice in one object, so both are ignored" for key in document.repeated]
    callables: list[tuple[str, Described, Operation]] = []
    left_out: list[tuple[str, dict[str, Any], str]] = []
    for label, described in operations(document.content, document.version, service.checks):
        try:
            if isinstance(described, Flaw):
                raise described
            name = _name(described.content.get("operationId") or f"{described.method}_{described.path}")
            callables.append((label, described, Operation(service, described, name)))
        except Flaw as flaw:
            content = flaw.content if isinstance(described, Flaw) else described.content
            left_out.append((label, content, str(flaw)))
        else:
            remarks += [f"has the operation {clipped(label)}: {remark}" for remark in described.remarks]
    remarks += _placed(client, callables, left_out)
    remarks += [f"has the operation {clipped(label)}, which is left out: {reason}" for label, _, reason in left_out]
    if patterns := service.checks.unchecked:
        remarks.append(
            f"has patterns that are not checked before a call ({len(patterns)}, such as {clipped(patterns[0])!r}); "
            "the service checks them"
        )
    _warn(remarks)
    return client


def _placed(
    client: Client,
    callables: list[tuple[str, Described, Operation]],
    left_out: list[tuple[str, dict[str, Any], str]],
) -> list[str]:
    """Put the operations into the client and its groups, and return what is wrong with their names.

    Args:
        client: the client.
        callables: the operations: label, description and method.
        left_out: label, content and flaw of the others; those whose names are taken are added.
    """
    remarks: list[str] = []
    ids: dict[str, str] = {}
    for _, described, _ in callables:
        for tag in described.content.get("tags") or []:
            vars(client).setdefault(_name(tag), Group(clipped(tag)))
    for label, described, operation in callables:
        operation_id = described.content.get("operationId")
        if operation_id and ids.setdefault(operation_id, label) != label:
            flaw = f"{clipped(ids[operation_id])} has its operationId {clipped(operation_id)!r}"
            left_out.append((label, described.content, flaw))
            continue
        holders = {id(holder): holder for holder in _holders(client, described)}.values()
        name = operation.__name__
        if any(name in vars(holder) for holder in holders):
            name = _name(f"{described.method}_{described.path}")
            if any(name in vars(holder) for holder in holders):
                left_out.append((label, described.content, "its name is that of another"))
                continue
            remarks.append(f"has another {operation.__name__!r}, so the operation {clipped(label)} is {name!r}")
            operation.__name__ = operation.__qualname__ = name
        for holder in holders:
            setattr(holder, name, operation)
    for name, group in list(vars(client).items()):
        if isinstance(group, Group) and len(vars(group)) == 1:
            delattr(client, name)
    for label, content, flaw in left_out:
        _mark(client, label, content, flaw)
    return remarks


def _mark(client: Client, label: str, content: dict[str, Any], flaw: str) -> None:
    """Let the client or the groups of an operation say why it was left out."""
    operation_id, tags = content.get("operationId"), content.get("tags")
    method, _, path = label.partition(" ")
    name = _name(operation_id if isinstance(operation_id, str) and operation_id else f"{method.lower()}_{path}")
    groups = [_name(tag) for tag in tags if isinstance(tag, str)] if isinstance(tags, list) else []
    for group in groups:
        holder = vars(client).get(group)
        if isinstance(holder, Group):
            holder._left_out[name] = flaw
        else:  # none of the group's operations is left
            client._left_out[group] = f"{name}: {flaw}"
    if not groups:
        client._left_out[name] = flaw


def _holders(client: Client, described: Described) -> list[Client | Group]:
    tags = described.content.get("tags") or []
    return [vars(client)[_name(tag)] for tag in tags] if tags else [client]


def _warn(remarks: list[str]) -> None:
    from edge_vfs.openers.opener import warn

    for remark in remarks[:_REMARKS]:
        warn(f"the API description {remark}; correct the document if you can")
    if len(remarks) > _REMARKS:
        warn(f"the API description has {len(remarks) - _REMARKS} more flaws; correct the document if you can")


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
    service = _Service(connection, load(connection, timeout))
    headers: dict[str, str] = {}
    query: list[tuple[str, str]] = []
    service.authenticate(service.security(), query, headers, {})
    answer = send(connection, "GET", f"{service.url}/", params=query, headers=headers, timeout=(timeout, timeout))
    if answer.status_code in (401, 403):
        parsed(answer)


def _labelled(parameters: list[dict[str, Any]], *, has_body: bool) -> dict[str, dict[str, Any]]:
    """Return parameters by the names they have in Python, in the document's order.

    >>> list(_labelled([{"name": "from", "in": "query"}, {"name": "body", "in": "query"}], has_body=True))
    ['from_', 'body_query']
    """
    taken = {"body"} if has_body else set()
    labels: dict[int, str] = {}
    for exact in (True, False):
        for number, parameter in enumerate(parameters):
            name = unicodedata.normalize("NFKC", parameter["name"])
            if number in labels or exact != (_is_name(name) and name not in taken):
                continue
            if not exact:
                name = _name(name)
            if name in taken:
                name = f"{name}_{parameter['in']}"
            while name in taken:
                name = f"{name}_"
            labels[number] = name
            taken.add(name)
    return {labels[number]: parameter for number, parameter in enumerate(parameters)}


def _labels_by_name(parameters: dict[str, dict[str, Any]]) -> dict[str, str]:
    """Return the labels of parameters by their names in the document, for names that are those of one alone."""
    names = [parameter["name"] for parameter in parameters.values()]
    return {parameter["name"]: label for label, parameter in parameters.items() if names.count(parameter["name"]) == 1}


def _is_name(text: str) -> bool:
    return text.isidentifier() and not keyword.iskeyword(text)


def _name(text: str) -> str:
    """Return the text as a Python identifier without leading underscores, unless it begins with a digit.

    >>> _name("__class__"), _name("get-pet"), _name("9 lives")
    ('class_', 'get_pet', '_9_lives')
    """
    text = unicodedata.normalize("NFKC", text)
    text = "".join(character if f"_{character}".isidentifier() else "_" for character in text)
    name = re.sub("_+", "_", text).strip("_") or "operation"
    if keyword.iskeyword(name):
        return f"{name}_"
    return name if name.isidentifier() else f"_{name}"


def _shown(text: str) -> str:
    """Return a description for `help()`, without control characters."""
    text = "".join(character for character in text if character.isprintable() or character in "\n\t")
    return text if len(text) <= _PARAGRAPH else f"{text[:_PARAGRAPH]} [...]"
