"""Patterns of the names of organizations and users, which are part of addresses."""

from __future__ import annotations

import re

from edge_core.records import Pattern

ORGANIZATION_NAME = Pattern(
    "^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$",
    "use 1 to 100 letters, digits, dots, underscores and hyphens, the first one a letter or digit",
)
"""As in the browser's address."""

USER_NAME = Pattern(
    "^[A-Za-z0-9_][A-Za-z0-9._@+-]{0,99}$",
    "use 1 to 100 letters, digits and . _ @ + -, the first one a letter, a digit or _",
)
"""An email address is a valid name."""

_ORGANIZATION = re.compile(ORGANIZATION_NAME.removesuffix("$"))
_USER = re.compile(USER_NAME.removesuffix("$"))


def is_organization_name(name: object) -> bool:
    """Whether the name can be that of an organization."""
    return isinstance(name, str) and bool(_ORGANIZATION.fullmatch(name))


def is_user_name(name: object) -> bool:
    """Whether the name can be that of a user."""
    return isinstance(name, str) and bool(_USER.fullmatch(name))
