"""The files of a folder, uploaded or downloaded by several threads: small ones in batches, large ones by themselves.

A file that fails stops no other, unless the next would fail as well. A batch that is refused as a whole is halved,
down to single files, since a proxy may take less at once than the store.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import operator
import os
import pathlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Generic, Literal, NamedTuple, Protocol, TypeAlias, TypeVar

from edge_core.errors import ChecksumError, EdgeError, NotFound
from edge_core.replacing import NewFile, sync_folder
from edge_vfs import workers
from edge_vfs.content import Check
from edge_vfs.progress import Tracker
from edge_vfs.report import Tally, concerns_single_file
from edge_vfs.source import Source
from edge_vfs.store import BatchingStore, BatchLimits, FileStore, SmallFile, Stat
from edge_vfs.transfers import download
from edge_vfs.transfers.fetching import Buffers
from edge_vfs.transfers.local_tree import tell
from edge_vfs.transfers.part_file import naming, remove_abandoned, set_time
from edge_vfs.transfers.unchanged import is_time_of, is_unchanged, set_source_times

WRITTEN_TOGETHER = 25
"""Maximum number of files that a thread writes at once; as many are open."""

OnError: TypeAlias = Literal["continue", "stop"]
"""What becomes of the other files once a file has failed: they are transferred, or the call ends."""


class _Named(Protocol):
    """A file to transfer: its path below the folder of the call, and its bytes."""

    @property
    def below(self) -> str: ...
    @property
    def size(self) -> int: ...


_FileT = TypeVar("_FileT", bound=_Named)


class ToUpload(NamedTuple):
    """A local file to upload.

    Attributes:
        below: its path below the folder of the call.
        path: its path in the store.
        local: where it is.
        size: bytes.
        stored: what the store has at the path; None for nothing.
    """

    below: str
    path: str
    local: str
    size: int
    stored: Stat | None


class ToDownload(NamedTuple):
    """A file to download.

    Attributes:
        below: its path below the folder of the call.
        file: what it is, and where it goes.
    """

    below: str
    file: download.Planned

    @property
    def size(self) -> int:
        return self.file.stat.size or 0


class _Transfer(ABC, Generic[_FileT]):
    """The transfer of many files.

    Args:
        store: the store.
        tracker: counts what the call transfers.
        tally: notes what becomes of the files.
        on_error: what a failure does.

    Raises:
        ValueError: `on_error` is neither.
    """

    verb: str

    def __init__(self, store: FileStore, tracker: Tracker, tally: Tally, on_error: OnError) -> None:
        if on_error not in ("continue", "stop"):
            raise ValueError(f'on_error must be "continue" or "stop", not {on_error!r}')
        self._store = store
        self._batching = store if isinstance(store, BatchingStore) else None
        self._tracker = tracker
        self._tally = tally
        self._stops = on_error == "stop"

    def run(self, files: Sequence[_FileT]) -> None:
        """Transfer files, those first that come first; what both sides have already is skipped.

        Raises:
            Exception: a failure that ends the call; it says how many files were transferred before.
        """
        skipped = [False] * len(files)

        def compare(at: int) -> None:
            file = files[at]
            if self._is_unchanged(file):
                skipped[at] = True
                self._tracker.skip(file.size, files=1)
                self._tally.skipped(file.below)

        try:
            for at, file in enumerate(files):
                if (refusal := self._refusal(file)) is not None:
                    skipped[at] = True
                    self._failed(file, refusal)
            comparable = (at for at, file in enumerate(files) if not skipped[at] and self._may_be_unchanged(file))
            workers.each(compare, comparable)
            self._compared()
            workers.each(self._batch, self._batches(itertools.compress(files, map(operator.not_, skipped))))
        except BaseException as error:
            report = self._tally.report()
            done = len(report.sent) + len(report.skipped)
            tell(error, f"{done} of {len(files)} files had been {self.verb} before")
            raise

    @property
    def _limits(self) -> BatchLimits | None:
        """The largest batch; None if all files go by themselves."""
        return None if self._batching is None else self._batching.batch_limits

    def _batches(self, files: Iterable[_FileT]) -> Iterator[list[_FileT]]:
        batch: list[_FileT] = []
        content = 0
        for file in files:
            limits = self._limits
            if limits is None or file.size > limits.file:
                yield [file]
                continue
            if len(batch) == limits.files or content + file.size > limits.content:
                yield batch
                batch, content = [], 0
            batch.append(file)
            content += file.size
        if batch:
            yield batch

    def _single(self, file: _FileT) -> None:
        try:
            self._transfer(file)
        except Exception as error:
            self._failed(file, error)
        else:
            self._tally.sent(file.below, file.size)

    def _arrived(self, file: _FileT, path: str, size: int) -> None:
        """Count a file that went in a batch."""
        with self._tracker.file(path, file.size) as counted:
            counted.add(size)
        self._tally.sent(file.below, size)

    def _failed(self, file: _FileT, error: Exception) -> None:
        if self._stops:
            raise error
        self._tally.failed(file.below, error)

    def _refusal(self, file: _FileT) -> EdgeError | None:
        """Return why a file cannot be transferred, if that is known before it is looked at."""
        return None

    @abstractmethod
    def _may_be_unchanged(self, file: _FileT) -> bool:
        """Return whether it is worth to look at both sides of a file."""

    @abstractmethod
    def _is_unchanged(self, file: _FileT) -> bool:
        """Return whether both sides have the content of a file."""

    def _compared(self) -> None:
        """Do what is to be done once all files were compared."""

    @abstractmethod
    def _transfer(self, file: _FileT) -> None:
        """Transfer a file by itself."""

    @abstractmethod
    def _batch(self, files: Sequence[_FileT]) -> None:
        """Transfer files that go together."""


class Uploads(_Transfer[ToUpload]):
    """The upload of many files.

    Args:
        store: the store.
        tracker: counts what the call uploads.
        tally: notes what becomes of the files.
        on_error: what a failure does.
        overwrite: False refuses to replace a file.
        write: uploads a file by itself.
        refusal: tells why a file cannot be uploaded, if that is known; else None.

    Raises:
        ValueError: `on_error` is neither.
    """

    verb = "uploaded"

    def __init__(
        self,
        store: FileStore,
        tracker: Tracker,
        tally: Tally,
        on_error: OnError,
        *,
        overwrite: bool,
        write: Callable[[ToUpload], None],
        refusal: Callable[[ToUpload], EdgeError | None],
    ) -> None:
        super().__init__(store, tracker, tally, on_error)
        self._overwrite = overwrite
        self._other_times: list[tuple[Stat, int]] = []  # of unchanged files
        self._write = write
        self._refuse = refusal

    def _refusal(self, file: ToUpload) -> EdgeError | None:
        return self._refuse(file)

    def _may_be_unchanged(self, file: ToUpload) -> bool:
        return file.stored is not None and file.stored.size == file.size

    def _is_unchanged(self, file: ToUpload) -> bool:
        try:
            time = os.stat(file.local).st_mtime_ns
            if file.stored is None or not is_unchanged(self._store, file.path, file.stored, file.local):
                return False
        except (OSError, NotFound):
            return False  # which is told when it is opened again, if it still is so
        if not is_time_of(time, file.stored):
            self._other_times.append((file.stored, time))
        return True

    def _compared(self) -> None:
        set_source_times(self._store, self._other_times)

    def _transfer(self, file: ToUpload) -> None:
        self._write(file)

    def _batch(self, files: Sequence[ToUpload]) -> None:
        small: list[tuple[ToUpload, SmallFile]] = []
        for file in files:
            try:
                content = self._read(file)
            except Exception as error:
                self._failed(file, error)
            else:
                if content is None:
                    self._single(file)
                else:
                    small.append((file, content))
        self._send(small)

    def _read(self, file: ToUpload) -> SmallFile | None:
        """Return a file with its content; None if it has to go by itself."""
        limits = self._limits
        if limits is None or file.size > limits.file:
            return None
        with Source(file.local) as source:
            content = source.small(limits.file)
            if content is None:
                return None
            return SmallFile(file.path, content, hashlib.sha256(content).hexdigest(), source.mtime_ns)

    def _send(self, small: Sequence[tuple[ToUpload, SmallFile]]) -> None:
        if len(small) < 2 or self._batching is None or self._batching.batch_limits is None:
            for file, _ in small:
                self._single(file)
            return
        try:
            errors = self._batching.write_many([content for _, content in small], overwrite=self._overwrite)
        except EdgeError as error:
            if not concerns_single_file(error):
                raise
            middle = len(small) // 2
            self._send(small[:middle])
            self._send(small[middle:])
            return
        for (file, content), failure in zip(small, errors, strict=True):
            if failure is None:
                self._arrived(file, file.path, len(content.content))
            else:
                self._failed(file, failure)


class Downloads(_Transfer[ToDownload]):
    """The download of many files.

    Args:
        store: the store.
        tracker: counts what the call downloads.
        tally: notes what becomes of the files.
        on_error: what a failure does.
        max_workers: maximum number of connections of a large file.

    Raises:
        ValueError: `on_error` is neither.
    """

    verb = "downloaded"

    def run(self, files: Sequence[ToDownload]) -> None:
        by_folder: dict[pathlib.Path, list[str]] = {}
        for file in files:
            by_folder.setdefault(file.file.target.parent, []).append(file.file.target.name)
        for folder, names in by_folder.items():
            remove_abandoned(folder, names)
        try:
            super().run(files)
        finally:
            self._buffers.release()

    def __init__(
        self, store: FileStore, tracker: Tracker, tally: Tally, on_error: OnError, *, max_workers: int
    ) -> None:
        super().__init__(store, tracker, tally, on_error)
        self._max_workers = max_workers
        self._buffers = Buffers()

    def _may_be_unchanged(self, file: ToDownload) -> bool:
        try:
            return os.path.getsize(file.file.target) == file.file.stat.size
        except OSError:
            return False

    def _is_unchanged(self, file: ToDownload) -> bool:
        path, stat, target = file.file
        try:
            if not is_unchanged(self._store, path, stat, target):
                return False
        except (OSError, NotFound):
            return False  # which is told when it is replaced, if that fails as well
        set_time(target, download.mtime_ns(self._store.reader(path, stat), stat))
        return True

    def _transfer(self, file: ToDownload) -> None:
        path, stat, target = file.file
        download.fetch(
            self._store, path, stat, target, self._tracker, max_workers=self._max_workers, buffers=self._buffers
        )

    def _batch(self, files: Sequence[ToDownload]) -> None:
        if len(files) < 2 or self._batching is None or self._batching.batch_limits is None:
            for file in files:
                self._single(file)
            return
        try:
            contents = self._batching.read_many([(file.file.path, file.file.stat) for file in files])
        except EdgeError as error:
            if not concerns_single_file(error):
                raise
            middle = len(files) // 2
            self._batch(files[:middle])
            self._batch(files[middle:])
            return
        received: list[tuple[ToDownload, bytes]] = []
        for file, content in zip(files, contents, strict=True):
            if content is None:
                self._single(file)
            else:
                received.append((file, content))
        for begin in range(0, len(received), WRITTEN_TOGETHER):
            self._write(received[begin : begin + WRITTEN_TOGETHER])

    def _write(self, received: Sequence[tuple[ToDownload, bytes]]) -> None:
        """Write files, and wait for the disk once for the names of all that are in one folder."""
        with contextlib.ExitStack() as stack:
            written: list[tuple[ToDownload, NewFile]] = []
            for file, content in received:
                try:
                    written.append((file, stack.enter_context(self._written(file, content))))
                except Exception as error:
                    self._failed(file, error)
            folders: set[str] = set()
            try:
                for file, new in written:
                    folders.add(new.folder)
                    self._publish(file, new)
            finally:
                for folder in folders:
                    sync_folder(folder)

    def _written(self, file: ToDownload, content: bytes) -> NewFile:
        """Write content beside a file's place."""
        stat = file.file.stat
        if len(content) != stat.size:
            raise ChecksumError(
                f"the server sent {len(content)} bytes of {stat.name}, which has {stat.size}; try again"
            )
        Check(stat).see(0, content)
        with naming(file.file.target), contextlib.ExitStack() as stack:
            new = stack.enter_context(NewFile(file.file.target))
            new.file.write(content)
            new.file.flush()
            set_time(new.file.fileno(), self._mtime_ns(file))
            stack.pop_all()
        return new

    def _publish(self, file: ToDownload, new: NewFile) -> None:
        try:
            with naming(file.file.target):
                new.publish()
            if os.utime not in os.supports_fd:
                set_time(file.file.target, self._mtime_ns(file))
        except Exception as error:
            self._failed(file, error)
        else:
            self._arrived(file, file.file.path, file.size)

    def _mtime_ns(self, file: ToDownload) -> int:
        path, stat, _ = file.file
        return download.mtime_ns(self._store.reader(path, stat), stat)
