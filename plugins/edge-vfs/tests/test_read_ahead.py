"""How many requests and bytes a reader costs, by the way it reads."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_vfs import read_ahead
from edge_vfs.read_ahead import AFTER_HEADER, HEAD, HEADER, KEPT, LONG_RUN, SMALL, ReadAhead

from .stores import Reader, Stat

SIZE = 40 << 20
CONTENT = random.Random(1).randbytes(1 << 20) * (SIZE >> 20)


class Counted:
    """A reader's answers, and how much of each was taken."""

    def __init__(self, content: bytes = CONTENT, breaks_after: int | None = None) -> None:
        self.store = Reader(content, breaks_after)
        self.content = content
        self.ahead = ReadAhead(self.store, Stat("a.bin", len(content), None))  # type: ignore[arg-type]

    def read(self, position: int, size: int) -> None:
        assert self.ahead.read(position, size) == self.content[position : position + size]

    @property
    def lengths(self) -> list[int]:
        return [stop - start for start, stop in self.store.ranges]


@pytest.mark.parametrize("block", [HEADER, 1 << 16, 1 << 20, SIZE])
def test_reading_on_from_the_beginning_is_a_single_request(block: int) -> None:
    reads = Counted()
    for position in range(0, SIZE, block):
        reads.read(position, block)
    assert reads.lengths == [SIZE]


def test_a_reader_in_tiny_steps_costs_a_second_request_as_it_may_only_look_at_the_format() -> None:
    reads = Counted()
    reads.read(0, 8)
    assert reads.lengths == [HEAD]
    for position in range(8, 1 << 20, 1000):
        reads.read(position, 1000)
    assert reads.lengths == [HEAD, SIZE - HEAD]


def test_reading_on_from_elsewhere_requests_more_each_time_and_then_the_rest() -> None:
    reads = Counted()
    for position in range(1 << 20, SIZE, 1 << 20):
        reads.read(position, 1 << 20)
    mib = [length >> 20 for length in reads.lengths]
    assert mib == [1, 2, 4, 8, 40 - 1 - 15]
    assert sum(mib) == 39, "nothing is asked for twice"


def test_a_jump_requests_what_is_read_and_no_more() -> None:
    reads = Counted()
    for position in (5 << 20, 30 << 20, 20 << 20):
        reads.read(position, 300_000)
    assert reads.lengths == [300_000] * 3


def test_reading_on_after_a_header_needs_no_request() -> None:
    reads = Counted()
    reads.read(5 << 20, 30)
    reads.read((5 << 20) + 30, 12)
    assert reads.lengths == [AFTER_HEADER]
    reads.read((5 << 20) + 42, 100_000)
    assert reads.lengths == [AFTER_HEADER, 100_000 + 42 - AFTER_HEADER], "and of the rest, as much as is read"


def test_a_short_jump_forward_is_read_through_and_a_long_jump_is_not() -> None:
    reads = Counted()
    reads.read(0, 1 << 20)
    reads.read((1 << 20) + SMALL, 1 << 20)
    assert len(reads.lengths) == 1
    reads.read((2 << 20) + 2 * SMALL + 1, HEADER)
    assert reads.lengths == [SIZE, HEADER]


def test_the_end_is_requested_once_and_kept() -> None:
    reads = Counted()
    reads.read(SIZE - 22, 22)
    assert reads.lengths == [SMALL]
    for number in range(2 * KEPT):
        reads.read(number << 20, HEADER)
    before = len(reads.lengths)
    reads.read(SIZE - 100_000, 100_000)
    assert len(reads.lengths) == before
    reads.read(SIZE - SMALL - 5000, SMALL + 5000)
    assert reads.lengths[-1] == 5000, "what is kept is not asked for again"


def test_what_was_read_last_is_kept_but_not_for_ever() -> None:
    reads = Counted()
    for number in range(KEPT + 1):
        reads.read(number << 20, HEADER)
    requests = len(reads.lengths)
    for number in range(1, KEPT + 1):
        reads.read(number << 20, HEADER)
    assert len(reads.lengths) == requests
    kept = sum(len(block.content) for block in reads.ahead._blocks)
    assert kept <= KEPT * SMALL


def test_an_answer_left_early_is_closed_and_a_small_answer_never_is() -> None:
    closed: list[int] = []

    class Noting(Reader):
        def open(self, start: int, stop: int, /) -> Any:
            stream = super().open(start, stop)
            stream.close = lambda: closed.append(len(CONTENT[start:stop]) - stream._inner.tell())  # type: ignore[method-assign]
            return stream

    reads = Counted()
    reads.ahead._reader = reads.store = Noting(CONTENT, None)
    for position in (1 << 20, 9 << 20, 3 << 20):
        reads.read(position, 30)
        reads.read(position + 40, 30)
    assert closed == [0, 0, 0], "their connections can be used again"
    reads.read(0, 1 << 20)
    reads.read(20 << 20, HEADER)
    assert closed[3:] == [SIZE - (1 << 20), 0]


SMALL_FILE = random.Random(2).randbytes(700_000)


@settings(deadline=None, suppress_health_check=list(HealthCheck))
@given(
    reads=st.lists(
        st.tuples(st.integers(0, len(SMALL_FILE) + 10), st.sampled_from([0, 1, 30, 4096, 70_000, 500_000])),
        min_size=1,
        max_size=12,
    ),
    breaks_after=st.sampled_from([None, 90_000]),
)
def test_whatever_the_order_the_bytes_are_right(reads: list[tuple[int, int]], breaks_after: int | None) -> None:
    counted = Counted(SMALL_FILE, breaks_after)
    for position, size in reads:
        counted.read(position, size)
    assert all(0 <= start < stop <= len(SMALL_FILE) for start, stop in counted.store.ranges)


def test_the_sizes_fit_together() -> None:
    assert HEADER <= AFTER_HEADER <= HEAD <= read_ahead.SMALL < LONG_RUN
