"""What `session.search` finds."""

from __future__ import annotations

from edge_core.records import Record, field


class SearchResult(Record):
    """One thing whose name resembles the query."""

    name: str = field(doc="Basename.")
    kind: str = field(doc='"file", "folder" or "connector".')
    uid: str = field(doc="Universally unique id; it stays when the thing is renamed.")
    path: str | None = field(default=None, doc="Of a file or folder: its path from the organization's root.")
    score: float | None = field(default=None, doc="How much of the query is in the name, from 0 to 1.")


class SearchQuery(Record):
    """Asks for what has a name like `query`."""

    query: str = field(max_length=255, doc="Text; matched by trigrams, so approximately.")
    kind: str | None = field(default=None, pattern="^(file|folder|connector)$", doc="Only things of this kind.")
    limit: int = field(default=1000, minimum=1, maximum=1000, doc="Most items of one page.")
    cursor: str | None = field(default=None, doc="The `next` of the page before.")


class SearchPage(Record):
    """One page of what was found, the best first."""

    items: list[SearchResult]
    next: str | None = field(default=None, doc="Cursor of the next page; null on the last one.")
