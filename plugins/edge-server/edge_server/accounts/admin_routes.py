"""The organizations and users of the server."""

from __future__ import annotations

from typing import Any

import flask
import sqlalchemy as sa
from sqlalchemy import select
from sqlalchemy.orm import Session, joinedload

from edge_admin.organization import Organization as OrganizationRecord
from edge_admin.organization import OrganizationStatusEnum
from edge_admin.quota import Quota
from edge_admin.user import User as UserRecord
from edge_admin.wire import AdminQuery, OrganizationPage, UserPage
from edge_server.base import clock, pages
from edge_server.base.problems import already_exists, bad_entry, conflict, not_found
from edge_server.billing import usage
from edge_server.data.database import SERVER
from edge_server.identity import accounts
from edge_server.identity.models import Organization, User
from edge_server.web import updates
from edge_server.web.answers import answer
from edge_server.web.engines import services
from edge_server.web.permissions import SERVER_ADMIN
from edge_server.web.routes import Routes

routes = Routes("admin", __name__, url_prefix="/v1/admin")

REMOVAL = "removal"
"""The background task's name."""


# --- organizations


@routes.operation("admin.organizations.list", "GET", "/organizations", who=SERVER_ADMIN)
@routes.arguments(AdminQuery.schema(), location="query")
@routes.response(200, OrganizationPage.schema())
def list_organizations(query: AdminQuery) -> flask.Response:
    """List all organizations by name, those that are being removed among them."""
    with services().database.read() as session:
        found, following = pages.page(session, select(Organization), Organization.name, query)
        return answer(OrganizationPage(items=[_organization(one) for one in found], next=following))


@routes.operation("admin.organizations.add", "POST", "/organizations", who=SERVER_ADMIN)
@routes.arguments(OrganizationRecord.schema())
@routes.response(201, OrganizationRecord.schema())
def add_organization(wanted: OrganizationRecord) -> flask.Response:
    """Add an organization, which has no members yet. A `uid` that is sent is not taken."""
    with services().database.write(SERVER) as session:
        found = accounts.find_organization(session, wanted.name)
        if found is not None:
            being = "is being removed" if found.status == accounts.DELETING else "exists already"
            raise already_exists(f"the organization {wanted.name} {being}; choose another name")
        organization = accounts.create_organization(
            session, services().lifecycle.organization_added, wanted.name, wanted.title
        )
        _apply(organization, wanted)
        session.flush()
        return answer(_organization(organization), organization, 201)


@routes.operation("admin.organizations.read", "GET", "/organizations/<organization_name>", who=SERVER_ADMIN)
@routes.response(200, OrganizationRecord.schema())
def read_organization(organization_name: str) -> flask.Response:
    """Tell of one organization."""
    with services().database.read() as session:
        organization = _get_organization(session, organization_name)
        return answer(_organization(organization), organization)


@routes.operation("admin.organizations.update", "PATCH", "/organizations/<organization_name>", who=SERVER_ADMIN)
@routes.merge_patch(OrganizationRecord)
@routes.response(200, OrganizationRecord.schema())
def update_organization(patch: dict[str, Any], organization_name: str) -> flask.Response:
    """Change an organization; its name stays."""
    with services().database.write(SERVER) as session:
        organization = _get_organization(session, organization_name)
        updates.require_unchanged(organization)
        if organization.status == accounts.DELETING:
            raise conflict(f"the organization {organization_name} is being removed, which cannot be undone")
        wanted = updates.patched(_organization(organization), patch, fixed=["uid", "name"])
        _apply(organization, wanted)
        session.flush()
        return answer(_organization(organization), organization)


@routes.operation("admin.organizations.remove", "DELETE", "/organizations/<organization_name>", who=SERVER_ADMIN)
@routes.response(202, OrganizationRecord.schema())
def remove_organization(organization_name: str) -> flask.Response:
    """Close an organization now, and remove it with all of its data in the background.

    It shows with the status `deleting` until all of it is gone.
    """
    services().legacy["meter"].flush()  # what comes later finds no organization to count for
    with services().database.write(SERVER) as session:
        organization = _get_organization(session, organization_name)
        updates.require_unchanged(organization)
        if organization.status != accounts.DELETING:
            # What it stored so far shall be known when its versions are gone.
            usage.keep_measured(session, organization.id, usage.measure(session, organization.id, clock.now()))
        organization.status = accounts.DELETING
        session.flush()
        response = answer(_organization(organization), organization, 202)
    services().background.wake(REMOVAL)
    return response


@routes.operation("admin.quotas.read", "GET", "/organizations/<organization_name>/quota", who=SERVER_ADMIN)
@routes.response(200, Quota.schema())
def read_quota(organization_name: str) -> flask.Response:
    """Tell how much an organization's files may hold, and how much they do."""
    with services().database.read() as session:
        organization = _get_organization(session, organization_name)
        return answer(_quota(organization), organization)


@routes.operation("admin.quotas.update", "PATCH", "/organizations/<organization_name>/quota", who=SERVER_ADMIN)
@routes.merge_patch(Quota)
@routes.response(200, Quota.schema())
def update_quota(patch: dict[str, Any], organization_name: str) -> flask.Response:
    """Say how much an organization's files may hold. What is there already stays, also if it is more."""
    with services().database.write(SERVER) as session:
        organization = _get_organization(session, organization_name)
        updates.require_unchanged(organization)
        wanted = updates.patched(_quota(organization), patch, fixed=["used_bytes"])
        organization.quota_bytes = wanted.storage_bytes
        session.flush()
        return answer(_quota(organization), organization)


