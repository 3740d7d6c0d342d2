"""The way of a request: one pooled `requests.Session`, one retry loop, one door to errors.

`HttpClient.send` is the whole way, top to bottom: address, request id and user agent; then, inside
the loop, authentication, sending and logging; then the answer or an error of ours. Namespaces call
through a `ServiceClient`, which knows their base path and their name.
"""

from __future__ import annotations

import json as jsonlib
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any, Protocol, TypedDict, TypeVar, overload
from urllib.parse import quote, urlencode, urljoin, urlsplit

import requests
import requests.adapters
import urllib3.exceptions
from requests.structures import CaseInsensitiveDict
from requests.utils import get_environ_proxies, select_proxy

from edge_core import forks, retries
from edge_core.config import Settings
from edge_core.errors import (
    BadEntry,
    BadResponse,
    ConfigurationError,
    ConnectionFailed,
    EdgeError,
    error_from,
)
from edge_core.paging import Pages
from edge_core.redaction import bare, guard, public_part
from edge_core.registry import version_of

if TYPE_CHECKING:
    from edge_core.hooks import Hooks, Request, Response
    from edge_core.records import Record

log = logging.getLogger("edge")

BLOCK = 1 << 20
"""Bytes moved at once; smaller blocks cost up to three times the time."""

MAX_REDIRECTS = 5

_REQUESTS: str = vars(requests)["__version__"]

_R = TypeVar("_R", bound="Record")
_T = TypeVar("_T")

# It writes each request's whole address.
guard("urllib3.connection", "urllib3.connectionpool", "urllib3.util.retry")

_FAILURES = (requests.RequestException, urllib3.exceptions.HTTPError, OSError)


class Route(TypedDict):
    """How an address is reached; its keys are those of `requests.request`.

    Attributes:
        proxies: addresses of proxies, by scheme.
        verify: path of a file of CA certificates, or True for the usual ones.
    """

    proxies: dict[str, str]
    verify: str | bool


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
        self.url = bare(response.url)

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


class _Call:
    """One request as its attempts share it."""

    __slots__ = ("body", "headers", "id", "method", "signed", "timeout", "url")

    def __init__(
        self,
        method: str,
        url: str,
        headers: MutableMapping[str, Any],
        body: bytes | Body | None,
        signed: bool,
        timeout: float | None,
        request_id: str,
    ) -> None:
        self.method = method
        self.url = url
        self.headers = headers
        self.body = body
        self.signed = signed
        self.timeout = timeout
        self.id = request_id

    def for_hooks(self) -> Request:
        from edge_core.hooks import Request

        return Request(self.id, self.method, bare(self.url), self.headers, self.signed)


