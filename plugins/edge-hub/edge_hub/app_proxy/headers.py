"""Which headers and cookies pass between a visitor and an application."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from multidict import CIMultiDict, CIMultiDictProxy

_HOP_BY_HOP = frozenset(
    {
        "connection",
        "expect",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
"""Headers of a single connection (RFC 9110, 7.6.1); `Expect` is answered by the proxy's own server."""

_WEBSOCKET = re.compile(r"sec-websocket-.*")
"""The handshake of a websocket, which each of the two connections has of its own."""

_IDENTITY = re.compile(
    r"forwarded|(?:x-)?forwarded-.*|x-real-ip|(?:x-)?remote-.*|x-auth-.*|x-authenticated-.*|x-webauth-.*"
    r"|x-user(?:-.*)?|x-email|x-groups?|x-jupyterhub-.*|x-cdsdashboards-.*|x-edge-.*"
)
"""Headers by which proxies of the field say who visits and where from, as `_plain` writes them."""

_HUB_COOKIE = "jupyterhub-"


def for_application(
    headers: CIMultiDictProxy[str], identity: dict[str, str], *, host: str, scheme: str, remote: str | None
) -> CIMultiDict[str]:
    """The headers of a request as the application gets them.

    Args:
        headers: what the visitor sent.
        identity: the headers that say who visits; see `Visitor.headers`.
        host: the host of the proxy's own address, as the visitor wrote it.
        scheme: `http` or `https`.
        remote: the visitor's address, if known.
    """
    passed = _end_to_end(headers)
    for name in [name for name in passed if _IDENTITY.fullmatch(_plain(name))]:
        passed.popall(name, None)
    cookies = [cookie for value in passed.popall("Cookie", ()) for cookie in value.split(";")]
    kept = [cookie.strip() for cookie in cookies if not _is_of_hub(cookie)]
    if any(kept):
        passed["Cookie"] = "; ".join(filter(None, kept))
    passed.update(identity)
    passed["X-Forwarded-Host"] = host
    passed["X-Forwarded-Proto"] = scheme
    if remote:
        passed["X-Forwarded-For"] = remote
    return passed


def for_visitor(headers: CIMultiDictProxy[str], *, application: str, origin: str) -> CIMultiDict[str]:
    """The headers of an answer as the visitor gets them.

    A redirect to the application's own address, where only the proxy reaches it, leads to the proxy's. Cookies of the
    hub are the hub's to set.

    Args:
        headers: what the application sent.
        application: origin of the application, such as `http://127.0.0.1:9000`.
        origin: origin of the proxy, as the visitor wrote it.
    """
    passed = _end_to_end(headers)
    cookies = [cookie for cookie in passed.popall("Set-Cookie", ()) if not _is_of_hub(cookie)]
    for cookie in cookies:
        passed.add("Set-Cookie", cookie)
    location = passed.get("Location")
    if location is not None and _origin(location) == application:
        passed["Location"] = origin + location[len(application) :]
    return passed


def is_own_origin(origin: str | None, host: str) -> bool:
    """Whether a browser's `Origin` header, if there is one, is the origin of a page of this host.

    Args:
        origin: the header, None if it was not sent.
        host: the `Host` header.
    """
    return origin is None or urlsplit(origin).netloc.lower() == host.lower()


def _end_to_end(headers: CIMultiDictProxy[str]) -> CIMultiDict[str]:
    """What is meant for the other end, and not for this connection alone."""
    named = {_plain(name.strip()) for value in headers.getall("Connection", ()) for name in value.split(",")}
    return CIMultiDict(
        (name, value)
        for name, value in headers.items()
        if _plain(name) not in _HOP_BY_HOP | named and not _WEBSOCKET.fullmatch(_plain(name))
    )


def _plain(name: str) -> str:
    """The name in the form in which servers compare it: to CGI and WSGI, `X_Forwarded_User` is `X-Forwarded-User`."""
    return re.sub(r"[^a-z0-9]", "-", name.lower())


def _is_of_hub(cookie: str) -> bool:
    return cookie.strip().lower().startswith(_HUB_COOKIE)


def _origin(location: str) -> str:
    scheme, _, rest = location.partition("://")
    return f"{scheme}://{re.split(r'[/?#]', rest, maxsplit=1)[0]}" if rest else ""
