"""The users of the server."""

from __future__ import annotations

from typing import Any

import flask
import sqlalchemy as sa
from sqlalchemy import select
from sqlalchemy.orm import Session, joinedload

from edge_admin.user import User as UserRecord
from edge_admin.wire import AdminQuery, UserPage
from edge_server.accounts import departures, hub_keeps, standing
from edge_server.accounts.departures import Departures
from edge_server.base.problems import Refusal, conflict, not_found
from edge_server.identity import directory
from edge_server.identity.hub_identity import hub_of
from edge_server.identity.models import Membership, Organization, User
from edge_server.identity.name_keys import name_key
from edge_server.web.context import OwnContext
from edge_server.web.permissions import SERVER_ADMIN
from edge_server.web.routes import Routes


def add(routes: Routes, context: OwnContext, leaving: Departures) -> None:
    """Add the addresses below ``/v1/admin/users``."""
    hub = hub_of(context.engines.identity)

    @routes.operation("admin.users.list", "GET", "/users", who=SERVER_ADMIN)
    @routes.arguments(AdminQuery.schema(), location="query")
    @routes.response(200, UserPage.schema())
    def list_users(query: AdminQuery) -> flask.Response:
        """List all users by name."""
        with context.read() as session:
            rows, following = context.page(session, _present(), User.user_name, query)
            return context.answer(UserPage(items=[_record(row) for row in rows], next=following))

    @routes.operation("admin.users.add", "POST", "/users", who=SERVER_ADMIN)
    @routes.arguments(UserRecord.schema())
    @routes.response(201, UserRecord.schema())
    def add_user(record: UserRecord) -> flask.Response:
        """Add a user, who gets a first token by accepting an invitation. A `uid` that is sent is not taken."""
        hub_keeps.refuse_new_user(hub)
        with context.write() as session:
            namesake = directory.find_user(session, record.user_name)
            if namesake is not None:
                raise context.already_exists(f"the user {namesake.user_name} exists already; choose another name")
            row = directory.create_user(session, record.user_name)
            _apply_profile(row, record)
            _apply_account(session, row, record)
            session.flush()
            context.audit(**_audited(row))
            return context.answer(_record(row), row, 201)

    @routes.operation("admin.users.read", "GET", "/users/<user_name>", who=SERVER_ADMIN)
    @routes.response(200, UserRecord.schema())
    def read_user(user_name: str) -> flask.Response:
        """Tell of one user."""
        with context.read() as session:
            row = _get(session, user_name)
            return context.answer(_record(row), row)

    @routes.operation("admin.users.update", "PATCH", "/users/<user_name>", who=SERVER_ADMIN)
    @routes.merge_patch(UserRecord)
    @routes.response(200, UserRecord.schema())
    def update_user(patch: dict[str, Any], user_name: str) -> flask.Response:
        """Change a user. First name, last name and email are theirs alone, once they have had a token."""
        with context.write() as session:
            row = _get(session, user_name)
            context.require_unchanged(row)
            own = ["first_name", "last_name", "email"] if row.activated_at is not None else []
            for name in own:
                # Null, too, would change it.
                if name in patch and patch[name] != getattr(row, name):
                    raise context.bad_entry(f"{name}: only the user can change it, with set_whoami; leave it out")
            record = context.patched(_record(row), patch, fixed=["uid", "user_name", *own])
            hub_keeps.refuse_change(hub, row, server_admin=record.server_admin)
            if row.server_admin and not record.server_admin and directory.is_last_server_admin(session, row):
                raise _last_server_admin()
            _apply_profile(row, record)
            _apply_account(session, row, record)
            session.flush()
            context.audit(**_audited(row))
            return context.answer(_record(row), row)

    @routes.operation("admin.users.remove", "DELETE", "/users/<user_name>", who=SERVER_ADMIN)
    @routes.response(204)
    def remove_user(user_name: str) -> flask.Response:
        """Remove a user with their tokens, memberships and secrets. What they put into an organization stays there."""
        if hub is not None:
            with context.read() as session:
                row = _get(session, user_name)
            hub_keeps.refuse_removal(hub, row)
        with context.write() as session:
            row = _get(session, user_name)
            context.require_unchanged(row)
            if row.server_admin and directory.is_last_server_admin(session, row):
                raise _last_server_admin()
            refuse_last_admin(session, row)
            places = [organization for _, organization in directory.memberships(session, row.id)]
            context.audit_in(*places, about={"user_name": user_name}, server=True)
            leaving.remove(session, row)
            response = context.nothing()
        context.wake(departures.TASK)
        return response

    @routes.operation("admin.users.revoke_addresses", "DELETE", "/users/<user_name>/addresses", who=SERVER_ADMIN)
    @routes.response(204)
    def revoke_addresses(user_name: str) -> flask.Response:
        """End all addresses that a user has signed, and their open uploads, in all organizations."""
        with context.write() as session:
            row = _get(session, user_name)
            standing.revoke_all(session, context.engines.lifecycle, row.id)
            places = [organization for _, organization in directory.memberships(session, row.id)]
            context.audit_in(*places, about={"user_name": user_name}, server=True)
            return context.nothing()


def refuse_last_admin(session: Session, user: User) -> None:
    """See that no organization is left without an admin when a user is removed.

    Raises:
        Refusal: the user is the last admin of one.
    """
    memberships = select(Membership).join(Organization).where(Membership.user_id == user.id)
    for membership in session.scalars(memberships.where(Organization.status != directory.DELETING)):
        if directory.is_last_admin(session, membership):
            raise conflict(
                f"{user.user_name} is the last admin of {membership.organization.name}; remove that organization, or "
                f"make another member admin first: {user.user_name} can, or on the server's machine its operator in "
                f"their name, with `edge server env --user {user.user_name}`"
            )


def _present() -> sa.Select[Any]:
    return select(User).where(User.removed_at.is_(None)).options(joinedload(User.home))


def _get(session: Session, user_name: str) -> User:
    row: User | None = session.scalar(_present().where(User.name_key == name_key(user_name)))
    if row is None:
        raise not_found("the user cannot be found; check the name")
    return row


def _apply_profile(row: User, record: UserRecord) -> None:
    row.first_name, row.last_name, row.email = record.first_name, record.last_name, record.email


def _apply_account(session: Session, row: User, record: UserRecord) -> None:
    row.server_admin = record.server_admin
    row.license_name = record.license_name
    home = None
    if record.home_org is not None:
        home = directory.find_organization(session, record.home_org)
        if home is None or home.status == directory.DELETING:
            raise conflict(f"home_org: there is no organization {record.home_org}; add it first")
    row.home = home


def _record(row: User) -> UserRecord:
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


def _audited(row: User) -> dict[str, str]:
    """What an audit line tells of a user: nothing of their profile."""
    return {
        "user_name": row.user_name,
        "server_admin": str(row.server_admin).lower(),
        "home_org": "" if row.home is None else row.home.name,
        "license_name": row.license_name or "",
    }


def _last_server_admin() -> Refusal:
    return conflict("this is the last server admin; make another user one first")
