"""`Folder`: a folder of a store, with the methods that read, write and list files."""

from __future__ import annotations

import builtins
import codecs
import contextlib
import itertools
import os
import pathlib
import unicodedata
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import (
    IO,
    TYPE_CHECKING,
    Any,
    ClassVar,
    Generic,
    Literal,
    Self,
    TypeAlias,
    TypedDict,
    TypeVar,
    Unpack,
    cast,
    overload,
)

from edge_core.errors import AlreadyExists, BadEntry, Conflict, EdgeError, NotFound
from edge_vfs import listing, openers, patterns, table, workers
from edge_vfs.advice import advice
from edge_vfs.file import File
from edge_vfs.progress import Progress, Tracker
from edge_vfs.report import SyncReport, Tally, TransferReport
from edge_vfs.source import Source
from edge_vfs.store import CopyingStore, FileStore, Stat
from edge_vfs.transfers import download, local_names, local_tree, many, sync
from edge_vfs.transfers.fetching import MAX_CONNECTIONS
from edge_vfs.transfers.filters import Filters
from edge_vfs.transfers.part_file import remove_abandoned
from edge_vfs.writing import TextWriter, Writer

SHOWN = 50
"""Maximum number of entries that a notebook shows of a folder."""

if TYPE_CHECKING:
    import numpy.typing
    import pandas
    import PIL.Image
    import typing_extensions

    # Known to type checkers alone: Python's own TypeVar has a default from Python 3.13 on.
    FileT = typing_extensions.TypeVar("FileT", bound=File, default=File, covariant=True)
else:
    FileT = TypeVar("FileT", covariant=True)

Name: TypeAlias = "str | os.PathLike[str] | Folder"
"""Names an entry: a name, a path from the folder, or a `Folder` made by joining with ``/``."""


Report: TypeAlias = Callable[[TransferReport], object] | None
"""The argument `report` of calls that transfer many files: called at their end, whether or not they succeed."""


class TableOptions(TypedDict, total=False):
    """Options of `Folder.save` for tables, for type checkers: those of pandas, of which each format takes some."""

    date_format: Any
    decimal: str
    doublequote: bool
    dtype: Any
    dtype_backend: str
    encoding: str
    escapechar: str | None
    header: int | None
    index_col: Any
    keep_default_na: bool
    na_values: Any
    parse_dates: Any
    quotechar: str
    quoting: int
    sep: str
    sheet_name: str


