"""A JupyterHub, as the service that an Edge server is there: who a token is, who is in which group, and tokens.

It is asked by its REST API: https://jupyterhub.readthedocs.io/en/stable/reference/rest-api.html. What it answers is
checked, since it is another program: an answer that is not as described there is none.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import hmac
import http.cookiejar
import json
import logging
import random
import threading
import time
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import marshmallow
import requests
from marshmallow import fields, validate
from requests.adapters import HTTPAdapter

from edge_server.base.problems import Refusal
from edge_server.identity import hub_clients, hub_servers, hub_shares
from edge_server.identity.hub_clients import HubClient, ServiceSchema, ServicesSchema
from edge_server.identity.hub_servers import HubServer, ServersSchema, in_utc
from edge_server.identity.hub_shares import HubShare, ShareSchema

log = logging.getLogger("edge_server")

TIMEOUT = 2.0
"""Seconds to wait for a connection, and then for each part of an answer."""

MOST_BYTES = 16 << 20
"""Bytes of an answer; a page of groups names all of their members."""

PAGE = 200
"""Groups that are listed at once, as many as a hub allows by default."""

MOST_PAGES = 1000

CONNECTIONS = 64

PATIENCE = 1.0
"""Seconds to wait for a server to start or to stop, which the hub goes on with afterwards."""

SERVICE_SCOPES = (
    "list:groups",
    "read:groups",
    "read:users",
    "tokens",
    "list:users",
    "servers",
    "read:servers",
    "shares",
)
"""What the service's role has to permit at the hub."""

CLIENT_SCOPE = "admin:services"
"""What the service's role has to permit as well where external applications can be logged in to."""

_SERVICE_ACCESS = "access:services!service="

_PAGINATED = "application/jupyterhub-pagination+json"


class HubUnavailable(Refusal):
    """The hub does not tell whose a token is just now.

    Args:
        why: one sentence for the operator.
    """

    def __init__(self, why: str) -> None:
        super().__init__(
            503,
            "identity_unavailable",
            "the JupyterHub that knows this server's users does not answer just now, so that a token that was not used "
            "in the last seconds cannot be looked up; try again later, and tell the hub's operator if it lasts",
            # Those who have come together do not come again together.
            {"Retry-After": str(random.randint(1, 4))},  # noqa: S311  # spreads clients, hides nothing
        )
        self.why = why


class HubRefused(Exception):
    """The hub does not do what it is asked for; the message is its own sentence."""


@dataclasses.dataclass(frozen=True)
class Visitor:
    """Whom a token acts for.

    Attributes:
        kind: "user", or "service" for a program of the hub's.
        name: of the user.
        admin: whether the user is an admin of the hub.
        groups: the names of the user's groups.
        scopes: what the token may do at the hub.
        token_id: the token's id.
        is_login: whether the token comes from a login in a browser, to whatever the user has logged in to.
    """

    kind: str
    name: str
    admin: bool
    groups: frozenset[str]
    scopes: frozenset[str]
    token_id: str | None
    is_login: bool

    @property
    def clients(self) -> list[str]:
        """The services of external applications that the token names in its scopes."""
        services = (scope.removeprefix(_SERVICE_ACCESS) for scope in self.scopes if scope.startswith(_SERVICE_ACCESS))
        return sorted(name for name in services if name.startswith(hub_clients.PREFIX))


@dataclasses.dataclass(frozen=True)
class HubUser:
    """A user of the hub.

    Attributes:
        name: of the user.
        admin: whether the user is an admin of the hub.
        created: when the user was created, in UTC; another user of the name was created at another time.
        groups: the names of the user's groups.
    """

    name: str
    admin: bool
    created: str
    groups: frozenset[str]


@dataclasses.dataclass(frozen=True)
class Group:
    """A group of the hub.

    Attributes:
        name: of the group.
        users: the names of its members.
        properties: what the hub's operator has noted of it.
    """

    name: str
    users: frozenset[str]
    properties: Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class HubToken:
    """A token of the hub.

    Attributes:
        id: of the token, such as "a12"; a later token may have it again.
        scopes: what the token may do at the hub.
        note: what it is for.
        created_at: UTC.
        expires_at: UTC; None if it does not expire.
        last_used_at: UTC; None if it was not used.
        client: what the hub calls the OAuth client that has it.
        value: the token itself, where it was created.
    """

    id: str
    scopes: frozenset[str]
    note: str | None
    created_at: dt.datetime
    expires_at: dt.datetime | None
    last_used_at: dt.datetime | None
    client: str = hub_clients.OWN_TOKENS
    value: str | None = dataclasses.field(default=None, repr=False)

    @property
    def number(self) -> int:
        """The digits of the id, which grow from token to token."""
        return int(self.id[1:])


