"""The namespace `session.admin`."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import ClassVar

from edge_admin.audit_line import AuditLine
from edge_admin.invitation import Invitation
from edge_admin.member import Member
from edge_admin.moments import read_moment
from edge_admin.names import is_organization_name, is_user_name
from edge_admin.organization import Organization
from edge_admin.quota import Quota
from edge_admin.user import User
from edge_admin.wire import AddMember, Invite
from edge_core.errors import BadEntry, Forbidden, NotFound
from edge_core.plugin import Namespace


class EdgeAdmin(Namespace):
    """Administration: `EdgeSession.admin`.

    Organizations and users of the server are for server admins. Members and invitations are for the
    admins of their organization; while it has none, for a server admin too. `organization_name` is
    the session's organization by default.
    """

    namespace = "admin"
    base_path: ClassVar[str | None] = "/v1"
    plugin_api = 1

    # --- organizations

    def list_organization_names(self) -> list[str]:
        """Names of all organizations of the server."""
        return [organization.name for organization in self.list_organizations()]

    def list_organizations(self) -> list[Organization]:
        """All organizations of the server, by name."""
        return list(self.http.items("/admin/organizations", make=Organization.from_answer))

    def get_organization(self, organization_name: str) -> Organization:
        """An organization by its short name.

        Args:
            organization_name: short name of the organization.

        Raises:
            NotFound: the organization does not exist.
        """
        return self.http.get_record(Organization, _organization(organization_name))

    def add_organization(self, organization: Organization) -> Organization:
        """Add an organization, which has no members yet, and return the server's record.

        Args:
            organization: the record to add.

        Raises:
            AlreadyExists: the name is taken, also by one that is being removed.
            BadEntry: the name or another field is not valid.
        """
        return Organization.from_answer(self.http.post("/admin/organizations", json=organization.to_dict()))

    def update_organization(self, organization: Organization) -> Organization:
        """Save the fields that were set on the record, and return the organization as it is then.

        Args:
            organization: the changed record; one that was not read from the server updates unconditionally.

        Raises:
            NotFound: the organization does not exist.
            BadEntry: a field is not valid.
            Conflict: someone else changed it since the record came from the server.
        """
        return self.http.update_record(organization, _organization(organization.name))

    def remove_organization(self, organization_name: str) -> Organization:
        """Remove an organization with all of its data, files included.

        It is closed at once: its members get `NotFound`. Its data is removed in the background;
        until all of it is gone, the organization still shows, with the status `Deleting`.

        Args:
            organization_name: short name of the organization.

        Raises:
            NotFound: the organization does not exist.
        """
        return Organization.from_answer(self.http.delete(_organization(organization_name)))

    def get_quota(self, organization_name: str) -> Quota:
        """The storage quota of an organization, and the bytes it uses; for its admins and for server admins.

        Args:
            organization_name: short name of the organization.

        Raises:
            NotFound: the organization does not exist, or the user is not in it.
            Forbidden: the user is neither an admin of it nor a server admin.
        """
        try:
            return self.http.get_record(Quota, f"{_organization(organization_name)}/quota")
        except Forbidden:
            # Not a server admin, or with a token for organizations alone.
            return self.http.get_record(Quota, self._in(organization_name, "/quota"))

    def set_quota(self, organization_name: str, storage_bytes: int | None) -> Quota:
        """Set the storage quota of an organization; existing files stay even if they exceed it.

        Args:
            organization_name: short name.
            storage_bytes: bytes that its files may use; None for the server's default.

        Raises:
            NotFound: the organization does not exist.
            BadEntry: the number is negative.
        """
        path = f"{_organization(organization_name)}/quota"
        return Quota.from_answer(self.http.patch(path, json={"storage_bytes": storage_bytes}))

    # --- users

    def list_user_names(self) -> list[str]:
        """Names of all users of the server."""
        return [user.user_name for user in self.list_users()]

    def list_users(self) -> list[User]:
        """All users of the server, by name."""
        return list(self.http.items("/admin/users", make=User.from_answer))

    def get_user(self, user_name: str) -> User:
        """A user by their name.

        Args:
            user_name: name of the user.

        Raises:
            NotFound: the user does not exist.
        """
        return self.http.get_record(User, _user(user_name))

    def add_user(self, user: User) -> User:
        """Add a user, who gets a first token by accepting an invitation.

        Args:
            user: the record to add.

        Raises:
            AlreadyExists: the name is taken.
            BadEntry: the name or another field is not valid, or `home_org` does not exist.
        """
        return User.from_answer(self.http.post("/admin/users", json=user.to_dict()))

    def update_user(self, user: User) -> User:
        """Save the fields that were set on the record, and return the user as they are then.

        First name, last name and email belong to the user alone, once they have had a token.

        Args:
            user: the changed record; one that was not read from the server updates unconditionally.

        Raises:
            NotFound: the user does not exist.
            BadEntry: a field is not valid, or only the user may change it.
            Conflict: someone else changed the user meanwhile, or this is the last server admin.
        """
        return self.http.update_record(user, _user(user.user_name))

    def remove_user(self, user_name: str) -> None:
        """Remove a user with their tokens, memberships and user secrets; their files stay.

        Args:
            user_name: name of the user.

        Raises:
            NotFound: the user does not exist.
            Conflict: this is the last server admin.
        """
        self.http.delete(_user(user_name))

    def revoke_user_addresses(self, user_name: str) -> None:
        """End all addresses that a user has signed, and their open uploads, in all organizations; for server admins.

        The user stays what they are, and can sign others.

        Args:
            user_name: name of the user.

        Raises:
            NotFound: the user does not exist.
        """
        self.http.delete(f"{_user(user_name)}/addresses")

    # --- members

    def list_members(self, organization_name: str | None = None) -> list[Member]:
        """The members of an organization, by name, with their roles.

        Args:
            organization_name: short name; None for the session's organization.
        """
        return list(self.http.items(self._in(organization_name, "/members"), make=Member.from_answer))

    def get_member(self, user_name: str, organization_name: str | None = None) -> Member:
        """A member by their user name.

        Args:
            user_name: name of the user.
            organization_name: short name; None for the session's organization.

        Raises:
            NotFound: the user is not a member of the organization.
        """
        return self.http.get_record(Member, self._member(user_name, organization_name))

    def add_user_to_organization(
        self, user_name: str, roles: Iterable[str] = (), organization_name: str | None = None
    ) -> Member:
        """Make a user a member: at once, or by an invitation that they accept.

        A user whose home is this organization is a member at once, and so is anyone whom a server admin
        adds. Others are invited: the returned record has `invited` set and nothing of a profile, whether
        or not anybody has the name, and they find the invitation by `list_own_invitations`.

        Args:
            user_name: name of the user.
            roles: "admin", "developer", both or neither.
            organization_name: short name; None for the session's organization.

        Raises:
            NotFound: the user does not exist; to server admins only.
            AlreadyExists: they are a member already.
            BadEntry: a role does not exist.
        """
        membership = AddMember(user_name=user_name, roles=_roles(roles))
        return Member.from_answer(self.http.post(self._in(organization_name, "/members"), json=membership.to_dict()))

    def update_member(self, member: Member, organization_name: str | None = None) -> Member:
        """Change a member's roles, or their license if this is their home organization.

        Args:
            member: the changed record; one that was not read from the server updates unconditionally.
            organization_name: short name; None for the session's organization.

        Raises:
            NotFound: the user is not a member of the organization.
            BadEntry: a role does not exist, or another field was set.
            Conflict: someone else changed the member since the record came from the server.
        """
        return self.http.update_record(member, self._member(member.user_name, organization_name))

    def get_roles(self, user_name: str, organization_name: str | None = None) -> list[str]:
        """The roles of a member: "admin", "developer", both or neither.

        Args:
            user_name: name of the user.
            organization_name: short name; None for the session's organization.

        Raises:
            NotFound: the user is not a member of the organization.
        """
        return self.get_member(user_name, organization_name).roles

    def set_roles(self, user_name: str, roles: Iterable[str], organization_name: str | None = None) -> list[str]:
        """Set the roles of a member, whatever they were before, and return them.

        Args:
            user_name: name of the user.
            roles: "admin", "developer", both or neither.
            organization_name: short name; None for the session's organization.

        Raises:
            NotFound: the user is not a member of the organization.
            BadEntry: a role does not exist.
        """
        path = self._member(user_name, organization_name)
        return Member.from_answer(self.http.patch(path, json={"roles": _roles(roles)})).roles

    def remove_user_from_organization(self, user_name: str, organization_name: str | None = None) -> None:
        """Remove a member from an organization; the user stays.

        Args:
            user_name: name of the user.
            organization_name: short name; None for the session's organization.

        Raises:
            NotFound: the user is not a member of the organization.
        """
        self.http.delete(self._member(user_name, organization_name))

    def revoke_member_addresses(self, user_name: str, organization_name: str | None = None) -> None:
        """End all addresses that a member has signed in an organization, and their open uploads there.

        The member stays one, and can sign others.

        Args:
            user_name: name of the user.
            organization_name: short name; None for the session's organization.

        Raises:
            NotFound: the user is not a member of the organization.
        """
        self.http.delete(f"{self._member(user_name, organization_name)}/addresses")

    # --- invitations

    def invite_to_organization(
        self,
        user_name: str,
        email: str | None = None,
        roles: Iterable[str] = (),
        organization_name: str | None = None,
    ) -> str:
        """Invite someone and return the one-time code, which is valid for seven days.

        ``edge login SERVICE_URL --invitation CODE`` accepts it. A user without tokens gets a first
        one; others accept with a token of theirs. Inviting a user again voids the earlier code.

        Args:
            user_name: name of the user, who need not exist yet.
            email: address of a new user; ignored for others.
            roles: "admin", "developer", both or neither.
            organization_name: short name; None for the session's organization.

        Raises:
            AlreadyExists: they are a member already.
            BadEntry: the user name, the email or a role is not valid.
        """
        invitation = Invite(user_name=user_name, email=email, roles=_roles(roles))
        answer = self.http.post(self._in(organization_name, "/invitations"), json=invitation.to_dict())
        return Invitation.from_answer(answer).code or ""

    def list_invitations(self, organization_name: str | None = None) -> list[Invitation]:
        """The open and the accepted invitations, without their codes.

        Args:
            organization_name: short name; None for the session's organization.
        """
        return list(self.http.items(self._in(organization_name, "/invitations"), make=Invitation.from_answer))

    def remove_invitation(self, invitation_id: str, organization_name: str | None = None) -> None:
        """Void an invitation.

        Args:
            invitation_id: id of the invitation, as `list_invitations` gives it.
            organization_name: short name; None for the session's organization.

        Raises:
            NotFound: the invitation does not exist.
        """
        if not is_user_name(invitation_id):
            raise NotFound(f"there is no invitation {invitation_id!r}; list_invitations() lists the existing ones")
        self.http.delete(self._in(organization_name, f"/invitations/{invitation_id}"))

    def list_own_invitations(self) -> list[Invitation]:
        """Your own open invitations, without their codes."""
        return list(self.http.items("/users/me/invitations", make=Invitation.from_answer))

    def accept_invitation(self, invitation_id: str) -> Invitation:
        """Become a member of the organization that you are invited to.

        Its admins then see your name and email.

        Args:
            invitation_id: id of the invitation, as `list_own_invitations` gives it.

        Raises:
            NotFound: the invitation is not one of yours, or it has ended.
        """
        return Invitation.from_answer(self.http.post(f"{_own_invitation(invitation_id)}/accept"))

    def decline_invitation(self, invitation_id: str) -> None:
        """Decline an invitation of yours, which is void then.

        Args:
            invitation_id: id of the invitation, as `list_own_invitations` gives it.

        Raises:
            NotFound: the invitation is not one of yours, or it has ended.
        """
        self.http.delete(_own_invitation(invitation_id))

    # --- audit

    def list_audit_lines(
        self,
        organization_name: str | None = None,
        *,
        since: dt.datetime | str | None = None,
        until: dt.datetime | str | None = None,
        user_name: str | None = None,
        action: str | None = None,
        max_lines: int | None = 1000,
    ) -> list[AuditLine]:
        """Who changed what in an organization, the newest change first; for its admins.

        Args:
            organization_name: short name; None for the session's organization.
            since: only changes at this moment or later; a datetime with a time zone, or text such as "2026-01-31" or
                "2026-01-31T08:00Z", in UTC unless it says otherwise.
            until: only changes before this moment; as `since`.
            user_name: only what was done by who has this name now, also under an earlier name; if nobody has it, what
                was done under it.
            action: only this operation, such as "members.remove", or all of a group, such as "members".
            max_lines: the most lines to return; None for all.

        Raises:
            BadEntry: a moment has no time zone or cannot be read, or no operation is called as `action`.
        """
        query = _audit_query(since, until, user_name, action)
        path = self._in(organization_name, "/audit")
        return list(self.http.items(path, params=query, make=AuditLine.from_answer, max_items=max_lines))

    def list_server_audit_lines(
        self,
        *,
        since: dt.datetime | str | None = None,
        until: dt.datetime | str | None = None,
        user_name: str | None = None,
        action: str | None = None,
        max_lines: int | None = 1000,
    ) -> list[AuditLine]:
        """Who changed what of the server's, the newest change first; for server admins.

        These are changes of users, tokens, organizations and quotas, and what server admins did in an
        organization; not what its own people change in it.

        Args:
            since: only changes at this moment or later; a datetime with a time zone, or text such as "2026-01-31" or
                "2026-01-31T08:00Z", in UTC unless it says otherwise.
            until: only changes before this moment; as `since`.
            user_name: only what was done by who has this name now, also under an earlier name; if nobody has it, what
                was done under it.
            action: only this operation, such as "tokens.create", or all of a group, such as "tokens".
            max_lines: the most lines to return; None for all.

        Raises:
            BadEntry: a moment has no time zone or cannot be read, or no operation is called as `action`.
        """
        query = _audit_query(since, until, user_name, action)
        return list(self.http.items("/admin/audit", params=query, make=AuditLine.from_answer, max_items=max_lines))

    def _in(self, organization_name: str | None, path: str) -> str:
        name = self.session.organization if organization_name is None else organization_name
        if not is_organization_name(name):
            raise _no_organization(name)
        return f"/orgs/{name}{path}"

    def _member(self, user_name: str, organization_name: str | None) -> str:
        if not is_user_name(user_name):
            raise NotFound(f"there is no member {user_name!r}; list_members() lists the existing ones")
        return self._in(organization_name, f"/members/{user_name}")


def _organization(name: str) -> str:
    """The address of an organization; an invalid name is not sent, since it could lead to another address."""
    if not is_organization_name(name):
        raise _no_organization(name)
    return f"/admin/organizations/{name}"


def _no_organization(name: object) -> NotFound:
    return NotFound(f"there is no organization {name!r}; check its short name")


def _user(name: str) -> str:
    if not is_user_name(name):
        raise NotFound(f"there is no user {name!r}; list_user_names() lists the existing ones")
    return f"/admin/users/{name}"


def _audit_query(
    since: dt.datetime | str | None, until: dt.datetime | str | None, user_name: str | None, action: str | None
) -> dict[str, str | None]:
    return {
        "user_name": user_name,
        "action": action,
        "since": None if since is None else _moment("since", since),
        "until": None if until is None else _moment("until", until),
    }


def _moment(name: str, moment: object) -> str:
    """The moment in the form that is sent."""
    if isinstance(moment, str):
        try:
            moment = read_moment(moment)
        except ValueError as error:
            raise BadEntry(f"{name} is {moment!r}; {error}") from None
    if not isinstance(moment, dt.datetime):
        raise BadEntry(f'{name} is {moment!r}; give a datetime with a time zone, or text such as "2026-01-31"')
    if moment.utcoffset() is None:
        raise BadEntry(f"{name}: the moment has no time zone; give one, as in datetime.now(UTC)")
    return moment.isoformat()


def _own_invitation(invitation_id: str) -> str:
    if not is_user_name(invitation_id):
        raise NotFound(f"there is no invitation {invitation_id!r}; list_own_invitations() lists yours")
    return f"/users/me/invitations/{invitation_id}"


def _roles(roles: Iterable[str]) -> list[str]:
    if isinstance(roles, str):
        raise BadEntry(f'roles: give a list, as in ["{roles}"], not one text')
    return list(roles)
