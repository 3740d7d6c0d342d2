"""The way of a request: one pooled `requests.Session`, one retry loop, one door to errors.

`HttpClient.send` is the whole way, top to bottom: address, request id and user agent; then, inside
the loop, authentication, sending and logging; then the answer or an error of ours. Namespaces call
through a `ServiceClient`, which knows their base path and their name.
"""

from __future__ import annotations

import json as jsonlib
import logging
import os
import random
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any, Protocol
from urllib.parse import quote, urlencode, urljoin, urlsplit

import requests
import requests.adapters
import urllib3.exceptions
from requests.structures import CaseInsensitiveDict
from requests.utils import get_environ_proxies

from edge_core.config import Settings
from edge_core.errors import (
    BadEntry,
    BadResponse,
    ConfigurationError,
    ConnectionFailed,
    EdgeError,
    error_from,
)

log = logging.getLogger("edge")

BLOCK = 1 << 20
"""Bytes moved at once; smaller blocks cost up to three times the time."""

RETRIED_STATUSES = frozenset({429, 502, 503, 504})
IDEMPOTENT = frozenset({"GET", "HEAD", "PUT", "DELETE", "OPTIONS"})
BACKOFF_BASE = 0.5
BACKOFF_CAP = 20.0
MAX_REDIRECTS = 5

_FAILURES = (requests.RequestException, urllib3.exceptions.HTTPError, OSError)


class Body(Protocol):
    """A request body that can be sent again."""

    def read(self, size: int = -1, /) -> bytes: ...
    def rewind(self) -> None:
        """Go back to the first byte; called before each try."""

    def __len__(self) -> int: ...


