"""What the app proxy knows of who visits: what Edge tells of the owner, and of members with whom it is shared."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections import OrderedDict
from collections.abc import Mapping

from edge_core.errors import EdgeError, NotFound
from edge_core.session import EdgeSession
from edge_hub.app_proxy.edge_app import EdgeApp
from edge_hub.app_proxy.visitors import EdgeAway, Visitor, session_user

CACHE_TIME = 5.0
"""Seconds for which Edge's word on a user is good."""

MOST_KNOWN = 1000
"""Users who are remembered."""

_TIMEOUT = (2.0, 5.0)


@dataclasses.dataclass
class _Known:
    """What is known of a user.

    Attributes:
        visitor: the user; None for who may not visit.
        is_from_edge: whether Edge has said so, and not only the hub.
        since: when Edge was asked; None before the first time.
        asking: held while Edge is asked.
    """

    visitor: Visitor | None
    is_from_edge: bool = False
    since: float | None = None
    asking: asyncio.Lock = dataclasses.field(default_factory=asyncio.Lock)


class People:
    """The users who visit an app, as Edge describes them to its owner's token.

    While Edge does not answer, they have no groups, so that no application takes a role for granted that may have gone.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        """Take what the hub has said at the start.

        Args:
            environment: the process's variables.
        """
        self._owner = environment.get("JUPYTERHUB_USER", "")
        self._server_name = environment.get("JUPYTERHUB_SERVER_NAME", "")
        # Of what Edge has not launched it knows only the owner.
        self._is_launched = bool(environment.get("EDGE_APP_ID"))
        self._known: OrderedDict[str, _Known] = OrderedDict()

    async def describe(self, user_name: str, *, is_let_in: bool) -> Visitor | None:
        """What is known of a user; None for who may not visit.

        Of a share with a group, JupyterHub tells those who are in it, but not their tokens (6.1.1:
        `scopes.get_scopes_for`). So whom their token does not let in Edge lets in, which asks for the shares.

        Args:
            user_name: the user.
            is_let_in: whether the user's token lets them in.

        Raises:
            EdgeAway: it does not, and Edge does not answer.
        """
        if user_name != self._owner and not self._is_launched:
            return Visitor(user_name, user_name) if is_let_in else None
        known = self._known.setdefault(user_name, _Known(Visitor(user_name, user_name)))
        self._known.move_to_end(user_name)
        while len(self._known) > MOST_KNOWN:
            self._known.popitem(last=False)
        async with known.asking:
            if known.since is None or time.monotonic() - known.since > CACHE_TIME:
                since = time.monotonic()
                await asyncio.to_thread(self._ask, user_name, known)
                known.since = since
            if not is_let_in and not known.is_from_edge:
                raise EdgeAway
            return known.visitor

    def _ask(self, user_name: str, known: _Known) -> None:
        display_name = user_name if known.visitor is None else known.visitor.display_name
        try:
            with EdgeSession(timeout=_TIMEOUT, retries=0) as edge:
                if user_name == self._owner:
                    visitor = session_user(edge)
                else:
                    visitor = EdgeApp(edge).visitor(self._server_name, user_name)
        except NotFound:
            known.visitor, known.is_from_edge = None, True
        except EdgeError:
            known.visitor, known.is_from_edge = Visitor(user_name, display_name), False
        else:
            is_same = visitor.user_name == user_name
            known.visitor, known.is_from_edge = visitor if is_same else Visitor(user_name, display_name), is_same
