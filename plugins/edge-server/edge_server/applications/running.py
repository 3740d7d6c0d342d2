"""Applications that run: servers of a JupyterHub, which alone says what there is."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable
from functools import partial
from operator import attrgetter
from typing import Any, TypeVar

import marshmallow

from edge_applications.names import server_name
from edge_applications.running_app import RunningApp, RunningAppStatusEnum, SharedWith
from edge_applications.wire import LaunchedOptions
from edge_server.applications.launching import Launch
from edge_server.base.problems import Refusal, conflict, not_found
from edge_server.identity.hub import HubRefused, HubUnavailable
from edge_server.identity.hub_identity import HubIdentity
from edge_server.identity.hub_servers import HubServer

OPTION = "edge"
"""The option of a server at the hub that says that it is an application, and which."""

_MOST_OWNERS = 4
"""Users whose servers are asked for one after the other; of more, all that run are listed at once."""

_T = TypeVar("_T")


@dataclasses.dataclass(frozen=True)
class Running:
    """A server at the hub that is an application.

    Attributes:
        server: at the hub.
        options: what it was launched with.
    """

    server: HubServer
    options: LaunchedOptions

    @property
    def status(self) -> RunningAppStatusEnum:
        """What goes on with it."""
        if self.server.pending == "stop":
            return RunningAppStatusEnum.Stopping
        return RunningAppStatusEnum.Running if self.server.ready else RunningAppStatusEnum.Starting

    @property
    def key(self) -> str:
        """What orders applications; no name of a user or server has the character between the two."""
        return f"{self.server.user_name}\t{self.server.name}"

    def record(
        self, shared_with: SharedWith | None = None, *, status: RunningAppStatusEnum | None = None
    ) -> RunningApp:
        """As it goes out.

        Args:
            shared_with: who may visit it beside its owner; None where that is not told.
            status: what goes on with it, where that is known better than the hub knows it.
        """
        answer: dict[str, Any] = {
            "server_name": self.server.name,
            "user_name": self.server.user_name,
            "app_id": self.options.app_id,
            "version": self.options.version,
            "status": (status or self.status).value,
            "url": self.server.url,
            "profile_id": self.options.profile,
            "started_at": None if self.server.started is None else self.server.started.isoformat(),
            "last_activity": None if self.server.last_activity is None else self.server.last_activity.isoformat(),
            "shared_with": None if shared_with is None else shared_with.to_dict(),
        }
        return RunningApp.from_answer(answer)


def running(server: HubServer, service: str) -> Running | None:
    """A server as an application that a service of the hub has launched; None if it is none, whatever it is called.

    Args:
        server: at the hub.
        service: the service; another Edge server at the hub looks after its own.
    """
    options = server.options.get(OPTION) if isinstance(server.options, dict) else None
    if not isinstance(options, dict):
        return None
    try:
        launched: LaunchedOptions = LaunchedOptions.schema().load(options, unknown=marshmallow.EXCLUDE)
        name = server_name(launched.organization, launched.app_id)
        (launched.profile or "").encode()
    except (marshmallow.ValidationError, TypeError, ValueError):  # an escaped half of a surrogate pair among them
        return None
    return Running(server, launched) if (server.name, launched.service) == (name, service) else None


def none_runs(name: str, user_name: str) -> Refusal:
    """No application runs for a user under a name."""
    return not_found(
        f"no app {name!r} of {user_name} runs; it has ended, or did not start, for which the hub's page or its log "
        "has the reason"
    )


class RunningApps:
    """The applications that run.

    Args:
        identity: that of the hub; None for a server without one, where nothing runs.
    """

    def __init__(self, identity: HubIdentity | None) -> None:
        self._identity = identity

    def require(self) -> None:
        """See that applications can run.

        Raises:
            Refusal: there is no hub.
        """
        self._hub()

    def of_user(self, user_name: str, organization: str) -> list[Running]:
        """The applications that run for a user in an organization.

        Raises:
            Refusal: there is no hub, or it does not say just now.
        """
        identity = self._hub()
        return self._in(organization, self.ask(lambda: identity.hub.servers(user_name)))

    def shared_with(self, user_name: str, organization: str) -> list[Running]:
        """The applications in an organization that others share with a user.

        Raises:
            Refusal: there is no hub, or it does not say just now.
        """
        hub = self._hub().hub
        shares = self.ask(lambda: hub.shared_with(user_name))
        shared = {(share.owner, share.server_name) for share in shares if share.owner != user_name}
        if not shared:
            return []
        owners = {owner for owner, _ in shared}
        if len(owners) > _MOST_OWNERS:
            servers = self.ask(hub.active_servers)
        else:
            servers = [server for owner in sorted(owners) for server in self.ask(partial(hub.servers, owner))]
        return self._in(organization, [server for server in servers if (server.user_name, server.name) in shared])

    def of_all(self, organization: str) -> list[Running]:
        """The applications that run in an organization.

        Raises:
            Refusal: there is no hub, or it does not say just now.
        """
        identity = self._hub()
        return self._in(organization, self.ask(identity.hub.active_servers))

    def get(self, user_name: str, organization: str, name: str) -> Running:
        """An application that runs for a user.

        Raises:
            Refusal: there is none of that name, or the hub does not say just now.
        """
        app = self.find(user_name, organization, name)
        if app is None:
            raise none_runs(name, user_name)
        return app

    def find(self, user_name: str, organization: str, name: str) -> Running | None:
        """An application that runs for a user; None if there is none of that name.

        Raises:
            Refusal: there is no hub, or it does not say just now.
        """
        return next((app for app in self.of_user(user_name, organization) if app.server.name == name), None)

    def start(self, user_name: str, launch: Launch) -> Running:
        """Have an application run for a user; one that runs already is given as it is.

        Raises:
            Refusal: the hub does not start it, or does not answer; or another version runs, or it is stopping.
        """
        hub = self._hub().hub
        app_id, version = launch.application.app_id, launch.version.version
        organization = launch.organization.name
        name = server_name(organization, app_id)
        options = {
            "service": hub.service,
            "organization": organization,
            "app_id": app_id,
            "version": version,
            "profile": launch.profile_id,
        }
        there = self._server(user_name, name)
        if there is None:
            is_known = self.ask(lambda: hub.has_server(user_name, name))
            try:
                self.ask(lambda: hub.start_server(user_name, name, {OPTION: options}))
            except HubRefused as error:
                there = self._server(user_name, name)  # by another request at the same moment
                if there is None:
                    if not is_known:
                        self._forget(user_name, name)
                    raise conflict(f"the hub does not start {app_id}: {error}") from None
            else:
                there = self._server(user_name, name)
        if there is None:
            raise conflict(f"the hub did not start {app_id}; look at the hub's page for why, or ask its operator")
        app = running(there, hub.service)
        if app is None:
            raise conflict(f"a server {name} runs that is not {app_id}; stop it at the hub")
        if app.status is RunningAppStatusEnum.Stopping:
            raise conflict(f"{app_id} is stopping; launch it again when it has ended")
        if (app.options.version, app.options.profile) != (version, launch.profile_id):
            raise conflict(
                f"{app_id} {app.options.version} runs already{_with(app.options.profile)}; stop it before you launch "
                f"{version}{_with(launch.profile_id)}"
            )
        return app

    def stop(self, app: Running) -> None:
        """Have an application end.

        Raises:
            Refusal: the hub does not stop it, or does not answer.
        """
        hub, server = self._hub().hub, app.server
        try:
            self.ask(lambda: hub.stop_server(server.user_name, server.name))
        except HubRefused as error:
            raise conflict(f"the hub does not stop {app.options.app_id}: {error}") from None

    def ask(self, ask: Callable[[], _T]) -> _T:
        """Ask the hub something for the request at hand.

        Raises:
            Refusal: it does not answer.
        """
        try:
            return self._hub().ask(ask)
        except HubUnavailable:
            raise Refusal(
                503,
                "hub_unavailable",
                "the JupyterHub that runs applications does not answer just now, or does not let this server do it; "
                "try again later, and tell its operator if it lasts",
                {"Retry-After": "2"},
            ) from None

    def _server(self, user_name: str, name: str) -> HubServer | None:
        identity = self._hub()
        servers = self.ask(lambda: identity.hub.servers(user_name))
        return next((server for server in servers if server.name == name), None)

    def _forget(self, user_name: str, name: str) -> None:
        """Have the hub's page not list a server that was refused."""
        hub = self._hub().hub
        with contextlib.suppress(HubRefused, Refusal):
            self.ask(lambda: hub.stop_server(user_name, name, forget=True))

    def _in(self, organization: str, servers: list[HubServer]) -> list[Running]:
        service = self._hub().hub.service
        apps = [app for app in (running(server, service) for server in servers) if app is not None]
        return sorted((app for app in apps if app.options.organization == organization), key=attrgetter("key"))

    def _hub(self) -> HubIdentity:
        if self._identity is None:
            raise conflict("this server runs no applications; its operator connects it to a JupyterHub")
        return self._identity


def _with(profile_id: str | None) -> str:
    return "" if profile_id is None else f" with {profile_id}"
