"""Making one folder like another: what differs is transferred, and what the source does not have can be deleted.

Both sides are listed and compared before anything is changed.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import unicodedata
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Literal, NamedTuple, TypeAlias

from edge_core.errors import AlreadyExists, BadEntry, Conflict, EdgeError, NotFound
from edge_vfs import listing, workers
from edge_vfs.advice import advice
from edge_vfs.content import expected
from edge_vfs.progress import Tracker
from edge_vfs.report import IncompleteTransfer, SyncReport, Tally
from edge_vfs.store import FileStore, Stat, TimeSettingStore, VersionDeletingStore
from edge_vfs.transfers import download, local_names, local_tree, many
from edge_vfs.transfers.filters import Filters
from edge_vfs.transfers.local_tree import LocalFile, LocalTree
from edge_vfs.transfers.part_file import is_part, set_time
from edge_vfs.transfers.unchanged import is_time_of, is_unchanged, set_source_times, source_mtime_ns

Direction: TypeAlias = Literal["up", "down"]
"""Whether the local folder is the source, or the target."""

Compare: TypeAlias = Literal["digest", "time"]
"""How files of equal size are compared: by their content, or by the time when they were last modified."""

Planned: TypeAlias = Callable[[SyncReport], object] | None
"""Called before anything is changed, with what is going to be."""


class Options(NamedTuple):
    """What a call asks for; see `Folder.sync`."""

    delete: bool
    dry_run: bool
    allow_empty: bool
    filters: Filters
    compare: Compare
    on_error: many.OnError
    max_workers: int
    planned: Planned


class _Pair(NamedTuple):
    """A file of the source, with what the store has in its place, and the local file."""

    path: str
    stat: Stat | None
    local: str
    size: int


class _OtherTime(NamedTuple):
    """A file that both sides have, with different times: the local file, what the store says, and the local time."""

    local: str
    stat: Stat
    mtime_ns: int


class _Sync(ABC):
    """One call.

    Args:
        store: the store.
        path: path of the folder in the store.
        top: the local folder.
        normalized: whether the store takes names for the same that differ only in Unicode's normal form.
        tracker: counts what the call transfers.
        options: what the call asks for.
    """

    verb: str

    def __init__(
        self, store: FileStore, path: str, top: pathlib.Path, tracker: Tracker, options: Options, *, normalized: bool
    ) -> None:
        self._store = store
        self._path = path
        self._top = top
        self._tracker = tracker
        self._options = options
        self._normalized = normalized
        self._tally = Tally()
        self._other_times: list[_OtherTime] = []
        self._deleted: list[str] = []
        self._emptied: set[str] = set()  # folders above files that were deleted

    def run(self) -> SyncReport:
        """List, compare, transfer and delete; returns what became of the files.

        Raises:
            IncompleteTransfer: files failed, and all others were transferred.
        """
        pairs = self._list()
        changed = self._compare(pairs)
        extra = self._extra() if self._options.delete else []
        if extra and not pairs and not self._options.allow_empty:
            raise BadEntry(
                f"the source has no files, and {_counted(extra)} would be deleted; check it, or {advice('allow_empty')}"
            )
        plan = self._plan(changed, extra)
        if self._options.planned is not None:
            self._options.planned(plan)
        if self._options.dry_run:
            return plan
        self._set_times(self._other_times)
        self._make_folders()
        self._transfer(changed)
        try:
            self._tally.require_complete(self.verb)
        except IncompleteTransfer as error:
            kept = f"; nothing was deleted, {_counted(extra)} would have been" if extra else ""
            raise IncompleteTransfer(f"{error.args[0]}{kept}", self._report()) from error.__cause__
        self._delete(extra)
        try:
            self._tally.require_complete(f"{self.verb} or deleted")
        except IncompleteTransfer as error:
            raise IncompleteTransfer(error.args[0], self._report()) from error.__cause__
        return self._report()

    def _compare(self, pairs: Sequence[_Pair]) -> list[_Pair]:
        """Return the files that differ, and note the others."""
        differing = [True] * len(pairs)

        def compare(at: int) -> None:
            pair = pairs[at]
            if self._is_unchanged(pair):
                differing[at] = False
                self._tracker.skip(pair.size, files=1)
                self._tally.skipped(pair.path)

        workers.each(compare, range(len(pairs)))
        return [pair for pair, differs in zip(pairs, differing, strict=True) if differs]

    def _is_unchanged(self, pair: _Pair) -> bool:
        stat = pair.stat
        if stat is None or stat.kind != "file":
            return False
        try:
            local = os.stat(pair.local)
            if local.st_size != stat.size:
                return False
            place = listing.joined(self._path, pair.path)
            if self._options.compare == "time":
                if expected(stat)[0] is None:
                    stat = self._store.stat(place)  # knows more than a list, in some stores
                if is_time_of(local.st_mtime_ns, stat):
                    return True
                if not self._sets_times:
                    return False  # it is transferred, once; or else it would be read each time
            if not is_unchanged(self._store, place, stat, pair.local):
                return False
            if not is_time_of(local.st_mtime_ns, stat):
                self._other_times.append(_OtherTime(pair.local, stat, local.st_mtime_ns))
            return True
        except (OSError, NotFound):
            return False  # which is told when it is transferred, if that fails as well

    def _plan(self, changed: Sequence[_Pair], extra: Sequence[str]) -> SyncReport:
        sent = tuple(sorted(pair.path for pair in changed))
        skipped = self._tally.report().skipped
        return SyncReport(sent, skipped, (), sum(pair.size for pair in changed), 0.0, tuple(sorted(extra)))

    def _report(self) -> SyncReport:
        report = self._tally.report()
        return SyncReport(
            report.sent, report.skipped, report.failed, report.bytes, report.seconds, tuple(sorted(self._deleted))
        )

    def _delete(self, extra: Sequence[str]) -> None:
        """Delete files, then the folders that are empty by then, each after what is in it."""
        folders = self._folders_of(extra)
        workers.each(self._delete_file, [path for path in extra if path not in folders])
        self._emptied = {path[:end] for path in self._deleted for end in range(len(path)) if path[end] == "/"}
        for path in sorted(folders, key=lambda path: path.count("/"), reverse=True):
            self._delete_entry(path, self._delete_folder)

    def _delete_file(self, path: str) -> None:
        self._delete_entry(path, self._remove)

    def _delete_entry(self, path: str, delete: Callable[[str], bool]) -> None:
        try:
            if delete(path):
                self._deleted.append(path)
        except Exception as error:
            if self._options.on_error == "stop":
                raise
            self._tally.failed(path, error)

    @abstractmethod
    def _list(self) -> list[_Pair]:
        """List both sides; return the files of the source."""

    @abstractmethod
    def _extra(self) -> list[str]:
        """Return the files and folders of the target that the source does not have."""

    @property
    @abstractmethod
    def _sets_times(self) -> bool:
        """Whether the target takes the time of a file without its content."""

    @abstractmethod
    def _set_times(self, files: Sequence[_OtherTime]) -> None:
        """Give files of the target that are unchanged the times they have at the source, if it takes them."""

    @abstractmethod
    def _make_folders(self) -> None:
        """Make the folders of the source that the target does not have."""

    @abstractmethod
    def _transfer(self, changed: Sequence[_Pair]) -> None:
        """Transfer files."""

    @abstractmethod
    def _folders_of(self, extra: Sequence[str]) -> set[str]:
        """Return those of the target's paths that are folders."""

    @abstractmethod
    def _remove(self, path: str) -> bool:
        """Delete a file of the target; returns whether it was there."""

    @abstractmethod
    def _delete_folder(self, path: str) -> bool:
        """Delete a folder of the target if it is empty; returns whether it was."""


