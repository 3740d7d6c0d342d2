"""The addresses of applications, their versions and registry credentials."""

from __future__ import annotations

from typing import Any

import flask
import sqlalchemy.exc
from sqlalchemy import select

from edge_applications.app_version import AppVersion as AppVersionRecord
from edge_applications.application import Application as ApplicationRecord
from edge_applications.server_info import ServerInfo
from edge_applications.wire import (
    ApplicationPage,
    AppVersionPage,
    ListApplications,
    ListOfApplication,
    ServerInfoPage,
)
from edge_server.applications import builtin_apps, catalogue, oauth_clients
from edge_server.applications.hub_logins import HubLogins
from edge_server.applications.models import Application, AppServer, AppVersion
from edge_server.base.problems import already_exists, bad_entry, not_found
from edge_server.keys.sealed_column import SealedColumn
from edge_server.web.context import Context
from edge_server.web.permissions import DEVELOPER, MEMBER, ORG_ADMIN
from edge_server.web.routes import Routes

_MAX_APPLICATION = 256 << 10
"""Bytes. The names of a thousand versions, each of a hundred characters."""

_MAX_VERSION = 512 << 10
"""Bytes. The largest icon in base64, beside the rest of the version."""


def routes(context: Context, passwords: SealedColumn, logins: HubLogins | None) -> Routes:
    """Below ``/v1/orgs/<org>/applications``.

    Args:
        context: what they work with.
        passwords: where those of registries are kept.
        logins: the OAuth clients at the hub, which go with their applications; None without a hub.
    """
    routes = context.routes("/v1/orgs/<org>")
    _applications(routes, context, logins)
    _versions(routes, context)
    _registries(routes, context, passwords)
    return routes


def _applications(routes: Routes, context: Context, logins: HubLogins | None) -> None:
    @routes.operation("applications.list", "GET", "/applications", who=MEMBER)
    @routes.arguments(ListApplications.schema(), location="query")
    @routes.response(200, ApplicationPage.schema())
    def list_applications(query: ListApplications, org: str) -> flask.Response:
        """List the applications that the caller sees, in the order of their ids."""
        with context.read() as session:
            rows, following = context.page(session, catalogue.seen_by(context.member()), Application.app_id, query)
        items = [catalogue.record(row) for row in rows]
        if query.include_builtin and following is None:
            items += builtin_apps.APPLICATIONS.values()
        return context.answer(ApplicationPage(items=items, next=following))

    @routes.operation("applications.add", "POST", "/applications", who=DEVELOPER, max_json=_MAX_APPLICATION)
    @routes.arguments(ApplicationRecord.schema())
    @routes.response(201, ApplicationRecord.schema())
    def add_application(application: ApplicationRecord, org: str) -> flask.Response:
        """Add an application, In Review. A `status` or `built_in` that is sent is not taken."""
        with context.write() as session:
            row = catalogue.add(session, context.member().organization_id, application)
            context.audit(application=row.app_id)
            return context.answer(catalogue.record(row), row, 201)

    @routes.operation("applications.read", "GET", "/applications/<app_id>", who=MEMBER)
    @routes.response(200, ApplicationRecord.schema())
    def read_application(org: str, app_id: str) -> flask.Response:
        """Tell of one application."""
        built_in = builtin_apps.APPLICATIONS.get(app_id)
        if built_in is not None:
            return context.answer(built_in)
        with context.read() as session:
            row = catalogue.get(session, context.member(), app_id)
            return context.answer(catalogue.record(row), row)

    @routes.operation(
        "applications.update", "PATCH", "/applications/<app_id>", who=DEVELOPER, max_json=_MAX_APPLICATION
    )
    @routes.merge_patch(ApplicationRecord)
    @routes.response(200, ApplicationRecord.schema())
    def update_application(patch: dict[str, Any], org: str, app_id: str) -> flask.Response:
        """Change an application; its id stays, and its status is changed by approving it."""
        with context.write() as session:
            row = catalogue.get(session, context.member(), app_id)
            context.require_unchanged(row)
            fixed = ["app_id", "built_in", "status"]
            catalogue.apply(session, row, context.patched(catalogue.record(row), patch, fixed=fixed))
            session.flush()
            context.audit(application=app_id)
            return context.answer(catalogue.record(row), row)

    @routes.operation("applications.remove", "DELETE", "/applications/<app_id>", who=ORG_ADMIN)
    @routes.response(204)
    def remove_application(org: str, app_id: str) -> flask.Response:
        """Remove an application with its versions, registry credentials and OAuth client."""
        with context.write() as session:
            row = catalogue.get(session, context.member(), app_id)
            context.require_unchanged(row)
            context.audit(application=app_id)
            client_ids = oauth_clients.ids_of(session, [row.id])
            session.delete(row)
            response = context.nothing()
        if logins is not None:
            logins.follow(client_ids)
        return response

    @routes.operation("applications.approve", "POST", "/applications/<app_id>/approve", who=ORG_ADMIN)
    @routes.response(200, ApplicationRecord.schema())
    def approve_application(org: str, app_id: str) -> flask.Response:
        """Let all members see an application."""
        with context.write() as session:
            row = catalogue.get(session, context.member(), app_id)
            row.status = catalogue.APPROVED
            session.flush()
            context.audit(application=app_id)
            return context.answer(catalogue.record(row), row)


