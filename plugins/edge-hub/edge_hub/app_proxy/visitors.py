"""Who visits an application."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from edge_core.session import EdgeSession


@dataclasses.dataclass(frozen=True)
class Visitor:
    """The person behind a request.

    Attributes:
        user_name: the id of the user across the platform.
        display_name: what a page shows of the user.
        groups: the organization, and `ORGANIZATION:ROLE` for each role in it.
    """

    user_name: str
    display_name: str
    groups: tuple[str, ...] = ()

    def headers(self) -> dict[str, str]:
        """The headers that tell an application who visits.

        Each name is percent-encoded UTF-8, since a header holds neither a line break nor, portably, anything but ASCII,
        and so that a comma in the name of a group does not make two of it.

        >>> Visitor("ada", "Ada Lovelace", ("lab", "lab:admin")).headers()["X-Forwarded-Groups"]
        'lab,lab%3Aadmin'
        """
        return {
            "X-Forwarded-User": _encoded(self.user_name),
            "X-Forwarded-Display-Name": _encoded(self.display_name),
            "X-Forwarded-Groups": ",".join(map(_encoded, self.groups)),
        }


class EdgeAway(Exception):
    """Edge alone could say whether somebody may visit, and does not answer."""


def session_user(edge: EdgeSession) -> Visitor:
    """The user of a session, as a visitor of an application that runs for nobody else.

    Raises:
        EdgeError: the server does not say who the user is.
    """
    user = edge.whoami()
    own = [member for member in user.organizations if member.organization_name == edge.organization]
    groups = [
        name
        for member in own
        for name in (edge.organization, *(f"{edge.organization}:{role}" for role in member.roles or ()))
    ]
    return Visitor(
        user_name=user.user_name,
        display_name=" ".join(filter(None, (user.first_name, user.last_name))) or user.user_name,
        groups=tuple(groups),
    )


def _encoded(name: str) -> str:
    return quote(name, safe="@")
