"""The store of content, and the one in a local folder.

Content lies under an opaque key and never changes. It is written elsewhere in the same file system, gets its
name by being renamed, and is forced to disk. Only then does the database say that it is visible: what is
acknowledged is on disk, and what a crash leaves half written is under no key that the database knows.
"""

from __future__ import annotations

import collections
import concurrent.futures
import contextlib
import dataclasses
import errno
import hashlib
import math
import os
import re
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO, Protocol, TypeAlias

from edge_core.replacing import sync_folder
from edge_server.base.problems import CannotStart, is_full

KEY = re.compile("[0-9a-f]{40}")
"""What keys look like."""

BLOCK = 1 << 20
"""Bytes moved at once."""

Block: TypeAlias = bytes | memoryview
"""Bytes that are on their way. What is in them may be overwritten once the next are asked for."""

_WRITABLE = os.O_WRONLY | getattr(os, "O_BINARY", 0)
_NEW = _WRITABLE | os.O_CREAT | os.O_EXCL

MAX_SIZE = 1 << 50
"""Bytes of the largest content in a folder; beyond, the parts of an upload would no longer be parts."""

WRITERS = 4
"""Threads that write what is stored together."""

CONTENT = "content"
"""The folder of content in that of a store."""

SUBSYSTEMS = "subsystems"
"""The folder in it that has a store for each subsystem which keeps content."""


@dataclasses.dataclass(frozen=True)
class Written:
    """What was written.

    Attributes:
        size: bytes.
        sha256: their SHA-256, hexadecimal.
        etag: the entity tag that the store gave a part; None of a store that has none.
    """

    size: int
    sha256: str
    etag: str | None = None


class MissingContent(LookupError):
    """There is no content under a key, or no upload of an id."""


class StoreFailure(OSError):
    """A store that is no folder cannot do what it was asked; the text is a sentence for the operator.

    Args:
        number: what it is to the system, such as `errno.ENOSPC` where the store is full.
        sentence: what happened and what to do, without a secret.
    """

    def __init__(self, number: int, sentence: str) -> None:
        super().__init__(number, sentence)

    def __str__(self) -> str:
        return str(self.strerror)


