"""Lists that come in pages, read as they are needed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any, Generic, NamedTuple, TypeVar

from edge_core.errors import BadResponse

_T = TypeVar("_T")


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

    Nothing is asked for before the first item is. While a page's items are handed out, the next
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
        page = self._page(None, seen)
        while True:
            ahead: _Ahead[_T] | None = None
            items = page.items if left is None else page.items[:left]
            for number, item in enumerate(items):
                yield item
                # Only who goes on after the first item is taken to want more pages.
                if number == 0 and page.next is not None and (left is None or left > len(items)):
                    ahead = _Ahead(lambda cursor=page.next: self._page(cursor, seen))  # type: ignore[misc]
            if left is not None:
                left -= len(items)
            if page.next is None or left == 0:
                return
            page = ahead.result() if ahead is not None else self._page(page.next, seen)

    def by_page(self, cursor: str | None = None) -> Iterator[Page[_T]]:
        """The pages, from the one `cursor` stands for; a page's `next` is the cursor to go on from later.

        `max_items` does not count here.
        """
        seen: set[str] = set()
        while True:
            page = self._page(cursor, seen)
            yield page
            if page.next is None:
                return
            cursor = page.next

    def _page(self, cursor: str | None, seen: set[str]) -> Page[_T]:
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
        return Page([self._make(one) for one in answer["items"]], following)


class _Ahead(Generic[_T]):
    """A page on its way, in a thread that keeps no program from ending."""

    def __init__(self, fetch: Callable[[], Page[_T]]) -> None:
        self._page: Page[_T] | None = None
        self._error: BaseException | None = None
        self._fetch = fetch
        self._thread = threading.Thread(target=self._run, name="edge-page-ahead", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._page = self._fetch()
        except BaseException as error:
            self._error = error

    def result(self) -> Page[_T]:
        self._thread.join()
        if self._error is not None:
            raise self._error
        assert self._page is not None  # noqa: S101  # one of the two is there
        return self._page
