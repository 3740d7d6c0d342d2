"""`AppPlaceholder`: machines kept running for applications that are to start at once."""

from __future__ import annotations

from edge_compute.names import OPTIONAL_NAME
from edge_core.records import PLAIN_TEXT, Record, field


class AppPlaceholder(Record):
    """Keeps machines of one app profile running.

    >>> AppPlaceholder(name="morning", profile_id="edge.medium", quantity=2).disable
    False
    """

    uid: str | None = field(default=None, doc="Universally unique id, set by the server.")
    name: str = field(default="", pattern=OPTIONAL_NAME, doc="Its name in the organization.")
    profile_id: str = field(
        default="", max_length=100, pattern=PLAIN_TEXT, doc="Id of the app profile whose machines are kept running."
    )
    quantity: int = field(default=1, minimum=0, maximum=1000, doc="How many machines are kept running.")
    disable: bool = field(default=False, doc="Whether none are kept running for now.")
