"""Patterns of the names of app profiles, instance types and placeholders."""

from __future__ import annotations

import re

PROFILE_ID = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"
"""1 to 100 letters, digits, dots, underscores and hyphens, as in ``edge.medium``."""

INSTANCE_NAME = PROFILE_ID
"""The form of clouds' instance types, such as ``t3.small``."""

PLACEHOLDER_NAME = PROFILE_ID


def is_profile_id(name: object) -> bool:
    """Whether the name can be that of an app profile, an instance type or a placeholder."""
    return isinstance(name, str) and re.fullmatch(PROFILE_ID, name) is not None
