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
        partial: whether the server compared only some of the names.

    Attributes:
        partial: the server compared only some of the names that resemble the query: there may be other results. A
            name that is the query itself is among them all the same; more words find others.
    """

    def __init__(self, results: Iterable[SearchResult] = (), *, partial: bool = False) -> None:
        super().__init__(results)
        self.partial = partial
