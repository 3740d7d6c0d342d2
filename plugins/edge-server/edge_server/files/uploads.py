"""Uploads in parts: opened, filled in any order, completed once."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import functools
import hashlib
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from typing import Any, NamedTuple, TypeVar

import flask
from sqlalchemy import Connection, Select, Update, and_, delete, func, or_, select, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session, joinedload

from edge_core.sizes import shown
from edge_files.wire import MAX_PARTS, PART_SIZE, CompleteUpload, Entry, HeldPart, StartUpload
from edge_files.wire import Upload as UploadRecord
from edge_server.base import clock
from edge_server.base.problems import Refusal, bad_entry, checksum_mismatch, conflict, not_found, too_large
from edge_server.data.database import Transaction, of_user
from edge_server.data.declarative import new_uid
from edge_server.data.store import Block, MissingContent, Store, Written, WrongParts
from edge_server.files import commits, fsck, paths, queries, quotas, tree
from edge_server.files.models import Upload, UploadPart, UploadSpace, Version
from edge_server.files.queries import NewVersion
from edge_server.files.quotas import Limits
from edge_server.files.releases import Releases
from edge_server.files.tree import Tree
from edge_server.identity.models import Membership
from edge_server.web import counting, transfers
from edge_server.web.context import OwnContext
from edge_server.web.leases import LEASE, Lease
from edge_vfs import digests

LIFETIME = dt.timedelta(days=7)

HOLD_WAIT = 3.0
"""Seconds that `complete` waits for parts which are still arriving, and a part for another sender of it.

Few, as a thread waits meanwhile, and the sender loses its answer if that dies.
"""

STALLED = 30.0
"""Seconds without a byte after which the claim on a part is not renewed any more."""

SWEPT = 100
"""Expired uploads that one transaction drops."""

OPEN_OF_USER = 200
"""Uploads that a user can have open."""

OPEN_OF_ORGANIZATION = 2000
"""Uploads that an organization can have open."""

QUIET = dt.timedelta(minutes=1)
"""How long an upload has had no part that makes way for another of the same user to the same path."""

SIGNED = dt.timedelta(minutes=15)
"""How long that is where parts may be on their way to the store: as long as their addresses live."""

_Answer = TypeVar("_Answer")

_Sent = dict[str, dict[int, set[tuple[int, str]]]]
"""By the store's id of an upload: sizes and entity tags of the parts that the store says it holds, by their numbers."""

# A part takes a few statements of its own, and an upload has thousands of parts. The session's own would cost more than
# what they ask for.
_UPLOADS: Any = Upload.__table__
_PARTS: Any = UploadPart.__table__
_SPACE: Any = UploadSpace.__table__

_STANDING = tuple(
    _UPLOADS.c[name] for name in ("id", "organization_id", "created_by", "version_id", "completing_until")
)

# Rows in bulk, none of which the session holds.
_UNSEEN: Any = {"execution_options": {"synchronize_session": False}}


class _Busy(Exception):
    """A part is being written, or the upload completed, by somebody else, who has taken it over perhaps."""


class _Part(NamedTuple):
    """A part that is being written.

    Attributes:
        organization_id: whose upload it is.
        upload_id: the upload's row.
        store_id: what the store calls the upload.
        n: number of the part.
        offset: bytes of all parts before it.
        limit: bytes it may have.
        user_id: who has opened the upload.
        writer: who writes it: an id of this request.
    """

    organization_id: int
    upload_id: int
    store_id: str
    n: int
    offset: int
    limit: int
    user_id: int
    writer: str

    @property
    def is_own(self) -> Any:
        """What selects the row of the part as long as nobody else writes it."""
        own = (_SPACE.c.upload_id == self.upload_id, _SPACE.c.n == self.n, _SPACE.c.writer == self.writer)
        return and_(*own)

    def renew(self, connection: Connection, until: dt.datetime) -> bool:
        """Have the claim last until then; False if it is another's."""
        return _changes(connection, _SPACE.update().where(self.is_own).values(writing_until=until))


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


