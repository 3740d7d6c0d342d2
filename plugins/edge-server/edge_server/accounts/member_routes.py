"""The members of an organization."""

from __future__ import annotations

from typing import Any

import flask
import sqlalchemy as sa
from sqlalchemy import select
from sqlalchemy.orm import Session, joinedload

from edge_admin.member import Member as MemberRecord
from edge_admin.wire import AddMember, AdminQuery, MemberPage
from edge_server.accounts import hub_keeps, inviting, standing
from edge_server.base.problems import Refusal, already_exists, conflict, not_found
from edge_server.identity import directory, token_values
from edge_server.identity.models import Membership, Organization, User
from edge_server.identity.name_keys import name_key
from edge_server.identity.token_scopes import UNLIMITED
from edge_server.web import permissions
from edge_server.web.context import OwnContext
from edge_server.web.permissions import APPOINTER, ORG_ADMIN
from edge_server.web.rates import INVITING
from edge_server.web.routes import Routes


def add(routes: Routes, context: OwnContext) -> None:
    """Add the addresses below ``/v1/orgs/<org>/members``."""
    events = context.engines.lifecycle

    @routes.operation("members.list", "GET", "/orgs/<org>/members", who=APPOINTER)
    @routes.arguments(AdminQuery.schema(), location="query")
    @routes.response(200, MemberPage.schema())
    def list_members(query: AdminQuery, org: str) -> flask.Response:
        """List the organization's members by name."""
        with context.read() as session:
            members = _of(context.member().organization_id)
            rows, following = context.page(session, members, User.user_name, query)
            return context.answer(MemberPage(items=[_record(row) for row in rows], next=following))

    # A membership is the user's as well, so that writers wait for the server's lock.

    @routes.operation("members.add", "POST", "/orgs/<org>/members", who=APPOINTER, limit=INVITING)
    @routes.arguments(AddMember.schema())
    @routes.response(201, MemberRecord.schema())
    @routes.alt_response(202, schema=MemberRecord.schema(), description="Invited; nothing of their profile is told.")
    def add_member(addition: AddMember, org: str) -> flask.Response:
        """Make a user a member: one of this home at once, anyone else by an invitation that they accept.

        Whether anybody has the name makes no difference to the answer. Who a server admin adds is a member at once.
        """
        with context.write(context.SERVER) as session:
            organization = session.get_one(Organization, context.member().organization_id)
            hub_keeps.refuse_members(organization)
            user = directory.find_user(session, addition.user_name)
            if user is not None:
                refuse_own_appointment(user)
                refuse_member(session, user, organization)
            caller = context.caller()
            if caller.server_admin and caller.scopes == UNLIMITED:
                if user is None:
                    raise context.not_found("the user cannot be found; invite them")
            elif user is None or user.home_organization_id != organization.id:
                # Its code is known to nobody: who is meant finds it in their list.
                code = token_values.new_token(token_values.INVITATION_PREFIX)
                invitation = inviting.invite(session, organization, addition, code)
                context.audit(**inviting.audited(invitation))
                roles = [role for role in directory.ROLES if role in addition.roles]
                invited = MemberRecord(user_name=addition.user_name, roles=roles, invited=True)
                return context.answer(invited, status=202)
            directory.add_member(session, user, organization, set(addition.roles))
            row = _get(session, organization.id, addition.user_name)
            context.audit(user_name=user.user_name, roles=_roles(row))
            return context.answer(_record(row), row, 201)

    @routes.operation("members.read", "GET", "/orgs/<org>/members/<user_name>", who=APPOINTER)
    @routes.response(200, MemberRecord.schema())
    def read_member(org: str, user_name: str) -> flask.Response:
        """Tell of one member."""
        with context.read() as session:
            row = _get(session, context.member().organization_id, user_name)
            return context.answer(_record(row), row)

    @routes.operation("members.update", "PATCH", "/orgs/<org>/members/<user_name>", who=APPOINTER)
    @routes.merge_patch(MemberRecord)
    @routes.response(200, MemberRecord.schema())
    def update_member(patch: dict[str, Any], org: str, user_name: str) -> flask.Response:
        """Change a member's roles, or their license if this is their home organization."""
        with context.write(context.SERVER) as session:
            row = _get(session, context.member().organization_id, user_name)
            context.require_unchanged(row)
            refuse_own_appointment(row.user)
            fixed = ["user_name", "first_name", "last_name", "email", "home", "invited"]
            record = context.patched(_record(row), patch, fixed=fixed)
            if record.license_name != row.user.license_name:
                if row.user.home_organization_id != row.organization_id:
                    raise context.bad_entry("license_name: only the admins of the user's home organization change it")
                row.user.license_name = record.license_name
            if set(record.roles) != set(directory.roles_of(row)):
                hub_keeps.refuse_members(row.organization)
            if "admin" not in record.roles and directory.is_last_admin(session, row):
                raise _last_admin(user_name)
            row.admin, row.developer = "admin" in record.roles, "developer" in record.roles
            session.flush()
            context.audit(user_name=user_name, roles=_roles(row), license_name=record.license_name or "")
            return context.answer(_record(row), row)

    @routes.operation("members.remove", "DELETE", "/orgs/<org>/members/<user_name>", who=APPOINTER)
    @routes.response(204)
    def remove_member(org: str, user_name: str) -> flask.Response:
        """Take a user out of the organization; the user stays."""
        with context.write(context.SERVER) as session:
            row = _get(session, context.member().organization_id, user_name)
            context.require_unchanged(row)
            hub_keeps.refuse_members(row.organization)
            if directory.is_last_admin(session, row):
                raise _last_admin(user_name)
            standing.end(session, events, row)
            session.delete(row)
            context.audit(user_name=user_name)
            return context.nothing()

    @routes.operation("members.revoke_addresses", "DELETE", "/orgs/<org>/members/<user_name>/addresses", who=ORG_ADMIN)
    @routes.response(204)
    def revoke_addresses(org: str, user_name: str) -> flask.Response:
        """End all addresses that a member has signed in the organization, and their open uploads there."""
        with context.write(context.SERVER) as session:
            standing.revoke(session, events, _get(session, context.member().organization_id, user_name))
            context.audit(user_name=user_name)
            return context.nothing()


