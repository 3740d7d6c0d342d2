"""How the environment has an address reached: by which proxy, trusting which certificates."""

from __future__ import annotations

import os
from typing import TypedDict
from urllib.parse import urlsplit

from requests.utils import get_environ_proxies, select_proxy

from edge_core.errors import ConfigurationError


class Route(TypedDict):
    """How an address is reached; its keys are those of `requests.request`.

    Attributes:
        proxies: addresses of proxies, by scheme.
        verify: path of a file of CA certificates, or True for the usual ones.
    """

    proxies: dict[str, str]
    verify: str | bool


def route(url: str, ca_bundle: str | None = None) -> Route:
    """How an address is reached, for code that connects by other means than the session.

    Args:
        url: the address.
        ca_bundle: path of a file of CA certificates, instead of the environment's.

    Raises:
        ConfigurationError: the environment names a proxy or a CA bundle that cannot be used.
    """
    bundle = ca_bundle or os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE")
    if bundle and not os.path.exists(bundle):
        raise ConfigurationError(f"there is no CA bundle at {bundle}; fix or unset REQUESTS_CA_BUNDLE")
    proxies = dict(get_environ_proxies(url, no_proxy=None))
    _check_proxy(select_proxy(url, proxies))
    return {"proxies": proxies, "verify": bundle or True}


def _check_proxy(address: str | None) -> None:
    """Refuse what cannot be a proxy's address; what else is wrong with a proxy shows when it is called."""
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
