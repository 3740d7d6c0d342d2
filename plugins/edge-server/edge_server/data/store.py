"""The store of content, and the one in a local folder.

Content lies under an opaque key and never changes. It is written elsewhere in the same file system,
forced to disk and then renamed, so that under a key there is all of it or nothing. The database
says afterwards what is visible: what is acknowledged is on disk, and what a crash leaves half
written has no name.
"""

from __future__ import annotations

import collections
import concurrent.futures
import contextlib
import dataclasses
import hashlib
import os
import re
import secrets
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO, Protocol

from edge_core.replacing import sync_folder
from edge_server.data import upload_locks

_KEY = re.compile("[0-9a-f]{40}")

BLOCK = 1 << 20
"""Bytes moved at once."""

WRITERS = 4
"""Threads that write what is stored together."""


@dataclasses.dataclass(frozen=True)
class Written:
    """What was written: bytes, and their SHA-256 in hexadecimal."""

    size: int
    sha256: str


class MissingContent(LookupError):
    """There is no content under a key, or no upload of an id."""


class Content(Protocol):
    """A range of content, in blocks; to be closed by whoever opened it.

    Attributes:
        size: bytes of the whole content, not only of the range.
    """

    size: int

    def __iter__(self) -> Iterator[bytes]: ...

    def close(self) -> None: ...


class Store(Protocol):
    """Where content is kept, by keys that say nothing about it and cannot be guessed.

    Content never changes: there is all of it under a key, or nothing. Whoever stores it writes the
    key into a row afterwards, and removes the content if that fails.
    """

    def new_key(self) -> str:
        """A key for content to come."""
        ...

    def write(self, key: str, blocks: Iterable[bytes]) -> Written:
        """Store `blocks` under `key`; on any failure nothing is left."""
        ...

    def write_many(self, contents: Iterable[bytes]) -> list[str]:
        """Store small contents under keys of their own, and give these; on any failure nothing is left.

        Args:
            contents: what to store; the next is taken when there is room for it in memory.
        """
        ...

    def open(self, key: str, start: int = 0, length: int | None = None) -> Content:
        """Content, or `length` bytes of it from `start` on.

        Raises:
            MissingContent: there is none.
        """
        ...

    def size(self, key: str) -> int | None:
        """Bytes under `key`; None if there is nothing."""
        ...

    def remove(self, key: str) -> None:
        """Drop the content under `key`, if there is any."""
        ...


