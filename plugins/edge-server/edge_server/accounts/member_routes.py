"""The members of an organization, and invitations to it."""

from __future__ import annotations

import datetime as dt
import hashlib
from typing import Any

import flask
import sqlalchemy as sa
from sqlalchemy import delete, or_, select
from sqlalchemy.orm import Session, joinedload

from edge_admin.invitation import Invitation as InvitationRecord
from edge_admin.member import Member as MemberRecord
from edge_admin.wire import AddMember, AdminQuery, InvitationPage, Invite, MemberPage
from edge_server.base import clock, pages
from edge_server.base.problems import Refusal, already_exists, bad_entry, conflict, not_found
from edge_server.data.database import SERVER
from edge_server.identity import accounts, token_values
from edge_server.identity.models import Invitation, Membership, Organization, Token, User
from edge_server.web import idempotency, updates
from edge_server.web.answers import answer
from edge_server.web.engines import services
from edge_server.web.permissions import ANYONE, APPOINTER, Caller, caller, member, optional_caller
from edge_server.web.routes import Routes
from edge_tokens.wire import Accepted, AcceptInvitation

routes = Routes("members", __name__, url_prefix="/v1")

INVITATION_LIFETIME = dt.timedelta(days=7)

INVITED_NOTE = "invitation"
"""The note of a token that was the first one."""


# --- members


@routes.operation("members.list", "GET", "/orgs/<org>/members", who=APPOINTER)
@routes.arguments(AdminQuery.schema(), location="query")
@routes.response(200, MemberPage.schema())
def list_members(query: AdminQuery, org: str) -> flask.Response:
    """List the organization's members by name."""
    with services().database.read() as session:
        wanted = _members(member().organization_id)
        found, following = pages.page(session, wanted, User.user_name, query)
        return answer(MemberPage(items=[_member_record(one) for one in found], next=following))


@routes.operation("members.add", "POST", "/orgs/<org>/members", who=APPOINTER)
@routes.arguments(AddMember.schema())
@routes.response(201, MemberRecord.schema())
def add_member(wanted: AddMember, org: str) -> flask.Response:
    """Make an existing user a member."""
    with services().database.write(SERVER) as session:
        organization = _organization(session)
        user = accounts.find_user(session, wanted.user_name)
        if user is None:
            raise not_found("there is no such user; invite them")
        _refuse_member(session, user, organization)
        accounts.add_member(session, user, organization, set(wanted.roles))
        added = _get_member(session, wanted.user_name)
        return answer(_member_record(added), added, 201)


@routes.operation("members.read", "GET", "/orgs/<org>/members/<user_name>", who=APPOINTER)
@routes.response(200, MemberRecord.schema())
def read_member(org: str, user_name: str) -> flask.Response:
    """Tell of one member."""
    with services().database.read() as session:
        found = _get_member(session, user_name)
        return answer(_member_record(found), found)


@routes.operation("members.update", "PATCH", "/orgs/<org>/members/<user_name>", who=APPOINTER)
@routes.merge_patch(MemberRecord)
@routes.response(200, MemberRecord.schema())
def update_member(patch: dict[str, Any], org: str, user_name: str) -> flask.Response:
    """Change a member's roles, or their license if this is their home organization."""
    with services().database.write(SERVER) as session:
        found = _get_member(session, user_name)
        updates.require_unchanged(found)
        fixed = ["user_name", "first_name", "last_name", "email", "home"]
        wanted = updates.patched(_member_record(found), patch, fixed=fixed)
        if wanted.license_name != found.user.license_name:
            if found.user.home_organization_id != found.organization_id:
                raise bad_entry("license_name: only the admins of the user's home organization change it")
            found.user.license_name = wanted.license_name
        found.admin, found.developer = "admin" in wanted.roles, "developer" in wanted.roles
        session.flush()
        return answer(_member_record(found), found)


@routes.operation("members.remove", "DELETE", "/orgs/<org>/members/<user_name>", who=APPOINTER)
@routes.response(204)
def remove_member(org: str, user_name: str) -> flask.Response:
    """Take a user out of the organization; the user stays."""
    with services().database.write(SERVER) as session:
        found = _get_member(session, user_name)
        updates.require_unchanged(found)
        session.delete(found)
    return flask.Response(status=204)


def _organization(session: Session) -> Organization:
    return session.get_one(Organization, member().organization_id)


def _members(organization_id: int) -> sa.Select[Any]:
    wanted = select(Membership).join(Membership.user).where(Membership.organization_id == organization_id)
    return wanted.options(joinedload(Membership.user))


