"""The caller's own record."""

from __future__ import annotations

from typing import Any

import flask
from sqlalchemy import Connection, Row

from edge_core.whoami import (
    CurrentToken,
    Organization,
    OwnOrganizationPage,
    OwnOrganizationQuery,
    Profile,
    WhoAmIAnswer,
)
from edge_server.base import pages
from edge_server.identity import directory, queries
from edge_server.identity.models import User
from edge_server.web import permissions
from edge_server.web.context import OwnContext
from edge_server.web.permissions import USER, Caller
from edge_server.web.routes import Routes


def routes(context: OwnContext) -> Routes:
    """``/v1/users/me`` itself."""
    routes = context.routes("/v1/users/me", group="whoami")

    @routes.operation("whoami.read", "GET", "", who=USER)
    @routes.response(200, WhoAmIAnswer.schema())
    def read() -> flask.Response:
        """Tell whom the token acts for, where, and what it is limited to."""
        with context.read_rows() as connection:
            return context.answer(_whoami(connection, context.caller(), permissions.holder()))

    @routes.operation("whoami.update", "PUT", "", who=USER)
    @routes.arguments(Profile.schema())
    @routes.response(200, WhoAmIAnswer.schema())
    def update(profile: Profile) -> flask.Response:
        """Replace the caller's profile; what is null or left out is erased."""
        with context.write() as session:
            user = session.get_one(User, context.caller().id)
            user.first_name = profile.first_name
            user.last_name = profile.last_name
            user.email = profile.email
            session.flush()
            return context.answer(_whoami(session.connection(), context.caller(), user))

    @routes.operation("whoami.organizations", "GET", "/organizations", who=USER)
    @routes.arguments(OwnOrganizationQuery.schema(), location="query")
    @routes.response(200, OwnOrganizationPage.schema())
    def organizations(query: OwnOrganizationQuery) -> flask.Response:
        """List the organizations that the token may be used in, by name."""
        with context.read_rows() as connection:
            items, following = _organizations(connection, context.caller(), query)
            return context.answer(OwnOrganizationPage(items=items, next=following))

    return routes


def _organizations(
    connection: Connection, caller: Caller, query: OwnOrganizationQuery
) -> tuple[list[Organization], str | None]:
    after = "" if query.cursor is None else pages.key_of(query.cursor, str)
    rows = queries.organizations(connection, caller.id, caller.scopes.organizations, after=after, limit=query.limit + 1)
    page, following = pages.cut(rows, lambda row: row.name, query)
    items = [Organization(organization_name=row.name, title=row.title, roles=directory.roles_of(row)) for row in page]
    return items, following


def _whoami(connection: Connection, caller: Caller, me: User | Row[Any]) -> WhoAmIAnswer:
    """What `me` is told, who is the caller's user."""
    token = permissions.holder()
    organizations, following = _organizations(connection, caller, OwnOrganizationQuery())
    return WhoAmIAnswer(
        user_name=me.user_name,
        first_name=me.first_name,
        last_name=me.last_name,
        email=me.email,
        server_admin=me.server_admin,
        license_name=me.license_name,
        token=CurrentToken(
            id=token.hub_id or token.token_uid,
            scopes=token.scopes,
            expires_at=token.expires_at,
            renewable=token.lifetime is not None,
        ),
        organizations=organizations,
        organizations_next=following,
    )
