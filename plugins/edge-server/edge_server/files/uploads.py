"""Uploads in parts: opened, filled in any order, completed once."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import hashlib
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import Delete, Select, delete, func, select, update
from sqlalchemy.orm import Session, joinedload

from edge_core.sizes import shown
from edge_files.wire import MAX_PARTS, PART_SIZE, CompleteUpload, Entry, HeldPart, StartUpload
from edge_files.wire import Upload as UploadRecord
from edge_server.base import clock
from edge_server.base.problems import Refusal, bad_entry, checksum_mismatch, conflict, not_found, too_large
from edge_server.data import upload_locks
from edge_server.data.declarative import new_uid
from edge_server.data.store import FolderStore, Written
from edge_server.files import commits, paths, queries, quotas, tree
from edge_server.files.models import Upload, UploadPart, UploadSpace, Version
from edge_server.files.queries import NewVersion
from edge_server.files.quotas import Limits
from edge_server.files.tree import Tree
from edge_server.identity.models import Membership
from edge_server.web import transfers
from edge_server.web.context import OwnContext
from edge_vfs import digests

LIFETIME = dt.timedelta(days=7)

MAX_SIZE = 1 << 50
"""Bytes of the largest upload; beyond, parts would no longer be parts."""

HOLD_WAIT = 10.0
"""Seconds that `complete` waits for parts which are still arriving."""

SWEPT = 100
"""Expired uploads that one transaction drops."""

OPEN_OF_USER = 200
"""Uploads that a user can have open."""

OPEN_OF_ORGANIZATION = 2000
"""Uploads that an organization can have open."""

QUIET = dt.timedelta(minutes=1)
"""How long an upload has had no part that makes way for another of the same user to the same path."""

_Answer = TypeVar("_Answer")


class _Whole(NamedTuple):
    """The content that an upload becomes.

    Attributes:
        size: bytes.
        digest: hexadecimal.
        part_size: bytes of the parts that the digest is made over; None if there is one part, or none.
        parts: the binary SHA-256s of the parts.
    """

    size: int
    digest: str
    part_size: int | None
    parts: list[bytes]


@dataclasses.dataclass(frozen=True)
class Uploads:
    """The uploads in the server's local folder.

    Args:
        context: the subsystem's.
        store: where their bytes go.
        names: the tree that files are put into.
        limits: what organizations may hold that have no quota of their own.
    """

    context: OwnContext
    store: FolderStore
    names: Tree
    limits: Limits

    def start(
        self, organization_id: int, user_id: int, start: StartUpload, answer: Callable[[UploadRecord], _Answer]
    ) -> _Answer:
        """Open an upload, or one again that the user has not completed.

        Args:
            organization_id: whose file it will be.
            user_id: who opens it.
            start: what is to be uploaded, and whether an open upload of it is resumed.
            answer: called with the upload inside the transaction; what it gives is returned.

        Raises:
            Refusal: the path cannot be, something is there that must not be replaced, or there is no room.
        """
        segments = tree.parse_new(start.path)
        if start.size is not None and start.size > MAX_SIZE:
            raise bad_entry(f"size: an upload has at most {MAX_SIZE} bytes; split the file")
        if start.resume:
            with self.context.write(organization_id) as session:
                resumed = self._resumed(session, organization_id, user_id, start, segments)
                if resumed is not None:
                    return answer(_record(resumed, resumed.parts))
        upload = Upload(
            uid=new_uid(),
            key=self.store.new_key(),
            organization_id=organization_id,
            path=paths.join(segments),
            size=start.size,
            source_mtime_ns=start.source_mtime_ns,
            part_size=part_size(start.size),
            overwrite=start.overwrite,
            created_at=clock.now(),
            expires_at=clock.now() + LIFETIME,
            created_by=user_id,
            reserved_bytes=0,
            held_bytes=0,
        )
        self.store.start_upload(upload.uid)
        try:
            with self.context.write(organization_id) as session:
                upload.replaced_bytes = tree.check_target(session, organization_id, segments, overwrite=start.overwrite)
                dropped = self._let_in(session, upload)
                session.add(upload)
                session.flush()
                answered = answer(_record(upload, []))
        except BaseException:
            self.store.drop_upload(upload.uid)
            raise
        for uid, key in dropped:
            self._drop(uid, key)
        return answered

    def _resumed(
        self, session: Session, organization_id: int, user_id: int, start: StartUpload, segments: tree.Segments
    ) -> Upload | None:
        """The newest open upload of a user that takes what is to be uploaded; None if there is none.

        It is never another user's: whoever resumes an upload is told the digests of its parts.

        Raises:
            Refusal: something is there that must not be replaced, or there is no room.
        """
        if start.size is None:  # of another length perhaps
            return None
        quotas.lock(session, organization_id)
        matching = select(Upload).where(
            Upload.organization_id == organization_id,
            Upload.created_by == user_id,
            Upload.version_id.is_(None),
            Upload.expires_at > clock.now(),
            Upload.path == paths.join(segments),
            Upload.size == start.size,
            Upload.overwrite == start.overwrite,
            Upload.part_size == part_size(start.size),
        )
        for upload in session.scalars(matching.order_by(Upload.id.desc())):
            if self._is_completing(upload):
                continue
            upload.replaced_bytes = tree.check_target(session, organization_id, segments, overwrite=start.overwrite)
            # What was reserved and not filled is let go of after a while.
            missing = start.size - upload.reserved_bytes
            if missing > 0:
                quotas.reserve(session, upload, missing, self.limits)
            upload.source_mtime_ns = start.source_mtime_ns
            now = clock.now()
            upload.active_at = now  # its sender may compare what is held for long before it sends a part
            upload.expires_at = now + LIFETIME
            session.flush()
            return upload
        return None

    def _is_completing(self, upload: Upload) -> bool:
        try:
            with self.store.hold_upload(upload.uid, exclusive=False):
                return False
        except (upload_locks.Busy, FileNotFoundError):
            return True

    def _let_in(self, session: Session, upload: Upload) -> list[tuple[str, str]]:
        """Reserve room for an upload that is about to be opened.

        Older ones of the same user to the same path make way for it: at once if there is no room otherwise, else
        those that nobody sends any more, so that of several who send the same file at the same time none fails.

        Returns:
            ids and keys of the uploads that made way, whose bytes are to be dropped after the transaction.

        Raises:
            Refusal: there is no room, or too many are open.
        """
        quotas.lock(session, upload.organization_id)
        older = session.scalars(
            select(Upload).where(
                Upload.organization_id == upload.organization_id,
                Upload.version_id.is_(None),
                Upload.created_by == upload.created_by,
                Upload.path == upload.path,
            )
        ).all()
        quiet = [each for each in older if self._is_quiet(each)]
        _delete(session, quiet)
        try:
            _require_few(session, upload)
            quotas.reserve(session, upload, upload.size or 0, self.limits)
        except Refusal:
            if len(older) == len(quiet):
                raise
            _delete(session, [each for each in older if each not in quiet])
            quiet = list(older)
            _require_few(session, upload)
            quotas.reserve(session, upload, upload.size or 0, self.limits)
        return [(each.uid, each.key) for each in quiet]

    def _is_quiet(self, upload: Upload) -> bool:
        """Whether nobody seems to send an upload any more."""
        if (upload.active_at or upload.created_at) > clock.now() - QUIET:
            return False
        try:
            with self.store.hold_upload(upload.uid, exclusive=True):
                return True
        except upload_locks.Busy:
            return False
        except FileNotFoundError:
            return True

    def open_uploads(self, organization_id: int) -> Select[Any]:
        """What selects the uploads of an organization that are open, with who opened them."""
        return (
            select(Upload)
            .where(
                Upload.organization_id == organization_id,
                Upload.version_id.is_(None),
                Upload.expires_at > clock.now(),
            )
            .options(joinedload(Upload.creator))
        )

    def shrink(self) -> bool:
        """Let go of room that was reserved and not filled; False, since it does so for all uploads at once."""
        with self.context.read() as session:  # usually there is nothing, which needs no lock
            if not quotas.any_to_shrink(session):
                return False
        with self.context.write(self.context.SERVER) as session:
            quotas.shrink(session)
        return False

    def read(self, organization_id: int, uid: str) -> UploadRecord:
        """An upload with the parts held."""
        with self.context.read() as session:
            upload = _find(session, uid, organization_id)
            return _record(upload, upload.parts)

    def abort(self, organization_id: int, uid: str) -> None:
        """Drop an open upload and its parts."""
        with self.context.write(organization_id) as session:
            upload = _open(session, uid, organization_id)
            session.execute(delete(Upload).where(Upload.id == upload.id))
        self._drop(uid, upload.key)

    def write_part(self, uid: str, n: int, length: int | None, body: Callable[[int], Iterable[bytes]]) -> Written:
        """Take the bytes of part `n`, in place of what was sent for it before.

        Args:
            uid: the upload.
            n: number of the part, from 1.
            length: bytes the sender says it has.
            body: called with the most bytes the part may have, gives them in blocks; raises where
                they break off.

        Raises:
            Refusal: the upload cannot be found, it is completed, or the part has not the size it must have; or too
                many others come.
        """
        with self.context.read() as session:
            upload = _find(session, uid)
            organization_id, user_id = upload.organization_id, upload.created_by
        try:
            # Before anything changes for a part that may not come.
            with transfers.of(user_id), self._held(organization_id, uid, exclusive=False):
                with self.context.write(organization_id) as session:
                    upload = _open(session, uid)
                    self.context.charge(organization_id)
                    _check_part_size(upload, n, length)
                    limit = quotas.hold_part(session, upload, n, _length(upload, n, length), self.limits)
                    # Until all of it is on disk again, nothing is held for this part.
                    session.execute(_this_part(upload, n))
                blocks = _within(body(upload.part_size), upload, n, limit)
                written = self.store.write_part(uid, (n - 1) * upload.part_size, blocks)
                _check_part_size(upload, n, written.size)
                with self.context.write(organization_id) as session:
                    upload = _open(session, uid)
                    upload.active_at = clock.now()
                    session.execute(_this_part(upload, n))
                    session.add(UploadPart(upload_id=upload.id, n=n, size=written.size, sha256=written.sha256))
        except upload_locks.Busy:
            raise conflict("this upload is being completed; start a new one to change the file") from None
        except FileNotFoundError:
            raise _gone() from None  # aborted just now
        return written

    def complete(
        self, organization_id: int, uid: str, completion: CompleteUpload, answer: Callable[[Entry], _Answer]
    ) -> _Answer:
        """Make an upload the newest version at its path; a repeat gives the same version.

        Args:
            organization_id: whose upload it is.
            uid: the upload.
            completion: its parts and digest as the sender knows them.
            answer: called with the file inside the transaction; what it gives is returned.

        Raises:
            Refusal: parts are missing or differ from those of `completion`, or the path cannot take a file.
        """
        _check_completion(completion)
        deadline = time.monotonic() + HOLD_WAIT
        while True:
            try:
                with self._held(organization_id, uid, exclusive=True):
                    return self._complete(organization_id, uid, completion, answer)
            except upload_locks.Busy:
                with self.context.read() as session:
                    upload = _find(session, uid, organization_id)
                    if upload.version is not None:
                        return answer(_completed(session, upload, upload.version, completion))
                if time.monotonic() > deadline:
                    raise _busy() from None
                time.sleep(0.05)

    def _complete(
        self, organization_id: int, uid: str, completion: CompleteUpload, answer: Callable[[Entry], _Answer]
    ) -> _Answer:
        with self.context.read() as session:
            upload = _find(session, uid, organization_id)
            if upload.version is not None:
                return answer(_completed(session, upload, upload.version, completion))
            whole = _whole(upload, upload.parts, completion)
            key = upload.key
        try:
            self.store.cut_upload(uid, whole.size)
        except FileNotFoundError:
            raise _gone() from None  # aborted just now
        published = False
        try:
            with self.context.write(organization_id) as session:
                upload = _open(session, uid, organization_id)
                content = NewVersion(
                    key=key,
                    size=whole.size,
                    digest=whole.digest,
                    created_at=clock.now(),
                    created_by=upload.created_by,
                    source_mtime_ns=upload.source_mtime_ns,
                    part_size=whole.part_size,
                )
                segments = tuple(upload.path.split("/"))
                node = self.names.put(
                    session, organization_id, segments, content, overwrite=upload.overwrite, upload=upload
                )
                if whole.part_size is not None:
                    queries.add_part_digests(session, organization_id, key, whole.parts, completion.sha256)
                upload.version_id = node.version_id
                upload.node_uid = node.uid
                session.execute(delete(UploadPart).where(UploadPart.upload_id == upload.id))
                session.execute(delete(UploadSpace).where(UploadSpace.upload_id == upload.id))
                session.flush()
                published = True
                self.store.publish(uid, key)
                return answer(_confirmed(tree.entry(node), completion))
        except BaseException as error:
            if published and not commits.may_be_committed(self.context, key, error):
                self.store.take_back(uid, key)
            raise

    @contextlib.contextmanager
    def _held(self, organization_id: int, uid: str, *, exclusive: bool) -> Iterator[None]:
        """Hold the file of an upload during the block; one that is completed has none to hold."""
        with self.context.write(organization_id) as session:
            upload = _find(session, uid)
            completed = upload.version_id is not None
            if not completed and not self.store.has_upload(uid):
                # A server died between moving the file and saying so. Whoever moves one holds the
                # database's write lock, as we do, so nobody is about to.
                self.store.take_back(uid, upload.key)
        if completed:
            yield
            return
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(self.store.hold_upload(uid, exclusive=exclusive))
            except FileNotFoundError:
                # Completed or aborted just now, which the caller finds out by looking again.
                raise upload_locks.Busy from None
            yield

    def drop_orphans(self) -> None:
        """Drop the files of uploads that are not recorded; only while nobody starts one."""
        with self.context.read() as session:
            known = set(session.scalars(select(Upload.uid).where(Upload.version_id.is_(None))))
        for uid in set(self.store.uploads()) - known:
            self.store.drop_upload(uid)

    def end(self, session: Session, organization_id: int, user_id: int) -> None:
        """End the open uploads of a user in an organization; the next `sweep` drops their bytes.

        Args:
            session: a writing transaction.
            organization_id: where.
            user_id: whose.
        """
        own = (Upload.organization_id == organization_id, Upload.created_by == user_id, Upload.version_id.is_(None))
        session.execute(
            update(Upload).where(*own).values(expires_at=clock.now()), execution_options={"synchronize_session": False}
        )

    def sweep(self) -> bool:
        """Drop some of the uploads that have expired; False when none is left."""
        due = select(Upload).where(Upload.expires_at <= clock.now()).limit(SWEPT)
        with self.context.read() as session:  # usually there is nothing, which needs no lock
            if session.scalar(due) is None:
                return False
        with self.context.write(self.context.SERVER) as session:
            # Read under the lock: the content of one that was completed at the last moment is a file's.
            expired = session.scalars(due.with_for_update()).all()
            session.execute(delete(Upload).where(Upload.id.in_([upload.id for upload in expired])))
        for upload in expired:
            if upload.version_id is None:
                self._drop(upload.uid, upload.key)
        return True

    def drop_files(self, organization_id: int) -> None:
        """Drop the files of an organization's uploads; their rows stay."""
        with self.context.read() as session:
            uids = session.scalars(select(Upload.uid).where(Upload.organization_id == organization_id)).all()
        for uid in uids:
            self.store.drop_upload(uid)

    def _drop(self, uid: str, key: str) -> None:
        """Drop the bytes of an upload that was never completed, also if a crash left them under its key."""
        self.store.drop_upload(uid)
        self.store.remove(key)