def _get_member(session: Session, user_name: str) -> Membership:
    found: Membership | None = session.scalar(_members(member().organization_id).where(User.user_name == user_name))
    if found is None:
        raise not_found("there is no such member; check the name")
    return found


def _refuse_member(session: Session, user: User, organization: Organization) -> None:
    wanted = select(Membership.id).where(Membership.user_id == user.id, Membership.organization_id == organization.id)
    if session.scalar(wanted) is not None:
        raise already_exists(f"{user.user_name} is a member already; change their roles instead")


def _member_record(row: Membership) -> MemberRecord:
    user = row.user
    return MemberRecord(
        user_name=user.user_name,
        roles=accounts.roles_of(row),
        first_name=user.first_name,
        last_name=user.last_name,
        email=user.email,
        license_name=user.license_name,
        home=user.home_organization_id == row.organization_id,
    )


# --- invitations


@routes.operation("invitations.list", "GET", "/orgs/<org>/invitations", who=APPOINTER)
@routes.arguments(AdminQuery.schema(), location="query")
@routes.response(200, InvitationPage.schema())
def list_invitations(query: AdminQuery, org: str) -> flask.Response:
    """List the organization's invitations, the oldest first, without their codes."""
    wanted = (
        select(Invitation)
        .where(
            Invitation.organization_id == member().organization_id,
            or_(Invitation.accepted_at.is_not(None), Invitation.expires_at > clock.now()),
        )
        .options(joinedload(Invitation.organization), joinedload(Invitation.creator))
    )
    with services().database.read() as session:
        found, following = pages.page(session, wanted, Invitation.id, query)
        return answer(InvitationPage(items=[_invitation_record(one) for one in found], next=following))


@routes.operation("invitations.create", "POST", "/orgs/<org>/invitations", secret_answer=True, who=APPOINTER)
@routes.arguments(Invite.schema())
@routes.response(201, InvitationRecord.schema())
def invite(wanted: Invite, org: str) -> flask.Response:
    """Invite someone; the one-time code is in this answer alone.

    The same request sent again gives the same invitation another code, and voids the one before;
    inviting the same user again makes another invitation and voids the one before.
    """
    code, now = token_values.new_token(token_values.INVITATION_PREFIX), clock.now()
    with services().database.write(SERVER) as session:
        organization = _organization(session)
        before = idempotency.issued_before()
        invitation = None if before is None else _find_invitation(session, before)
        if invitation is not None and invitation.accepted_at is None:
            invitation.digest = token_values.digest(code)
        elif before is not None:
            raise conflict("the invitation that this request made is used or withdrawn; make another with a new key")
        else:
            user = accounts.find_user(session, wanted.user_name)
            if user is not None:
                _refuse_member(session, user, organization)
            _sweep(session, wanted.user_name, organization)
            invitation = Invitation(
                organization=organization,
                user_name=wanted.user_name,
                email=wanted.email,
                admin="admin" in wanted.roles,
                developer="developer" in wanted.roles,
                digest=token_values.digest(code),
                created_at=now,
                creator=session.get_one(User, caller().id),
                expires_at=now + INVITATION_LIFETIME,
            )
            session.add(invitation)
            session.flush()
            idempotency.issued(invitation.uid)
        session.flush()
        return answer(_invitation_record(invitation, code), status=201)


@routes.operation("invitations.remove", "DELETE", "/orgs/<org>/invitations/<invitation_id>", who=APPOINTER)
@routes.response(204)
def remove_invitation(org: str, invitation_id: str) -> flask.Response:
    """Void an invitation."""
    with services().database.write(SERVER) as session:
        found = _find_invitation(session, invitation_id)
        if found is None:
            raise not_found("there is no such invitation; list them to see which there are")
        session.delete(found)
    return flask.Response(status=204)