class Upload(_Sync):
    """Makes a folder of the store like the local one.

    Args:
        write: uploads a file by itself.
    """

    verb = "uploaded"

    def __init__(
        self,
        store: FileStore,
        path: str,
        top: pathlib.Path,
        tracker: Tracker,
        options: Options,
        *,
        normalized: bool,
        write: Callable[[many.ToUpload], None],
    ) -> None:
        super().__init__(store, path, top, tracker, options, normalized=normalized)
        self._write = write
        self._tree = LocalTree([], [], [])
        self._stored: dict[str, Stat] = {}

    def _list(self) -> list[_Pair]:
        self._tree = _scan(self._top, self._tracker, self._options.filters, normalized=self._normalized)
        if self._tree.skipped:
            warnings.warn(f"{self._tree.sentence(self._top)}; skipped", UserWarning, stacklevel=5)
        self._stored = _stored(self._store, self._path)
        pairs = []
        for file in self._tree.files:
            path = self._as_stored(file.below)
            pairs.append(_Pair(path, self._stored.get(path), file.path, file.size))
        return pairs

    def _extra(self) -> list[str]:
        filters = self._options.filters
        kept = {self._as_stored(file.below) for file in self._tree.files}
        kept |= {self._as_stored("/".join(parts)) for parts in self._tree.folders}
        # What is here, but cannot be uploaded, is not missing here.
        unclear = [self._as_stored(pathlib.PurePath(path).as_posix()) for path, _ in self._tree.skipped]
        extra = [
            path
            for path, stat in self._stored.items()
            if path not in kept
            and (filters.takes_folder(path) if stat.kind == "folder" else filters.takes(path))
            and not is_part(stat.name)
        ]
        return list(_outside(extra, unclear))

    @property
    def _sets_times(self) -> bool:
        return isinstance(self._store, TimeSettingStore)

    def _set_times(self, files: Sequence[_OtherTime]) -> None:
        set_source_times(self._store, [(stat, mtime_ns) for _, stat, mtime_ns in files])

    def _make_folders(self) -> None:
        if self._path:
            self._store.make_folder(self._path, exist_ok=True)
        for below in self._tree.empty_folders():
            path = self._as_stored(below)
            if path in self._stored or not self._options.filters.takes_folder(below):
                continue
            try:
                self._store.make_folder(listing.joined(self._path, path), exist_ok=True)
            except EdgeError as error:
                if self._options.on_error == "stop":
                    raise
                self._tally.failed(path, error)

    def _transfer(self, changed: Sequence[_Pair]) -> None:
        options = self._options
        uploads = many.Uploads(
            self._store,
            self._tracker,
            self._tally,
            options.on_error,
            overwrite=True,
            write=self._write,
            refusal=_refusal,
        )
        uploads.run(
            [
                many.ToUpload(
                    pair.path,
                    listing.joined(self._path, pair.path),
                    pair.local,
                    pair.size,
                    # A file was compared already.
                    pair.stat if pair.stat is not None and pair.stat.kind == "folder" else None,
                )
                for pair in changed
            ]
        )

    def _folders_of(self, extra: Sequence[str]) -> set[str]:
        return {path for path in extra if self._stored[path].kind == "folder"}

    def _remove(self, path: str) -> bool:
        place, version = listing.joined(self._path, path), self._stored[path].version
        try:
            if version is not None and isinstance(self._store, VersionDeletingStore):
                self._store.delete_version(place, version)
            else:
                self._delete_stored(path)
        except NotFound:
            return False
        return True

    def _delete_folder(self, path: str) -> bool:
        try:
            self._delete_stored(path)
        except NotFound:
            # In a bucket a folder goes with the last file in it.
            return path in self._emptied
        except Conflict as error:
            # Something is in it that has come meanwhile, or does not take part.
            if error.code not in (None, "not_empty"):
                raise
            return False
        return True

    def _delete_stored(self, path: str) -> None:
        place = listing.joined(self._path, path)
        self._store.delete(place, recursive=False, tracker=Tracker("delete", place, False))

    def _as_stored(self, path: str) -> str:
        return unicodedata.normalize("NFC", path) if self._normalized else path


