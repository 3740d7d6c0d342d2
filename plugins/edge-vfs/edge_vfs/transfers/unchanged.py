"""Whether a local file has the content of a file in a store, so that it need not go."""

from __future__ import annotations

import hashlib
import os

from edge_vfs import digests
from edge_vfs.content import expected
from edge_vfs.store import ComparingStore, FileStore, Stat

BLOCK = 1 << 20
"""Bytes that are read at once."""


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
