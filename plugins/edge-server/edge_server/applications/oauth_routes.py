"""The addresses of OAuth clients."""

from __future__ import annotations

import contextlib
from contextlib import AbstractContextManager
from typing import Any

import flask
import sqlalchemy.exc
from sqlalchemy import select
from sqlalchemy.orm import Session

from edge_applications.wire import ListOfApplication, OAuthClientPage, RegisterOAuthClient
from edge_applications.wire import OAuthClient as OAuthClientRecord
from edge_server.applications import catalogue, oauth_clients
from edge_server.applications.hub_logins import HubLogins
from edge_server.applications.models import Application, OAuthClient
from edge_server.base.problems import already_exists
from edge_server.identity import token_values
from edge_server.keys.sealed_column import SealedColumn
from edge_server.web.context import Context
from edge_server.web.permissions import DEVELOPER
from edge_server.web.routes import Routes

SECRET_PREFIX = "edo_"  # noqa: S105


def routes(context: Context, secrets: SealedColumn, logins: HubLogins | None) -> Routes:
    """Below ``/v1/orgs/<org>/applications``, and the list of all ``oauth-clients``.

    Args:
        context: what they work with.
        secrets: where those of a hub's clients are kept.
        logins: the clients at the hub; None for a server without one, where they are records.
    """
    routes = context.routes("/v1/orgs/<org>", group="OAuth clients")

    @routes.operation("applications.oauth.list", "GET", "/oauth-clients", who=DEVELOPER)
    @routes.arguments(ListOfApplication.schema(), location="query")
    @routes.response(200, OAuthClientPage.schema())
    def list_oauth_clients(query: ListOfApplication, org: str) -> flask.Response:
        """List the organization's OAuth clients in the order they were registered, without secrets."""
        with context.read() as session:
            rows = select(OAuthClient).join(Application, Application.id == OAuthClient.application_id)
            rows = rows.where(Application.organization_id == context.member().organization_id)
            page, following = context.page(session, rows, OAuthClient.id, query)
        items = [_record(row) for row in page]
        return context.answer(OAuthClientPage(items=items, next=following))

    @routes.operation(
        "applications.oauth.register", "POST", "/applications/<app_id>/oauth-client", secret_answer=True, who=DEVELOPER
    )
    @routes.arguments(RegisterOAuthClient.schema())
    @routes.response(201, OAuthClientRecord.schema())
    def register_oauth_client(registration: RegisterOAuthClient, org: str, app_id: str) -> flask.Response:
        """Register an application as an OAuth client, with the server's hub if it has one; logins need a hub.

        The secret is shown this once. The same request sent again gives another secret to the same client, and voids
        the one before.
        """
        oauth_clients.check_redirect_uri(registration.redirect_uri)
        redirect_uri, secret = registration.redirect_uri, token_values.new_token(SECRET_PREFIX)
        before = context.issued_before()
        with context.read() as session:
            application, row = registered(session, app_id, before)
            client_id = oauth_clients.new_client_id(session, application) if row is None else row.client_id
            unkept = OAuthClient(application=application, client_id=client_id)
            prepared = None if logins is None else secrets.prepare(unkept, secret.encode())
        with at_hub(app_id, client_id, redirect_uri, secret), context.write() as session:
            present, row = registered(session, app_id, before)
            catalogue.require_same(present, application)
            if row is None:
                row = OAuthClient(application_id=present.id, client_id=client_id, redirect_uri=redirect_uri)
                session.add(row)
            row.digest = token_values.digest(secret)
            if prepared is not None:
                secrets.keep(row, prepared)
            try:
                session.flush()
            except sqlalchemy.exc.IntegrityError:
                raise context.conflict("somebody registered a client at the same moment; send it again") from None
            context.issued(row.uid)
            context.audit(application=app_id)
            return context.secret_answer(_record(row, secret), row, 201)

    @routes.operation("applications.oauth.read", "GET", "/applications/<app_id>/oauth-client", who=DEVELOPER)
    @routes.response(200, OAuthClientRecord.schema())
    def read_oauth_client(org: str, app_id: str) -> flask.Response:
        """Tell of an application's OAuth client, without its secret."""
        with context.read() as session:
            row = get(session, app_id)
            return context.answer(_record(row), row)

    @routes.operation("applications.oauth.update", "PATCH", "/applications/<app_id>/oauth-client", who=DEVELOPER)
    @routes.merge_patch(OAuthClientRecord)
    @routes.response(200, OAuthClientRecord.schema())
    def update_oauth_client(patch: dict[str, Any], org: str, app_id: str) -> flask.Response:
        """Send users elsewhere after a login; client id and secret stay, and whoever is logged in logs in again."""

        def redirect_uri(row: OAuthClient) -> str:
            context.require_unchanged(row)
            client = context.patched(_record(row), patch, fixed=["client_id", "client_secret"])
            oauth_clients.check_redirect_uri(client.redirect_uri)
            return client.redirect_uri

        with context.read() as session:
            before = get(session, app_id)
            address = redirect_uri(before)
            secret = None if logins is None or address == before.redirect_uri else logins.secret_of(before)
        with at_hub(app_id, before.client_id, address, secret), context.write() as session:
            row = get(session, app_id)
            if (row.uid, row.digest) != (before.uid, before.digest):
                raise context.conflict("somebody registered the client anew at the same moment; repeat your change")
            row.redirect_uri = redirect_uri(row)
            session.flush()
            context.audit(application=app_id)
            return context.answer(_record(row), row)

    @routes.operation("applications.oauth.remove", "DELETE", "/applications/<app_id>/oauth-client", who=DEVELOPER)
    @routes.response(204)
    def remove_oauth_client(org: str, app_id: str) -> flask.Response:
        """Remove an application's OAuth client; whoever has logged in by it is let in no more, within ten seconds."""
        with context.write() as session:
            row = get(session, app_id)
            context.require_unchanged(row)
            context.audit(application=app_id)
            client_id = row.client_id
            session.delete(row)
            response = context.nothing()
        if logins is not None:
            logins.follow([client_id])
        return response

    def get(session: Session, app_id: str) -> OAuthClient:
        return oauth_clients.get(session, catalogue.get(session, context.member(), app_id))

    def at_hub(app_id: str, client_id: str, redirect_uri: str, secret: str | None) -> AbstractContextManager[None]:
        if logins is None or secret is None:
            return contextlib.nullcontext()
        return logins.at_hub(app_id, client_id, redirect_uri, secret)

    def registered(session: Session, app_id: str, before: str | None) -> tuple[Application, OAuthClient | None]:
        """An application, and the client that this very request has registered before.

        Raises:
            Refusal: another request has.
        """
        application = catalogue.get(session, context.member(), app_id)
        row = session.scalar(select(OAuthClient).where(OAuthClient.application_id == application.id))
        if row is not None and row.uid != before:
            raise already_exists(f"{app_id} is registered already; remove its OAuth client to get another secret")
        return application, row

    return routes


def _record(row: OAuthClient, secret: str | None = None) -> OAuthClientRecord:
    return OAuthClientRecord(client_id=row.client_id, redirect_uri=row.redirect_uri, client_secret=secret)
