"""Apps that their owners share: with the members of the organization, or with some of them.

Whom a server is shared with is kept by the hub, which lets nobody else visit it. The organization's groups at the hub
are those that name it, whatever they are called.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Protocol, TypeVar

from sqlalchemy import select

from edge_applications.running_app import SharedWith
from edge_applications.wire import AppVisitor
from edge_server.applications.running import Running
from edge_server.base.problems import conflict, log, not_found
from edge_server.identity import directory, hub_groups
from edge_server.identity.hub import Group, HubRefused
from edge_server.identity.hub_identity import HubIdentity
from edge_server.identity.hub_shares import HubShare
from edge_server.identity.models import Membership, User
from edge_server.web.context import OwnContext

_T = TypeVar("_T")

MOST_OWNERS = 100
"""Users whose shares are reviewed at once; of more, the next ones are with the next review."""


@dataclasses.dataclass(frozen=True)
class Members:
    """Who is in an organization, and by which groups of the hub.

    Attributes:
        name: short name of the organization.
        groups: its own at the hub; none for an organization that is not the hub's.
        roles: by user name.
    """

    name: str
    groups: Sequence[Group]
    roles: dict[str, Collection[str]]

    @property
    def group_names(self) -> list[str]:
        """The names of its groups."""
        return [group.name for group in self.groups]


class Ask(Protocol):
    """How the hub is asked."""

    def __call__(self, ask: Callable[[], _T]) -> _T:
        """What the hub answers."""
        ...


class AppShares:
    """With whom apps are shared.

    Args:
        context: of the subsystem of applications.
        identity: that of the hub.
        ask: asks the hub; a request does not wait for it as long as a background task.
    """

    def __init__(self, context: OwnContext, identity: HubIdentity, ask: Ask) -> None:
        self._context = context
        self._identity = identity
        self._ask = ask
        self._reviewed = ""

    def members(self, name: str) -> Members | None:
        """Who is in an organization, also who has sent no request yet; None if there is none.

        Raises:
            HubUnavailable: the hub does not say.
        """
        roles: dict[str, Collection[str]] = {}
        with self._context.read() as session:
            organization = directory.find_organization(session, name)
            if organization is None:
                return None
            if not organization.hub:
                columns = select(User.user_name, Membership.admin, Membership.developer)
                rows = columns.join(Membership, Membership.user_id == User.id)
                rows = rows.where(Membership.organization_id == organization.id)
                rows = rows.where(User.hub_created.is_not(None), User.removed_at.is_(None))
                roles = {row.user_name: directory.roles_of(row) for row in session.execute(rows)}
                return Members(name, (), roles)
        groups = hub_groups.groups_of(name, self._ask(lambda: self._identity.groups(())))
        for user in {user for group in groups for user in group.users}:
            roles[user] = hub_groups.roles_of(user, groups) or ()
        return Members(name, groups, roles)

    def is_member_at_hub(self, app: Running) -> bool:
        """Whether the hub's groups say that the user of an app is in its organization.

        Raises:
            HubUnavailable: the hub does not say.
        """
        groups = self._ask(lambda: self._identity.groups(()))
        return any(
            app.server.user_name in group.users for group in hub_groups.groups_of(app.options.organization, groups)
        )

    def of_apps(self, owner: str, apps: Collection[Running], members: Members) -> dict[str, SharedWith]:
        """With whom a user shares apps, by the names of their servers.

        Raises:
            HubUnavailable: the hub does not say.
        """
        if not apps:
            return {}
        shares = self._ask(lambda: self._identity.hub.shares(owner))
        return {app.server.name: _shared_with(app, shares, members) for app in apps}

    def share(self, app: Running, members: Members, users: Collection[str] | None) -> None:
        """Let members of its organization visit an app.

        Args:
            app: the app.
            members: of its organization.
            users: the names of members; None for all of them, also those who come later.

        Raises:
            Refusal: somebody is no member, or the hub does not do it.
            HubUnavailable: the hub does not answer.
        """
        owner, name = app.server.user_name, app.server.name
        if users is None:
            if not members.groups:
                raise conflict(
                    f"no group of the hub names {members.name}, with whose members {app.options.app_id} could be "
                    "shared; share it with single users"
                )
            shares = [HubShare(owner, name, None, group) for group in members.group_names]
        else:
            strangers = [user for user in users if user not in members.roles]
            if strangers:
                raise self._context.bad_entry(
                    f"users: {strangers[0]} is not in {members.name}; share {app.options.app_id} with its members"
                )
            shares = [HubShare(owner, name, user, None) for user in users if user != owner]
        for share in shares:
            self._share(app, share)

    def unshare(self, app: Running, user_name: str | None) -> None:
        """Let a user, or with None nobody but its owner, visit an app no more.

        Raises:
            HubUnavailable: the hub does not answer.
        """
        for share in self._ask(lambda: self._identity.hub.shares(app.server.user_name)):
            if share.server_name == app.server.name and user_name in (None, share.user):
                self._unshare(share)

    def visitor(self, app: Running, members: Members, user_name: str) -> AppVisitor:
        """What an app is told of somebody who visits it.

        Raises:
            Refusal: the app is not shared with them, or they are not in its organization.
            HubUnavailable: the hub does not say.
        """
        owner = app.server.user_name
        shared = self.of_apps(owner, [app], members)[app.server.name]
        roles = members.roles.get(user_name)
        if roles is None or not (shared.organization or user_name in (owner, *shared.users)):
            raise not_found(
                f"{app.options.app_id} is not shared with {user_name!r}, or they are not in {members.name}; its owner "
                "shares it with members"
            )
        with self._context.read() as session:
            rows = select(User).where(User.user_name == user_name, User.hub_created.is_not(None))
            user = session.scalar(rows.where(User.removed_at.is_(None)))
            names = [] if user is None else [user.first_name, user.last_name]
        return AppVisitor(user_name, " ".join(filter(None, names)) or user_name, list(roles))

    def review(self, apps: Iterable[Running]) -> None:
        """Have the hub forget shares with who is not in the organization, and share with groups that it has since.

        Raises:
            HubUnavailable: the hub does not answer.
        """
        by_owner: dict[str, list[Running]] = {}
        for app in apps:
            by_owner.setdefault(app.server.user_name, []).append(app)
        for owner in self._due(by_owner):
            shares = self._ask(functools.partial(self._identity.hub.shares, owner))
            for app in by_owner[owner]:
                own = [share for share in shares if share.server_name == app.server.name]
                members = self.members(app.options.organization) if own else None
                if members is not None:
                    self._review(app, own, members)

    def _due(self, owners: Iterable[str]) -> list[str]:
        """The owners whose turn it is."""
        names = sorted(owners)
        ahead = [name for name in names if name > self._reviewed]
        due = list(itertools.islice(itertools.chain(ahead, names[: len(names) - len(ahead)]), MOST_OWNERS))
        self._reviewed = due[-1] if due else ""
        return due

    def _review(self, app: Running, shares: Collection[HubShare], members: Members) -> None:
        for share in shares:
            is_good = share.user in members.roles if share.group is None else share.group in members.group_names
            if not is_good:
                self._unshare(share)
                whom = share.user if share.group is None else f"the group {share.group}"
                what = f"{app.options.app_id} of {share.owner}"
                log.info("the app %s is not shared with %s any more, who is not in %s", what, whom, members.name)
        shared = {share.group for share in shares}
        missing = [group for group in members.group_names if group not in shared]
        if len(missing) < len(members.groups):
            for group in missing:
                self._share(app, HubShare(app.server.user_name, app.server.name, None, group))

    def _share(self, app: Running, share: HubShare) -> None:
        try:
            self._ask(lambda: self._identity.hub.share(share))
        except HubRefused as error:
            raise conflict(f"the hub does not share {app.options.app_id}: {error}") from None

    def _unshare(self, share: HubShare) -> None:
        self._ask(lambda: self._identity.hub.unshare(share))


def _shared_with(app: Running, shares: Iterable[HubShare], members: Members) -> SharedWith:
    own = [share for share in shares if share.server_name == app.server.name]
    return SharedWith(
        organization=any(share.group in members.group_names for share in own),
        users=sorted(share.user for share in own if share.user is not None),
    )
