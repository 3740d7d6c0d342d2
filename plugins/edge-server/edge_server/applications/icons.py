"""Icons of applications: square PNG or JPEG, small enough to be sent with every list."""

from __future__ import annotations

import base64
import binascii
import io

from edge_server.base.problems import Refusal, bad_entry

LARGEST = 256 << 10
"""Bytes, decoded."""

LARGEST_SIDE = 1024
"""Pixels."""

_FORMATS = ("PNG", "JPEG")

_ADVICE = "send a square PNG or JPEG in base64, such as one of 128 by 128 pixels"


def checked(icon: str) -> str:
    """The icon as it is kept, without line breaks.

    Args:
        icon: base64; empty for none.

    Raises:
        Refusal: it is no base64, no PNG or JPEG, broken, not square, or too large.
    """
    encoded = "".join(icon.split())
    if not encoded:
        return ""
    if len(encoded) > LARGEST * 4 // 3 + 4:
        raise _bad(f"it has more than {LARGEST >> 10} KiB")
    try:
        content = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):  # ValueError: characters beyond ASCII
        raise _bad("it is not base64") from None
    if len(content) > LARGEST:
        raise _bad(f"it has more than {LARGEST >> 10} KiB")
    width, height = _size(content)
    if width != height:
        raise _bad(f"it has {width} by {height} pixels, which is not square")
    if width > LARGEST_SIDE:
        raise _bad(f"it has {width} by {height} pixels, and {LARGEST_SIDE} by {LARGEST_SIDE} is the most")
    return encoded


def _size(content: bytes) -> tuple[int, int]:
    from PIL import Image

    try:
        with Image.open(io.BytesIO(content), formats=_FORMATS) as image:
            width, height = image.size
            # Decoding what states a huge size would take the server's memory.
            if max(width, height) <= LARGEST_SIDE:
                image.load()
    except Exception:
        # Pillow raises whatever its decoders meet: OSError, SyntaxError, ValueError, struct.error.
        raise _bad("it cannot be read as PNG or JPEG") from None
    return width, height


def _bad(reason: str) -> Refusal:
    return bad_entry(f"icon: {reason}; {_ADVICE}")