class _Claim(NamedTuple):
    """An upload that is being completed.

    Attributes:
        upload_id: its row.
        user_id: who has opened it.
        completer: who completes it: an id of this request.
        store_id: what the store calls it.
        key: of the content it becomes.
        in_doubt: whether the store has to compare its parts.
        parts: those held.
        whole: the content.
    """

    upload_id: int
    user_id: int
    completer: str
    store_id: str
    key: str
    in_doubt: bool
    parts: list[Written]
    whole: _Whole

    @property
    def is_own(self) -> Any:
        """What selects the row of the upload as long as nobody else completes it, and nobody has."""
        return and_(
            _UPLOADS.c.id == self.upload_id,
            _UPLOADS.c.completer == self.completer,
            _UPLOADS.c.version_id.is_(None),
        )

    def renew(self, connection: Connection, until: dt.datetime) -> bool:
        """Have the claim last until then; False if it is another's, or the upload is completed."""
        return _changes(connection, _UPLOADS.update().where(self.is_own).values(completing_until=until))


@dataclasses.dataclass(frozen=True)
class Uploads:
    """The uploads in parts.

    An upload is open, completing or completed, and the database says which. Each part has one writer at a time, whose
    claim is renewed while bytes come, and an upload one who completes it. What an upload becomes is content under its
    key before a version names it; until then only the upload knows it.

    Args:
        context: the subsystem's.
        store: where their bytes go.
        names: the tree that files are put into.
        limits: what organizations may hold that have no quota of their own.
    """

    context: OwnContext
    store: Store
    names: Tree
    limits: Limits

    @functools.cached_property
    def releases(self) -> Releases:
        """Releases deleted folders, if there is no room otherwise."""
        return Releases(self.context, self.names.clearing)

    @functools.cached_property
    def _broken_off(self) -> set[str]:
        """Writers of parts, and who completed uploads, that have ended here while the database could not be told."""
        return set()

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
        if start.size is not None and start.size > self.store.max_size:
            raise bad_entry(f"size: an upload has at most {self.store.max_size} bytes; split the file")
        return self.releases.before_refusing(
            organization_id, lambda: self._start(organization_id, user_id, start, answer)
        )

    def _start(
        self, organization_id: int, user_id: int, start: StartUpload, answer: Callable[[UploadRecord], _Answer]
    ) -> _Answer:
        segments = tree.parse_new(start.path)
        if start.resume:
            sent = self._sent_to_resume(organization_id, user_id, start, segments)
            with self.context.write(organization_id) as session:
                resumed = self._resumed(session, organization_id, user_id, start, segments)
                if resumed is not None:
                    return answer(self._record(resumed, self._held(resumed, resumed.parts, sent), is_resumed=True))
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
        upload.store_id = self.store.start_upload(upload.uid, upload.key)
        try:
            with self.context.write(organization_id) as session:
                upload.replaced_bytes = tree.check_target(session, organization_id, segments, overwrite=start.overwrite)
                dropped = self._let_in(session, upload)
                session.add(upload)
                session.flush()
                answered = answer(self._record(upload, []))
        except BaseException:
            self.store.drop_upload(upload.store_id)
            raise
        for store_id, key in dropped:
            self._drop(store_id, key)
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
        upload: Upload
        for upload in session.scalars(_to_resume(organization_id, user_id, start, segments)):
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

    def _sent_to_resume(self, organization_id: int, user_id: int, start: StartUpload, segments: tree.Segments) -> _Sent:
        """What the store holds of the upload that is to be resumed, asked before the transaction."""
        if not self.store.tags_parts or start.size is None:
            return {}
        with self.context.read() as session:
            upload: Upload | None = session.scalar(_to_resume(organization_id, user_id, start, segments))
            rows = [] if upload is None else list(upload.parts)
        return {} if upload is None else self._sent(upload, rows)

    def _sent(self, upload: Upload, rows: Iterable[UploadPart]) -> _Sent:
        """What the store holds of an upload, if there are parts that only the store may know."""
        if not self.store.tags_parts or all(part.etag is not None for part in rows):
            return {}
        return {upload.store_id: self.store.parts_held(upload.store_id)}

    def _held(self, upload: Upload, rows: Iterable[UploadPart], sent: _Sent) -> list[HeldPart]:
        """The parts that are held of an upload.

        Args:
            upload: the upload.
            rows: its parts, also those that may have been sent to the store.
            sent: what the store says that it holds.
        """
        held: list[HeldPart] = []
        at_store = sent.get(upload.store_id, {})
        for part in rows:
            tag: str | None = etag(part.sha256)
            if self.store.tags_parts and part.etag is None:
                tags = at_store.get(part.n, set())
                # One that is there with different bytes is sent once more.
                tag = next((tag for size, tag in tags if size == part.size and len(tags) == 1), None)
            if tag is not None:
                held.append(HeldPart(n=part.n, size=part.size, etag=tag, sha256=part.sha256))
        return held

    def _let_in(self, session: Session, upload: Upload) -> list[tuple[str, str]]:
        """Reserve room for an upload that is about to be opened.

        Older ones of the same user to the same path make way for it: at once if there is no room otherwise, else
        those that nobody sends any more, so that of several who send the same file at the same time none fails.

        Returns:
            the store's ids and keys of the uploads that made way, whose bytes are to be dropped after the transaction.

        Raises:
            Refusal: there is no room, or too many are open.
        """
        older = session.scalars(
            select(Upload).where(
                Upload.organization_id == upload.organization_id,
                Upload.version_id.is_(None),
                Upload.created_by == upload.created_by,
                Upload.path == upload.path,
            )
        ).all()
        quiet = [each for each in older if self._is_quiet(session, each)]
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
        return [(each.store_id, each.key) for each in quiet]

    def _is_quiet(self, session: Session, upload: Upload) -> bool:
        """Whether nobody seems to send an upload any more."""
        # What is on its way to the store, nobody sees here.
        quiet = SIGNED if self.store.signs_parts else QUIET
        return (upload.active_at or upload.created_at) <= clock.now() - quiet and not self._is_busy(session, upload)

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

    def _record(self, upload: Upload, parts: list[HeldPart], *, is_resumed: bool = False) -> UploadRecord:
        return UploadRecord(
            id=upload.uid,
            path=upload.path,
            part_size=upload.part_size,
            expires_at=upload.expires_at,
            size=upload.size,
            parts=parts,
            signed_digest="sha256" if self.store.signs_parts and upload.size is not None else None,
            resumed=is_resumed,
            completing=upload.version_id is None and (self._is_completing(upload) or self._is_settling(upload, parts)),
        )

    def require(self, organization_id: int, uid: str) -> None:
        """See that an upload can be found.

        Raises:
            Refusal: it cannot.
        """
        with self.context.read() as session:
            is_its = (*_is(uid), _UPLOADS.c.organization_id == organization_id)
            if session.scalar(select(_UPLOADS.c.id).where(*is_its)) is None:
                raise _gone()

    def read(self, organization_id: int, uid: str) -> UploadRecord:
        """An upload with the parts held."""
        with self.context.read() as session:
            upload = _find(session, uid, organization_id)
            rows = list(upload.parts)
        return self._record(upload, self._held(upload, rows, self._sent(upload, rows)))

    def sign_parts(self, organization_id: int, uid: str, digests_by_n: Mapping[int, str]) -> dict[int, tuple[str, str]]:
        """Give the addresses at the store that parts go to whose bytes are known by their digests.

        The store refuses bytes with another digest, and another number of them. So a part counts as held from now on,
        if the store says that it is there.

        Args:
            organization_id: whose upload it is.
            uid: the upload.
            digests_by_n: the SHA-256s, hexadecimal, by the numbers of the parts.

        Returns:
            for each part its address and the header that has to be sent with it, the digest in base64; none where the
            server takes the parts itself.

        Raises:
            Refusal: the upload cannot be found, is completed or being completed, or has no part of that number; a part
                is being sent to the server; or there is no room.
        """
        if not self.store.signs_parts:
            return {}
        return self.releases.before_refusing(
            organization_id, lambda: self._sign_parts(organization_id, uid, digests_by_n)
        )

    def _sign_parts(
        self, organization_id: int, uid: str, digests_by_n: Mapping[int, str]
    ) -> dict[int, tuple[str, str]]:
        sizes: dict[int, int] = {}
        with self.context.write(organization_id) as session:
            upload = _open(session, uid, organization_id)
            if upload.completing_until is not None:
                raise _being_completed()
            if upload.size is None:  # its parts can have any size up to that of the others
                return {}
            for n, sha256 in digests_by_n.items():
                sizes[n] = _must(upload.size, upload.part_size, n)
                _check_part_size(upload, n, sizes[n])
                self._note_signed(session, upload, n, sizes[n], sha256)
            store_id = upload.store_id
        counting.received(sum(sizes.values()))
        return {n: self.store.part_address(store_id, n, sizes[n], sha256) for n, sha256 in digests_by_n.items()}

    def _note_signed(self, session: Session, upload: Upload, n: int, size: int, sha256: str) -> None:
        """Count a part before its address is given, and note its digest."""
        space = session.get(UploadSpace, (upload.id, n))
        if space is not None and not self._is_free(space):
            raise _busy()
        held = session.get(UploadPart, (upload.id, n))
        if held is not None and held.sha256 == sha256:
            upload.active_at = clock.now()
            return
        if held is not None:
            session.execute(_PARTS.delete().where(_PARTS.c.upload_id == upload.id, _PARTS.c.n == n))
            session.expunge(held)
        space, _ = quotas.hold_part(session, upload, n, space, size, self.limits)
        space.writer = space.writing_until = None
        session.flush()
        session.execute(_PARTS.insert().values(upload_id=upload.id, n=n, size=size, sha256=sha256))

    def abort(self, organization_id: int, uid: str) -> flask.Response:
        """Drop an open upload and its parts; the answer is that it is gone, though parts may go later."""
        with self.context.write(organization_id) as session:
            upload = _open(session, uid, organization_id)
            session.execute(delete(Upload).where(Upload.id == upload.id))
            response = self.context.nothing()
        self._drop(upload.store_id, upload.key)
        return response

    def write_part(self, uid: str, n: int, length: int | None, body: Callable[[int], Iterable[Block]]) -> Written:
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
            row = session.execute(select(*_STANDING).where(*_is(uid))).first()
            if row is None:
                raise _gone()
            is_completing = row.version_id is None and row.completing_until is not None
            held = session.get(UploadPart, (row.id, n)) if is_completing else None
        if is_completing and held is None:
            raise _being_completed()
        if held is not None:
            # The parts may be content already, also if whoever completed it has failed.
            return _same(held, body(held.size))
        with transfers.of(row.created_by):  # before anything changes for a part that may not come
            part, upload = self.releases.before_refusing(
                row.organization_id, lambda: self._begin_part(row.organization_id, uid, n, length)
            )
            try:
                with self.context.engines.leases.held(of_user(part.user_id), part.renew) as lease:
                    blocks = _arriving(part, _within(body(upload.part_size), upload, n, part.limit), lease)
                    written = self.store.write_part(part.store_id, n, part.offset, blocks)
                    _check_part_size(upload, n, written.size)
                    self._hold(part, written)
            except BaseException as error:
                self._let_go(part)
                if isinstance(error, MissingContent):
                    raise self._ended_meanwhile(uid) from None
                raise
        return written

    def _ended_meanwhile(self, uid: str) -> Refusal:
        """Why the store has no upload any more that a part was written to."""
        with self.context.read() as session:
            try:
                upload = _open(session, uid)
            except Refusal as refusal:  # aborted just now, or completed without this sender
                return refusal
            return _gone() if upload.completing_until is None else _being_completed()

    def _begin_part(self, organization_id: int, uid: str, n: int, length: int | None) -> tuple[_Part, Upload]:
        """Claim a part for this request; gives it, and its upload.

        Until all of it is on disk again, nothing is held for this part.
        """
        deadline = time.monotonic() + HOLD_WAIT
        while True:
            with self.context.write(organization_id) as session:
                upload = _open(session, uid)
                if upload.completing_until is not None:
                    raise _being_completed()
                _check_part_size(upload, n, length)
                space = session.get(UploadSpace, (upload.id, n))
                if space is None or self._is_free(space):
                    return self._claim_part(session, upload, n, space, length), upload
                until = space.writing_until
            if time.monotonic() > deadline:
                raise _busy(until)
            time.sleep(0.1)

    def _claim_part(
        self, session: Session, upload: Upload, n: int, space: UploadSpace | None, length: int | None
    ) -> _Part:
        self.context.charge(upload.organization_id)
        if space is not None:  # it was sent before, and may be held
            session.execute(_PARTS.delete().where(_PARTS.c.upload_id == upload.id, _PARTS.c.n == n))
        space, limit = quotas.hold_part(session, upload, n, space, _length(upload, n, length), self.limits)
        if space.writer is not None and space.writer not in self._broken_off:
            # Whoever wrote it has not said that it ended, and may do so yet.
            upload.in_doubt = True
        self._broken_off.discard(space.writer or "")
        writer = new_uid()
        space.writer, space.writing_until = writer, clock.now() + LEASE
        offset = (n - 1) * upload.part_size
        store_id = upload.store_id
        return _Part(upload.organization_id, upload.id, store_id, n, offset, limit, upload.created_by, writer)

    def _hold(self, part: _Part, written: Written) -> None:
        """Note that a part is on disk, and held from now on; it has not been since it was claimed."""
        row = {"upload_id": part.upload_id, "n": part.n, **dataclasses.asdict(written)}
        is_its = _UPLOADS.c.id == part.upload_id
        with self.context.write(part.organization_id) as session:
            if not _changes(session, _ended(part)):
                # The upload is dropped, or somebody completes it; else the part is another's now.
                if session.scalar(select(_UPLOADS.c.id).where(is_its)) is None:
                    raise _gone()
                raise _overtaken(part.n)
            session.execute(_UPLOADS.update().where(is_its).values(active_at=clock.now()))
            session.execute(_PARTS.insert().values(row))

    def _let_go(self, part: _Part) -> None:
        """Let others write a part that has broken off; they may anyway after a while."""
        try:
            with self.context.write(part.organization_id) as session:
                session.execute(_ended(part))
        except (DBAPIError, Refusal):
            self._broken_off.add(part.writer)

    def _is_free(self, space: UploadSpace) -> bool:
        """Whether nobody writes a part any more."""
        until = space.writing_until
        return until is None or until <= clock.now() or space.writer in self._broken_off

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
            with self.context.read() as session:
                upload = _find(session, uid, organization_id)
                if upload.version is not None:
                    return answer(_completed(session, upload, upload.version, completion))
                store_id = upload.store_id
                is_busy = self._is_busy(session, upload)
            if not is_busy and not (self._is_settling(upload, completion.parts) and self.store.has_upload(store_id)):
                with contextlib.suppress(_Busy):
                    return self.releases.before_refusing(
                        organization_id, lambda: self._complete(organization_id, uid, completion, answer)
                    )
                continue  # whoever was faster may have completed it
            if time.monotonic() > deadline:
                raise _busy()
            time.sleep(0.05)

    def _is_busy(self, session: Session, upload: Upload) -> bool:
        """Whether somebody completes an upload, or writes a part of it."""
        if self._is_completing(upload):
            return True
        now = clock.now()
        writing = (UploadSpace.upload_id == upload.id, UploadSpace.writer.is_not(None), UploadSpace.writing_until > now)
        return session.scalar(select(UploadSpace.n).where(*writing).limit(1)) is not None

    def _is_completing(self, upload: Upload) -> bool:
        """Whether somebody completes an upload."""
        until = upload.completing_until
        return until is not None and until > clock.now() and upload.completer not in self._broken_off

    def _is_settling(self, upload: Upload, parts: Sized) -> bool:
        """Whether the store may still be at what somebody has begun who does not complete an upload any more."""
        until = upload.completing_until
        return until is not None and clock.now() < until + dt.timedelta(seconds=self.store.straggling(len(parts)))

    def _complete(
        self, organization_id: int, uid: str, completion: CompleteUpload, answer: Callable[[Entry], _Answer]
    ) -> _Answer:
        claim = self._claim(organization_id, uid, completion)
        try:
            with self.context.engines.leases.held(of_user(claim.user_id), claim.renew):
                self.store.complete_upload(claim.store_id, claim.key, claim.parts, in_doubt=claim.in_doubt)
                with self.context.write(organization_id) as session:
                    entry = self._publish(session, organization_id, uid, claim, completion)
                    return answer(_confirmed(entry, completion))
        except _Busy:
            raise
        except WrongParts as error:
            self._reopen(organization_id, claim, error.numbers)
            raise checksum_mismatch(f"part {error.numbers[0]} is not what was stated; send it again") from None
        except BaseException as error:
            self._give_up(organization_id, claim, error)
            if isinstance(error, MissingContent):
                raise _gone() from None  # aborted just now
            raise

    def _claim(self, organization_id: int, uid: str, completion: CompleteUpload) -> _Claim:
        """Let nobody else complete an upload, or write a part of it.

        Raises:
            _Busy: somebody does.
            Refusal: the parts held are not those of the completion.
        """
        completer = new_uid()
        with self.context.write(organization_id) as session:
            upload = _find(session, uid, organization_id)
            if upload.version_id is not None or self._is_busy(session, upload):
                raise _Busy
            tagged = self.store.tags_parts
            whole = _whole(upload, upload.parts, completion, tagged=tagged)
            writers = update(UploadSpace).where(UploadSpace.upload_id == upload.id, UploadSpace.writer.is_not(None))
            if _changes(session, writers.values(writer=None, writing_until=None)):
                upload.in_doubt = True
            self._broken_off.discard(upload.completer or "")
            upload.completer, upload.completing_until = completer, clock.now() + LEASE
            etags = {part.n: part.etag for part in completion.parts} if tagged else {}
            parts = [Written(part.size, part.sha256, part.etag or etags.get(part.n)) for part in upload.parts]
            who = upload.id, upload.created_by, completer
            return _Claim(*who, upload.store_id, upload.key, upload.in_doubt, parts, whole)

    def _publish(
        self, session: Session, organization_id: int, uid: str, claim: _Claim, completion: CompleteUpload
    ) -> Entry:
        """Make the content of an upload a version.

        Raises:
            _Busy: somebody else has taken the upload over, and may have completed it or opened it again.
            Refusal: the path cannot take a file, or there is no room.
        """
        upload = _find(session, uid, organization_id)
        if upload.version_id is not None or upload.completer != claim.completer:
            raise _Busy
        content = NewVersion(
            key=claim.key,
            size=claim.whole.size,
            digest=claim.whole.digest,
            created_at=clock.now(),
            created_by=upload.created_by,
            source_mtime_ns=upload.source_mtime_ns,
            part_size=claim.whole.part_size,
        )
        segments = tuple(upload.path.split("/"))
        node = self.names.put(session, organization_id, segments, content, overwrite=upload.overwrite, upload=upload)
        if content.part_size is not None:
            queries.add_part_digests(session, organization_id, claim.key, claim.whole.parts, completion.sha256)
        upload.version_id = node.version_id
        upload.node_uid = node.uid
        session.execute(delete(UploadPart).where(UploadPart.upload_id == upload.id))
        session.execute(delete(UploadSpace).where(UploadSpace.upload_id == upload.id))
        session.flush()
        return tree.entry(node)

    def _reopen(self, organization_id: int, claim: _Claim, numbers: Iterable[int]) -> None:
        """Hold some parts of an upload no more, so that they are sent again.

        Raises:
            _Busy: somebody else has taken the upload over, to whom these parts may be others.
        """
        with self.context.write(organization_id) as session:
            opened = _UPLOADS.update().where(claim.is_own).values(completer=None, completing_until=None)
            if not _changes(session, opened):
                raise _Busy
            session.execute(_PARTS.delete().where(_PARTS.c.upload_id == claim.upload_id, _PARTS.c.n.in_(numbers)))

    def _give_up(self, organization_id: int, claim: _Claim, error: BaseException) -> None:
        """Let others complete an upload, whose content may be there already; or drop that, if the upload is gone."""
        try:
            with self.context.write(organization_id) as session:
                session.execute(_UPLOADS.update().where(claim.is_own).values(completing_until=clock.now()))
                is_there = session.scalar(select(_UPLOADS.c.id).where(_UPLOADS.c.key == claim.key)) is not None
        except (DBAPIError, Refusal):
            self._broken_off.add(claim.completer)
            return
        if not is_there and not commits.may_be_committed(self.context, claim.key, error):
            self.store.remove(claim.key)

    def recover(self) -> None:
        """End what the server was at that ran before, and drop what it left behind; only while no server runs."""
        with self.context.write(self.context.SERVER) as session:
            # Who wrote is gone, and nobody has taken its part meanwhile.
            session.execute(
                update(UploadSpace).where(UploadSpace.writer.is_not(None)).values(writer=None, writing_until=None),
                **_UNSEEN,
            )
            completing = (Upload.version_id.is_(None), Upload.completing_until.is_not(None))
            session.execute(update(Upload).where(*completing).values(completing_until=clock.now()), **_UNSEEN)
            known = set(session.scalars(select(Upload.store_id).where(Upload.version_id.is_(None))))
        for store_id in set(self.store.uploads()) - known:
            self.store.drop_upload(store_id)
        self._forget_lost()

    def _forget_lost(self) -> None:
        """Forget uploads whose parts are gone, as after a backup of the database was put back: they begin anew."""
        with self.context.read() as session:
            is_open = Upload.version_id.is_(None)
            uploads = session.execute(select(Upload.id, Upload.store_id, Upload.key).where(is_open)).all()
        there = set(self.store.uploads()) if uploads else set()
        # What was being completed may be content already.
        lost = [row.id for row in uploads if row.store_id not in there and self.store.size(row.key) is None]
        for at in range(0, len(lost), SWEPT):
            with self.context.write(self.context.SERVER) as session:
                session.execute(delete(Upload).where(Upload.id.in_(lost[at : at + SWEPT]), is_open), **_UNSEEN)

    def drop_left(self) -> None:
        """Drop what servers left behind that ran before, by its age, since others may be running."""
        for store_id in self.store.uploads((clock.now() - fsck.GRACE).timestamp()):
            with self.context.read() as session:
                is_open = (Upload.store_id == store_id, Upload.version_id.is_(None))
                is_known = session.scalar(select(Upload.id).where(*is_open)) is not None
            if not is_known:
                self.store.drop_upload(store_id)
        self._forget_lost()

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
                self._drop(upload.store_id, upload.key)
        return True

    def drop_files(self, organization_id: int) -> None:
        """Drop the files of an organization's uploads; their rows stay."""
        with self.context.read() as session:
            store_ids = session.scalars(select(Upload.store_id).where(Upload.organization_id == organization_id)).all()
        for store_id in store_ids:
            self.store.drop_upload(store_id)

    def _drop(self, store_id: str, key: str) -> None:
        """Drop the bytes of an upload that was never completed, also if they are content under its key already."""
        self.store.drop_upload(store_id)
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


