"""What travels to and from the address of search."""

from __future__ import annotations

from edge_core.records import Record, field
from edge_core.search import SearchResult


class SearchQuery(Record):
    """Asks for what has a name like `query`."""

    query: str = field(max_length=255, doc="Text; matched by words and their trigrams, so approximately.")
    kind: str | None = field(default=None, max_length=100, doc='Only things of this kind, such as "file".')
    limit: int = field(default=1000, minimum=1, maximum=1000, doc="Most items of one page.")
    cursor: str | None = field(default=None, doc="The `next` of the page before.")


class SearchPage(Record):
    """One page of what was found, the best first."""

    items: list[SearchResult]
    next: str | None = field(default=None, doc="Cursor of the next page; null on the last one.")
    partial: bool = field(
        default=False, doc="Only some of the names that resemble the query were compared: there may be others."
    )
