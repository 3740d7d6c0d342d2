"""How much an organization's files hold, and how much they may.

What counts are the newest versions, that is what a listing shows: deleting a file makes room at
once, though its content can be read for a while. The sum is kept beside the quota and changed in
the transaction that changes a file, so that it is exact and costs one row.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from edge_server.base.problems import Refusal
from edge_server.identity.models import Organization

_UNITS = [(unit, 1000**power) for power, unit in enumerate(("kB", "MB", "GB", "TB", "PB"), 1)]


def count(session: Session, organization_id: int, more: int) -> None:
    """Count bytes that came, or with a minus went; in the transaction that makes it so."""
    if more:
        session.execute(
            update(Organization)
            .where(Organization.id == organization_id)
            .values(used_bytes=Organization.used_bytes + more),
            execution_options={"synchronize_session": False},
        )


def require_room(session: Session, organization_id: int, more: int, default: int | None) -> None:
    """See that `more` bytes fit.

    Args:
        session: any transaction.
        organization_id: whose they would be.
        more: bytes; what takes nothing fits always.
        default: the server's quota in bytes, for organizations without one of their own; None for no limit.

    Raises:
        Refusal: they do not.
    """
    quota, used = _quota_and_used(session, organization_id, default)
    if more > 0 and quota is not None and used + more > quota:
        raise _full(quota, used, more)


@contextlib.contextmanager
def within_quota(session: Session, organization_id: int, default: int | None) -> Iterator[None]:
    """A part of a transaction that may not use more than the quota, unless it uses less than before.

    Raises:
        Refusal: it does.
    """
    _, before = _quota_and_used(session, organization_id, default)
    yield
    session.flush()
    quota, after = _quota_and_used(session, organization_id, default)
    if quota is not None and quota < after > before:
        raise _full(quota, before, after - before)


def _quota_and_used(session: Session, organization_id: int, default: int | None) -> tuple[int | None, int]:
    row = session.execute(
        select(Organization.quota_bytes, Organization.used_bytes).where(Organization.id == organization_id)
    ).one()
    return default if row.quota_bytes is None else row.quota_bytes, row.used_bytes


def _full(quota: int, used: int, more: int) -> Refusal:
    return Refusal(
        507,
        "quota_exceeded",
        f"the organization may hold {shown(quota)} and holds {shown(used)}, so {shown(more)} more do not fit; "
        "delete files, or ask the server's administrator for more",
    )


def shown(size: int) -> str:
    """Bytes for people: ``1,023 bytes``, ``1.5 MB``."""
    if size < 1000:
        return f"{size} bytes"
    unit, factor = next(((unit, factor) for unit, factor in _UNITS if size < 999.95 * factor), _UNITS[-1])
    return f"{size / factor:.1f} {unit}"