def _require_few(session: Session, upload: Upload) -> None:
    """See that one more upload can be open."""
    is_open = select(func.count()).where(Upload.version_id.is_(None))
    advice = "`edge files uploads` lists the open ones, `edge files abort` drops those that nobody sends any more"
    if (session.scalar(is_open.where(Upload.created_by == upload.created_by)) or 0) >= OPEN_OF_USER:
        raise _too_many(f"you have {OPEN_OF_USER} uploads open, which is the most a user may; {advice}")
    if (session.scalar(is_open.where(Upload.organization_id == upload.organization_id)) or 0) >= OPEN_OF_ORGANIZATION:
        raise _too_many(f"the organization has {OPEN_OF_ORGANIZATION} uploads open, which is the most it may; {advice}")


def _too_many(detail: str) -> Refusal:
    return Refusal(429, "too_many_uploads", detail, {"Retry-After": "60"})


def _delete(session: Session, uploads: Iterable[Upload]) -> None:
    session.execute(
        delete(Upload).where(Upload.id.in_([upload.id for upload in uploads])),
        execution_options={"synchronize_session": False},
    )


def part_size(size: int | None) -> int:
    """Bytes of each part but the last: as few as keep an upload of `size` bytes under `MAX_PARTS` parts."""
    chosen = PART_SIZE
    while size is not None and size > chosen * MAX_PARTS:
        chosen *= 2
    return chosen