class Hub:
    """A JupyterHub.

    Args:
        api_url: of its REST API, such as ``http://127.0.0.1:8081/hub/api``.
        token: of the service.
        service: name of the service.
        ca: a file with the certificates that its own is trusted by; None for those that are known to all.

    Attributes:
        service: name of the service.
        api_url: of its REST API.
    """

    def __init__(self, api_url: str, token: str, service: str, ca: Path | None = None) -> None:
        self.api_url = api_url
        self.service = service
        self._token = token
        self._http = requests.Session()
        # Neither proxies nor what a .netrc says is for this.
        self._http.trust_env = False
        self._http.verify = True if ca is None else str(ca)
        # A cookie that comes with the answer for one token must not go along with another one.
        self._http.cookies.set_policy(http.cookiejar.DefaultCookiePolicy(allowed_domains=[]))
        for scheme in ("http://", "https://"):
            self._http.mount(scheme, HTTPAdapter(pool_maxsize=CONNECTIONS))
        self._state_lock = threading.Lock()
        self._is_away = False

    @property
    def scope(self) -> str:
        """What a token has to have to be good for this service."""
        return f"{_SERVICE_ACCESS}{self.service}"

    def is_own(self, token: str) -> bool:
        """Whether a token is the service's own; it takes as long for a wrong one, however much of it is right."""
        return hmac.compare_digest(token.encode("utf-8", "surrogatepass"), self._token.encode())

    def permits(self, scopes: Collection[str]) -> bool:
        """Whether a token with these scopes is good for this service."""
        return self.scope in scopes or "access:services" in scopes

    def visitor(self, token: str) -> Visitor | None:
        """Whom a token acts for; None if the hub does not know it.

        Raises:
            HubUnavailable: the hub does not say.
        """
        status, answer = self._send("GET", "/user", token=token)
        if status in (401, 403):
            return None
        if status != 200:
            raise self._unavailable(f"it answers a token with {status}")
        model = self._loaded(_VisitorSchema(), answer)
        return Visitor(
            kind=model["kind"],
            name=model["name"],
            admin=model["admin"],
            groups=frozenset(model["groups"]),
            scopes=frozenset(model["scopes"]),
            token_id=model["token_id"],
            is_login=model["session_id"] is not None,
        )

    def user(self, name: str) -> HubUser | None:
        """A user; None if there is none of that name.

        Raises:
            HubUnavailable: the hub does not say.
        """
        answer = self._get(f"/users/{_quoted(name)}", "read:users")
        if answer is None:
            return None
        model = self._loaded(_UserSchema(), answer)
        if model["name"] != name:
            raise self._unavailable("it answers with another user than it was asked for")
        return HubUser(name, model["admin"], in_utc(model["created"]).isoformat(), frozenset(model["groups"]))

    def groups(self) -> list[Group]:
        """All groups.

        Raises:
            HubUnavailable: the hub does not say.
        """
        return [
            Group(model["name"], frozenset(model["users"]), model["properties"] or {})
            for model in self._listed("/groups?", "list:groups", _GroupPageSchema())
        ]

    def active_servers(self) -> list[HubServer]:
        """The servers of all users that run, start or stop.

        Raises:
            HubUnavailable: the hub does not say.
        """
        servers: list[HubServer] = []
        path = "/users?state=active&include_stopped_servers=0&"
        for model in self._listed(path, "list:users and read:servers", _UserPageSchema()):
            servers += hub_servers.servers_of(model["name"], model["servers"])
        return servers

    def servers(self, user_name: str) -> list[HubServer]:
        """The servers of a user that run, start or stop; none if there is no user of that name.

        Raises:
            HubUnavailable: the hub does not say.
        """
        answer = self._get(f"/users/{_quoted(user_name)}?include_stopped_servers=0", "read:servers")
        if answer is None:
            return []
        model = self._loaded(ServersSchema(), answer)
        if model["name"] != user_name:
            raise self._unavailable("it answers with another user than it was asked for")
        return hub_servers.servers_of(user_name, model["servers"])

    def has_server(self, user_name: str, server_name: str) -> bool:
        """Whether a user has a server of that name, whether or not it runs.

        Raises:
            HubUnavailable: the hub does not say.
        """
        path = f"/users/{_quoted(user_name)}/servers/{_quoted(server_name)}"
        return self._get(path, "read:servers") is not None

    def start_server(self, user_name: str, server_name: str, options: Mapping[str, Any]) -> None:
        """Have the hub start a server of a user, which may take longer than this.

        Args:
            user_name: whose.
            server_name: its name.
            options: what the hub tells who prepares the start.

        Raises:
            HubRefused: the hub does not start it.
            HubUnavailable: the hub does not answer.
        """
        path = f"/users/{_quoted(user_name)}/servers/{_quoted(server_name)}"
        status, answer = self._send("POST", path, body=options, patience=PATIENCE)
        # 424 is what edge-hub says where something else is at fault, 500 a start that failed, and 429 a hub that starts
        # as many as it may.
        if status in (400, 403, 404, 409, 422, 424, 429, 500) and _is_refusal(answer, status):
            raise HubRefused(_message(answer))
        if status not in (201, 202):
            raise self._forbidden("servers", status)

    def stop_server(self, user_name: str, server_name: str, *, forget: bool = False) -> None:
        """Have the hub stop a server of a user, which may take longer than this, or be done already.

        Args:
            user_name: whose.
            server_name: its name.
            forget: whether the hub forgets it then, with what it is shared with.

        Raises:
            HubRefused: the hub does not stop it.
            HubUnavailable: the hub does not answer.
        """
        path = f"/users/{_quoted(user_name)}/servers/{_quoted(server_name)}"
        status, answer = self._send("DELETE", path, body={"remove": True} if forget else None, patience=PATIENCE)
        if status in (400, 500) and _is_refusal(answer, status):
            raise HubRefused(_message(answer))
        if status not in (202, 204, 404):
            raise self._forbidden("servers", status)

    def shares(self, owner: str) -> list[HubShare]:
        """With whom a user's servers are shared, those that are stopped among them.

        Raises:
            HubUnavailable: the hub does not say.
        """
        return self._shares(f"/shares/{_quoted(owner)}?")

    def shared_with(self, user_name: str) -> list[HubShare]:
        """What is shared with a user, or with a group that the user is in.

        Raises:
            HubUnavailable: the hub does not say.
        """
        return self._shares(f"/users/{_quoted(user_name)}/shared?")

    def share(self, share: HubShare) -> None:
        """Let a user, or the members of a group, visit a server; who may already goes on.

        Raises:
            HubRefused: the hub does not do it.
            HubUnavailable: the hub does not answer.
        """
        path = f"/shares/{_quoted(share.owner)}/{_quoted(share.server_name)}"
        status, answer = self._send("POST", path, body=share.recipient)
        if status in (400, 404) and _is_refusal(answer, status):
            raise HubRefused(_message(answer))
        if status != 200:
            raise self._forbidden("shares", status)

    def unshare(self, share: HubShare) -> None:
        """Let a user, or the members of a group, visit a server no more; it may be so already.

        Raises:
            HubUnavailable: the hub does not answer.
        """
        path = f"/shares/{_quoted(share.owner)}/{_quoted(share.server_name)}"
        status, _ = self._send("PATCH", path, body=share.recipient)
        if status not in (200, 404):
            raise self._forbidden("shares", status)

    def token(self, user_name: str, token_id: str) -> HubToken | None:
        """A token of a user; None if there is none of that id.

        Raises:
            HubUnavailable: the hub does not say.
        """
        answer = self._get(f"/users/{_quoted(user_name)}/tokens/{_quoted(token_id)}", "tokens")
        return None if answer is None else _token(self._loaded(_TokenSchema(), answer))

    def tokens(self, user_name: str) -> list[HubToken]:
        """The tokens of a user, the oldest first; none if there is no user of that name.

        Raises:
            HubUnavailable: the hub does not say.
        """
        answer = self._get(f"/users/{_quoted(user_name)}/tokens", "tokens")
        if answer is None:
            return []
        models = self._loaded(_TokenListSchema(), answer)["api_tokens"]
        return sorted((_token(model) for model in models), key=lambda token: token.number)

    def create_token(self, user_name: str, note: str | None, expires_in: int | None) -> HubToken:
        """Create a token of a user that is good for this service and nothing else.

        Args:
            user_name: whom it acts for.
            note: what it is for.
            expires_in: seconds; None for as long as the hub allows.

        Raises:
            HubRefused: the hub does not create it.
            HubUnavailable: the hub does not answer.
        """
        body = {"note": note, "expires_in": expires_in, "scopes": [self.scope]}
        status, answer = self._send("POST", f"/users/{_quoted(user_name)}/tokens", body=body)
        if status == 400:
            raise HubRefused(_message(answer))
        if status != 201:
            raise self._forbidden("tokens", status)
        token = _token(self._loaded(_TokenSchema(), answer))
        if not token.value:
            raise self._unavailable("it created a token and does not tell its value")
        return token

    def remove_token(self, user_name: str, token_id: str) -> None:
        """Remove a token of a user, which may be gone already.

        Raises:
            HubUnavailable: the hub does not answer.
        """
        status, _ = self._send("DELETE", f"/users/{_quoted(user_name)}/tokens/{_quoted(token_id)}")
        if status not in (204, 404):
            raise self._forbidden("tokens", status)

    def clients(self) -> dict[str, str] | None:
        """The OAuth clients that this server has registered: the names of their services, with their marks.

        None if the hub does not let this server register any.

        Raises:
            HubUnavailable: the hub does not say.
        """
        status, answer = self._send("GET", "/services")
        if status == 403:
            return None
        if status != 200:
            raise self._forbidden(CLIENT_SCOPE, status)
        models = self._loaded(ServicesSchema(), {"services": answer})["services"]
        marks = {name: hub_clients.mark_of(model["info"], self.service) for name, model in models.items()}
        return {name: mark for name, mark in marks.items() if mark is not None}

    def client(self, name: str) -> str | None:
        """The mark of an OAuth client that this server has registered; None if there is none of that name.

        Raises:
            HubUnavailable: the hub does not say.
        """
        answer = self._get(f"/services/{_quoted(name)}", CLIENT_SCOPE)
        model = None if answer is None else self._loaded(ServiceSchema(), answer)
        return None if model is None else hub_clients.mark_of(model["info"], self.service)

    def put_client(self, client: HubClient) -> None:
        """Register an OAuth client, in place of one of the name that this server has registered.

        What the one before has let in has to log in again: a hub cannot change a client.

        Raises:
            HubRefused: the hub does not register it.
            HubUnavailable: the hub does not answer.
        """
        status, message = self._add_client(client)
        # Twice if another process of this server adds it at the same moment.
        for _ in range(2):
            if status == 409 and self.client(client.name) is not None:
                self.remove_client(client.name)
                status, message = self._add_client(client)
        if status == 403:
            raise HubRefused(
                "its operator does not let this server do it, which takes external_apps=True of edge_hub.configure, "
                f"or the scope {CLIENT_SCOPE} in the role of the service {self.service}"
            )
        if status in (400, 409):
            raise HubRefused(message)
        if status != 201:
            raise self._forbidden(CLIENT_SCOPE, status)

    def _add_client(self, client: HubClient) -> tuple[int, str]:
        """Status and sentence of the hub's answer."""
        body = client.model(self.service, self.scope)
        status, answer = self._send("POST", f"/services/{_quoted(client.name)}", body=body)
        return status, _message(answer)

    def remove_client(self, name: str) -> None:
        """Remove an OAuth client with all that its logins have brought; it may be gone already.

        Raises:
            HubRefused: the hub does not remove it.
            HubUnavailable: the hub does not answer.
        """
        status, answer = self._send("DELETE", f"/services/{_quoted(name)}")
        if status in (400, 405):
            raise HubRefused(_message(answer))
        if status not in (200, 204, 404):
            raise self._forbidden(CLIENT_SCOPE, status)

    def trial(self) -> str:
        """What an operator is told of the hub.

        Raises:
            HubUnavailable: it cannot be used; its attribute `why` says why.
        """
        status, answer = self._send("GET", "/user")
        if status != 200:
            raise self._forbidden("tokens", status)
        model = self._loaded(_ServiceSchema(), answer)
        if model["kind"] != "service" or model["name"] != self.service:
            raise self._unavailable(
                f"api_token is that of the {model['kind']} {model['name']}, not of the service {self.service}"
            )
        missing = [scope for scope in SERVICE_SCOPES if scope not in model["scopes"]]
        if missing:
            raise self._unavailable(f"the role of the service {self.service} lacks the scopes {', '.join(missing)}")
        missing = [scope for scope in (CLIENT_SCOPE, self.scope) if scope not in model["scopes"]]
        logins = f"; for external applications its role lacks the scopes {', '.join(missing)}" if missing else ""
        return f"the JupyterHub at {self.api_url} knows the service {self.service}{logins}"

    # --- the wire

    def _shares(self, path: str) -> list[HubShare]:
        models = self._listed(path, "shares", _SharePageSchema(), may_be_gone=True)
        return [hub_shares.share_of(model) for model in models]

    def _listed(
        self, path: str, scope: str, schema: marshmallow.Schema, *, may_be_gone: bool = False
    ) -> Iterator[Mapping[str, Any]]:
        """The items of a list that comes in pages; none of what is gone, if it may be."""
        offset = 0
        for _ in range(MOST_PAGES):
            answer = self._get(f"{path}offset={offset}&limit={PAGE}", scope, accept=_PAGINATED)
            if answer is None and may_be_gone:
                return
            page = self._loaded(schema, answer)
            yield from page["items"]
            following = page["pagination"]["next"]
            if following is None:
                return
            if following["offset"] <= offset:
                break
            offset = following["offset"]
        raise self._unavailable(f"its list of {path[1:].partition('?')[0]} has no end")

    def _get(self, path: str, scope: str, *, accept: str = "application/json") -> Any:
        """What the service is answered; None for 404."""
        status, answer = self._send("GET", path, accept=accept)
        if status == 404:
            return None
        if status != 200:
            raise self._forbidden(scope, status)
        return answer

    def _send(
        self,
        method: str,
        path: str,
        *,
        token: str | None = None,
        body: Mapping[str, Any] | None = None,
        accept: str = "application/json",
        patience: float | None = None,
    ) -> tuple[int, Any]:
        """Status and JSON of an answer, which may be a refusal; None for no content.

        With `patience`, seconds, what takes the hub longer is answered as accepted (202), and a failure of what was
        asked for is an answer like others.

        Raises:
            HubUnavailable: there is no answer, or none of a hub.
        """
        headers = {"Authorization": f"token {self._token if token is None else token}", "Accept": accept}
        deadline = time.monotonic() + 2 * TIMEOUT
        try:
            with self._http.request(
                method,
                f"{self.api_url}{path}",
                headers=headers,
                json=body,
                timeout=TIMEOUT if patience is None else (TIMEOUT, patience),
                allow_redirects=False,
                stream=True,
            ) as response:
                content = b"".join(_within(response, deadline))
                status = response.status_code
        except requests.exceptions.SSLError:
            raise self._unavailable("its certificate is not trusted; name the file of its CA by ca") from None
        except requests.exceptions.Timeout as error:
            if patience is not None and not isinstance(error, requests.exceptions.ConnectTimeout):
                return 202, None
            raise self._unavailable(f"it did not answer within {TIMEOUT:g} s") from None
        except (requests.exceptions.RequestException, _Endless) as error:
            why = str(error) if isinstance(error, _Endless) else type(error).__name__
            raise self._unavailable(f"it cannot be reached ({why})") from None
        is_answer = patience is not None and status in (429, 500)
        if (status >= 500 or status == 429 or 300 <= status < 400) and not is_answer:
            raise self._unavailable(f"it answers with {status}")
        if status == 204 or (not content and (status != 200 or method == "DELETE")):
            return status, None
        try:
            answer = json.loads(content)
        except (ValueError, RecursionError):
            raise self._unavailable(f"it answers with {status} and what is not JSON") from None
        self._note_answer()
        return status, answer

    def _loaded(self, schema: marshmallow.Schema, answer: Any) -> Any:
        try:
            return schema.load(answer)
        except (marshmallow.ValidationError, TypeError, ValueError) as error:
            field = next(iter(error.messages), "") if isinstance(error, marshmallow.ValidationError) else ""
            raise self._unavailable(f"it answers with JSON that is not as described, at {field!r:.40}") from None

    def _forbidden(self, scope: str, status: int) -> HubUnavailable:
        return self._unavailable(
            f"it answers the service {self.service} with {status}; correct api_token, and give the service's role "
            f"the scope {scope}"
        )

    def _unavailable(self, why: str) -> HubUnavailable:
        """What is raised; the first time it is logged, until the hub answers again."""
        with self._state_lock:
            was_away, self._is_away = self._is_away, True
        if not was_away:
            log.error("the JupyterHub at %s cannot be used: %s", self.api_url, why)
        return HubUnavailable(why)

    def _note_answer(self) -> None:
        if self._is_away:
            with self._state_lock:
                was_away, self._is_away = self._is_away, False
            if was_away:
                log.info("the JupyterHub at %s answers again", self.api_url)


