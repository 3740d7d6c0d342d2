"""Downloading a file to this machine: it appears under its name only once it is complete and checked."""

from __future__ import annotations

import contextlib
import datetime as dt
import functools
import os
import pathlib
from typing import NamedTuple

from edge_core.errors import BadEntry, ChecksumError, Conflict, ConnectionFailed, NotFound
from edge_core.replacing import replacing
from edge_vfs import listing
from edge_vfs.content import Check, Content, expected, part_digests
from edge_vfs.progress import FileTracker, Tracker
from edge_vfs.store import FileStore, KeepsSourceTime, Reader, Stat
from edge_vfs.transfers import local_names
from edge_vfs.transfers.fetching import HELD, MAX_CONNECTIONS, Buffers, Fetch, Parts
from edge_vfs.transfers.filters import Filters
from edge_vfs.transfers.part_file import BLOCK, PartFile, naming, set_time

EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)

SMALL = 8 << 20
"""Bytes of content of which nothing is kept if its download is interrupted: it takes no longer than a part."""


def fetch(
    store: FileStore,
    path: str,
    stat: Stat,
    target: pathlib.Path,
    tracker: Tracker,
    *,
    max_workers: int = MAX_CONNECTIONS,
    buffers: Buffers | None = None,
) -> None:
    """Download a file with the time of its source, or else its own.

    Of large content of a known version, what has arrived stays beside the target if the download is interrupted, and
    the next one of this version checks it and goes on from there.

    Args:
        store: the store of the file.
        path: the file's path in the store.
        stat: the version to download.
        target: the local file to write or replace.
        tracker: counts what the call downloads.
        max_workers: maximum number of connections.
        buffers: the memory for parts, if other downloads run at the same time.

    Raises:
        ChecksumError: the received content is not what was uploaded.
        NotFound, Conflict: the version is gone.
        OSError: the local file cannot be written.
        ValueError: `max_workers` is less than 1.
    """
    if max_workers < 1:
        raise ValueError(f"max_workers must be 1 or more, not {max_workers}")
    reader = store.reader(path, stat)
    with tracker.file(path, stat.size) as counted:
        if stat.version is None or (stat.size or 0) <= SMALL:
            _fetch_small(reader, stat, target, counted)
        else:
            version = f"{path}\0{stat.version}"
            shared = buffers or Buffers()
            try:
                _fetch_large(reader, stat, target, counted, version, max_workers=max_workers, buffers=shared)
            finally:
                if buffers is None:
                    shared.release()


def _fetch_small(reader: Reader, stat: Stat, target: pathlib.Path, counted: FileTracker) -> None:
    content, check = Content(reader, stat), Check(stat)
    with contextlib.closing(content), naming(target), replacing(target) as file:
        while block := content.read(BLOCK):
            check.see(content.position - len(block), block)
            file.write(block)
            counted.add(len(block))
        counted.completing()
        file.flush()
        time = mtime_ns(reader, stat)
        set_time(file.fileno(), time)
    if os.utime not in os.supports_fd:
        set_time(target, time)


def _fetch_large(
    reader: Reader,
    stat: Stat,
    target: pathlib.Path,
    counted: FileTracker,
    version: str,
    *,
    max_workers: int,
    buffers: Buffers,
) -> None:
    size = stat.size or 0
    digest, part_size = expected(stat)
    digests = part_digests(reader, stat)
    file = PartFile(target, version, size)
    try:
        if digest is not None and not digests:
            _fetch_in_order(reader, stat, file, counted)
        else:
            parts = Parts(size, part_size or HELD, digests)
            Fetch(reader, stat, parts, file, counted, max_workers=max_workers, buffers=buffers).run()
        counted.completing()
        file.publish(mtime_ns(reader, stat))
    except BaseException as error:
        # Of a version that is gone nobody can download the rest.
        if file.kept_at is None or file.is_empty() or isinstance(error, (NotFound, Conflict)):
            file.discard()
        elif isinstance(error, (OSError, ConnectionFailed, KeyboardInterrupt)):
            error.add_note(f"what has arrived is kept in {file.kept_at}, and downloading again goes on from it")
        raise
    finally:
        file.close()


def _fetch_in_order(reader: Reader, stat: Stat, file: PartFile, counted: FileTracker) -> None:
    """Download content of which only the digest of all of it is known; what the file holds is hashed as well."""
    for held in (file.held, 0):
        check = Check(stat)
        kept = received = 0
        try:
            while kept < held and (block := file.read(min(BLOCK, held - kept), kept)):
                kept += len(block)
                counted.skip(len(block))
                check.see(kept - len(block), block)
            with contextlib.closing(Content(reader, stat, kept)) as content:
                while block := content.read(BLOCK):
                    file.write(block, content.position - len(block))
                    received += len(block)
                    counted.add(len(block))
                    check.see(content.position - len(block), block)
            return
        except ChecksumError:
            if not held:
                file.discard()
                raise
            # The file may hold less than its size says, as after a power failure.
            counted.skip(-kept)
            counted.add(-received)


def mtime_ns(reader: Reader, stat: Stat) -> int:
    """Return the time of the local file that was uploaded, or else the store's own."""
    source = reader.source_mtime_ns() if _keeps_source_time(type(reader)) else None  # type: ignore[attr-defined]
    return stored_ns(stat) if source is None else source


