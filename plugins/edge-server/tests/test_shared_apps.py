"""Apps that their owners share, at a hub that tests have in hand."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from edge_applications.names import server_name
from edge_server.applications import app_runs, app_shares
from edge_server.identity import directory
from edge_server.identity.audit_lines import AuditLine
from edge_server.identity.models import Organization, User

from .launched import CREATED, Planned, StandInHub, viewer_runs

VIEWER = server_name("lab", "viewer")


@pytest.fixture
def planned(tmp_path: Path, hub: StandInHub) -> Iterator[Planned]:
    with viewer_runs(tmp_path, hub) as server:
        yield server


def call(planned: Planned, method: str, path: str, user: str = "ann", **options: Any) -> Any:
    headers = {"Authorization": f"Bearer token-of-{user}"}
    return planned.http.open(f"/v1/orgs/lab/running-apps{path}", method=method, headers=headers, **options)


def share(planned: Planned, user: str = "ann", **body: Any) -> Any:
    return call(planned, "POST", f"/{VIEWER}/share", user, json=body)


def detail(answer: Any, status: int) -> str:
    assert answer.status_code == status, answer.text
    text: str = answer.json["detail"]
    return text


def test_an_app_is_shared_with_every_group_that_names_the_organization(planned: Planned, hub: StandInHub) -> None:
    answer = share(planned)
    assert answer.json["shared_with"] == {"organization": True, "users": []}
    assert hub.shares == [("ann", VIEWER, "group", name) for name in ("ann", "dev", "boss")]
    assert share(planned, users=["dev", "ann"]).json["shared_with"] == {"organization": True, "users": ["dev"]}
    assert call(planned, "DELETE", f"/{VIEWER}/share?user=dev").status_code == 204
    assert call(planned, "GET", f"/{VIEWER}").json["shared_with"] == {"organization": True, "users": []}
    assert call(planned, "DELETE", f"/{VIEWER}/share").status_code == 204
    assert hub.shares == []
    with planned.database.read() as session:
        lines = session.scalars(sa.select(AuditLine).order_by(AuditLine.id)).all()
    assert [(line.user_name, line.action, json.loads(line.about)) for line in lines] == [
        ("ann", "applications.running.share", {"application": "viewer", "shared_with": "the organization"}),
        ("ann", "applications.running.share", {"application": "viewer", "shared_with": "dev, ann"}),
        ("ann", "applications.running.unshare", {"application": "viewer", "not_shared_with": "dev"}),
        ("ann", "applications.running.unshare", {"application": "viewer", "not_shared_with": "anybody"}),
    ]


def test_only_its_owner_shares_an_app_and_only_with_members(planned: Planned, hub: StandInHub) -> None:
    assert "users: eve is not in lab" in detail(share(planned, users=["dev", "eve"]), 400)
    assert "by its owner alone, who is ann" in detail(share(planned, "boss", user_name="ann"), 403)
    assert "by its owner alone" in detail(call(planned, "DELETE", f"/{VIEWER}/share?user_name=ann", "dev"), 403)
    detail(share(planned, "boss"), 404)
    hub.odd[f"POST /shares/ann/{VIEWER}"] = lambda handler: handler.reply(400, {"status": 400, "message": "No"})
    assert detail(share(planned), 409) == "the hub does not share viewer: No"
    hub.odd[f"POST /shares/ann/{VIEWER}"] = lambda handler: handler.reply(403, {"status": 403, "message": "scope"})
    assert detail(share(planned), 503).startswith("the JupyterHub that runs applications does not answer")
    assert hub.shares == []


def test_an_organization_that_no_group_names_has_single_users(planned: Planned, hub: StandInHub) -> None:
    planned.change(sa.update(Organization).where(Organization.name == "lab").values(hub=False))
    assert "share it with single users" in detail(share(planned), 409)
    assert share(planned, users=["dev"]).json["shared_with"] == {"organization": False, "users": ["dev"]}


def test_apps_that_others_share_are_listed_and_read(planned: Planned, hub: StandInHub) -> None:
    hub.run("boss", "other")
    hub.run("dev", organization="other")
    hub.shares += [("ann", VIEWER, "user", "dev"), ("dev", server_name("other", "viewer"), "user", "ann")]
    hub.shares.append(("boss", server_name("lab", "other"), "group", "dev"))
    items = call(planned, "GET", "", "dev").json["items"]
    assert [(app["user_name"], app["app_id"], app["shared_with"]) for app in items] == [
        ("ann", "viewer", None),
        ("boss", "other", None),
    ]
    assert call(planned, "GET", f"/{VIEWER}?user_name=ann", "dev").json == items[0]
    assert "that is shared with you" in detail(call(planned, "GET", f"/{VIEWER}?user_name=boss", "dev"), 404)
    assert call(planned, "GET", f"/{VIEWER}?user_name=ann", "boss").json["user_name"] == "ann", "to an admin"
    assert [app["user_name"] for app in call(planned, "GET", "").json["items"]] == ["ann"]


def test_of_many_owners_all_servers_are_listed_at_once(planned: Planned, hub: StandInHub) -> None:
    owners = [f"user-{number}" for number in range(6)]
    for owner in owners:
        hub.run(owner)
        hub.shares.append((owner, VIEWER, "user", "dev"))
    assert [app["user_name"] for app in call(planned, "GET", "", "dev").json["items"]] == owners
    assert not [each for each in hub.calls if each == "GET /users/user-0"]


def test_an_app_learns_of_its_visitors_and_of_nobody_else(planned: Planned, hub: StandInHub) -> None:
    hub.shares.append(("ann", VIEWER, "user", "dev"))
    planned.change(sa.update(User).where(User.user_name == "dev").values(first_name="Dee", last_name="V."))
    described = call(planned, "GET", f"/{VIEWER}/visitor?user=dev").json
    assert described == {"user_name": "dev", "display_name": "Dee V.", "roles": ["developer"]}
    own = call(planned, "GET", f"/{VIEWER}/visitor?user=ann").json
    assert own == {"user_name": "ann", "display_name": "ann", "roles": []}
    for user in ("boss", "eve"):
        assert "is not shared with" in detail(call(planned, "GET", f"/{VIEWER}/visitor?user={user}"), 404)
    detail(call(planned, "GET", f"/{VIEWER}/visitor?user=dev", "boss"), 404)
    del hub.members["dev"]
    hub.shares.append(("ann", VIEWER, "group", "boss"))
    planned.parts.identity._groups = None  # type: ignore[attr-defined]
    detail(call(planned, "GET", f"/{VIEWER}/visitor?user=dev"), 404)


def test_a_member_who_has_sent_no_request_yet_visits_as_well(planned: Planned, hub: StandInHub) -> None:
    hub.members["new"] = ["admin"]
    assert share(planned, users=["new"]).json["shared_with"]["users"] == ["new"]
    described = call(planned, "GET", f"/{VIEWER}/visitor?user=new").json
    assert described == {"user_name": "new", "display_name": "new", "roles": ["admin"]}


def test_the_review_keeps_shares_in_step_with_the_organization(planned: Planned, hub: StandInHub) -> None:
    elsewhere = ("ann", "notebook", "user", "eve")
    hub.shares = [("ann", VIEWER, kind, name) for kind, name in (("user", "eve"), ("user", "dev"), ("group", "guests"))]
    hub.shares.append(elsewhere)
    planned.run(app_runs.TASK)
    assert hub.shares == [("ann", VIEWER, "user", "dev"), elsewhere]
    hub.shares.append(("ann", VIEWER, "group", "dev"))
    planned.run(app_runs.TASK)
    assert [whom for *_, kind, whom in hub.shares if kind == "group"] == ["dev", "ann", "boss"], (
        "with new groups as well"
    )


def test_the_review_of_many_users_goes_round(
    planned: Planned, hub: StandInHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app_shares, "MOST_OWNERS", 2)
    hub.servers.clear()
    with planned.database.write(planned.lab) as session:
        lab = session.get_one(Organization, planned.lab)
        for name in ("c", "d"):
            user = directory.create_user(session, name)
            user.hub_created = CREATED
            directory.add_member(session, user, lab, ())
    for name in ("ann", "c", "d"):
        hub.run(name)
        hub.shares.append((name, VIEWER, "user", "eve"))
    planned.run(app_runs.TASK)
    assert [owner for owner, *_ in hub.shares] == ["d"]
    planned.run(app_runs.TASK)
    assert hub.shares == []


def test_a_hub_that_is_away_changes_nothing(planned: Planned, hub: StandInHub) -> None:
    hub.shares.append(("ann", VIEWER, "user", "eve"))
    hub.odd["GET /shares/ann"] = lambda handler: handler.reply(503, {"status": 503})
    planned.run(app_runs.TASK)
    assert hub.shares == [("ann", VIEWER, "user", "eve")]
    for answer in (share(planned), call(planned, "DELETE", f"/{VIEWER}/share"), call(planned, "GET", "")):
        assert "does not answer" in detail(answer, 503)
