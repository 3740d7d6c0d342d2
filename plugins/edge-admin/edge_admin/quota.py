"""`Quota`: how much an organization may store."""

from __future__ import annotations

from edge_core.records import Record, field


class Quota(Record):
    """The bytes that an organization's files may use, and the bytes they use."""

    storage_bytes: int | None = field(
        default=None, minimum=0, maximum=(1 << 63) - 1, doc="Bytes its files may use; null for the server's default."
    )
    used_bytes: int = field(default=0, doc="Bytes its files use now.")