def _to_resume(organization_id: int, user_id: int, start: StartUpload, segments: tree.Segments) -> Select[Any]:
    """What selects the newest open upload of a user that takes what is to be uploaded, whose size is known."""
    matching = select(Upload).where(
        Upload.organization_id == organization_id,
        Upload.created_by == user_id,
        Upload.version_id.is_(None),
        # Whoever was to complete it and could not has left its parts as they were.
        or_(Upload.completing_until.is_(None), Upload.completing_until <= clock.now()),
        Upload.expires_at > clock.now(),
        Upload.path == paths.join(segments),
        Upload.size == start.size,
        Upload.overwrite == start.overwrite,
        Upload.part_size == part_size(start.size),
    )
    return matching.order_by(Upload.id.desc()).limit(1)


def _find(session: Session, uid: str, organization_id: int | None = None) -> Upload:
    """The upload, which a signed address names without its organization."""
    uploads = select(Upload).where(*_is(uid))
    if organization_id is not None:
        uploads = uploads.where(Upload.organization_id == organization_id)
    upload = session.scalar(uploads)
    if upload is None:
        raise _gone()
    return upload


def _is(uid: str) -> tuple[Any, ...]:
    """What selects an upload; none of somebody who left the organization."""
    membership = select(Membership.id).where(
        Membership.user_id == _UPLOADS.c.created_by, Membership.organization_id == _UPLOADS.c.organization_id
    )
    return _UPLOADS.c.uid == uid, _UPLOADS.c.expires_at > clock.now(), membership.exists()


