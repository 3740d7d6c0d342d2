"""What applications, their versions and registries can be called."""

from __future__ import annotations

import re

APP_ID = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"
"""1 to 100 letters, digits, dots, underscores and hyphens, as they stand in addresses and client ids."""

VERSION = r"^[A-Za-z0-9][A-Za-z0-9._+-]{0,99}$"
"""Such as ``1.0.0`` or ``2.1.0rc1+build.7``."""

DOMAIN = r"^[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?(:[0-9]{1,5})?$"
"""The host of a registry, with its port if it has one of its own: ``quay.io``, ``localhost:5000``."""


def is_app_id(name: object) -> bool:
    """Whether an application can be called that."""
    return isinstance(name, str) and re.fullmatch(APP_ID, name) is not None


def is_version(name: object) -> bool:
    """Whether a version can be called that."""
    return isinstance(name, str) and re.fullmatch(VERSION, name) is not None


def is_domain(name: object) -> bool:
    """Whether a registry can be at that host."""
    return isinstance(name, str) and re.fullmatch(DOMAIN, name) is not None
