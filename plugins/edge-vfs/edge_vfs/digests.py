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
