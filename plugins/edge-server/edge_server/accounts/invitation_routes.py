"""Invitations to an organization, and accepting them."""

from __future__ import annotations

import hashlib
from typing import Any

import flask
import sqlalchemy as sa
from sqlalchemy import or_, select
from sqlalchemy.orm import Session, joinedload

from edge_admin.invitation import Invitation as InvitationRecord
from edge_admin.wire import AdminQuery, InvitationPage, Invite
from edge_server.accounts import hub_keeps, inviting
from edge_server.accounts.member_routes import refuse_member, refuse_own_appointment
from edge_server.base import clock
from edge_server.base.problems import Refusal, conflict, not_found
from edge_server.identity import directory, token_values
from edge_server.identity.hub_identity import hub_of
from edge_server.identity.models import Invitation, Membership, Organization, Token, User
from edge_server.identity.token_scopes import UNLIMITED
from edge_server.web import idempotency, throttling
from edge_server.web.context import OwnContext
from edge_server.web.permissions import ANYONE, APPOINTER, USER, Caller
from edge_server.web.rates import INVITING
from edge_server.web.routes import Routes
from edge_tokens.wire import Accepted, AcceptInvitation

INVITED_NOTE = "invitation"
"""The note of a token that was the first one."""


def add(routes: Routes, context: OwnContext) -> None:
    """Add the addresses of an organization's invitations, of the caller's own, and ``/v1/invitations/accept``."""

    @routes.operation("invitations.list", "GET", "/orgs/<org>/invitations", who=APPOINTER)
    @routes.arguments(AdminQuery.schema(), location="query")
    @routes.response(200, InvitationPage.schema())
    def list_invitations(query: AdminQuery, org: str) -> flask.Response:
        """List the organization's invitations, the oldest first, without their codes."""
        shown = (
            select(Invitation)
            .where(
                Invitation.organization_id == context.member().organization_id,
                or_(Invitation.accepted_at.is_not(None), Invitation.expires_at > context.now()),
            )
            .options(joinedload(Invitation.organization), joinedload(Invitation.creator))
        )
        with context.read() as session:
            rows, following = context.page(session, shown, Invitation.id, query)
            return context.answer(InvitationPage(items=[_record(row) for row in rows], next=following))

    # An invitation makes a user and their membership, so that writers wait for the server's lock.

    @routes.operation(
        "invitations.create", "POST", "/orgs/<org>/invitations", secret_answer=True, who=APPOINTER, limit=INVITING
    )
    @routes.arguments(Invite.schema())
    @routes.response(201, InvitationRecord.schema())
    def invite(request: Invite, org: str) -> flask.Response:
        """Invite someone; the one-time code is in this answer alone.

        The same request sent again gives the same invitation another code, and voids the one before;
        inviting the same user again makes another invitation and voids the one before.
        """
        code = token_values.new_token(token_values.INVITATION_PREFIX)
        organization_id = context.member().organization_id
        with context.write(context.SERVER) as session:
            organization = session.get_one(Organization, organization_id)
            hub_keeps.refuse_members(organization)
            before = context.issued_before()
            invitation = None if before is None else _find(session, organization_id, before)
            if invitation is not None and invitation.accepted_at is None:
                invitation.digest = token_values.digest(code)
                # It may be that another token made it, which was less limited.
                invitation.limited = invitation.limited or context.caller().scopes != UNLIMITED
            elif before is not None:
                raise context.conflict(
                    "the invitation that this request made is used or withdrawn; make another with a new key"
                )
            else:
                user = directory.find_user(session, request.user_name)
                if user is not None:
                    refuse_own_appointment(user)
                if user is not None and user.activated_at is not None:
                    refuse_member(session, user, organization)
                invitation = inviting.invite(session, organization, request, code)
                context.issued(invitation.uid)
            session.flush()
            context.audit(**inviting.audited(invitation))
            return context.secret_answer(_record(invitation, code), status=201)

    @routes.operation("invitations.remove", "DELETE", "/orgs/<org>/invitations/<invitation_id>", who=APPOINTER)
    @routes.response(204)
    def remove_invitation(org: str, invitation_id: str) -> flask.Response:
        """Void an invitation."""
        with context.write(context.SERVER) as session:
            invitation = _find(session, context.member().organization_id, invitation_id)
            if invitation is None:
                raise context.not_found("the invitation cannot be found; list them to see which there are")
            context.audit(**inviting.audited(invitation))
            session.delete(invitation)
            return context.nothing()

    @routes.operation(
        "invitations.accept", "POST", "/invitations/accept", secret_answer=True, who=ANYONE, max_json=4 << 10
    )
    @routes.arguments(AcceptInvitation.schema())
    @routes.response(200, Accepted.schema())
    @routes.doc(parameters=["IdempotencyKey"])
    def accept_invitation(request: AcceptInvitation) -> flask.Response:
        """Become a member of an organization, and a user if that is not done yet.

        A new user gets a first token, in this answer alone. Who has had tokens sends one along, and gets
        none. The same request sent again under its Idempotency-Key gets an answer of its own: the token
        has another value then, and the one before is void.
        """
        me = context.optional_caller()
        if me is None:
            hub_keeps.refuse_first_token(hub_of(context.engines.identity))
        header = flask.request.headers.get(idempotency.HEADER)
        key = None if header is None else hashlib.sha256(header.encode("utf-8", "surrogateescape")).hexdigest()
        with context.read() as session:
            # Looked for before anything is locked, so that guessing keeps nobody waiting.
            if _of_code(session, request.code) is None:
                throttling.failed()
        with context.write() as session:
            invitation = _of_code(session, request.code)
            if invitation is None or _is_closed(invitation.organization):
                raise context.not_found("the invitation cannot be found, or it was withdrawn; ask for a new one")
            if invitation.accepted_at is not None:
                accepted = _accepted_before(session, invitation, key)
                context.audit_in(invitation.organization, about=inviting.audited(invitation))
                return context.secret_answer(accepted)
            if invitation.expires_at <= context.now():
                raise Refusal(410, "expired", "this invitation has expired; ask for a new one")
            hub_keeps.refuse_members(invitation.organization)
            if not _may_invite(session, invitation):
                raise _ended()
            user = _invited_user(session, invitation, me)
            _join(session, user, invitation)
            value = None
            if me is None:
                token, value = directory.add_token(session, user, note=INVITED_NOTE)
                invitation.token_uid = token.uid
            invitation.accepted_at, invitation.accepted_key = context.now(), key
            session.flush()
            context.audit_in(invitation.organization, about=inviting.audited(invitation), server=value is not None)
            accepted = Accepted(user_name=user.user_name, organization_name=invitation.organization.name, token=value)
            return context.secret_answer(accepted)

    # --- for who has a token already

    @routes.operation("invitations.own.list", "GET", "/users/me/invitations", who=USER)
    @routes.arguments(AdminQuery.schema(), location="query")
    @routes.response(200, InvitationPage.schema())
    def list_own(query: AdminQuery) -> flask.Response:
        """List the open invitations of the caller, the oldest first."""
        with context.read() as session:
            rows, following = context.page(session, own(), Invitation.id, query)
            return context.answer(InvitationPage(items=[_record(row) for row in rows], next=following))

    @routes.operation("invitations.own.accept", "POST", "/users/me/invitations/<invitation_id>/accept", who=USER)
    @routes.response(200, InvitationRecord.schema())
    def accept_own(invitation_id: str) -> flask.Response:
        """Become a member of the organization that the caller is invited to."""
        with context.write() as session:
            invitation = get_own(session, invitation_id)
            hub_keeps.refuse_members(invitation.organization)
            if not _may_invite(session, invitation):
                raise _ended()
            user = session.get_one(User, context.caller().id)
            _join(session, user, invitation)
            invitation.accepted_at = context.now()
            session.flush()
            context.audit_in(invitation.organization, about=inviting.audited(invitation))
            return context.answer(_record(invitation))

    @routes.operation("invitations.own.decline", "DELETE", "/users/me/invitations/<invitation_id>", who=USER)
    @routes.response(204)
    def decline_own(invitation_id: str) -> flask.Response:
        """Decline an invitation, which is void then."""
        with context.write() as session:
            invitation = get_own(session, invitation_id)
            context.audit_in(invitation.organization, about=inviting.audited(invitation))
            session.delete(invitation)
            return context.nothing()

    def own() -> sa.Select[Any]:
        # By the user and not by the name, which may have been nobody's, or another's, when the invitation was made.
        mine = select(User.uid).where(User.id == context.caller().id).scalar_subquery()
        return (
            select(Invitation)
            .join(Invitation.organization)
            .where(
                Invitation.user_uid == mine,
                Invitation.accepted_at.is_(None),
                Invitation.expires_at > context.now(),
                Organization.status != directory.DELETING,
                Organization.active,
            )
            .options(joinedload(Invitation.organization), joinedload(Invitation.creator))
        )

    def get_own(session: Session, uid: str) -> Invitation:
        invitation: Invitation | None = session.scalar(own().where(Invitation.uid == uid))
        if invitation is None:
            raise context.not_found(
                "the invitation is not one of yours, or it has ended; list them to see which there are"
            )
        return invitation


