"""The arithmetic of retries holds for any numbers."""

from __future__ import annotations

import datetime as dt
from email.utils import format_datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_core import retries

at_any_speed = settings(deadline=None, suppress_health_check=list(HealthCheck))

STATUS = st.one_of(st.none(), st.sampled_from(sorted(retries.STATUSES)))


@at_any_speed
@given(st.integers(1, 10_000), STATUS)
def test_a_wait_of_our_own_is_never_negative_and_never_beyond_the_longest(attempt: int, status: int | None) -> None:
    bound = min(retries.LONGEST, (1.0 if status in (429, 502, 504) else 0.05) * 2 ** min(attempt - 1, 30))
    assert 0 <= retries.wait(attempt, status, None) <= bound


@at_any_speed
@given(st.integers(1, 100), STATUS, st.integers(0, 10**12))
def test_retry_after_is_obeyed_within_its_cap(attempt: int, status: int | None, seconds: int) -> None:
    waited = retries.wait(attempt, status, str(seconds))
    assert min(seconds, retries.RETRY_AFTER_EXTRA) <= waited <= retries.LONGEST + retries.RETRY_AFTER_EXTRA


@at_any_speed
@given(st.integers(1, 100), st.integers(0, 10**12))
def test_a_limit_is_waited_for_to_its_end_within_the_longest_wait(attempt: int, seconds: int) -> None:
    waited = retries.wait(attempt, 429, str(seconds))
    assert min(seconds, retries.LONGEST) <= waited <= retries.LONGEST


def test_a_gate_opens_after_the_longest_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    now, slept = 100.0, []
    monkeypatch.setattr(retries.time, "monotonic", lambda: now)

    def sleep(seconds: float) -> None:
        nonlocal now
        slept.append(seconds)
        now += seconds / 2 if len(slept) == 1 else seconds

    monkeypatch.setattr(retries.time, "sleep", sleep)
    gate = retries.Gate()
    gate.wait()
    gate.close(8)
    gate.close(3)
    gate.wait()
    assert slept == [8, 4]
    gate.wait()
    assert slept == [8, 4]


@at_any_speed
@given(st.text())
def test_no_header_breaks_it(text: str) -> None:
    assert 0 <= retries.wait(1, 503, text) <= retries.LONGEST + retries.RETRY_AFTER_EXTRA


def test_what_is_repeated_and_how_long_is_what_is_published() -> None:
    assert sorted(retries.STATUSES) == [429, 502, 503, 504]
    assert sorted(retries.IDEMPOTENT) == ["DELETE", "GET", "HEAD", "OPTIONS", "PUT"]
    assert sorted(retries.PATIENT) == [429, 502, 504]
    assert (retries.SCALE, retries.PATIENT_SCALE, retries.LONGEST) == (0.05, 1.0, 20.0)
    assert (retries.CAPACITY, retries.COST, retries.RETRY_AFTER_EXTRA) == (500, 14, 5.0)


@pytest.mark.parametrize(
    ("status", "bounds"),
    [
        (None, [0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 20.0, 20.0]),
        (503, [0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 20.0, 20.0]),
        (429, [1.0, 2.0, 4.0, 8.0, 16.0, 20.0, 20.0]),
        (502, [1.0, 2.0, 4.0, 8.0, 16.0, 20.0, 20.0]),
        (504, [1.0, 2.0, 4.0, 8.0, 16.0, 20.0, 20.0]),
    ],
)
def test_the_bound_of_a_wait_doubles_up_to_the_longest(
    status: int | None, bounds: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    lowest = []

    def longest(low: float, high: float) -> float:
        lowest.append(low)
        return high

    monkeypatch.setattr(retries.random, "uniform", longest)
    assert [retries.wait(attempt, status, None) for attempt in range(1, len(bounds) + 1)] == pytest.approx(bounds)
    assert set(lowest) == {0}
    later = [retries.wait(1, status, seconds) for seconds in ("0", "3", "3600")]
    at_most = 20.0 if status == 429 else bounds[0] + 5
    assert later == pytest.approx([bounds[0], 3.0, at_most])


def test_a_date_is_understood() -> None:
    moment = dt.datetime.now(dt.UTC) + dt.timedelta(days=1)
    assert retries.wait(1, 503, format_datetime(moment, usegmt=True)) >= retries.RETRY_AFTER_EXTRA
    assert retries.wait(1, 503, "Wed, 21 Oct 2015 07:28:00 GMT") <= retries.SCALE


def test_a_date_is_of_its_own_zone_and_of_utc_without() -> None:
    """RFC 9110 has servers write GMT, and clients read the old form of C's asctime too, which names no zone."""
    later = dt.datetime.now(dt.UTC) + dt.timedelta(days=1)
    assert retries.wait(1, 503, later.strftime("%a %b %d %H:%M:%S %Y")) >= retries.RETRY_AFTER_EXTRA
    past = dt.datetime.now(dt.timezone(dt.timedelta(hours=12))) - dt.timedelta(hours=1)
    assert retries.wait(1, 503, format_datetime(past)) <= retries.SCALE


@at_any_speed
@given(st.lists(st.booleans(), max_size=3000))
def test_the_budget_is_never_negative_and_never_above_its_capacity(calls: list[bool]) -> None:
    budget = retries.Budget()
    spent = earned = 0
    for succeeded in calls:
        if succeeded:
            budget.give_back()
            earned += 1
        elif budget.take():
            spent += retries.COST
        assert 0 <= budget.left <= retries.CAPACITY
    assert spent <= retries.CAPACITY + earned


def test_a_retry_costs_14_and_a_success_gives_back_1() -> None:
    budget = retries.Budget()
    budget.give_back()
    assert budget.left == 500, "it begins full"
    assert [budget.take() for _ in range(40)] == [True] * 35 + [False] * 5
    assert budget.left == 10
    for left in (11, 12, 13):
        budget.give_back()
        assert (budget.take(), budget.left) == (False, left), "what is not enough is not taken"
    budget.give_back()
    assert (budget.take(), budget.left) == (True, 0), "what is just enough is"


@pytest.mark.parametrize(
    "text", ["Fri, 31 Dec 9999 23:59:59 +99999999999999", "Fri, 31 Dec 99999999999999999999 23:59:59 GMT"]
)
def test_a_date_that_no_calendar_has_cannot_be_read(text: str) -> None:
    assert retries.delay(text) is None
