"""The namespace `session.applications`."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, ClassVar
from urllib.parse import urljoin

from edge_applications.app_version import AppVersion
from edge_applications.application import Application
from edge_applications.names import is_app_id, is_domain, is_server_name, is_version
from edge_applications.running_app import RunningApp
from edge_applications.server_info import ServerInfo
from edge_applications.wire import LaunchApp, OAuthClient, RegisterOAuthClient, ShareApp
from edge_core.errors import BadEntry, BadResponse, NotFound
from edge_core.plugin import Namespace


class EdgeApplication(Namespace):
    """The applications of the organization: `EdgeSession.applications`.

    Developers and admins of the organization add applications and their versions. An
    application begins In Review, seen by developers and admins only, until an admin approves it.
    Members see the visible versions of approved applications; to them the others are `NotFound`.
    """

    namespace = "applications"
    base_path: ClassVar[str | None] = "/v1/orgs/{organization}"
    plugin_api = 1

    # --- applications

    def list_application_ids(self, include_builtin: bool | None = None) -> list[str]:
        """The ids of the organization's applications, in order.

        Args:
            include_builtin: True adds the built-in applications at the end.
        """
        return [application.app_id for application in self.list_applications(include_builtin)]

    def list_applications(self, include_builtin: bool | None = None) -> list[Application]:
        """The organization's applications, in the order of their ids.

        Args:
            include_builtin: True adds the built-in applications at the end.
        """
        # A default of the server's is not sent.
        params = {"include_builtin": True} if include_builtin else {}
        return list(self.http.items("/applications", params=params, make=Application.from_answer))

    def get_application(self, app_id: str) -> Application:
        """An application by its id; the built-in ones too.

        Args:
            app_id: id of the application.

        Raises:
            NotFound: the application does not exist, or the user cannot see it yet.
        """
        return self.http.get_record(Application, _application(app_id))

    def add_application(self, application: Application) -> Application:
        """Add an application, and return the server's record: In Review, without versions.

        Args:
            application: the record to add.

        Raises:
            AlreadyExists: the id is taken.
            BadEntry: a field is not valid; the message names it.
        """
        return Application.from_answer(self.http.post("/applications", json=_sent(application, Application)))

    def update_application(self, application: Application) -> Application:
        """Save the fields that were set on the record, and return the application as it is then.

        Args:
            application: the changed record; one that was not read from the server updates unconditionally.

        Raises:
            NotFound: the application does not exist.
            BadEntry: a field is not valid, or cannot be changed; the message names it.
            Conflict: someone else changed it since the record came from the server, or it is built in.
        """
        _sent(application, Application)
        return self.http.update_record(application, _application(application.app_id))

    def remove_application(self, app_id: str) -> None:
        """Remove an application with its versions, registry credentials and OAuth client.

        Args:
            app_id: id of the application.

        Raises:
            NotFound: the application does not exist.
            Forbidden: the user is not an admin of the organization.
            Conflict: it is built in.
        """
        self.http.delete(_application(app_id))

    def approve_application(self, app_id: str) -> Application:
        """Let all members of the organization see an application; approving it again changes nothing.

        Args:
            app_id: id of the application.

        Raises:
            NotFound: the application does not exist.
            Forbidden: the user is not an admin of the organization.
            Conflict: it is built in.
        """
        return Application.from_answer(self.http.post(f"{_application(app_id)}/approve"))

    # --- versions

    def list_app_versions(self, app_id: str) -> list[AppVersion]:
        """The versions of an application that the user can see, in the order they were added.

        Args:
            app_id: id of the application.

        Raises:
            NotFound: the application does not exist.
        """
        return list(self.http.items(f"{_application(app_id)}/versions", make=AppVersion.from_answer))

    def get_app_version(self, app_id: str, version: str) -> AppVersion:
        """A version of an application.

        Args:
            app_id: id of the application.
            version: name of the version, such as ``1.0.0``.

        Raises:
            NotFound: the application or the version does not exist, or the user cannot see it.
        """
        return self.http.get_record(AppVersion, _version(app_id, version))

    def add_app_version(self, version: AppVersion) -> AppVersion:
        """Add a version to an application, and return the server's record.

        It becomes visible by itself if the application has `visible_auto_add`.

        Args:
            version: the record to add.

        Raises:
            NotFound: the application does not exist.
            AlreadyExists: the application has that version already.
            BadEntry: a field is not valid; the message names it.
        """
        body = _sent(version, AppVersion)
        return AppVersion.from_answer(self.http.post(f"{_application(version.app_id)}/versions", json=body))

    def update_app_version(self, version: AppVersion) -> AppVersion:
        """Save the fields that were set on the record, and return the version as it is then.

        Args:
            version: the changed record; one that was not read from the server updates unconditionally.

        Raises:
            NotFound: the application or the version does not exist.
            BadEntry: a field is not valid; the message names it.
            Conflict: someone else changed it since the record came from the server.
        """
        _sent(version, AppVersion)
        return self.http.update_record(version, _version(version.app_id, version.version))

    def remove_app_version(self, app_id: str, version: str) -> None:
        """Remove a version; its image stays in its registry.

        Args:
            app_id: id of the application.
            version: name of the version, such as ``1.0.0``.

        Raises:
            NotFound: the application or the version does not exist.
        """
        self.http.delete(_version(app_id, version))

    # --- apps that run

    def launch(self, app_id: str, version: str | None = None, profile: str | None = None) -> RunningApp:
        """Have an application run for you; one that runs already is returned as it is.

        It may still be starting: `RunningApp.wait` waits until it can be visited at `url`.

        Args:
            app_id: id of the application.
            version: its version; None for the newest one that all members see.
            profile: id of an app profile; None for the one that the version recommends, if it does.

        Raises:
            NotFound: the application, the version or the app profile does not exist, or the user cannot see it.
            Conflict: another version of it runs; the app profile is not ready, disabled, or more than the application
                may use; the version is not a native one; launching is disabled in the organization; the hub does not
                start it; or the server has no hub, and runs no applications.
            ServerError: the hub does not answer.
        """
        answer = self.http.post(f"{_application(app_id)}/launch", json=LaunchApp(version, profile).to_dict())
        return self._running(answer)

    def list_running(self, all_users: bool = False) -> list[RunningApp]:
        """Your apps in the organization that run, start or stop, and those that others share with you.

        `RunningApp.user_name` says whose each is.

        Args:
            all_users: True for those of all users, in the order of their names; for admins of the organization.

        Raises:
            Forbidden: `all_users`, and the user is not an admin of the organization.
            Conflict: the server has no hub, and runs no applications.
            ServerError: the hub does not answer.
        """
        params = {"all_users": True} if all_users else {}
        return list(self.http.items("/running-apps", params=params, make=self._running))

    def find_running(self, server_name: str, user_name: str | None = None) -> RunningApp:
        """An app that runs, starts or stops, by the name of its server (`RunningApp.server_name`).

        Args:
            server_name: the server.
            user_name: whose it is, of another user who shares it, or for admins of the organization; None for you.

        Raises:
            NotFound: it has ended, or did not start, or is not shared with you.
            Conflict: the server has no hub, and runs no applications.
            ServerError: the hub does not answer.
        """
        return self._running(self.http.get(_running(server_name), params={"user_name": user_name}))

    def share_running(
        self, server_name: str, users: Collection[str] | None = None, user_name: str | None = None
    ) -> RunningApp:
        """Let members of the organization visit an app of yours; see `RunningApp.share`.

        Args:
            server_name: its server.
            users: names of members; None for all of them.
            user_name: whose it is; None for you.

        Raises:
            BadEntry: somebody is not in the organization.
            Forbidden: it is another user's.
            NotFound: it has ended.
            Conflict: the hub does not share it, or the server has no hub, and runs no applications.
            ServerError: the hub does not answer.
        """
        body = ShareApp(None if users is None else _names(users), user_name).to_dict()
        return self._running(self.http.post(f"{_running(server_name)}/share", json=body))

    def unshare_running(
        self, server_name: str, users: Collection[str] | None = None, user_name: str | None = None
    ) -> RunningApp:
        """Let others visit an app of yours no more; see `RunningApp.unshare`.

        Args:
            server_name: its server.
            users: names of who visits it no more; None for everybody.
            user_name: whose it is; None for you.

        Raises:
            Forbidden: it is another user's.
            NotFound: it has ended.
            Conflict: the server has no hub, and runs no applications.
            ServerError: the hub does not answer.
        """
        for user in [None] if users is None else _names(users):
            self.http.delete(f"{_running(server_name)}/share", params={"user": user, "user_name": user_name})
        return self.find_running(server_name, user_name)

    def stop_running(self, server_name: str, user_name: str | None = None) -> None:
        """Stop an app, by the name of its server (`RunningApp.server_name`).

        Args:
            server_name: the server.
            user_name: whose it is, for admins of the organization; None for you.

        Raises:
            NotFound: it has ended.
            Forbidden: it is another user's, and the user is not an admin of the organization.
            Conflict: the hub does not stop it, or the server has no hub, and runs no applications.
            ServerError: the hub does not answer.
        """
        self.http.delete(_running(server_name), params={"user_name": user_name})

    def _running(self, answer: Any) -> RunningApp:
        app = RunningApp.from_answer(answer)
        # The hub's proxy leads to the service as well, so that a path at the hub is one there.
        url = app.__dict__.get("url")
        if url is not None:
            try:
                app.__dict__["url"] = urljoin(f"{self.session.config.service_url}/", url)
            except ValueError:
                raise BadResponse("the server sent an address of an app that is none") from None
        app.__dict__["_apps"] = self
        return app

    # --- registries

    def list_server_infos(self, app_id: str) -> list[ServerInfo]:
        """The registries an application has credentials for, without the passwords.

        Args:
            app_id: id of the application.

        Raises:
            NotFound: the application does not exist.
        """
        return list(self.http.items(f"{_application(app_id)}/servers", make=ServerInfo.from_answer))

    def get_server_info(self, app_id: str, domain: str) -> ServerInfo:
        """The credentials for one registry, without the password.

        Args:
            app_id: id of the application.
            domain: host of the registry, such as ``quay.io``.

        Raises:
            NotFound: the application does not exist, or has no credentials for that domain.
        """
        return self.http.get_record(ServerInfo, _server(app_id, domain))

    def add_server_info(self, server: ServerInfo) -> ServerInfo:
        """Store an application's credentials for a registry; the password can never be read back.

        Args:
            server: the record to add.

        Raises:
            NotFound: the application does not exist.
            AlreadyExists: the application has credentials for that domain already.
            BadEntry: a field is missing or not valid; the message names it.
        """
        body = _sent(server, ServerInfo)
        return ServerInfo.from_answer(self.http.post(f"{_application(server.app_id)}/servers", json=body))

    def update_server_info(self, server: ServerInfo) -> ServerInfo:
        """Change the credentials for a registry; a password of None leaves the stored one.

        Args:
            server: the changed record; one that was not read from the server updates unconditionally.

        Raises:
            NotFound: the application does not exist, or has no credentials for that domain.
            BadEntry: a field is not valid; the message names it.
            Conflict: someone else changed it since the record came from the server.
        """
        _sent(server, ServerInfo)
        return self.http.update_record(server, _server(server.app_id, server.domain))

    def remove_server_info(self, app_id: str, domain: str) -> None:
        """Remove an application's credentials for a registry.

        Args:
            app_id: id of the application.
            domain: host of the registry, such as ``quay.io``.

        Raises:
            NotFound: the application does not exist, or has no credentials for that domain.
        """
        self.http.delete(_server(app_id, domain))

    # --- OAuth clients

    def register_oauth_client(self, app_id: str, redirect_uri: str) -> dict[str, Any]:
        """Register an externally hosted application as an OAuth client.

        The server registers it with its JupyterHub, at which the application's visitors then log in; the token of a
        login is good for `EdgeSession(api_token=...)` in this organization. A server without a hub keeps the
        record, and nobody can log in by it.

        Args:
            app_id: the application.
            redirect_uri: absolute address that a login sends the user back to, compared letter by letter.

        Returns:
            `client_id`, of the form ``service-edge-app-ORGANIZATION-APP_ID``, `client_secret`, which
            is shown only now, and `redirect_uri`.

        Raises:
            NotFound: the application does not exist.
            AlreadyExists: it is registered already; remove the client to get another secret.
            BadEntry: the address is not valid.
            Conflict: the hub does not register it.
            ServerError: the hub does not answer (503 `hub_unavailable`), and nothing is registered.
        """
        body = RegisterOAuthClient(redirect_uri).to_dict()
        return OAuthClient.from_answer(self.http.post(_oauth(app_id), json=body)).to_dict()

    def list_oauth_clients(self) -> list[dict[str, Any]]:
        """The organization's OAuth clients: `client_id` and `redirect_uri` of each."""
        return [_without_secret(OAuthClient.from_answer(row)) for row in self.http.items("/oauth-clients")]

    def get_oauth_client(self, app_id: str) -> dict[str, Any]:
        """`client_id` and `redirect_uri` of an application's OAuth client.

        Args:
            app_id: id of the application.

        Raises:
            NotFound: the application does not exist, or is not registered.
        """
        return _without_secret(self.http.get_record(OAuthClient, _oauth(app_id)))

    def update_oauth_client(self, app_id: str, redirect_uri: str) -> dict[str, Any]:
        """Change the address that a login sends users back to; the secret stays.

        At a hub, whoever is logged in has to log in again.

        Args:
            app_id: id of the application.
            redirect_uri: absolute address that a login sends the user back to.

        Raises:
            NotFound: the application does not exist, or is not registered.
            BadEntry: the address is not valid.
        """
        answer = self.http.patch(_oauth(app_id), json={"redirect_uri": redirect_uri})
        return _without_secret(OAuthClient.from_answer(answer))

    def remove_oauth_client(self, app_id: str) -> None:
        """Remove an application's OAuth client; its secret is not valid any more.

        The tokens of its logins are refused within ten seconds.

        Args:
            app_id: id of the application.

        Raises:
            NotFound: the application does not exist, or is not registered.
        """
        self.http.delete(_oauth(app_id))