def _open(session: Session, uid: str, organization_id: int | None = None) -> Upload:
    upload = _find(session, uid, organization_id)
    if upload.version_id is not None:
        raise conflict("this upload is completed; start a new one to change the file")
    return upload


def _being_completed() -> Refusal:
    return conflict("this upload is being completed; start a new one to change the file")


def _overtaken(n: int) -> Refusal:
    return conflict(f"part {n} is sent by another request meanwhile; look which parts are held, and send it again")


def _busy(until: dt.datetime | None = None) -> Refusal:
    """The refusal of what has to wait for somebody, for a part until their claim lapses unless they renew it."""
    detail = "a part of this upload is still arriving, or it is being completed; try again"
    left = 0.0 if until is None else (until - clock.now()).total_seconds()
    return Refusal(409, "conflict", detail, {"Retry-After": str(max(1, math.ceil(left)))})


def _gone() -> Refusal:
    return not_found("the upload cannot be found, it was aborted or has expired; start a new one")


def _same(held: UploadPart, blocks: Iterable[Block]) -> Written:
    """A part that is sent again and cannot change any more, if it is what it was."""
    digest = hashlib.sha256()
    for block in blocks:
        digest.update(block)
    if digest.hexdigest() != held.sha256:
        raise _being_completed()
    return Written(held.size, held.sha256)


