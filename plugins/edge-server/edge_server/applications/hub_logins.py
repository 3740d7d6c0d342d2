"""Logins to external applications: what a JupyterHub knows of their OAuth clients, and whose logins are good.

The rows say what is registered, and the hub is kept as they say: at each change at once, and again and again by `look`,
since the hub may be away, may have lost its database, or may have done what this server was killed over. It is asked
before a transaction and never in one.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy import select
from sqlalchemy.orm import joinedload

from edge_server.applications import catalogue, oauth_clients
from edge_server.applications.launching import member_of
from edge_server.applications.models import Application, OAuthClient
from edge_server.base.problems import Refusal, conflict, log
from edge_server.identity import directory, hub_clients
from edge_server.identity.hub import HubRefused, HubUnavailable
from edge_server.identity.hub_clients import HubClient
from edge_server.identity.hub_identity import HubIdentity, unregistered
from edge_server.identity.models import Organization
from edge_server.keys.sealed_column import SealedColumn
from edge_server.keys.sealing import KeeperAway, Unsealable
from edge_server.web.context import OwnContext

TASK = "oauth clients"
"""The background task's name."""

INTERVAL = 30.0
"""Seconds between two looks at whether the hub knows the clients that are registered, and no others."""

_T = TypeVar("_T")


class HubLogins:
    """The OAuth clients of all organizations at the hub.

    Args:
        context: of the subsystem of applications.
        secrets: where their secrets are kept.
        identity: that of the hub.
    """

    def __init__(self, context: OwnContext, secrets: SealedColumn, identity: HubIdentity) -> None:
        self._context = context
        self._secrets = secrets
        self._identity = identity
        self._others: set[tuple[str, str]] = set()
        self._complaints: set[str] = set()

    # --- a change of one

    def secret_of(self, row: OAuthClient) -> str:
        """The secret of a client.

        Raises:
            Refusal: it was registered when there was no hub, and only a digest was kept.
        """
        if row.sealed is None:
            raise conflict(
                f"{row.application.app_id} was registered before this server had a hub, and "
                "the hub does not know it; remove its OAuth client, and register it again"
            )
        return self._secrets.open(row).decode()

    @contextlib.contextmanager
    def at_hub(self, app_id: str, client_id: str, redirect_uri: str, secret: str) -> Iterator[None]:
        """Have the hub know a client as the rows will say after the block, or as they say if that fails.

        Args:
            app_id: id of the application.
            client_id: of the client.
            redirect_uri: where a login sends users back to.
            secret: of the client.

        Raises:
            Refusal: the hub does not register it, or does not answer.
        """
        hub, name = self._identity.hub, hub_clients.name_of(client_id)
        client = HubClient(name, redirect_uri, secret, self._mark(redirect_uri, _digest(secret)))
        try:
            self._ask(lambda: hub.put_client(client))
            yield
        except HubRefused as error:
            raise conflict(f"the hub does not register {app_id}: {error}") from None
        except BaseException:
            self.follow([client_id])
            raise

    def follow(self, client_ids: Iterable[str]) -> None:
        """Have the hub know clients as the rows say, or no more; where it does not answer, a later look does it."""
        for client_id in client_ids:
            name = hub_clients.name_of(client_id)
            with contextlib.suppress(Refusal, HubRefused):
                self._identity.ask(lambda name=name: self._settle(name))  # type: ignore[misc]

    def organization_removed(self, organization_id: int) -> None:
        """Have the hub forget the clients of an organization that is closed."""
        with self._context.read() as session:
            applications = select(Application.id).where(Application.organization_id == organization_id)
            client_ids = oauth_clients.ids_of(session, applications)
        self.follow(client_ids)

    # --- all of them, in the background

    def look(self) -> None:
        """Have the hub know the clients that are registered, and no others; in one process at a time."""
        try:
            present = self._identity.hub.clients()
            with self._context.read() as session:
                rows = session.scalars(_live(select(OAuthClient)))
                marks = {hub_clients.name_of(row.client_id): self._mark(row.redirect_uri, row.digest) for row in rows}
            if present is None:
                if marks:
                    self._complain(
                        "the JupyterHub does not let this server register OAuth clients, so that nobody logs in to the "
                        "external applications that have one; give edge_hub.configure external_apps=True"
                    )
                return
            # What the hub knows otherwise may be about to be so here as well: it is told before the rows are there.
            others = {(name, mark) for name, mark in present.items() if mark != marks.get(name)}
            for name in sorted({*(set(marks) - set(present)), *(name for name, _ in others & self._others)}):
                if not self._context.stopping:
                    self._settle_calmly(name)
            self._others = others
        except HubUnavailable:
            return  # which the hub has logged

    def _settle_calmly(self, name: str) -> None:
        try:
            self._settle(name)
        except HubRefused as error:
            self._complain(f"the JupyterHub does not register {hub_clients.client_id(name)}: {error}")
        except (KeeperAway, Unsealable) as error:
            why = error.why if isinstance(error, KeeperAway) else error.detail
            self._complain(f"the secret of the OAuth client {hub_clients.client_id(name)} cannot be opened: {why}")

    def _settle(self, name: str) -> None:
        """Have the hub know a client as the rows say, or no more."""
        hub = self._identity.hub
        client = self._client(name)
        mark = hub.client(name)
        if client is None and mark is not None:
            hub.remove_client(name)
            log.info("removed the OAuth client %s at the JupyterHub", hub_clients.client_id(name))
        elif client is not None and client.mark != mark:
            hub.put_client(client)
            log.info("registered the OAuth client %s at the JupyterHub again", hub_clients.client_id(name))

    def _client(self, name: str) -> HubClient | None:
        """A client as it is to be at the hub; None if it is not to be there."""
        with self._context.read() as session:
            row: OAuthClient | None = session.scalar(
                _live(select(OAuthClient))
                .options(joinedload(OAuthClient.application).joinedload(Application.organization))
                .where(OAuthClient.client_id == hub_clients.client_id(name))
            )
        if row is None:
            return None
        secret = self._secrets.open(row).decode()
        return HubClient(name, row.redirect_uri, secret, self._mark(row.redirect_uri, row.digest))

    def _mark(self, redirect_uri: str, digest: str) -> str:
        return _digest(f"{redirect_uri}\n{digest}\n{self._identity.hub.scope}")

    def _complain(self, sentence: str) -> None:
        """Log something that lasts, once."""
        if sentence not in self._complaints:
            self._complaints.add(sentence)
            log.warning("%s", sentence)

    def _ask(self, ask: Callable[[], _T]) -> _T:
        try:
            return self._identity.ask(ask)
        except HubUnavailable:
            raise Refusal(
                503,
                "hub_unavailable",
                "the JupyterHub that logs users in does not answer just now, so that nothing was changed; try again "
                "later, and tell its operator if it lasts",
                {"Retry-After": "2"},
            ) from None

    # --- whose login is good

    def organization_of(self, name: str) -> str:
        """The organization of an application that is registered, by the name of its service at the hub.

        Raises:
            Refusal: it is not registered.
        """
        with self._context.engines.database.read() as session:
            rows = _live(select(Organization.name)).where(OAuthClient.client_id == hub_clients.client_id(name))
            organization: str | None = session.scalar(rows.where(Organization.active))
        if organization is None:
            raise unregistered(name)
        return organization

    def require_seen(self, name: str, user_name: str) -> None:
        """See that a user sees an application, by the name of its service at the hub.

        Raises:
            Refusal: the user does not, or it is not registered.
        """
        with self._context.engines.database.read() as session:
            rows = _live(select(Application)).where(OAuthClient.client_id == hub_clients.client_id(name))
            application: Application | None = session.scalar(rows)
            if application is None:
                raise unregistered(name)
            organization = application.organization.name
            who = member_of(session, user_name, organization)
            if who is None:
                raise Refusal(
                    403,
                    "forbidden",
                    f"{user_name} is not in {organization}, for whose application {application.app_id} this login "
                    "is; ask its admins",
                )
            if session.scalar(catalogue.seen_by(who).where(Application.id == application.id)) is None:
                raise Refusal(
                    403,
                    "forbidden",
                    f"the application {application.app_id} of {organization} is in review, so that its "
                    "members do not log in to it yet; have one of its admins approve it",
                )


def _live(rows: sa.Select[Any]) -> sa.Select[Any]:
    """OAuth clients that a hub is to know, joined with their applications and organizations."""
    return (
        rows.join_from(OAuthClient, Application, Application.id == OAuthClient.application_id)
        .join(Organization, Organization.id == Application.organization_id)
        .where(OAuthClient.sealed.is_not(None), Organization.status != directory.DELETING)
    )


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
