"""Names that stand in addresses: what they may look like."""

from __future__ import annotations

import re

ORGANIZATION_NAME = "^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"
"""As in the browser's address."""

USER_NAME = "^[A-Za-z0-9_][A-Za-z0-9._@+-]{0,99}$"
"""An email address will do."""

_ORGANIZATION = re.compile(ORGANIZATION_NAME.removesuffix("$"))
_USER = re.compile(USER_NAME.removesuffix("$"))


def is_organization_name(name: object) -> bool:
    """Whether an organization can have that name; any other could lead to another address."""
    return isinstance(name, str) and bool(_ORGANIZATION.fullmatch(name))


def is_user_name(name: object) -> bool:
    """Whether a user can have that name."""
    return isinstance(name, str) and bool(_USER.fullmatch(name))
