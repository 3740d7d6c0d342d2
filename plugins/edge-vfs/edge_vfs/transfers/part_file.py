"""The local file of a download that is not complete: beside its target, and what is there outlives an interruption.

Its name follows from the target and the version, so that the next download of both finds it. Only this user can
read it until it gets the target's name. Several processes may write to it at once, as they write the same bytes at the
same places. No lock decides anything, since locks succeed for everyone on some network file systems.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import pathlib
import re
import shutil
import stat
import threading
import time
from collections.abc import Iterable, Iterator

from edge_core.replacing import STEM, replacing, sync_folder
from edge_vfs.transfers.local_names import MAX_BYTES
from edge_vfs.workers import Stopped

BLOCK = 1 << 20
"""Bytes that are read and written at once."""

_DIGITS = 24
"""Of a name that can be foretold; `replacing` has 16 that cannot be."""

_UNFORESEEN_DIGITS = 32

_OURS = re.compile(rf"\..+\.([0-9a-f]{{16}}|[0-9a-f]{{{_DIGITS}}}|[0-9a-f]{{{_UNFORESEEN_DIGITS}}})\.part", re.S)

_RENAMES_OPEN = os.name != "nt"
"""Whether the system renames a file that is open."""

_FLAGS = os.O_RDWR | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)


def is_part(name: str) -> bool:
    """Return whether a local file is what an interrupted download left.

    >>> is_part(".plate-7.csv.0123456789abcdef01234567.part")
    True
    >>> is_part("chapter.part")
    False
    """
    return _OURS.fullmatch(name) is not None


ABANDONED = 3600.0
"""Seconds after which nobody writes to a file any more whose name nobody can foretell: connections fail far sooner."""


def remove_abandoned(folder: pathlib.Path, names: Iterable[str]) -> None:
    """Remove what downloads that were killed have left of small files; no other process finds it by its name.

    Only this user's regular files go, with a single name, which nobody has touched for `ABANDONED` seconds.

    Args:
        folder: a local folder.
        names: the names of the downloaded files in it.
    """
    left: list[os.DirEntry[str]] = []
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        left = [entry for entry in entries if entry.name.endswith(".part") and _is_unforeseen(entry.name)]
    if not left:
        return
    stems = {stem for name in names for stem in (_stem(name), name[:STEM])}
    for entry in left:
        with contextlib.suppress(OSError):
            if entry.name[1:].rsplit(".", 2)[0] in stems and _is_abandoned(os.lstat(entry.path)):
                os.unlink(entry.path)


def _is_unforeseen(name: str) -> bool:
    digits = _OURS.fullmatch(name)
    return digits is not None and len(digits[1]) != _DIGITS


def _is_abandoned(status: os.stat_result) -> bool:
    # The time of modification alone can be that of the source already.
    touched = max(status.st_mtime, status.st_ctime)
    return _is_own(status) and time.time() - touched > ABANDONED


def _is_own(status: os.stat_result) -> bool:
    """Return whether something is a regular file of this user, with a single name."""
    return (
        stat.S_ISREG(status.st_mode)
        and status.st_nlink == 1
        and (not hasattr(os, "geteuid") or status.st_uid == os.geteuid())
    )


class PartFile:
    """Opens the file of a download, and removes those of other versions of the same target.

    Where something else has its name, such as a link or another user's file, that is left alone, and a file of a name
    that nobody can foretell takes its place; the next download does not find that one.

    Args:
        target: the local file that is downloaded.
        version: what the version's content follows from.
        size: bytes of the content.

    Attributes:
        held: bytes from the beginning that an earlier download may have written; they are still to be checked.

    Raises:
        OSError: nothing can be written in the folder of `target`.
    """

    def __init__(self, target: pathlib.Path, version: str, size: int) -> None:
        self._target = target
        self._size = size
        self._stem = _stem(target.name)
        self._path = self._beside(hashlib.sha256(f"{size}\0{version}".encode()).hexdigest()[:_DIGITS])
        self._users = 1  # threads that read or write, and this object until it is closed
        self._counting = threading.Lock()
        self._is_closed = False
        self._seeking = threading.Lock()
        self._remove_others()
        with naming(self._target):
            handle = self._ours()
            self._is_private = handle is None
            if handle is None:
                self._path = self._unforeseen()
                handle = os.open(self._path, _FLAGS | os.O_CREAT | os.O_EXCL, 0o600)
        self._handle = handle
        self._identity = _identity(os.fstat(handle))
        self.held = min(os.fstat(handle).st_size, size)

    def read(self, size: int, offset: int) -> bytes:
        """Return up to `size` bytes from byte `offset` on; fewer at the end of what is there."""
        with self._used():
            if hasattr(os, "pread"):
                return os.pread(self._handle, size, offset)
            with self._seeking:
                os.lseek(self._handle, offset, os.SEEK_SET)
                return os.read(self._handle, size)

    def write(self, block: bytes | memoryview, offset: int) -> None:
        """Write a block from byte `offset` on; any number of threads may do so at once.

        Raises:
            OSError: it cannot be written.
        """
        with self._used(), naming(self._target):
            written = 0
            # Views are released, as an error's traceback may keep them, and with them the memory that they show.
            with memoryview(block) as view:
                while written < len(view):
                    with view[written:] as rest:
                        written += self._write_once(rest, offset + written)

    def _write_once(self, block: memoryview, offset: int) -> int:
        if hasattr(os, "pwrite"):
            return os.pwrite(self._handle, block, offset)
        # Windows: the position is the handle's, which all threads share.
        with self._seeking:
            os.lseek(self._handle, offset, os.SEEK_SET)
            return os.write(self._handle, block)

    def is_published(self) -> bool:
        """Return whether another process has completed this file and given it the target's name."""
        try:
            return _identity(os.stat(self._target, follow_symlinks=False)) == self._identity
        except OSError:
            return False

    def publish(self, mtime_ns: int) -> None:
        """Give the file, which is complete and checked, the target's name; it is closed then.

        Args:
            mtime_ns: the time of its modification, in nanoseconds since 1970 in UTC.

        Raises:
            OSError: the target cannot be replaced.
        """
        with naming(self._target):
            if os.fstat(self._handle).st_size > self._size:
                os.ftruncate(self._handle, self._size)
            if not self.is_published() and hasattr(os, "fchmod"):
                os.fchmod(self._handle, self._usual_mode())
            # Also of a published file: what this process wrote to it since has changed its time.
            set_time(self._handle, mtime_ns)
            os.fsync(self._handle)
            if not _RENAMES_OPEN:
                self.close()
            if not self.is_published() and not self._rename():
                self._copy(mtime_ns)
            if os.utime not in os.supports_fd:
                set_time(self._target, mtime_ns)
            self.close()
            sync_folder(self._target.parent)

    def _rename(self) -> bool:
        """Give the file the target's name; return whether it still had its own, under which nobody holds it fast.

        It gets a name first that no other process knows. Otherwise another process could replace it in the moment
        after this one looked whether it is still there, and something incomplete would become the target.
        """
        own = self._unforeseen()
        try:
            os.rename(self._path, own)
        except OSError:
            return False
        try:
            is_ours = _identity(os.lstat(own)) == self._identity
            if is_ours:
                os.replace(own, self._target)
        except BaseException:
            os.rename(own, self._path)
            raise
        if not is_ours:
            os.rename(own, self._path)
        return is_ours

    def _copy(self, mtime_ns: int) -> None:
        """Write the content to a file of its own: another process has completed or removed this one."""
        with replacing(self._target) as copy:
            with open(self._path if self._is_closed else self._handle, "rb", closefd=self._is_closed) as content:
                content.seek(0)
                shutil.copyfileobj(content, copy, BLOCK)
            copy.flush()
            set_time(copy.fileno(), mtime_ns)

    def discard(self) -> None:
        """Remove the file, unless another process has completed or replaced it."""
        self.close()
        with contextlib.suppress(OSError):
            if _identity(os.lstat(self._path)) == self._identity:
                os.unlink(self._path)

    def close(self) -> None:
        """Close the file once no thread reads or writes it; closing it again does nothing."""
        with self._counting:
            if self._is_closed:
                return
            self._is_closed = True
        self._leave()

    def is_empty(self) -> bool:
        """Return whether nothing was written."""
        return not self._is_closed and os.fstat(self._handle).st_size == 0

    @property
    def kept_at(self) -> pathlib.Path | None:
        """Where the next download of the same version finds what was written; None if it does not."""
        return None if self._is_private else self._path

    @contextlib.contextmanager
    def _used(self) -> Iterator[None]:
        """Keep the file open meanwhile: its handle's number may belong to another file as soon as it is closed."""
        with self._counting:
            if self._is_closed:
                raise Stopped
            self._users += 1
        try:
            yield
        finally:
            self._leave()

    def _leave(self) -> None:
        with self._counting:
            self._users -= 1
            if self._users:
                return
        os.close(self._handle)

    def _ours(self) -> int | None:
        """Open or make the file of the name that can be foretold; return None if something else has it."""
        for _ in range(3):  # another process may make or remove it at any time
            with contextlib.suppress(FileExistsError):
                handle = os.open(self._path, _FLAGS | os.O_CREAT | os.O_EXCL, 0o600)
                if self._is_ours(handle):
                    return handle
                os.close(handle)
                os.unlink(self._path)
                return None  # the file system keeps no owners
            try:
                handle = os.open(self._path, _FLAGS)
            except FileNotFoundError:
                continue
            except OSError:
                return None
            if self._is_ours(handle):
                if hasattr(os, "fchmod"):
                    os.fchmod(handle, 0o600)
                return handle
            os.close(handle)
            return None
        return None

    def _is_ours(self, handle: int) -> bool:
        """Return whether an open file is a regular one of this user, under this name and no other."""
        try:
            here, named = os.fstat(handle), os.lstat(self._path)
        except OSError:
            return False
        return _is_own(here) and _identity(here) == _identity(named)

    def _remove_others(self) -> None:
        """Remove the files of other versions; another process that still downloads one finds that out at its end."""
        name = re.compile(re.escape(f".{self._stem}.") + rf"[0-9a-f]{{{_DIGITS}}}\.part")
        with contextlib.suppress(OSError), os.scandir(self._target.parent) as entries:
            for entry in entries:
                if (
                    name.fullmatch(entry.name)
                    and entry.name != self._path.name
                    and entry.is_file(follow_symlinks=False)
                ):
                    with contextlib.suppress(OSError):
                        os.unlink(entry.path)

    def _usual_mode(self) -> int:
        """Return the permissions of a new file in the folder: they follow from the umask, or from the folder's own."""
        probe = self._unforeseen()
        handle = os.open(probe, _FLAGS | os.O_CREAT | os.O_EXCL, 0o666)
        try:
            return stat.S_IMODE(os.fstat(handle).st_mode)
        finally:
            os.close(handle)
            os.unlink(probe)

    def _unforeseen(self) -> pathlib.Path:
        """Return a name that nobody can foretell."""
        return self._beside(os.urandom(_UNFORESEEN_DIGITS // 2).hex())

    def _beside(self, digits: str) -> pathlib.Path:
        return self._target.with_name(f".{self._stem}.{digits}.part")


@contextlib.contextmanager
def naming(target: pathlib.Path) -> Iterator[None]:
    """Name the target in an error of the system, whose reader knows nothing of the file beside it."""
    try:
        yield
    except OSError as error:
        if error.errno is not None:
            error.filename = os.fspath(target)
            del error.filename2  # None would be shown
        raise


def set_time(file: int | pathlib.Path, mtime_ns: int) -> None:
    """Set the time of a file's modification, where the system and the file system can; the content is what counts.

    Args:
        file: the handle of an open file, of which not every system sets times, or a path.
        mtime_ns: nanoseconds since 1970 in UTC.
    """
    if isinstance(file, int) and os.utime not in os.supports_fd:
        return
    with contextlib.suppress(OSError, OverflowError):
        os.utime(file, ns=(mtime_ns, mtime_ns))


def _stem(name: str) -> str:
    """Return a file's name, or what stands for one that is too long to be part of another name."""
    room = MAX_BYTES - len("...part") - _UNFORESEEN_DIGITS
    if len(name.encode(errors="surrogateescape")) <= room:
        return name
    digits = hashlib.sha256(name.encode(errors="surrogateescape")).hexdigest()[:16]
    cut = name.encode(errors="surrogateescape")[: room - len(digits) - 1]
    return f"{cut.decode(errors='ignore')}~{digits}"


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino
