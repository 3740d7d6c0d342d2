"""Cursors: where the next page of a listing by name begins."""

from __future__ import annotations

import base64
import binascii

from edge_server.problems import bad_entry


def after(name: str) -> str:
    """The cursor of what comes after `name`."""
    return base64.urlsafe_b64encode(name.encode()).decode().rstrip("=")


def name_of(cursor: str) -> str:
    """The name that a cursor comes after.

    Raises:
        Refusal: this is no cursor.
    """
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        return base64.b64decode(padded, altchars=b"-_", validate=True).decode()
    except (ValueError, binascii.Error):
        raise bad_entry("cursor: it is not one this server gave; begin the listing anew") from None