def _quota(row: Organization) -> Quota:
    return Quota(storage_bytes=row.quota_bytes, used_bytes=row.used_bytes)


def _get_organization(session: Session, name: str) -> Organization:
    found = accounts.find_organization(session, name)
    if found is None:
        raise not_found("there is no such organization; check its short name")
    return found


def _apply(organization: Organization, wanted: OrganizationRecord) -> None:
    if wanted.status is OrganizationStatusEnum.Deleting:
        raise conflict("status: an organization is not removed by an update; remove it by DELETE")
    organization.title = wanted.title or organization.name
    organization.status = wanted.status.value
    organization.disable_launch = wanted.disable_launch
    organization.shutdown_apps = wanted.shutdown_apps
    organization.active = wanted.active


def _organization(row: Organization) -> OrganizationRecord:
    return OrganizationRecord.from_answer(
        {
            "uid": row.uid,
            "name": row.name,
            "title": row.title,
            "status": row.status,
            "disable_launch": row.disable_launch,
            "shutdown_apps": row.shutdown_apps,
            "active": row.active,
        }
    )


# --- users


@routes.operation("admin.users.list", "GET", "/users", who=SERVER_ADMIN)
@routes.arguments(AdminQuery.schema(), location="query")
@routes.response(200, UserPage.schema())
def list_users(query: AdminQuery) -> flask.Response:
    """List all users by name."""
    with services().database.read() as session:
        found, following = pages.page(session, _users(), User.user_name, query)
        return answer(UserPage(items=[_user(one) for one in found], next=following))


@routes.operation("admin.users.add", "POST", "/users", who=SERVER_ADMIN)
@routes.arguments(UserRecord.schema())
@routes.response(201, UserRecord.schema())
def add_user(wanted: UserRecord) -> flask.Response:
    """Add a user, who gets a first token by accepting an invitation. A `uid` that is sent is not taken."""
    with services().database.write(SERVER) as session:
        if accounts.find_user(session, wanted.user_name) is not None:
            raise already_exists(f"the user {wanted.user_name} exists already; choose another name")
        user = accounts.create_user(session, wanted.user_name)
        _apply_profile(user, wanted)
        _apply_account(session, user, wanted)
        session.flush()
        return answer(_user(user), user, 201)


@routes.operation("admin.users.read", "GET", "/users/<user_name>", who=SERVER_ADMIN)
@routes.response(200, UserRecord.schema())
def read_user(user_name: str) -> flask.Response:
    """Tell of one user."""
    with services().database.read() as session:
        user = _get_user(session, user_name)
        return answer(_user(user), user)


@routes.operation("admin.users.update", "PATCH", "/users/<user_name>", who=SERVER_ADMIN)
@routes.merge_patch(UserRecord)
@routes.response(200, UserRecord.schema())
def update_user(patch: dict[str, Any], user_name: str) -> flask.Response:
    """Change a user. First name, last name and email are theirs alone, once they have had a token."""
    with services().database.write(SERVER) as session:
        user = _get_user(session, user_name)
        updates.require_unchanged(user)
        own = ["first_name", "last_name", "email"] if user.activated_at is not None else []
        for name in own:
            # Null, too, would change it.
            if name in patch and patch[name] != getattr(user, name):
                raise bad_entry(f"{name}: only the user can change it, with set_whoami; leave it out")
        wanted = updates.patched(_user(user), patch, fixed=["uid", "user_name", *own])
        if user.server_admin and not wanted.server_admin and accounts.is_last_server_admin(session, user):
            raise _last()
        _apply_profile(user, wanted)
        _apply_account(session, user, wanted)
        session.flush()
        return answer(_user(user), user)


@routes.operation("admin.users.remove", "DELETE", "/users/<user_name>", who=SERVER_ADMIN)
@routes.response(204)
def remove_user(user_name: str) -> flask.Response:
    """Remove a user with their tokens, memberships and secrets. What they put into an organization stays there."""
    with services().database.write(SERVER) as session:
        user = _get_user(session, user_name)
        updates.require_unchanged(user)
        if user.server_admin and accounts.is_last_server_admin(session, user):
            raise _last()
        accounts.remove_user(session, user)
    return flask.Response(status=204)


def _users() -> sa.Select[Any]:
    return select(User).where(User.removed_at.is_(None)).options(joinedload(User.home))


def _get_user(session: Session, user_name: str) -> User:
    found: User | None = session.scalar(_users().where(User.user_name == user_name))
    if found is None:
        raise not_found("there is no such user; check the name")
    return found


def _apply_profile(user: User, wanted: UserRecord) -> None:
    user.first_name, user.last_name, user.email = wanted.first_name, wanted.last_name, wanted.email


def _apply_account(session: Session, user: User, wanted: UserRecord) -> None:
    user.server_admin = wanted.server_admin
    user.license_name = wanted.license_name
    home = None
    if wanted.home_org is not None:
        home = accounts.find_organization(session, wanted.home_org)
        if home is None or home.status == accounts.DELETING:
            raise conflict(f"home_org: there is no organization {wanted.home_org}; add it first")
    user.home = home


def _user(row: User) -> UserRecord:
    return UserRecord(
        uid=row.uid,
        user_name=row.user_name,
        first_name=row.first_name,
        last_name=row.last_name,
        email=row.email,
        server_admin=row.server_admin,
        home_org=None if row.home is None else row.home.name,
        license_name=row.license_name,
    )


def _last() -> Exception:
    return conflict("this is the last server admin; make another user one first")