class HttpClient:
    """All HTTP of one session.

    It survives a fork: a child opens connections of its own.

    Args:
        settings: the session's settings.
        hooks: gives the session's hooks, or None if there are none; asked before each call.
    """

    _lock: threading.Lock

    def __init__(self, settings: Settings, hooks: Callable[[], Hooks | None] = lambda: None) -> None:
        self._settings = settings
        self._hooks = hooks
        self._budget = retries.Budget()
        forks.renew_lock(self)
        self._routes: dict[tuple[str, str], Route] = {}
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
        whole: bool = False,
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
            whole: read the whole body here, so that one that breaks off is asked for again.
            timeout: seconds between bytes, instead of the session's.
            agent: the plugin's part of the user agent.

        Raises:
            ApiError: the server refused.
            ConnectionFailed: no answer came.
            BadResponse: what answered is not an Edge server.
        """
        url = self._address(url, params, signed)
        own: MutableMapping[str, Any] = dict(headers or {})  # named as in RFC 9110 by all of ours
        own.setdefault("User-Agent", f"{self._agent} {agent}" if agent else self._agent)
        call = _Call(method, url, own, body, signed, timeout, os.urandom(8).hex())
        if not signed:  # where an object store may refuse headers that are not signed
            own["X-Request-ID"] = call.id
            if method == "POST":
                own.setdefault("Idempotency-Key", os.urandom(16).hex())
        if body is not None:
            own["Content-Length"] = str(len(body))
        hooks = self._hooks()
        if hooks is not None:
            call.headers = CaseInsensitiveDict(own)  # theirs may be written in any way
            hooks.amend(call.for_hooks())
        response = self._try(call, hooks, follow=follow, whole=whole)
        if response.status_code >= 400:
            raise _refused(method, response, call.id)
        self._budget.give_back()
        return Answer(response)

    def _try(self, call: _Call, hooks: Hooks | None, *, follow: bool, whole: bool) -> requests.Response:
        """The one retry loop: authentication, sending and logging are inside it."""
        repeatable = call.method in retries.IDEMPOTENT or "Idempotency-Key" in call.headers
        attempts = self._settings.retries + 1 if repeatable else 1
        attempt = 1
        redirects = 0
        while True:
            response, failure = self._attempt(call, hooks, whole)
            if response is not None and follow and _is_redirect(response):
                redirects += 1
                call.url = _redirected(call, response, redirects)
                continue
            if response is not None and not _says_later(response):
                return response
            if attempt >= attempts or not self._budget.take():
                if response is not None:
                    return response
                raise failure or ConnectionFailed(f"{bare(call.url)} gave no answer; try again")
            status, after = None, None
            if response is not None:
                status, after = response.status_code, response.headers.get("Retry-After")
                response.close()
            time.sleep(retries.wait(attempt, status, after))
            attempt += 1

    def _attempt(
        self, call: _Call, hooks: Hooks | None, whole: bool
    ) -> tuple[requests.Response | None, ConnectionFailed | None]:
        """One request and its answer, or why none came."""
        response: requests.Response | None = None
        failure: ConnectionFailed | None = None
        started = time.monotonic()
        try:
            response = self._send_once(call)
            # Read here, so that an answer that breaks off, in its body or its head, is tried again.
            if whole and not _is_redirect(response) and not _read_whole(response) and _has_no_end(response):
                raise urllib3.exceptions.ProtocolError("IncompleteRead")
        except _FAILURES as error:
            if response is not None:
                response.close()
            response, failure = None, _connection_failed(error, call.url)
            if isinstance(error, requests.exceptions.ProxyError) and _proxy_says_no(error):
                raise failure from None  # a wrong password that is sent again and again locks accounts
        seconds = time.monotonic() - started
        self._log(call, response, failure, seconds)
        if hooks is not None:
            hooks.tell("edge_response", request=call.for_hooks(), response=_for_hooks(response, failure, seconds))
        if response is not None and self._is_proxys_refusal(response, call.url):
            response.close()
            raise _proxy_refused(call.url)
        return response, failure

    def _is_proxys_refusal(self, response: requests.Response, url: str) -> bool:
        # Some proxies answer wrong credentials with 401; a server's own 401 is a problem document.
        if response.status_code != 401 or "json" in response.headers.get("Content-Type", ""):
            return response.status_code == 407
        return url.startswith("http:") and select_proxy(url, self._route(url)["proxies"]) is not None

    def _send_once(self, call: _Call) -> requests.Response:
        # Built by hand and handed to the adapter: half the time of requests.Session.get, and still
        # what mounted adapters and mocking libraries expect.
        prepared = requests.PreparedRequest()
        prepared.method = call.method
        prepared.url = call.url
        prepared.headers = CaseInsensitiveDict(call.headers)
        prepared.hooks = {"response": []}
        prepared.body = call.body  # type: ignore[assignment]  # adapters take anything with read()
        if not isinstance(call.body, (bytes, type(None))):
            call.body.rewind()
        if not call.signed:
            prepared.headers["Authorization"] = f"Bearer {self._settings.api_token}"
        connect, read = self._settings.timeout
        route = self._route(call.url)
        adapter = self._session().get_adapter(call.url)
        return adapter.send(prepared, stream=True, timeout=(connect, call.timeout or read), **route)

    def _log(
        self, call: _Call, response: requests.Response | None, failure: ConnectionFailed | None, seconds: float
    ) -> None:
        if not log.isEnabledFor(logging.DEBUG):
            return
        outcome, size = str(failure), "?"
        if response is not None:
            outcome, size = str(response.status_code), response.headers.get("Content-Length", "?")
        log.debug(
            "%s %s -> %s in %.0f ms, %s bytes sent, %s received [request %s, token %s]",
            call.method,
            bare(call.url),
            outcome,
            seconds * 1000,
            call.headers.get("Content-Length", 0),
            size,
            call.id,
            "none" if call.signed else public_part(self._settings.api_token),
        )

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

    def _route(self, url: str) -> Route:
        """Proxies and CA certificates for a host, looked up in the environment once per host."""
        parts = urlsplit(url)
        host = parts.scheme, parts.netloc
        if host not in self._routes:
            self._routes[host] = route(url, self._settings.ca_bundle)
        return self._routes[host]

    def _address(self, url: str, params: Mapping[str, Any] | None, signed: bool) -> str:
        base = self._settings.service_url
        if signed:
            url = urljoin(f"{base}/", url)
            if base.startswith("https:") and not url.startswith("https:"):
                raise BadResponse(
                    f"{base} gives an address without TLS ({bare(url)}), where content would travel in clear; "
                    "tell the server's operator"
                )
            return url
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
        self._agent = f"{agent.replace('_', '-')}/{version_of(agent.replace('_', '-'))}" if agent else None

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

    @overload
    def items(
        self, path: str, *, params: Mapping[str, Any] | None = None, max_items: int | None = None
    ) -> Pages[Any]: ...
    @overload
    def items(
        self,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        make: Callable[[Any], _T],
        max_items: int | None = None,
    ) -> Pages[_T]: ...
    def items(
        self,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        make: Callable[[Any], Any] = lambda item: item,
        max_items: int | None = None,
    ) -> Pages[Any]:
        """A list, page after page, as its items are iterated over.

        Args:
            path: address of the list.
            params: query parameters, such as ``limit``, the size of a page.
            make: turns one item's JSON into what is handed out; the JSON itself without it.
            max_items: the most items to hand out; None for all.
        """
        query = dict(params or {})
        return Pages(lambda cursor: self.get(path, params={**query, "cursor": cursor}), make, max_items=max_items)

    def get_record(self, kind: type[_R], path: str, *, params: Mapping[str, Any] | None = None) -> _R:
        """A record, which remembers the version of the object it came from."""
        with self._call("GET", path, params=params) as answer:
            return kind.from_answer(answer.json(), etag=answer.headers.get("ETag"))

    def update_record(self, record: _R, path: str) -> _R:
        """Send what was set on `record` as a merge patch (RFC 7396), and return the object as it is then.

        Raises:
            Conflict: the object was changed since the record came from the server.
        """
        headers = {"Content-Type": "application/merge-patch+json"}
        if record._etag is not None:
            headers["If-Match"] = record._etag
        with self._call("PATCH", path, record.changes(), headers=headers) as answer:
            return type(record).from_answer(answer.json(), etag=answer.headers.get("ETag"))

    def fetch(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes | Body | None = None,
        timeout: float | None = None,
    ) -> Answer:
        """Send a request and read the whole answer, so that one that breaks off is asked for again.

        Args:
            method: HTTP method, in upper case.
            path: path below the base path.
            params: query parameters; those that are None are left out.
            headers: headers beside the usual ones.
            body: bytes, or something that can be read and rewound.
            timeout: seconds between bytes, instead of the session's.
        """
        return self._client.send(
            method,
            self._base + path,
            params=params,
            headers=headers,
            body=body,
            whole=True,
            timeout=timeout,
            agent=self._agent,
        )

    def stream(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes | Body | None = None,
        timeout: float | None = None,
    ) -> Answer:
        """Send a request whose answer the caller reads and closes; arguments as of `fetch`."""
        return self._client.send(
            method, self._base + path, params=params, headers=headers, body=body, timeout=timeout, agent=self._agent
        )

    def stream_or_redirect(
        self, path: str, *, params: Mapping[str, Any] | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """GET an answer that the caller reads and closes; a redirect is not followed but handed out as it is."""
        return self._client.send(
            "GET", self._base + path, params=params, headers=headers, follow=False, agent=self._agent
        )

    def signed(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | Body | None = None,
        timeout: float | None = None,
    ) -> Answer:
        """Send a request to a signed address, with no token; the caller reads and closes the answer.

        Args:
            method: HTTP method, in upper case.
            url: the address, absolute or relative to the service URL.
            headers: headers beside the usual ones, such as those that the signature names.
            body: bytes, or something that can be read and rewound.
            timeout: seconds between bytes, instead of the session's.
        """
        return self._client.send(
            method, url, headers=headers, body=body, signed=True, timeout=timeout, agent=self._agent
        )

    def fetch_signed(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | Body | None = None,
        timeout: float | None = None,
    ) -> Answer:
        """Send a request to a signed address, with no token, and read the whole answer; arguments as of `signed`."""
        return self._client.send(
            method, url, headers=headers, body=body, signed=True, whole=True, timeout=timeout, agent=self._agent
        )

    def absolute(self, url: str) -> str:
        return self._client.absolute(url)

    def route(self, url: str) -> Route:
        """Proxies and CA certificates for any address, as `route` gives them, with the session's CA bundle."""
        return self._client._route(url)

    def transferred(self, direction: str, path: str, done: int, total: int | None, *, finished: bool = False) -> None:
        """Let the hooks hear how far a file has come; cheap where there are none."""
        hooks = self._client._hooks()
        if hooks is not None:
            hooks.transfer(direction, path, done, total, finished=finished)

    def _json(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        params: Mapping[str, Any] | None = None,
        timeout: float | None = None,
    ) -> Any:
        with self._call(method, path, json, params=params, timeout=timeout) as answer:
            return answer.json()

    def _call(
        self,
        method: str,
        path: str,
        json: Any = None,
        *,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
    ) -> Answer:
        own = {"Accept": "application/json"}
        body = None
        if json is not None:
            body = jsonlib.dumps(json).encode()
            own["Content-Type"] = "application/json"
        return self.fetch(method, path, params=params, headers={**own, **(headers or {})}, body=body, timeout=timeout)