def etag(sha256: str) -> str:
    """The entity tag of a part."""
    return f'"{sha256}"'


def _record(upload: Upload, parts: Iterable[UploadPart]) -> UploadRecord:
    return UploadRecord(
        id=upload.uid,
        path=upload.path,
        part_size=upload.part_size,
        expires_at=upload.expires_at,
        size=upload.size,
        parts=[HeldPart(n=part.n, size=part.size, etag=etag(part.sha256), sha256=part.sha256) for part in parts],
    )


def _find(session: Session, uid: str, organization_id: int | None = None) -> Upload:
    """The upload, which a signed address names without its organization; none of somebody who left that."""
    membership = select(Membership.id).where(
        Membership.user_id == Upload.created_by, Membership.organization_id == Upload.organization_id
    )
    uploads = select(Upload).where(Upload.uid == uid, Upload.expires_at > clock.now(), membership.exists())
    if organization_id is not None:
        uploads = uploads.where(Upload.organization_id == organization_id)
    upload = session.scalar(uploads)
    if upload is None:
        raise _gone()
    return upload


def _open(session: Session, uid: str, organization_id: int | None = None) -> Upload:
    upload = _find(session, uid, organization_id)
    if upload.version_id is not None:
        raise conflict("this upload is completed; start a new one to change the file")
    return upload


