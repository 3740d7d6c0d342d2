"""HTML of a folder for notebooks. Names are untrusted text, so that all of them are escaped."""

from __future__ import annotations

import html
from collections.abc import Iterable

from edge_vfs.store import Stat


def of_entries(path: str, entries: Iterable[Stat], *, more: bool) -> str:
    """Return the HTML of a folder's entries.

    Args:
        path: the folder's path, for the caption.
        entries: the entries to show.
        more: True if the folder has further entries.
    """
    rows = "".join(_row(entry) for entry in entries)
    rest = "<tr><td colspan='3'>and more</td></tr>" if more else ""
    head = "<tr><th>name</th><th>bytes</th><th>modified (UTC)</th></tr>"
    return f"<table><caption>{_text(path)}</caption><thead>{head}</thead><tbody>{rows}{rest}</tbody></table>"


def plain(text: str) -> str:
    """Return the HTML of a sentence."""
    return f"<pre>{html.escape(text)}</pre>"


def _row(entry: Stat) -> str:
    size = "" if entry.size is None else f"{entry.size:,}"
    name = _text(entry.name) + ("/" if entry.kind == "folder" else "")
    return f"<tr><td>{name}</td><td>{size}</td><td>{entry.modified_at:%Y-%m-%d %H:%M:%S}</td></tr>"


def _text(text: str) -> str:
    # bdi: a name that turns the writing direction turns only its own.
    return f"<bdi>{html.escape(text)}</bdi>"
