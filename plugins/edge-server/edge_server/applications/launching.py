"""Launching: whether a member may launch a version of an application, and what a hub runs for it then.

A hub starts servers for users, who can ask it for any. So before each start it asks here what to run, and this is
looked up anew, whoever sent for the start and whatever they sent.
"""

from __future__ import annotations

import dataclasses

from sqlalchemy import select
from sqlalchemy.orm import Session, joinedload

from edge_admin.organization import OrganizationStatusEnum
from edge_applications.app_version import AppKindEnum
from edge_applications.application import AppResource
from edge_applications.launch_plan import LaunchPlan, PlanLaunch, PlanRegistry
from edge_applications.names import image_registry, server_name
from edge_server.applications import builtin_apps, catalogue
from edge_server.applications.models import Application, AppServer, AppVersion
from edge_server.base.problems import Refusal, conflict, not_found
from edge_server.identity.models import Membership, Organization, User
from edge_server.keys.sealed_column import SealedColumn
from edge_server.web.context import OwnContext
from edge_server.web.machines import Limits, is_launching
from edge_server.web.permissions import Member


@dataclasses.dataclass(frozen=True)
class Launch:
    """What a member launches.

    Attributes:
        organization: where.
        application: of it.
        version: of the application.
        profile_id: the app profile; None for none.
        cpu: processors; None for no limit.
        gpu: graphics processors; None where nothing says how many.
        memory: GB; None for no limit.
    """

    organization: Organization
    application: Application
    version: AppVersion
    profile_id: str | None
    cpu: float | None
    gpu: int | None
    memory: float | None


class Launches:
    """What members launch.

    Args:
        context: of the subsystem of applications.
        passwords: those of registries.
    """

    def __init__(self, context: OwnContext, passwords: SealedColumn) -> None:
        self._context = context
        self._machines = context.engines.machines
        self._passwords = passwords

    def launch(self, session: Session, who: Member, app_id: str, version: str | None, profile_id: str | None) -> Launch:
        """What a member is to get who launches an application.

        Args:
            session: a transaction.
            who: the member.
            app_id: id of the application.
            version: its version; None for the newest visible one.
            profile_id: id of an app profile; None for the one that the version recommends, if it does.

        Raises:
            Refusal: nothing can be launched in the organization, or not this, or not with this app profile.
        """
        organization = session.get_one(Organization, who.organization_id)
        _require_launching(organization)
        if app_id in builtin_apps.APPLICATIONS:
            raise conflict(f"{app_id} is built in and has nothing of its own to launch; open it at the hub")
        application = catalogue.get(session, who, app_id)
        row = (
            _newest(session, who, application)
            if version is None
            else catalogue.get_version(session, who, application, version)
        )
        if row.kind != AppKindEnum.Native.value:
            raise conflict(
                f"{app_id} {row.version} is {row.kind}, which runs elsewhere and is not launched here; open it at "
                f"{row.link}"
            )
        most = _most(application)
        limits = (
            self.recommended(session, row, organization.id)
            if profile_id is None
            else self._machines.limits(session, organization.id, profile_id)
        )
        if limits is None:
            return Launch(organization, application, row, None, most.cpu, most.gpu, None)
        chosen = limits.profile_id
        for what, has, limit in (("processors", limits.cpu, most.cpu), ("graphics processors", limits.gpu, most.gpu)):
            if limit is not None and has > limit:
                raise conflict(
                    f"the app profile {chosen} has {has:g} {what}, and {app_id} may use {limit:g} at the most; choose "
                    "a smaller one"
                )
        return Launch(organization, application, row, chosen, limits.cpu, limits.gpu, limits.memory)

    def recommended(self, session: Session, version: AppVersion, organization_id: int) -> Limits | None:
        """What a version is given without a word about it; None if it recommends no app profile that there is.

        Raises:
            Refusal: that app profile cannot be used now.
        """
        if version.recommended_profile is None:
            return None
        try:
            return self._machines.limits(session, organization_id, version.recommended_profile)
        except Refusal as refusal:
            if refusal.status == 404:
                return None
            raise

    def plan(self, request: PlanLaunch) -> LaunchPlan:
        """What a hub is to run for a user.

        Raises:
            Refusal: the user may not launch that, or the server has another name than that application's.
        """
        with self._context.read() as session:
            who = member_of(session, request.user_name, request.organization)
            if who is None:
                raise not_found(
                    f"{request.user_name} is in no organization {request.organization!r}; check its short name, "
                    "and call Edge once before the first launch"
                )
            if request.server_name != server_name(request.organization, request.app_id):
                raise conflict(
                    f"{request.server_name!r} is not the server of {request.app_id} in {request.organization}; launch "
                    f"it with edge app launch {request.app_id}"
                )
            launch = self.launch(session, who, request.app_id, request.version, request.profile)
            server = self._registry(session, launch)
        version = launch.version
        return LaunchPlan(
            server_name=request.server_name,
            user_name=request.user_name,
            organization=launch.organization.name,
            app_id=launch.application.app_id,
            version=version.version,
            title=version.title,
            kind=version.kind,
            framework=version.framework,
            link=version.link,
            profile_id=launch.profile_id,
            cpu=launch.cpu,
            memory=launch.memory,
            gpu=launch.gpu,
            idle_minutes=launch.application.idle_minutes,
            volume_mount_point=version.volume_mount_point,
            suggested_volume_size=version.suggested_volume_size,
            registry=None
            if server is None
            # After the transaction, as another machine may be asked for the key.
            else PlanRegistry(
                domain=server.domain, username=server.username, password=self._passwords.open(server).decode()
            ),
        )

    def _registry(self, session: Session, launch: Launch) -> AppServer | None:
        """The credentials for the registry that has the image."""
        rows = select(AppServer).options(joinedload(AppServer.application).joinedload(Application.organization))
        mine = AppServer.application_id == launch.application.id
        return session.scalar(rows.where(mine, AppServer.domain == image_registry(launch.version.link)))


def member_of(session: Session, user_name: str, organization: str) -> Member | None:
    """What a user of the hub is in an organization that is open; None if they are not in it, or there is none."""
    rows = (
        select(Membership)
        .join(User, User.id == Membership.user_id)
        .join(Organization, Organization.id == Membership.organization_id)
        .where(User.user_name == user_name, User.hub_created.is_not(None), User.removed_at.is_(None))
        .where(Organization.name == organization, Organization.active)
        .where(Organization.status != OrganizationStatusEnum.Deleting.value)
    )
    row = session.scalar(rows)
    return None if row is None else Member(row.organization_id, row.developer, row.admin)


def _require_launching(organization: Organization) -> None:
    if not is_launching(organization):
        raise conflict(
            f"no application can be launched in {organization.name}, as its launching is disabled; ask a server admin"
        )


def _newest(session: Session, who: Member, application: Application) -> AppVersion:
    """The version that was added last of those that all members see."""
    rows = catalogue.versions_seen_by(who, application).where(AppVersion.version.in_(application.visible_versions))
    row: AppVersion | None = session.scalar(rows.order_by(AppVersion.id.desc()).limit(1))
    if row is None:
        raise not_found(f"{application.app_id} has no version that members see; name a version, or make one visible")
    return row


def _most(application: Application) -> AppResource:
    """The most that one user's app may use; its memory is in a unit that only the program knows that stated it."""
    return AppResource.from_answer(application.max_resources or {})
