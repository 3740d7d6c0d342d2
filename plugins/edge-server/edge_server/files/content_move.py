"""Copying content into the store of another server, under the keys that it has, and comparing it there.

Content never changes, so that copying it twice is the same as once. It is read from the new store once all is there,
and compared with the digests that the database has; what is not as it must be is copied once more. So what remains is
damaged in the old store as well, and is there now as it was.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import functools
import hashlib
import itertools
import threading
from collections.abc import Callable, Iterator, Sequence
from operator import attrgetter
from typing import Any

import sqlalchemy as sa

from edge_server.base.problems import CannotStart
from edge_server.data.database import Database
from edge_server.data.store import Block, MissingContent, Store
from edge_server.files import fsck
from edge_server.files.fsck import Damage, Missing, Stored
from edge_server.files.models import Upload, Version
from edge_server.web.stored_content import StoredContent
from edge_vfs.progress import Tracker

PAGE = 200
"""Contents that are copied before it is noted that they are there."""

THREADS = 8
"""Contents that are copied, or compared, at once."""


class _Unreadable(Exception):
    """The old store cannot read content; the text is a few words."""


class _Stopped(Exception):
    """Another thread has failed, or somebody wants an end."""


class WrongCopy(CannotStart):
    """The new store gives other bytes than were written there."""


@dataclasses.dataclass(frozen=True)
class ContentMove:
    """The content that one column of keys names.

    Attributes:
        database: of the old server, which nobody changes.
        stored: the column, and the store of the old server.
        target: the store of the new one.
        stopping: set where what is being copied shall not be copied to its end.
    """

    database: Database
    stored: StoredContent
    target: Store
    stopping: threading.Event = dataclasses.field(default_factory=threading.Event)

    @property
    def name(self) -> str:
        """What the column is called."""
        return f"{self.stored.table}.{self.stored.column.key}"

    @property
    def is_in_place(self) -> bool:
        """Whether both stores are the same, so that nothing is to be copied."""
        return self.stored.store.place == self.target.place

    @property
    def _of_versions(self) -> bool:
        return self.stored.column is Version.key

    def size(self) -> tuple[int, int | None]:
        """How many contents there are, and their bytes, if that is known."""
        keys = self._keys().subquery()
        size = None
        with self.database.read() as session:
            count = session.scalar(sa.select(sa.func.count()).select_from(keys)) or 0
            if self._of_versions:
                sizes = sa.select(sa.func.max(Version.size).label("size")).where(Version.collected_at.is_(None))
                sizes_by_key = sizes.group_by(Version.key).subquery()
                size = int(session.scalar(sa.select(sa.func.coalesce(sa.func.sum(sizes_by_key.c.size), 0))) or 0)
        return count, size

    def copy(self, after: str, copied: Callable[[str], object], tracker: Tracker) -> None:
        """Copy what is not there.

        Args:
            after: the last key of what is there already; empty for none.
            copied: called with the last key of each page, once all of it is in the new store.
            tracker: counts the bytes.
        """
        is_in_doubt = True  # whoever was interrupted may have copied some of a page
        for keys in self._pages(after):
            self._at_once(functools.partial(self._copy, tracker, is_in_doubt), keys)
            is_in_doubt = False
            copied(keys[-1])

    def compare(self, tracker: Tracker) -> Iterator[tuple[int, Sequence[Damage | Missing]]]:
        """Read all content in the new store, and copy again what is not as it must be.

        Args:
            tracker: counts the bytes.

        Yields:
            for some contents at a time, how many there are, and what is wrong with them in the old store as well.

        Raises:
            WrongCopy: the new store gives other bytes than the old one.
        """
        for keys in self._pages(""):
            if self._of_versions:
                yield self._compare_versions(keys, tracker)
            else:
                absent = set(itertools.compress(keys, self._at_once(functools.partial(self._is_absent, tracker), keys)))
                yield len(keys) - len(absent), self._missing(absent)

    def _keys(self) -> sa.Select[Any]:
        column = self.stored.column
        keys = sa.select(column).where(column.is_not(None)).distinct()
        return keys.where(Version.collected_at.is_(None)) if self._of_versions else keys

    def _pages(self, after: str) -> Iterator[list[str]]:
        column = self.stored.column
        while True:
            with self.database.read() as session:
                keys = list(session.scalars(self._keys().where(column > after).order_by(column).limit(PAGE)))
            if not keys:
                return
            yield keys
            after = keys[-1]

    def _at_once(self, work: Callable[..., Any], subjects: Sequence[Any]) -> list[Any]:
        """What `work` gives for each; the first failure stops the others."""
        with concurrent.futures.ThreadPoolExecutor(THREADS) as threads:
            try:
                return list(threads.map(work, subjects))
            except BaseException:
                self.stopping.set()
                threads.shutdown(wait=False, cancel_futures=True)
                raise

    def _copy(self, tracker: Tracker, is_in_doubt: bool, key: str) -> None:
        with contextlib.suppress(MissingContent, _Unreadable):  # which the comparison tells
            size = self.stored.store.size(key)
            with tracker.file(key, size) as counted:
                if is_in_doubt and size is not None and self.target.size(key) == size:
                    counted.skip(size)
                else:
                    self._write(key, counted.add)

    def _compare_versions(self, keys: Sequence[str], tracker: Tracker) -> tuple[int, list[Damage | Missing]]:
        with self.database.read() as session:
            rows = session.scalars(
                sa.select(Version)
                .where(Version.key.in_(keys), Version.collected_at.is_(None))
                .order_by(Version.key, Version.id)
            ).all()
        sharing = [list(versions) for _, versions in itertools.groupby(rows, attrgetter("key"))]
        wrong = list(itertools.chain(*self._at_once(functools.partial(self._wrong, tracker), sharing)))
        with self.database.read() as session:
            return len(sharing), list(fsck.damages_of(session, wrong))

    def _wrong(self, tracker: Tracker, versions: Sequence[Version]) -> list[tuple[Version, str]]:
        """What is wrong with the content that versions share, once it is as it is in the old store."""
        key = versions[0].key
        stored = fsck.read_content(self.database, self.target, versions[0], tracker)
        wrong = _differences(stored, versions)
        if not wrong or self.is_in_place:
            return wrong
        silent = Tracker("check", "", progress=False)
        try:
            self._write(key)
        except (MissingContent, _Unreadable):
            return _differences(fsck.read_content(self.database, self.stored.store, versions[0], silent), versions)
        stored = fsck.read_content(self.database, self.target, versions[0], silent)
        if stored != fsck.read_content(self.database, self.stored.store, versions[0], silent):
            raise self._wrong_copy(key)
        return _differences(stored, versions)

    def _is_absent(self, tracker: Tracker, key: str) -> bool:
        """Whether the old store has no content under a key; what it has, the new one has after this."""
        try:
            with tracker.file(key, self.stored.store.size(key)) as counted:
                expected = self._digest(self.stored.store, key, counted.add)
        except (MissingContent, _Unreadable):
            return True
        if not self._has(key, expected):
            self._write(key)
            if not self._has(key, expected):
                raise self._wrong_copy(key)
        return False

    def _has(self, key: str, digest: str) -> bool:
        """Whether the new store has content of a digest under a key."""
        try:
            return self._digest(self.target, key) == digest
        except (MissingContent, _Unreadable):
            return False

    def _digest(self, store: Store, key: str, add: Callable[[int], object] = int) -> str:
        content_hash = hashlib.sha256()
        for block in self._blocks(store, key, add):
            content_hash.update(block)
        return content_hash.hexdigest()

    def _write(self, key: str, add: Callable[[int], object] = int) -> None:
        """Copy content from the old store.

        Args:
            key: of the content.
            add: called with the bytes of each block.

        Raises:
            MissingContent: it is not there.
            _Unreadable: it cannot be read.
        """
        self.target.write(key, self._blocks(self.stored.store, key, add))

    def _blocks(self, store: Store, key: str, add: Callable[[int], object]) -> Iterator[Block]:
        try:
            with contextlib.closing(store.open(key)) as content:
                for block in content:
                    if self.stopping.is_set():
                        raise _Stopped
                    yield block
                    add(len(block))
        except OSError as error:
            raise _Unreadable(str(error.strerror)) from None

    def _wrong_copy(self, key: str) -> WrongCopy:
        return WrongCopy(f"{self.target.place} gives other bytes than were written there under {key}; check its disk")

    def _missing(self, keys: set[str]) -> list[Missing]:
        column = self.stored.column
        with self.database.read() as session:
            rows = session.scalars(sa.select(column.class_.id).where(column.in_(keys)).order_by(column.class_.id))
            return [Missing(self.stored.table, row, column.key) for row in rows]


def moves_of(
    database: Database, stored: Sequence[StoredContent], targets: Sequence[StoredContent]
) -> list[ContentMove]:
    """What is to be moved: all columns of keys of content but those of uploads, of which none is open.

    Args:
        database: of the old server.
        stored: the columns and the stores of the old server.
        targets: those of the new one, in their order.
    """
    return [
        ContentMove(database, each, target.store)
        for each, target in zip(stored, targets, strict=True)
        if each.column is not Upload.key
    ]


def _differences(stored: Stored | str, versions: Sequence[Version]) -> list[tuple[Version, str]]:
    differing = [(each, stored if isinstance(stored, str) else fsck.difference(stored, each)) for each in versions]
    return [(version, what) for version, what in differing if what is not None]
