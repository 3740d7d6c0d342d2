"""Which headers and cookies pass between a visitor and an application."""

from __future__ import annotations

import re
from urllib.parse import unquote, urlsplit

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
    r"|x-user(?:-.*)?|x-email|x-groups?|x-jupyterhub-.*|x-cdsdashboards-.*|x-edge-.*|(?:x-)?script-name"
)
"""Headers by which proxies of the field say who visits, where from and by which address, as `_plain` writes them."""

_HUB_COOKIE = re.compile(r"(?:__host-|__secure-)?jupyterhub-")

_WHOLE_ORIGIN = ("Clear-Site-Data", "Service-Worker-Allowed")
"""Headers of an answer that reach what others have at the same origin."""


def for_application(
    headers: CIMultiDictProxy[str],
    identity: dict[str, str],
    *,
    host: str,
    scheme: str,
    remote: str | None,
    prefix: str = "/",
) -> CIMultiDict[str]:
    """The headers of a request as the application gets them.

    Args:
        headers: what the visitor sent.
        identity: the headers that say who visits; see `Visitor.headers`.
        host: the host of the proxy's own address, as the visitor wrote it.
        scheme: `http` or `https`.
        remote: the visitor's address, if known.
        prefix: path that the proxy takes off, with a slash at both ends.
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
    if prefix != "/":
        passed["X-Forwarded-Prefix"] = prefix.rstrip("/")
    return passed


def for_visitor(
    headers: CIMultiDictProxy[str], *, application: str, origin: str, prefix: str = "/"
) -> CIMultiDict[str]:
    """The headers of an answer as the visitor gets them.

    A redirect to the application's own address, where only the proxy reaches it, leads to the proxy's. Cookies of the
    hub are the hub's to set. Below a prefix the origin is shared: redirects and cookies of the application stay below.

    Args:
        headers: what the application sent.
        application: origin of the application, such as `http://127.0.0.1:9000`.
        origin: origin of the proxy, as the visitor wrote it.
        prefix: path that the proxy takes off, with a slash at both ends.
    """
    passed = _end_to_end(headers)
    cookies = [cookie for cookie in passed.popall("Set-Cookie", ()) if not _is_of_hub(cookie)]
    for cookie in cookies:
        passed.add("Set-Cookie", cookie if prefix == "/" else _cookie_below(prefix, cookie))
    location = passed.get("Location")
    if location is not None:
        passed["Location"] = _location(location, application, origin, prefix)
    if prefix != "/":
        for name in _WHOLE_ORIGIN:
            passed.popall(name, None)
    return passed


def below(prefix: str, path: str) -> str | None:
    """What is left of a path, as it was sent, without the prefix; None if it does not begin with it.

    >>> below("/user/ada%40lab/viz/", "/user/ada@lab/viz/a%2Fb?c=1")
    '/a%2Fb?c=1'

    Args:
        prefix: a path with a slash at both ends; names are compared whether or not they are percent-encoded.
        path: the path, with its query.
    """
    if prefix == "/":
        return path
    plain, mark, query = path.partition("?")
    names = plain.split("/", prefix.count("/"))
    if len(names) <= prefix.count("/") or list(map(unquote, names[:-1])) != list(map(unquote, prefix[:-1].split("/"))):
        return None
    return f"/{names[-1]}{mark}{query}"


def _location(location: str, application: str, origin: str, prefix: str) -> str:
    """Where a redirect of the application leads, seen from the visitor."""
    sender = _origin(location)
    if sender == application:
        return origin + _path_below(prefix, location[len(application) :])
    if prefix == "/":
        return location
    # Frameworks make whole addresses of the Host header, with the scheme of their own connection.
    if sender and sender.partition("://")[2].lower() == origin.partition("://")[2].lower():
        return origin + _path_below(prefix, location[len(sender) :])
    is_path = location.startswith("/") and not location.startswith(("//", "/\\"))
    return _path_below(prefix, location) if is_path else location


def _path_below(prefix: str, path: str) -> str:
    if below(prefix, path) is not None:
        return path
    return prefix.rstrip("/") + (path if path.startswith("/") or prefix == "/" else f"/{path}")


def _cookie_below(prefix: str, cookie: str) -> str:
    """A cookie that is sent to this application and no other one."""
    first, *attributes = cookie.split(";")
    kept = []
    for attribute in attributes:
        name, _, value = (part.strip() for part in attribute.partition("="))
        if name.lower() == "path" and value.startswith("/"):
            kept.append(f" Path={_path_below(prefix, value)}")
        elif name.lower() not in ("domain", "path"):
            kept.append(attribute)
    return ";".join([first, *kept])


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
    return _HUB_COOKIE.match(cookie.strip().lower()) is not None


def _origin(location: str) -> str:
    scheme, _, rest = location.partition("://")
    return f"{scheme}://{re.split(r'[/?#]', rest, maxsplit=1)[0]}" if rest else ""