def refuse_member(session: Session, user: User, organization: Organization) -> None:
    """See that a user is not a member yet.

    Raises:
        Refusal: they are.
    """
    membership = select(Membership.id).where(
        Membership.user_id == user.id, Membership.organization_id == organization.id
    )
    if session.scalar(membership) is not None:
        raise already_exists(f"{user.user_name} is a member already; change their roles instead")


def refuse_own_appointment(user: User) -> None:
    """See that a server admin, who appoints where there is no admin, appoints somebody else.

    Raises:
        Refusal: it is themselves; running the server opens no organization's data.
    """
    if permissions.member().appointing and user.id == permissions.caller().id:
        raise Refusal(403, "forbidden", "a server admin appoints others, not themselves; make somebody else its admin")


def _last_admin(user_name: str) -> Refusal:
    return conflict(f"{user_name} is the last admin of the organization; make another member admin first")


def _of(organization_id: int) -> sa.Select[Any]:
    rows = select(Membership).join(Membership.user).where(Membership.organization_id == organization_id)
    return rows.options(joinedload(Membership.user))


def _get(session: Session, organization_id: int, user_name: str) -> Membership:
    row: Membership | None = session.scalar(_of(organization_id).where(User.name_key == name_key(user_name)))
    if row is None:
        raise not_found("the member cannot be found; check the name")
    return row


def _roles(row: Membership) -> str:
    """A member's roles, in an audit line."""
    return ", ".join(directory.roles_of(row))


def _record(row: Membership) -> MemberRecord:
    user = row.user
    return MemberRecord(
        user_name=user.user_name,
        roles=directory.roles_of(row),
        first_name=user.first_name,
        last_name=user.last_name,
        email=user.email,
        license_name=user.license_name,
        home=user.home_organization_id == row.organization_id,
    )
