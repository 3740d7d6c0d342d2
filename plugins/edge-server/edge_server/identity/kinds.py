"""Who says whose a token is, as the operator sets it under [identity]: this server itself, or a JupyterHub."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any, Protocol
from urllib.parse import urlsplit

import marshmallow
from marshmallow import fields, validate

from edge_server.base.configuration import Configuration, Secret
from edge_server.base.problems import CannotStart, Refusal
from edge_server.identity import token_values

SECTION = "identity"

OWN, JUPYTERHUB = "own", "jupyterhub"

SERVICE = "api"
"""How a hub calls the service, unless the operator says otherwise: its addresses begin with ``/services/api``."""


class Identity(Protocol):
    """What says whose a token is.

    Attributes:
        renewal: what to do about a token that has ended, for a sentence.
    """

    @property
    def renewal(self) -> str: ...

    def digest_of(self, value: str) -> str:
        """What the database knows a token by; it may still be none that is there.

        Raises:
            Refusal: it cannot be good.
        """
        ...

    def is_hub(self, value: str) -> bool:
        """Whether a token is that of a hub whose service this server is."""
        ...


class OwnTokens:
    """The tokens that this server makes."""

    renewal = (
        "make a new one, or ask the server's operator for one (edge server env); before it expires, "
        "`edge login --renew` renews that of a profile"
    )

    def digest_of(self, value: str) -> str:
        """What the database knows a token by, if it has the form of one."""
        if token_values.is_well_formed(value):
            return token_values.digest(value)
        if value.startswith(token_values.PREFIX):
            raise unauthenticated("the API token is mistyped or cut off; copy it again, or make a new one")
        raise unknown()

    def is_hub(self, value: str) -> bool:
        """Whether a token is a hub's: there is none."""
        return False


def unauthenticated(detail: str) -> Refusal:
    """The token is not good."""
    return Refusal(401, "unauthenticated", detail, {"WWW-Authenticate": "Bearer"})


def unknown() -> Refusal:
    """The token is none that is there."""
    return unauthenticated("the API token is unknown, expired or removed; make a new one")


class _ApiUrl(fields.String):
    """The address of a hub's REST API."""

    default_error_messages = {"invalid": 'write the address of the hub\'s API, such as "http://127.0.0.1:8081/hub/api"'}

    def _deserialize(self, value: Any, *rest: Any, **options: Any) -> str:
        text: str = super()._deserialize(value, *rest, **options).rstrip("/")
        try:
            parts = urlsplit(text)
            is_address = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:
            raise self.make_error("invalid") from None
        if not is_address or parts.username is not None or parts.query or parts.fragment:
            raise self.make_error("invalid")
        if not parts.path.endswith("/api"):
            raise marshmallow.ValidationError("the path of a hub's API ends with /hub/api; write it whole")
        return text


class IdentitySettings(marshmallow.Schema):
    """What the operator can set under [identity]."""

    kind = fields.String(
        load_default=OWN,
        validate=validate.OneOf([OWN, JUPYTERHUB], error='write "own" or "jupyterhub"'),
        error_messages={"invalid": 'write "own" or "jupyterhub"'},
    )
    api_url = _ApiUrl(load_default=None)
    api_token = Secret(load_default=None, validate=validate.Length(min=1, error="write the token of the hub's service"))
    service = fields.String(
        load_default=None, validate=validate.Regexp(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}\Z", error="this is no service")
    )
    ca = fields.String(
        load_default=None, error_messages={"invalid": 'write the path of a file, such as "/etc/edge/hub-ca.pem"'}
    )
    join_users = fields.List(fields.String(), load_default=list)
    join_organizations = fields.List(fields.String(), load_default=list)


def kind_of(settings: Configuration) -> str:
    """Who says whose a token is: `OWN` or `JUPYTERHUB`.

    Raises:
        CannotStart: the settings cannot be used.
    """
    kind: str = settings.section(SECTION, IdentitySettings())["kind"]
    return kind


def identity_of(
    settings: Configuration, threads: Callable[[], int], environment: Mapping[str, str] = os.environ
) -> Identity:
    """The identity of a server; nobody is asked yet.

    A hub that starts the server itself gives it what it needs in its environment; what is set counts before that.

    Args:
        settings: the operator's.
        threads: tells how many threads of the process answer requests.
        environment: the variables of the process.

    Raises:
        CannotStart: the settings cannot be used.
    """
    section: dict[str, Any] = settings.section(SECTION, IdentitySettings())
    if section["kind"] == OWN:
        others = [name for name, value in section.items() if name != "kind" and value]
        if others:
            raise CannotStart(f'[identity] {others[0]} is set, and kind is "own"; set kind to "jupyterhub" as well')
        return OwnTokens()
    # Servers that a hub spawns have a token as well, and no service's name.
    by_hub = environment if environment.get("JUPYTERHUB_SERVICE_NAME") else {}
    api_url: str = section["api_url"] or by_hub.get("JUPYTERHUB_API_URL", "")
    api_token: str = section["api_token"] or by_hub.get("JUPYTERHUB_API_TOKEN", "")
    for name, value in (("api_url", api_url), ("api_token", api_token)):
        if not value:
            raise CannotStart(f"[identity] {name} is missing, which a JupyterHub needs; set it")
    from edge_server.identity.hub import Hub
    from edge_server.identity.hub_identity import HubIdentity

    service = section["service"] or by_hub.get("JUPYTERHUB_SERVICE_NAME") or SERVICE
    ca = None if section["ca"] is None else settings.path.parent / section["ca"]
    if ca is not None and not ca.is_file():
        raise CannotStart(f"[identity] ca: there is no file {ca}; correct the path")
    return HubIdentity(Hub(api_url.rstrip("/"), api_token, service, ca), threads)
