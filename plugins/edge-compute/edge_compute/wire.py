"""Records of requests and answers beside the documented ones; the server imports them."""

from __future__ import annotations

from edge_compute.app_placeholder import AppPlaceholder
from edge_compute.app_profile import AppProfile
from edge_core.records import Record, field


class ListCompute(Record):
    """Query for a page of a list, in the order of the names."""

    limit: int = field(default=100, minimum=1, maximum=1000, doc="Most items of one page.")
    cursor: str | None = field(default=None, doc="The `next` of the page before this.")


class InstanceType(Record):
    """A kind of machine that the operator offers."""

    instance_name: str = field(doc="Its name in its cloud, such as t3.small.")
    cpu: float = field(doc="Processors.")
    memory: float = field(doc="GB.")
    gpu: int = field(default=0, doc="Graphics processors.")
    gpu_name: str | None = field(default=None, doc="Model of the graphics processors.")
    gpu_memory: float | None = field(default=None, doc="GB of all of them together.")
    title: str | None = field(default=None, doc="The operator's name of it for people.")


class InstanceTypePage(Record):
    """One page of instance types."""

    items: list[InstanceType]
    next: str | None = field(default=None, doc="Cursor of the page after it; null on the last one.")


class AppProfilePage(Record):
    """One page of app profiles."""

    items: list[AppProfile]
    next: str | None = field(default=None, doc="Cursor of the page after it; null on the last one.")


class AppPlaceholderPage(Record):
    """One page of placeholders."""

    items: list[AppPlaceholder]
    next: str | None = field(default=None, doc="Cursor of the page after it; null on the last one.")


class ComputeBackend(Record):
    """The compute backend of the server."""

    name: str = field(doc="Its name.")
    starts_machines: bool = field(doc="Whether it starts machines.")
    note: str = field(doc="What it does, in one sentence.")
