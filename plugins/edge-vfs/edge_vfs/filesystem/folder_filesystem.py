"""`FolderFileSystem`: any store's folder as a file system of fsspec, which pandas, pyarrow, Dask and others take.

It has threads and no event loop: the session's HTTP client works in threads, as does the transfer engine, and calls in
fsspec's own loop would wait for these threads all the same.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import io
import os
import pathlib
import re
import uuid
from collections.abc import Callable, Iterator, Sequence
from glob import has_magic
from typing import IO, Any, cast

from fsspec.callbacks import DEFAULT_CALLBACK
from fsspec.core import get_compression
from fsspec.spec import AbstractFileSystem
from fsspec.utils import isfilelike, stringify_path

from edge_core.errors import AlreadyExists, BadEntry, EdgeError, NotFound
from edge_vfs import listing, ranges, workers
from edge_vfs.file import File
from edge_vfs.filesystem import plans
from edge_vfs.filesystem.os_errors import FileInPlace, FolderInPlace, InvalidPath, MissingFile, translated
from edge_vfs.filesystem.stored_writer import Compressed, StoredWriter, text_of
from edge_vfs.folder import Folder
from edge_vfs.store import CopyingStore, NewestReadingStore, Stat
from edge_vfs.transfers import download

_SPECIAL = re.compile(r"[*?\[]")


class FolderFileSystem(AbstractFileSystem):  # type: ignore[misc]  # fsspec ships no types
    """The files below a folder, by the interface of fsspec.

    Paths are relative to the folder; a leading ``/`` changes nothing. Nothing is kept of listings, so that
    `invalidate_cache` has nothing to do. What is an error of this project is one of Python's as well: what does not
    exist is a `NotFound` and a `FileNotFoundError`.

    Args:
        folder: the folder at the root.
    """

    protocol = "edge-vfs"
    root_marker = ""
    cachable = False

    def __init__(self, folder: Folder[Any], **options: Any) -> None:
        super().__init__(**options)
        self._folder = folder
        self._identity = uuid.uuid4().hex
        self._seen: dict[str, Stat] | None = None  # what a plan has come across, which it need not ask for again

    # --- paths and identity -----------------------------------------------------------------------

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        if isinstance(path, list):
            return [cls._strip_protocol(each) for each in path]
        text: str = stringify_path(path)
        return text.removeprefix(f"{cls.protocol}://").strip("/")

    def __dask_tokenize__(self) -> Any:
        return self._identity

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FolderFileSystem) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def _key(self) -> Any:
        return self._folder

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._folder!r}>"

    def to_dict(self, *, include_password: bool = True) -> dict[str, Any]:
        """Raise `TypeError`: a store cannot be written as JSON; a pickle carries it."""
        raise TypeError(f"{self!r} cannot be written as JSON; pickle it")

    # --- what there is ----------------------------------------------------------------------------

    @translated()
    def info(self, path: str, **kwargs: Any) -> dict[str, Any]:
        """Return what the store knows of a file or folder.

        Returns:
            `name` (the path), `type` (``"file"`` or ``"directory"``), `size` in bytes (0 of a folder), `mtime` (seconds
            since 1970, UTC), and of a file `version`, `digest`, `part_size` and `sha256` as `Folder.stat` has them.

        Raises:
            FileNotFoundError: it does not exist.
        """
        path = self._strip_protocol(path)
        return _info(path, self._stat(path))

    @translated()
    def ls(self, path: str, detail: bool = True, **kwargs: Any) -> Any:
        """List a folder; a file is listed as itself.

        Args:
            path: the folder.
            detail: False for the paths alone.

        Raises:
            FileNotFoundError: it does not exist.
        """
        path = self._strip_protocol(path)
        try:
            infos = _by_name((listing.joined(path, entry.name), entry) for entry in self._children(path))
        except NotFound:
            stat = self._stat(path)
            infos = {path: _info(path, stat)} if stat.kind == "file" else {}
        return list(infos.values()) if detail else list(infos)

    @translated()
    def exists(self, path: str, **kwargs: Any) -> bool:
        """Return whether a file or folder exists; what keeps this from being known is an error."""
        return self._kind(path) is not None

    @translated()
    def isdir(self, path: str) -> bool:
        """Return whether a folder exists."""
        return self._kind(path) == "folder"

    @translated()
    def isfile(self, path: str) -> bool:
        """Return whether a file exists."""
        return self._kind(path) == "file"

    @translated()
    def find(
        self,
        path: str,
        maxdepth: int | None = None,
        withdirs: bool = False,
        detail: bool = False,
        prefix: str = "",
        **kwargs: Any,
    ) -> Any:
        """List all files below a folder, a page of many entries per request; of a file, itself.

        Args:
            path: the folder.
            maxdepth: number of levels; None for all.
            withdirs: whether folders are listed too, the one at the top included.
            detail: True for a dictionary of what `info` returns, by path.
            prefix: only what has a name in the folder that begins with this, and what is in such a folder.
        """
        if maxdepth is not None and maxdepth < 1:
            raise ValueError(f"maxdepth must be at least 1, not {maxdepth}; leave it out for all levels")
        path = self._strip_protocol(path)
        infos: dict[str, dict[str, Any]] = {}
        try:
            below = self._below(path, maxdepth, prefix)
            infos = _by_name((listing.joined(path, place), stat) for place, stat in below if withdirs or _is_file(stat))
            if withdirs and path:
                infos[path] = _folder_info(path)
        except NotFound:
            if path and (stat := self._existing(path)) is not None and _is_file(stat):
                infos = {path: _info(path, stat)}
        names = sorted(infos)
        return {name: infos[name] for name in names} if detail else names

    def glob(self, path: str, maxdepth: int | None = None, **kwargs: Any) -> Any:
        """Find what matches a pattern, by fsspec's rules; the part before the first wildcard is left to the store.

        Args:
            path: the pattern.
            maxdepth: number of levels that ``**`` spans; None for all.
            kwargs: `detail`, as of `find`.
        """
        prefix = _SPECIAL.split(self._strip_protocol(path), maxsplit=1)[0].rpartition("/")[2]
        return super().glob(path, maxdepth=maxdepth, prefix=prefix, **kwargs)

    def walk(
        self,
        path: str,
        maxdepth: int | None = None,
        topdown: bool = True,
        on_error: str | Callable[[OSError], object] = "omit",
        **kwargs: Any,
    ) -> Any:
        """Walk through a tree; a folder that is removed from the list of folders is skipped, if `topdown`.

        Args:
            path: the folder at the top.
            maxdepth: number of levels; None for all.
            topdown: False for each folder after those in it.
            on_error: what becomes of a folder at the top that does not exist. Other failures are always raised.
            kwargs: `detail`, for dictionaries of what `info` returns, by name, in place of lists of names.
        """
        if maxdepth is not None and maxdepth < 1:
            raise ValueError(f"maxdepth must be at least 1, not {maxdepth}; leave it out for all levels")
        steps = self._walk(self._strip_protocol(path), maxdepth, detail=bool(kwargs.pop("detail", False)))
        try:
            with translated():
                yield from steps if topdown else reversed(list(steps))
        except FileNotFoundError as error:
            if on_error == "raise":
                raise
            if callable(on_error):
                on_error(error)

    @translated()
    def du(
        self, path: str, total: bool = True, maxdepth: int | None = None, withdirs: bool = False, **kwargs: Any
    ) -> Any:
        """Return the bytes of all files below a folder, or with ``total=False`` those of each."""
        infos = self.find(path, maxdepth=maxdepth, withdirs=withdirs, detail=True, **kwargs)
        sizes = {name: details["size"] for name, details in infos.items()}
        return sum(sizes.values()) if total else sizes

    def expand_path(
        self,
        path: Any,
        recursive: bool = False,
        maxdepth: int | None = None,
        assume_literal: bool = False,
        **kwargs: Any,
    ) -> list[str]:
        """Return the paths that are meant: those that match, or a file whose name has the wildcards in it."""
        paths = [self._strip_protocol(each) for each in ([path] if isinstance(path, (str, os.PathLike)) else path)]
        literal = (
            set() if kwargs.get("assume_literal") else {each for each in paths if has_magic(each) and self.exists(each)}
        )
        expanded = set(literal)
        if recursive:
            for each in literal:
                expanded.update(self.find(each, maxdepth=maxdepth, withdirs=True))
        if others := [each for each in paths if each not in literal]:
            options = {"assume_literal": True} if assume_literal else {}  # which older versions do not know
            expanded.update(super().expand_path(others, recursive=recursive, maxdepth=maxdepth, **options, **kwargs))
        if not expanded:
            raise MissingFile("no path was given; name a file or folder")
        return sorted(expanded)

    @translated()
    def modified(self, path: str) -> dt.datetime:
        """Return when a file's content was stored, in UTC."""
        return self._stat(self._strip_protocol(path)).modified_at

    def created(self, path: str) -> dt.datetime:
        """Return when a file's content was stored, in UTC: each content is an object of its own, as in other stores."""
        return self.modified(path)

    @translated()
    def ukey(self, path: str) -> str:
        """Return a text that is another one once the file has another version."""
        path = self._strip_protocol(path)
        stat = self._stat(path)
        version = stat.version or (stat.size, stat.modified_at.isoformat())
        return hashlib.sha256(f"{path}\0{version}".encode()).hexdigest()

    @translated()
    def checksum(self, path: str) -> int:
        """Return a number that is another one for other content: of its digest, or its version if that is not known."""
        path = self._strip_protocol(path)
        stat = self._stat(path)
        digest = stat.digest or stat.sha256
        return int(hashlib.sha256(f"{digest} {stat.part_size}".encode()).hexdigest() if digest else self.ukey(path), 16)

    @translated()
    def sign(self, path: str, expiration: int = 100, **kwargs: Any) -> str:
        """Return an address from which anyone who has it can fetch a file without a token.

        Args:
            path: the file.
            expiration: seconds that the address works; at most 7 days.
        """
        return self._file(path).download_url(expiration)

    # --- reading ----------------------------------------------------------------------------------

    def open(
        self,
        path: str,
        mode: str = "rb",
        block_size: int | None = None,
        cache_options: dict[str, Any] | None = None,
        compression: str | None = None,
        **kwargs: Any,
    ) -> Any:
        """Return a file object; what is written appears whole once it is closed, and an exception discards it.

        Args:
            path: the file.
            mode: ``"r"``, ``"w"``, or ``"x"`` for a file that must be new, with ``"b"`` for bytes.
            block_size: not used, as `cache_options`.
            cache_options: not used: nothing is kept that was read.
            compression: as of `fsspec.open`.
            kwargs: `encoding`, `errors` and `newline` of a text.
        """
        compression = get_compression(self._strip_protocol(path), compression)
        text = {name: kwargs.pop(name) for name in ("encoding", "errors", "newline") if name in kwargs}
        options = {"block_size": block_size, "cache_options": cache_options}
        file = super().open(path, mode if "b" in mode else mode.replace("t", "") + "b", **options, **kwargs)
        if compression is not None:
            file = Compressed(file, compression)
        return file if "b" in mode else text_of(file, **text)

    @translated()
    def _open(
        self,
        path: str,
        mode: str = "rb",
        block_size: int | None = None,
        autocommit: bool = True,
        cache_options: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> Any:
        if mode == "rb":
            return self._file(path)
        if mode not in ("wb", "xb"):
            raise io.UnsupportedOperation(
                f"a stored file can be read ('r') and replaced as a whole ('w', or 'x' for a new one), which the mode "
                f"{mode!r} is not; to change it, download it, change the local file and upload that"
            )
        path = self._named(path)
        writer = self._folder.create(path, overwrite=mode == "wb")
        return StoredWriter(writer, autocommit=autocommit)

    @translated()
    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **kwargs: Any) -> bytes:
        """Return the bytes of a file, or a range of them as in a slice.

        Args:
            path: the file.
            start: the first byte; negative counts from the end.
            end: the byte after the last; negative counts from the end.
        """
        with self._file(path) as file:
            span = range(file.size)[start:end]
            file.seek(span.start)
            return file.read(len(span))

    @translated()
    def cat(self, path: Any, recursive: bool = False, on_error: str = "raise", **kwargs: Any) -> Any:
        """Return the bytes of a file; or of several, by their paths, small ones many in a single request.

        Args:
            path: a path, a pattern, or a list of these.
            recursive: True for all files in a folder.
            on_error: ``"return"`` gives an error in place of the bytes, and ``"omit"`` leaves the path out.
            kwargs: `start` and `end` of `cat_file`, and `maxdepth` of `expand_path`.
        """
        span = {name: kwargs.pop(name) for name in ("start", "end") if name in kwargs}
        planner = plans.planner(self, {})
        paths = planner.expand_path(path, recursive=recursive, **kwargs)
        if isinstance(path, (str, os.PathLike)) and paths == [self._strip_protocol(path)]:
            return self.cat_file(paths[0], **span)
        if recursive:
            paths = [each for each in paths if planner._kind(each) != "folder"]
        is_whole = span.get("start") in (None, 0) and span.get("end") is None
        contents = self._read_together(paths, planner._seen) if is_whole else {}

        def read_alone(path: str) -> None:
            try:
                contents[path] = planner.cat_file(path, **span)
            except Exception as error:
                if on_error == "raise":
                    raise
                if on_error == "return":
                    contents[path] = error

        alone = [each for each in paths if each not in contents]
        workers.each(read_alone, alone, min(ranges.AT_ONCE, len(alone)) or 1)
        return {each: contents[each] for each in paths if each in contents}

    @translated()
    def cat_ranges(
        self,
        paths: list[str],
        starts: Any,
        ends: Any,
        max_gap: int | None = None,
        on_error: str = "return",
        **kwargs: Any,
    ) -> list[Any]:
        """Return ranges of one or more files: near ones come with a single request, and several requests run at once.

        Args:
            paths: the file of each range.
            starts: the first byte of each, or of all.
            ends: the byte after the last of each, or of all.
            max_gap: bytes between two ranges up to which they come with a single request; by default 64 KiB.
            on_error: ``"return"`` gives an error in place of the bytes.
        """
        if not isinstance(paths, list):
            raise TypeError(f"paths must be a list, not {type(paths).__name__}")
        starts, ends = (each if isinstance(each, list) else [each] * len(paths) for each in (starts, ends))
        if not len(paths) == len(starts) == len(ends):
            raise ValueError(f"there are {len(paths)} paths, {len(starts)} starts and {len(ends)} ends; give as many")
        paths = self._strip_protocol(paths)
        files = self._opened(list(dict.fromkeys(paths)))
        selected: list[ranges.Range] = []
        for path, start, end in zip(paths, starts, ends, strict=True):
            if isinstance(file := files[path], File):
                selected.append(file._range(start, end))
        read = iter(ranges.read(selected, max_gap=ranges.NEAR if max_gap is None else max_gap))
        contents: list[Any] = [next(read) if isinstance(file := files[path], File) else file for path in paths]
        return _results(contents, raises=on_error == "raise")

    @translated()
    def get_file(
        self, rpath: str, lpath: Any = None, callback: Any = DEFAULT_CALLBACK, outfile: Any = None, **kwargs: Any
    ) -> None:
        """Download a file, which appears under its local name once it is complete and checked; of a folder, make it.

        Args:
            rpath: the file or folder.
            lpath: the local file, which is replaced; or a file object, as `outfile`.
            callback: is told the bytes.
            outfile: a file object that is written to.
        """
        rpath = self._strip_protocol(rpath)
        outfile = lpath if outfile is None and isfilelike(lpath) else outfile
        if outfile is not None:
            with self._file(rpath) as file:
                callback.set_size(file.size)
                while block := file.read(ranges.NEAR):
                    outfile.write(block)
                    callback.relative_update(len(block))
            return
        stat = self._stat(rpath)
        target = pathlib.Path(cast("str", lpath))
        if not _is_file(stat):
            target.mkdir(parents=True, exist_ok=True)
            return
        if target.is_dir():
            raise IsADirectoryError(f"{str(target)!r} is a folder; give the path of the local file")
        target.parent.mkdir(parents=True, exist_ok=True)
        plans.download_all(
            self._folder._store, [download.Planned(self._at(rpath), stat, target)], plans.listener(callback)
        )

    @translated()
    def get(
        self,
        rpath: Any,
        lpath: Any,
        recursive: bool = False,
        callback: Any = DEFAULT_CALLBACK,
        maxdepth: int | None = None,
        **kwargs: Any,
    ) -> None:
        """Download files and folders, small files many at once; where each goes is as fsspec has it.

        Args:
            rpath: a path, a pattern, or a list of paths.
            lpath: the local file or folder, or a list of files.
            recursive: True for everything in a folder.
            callback: counts the files; those of a single file, its bytes.
            maxdepth: number of levels, if `recursive`.
            kwargs: those of `get_file`.
        """
        planner_pairs, seen = plans.pairs(self, "get", rpath, lpath, recursive=recursive, maxdepth=maxdepth)
        callback.set_size(len(planner_pairs))
        if len(planner_pairs) == 1:
            with callback.branched(*planner_pairs[0]) as child:
                self.get_file(*planner_pairs[0], callback=child, **kwargs)
            callback.absolute_update(1)
            return
        files: list[download.Planned] = []
        for source, local in planner_pairs:
            path = self._strip_protocol(source)
            stat = seen.get(path) or self._stat(path)
            target = pathlib.Path(local)
            if _is_file(stat):
                target.parent.mkdir(parents=True, exist_ok=True)
                files.append(download.Planned(self._at(path), stat, target))
            else:
                target.mkdir(parents=True, exist_ok=True)
        plans.download_all(self._folder._store, files, plans.counter(callback))
        callback.absolute_update(len(planner_pairs))

    # --- writing ----------------------------------------------------------------------------------

    @translated()
    def pipe_file(self, path: str, value: Any, mode: str = "overwrite", **kwargs: Any) -> None:
        """Store bytes as a file.

        Args:
            path: the file.
            value: the bytes.
            mode: ``"create"`` refuses to replace a file.

        Raises:
            FileExistsError: a folder has the name, or a file has it and `mode` is ``"create"``.
        """
        if self._intrans:
            super().pipe_file(path, value, mode=mode, **kwargs)
        else:
            self._folder.write_bytes(self._named(path), value, overwrite=mode != "create")

    def pipe(self, path: str | dict[str, Any], value: Any = None, **kwargs: Any) -> None:
        """Store bytes as a file; or as many files, several at once, from a dictionary of bytes by paths."""
        if isinstance(path, dict) and not self._intrans:
            workers.each(lambda pair: self.pipe_file(*pair, **kwargs), path.items())
        else:
            super().pipe(path, value, **kwargs)

    @translated()
    def put_file(
        self, lpath: Any, rpath: str, callback: Any = DEFAULT_CALLBACK, mode: str = "overwrite", **kwargs: Any
    ) -> None:
        """Upload a local file, which appears once it is complete; of a local folder, make the folder.

        Args:
            lpath: the local file.
            rpath: the path in the store.
            callback: is told the bytes.
            mode: ``"create"`` refuses to replace a file.
        """
        if self._intrans:
            super().put_file(lpath, rpath, callback=callback, mode=mode, **kwargs)
        elif os.path.isdir(lpath):
            self.makedirs(rpath, exist_ok=True)
        else:
            progress = plans.listener(callback)
            self._folder.upload(self._named(rpath), lpath, overwrite=mode != "create", progress=progress)

    @translated()
    def put(
        self,
        lpath: Any,
        rpath: Any,
        recursive: bool = False,
        callback: Any = DEFAULT_CALLBACK,
        maxdepth: int | None = None,
        **kwargs: Any,
    ) -> None:
        """Upload local files and folders, small files many at once; where each goes is as fsspec has it.

        Args:
            lpath: a local path, a pattern, or a list of paths.
            rpath: the path in the store, or a list of paths.
            recursive: True for everything in a folder.
            callback: counts the files; those of a single file, its bytes.
            maxdepth: number of levels, if `recursive`.
            kwargs: those of `put_file`.
        """
        planned, _ = plans.pairs(self, "put", lpath, rpath, recursive=recursive, maxdepth=maxdepth)
        callback.set_size(len(planned))
        if len(planned) == 1 or self._intrans or kwargs:
            for pair in planned:
                with callback.branched(*pair) as child:
                    self.put_file(*pair, callback=child, **kwargs)
                callback.relative_update(1)
            return
        files: list[tuple[str, str]] = []
        for local, target in planned:
            if os.path.isdir(local):
                self.makedirs(target, exist_ok=True)
            else:
                files.append((local, self._at(self._named(target))))
        plans.upload_all(self._folder, files, plans.counter(callback))
        callback.absolute_update(len(planned))

    @translated()
    def touch(self, path: str, truncate: bool = True, **kwargs: Any) -> None:
        """Make an empty file.

        Args:
            path: the file.
            truncate: False keeps an existing file, whose time cannot be changed, and so raises an error.

        Raises:
            io.UnsupportedOperation: the file exists, and `truncate` is False.
        """
        if truncate:
            self.pipe_file(path, b"", **kwargs)
            return
        try:
            self._folder.write_bytes(self._named(path), b"", overwrite=False)
        except AlreadyExists:
            raise io.UnsupportedOperation(
                f"{path!r} exists, and the time of a stored file cannot be changed; leave it, or replace it by "
                "truncate=True"
            ) from None

    # --- folders, copies and moves ----------------------------------------------------------------

    @translated()
    def mkdir(self, path: str, create_parents: bool = True, **kwargs: Any) -> None:
        """Make a folder.

        Args:
            path: the folder.
            create_parents: False refuses to make the folders above it.

        Raises:
            FileExistsError: the name is taken.
            FileNotFoundError: the folder above does not exist, and `create_parents` is False.
        """
        path = self._named(path)
        if not create_parents and (parent := path.rpartition("/")[0]):
            self._stat(parent)
        self._folder.make_folder(path)

    @translated()
    def makedirs(self, path: str, exist_ok: bool = False) -> None:
        """Make a folder and those above it.

        Raises:
            FileExistsError: the name is taken, by a folder only if `exist_ok` is False.
        """
        if self._strip_protocol(path) or not exist_ok:
            self._folder.make_folder(self._named(path), exist_ok=exist_ok)

    @translated()
    def rmdir(self, path: str) -> None:
        """Delete a folder, which must be empty."""
        path = self._named(path)
        if _is_file(self._stat(path)):
            raise FileInPlace(f"{path!r} is a file; delete it by rm")
        self._folder.delete(path)

    @translated()
    def rm_file(self, path: str) -> None:
        """Delete a file, or a folder that is empty."""
        self._folder.delete(self._named(path))

    @translated()
    def rm(self, path: Any, recursive: bool = False, maxdepth: int | None = None) -> None:
        """Delete files and folders, each by a single request.

        Args:
            path: a path, a pattern, or a list of these.
            recursive: True for everything in a folder.
            maxdepth: number of levels, if `recursive`; None for all.

        Raises:
            FileNotFoundError: nothing is there.
            OSError: a folder is not empty, and `recursive` is False.
        """
        if maxdepth is not None:
            super().rm(path, recursive=recursive, maxdepth=maxdepth)
            return
        gone = ""
        for each in self._matching(path):
            if not gone or not each.startswith(f"{gone}/"):
                self._folder.delete(self._named(each), recursive=recursive)
                gone = each if recursive else ""

    @translated()
    def cp_file(self, path1: str, path2: str, **kwargs: Any) -> None:
        """Copy a file on the server, which replaces one that is there; of a folder, make it."""
        path1, path2 = self._named(path1), self._named(path2)
        store = self._folder._store
        if self.isdir(path1):
            self.makedirs(path2, exist_ok=True)
        elif isinstance(store, CopyingStore):
            store.copy(self._at(path1), self._at(path2), overwrite=True)
        else:
            with self._file(path1) as file:
                self._folder.upload(path2, cast("IO[bytes]", file))

    @translated()
    def copy(
        self,
        path1: Any,
        path2: Any,
        recursive: bool = False,
        maxdepth: int | None = None,
        on_error: str | None = None,
        **kwargs: Any,
    ) -> None:
        """Copy files and folders on the server, several at once; where each goes is as fsspec has it.

        Args:
            path1: a path, a pattern, or a list of paths.
            path2: the path of the copy, or a list of paths.
            recursive: True for everything in a folder.
            maxdepth: number of levels, if `recursive`.
            on_error: ``"ignore"`` leaves out what has gone meanwhile, as is done by default if `recursive`; else
                ``"raise"``.
        """
        planned, seen = plans.pairs(self, "copy", path1, path2, recursive=recursive, maxdepth=maxdepth)
        ignores = on_error == "ignore" or (on_error is None and recursive)
        copier = plans.planner(self, seen)

        def copied(pair: tuple[str, str]) -> None:
            try:
                copier.cp_file(*pair, **kwargs)
            except FileNotFoundError:
                if not ignores:
                    raise

        folders = [pair for pair in planned if copier.isdir(pair[0])]
        for pair in folders:
            copied(pair)
        workers.each(copied, [pair for pair in planned if pair not in folders])

    @translated()
    def mv(self, path1: Any, path2: Any, recursive: bool = False, maxdepth: int | None = None, **kwargs: Any) -> None:
        """Move files and folders on the server; a file that is there is replaced.

        Into a folder that exists, or a path that ends with a slash, everything goes under its own name.

        Args:
            path1: a path, a pattern, or a list of paths.
            path2: the new path, or a list of paths.
            recursive: a folder is moved with all that is in it in either case.
            maxdepth: number of levels to copy and then delete, in place of moving.
        """
        if maxdepth is not None:
            super().mv(path1, path2, recursive=recursive, maxdepth=maxdepth, **kwargs)
            return
        sources = self._matching(path1)
        if isinstance(path2, list):
            targets = [self._strip_protocol(each) for each in path2]
        else:
            target = self._strip_protocol(path2)
            several = not isinstance(path1, (str, os.PathLike)) or sources != [self._strip_protocol(path1)]
            inside = several or str(path2).endswith("/") or self.isdir(target)
            targets = [listing.joined(target, each.rpartition("/")[2]) if inside else target for each in sources]
        for source, target in zip(sources, targets, strict=True):
            if source != target:
                self._folder.move(self._named(source), self._named(target), overwrite=True)

    # --- what the methods share -------------------------------------------------------------------

    def _at(self, path: str) -> str:
        """Return a path as the store knows it."""
        return listing.joined(self._folder._path, path)

    def _named(self, path: str) -> str:
        """Return the path of a file or folder below the root."""
        name: str = self._strip_protocol(path)
        if not name:
            raise InvalidPath("this is the root itself; give the path of a file or folder")
        return name

    def _matching(self, path: Any) -> list[str]:
        """Return the paths that are meant, without what is in folders."""
        if isinstance(path, (str, os.PathLike)) and not has_magic(stripped := self._strip_protocol(path)):
            return [stripped]
        return self.expand_path(path)

    def _stat(self, path: str) -> Stat:
        if self._seen is None:
            return self._folder._store.stat(self._at(path))
        if path not in self._seen:
            self._seen[path] = self._folder._store.stat(self._at(path))
        return self._seen[path]

    def _existing(self, path: str) -> Stat | None:
        """Return what the store knows of a path; None if nothing is there, or can be."""
        try:
            return self._stat(self._strip_protocol(path))
        except (NotFound, BadEntry):
            return None

    def _kind(self, path: str) -> str | None:
        stat = self._existing(path)
        return None if stat is None else stat.kind

    def _file(self, path: str) -> File:
        path = self._strip_protocol(path)
        stat = self._stat(path)
        if not _is_file(stat):
            raise FolderInPlace(f"{path!r} is a folder, which has no content; give the path of a file")
        file: File = self._folder._file_class(self._folder._store, self._at(path), stat)
        return file

    def _opened(self, paths: Sequence[str]) -> dict[str, File | Exception]:
        """Return the files at paths, or why there is none, by several requests at once."""
        files: dict[str, File | Exception] = {}

        def open_at(path: str) -> None:
            try:
                with translated():
                    files[path] = self._file(path)
            except EdgeError as error:
                files[path] = error

        workers.each(open_at, paths, min(ranges.AT_ONCE, len(paths)) or 1)
        return files

    def _read_together(self, paths: Sequence[str], seen: dict[str, Stat]) -> dict[str, Any]:
        """Return the content of those of several files that can be read together.

        Args:
            paths: the files.
            seen: what is known of them.
        """
        store = self._folder._store
        contents: dict[str, Any] = {}
        if len(paths) < 2 or not isinstance(store, NewestReadingStore) or (limits := store.batch_limits) is None:
            return contents
        largest = limits.file
        small = [path for path in paths if path not in seen or (seen[path].size or 0) <= largest]

        def read(batch: Sequence[str]) -> None:
            try:
                received = store.read_newest([self._at(path) for path in batch])
            except EdgeError:
                return  # alone, each of them has an error of its own
            for path, content in zip(batch, received, strict=True):
                if content is not None:
                    contents[path] = content

        workers.each(read, [small[start : start + limits.files] for start in range(0, len(small), limits.files)])
        return contents

    def _children(self, path: str) -> Iterator[Stat]:
        return iter(self._folder._store.children(self._at(path)))

    def _below(self, path: str, maxdepth: int | None, prefix: str) -> Iterator[tuple[str, Stat]]:
        for place, stat in self._listed(path, maxdepth, prefix):
            if self._seen is not None:
                self._seen.setdefault(listing.joined(path, place), stat)
            yield place, stat

    def _listed(self, path: str, maxdepth: int | None, prefix: str) -> Iterator[tuple[str, Stat]]:
        if maxdepth is None:
            yield from listing.descendants(self._folder._store, self._at(path), prefix)
        elif maxdepth == 1:
            for entry in self._children(path):
                yield entry.name, entry
        else:
            below = listing.Folders(self._folder._store, self._at(path))
            for folder, entries in below:
                for entry in entries:
                    place = listing.joined(folder, entry.name)
                    yield place, entry
                    if not _is_file(entry) and place.count("/") + 1 == maxdepth:
                        below.skip(place)

    def _walk(self, path: str, maxdepth: int | None, *, detail: bool) -> Iterator[tuple[str, Any, Any]]:
        below = listing.Folders(self._folder._store, self._at(path))
        for folder, entries in below:
            place = listing.joined(path, folder)
            infos = _by_name((listing.joined(place, entry.name), entry) for entry in entries)
            folders = {_name(entry): entry for entry in infos.values() if entry["type"] == "directory"}
            files = {_name(entry): entry for entry in infos.values() if entry["type"] == "file"}
            names = tuple(folders)
            shown: tuple[Any, Any] = (folders, files) if detail else (list(folders), list(files))
            yield place, *shown
            depth = folder.count("/") + 2 if folder else 1
            for name in names:
                if name not in shown[0] or depth == maxdepth:
                    below.skip(listing.joined(folder, name))


