"""Asks the Edge server what to run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import aiohttp

from edge_hub.spawning.refusals import Refused

if TYPE_CHECKING:
    from edge_applications.launch_plan import LaunchPlan

_TIMEOUT = aiohttp.ClientTimeout(total=20, sock_connect=5)


class PlanService:
    """The Edge server, asked with the token of the service that it is at the hub.

    Args:
        url: address of the Edge server as the hub reaches it, such as ``http://edge.internal:8790/services/api``.
        api_token: the token.
    """

    def __init__(self, url: str, api_token: str) -> None:
        self._url = f"{url}/v1/launch-plans"
        self._token = api_token

    async def plan(self, user_name: str, server_name: str, choice: Mapping[str, str | None]) -> LaunchPlan:
        """What to run for a user.

        Args:
            user_name: the hub's name of the user.
            server_name: the hub's name of the server.
            choice: organization, application, version and app profile.

        Raises:
            Refused: the user may not have that, or nobody says so.
            BadResponse: the answer is of another version.
        """
        from edge_applications.launch_plan import LaunchPlan

        status, answer = await self._ask({**choice, "user_name": user_name, "server_name": server_name})
        if status == 200:
            return LaunchPlan.from_answer(answer)
        if status in (401, 403):
            raise Refused(424, "The Edge server does not take the hub's token; its operator corrects that.")
        sentence = answer.get("detail") if isinstance(answer, dict) else None
        if isinstance(sentence, str) and 400 <= status < 500:
            raise Refused(status, f"{sentence[:1].upper()}{sentence[1:]}.".replace("..", "."))
        raise Refused(424, f"The Edge server does not say what to run (status {status}); try again in a moment.")

    async def _ask(self, question: Mapping[str, Any]) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {self._token}"}
        try:
            async with (
                aiohttp.ClientSession(timeout=_TIMEOUT) as client,
                client.post(self._url, json=question, headers=headers, allow_redirects=False) as answer,
            ):
                return answer.status, await answer.json(content_type=None)
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise Refused(
                424,
                f"The Edge server does not answer ({type(error).__name__}), so nothing is started; try again later.",
            ) from None