@functools.cache
def _keeps_source_time(kind: type[Reader]) -> bool:
    """Return whether readers of a class know it; what Python looks at takes as long as all else of a small file."""
    return issubclass(kind, KeepsSourceTime)


def stored_ns(stat: Stat) -> int:
    """Return the store's own time of a file in nanoseconds since 1970."""
    return (stat.modified_at - EPOCH) // dt.timedelta(microseconds=1) * 1000


def target_of(name: str, localpath: str | os.PathLike[str] | None) -> pathlib.Path:
    """Return the local file to write.

    Args:
        name: name of the downloaded file.
        localpath: the local file, or an existing folder; None for the working folder.

    Raises:
        BadEntry: `name` cannot be a local name, or something other than a file has the path.
        FileNotFoundError: the folder to download to does not exist.
        NotADirectoryError: the folder to download to is a file.
    """
    target = pathlib.Path(localpath if localpath is not None else ".")
    if target.is_dir():
        local_names.check(name)
        target = target / name
    _check_parent(target)
    check_ordinary(target)
    return target


def _check_parent(target: pathlib.Path) -> None:
    if not target.parent.is_dir():
        if target.parent.exists():
            raise NotADirectoryError(f"{target.parent} is not a folder to download to; choose another local path")
        raise FileNotFoundError(f"the local folder {target.parent} to download to does not exist; make it first")


def check_ordinary(target: pathlib.Path) -> None:
    """Check that `target` is a file or does not exist.

    Raises:
        BadEntry: it is something else.
    """
    if target.exists() and not target.is_file():
        # Renaming over a device or a pipe would remove it for everyone.
        raise BadEntry(f"{target} is not an ordinary file and will not be replaced; choose another local path")


class Planned(NamedTuple):
    """A file that is to be downloaded."""

    path: str
    stat: Stat
    target: pathlib.Path


def plan(
    store: FileStore,
    path: str,
    top: pathlib.Path,
    tracker: Tracker,
    *,
    portable: bool,
    filters: Filters | None = None,
) -> tuple[list[pathlib.Path], list[Planned]]:
    """List a folder and everything in it, and check that all of it can be held locally; write nothing yet.

    Args:
        store: the store of the folder.
        path: the folder's path in the store.
        top: the local folder.
        tracker: counts the files that are listed.
        portable: whether every system must be able to hold the names, and not only this one.
        filters: what takes part; None for all.

    Returns:
        the local folders to make, each after the one that holds it, and the files.

    Raises:
        NotFound: the folder does not exist.
        BadEntry: a name or a path cannot be held, or is the same as another; or something is in the way.
        FileNotFoundError: the folder that is to hold `top` does not exist.
        NotADirectoryError: it is a file.
    """
    if not top.is_dir():
        _check_parent(top)
    folders: list[pathlib.Path] = []
    files: list[Planned] = []
    listed = listing.Folders(store, path, at_once=True)
    for below, entries in listed:
        source, target = listing.joined(path, below), top / below
        names: set[str] = set()
        for entry in entries:
            if filters is not None and not _takes_part(filters, entry, listing.joined(below, entry.name)):
                if entry.kind == "folder":
                    listed.skip(listing.joined(below, entry.name))
                continue
            if entry.name in names:
                raise BadEntry(
                    f"in {'/' + source!r}: a file and a folder both have the name {entry.name!r}, and no local folder "
                    "can hold both; rename one of them"
                )
            names.add(entry.name)
            local = target / _checked(entry.name, source, portable=portable)
            local_names.check_length(local)
            place = listing.joined(source, entry.name)
            if entry.kind == "folder":
                local_names.check_folder(local)
                folders.append(local)
            else:
                check_ordinary(local)
                files.append(Planned(place, entry, local))
                tracker.expect(entry.size)
        _check_together(names, source, top if top.is_dir() else top.parent, portable=portable)
    return folders, files


def _takes_part(filters: Filters, entry: Stat, path: str) -> bool:
    return filters.enters(path) if entry.kind == "folder" else filters.takes(path)


def _checked(name: str, folder: str, *, portable: bool) -> str:
    try:
        local_names.check(name, portable=portable, remedy="rename it, or download the files one by one")
    except BadEntry as error:
        raise BadEntry(f"in {'/' + folder!r}: {error}") from None
    return name


def _check_together(names: set[str], folder: str, local: pathlib.Path, *, portable: bool) -> None:
    """Check that the names of a folder do not replace each other, and that `local` can hold the unusual ones."""
    alike: dict[str, list[str]] = {}
    for name in names:
        alike.setdefault(local_names.same(name), []).append(name)
    unusual = [name for name in names if not local_names.is_portable(name)]
    for variants in alike.values():
        if len(variants) > 1 and (portable or local_names.STRICT):
            first, second = sorted(variants)[:2]
            raise BadEntry(
                f"in {'/' + folder!r}: {first!r} and {second!r} are the same name on some systems, so that the second "
                "would replace the first; rename one of them, or download them one by one"
            )
        if len(variants) > 1:
            unusual += variants
    if unusual:
        local_names.check_held(sorted(set(unusual)), local)
