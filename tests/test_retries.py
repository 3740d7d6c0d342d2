"""The arithmetic of retries holds for any numbers."""

from __future__ import annotations

import datetime as dt
from email.utils import format_datetime

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_core import retries

at_any_speed = settings(deadline=None, suppress_health_check=list(HealthCheck))

STATUS = st.one_of(st.none(), st.sampled_from(sorted(retries.STATUSES)))


@at_any_speed
@given(st.integers(1, 10_000), STATUS)
def test_a_wait_of_our_own_is_never_negative_and_never_beyond_the_longest(attempt: int, status: int | None) -> None:
    bound = min(retries.LONGEST, (1.0 if status == 429 else 0.05) * 2 ** min(attempt - 1, 30))
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


@at_any_speed
@given(st.text())
def test_no_header_breaks_it(text: str) -> None:
    assert 0 <= retries.wait(1, 503, text) <= retries.LONGEST + retries.RETRY_AFTER_EXTRA


def test_a_date_is_understood() -> None:
    moment = dt.datetime.now(dt.UTC) + dt.timedelta(days=1)
    assert retries.wait(1, 503, format_datetime(moment, usegmt=True)) >= retries.RETRY_AFTER_EXTRA
    assert retries.wait(1, 503, "Wed, 21 Oct 2015 07:28:00 GMT") <= retries.SCALE


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
