"""`AppProfile`: the part of a machine that an application is given."""

from __future__ import annotations

import enum

from edge_compute.names import OPTIONAL_NAME
from edge_core.records import PLAIN_TEXT, Record, field


class AppProfileStatusEnum(enum.Enum):
    """Whether an app profile can be used."""

    Pending = "pending"
    """The compute backend has not checked it yet, or is preparing it."""
    Ready = "ready"


class AppProfile(Record):
    """A machine, or a part of one, for applications to run on.

    >>> profile = AppProfile(profile_id="lab.large", name="Large", instance_name="m5.xlarge", cpu=3.5, memory=14)
    >>> profile.gpu, profile.disable
    (0, False)
    """

    uid: str | None = field(default=None, doc="Universally unique id, set by the server.")
    profile_id: str = field(default="", max_length=100, pattern=PLAIN_TEXT, doc="Its id in the organization; it stays.")
    name: str = field(default="", max_length=200, pattern=PLAIN_TEXT, doc="Shown to people; empty for its id.")
    instance_name: str = field(default="", pattern=OPTIONAL_NAME, doc="An instance type, such as t3.small.")
    cpu: float = field(default=0.0, minimum=0, maximum=100000, doc="Processors; 0 for all of the machine's.")
    gpu: int = field(default=0, minimum=0, maximum=100000, doc="Graphics processors.")
    memory: float = field(default=0.0, minimum=0, maximum=10000000, doc="GB; 0 for all of the machine's.")
    built_in: bool = field(default=False, doc="Whether it comes with the platform and cannot be changed.")
    status: AppProfileStatusEnum | None = field(default=None, doc="Whether it can be used; set by the server.")
    disable: bool = field(default=False, doc="Whether new apps cannot use it.")
