"""App hours, and the end of what must not run any more: what a server looks at again and again.

The hub says when it started a server, and whether that still runs. From this follow spans of running time, which
billing counts: each from where the one before ended, in the transaction that notes how far they are counted, so that no
time counts twice, whatever is killed in between. What does not run any more ended when it was last seen.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import datetime as dt
from collections.abc import Iterable, Mapping, Sequence

import sqlalchemy as sa
import sqlalchemy.exc
from sqlalchemy import select
from sqlalchemy.orm import Session

from edge_applications.running_app import RunningAppStatusEnum
from edge_server.applications import app_states
from edge_server.applications.app_shares import AppShares
from edge_server.applications.launching import Launches
from edge_server.applications.models import Application, AppRun, AppState, AppVersion
from edge_server.applications.running import Running, running
from edge_server.base.problems import Refusal, log
from edge_server.identity import directory
from edge_server.identity.hub import Hub, HubRefused, HubUnavailable
from edge_server.identity.models import Membership, Organization, User
from edge_server.web.context import OwnContext
from edge_server.web.machines import is_shut_down

TASK = "running apps"
"""The background task's name."""

INTERVAL = 30.0
"""Seconds between two looks at what runs."""

KEPT = dt.timedelta(days=30)
"""How long the row of a run stays that has ended. It is taken up again if the hub had only forgotten it for a while."""

_AT_ONCE = 500

_ENDED = RunningAppStatusEnum.Ended.value


@dataclasses.dataclass(frozen=True)
class _Place:
    """What is known here of the organization and user of an app.

    Attributes:
        organization: the row; None if there is none.
        user_id: the user's row; None if there is none.
        is_member: whether the user is in the organization.
        idle_minutes: minutes before the application is stopped while idle; None for never.
    """

    organization: Organization | None
    user_id: int | None
    is_member: bool
    idle_minutes: int | None


