"""`HttpClient`: the way of a request, top to bottom: authentication, retry, log, error."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote, urlencode, urljoin, urlsplit

import requests
import requests.adapters
from requests.structures import CaseInsensitiveDict
from requests.utils import select_proxy

from edge_core import forks, retries
from edge_core.config import Settings
from edge_core.errors import BadEntry, BadResponse, ConnectionFailed, EdgeError
from edge_core.http.answers import BLOCK, Answer, is_hubs, is_redirect, leave_body, refusal
from edge_core.http.environment import Route, route
from edge_core.http.failures import (
    FAILURES,
    SERVICE,
    STORE,
    hub_answered,
    is_away,
    is_proxys_refusal,
    proxy_refused,
    sentence_of,
)
from edge_core.http.service import ServiceClient
from edge_core.installed import version_of
from edge_core.redaction import bare, guard, public_part

if TYPE_CHECKING:
    from edge_core.hooks import Hooks, Request, Response

log = logging.getLogger("edge")
retry_log = logging.getLogger("edge.retries")

MAX_REDIRECTS = 5

_REQUESTS: str = vars(requests)["__version__"]

# It writes each request's whole address.
guard("urllib3.connection", "urllib3.connectionpool", "urllib3.util.retry")


class Body(Protocol):
    """A request body that can be sent again."""

    def read(self, size: int = -1, /) -> bytes: ...
    def rewind(self) -> None:
        """Go back to the first byte; called before each try."""

    def __len__(self) -> int: ...


class Call:
    """One request, as all its attempts share it.

    Attributes:
        method: HTTP method, in upper case.
        url: absolute address.
        headers: headers without the token.
        body: what is sent.
        token: what authenticates it; None for a signed address, which carries its own permission.
        timeout: seconds between bytes, instead of the session's.
        redirects: how many redirects are followed; with 0 a redirect is the answer.
        id: its request id.
    """

    __slots__ = ("body", "headers", "id", "method", "redirects", "timeout", "token", "url")

    def __init__(
        self,
        method: str,
        url: str,
        headers: MutableMapping[str, Any],
        body: bytes | Body | None,
        token: str | None,
        timeout: float | None,
        request_id: str,
    ) -> None:
        self.method = method
        self.url = url
        self.headers = headers
        self.body = body
        self.token = token
        self.timeout = timeout
        self.redirects = MAX_REDIRECTS
        self.id = request_id

    @property
    def signed(self) -> bool:
        """Whether it goes to a signed address."""
        return self.token is None

    def for_hooks(self) -> Request:
        from edge_core.hooks import Request

        return Request(self.id, self.method, bare(self.url), self.headers, self.signed)

    def failed(self, sentence: str) -> ConnectionFailed:
        # The original error is not chained: its text and its request object may hold what is secret.
        return ConnectionFailed(sentence, request_id=self.id, method=self.method, url=bare(self.url))


class HttpClient:
    """All HTTP of one session.

    It survives a fork: a child opens connections of its own.

    Args:
        settings: the session's settings.
        hooks: gives the session's hooks, or None if there are none; called before each request.
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
        self._organization = settings.organization

    @property
    def organization(self) -> str:
        """Short name of the session's organization; the service is asked for it where no setting gives it.

        Raises:
            ConfigurationError: the user is in none, or in several.
        """
        if not self._organization:
            from edge_core.whoami import WhoAmI, only_organization

            self._organization = only_organization(WhoAmI.from_answer(self.core.get("/v1/users/me")))
        return self._organization

    def for_plugin(self, module: str, base_path: str = "") -> ServiceClient:
        """Calls on behalf of the plugin `module` belongs to, below `base_path`.

        ``{organization}`` in `base_path` stands for the session's organization.
        """
        return ServiceClient(self, base_path, module.partition(".")[0])

    # --- a call -----------------------------------------------------------------------------------

    def call(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes | Body | None = None,
        timeout: float | None = None,
        agent: str | None = None,
    ) -> Call:
        """A call of the API, to be sent.

        Args:
            method: HTTP method, in upper case.
            path: path below the service URL.
            params: query parameters; those that are None are left out.
            headers: headers beside the usual ones.
            body: bytes, or something that can be read and rewound.
            timeout: seconds between bytes, instead of the session's.
            agent: the plugin's part of the user agent.

        Raises:
            BadEntry: a parameter is not valid Unicode.
        """
        own = self._headers(headers, body, agent)
        request_id = own["X-Request-ID"] = os.urandom(8).hex()
        if method in ("POST", "PATCH", "DELETE"):
            own.setdefault("Idempotency-Key", os.urandom(16).hex())
        token = self._settings.api_token
        return Call(method, self._address(path, params), own, body, token, timeout, request_id)

    def signed_call(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | Body | None = None,
        timeout: float | None = None,
        agent: str | None = None,
    ) -> Call:
        """A call to a signed address, to be sent without the token; arguments as of `call`.

        Args:
            url: the address, absolute or relative to the service URL.

        Raises:
            BadResponse: the address has no TLS, and the service has.
        """
        # No header beside the caller's: an object store may refuse those that are not signed.
        own = self._headers(headers, body, agent)
        return Call(method, self.absolute(url), own, body, None, timeout, os.urandom(8).hex())

    def _headers(
        self, headers: Mapping[str, str] | None, body: bytes | Body | None, agent: str | None
    ) -> dict[str, Any]:
        own: dict[str, Any] = dict(headers or {})  # named as in RFC 9110 by all of ours
        own.setdefault("User-Agent", f"{self._agent} {agent}" if agent else self._agent)
        if body is not None:
            own["Content-Length"] = str(len(body))
        return own

    # --- its way ----------------------------------------------------------------------------------

    def send(self, call: Call, receive: Callable[[requests.Response], None] = leave_body) -> Answer:
        """Send a call, again where that is safe, and return its answer.

        Args:
            call: what to send.
            receive: reads what of an answer must have come for the attempt to count as answered.

        Raises:
            ApiError: the server refused.
            ConnectionFailed: no answer came.
            BadResponse: what answered is not an Edge server.
        """
        hooks = self._hooks()
        if hooks is not None:
            call.headers = CaseInsensitiveDict(call.headers)  # hooks may write names in any case
            hooks.amend(call.for_hooks())
        response = self._response(call, receive, hooks)
        if response.status_code >= 400:
            raise refusal(response, call.method, call.id, self._advice(call))
        self._budget.give_back()
        return Answer(response, call.method, call.id, self._advice(call))

    def _response(
        self, call: Call, receive: Callable[[requests.Response], None], hooks: Hooks | None
    ) -> requests.Response:
        """The one retry loop."""
        repeatable = call.method in retries.IDEMPOTENT or "Idempotency-Key" in call.headers
        attempts = self._settings.retries + 1 if repeatable and not retries.hurried.get() else 1
        attempt, redirects = 1, 0
        awaited = 0.0  # seconds since it is known that something is only away
        gate = retries.gate.get()
        while True:
            if gate is not None:
                gate.wait()
            request = self._authenticated(call)
            started = time.monotonic()
            response, failure, nobody_listens = self._attempt(call, request, receive)
            seconds = time.monotonic() - started
            self._log(call, response, failure, seconds)
            if hooks is not None:
                outcome = _for_hooks(response, failure, seconds)
                hooks.tell("edge_response", request=call.for_hooks(), response=outcome)
            if response is not None:
                if self._is_proxys(response, call.url):
                    response.close()
                    raise call.failed(proxy_refused(call.url))
                if call.redirects and is_redirect(response):
                    redirects += 1
                    call.url = _redirected(call, response, redirects)
                    continue
                if not _says_later(response):
                    return response
            status, after = None, None
            if response is not None:
                status, after = response.status_code, response.headers.get("Retry-After")
            # A store's address is one that the server has just given.
            is_awaited = retries.says_when(status, after) or (nobody_listens and self._advice(call) is STORE)
            if awaited:
                awaited += seconds
            again = attempt < attempts or (is_awaited and attempts > 1 and awaited < retries.PATIENCE)
            if not again or not (is_awaited or self._budget.take()):  # what is awaited ends by its time
                if response is not None:
                    return response
                raise failure or call.failed(f"{bare(call.url)} gave no answer; try again")
            if attempt == 1:
                _warn(call, response, failure)
            if response is not None:
                response.close()
            pause = retries.wait(attempt, status, after)
            if gate is not None and after is not None and status in (429, 503):
                gate.close(pause)
            time.sleep(pause)
            if is_awaited or awaited:
                awaited += pause
            attempt += 1

    def _advice(self, call: Call) -> str:
        """What to do where the address of a call may be wrong; signed ones may be those of the server's store."""
        is_services = urlsplit(call.url)[:2] == urlsplit(self._settings.service_url)[:2]
        return SERVICE if is_services or not call.signed else STORE

    def _authenticated(self, call: Call) -> requests.PreparedRequest:
        """The request with its token, which is in no header that hooks or logs see."""
        # Built by hand and handed to the adapter: half the time of requests.Session.get, and still
        # what mounted adapters and mocking libraries expect.
        request = requests.PreparedRequest()
        request.method = call.method
        request.url = call.url
        request.headers = CaseInsensitiveDict(call.headers)
        request.body = call.body  # type: ignore[assignment]  # adapters take anything with read()
        if call.token is not None:
            request.headers["Authorization"] = f"Bearer {call.token}"
        return request

    def _attempt(
        self, call: Call, request: requests.PreparedRequest, receive: Callable[[requests.Response], None]
    ) -> tuple[requests.Response | None, ConnectionFailed | None, bool]:
        """One request and its answer, or why none came and whether that is as nothing listens there."""
        response: requests.Response | None = None
        try:
            response = self._send_once(call, request)
            receive(response)
            if is_hubs(response):
                response.close()
                return None, call.failed(hub_answered(call.url)), False
        except FAILURES as error:
            if response is not None:
                response.close()
            failure = call.failed(sentence_of(error, call.url, self._advice(call)))
            if is_proxys_refusal(error):
                raise failure from None  # a wrong password that is sent again and again locks accounts
            return None, failure, is_away(error)
        return response, None, False

    def _send_once(self, call: Call, request: requests.PreparedRequest) -> requests.Response:
        if not isinstance(call.body, (bytes, type(None))):
            call.body.rewind()
        connect, read = self._settings.timeout
        adapter = self._session().get_adapter(call.url)
        timeout = (connect, call.timeout or read)
        return adapter.send(request, stream=True, timeout=timeout, **self._route(call.url))

    def _log(
        self, call: Call, response: requests.Response | None, failure: ConnectionFailed | None, seconds: float
    ) -> None:
        if not log.isEnabledFor(logging.DEBUG):
            return
        log.debug(
            "%s %s -> %s in %.0f ms, %s bytes sent, %s received [request %s, token %s]",
            call.method,
            bare(call.url),
            _outcome(response, failure),
            seconds * 1000,
            call.headers.get("Content-Length", 0),
            "?" if response is None else response.headers.get("Content-Length", "?"),
            call.id,
            "none" if call.token is None else public_part(call.token),
        )

    # --- where it goes ----------------------------------------------------------------------------

    def _address(self, path: str, params: Mapping[str, Any] | None) -> str:
        url = self._settings.service_url + quote(path)
        query = {name: _query_value(value) for name, value in (params or {}).items() if value is not None}
        if not query:
            return url
        try:
            return f"{url}?{urlencode(query)}"
        except UnicodeEncodeError:
            raise BadEntry("a name holds characters that are not valid Unicode; rename it and try again") from None

    def absolute(self, url: str) -> str:
        """A signed address as anyone can use it: joined to the service URL if it is relative.

        Raises:
            BadResponse: it is no address of HTTP, or has no TLS, and the service has.
        """
        base = self._settings.service_url
        url = urljoin(f"{base}/", url)
        if not url.startswith(("https://", "http://")):
            raise BadResponse(f"{base} gives an address that is not of HTTP; tell the server's operator")
        if base.startswith("https:") and not url.startswith("https:"):
            raise BadResponse(
                f"{base} gives an address without TLS ({bare(url)}), where content would travel in clear; "
                "tell the server's operator"
            )
        return url

    def _route(self, url: str) -> Route:
        """Proxies and CA certificates for a host, looked up in the environment once per host."""
        parts = urlsplit(url)
        host = parts.scheme, parts.netloc
        if host not in self._routes:
            self._routes[host] = route(url, self._settings.ca_bundle)
        return self._routes[host]

    def _is_proxys(self, response: requests.Response, url: str) -> bool:
        """Whether a proxy refused its credentials; some answer with 401, where a server sends a problem document."""
        if response.status_code != 401 or "json" in response.headers.get("Content-Type", ""):
            return response.status_code == 407
        return url.startswith("http:") and select_proxy(url, self._route(url)["proxies"]) is not None

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

    def close(self) -> None:
        with self._lock:
            self._closed = True
            if self._pool is not None:
                self._pool.close()
                self._pool = None


