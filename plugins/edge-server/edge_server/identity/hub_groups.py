"""What the groups of a JupyterHub say of an organization: which are its own, who is in them, and in which roles."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from edge_server.identity import directory
from edge_server.identity.hub import Group

ORGANIZATION = "edge_organization"
"""The property of a group that names an organization."""

ROLES = "edge_roles"
"""The property of a group that lists its members' roles there."""


def groups_of(organization: str, groups: Iterable[Group]) -> list[Group]:
    """The groups that name an organization, whatever they are called themselves."""
    return [group for group in groups if group.properties.get(ORGANIZATION) == organization]


def roles_of(user_name: str, own: Iterable[Group]) -> Collection[str] | None:
    """The roles that a user has by an organization's own groups; None for who is in none of them."""
    listed = [group.properties.get(ROLES) for group in own if user_name in group.users]
    names = {role for roles in listed if isinstance(roles, list) for role in roles if isinstance(role, str)}
    return [role for role in directory.ROLES if role in names] if listed else None
