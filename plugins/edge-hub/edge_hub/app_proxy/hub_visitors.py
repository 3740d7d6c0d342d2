"""Who visits an application that a JupyterHub has started: the hub says so, to each browser and for each request."""

from __future__ import annotations

import asyncio
import hmac
import json
import secrets
import types
from collections.abc import Awaitable, Mapping
from typing import Any, Protocol, Self
from urllib.parse import urlencode, urlsplit

from aiohttp import web
from jupyterhub import __version__ as hub_version
from jupyterhub.httpclient import JupyterHubHTTPClient
from jupyterhub.services.auth import HubOAuth
from jupyterhub.utils import get_browser_protocol
from tornado.web import HTTPError, create_signed_value, decode_signed_value

from edge_core.errors import ConfigurationError
from edge_hub.app_proxy.headers import below
from edge_hub.app_proxy.visitors import EdgeAway, Visitor


class Describe(Protocol):
    """Tells of users."""

    async def __call__(self, user_name: str, *, is_let_in: bool) -> Visitor | None:
        """What is known of a user; None for who may not visit.

        Args:
            user_name: the user.
            is_let_in: whether the user's token lets them in.

        Raises:
            EdgeAway: nobody says.
        """
        ...


CACHE_TIME = 5
"""Seconds for which the hub's word on a visitor is good."""

HUB_TIMEOUT = 5.0
"""Seconds that the hub has for an answer."""

LOGIN_TIME = 600
"""Seconds in which a login that was begun can end."""

COOKIE_DAYS = 14
"""Days after which a browser asks the hub again, as long as the hub's own logins last."""

_LONGEST_PAGE = 2000
"""Bytes of the address of a page that a login leads back to: browsers keep cookies of 4096 bytes."""


class HubAway(Exception):
    """The hub does not answer."""