class Download(_Sync):
    """Makes a local folder like the one of the store."""

    verb = "downloaded"

    def __init__(
        self, store: FileStore, path: str, top: pathlib.Path, tracker: Tracker, options: Options, *, normalized: bool
    ) -> None:
        super().__init__(store, path, top, tracker, options, normalized=normalized)
        self._folders: list[pathlib.Path] = []
        self._files: dict[str, download.Planned] = {}
        self._local_folders: set[str] = set()
        self._local_files: dict[str, LocalFile] = {}

    def _list(self) -> list[_Pair]:
        if not self._top.is_dir():
            local_names.check_folder(self._top)
        folders, files = download.plan(
            self._store, self._path, self._top, self._tracker, portable=False, filters=self._options.filters
        )
        begin = len(self._path) + bool(self._path)
        self._files = {file.path[begin:]: file for file in files if not is_part(file.target.name)}
        parents = {file.target.parent for file in files}
        holding = parents.union(above for parent in parents for above in parent.parents)
        takes = self._options.filters.takes_folder
        self._folders = [folder for folder in folders if folder in holding or takes(self._below(folder))]
        return [_Pair(path, file.stat, str(file.target), file.stat.size or 0) for path, file in self._files.items()]

    @property
    def _sets_times(self) -> bool:
        return True

    def _set_times(self, files: Sequence[_OtherTime]) -> None:
        for local, stat, _ in files:
            time = source_mtime_ns(stat)
            if time is None and self._options.compare == "time":
                time = download.stored_ns(stat)
            if time is not None:
                set_time(pathlib.Path(local), time)

    def _extra(self) -> list[str]:
        if not self._top.is_dir():
            return []
        quiet = Tracker("check", self._path, False)
        tree = _scan(self._top, quiet, self._options.filters, normalized=False)
        kept = {file.target for file in self._files.values()}
        listed = set(self._folders)
        takes = self._options.filters.takes_folder
        folders = [
            folder
            for folder in (self._top.joinpath(*parts) for parts in tree.folders)
            if folder not in listed and takes(self._below(folder))
        ]
        files = [pathlib.Path(file.path) for file in tree.files if pathlib.Path(file.path) not in kept]
        # On a file system without cases, and in another normal form, a name can be that of a file that stays.
        names = {local_names.same(str(path)): path for path in kept | listed}
        self._local_folders = {self._below(folder) for folder in folders}
        self._local_files = {file.below: file for file in tree.files}
        return [self._below(path) for path in (*files, *folders) if not _is_same(path, names)]

    def _make_folders(self) -> None:
        local_names.make_folder(self._top) if not self._top.is_dir() else None
        for folder in self._folders:
            local_names.make_folder(folder)

    def _transfer(self, changed: Sequence[_Pair]) -> None:
        options = self._options
        downloads = _ComparedDownloads(
            self._store, self._tracker, self._tally, options.on_error, max_workers=options.max_workers
        )
        downloads.run([many.ToDownload(pair.path, self._files[pair.path]) for pair in changed])

    def _folders_of(self, extra: Sequence[str]) -> set[str]:
        return self._local_folders.intersection(extra)

    def _remove(self, path: str) -> bool:
        file, place = self._local_files[path], self._top / path
        try:
            here = os.stat(place)
            if (here.st_size, here.st_mtime_ns) != (file.size, file.mtime_ns):
                raise Conflict(f"{str(place)!r} was changed since it was listed, and stays; look at it, then try again")
            os.unlink(place)
        except FileNotFoundError:
            return False
        return True

    def _delete_folder(self, path: str) -> bool:
        try:
            os.rmdir(self._top / path)
        except OSError:
            return False  # something is in it that has come meanwhile, or does not take part
        return True

    def _below(self, path: pathlib.Path) -> str:
        return path.relative_to(self._top).as_posix()


