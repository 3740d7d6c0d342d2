"""App hours against a recount, and the end of what must not run any more."""

from __future__ import annotations

import contextlib
import datetime as dt
import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from edge_applications.names import server_name
from edge_server.applications import app_runs
from edge_server.applications.models import Application, AppRun, AppVersion
from edge_server.base import clock
from edge_server.billing.models import BillingUsage
from edge_server.identity.models import Membership, Organization, User

from .engines import ENGINES
from .launched import Planned, StandInHub, planned_at
from .postgresql import scratch_postgresql

VIEWER = server_name("lab", "viewer")
START = dt.datetime(2026, 11, 20, 8, tzinfo=dt.UTC)
MICROSECOND = dt.timedelta(microseconds=1)
HOUR = dt.timedelta(hours=1)


class Time:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = START


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    own = Time()
    monkeypatch.setattr(clock, "_now", lambda: own.now)
    return own


@pytest.fixture(params=ENGINES)
def planned(request: pytest.FixtureRequest, tmp_path: Path, hub: StandInHub, time: Time) -> Iterator[Planned]:
    time.now = START - 30 * 24 * HOUR  # when there was nothing yet
    with contextlib.ExitStack() as stack:
        engines: dict[str, Any] = {}
        if request.param == "postgresql":
            engines["database"] = stack.enter_context(scratch_postgresql())
        server = stack.enter_context(planned_at(tmp_path, hub.api_url, **engines))
        server.change(sa.update(Application).values(idle_minutes=None))
        time.now = START
        yield server


def look(planned: Planned, time: Time, after: dt.timedelta = dt.timedelta()) -> None:
    time.now += after
    planned.run(app_runs.TASK)


def hours(planned: Planned) -> dict[tuple[str, str], int]:
    """Microseconds that are counted, by day and app profile."""
    with planned.database.read() as session:
        rows = session.scalars(sa.select(BillingUsage).where(BillingUsage.usage_type == "app_hours"))
        return {(str(row.billing_date), row.cost_allocation_tag): row.amount for row in rows}


def runs(planned: Planned) -> list[AppRun]:
    with planned.database.read() as session:
        return list(session.scalars(sa.select(AppRun).order_by(AppRun.id)))


# --- app hours


