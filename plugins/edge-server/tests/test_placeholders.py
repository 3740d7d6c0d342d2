"""What a hub is asked to keep running, and what admins see of it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from edge_server.compute import placeholders
from edge_server.compute.models import AppPlaceholder, AppProfile
from edge_server.data.database import SERVER
from edge_server.identity.models import Organization

from .launched import TOKEN, Planned, StandInHub, planned_at

PLACEHOLDERS, STATES = "/v1/placeholders", "/v1/placeholder-states"


@pytest.fixture
def planned(tmp_path: Path, hub: StandInHub) -> Iterator[Planned]:
    with planned_at(tmp_path, hub.api_url) as server:
        yield server


def add(planned: Planned, name: str, **values: Any) -> str:
    """A placeholder of the lab, by its uid."""
    with planned.database.write(SERVER) as session:
        row = AppPlaceholder(
            **{"organization_id": planned.lab, "profile_id": "lab.large", "quantity": 2, "disable": False} | values,
            name=name,
        )
        session.add(row)
        session.flush()
        return row.uid


def for_hub(planned: Planned, **query: Any) -> list[dict[str, Any]]:
    answer = planned.http.get(PLACEHOLDERS, query_string=query, headers={"Authorization": f"Bearer {TOKEN}"})
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json["items"]
    if answer.json["next"] is not None:
        items += for_hub(planned, **{**query, "cursor": answer.json["next"]})
    return items


def note(planned: Planned, **ready: int) -> None:
    items = [{"uid": uid, "ready": count} for uid, count in ready.items()]
    answer = planned.http.put(STATES, json={"items": items}, headers={"Authorization": f"Bearer {TOKEN}"})
    assert answer.status_code == 204, answer.text


def states(planned: Planned) -> list[dict[str, Any]]:
    headers = {"Authorization": "Bearer token-of-boss"}
    answer = planned.http.get("/v1/orgs/lab/compute/placeholder-states", headers=headers)
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json["items"]
    return items


def test_the_hub_learns_how_many_and_how_large_the_oldest_first(planned: Planned) -> None:
    later, first = add(planned, "morning"), add(planned, "dawn", profile_id="edge.medium", quantity=1)
    assert for_hub(planned, limit=1) == [
        {"uid": later, "quantity": 2, "cpu": 3.5, "memory": 14.0, "gpu": 0},
        {"uid": first, "quantity": 1, "cpu": 2.0, "memory": 8.0, "gpu": 0},
    ]


@pytest.mark.parametrize(
    "change",
    [
        sa.update(AppPlaceholder).values(disable=True),
        sa.update(AppPlaceholder).values(quantity=0),
        sa.update(AppProfile).values(disable=True),
        sa.update(AppProfile).values(status="pending"),
        sa.update(Organization).values(disable_launch=True),
        sa.update(Organization).values(status="disable_apps"),
        sa.update(Organization).values(active=False),
    ],
)
def test_nothing_is_kept_that_no_application_can_use(planned: Planned, change: Any) -> None:
    add(planned, "morning")
    assert len(for_hub(planned)) == 1
    planned.change(change)
    assert for_hub(planned) == []


@pytest.mark.parametrize("token", ["token-of-boss", "token-of-ann"])
def test_they_are_for_the_hub_alone(planned: Planned, token: str) -> None:
    headers = {"Authorization": f"Bearer {token}"}
    assert planned.http.get(PLACEHOLDERS, headers=headers).status_code == 403
    assert planned.http.put(STATES, json={"items": []}, headers=headers).status_code == 403


def test_admins_see_how_many_are_ready(planned: Planned) -> None:
    dawn, morning = add(planned, "dawn"), add(planned, "morning")
    note(planned, **{morning: 1, "gone": 3})

    first, second = states(planned)

    assert first == {"uid": dawn, "name": "dawn", "quantity": 2, "ready": None, "reported_at": None}
    assert (second["name"], second["ready"]) == ("morning", 1)
    moment = dt.datetime.fromisoformat(second["reported_at"])
    assert dt.timedelta() <= dt.datetime.now(dt.UTC) - moment < dt.timedelta(minutes=1)


def test_a_word_holds_for_three_minutes(planned: Planned) -> None:
    morning = add(planned, "morning")
    note(planned, **{morning: 1})
    with planned.database.read() as session:
        row = session.scalars(sa.select(AppPlaceholder)).one()
        moment = row.reported_at
        assert moment is not None
        assert placeholders.state_of(row, moment + placeholders.SPOKEN_FOR - dt.timedelta(seconds=1)).ready == 1
        late = placeholders.state_of(row, moment + placeholders.SPOKEN_FOR)
    assert (late.ready, late.reported_at, late.quantity) == (None, None, 2)


def test_who_has_read_a_placeholder_may_still_update_it_when_the_hub_has_spoken(planned: Planned) -> None:
    morning = add(planned, "morning")
    path, headers = f"/v1/orgs/lab/compute/placeholders/{morning}", {"Authorization": "Bearer token-of-boss"}
    etag = planned.http.get(path, headers=headers).headers["ETag"]
    note(planned, **{morning: 2})
    answer = planned.http.patch(path, json={"quantity": 3}, headers={**headers, "If-Match": etag})
    assert answer.json["quantity"] == 3