def _invited_user(session: Session, invitation: Invitation, me: Caller | None) -> User:
    """Who an invitation is for, if whoever accepts it may act for them.

    Raises:
        Refusal: the user has to show a token of theirs, or it is another user's.
    """
    user = directory.find_user(session, invitation.user_name)
    if me is not None:
        if user is None or user.id != me.id:
            raise Refusal(403, "forbidden", "this invitation is for another user; accept it with their token, or none")
        return user
    if user is None:
        user = directory.create_user(session, invitation.user_name)
        user.email = invitation.email
        user.home = invitation.organization
        return user
    if not _may_have_first_token(session, user, invitation):
        raise Refusal(
            401,
            "unauthenticated",
            "you have an account on this server already, so accept with a token of yours: add --token-file FILE to "
            "`edge login`, or run `edge admin invitations own` and `edge admin invitations accept ID`",
            {"WWW-Authenticate": "Bearer"},
        )
    return user


def _may_invite(session: Session, invitation: Invitation) -> bool:
    """Whether who made an invitation could make it now: it ends with their right, as signed addresses do.

    So nobody keeps a way back into an organization that they have left, and no server admin one into an
    organization that has an admin now.
    """
    creator = invitation.creator
    admin = select(Membership.id).where(
        Membership.user_id == creator.id, Membership.organization_id == invitation.organization_id, Membership.admin
    )
    if session.scalar(admin) is not None:
        return True
    return creator.server_admin and not directory.has_admin(session, invitation.organization_id)


