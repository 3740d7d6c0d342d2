"""Compute: the interface that gives machines, the backend that gives none, and what stands in between.

An app profile is stored as pending, and refused before that if the backend cannot serve it. In the
background the backend is then asked to make it ready, again and again until it is.
"""

from __future__ import annotations

import dataclasses
from typing import Protocol

import sqlalchemy as sa
import sqlalchemy.exc
from sqlalchemy import select
from sqlalchemy.orm import Session

from edge_compute.app_placeholder import AppPlaceholder as PlaceholderRecord
from edge_compute.app_profile import AppProfile as ProfileRecord
from edge_compute.app_profile import AppProfileStatusEnum
from edge_compute.names import is_profile_id
from edge_compute.wire import ComputeBackend as BackendRecord
from edge_compute.wire import InstanceType
from edge_server.base.problems import Refusal, already_exists, bad_entry, conflict, log, not_found
from edge_server.compute.instance_types import BadInstanceTypes, InstanceTypeFile
from edge_server.compute.models import AppPlaceholder, AppProfile
from edge_server.data.database import SERVER, Database

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


@dataclasses.dataclass(frozen=True)
class Wanted:
    """What a profile asks of a machine.

    Attributes:
        instance_name: the instance type.
        cpu: processors.
        gpu: graphics processors.
        memory: GB.
    """

    instance_name: str
    cpu: float
    gpu: int
    memory: float


class CannotServe(Exception):
    """The backend will never serve that.

    Args:
        field: what is wrong, by its name in the record.
        said: one sentence: what is wrong and what to do.
    """

    def __init__(self, field: str, said: str) -> None:
        super().__init__(f"{field}: {said}")


class ComputeBackend(Protocol):
    """What gives machines. One is chosen when the server is built."""

    name: str
    starts_machines: bool
    note: str
    """What it does, in one sentence for users."""

    def check(self, wanted: Wanted) -> None:
        """See whether it can be served at all, at once and without doing anything.

        Raises:
            CannotServe: it never can.
        """
        ...

    def make_ready(self, wanted: Wanted) -> bool:
        """Do what has to be done before apps can run on it; called again until it is True."""
        ...


class CatalogueBackend:
    """The default: ready means that the catalogue has such a machine. Nothing is ever started.

    Args:
        catalogue: the instance types there are.
    """

    name = "catalogue"
    starts_machines = False
    note = "ready means that the catalogue has such a machine; this server starts no machines and no apps"

    def __init__(self, catalogue: InstanceTypeFile) -> None:
        self._catalogue = catalogue

    def check(self, wanted: Wanted) -> None:
        machine = self._catalogue.read().get(wanted.instance_name)
        if machine is None:
            raise CannotServe(
                "instance_name",
                f"there is no instance type {wanted.instance_name!r}; list the instance types to see their names",
            )
        for field in ("cpu", "gpu", "memory"):
            has, asked = getattr(machine, field), getattr(wanted, field)
            if asked > has:
                raise CannotServe(field, f"a {wanted.instance_name} has {has:g}, and {asked:g} is more; ask for less")

    def make_ready(self, wanted: Wanted) -> bool:
        self.check(wanted)
        return True


# --- app profiles


