"""Lists in pages: lazy, complete, one page ahead and no more."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from edge_core.errors import BadResponse, NotFound
from edge_core.paging import Page, Pages
from edge_core.session import EdgeSession


class Source:
    """Numbers in pages, counting what is asked for."""

    def __init__(self, count: int, size: int) -> None:
        self.count = count
        self.size = size
        self.cursors: list[str | None] = []

    def fetch(self, cursor: str | None) -> Any:
        self.cursors.append(cursor)
        start = int(cursor or 0)
        end = min(start + self.size, self.count)
        return {"items": list(range(start, end)), "next": str(end) if end < self.count else None}

    def pages(self, **options: Any) -> Pages[int]:
        return Pages(self.fetch, int, **options)


def settled(source: Source, count: int) -> bool:
    deadline = time.monotonic() + 60
    while len(source.cursors) < count and time.monotonic() < deadline:
        time.sleep(0.001)
    time.sleep(0.02)
    return len(source.cursors) == count


@pytest.mark.parametrize("size", [1, 7, 1000])
@pytest.mark.parametrize("count", [0, 1, 6, 7, 8, 1000])
def test_a_list_is_complete_at_any_page_size(count: int, size: int) -> None:
    source = Source(count, size)
    assert list(source.pages()) == list(range(count))
    assert len(source.cursors) == max(1, -(-count // size))


def test_nothing_is_fetched_before_the_first_item_and_a_page_is_read_ahead() -> None:
    source = Source(100, 10)
    items = iter(source.pages())
    assert source.cursors == []
    assert next(items) == 0
    assert settled(source, 1), "one page for who wants one item"
    assert next(items) == 1
    assert settled(source, 2), "the next is on its way"
    for _ in range(8):
        next(items)
    assert settled(source, 2), "and no other"


@pytest.mark.parametrize(("max_items", "pages"), [(0, 0), (1, 1), (10, 1), (11, 2), (25, 3), (1000, 10)])
def test_max_items_asks_for_no_page_too_many(max_items: int, pages: int) -> None:
    source = Source(100, 10)
    assert list(source.pages(max_items=max_items)) == list(range(min(max_items, 100)))
    assert settled(source, pages)


def test_by_page_goes_on_from_a_cursor() -> None:
    source = Source(25, 10)
    first = next(source.pages().by_page())
    assert first == Page(list(range(10)), "10")
    assert [page.items[0] for page in source.pages().by_page(first.next)] == [10, 20]


def test_a_list_can_be_read_twice() -> None:
    pages = Source(25, 10).pages()
    assert list(pages) == list(pages)


def test_a_repeated_cursor_is_refused_and_not_followed_for_ever() -> None:
    answers = {None: "a", "a": "b", "b": "a"}
    pages = Pages(lambda cursor: {"items": [1], "next": answers[cursor]}, int)
    with pytest.raises(BadResponse, match="same page of a list twice"):
        list(pages)
    with pytest.raises(BadResponse):
        list(pages.by_page())


@pytest.mark.parametrize("answer", [None, [], {}, {"items": {}}, {"items": [], "next": 5}])
def test_what_is_no_page_is_a_bad_response(answer: Any) -> None:
    with pytest.raises(BadResponse):
        list(Pages(lambda cursor: answer, int))


def test_an_error_on_a_page_read_ahead_comes_where_it_belongs() -> None:
    def fetch(cursor: str | None) -> Any:
        if cursor:
            raise NotFound("gone")
        return {"items": [1, 2, 3], "next": "x"}

    seen = []
    with pytest.raises(NotFound):
        for number in Pages(fetch, int):
            seen.append(number)
    assert seen == [1, 2, 3]


def test_stopping_early_leaves_no_thread_behind() -> None:
    source = Source(100, 10)
    for number in source.pages():
        if number == 5:
            break
    deadline = time.monotonic() + 60
    while any(thread.name == "edge-page-ahead" for thread in threading.enumerate()) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not any(thread.name == "edge-page-ahead" for thread in threading.enumerate())


@pytest.mark.slow
@pytest.mark.parametrize("size", [1, 7, 1000])
def test_what_stays_is_seen_once_while_others_come_and_go(edge_session: EdgeSession, size: int) -> None:
    files = edge_session.files
    steady = [f"m{number:03}" for number in range(60)]
    for name in steady:
        files.upload(f"list/{name}", b"")
    stop = threading.Event()
    errors: list[BaseException] = []

    def disturb() -> None:
        number = 0
        try:
            while not stop.is_set():
                number += 1
                for letter in "az":
                    files.upload(f"list/{letter}{number}", b"")
                files.delete(f"list/a{number}")
        except BaseException as error:
            errors.append(error)

    writer = threading.Thread(target=disturb)
    writer.start()
    try:
        client = edge_session.http.for_plugin("edge_files", "/v1/orgs/{organization}/files")
        for _ in range(3):
            names = [entry["name"] for entry in client.items("/entries", params={"path": "list", "limit": size})]
            assert [name for name in names if name in steady] == steady
            assert len(names) == len(set(names))
    finally:
        stop.set()
        writer.join()
    assert errors == []