class FolderStore:
    """The store in a local folder, which keeps the files of open uploads as well.

    It has three folders: `content` with the content under its keys, `incoming` with what is being
    written, `uploads` with one file for each open upload, which parts are written into in any order.
    They must be in one file system, since content gets its name by being renamed.

    Args:
        root: the folder; `create` makes what is missing in it.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._content = root / "content"
        self._incoming = root / "incoming"
        self._uploads = root / "uploads"

    def create(self) -> None:
        """Make the folders, and drop what writers left behind that are gone; only while nobody writes."""
        for folder in (self._content, self._incoming, self._uploads):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for left in self._incoming.iterdir():
            left.unlink()

    def part(self, name: str) -> FolderStore:
        """A store of its own below this one, for the subsystem of that name."""
        return FolderStore(self._root / "subsystems" / name)

    # --- content

    def new_key(self) -> str:
        """A key for content to come."""
        return secrets.token_hex(20)

    def write(self, key: str, blocks: Iterable[bytes]) -> Written:
        """Store `blocks` under `key`; on any failure nothing is left."""
        try:
            written = self._write_beside(key, blocks)
            self._into_place(self._incoming / key, key)
        except BaseException:
            (self._incoming / key).unlink(missing_ok=True)
            raise
        return written

    def write_many(self, contents: Iterable[bytes]) -> list[str]:
        """Store small contents under keys of their own, and give these; on any failure nothing is left.

        Several threads force them to disk, which a file system does for all of them at once: it takes a tenth of the
        time of one after another. `syncfs` would take less, but waits for what everybody else writes.

        Args:
            contents: what to store; the next is taken when there is room for it in memory.
        """
        # In a single folder, so that its names are forced to disk once.
        folder = self.new_key()[:2]
        keys: list[str] = []
        waiting: collections.deque[concurrent.futures.Future[Written]] = collections.deque()
        try:
            with concurrent.futures.ThreadPoolExecutor(WRITERS) as writers:
                for content in contents:
                    keys.append(folder + self.new_key()[2:])
                    waiting.append(writers.submit(self._write_beside, keys[-1], [content]))
                    if len(waiting) > WRITERS:
                        waiting.popleft().result()
                for written in waiting:
                    written.result()
            self._all_into_place(keys)
        except BaseException:
            for key in keys:
                (self._incoming / key).unlink(missing_ok=True)
                self.remove(key)
            raise
        return keys

    def open(self, key: str, start: int = 0, length: int | None = None) -> FileContent:
        """Content, or `length` bytes of it from `start` on.

        Raises:
            MissingContent: there is none.
        """
        try:
            file = open(self._path(key), "rb")  # noqa: SIM115  # closed by whoever reads it
        except FileNotFoundError:
            raise MissingContent(key) from None
        return FileContent(file, start, length)

    def size(self, key: str) -> int | None:
        """Bytes under `key`; None if there is nothing."""
        try:
            return self._path(key).stat().st_size
        except FileNotFoundError:
            return None

    def remove(self, key: str) -> None:
        """Drop the content under `key`, if there is any."""
        self._path(key).unlink(missing_ok=True)

    def _path(self, key: str) -> Path:
        # Many file systems slow down with very many names in one folder.
        return self._content / key[:2] / key

    def _write_beside(self, key: str, blocks: Iterable[bytes]) -> Written:
        """Write what is to become the content under a key, and force it to disk."""
        with open(self._incoming / key, "xb") as file:
            written = _copy(blocks, file)
            file.flush()
            os.fsync(file.fileno())
        return written

    def _into_place(self, source: Path, key: str) -> None:
        target = self._path(key)
        self._make_folder(target.parent)
        os.replace(source, target)
        sync_folder(target.parent)

    def _all_into_place(self, keys: Sequence[str]) -> None:
        """Give contents that lie beside their names, which are all in the folder of the first."""
        for key in keys[:1]:
            self._make_folder(self._path(key).parent)
        for key in keys:
            os.replace(self._incoming / key, self._path(key))
        for key in keys[:1]:
            sync_folder(self._path(key).parent)

    def _make_folder(self, folder: Path) -> None:
        try:
            folder.mkdir(mode=0o700)
        except FileExistsError:
            pass
        else:
            sync_folder(self._content)

    # --- uploads in parts

    def start_upload(self, upload: str) -> None:
        """Make the file that the parts of `upload` go into."""
        with open(self._uploads / upload, "xb"):
            pass
        sync_folder(self._uploads)

    def has_upload(self, upload: str) -> bool:
        """Whether an upload has its file."""
        return (self._uploads / upload).exists()

    def hold_upload(self, upload: str, *, exclusive: bool) -> AbstractContextManager[None]:
        """Hold an upload's file: shared to write a part, exclusive to complete it.

        Raises:
            upload_locks.Busy: it is held otherwise.
            FileNotFoundError: the upload has no file.
        """
        return upload_locks.hold(self._uploads / upload, exclusive=exclusive)

    def write_part(self, upload: str, offset: int, blocks: Iterable[bytes]) -> Written:
        """Write one part as it streams, with `offset` bytes before it, and force it to disk."""
        digest = hashlib.sha256()
        size = 0
        handle = os.open(self._uploads / upload, os.O_WRONLY | getattr(os, "O_BINARY", 0))
        try:
            for block in blocks:
                _write_at(handle, block, offset + size)
                digest.update(block)
                size += len(block)
            os.fsync(handle)
        finally:
            os.close(handle)
        return Written(size, digest.hexdigest())

    def cut_upload(self, upload: str, size: int) -> None:
        """Cut off what is behind the last part: a longer one that was sent again shorter leaves a tail."""
        with open(self._uploads / upload, "r+b") as file:
            if os.fstat(file.fileno()).st_size != size:
                file.truncate(size)
                os.fsync(file.fileno())

    def publish(self, upload: str, key: str) -> None:
        """Make an upload's file the content under `key`."""
        self._into_place(self._uploads / upload, key)
        sync_folder(self._uploads)

    def take_back(self, upload: str, key: str) -> None:
        """Undo `publish` for an upload that is still open, if it happened."""
        with contextlib.suppress(FileNotFoundError):
            os.replace(self._path(key), self._uploads / upload)

    def drop_upload(self, upload: str) -> None:
        """Drop an upload's file."""
        (self._uploads / upload).unlink(missing_ok=True)

    def uploads(self) -> Iterator[str]:
        """The uploads that have a file."""
        return (path.name for path in self._uploads.iterdir())

    # --- what lies there

    def keys(self, prefix: str, unchanged_since: float) -> list[str]:
        """The keys with content that begin with two letters and were last written before a time (seconds)."""
        # Other names are not ours to judge.
        return [key for key in _older(self._content / prefix, unchanged_since) if _KEY.fullmatch(key)]

    def prefixes(self) -> list[str]:
        """The letters that keys begin with."""
        return sorted(path.name for path in self._content.glob("*") if path.is_dir())

    def old_uploads(self, unchanged_since: float) -> list[str]:
        """The uploads whose file was last written before a time (seconds)."""
        return _older(self._uploads, unchanged_since)

    def drop_incoming(self, unchanged_since: float) -> int:
        """Drop what nobody writes any more, last written before a time (seconds); returns how many."""
        left = _older(self._incoming, unchanged_since)
        for name in left:
            (self._incoming / name).unlink(missing_ok=True)
        return len(left)


class FileContent:
    """A range of a file. A WSGI server can send it without reading it into memory; see `file` and `length`."""

    def __init__(self, file: BinaryIO, start: int, length: int | None) -> None:
        self.file = file
        self.size = os.fstat(file.fileno()).st_size
        self.length = self.size - start if length is None else length
        file.seek(start)

    def __iter__(self) -> Iterator[bytes]:
        left = self.length
        while left > 0 and (block := self.file.read(min(BLOCK, left))):
            left -= len(block)
            yield block

    def close(self) -> None:
        self.file.close()


def _older(folder: Path, unchanged_since: float) -> list[str]:
    names: list[str] = []
    if not folder.exists():  # of a store that no server has made yet
        return names
    with os.scandir(folder) as entries:
        for entry in entries:
            with contextlib.suppress(FileNotFoundError):
                if entry.stat().st_mtime < unchanged_since:
                    names.append(entry.name)
    return names


def _copy(blocks: Iterable[bytes], file: BinaryIO) -> Written:
    digest = hashlib.sha256()
    size = 0
    for block in blocks:
        digest.update(block)
        file.write(block)
        size += len(block)
    return Written(size, digest.hexdigest())


def _write_at(handle: int, block: bytes, offset: int) -> None:
    rest = memoryview(block)
    if not hasattr(os, "pwrite"):
        os.lseek(handle, offset, os.SEEK_SET)
    while rest:
        written = os.pwrite(handle, rest, offset) if hasattr(os, "pwrite") else os.write(handle, rest)
        rest = rest[written:]
        offset += written
