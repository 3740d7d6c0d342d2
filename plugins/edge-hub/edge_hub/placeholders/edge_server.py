"""The Edge server, asked what to keep and told what is ready."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import aiohttp

if TYPE_CHECKING:
    from edge_compute.wire import HubPlaceholder

_TIMEOUT = aiohttp.ClientTimeout(total=20, sock_connect=5)
_MOST = 1000
"""What is told in one request."""


class NotAnswered(Exception):
    """The Edge server does not say what to keep, or does not take what it is told; the text is for the log."""


class EdgeServer:
    """The Edge server, asked with the token of the service that it is at the hub.

    Args:
        url: its address as the hub reaches it.
        api_token: the token.
    """

    def __init__(self, url: str, api_token: str) -> None:
        self._url = f"{url}/v1"
        self._token = api_token

    async def placeholders(self, most: int) -> list[HubPlaceholder]:
        """What to keep: the oldest placeholders, until they ask for `most` machines together.

        Raises:
            NotAnswered: nobody says so.
            BadResponse: the answer is of another version, which some fields show when they are read.
        """
        from edge_compute.wire import HubPlaceholderPage

        items: list[HubPlaceholder] = []
        query: dict[str, str] = {}
        while True:
            page = HubPlaceholderPage.from_answer(await self._ask("GET", "/placeholders", params=query))
            for placeholder in page.items:
                if most <= 0:
                    return items
                items.append(placeholder)
                most -= placeholder.quantity
            if page.next is None:
                return items
            query = {"cursor": page.next}

    async def note(self, ready: Mapping[str, int]) -> None:
        """Tell how many machines are ready.

        Args:
            ready: by the uid of the placeholder.

        Raises:
            NotAnswered: it is not taken.
        """
        items = [{"uid": uid, "ready": count} for uid, count in ready.items()]
        for first in range(0, len(items), _MOST):
            await self._ask("PUT", "/placeholder-states", json={"items": items[first : first + _MOST]})

    async def _ask(self, method: str, path: str, **further: Any) -> Any:
        headers = {"Authorization": f"Bearer {self._token}"}
        try:
            async with (
                aiohttp.ClientSession(timeout=_TIMEOUT) as client,
                client.request(
                    method, f"{self._url}{path}", headers=headers, allow_redirects=False, **further
                ) as answer,
            ):
                if answer.status not in (200, 204):
                    raise NotAnswered(f"the Edge server answers {answer.status} about placeholders; see its log")
                return None if answer.status == 204 else await answer.json(content_type=None)
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise NotAnswered(f"the Edge server does not answer ({type(error).__name__})") from None
