"""`Quota`: how much an organization may keep."""

from __future__ import annotations

from edge_core.records import Record, field


class Quota(Record):
    """How much an organization's files may hold, and how much they do."""

    __slots__ = ()

    storage_bytes: int | None = field(
        default=None, minimum=0, maximum=(1 << 63) - 1, doc="Bytes its files may hold; null for the server's default."
    )
    used_bytes: int = field(default=0, doc="Bytes its files hold now.")
