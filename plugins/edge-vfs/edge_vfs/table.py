"""A folder as notebooks show it. Names are other people's text, and nothing in them is obeyed."""

from __future__ import annotations

import html
from collections.abc import Iterable

from edge_vfs.store import Stat


def of_entries(path: str, entries: Iterable[Stat], *, more: bool) -> str:
    """HTML of a folder's entries; `more` says that there are others beside them."""
    rows = "".join(_row(one) for one in entries)
    rest = "<tr><td colspan='3'>and more</td></tr>" if more else ""
    head = "<tr><th>name</th><th>bytes</th><th>modified (UTC)</th></tr>"
    return f"<table><caption>{_text(path)}</caption><thead>{head}</thead><tbody>{rows}{rest}</tbody></table>"


def plain(text: str) -> str:
    """HTML of a sentence."""
    return f"<pre>{html.escape(text)}</pre>"


def _row(entry: Stat) -> str:
    size = "" if entry.size is None else f"{entry.size:,}"
    name = _text(entry.name) + ("/" if entry.kind == "folder" else "")
    return f"<tr><td>{name}</td><td>{size}</td><td>{entry.modified_at:%Y-%m-%d %H:%M:%S}</td></tr>"


def _text(text: str) -> str:
    # bdi: a name that turns the writing direction turns its own only.
    return f"<bdi>{html.escape(text)}</bdi>"