def _is_file(stat: Stat) -> bool:
    return stat.kind == "file"


def _name(entry: dict[str, Any]) -> str:
    name: str = entry["name"]
    return name.rpartition("/")[2]


def _by_name(entries: Iterator[tuple[str, Stat]]) -> dict[str, dict[str, Any]]:
    """Return what `info` returns of entries by their paths; where a file and a folder have one name, of the file."""
    infos: dict[str, dict[str, Any]] = {}
    for path, stat in entries:
        if _is_file(stat) or path not in infos:
            infos[path] = _info(path, stat)
    return infos


def _folder_info(path: str) -> dict[str, Any]:
    return {"name": path, "size": 0, "type": "directory"}


def _info(path: str, stat: Stat) -> dict[str, Any]:
    if not _is_file(stat):
        return _folder_info(path) | {"mtime": stat.modified_at.timestamp()}
    return {
        "name": path,
        "size": stat.size or 0,
        "type": "file",
        "mtime": stat.modified_at.timestamp(),
        "version": stat.version,
        "digest": stat.digest,
        "part_size": stat.part_size,
        "sha256": stat.sha256,
    }


def _results(contents: list[Any], *, raises: bool) -> list[Any]:
    if raises:
        for content in contents:
            if isinstance(content, Exception):
                raise content
    return contents
