"""Which of the hub's variables an application gets, and where the hub wants its proxy to listen."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from edge_core.errors import ConfigurationError

_FOR_APPLICATIONS = frozenset(
    f"JUPYTERHUB_{name}"
    for name in (
        # By which `EdgeSession()` works, as the owner of the server.
        "API_TOKEN",
        "PUBLIC_HUB_URL",
        # What published applications read.
        "ACTIVITY_URL",
        "API_URL",
        "BASE_URL",
        "HOST",
        "PUBLIC_URL",
        "SERVER_NAME",
        "SERVICE_PREFIX",
        "USER",
    )
)

_OF_PROXY = frozenset({"EDGE_APP_IDENTITY", "JPY_API_TOKEN"})


def for_application(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables of the application: not what the proxy's logins need, nor where the proxy itself is to listen."""
    return {
        name: value
        for name, value in environment.items()
        if name in _FOR_APPLICATIONS or not (name.startswith("JUPYTERHUB_") or name in _OF_PROXY)
    }


def listening_address(environment: Mapping[str, str]) -> tuple[str, int]:
    """Address and port where the hub looks for what it has started.

    Raises:
        ConfigurationError: the hub has not said it, or wants what the proxy cannot do.
    """
    url = environment.get("JUPYTERHUB_SERVICE_URL", "")
    parts = urlsplit(url)
    if parts.scheme == "https":
        raise ConfigurationError(
            "the hub wants TLS between its own parts (internal_ssl), which the app proxy does not have; leave "
            "c.JupyterHub.internal_ssl unset"
        )
    if parts.scheme != "http" or parts.port is None:
        raise ConfigurationError(
            "JUPYTERHUB_SERVICE_URL does not say where to listen; with EDGE_APP_IDENTITY=hub, let a JupyterHub start "
            "the application"
        )
    return parts.hostname or "0.0.0.0", parts.port  # noqa: S104 - so says the hub