class WrongParts(Exception):
    """Parts of an upload are not what was stored any more.

    Attributes:
        numbers: of the parts, from 1.
    """

    def __init__(self, numbers: Sequence[int]) -> None:
        super().__init__(f"the parts {', '.join(map(str, numbers))} are not what was stored")
        self.numbers = numbers


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
    key into a row afterwards, and removes the content if that fails. What a crash leaves without a row is dropped
    once it is old. Nothing here is done within a transaction of the database.

    A store belongs to one database, which claims it before it drops anything: to another one, all of its content would
    be nobody's. A store within a store belongs to the same.

    Attributes:
        place: what a sentence calls it; that of no other store is the same.
        max_size: bytes of the largest content.
        disk: a folder on the disk on which content takes room; None where no disk of this machine is known to have it.
        tags_parts: whether each part of an upload has an entity tag, by which alone it becomes content.
        signs_parts: whether parts can be sent to addresses of the store's own, by whoever knows their SHA-256.

    Raises:
        OSError: of all methods: what keeps the content cannot be used just now, or is full.
    """

    max_size: int
    tags_parts: bool

    @property
    def place(self) -> str: ...

    @property
    def disk(self) -> Path | None: ...

    @property
    def signs_parts(self) -> bool: ...

    def create(self) -> None:
        """Make what is missing for content to be kept; others may be writing."""
        ...

    def check(self) -> str:
        """Try what keeps the content, leave nothing there, and tell in a sentence what is to be known of it."""
        ...

    def reach(self) -> None:
        """See that content can be reached, by what costs little and leaves nothing.

        Raises:
            StoreFailure: it cannot.
            OSError: it cannot, where it is in a folder.
        """
        ...

    def is_empty(self) -> bool:
        """Whether there is no content yet, nor that of subsystems."""
        ...

    def owners(self) -> list[str]:
        """Who has claimed the store: nobody or one; several only where somebody died before withdrawing a claim."""
        ...

    def claim(self, owner: str) -> list[str]:
        """Claim the store, which nobody had claimed; of several owners who do so at once, at most one gets it.

        A claim outlives a crash, and all hosts see it from then on.

        Args:
            owner: what names the database, of letters, digits and hyphens.

        Returns:
            who has claimed it. It is the owner's if nobody else is among them, also where another host of the owner was
            first; otherwise this claim is withdrawn.
        """
        ...

    def claimed_by(self, owner: str) -> str:
        """What says that somebody has claimed the store, as a sentence names it for who may have to remove it."""
        ...

    def part(self, name: str) -> Store:
        """A store of its own within this one, for the subsystem of that name."""
        ...

    def new_key(self) -> str:
        """A key for content to come."""
        ...

    def write(self, key: str, blocks: Iterable[Block]) -> Written:
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

    def address(self, key: str, lifetime: int, headers: Mapping[str, str]) -> str | None:
        """An address at which anyone can fetch content, or ranges of it, without the server.

        Args:
            key: of the content.
            lifetime: seconds until it expires; nobody can end it before.
            headers: those that the answer has to have of Content-Type, Content-Disposition and Cache-Control.

        Returns:
            None of a store that only the server can read.
        """
        ...

    def remove(self, key: str) -> None:
        """Drop the content under `key`, if there is any."""
        ...

    def start_upload(self, upload: str, key: str) -> str:
        """Prepare for the parts of an upload.

        Args:
            upload: a name that no other upload has.
            key: a key for the content that it becomes.

        Returns:
            the id under which the store knows it, for the other methods.
        """
        ...

    def write_part(self, upload: str, n: int, offset: int, blocks: Iterable[Block]) -> Written:
        """Store one part as it streams; on return it is on disk.

        The caller sees to it that nobody else writes the part meanwhile, or says so when the upload is completed.

        Args:
            upload: the upload's id.
            n: number of the part, from 1.
            offset: bytes of all parts before it.
            blocks: its bytes.

        Raises:
            MissingContent: the upload is gone.
        """
        ...

    def complete_upload(self, upload: str, key: str, parts: Sequence[Written], *, in_doubt: bool) -> None:
        """Make parts the content under a key: there is all of it, on disk, or nothing. Twice is the same as once.

        Somebody who was given up may be doing so as well, where the store does not take that long (`straggling`), or
        later, perhaps with parts that were sent again since. What is content under the key stays what it is.

        Args:
            upload: the upload's id.
            key: the key that it was prepared for.
            parts: the parts as they were stored, in order; there are no others.
            in_doubt: whether somebody who was given up may have written a part, or write on. A store in which that
                could change what was stored compares the parts, and sees to it that the content never changes.

        Raises:
            MissingContent: the upload is gone, and there is no content under the key.
            WrongParts: parts are not what they were; all can be sent again.
        """
        ...

    def part_address(self, upload: str, n: int, size: int, sha256: str) -> tuple[str, str]:
        """Where a part can be sent without the server, in the next minutes, by PUT.

        The store refuses other bytes than those of that digest and size.

        Args:
            upload: the upload's id.
            n: number of the part, from 1.
            size: its bytes.
            sha256: their SHA-256, hexadecimal.

        Returns:
            the address, and the digest in base64, which goes with it in a header.
        """
        ...

    def parts_held(self, upload: str) -> dict[int, set[tuple[int, str]]]:
        """The sizes and entity tags of the parts that are there, by their numbers; none where the upload is gone.

        A store may list a part that was sent twice both ways.
        """
        ...

    def has_upload(self, upload: str) -> bool:
        """Whether an upload is there, neither content yet nor dropped."""
        ...

    def straggling(self, parts: int) -> float:
        """Seconds for which the store may still be at a `complete_upload` of so many parts whose caller has died.

        While it may, and the upload is there, nobody calls `complete_upload` again.
        """
        ...

    def drop_upload(self, upload: str) -> None:
        """Drop an upload and its parts, if they are there."""
        ...

    def prefixes(self) -> list[str]:
        """The letters that keys begin with."""
        ...

    def keys(self, prefix: str, unchanged_since: float) -> list[str]:
        """The keys of content that begin with one of `prefixes` and were last written before a time (seconds)."""
        ...

    def uploads(self, unchanged_since: float = math.inf) -> list[str]:
        """The ids of uploads of which parts may lie here, last written before a time (seconds)."""
        ...

    def drop_incoming(self, unchanged_since: float) -> int:
        """Drop what nobody writes any more, last written before a time (seconds); returns how many."""
        ...


class FolderStore:
    """The store in a local folder, which keeps the files of open uploads as well.

    It has three folders: `content` with the content under its keys, `incoming` with what is being
    written, `uploads` with one file for each open upload, which parts are written into in any order.
    They must be in one file system, since content gets its name by being renamed.

    Args:
        root: the folder; `create` makes what is missing in it.
    """

    max_size = MAX_SIZE
    tags_parts = False
    signs_parts = False

    def __init__(self, root: Path) -> None:
        self._root = root
        self._content = root / CONTENT
        self._incoming = root / "incoming"
        self._uploads = root / "uploads"
        self._owner = root / "content-owner"

    @property
    def place(self) -> str:
        """The folder."""
        return str(self._root.resolve())

    @property
    def disk(self) -> Path:
        """The folder."""
        return self._root

    def create(self) -> None:
        """Make the folders that are missing."""
        for folder in (self._content, self._incoming, self._uploads):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def check(self) -> str:
        """See that the folder can be written, where it is there already."""
        if not self._root.exists():
            return f"{self._root} is not there yet; the first start makes it"
        if not os.access(self._root, os.R_OK | os.W_OK | os.X_OK):
            raise CannotStart(f"{self._root} cannot be written; run this as the server's user, or make it the owner")
        return f"{self._root} can be written"

    def reach(self) -> None:
        """See that the folder is there, and can be written: a file system that is away leaves an empty one."""
        if not os.access(self._content, os.R_OK | os.W_OK | os.X_OK):
            raise FileNotFoundError(errno.ENOENT, "it is not there, or cannot be written", str(self._content))

    def is_empty(self) -> bool:
        """Whether there is no content yet, nor that of subsystems."""
        folders = (self._content, *self._root.glob(f"{SUBSYSTEMS}/*/{CONTENT}"))
        return not any(path.is_file() for folder in folders for path in folder.glob("*/*"))

    def owners(self) -> list[str]:
        """Who has claimed the store."""
        try:
            return [self._owner.read_text(encoding="ascii", errors="replace")]
        except FileNotFoundError:
            return []

    def claim(self, owner: str) -> list[str]:
        """Claim the store by a file that is there whole or not at all, and is never overwritten."""
        self.create()  # what was put back by hand may be the content alone
        beside = self._incoming / f"owner-{secrets.token_hex(8)}"
        try:
            with open(beside, "x", encoding="ascii") as file:
                file.write(owner)
                file.flush()
                os.fsync(file.fileno())
            with contextlib.suppress(FileExistsError):
                _give_name(beside, self._owner)
                sync_folder(self._root)
        finally:
            beside.unlink(missing_ok=True)
        return self.owners()

    def claimed_by(self, owner: str) -> str:
        """The file that says whose the store is."""
        return str(self._owner)

    def part(self, name: str) -> FolderStore:
        """A store of its own below this one, for the subsystem of that name."""
        return FolderStore(self._root / SUBSYSTEMS / name)

    # --- content

    def new_key(self) -> str:
        """A key for content to come."""
        return secrets.token_hex(20)

    def write(self, key: str, blocks: Iterable[Block]) -> Written:
        """Store `blocks` under `key`; on any failure nothing is left."""
        try:
            return self._write_into_place(key, blocks)
        except BaseException:
            (self._incoming / key).unlink(missing_ok=True)
            self.remove(key)
            raise

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
        waiting: collections.deque[concurrent.futures.Future[None]] = collections.deque()
        try:
            with concurrent.futures.ThreadPoolExecutor(WRITERS) as writers:
                for content in contents:
                    keys.append(folder + self.new_key()[2:])
                    waiting.append(writers.submit(self._write_beside, keys[-1], content))
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
            # Without a buffer, as it is read in blocks or not at all. It is closed by whoever reads it.
            file = open(self._path(key), "rb", buffering=0)  # noqa: SIM115
        except FileNotFoundError:
            raise MissingContent(key) from None
        return FileContent(file, start, length)

    def size(self, key: str) -> int | None:
        """Bytes under `key`; None if there is nothing."""
        try:
            return os.stat(self._path(key)).st_size
        except FileNotFoundError:
            return None

    def address(self, key: str, lifetime: int, headers: Mapping[str, str]) -> str | None:
        """None: only the server reads the folder."""
        return None

    def remove(self, key: str) -> None:
        """Drop the content under `key`, if there is any."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._path(key))

    def link(self, key: str, other: FolderStore) -> bool:
        """Give content of another folder its name here as well, which is on disk after `finish`.

        Returns:
            False where the file system cannot do that, or the other folder does not have it.
        """
        try:
            try:
                os.link(other._path(key), self._path(key))
            except FileNotFoundError:
                os.makedirs(os.path.dirname(self._path(key)), 0o700, exist_ok=True)
                os.link(other._path(key), self._path(key))
        except OSError as error:
            if is_full(error):
                raise
            return False
        return True

    def fill(self, key: str, blocks: Iterable[Block]) -> Written:
        """Store `blocks` in a folder that nobody uses before `finish`, which forces their name to disk."""
        try:
            handle = os.open(self._path(key), _NEW, 0o666)
        except FileNotFoundError:
            os.makedirs(os.path.dirname(self._path(key)), 0o700, exist_ok=True)
            handle = os.open(self._path(key), _NEW, 0o666)
        try:
            written = _write_blocks(handle, blocks)
            os.fsync(handle)
        finally:
            os.close(handle)
        return written

    def finish(self) -> None:
        """Force the names of all content to disk."""
        self._content.mkdir(mode=0o700, parents=True, exist_ok=True)
        prefixes = [self._content / prefix for prefix in self.prefixes()]
        for folder in (*prefixes, self._content, self._root, self._root.parent):
            sync_folder(folder)

    def _path(self, key: str) -> str:
        # Many file systems slow down with very many names in one folder. By text: for a small file, making a `Path` of
        # it takes longer than reading it.
        return f"{self._content}{os.sep}{key[:2]}{os.sep}{key}"

    def _write_into_place(self, key: str, blocks: Iterable[Block]) -> Written:
        """Write the content under a key, and force it and its name to disk.

        The name is given first where a file that is open can get one. Then a file system has both to force to disk at
        once, which takes half of the time. What a crash leaves half written there is in no row.
        """
        beside = f"{self._incoming}{os.sep}{key}"
        handle = os.open(beside, _NEW, 0o666)
        try:
            written = _write_blocks(handle, blocks)
            if os.name == "posix":
                self._rename(beside, key)
            os.fsync(handle)
        finally:
            os.close(handle)
        if os.name != "posix":
            self._rename(beside, key)
        sync_folder(os.path.dirname(self._path(key)))
        return written

    def _write_beside(self, key: str, content: bytes) -> None:
        """Write what is to become the content under a key, and force it to disk."""
        handle = os.open(self._incoming / key, _NEW, 0o666)
        try:
            _write_blocks(handle, [content])
            os.fsync(handle)
        finally:
            os.close(handle)

    def _into_place(self, source: Path, key: str) -> None:
        """Give a file that is on disk its name among the content."""
        self._rename(source, key)
        sync_folder(os.path.dirname(self._path(key)))

    def _rename(self, source: str | Path, key: str) -> None:
        target = self._path(key)
        try:
            os.replace(source, target)
        except FileNotFoundError:
            self._make_folder(os.path.dirname(target))
            os.replace(source, target)

    def _all_into_place(self, keys: Sequence[str]) -> None:
        """Give contents that lie beside their names, which are all in the folder of the first."""
        for key in keys:
            self._rename(self._incoming / key, key)
        for key in keys[:1]:
            sync_folder(os.path.dirname(self._path(key)))

    def _make_folder(self, folder: str) -> None:
        try:
            os.mkdir(folder, 0o700)
        except FileExistsError:
            pass
        else:
            sync_folder(self._content)

    # --- uploads in parts

    def start_upload(self, upload: str, key: str) -> str:
        """Make the file that the parts of an upload go into."""
        with open(self._uploads / upload, "xb"):
            pass
        sync_folder(self._uploads)
        return upload

    def write_part(self, upload: str, n: int, offset: int, blocks: Iterable[Block]) -> Written:
        """Write one part as it streams, and force it to disk."""
        try:
            handle = os.open(self._uploads / upload, _WRITABLE)
        except FileNotFoundError:
            raise MissingContent(upload) from None
        try:
            written = _write_blocks(handle, blocks, offset)
            os.fsync(handle)
        finally:
            os.close(handle)
        return written

    def complete_upload(self, upload: str, key: str, parts: Sequence[Written], *, in_doubt: bool) -> None:
        """Make the parts of an upload the content under `key`: its file gets that name, or a copy of it if in doubt."""
        source = self._uploads / upload
        size = sum(part.size for part in parts)
        try:
            if in_doubt:
                if not self._copy_parts(source, key, parts):
                    raise MissingContent(upload)
                # Whoever still has it open writes into what has no name. Windows lets nobody remove it meanwhile.
                with contextlib.suppress(PermissionError):
                    source.unlink(missing_ok=True)
            else:
                _cut(source, size)
                self._into_place(source, key)
        except FileNotFoundError:
            # Somebody has done it just now, or before a crash; if in doubt, perhaps before parts were sent again.
            if not (self._is_content(key, parts) if in_doubt else self.size(key) == size):
                raise MissingContent(upload) from None
            return
        sync_folder(self._uploads)

    def _copy_parts(self, source: Path, key: str, parts: Sequence[Written]) -> bool:
        """Store a copy of parts that are what they were; none if some are not.

        Returns:
            False if there is other content under the key, which stays.
        """
        beside = self._incoming / f"{key}-{secrets.token_hex(4)}"
        wrong: list[int] = []
        try:
            with open(source, "rb") as file, open(beside, "xb") as copy:
                for n, part in enumerate(parts, 1):
                    if _copy(_read(file, part.size), copy) != part:
                        wrong.append(n)
                copy.flush()
                os.fsync(copy.fileno())
            if wrong:
                raise WrongParts(wrong)
            try:
                self._reserve_name(key)
            except FileExistsError:
                return self._is_content(key, parts)
            self._into_place(beside, key)
            return True
        finally:
            beside.unlink(missing_ok=True)

    def _reserve_name(self, key: str) -> None:
        """Make an empty file with the name of content, which only whoever has made it replaces.

        Raises:
            FileExistsError: there is content of that name, or somebody else is about to put some there.
        """
        self._make_folder(os.path.dirname(self._path(key)))
        os.close(os.open(self._path(key), _NEW, 0o666))

    def _is_content(self, key: str, parts: Sequence[Written]) -> bool:
        """Whether the content under a key is that of some parts."""
        try:
            with open(self._path(key), "rb") as file:
                return all(_summed(_read(file, part.size)) == part for part in parts) and not file.read(1)
        except FileNotFoundError:
            return False

    def part_address(self, upload: str, n: int, size: int, sha256: str) -> tuple[str, str]:
        """There is none: only the server writes the folder."""
        raise MissingContent(upload)

    def parts_held(self, upload: str) -> dict[int, set[tuple[int, str]]]:
        """Nothing: the server alone knows the parts."""
        return {}

    def has_upload(self, upload: str) -> bool:
        """Whether the file of an upload is there."""
        return (self._uploads / upload).exists()

    def straggling(self, parts: int) -> float:
        """None: what several do at once here is the same, and nobody but them does it."""
        return 0.0

    def drop_upload(self, upload: str) -> None:
        """Drop an upload and its parts, if they are there."""
        (self._uploads / upload).unlink(missing_ok=True)

    # --- what lies there

    def keys(self, prefix: str, unchanged_since: float) -> list[str]:
        """The keys with content that begin with two letters and were last written before a time (seconds)."""
        # Other names are not ours to judge.
        return [key for key in _older(self._content / prefix, unchanged_since) if KEY.fullmatch(key)]

    def prefixes(self) -> list[str]:
        """The letters that keys begin with."""
        return sorted(path.name for path in self._content.glob("*") if path.is_dir())

    def uploads(self, unchanged_since: float = math.inf) -> list[str]:
        """The uploads of which parts may lie here, last written before a time (seconds)."""
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
        if start:
            file.seek(start)

    def __iter__(self) -> Iterator[bytes]:
        return _read(self.file, self.length)

    def close(self) -> None:
        self.file.close()