class Answer:
    """An answer whose body is still to be read; closing it gives the connection back.

    Attributes:
        status: HTTP status code.
        headers: the answer's headers, whatever their case.
        url: address the answer came from, without its query.
    """

    def __init__(self, response: requests.Response) -> None:
        self._response = response
        self.status = response.status_code
        self.headers: Mapping[str, str] = response.headers
        self.url = _bare(response.url)

    def read(self, size: int | None = None) -> bytes:
        """Up to `size` bytes of the body, fewer only at its end; all of it by default.

        Raises:
            ConnectionFailed: the body broke off before its stated length.
        """
        try:
            data: bytes = self._response.raw.read(size, decode_content=False)
        except _FAILURES as error:
            self._response.close()
            raise _connection_failed(error, self.url) from None
        return data

    def blocks(self, size: int = BLOCK) -> Iterator[bytes]:
        """The body in blocks of at most `size` bytes."""
        while block := self.read(size):
            yield block

    def json(self) -> Any:
        """The body decoded from JSON; None if there is none.

        Raises:
            BadResponse: the body is not JSON.
        """
        try:
            content = self._response.content
        except _FAILURES as error:
            raise _connection_failed(error, self.url) from None
        if not content:
            return None
        kind = self.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        try:
            if kind != "application/json" and not kind.endswith("+json"):
                raise ValueError
            return jsonlib.loads(content)
        except ValueError:
            raise BadResponse(
                f"{self.url} answered with {kind or 'something unnamed'} instead of JSON; "
                "check that the service URL is an Edge service (it often ends in /services/api)"
            ) from None

    def close(self) -> None:
        self._response.close()

    def __enter__(self) -> Answer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class HttpClient:
    """All HTTP of one session.

    It survives a fork: a child opens connections of its own.

    Args:
        settings: the session's settings.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._routes: dict[tuple[str, str], dict[str, Any]] = {}
        self._agent = _user_agent(settings)
        self._pool: requests.Session | None = None
        self._pid = 0
        self._closed = False
        self.core = ServiceClient(self)

    def for_plugin(self, module: str, base_path: str = "") -> ServiceClient:
        """Calls on behalf of the plugin `module` belongs to, below `base_path`.

        ``{organization}`` in `base_path` stands for the session's organization.
        """
        return ServiceClient(self, base_path, module.partition(".")[0])

    def send(
        self,
        method: str,
        url: str,
        *,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes | Body | None = None,
        signed: bool = False,
        follow: bool = True,
        timeout: float | None = None,
        agent: str | None = None,
    ) -> Answer:
        """Send one request, again where that is safe, and return its answer.

        Args:
            method: HTTP method, in upper case.
            url: path below the service URL; with `signed` a signed address, absolute or relative
                to the service URL.
            params: query parameters; those that are None are left out.
            headers: headers beside the usual ones.
            body: bytes, or something that can be read and rewound.
            signed: the address carries its own permission, so no token goes with it.
            follow: follow redirects of GET and HEAD within the service; False returns a 3xx answer.
            timeout: seconds between bytes, instead of the session's.
            agent: the plugin's part of the user agent.

        Raises:
            ApiError: the server refused.
            ConnectionFailed: no answer came.
            BadResponse: what answered is not an Edge server.
        """
        url = self._address(url, params, signed)
        own: CaseInsensitiveDict[Any] = CaseInsensitiveDict(headers or {})
        own.setdefault("User-Agent", f"{self._agent} {agent}" if agent else self._agent)
        request_id = os.urandom(8).hex()
        if not signed:  # where an object store may refuse headers that are not signed
            own["X-Request-ID"] = request_id
        if body is not None:
            own["Content-Length"] = str(len(body))
        attempts = self._settings.retries + 1 if method in IDEMPOTENT else 1
        redirects = 0
        attempt = 1
        while True:
            failure: EdgeError | None = None
            response = None
            started = time.monotonic()
            try:
                response = self._send_once(method, url, own, body, signed, timeout)
            except _FAILURES as error:
                failure = _connection_failed(error, url)
            _log(method, url, response, failure, request_id, started)
            if response is not None and follow and _is_redirect(response):
                redirects += 1
                url = _redirected(method, url, response, redirects, signed)
                continue
            again = response is None or response.status_code in RETRIED_STATUSES
            if not again or attempt == attempts:
                break
            if response is not None:
                response.close()
            time.sleep(random.uniform(0, min(BACKOFF_CAP, BACKOFF_BASE * 2**attempt)))  # noqa: S311
            attempt += 1
        if response is None:
            raise failure or ConnectionFailed(f"{_bare(url)} gave no answer; try again")
        if response.status_code >= 400:
            raise _refused(method, response, request_id)
        return Answer(response)

    def _send_once(
        self,
        method: str,
        url: str,
        headers: CaseInsensitiveDict[Any],
        body: bytes | Body | None,
        signed: bool,
        timeout: float | None,
    ) -> requests.Response:
        # Built by hand and handed to the adapter: half the time of requests.Session.get, and still
        # what mounted adapters and mocking libraries expect.
        prepared = requests.PreparedRequest()
        prepared.method = method
        prepared.url = url
        prepared.headers = headers.copy()
        prepared.hooks = {"response": []}
        prepared.body = body  # type: ignore[assignment]  # adapters take anything with read()
        if not isinstance(body, (bytes, type(None))):
            body.rewind()
        if not signed:
            prepared.headers["Authorization"] = f"Bearer {self._settings.api_token}"
        connect, read = self._settings.timeout
        route = self._route(url)
        return self._session().get_adapter(url).send(prepared, stream=True, timeout=(connect, timeout or read), **route)

    def _session(self) -> requests.Session:
        with self._lock:
            if self._closed:
                raise EdgeError("this session is closed; make a new EdgeSession")
            if self._pool is None or self._pid != os.getpid():
                self._pool = requests.Session()
                # Otherwise a .netrc entry would replace our Authorization header.
                self._pool.trust_env = False
                for scheme in ("https://", "http://"):
                    self._pool.mount(scheme, _Adapter(pool_maxsize=32))
                self._pid = os.getpid()
            return self._pool

    def _route(self, url: str) -> dict[str, Any]:
        """Proxies and CA certificates for a host, looked up in the environment once per host."""
        parts = urlsplit(url)
        key = parts.scheme, parts.netloc
        route = self._routes.get(key)
        if route is None:
            named = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE")
            bundle = self._settings.ca_bundle or named
            if bundle and not os.path.exists(bundle):
                raise ConfigurationError(f"there is no CA bundle at {bundle}; mend or unset REQUESTS_CA_BUNDLE")
            route = {"proxies": get_environ_proxies(url, no_proxy=None), "verify": bundle or True}
            self._routes[key] = route
        return route

    def _address(self, url: str, params: Mapping[str, Any] | None, signed: bool) -> str:
        base = self._settings.service_url
        if signed:
            return urljoin(f"{base}/", url)
        url = base + quote(url)
        kept = {name: _query_value(value) for name, value in (params or {}).items() if value is not None}
        if not kept:
            return url
        try:
            return f"{url}?{urlencode(kept)}"
        except UnicodeEncodeError:
            raise BadEntry("a name holds characters that are not valid Unicode; rename it and try again") from None

    def absolute(self, url: str) -> str:
        """A signed address as anyone can use it: joined to the service URL if it is relative."""
        return self._address(url, None, signed=True)

    def close(self) -> None:
        with self._lock:
            self._closed = True
            if self._pool is not None:
                self._pool.close()
                self._pool = None


class ServiceClient:
    """What a namespace calls: JSON in, JSON out, below its own base path.

    Every method raises what `HttpClient.send` raises.
    """

    def __init__(self, client: HttpClient, base_path: str = "", agent: str | None = None) -> None:
        self._client = client
        self._base = base_path.replace("{organization}", client._settings.organization)
        self._agent = f"{agent.replace('_', '-')}/{_version(agent)}" if agent else None

    def get(self, path: str, *, params: Mapping[str, Any] | None = None) -> Any:
        return self._json("GET", path, params=params)

    def post(self, path: str, *, json: Any = None, timeout: float | None = None) -> Any:
        return self._json("POST", path, json=json, timeout=timeout)

    def put(self, path: str, *, json: Any = None) -> Any:
        return self._json("PUT", path, json=json)

    def patch(self, path: str, *, json: Any = None) -> Any:
        return self._json("PATCH", path, json=json)

    def delete(self, path: str, *, params: Mapping[str, Any] | None = None) -> Any:
        return self._json("DELETE", path, params=params)

    def items(self, path: str, *, params: Mapping[str, Any] | None = None) -> Iterator[Any]:
        """The items of a list, page after page, as they are iterated over."""
        query = dict(params or {})
        while True:
            page = self.get(path, params=query)
            if not isinstance(page, dict) or not isinstance(page.get("items"), list):
                raise BadResponse(
                    "the server sent a list without items; client and server may be of different versions"
                )
            yield from page["items"]
            query["cursor"] = page.get("next")
            if query["cursor"] is None:
                return

    def stream(self, method: str, path: str, **options: Any) -> Answer:
        """Send a request whose answer the caller reads and closes; options as of `HttpClient.send`."""
        return self._client.send(method, self._base + path, agent=self._agent, **options)

    def signed(self, method: str, url: str, **options: Any) -> Answer:
        """The same for a signed address: no token goes with it."""
        return self._client.send(method, url, signed=True, agent=self._agent, **options)

    def absolute(self, url: str) -> str:
        return self._client.absolute(url)

    def _json(self, method: str, path: str, *, json: Any = None, **options: Any) -> Any:
        headers = {"Accept": "application/json"}
        body = None
        if json is not None:
            body = jsonlib.dumps(json).encode()
            headers["Content-Type"] = "application/json"
        with self.stream(method, path, headers=headers, body=body, **options) as answer:
            return answer.json()


class _Adapter(requests.adapters.HTTPAdapter):
    """requests' adapter, reading request bodies in large blocks; its 16 KiB double an upload's time."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs, blocksize=BLOCK)


