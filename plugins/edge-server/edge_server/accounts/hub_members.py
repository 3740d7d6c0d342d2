"""Users, organizations and memberships that follow from a JupyterHub's users and groups.

A user's row comes with their first request. Each time the hub is asked of a token, its user's groups count anew, and a
background task does the same for whoever sends no request: a group with the property `ORGANIZATION` makes its members
members of that organization, in the roles of the property `ROLES`. What the hub does not say any more takes membership
away and nothing else: an organization and its data stay until a server admin removes it.

Who is there already, or which organization is, is not the hub's because of its name: the operator says so, in
[identity]. Who is deleted and created anew at the hub is somebody else, and what the former user had is set aside.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from sqlalchemy import or_, select, update
from sqlalchemy.orm import Session, contains_eager

from edge_admin.names import is_organization_name, is_user_name
from edge_server.accounts import standing
from edge_server.base.problems import Refusal, log
from edge_server.data.database import SERVER
from edge_server.data.declarative import new_row_id, new_uid
from edge_server.identity import directory, operator_audit
from edge_server.identity.hub import Group, HubUnavailable, Visitor
from edge_server.identity.hub_groups import ORGANIZATION, ROLES
from edge_server.identity.hub_identity import HubIdentity
from edge_server.identity.kinds import SECTION, IdentitySettings
from edge_server.identity.models import Membership, Organization, Token, User
from edge_server.identity.token_scopes import Scopes
from edge_server.web.context import OwnContext

INTERVAL = 30.0
"""Seconds between two looks at the groups of all users."""

TOKEN_INTERVAL = 600.0
"""Seconds between two looks whether tokens that were used are still there, whose signed addresses end with them."""

UNUSED = dt.timedelta(days=30)
"""How long a token's row stays that is not used; it comes back with the token's next use."""

Grants = Mapping[str, frozenset[str]]
"""A user's roles in each organization of their groups."""