class HubVisitors:
    """Says who sent a request, by the hub's OAuth. A call is what `AppProxy` takes as `identify`.

    The browser keeps the visitor's token of the hub in a signed cookie, which neither scripts nor the application see;
    the key of the signature lives as long as the process, after which browsers log in anew, without being asked.
    """

    def __init__(self, environment: Mapping[str, str], describe: Describe) -> None:
        """Take what the hub has said at the start.

        Args:
            environment: the process's variables.
            describe: says what is known of a user.

        Raises:
            ConfigurationError: the hub has not said what is needed.
        """
        for name in ("API_TOKEN", "API_URL", "CLIENT_ID", "OAUTH_ACCESS_SCOPES", "SERVICE_PREFIX"):
            if not environment.get(f"JUPYTERHUB_{name}"):
                raise ConfigurationError(
                    f"JUPYTERHUB_{name} is not set, which a JupyterHub sets for what it starts; with "
                    "EDGE_APP_IDENTITY=hub, let a JupyterHub start the application"
                )
        self._hub = HubOAuth(
            api_token=environment["JUPYTERHUB_API_TOKEN"],
            api_url=environment["JUPYTERHUB_API_URL"],
            base_url=environment["JUPYTERHUB_SERVICE_PREFIX"],
            oauth_client_id=environment["JUPYTERHUB_CLIENT_ID"],
            access_scopes=set(json.loads(environment["JUPYTERHUB_OAUTH_ACCESS_SCOPES"])),
            cache_max_age=CACHE_TIME,
        )
        if not self._hub.access_scopes:
            raise ConfigurationError(
                "JUPYTERHUB_OAUTH_ACCESS_SCOPES names no scope, so that every user of the hub could visit the "
                "application; let a JupyterHub of version 6 or newer start it"
            )
        self._public_url = environment.get("JUPYTERHUB_PUBLIC_URL", "")
        self._describe = describe
        self._key = secrets.token_bytes(32)
        self._callback = f"{self.prefix}oauth_callback"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await JupyterHubHTTPClient.loop_instance().close()

    @property
    def prefix(self) -> str:
        """Path that the application's addresses begin with, with a slash at both ends."""
        return str(self._hub.base_url)

    async def __call__(self, request: web.BaseRequest) -> Visitor | web.StreamResponse:
        """The visitor, if the hub says that they may visit; else what to answer."""
        try:
            if below(self.prefix, request.raw_path.partition("?")[0]) == "/oauth_callback":
                return await self._finish_login(request)
            return await self._identify(request)
        except HubAway:
            return _answer(
                503,
                "The hub does not answer, so that nobody can be let in; try again in a moment.",
                {"Retry-After": "5"},
            )
        except EdgeAway:
            return _answer(
                503,
                "Edge does not answer, which knows whom this application is shared with; try again in a moment.",
                {"Retry-After": "5"},
            )

    def scheme(self, request: web.BaseRequest) -> str:
        """The scheme of the address in the visitor's browser: the hub's proxy is in between."""
        scheme = urlsplit(self._public_url).scheme
        return scheme or str(
            get_browser_protocol(types.SimpleNamespace(headers=request.headers, protocol=request.scheme))
        )

    async def _identify(self, request: web.BaseRequest) -> Visitor | web.StreamResponse:
        token = self._read(request, self._hub.cookie_name, COOKIE_DAYS)
        if token is None:
            return self._begin_login(request)
        model = await self._user(request, token)
        if model is None:
            # Revoked at the hub, or it has logged out there.
            return self._begin_login(request)
        name = model.get("name")
        if model.get("kind") != "user" or not isinstance(name, str):
            return _not_shared(name)
        is_let_in = bool(self._hub.check_scopes(self._hub.access_scopes, model))
        return await self._describe(name, is_let_in=is_let_in) or _not_shared(name)

    def _begin_login(self, request: web.BaseRequest) -> web.Response:
        """Send a browser that opens a page to the hub, and refuse all else."""
        if not _opens_page(request):
            return _answer(403, "This is for users of the hub who may visit it; open its page in a browser to log in.")
        state = secrets.token_urlsafe(16)
        verifier, challenge, method = self._hub.generate_pkce_code_challenge()
        page = request.raw_path if len(request.raw_path) <= _LONGEST_PAGE else self.prefix
        query = {"state": state, "code_challenge": challenge, "code_challenge_method": method}
        response = _answer(302, "", {"Location": f"{self._hub.login_url}&{urlencode(query)}"})
        kept = json.dumps({"state": state, "verifier": verifier, "page": page})
        self._write(request, response, self._state_cookie(state), kept, LOGIN_TIME)
        return response

    async def _finish_login(self, request: web.BaseRequest) -> web.Response:
        """Take the hub's answer to a login that this browser has begun here."""
        state = request.query.get("state", "")
        cookie = self._state_cookie(state)
        kept = json.loads(self._read(request, cookie, LOGIN_TIME / 86400) or "{}")
        if not state or not hmac.compare_digest(kept.get("state", "").encode(), state.encode()):
            return _answer(403, "This login was not begun here, or too long ago; open the application's page again.")
        code = request.query.get("code", "")
        if not code:
            return _answer(403, "The hub has let nobody in; open the application's page again.")
        try:
            token = await _ask(self._hub.token_for_code(code, code_verifier=kept["verifier"], sync=False))
        except HTTPError:
            return _answer(403, "The hub does not know this login; open the application's page again.")
        response = _answer(302, "", {"Location": kept["page"]})
        response.del_cookie(cookie, path=self._hub.cookie_path)
        self._write(request, response, self._hub.cookie_name, token, None)
        return response

    async def _user(self, request: web.BaseRequest, token: str) -> dict[str, Any] | None:
        # A logout at the hub changes its session's id, and with that the key of what is kept of its word.
        session = request.cookies.get("jupyterhub-session-id", "")
        try:
            model: dict[str, Any] | None = await _ask(self._hub.user_for_token(token, session_id=session, sync=False))
        except HTTPError:
            raise HubAway from None
        return model

    def _state_cookie(self, state: str) -> str:
        # One of its own for each, as browsers open several pages at a time.
        name = "".join(letter for letter in state[:8] if letter.isascii() and letter.isalnum())
        return f"{self._hub.state_cookie_name}-{name}"

    def _read(self, request: web.BaseRequest, name: str, days: float) -> str | None:
        value = request.cookies.get(name)
        signed = decode_signed_value(self._key, name, value, max_age_days=days) if value else None
        return signed.decode() if signed else None

    def _write(
        self, request: web.BaseRequest, response: web.Response, name: str, value: str, seconds: int | None
    ) -> None:
        signed = create_signed_value(self._key, name, value).decode()
        response.set_cookie(
            name,
            signed,
            path=self._hub.cookie_path,
            max_age=seconds,
            httponly=True,
            secure=self.scheme(request) == "https" or self._hub.cookie_host_prefix_enabled,
            samesite="Lax",
        )


async def _ask(answer: Awaitable[Any]) -> Any:
    """Wait for an answer of the hub.

    Raises:
        HubAway: it does not come.
        HTTPError: the hub refuses.
    """
    try:
        async with asyncio.timeout(HUB_TIMEOUT):
            return await answer
    except TimeoutError:
        raise HubAway from None
    except HTTPError as error:
        # Of a hub that cannot be reached there is the error of the connection as well.
        if error.status_code == 502 or error.__context__ is not None:
            raise HubAway from None
        raise


def _opens_page(request: web.BaseRequest) -> bool:
    mode = request.headers.get("Sec-Fetch-Mode")
    is_page = "text/html" in request.headers.get("Accept", "") if mode is None else mode == "navigate"
    return request.method == "GET" and is_page and request.headers.get("Upgrade") is None


def _not_shared(name: str | None) -> web.Response:
    sentence = f"{name} may not visit this application; its owner can share it with members of the organization."
    return _answer(403, sentence)


def _answer(status: int, sentence: str, headers: Mapping[str, str] | None = None) -> web.Response:
    # The hub looks for its version in what it has started.
    own = {"Cache-Control": "no-store", "X-JupyterHub-Version": hub_version}
    return web.Response(status=status, headers={**own, **(headers or {})}, text=f"{sentence}\n" if sentence else None)
