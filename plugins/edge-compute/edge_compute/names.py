"""Patterns of the names of app profiles, instance types and placeholders."""

from __future__ import annotations

import re

from edge_core.records import Pattern

PROFILE_ID = Pattern(
    r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$",
    "use 1 to 100 letters, digits, dots, underscores and hyphens, the first one a letter or digit, as in edge.medium",
)
OPTIONAL_NAME = Pattern(f"^$|{PROFILE_ID}", PROFILE_ID.advice)
"""Names of instance types, such as ``t3.small``, and of placeholders have this form as well; those can be left out."""


def is_profile_id(name: object) -> bool:
    """Whether the name can be that of an app profile, an instance type or a placeholder."""
    return isinstance(name, str) and re.fullmatch(PROFILE_ID, name) is not None
