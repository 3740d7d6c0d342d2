"""OAuth clients of external applications, which are services of a JupyterHub that nothing runs behind."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import marshmallow
from marshmallow import fields

PREFIX = "edge-app-"
"""What the names of their services begin with."""

OWN_TOKENS = "JupyterHub"
"""What the hub calls the client of the tokens that users themselves make."""

_SERVER, _MARK = "edge_service", "edge_client"
"""Where the hub keeps, in what it calls the info of a service, whose client that is and as what it was registered."""


@dataclasses.dataclass(frozen=True)
class HubClient:
    """An OAuth client, as it is to be known at the hub.

    Attributes:
        name: of its service; the id of the client is that with ``service-`` before it.
        redirect_uri: the only address that a login sends users back to.
        secret: of the client.
        mark: changes whenever one of these does.
    """

    name: str
    redirect_uri: str
    secret: str = dataclasses.field(repr=False)
    mark: str

    def model(self, server: str, scope: str) -> dict[str, Any]:
        """What the hub is told of it.

        Args:
            server: name of this server's own service.
            scope: what the tokens of those who log in may do, beside telling who they are.
        """
        return {
            "oauth_client_id": client_id(self.name),
            "oauth_redirect_uri": self.redirect_uri,
            "oauth_client_allowed_scopes": [scope],
            # The hub takes the secret of a client from the token of its service, which may do nothing there.
            "api_token": self.secret,
            "display": False,
            "info": {_SERVER: server, _MARK: self.mark},
        }


def client_id(name: str) -> str:
    """The id of the OAuth client of a service."""
    return f"service-{name}"


def name_of(client: str) -> str:
    """The name of the service of an OAuth client, by the client's id."""
    return client.removeprefix("service-")


def application_of(description: str) -> str | None:
    """The service of the external application whose client the hub names with a token; None for any other client."""
    name = name_of(description.removeprefix("JupyterHub service "))
    return name if name.startswith(PREFIX) else None


def mark_of(info: Mapping[str, Any] | None, server: str) -> str | None:
    """The mark of a client that a server has registered, by the info of its service; None for any other service.

    Args:
        info: what the hub keeps with the service.
        server: name of the server's own service.
    """
    mark = (info or {}).get(_MARK)
    return mark if isinstance(mark, str) and (info or {}).get(_SERVER) == server else None


class ServiceSchema(marshmallow.Schema):
    """What a hub tells of a service, as far as it matters here."""

    class Meta:
        unknown = marshmallow.EXCLUDE

    info = fields.Dict(keys=fields.String(), load_default=dict, allow_none=True)


class ServicesSchema(marshmallow.Schema):
    """The services of a hub, by their names."""

    services = fields.Dict(keys=fields.String(), values=fields.Nested(ServiceSchema()), required=True)
