"""Identity by a JupyterHub: its users' tokens are this server's tokens."""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Callable, Collection
from typing import Protocol, TypeVar

from edge_server.base import clock
from edge_server.base.problems import Refusal
from edge_server.identity import hub_clients, token_values
from edge_server.identity.hub import Group, Hub, HubUnavailable, Visitor
from edge_server.identity.hub_answers import HubAnswers
from edge_server.identity.kinds import Identity, unauthenticated

GROUPS_KEPT, GROUPS_KEPT_LONGEST = 2.0, 30.0
"""Seconds in which a list of the groups counts, at least and at most."""

GROUPS_REST = 20
"""How many times as long as it took a list counts: a hub of many members is not kept busy by listing them."""

_T = TypeVar("_T")

# Longer than any that a hub makes; a service may choose its own.
_TOKEN = re.compile(r"[\x21-\x7e]{8,512}")


class Logins(Protocol):
    """What knows the external applications that the hub's users log in to, by the names of their services."""

    def organization_of(self, name: str) -> str:
        """The organization of an application.

        Raises:
            Refusal: it is not registered, or its organization is closed.
        """
        ...

    def require_seen(self, name: str, user_name: str) -> None:
        """See that a user may see an application.

        Raises:
            Refusal: the user may not, or it is not registered.
        """
        ...


class HubIdentity:
    """What tells by a hub whose a token is.

    Args:
        hub: the hub.
        threads: tells how many threads of the process answer requests.

    Attributes:
        hub: the hub.
        admit: notes, with a token's digest and the one organization that it is for if it is an external application's,
            that its user may come in, or raises a `Refusal`; of the accounts.
        dismiss: notes that the token of a digest is none any more; of the accounts.
        logins: knows the external applications.
    """

    renewal = "make a new token on the hub's Token page"

    def __init__(self, hub: Hub, threads: Callable[[], int]) -> None:
        self.hub = hub
        self.admit: Callable[[str, Visitor, str | None], None] = _without_accounts
        self.dismiss: Callable[[str], None] = _without_accounts
        self.logins: Logins = _NoLogins()
        self._answers = HubAnswers(threads)
        self._groups_lock = threading.Lock()
        self._groups: tuple[float, list[Group]] | None = None
        """Until when they count, and the groups."""

    def digest_of(self, value: str) -> str:
        """What the database knows a token by that the hub says is good.

        Raises:
            Refusal: it is not, or its user may not come in.
            HubUnavailable: the hub does not say just now.
        """
        if value.startswith(token_values.PREFIX):
            raise unauthenticated(
                "this is a token of the time before this server took those of its JupyterHub; "
                f"{self.renewal} and use that"
            )
        if not _TOKEN.fullmatch(value):
            raise unauthenticated(f"the API token is mistyped or cut off; copy it again, or {self.renewal}")
        digest = hashlib.sha256(value.encode()).hexdigest()
        self._answers.require_good(digest, lambda: self._look_up(value, digest))
        return digest

    def is_hub(self, value: str) -> bool:
        """Whether a token is that of this server's own service at the hub, by which the hub itself asks for something.

        It takes as long for a wrong one, however much of it is right.
        """
        return self.hub.is_own(value)

    def ask(self, ask: Callable[[], _T]) -> _T:
        """Ask the hub something for the request at hand, which waits for it no longer than for a token.

        Raises:
            HubUnavailable: the hub does not answer just now.
        """
        return self._answers.run(ask)

    def forget(self, digest: str) -> None:
        """Look a token up anew when it comes next to this process."""
        self._answers.forget(digest)

    def groups(self, names: Collection[str]) -> list[Group]:
        """The groups of the hub, as they were seconds ago; the longer they take to list, the more.

        Args:
            names: of groups that there are; if one of them is new, all are listed anew.

        Raises:
            HubUnavailable: the hub does not say just now.
        """
        with self._groups_lock:
            began = clock.monotonic()
            known = {group.name for group in self._groups[1]} if self._groups is not None else set()
            if self._groups is None or began > self._groups[0] or not known.issuperset(names):
                groups = self.hub.groups()
                kept = GROUPS_REST * (clock.monotonic() - began)
                self._groups = began + min(max(kept, GROUPS_KEPT), GROUPS_KEPT_LONGEST), groups
            return self._groups[1]

    def _look_up(self, value: str, digest: str) -> None:
        try:
            visitor = self.hub.visitor(value)
            if visitor is None:
                raise unauthenticated(f"the hub does not know the API token, or no more; {self.renewal}")
            if visitor.kind != "user":
                raise _forbidden(
                    f"this is the token of the hub's service {visitor.name}, and only users are let in; use a user's"
                )
            if not self.hub.permits(visitor.scopes):
                raise _forbidden(
                    f"the token lacks the hub's scope {self.hub.scope}; {self.renewal} that has it, or have the hub's "
                    "operator give it to users and, by server_token_scopes, to their servers"
                )
            application = self._application_of(visitor)
            if application is None:
                self.admit(digest, visitor, None)
            else:
                self.admit(digest, visitor, self.logins.organization_of(application))
                self.logins.require_seen(application, visitor.name)
        except Refusal as refusal:
            if refusal.status in (401, 403):
                self.dismiss(digest)
            raise

    def _application_of(self, visitor: Visitor) -> str | None:
        """The service of the external application that a token was given to; None for any other token.

        The hub is asked which client has it. The scopes do not tell: a user's own token may name the service as well,
        and a login does so no more when the hub's roles do not let its user log in any longer.
        """
        if not visitor.is_login and not visitor.clients:
            return None
        token = None if visitor.token_id is None else self.hub.token(visitor.name, visitor.token_id)
        if token is None:
            raise HubUnavailable(f"it does not tell of a token of the user {visitor.name}")
        name = hub_clients.application_of(token.client)
        if name is not None and name not in visitor.clients:
            raise _forbidden(
                f"the hub does not let {visitor.name} log in to {hub_clients.client_id(name)} any more; have its "
                f"operator give them access:services!service={name}, and log in again"
            )
        if name is None and visitor.clients and token.client != hub_clients.OWN_TOKENS:
            raise _forbidden(f"the hub does not tell which application this login is for; {self.renewal} and use that")
        return name


def hub_of(identity: Identity) -> HubIdentity | None:
    """The identity by a hub, if that is the server's."""
    return identity if isinstance(identity, HubIdentity) else None


def _forbidden(detail: str) -> Refusal:
    return Refusal(403, "forbidden", detail)


class _NoLogins:
    def organization_of(self, name: str) -> str:
        raise unregistered(name)

    def require_seen(self, name: str, user_name: str) -> None:
        raise unregistered(name)


def unregistered(name: str) -> Refusal:
    """A login is for what is no application, or no more."""
    return unauthenticated(
        f"this login is for the application {hub_clients.client_id(name)}, which is not registered, or not any more; "
        "have its developer register it, and log in again"
    )


def _without_accounts(*_: object) -> None:
    raise RuntimeError("nothing keeps the accounts of this server's users")