def _application(app_id: str) -> str:
    """The address of an application; an invalid id is not sent, since it could lead to another address."""
    if not is_app_id(app_id):
        raise NotFound(f"there is no application {app_id!r}; list_application_ids() lists the existing ones")
    return f"/applications/{app_id}"


def _running(server_name: str) -> str:
    """The address of an app that runs."""
    if not is_server_name(server_name):
        raise NotFound(f"no app {server_name!r} runs; list_running() lists those that do")
    return f"/running-apps/{server_name}"


def _names(users: Collection[str]) -> list[str]:
    """Names of users; a single text is not taken for the names of its letters."""
    if isinstance(users, str):
        raise BadEntry(f"users: {users!r} is a text; give a list of names, as in users=[{users!r}]")
    return list(users)


def _version(app_id: str, version: str) -> str:
    base = _application(app_id)
    if not is_version(version):
        raise NotFound(f"{app_id} has no version {version!r}; list_app_versions() lists the existing ones")
    return f"{base}/versions/{version}"


def _server(app_id: str, domain: str) -> str:
    base = _application(app_id)
    if not is_domain(domain):
        raise NotFound(f"{app_id} has no credentials for {domain!r}; list_server_infos() lists the existing ones")
    return f"{base}/servers/{domain}"


def _oauth(app_id: str) -> str:
    return f"{_application(app_id)}/oauth-client"


def _without_secret(client: OAuthClient) -> dict[str, Any]:
    return {name: value for name, value in client.to_dict().items() if name != "client_secret"}


def _sent(record: Any, kind: type[Any]) -> dict[str, Any]:
    if not isinstance(record, kind):
        raise BadEntry(f"{record!r} is not a record of {kind.__name__}; create one, as in {kind.__name__}(app_id=...)")
    sent: dict[str, Any] = record.to_dict()
    return sent