def _read(file: BinaryIO, length: int) -> Iterator[bytes]:
    while length > 0 and (block := file.read(min(BLOCK, length))):
        length -= len(block)
        yield block


def _cut(path: Path, size: int) -> None:
    """Cut off what is behind the last part: a longer one that was sent again shorter leaves a tail."""
    with open(path, "r+b") as file:
        if os.fstat(file.fileno()).st_size != size:
            file.truncate(size)
            os.fsync(file.fileno())


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


def _give_name(path: Path, name: Path) -> None:
    """Give a file another name, unless there is one of that name.

    Raises:
        FileExistsError: there is.
    """
    try:
        os.link(path, name)
    except FileExistsError:
        raise
    except OSError:  # of a file system where a file has one name
        with open(name, "xb") as file:
            file.write(path.read_bytes())
            file.flush()
            os.fsync(file.fileno())


def _copy(blocks: Iterable[Block], file: BinaryIO) -> Written:
    def copied() -> Iterator[Block]:
        for block in blocks:
            file.write(block)
            yield block

    return _summed(copied())


def _summed(blocks: Iterable[Block]) -> Written:
    digest = hashlib.sha256()
    size = 0
    for block in blocks:
        digest.update(block)
        size += len(block)
    return Written(size, digest.hexdigest())


def _write_blocks(handle: int, blocks: Iterable[Block], offset: int = 0) -> Written:
    digest = hashlib.sha256()
    size = 0
    for block in blocks:
        _write_at(handle, block, offset + size)
        digest.update(block)
        size += len(block)
    return Written(size, digest.hexdigest())


def _write_at(handle: int, block: Block, offset: int) -> None:
    rest = memoryview(block)
    if not hasattr(os, "pwrite"):
        os.lseek(handle, offset, os.SEEK_SET)
    while rest:
        written = os.pwrite(handle, rest, offset) if hasattr(os, "pwrite") else os.write(handle, rest)
        rest = rest[written:]
        offset += written
