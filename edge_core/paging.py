"""Lists that come in pages, read as they are needed."""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections.abc import Callable, Iterator
from queue import SimpleQueue
from typing import Any, Generic, NamedTuple, TypeVar

from edge_core.errors import BadResponse

_T = TypeVar("_T")
_Raw = tuple[list[Any], str | None]


class Page(NamedTuple, Generic[_T]):
    """One page of a list.

    Attributes:
        items: its items.
        next: cursor of the page after it; None on the last one.
    """

    items: list[_T]
    next: str | None


class Pages(Generic[_T]):
    """A list that comes in pages: iterate over its items, or over the pages with `by_page`.

    Nothing is fetched before the first item is read. While a page's items are handed out, the next
    page is already on its way; no more than one is read ahead.

    Args:
        fetch: given a cursor (None for the first page), gives the answer's JSON.
        make: turns one item's JSON into what is handed out.
        max_items: the most items to hand out; None for all.
    """

    def __init__(
        self,
        fetch: Callable[[str | None], Any],
        make: Callable[[Any], _T],
        *,
        max_items: int | None = None,
    ) -> None:
        self._fetch = fetch
        self._make = make
        self._max_items = max_items

    def __iter__(self) -> Iterator[_T]:
        left = self._max_items
        if left is not None and left <= 0:
            return
        seen: set[str] = set()
        items, following = self._fetched(None, seen)
        with contextlib.closing(_Ahead(lambda cursor: self._fetched(cursor, seen))) as ahead:
            while True:
                if left is not None:
                    items = items[:left]
                    left -= len(items)
                more = following is not None and left != 0
                for first in items[:1]:
                    yield self._make(first)
                    # Only who goes on after the first item is taken to want more pages.
                    if more:
                        ahead.ask(following)
                yield from map(self._make, itertools.islice(items, 1, None))
                if not more:
                    return
                items, following = ahead.result() if items else self._fetched(following, seen)

    def by_page(self, cursor: str | None = None) -> Iterator[Page[_T]]:
        """The pages, from the one `cursor` stands for; a page's `next` is the cursor to go on from later.

        `max_items` does not count here.
        """
        seen: set[str] = set()
        while True:
            items, following = self._fetched(cursor, seen)
            yield Page([self._make(raw) for raw in items], following)
            if following is None:
                return
            cursor = following

    def _fetched(self, cursor: str | None, seen: set[str]) -> _Raw:
        """The items of a page as JSON, and the cursor of the next."""
        answer = self._fetch(cursor)
        if not isinstance(answer, dict) or not isinstance(answer.get("items"), list):
            raise BadResponse("the server sent a list without items; client and server may be of different versions")
        following = answer.get("next")
        if following is not None:
            if not isinstance(following, str) or following in seen:
                raise BadResponse(
                    "the server sent the same page of a list twice and would do so for ever; tell its operator"
                )
            seen.add(following)
        return answer["items"], following


class _Ahead:
    """Fetches a page while the one before is handed out, in a thread that keeps no program from ending.

    It is one thread for all pages of a list: a new one for each would cost more than it gains.
    """

    def __init__(self, fetch: Callable[[str | None], _Raw]) -> None:
        self._fetch = fetch
        self._cursors: SimpleQueue[str | None] = SimpleQueue()
        self._pages: SimpleQueue[_Raw | BaseException] = SimpleQueue()
        self._thread: threading.Thread | None = None

    def ask(self, cursor: str | None) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="edge-page-ahead", daemon=True)
            self._thread.start()
        self._cursors.put(cursor)

    def _run(self) -> None:
        while (cursor := self._cursors.get()) is not None:
            try:
                self._pages.put(self._fetch(cursor))
            except BaseException as error:
                self._pages.put(error)

    def result(self) -> _Raw:
        page = self._pages.get()
        if isinstance(page, BaseException):
            raise page
        return page

    def close(self) -> None:
        """Let the thread end, once its last fetch has ended."""
        self._cursors.put(None)
