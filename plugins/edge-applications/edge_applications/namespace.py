"""What hangs on the session as `applications`."""

from __future__ import annotations

from typing import Any, ClassVar

from edge_applications.app_version import AppVersion
from edge_applications.application import Application
from edge_applications.names import is_app_id, is_domain, is_version
from edge_applications.server_info import ServerInfo
from edge_applications.wire import OAuthClient, RegisterOAuthClient
from edge_core.errors import BadEntry, NotFound
from edge_core.plugin import Namespace


class EdgeApplication(Namespace):
    """The applications of the organization: `EdgeSession.applications`.

    Whoever is a developer or an admin of the organization adds applications and their versions. An
    application begins In Review, seen by developers and admins only, until an admin approves it.
    Members see the visible versions of approved applications; to them the rest is `NotFound`.
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
        return [one.app_id for one in self.list_applications(include_builtin)]

    def list_applications(self, include_builtin: bool | None = None) -> list[Application]:
        """The organization's applications, in the order of their ids.

        Args:
            include_builtin: True adds the built-in applications at the end.
        """
        # Whatever was left out is sent as nothing.
        params = {"include_builtin": True} if include_builtin else {}
        return list(self.http.items("/applications", params=params, make=Application.from_answer))

    def get_application(self, app_id: str) -> Application:
        """One application, a built-in one as well.

        Raises:
            NotFound: there is none of that id, or the user cannot see it yet.
        """
        return self.http.get_record(Application, _application(app_id))

    def add_application(self, application: Application) -> Application:
        """Add an application, and return it as the server has it: In Review, without versions.

        Raises:
            AlreadyExists: the id is taken.
            BadEntry: a field is not valid; the message names it.
        """
        return Application.from_answer(self.http.post("/applications", json=_sent(application, Application)))

    def update_application(self, application: Application) -> Application:
        """Change an application to what was set on the record, and return it as it is then.

        Raises:
            NotFound: there is none of that id.
            BadEntry: a field is not valid, or cannot be changed; the message names it.
            Conflict: someone else changed it since the record came from the server, or it is built in.
        """
        _sent(application, Application)
        return self.http.update_record(application, _application(application.app_id))

    def remove_application(self, app_id: str) -> None:
        """Remove an application with its versions, registry credentials and OAuth client.

        Raises:
            NotFound: there is none of that id.
            Forbidden: the user is no admin of the organization.
            Conflict: it is built in.
        """
        self.http.delete(_application(app_id))

    def approve_application(self, app_id: str) -> Application:
        """Let all members of the organization see an application; one that is approved stays so.

        Raises:
            NotFound: there is none of that id.
            Forbidden: the user is no admin of the organization.
            Conflict: it is built in.
        """
        return Application.from_answer(self.http.post(f"{_application(app_id)}/approve"))

    # --- versions

    def list_app_versions(self, app_id: str) -> list[AppVersion]:
        """The versions of an application that the user can see, in the order they were added.

        Raises:
            NotFound: there is no such application.
        """
        return list(self.http.items(f"{_application(app_id)}/versions", make=AppVersion.from_answer))

    def get_app_version(self, app_id: str, version: str) -> AppVersion:
        """One version of an application.

        Raises:
            NotFound: there is no such application or version, or the user cannot see it.
        """
        return self.http.get_record(AppVersion, _version(app_id, version))

    def add_app_version(self, version: AppVersion) -> AppVersion:
        """Add a version to an application, and return it as the server has it.

        It becomes visible by itself if the application has `visible_auto_add`.

        Raises:
            NotFound: there is no such application.
            AlreadyExists: it has that version already.
            BadEntry: a field is not valid; the message names it.
        """
        body = _sent(version, AppVersion)
        return AppVersion.from_answer(self.http.post(f"{_application(version.app_id)}/versions", json=body))

    def update_app_version(self, version: AppVersion) -> AppVersion:
        """Change a version to what was set on the record, and return it as it is then.

        Raises:
            NotFound: there is no such application or version.
            BadEntry: a field is not valid; the message names it.
            Conflict: someone else changed it since the record came from the server.
        """
        _sent(version, AppVersion)
        return self.http.update_record(version, _version(version.app_id, version.version))

    def remove_app_version(self, app_id: str, version: str) -> None:
        """Remove a version; its image stays in its registry.

        Raises:
            NotFound: there is no such application or version.
        """
        self.http.delete(_version(app_id, version))

    # --- registries

    def list_server_infos(self, app_id: str) -> list[ServerInfo]:
        """The registries an application has credentials for, without the passwords.

        Raises:
            NotFound: there is no such application.
        """
        return list(self.http.items(f"{_application(app_id)}/servers", make=ServerInfo.from_answer))

    def get_server_info(self, app_id: str, domain: str) -> ServerInfo:
        """The credentials for one registry, without the password.

        Raises:
            NotFound: there is no such application, or it has none for that domain.
        """
        return self.http.get_record(ServerInfo, _server(app_id, domain))

    def add_server_info(self, server: ServerInfo) -> ServerInfo:
        """Keep an application's credentials for a registry. The password is never read back.

        Raises:
            NotFound: there is no such application.
            AlreadyExists: it has credentials for that domain already.
            BadEntry: a field is missing or not valid; the message names it.
        """
        body = _sent(server, ServerInfo)
        return ServerInfo.from_answer(self.http.post(f"{_application(server.app_id)}/servers", json=body))

    def update_server_info(self, server: ServerInfo) -> ServerInfo:
        """Change the credentials for a registry; a password of None stays what it is.

        Raises:
            NotFound: there is no such application, or it has none for that domain.
            BadEntry: a field is not valid; the message names it.
            Conflict: someone else changed it since the record came from the server.
        """
        _sent(server, ServerInfo)
        return self.http.update_record(server, _server(server.app_id, server.domain))

    def remove_server_info(self, app_id: str, domain: str) -> None:
        """Forget an application's credentials for a registry.

        Raises:
            NotFound: there is no such application, or it has none for that domain.
        """
        self.http.delete(_server(app_id, domain))

    # --- OAuth clients

    def register_oauth_client(self, app_id: str, redirect_uri: str) -> dict[str, Any]:
        """Register an externally hosted application as an OAuth client.

        The server keeps the record, and of the secret only a digest. It runs no logins itself: that
        needs a hub which takes its clients from here.

        Args:
            app_id: the application.
            redirect_uri: absolute address that a login sends the user back to.

        Returns:
            `client_id`, of the form ``service-edge-app-ORGANIZATION-APP_ID``, `client_secret`, which
            is shown this once, and `redirect_uri`.

        Raises:
            NotFound: there is no such application.
            AlreadyExists: it is registered; remove the client to get another secret.
            BadEntry: the address is not valid.
        """
        body = RegisterOAuthClient(redirect_uri).to_dict()
        return OAuthClient.from_answer(self.http.post(_oauth(app_id), json=body)).to_dict()

    def list_oauth_clients(self) -> list[dict[str, Any]]:
        """The organization's OAuth clients: `client_id` and `redirect_uri` of each."""
        return [_without_secret(OAuthClient.from_answer(one)) for one in self.http.items("/oauth-clients")]

    def get_oauth_client(self, app_id: str) -> dict[str, Any]:
        """`client_id` and `redirect_uri` of an application's OAuth client.

        Raises:
            NotFound: there is no such application, or it is not registered.
        """
        return _without_secret(self.http.get_record(OAuthClient, _oauth(app_id)))

    def update_oauth_client(self, app_id: str, redirect_uri: str) -> dict[str, Any]:
        """Send users elsewhere after a login; the secret stays.

        Raises:
            NotFound: there is no such application, or it is not registered.
            BadEntry: the address is not valid.
        """
        answer = self.http.patch(_oauth(app_id), json={"redirect_uri": redirect_uri})
        return _without_secret(OAuthClient.from_answer(answer))

    def remove_oauth_client(self, app_id: str) -> None:
        """Remove an application's OAuth client; its secret is good for nothing then.

        Raises:
            NotFound: there is no such application, or it is not registered.
        """
        self.http.delete(_oauth(app_id))


