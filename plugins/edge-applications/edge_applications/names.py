"""Patterns of the names of applications, versions and registries."""

from __future__ import annotations

import re

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