class _Adapter(requests.adapters.HTTPAdapter):
    """requests' adapter, reading request bodies in large blocks; its 16 KiB double an upload's time."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs, blocksize=BLOCK)


def _says_later(response: requests.Response) -> bool:
    # 409 with Retry-After: an earlier attempt of this very call is still running on the server.
    later_conflict = response.status_code == 409 and "Retry-After" in response.headers
    return response.status_code in retries.STATUSES or later_conflict


def _redirected(call: Call, response: requests.Response, redirects: int) -> str:
    """Where to go on; the token follows to no other origin."""
    response.close()
    target = urljoin(call.url, response.headers.get("Location", ""))
    same = urlsplit(target)[:2] == urlsplit(call.url)[:2]
    if call.method not in ("GET", "HEAD") or not same or redirects > call.redirects or call.signed:
        raise BadResponse(
            f"{bare(call.url)} redirects to {bare(target)}, where the token must not go; "
            "if that is the right address, make it the service URL"
        )
    return target


def _outcome(response: requests.Response | None, failure: ConnectionFailed | None) -> str:
    if response is not None:
        return str(response.status_code)
    return str(failure or "no answer")


def _warn(call: Call, response: requests.Response | None, failure: ConnectionFailed | None) -> None:
    outcome = _outcome(response, failure)
    retry_log.warning("%s %s failed and is sent again: %s [request %s]", call.method, bare(call.url), outcome, call.id)


def _for_hooks(response: requests.Response | None, failure: ConnectionFailed | None, seconds: float) -> Response:
    from edge_core.hooks import Response

    if response is None:
        return Response(None, {}, seconds, failure)
    return Response(response.status_code, dict(response.headers), seconds, None)


def _query_value(value: Any) -> Any:
    return str(value).lower() if isinstance(value, bool) else value


def _user_agent(settings: Settings) -> str:
    own = f"edge-core/{version_of('edge-core')} requests/{_REQUESTS}"
    return f"{settings.user_agent} {own}" if settings.user_agent else own