def _ended(part: _Part) -> Update:
    """Ends the claim of a part, if nobody else has claimed it."""
    ended: Update = _SPACE.update().where(part.is_own).values(writer=None, writing_until=None)
    return ended


def _changes(transaction: Transaction, statement: Update) -> bool:
    """Execute an update; whether there was anything to change."""
    result: Any = transaction.execute(statement, **_UNSEEN)
    return bool(result.rowcount)


def _arriving(part: _Part, blocks: Iterable[Block], lease: Lease) -> Iterator[Block]:
    """The blocks of a part, as long as nobody else has claimed it; where they do not come, somebody may.

    Raises:
        Refusal: somebody has.
    """
    lease.renewed_before = clock.monotonic() + STALLED
    for block in blocks:
        lease.renewed_before = math.inf  # however long it takes to store
        if lease.is_lost:
            raise _overtaken(part.n)
        yield block
        lease.renewed_before = clock.monotonic() + STALLED
    lease.renewed_before = math.inf


def _length(upload: Upload, n: int, length: int | None) -> int | None:
    """Bytes that a part will have; None if nobody knows yet."""
    if length is not None or upload.size is None:
        return length
    return _must(upload.size, upload.part_size, n)


def _must(size: int, part_size: int, n: int) -> int:
    """Bytes that a part must have of an upload of known size."""
    return max(0, min(part_size, size - (n - 1) * part_size))


def _within(blocks: Iterable[Block], upload: Upload, n: int, limit: int) -> Iterator[Block]:
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


def _whole(upload: Upload, held: list[UploadPart], completion: CompleteUpload, *, tagged: bool) -> _Whole:
    """What an upload becomes, if the parts held are those of `completion` and none is missing."""
    parts = sorted(completion.parts, key=lambda part: part.n)
    if [part.n for part in parts] != list(range(1, len(parts) + 1)):
        raise bad_entry("parts: name each part once, from 1 without gaps")
    by_number = {part.n: part for part in held}
    for part in parts:
        arrived = by_number.pop(part.n, None)
        if arrived is None:
            raise conflict(f"part {part.n} has not arrived; send it and complete again")
        # Of a part that was sent to the store, only that and the sender know the entity tag.
        is_known = part.etag.strip('"') == arrived.sha256 or (tagged and arrived.etag is None)
        if not is_known or (part.sha256 or arrived.sha256) != arrived.sha256:
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
