"""Whether a local file has the content of a file in a store, so that it need not go."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence

from edge_vfs import digests
from edge_vfs.content import expected
from edge_vfs.store import ComparingStore, FileStore, Stat, TimeSettingStore
from edge_vfs.transfers import download

BLOCK = 1 << 20
"""Bytes that are read at once."""


_GRANULARITIES = (1, 100, 1_000, 1_000_000_000, 2_000_000_000)
"""Nanoseconds to which file systems keep times: those of Linux and macOS, NTFS, network file systems, ext3, FAT."""


def is_unchanged(store: FileStore, path: str, stat: Stat, local: str | os.PathLike[str]) -> bool:
    """Return whether a local file has the content of a file in a store, as far as the store can tell.

    Args:
        store: the store.
        path: the file's path there.
        stat: what a list says of it.
        local: the local file.

    Raises:
        NotFound: the file is gone from the store.
        OSError: the local file cannot be read.
    """
    if expected(stat)[0] is None and isinstance(store, ComparingStore):
        return os.path.getsize(local) == stat.size and store.has_content(path, stat, local)
    return has_content(local, stat)


def has_content(path: str | os.PathLike[str], stat: Stat) -> bool:
    """Return whether a local file has the content that a store has.

    It is read only if it has as many bytes and the store knows a digest.

    Args:
        path: the local file.
        stat: what the store knows of the file.

    Raises:
        OSError: the local file cannot be read.
    """
    digest, part_size = expected(stat)
    if digest is None or os.path.getsize(path) != stat.size:
        return False
    parts: list[bytes] = []
    with open(path, "rb", buffering=0) as file:
        while not parts or part_size:
            part, length = hashlib.sha256(), 0
            while block := file.read(BLOCK if not part_size else min(BLOCK, part_size - length)):
                part.update(block)
                length += len(block)
            if length or not parts:
                parts.append(part.digest())
            if not length or not part_size:
                break
    return digests.of_parts(parts) == digest


def is_time_of(mtime_ns: int, stat: Stat) -> bool:
    """Return whether a local file has the time of a stored one, as precisely as its file system keeps times."""
    source = source_mtime_ns(stat)
    if source is None:
        source = download.stored_ns(stat)
    return any(source // granularity * granularity == mtime_ns for granularity in _GRANULARITIES)


def source_mtime_ns(stat: Stat) -> int | None:
    """Return the time of the local file that was uploaded, in nanoseconds since 1970; None if it is not known."""
    source: int | None = getattr(stat, "source_mtime_ns", None)
    return source


def set_source_times(store: FileStore, files: Sequence[tuple[Stat, int]]) -> None:
    """Have a store keep the times of local files whose content it has, if it takes them."""
    if isinstance(store, TimeSettingStore):
        times = [(stat.version, mtime_ns) for stat, mtime_ns in files if stat.version is not None]
        if times:
            store.set_source_times(times)
