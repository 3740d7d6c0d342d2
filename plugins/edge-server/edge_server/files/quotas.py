"""How much an organization's files hold, and how much they may.

Three things take room:

- the newest versions, that is what a listing shows. They are what the quota is for, so deleting a file makes room in
  it at once. The sum is kept beside the quota and changed in the transaction that changes a file, so that it is exact
  and costs one row;
- open uploads, which count in the quota as well: from the start by the size that was stated, and beyond it by the
  parts that come. Of one that replaces a file, what the file holds counts once;
- deleted content, that is what was replaced or deleted and can be restored for a while. It has a limit of its own.

Files in a large folder that was deleted are gone through one after another, which takes its time. Their bytes move from
the newest versions to those that are released, in one step (see `releases`), and count as deleted content from then on.
What several of them share counts for each until they are cleared away.

Whoever looks at these sums to let something in locks the organization's row first, so that of several who come at
the same moment each sees what the others were let in with.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, and_, bindparam, case, func, select, update
from sqlalchemy.orm import Session, object_session

from edge_core.sizes import shown
from edge_server.base import clock
from edge_server.base.problems import Refusal
from edge_server.data.database import Transaction, connection_of
from edge_server.files.models import Upload, UploadSpace
from edge_server.identity.models import Organization
from edge_server.web.space import Room

DELETED = 4
"""How many quotas of deleted content an organization may hold, where the operator has not set how much."""

FULL = "quota_exceeded"
"""The code of refusals for want of room."""

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


class Change(NamedTuple):
    """What a change of the tree adds to what an organization holds, in bytes; less than 0 for what goes.

    Attributes:
        used: of newest versions.
        deleted: of content that no newest version has.
    """

    used: int = 0
    deleted: int = 0


# Built once: nearly everything that writes asks for it.
_ORGANIZATIONS: Any = Organization.__table__
_UPLOADS: Any = Upload.__table__


def _sum_of_open(amount: Any) -> Any:
    is_open = (_UPLOADS.c.organization_id == bindparam("organization"), _UPLOADS.c.version_id.is_(None))
    return select(func.coalesce(func.sum(amount), 0)).where(*is_open).scalar_subquery()


_BEYOND: Any = _UPLOADS.c.reserved_bytes - _UPLOADS.c.replaced_bytes
_ROOM = (
    _ORGANIZATIONS.c.quota_bytes,
    _ORGANIZATIONS.c.used_bytes,
    (_ORGANIZATIONS.c.deleted_bytes + _ORGANIZATIONS.c.released_bytes).label("deleted_bytes"),
    _sum_of_open(_UPLOADS.c.reserved_bytes).label("uploads"),
    _sum_of_open(case((_BEYOND > 0, _BEYOND), else_=0)).label("growth"),
)
_IS_ORGANIZATION = _ORGANIZATIONS.c.id == bindparam("organization")
_READ_ROOM = select(*_ROOM).where(_IS_ORGANIZATION)
_COUNT: Any = (
    update(_ORGANIZATIONS)
    .where(_IS_ORGANIZATION)
    .values(
        used_bytes=_ORGANIZATIONS.c.used_bytes + bindparam("used"),
        deleted_bytes=_ORGANIZATIONS.c.deleted_bytes + bindparam("deleted"),
        released_bytes=_ORGANIZATIONS.c.released_bytes + bindparam("released", 0),
    )
)
_COUNT_AND_READ_ROOM = _COUNT.returning(*_ROOM)


def room(transaction: Transaction, organization_id: int, limits: Limits) -> Room:
    """What an organization holds and may hold.

    Args:
        transaction: of a session, or a connection.
        organization_id: which one.
        limits: the server's.
    """
    connection = connection_of(transaction)  # open uploads may have changed
    return _room(connection.execute(_READ_ROOM, {"organization": organization_id}).one(), limits)


def _room(row: Any, limits: Limits) -> Room:
    quota = limits.quota if row.quota_bytes is None else row.quota_bytes
    deleted_limit = limits.deleted
    if deleted_limit is None and quota is not None:
        deleted_limit = DELETED * quota
    return Room(quota, row.used_bytes, int(row.uploads), int(row.growth), row.deleted_bytes, deleted_limit)


def count(
    transaction: Transaction, organization_id: int, *, used: int = 0, deleted: int = 0, released: int = 0
) -> None:
    """Count bytes that came, or with a minus went; in the transaction that makes it so.

    Args:
        transaction: one that writes.
        organization_id: whose they are.
        used: of newest versions.
        deleted: of content that no newest version has.
        released: of newest versions in deleted folders that are being cleared away.
    """
    if used or deleted or released:
        values = {"organization": organization_id, "used": used, "deleted": deleted, "released": released}
        transaction.execute(_COUNT, values)


def count_within(
    transaction: Transaction,
    organization_id: int,
    change: Change,
    limits: Limits,
    *,
    stores: bool,
    upload: Upload | None = None,
) -> None:
    """Count a change like `count`, which may not use more than the quota unless it uses less than before.

    Args:
        transaction: one that writes, and has locked the organization before it looked at what it changes.
        organization_id: whose files change.
        change: what comes and goes.
        limits: the server's.
        stores: it stores bytes that were not reserved. What shares the content of another version adds none to what
            is there, so that nothing keeps a deleted file from being restored.
        upload: the open upload, with room of its own, that it completes.

    Raises:
        Refusal: it does.
    """
    connection = connection_of(transaction)  # open uploads may have changed
    values = {"organization": organization_id, **change._asdict()}
    counted = _room(connection.execute(_COUNT_AND_READ_ROOM, values).one(), limits)
    before = dataclasses.replace(counted, used=counted.used - change.used, deleted=counted.deleted - change.deleted)
    after = counted
    if upload is not None:
        _refresh(upload)  # as it is under the lock
        after = _without(counted, upload)
    if after.quota is not None:
        if after.quota < after.used > before.used:
            raise _full(before, after.used - before.used)
        if after.quota < after.promised > before.promised:
            raise _full(before, after.promised - before.promised)
    if stores and after.deleted_limit is not None and after.deleted > after.deleted_limit:
        raise _too_much_deleted(before, after.deleted - before.deleted)


def _refresh(upload: Upload) -> None:
    session = object_session(upload)
    assert session is not None  # noqa: S101  # that of the transaction
    session.refresh(upload)


def _without(now: Room, upload: Upload) -> Room:
    """What an organization holds once an upload is not open any more."""
    growth = max(0, upload.reserved_bytes - upload.replaced_bytes)
    return dataclasses.replace(now, uploads=now.uploads - upload.reserved_bytes, growth=now.growth - growth)


def require_room(
    transaction: Transaction, organization_id: int, size: int, limits: Limits, *, replaced: int = 0
) -> None:
    """See that content seems to fit, before its bytes are read; `count_within` sees that it does.

    Args:
        transaction: any.
        organization_id: whose it would be.
        size: bytes; what takes nothing fits always.
        limits: the server's.
        replaced: bytes of the file that it takes the place of.

    Raises:
        Refusal: it does not.
    """
    _require(room(transaction, organization_id, limits), size, max(0, size - replaced), replaced)


def room_after(now: Room, size: int, replaced: int) -> Room:
    """What an organization holds once content is stored, which seems to fit.

    Args:
        now: what it holds.
        size: bytes of the content.
        replaced: bytes of the file that it takes the place of.

    Raises:
        Refusal: it does not fit.
    """
    _require(now, size, max(0, size - replaced), replaced)
    return dataclasses.replace(now, used=now.used + size - replaced, deleted=now.deleted + replaced)


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
    before = room(session, organization_id, limits)
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


def hold_part(
    session: Session, upload: Upload, n: int, space: UploadSpace | None, size: int | None, limits: Limits
) -> tuple[UploadSpace, int]:
    """Count a part of an upload before its bytes come.

    What was counted for a part stays until the upload ends, also if the part breaks off or is sent again shorter:
    that many bytes may lie there.

    Args:
        session: a transaction that writes, and has locked the organization before it read these rows.
        upload: the upload, which is open.
        n: number of the part.
        space: what was counted for the part before; None for nothing.
        size: its bytes; None if nobody knows yet, for as many as a part may have and as fit.
        limits: the server's.

    Returns:
        What is counted for the part now, and the bytes that it may have.

    Raises:
        Refusal: they do not fit.
    """
    upload.active_at = clock.now()
    if space is None:
        space = UploadSpace(upload_id=upload.id, n=n, size=0)
        session.add(space)
    held = space.size
    if size is None:
        now = room(session, upload.organization_id, limits)
        spare = upload.reserved_bytes - upload.held_bytes
        size = max(held, min(upload.part_size, held + spare + _left(now, upload)))
        if not size:
            raise _full(now, upload.part_size)
    more = max(0, size - held)
    grown = upload.held_bytes + more
    if grown > upload.reserved_bytes:
        reserve(session, upload, grown - upload.reserved_bytes, limits)
    space.size = held + more
    upload.held_bytes = grown
    return space, size


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
        FULL,
        f"the organization may hold {shown(now.quota or 0)} and {held}, so {shown(more)} more do not fit; "
        f"delete files{drop}, or ask the server's administrator for more",
    )


def _too_much_deleted(now: Room, replaced: int) -> Refusal:
    limit = now.deleted_limit or 0
    if replaced > limit:
        # Waiting makes no room for that. Deleting is never refused.
        return Refusal(
            507,
            FULL,
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
        FULL,
        f"the organization {held}, and may hold {shown(limit)}{beyond}; wait until the first of it goes, or ask the "
        "server's operator to free it by `edge server purge`",
    )
