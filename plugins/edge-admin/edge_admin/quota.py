"""`Quota`: how much an organization may store, and how much it does."""

from __future__ import annotations

from edge_core.records import Record, field


class Quota(Record):
    """The bytes that an organization's files may use, and the bytes they use."""

    storage_bytes: int | None = field(
        default=None, minimum=0, maximum=(1 << 63) - 1, doc="Bytes its files may use; null for the server's default."
    )
    used_bytes: int = field(default=0, doc="Bytes its files use now.")
    upload_bytes: int = field(default=0, doc="Bytes that count for its open uploads.")
    deleted_bytes: int = field(default=0, doc="Bytes of deleted and replaced content, which stays for a day.")
    limit_bytes: int | None = field(
        default=None, doc="Bytes its files may use, also where that is the server's default; null for no limit."
    )
    deleted_limit_bytes: int | None = field(
        default=None, doc="Bytes of deleted content beyond which nothing more is stored; null for no limit."
    )