def _busy() -> Refusal:
    detail = "a part of this upload is still arriving, or it is being completed; try again"
    return Refusal(409, "conflict", detail, {"Retry-After": "1"})


def _gone() -> Refusal:
    return not_found("the upload cannot be found, it was aborted or has expired; start a new one")


def _this_part(upload: Upload, n: int) -> Delete:
    return delete(UploadPart).where(UploadPart.upload_id == upload.id, UploadPart.n == n)


def _length(upload: Upload, n: int, length: int | None) -> int | None:
    """Bytes that a part will have; None if nobody knows yet."""
    if length is not None or upload.size is None:
        return length
    return _must(upload.size, upload.part_size, n)


def _must(size: int, part_size: int, n: int) -> int:
    """Bytes that a part must have of an upload of known size."""
    return max(0, min(part_size, size - (n - 1) * part_size))


def _within(blocks: Iterable[bytes], upload: Upload, n: int, limit: int) -> Iterator[bytes]:
    """The blocks of a part, of which so many bytes were counted."""
    size = 0
    for block in blocks:
        size += len(block)
        if size > limit and upload.size is not None:
            raise bad_entry(f"part {n} of this upload must have {limit} bytes, and this one has more")
        if size > limit:
            raise Refusal(
                507,
                "quota_exceeded",
                f"the organization has room for {shown(limit)} of this part and no more; delete files or drop "
                "open uploads (`edge files uploads` lists them), and send it again",
            )
        yield block


