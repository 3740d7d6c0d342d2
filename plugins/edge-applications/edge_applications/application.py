"""`Application`: what is published under an id, in versions."""

from __future__ import annotations

import enum

from edge_applications.names import APP_ID, VERSION
from edge_core.records import Record, field


class AppStatusEnum(enum.Enum):
    """Whether an application has been approved."""

    InReview = "in_review"
    """Seen by developers and admins of the organization only."""
    Approved = "approved"
    """Seen by all members; later versions need no new approval."""


class AppResource(Record):
    """The most that an application may use, stored as a program states it.

    An app is launched with an app profile that has no more processors than `cpu` and `gpu`; without an app profile
    these are its limits. The rest is not used. The units of
    `memory` and `shutdown` are those of the program: older ones state 20000000 and 14400.

    >>> AppResource(cpu=10, gpu=1, memory=20000000).memory
    20000000
    """

    cpu: float | None = field(default=None, minimum=0, maximum=100000, doc="Processors.")
    gpu: int | None = field(default=None, minimum=0, maximum=100000, doc="Graphics processors.")
    memory: float | None = field(default=None, minimum=0, maximum=10**15, doc="Memory, in the unit of the program.")
    shutdown: int | None = field(
        default=None, minimum=0, maximum=10**15, doc="Idle time until it is stopped, in the unit of the program."
    )


class Application(Record):
    """An application of the organization.

    >>> app = Application("plate-viewer", True)
    >>> app.app_id, app.visible_auto_add, app.built_in
    ('plate-viewer', True, False)
    """

    app_id: str = field(pattern=APP_ID, doc="Its id in the organization, which stays.")
    visible_auto_add: bool = field(default=True, doc="Whether new versions become visible by themselves.")
    visible_versions: list[str] | None = field(
        default=None,
        max_length=1000,
        item_pattern=VERSION,
        doc="The versions that all members see. Null in an update leaves them as they are.",
    )
    idle_minutes: int | None = field(
        default=None, minimum=1, maximum=525600, doc="Minutes before an idle app is stopped; null for never."
    )
    built_in: bool = field(default=False, doc="Whether it comes with the platform and cannot be changed.")
    status: AppStatusEnum | None = field(default=None, doc="Whether it has been approved; set by the server.")
    max_resources: AppResource | None = field(
        default=None, doc="The most that one user's app may use; memory and shutdown are not used."
    )
    max_global_resources: AppResource | None = field(
        default=None, doc="The most that all of them may use; stored and not used."
    )