class Folder(Generic[FileT]):
    """A folder of files; `EdgeSession.files` is the root of the organization's.

    Every method that takes a name also takes a path such as ``"runs/2024/plate-7.csv"``, as text or as
    a path object, relative to this folder, with or without a leading ``/``. It also takes the result
    of ``folder / "runs" / "plate-7.csv"``; joining sends no request.

    Iterating over a folder gives the names in it, one page in memory at a time.

    Folders are equal if their stores and paths are, and can be pickled if their store can.
    """

    _file_class: type[FileT] = cast("type[FileT]", File)  # a subclass with files of its own replaces it

    _normalizes_names: ClassVar[bool] = False  # whether the store keeps names in Unicode's normal form NFC

    def __init__(self, store: FileStore, path: str = "") -> None:
        self._store = store
        self._path = path

    @property
    def basename(self) -> str:
        """Name without its path; empty for the root."""
        return self._path.rpartition("/")[2]

    @property
    def path(self) -> str:
        """Path from the root, such as ``"/runs/2024"``; ``"/"`` for the root."""
        return f"/{self._path}"

    @property
    def parent(self) -> Self:
        """Folder that holds this folder; for the root, the root itself."""
        return type(self)(self._store, self._path.rpartition("/")[0])

    def __truediv__(self, name: Name) -> Self:
        return type(self)(self._store, self._join(name))

    def __iter__(self) -> Iterator[str]:
        return (entry.name for entry in self._store.children(self._path))

    def __contains__(self, name: Name) -> bool:
        return self.exists(name)

    def list(self) -> list[str]:
        """Return the names of the files and folders in this folder, in the order of their UTF-8 bytes.

        Raises:
            NotFound: the folder does not exist (any more).
        """
        return [entry.name for entry in self._store.children(self._path)]

    # The method above takes the name of the built-in type for the rest of this class.

    def list_files(self) -> builtins.list[str]:
        """Return the names of the files in this folder; ordered and raises like `list`."""
        return [entry.name for entry in self._store.children(self._path, kind="file")]

    def list_folders(self) -> builtins.list[str]:
        """Return the names of the folders in this folder; ordered and raises like `list`."""
        return [entry.name for entry in self._store.children(self._path, kind="folder")]

    def scan(self) -> Iterator[Stat]:
        """Iterate over the entries of this folder, each with its kind, size and time, page after page.

        Raises:
            NotFound: the folder does not exist (any more).
        """
        return iter(self._store.children(self._path))

    def exists(self, name: Name | None = None) -> bool:
        """Return whether a file or folder exists.

        Args:
            name: name or path; by default this folder itself.
        """
        try:
            self.stat(name)
        except NotFound:
            return False
        return True

    def stat(self, name: Name | None = None) -> Stat:
        """Return an entry's kind, size in bytes, `modified_at` in UTC, SHA-256 and version.

        Args:
            name: name or path; by default this folder itself.

        Raises:
            NotFound: the file or folder does not exist.
        """
        return self._store.stat(self._path if name is None else self._join(name))

    def walk(self, name: Name | None = None) -> Iterator[tuple[Self, builtins.list[str], builtins.list[str]]]:
        """Walk through a tree from the top, like `pathlib.Path.walk`.

        A folder whose name is removed from the list of folders is skipped; other changes of the list have no effect.
        Where the store can, many folders come with a request.

        Args:
            name: name or path of the folder to start at; by default this folder.

        Returns:
            an iterator over each folder, the names of the folders in it, and the names of its files.

        Raises:
            NotFound: the folder does not exist; folders that are deleted during the walk are skipped, or empty.
        """
        start = self if name is None else self / name
        below = listing.Folders(self._store, start._path)
        for path, entries in below:
            folders = [entry.name for entry in entries if entry.kind == "folder"]
            files = [entry.name for entry in entries if entry.kind != "folder"]
            before = tuple(folders)
            yield type(self)(self._store, listing.joined(start._path, path)), folders, files
            for left_out in set(before).difference(folders):
                below.skip(listing.joined(path, left_out))

    def glob(self, pattern: str) -> Iterator[str]:
        """Iterate over the paths of the files and folders that match a pattern, relative to this folder.

        Args:
            pattern: ``*`` and ``?`` match within a name, ``[ab]`` matches any of the characters, and ``**``
                any number of folders: the rules of fsspec, which are those of Python's `glob`, except
                that names may begin with a dot. Case matters.

        Raises:
            BadEntry: the pattern is not valid.
        """
        return (path for path, _ in patterns.matching(pattern, self._children, self._descendants))

    def _children(self, path: str) -> Iterator[Stat]:
        return iter(self._store.children(self._join(path) if path else self._path))

    def _descendants(self, path: str, prefix: str) -> Iterator[tuple[str, Stat]]:
        return listing.descendants(self._store, self._join(path) if path else self._path, prefix)

    @overload
    def open(self, name: Name, open_with: Literal["file"]) -> FileT: ...
    @overload
    def open(self, name: Name, open_with: Literal["pandas"], **options: Any) -> pandas.DataFrame: ...
    @overload
    def open(self, name: Name, open_with: Literal["pil"]) -> PIL.Image.Image: ...
    @overload
    def open(self, name: Name, open_with: Literal["imageio"], **options: Any) -> numpy.typing.NDArray[Any]: ...
    @overload
    def open(self, name: Name, open_with: Literal["text"], **options: Any) -> str: ...
    @overload
    def open(self, name: Name, open_with: str | None = None, **options: Any) -> Any: ...

    def open(self, name: Name, open_with: str | None = None, **options: Any) -> Any:
        """Open a file or folder.

        Args:
            name: name or path.
            open_with: name of an opener, such as ``"pandas"``, ``"pil"``, ``"json"`` or ``"text"``;
                ``"file"`` returns the bytes as a `File`. By default the name's suffix decides, or, if
                it has none, the content's first bytes; formats that no opener knows become a `File`.
                A folder is a `Folder` by default; with ``"pandas"``, a folder of Parquet files is a single table.
            options: options of the opener for the format, such as ``sep=";"`` and ``encoding="latin-1"``
                of a csv or ``sheet_name="Results"`` of a spreadsheet. The error about an unknown option
                lists those that can be used; a `Folder` and a `File` take none.

        Returns:
            a `Folder`, a `File`, or the opener's result: a ``pandas.DataFrame``, a Pillow image, ...

        Raises:
            NotFound: the file or folder does not exist.
            BadEntry: no opener has the name `open_with`, the opener does not take an option, or `name` is a
                folder and the opener opens none.
            MissingPackage: the opener needs a package that is not installed.
            UnreadableContent: the opener could not read the content, or the name's suffix is that of another opener
                and `open_with` is ``"pandas"``.
        """
        openers.refuse_mode(options.get("mode") if open_with is None else open_with)
        path = self._join(name)
        return self._open_at(path, self._store.stat(path), open_with, options)

    def _open_at(self, path: str, stat: Stat, open_with: str | None, options: dict[str, Any]) -> Any:
        if stat.kind == "folder":
            folder = type(self)(self._store, path)
            if open_with is not None:
                return openers.run_for_folder(open_with, folder, options)
            if options:
                raise BadEntry(
                    f"{path!r} is a folder, which takes no options; leave {', '.join(options)} out, or "
                    'open_with="pandas" opens a folder of Parquet files as a table'
                )
            return folder
        file = self._file_class(self._store, path, stat)
        opener = openers.choose(file, open_with)
        if opener is not None:
            return openers.run(opener, file, options)
        if options:
            advice = "leave them out" if open_with else "name an opener by open_with, or leave them out"
            raise BadEntry(
                f"{file.basename} is opened as a File, which takes no options ({', '.join(options)}); {advice}"
            )
        return file

    def download(
        self,
        name: Name,
        localpath: str | os.PathLike[str] | None = None,
        *,
        max_workers: int = MAX_CONNECTIONS,
        progress: Progress = None,
    ) -> pathlib.Path:
        """Download a file; it appears under its final name only once it is complete and checked.

        It has the time of modification of the local file that was uploaded, to the nanosecond; if that is not
        known, the time at which the store got it.

        A download of more than 8 MiB that is interrupted leaves what has arrived beside the local file, in a hidden
        file that ends in ``.part``. The next download of the same version checks that, and requests only what is
        missing; one of another version removes it. Parts whose digests the store knows are checked one by one, and
        fetched once more if they are damaged; other content is checked when all of it has arrived.

        Args:
            name: name or path of a file.
            localpath: the local file to write, or an existing folder to put it in; by default the
                working folder. An existing file is replaced.
            max_workers: maximum number of connections. The download begins with one, and uses more only where they
                turn out to be faster.
            progress: as for `upload`.

        Returns:
            the local file's path.

        Raises:
            MissingPackage: `progress` is True, and tqdm is not installed.
            NotFound: the file does not exist.
            BadEntry: `name` is a folder, or cannot be a local name.
            ChecksumError: the received content is not what was uploaded.
            OSError: the local file cannot be written.
            ValueError: `max_workers` is less than 1.
        """
        path = self._join(name)
        with Tracker("download", path, progress, self._store.progress) as tracker:
            stat = self._store.stat(path)
            if stat.kind == "folder":
                raise BadEntry(f"{str(name)!r} is a folder; use download_folder")
            target = download.target_of(stat.name, localpath)
            tracker.expect(stat.size)
            remove_abandoned(target.parent, [target.name])
            download.fetch(self._store, path, stat, target, tracker, max_workers=max_workers)
        return target

    def download_folder(
        self,
        name: Name,
        localpath: str | os.PathLike[str] | None = None,
        *,
        names: Literal["local", "portable"] = "local",
        on_error: many.OnError = "continue",
        max_workers: int = MAX_CONNECTIONS,
        report: Report = None,
        progress: Progress = None,
    ) -> pathlib.Path:
        """Download a folder and everything in it; each file appears only once it is complete and checked.

        All names are checked before the first byte. Nothing is written outside the local folder, nor through
        links in it. A file that is there already with the same content stays and gets the time it would have; it is
        read if it has as many bytes. Small files are fetched many at once, and what has arrived of a large one is
        kept as by `download`.

        A file that fails does not keep the others from being downloaded; they are named in the end. What would fail
        for every file, such as a connection that is gone or a full disk, ends the call at once and says how many
        files were downloaded.

        Args:
            name: name or path of a folder.
            localpath: the local folder to write to, made if it does not exist; by default a folder of
                the same name in the working folder. Files of the same names are replaced, others stay.
            names: which names are accepted: with ``"local"`` those that this machine can hold there, with
                ``"portable"`` only those that every system can, so that the local folder can be copied anywhere.
            on_error: ``"stop"`` ends the call with the first file that fails.
            max_workers: maximum number of connections of a file, as for `download`.
            report: called at the end with a `TransferReport`: which files were sent, unchanged, or failed and why.
            progress: as for `upload`, of all files together.

        Returns:
            the local folder's path.

        Raises:
            MissingPackage: `progress` is True, and tqdm is not installed.
            NotFound: the folder does not exist.
            BadEntry: `name` is a file; a name in it cannot be a local name, or is the same as another there;
                or a link is in a folder's place.
            IncompleteTransfer: files could not be downloaded; its `report` has the reason of each.
            ChecksumError: received content is not what was uploaded, and `on_error` is ``"stop"``.
            OSError: the local folder cannot be written.
            ValueError: `max_workers` is less than 1, or `on_error` neither ``"continue"`` nor ``"stop"``.
        """
        folder = self / name
        with Tracker("download", folder._path, progress, self._store.progress) as tracker:
            if folder.stat().kind != "folder":
                raise BadEntry(f"{str(name)!r} is a file; use download")
            if names not in ("local", "portable"):
                raise BadEntry(f'names must be "local" or "portable", not {names!r}')
            portable = names == "portable"
            if localpath is None:
                local_names.check(folder.basename, portable=portable)
            top = pathlib.Path(folder.basename if localpath is None else localpath)
            if not top.is_dir():
                local_names.check_folder(top)
            folders, files = download.plan(self._store, folder._path, top, tracker, portable=portable)
            if not top.is_dir():
                local_names.make_folder(top)
            for subfolder in folders:
                local_names.make_folder(subfolder)
            with _reporting(report) as tally:
                transfer = many.Downloads(self._store, tracker, tally, on_error, max_workers=max_workers)
                below = len(folder._path) + bool(folder._path)
                transfer.run([many.ToDownload(file.path[below:], file) for file in files])
                tally.require_complete("downloaded")
        return top

    def upload_folder(
        self,
        name: Name,
        localpath: str | os.PathLike[str],
        *,
        overwrite: bool = True,
        strict: bool = False,
        on_error: many.OnError = "continue",
        report: Report = None,
        progress: Progress = None,
        max_workers: int = workers.WORKERS,
    ) -> Self:
        """Upload a local folder and everything in it, and return the folder on the server.

        Links to files are followed, also out of the folder. What cannot be uploaded is found before the first
        byte and skipped with a single warning that counts and names it: links to folders, which may form a
        circle, links that lead nowhere, pipes, sockets, devices, what interrupted downloads have left (``.part``),
        and names that are not UTF-8, have control characters or are too long.

        A file that is on the server already with the same content is skipped; it is read if it has as many bytes. Where
        the time of its modification is another one, that is kept from then on. Small files are sent many at once, those
        of each folder in the order of their names.

        A file that fails does not keep the others from being uploaded; they are named in the end. What would fail for
        every file, such as a connection that is gone, ends the call at once and says how many files were uploaded.

        Args:
            name: name or path on the server; existing files of the same names are replaced, others stay.
            localpath: the local folder.
            overwrite: False refuses to replace a file.
            strict: True uploads nothing if there is something that cannot be uploaded.
            on_error: ``"stop"`` ends the call with the first file that fails.
            report: called at the end with a `TransferReport`: which files were sent, unchanged, or failed and why.
            progress: as for `upload`, of all files together.
            max_workers: maximum number of parts of a file that are sent at once.

        Raises:
            MissingPackage: `progress` is True, and tqdm is not installed.
            AlreadyExists: `name` is a file; or, if `on_error` is ``"stop"``, a name in the folder is taken: by a
                file instead of a folder or the other way round, or by a file while `overwrite` is False.
            IncompleteTransfer: files could not be uploaded; its `report` has the reason of each.
            BadEntry: a local name is not valid on the server, or the same as another there; or `strict` is
                True, and something cannot be uploaded.
            FileNotFoundError: the local folder does not exist.
            NotADirectoryError: `localpath` is a file.
            OSError: a local folder cannot be read.
            ValueError: `max_workers` is less than 1, or `on_error` neither ``"continue"`` nor ``"stop"``.
        """
        workers.check(max_workers)
        top = pathlib.Path(localpath)
        if not top.is_dir():
            if top.exists():
                raise NotADirectoryError(f"{str(top)!r} is not a folder; upload it with upload")
            raise FileNotFoundError(f"the local folder {str(top)!r} does not exist; check the path")
        with Tracker("upload", self._join(name), progress, self._store.progress) as tracker:
            tree = local_tree.scan(top, tracker, normalized=self._normalizes_names)
            if tree.skipped and strict:
                sentence = tree.sentence(top)
                raise BadEntry(f"{sentence}; nothing was uploaded: remove what is named, or {advice('strict')}")
            if tree.skipped:
                warnings.warn(f"{tree.sentence(top)}; skipped", UserWarning, stacklevel=2)
            folder, is_new = self._folder_to_fill(name)
            with _reporting(report) as tally:

                def write(file: many.ToUpload) -> None:
                    with Source(file.local) as source:
                        self._write(
                            *(file.path, source, file.size, tracker),
                            overwrite=overwrite,
                            max_workers=max_workers,
                            resume=True,
                        )

                def refusal(file: many.ToUpload) -> EdgeError | None:
                    if file.stored is None or (overwrite and file.stored.kind == "file"):
                        return None
                    error = AlreadyExists(f"{file.path!r} exists already")
                    self._name_taken(error, file.path, "file", advice("overwrite"), taken_by=file.stored.kind)
                    return error

                transfer = many.Uploads(
                    self._store, tracker, tally, on_error, overwrite=overwrite, write=write, refusal=refusal
                )
                stored = {} if is_new else folder._entries_below()
                for below in tree.empty_folders():
                    try:
                        if self._as_stored(below) not in stored:
                            folder.make_folder(below, exist_ok=True)
                    except EdgeError as error:
                        if on_error == "stop":
                            raise
                        tally.failed(below, error)
                transfer.run(
                    [
                        many.ToUpload(
                            file.below,
                            folder._join(file.below),
                            file.path,
                            file.size,
                            stored.get(self._as_stored(file.below)),
                        )
                        for file in tree.files
                    ]
                )
                tally.require_complete("uploaded")
        return folder

    def _as_stored(self, path: str) -> str:
        """Return a path as the store lists it."""
        return unicodedata.normalize("NFC", path) if self._normalizes_names else path

    def _folder_to_fill(self, name: Name) -> tuple[Self, bool]:
        """Return a folder, which is made if it does not exist, and whether it was."""
        try:
            path = self._join(name)
            self._store.make_folder(path, exist_ok=False)
        except AlreadyExists:
            return self.make_folder(name, exist_ok=True), False
        return type(self)(self._store, path), True

    def _entries_below(self) -> dict[str, Stat]:
        """Return all that is in this folder and below it, by the paths from here."""
        entries: dict[str, Stat] = {}
        for below, children in listing.Folders(self._store, self._path, at_once=True):
            entries |= {listing.joined(below, entry.name): entry for entry in children}
        return entries

    def sync(
        self,
        localpath: str | os.PathLike[str],
        name: Name | None,
        direction: sync.Direction,
        *,
        delete: bool = False,
        dry_run: bool = False,
        include: str | Iterable[str] = (),
        exclude: str | Iterable[str] = (),
        compare: sync.Compare = "digest",
        allow_empty: bool = False,
        on_error: many.OnError = "continue",
        max_workers: int = workers.WORKERS,
        planned: sync.Planned = None,
        progress: Progress = None,
    ) -> SyncReport:
        """Make a folder on the server like a local one, or the other way round; what is the same already stays.

        Both sides are listed before anything is changed, and a listing that fails changes nothing. Names and links
        are treated as by `upload_folder` and `download_folder`; what interrupted downloads have left (``.part``) is
        left alone. A file that fails does not keep the others from being transferred.

        Args:
            localpath: the local folder; made if it does not exist and is the target.
            name: name or path of the folder on the server, made likewise; None for this folder.
            direction: ``"up"`` makes the folder on the server like the local one, ``"down"`` the local one like it.
            delete: True also deletes what the source does not have: below the target folder only, never what
                the patterns leave out, and nothing if a file could not be transferred. Of what is deleted on the
                server, files can be restored for a while.
            dry_run: True changes nothing, and returns what would be done.
            include: patterns, as in a ``.gitignore`` file, of the files that take part; by default all.
            exclude: patterns of the files and folders that do not.
            compare: how files of equal size are compared: ``"digest"`` reads the local file, ``"time"`` trusts the
                time when it was last modified, and reads only files of another time, for folders that take long to
                read. The target's file gets the time of one that turns out to be the same, so that it is read once; a
                bucket cannot do that, and with ``"time"`` gets such a file once more.
            allow_empty: True deletes also if the source has no file that takes part.
            on_error: ``"stop"`` ends the call with the first file that fails.
            max_workers: maximum number of connections of a large file.
            planned: called with the plan, as a `SyncReport`, before anything is changed.
            progress: as for `upload`, of all files together.

        Returns:
            which files were sent, unchanged and deleted, with the number of bytes and seconds.

        Raises:
            MissingPackage: `progress` is True, and tqdm is not installed.
            NotFound: the folder on the server does not exist, and is the source.
            FileNotFoundError: the local folder does not exist, and is the source.
            NotADirectoryError: `localpath` is a file.
            AlreadyExists: a file is in place of the folder on the server.
            BadEntry: a name cannot be held by the other side, or is the same as another there; a pattern is not
                valid; or everything would be deleted, as the source has no file.
            IncompleteTransfer: files could not be transferred; its `report` has the reason of each.
            ValueError: `direction`, `compare` or `on_error` is none of what it can be, or `max_workers` less than 1.
        """
        for argument, value, values in (
            ("direction", direction, ("up", "down")),
            ("compare", compare, ("digest", "time")),
            ("on_error", on_error, ("continue", "stop")),
        ):
            if value not in values:
                raise ValueError(f'{argument} must be "{values[0]}" or "{values[1]}", not {value!r}')
        workers.check(max_workers)
        folder = self if name is None else self / name
        top = pathlib.Path(localpath)
        if top.exists() and not top.is_dir():
            raise NotADirectoryError(f"{str(top)!r} is not a folder; give the path of a folder")
        if direction == "up" and not top.is_dir():
            raise FileNotFoundError(f"the local folder {str(top)!r} does not exist; check the path")
        options = sync.Options(
            delete=delete,
            dry_run=dry_run,
            allow_empty=allow_empty,
            filters=Filters(include, exclude),
            compare=compare,
            on_error=on_error,
            max_workers=max_workers,
            planned=planned,
        )
        loads: Literal["upload", "download"] = "upload" if direction == "up" else "download"
        with Tracker(loads, folder._path, progress, self._store.progress) as tracker:
            if direction == "down":
                if folder.stat().kind != "folder":
                    raise BadEntry(f"{folder.path!r} is a file; use download")
                return sync.Download(
                    self._store, folder._path, top, tracker, options, normalized=self._normalizes_names
                ).run()

            def write(file: many.ToUpload) -> None:
                with Source(file.local) as source:
                    self._write(
                        *(file.path, source, file.size, tracker), overwrite=True, max_workers=max_workers, resume=True
                    )

            return sync.Upload(
                self._store, folder._path, top, tracker, options, normalized=self._normalizes_names, write=write
            ).run()

    def upload(
        self,
        name: Name,
        fileobj: str | os.PathLike[str] | bytes | bytearray | memoryview | IO[bytes],
        *,
        overwrite: bool = True,
        progress: Progress = None,
        max_workers: int = workers.WORKERS,
        resume: bool = True,
    ) -> None:
        """Upload a file; it appears under its name only once it is complete and checked.

        If a path is given, the local file's time of modification is kept beside the store's own, and `download`
        gives it back.

        Large files are sent in parts. Ctrl-C, a crash or a lost connection leave what was sent with the
        organization's files, and the next upload to the same path sends only the parts that differ, from any
        machine of the same user; no file has to be left as it was. Content that cannot seek, such as a pipe's, is
        sent as a whole each time, and ends at 10,000 parts, 78.1 GiB of the organization's files and 156.2 GiB of a
        bucket: upload a file if there is more.

        Args:
            name: name or path on the server; missing folders are made.
            fileobj: a file object opened in binary mode, read from its current position; or the path
                of a local file; or bytes.
            overwrite: False refuses to replace an existing file.
            progress: True shows a bar, False none; None one on a terminal or in a notebook if there are more than
                64 MiB or it takes longer than 2 s. A function is called with a `TransferProgress` at most ten times a
                second; an fsspec ``Callback`` is told the bytes.
            max_workers: maximum number of parts that are sent at once.
            resume: False sends all of the content anew.

        Raises:
            MissingPackage: `progress` is True, and tqdm is not installed.
            AlreadyExists: a folder has the name, or a file has it and `overwrite` is False.
            BadEntry: the name is not valid, or the file object stands at the end of its content, as after
                writing to it; call its ``seek(0)`` first.
            EdgeError: the local file changed while it was being uploaded.
            IsADirectoryError: the local path is a folder; `upload_folder` uploads it.
            OSError: the local file cannot be opened.
            ValueError: `max_workers` is less than 1.
        """
        path = self._join(name)
        workers.check(max_workers)
        with Tracker("upload", path, progress, self._store.progress) as tracker, Source(fileobj) as source:
            tracker.expect(source.size)
            self._write(
                *(path, source, source.size, tracker), overwrite=overwrite, max_workers=max_workers, resume=resume
            )

    def _write(
        self,
        path: str,
        source: Source,
        size: int | None,
        tracker: Tracker,
        *,
        overwrite: bool,
        max_workers: int,
        resume: bool,
    ) -> None:
        """Write a file; `size` is what `tracker` expects of it."""
        with self._naming_taken(path, "file", advice("overwrite")), tracker.file(path, size) as source.tracker:
            self._store.write(path, source, overwrite=overwrite, max_workers=max_workers, resume=resume)

    @overload
    def create(
        self, name: Name, *, encoding: None = None, overwrite: bool = True, progress: Progress = None
    ) -> Writer: ...
    @overload
    def create(self, name: Name, *, encoding: str, overwrite: bool = True, progress: Progress = None) -> TextWriter: ...

    def create(
        self, name: Name, *, encoding: str | None = None, overwrite: bool = True, progress: Progress = None
    ) -> Writer | TextWriter:
        """Return a file object to write a file with, which appears whole once it is closed.

        Use it in a ``with`` block: an exception in it leaves the file as it was. More than 1 MiB is sent while it is
        written, in parts of which several are under way at once, and takes no space on this machine.

        The size of what is written is not known before, so that it ends at 10,000 parts, 78.1 GiB of the
        organization's files and 156.2 GiB of a bucket, of which the log warns before: write a local file and upload
        that if there is more. Nothing can be appended to a file or changed in it. A process that is killed while it
        writes leaves an open upload to the organization's files, which the server drops after 7 days, or as the file
        is written again; in a bucket, what was sent stays until a rule of the bucket removes it.

        Args:
            name: name or path on the server; missing folders are made.
            encoding: name of the encoding of a text, whose newlines are written as they are; None for bytes.
            overwrite: False refuses to replace an existing file, now and when it is closed.
            progress: as for `upload`.

        Returns:
            a `Writer`, or with `encoding` a `TextWriter`.

        Raises:
            MissingPackage: `progress` is True, and tqdm is not installed.
            AlreadyExists: a file or folder has the name, and `overwrite` is False. Its `close` raises it as well, and
                always if a folder has the name.
            LookupError: the encoding is unknown.
        """
        path = self._join(name)
        if encoding is not None:
            codecs.lookup(encoding)
        if not overwrite:
            self._refuse_taken(path)
        tracker = Tracker("upload", path, progress, self._store.progress)

        def send(source: Source) -> None:
            with tracker:
                tracker.expect(source.size)
                self._write(
                    *(path, source, source.size, tracker),
                    overwrite=overwrite,
                    max_workers=workers.WORKERS,
                    resume=False,
                )

        writer = Writer(path, send)
        return writer if encoding is None else TextWriter(writer, encoding)

    @overload
    def save(
        self,
        name: Name,
        value: pandas.DataFrame,
        save_with: Literal["pandas"] | None = None,
        *,
        overwrite: bool = True,
        **options: Unpack[TableOptions],
    ) -> None: ...
    @overload
    def save(
        self,
        name: Name,
        value: str,
        save_with: Literal["text"] | None = None,
        *,
        overwrite: bool = True,
        encoding: str = "utf-8",
    ) -> None: ...
    @overload
    def save(
        self,
        name: Name,
        value: PIL.Image.Image,
        save_with: Literal["pil"] | None = None,
        *,
        overwrite: bool = True,
        quality: int | None = None,
    ) -> None: ...
    @overload
    def save(
        self,
        name: Name,
        value: dict[Any, Any] | builtins.list[Any],
        save_with: Literal["json"] | None = None,
        *,
        overwrite: bool = True,
        indent: int | None = None,
    ) -> None: ...
    @overload
    def save(  # type: ignore[overload-cannot-match]  # where pandas has no types, its DataFrame can be anything
        self, name: Name, value: object, save_with: None = None, *, overwrite: bool = True
    ) -> None: ...
    @overload
    def save(self, name: Name, value: object, save_with: str, *, overwrite: bool = True, **options: Any) -> None: ...

    def save(
        self, name: Name, value: Any, save_with: str | None = None, *, overwrite: bool = True, **options: Any
    ) -> None:
        """Save a value as the file that `open` opens as this value, with the same options.

        The content is written, opened again and compared before it is uploaded. What the format cannot hold is
        an error, which names a format or the options that can, and leaves an existing file as it is.

        Args:
            name: name or path on the server, whose suffix says the format; missing folders are made.
            value: a ``pandas.DataFrame``, Pillow image, NumPy array, dictionary, list or text, or what else an
                opener gives; bytes if no opener knows the suffix.
            save_with: name of an opener, as `open_with` of `open`.
            overwrite: False refuses to replace an existing file.
            options: options of the format, such as ``sep=";"`` of a csv and ``index_col="sample"`` of a frame
                whose index is to be kept; ``quality=90`` of a jpg, which changes pixels. The error about an
                unknown option lists those that can be used.

        Raises:
            UnsavableValue: the format cannot hold the value, or nothing saves this format.
            AlreadyExists: a folder has the name, or a file has it and `overwrite` is False.
            BadEntry: the name is not valid, no opener has the name `save_with`, or it does not take an option.
            MissingPackage: a package that is needed is not installed.
        """
        basename = self._join(name).rpartition("/")[2]
        with openers.saved(basename, value, save_with, options) as content:
            self.upload(name, content, overwrite=overwrite)

    def read_bytes(self, name: Name) -> bytes:
        """Return the content of a file; raises like `open`.

        Args:
            name: name or path.
        """
        with self._opened(name) as file:
            return file.readall()

    def read_text(self, name: Name, encoding: str = "utf-8", errors: str = "strict") -> str:
        """Return the content of a file as text, with the newlines as they are in the file.

        Args:
            name: name or path.
            encoding: name of the encoding; ``"utf-8-sig"`` leaves out a byte-order mark.
            errors: what to do with bytes that are no text, as for `bytes.decode`.

        Raises:
            NotFound: the file does not exist.
            BadEntry: `name` is a folder.
            UnicodeDecodeError: the content is not text in this encoding.
            LookupError: the encoding is unknown.
        """
        content = self.read_bytes(name)
        try:
            return content.decode(encoding, errors)
        except UnicodeDecodeError as error:
            error.reason += f"; give the encoding of {str(name)!r}, such as encoding='latin-1', or use read_bytes"
            raise

    def write_bytes(self, name: Name, content: bytes | bytearray | memoryview, *, overwrite: bool = True) -> int:
        """Upload bytes as a file, and return their number; raises like `upload`.

        Args:
            name: name or path on the server; missing folders are made.
            content: the content.
            overwrite: False refuses to replace an existing file.
        """
        try:
            block = memoryview(content)  # refuses a str, which `upload` would take for the path of a local file
        except TypeError:
            raise TypeError(
                f"the content must be bytes, not {type(content).__name__}; for text use write_text"
            ) from None
        self.upload(name, block, overwrite=overwrite)
        return block.nbytes

    def write_text(
        self, name: Name, text: str, encoding: str = "utf-8", errors: str = "strict", *, overwrite: bool = True
    ) -> int:
        """Upload text as a file, with its newlines as they are, and return the number of characters.

        Args:
            name: name or path on the server; missing folders are made.
            text: the content.
            encoding: name of the encoding.
            errors: what to do with characters that the encoding does not have, as for `str.encode`.
            overwrite: False refuses to replace an existing file.

        Raises:
            AlreadyExists, BadEntry: as for `upload`.
            UnicodeEncodeError: the encoding does not have a character of the text; nothing is uploaded.
            LookupError: the encoding is unknown.
        """
        if not isinstance(text, str):
            raise TypeError(f"the text must be a str, not {type(text).__name__}; for bytes use write_bytes")
        try:
            content = text.encode(encoding, errors)
        except UnicodeEncodeError as error:
            error.reason += "; nothing was uploaded: leave encoding out, for utf-8, or name one that has the character"
            raise
        self.upload(name, content, overwrite=overwrite)
        return len(text)

    def touch(self, name: Name, *, exist_ok: bool = True) -> None:
        """Make an empty file unless a file exists; an existing file keeps its content and its time.

        Args:
            name: name or path; missing folders are made.
            exist_ok: False refuses an existing file.

        Raises:
            AlreadyExists: a folder has the name, or a file has it and `exist_ok` is False.
            BadEntry: the name is not valid.
        """
        path = self._join(name)
        try:
            with Source(b"") as source, self._naming_taken(path, "file", "leave exist_ok out to keep it"):
                self._store.write(path, source, overwrite=False, max_workers=1, resume=False)
        except AlreadyExists:
            if not exist_ok or self._store.stat(path).kind != "file":
                raise

    def _files(self, enters: Callable[[str], bool]) -> Iterator[tuple[str, FileT]]:
        """Iterate over the files below this folder, each with its path from here; no request for each file.

        Args:
            enters: tells by its name whether a folder is entered.
        """
        below = listing.Folders(self._store, self._path, at_once=True)
        for folder, entries in below:
            for entry in entries:
                path = listing.joined(folder, entry.name)
                if entry.kind == "file":
                    yield path, self._file_class(self._store, self._join(path), entry)
                elif not enters(entry.name):
                    below.skip(path)

    def _opened(self, name: Name) -> FileT:
        path = self._join(name)
        stat = self._store.stat(path)
        if stat.kind == "folder":
            raise BadEntry(f"{str(name)!r} is a folder, which has no content; give the path of a file")
        return self._file_class(self._store, path, stat)

    def make_folder(self, name: Name, *, exist_ok: bool = False) -> Self:
        """Make a folder, including missing parents, and return it.

        Args:
            name: name or path of the new folder.
            exist_ok: True returns a folder that exists already.

        Raises:
            AlreadyExists: the name is taken; with `exist_ok`, only if a file has it.
            BadEntry: the name is not valid.
        """
        path = self._join(name)
        with self._naming_taken(path, "folder", advice("exist_ok")):
            self._store.make_folder(path, exist_ok=exist_ok)
        return type(self)(self._store, path)

    def move(self, name: Name, new_path: Name, *, overwrite: bool = False, progress: Progress = None) -> None:
        """Move a file or folder.

        Args:
            name: name or path of the file or folder.
            new_path: its new path from this folder, including the new basename; missing folders are made.
            overwrite: True replaces an existing file.
            progress: as for `upload`; the files of a folder are counted, if the store moves them one after another.

        Raises:
            MissingPackage: `progress` is True, and tqdm is not installed.
            NotFound: the file or folder does not exist.
            AlreadyExists: the new path is taken.
            Conflict: a folder would be moved into itself.
        """
        self._move(self._join(name), self._join(new_path), overwrite=overwrite, progress=progress)

    def _move(self, path: str, new: str, *, overwrite: bool, progress: Progress) -> None:
        try:
            with Tracker("move", path, progress) as tracker:
                self._store.move(path, new, overwrite=overwrite, tracker=tracker)
        except AlreadyExists as error:
            kind = self._kind(path)
            if kind == "folder" and self._kind(new) == "folder":
                inside = f"{new}/{path.rpartition('/')[2]}"
                error.args = (f"{new!r} is a folder; to move {path!r} into it, give the new path {inside!r}",)
            elif kind:
                self._name_taken(error, new, kind, advice("overwrite"))
            raise

    def copy(
        self,
        name: Name,
        new_path: Name,
        *,
        recursive: bool = False,
        overwrite: bool = False,
        progress: Progress = None,
    ) -> None:
        """Copy a file or folder within the store, which moves no bytes through this machine.

        A copy has the time of the local file that was uploaded. Everything in a folder is listed before the first
        file is copied; a failure leaves the copies that were made by then, and says how many.

        Args:
            name: name or path of the file or folder.
            new_path: path of the copy from this folder, including the new basename; missing folders are made.
            recursive: True copies a folder and everything in it.
            overwrite: True replaces an existing file; of an existing folder, the files of the same names, while
                others stay.
            progress: as for `upload`; the files of a folder are counted.

        Raises:
            MissingPackage: `progress` is True, and tqdm is not installed.
            NotFound: the file or folder does not exist.
            AlreadyExists: the new path is taken.
            Conflict: a folder would be copied into itself.
            BadEntry: `name` is a folder, and `recursive` is False; or the store cannot copy.
        """
        path, new = self._join(name), self._join(new_path)
        if not isinstance(self._store, CopyingStore):
            raise BadEntry("this store cannot copy; download the file and upload it under the new name")
        with Tracker("copy", path, progress) as tracker:
            if self._store.stat(path).kind == "file":
                with self._naming_taken(new, "file", advice("overwrite")):
                    self._store.copy(path, new, overwrite=overwrite)
                return
            if not recursive:
                raise BadEntry(f"{str(name)!r} is a folder; recursive=True copies it and everything in it")
            if f"{new}/".startswith(f"{path}/"):
                raise Conflict(f"{'/' + path!r} cannot be copied into itself; choose a path outside of it")
            self._copy_folder(self._store, path, new, tracker, overwrite=overwrite)

    def _copy_folder(self, store: CopyingStore, path: str, new: str, tracker: Tracker, *, overwrite: bool) -> None:
        folders: builtins.list[str] = []
        files: builtins.list[str] = []
        for folder, _, names in type(self)(self._store).walk(path):
            below = folder._path[len(path) :]
            folders.append(below)
            files += [f"{below}/{file}" for file in names]
            tracker.expect(files=len(names))
        for below in folders:
            with self._naming_taken(new + below, "folder", advice("merge")):
                self._store.make_folder(new + below, exist_ok=overwrite or below != "")
        for done, below in enumerate(files):
            try:
                with self._naming_taken(new + below, "file", advice("overwrite")):
                    store.copy(path + below, new + below, overwrite=overwrite)
                tracker.done()
            except BaseException as error:
                before = f"{done} of {len(files)} files had been copied before {'/' + path + below!r}"
                local_tree.tell(error, before)
                raise

    def rename(self, name: Name, new_name: str, *, overwrite: bool = False, progress: Progress = None) -> None:
        """Rename a file or folder within its folder; raises like `move`.

        Args:
            name: name or path of the file or folder.
            new_name: its new basename.
            overwrite: True replaces an existing file.
            progress: as for `move`.
        """
        if "/" in new_name or not new_name:
            raise BadEntry(f"{new_name!r} is not a name; to change the folder as well, use move")
        path = self._join(name)
        parent, slash, _ = path.rpartition("/")
        self._move(path, f"{parent}{slash}{new_name}", overwrite=overwrite, progress=progress)

    def delete(self, name: Name, *, recursive: bool = False, progress: Progress = None) -> None:
        """Delete a file or folder.

        Args:
            name: name or path.
            recursive: True deletes a folder and everything in it.
            progress: as for `upload`; the files of a folder are counted, if the store deletes them one after another.

        Raises:
            MissingPackage: `progress` is True, and tqdm is not installed.
            NotFound: the file or folder does not exist.
            Conflict: the folder is not empty, and `recursive` is False.
        """
        path = self._join(name)
        try:
            with Tracker("delete", path, progress) as tracker:
                self._store.delete(path, recursive=recursive, tracker=tracker)
        except Conflict as error:
            if error.code == "not_empty":
                error.args = (f"the folder {path!r} is not empty; {advice('recursive')}",)
            raise

    @contextlib.contextmanager
    def _naming_taken(self, path: str, kind: str, remedy: str) -> Iterator[None]:
        """Say of a path that is taken what has it, and what to do.

        Args:
            path: the path to write.
            kind: what is written.
            remedy: how to write it in spite of what has the path, if that is of the same kind.
        """
        try:
            yield
        except AlreadyExists as error:
            self._name_taken(error, path, kind, remedy)
            raise

    def _name_taken(self, error: AlreadyExists, path: str, kind: str, remedy: str, taken_by: str | None = None) -> None:
        taken_by = self._kind(path) if taken_by is None else taken_by
        if taken_by == kind:
            error.args = (f"{path!r} exists already; choose another name, or {remedy}",)
        elif taken_by == "folder":
            error.args = (f"{path!r} is a folder; give a path in it, or choose another name for the file",)
        elif taken_by:
            error.args = (f"{path!r} is a file; choose another name for the folder",)

    def _refuse_taken(self, path: str) -> None:
        """Raise `AlreadyExists` if there is a file or folder."""
        try:
            kind = self._store.stat(path).kind
        except NotFound:
            return
        error = AlreadyExists(f"{path!r} exists already")
        self._name_taken(error, path, "file", advice("overwrite"), kind)
        raise error

    def _kind(self, path: str) -> str:
        """Return the kind of an entry; empty if nobody can tell, as of one that is gone by now."""
        try:
            return self._store.stat(path).kind
        except EdgeError:
            return ""

    def _join(self, name: Name) -> str:
        if isinstance(name, Folder):
            if name._store != self._store:
                raise BadEntry(f"{name!r} is in another store; download it and upload it here")
            if not name._path:
                raise BadEntry("this is the root itself; give the name or path of a file or folder")
            return name._path
        text = name.as_posix() if isinstance(name, pathlib.PurePath) else name
        if isinstance(text, os.PathLike):
            text = os.fspath(text)
        if not isinstance(text, str):
            raise TypeError(f"a name must be a str or a path, not {type(name).__name__}")
        relative = text.removeprefix("/")
        if not relative:
            raise BadEntry("the name is empty; give the name or path of a file or folder")
        if relative.startswith("/"):
            raise BadEntry(f"{text!r} begins with more than one slash; leave the others out")
        return f"{self._path}/{relative}" if self._path else relative

    def __eq__(self, other: object) -> bool:
        return self._key() == other._key() if isinstance(other, Folder) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._key())

    def _key(self) -> tuple[Any, ...]:
        return type(self), self._store, self._path

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.path!r}>"

    def _repr_html_(self) -> str:
        """The first entries as a table, for notebooks."""
        try:
            entries = builtins.list(itertools.islice(self.scan(), SHOWN + 1))
        except EdgeError as error:
            return table.plain(f"{self!r}: {error}")
        return table.of_entries(self.path, entries[:SHOWN], more=len(entries) > SHOWN)


@contextlib.contextmanager
def _reporting(report: Report) -> Iterator[Tally]:
    """Tell at the end of the block what became of the files that were noted in it."""
    tally = Tally()
    try:
        yield tally
    finally:
        if report is not None:
            report(tally.report())
