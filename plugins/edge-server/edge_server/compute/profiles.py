"""App profiles: what an organization's applications run on.

An app profile is stored as pending, and refused before that if the backend cannot serve it. In the
background the backend is then asked to make it ready, again and again until it is.
"""

from __future__ import annotations

import dataclasses

import sqlalchemy as sa
import sqlalchemy.exc
from sqlalchemy import select
from sqlalchemy.orm import Session

from edge_compute.app_profile import AppProfile as ProfileRecord
from edge_compute.app_profile import AppProfileStatusEnum
from edge_compute.names import is_profile_id
from edge_server.base.operator_files import BadOperatorFile
from edge_server.base.problems import Refusal, already_exists, bad_entry, conflict, log, not_found
from edge_server.compute.backends import CannotServe, ComputeBackend, Requirements
from edge_server.compute.instance_types import Catalogue, offered
from edge_server.compute.models import AppPlaceholder, AppProfile
from edge_server.web.context import Context
from edge_server.web.machines import Limits

RESERVED = "edge."
"""What the ids of built-in app profiles begin with, and no organization's own."""

PENDING = AppProfileStatusEnum.Pending.value
READY = AppProfileStatusEnum.Ready.value

TASK = "app profiles"
"""The background task's name."""

INTERVAL = 5.0
"""Seconds between two looks at what is pending."""

BATCH = 100
"""App profiles looked at in one transaction."""


BUILT_IN = {
    profile_id: ProfileRecord(
        uid=None,
        profile_id=profile_id,
        name=name,
        instance_name=instance_name,
        cpu=cpu,
        gpu=0,
        memory=memory,
        built_in=True,
        status=AppProfileStatusEnum.Ready,
    )
    for profile_id, name, instance_name, cpu, memory in (
        ("edge.dashboard", "Dashboard", "t3.small", 2.0, 2.0),
        ("edge.medium", "Medium", "t3.large", 2.0, 8.0),
    )
}
"""The app profiles that every organization has, by id."""


def required_by(profile: ProfileRecord | AppProfile) -> Requirements:
    """What a profile requires of a machine."""
    return Requirements(profile.instance_name, profile.cpu, profile.gpu, profile.memory)