class _ComparedDownloads(many.Downloads):
    """The download of files that were compared already."""

    def _may_be_unchanged(self, file: many.ToDownload) -> bool:
        return False


def _refusal(file: many.ToUpload) -> EdgeError | None:
    if file.stored is None:
        return None
    return AlreadyExists(f"{file.path!r} is a folder; rename one of them")


def _scan(top: pathlib.Path, tracker: Tracker, filters: Filters, *, normalized: bool) -> LocalTree:
    """Look at a local folder; unfinished downloads, which are left out, are not spoken of."""
    tree = local_tree.scan(top, tracker, normalized=normalized, filters=filters)
    skipped = [(path, reason) for path, reason in tree.skipped if not is_part(os.path.basename(path))]
    return tree._replace(skipped=skipped)


def _stored(store: FileStore, path: str) -> dict[str, Stat]:
    """Return all that is below a folder, which may not be there; by the paths from there.

    Raises:
        AlreadyExists: a file is in its place.
    """
    try:
        if store.stat(path).kind != "folder":
            raise AlreadyExists(f"{path!r} is a file; give the path of a folder")
    except NotFound:
        return {}
    folders = listing.Folders(store, path, at_once=True)
    return {listing.joined(folder, stat.name): stat for folder, entries in folders for stat in entries}


def _outside(paths: Iterable[str], folders: Sequence[str]) -> Iterator[str]:
    """Iterate over the paths that are not one of `folders`, below one or above one."""
    if not folders:
        yield from paths
        return
    closed = set(folders)
    above = {folder[:end] for folder in folders for end in range(len(folder)) if folder[end] == "/"}
    for path in paths:
        begins = {path[:end] for end in range(len(path)) if path[end] == "/"} | {path}
        if not begins & closed and path not in above:
            yield path


def _is_same(path: pathlib.Path, names: dict[str, pathlib.Path]) -> bool:
    """Return whether a path is another name of one that stays."""
    other = names.get(local_names.same(str(path)))
    if other is None:
        return False
    with contextlib.suppress(OSError):
        return os.path.samefile(path, other)
    return False


def _counted(extra: Sequence[str]) -> str:
    return "1 file or folder" if len(extra) == 1 else f"{len(extra)} files and folders"
