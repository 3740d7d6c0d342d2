"""What the proxies in front of apps tell of them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from edge_applications.names import server_name
from edge_server.applications import app_runs
from edge_server.applications.models import AppState
from edge_server.base import clock

from .launched import Planned, StandInHub, viewer_runs

VIEWER = server_name("lab", "viewer")
ENDED = {"state": "ended", "exit_code": 3, "last_lines": ["starting", "KeyError: 'plate'"]}


@pytest.fixture
def planned(tmp_path: Path, hub: StandInHub) -> Iterator[Planned]:
    with viewer_runs(tmp_path, hub) as server:
        yield server


def call(
    planned: Planned, method: str, path: str = f"/running-apps/{VIEWER}", user: str = "ann", **options: Any
) -> Any:
    headers = {"Authorization": f"Bearer token-of-{user}"}
    return planned.http.open(f"/v1/orgs/lab{path}", method=method, headers=headers, **options)


def note(planned: Planned, user: str = "ann", **state: Any) -> int:
    answer = call(planned, "PUT", f"/running-apps/{VIEWER}/state", user, json=state)
    status: int = answer.status_code
    return status


def test_an_app_that_does_not_answer_yet_is_starting(planned: Planned, hub: StandInHub) -> None:
    hub.shares.append(("ann", VIEWER, "user", "dev"))
    assert note(planned, state="starting") == 204
    for user, query in (("ann", ""), ("dev", "?user_name=ann"), ("boss", "?user_name=ann")):
        assert call(planned, "GET", f"/running-apps/{VIEWER}{query}", user).json["status"] == "starting"
    assert [app["status"] for app in call(planned, "GET", "/running-apps").json["items"]] == ["starting"]
    assert note(planned, state="running") == 204
    assert call(planned, "GET").json["status"] == "running"


def test_a_report_is_of_that_start_alone(planned: Planned, hub: StandInHub) -> None:
    assert note(planned, state="starting") == 204
    hub.run("ann", started="2026-11-21T08:00:00.000000Z")
    assert call(planned, "GET").json["status"] == "running"


def test_an_app_that_has_ended_is_stopped_and_its_owner_learns_how(planned: Planned, hub: StandInHub) -> None:
    hub.shares.append(("ann", VIEWER, "user", "dev"))
    assert note(planned, **ENDED) == 204
    assert hub.servers == {}
    ended = call(planned, "GET").json
    assert (ended["status"], ended["exit_code"], ended["last_lines"]) == ("ended", 3, ENDED["last_lines"])
    assert (ended["app_id"], ended["version"]) == ("viewer", "1.0.0")
    assert call(planned, "GET", "/running-apps").json["items"] == []
    for user in ("dev", "boss"):
        assert call(planned, "GET", f"/running-apps/{VIEWER}?user_name=ann", user).status_code == 404
        assert call(planned, "GET", user=user).status_code == 404


def test_until_the_hub_has_stopped_it_it_is_stopping(planned: Planned, hub: StandInHub) -> None:
    hub.odd[f"DELETE /users/ann/servers/{VIEWER}"] = lambda handler: handler.reply(202)
    assert note(planned, **ENDED) == 204
    assert call(planned, "GET").json["status"] == "stopping"


def test_the_next_launch_forgets_how_the_app_ended_before(planned: Planned, hub: StandInHub) -> None:
    assert note(planned, **ENDED) == 204
    hub.run("ann", version="1.1.0", started="2026-11-21T08:00:00.000000Z")
    assert call(planned, "POST", "/applications/viewer/launch", json={}).status_code == 202
    hub.servers.clear()
    assert call(planned, "GET").status_code == 404


def test_how_an_app_ended_is_kept_for_a_day(planned: Planned, hub: StandInHub, monkeypatch: pytest.MonkeyPatch) -> None:
    assert note(planned, **ENDED) == 204
    later = clock.now() + dt.timedelta(days=1, minutes=1)
    monkeypatch.setattr(clock, "_now", lambda: later)
    assert call(planned, "GET").status_code == 404
    planned.run(app_runs.TASK)
    with planned.database.read() as session:
        assert session.scalars(sa.select(AppState)).all() == []


def test_only_its_owner_tells_of_an_app(planned: Planned, hub: StandInHub) -> None:
    assert note(planned, "dev", **ENDED) == 404
    assert note(planned, "boss", **ENDED) == 404
    assert list(hub.servers) == [("ann", VIEWER)]


@pytest.mark.parametrize(
    "state",
    [
        {},
        {"state": "stopped"},
        {"state": "ended", "exit_code": "1"},
        {"state": "ended", "last_lines": ["line"] * 21},
        {"state": "ended", "last_lines": ["a" * 501]},
        {"state": "ended", "last_lines": ["a\x1b[2J"]},
        {"state": "ended", "last_lines": ["a\nb"]},
    ],
)
def test_what_is_no_report_is_refused(planned: Planned, hub: StandInHub, state: dict[str, Any]) -> None:
    assert note(planned, **state) == 422
    assert list(hub.servers) == [("ann", VIEWER)]