def _refused(method: str, response: requests.Response, request_id: str) -> EdgeError:
    problem = None
    with response:
        try:
            content = response.raw.read(BLOCK, decode_content=True)
            decoded = jsonlib.loads(content) if "json" in response.headers.get("Content-Type", "") else None
            problem = decoded if isinstance(decoded, dict) and "code" in decoded else None
        except (*_FAILURES, ValueError):
            pass  # the status alone still says what happened
    return error_from(
        status=response.status_code,
        method=method,
        url=response.url,
        problem=problem,
        request_id=response.headers.get("X-Request-ID", request_id),
    )


def _is_redirect(response: requests.Response) -> bool:
    return response.status_code in (301, 302, 303, 307, 308)


def _redirected(method: str, url: str, response: requests.Response, redirects: int, signed: bool) -> str:
    """Where to go on; the token follows to no other origin."""
    response.close()
    target = urljoin(url, response.headers.get("Location", ""))
    same = urlsplit(target)[:2] == urlsplit(url)[:2]
    if method not in ("GET", "HEAD") or not same or redirects > MAX_REDIRECTS or signed:
        raise BadResponse(
            f"{_bare(url)} redirects to {_bare(target)}, where the token must not go; "
            "if that is the right address, make it the service URL"
        )
    return target


def _connection_failed(error: Exception, url: str) -> ConnectionFailed:
    """One sentence for each way in which no answer comes.

    The original error is not chained: its text and its request object may hold what is secret.
    """
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    text = str(error)
    if isinstance(error, requests.exceptions.ProxyError):
        said = f"the proxy for {host} does not let the call through; check HTTP_PROXY and HTTPS_PROXY"
    elif isinstance(error, requests.exceptions.SSLError) and "CERTIFICATE_VERIFY_FAILED" in text:
        said = (
            f"the certificate of {host} is not trusted; if it is signed by a private CA, give ca_bundle= "
            "or REQUESTS_CA_BUNDLE the path of that CA's certificate"
        )
    elif isinstance(error, requests.exceptions.SSLError):
        said = f"{host} does not speak TLS as expected; check whether the service URL begins with http:// or https://"
    elif isinstance(error, (requests.exceptions.ConnectTimeout, urllib3.exceptions.ConnectTimeoutError)):
        said = f"{host} did not take the connection in time; check the address and the network"
    elif (
        isinstance(error, (requests.exceptions.ReadTimeout, urllib3.exceptions.ReadTimeoutError)) or "timed out" in text
    ):
        said = f"{host} stopped answering; try again, or give a longer timeout="
    elif "NameResolutionError" in text or "getaddrinfo" in text:
        said = f"there is no host named {parts.hostname}; check the service URL"
    elif "refused" in text:
        said = f"nothing listens at {host}; check the service URL, and that the server runs"
    elif "IncompleteRead" in text or "InvalidChunkLength" in text:
        said = f"the answer of {host} broke off before its end; try again"
    else:
        said = f"{host} closed the connection without a proper answer; check the service URL, or try again"
    return ConnectionFailed(said)


def _log(
    method: str,
    url: str,
    response: requests.Response | None,
    failure: EdgeError | None,
    request_id: str,
    started: float,
) -> None:
    if log.isEnabledFor(logging.DEBUG):
        outcome = response.status_code if response is not None else type(failure).__name__
        took = (time.monotonic() - started) * 1000
        log.debug("%s %s -> %s in %.0f ms [request %s]", method, _bare(url), outcome, took, request_id)


def _bare(url: str) -> str:
    """The address without its query, which may hold a signature."""
    return url.partition("?")[0]


def _query_value(value: Any) -> Any:
    return str(value).lower() if isinstance(value, bool) else value


def _user_agent(settings: Settings) -> str:
    own = f"edge-core/{_version('edge_core')} requests/{_version('requests')}"
    return f"{settings.user_agent} {own}" if settings.user_agent else own


def _version(package: str) -> str:
    import importlib_metadata

    try:
        return importlib_metadata.version(package.replace("_", "-"))
    except importlib_metadata.PackageNotFoundError:
        return "0"
