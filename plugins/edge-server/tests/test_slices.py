"""How many rows a transaction takes follows what those before took."""

from __future__ import annotations

import itertools
import types

import pytest

from edge_server.data import slices
from edge_server.data.slices import LEAST, SECONDS, SHARE, Slices

MOST = 1000


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> types.SimpleNamespace:
    clock = types.SimpleNamespace(now=0.0, slept=[])
    timed = types.SimpleNamespace(monotonic=lambda: clock.now, sleep=clock.slept.append)
    monkeypatch.setattr(slices, "time", timed)
    return clock


def run(each: Slices, clock: types.SimpleNamespace, seconds_a_row: float, rows: int | None = None) -> int:
    """Do a transaction, and give how many rows it took."""
    rows = each.rows if rows is None else rows
    clock.now += 1000  # for the lock
    each.begin()
    clock.now += rows * seconds_a_row
    each.end(rows)
    return rows


@pytest.mark.parametrize(("seconds_a_row", "rows"), [(SECONDS / 500, 500), (SECONDS / 2, LEAST * MOST), (1e-9, MOST)])
def test_transactions_come_to_take_the_time_that_others_are_to_wait(
    clock: types.SimpleNamespace, seconds_a_row: float, rows: int
) -> None:
    each = Slices(MOST)
    taken = [run(each, clock, seconds_a_row) for _ in range(10)]
    assert all(later <= 2 * earlier for earlier, later in itertools.pairwise(taken))
    assert taken[-1] == pytest.approx(rows, rel=0.05)


def test_after_a_slow_transaction_comes_a_small(clock: types.SimpleNamespace) -> None:
    each = Slices(MOST)
    for _ in range(10):
        run(each, clock, SECONDS / MOST)
    assert run(each, clock, 10 * SECONDS / MOST) == pytest.approx(MOST, rel=0.05)
    assert run(each, clock, SECONDS / MOST) == LEAST * MOST


def test_a_few_rows_at_the_end_say_nothing(clock: types.SimpleNamespace) -> None:
    each = Slices(MOST)
    before = each.rows
    run(each, clock, SECONDS / MOST, rows=3)
    assert each.rows == before


def test_at_least_a_row_is_taken(clock: types.SimpleNamespace) -> None:
    each = Slices(2)
    assert [run(each, clock, seconds) for seconds in (1.0, 1e-9, 1e-9)] == [1, 1, 2]


def test_others_are_left_alone_for_longer_than_it_took(clock: types.SimpleNamespace) -> None:
    each = Slices(MOST)
    each.pause(0.5)
    run(each, clock, 1.0, rows=10)
    each.pause(0.5)
    assert clock.slept == [0.5, SHARE * 10.0]