class AppRuns:
    """Looks at what runs.

    Args:
        context: of the subsystem of applications.
        hub: where it runs.
        launches: tells what a version recommends.
        shares: with whom it is shared.
    """

    def __init__(self, context: OwnContext, hub: Hub, launches: Launches, shares: AppShares) -> None:
        self._context = context
        self._hub = hub
        self._launches = launches
        self._shares = shares
        self._machines = context.engines.machines

    def look(self) -> None:
        """Count what has run until now, stop what must not run any more, and review shares; in one process alone."""
        now = self._context.now()  # before the hub is asked, so that what it names has run until then
        try:
            servers = self._hub.active_servers()
        except HubUnavailable:
            return  # which the hub has logged; what runs then is counted later
        apps = [app for app in (running(server, self._hub.service) for server in servers) if app is not None]
        with self._context.read() as session:
            places = _places(session, apps)
            open_in = set(session.scalars(select(AppRun.organization_id).where(AppRun.ended_at.is_(None)).distinct()))
        in_organization: dict[int, list[tuple[int, Running]]] = {number: [] for number in open_in}
        for app, place in zip(apps, places, strict=True):
            if place.organization is not None and place.user_id is not None and _runs(app):
                in_organization.setdefault(place.organization.id, []).append((place.user_id, app))
        for organization_id, present in in_organization.items():
            # A user or the organization may have gone meanwhile, and the next look counts what is left.
            with contextlib.suppress(sa.exc.IntegrityError):
                self._count(organization_id, present, now)
        self._forget(now)
        for app, place in zip(apps, places, strict=True):
            try:
                why = self._why_to_stop(app, place, now)
            except HubUnavailable:
                return  # which the hub has logged
            if why is not None and not self._context.stopping:
                self._stop(app, why)
        with contextlib.suppress(HubUnavailable):  # which the hub has logged
            self._shares.review(apps)

    def note(self, app: Running) -> None:
        """Count what an app has run until now that is about to be stopped."""
        now = self._context.now()
        with self._context.read() as session:
            (place,) = _places(session, [app])
        if place.organization is not None and place.user_id is not None and _runs(app):
            self._count(place.organization.id, [(place.user_id, app)], now, ended=False)

    def _count(
        self, organization_id: int, apps: Iterable[tuple[int, Running]], now: dt.datetime, *, ended: bool = True
    ) -> None:
        """Count what an organization's apps have run until `now`.

        Args:
            organization_id: of the organization.
            apps: those that run, each with its user's id.
            now: until when.
            ended: whether the others have ended.
        """
        with self._context.write(organization_id) as session:
            organization = session.get(Organization, organization_id)
            if organization is None:
                return  # removed meanwhile
            rows = select(AppRun).where(AppRun.organization_id == organization_id, AppRun.ended_at.is_(None))
            left = {(row.user_id, row.server_name, row.started_at): row for row in session.scalars(rows)}
            spans: collections.Counter[tuple[str, dt.datetime]] = collections.Counter()
            for user_id, app in apps:
                row = self._row(session, organization, user_id, app, left)
                if row is None or row.counted_until >= now:
                    continue
                spans[row.profile_id, row.counted_until] += 1
                row.counted_until = now
            for row in left.values() if ended else ():
                row.ended_at = row.counted_until
            for (profile_id, since), machines in spans.items():
                self._machines.report_app_time(session, organization_id, profile_id, since, now, machines=machines)

    def _row(
        self,
        session: Session,
        organization: Organization,
        user_id: int,
        app: Running,
        left: dict[tuple[int, str, dt.datetime], AppRun],
    ) -> AppRun | None:
        """The row of an app that runs, a new one if it is seen for the first time; None if its start is not known.

        Args:
            session: a writing transaction.
            organization: whose app it is.
            user_id: its user.
            app: the app.
            left: open rows, of which this one is taken out.
        """
        server, started_at = app.server, app.server.started
        if started_at is None:
            return None
        row = left.pop((user_id, server.name, started_at), None)
        if row is not None:
            return row
        same = (AppRun.user_id == user_id, AppRun.server_name == server.name, AppRun.started_at == started_at)
        row = session.scalar(select(AppRun).where(*same))
        if row is not None:
            row.ended_at = None  # the hub had forgotten it for a while
            return row
        row = AppRun(
            organization_id=organization.id,
            user_id=user_id,
            server_name=server.name,
            app_id=app.options.app_id,
            version=app.options.version,
            profile_id=app.options.profile or self._recommended(session, organization, app),
            started_at=started_at,
            # Whatever a hub says, not before there was anybody to pay for it.
            counted_until=max(started_at, organization.created_at),
        )
        session.add(row)
        return row

    def _recommended(self, session: Session, organization: Organization, app: Running) -> str:
        """The app profile of an app whose user has named none at the hub."""
        rows = select(AppVersion).join(Application, Application.id == AppVersion.application_id)
        rows = rows.where(Application.organization_id == organization.id, Application.app_id == app.options.app_id)
        version = session.scalar(rows.where(AppVersion.version == app.options.version))
        try:
            limits = None if version is None else self._launches.recommended(session, version, organization.id)
        except Refusal:
            return version.recommended_profile or "" if version is not None else ""
        return "" if limits is None else limits.profile_id

    def _forget(self, now: dt.datetime) -> None:
        """Delete the rows of runs that have ended long ago, and what was told of them."""
        past = select(AppState.id).where(AppState.noted_at < now - app_states.KEPT, AppState.state == _ENDED)
        with self._context.read() as session:
            ids = session.scalars(past.limit(_AT_ONCE)).all()
        if ids:
            with self._context.write(self._context.SERVER) as session:
                session.execute(sa.delete(AppState).where(AppState.id.in_(ids)))
        old = select(AppRun.id).where(AppRun.ended_at < now - KEPT).limit(_AT_ONCE)
        with self._context.read() as session:
            ids = session.scalars(old).all()
        if ids:
            with self._context.write(self._context.SERVER) as session:
                session.execute(sa.delete(AppRun).where(AppRun.id.in_(ids), AppRun.ended_at < now - KEPT))

    def _why_to_stop(self, app: Running, place: _Place, now: dt.datetime) -> str | None:
        is_known = place.is_member or (place.organization is not None and not place.organization.hub)
        if not is_known and self._shares.is_member_at_hub(app):
            # Who has come since the backup that this server may be restored from, and whose request makes them known.
            if place.organization is None:
                return None
            place = dataclasses.replace(place, is_member=True)
        return _why_to_stop(app, place, now)

    def _stop(self, app: Running, why: str) -> None:
        name = f"{app.options.app_id} of {app.server.user_name} in {app.options.organization}"
        try:
            self._hub.stop_server(app.server.user_name, app.server.name)
        except HubRefused as error:
            log.warning("the hub does not stop the app %s, although %s: %s", name, why, error)
        except HubUnavailable:
            return  # which the hub has logged; the next look tries again
        else:
            log.info("the app %s is stopped, as %s", name, why)


