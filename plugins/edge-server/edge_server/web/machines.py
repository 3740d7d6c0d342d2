"""What applications run on: the subsystem of compute tells what an app profile gives, and billing counts hours."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Callable

from sqlalchemy.orm import Session


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


class Machines:
    """What others tell of machines and do for them, once the subsystems of compute and billing are loaded.

    Attributes:
        limits: called with a transaction, an organization's id and the id of an app profile; raises a `Refusal`
            where no application can be launched with it.
        report_app_time: called with the writing transaction that notes the span as reported, an organization's id, the
            id of an app profile or "" for none, and when the span began and ended.
    """

    limits: Callable[[Session, int, str], Limits]
    report_app_time: Callable[[Session, int, str, dt.datetime, dt.datetime], object]
