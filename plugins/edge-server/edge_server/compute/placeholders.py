"""Placeholders: machines that are kept running for applications that are to start at once.

What keeps them is the hub that the applications run at. It asks which are wanted, and says how many it has ready.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa
from sqlalchemy import select
from sqlalchemy.orm import Session

from edge_compute.app_placeholder import AppPlaceholder as PlaceholderRecord
from edge_compute.names import is_profile_id
from edge_compute.wire import HubPlaceholder, HubPlaceholderState, PlaceholderState
from edge_server.base.problems import Refusal, already_exists, bad_entry, not_found
from edge_server.compute.models import AppPlaceholder
from edge_server.compute.profiles import BUILT_IN, AppProfiles, find_profile, flush
from edge_server.identity.models import Organization
from edge_server.web.machines import is_launching

SPOKEN_FOR = dt.timedelta(minutes=3)
"""How long a hub's word holds, which says it anew every 30 seconds."""


def get_placeholder(session: Session, organization_id: int, placeholder_id: str) -> AppPlaceholder:
    """A placeholder, by its uid or name.

    Raises:
        Refusal: it cannot be found.
    """
    row = None
    if is_profile_id(placeholder_id):
        own = select(AppPlaceholder).where(AppPlaceholder.organization_id == organization_id)
        row = session.scalar(own.where(AppPlaceholder.uid == placeholder_id)) or session.scalar(
            own.where(AppPlaceholder.name == placeholder_id)
        )
    if row is None:
        raise not_found(f"there is no placeholder {placeholder_id!r}; list the placeholders to see their names")
    return row


def create_placeholder(session: Session, organization_id: int, placeholder: PlaceholderRecord) -> AppPlaceholder:
    """Add a placeholder.

    Raises:
        Refusal: its name is taken or missing, or its profile cannot be found.
    """
    row = AppPlaceholder(organization_id=organization_id)
    session.add(row)
    apply_placeholder(session, row, placeholder)
    return row


def apply_placeholder(session: Session, row: AppPlaceholder, placeholder: PlaceholderRecord) -> None:
    """Make a placeholder what a record says.

    Raises:
        Refusal: its name is taken or missing, or its profile cannot be found.
    """
    if not placeholder.name:
        raise bad_entry("name: it is missing; name the placeholder")
    with session.no_autoflush:
        profile_id = placeholder.profile_id
        if profile_id not in BUILT_IN and find_profile(session, row.organization_id, profile_id) is None:
            raise bad_entry(
                f"profile_id: there is no app profile {profile_id!r}; list the app profiles to see their ids"
            )
    row.name, row.profile_id = placeholder.name, placeholder.profile_id
    row.quantity, row.disable = placeholder.quantity, placeholder.disable
    flush(session, already_exists(f"there is a placeholder {placeholder.name!r} already; choose another name"))


def placeholder_record(row: AppPlaceholder) -> PlaceholderRecord:
    """A placeholder as it goes out."""
    return PlaceholderRecord(
        uid=row.uid, name=row.name, profile_id=row.profile_id, quantity=row.quantity, disable=row.disable
    )


def state_of(row: AppPlaceholder, now: dt.datetime) -> PlaceholderState:
    """What goes on with a placeholder; a word that is too old to hold counts as none."""
    known = row.reported_at is not None and row.reported_at > now - SPOKEN_FOR
    return PlaceholderState(
        uid=row.uid,
        name=row.name,
        quantity=row.quantity,
        ready=row.ready if known else None,
        reported_at=row.reported_at if known else None,
    )


def for_hub(session: Session, app_profiles: AppProfiles, rows: Iterable[AppPlaceholder]) -> list[HubPlaceholder]:
    """What a hub is asked to keep: none for an organization or an app profile that nothing can be launched with."""
    records = []
    for row in rows:
        organization = session.get_one(Organization, row.organization_id)
        if not (organization.active and is_launching(organization)):
            continue
        try:
            limits = app_profiles.limits(session, row.organization_id, row.profile_id)
        except Refusal:
            continue
        records.append(HubPlaceholder(row.uid, row.quantity, limits.cpu, limits.memory, limits.gpu))
    return records


def enabled() -> sa.Select[Any]:
    """The placeholders of all organizations that are not disabled."""
    return select(AppPlaceholder).where(AppPlaceholder.disable.is_(False), AppPlaceholder.quantity > 0)


def note(session: Session, kept: Iterable[HubPlaceholderState], now: dt.datetime) -> None:
    """Keep what a hub says it has ready, in a writing transaction. Placeholders that are gone are passed over."""
    for each in kept:
        # Its revision stays: whoever has read it before may still update it.
        session.execute(
            sa.update(AppPlaceholder).where(AppPlaceholder.uid == each.uid).values(ready=each.ready, reported_at=now),
            execution_options={"synchronize_session": False},
        )
