"""The digest of content that is stored in parts.

Content of a single part has its SHA-256. That of several parts has the SHA-256 over the binary SHA-256s of
its parts, in their order, which is the form that S3 calls COMPOSITE: with it each part is checked by itself,
in any order and by any number of threads, and all of the content without reading it again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

SIZE = hashlib.sha256().digest_size
"""Bytes of the digest of a part."""


def of_parts(parts: Sequence[bytes]) -> str:
    """Return the hexadecimal digest of content.

    Args:
        parts: the binary SHA-256 of each part, in order; one of no bytes for empty content.

    Raises:
        ValueError: there is no part.
    """
    if not parts:
        raise ValueError("content has at least one part, which may be empty")
    return parts[0].hex() if len(parts) == 1 else hashlib.sha256(b"".join(parts)).hexdigest()


class Hash:
    """The digest of content that is read once, in order.

    Args:
        part_size: bytes of each part but the last; None for content of a single part.

    """

    def __init__(self, part_size: int | None) -> None:
        self._parts: list[bytes] = []
        self._part_size = part_size
        self._hash = hashlib.sha256()
        self._size = 0  # of the part that is being read

    def update(self, block: bytes | memoryview) -> None:
        """Take account of the next bytes."""
        rest = memoryview(block)
        while self._part_size is not None and self._size + len(rest) >= self._part_size:
            ending = rest[: self._part_size - self._size]
            rest = rest[len(ending) :]
            self._hash.update(ending)
            self._parts.append(self._hash.digest())
            self._hash = hashlib.sha256()
            self._size = 0
        self._hash.update(rest)
        self._size += len(rest)

    def parts(self) -> list[bytes]:
        """Return the binary SHA-256 of each part, at the end of the content."""
        return [*self._parts, self._hash.digest()] if self._size or not self._parts else self._parts

    def hexdigest(self) -> str:
        """Return the digest of all that was read, in hexadecimal."""
        return of_parts(self.parts())
