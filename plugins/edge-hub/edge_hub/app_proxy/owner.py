"""What the app proxy knows of a user: of the owner of the server all that Edge tells them, of others the name."""

from __future__ import annotations

import asyncio
import time

from edge_core.errors import EdgeError
from edge_core.session import EdgeSession
from edge_hub.app_proxy.visitors import Visitor, session_user

CACHE_TIME = 10.0
"""Seconds for which Edge's word on the owner is good."""

_TIMEOUT = (2.0, 5.0)


class Owner:
    """The user whose server this is, as Edge describes them to their own token.

    Nobody tells this token which roles another user has, so that nothing is said of them but the name. While Edge does
    not answer, the owner has no groups either, so that no application takes a role for granted that may have gone.
    """

    def __init__(self, user_name: str) -> None:
        self._unknown = Visitor(user_name, user_name)
        self._known = self._unknown
        self._refreshed: float | None = None
        self._asking = asyncio.Lock()

    async def describe(self, user_name: str) -> Visitor:
        """What is known of a user."""
        if user_name != self._unknown.user_name:
            return Visitor(user_name, user_name)
        async with self._asking:
            if self._refreshed is None or time.monotonic() - self._refreshed > CACHE_TIME:
                self._known = await asyncio.to_thread(self._ask)
                self._refreshed = time.monotonic()
        return self._known

    def _ask(self) -> Visitor:
        try:
            with EdgeSession(timeout=_TIMEOUT, retries=0) as edge:
                known = session_user(edge)
        except EdgeError:
            return Visitor(self._unknown.user_name, self._known.display_name)
        return known if known.user_name == self._unknown.user_name else self._unknown