class _Adapter(requests.adapters.HTTPAdapter):
    """requests' adapter, reading request bodies in large blocks; its 16 KiB double an upload's time."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs, blocksize=BLOCK)


def route(url: str, ca_bundle: str | None = None) -> Route:
    """How the environment says an address is to be reached, for those who connect by other means.

    Args:
        url: the address.
        ca_bundle: path of a file of CA certificates, instead of the environment's.

    Returns:
        ``proxies``, addresses by scheme, and ``verify``, the path of a CA bundle or True.

    Raises:
        ConfigurationError: the environment names a proxy or a CA bundle that cannot be used.
    """
    bundle = ca_bundle or os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE")
    if bundle and not os.path.exists(bundle):
        raise ConfigurationError(f"there is no CA bundle at {bundle}; mend or unset REQUESTS_CA_BUNDLE")
    proxies = dict(get_environ_proxies(url, no_proxy=None))
    _check_proxy(select_proxy(url, proxies))
    return {"proxies": proxies, "verify": bundle or True}


def _refused(method: str, response: requests.Response, request_id: str) -> EdgeError:
    problem = None
    with response:
        try:
            content = response.content
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


def _read_whole(response: requests.Response) -> bytes:
    """The body, read in large blocks; the 10 KiB that `content` reads at a time cost a long list a tenth more."""
    content = b"".join(response.iter_content(BLOCK))
    response._content = content
    return content


def _is_redirect(response: requests.Response) -> bool:
    return response.status_code in (301, 302, 303, 307, 308)


def _has_no_end(response: requests.Response) -> bool:
    """Whether only the end of the connection ends the answer; http.client takes a cut head for such a one."""
    stated = "Content-Length" in response.headers or "Transfer-Encoding" in response.headers
    return not stated and response.status_code not in (204, 304)


def _check_proxy(address: str | None) -> None:
    """See that the environment's proxy is one we can go through; what else is wrong is said where it fails."""
    if address is None:
        return
    try:
        parts = urlsplit(address)
        fits = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        fits = False
    if not fits:
        raise ConfigurationError(
            "HTTP_PROXY or HTTPS_PROXY is not the address of an HTTP proxy; write it as in "
            "http://USER:PASSWORD@proxy.example.com:3128, special characters escaped"
        )


