"""A plugin's calls, and what a server answers them, well and badly."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

ITEMS = 7
"""How many items a list has in the kit."""

TOMORROW = "field_of_tomorrow"
"""A field that no plugin knows."""


class Call(NamedTuple):
    """One call of the plugin's, and what the server answers it.

    Attributes:
        name: what the kit calls it in its messages.
        run: given the object on the session, makes the call.
        answer: the JSON of a good answer.
    """

    name: str
    run: Callable[[Any], Any]
    answer: Any = None


class Listing(NamedTuple):
    """A call that gives a list, which the server answers in pages.

    Attributes:
        name: what the kit calls it in its messages.
        run: given the object on the session, makes the call; what it gives is iterated over.
        entry: the JSON of an item, or a function that makes that of the n-th.
        lazy: whether it asks for each page only when that is needed. False is for a call that
            promises a `list`.
    """

    name: str
    run: Callable[[Any], Any]
    entry: Mapping[str, Any] | Callable[[int], Mapping[str, Any]]
    lazy: bool = True

    def items(self) -> list[dict[str, Any]]:
        return [dict(self.entry(n) if callable(self.entry) else self.entry) for n in range(ITEMS)]


Answered = tuple[int, dict[str, str], bytes]


def _json(status: int, content: Any, kind: str = "application/json") -> Answered:
    return status, {"Content-Type": kind, "ETag": '"kit-1"'}, json.dumps(content).encode()


def _problem(status: int) -> Answered:
    codes = {403: "forbidden", 404: "not_found", 409: "conflict", 412: "changed", 422: "bad_entry", 500: "internal"}
    document = {
        "type": "about:blank",
        "title": "No",
        "status": status,
        "detail": "the kit says no; go on",
        "code": codes[status],
        "request_id": "kit",
    }
    return _json(status, document, "application/problem+json")


def refuse(status: int, _: Any) -> Answered:
    return _problem(status)


FAULTS: dict[str, Callable[[Any], Answered]] = {
    **{f"status {status}": functools.partial(refuse, status) for status in (403, 404, 409, 412, 422, 500)},
    "a page of HTML": lambda _: (200, {"Content-Type": "text/html"}, b"<html>Please log in</html>"),
    "a list where an object belongs": lambda _: _json(200, []),
    "an empty object": lambda _: _json(200, {}),
    "null": lambda _: _json(200, None),
    "numbers for everything": lambda _: _json(200, {"items": [7], "next": None, "name": 7}),
    "half an answer": lambda _: (200, {"Content-Type": "application/json", "Content-Length": "9999"}, b'{"items": ['),
    "no answer": lambda _: (0, {}, b""),
}


def good(call: Call | Listing, size: int, *, tomorrow: bool = False) -> Callable[[Any], Answered]:
    """A server that answers `call` as it should, lists `size` items at a time."""
    more = {TOMORROW: {"deep": [1]}} if tomorrow else {}
    if isinstance(call, Call):
        answer = {**call.answer, **more} if isinstance(call.answer, dict) else call.answer
        return lambda _: (204, {}, b"") if answer is None else _json(200, answer)
    items = [{**fields, **more} for fields in call.items()]

    def page(request: Any) -> Answered:
        at, empty = 0, False
        if request.query.get("cursor"):
            at, empty = json.loads(request.query["cursor"])
        if empty:
            return _json(200, {"items": [], "next": json.dumps([at, False])})
        following = json.dumps([at + size, at == 0]) if at + size < len(items) else None
        return _json(200, {"items": items[at : at + size], "next": following, **more})

    return page
