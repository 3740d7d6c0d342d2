"""The server in front of an application."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import html
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from typing import TypeAlias
from urllib.parse import urlsplit

import aiohttp
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

from edge_core.errors import ConfigurationError
from edge_hub.app_proxy.headers import below, for_application, for_visitor, is_own_origin
from edge_hub.app_proxy.visitors import Visitor

Identify: TypeAlias = Callable[[web.BaseRequest], Awaitable[Visitor | web.StreamResponse]]
"""Says who sent a request, or what to answer instead of passing it on, such as a redirect to a login."""


def always(visitor: Visitor) -> Identify:
    """Everyone is this visitor, where nobody else reaches the proxy."""

    async def identify(_request: web.BaseRequest) -> Visitor:
        return visitor

    return identify


_Socket: TypeAlias = web.WebSocketResponse | aiohttp.ClientWebSocketResponse

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})

MAX_MESSAGE = 256 << 20
"""The largest message of a websocket, in bytes. Streamlit, the most generous of the frameworks, has 200 MB."""

MAX_HEADER = 64 << 10
"""The longest line of a request or answer, in bytes."""

POLL_INTERVAL = 0.2
"""Seconds between two checks of an application that does not answer yet."""

CONNECT_TIMEOUT = 5.0

RECHECK_INTERVAL = 5.0
"""Seconds after which the visitor behind a websocket or a long answer is asked for again."""

_READ_ONLY = frozenset({"GET", "HEAD", "OPTIONS"})

_WAITING_PAGE = """\
<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta http-equiv="refresh" content="1"><title>Starting</title></head>
<body style="font-family: sans-serif; margin: 4em">
<h1>The application is starting</h1>
<p>This page reloads by itself. {state}</p>
</body>
</html>
"""


class AppProxy:
    """Passes requests to an application, with the identity of who sent them and nothing that imitates it.

    The application is waited for: until `GET /` is answered there, visitors get a page that reloads itself.
    """

    def __init__(
        self,
        application: tuple[str, int],
        identify: Identify,
        *,
        hosts: Collection[str] | None = LOOPBACK_NAMES,
        prefix: str = "/",
        scheme: Callable[[web.BaseRequest], str] | None = None,
        patience: float = 0.0,
    ) -> None:
        """Describe the proxy; `serving` starts it.

        Args:
            application: address and port where the application listens.
            identify: says who sent a request.
            hosts: names by which the proxy may be reached, without ports; None for any. Where the visitor is known by
                nothing but reaching the proxy, a web page elsewhere must not reach it under a name of its own, which
                it can have lead to loopback (DNS rebinding).
            prefix: path that all addresses begin with, with a slash at both ends, as behind the proxy of a hub; the
                application gets paths without it.
            scheme: says by which scheme a visitor came to a proxy that stands in front of this one; None where none
                does.
            patience: seconds from the start in which nobody but known visitors is told anything but that the
                application is starting, by which a hub sees when it answers.
        """
        self.last_activity: float | None = None
        """Time of the last request or message of a visitor, as `time.time` tells it."""
        self._origin = f"http://{_address(*application)}"
        self._identify = identify
        self._hosts = hosts
        self._prefix = prefix
        self._scheme = scheme
        self._patience = patience
        self._patient_until = 0.0
        self._ready = asyncio.Event()
        self._state = ""
        self._watch: asyncio.Task[None] | None = None

    @contextlib.asynccontextmanager
    async def serving(self, host: str, port: int) -> AsyncIterator[str]:
        """Serve as long as the context lasts, and give the address.

        Args:
            host: address to listen at.
            port: port to listen at; 0 for a free one.

        Raises:
            ConfigurationError: the port cannot be had.
        """
        server = web.Server(
            self._handle,
            handler_cancellation=True,
            access_log=None,
            auto_decompress=False,
            max_line_size=MAX_HEADER,
            max_field_size=MAX_HEADER,
        )
        runner = web.ServerRunner(server, shutdown_timeout=0.5)
        await runner.setup()
        self._client = aiohttp.ClientSession(
            # A connection that the application is about to close would fail the next request, so each has its own.
            connector=aiohttp.TCPConnector(limit=0, force_close=True),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT),
            auto_decompress=False,
            skip_auto_headers={"Accept", "Accept-Encoding", "Content-Type", "User-Agent"},
            max_line_size=MAX_HEADER,
            max_field_size=MAX_HEADER,
        )
        try:
            site = web.TCPSite(runner, host, port)
            try:
                await site.start()
            except OSError as error:
                raise ConfigurationError(
                    f"port {port} of {host} cannot be had ({_reason(error)}); stop what listens there, or choose "
                    "another"
                ) from None
            self._patient_until = time.monotonic() + self._patience
            self._start_watching()
            yield f"http://{_address(host, runner.addresses[0][1])}"
        finally:
            if self._watch is not None:
                self._watch.cancel()
            await runner.cleanup()
            await self._client.close()

    @property
    def state(self) -> str:
        """What the last check of an application that is not ready has shown; empty before the first."""
        return self._state

    async def wait_until_ready(self) -> None:
        """Return once the application has answered."""
        await self._ready.wait()

    def _start_watching(self) -> None:
        self._ready.clear()
        if self._watch is None or self._watch.done():
            self._watch = asyncio.create_task(self._watch_application())

    async def _watch_application(self) -> None:
        while not await self._answers():
            await asyncio.sleep(POLL_INTERVAL)
        self._ready.set()

    async def _answers(self) -> bool:
        """The health check: `GET /` without an identity is answered, if only by a refusal."""
        try:
            async with self._client.get(self._origin + "/", allow_redirects=False) as answer:
                self._state = f"GET / was answered with status {answer.status}."
                return answer.status < 500
        except aiohttp.ClientConnectorError:
            self._state = f"Nothing listens at {self._origin} yet."
        except (aiohttp.ClientError, TimeoutError) as error:
            self._state = f"GET / at {self._origin} was not answered ({type(error).__name__})."
        return False

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        refusal = self._refusal(request)
        if refusal is not None:
            return refusal
        path = below(self._prefix, request.raw_path)
        if path is None:
            return self._beside(request)
        visitor = await self._identify(request)
        if not isinstance(visitor, Visitor):
            is_starting = not self._ready.is_set() and time.monotonic() < self._patient_until
            return self._waiting(request) if is_starting and visitor.status == 403 else visitor
        self._note_activity()
        if not self._ready.is_set():
            return self._waiting(request)
        scheme = self._scheme(request) if self._scheme else request.scheme
        visit = _Visit(
            request,
            # As it was sent: an application may tell `%2F` from `/`.
            URL(self._origin + path, encoded=True),
            scheme,
            for_application(
                request.headers,
                visitor.headers(),
                host=request.host,
                scheme=scheme,
                remote=None if self._scheme else request.remote,
                prefix=self._prefix,
            ),
            _Permit(self._identify, request, visitor),
        )
        pass_on = self._pass_websocket if _is_websocket(request) else self._pass_request
        try:
            return await pass_on(visit)
        except aiohttp.ClientConnectorError:
            self._start_watching()
            return self._waiting(request)
        except (aiohttp.ClientError, TimeoutError) as error:
            return web.Response(
                status=502, text=f"The application did not answer this request ({type(error).__name__}); see its log.\n"
            )

    def _beside(self, request: web.BaseRequest) -> web.Response:
        """The answer to a path that is not the application's."""
        path, mark, query = request.raw_path.partition("?")
        if below(self._prefix, f"{path}/") == "/":
            return web.Response(status=302, headers={"Location": f"{self._prefix}{mark}{query}"})
        return web.Response(status=404, text=f"The application is at {self._prefix}\n")

    def _refusal(self, request: web.BaseRequest) -> web.Response | None:
        """The answer to a request that is passed to nobody."""
        if not request.raw_path.startswith("/"):
            return web.Response(status=400, text="This is no proxy to other servers: ask for a path.\n")
        if self._hosts is not None and _host_name(request.host) not in self._hosts:
            return web.Response(status=421, text="The application is not served under this name.\n")
        may_change = request.method not in _READ_ONLY or _is_websocket(request)
        if may_change and not is_own_origin(request.headers.get("Origin"), request.host):
            return web.Response(status=403, text="A page of another site cannot act here.\n")
        return None

    def _waiting(self, request: web.BaseRequest) -> web.Response:
        headers = {"Retry-After": "1", "Cache-Control": "no-store"}
        if request.method == "GET" and "text/html" in request.headers.get("Accept", ""):
            page = _WAITING_PAGE.format(state=html.escape(self._state))
            return web.Response(status=503, headers=headers, text=page, content_type="text/html")
        return web.Response(status=503, headers=headers, text=f"The application is starting. {self._state}\n")

    async def _pass_request(self, visit: _Visit) -> web.StreamResponse:
        request = visit.request
        async with self._client.request(
            request.method,
            visit.target,
            headers=visit.headers,
            data=request.content if request.can_read_body else None,
            allow_redirects=False,
        ) as answer:
            response = web.StreamResponse(
                status=answer.status,
                reason=answer.reason,
                headers=for_visitor(
                    answer.headers,
                    application=self._origin,
                    origin=f"{visit.scheme}://{request.host}",
                    prefix=self._prefix,
                ),
            )
            await response.prepare(request)
            try:
                async for block in answer.content.iter_any():
                    await visit.permit.require()
                    await response.write(block)
            except (aiohttp.ClientError, OSError, _Ended):
                # The visitor must not take half an answer for a whole one.
                if request.transport is not None:
                    request.transport.abort()
                return response
            await response.write_eof()
            return response

    async def _pass_websocket(self, visit: _Visit) -> web.StreamResponse:
        request = visit.request
        protocols = [name.strip() for name in request.headers.get("Sec-WebSocket-Protocol", "").split(",")]
        try:
            application = await self._client.ws_connect(
                visit.target,
                headers=visit.headers,
                protocols=list(filter(None, protocols)),
                max_msg_size=MAX_MESSAGE,
            )
        except aiohttp.WSServerHandshakeError as error:
            # What the application answered instead, such as 403 or 404.
            return web.Response(status=error.status if error.status >= 400 else 502)
        async with application:
            chosen = [application.protocol] if application.protocol else []
            visitor = web.WebSocketResponse(protocols=chosen, max_msg_size=MAX_MESSAGE)
            await visitor.prepare(request)
            directions = [
                asyncio.create_task(self._relay(visitor, application, self._note_activity)),
                asyncio.create_task(self._relay(application, visitor)),
                # Beside them, as a visit ends that is not allowed any more even if nobody says anything.
                asyncio.create_task(visit.permit.watch()),
            ]
            try:
                await asyncio.wait(directions, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for direction in directions:
                    direction.cancel()
                ends = await asyncio.gather(*directions, return_exceptions=True)
            if any(isinstance(end, _Ended) for end in ends):
                await visitor.close(code=aiohttp.WSCloseCode.POLICY_VIOLATION, message=b"log in again")
            return visitor

    async def _relay(self, source: _Socket, target: _Socket, note: Callable[[], None] = lambda: None) -> None:
        """Pass messages on until an end closes, and close the other end for the same reason."""
        while True:
            message = await source.receive()
            note()
            if message.type is aiohttp.WSMsgType.TEXT:
                await target.send_str(message.data)
            elif message.type is aiohttp.WSMsgType.BINARY:
                await target.send_bytes(message.data)
            else:
                closing = message.type is aiohttp.WSMsgType.CLOSE
                code = message.data if closing and message.data else aiohttp.WSCloseCode.GOING_AWAY
                await target.close(code=code, message=(message.extra or "").encode() if closing else b"")
                return

    def _note_activity(self) -> None:
        self.last_activity = time.time()


class _Ended(Exception):
    """Who may visit no more."""


class _Permit:
    """A visit that lasts, such as a websocket: it ends when the visitor may not visit any more."""

    def __init__(self, identify: Identify, request: web.BaseRequest, visitor: Visitor) -> None:
        self._identify = identify
        self._request = request
        self._visitor = visitor
        self._checked = time.monotonic()

    async def watch(self) -> None:
        """Ask again and again.

        Raises:
            _Ended: the visitor is no longer known as such.
        """
        while True:
            await asyncio.sleep(RECHECK_INTERVAL)
            await self._check()

    async def require(self) -> None:
        """Ask again, if it is time to.

        Raises:
            _Ended: the visitor is no longer known as such.
        """
        if time.monotonic() - self._checked < RECHECK_INTERVAL:
            return
        await self._check()

    async def _check(self) -> None:
        self._checked = time.monotonic()
        known = await self._identify(self._request)
        if isinstance(known, Visitor):
            ended = known.user_name != self._visitor.user_name
        else:
            # Who cannot be asked for has not been refused.
            ended = known.status != 503
        if ended:
            raise _Ended


@dataclasses.dataclass(frozen=True)
class _Visit:
    """A request that is passed on.

    Attributes:
        request: as the visitor sent it.
        target: where it goes.
        scheme: by which the visitor came.
        headers: what the application gets.
        permit: whether it may go on.
    """

    request: web.BaseRequest
    target: URL
    scheme: str
    headers: CIMultiDict[str]
    permit: _Permit


def _is_websocket(request: web.BaseRequest) -> bool:
    return request.method == "GET" and request.headers.get("Upgrade", "").lower() == "websocket"


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _host_name(host: str) -> str | None:
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None


def _reason(error: OSError) -> str:
    # asyncio's own text begins with what it tried to do, and ends with the reason.
    return os.strerror(error.errno) if error.errno else str(error)