class _Endless(Exception):
    """An answer does not end in time, or is too long."""


def _within(response: requests.Response, deadline: float) -> Iterator[bytes]:
    size = 0
    for block in response.iter_content(1 << 16):
        size += len(block)
        if size > MOST_BYTES:
            raise _Endless("its answer is too long")
        if time.monotonic() > deadline:
            raise _Endless("its answer does not end")
        yield block


def _quoted(name: str) -> str:
    return quote(name, safe="")


def _message(answer: Any) -> str:
    message = answer.get("message") if isinstance(answer, dict) else None
    return " ".join(str(message or "it does not say why").split())[:200]


def _is_refusal(answer: Any, status: int) -> bool:
    """Whether an answer is the hub's own word, and not that of what stands in front of it."""
    return isinstance(answer, dict) and answer.get("status") == status


def _token(model: Mapping[str, Any]) -> HubToken:
    return HubToken(
        id=model["id"],
        scopes=frozenset(model["scopes"]),
        note=model["note"] or None,
        created_at=in_utc(model["created"]),
        expires_at=in_utc(model["expires_at"]),
        last_used_at=in_utc(model["last_activity"]),
        client=model["oauth_client"],
        value=model["token"],
    )


# --- what a hub answers, as far as it matters here


class _Model(marshmallow.Schema):
    class Meta:
        unknown = marshmallow.EXCLUDE


