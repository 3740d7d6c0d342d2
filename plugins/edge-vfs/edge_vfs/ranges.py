"""Many ranges of files at once: near ones in a single request, and several requests at the same time."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from edge_vfs import workers
from edge_vfs.content import Check, Content
from edge_vfs.store import Reader, Stat

NEAR = 64 << 10
"""Bytes. Ranges with no more than this between them come with a single request, which is faster than two."""

AT_ONCE = 16
"""Number of requests at the same time. Where each takes 20 ms, with 8 it takes 1.8 times as long, with 32 no less."""


class Range(NamedTuple):
    """A range of a file's content, which lies within it.

    Attributes:
        reader: the content.
        stat: the file's name, size and digests.
        start: the first byte.
        stop: the byte after the last.
    """

    reader: Reader
    stat: Stat
    start: int
    stop: int


class _Request(NamedTuple):
    """A request, and the ranges that come with it, as their places among those that are read."""

    start: int
    stop: int
    places: list[int]


def read(ranges: Sequence[Range], *, max_gap: int = NEAR) -> list[bytes | Exception]:
    """Read ranges of one or more files, which may overlap and come in any order.

    Args:
        ranges: those to read; files are told apart by their readers.
        max_gap: bytes between two ranges of a file up to which they come with a single request.

    Returns:
        for each range its bytes, or why they could not be read.
    """
    contents: list[bytes | Exception] = [b""] * len(ranges)

    def fetch(request: _Request) -> None:
        try:
            content = _content(ranges[request.places[0]], request)
        except Exception as error:
            for place in request.places:
                contents[place] = error
            return
        for place in request.places:
            part = ranges[place]
            is_all = len(content) == part.stop - part.start
            contents[place] = content if is_all else content[part.start - request.start : part.stop - request.start]

    requests = list(_merged(ranges, max_gap))
    workers.each(fetch, requests, min(AT_ONCE, len(requests)) or 1)
    return contents


def _merged(ranges: Sequence[Range], max_gap: int) -> Iterator[_Request]:
    by_reader: dict[int, list[int]] = {}
    for place, each in enumerate(ranges):
        if each.start < each.stop:
            by_reader.setdefault(id(each.reader), []).append(place)
    for places in by_reader.values():
        places.sort(key=lambda place: ranges[place].start)
        first = ranges[places[0]]
        request = _Request(first.start, first.stop, [])
        for place in places:
            each = ranges[place]
            if each.start - request.stop > max_gap:
                yield request
                request = _Request(each.start, each.stop, [])
            request = _Request(request.start, max(request.stop, each.stop), [*request.places, place])
        yield request


def _content(of: Range, request: _Request) -> bytes:
    check = Check(of.stat, of.reader)
    pieces: list[bytes] = []
    with contextlib.closing(Content(of.reader, of.stat, request.start, request.stop)) as content:
        while piece := content.read(request.stop - content.position):
            check.see(content.position - len(piece), piece)
            pieces.append(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)