@routes.operation("invitations.accept", "POST", "/invitations/accept", secret_answer=True, who=ANYONE)
@routes.arguments(AcceptInvitation.schema())
@routes.response(200, Accepted.schema())
@routes.doc(parameters=["IdempotencyKey"])
def accept_invitation(stated: AcceptInvitation) -> flask.Response:
    """Become a member of an organization, and a user if that is not done yet.

    A new user gets a first token, in this answer alone. Who has had tokens sends one along, and gets
    none. The same request sent again under its Idempotency-Key gets an answer of its own: the token
    has another value then, and the one before is void.
    """
    me = optional_caller()
    sent = flask.request.headers.get(idempotency.HEADER)
    key = None if sent is None else hashlib.sha256(sent.encode("utf-8", "surrogateescape")).hexdigest()
    with services().database.write(SERVER) as session:
        invitation = session.scalar(select(Invitation).where(Invitation.digest == token_values.digest(stated.code)))
        if invitation is None or _is_closed(invitation.organization):
            raise not_found("there is no such invitation, or it was withdrawn; ask for a new one")
        if invitation.accepted_at is not None:
            return answer(_accepted_before(session, invitation, key))
        if invitation.expires_at <= clock.now():
            raise Refusal(410, "expired", "this invitation has expired; ask for a new one")
        user = _invited_user(session, invitation, me)
        _refuse_member(session, user, invitation.organization)
        roles = [role for role in accounts.ROLES if getattr(invitation, role)]
        accounts.add_member(session, user, invitation.organization, roles)
        value = None
        if me is None:
            token, value = accounts.add_token(session, user, note=INVITED_NOTE)
            invitation.token_uid = token.uid
        invitation.accepted_at, invitation.accepted_key = clock.now(), key
        session.flush()
        accepted = Accepted(user_name=user.user_name, organization_name=invitation.organization.name, token=value)
        return answer(accepted)


def _invited_user(session: Session, invitation: Invitation, me: Caller | None) -> User:
    """Who an invitation is for, if whoever accepts it may act for them.

    Raises:
        Refusal: the user has to show a token of theirs, or it is another user's.
    """
    user = accounts.find_user(session, invitation.user_name)
    if me is not None:
        if user is None or user.id != me.id:
            raise Refusal(403, "forbidden", "this invitation is for another user; accept it with their token, or none")
        return user
    if user is None:
        user = accounts.create_user(session, invitation.user_name)
        user.email = invitation.email
        user.home = invitation.organization
        return user
    if not _may_have_first_token(session, user, invitation):
        raise Refusal(
            401,
            "unauthenticated",
            "this user exists already; accept the invitation with a token of theirs",
            {"WWW-Authenticate": "Bearer"},
        )
    return user


def _may_have_first_token(session: Session, user: User, invitation: Invitation) -> bool:
    """Whether an invitation is enough to act for a user who exists.

    Otherwise whoever may invite could invite someone else's user, accept it, and be that user. So
    they must never have had a token, and have nothing that the inviter could not have given them.
    """
    if user.activated_at is not None:
        return False
    creator = invitation.creator
    if creator.server_admin and creator.removed_at is None:
        return True
    elsewhere = select(Membership.id).where(
        Membership.user_id == user.id, Membership.organization_id != invitation.organization_id
    )
    return not user.server_admin and session.scalar(elsewhere.limit(1)) is None


def _accepted_before(session: Session, invitation: Invitation, key: str | None) -> Accepted:
    """The answer to an invitation that was accepted, for whoever sends the same request again.

    Raises:
        Refusal: it is another request, too late, or the token was removed.
    """
    accepted_at = invitation.accepted_at or clock.now()
    same = key is not None and key == invitation.accepted_key
    token = None
    if invitation.token_uid is not None:
        wanted = select(Token).where(Token.uid == invitation.token_uid, Token.removed_at.is_(None))
        token = session.scalar(wanted)
    in_time = clock.now() < accepted_at + idempotency.LIFETIME
    if not same or not in_time or (token is None and invitation.token_uid is not None):
        raise conflict("this invitation was accepted already; ask for a new one")
    return Accepted(
        user_name=invitation.user_name,
        organization_name=invitation.organization.name,
        token=None if token is None else accounts.renew_token(session, token),
    )


def _is_closed(organization: Organization) -> bool:
    return organization.status == accounts.DELETING or not organization.active


def _find_invitation(session: Session, uid: str) -> Invitation | None:
    wanted = select(Invitation).where(Invitation.uid == uid, Invitation.organization_id == member().organization_id)
    return session.scalar(wanted)


def _sweep(session: Session, user_name: str, organization: Organization) -> None:
    """Void the open invitations of a user, and forget those that expired long ago."""
    same = (Invitation.user_name == user_name) & Invitation.accepted_at.is_(None)
    old = Invitation.expires_at < clock.now() - accounts.SHOWN_FOR
    session.execute(
        delete(Invitation).where(Invitation.organization_id == organization.id, or_(same, old)),
        execution_options={"synchronize_session": False},
    )


def _invitation_record(row: Invitation, code: str | None = None) -> InvitationRecord:
    return InvitationRecord(
        id=row.uid,
        user_name=row.user_name,
        email=row.email,
        roles=[role for role in accounts.ROLES if getattr(row, role)],
        organization_name=row.organization.name,
        created_at=row.created_at,
        created_by=row.creator.user_name if row.creator.removed_at is None else None,
        expires_at=row.expires_at,
        accepted_at=row.accepted_at,
        code=code,
    )
