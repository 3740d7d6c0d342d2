"""Downloading a file to this machine: it appears under its name only once it is complete and checked."""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import pathlib

from edge_core.errors import BadEntry
from edge_core.replacing import replacing
from edge_vfs import local_names
from edge_vfs.content import Check, Content
from edge_vfs.store import FileStore, Stat

EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)

# Before the file has its name; Windows sets times by name only.
_BY_HANDLE = os.utime in os.supports_fd

BLOCK = 1 << 20
"""Bytes that are read and written at once."""


def fetch(store: FileStore, path: str, stat: Stat, target: pathlib.Path) -> None:
    """Download a file with its time of modification, and report the progress to the store.

    Args:
        store: the store of the file.
        path: the file's path in the store.
        stat: the version to download.
        target: the local file to write or replace.

    Raises:
        ChecksumError: the received content is not what was uploaded; no file is left.
        OSError: the local file cannot be written; no file is left.
    """
    content, check = Content(store.reader(path, stat), stat), Check(stat)
    with contextlib.closing(content):
        with replacing(target) as file:
            while block := content.read(BLOCK):
                check.see(content.position - len(block), block)
                file.write(block)
                store.progress("download", path, content.position, stat.size)
            file.flush()
            if _BY_HANDLE:
                _set_time(file.fileno(), stat.modified_at)
        if not _BY_HANDLE:
            _set_time(target, stat.modified_at)
        store.progress("download", path, content.position, stat.size, finished=True)


def _set_time(file: int | pathlib.Path, modified_at: dt.datetime) -> None:
    nanoseconds = (modified_at - EPOCH) // dt.timedelta(microseconds=1) * 1000
    # Some file systems keep no times, or not all; the content is what counts.
    with contextlib.suppress(OSError, OverflowError):
        os.utime(file, ns=(nanoseconds, nanoseconds))


def target_of(name: str, localpath: str | os.PathLike[str] | None) -> pathlib.Path:
    """Return the local file to write.

    Args:
        name: name of the downloaded file.
        localpath: the local file, or an existing folder; None for the working folder.

    Raises:
        BadEntry: `name` cannot be a local name, or something other than a file has the path.
        NotADirectoryError: the folder to download to does not exist.
    """
    target = pathlib.Path(localpath if localpath is not None else ".")
    if target.is_dir():
        local_names.check(name)
        target = target / name
    if not target.parent.is_dir():
        raise NotADirectoryError(f"the local folder {target.parent} to download to does not exist; make it first")
    check_ordinary(target)
    return target


def check_ordinary(target: pathlib.Path) -> None:
    """Check that `target` is a file or does not exist.

    Raises:
        BadEntry: it is something else.
    """
    if target.exists() and not target.is_file():
        # Renaming over a device or a pipe would remove it for everyone.
        raise BadEntry(f"{target} is not an ordinary file and will not be replaced; choose another localpath")


def check_name(name: str, folder: str, seen: dict[str, str]) -> None:
    """Check that a name can be a local name, and is on no system the same as another name of its folder.

    Args:
        name: the name.
        folder: path of its folder in the store, for the error.
        seen: the names of the folder that were checked before; `name` is added.

    Raises:
        BadEntry: it cannot, or is.
    """
    try:
        local_names.check(name)
    except BadEntry as error:
        raise BadEntry(f"in {folder!r}: {error}") from None
    other = seen.setdefault(local_names.same(name), name)
    if other != name:
        raise BadEntry(
            f"in {folder!r}: {other!r} and {name!r} are the same name on some systems, so that the second would "
            "replace the first; rename one of them, or download them one by one"
        )
