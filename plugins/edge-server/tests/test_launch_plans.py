"""What a hub is told to run, and what it is told instead where that must not run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from edge_applications.names import server_name
from edge_server.applications import catalogue
from edge_server.applications.models import Application, AppServer, AppVersion
from edge_server.compute.models import AppProfile
from edge_server.data.database import SERVER
from edge_server.identity import directory
from edge_server.identity.models import Membership, Organization, User

from .launched import IMAGE, TOKEN, Planned, planned_at


@pytest.fixture
def planned(tmp_path: Path) -> Iterator[Planned]:
    with planned_at(tmp_path, "http://127.0.0.1:1/hub/api") as server:  # which is never asked
        yield server


def test_a_plan_has_all_that_a_hub_needs(planned: Planned) -> None:
    assert planned.plan() == {
        "server_name": server_name("lab", "viewer"),
        "user_name": "ann",
        "organization": "lab",
        "app_id": "viewer",
        "version": "1.0.0",
        "title": "Viewer",
        "kind": "native",
        "framework": "panel",
        "link": IMAGE,
        "profile_id": None,
        "cpu": None,
        "memory": None,
        "gpu": None,
        "idle_minutes": 30,
        "volume_mount_point": "/data",
        "suggested_volume_size": 5,
        "registry": None,
    }


def test_without_a_version_it_is_the_newest_that_members_see(planned: Planned) -> None:
    assert planned.plan(version=None)["version"] == "1.1.0"
    assert planned.plan(version=None, user_name="dev")["version"] == "1.1.0"
    assert planned.plan(version="2.0.0", user_name="dev")["link"] == "quay.io/lab/viewer:2.0.0"
    planned.change(sa.update(Application).values(visible_versions=[]))
    assert "no version that members see" in planned.refused(404, version=None)


def test_the_limits_are_those_of_the_app_profile(planned: Planned) -> None:
    large = {"profile_id": "lab.large", "cpu": 3.5, "gpu": 0, "memory": 14.0}
    assert large.items() <= planned.plan(profile="lab.large").items()
    planned.change(sa.update(AppVersion).values(recommended_profile="lab.large"))
    assert large.items() <= planned.plan().items()
    planned.change(sa.update(AppVersion).values(recommended_profile="lab.missing"))
    assert planned.plan()["profile_id"] is None
    planned.change(sa.update(AppVersion).values(recommended_profile="lab.large"))
    medium = planned.plan(profile="edge.medium")
    assert (medium["profile_id"], medium["cpu"], medium["memory"]) == ("edge.medium", 2.0, 8.0)
    assert "no app profile" in planned.refused(404, profile="lab.huge")
    planned.change(sa.update(AppProfile).values(status="pending"))
    assert "not ready" in planned.refused(409)
    planned.change(sa.update(AppProfile).values(status="ready", disable=True))
    assert "disabled" in planned.refused(409)


def test_an_app_gets_no_more_than_its_application_may_use(planned: Planned) -> None:
    planned.change(sa.update(Application).values(max_resources={"cpu": 3, "gpu": 0, "memory": 20000000}))
    assert "has 3.5 processors, and viewer may use 3 at the most" in planned.refused(409, profile="lab.large")
    assert planned.plan(profile="edge.medium")["cpu"] == 2.0
    plain = planned.plan()
    assert (plain["cpu"], plain["gpu"], plain["memory"]) == (3, 0, None)
    planned.change(sa.update(AppProfile).values(cpu=1, gpu=1))
    assert "has 1 graphics processors" in planned.refused(409, profile="lab.large")


def test_who_is_not_in_the_organization_gets_nothing(planned: Planned) -> None:
    for changes in ({"user_name": "eve"}, {"user_name": "ANN"}, {"organization": "other"}, {"organization": "none"}):
        organization = changes.get("organization", "lab")
        named = {**changes, "server_name": server_name(organization, "viewer")}
        assert "is in no organization" in planned.refused(404, **named)
    planned.change(sa.update(User).where(User.user_name == "dev").values(hub_created=None))
    assert "is in no organization" in planned.refused(404, user_name="dev")
    planned.change(sa.update(Organization).values(active=False))
    assert "is in no organization" in planned.refused(404)
    planned.change(sa.update(Organization).values(active=True), sa.delete(Membership))
    assert "is in no organization" in planned.refused(404)


def test_what_a_member_does_not_see_they_do_not_launch(planned: Planned) -> None:
    assert "no version '2.0.0'" in planned.refused(404, version="2.0.0")
    assert "no version '9'" in planned.refused(404, version="9", user_name="dev")
    there_is_none = {"app_id": "none", "server_name": server_name("lab", "none")}
    assert "no application 'none'" in planned.refused(404, **there_is_none)
    planned.change(sa.update(Application).values(status="in_review"))
    assert "no application 'viewer'" in planned.refused(404)
    assert planned.plan(user_name="dev")["version"] == "1.0.0"


def test_another_server_than_the_applications_own_is_refused(planned: Planned) -> None:
    for name in ("", "viewer", server_name("other", "viewer"), server_name("lab", "viewer").upper()):
        assert "is not the server of viewer in lab" in planned.refused(409, server_name=name)


@pytest.mark.parametrize("values", [{"disable_launch": True}, {"status": "disable_apps"}])
def test_where_launching_is_disabled_nothing_is_launched(planned: Planned, values: dict[str, Any]) -> None:
    planned.change(sa.update(Organization).values(**values))
    assert "launching is disabled" in planned.refused(409)


@pytest.mark.parametrize("kind", ["external", "kubernetes"])
def test_what_runs_elsewhere_is_not_launched(planned: Planned, kind: str) -> None:
    planned.change(sa.update(AppVersion).values(kind=kind, link="https://viewer.example.com"))
    assert f"is {kind}, which runs elsewhere" in planned.refused(409)
    built_in = {"app_id": "edge.analysis", "server_name": server_name("lab", "edge.analysis")}
    assert "built in" in planned.refused(409, **built_in)


def test_only_the_hub_itself_asks(planned: Planned) -> None:
    with planned.database.write(SERVER) as session:
        user = session.scalars(sa.select(User).where(User.user_name == "dev")).one()
        own = directory.create_token(session, user)
    for token in (None, "", "token-of-another", TOKEN[:-1], f"{TOKEN}x", "tökèn", own):
        answer = planned.send(token=token)
        assert answer.status_code in (401, 403, 503), token
        assert "viewer" not in answer.text
    again = planned.http.post("/v1/launch-plans", json={}, headers={"Authorization": f"token {TOKEN}"})
    assert again.status_code == 422


def test_credentials_of_the_images_registry_come_along(planned: Planned) -> None:
    with planned.database.write(SERVER) as session:
        application = session.scalars(sa.select(Application)).one()
        for domain in ("quay.io", "ghcr.io"):
            row = AppServer(application=application, domain=domain, username="lab+robot")
            row.sealed = planned.parts.sealer.prepare(f"pw-{domain}".encode(), **catalogue.server_place(row))()
            session.add(row)
    assert planned.plan()["registry"] == {"domain": "quay.io", "username": "lab+robot", "password": "pw-quay.io"}