def _ended() -> Refusal:
    return not_found("this invitation has ended, as who made it may not invite any more; ask an admin for a new one")


def _join(session: Session, user: User, invitation: Invitation) -> None:
    """Make an invited user a member; one who was one before their first token stays as they are."""
    if user.activated_at is None:
        own = select(Membership.id).where(
            Membership.user_id == user.id, Membership.organization_id == invitation.organization_id
        )
        if session.scalar(own) is not None:
            return
    refuse_member(session, user, invitation.organization)
    roles = [role for role in directory.ROLES if getattr(invitation, role)]
    directory.add_member(session, user, invitation.organization, roles)


def _may_have_first_token(session: Session, user: User, invitation: Invitation) -> bool:
    """Whether an invitation is enough to act for a user who exists.

    Otherwise whoever may invite could invite someone else's user, accept it, and be that user. So
    they must never have had a token, and have nothing that the inviter could not have given them: a
    server admin makes others server admins, and members where there is no admin, and no more.
    """
    if user.activated_at is not None:
        return False
    by_server_admin = invitation.creator.server_admin and not invitation.limited
    if user.server_admin and not by_server_admin:
        return False
    elsewhere = select(Membership.organization_id).where(
        Membership.user_id == user.id, Membership.organization_id != invitation.organization_id
    )
    return all(
        by_server_admin and not directory.has_admin(session, organization_id)
        for organization_id in session.scalars(elsewhere)
    )


def _accepted_before(session: Session, invitation: Invitation, key: str | None) -> Accepted:
    """The answer to an invitation that was accepted, for whoever sends the same request again.

    Raises:
        Refusal: it is another request, too late, or the token was removed.
    """
    accepted_at = invitation.accepted_at or clock.now()
    same = key is not None and key == invitation.accepted_key
    token = None
    if invitation.token_uid is not None:
        issued = select(Token).where(Token.uid == invitation.token_uid, Token.removed_at.is_(None))
        token = session.scalar(issued)
    in_time = clock.now() < accepted_at + idempotency.LIFETIME
    if not same or not in_time or (token is None and invitation.token_uid is not None):
        raise conflict("this invitation was accepted already; ask for a new one")
    return Accepted(
        user_name=invitation.user_name,
        organization_name=invitation.organization.name,
        token=None if token is None else directory.replace_value(session, token),
    )


def _is_closed(organization: Organization) -> bool:
    return organization.status == directory.DELETING or not organization.active


def _of_code(session: Session, code: str) -> Invitation | None:
    return session.scalar(select(Invitation).where(Invitation.digest == token_values.digest(code)))


def _find(session: Session, organization_id: int, uid: str) -> Invitation | None:
    return session.scalar(
        select(Invitation).where(Invitation.uid == uid, Invitation.organization_id == organization_id)
    )


def _record(row: Invitation, code: str | None = None) -> InvitationRecord:
    return InvitationRecord(
        id=row.uid,
        user_name=row.user_name,
        email=row.email,
        roles=[role for role in directory.ROLES if getattr(row, role)],
        organization_name=row.organization.name,
        created_at=row.created_at,
        created_by=row.creator.user_name if row.creator.removed_at is None else None,
        expires_at=row.expires_at,
        accepted_at=row.accepted_at,
        code=code,
    )
