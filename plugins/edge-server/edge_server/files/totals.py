"""What all organizations hold together, for whoever watches the server: sums alone, and no names."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import case, func, select
from sqlalchemy.orm import Session

from edge_server.files.models import Upload
from edge_server.identity.models import Organization

NEARLY_FULL = 0.9
"""The share of its quota from which on an organization is nearly full."""


class Totals(NamedTuple):
    """Sums over all organizations.

    Attributes:
        used: bytes of the newest versions.
        deleted: bytes of deleted content that is still there.
        quota: bytes that the quotas of those that have one allow.
        quota_used: bytes that these hold of them, open uploads included.
        nearly_full: how many of these hold `NEARLY_FULL` of their quota or more.
        uploads: open uploads.
        upload_bytes: bytes that these reserve.
    """

    used: int
    deleted: int
    quota: int
    quota_used: int
    nearly_full: int
    uploads: int
    upload_bytes: int


def totals(session: Session, default_quota: int | None) -> Totals:
    """What all organizations hold and may hold.

    Args:
        session: a transaction that reads.
        default_quota: bytes for an organization without a quota of its own; None for no limit.
    """
    reserved = (
        select(Upload.organization_id, func.count().label("uploads"), func.sum(Upload.reserved_bytes).label("bytes"))
        .where(Upload.version_id.is_(None))
        .group_by(Upload.organization_id)
        .subquery()
    )
    quota = func.coalesce(Organization.quota_bytes, default_quota)
    uploads, upload_bytes = func.coalesce(reserved.c.uploads, 0), func.coalesce(reserved.c.bytes, 0)
    held = Organization.used_bytes + upload_bytes
    sums = (
        Organization.used_bytes,
        Organization.deleted_bytes + Organization.released_bytes,
        quota,
        case((quota.is_not(None), held), else_=0),
        case((held >= quota * NEARLY_FULL, 1), else_=0),
        uploads,
        upload_bytes,
    )
    joined = select(*(func.coalesce(func.sum(each), 0) for each in sums)).outerjoin(
        reserved, reserved.c.organization_id == Organization.id
    )
    return Totals(*map(int, session.execute(joined).one()))