def _says_later(response: requests.Response) -> bool:
    # 409 with Retry-After: an earlier attempt of this very call is still running on the server.
    later_conflict = response.status_code == 409 and "Retry-After" in response.headers
    return response.status_code in retries.STATUSES or later_conflict


def _redirected(call: _Call, response: requests.Response, redirects: int) -> str:
    """Where to go on; the token follows to no other origin."""
    response.close()
    target = urljoin(call.url, response.headers.get("Location", ""))
    same = urlsplit(target)[:2] == urlsplit(call.url)[:2]
    if call.method not in ("GET", "HEAD") or not same or redirects > MAX_REDIRECTS or call.signed:
        raise BadResponse(
            f"{bare(call.url)} redirects to {bare(target)}, where the token must not go; "
            "if that is the right address, make it the service URL"
        )
    return target


def _for_hooks(response: requests.Response | None, failure: ConnectionFailed | None, seconds: float) -> Response:
    from edge_core.hooks import Response

    if response is None:
        return Response(None, {}, seconds, failure)
    return Response(response.status_code, dict(response.headers), seconds, None)


def _proxy_says_no(error: Exception) -> bool:
    # Some proxies answer wrong credentials with 401.
    return "failed: 407" in str(error) or "failed: 401" in str(error)


def _proxy_refused(url: str) -> ConnectionFailed:
    return ConnectionFailed(
        f"the proxy on the way to {urlsplit(url).hostname} wants another user name or password; "
        "write them into HTTP_PROXY and HTTPS_PROXY, as in http://USER:PASSWORD@proxy.example.com:3128"
    )


def _connection_failed(error: Exception, url: str) -> ConnectionFailed:
    """One sentence for each way in which no answer comes.

    The original error is not chained: its text and its request object may hold what is secret.
    """
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    text = str(error)
    if isinstance(error, requests.exceptions.ProxyError):
        if _proxy_says_no(error):
            return _proxy_refused(url)
        said = f"the proxy on the way to {host} does not let the call through; check HTTP_PROXY, HTTPS_PROXY, NO_PROXY"
    elif isinstance(error, requests.exceptions.SSLError) and "mismatch" in text:
        said = f"the certificate of {host} is for another host; check the service URL"
    elif isinstance(error, requests.exceptions.SSLError) and "certificate has expired" in text:
        said = f"the certificate of {host} has expired; tell the server's operator"
    elif isinstance(error, requests.exceptions.SSLError) and "certificate is not yet valid" in text:
        said = f"the certificate of {host} is not valid yet; see that this machine's clock is right"
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


def _query_value(value: Any) -> Any:
    return str(value).lower() if isinstance(value, bool) else value


def _user_agent(settings: Settings) -> str:
    own = f"edge-core/{version_of('edge-core')} requests/{_REQUESTS}"
    return f"{settings.user_agent} {own}" if settings.user_agent else own
