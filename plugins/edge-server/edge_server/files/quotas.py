"""How much an organization's files hold, and how much they may.

Three things take room:

- the newest versions, that is what a listing shows. They are what the quota is for, so deleting a file makes room in
  it at once. The sum is kept beside the quota and changed in the transaction that changes a file, so that it is exact
  and costs one row;
- open uploads, which count in the quota as well: from the start by the size that was stated, and beyond it by the
  parts that come. Of one that replaces a file, what the file holds counts once;
- deleted content, that is what was replaced or deleted and can be restored for a while. It has a limit of its own.

Whoever looks at these sums to let something in locks the organization's row first, so that of several who come at
the same moment each sees what the others were let in with.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
from collections.abc import Iterator

from sqlalchemy import ColumnElement, and_, case, func, select, update
from sqlalchemy.orm import Session

from edge_core.sizes import shown
from edge_server.base import clock
from edge_server.base.problems import Refusal
from edge_server.files.models import Upload, UploadSpace
from edge_server.identity.models import Organization
from edge_server.web.space import Room

DELETED = 4
"""How many quotas of deleted content an organization may hold, where the operator has not set how much."""

IDLE = dt.timedelta(hours=1)
"""How long an upload without a part keeps the room that was reserved for it and not filled."""


@dataclasses.dataclass(frozen=True)
class Limits:
    """What organizations may hold that have no quota of their own.

    Attributes:
        quota: bytes of newest versions and open uploads; None for no limit.
        deleted: bytes of deleted content; None for `DELETED` times the organization's quota.
    """

    quota: int | None = None
    deleted: int | None = None


def room(session: Session, organization_id: int, limits: Limits, *, lock: bool = False) -> Room:
    """What an organization holds and may hold.

    Args:
        session: a transaction.
        organization_id: which one.
        limits: the server's.
        lock: keep others who lock it out until the end of the transaction, which must be one that writes.
    """
    own = select(Organization.quota_bytes, Organization.used_bytes, Organization.deleted_bytes)
    own = own.where(Organization.id == organization_id)
    row = session.execute(own.with_for_update() if lock else own).one()
    beyond = Upload.reserved_bytes - Upload.replaced_bytes
    uploads, growth = session.execute(
        select(
            func.coalesce(func.sum(Upload.reserved_bytes), 0),
            func.coalesce(func.sum(case((beyond > 0, beyond), else_=0)), 0),
        ).where(Upload.organization_id == organization_id, Upload.version_id.is_(None))
    ).one()
    quota = limits.quota if row.quota_bytes is None else row.quota_bytes
    deleted_limit = limits.deleted
    if deleted_limit is None and quota is not None:
        deleted_limit = DELETED * quota
    return Room(quota, row.used_bytes, int(uploads), int(growth), row.deleted_bytes, deleted_limit)


def count(session: Session, organization_id: int, *, used: int = 0, deleted: int = 0) -> None:
    """Count bytes that came, or with a minus went; in the transaction that makes it so.

    Args:
        session: a transaction that writes.
        organization_id: whose they are.
        used: of newest versions.
        deleted: of content that no newest version has.
    """
    if used or deleted:
        session.execute(
            update(Organization)
            .where(Organization.id == organization_id)
            .values(
                used_bytes=Organization.used_bytes + used,
                deleted_bytes=Organization.deleted_bytes + deleted,
            ),
            execution_options={"synchronize_session": False},
        )


def require_room(session: Session, organization_id: int, size: int, limits: Limits, *, replaced: int = 0) -> None:
    """See that content seems to fit, before its bytes are read; `within_quota` sees that it does.

    Args:
        session: any transaction.
        organization_id: whose it would be.
        size: bytes; what takes nothing fits always.
        limits: the server's.
        replaced: bytes of the file that it takes the place of.

    Raises:
        Refusal: it does not.
    """
    _require(room(session, organization_id, limits), size, max(0, size - replaced), replaced)


def reserve(session: Session, upload: Upload, size: int, limits: Limits) -> None:
    """Reserve bytes more for an upload.

    Args:
        session: a transaction that writes.
        upload: the upload, which is open.
        size: bytes.
        limits: the server's.

    Raises:
        Refusal: they do not fit.
    """
    organization_id = upload.organization_id
    before = room(session, organization_id, limits, lock=True)
    if before.quota is not None:
        shrink(session, organization_id)
    now = room(session, organization_id, limits)
    covered = min(size, max(0, upload.replaced_bytes - upload.reserved_bytes))
    _require(now, size, size - covered, upload.replaced_bytes)
    # What replaces a file takes room beside it until it is whole, so that uploads may hold a quota more.
    if size and now.quota is not None and now.uploads + size > now.quota:
        raise _full(now, size)
    upload.reserved_bytes += size


def _require(now: Room, size: int, growth: int, replaced: int) -> None:
    if growth and now.quota is not None and now.promised + growth > now.quota:
        raise _full(now, growth)
    if size and now.deleted_limit is not None and now.deleted + replaced > now.deleted_limit:
        raise _too_much_deleted(now, replaced)


@contextlib.contextmanager
def within_quota(session: Session, organization_id: int, limits: Limits, *, size: int | None = None) -> Iterator[None]:
    """A part of a transaction that may not use more than the quota, unless it uses less than before.

    Args:
        session: a transaction that writes.
        organization_id: whose files change.
        limits: the server's.
        size: bytes that are stored for it. None for what shares the content of another version, which adds none to
            what is there, so that nothing keeps a deleted file from being restored.

    Raises:
        Refusal: it does.
    """
    before = room(session, organization_id, limits, lock=True)
    yield
    session.flush()
    after = room(session, organization_id, limits)
    if after.quota is not None:
        if after.quota < after.used > before.used:
            raise _full(before, after.used - before.used)
        if after.quota < after.promised > before.promised:
            raise _full(before, after.promised - before.promised)
    if size and after.deleted_limit is not None and after.deleted > after.deleted_limit:
        raise _too_much_deleted(before, after.deleted - before.deleted)


def hold_part(session: Session, upload: Upload, n: int, size: int | None, limits: Limits) -> int:
    """Count a part of an upload before its bytes come, or before the address is signed that they go to.

    What was counted for a part stays until the upload ends, also if the part breaks off or is sent again shorter:
    that many bytes may lie there.

    Args:
        session: a transaction that writes.
        upload: the upload, which is open.
        n: number of the part.
        size: its bytes; None if nobody knows yet, for as many as a part may have and as fit.
        limits: the server's.

    Returns:
        The bytes that the part may have.

    Raises:
        Refusal: they do not fit.
    """
    now = room(session, upload.organization_id, limits, lock=True)
    # Read again under the lock: another part may have been counted meanwhile.
    session.refresh(upload)
    upload.active_at = clock.now()
    space = session.get(UploadSpace, (upload.id, n), populate_existing=True)
    held = 0 if space is None else space.size
    if size is None:
        spare = upload.reserved_bytes - upload.held_bytes
        size = max(held, min(upload.part_size, held + spare + _left(now, upload)))
        if not size:
            raise _full(now, upload.part_size)
    more = max(0, size - held)
    grown = upload.held_bytes + more
    if grown > upload.reserved_bytes:
        reserve(session, upload, grown - upload.reserved_bytes, limits)
    if more:
        if space is None:
            session.add(UploadSpace(upload_id=upload.id, n=n, size=size))
        else:
            space.size = size
        upload.held_bytes = grown
    session.flush()
    return size


def _left(now: Room, upload: Upload) -> int:
    """Bytes that an upload may grow by."""
    if now.quota is None:
        return upload.part_size
    covered = max(0, upload.replaced_bytes - upload.reserved_bytes)
    return max(0, min(now.quota - now.promised + covered, now.quota - now.uploads))


def any_to_shrink(session: Session) -> bool:
    """Whether `shrink` would do anything."""
    return session.scalar(select(Upload.id).where(_idle()).limit(1)) is not None


def shrink(session: Session, organization_id: int | None = None) -> None:
    """Let go of the room that was reserved for uploads without a part for `IDLE`, and not filled.

    Args:
        session: a transaction that writes.
        organization_id: whose uploads; None for all.
    """
    idle = update(Upload).where(_idle())
    if organization_id is not None:
        idle = idle.where(Upload.organization_id == organization_id)
    session.execute(idle.values(reserved_bytes=Upload.held_bytes), execution_options={"synchronize_session": "fetch"})


def _idle() -> ColumnElement[bool]:
    return and_(
        Upload.version_id.is_(None),
        Upload.reserved_bytes > Upload.held_bytes,
        func.coalesce(Upload.active_at, Upload.created_at) < clock.now() - IDLE,
    )


def _full(now: Room, more: int) -> Refusal:
    held = f"holds {shown(now.used)}"
    drop = ""
    if now.uploads:
        held += f", and {shown(now.uploads)} for open uploads"
        drop = " or drop open uploads (`edge files uploads` lists them, `edge files abort` drops them)"
    return Refusal(
        507,
        "quota_exceeded",
        f"the organization may hold {shown(now.quota or 0)} and {held}, so {shown(more)} more do not fit; "
        f"delete files{drop}, or ask the server's administrator for more",
    )


def _too_much_deleted(now: Room, replaced: int) -> Refusal:
    limit = now.deleted_limit or 0
    if replaced > limit:
        # Waiting makes no room for that. Deleting is never refused.
        return Refusal(
            507,
            "quota_exceeded",
            f"replacing this would keep {shown(replaced)} as deleted content, and the organization may hold "
            f"{shown(limit)} of it; delete the file and send it again once the server's operator has freed it by `edge "
            "server purge` or 24 hours have passed, or ask the server's administrator for more",
        )
    held = f"holds {shown(now.deleted)} of deleted and replaced content, which stays for 24 hours"
    beyond = ""
    if now.deleted <= limit:
        beyond = f", so {shown(replaced)} that this would replace do not fit"
    return Refusal(
        507,
        "quota_exceeded",
        f"the organization {held}, and may hold {shown(limit)}{beyond}; wait until the first of it goes, or ask the "
        "server's operator to free it by `edge server purge`",
    )
