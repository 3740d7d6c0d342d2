"""What applications run on: the subsystem of compute tells what an app profile gives, and billing counts hours."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Callable
from typing import Protocol

from sqlalchemy.orm import Session

from edge_admin.organization import OrganizationStatusEnum
from edge_server.identity.models import Organization


@dataclasses.dataclass(frozen=True)
class Limits:
    """What an application is given that is launched with an app profile.

    Attributes:
        profile_id: id of the app profile.
        cpu: processors.
        gpu: graphics processors.
        memory: GB.
    """

    profile_id: str
    cpu: float
    gpu: int
    memory: float


class Report(Protocol):
    """Counts the time that machines ran."""

    def __call__(
        self,
        session: Session,
        organization_id: int,
        profile_id: str,
        started_at: dt.datetime,
        until: dt.datetime,
        /,
        *,
        machines: int = 1,
    ) -> object:
        """Count a span, in the writing transaction that notes it as counted.

        Args:
            session: the transaction.
            organization_id: whose app it was.
            profile_id: id of its app profile; empty for none.
            started_at: when the span began.
            until: when it ended.
            machines: how many ran.
        """
        ...


class Machines:
    """What others tell of machines and do for them, once the subsystems of compute and billing are loaded.

    Attributes:
        limits: called with a transaction, an organization's id and the id of an app profile; raises a `Refusal`
            where no application can be launched with it.
        report_app_time: counts app hours.
    """

    limits: Callable[[Session, int, str], Limits]
    report_app_time: Report


def is_launching(organization: Organization) -> bool:
    """Whether applications can be launched in an organization."""
    return not organization.disable_launch and organization.status != OrganizationStatusEnum.DisableApps.value


def is_shut_down(organization: Organization) -> bool:
    """Whether applications must not even go on running in an organization."""
    shut = organization.disable_launch and organization.shutdown_apps
    return shut or organization.status == OrganizationStatusEnum.DisableApps.value
