"""The Edge server, as the app proxy asks it about the app that it stands in front of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from edge_core.errors import BadResponse
from edge_core.plugin import Namespace
from edge_hub.app_proxy.visitors import Visitor


class EdgeApp(Namespace):
    """The calls about running apps that are the proxy's alone.

    They are made with the token of the server, which acts for its owner.
    """

    namespace = "running_apps"
    base_path: ClassVar[str | None] = "/v1/orgs/{organization}/running-apps"

    def visitor(self, server_name: str, user_name: str) -> Visitor:
        """What is known of somebody who visits the app.

        Raises:
            NotFound: they are not in the organization, or the app is not shared with them.
            EdgeError: Edge does not say.
        """
        answer = self.http.get(f"/{server_name}/visitor", params={"user": user_name})
        if not isinstance(answer, dict) or answer.get("user_name") != user_name:
            raise BadResponse("the server has described somebody else than was asked for")
        organization = self.session.organization
        return Visitor(
            user_name, _text(answer, "display_name"), (organization, *(f"{organization}:{r}" for r in _roles(answer)))
        )

    def note(
        self, server_name: str, state: str, exit_code: int | None = None, last_lines: Sequence[str] | None = None
    ) -> None:
        """Tell what goes on with the app: it is starting, running, or has ended.

        Raises:
            EdgeError: Edge does not take it.
        """
        lines = None if last_lines is None else list(last_lines)
        self.http.put(f"/{server_name}/state", json={"state": state, "exit_code": exit_code, "last_lines": lines})


def _text(answer: dict[str, Any], name: str) -> str:
    text = answer.get(name)
    if not isinstance(text, str):
        raise BadResponse(f"the server has sent no {name}")
    return text


def _roles(answer: dict[str, Any]) -> list[str]:
    roles = answer.get("roles")
    if not isinstance(roles, list) or not all(isinstance(role, str) for role in roles):
        raise BadResponse("the server has sent no roles")
    return roles
