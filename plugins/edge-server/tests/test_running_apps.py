"""Launching at a hub, and what runs there: also where that hub refuses, is away, slow, or lies."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from edge_applications.names import server_name
from edge_server.applications.models import Application, AppVersion
from edge_server.identity.audit_lines import AuditLine
from edge_server.identity.hub import SERVICE_SCOPES
from edge_server.testing.local_server import EdgeServer

from .launched import Planned, StandInHub, planned_at
from .wire import client, refused

VIEWER = server_name("lab", "viewer")
AT = f"/users/ann/servers/{VIEWER}"


@pytest.fixture
def planned(tmp_path: Path, hub: StandInHub) -> Iterator[Planned]:
    with planned_at(tmp_path, hub.api_url) as server:
        yield server


def call(planned: Planned, method: str, path: str, user: str = "ann", **options: Any) -> Any:
    headers = {"Authorization": f"Bearer token-of-{user}", **options.pop("headers", {})}
    return planned.http.open(f"/v1/orgs/lab{path}", method=method, headers=headers, **options)


def launch(planned: Planned, user: str = "ann", app_id: str = "viewer", **wishes: Any) -> Any:
    return call(planned, "POST", f"/applications/{app_id}/launch", user, json=wishes)


def detail(answer: Any, status: int, code: str) -> str:
    assert (answer.status_code, answer.json.get("code")) == (status, code), answer.text
    text: str = answer.json["detail"]
    return text


# --- launching


def test_a_launch_starts_the_server_of_the_application(planned: Planned, hub: StandInHub) -> None:
    answer = launch(planned)
    assert answer.status_code == 202
    assert answer.json == {
        "server_name": VIEWER,
        "user_name": "ann",
        "app_id": "viewer",
        "version": "1.1.0",
        "profile_id": None,
        "status": "starting",
        "url": f"/user/ann/{VIEWER}/",
        "started_at": "2026-11-20T08:00:00Z",
        "last_activity": "2026-11-20T08:00:00Z",
        "shared_with": {"organization": False, "users": []},
        "exit_code": None,
        "last_lines": None,
    }
    edge = {"service": "api", "organization": "lab", "app_id": "viewer", "version": "1.1.0", "profile": None}
    assert hub.servers["ann", VIEWER]["user_options"] == {"edge": edge}
    with planned.database.read() as session:
        (line,) = session.scalars(sa.select(AuditLine).where(AuditLine.action == "applications.launch"))
    assert (line.user_name, line.about) == ("ann", '{"application": "viewer", "version": "1.1.0"}')


def test_a_launch_names_version_and_app_profile(planned: Planned, hub: StandInHub) -> None:
    answer = launch(planned, version="1.0.0", profile="lab.large")
    assert (answer.json["version"], answer.json["profile_id"]) == ("1.0.0", "lab.large")
    assert hub.servers["ann", VIEWER]["user_options"]["edge"]["profile"] == "lab.large"
    planned.change(sa.update(AppVersion).values(recommended_profile="edge.medium"))
    assert launch(planned, "dev").json["profile_id"] == "edge.medium"


def test_what_runs_is_not_launched_twice(planned: Planned, hub: StandInHub) -> None:
    hub.run("ann")
    answer = launch(planned, version="1.0.0")
    assert (answer.status_code, answer.json["status"]) == (202, "running")
    assert f"POST {AT}" not in hub.calls
    assert "viewer 1.0.0 runs already; stop it before you launch 1.1.0" in detail(launch(planned), 409, "conflict")
    other = launch(planned, version="1.0.0", profile="lab.large")
    assert "before you launch 1.0.0 with lab.large" in detail(other, 409, "conflict")
    hub.run("ann", pending="stop")
    assert "is stopping" in detail(launch(planned, version="1.0.0"), 409, "conflict")
    hub.run("ann")["user_options"] = {"mine": True}
    assert "stop it at the hub" in detail(launch(planned, version="1.0.0"), 409, "conflict")
    # That of another user is another one.
    assert launch(planned, "dev").status_code == 202


def test_two_launches_at_the_same_moment_are_both_answered(planned: Planned, hub: StandInHub) -> None:
    def overtaken(handler: Any) -> None:
        hub.run("ann", version="1.1.0")
        handler.reply(400, {"status": 400, "message": f"ann:{VIEWER} is already running"})

    hub.odd[f"POST {AT}"] = overtaken
    assert launch(planned).status_code == 202


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (400, "the app profile lab.large is disabled; choose another one"),
        (403, "launching is disabled"),
        (424, "The cluster does not keep the registry's credentials."),
        (429, "Too many users trying to log in right now. Try again in 30 seconds."),
        (500, "Error in Authenticator.pre_spawn_start"),
    ],
)
def test_the_hubs_own_sentence_says_why_it_does_not_start(
    planned: Planned, hub: StandInHub, status: int, message: str
) -> None:
    def refuse(handler: Any) -> None:
        hub.stopped.add(("ann", VIEWER))
        handler.reply(status, {"status": status, "message": message})

    hub.odd[f"POST {AT}"] = refuse
    assert detail(launch(planned), 409, "conflict") == f"the hub does not start viewer: {message}"
    assert hub.stopped == set(), "which the hub's page would list"
    with planned.database.read() as session:
        lines = session.scalars(sa.select(AuditLine).where(AuditLine.action == "applications.launch"))
        last = [json.loads(line.about) for line in lines][-1]
    refused = f"the hub does not start viewer: {message}"
    assert last == {"application": "viewer", "version": "1.1.0", "refused": refused}


def test_a_server_that_was_there_before_a_refusal_stays(planned: Planned, hub: StandInHub) -> None:
    hub.stopped.add(("ann", VIEWER))
    hub.odd[f"POST {AT}"] = lambda handler: handler.reply(403, {"status": 403, "message": "no"})
    detail(launch(planned), 409, "conflict")
    assert hub.stopped == {("ann", VIEWER)}, "with whom it is shared"


def test_a_start_that_came_to_nothing_is_reported(planned: Planned, hub: StandInHub) -> None:
    hub.odd[f"POST {AT}"] = lambda handler: handler.reply(202)
    assert "did not start viewer" in detail(launch(planned), 409, "conflict")


def test_a_start_that_takes_long_goes_on(planned: Planned, hub: StandInHub) -> None:
    done = threading.Event()

    def slow(handler: Any) -> None:
        hub.run("ann", version="1.1.0", ready=False, pending="spawn")
        done.wait(60)
        handler.reply(201)

    hub.odd[f"POST {AT}"] = slow
    try:
        assert launch(planned).json["status"] == "starting"
    finally:
        done.set()


def test_an_app_of_another_edge_server_is_left_alone(planned: Planned, hub: StandInHub) -> None:
    hub.run("ann", service="second")
    assert "stop it at the hub" in detail(launch(planned), 409, "conflict")
    detail(call(planned, "DELETE", f"/running-apps/{VIEWER}"), 404, "not_found")


def test_what_may_not_be_launched_never_reaches_the_hub(planned: Planned, hub: StandInHub) -> None:
    assert "no version '2.0.0'" in detail(launch(planned, version="2.0.0"), 404, "not_found")
    assert "no application" in detail(launch(planned, app_id="none"), 404, "not_found")
    assert "no app profile" in detail(launch(planned, profile="lab.none"), 404, "not_found")
    assert "built in" in detail(launch(planned, app_id="edge.data"), 409, "conflict")
    planned.change(sa.update(Application).values(status="in_review"))
    assert "no application" in detail(launch(planned), 404, "not_found")
    assert not [answered for answered in hub.calls if "servers" in answered]


def test_a_request_that_is_sent_again_launches_once(planned: Planned, hub: StandInHub) -> None:
    def again() -> Any:
        return call(planned, "POST", "/applications/viewer/launch", json={}, headers={"Idempotency-Key": "k"})

    first = again()
    hub.servers.clear()
    assert again().json == first.json
    assert hub.servers == {}


# --- what runs


def test_users_see_their_own_apps_of_the_organization(planned: Planned, hub: StandInHub) -> None:
    hub.run("ann", profile="lab.large", full_url=f"https://hub.example.com/user/ann/{VIEWER}/")
    hub.run("ann", app_id="Other.App", ready=False, pending="spawn")
    hub.run("ann", app_id="third", pending="stop")
    hub.run("ann", organization="other")
    hub.run("ann", app_id="theirs", service="second")
    hub.run("dev")
    items = call(planned, "GET", "/running-apps").json["items"]
    assert [(app["app_id"], app["status"]) for app in items] == [
        ("Other.App", "starting"),
        ("third", "stopping"),
        ("viewer", "running"),
    ]
    assert items[2]["url"] == f"https://hub.example.com/user/ann/{VIEWER}/"
    assert items[2]["profile_id"] == "lab.large"
    own = call(planned, "GET", f"/running-apps/{VIEWER}")
    assert own.json == items[2]
    elsewhere = server_name("other", "viewer")
    assert "has ended, or did not start" in detail(call(planned, "GET", f"/running-apps/{elsewhere}"), 404, "not_found")


def test_admins_see_the_apps_of_all_users_in_pages(planned: Planned, hub: StandInHub) -> None:
    for user in ("ann", "dev", "boss"):
        hub.run(user)
    hub.run("dev", app_id="second")
    assert "organization's admins" in detail(call(planned, "GET", "/running-apps?all_users=true"), 403, "forbidden")
    listed, cursor = [], ""
    while cursor is not None:
        page = call(planned, "GET", f"/running-apps?all_users=true&limit=3{cursor}", "boss").json
        listed += [(app["user_name"], app["app_id"]) for app in page["items"]]
        cursor = None if page["next"] is None else f"&cursor={page['next']}"
    assert listed == [("ann", "viewer"), ("boss", "viewer"), ("dev", "second"), ("dev", "viewer")]


@pytest.mark.parametrize(
    "options",
    [
        None,
        [],
        "edge",
        {},
        {"edge": None},
        {"edge": "viewer"},
        {"edge": {"organization": "lab", "app_id": "viewer"}},
        {"edge": {"organization": "lab", "app_id": "../viewer", "version": "1"}},
        {"edge": {"organization": "lab", "app_id": "another", "version": "1"}},
        {"edge": {"organization": ["lab"], "app_id": "viewer", "version": "1"}},
        {"edge": {"organization": "\ud800", "app_id": "viewer", "version": "1"}},
        {"edge": {"organization": "lab", "app_id": "viewer", "version": "1", "profile": "\ud800"}},
        {"edge": {"organization": "lab", "app_id": "viewer", "version": "1", "profile": ["edge.medium"]}},
    ],
)
def test_a_server_that_only_says_so_is_no_application(planned: Planned, hub: StandInHub, options: Any) -> None:
    hub.run("ann")["user_options"] = options
    assert call(planned, "GET", "/running-apps").json == {"items": [], "next": None}


def test_users_stop_their_own_apps_and_admins_those_of_all(planned: Planned, hub: StandInHub) -> None:
    for user in ("ann", "dev"):
        hub.run(user)
    assert call(planned, "DELETE", f"/running-apps/{VIEWER}").status_code == 204
    assert list(hub.servers) == [("dev", VIEWER)]
    detail(call(planned, "DELETE", f"/running-apps/{VIEWER}"), 404, "not_found")
    of_dev = f"/running-apps/{VIEWER}?user_name=dev"
    assert "organization's admins" in detail(call(planned, "DELETE", of_dev), 403, "forbidden")
    assert call(planned, "DELETE", of_dev, "boss").status_code == 204
    assert hub.servers == {}


def test_a_stop_that_is_sent_again_leaves_the_app_that_was_launched_meanwhile(
    planned: Planned, hub: StandInHub
) -> None:
    hub.run("ann")
    key = {"Idempotency-Key": "8e03978e-40d5-43dd-bc93-6894a57f9324"}
    assert call(planned, "DELETE", f"/running-apps/{VIEWER}", headers=dict(key)).status_code == 204
    assert call(planned, "DELETE", f"/running-apps/{VIEWER}", headers=dict(key)).status_code == 204
    hub.run("ann")
    assert call(planned, "DELETE", f"/running-apps/{VIEWER}", headers=dict(key)).status_code == 204
    assert list(hub.servers) == [("ann", VIEWER)]


def test_a_stop_that_takes_long_goes_on_and_a_failure_is_reported(planned: Planned, hub: StandInHub) -> None:
    hub.run("ann")
    hub.odd[f"DELETE {AT}"] = lambda handler: handler.reply(202)
    assert call(planned, "DELETE", f"/running-apps/{VIEWER}").status_code == 204
    hub.odd[f"DELETE {AT}"] = lambda handler: handler.reply(500, {"status": 500, "message": "Stuck"})
    failed = call(planned, "DELETE", f"/running-apps/{VIEWER}")
    assert detail(failed, 409, "conflict") == "the hub does not stop viewer: Stuck"


# --- a hub that is away, slow, or lies


def break_off(handler: Any) -> None:
    handler.close_connection = True
    handler.connection.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize(
    "answer",
    [
        lambda handler: handler.reply(503, {"status": 503, "message": "gateway"}),
        lambda handler: handler.reply(500, {"status": 500, "message": "broken"}),
        lambda handler: handler.reply(403, {"status": 403, "message": "lacks a scope"}),
        lambda handler: handler.reply(302),
        lambda handler: handler.reply(200, []),
        lambda handler: handler.reply(200, {"name": "ann"}),
        lambda handler: handler.reply(200, {"name": "eve", "servers": {}}),
        lambda handler: handler.reply(200, {"name": "ann", "servers": {VIEWER: {}}}),
        lambda handler: handler.reply(200, {"name": "ann", "servers": {VIEWER: {"ready": "yes", "url": "/"}}}),
        lambda handler: handler.reply(
            200, {"name": "ann", "servers": {VIEWER: {"ready": True, "url": "javascript:1"}}}
        ),
        break_off,
    ],
)
def test_a_hub_that_does_not_say_what_runs_is_away(planned: Planned, hub: StandInHub, answer: Any) -> None:
    assert call(planned, "GET", "/running-apps").status_code == 200  # by a token that is known from now on
    hub.odd["GET /users/ann"] = answer
    for answered in (call(planned, "GET", "/running-apps"), launch(planned)):
        assert "does not answer" in detail(answered, 503, "hub_unavailable")
        assert answered.headers["Retry-After"] == "2"


@pytest.mark.parametrize(
    "answer",
    [
        lambda handler: handler.reply(503, {"status": 503, "message": "gateway"}),
        lambda handler: handler.reply(500, {"error": "of a proxy"}),
        lambda handler: handler.reply(403),
        lambda handler: handler.reply(200, {}),
        break_off,
    ],
)
def test_a_hub_that_does_not_start_anything_is_away(planned: Planned, hub: StandInHub, answer: Any) -> None:
    hub.odd[f"POST {AT}"] = answer
    assert "does not answer" in detail(launch(planned), 503, "hub_unavailable")


def test_a_list_of_all_without_an_end_is_none(planned: Planned, hub: StandInHub) -> None:
    page = {"items": [], "_pagination": {"next": {"offset": 0}}}
    hub.odd["GET /users"] = lambda handler: handler.reply(200, page)
    detail(call(planned, "GET", "/running-apps?all_users=true", "boss"), 503, "hub_unavailable")


def test_the_list_of_all_comes_in_pages(planned: Planned, hub: StandInHub) -> None:
    hub.run("ann")
    hub.run("dev")

    def page(handler: Any) -> None:
        assert handler.query["state"] == ["active"]
        offset = int(handler.query["offset"][0])
        users = hub.answer("GET", "/users", "", None)[1]["items"]
        following = {"offset": offset + 1} if offset + 1 < len(users) else None
        handler.reply(200, {"items": users[offset : offset + 1], "_pagination": {"next": following}})

    hub.odd["GET /users"] = page
    items = call(planned, "GET", "/running-apps?all_users=true", "boss").json["items"]
    assert [app["user_name"] for app in items] == ["ann", "dev"]


def test_the_role_of_the_service_has_what_launching_needs() -> None:
    assert {"list:users", "read:users", "servers", "read:servers", "shares"} <= set(SERVICE_SCOPES)


def test_a_server_without_a_hub_runs_nothing(edge_server: EdgeServer) -> None:
    api = client(edge_server, edge_server.create_token("admin"), "default")
    for method, path, body in (
        ("POST", "/applications/viewer/launch", {"json": {}}),
        ("GET", "/running-apps", {}),
        ("GET", f"/running-apps/{VIEWER}", {}),
        ("DELETE", f"/running-apps/{VIEWER}", {}),
    ):
        problem = refused(api.call(method, f"/v1/orgs/default{path}", **body), 409, "conflict")
        assert problem["detail"] == "this server runs no applications; its operator connects it to a JupyterHub"
