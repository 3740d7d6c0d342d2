"""The encoding of a text, where its first bytes state it."""

from __future__ import annotations

import codecs

# UTF-32 first: its little-endian mark begins with the one of UTF-16.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
    (codecs.BOM_UTF8, "utf-8-sig"),
)


def encoding_of(head: bytes) -> str:
    """Return the encoding that a byte-order mark (Unicode, section 23.8) states, else UTF-8.

    Args:
        head: the text's first bytes, at least 4 unless it is shorter.
    """
    return next((encoding for mark, encoding in _MARKS if head.startswith(mark)), "utf-8")