def _runs(app: Running) -> bool:
    """Whether an app runs, or did until it was stopped just now; not one that is still starting."""
    return app.server.started is not None and app.status is not RunningAppStatusEnum.Starting


def _why_to_stop(app: Running, place: _Place, now: dt.datetime) -> str | None:
    """Why an app must not run any more; None if it may, or is stopping already."""
    if app.status is RunningAppStatusEnum.Stopping:
        return None
    organization = place.organization
    if organization is None or organization.status == directory.DELETING or not organization.active:
        return "the organization is gone"
    if not place.is_member:
        return "its user is not in the organization any more"
    if is_shut_down(organization):
        return "the organization's apps are shut down"
    used = max((moment for moment in (app.server.started, app.server.last_activity) if moment is not None), default=now)
    if place.idle_minutes is not None and _runs(app) and now - used >= dt.timedelta(minutes=place.idle_minutes):
        return f"it was idle for {place.idle_minutes} minutes"
    return None


def _places(session: Session, apps: Sequence[Running]) -> list[_Place]:
    """What is known here of each app."""
    names = sorted({app.options.organization for app in apps})
    organizations: dict[str, Organization] = {}
    users: dict[str, int] = {}
    for at in range(0, len(names), _AT_ONCE):
        rows = select(Organization).where(Organization.name.in_(names[at : at + _AT_ONCE]))
        organizations |= {row.name: row for row in session.scalars(rows)}
    user_names = sorted({app.server.user_name for app in apps})
    for at in range(0, len(user_names), _AT_ONCE):
        known = select(User.user_name, User.id).where(User.user_name.in_(user_names[at : at + _AT_ONCE]))
        known = known.where(User.hub_created.is_not(None), User.removed_at.is_(None))
        users |= {row.user_name: row.id for row in session.execute(known)}
    members: set[tuple[int, int]] = set()
    idle: dict[tuple[int, str], int | None] = {}
    for organization in organizations.values():
        members |= {
            (user_id, organization.id)
            for user_id in session.scalars(
                select(Membership.user_id).where(Membership.organization_id == organization.id)
            )
        }
        minutes = select(Application.app_id, Application.idle_minutes)
        minutes = minutes.where(Application.organization_id == organization.id, Application.idle_minutes.is_not(None))
        idle |= {(organization.id, row.app_id): row.idle_minutes for row in session.execute(minutes)}
    return [_place(app, organizations, users, members, idle) for app in apps]


def _place(
    app: Running,
    organizations: Mapping[str, Organization],
    users: Mapping[str, int],
    members: set[tuple[int, int]],
    idle: Mapping[tuple[int, str], int | None],
) -> _Place:
    organization, user_id = organizations.get(app.options.organization), users.get(app.server.user_name)
    if organization is None:
        return _Place(None, user_id, False, None)
    is_member = user_id is not None and (user_id, organization.id) in members
    return _Place(organization, user_id, is_member, idle.get((organization.id, app.options.app_id)))
