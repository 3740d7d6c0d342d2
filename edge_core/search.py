"""The records that `session.search` gives."""

from __future__ import annotations

from edge_core.records import Record, field


class SearchResult(Record):
    """One thing whose name resembles the query."""

    name: str = field(doc="Basename.")
    kind: str = field(doc='"file", "folder" or "connector".')
    uid: str = field(doc="Universally unique id; it stays when the thing is renamed.")
    path: str | None = field(default=None, doc="Of a file or folder: its path from the organization's root.")
    score: float | None = field(default=None, doc="How much of the query is in the name, from 0 to 1.")