def _versions(routes: Routes, context: Context) -> None:
    @routes.operation("applications.versions.list", "GET", "/applications/<app_id>/versions", who=MEMBER)
    @routes.arguments(ListOfApplication.schema(), location="query")
    @routes.response(200, AppVersionPage.schema())
    def list_versions(query: ListOfApplication, org: str, app_id: str) -> flask.Response:
        """List the versions that the caller sees, in the order they were added."""
        built_in = builtin_apps.VERSIONS.get(app_id)
        if built_in is not None:
            return context.answer(AppVersionPage(items=[built_in], next=None))
        with context.read() as session:
            application = catalogue.get(session, context.member(), app_id)
            versions = catalogue.versions_seen_by(context.member(), application)
            rows, following = context.page(session, versions, AppVersion.id, query)
        items = [catalogue.version_record(app_id, row) for row in rows]
        return context.answer(AppVersionPage(items=items, next=following))

    @routes.operation(
        "applications.versions.add", "POST", "/applications/<app_id>/versions", who=DEVELOPER, max_json=_MAX_VERSION
    )
    @routes.arguments(AppVersionRecord.schema())
    @routes.response(201, AppVersionRecord.schema())
    def add_version(version: AppVersionRecord, org: str, app_id: str) -> flask.Response:
        """Add a version, visible by itself if the application says so. Its image is in a registry already."""
        _require_same_application(version.app_id, app_id)
        # Before the application is looked up, so that who adds both learns first whether the version can be.
        new = catalogue.new_version(version)
        with context.write() as session:
            application = catalogue.get(session, context.member(), app_id)
            row = catalogue.add_version(session, application, new)
            session.flush()
            context.audit(application=app_id, version=row.version)
            return context.answer(catalogue.version_record(app_id, row), row, 201)

    @routes.operation("applications.versions.read", "GET", "/applications/<app_id>/versions/<version>", who=MEMBER)
    @routes.response(200, AppVersionRecord.schema())
    def read_version(org: str, app_id: str, version: str) -> flask.Response:
        """Tell of one version."""
        built_in = builtin_apps.VERSIONS.get(app_id)
        if built_in is not None and built_in.version == version:
            return context.answer(built_in)
        if built_in is not None:
            raise not_found(f"{app_id} has no version {version!r}; list its versions to see them")
        with context.read() as session:
            application = catalogue.get(session, context.member(), app_id)
            row = catalogue.get_version(session, context.member(), application, version)
            return context.answer(catalogue.version_record(app_id, row), row)

    @routes.operation(
        "applications.versions.update",
        "PATCH",
        "/applications/<app_id>/versions/<version>",
        who=DEVELOPER,
        max_json=_MAX_VERSION,
    )
    @routes.merge_patch(AppVersionRecord)
    @routes.response(200, AppVersionRecord.schema())
    def update_version(patch: dict[str, Any], org: str, app_id: str, version: str) -> flask.Response:
        """Change a version; what it is called stays, and what members run of an approved application."""
        with context.write() as session:
            application = catalogue.get(session, context.member(), app_id)
            row = catalogue.get_version(session, context.member(), application, version)
            context.require_unchanged(row)
            current = catalogue.version_record(app_id, row)
            catalogue.change_version(application, row, context.patched(current, patch, fixed=["app_id", "version"]))
            session.flush()
            context.audit(application=app_id, version=version)
            return context.answer(catalogue.version_record(app_id, row), row)

    @routes.operation(
        "applications.versions.remove", "DELETE", "/applications/<app_id>/versions/<version>", who=DEVELOPER
    )
    @routes.response(204)
    def remove_version(org: str, app_id: str, version: str) -> flask.Response:
        """Remove a version, which is not visible any more then."""
        with context.write() as session:
            application = catalogue.get(session, context.member(), app_id)
            row = catalogue.get_version(session, context.member(), application, version)
            context.require_unchanged(row)
            context.audit(application=app_id, version=version)
            session.delete(row)
            application.visible_versions = [name for name in application.visible_versions if name != version]
            return context.nothing()


