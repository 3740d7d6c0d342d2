"""The records that `session.search` gives."""

from __future__ import annotations

from collections.abc import Iterable

from edge_core.records import Record, field


class SearchResult(Record):
    """One thing whose name resembles the query."""

    name: str = field(doc="Basename.")
    kind: str = field(doc='"file", "folder" or "connector".')
    uid: str = field(doc="Universally unique id; it stays when the thing is renamed.")
    path: str | None = field(default=None, doc="Of a file or folder: its path from the organization's root.")
    score: float | None = field(default=None, doc="How much of the query is in the name, from 0 to 1.")


class SearchResults(list[SearchResult]):
    """What a search has found, the best first: a list.

    Args:
        results: what it has found.
        partial: whether the server had no time to compare all names.

    Attributes:
        partial: the server had no time to compare all names: there may be other results, and better ones. A longer
            query is quicker.
    """

    def __init__(self, results: Iterable[SearchResult] = (), *, partial: bool = False) -> None:
        super().__init__(results)
        self.partial = partial