class HubMembers:
    """Keeps users and memberships as the hub says.

    Args:
        context: of the subsystem of accounts.
        identity: the hub's.
    """

    def __init__(self, context: OwnContext, identity: HubIdentity) -> None:
        settings = context.settings(IdentitySettings(), SECTION)
        self._database = context.engines.database
        self._lifecycle = context.engines.lifecycle
        self._identity = identity
        self._context = context
        self._joined_users = frozenset(settings["join_users"])
        self._joined_organizations = frozenset(settings["join_organizations"])
        self._complaints: set[str] = set()

    # --- a user who comes with a token

    def admit(self, digest: str, visitor: Visitor, organization: str | None = None) -> None:
        """Have a user's row, token and memberships be as the hub has just said.

        Args:
            digest: of the token.
            visitor: whom the hub says it acts for.
            organization: short name of the only one that the token may be used in; None for all of the user's.

        Raises:
            Refusal: the user cannot come in.
            HubUnavailable: the hub does not say all that is needed.
        """
        if not is_user_name(visitor.name):
            raise Refusal(
                403,
                "forbidden",
                "the hub's name of this user cannot be used here: a name has 1 to 100 letters, digits and . _ @ + -, "
                "and begins with a letter, a digit or _; rename the user at the hub",
            )
        grants = self.grants(visitor.groups, self._identity.groups(visitor.groups))
        with self._database.read() as session:
            user = self._holder(session, digest, visitor.name)
            if user is not None and user.server_admin == visitor.admin and not self._differs(session, user, grants):
                return
        if user is None:
            self._admit_first(digest, visitor, grants, organization)
            return
        with self._database.write(SERVER) as session:
            user = self._holder(session, digest, visitor.name)
            if user is None:
                raise HubUnavailable("the user was removed at the same moment")
            self._take(session, user, visitor.admin, grants)

    def dismiss(self, digest: str) -> None:
        """Note that a token is none any more; what was signed with it ends."""
        with self._database.read() as session:
            if session.scalar(select(Token.id).where(Token.digest == digest, Token.removed_at.is_(None))) is None:
                return
        with self._database.write(SERVER) as session:
            row = session.scalar(select(Token).where(Token.digest == digest, Token.removed_at.is_(None)))
            if row is not None:
                row.removed_at = self._context.now()

    def _holder(self, session: Session, digest: str, name: str) -> User | None:
        """The user of a token that was used before."""
        known = select(User).join(Token, Token.user_id == User.id)
        known = known.where(Token.digest == digest, Token.removed_at.is_(None), User.removed_at.is_(None))
        return session.scalar(known.where(User.user_name == name, User.hub_created.is_not(None)))

    def _admit_first(self, digest: str, visitor: Visitor, grants: Grants, organization: str | None) -> None:
        """What `admit` does for a token that is used for the first time."""
        hub = self._identity.hub
        at_hub = hub.user(visitor.name)
        token = None if visitor.token_id is None else hub.token(visitor.name, visitor.token_id)
        if at_hub is None or token is None:
            raise HubUnavailable(f"it does not tell of the user {visitor.name} or of their token")
        with self._database.write(SERVER) as session:
            user = self._user(session, visitor.name, at_hub.created)
            row = session.scalar(select(Token).where(Token.digest == digest))
            if row is None:
                self._forget_unused(session, user)
                row = Token(user_id=user.id, prefix="", digest=digest)
                session.add(row)
            else:
                row.uid, row.user_id, row.removed_at = new_uid(), user.id, None
            row.hub_id, row.created_at, row.expires_at = token.id, token.created_at, token.expires_at
            row.last_used_at = self._context.now()
            limits = Scopes(None if organization is None else frozenset({organization}))
            row.scopes = limits.texts()
            self._take(session, user, visitor.admin, grants)

    def _user(self, session: Session, name: str, created: str) -> User:
        """The row of a user of the hub, a new one if it is their first request.

        Raises:
            Refusal: somebody else has the name here.
        """
        user = directory.find_user(session, name)
        if user is not None and user.user_name != name:
            raise Refusal(
                403,
                "forbidden",
                f"the user {user.user_name} of this server has the same name but for upper and lower case; rename one "
                "of them at the hub",
            )
        if user is not None and user.hub_created is None:
            if name not in self._joined_users:
                raise Refusal(
                    403,
                    "forbidden",
                    f"this server has a user {name} from before its JupyterHub; if that is the same person, have the "
                    f'operator add "{name}" to join_users in [identity]',
                )
            user.hub_created = created
            self._note(session, operator_audit.HUB_JOIN_USER, {"user_name": name})
        if user is not None and user.hub_created != created:
            self._set_aside(session, user)
            user = None
        if user is None:
            user = directory.create_user(session, name)
            user.hub_created = created
            self._note(session, operator_audit.HUB_ADD_USER, {"user_name": name})
        user.activated_at = user.activated_at or self._context.now()
        session.flush()
        return user

    def _set_aside(self, session: Session, user: User) -> None:
        """Give the name of a user who was deleted at the hub free, and keep what they had from whoever has it now."""
        name = user.user_name
        standing.end_all(session, self._lifecycle, user.id)
        for membership in session.scalars(select(Membership).where(Membership.user_id == user.id)):
            session.delete(membership)
        void = update(Token).where(Token.user_id == user.id, Token.removed_at.is_(None))
        session.execute(void.values(removed_at=self._context.now()))
        user.server_admin = False
        user.user_name = f"{name[:80]}.before-{user.uid[:8]}"
        session.flush()
        about = {"user_name": name, "new_name": user.user_name}
        self._note(session, operator_audit.HUB_SET_USER_ASIDE, about)

    def _forget_unused(self, session: Session, user: User) -> None:
        """Each new token of a user pays for the old ones."""
        now = self._context.now()
        old = or_(
            Token.expires_at <= now - UNUSED, Token.removed_at <= now - UNUSED, Token.last_used_at <= now - UNUSED
        )
        for row in session.scalars(select(Token).where(Token.user_id == user.id, Token.hub_id.is_not(None), old)):
            session.delete(row)

    # --- memberships

    def grants(self, names: Collection[str], groups: Iterable[Group]) -> Grants:
        """The roles that a user has by their groups.

        Args:
            names: of the user's groups.
            groups: those of the hub.
        """
        grants: dict[str, frozenset[str]] = {}
        for group in groups:
            if group.name in names:
                self._grant(grants, group)
        return grants

    def _grant(self, grants: dict[str, frozenset[str]], group: Group) -> None:
        """Add what a member of a group is by it; nothing, if it has not the property."""
        organization = group.properties.get(ORGANIZATION)
        if organization is None:
            return
        if not is_organization_name(organization):
            self._complain(f"the property {ORGANIZATION} of the hub's group {group.name!a} is no short name")
            return
        listed = group.properties.get(ROLES) or []
        texts = listed if isinstance(listed, list) else []
        roles = frozenset(role for role in directory.ROLES if role in texts)
        if not isinstance(listed, list) or len(roles) != len(texts):
            known = ", ".join(directory.ROLES)
            self._complain(f"the property {ROLES} of the hub's group {group.name!a} is no list of {known}")
        grants[organization] = grants.get(organization, frozenset()) | roles

    def _differs(self, session: Session, user: User, grants: Grants) -> bool:
        """Whether a user's memberships are others than the hub says."""
        present = {name: _roles(membership) for name, membership in self._memberships(session, user).items()}
        if present == grants:
            return False
        return present != {name: roles for name, roles in grants.items() if self._is_open_to_hub(session, name)}

    def _is_open_to_hub(self, session: Session, name: str) -> bool:
        """Whether the hub's groups may say who is in an organization of that name."""
        namesake = directory.namesake(session, name)
        if namesake is None:
            return True
        if namesake.name != name or not (namesake.hub or name in self._joined_organizations):
            self._complain(
                f"the organization {namesake.name} of this server is not its JupyterHub's, whose groups name it by "
                f"{ORGANIZATION}; if it is to be, add it to join_organizations in [identity]"
            )
            return False
        return namesake.status != directory.DELETING

    def _memberships(self, session: Session, user: User) -> dict[str, Membership]:
        """What a user is in organizations of the hub's, by their names."""
        rows = (
            select(Membership)
            .join(Membership.organization)
            .where(Membership.user_id == user.id, Organization.hub, Organization.status != directory.DELETING)
            .options(contains_eager(Membership.organization))
        )
        return {membership.organization.name: membership for membership in session.scalars(rows)}

    def _take(self, session: Session, user: User, admin: bool, grants: Grants) -> None:
        """Have a user be what the hub says, in a writing transaction."""
        if user.server_admin != admin:
            user.server_admin = admin
            about = {"user_name": user.user_name, "server_admin": str(admin).lower()}
            self._note(session, operator_audit.HUB_UPDATE_USER, about)
        for name in sorted(grants):
            self._organization(session, name)  # from now on the hub's, with who is in it already
        memberships = self._memberships(session, user)
        for name, membership in memberships.items():
            if name not in grants:
                standing.end(session, self._lifecycle, membership)
                session.delete(membership)
                self._note_member(session, operator_audit.HUB_REMOVE_MEMBER, user, membership.organization)
            elif _roles(membership) != grants[name]:
                roles = grants[name]
                membership.admin, membership.developer = "admin" in roles, "developer" in roles
                self._note_member(session, operator_audit.HUB_UPDATE_MEMBER, user, membership.organization, roles)
        for name in sorted(set(grants) - set(memberships)):
            organization = self._organization(session, name)
            if organization is not None:
                directory.add_member(session, user, organization, grants[name])
                self._note_member(session, operator_audit.HUB_ADD_MEMBER, user, organization, grants[name])
        session.flush()

    def _organization(self, session: Session, name: str) -> Organization | None:
        """The organization that a group names, a new one if there is none; None if it is not the hub's."""
        if not self._is_open_to_hub(session, name):
            return None
        organization = directory.find_organization(session, name)
        if organization is None:
            added = self._lifecycle.organization_added
            organization = directory.create_organization(session, added, name, row_id=new_row_id())
            organization.hub = True
            self._note_organization(session, operator_audit.HUB_ADD_ORGANIZATION, organization)
        elif not organization.hub:
            organization.hub = True
            self._note_organization(session, operator_audit.HUB_JOIN_ORGANIZATION, organization)
        session.flush()
        return organization

    # --- everybody, in the background

    def follow(self) -> None:
        """Have all users be as the hub says, also those who send no request."""
        try:
            groups = self._identity.hub.groups()
            for name in self._changed(groups):
                if self._context.stopping:
                    return
                self._follow(name)
        except HubUnavailable:
            return  # which the hub has logged

    def _changed(self, groups: list[Group]) -> list[str]:
        """The users whose memberships may be others than the list of groups says, and the server admins."""
        members: dict[str, dict[str, frozenset[str]]] = {}
        for group in groups:
            for name in group.users:
                self._grant(members.setdefault(name, {}), group)
        present = User.hub_created.is_not(None) & User.removed_at.is_(None)
        rows = (
            select(User.user_name, Organization.name, Membership.admin, Membership.developer)
            .join(Membership, Membership.user_id == User.id)
            .join(Organization, Organization.id == Membership.organization_id)
            .where(present, Organization.hub, Organization.status != directory.DELETING)
        )
        with self._database.read() as session:
            known = set(session.scalars(select(User.user_name).where(present)))
            admins = set(session.scalars(select(User.user_name).where(present, User.server_admin)))
            memberships: dict[str, dict[str, frozenset[str]]] = {}
            for row in session.execute(rows):
                memberships.setdefault(row.user_name, {})[row.name] = _roles(row)
            places = {place for grants in members.values() for place in grants}
            possible = {place for place in places if self._is_open_to_hub(session, place)}
        changed = []
        for name in sorted(known):
            grants = {place: roles for place, roles in members.get(name, {}).items() if place in possible}
            if name in admins or memberships.get(name, {}) != grants:
                changed.append(name)
        return changed

    def _follow(self, name: str) -> None:
        """Have a user be as the hub says; it is asked anew, since a list may be older than a request."""
        at_hub = self._identity.hub.user(name)
        groups = [] if at_hub is None else self._identity.groups(at_hub.groups)
        with self._database.write(SERVER) as session:
            user = directory.find_user(session, name)
            if user is None or user.hub_created is None:
                return
            is_same = at_hub is not None and at_hub.created == user.hub_created
            grants = self.grants(at_hub.groups, groups) if at_hub is not None and is_same else {}
            is_admin = at_hub is not None and is_same and at_hub.admin
            self._take(session, user, user.server_admin and is_admin, grants)

    def follow_tokens(self) -> None:
        """Note which tokens the hub has removed; what was signed with them ends."""
        try:
            for user_id, name in self._token_owners():
                if self._context.stopping:
                    return
                # First ours: a token that is used for the first time while the hub answers is not in its answer.
                used = self._used_tokens(user_id)
                at_hub = {(token.id, token.created_at) for token in self._identity.hub.tokens(name)}
                self._void([uid for uid, at in used.items() if at not in at_hub])
        except HubUnavailable:
            return  # which the hub has logged

    def _token_owners(self) -> list[tuple[int, str]]:
        used = select(User.id, User.user_name).join(Token, Token.user_id == User.id).where(*self._in_use()).distinct()
        with self._database.read() as session:
            return [(row.id, row.user_name) for row in session.execute(used)]

    def _used_tokens(self, user_id: int) -> dict[str, tuple[str | None, dt.datetime]]:
        """What the hub knows the tokens of a user by that were used, by their own ids here."""
        rows = select(Token).where(Token.user_id == user_id, *self._in_use())
        with self._database.read() as session:
            return {row.uid: (row.hub_id, row.created_at) for row in session.scalars(rows)}

    def _void(self, uids: Collection[str]) -> None:
        if uids:
            with self._database.write(SERVER) as session:
                void = update(Token).where(Token.uid.in_(uids), Token.removed_at.is_(None))
                session.execute(void.values(removed_at=self._context.now()))

    def _in_use(self) -> tuple[Any, ...]:
        unexpired = or_(Token.expires_at.is_(None), Token.expires_at > self._context.now())
        return Token.hub_id.is_not(None), Token.removed_at.is_(None), unexpired

    # --- what is told

    def _complain(self, sentence: str) -> None:
        """Log something that the operator has to set right, once."""
        if sentence not in self._complaints:
            if len(self._complaints) > 1000:
                self._complaints.clear()
            self._complaints.add(sentence)
            log.warning("%s", sentence)

    def _note(self, session: Session, action: str, about: Mapping[str, str]) -> None:
        session.flush()
        operator_audit.note(session.connection(), action, about, by=operator_audit.HUB)

    def _note_organization(self, session: Session, action: str, organization: Organization) -> None:
        session.flush()
        places = [(organization.id, organization.name)]
        about = {"organization": organization.name}
        operator_audit.note(session.connection(), action, about, places, by=operator_audit.HUB)

    def _note_member(
        self, session: Session, action: str, user: User, organization: Organization, roles: Collection[str] = ()
    ) -> None:
        session.flush()
        about = {"user_name": user.user_name, "organization": organization.name, "roles": ", ".join(sorted(roles))}
        places = [(organization.id, organization.name)]
        operator_audit.note(session.connection(), action, about, places, by=operator_audit.HUB)


def _roles(row: directory.Roles) -> frozenset[str]:
    return frozenset(directory.roles_of(row))
