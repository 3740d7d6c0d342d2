"""What a hub is told to run, and what it is told instead where that must not run."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import flask
import pytest
import sqlalchemy as sa

from edge_applications.names import server_name
from edge_server.applications import catalogue
from edge_server.applications.models import Application, AppServer, AppVersion
from edge_server.compute.models import AppProfile
from edge_server.data.database import SERVER, Database
from edge_server.data.declarative import Base
from edge_server.identity import directory
from edge_server.identity.hub import Hub
from edge_server.identity.hub_identity import HubIdentity
from edge_server.identity.models import Membership, Organization, User
from edge_server.keys import sealing
from edge_server.keys.sealing import KeyFile
from edge_server.keys.signing import Signer
from edge_server.run.app import build, engines_at

TOKEN = "token-of-the-service"
IMAGE = "quay.io/lab/viewer:1.0.0"


class Planned:
    """A server at a hub, without that hub: it is never asked.

    Attributes:
        app: the server.
        database: where its rows are.
    """

    def __init__(self, app: flask.Flask, database: Database, sealer: Any) -> None:
        self.app = app
        self.database = database
        self.sealer = sealer
        self.http = app.test_client()

    def send(self, token: str | None = TOKEN, **changes: Any) -> Any:
        body = {
            "user_name": "ann",
            "organization": "lab",
            "app_id": "viewer",
            "version": "1.0.0",
            "profile": None,
            "server_name": server_name("lab", "viewer"),
        } | changes
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        return self.http.post("/v1/launch-plans", json=body, headers=headers)

    def plan(self, **changes: Any) -> dict[str, Any]:
        answer = self.send(**changes)
        assert answer.status_code == 200, answer.text
        assert answer.headers["Cache-Control"] == "no-store"
        plan: dict[str, Any] = answer.json
        return plan

    def refused(self, status: int, **changes: Any) -> str:
        answer = self.send(**changes)
        assert answer.status_code == status, answer.text
        detail: str = answer.json["detail"]
        assert detail.count(". ") == 0
        return detail

    def change(self, *statements: sa.Executable) -> None:
        with self.database.write(SERVER) as session:
            for statement in statements:
                session.execute(statement)


@pytest.fixture
def planned(tmp_path: Path) -> Iterator[Planned]:
    identity = HubIdentity(Hub("http://127.0.0.1:1/hub/api", TOKEN, "api"), lambda: 16)
    parts = engines_at(tmp_path, Signer(b"key"), identity=identity)
    with contextlib.closing(parts.database):
        with parts.database.write(SERVER) as session:
            Base.metadata.create_all(session.connection())
            lab = directory.create_organization(session, [], "lab")
            directory.create_organization(session, [], "other")
            for name, roles in (("ann", ()), ("dev", ("developer",))):
                user = directory.create_user(session, name)
                user.hub_created = "2026-11-01T10:00:00+00:00"
                directory.add_member(session, user, lab, roles)
            session.add(
                Application(
                    organization_id=lab.id,
                    app_id="viewer",
                    visible_auto_add=True,
                    visible_versions=["1.0.0", "1.1.0"],
                    status="approved",
                    idle_minutes=30,
                )
            )
            session.flush()
            for version in ("1.0.0", "1.1.0", "2.0.0"):
                session.add(
                    AppVersion(
                        application_id=session.scalar(sa.select(Application.id)),
                        version=version,
                        title="Viewer",
                        description="",
                        icon="",
                        kind="native",
                        framework="panel",
                        link=IMAGE.replace("1.0.0", version),
                        volume_mount_point="/data",
                        suggested_volume_size=5,
                    )
                )
            session.add(
                AppProfile(
                    organization_id=lab.id,
                    profile_id="lab.large",
                    name="Large",
                    instance_name="m5.xlarge",
                    cpu=3.5,
                    gpu=0,
                    memory=14.0,
                    status="ready",
                    disable=False,
                )
            )
        KeyFile(tmp_path / sealing.FILE_NAME).create()
        yield Planned(build(parts), parts.database, parts.sealer)


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
            row.sealed = planned.sealer.prepare(f"pw-{domain}".encode(), **catalogue.server_place(row))()
            session.add(row)
    assert planned.plan()["registry"] == {"domain": "quay.io", "username": "lab+robot", "password": "pw-quay.io"}