def _application(app_id: str) -> str:
    """The address of an application; an id that none can have is not sent, as it could be another address."""
    if not is_app_id(app_id):
        raise NotFound(f"there is no application {app_id!r}; list_application_ids() shows those there are")
    return f"/applications/{app_id}"


def _version(app_id: str, version: str) -> str:
    base = _application(app_id)
    if not is_version(version):
        raise NotFound(f"{app_id} has no version {version!r}; list_app_versions() shows those there are")
    return f"{base}/versions/{version}"


def _server(app_id: str, domain: str) -> str:
    base = _application(app_id)
    if not is_domain(domain):
        raise NotFound(f"{app_id} has no credentials for {domain!r}; list_server_infos() shows those there are")
    return f"{base}/servers/{domain}"


def _oauth(app_id: str) -> str:
    return f"{_application(app_id)}/oauth-client"


def _without_secret(client: OAuthClient) -> dict[str, Any]:
    return {name: value for name, value in client.to_dict().items() if name != "client_secret"}


def _sent(record: Any, kind: type[Any]) -> dict[str, Any]:
    if not isinstance(record, kind):
        raise BadEntry(f"{record!r} is no {kind.__name__}; make one, as in {kind.__name__}(app_id=...)")
    sent: dict[str, Any] = record.to_dict()
    return sent