def test_hours_are_those_from_the_hubs_start_to_the_last_look(planned: Planned, hub: StandInHub, time: Time) -> None:
    hub.run("ann", profile="lab.large", started=str(START + 123457 * MICROSECOND))
    look(planned, time, HOUR)
    assert hours(planned) == {("2026-11-20", "lab.large"): HOUR // MICROSECOND - 123457}
    look(planned, time, dt.timedelta(seconds=30))
    hub.servers.clear()
    look(planned, time, dt.timedelta(seconds=30))
    until = START + HOUR + dt.timedelta(seconds=30)
    assert hours(planned) == {("2026-11-20", "lab.large"): (until - START) // MICROSECOND - 123457}
    (run,) = runs(planned)
    assert (run.app_id, run.version, run.counted_until, run.ended_at) == ("viewer", "1.0.0", until, until)


def test_hours_are_exact_over_days_users_and_profiles(planned: Planned, hub: StandInHub, time: Time) -> None:
    planned.change(sa.update(AppVersion).where(AppVersion.version == "1.1.0").values(recommended_profile="edge.medium"))
    recount: dict[tuple[str, str], int] = {}
    starts = {
        ("ann", "viewer", "lab.large"): START,
        ("dev", "viewer", "lab.large"): START + 7 * HOUR,
        ("boss", "other", ""): START + 15 * HOUR + 3 * MICROSECOND,
    }
    for step in range(1, 40):
        time.now = START + step * dt.timedelta(minutes=37, seconds=11, microseconds=step)
        for (user, app_id, profile), started in starts.items():
            if started <= time.now:
                hub.run(user, app_id, profile=profile or None, started=str(started))
        look(planned, time)
    for (*_, profile), started in starts.items():
        day = started
        while day < time.now:
            midnight = day.replace(hour=0, minute=0, second=0, microsecond=0) + 24 * HOUR
            end = min(midnight, time.now)
            key = (str(day.date()), profile)
            recount[key] = recount.get(key, 0) + (end - day) // MICROSECOND
            day = end
    assert hours(planned) == recount
    assert len(recount) == 4


def test_an_app_without_a_named_profile_counts_under_the_recommended(
    planned: Planned, hub: StandInHub, time: Time
) -> None:
    planned.change(sa.update(AppVersion).values(recommended_profile="edge.medium"))
    hub.run("ann")
    look(planned, time, HOUR)
    assert hours(planned) == {("2026-11-20", "edge.medium"): HOUR // MICROSECOND}


def test_what_is_killed_before_the_commit_counts_nothing_and_afterwards_all_once(
    planned: Planned, hub: StandInHub, time: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.run("ann")
    machines = planned.parts.machines
    report = machines.report_app_time

    def killed(*args: Any, **options: Any) -> None:
        report(*args, **options)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(machines, "report_app_time", killed)
        with pytest.raises(KeyboardInterrupt):
            look(planned, time, HOUR)
    assert (hours(planned), runs(planned)) == ({}, [])
    look(planned, time, HOUR)
    assert hours(planned) == {("2026-11-20", ""): 2 * HOUR // MICROSECOND}
    # After the commit there is nothing left to be done twice.
    look(planned, time)
    assert hours(planned) == {("2026-11-20", ""): 2 * HOUR // MICROSECOND}


def test_looks_at_the_same_moment_count_once(planned: Planned, hub: StandInHub, time: Time) -> None:
    for user in ("ann", "dev"):
        hub.run(user)
    look(planned, time, HOUR)
    time.now += HOUR
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda _: planned.run(app_runs.TASK), range(8)))
    assert hours(planned) == {("2026-11-20", ""): 4 * HOUR // MICROSECOND}


def test_while_the_hub_is_away_nothing_ends_and_nothing_is_lost(planned: Planned, hub: StandInHub, time: Time) -> None:
    hub.run("ann")
    look(planned, time, HOUR)
    hub.odd["GET /users"] = lambda handler: handler.reply(503)
    look(planned, time, HOUR)
    assert [run.ended_at for run in runs(planned)] == [None]
    hub.odd.clear()
    look(planned, time, HOUR)
    assert hours(planned) == {("2026-11-20", ""): 3 * HOUR // MICROSECOND}


def test_what_the_hub_forgets_for_a_while_is_taken_up_again(planned: Planned, hub: StandInHub, time: Time) -> None:
    model = hub.run("ann")
    look(planned, time, HOUR)
    hub.servers.clear()
    look(planned, time, HOUR)
    assert runs(planned)[0].ended_at == START + HOUR
    hub.servers["ann", VIEWER] = model
    look(planned, time, HOUR)
    assert hours(planned) == {("2026-11-20", ""): 3 * HOUR // MICROSECOND}
    # A start of its own is another run.
    hub.run("ann", started=str(time.now))
    look(planned, time, HOUR)
    assert [run.ended_at for run in runs(planned)] == [START + 3 * HOUR, None]
    assert hours(planned) == {("2026-11-20", ""): 4 * HOUR // MICROSECOND}


def test_what_is_starting_does_not_count_and_what_is_stopping_does(
    planned: Planned, hub: StandInHub, time: Time
) -> None:
    hub.run("ann", ready=False, pending="spawn")
    hub.run("dev", ready=True, pending="stop")
    hub.run("boss", started=None)
    look(planned, time, HOUR)
    assert hours(planned) == {("2026-11-20", ""): HOUR // MICROSECOND}


@pytest.mark.parametrize("started", ["0001-01-01T00:00:00Z", "2026-11-21T08:00:00Z"])
def test_a_hub_whose_clock_is_wrong_makes_no_hours_of_nothing(
    planned: Planned, hub: StandInHub, time: Time, started: str
) -> None:
    with planned.database.read() as session:
        created_at = session.get_one(Organization, planned.lab).created_at
    hub.run("ann", started=started, last_activity=None)
    look(planned, time, HOUR)
    most = (time.now - created_at) // MICROSECOND if started < "2026" else 0
    assert sum(hours(planned).values()) == most


def test_servers_that_are_no_applications_count_for_nobody(planned: Planned, hub: StandInHub, time: Time) -> None:
    hub.run("ann", name="mine")
    hub.run("dev", organization="none")
    hub.run("boss")["user_options"] = {}
    look(planned, time, HOUR)
    assert hours(planned) == {}
    assert list(hub.servers) == [("ann", "mine"), ("boss", VIEWER)], "what claims a place that is none is stopped"


def test_a_stop_counts_until_then(planned: Planned, hub: StandInHub, time: Time) -> None:
    hub.run("ann")
    hub.run("dev")
    time.now += HOUR
    headers = {"Authorization": "Bearer token-of-ann"}
    answer = planned.http.delete(f"/v1/orgs/lab/running-apps/{VIEWER}", headers=headers)
    assert answer.status_code == 204
    assert hours(planned) == {("2026-11-20", ""): HOUR // MICROSECOND}
    look(planned, time, HOUR)
    assert hours(planned) == {("2026-11-20", ""): 3 * HOUR // MICROSECOND}
    ends = {run.user_id: run.ended_at for run in runs(planned)}
    assert sorted(ends.values(), key=str) == [START + HOUR, None]


def test_runs_that_ended_long_ago_are_forgotten(planned: Planned, hub: StandInHub, time: Time) -> None:
    hub.run("ann")
    look(planned, time, HOUR)
    hub.servers.clear()
    look(planned, time)
    look(planned, time, app_runs.KEPT)
    assert len(runs(planned)) == 1
    look(planned, time, MICROSECOND)
    assert runs(planned) == []


# --- what must not run any more


def test_an_app_is_stopped_when_it_was_idle_for_its_minutes(planned: Planned, hub: StandInHub, time: Time) -> None:
    planned.change(sa.update(Application).values(idle_minutes=30))
    model = hub.run("ann", last_activity=str(START + HOUR))
    look(planned, time, HOUR + dt.timedelta(minutes=29, seconds=59))
    assert list(hub.servers) == [("ann", VIEWER)]
    model["last_activity"] = str(time.now)
    look(planned, time, dt.timedelta(minutes=29))
    assert list(hub.servers) == [("ann", VIEWER)]
    planned.change(sa.update(Application).values(idle_minutes=None))
    look(planned, time, 24 * HOUR)
    assert list(hub.servers) == [("ann", VIEWER)]
    planned.change(sa.update(Application).values(idle_minutes=30))
    look(planned, time)
    assert hub.servers == {}


def test_an_app_that_is_starting_is_not_idle(planned: Planned, hub: StandInHub, time: Time) -> None:
    planned.change(sa.update(Application).values(idle_minutes=30))
    hub.run("ann", ready=False, pending="spawn", last_activity=None)
    look(planned, time, HOUR)
    assert list(hub.servers) == [("ann", VIEWER)]


def test_apps_end_with_the_membership_of_their_user(planned: Planned, hub: StandInHub, time: Time) -> None:
    for user in ("ann", "dev"):
        hub.run(user)
    ann = sa.select(User.id).where(User.user_name == "ann").scalar_subquery()
    planned.change(sa.delete(Membership).where(Membership.user_id == ann))
    del hub.members["ann"]
    look(planned, time)
    assert list(hub.servers) == [("dev", VIEWER)]


def test_apps_go_on_of_whom_only_the_hub_knows_as_after_a_restore(
    planned: Planned, hub: StandInHub, time: Time
) -> None:
    hub.members["new"] = []
    for user in ("new", "eve"):
        hub.run(user)
    hub.run("dev", organization="since")
    hub.odd["GET /groups"] = lambda handler: handler.reply(
        200,
        {
            "items": [
                {"name": "lab", "users": ["new"], "properties": {"edge_organization": "lab"}},
                {"name": "since", "users": ["dev"], "properties": {"edge_organization": "since"}},
            ],
            "_pagination": {"next": None},
        },
    )
    look(planned, time, HOUR)
    assert sorted(user for user, _ in hub.servers) == ["dev", "new"]
    planned.change(sa.update(Organization).values(disable_launch=True, shutdown_apps=True))
    look(planned, time)
    assert [user for user, _ in hub.servers] == ["dev"], "as the organization is not known yet"


def test_apps_of_another_edge_server_are_left_alone(planned: Planned, hub: StandInHub, time: Time) -> None:
    hub.run("eve", service="second")
    look(planned, time, HOUR)
    assert list(hub.servers) == [("eve", VIEWER)]
    assert hours(planned) == {}


def test_apps_end_with_their_user(planned: Planned, hub: StandInHub, time: Time) -> None:
    hub.run("ann")
    planned.change(sa.update(User).where(User.user_name == "ann").values(removed_at=START))
    del hub.members["ann"]
    look(planned, time)
    assert hub.servers == {}


def test_a_user_who_goes_meanwhile_keeps_nobody_from_being_counted_and_stopped(
    planned: Planned, hub: StandInHub, time: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.run("ann")
    hub.run("dev")
    dev = sa.select(User.id).where(User.user_name == "dev").scalar_subquery()
    planned.change(sa.delete(Membership).where(Membership.user_id == dev))
    del hub.members["dev"]

    def gone(*_: Any, **__: Any) -> None:
        raise sa.exc.IntegrityError("INSERT", {}, Exception("a foreign key"))

    with monkeypatch.context() as patch:
        patch.setattr(planned.parts.machines, "report_app_time", gone)
        look(planned, time, HOUR)
    assert (hours(planned), runs(planned)) == ({}, [])
    assert list(hub.servers) == [("ann", VIEWER)]
    look(planned, time)
    assert hours(planned) == {("2026-11-20", ""): HOUR // MICROSECOND}


@pytest.mark.parametrize(
    ("values", "goes_on"),
    [
        ({"disable_launch": True}, True),
        ({"shutdown_apps": True}, True),
        ({"disable_launch": True, "shutdown_apps": True}, False),
        ({"status": "disable_apps"}, False),
        ({"status": "disable_apps", "disable_launch": True}, False),
        ({"status": "deleting"}, False),
        ({"active": False}, False),
    ],
)
def test_apps_end_where_the_organization_is_shut_down(
    planned: Planned, hub: StandInHub, time: Time, values: dict[str, Any], goes_on: bool
) -> None:
    hub.run("ann")
    planned.change(sa.update(Organization).where(Organization.name == "lab").values(**values))
    look(planned, time)
    assert bool(hub.servers) is goes_on


def test_a_stop_that_the_hub_refuses_is_tried_again(
    planned: Planned, hub: StandInHub, time: Time, caplog: pytest.LogCaptureFixture
) -> None:
    hub.run("ann")
    planned.change(sa.update(Organization).values(status="disable_apps"))
    at = f"DELETE /users/ann/servers/{VIEWER}"
    hub.odd[at] = lambda handler: handler.reply(500, {"status": 500, "message": "Stuck"})
    look(planned, time)
    assert "the hub does not stop the app viewer of ann in lab, although" in caplog.text
    hub.odd[at] = lambda handler: handler.reply(503)
    look(planned, time)
    del hub.odd[at]
    with caplog.at_level(logging.INFO):
        look(planned, time)
    assert hub.servers == {}
    assert "the app viewer of ann in lab is stopped, as the organization's apps are shut down" in caplog.text
