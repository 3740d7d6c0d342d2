"""Records of requests and answers beside the documented ones; the server imports them."""

from __future__ import annotations

import datetime as dt

from edge_compute.app_placeholder import AppPlaceholder
from edge_compute.app_profile import AppProfile
from edge_core.records import PLAIN_TEXT, Record, field


class ListCompute(Record):
    """Query for a page of a list."""

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


class PlaceholderState(Record):
    """What goes on with a placeholder."""

    uid: str = field(doc="Universally unique id of the placeholder.")
    name: str = field(doc="Its name in the organization.")
    quantity: int = field(doc="How many machines are to be kept running.")
    ready: int | None = field(default=None, doc="How many are; null where nothing keeps them, or has not said so.")
    reported_at: dt.datetime | None = field(default=None, doc="When that was said; null with `ready`.")


class PlaceholderStatePage(Record):
    """One page of states of placeholders."""

    items: list[PlaceholderState]
    next: str | None = field(default=None, doc="Cursor of the page after it; null on the last one.")


class HubPlaceholder(Record):
    """Machines that a hub is asked to keep, each with room for one application."""

    uid: str = field(doc="Universally unique id of the placeholder.")
    quantity: int = field(doc="How many.")
    cpu: float = field(doc="Processors of each.")
    memory: float = field(doc="GB of each.")
    gpu: int = field(doc="Graphics processors of each.")


class HubPlaceholderPage(Record):
    """One page of what is wanted, in the order in which it was asked for."""

    items: list[HubPlaceholder]
    next: str | None = field(default=None, doc="Cursor of the page after it; null on the last one.")


class HubPlaceholderState(Record):
    """What a hub has ready for a placeholder."""

    uid: str = field(max_length=36, pattern=PLAIN_TEXT, doc="Universally unique id of the placeholder.")
    ready: int = field(minimum=0, maximum=1000, doc="How many.")


class NotePlaceholderStates(Record):
    """What a hub has ready."""

    items: list[HubPlaceholderState] = field(max_length=1000, doc="For each placeholder that it was asked for.")


class ComputeBackend(Record):
    """The compute backend of the server."""

    name: str = field(doc="Its name.")
    starts_machines: bool = field(doc="Whether it starts machines.")
    note: str = field(doc="What it does, in one sentence.")