def _name() -> fields.String:
    return fields.String(required=True, validate=validate.Length(1, 255))


def _names() -> fields.List[Any]:
    return fields.List(fields.String(), required=True)


def _moment() -> fields.DateTime:
    return fields.DateTime(format="iso", required=True)


def _optional_moment() -> fields.DateTime:
    return fields.DateTime(format="iso", load_default=None, allow_none=True)


_TOKEN_ID = validate.Regexp(r"a[0-9]{1,18}\Z")


class _VisitorSchema(_Model):
    kind = fields.String(required=True, validate=validate.OneOf(["user", "service"]))
    name = _name()
    admin = fields.Boolean(truthy={True}, falsy={False}, load_default=False)
    groups = fields.List(fields.String(), load_default=list)
    scopes = _names()
    token_id = fields.String(load_default=None, allow_none=True, validate=_TOKEN_ID)
    session_id = fields.String(load_default=None, allow_none=True)


class _ServiceSchema(_Model):
    kind = fields.String(required=True)
    name = _name()
    scopes = _names()


class _UserSchema(_Model):
    name = _name()
    admin = fields.Boolean(required=True, truthy={True}, falsy={False})
    created = _moment()
    groups = _names()


class _GroupSchema(_Model):
    name = _name()
    users = _names()
    properties = fields.Dict(keys=fields.String(), load_default=dict, allow_none=True)


