"""Fetches an OpenAPI 3 document, and finds the service that it describes."""

from __future__ import annotations

import re
import time
from typing import Any, NamedTuple
from urllib.parse import urljoin

from edge_core.errors import BadEntry, BadResponse, ConnectionFailed
from edge_core.redaction import bare
from edge_sources.connection import need, parts_of
from edge_sources.openapi import is_address
from edge_sources.openapi_calls import TIMEOUT, DescribedService, clipped, exchange, parsed
from edge_sources.openapi_text import parse

LIMIT = 16 << 20
"""Most bytes of a document that is fetched."""

SECONDS = 120.0
"""Most seconds that it may take to arrive."""

_BLOCK = 1 << 16

_VERSION = re.compile(r"(3\.[012])(?:\.\d.*)?")


class Document(NamedTuple):
    """An OpenAPI 3 document, whose operations are still to be checked.

    Attributes:
        content: what it says; ``paths`` is a dictionary.
        version: version of OpenAPI, such as ``"3.1"``.
        repeated: keys that an object of it has twice, and whose values are ignored.
    """

    content: dict[str, Any]
    version: str
    repeated: list[str]

    @property
    def title(self) -> str:
        about = self.content.get("info")
        return clipped(str(about.get("title", "untitled"))) if isinstance(about, dict) else "untitled"


def load(connection: DescribedService, timeout: float | None = None) -> Document:
    """Return the document of a connection; nothing else is fetched, whatever it refers to.

    Raises:
        BadEntry: it is not an OpenAPI 3 document.
        ConnectionFailed: it cannot be fetched.
        MissingPackage: a package that this needs is not installed.
    """
    need(
        "a client from an API description",
        "openapi",
        "yaml",
        "openapi_spec_validator",
        "openapi_schema_validator",
        "jsonschema",
        "re2",
    )
    content, repeated = parse(_fetched(connection, timeout) if is_address(connection.spec) else connection.spec)
    if not isinstance(content, dict):
        raise BadEntry("the API description is not an OpenAPI 3 document; convert it, or give another")
    if "swagger" in content:
        raise BadEntry("the API description is Swagger 2.0; convert it to OpenAPI 3")
    version = _VERSION.fullmatch(str(content.get("openapi", "")))
    if version is None:
        shown = clipped(str(content.get("openapi", "without a version")))
        raise BadEntry(f"the API description is not OpenAPI 3.0 to 3.2 ({shown}); convert it, or give another")
    if version[1] != "3.0":
        content.setdefault("paths", {})
    if not isinstance(content.get("paths"), dict):
        raise BadEntry("the API description has no paths; correct it")
    return Document(content, version[1], repeated)


def _fetched(connection: DescribedService, timeout: float | None) -> bytes:
    import urllib3

    waits = TIMEOUT if timeout is None else (timeout, timeout)
    shown = bare(connection.spec)
    content = bytearray()
    end = time.monotonic() + SECONDS
    with exchange(connection, "GET", connection.spec, timeout=waits) as answer:
        if answer.status_code >= 400:
            parsed(answer)
        if answer.is_redirect:
            raise BadResponse(f"{shown} redirects to another address; give that as spec")
        if answer.status_code != 200:
            raise BadResponse(f"no API description is at the address of spec (status {answer.status_code}); check spec")
        try:
            while block := answer.raw.read1(_BLOCK, decode_content=True):
                content += block
                if len(content) > LIMIT:
                    raise BadEntry(
                        f"the API description at {shown} is larger than {LIMIT >> 20} MiB; give a smaller one"
                    )
                if time.monotonic() > end:
                    raise ConnectionFailed(f"{shown} sends too slowly; try again, or give the text as spec")
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise ConnectionFailed(f"{shown} broke off ({type(error).__name__}); try again") from None
    return bytes(content)


def has_credentials(connection: DescribedService) -> bool:
    return bool(connection.token or connection.username or connection.password)


def server_of(connection: DescribedService, document: Document) -> str:
    """Return the address of the service, without a slash at the end.

    Raises:
        BadEntry: neither the connection nor the document has a valid address, or the document sends the
            connection's credentials to another server than its own.
    """
    if connection.server_url:
        return _service_address(connection.server_url, "server_url")
    url = _address_of(document.content.get("servers") or [{"url": "/"}])
    own = None
    if is_address(connection.spec):
        own = origin_of(connection.spec)
        url = _joined(bare(connection.spec), url)
    if parts_of(url).scheme not in ("http", "https"):
        raise BadEntry("the API description does not say where its service is; give server_url")
    url = _service_address(url, "the server in the API description")
    if has_credentials(connection) and origin_of(url) != own:
        raise BadEntry(
            f"the API description names the server {clipped(url)}, which is not where it comes from; "
            "give that as server_url if the credentials may go there"
        )
    return url


def own_server_of(connection: DescribedService, url: str, servers: list[dict[str, Any]]) -> str:
    """Return the address of an operation that has servers of its own, without a slash at the end.

    Args:
        connection: the connection.
        url: address of its service.
        servers: the servers of the operation.

    Raises:
        BadEntry: they are not valid, or are not where the connection's credentials may go.
    """
    if connection.server_url or not is_address(connection.spec):
        base = f"{url}/"
    else:
        base = bare(connection.spec)
    address = _service_address(_joined(base, _address_of(servers)), "its server")
    if has_credentials(connection) and origin_of(address) != origin_of(url):
        raise BadEntry(f"its server is {clipped(address)}, which needs a connection of its own with that server_url")
    return address


def _address_of(servers: Any) -> str:
    """Return the address of the first of a document's servers, with its variables at their defaults.

    Raises:
        BadEntry: there is none, or it is not valid.
    """
    try:
        url = servers[0]["url"]
        variables = servers[0].get("variables", {})
        defaults = {name: about["default"] for name, about in variables.items()}
        return re.sub(r"\{([^{}]*)\}", lambda match: str(defaults[match[1]]), url)
    except (KeyError, IndexError, TypeError, AttributeError):
        raise BadEntry("the servers in the API description are not valid; give server_url") from None


def _service_address(url: str, what: str) -> str:
    """Return the address of a service without a slash at the end.

    Raises:
        BadEntry: it is not valid; the sentence does not show it, since it may hold a password.
    """
    parts = parts_of(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or re.search(r"[\\{}\s\x00-\x1f\x7f]", url):
        raise BadEntry(f"{what} is not the address of a service; write it as in https://lab.example.com")
    if parts.username is not None or parts.password is not None:
        raise BadEntry(f"{what} holds a user name; give username and password beside it")
    if parts.query or parts.fragment:
        raise BadEntry(f"{what} has a query or fragment; leave it out")
    return url.rstrip("/")


def origin_of(url: str) -> tuple[str, str | None, int | None]:
    """Return what makes two addresses those of one server: scheme, host and port (RFC 6454).

    >>> origin_of("https://Lab.example.com:443/v1") == origin_of("https://lab.example.com")
    True
    """
    parts = parts_of(url)
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)


def _joined(base: str, url: str) -> str:
    try:
        return urljoin(base, url)
    except ValueError:
        raise BadEntry("the server in the API description is not a valid address; give server_url") from None
