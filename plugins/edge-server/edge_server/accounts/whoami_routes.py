"""The caller's own record."""

from __future__ import annotations

import flask
from sqlalchemy.orm import Session

from edge_core.whoami import Organization, Profile, WhoAmI
from edge_server.data.database import SERVER
from edge_server.identity import accounts
from edge_server.identity.models import User
from edge_server.web import permissions
from edge_server.web.answers import answer
from edge_server.web.engines import services
from edge_server.web.permissions import USER
from edge_server.web.routes import Routes

routes = Routes("whoami", __name__, url_prefix="/v1/users/me")


@routes.operation("whoami.read", "GET", "", who=USER)
@routes.response(200, WhoAmI.schema())
def read() -> flask.Response:
    """Tell whom the token acts for, and where."""
    with services().database.read() as session:
        return answer(_whoami(session))


@routes.operation("whoami.update", "PUT", "", who=USER)
@routes.arguments(Profile.schema())
@routes.response(200, WhoAmI.schema())
def update(profile: Profile) -> flask.Response:
    """Replace the caller's profile; what is null or left out is erased."""
    with services().database.write(SERVER) as session:
        user = session.get_one(User, permissions.caller().id)
        user.first_name = profile.first_name
        user.last_name = profile.last_name
        user.email = profile.email
        return answer(_whoami(session))


def _whoami(session: Session) -> WhoAmI:
    user = session.get_one(User, permissions.caller().id)
    return WhoAmI(
        user_name=user.user_name,
        first_name=user.first_name,
        last_name=user.last_name,
        email=user.email,
        server_admin=user.server_admin,
        license_name=user.license_name,
        organizations=[
            Organization(
                organization_name=organization.name,
                title=organization.title,
                roles=accounts.roles_of(membership),
            )
            for membership, organization in accounts.memberships(session, user.id)
        ],
    )