class _NextSchema(_Model):
    offset = fields.Integer(required=True, strict=True)


class _PaginationSchema(_Model):
    next = fields.Nested(_NextSchema(), required=True, allow_none=True)


class _GroupPageSchema(_Model):
    items = fields.List(fields.Nested(_GroupSchema()), required=True)
    pagination = fields.Nested(_PaginationSchema(), required=True, data_key="_pagination")


class _UserPageSchema(_Model):
    items = fields.List(fields.Nested(ServersSchema()), required=True)
    pagination = fields.Nested(_PaginationSchema(), required=True, data_key="_pagination")


class _SharePageSchema(_Model):
    items = fields.List(fields.Nested(ShareSchema()), required=True)
    pagination = fields.Nested(_PaginationSchema(), required=True, data_key="_pagination")


class _TokenSchema(_Model):
    id = fields.String(required=True, validate=_TOKEN_ID)
    scopes = _names()
    note = fields.String(load_default=None, allow_none=True)
    created = _moment()
    expires_at = _optional_moment()
    last_activity = _optional_moment()
    oauth_client = fields.String(load_default=hub_clients.OWN_TOKENS)
    token = fields.String(load_default=None, allow_none=True)


class _TokenListSchema(_Model):
    api_tokens = fields.List(fields.Nested(_TokenSchema()), required=True)