def _registries(routes: Routes, context: Context, passwords: SealedColumn) -> None:
    @routes.operation("applications.servers.list", "GET", "/applications/<app_id>/servers", who=DEVELOPER)
    @routes.arguments(ListOfApplication.schema(), location="query")
    @routes.response(200, ServerInfoPage.schema())
    def list_servers(query: ListOfApplication, org: str, app_id: str) -> flask.Response:
        """List the registries an application has credentials for, in the order they were added; no passwords."""
        with context.read() as session:
            application = catalogue.get(session, context.member(), app_id)
            servers = select(AppServer).where(AppServer.application_id == application.id)
            rows, following = context.page(session, servers, AppServer.id, query)
        items = [_server(app_id, row) for row in rows]
        return context.answer(ServerInfoPage(items=items, next=following))

    @routes.operation("applications.servers.add", "POST", "/applications/<app_id>/servers", who=DEVELOPER)
    @routes.arguments(ServerInfo.schema())
    @routes.response(201, ServerInfo.schema())
    def add_server(server: ServerInfo, org: str, app_id: str) -> flask.Response:
        """Keep an application's credentials for a registry. The password is sealed and never sent back."""
        _require_same_application(server.app_id, app_id)
        if not server.username:
            raise bad_entry("username: it is missing; state who the registry knows")
        if not server.password:
            raise bad_entry("password: it is missing; state a password or token of the registry")
        taken = already_exists(f"{app_id} has credentials for {server.domain.lower()} already; update those")
        domain = server.domain.lower()
        with context.read() as session:
            before = catalogue.get(session, context.member(), app_id)
            prepared = passwords.prepare(AppServer(application=before, domain=domain), server.password.encode())
        with context.write() as session:
            application = catalogue.get(session, context.member(), app_id)
            catalogue.require_same(application, before)
            row = AppServer(application=application, domain=domain, username=server.username)
            passwords.keep(row, prepared)
            session.add(row)
            try:
                session.flush()
            except sqlalchemy.exc.IntegrityError:
                raise taken from None
            context.audit(application=app_id, domain=row.domain)
            return context.answer(_server(app_id, row), row, 201)

    @routes.operation("applications.servers.read", "GET", "/applications/<app_id>/servers/<domain>", who=DEVELOPER)
    @routes.response(200, ServerInfo.schema())
    def read_server(org: str, app_id: str, domain: str) -> flask.Response:
        """Tell of the credentials for one registry, without the password."""
        with context.read() as session:
            row = catalogue.get_server(session, catalogue.get(session, context.member(), app_id), domain)
            return context.answer(_server(app_id, row), row)

    @routes.operation("applications.servers.update", "PATCH", "/applications/<app_id>/servers/<domain>", who=DEVELOPER)
    @routes.merge_patch(ServerInfo)
    @routes.response(200, ServerInfo.schema())
    def update_server(patch: dict[str, Any], org: str, app_id: str, domain: str) -> flask.Response:
        """Change the credentials for a registry; a password of null stays what it is."""

        def changed(row: AppServer) -> ServerInfo:
            context.require_unchanged(row)
            is_same = str(patch.get("domain") or "").lower() == row.domain
            own = {**patch, "domain": row.domain} if is_same else patch
            server = context.patched(_server(app_id, row), own, fixed=["app_id", "domain"])
            if not server.username:
                raise bad_entry("username: it is missing; state who the registry knows")
            if server.password == "":
                raise bad_entry("password: it is empty; leave it out to keep the one there is")
            return server

        with context.read() as session:
            before = catalogue.get(session, context.member(), app_id)
            row = catalogue.get_server(session, before, domain)
            password = changed(row).password
            prepared = None if password is None else passwords.prepare(row, password.encode())
        with context.write() as session:
            application = catalogue.get(session, context.member(), app_id)
            catalogue.require_same(application, before)
            row = catalogue.get_server(session, application, domain)
            row.username = changed(row).username
            if prepared is not None:
                passwords.keep(row, prepared)
            session.flush()
            context.audit(application=app_id, domain=row.domain)
            return context.answer(_server(app_id, row), row)

    @routes.operation("applications.servers.remove", "DELETE", "/applications/<app_id>/servers/<domain>", who=DEVELOPER)
    @routes.response(204)
    def remove_server(org: str, app_id: str, domain: str) -> flask.Response:
        """Forget an application's credentials for a registry."""
        with context.write() as session:
            row = catalogue.get_server(session, catalogue.get(session, context.member(), app_id), domain)
            context.require_unchanged(row)
            context.audit(application=app_id, domain=domain)
            session.delete(row)
            return context.nothing()


def _require_same_application(in_body: str, app_id: str) -> None:
    if in_body != app_id:
        raise bad_entry(f"app_id: it is {in_body!r}, and the address says {app_id!r}; send it to its own")


def _server(app_id: str, row: AppServer) -> ServerInfo:
    return ServerInfo(app_id=app_id, domain=row.domain, username=row.username, password=None)