class AppProfiles:
    """The app profiles of all organizations.

    Args:
        context: what they work with.
        catalogue: the instance types there are.
        backend: what gives the machines.
    """

    def __init__(self, context: Context, catalogue: Catalogue, backend: ComputeBackend) -> None:
        self._context = context
        self._catalogue = catalogue
        self._backend = backend

    def built_in(self) -> dict[str, ProfileRecord]:
        """The built-in app profiles by id; pending where the backend cannot serve them."""
        return {profile_id: self._judged(profile) for profile_id, profile in BUILT_IN.items()}

    def _judged(self, profile: ProfileRecord) -> ProfileRecord:
        try:
            self._backend.check(required_by(profile))
        except (CannotServe, BadOperatorFile):
            return ProfileRecord.from_answer({**profile.to_dict(), "status": PENDING})
        return profile

    def create(self, session: Session, organization_id: int, profile: ProfileRecord) -> AppProfile:
        """Add an app profile, which is pending.

        Raises:
            Refusal: its id is taken or no id, or the backend cannot serve it.
        """
        profile_id = profile.profile_id
        taken = already_exists(f"there is an app profile {profile_id!r} already; choose another id, or update that one")
        if not is_profile_id(profile_id):
            raise bad_entry(
                "profile_id: it is no id; use 1 to 100 letters, digits, dots, hyphens and underscores, as in lab.large"
            )
        if profile_id in BUILT_IN:
            raise taken
        if profile_id.startswith(RESERVED):
            raise bad_entry(f"profile_id: ids that begin with {RESERVED} are the platform's; choose another")
        row = AppProfile(organization_id=organization_id, profile_id=profile_id)
        self.apply(row, profile)
        session.add(row)
        flush(session, taken)
        return row

    def apply(self, row: AppProfile, profile: ProfileRecord) -> None:
        """Make an app profile what a record says; pending, if it asks for another machine than before.

        Raises:
            Refusal: the backend cannot serve it.
        """
        if not profile.instance_name:
            raise bad_entry("instance_name: it is missing; state an instance type, such as t3.small")
        machine = offered(self._catalogue).get(profile.instance_name)
        requirements = Requirements(
            profile.instance_name,
            profile.cpu or (0.0 if machine is None else machine.cpu),
            profile.gpu,
            profile.memory or (0.0 if machine is None else machine.memory),
        )
        if requirements != required_by(row):
            try:
                self._backend.check(requirements)
            except CannotServe as error:
                raise bad_entry(str(error)) from None
            row.status = PENDING
        row.instance_name, row.cpu, row.gpu, row.memory = dataclasses.astuple(requirements)
        row.name = profile.name or row.profile_id
        row.disable = profile.disable

    def limits(self, session: Session, organization_id: int, profile_id: str) -> Limits:
        """What an application is given that is launched with an app profile now.

        Raises:
            Refusal: the app profile cannot be found, is disabled, or is not ready.
        """
        row = self.built_in().get(profile_id) or find_profile(session, organization_id, profile_id)
        if row is None:
            raise not_found(f"there is no app profile {profile_id!r}; list the app profiles to see their ids")
        profile = row if isinstance(row, ProfileRecord) else profile_record(row)
        if profile.disable:
            raise conflict(f"the app profile {profile_id} is disabled; choose another one")
        if profile.status is not AppProfileStatusEnum.Ready:
            raise conflict(f"the app profile {profile_id} is not ready yet; choose another one, or try again later")
        return Limits(profile_id, profile.cpu, profile.gpu, profile.memory)

    def make_ready(self) -> None:
        """Have the backend make ready what is pending."""
        last: int | None = 0
        while last is not None:
            with self._context.read() as session:
                pending = select(AppProfile).where(AppProfile.status == PENDING, AppProfile.id > last)
                rows = list(session.scalars(pending.order_by(AppProfile.id).limit(BATCH)))
            # Outside a transaction: a backend may take its time.
            ready = [row for row in rows if self._is_ready(row)]
            if ready:
                with self._context.write(Context.SERVER) as session:
                    for row in ready:
                        # One that was changed meanwhile is asked for anew.
                        same = (AppProfile.id == row.id, AppProfile.revision == row.revision)
                        # Its revision stays: whoever has read it while it was pending may still update it.
                        session.execute(
                            sa.update(AppProfile).where(*same).values(status=READY),
                            execution_options={"synchronize_session": False},
                        )
            last = rows[-1].id if len(rows) == BATCH else None

    def _is_ready(self, row: AppProfile) -> bool:
        try:
            return self._backend.make_ready(required_by(row))
        except (CannotServe, BadOperatorFile) as error:
            log.warning("the app profile %s stays pending: %s", row.profile_id, error)
            return False


def get_profile(session: Session, organization_id: int, profile_id: str) -> AppProfile:
    """One of the organization's own app profiles.

    Raises:
        Refusal: it cannot be found, or it is built in.
    """
    if profile_id in BUILT_IN:
        raise conflict(f"{profile_id} is built in and cannot be changed; make a profile of your own")
    row = find_profile(session, organization_id, profile_id)
    if row is None:
        raise not_found(f"there is no app profile {profile_id!r}; list the app profiles to see their ids")
    return row


def find_profile(session: Session, organization_id: int, profile_id: str) -> AppProfile | None:
    """One of the organization's own app profiles; None if there is none of that id."""
    rows = select(AppProfile).where(AppProfile.organization_id == organization_id)
    return session.scalar(rows.where(AppProfile.profile_id == profile_id)) if is_profile_id(profile_id) else None


def profile_record(row: AppProfile) -> ProfileRecord:
    """An app profile as it goes out."""
    return ProfileRecord.from_answer(
        {
            "uid": row.uid,
            "profile_id": row.profile_id,
            "name": row.name,
            "instance_name": row.instance_name,
            "cpu": row.cpu,
            "gpu": row.gpu,
            "memory": row.memory,
            "built_in": False,
            "status": row.status,
            "disable": row.disable,
        }
    )


def remove_profile(session: Session, row: AppProfile) -> None:
    """Remove an app profile.

    Raises:
        Refusal: a placeholder uses it.
    """
    used = select(AppPlaceholder.name).where(
        AppPlaceholder.organization_id == row.organization_id, AppPlaceholder.profile_id == row.profile_id
    )
    name = session.scalar(used.order_by(AppPlaceholder.name).limit(1))
    if name is not None:
        raise conflict(f"the placeholder {name} uses the app profile {row.profile_id}; remove that first")
    session.delete(row)


def flush(session: Session, taken: Refusal) -> None:
    """Write what a transaction has, where a name can be taken.

    Raises:
        Refusal: `taken`, if it is.
    """
    try:
        session.flush()
    except sqlalchemy.exc.IntegrityError:
        raise taken from None