def _built_in(profile_id: str, name: str, instance_name: str, cpu: float, memory: float) -> ProfileRecord:
    return ProfileRecord(
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


BUILT_IN = {
    one.profile_id: one
    for one in (
        _built_in("edge.dashboard", "Dashboard", "t3.small", 2.0, 2.0),
        _built_in("edge.medium", "Medium", "t3.large", 2.0, 8.0),
    )
}
"""The app profiles that every organization has, by id."""


def built_in(backend: ComputeBackend) -> dict[str, ProfileRecord]:
    """The built-in app profiles; pending where the backend cannot serve them."""
    return {profile_id: _judged(backend, one) for profile_id, one in BUILT_IN.items()}


def _judged(backend: ComputeBackend, one: ProfileRecord) -> ProfileRecord:
    try:
        backend.check(Wanted(one.instance_name, one.cpu, one.gpu, one.memory))
    except (CannotServe, BadInstanceTypes):
        return ProfileRecord.from_answer({**one.to_dict(), "status": PENDING})
    return one


def get_profile(session: Session, organization_id: int, profile_id: str) -> AppProfile:
    """One of the organization's own app profiles.

    Raises:
        Refusal: there is none of that id, or it is built in.
    """
    if profile_id in BUILT_IN:
        raise conflict(f"{profile_id} is built in and cannot be changed; make a profile of your own")
    found = _find_profile(session, organization_id, profile_id)
    if found is None:
        raise not_found(f"there is no app profile {profile_id!r}; list the app profiles to see their ids")
    return found


def create_profile(
    session: Session,
    backend: ComputeBackend,
    catalogue: InstanceTypeFile,
    organization_id: int,
    wanted: ProfileRecord,
) -> AppProfile:
    """Add an app profile, which is pending.

    Raises:
        Refusal: its id is taken or no id, or the backend cannot serve it.
    """
    profile_id = wanted.profile_id
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
    apply_profile(backend, catalogue, row, wanted)
    session.add(row)
    _flush(session, taken)
    return row


def apply_profile(backend: ComputeBackend, catalogue: InstanceTypeFile, row: AppProfile, wanted: ProfileRecord) -> None:
    """Make an app profile what a record says; pending, if it asks for another machine than before.

    Raises:
        Refusal: the backend cannot serve it.
    """
    if not wanted.instance_name:
        raise bad_entry("instance_name: it is missing; state an instance type, such as t3.small")
    machine: InstanceType | None = catalogue.require().get(wanted.instance_name)
    asked = Wanted(
        wanted.instance_name,
        wanted.cpu or (0.0 if machine is None else machine.cpu),
        wanted.gpu,
        wanted.memory or (0.0 if machine is None else machine.memory),
    )
    before = Wanted(row.instance_name, row.cpu, row.gpu, row.memory)
    if asked != before:
        try:
            backend.check(asked)
        except CannotServe as error:
            raise bad_entry(str(error)) from None
        row.status = PENDING
    row.instance_name, row.cpu, row.gpu, row.memory = dataclasses.astuple(asked)
    row.name = wanted.name or row.profile_id
    row.disable = wanted.disable


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


def make_ready(database: Database, backend: ComputeBackend) -> None:
    """Have the backend make ready what is pending."""
    last: int | None = 0
    while last is not None:
        with database.read() as session:
            wanted = select(AppProfile).where(AppProfile.status == PENDING, AppProfile.id > last)
            rows = list(session.scalars(wanted.order_by(AppProfile.id).limit(BATCH)))
        # Outside a transaction: a backend may take its time.
        ready = [row for row in rows if _is_ready(backend, row)]
        if ready:
            with database.write(SERVER) as session:
                for row in ready:
                    # One that was changed meanwhile is asked for anew.
                    same = (AppProfile.id == row.id, AppProfile.revision == row.revision)
                    # Its revision stays: whoever has read it while it was pending may still update it.
                    session.execute(
                        sa.update(AppProfile).where(*same).values(status=READY),
                        execution_options={"synchronize_session": False},
                    )
        last = rows[-1].id if len(rows) == BATCH else None


def _is_ready(backend: ComputeBackend, row: AppProfile) -> bool:
    try:
        return backend.make_ready(Wanted(row.instance_name, row.cpu, row.gpu, row.memory))
    except (CannotServe, BadInstanceTypes) as error:
        log.warning("the app profile %s stays pending: %s", row.profile_id, error)
        return False


def _find_profile(session: Session, organization_id: int, profile_id: str) -> AppProfile | None:
    wanted = select(AppProfile).where(AppProfile.organization_id == organization_id)
    return session.scalar(wanted.where(AppProfile.profile_id == profile_id)) if is_profile_id(profile_id) else None


# --- placeholders


def get_placeholder(session: Session, organization_id: int, placeholder_id: str) -> AppPlaceholder:
    """A placeholder, by its uid or name.

    Raises:
        Refusal: there is none.
    """
    found = None
    if is_profile_id(placeholder_id):
        own = select(AppPlaceholder).where(AppPlaceholder.organization_id == organization_id)
        found = session.scalar(own.where(AppPlaceholder.uid == placeholder_id)) or session.scalar(
            own.where(AppPlaceholder.name == placeholder_id)
        )
    if found is None:
        raise not_found(f"there is no placeholder {placeholder_id!r}; list the placeholders to see their names")
    return found


def create_placeholder(session: Session, organization_id: int, wanted: PlaceholderRecord) -> AppPlaceholder:
    """Add a placeholder.

    Raises:
        Refusal: its name is taken or missing, or there is no such profile.
    """
    row = AppPlaceholder(organization_id=organization_id)
    session.add(row)
    apply_placeholder(session, row, wanted)
    return row


def apply_placeholder(session: Session, row: AppPlaceholder, wanted: PlaceholderRecord) -> None:
    """Make a placeholder what a record says.

    Raises:
        Refusal: its name is taken or missing, or there is no such profile.
    """
    if not wanted.name:
        raise bad_entry("name: it is missing; name the placeholder")
    with session.no_autoflush:
        profile_id = wanted.profile_id
        if profile_id not in BUILT_IN and _find_profile(session, row.organization_id, profile_id) is None:
            raise bad_entry(
                f"profile_id: there is no app profile {profile_id!r}; list the app profiles to see their ids"
            )
    row.name, row.profile_id = wanted.name, wanted.profile_id
    row.quantity, row.disable = wanted.quantity, wanted.disable
    _flush(session, already_exists(f"there is a placeholder {wanted.name!r} already; choose another name"))


def placeholder_record(row: AppPlaceholder) -> PlaceholderRecord:
    """A placeholder as it goes out."""
    return PlaceholderRecord(
        uid=row.uid, name=row.name, profile_id=row.profile_id, quantity=row.quantity, disable=row.disable
    )


def backend_record(backend: ComputeBackend) -> BackendRecord:
    """What a backend says of itself."""
    return BackendRecord(name=backend.name, starts_machines=backend.starts_machines, note=backend.note)


def _flush(session: Session, taken: Refusal) -> None:
    try:
        session.flush()
    except sqlalchemy.exc.IntegrityError:
        raise taken from None
