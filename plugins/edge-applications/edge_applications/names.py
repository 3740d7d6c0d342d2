"""Patterns of the names of applications, versions and registries."""

from __future__ import annotations

import hashlib
import re
from urllib.parse import urlsplit

from edge_core.records import Pattern

APP_ID = Pattern(
    r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$",
    "use 1 to 100 letters, digits, dots, underscores and hyphens, the first one a letter or digit",
)
"""Ids are part of addresses and client ids."""

VERSION = Pattern(
    r"^[A-Za-z0-9][A-Za-z0-9._+-]{0,99}$",
    "use 1 to 100 letters, digits and . _ + -, the first one a letter or digit, as in 2.1.0rc1+build.7",
)

DOMAIN = Pattern(
    r"^[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?(:[0-9]{1,5})?$",
    "write the registry's host, with its port unless that is the usual one, as in quay.io or localhost:5000",
)


def is_app_id(name: object) -> bool:
    """Whether the name can be the id of an application."""
    return isinstance(name, str) and re.fullmatch(APP_ID, name) is not None


def is_version(name: object) -> bool:
    """Whether the name can be that of a version."""
    return isinstance(name, str) and re.fullmatch(VERSION, name) is not None


def is_domain(name: object) -> bool:
    """Whether the name can be that of a registry's host."""
    return isinstance(name, str) and re.fullmatch(DOMAIN, name) is not None


_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_HOST = r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*|\[[0-9A-Fa-f:]+\])"
_TAG = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}"
_DIGEST = r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}"
_IMAGE = re.compile(
    rf"(?P<name>(?P<registry>{_HOST}(?::[0-9]{{1,5}})?)(?:/{_COMPONENT})+)(?P<tag>:{_TAG})?(?:@(?P<digest>{_DIGEST}))?"
)


def is_image(link: str) -> bool:
    """Whether a text is a whole reference to an image: registry, path, and a tag or digest.

    The grammar is that of the OCI distribution specification and of Docker, by which the first part is a registry
    if it has a dot or port, or is localhost.

    >>> is_image("quay.io/lab/viewer:1.0.0"), is_image("quay.io:1.0.0"), is_image("quay.io/Lab/viewer:1.0.0")
    (True, False, False)
    """
    match = _IMAGE.fullmatch(link)
    if match is None or len(match["name"]) > 255:
        return False
    registry = match["registry"]
    return (registry == "localhost" or "." in registry or ":" in registry) and bool(match["tag"] or match["digest"])


def image_registry(link: str) -> str:
    """The registry of a whole reference to an image, in lower case; empty if the text is none.

    >>> image_registry("quay.io/lab/viewer:1.0.0")
    'quay.io'
    """
    match = _IMAGE.fullmatch(link)
    return "" if match is None else match["registry"].lower()


def is_web_address(link: str) -> bool:
    """Whether a text is an absolute address of http or https, with a host and without a user.

    >>> is_web_address("https://viewer.example.com"), is_web_address("quay.io/lab/viewer:1.0.0")
    (True, False)
    """
    if re.search(r"[\s\\\"<>\x00-\x1f\x7f]", link):
        return False
    try:
        parts = urlsplit(link)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(host) and "@" not in parts.netloc


MOST_SERVER_NAME = 30
"""Characters of a server's name at a hub."""


def is_server_name(name: object) -> bool:
    """Whether the name can be that of an application's server at a hub."""
    return isinstance(name, str) and re.fullmatch(r"[a-z](-?[a-z0-9])*", name) is not None


def server_name(organization: str, app_id: str) -> str:
    """The name that the server of an application has at a hub, the same one for each user.

    A hub takes lower-case letters, digits and single hyphens, with a letter at the beginning. So the name is what can
    be kept of the id, which people know again, and eight digits of a hash, which tell it from others.

    Args:
        organization: short name.
        app_id: id of the application.

    >>> server_name("lab", "Plate.Viewer")
    'plate-viewer-43f27516'
    """
    digest = hashlib.sha256(f"{organization}/{app_id}".encode()).hexdigest()[:8]
    kept = re.sub(r"[^a-z0-9]+", "-", app_id.lower())
    kept = re.sub(r"^[^a-z]+", "", kept)[: MOST_SERVER_NAME - 1 - len(digest)].strip("-")
    return f"{kept or 'app'}-{digest}"
