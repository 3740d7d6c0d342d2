"""What `session.search` finds."""

from __future__ import annotations

from edge_core.records import Record, field


class SearchResult(Record):
    """One thing whose name resembles the query."""

    __slots__ = ()

    name: str = field(doc="Basename.")
    kind: str = field(doc='"file", "folder" or "connector".')
    uid: str = field(doc="Universally unique id.")