def _check_part_size(upload: Upload, n: int, size: int | None) -> None:
    if not 1 <= n <= MAX_PARTS:
        raise bad_entry(f"parts have the numbers 1 to {MAX_PARTS}")
    if size is None:
        return
    if size > upload.part_size:
        raise too_large(f"a part of this upload has at most {upload.part_size} bytes, and this one has {size}")
    if upload.size is None:
        if not size:
            raise bad_entry("the part is empty; leave it out")
        return
    must = _must(upload.size, upload.part_size, n)
    if not must:
        raise bad_entry(f"an upload of {upload.size} bytes has no part {n}")
    if size != must:
        raise bad_entry(f"part {n} of this upload must have {must} bytes, and this one has {size}")


def _whole(upload: Upload, held: list[UploadPart], completion: CompleteUpload) -> _Whole:
    """What an upload becomes, if the parts held are those of `completion` and none is missing."""
    parts = sorted(completion.parts, key=lambda part: part.n)
    if [part.n for part in parts] != list(range(1, len(parts) + 1)):
        raise bad_entry("parts: name each part once, from 1 without gaps")
    by_number = {part.n: part for part in held}
    for part in parts:
        arrived = by_number.pop(part.n, None)
        if arrived is None:
            raise conflict(f"part {part.n} has not arrived; send it and complete again")
        if part.etag.strip('"') != arrived.sha256 or (part.sha256 or arrived.sha256) != arrived.sha256:
            raise checksum_mismatch(f"part {part.n} is not what was stated; send it again")
        if part.size != arrived.size:
            raise bad_entry(f"part {part.n} has {arrived.size} bytes, and {part.size} were stated; send it again")
        if part.n < len(parts) and arrived.size != upload.part_size:
            raise bad_entry(f"part {part.n} has {arrived.size} bytes; all but the last need {upload.part_size}")
    if by_number:
        raise conflict(f"part {min(by_number)} has arrived and is not stated; name all parts")
    total = sum(part.size for part in parts)
    if upload.size is not None and total != upload.size:
        raise conflict(f"{total} of {upload.size} bytes have arrived; send the rest and complete again")
    sha256s = [bytes.fromhex(part.sha256) for part in held] or [hashlib.sha256().digest()]
    digest = digests.of_parts(sha256s)
    part_size = upload.part_size if len(sha256s) > 1 else None
    wrong_whole = part_size is None and completion.sha256 not in (None, digest)
    if wrong_whole or completion.digest not in (None, digest):
        raise checksum_mismatch("the parts together are not the content that was stated; send those that differ again")
    return _Whole(total, digest, part_size, sha256s)


def _check_completion(completion: CompleteUpload) -> None:
    """See that a completion tells what the content is to be."""
    if completion.digest is None and completion.sha256 is None:
        raise bad_entry("digest: state the digest of the content, or its sha256")
    if completion.digest is not None and any(part.sha256 is None for part in completion.parts):
        raise bad_entry("parts: state the sha256 of each part, as the digest is made of them")


def _completed(session: Session, upload: Upload, version: Version, completion: CompleteUpload) -> Entry:
    """A file whose upload is completed already, if it is what this completion states."""
    known: str | None = version.digest
    if completion.digest is None and version.part_size is not None:  # not known any more once the content is gone
        known = queries.uploader_sha256(session, version.key)
    if known not in (None, completion.digest or completion.sha256):
        raise conflict("this upload is completed with other content; start a new one to change the file")
    name = upload.path.rpartition("/")[2]
    return _confirmed(tree.file_entry(name, upload.node_uid or "", version), completion)


def _confirmed(entry: Entry, completion: CompleteUpload) -> Entry:
    """A file as its completion is answered: older clients state only a SHA-256 of all of it, and look for that."""
    if completion.digest is None:
        entry.sha256 = completion.sha256
    return entry
