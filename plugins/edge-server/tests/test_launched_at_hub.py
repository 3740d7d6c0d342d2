"""A session launches an application at a real hub, sees it run, stops it, and finds its hours in billing."""

from __future__ import annotations

import datetime as dt
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from edge_admin.organization import OrganizationStatusEnum
from edge_applications.app_version import AppVersion
from edge_applications.application import Application
from edge_applications.names import server_name
from edge_applications.running_app import RunningAppStatusEnum
from edge_cli.main import cli
from edge_core.errors import Conflict, Forbidden, NotFound
from edge_core.session import EdgeSession
from tests.hubs import RealHub
from tests.object_stores import free_port
from tests.waiting import wait_for

pytestmark = pytest.mark.slow

APP = """
import os
from http.server import HTTPServer, SimpleHTTPRequestHandler

HTTPServer(("127.0.0.1", int(os.environ["EDGE_APP_PORT"])), SimpleHTTPRequestHandler).serve_forever()
"""

CONFIGURED = """
import edge_hub

c.Spawner.start_timeout = c.Spawner.http_timeout = 300  # of a machine that does much else
c.Spawner.cmd = ["/bin/false"]
c.SimpleLocalProcessSpawner.home_dir_template = {home!r}
c.JupyterHub.load_groups = {{
    "lab": {{"users": ["bob"], "properties": {{"edge_organization": "lab"}}}},
    "lab-leads": {{
        "users": ["ada"],
        "properties": {{"edge_organization": "lab", "edge_roles": ["admin", "developer"]}},
    }},
}}
edge_hub.configure(
    c, data={data!r}, port={port}, hub_url="http://127.0.0.1:{port}", applications={applications!r}
)
"""

VIZ = server_name("lab", "viz")


class Site:
    """A hub with an Edge server, where the organization lab has the application viz."""

    def __init__(self, folder: Path, port: int) -> None:
        (folder / "hub").mkdir()
        (folder / "viz").mkdir()
        (folder / "viz" / "app.py").write_text(APP)
        table = folder / "applications.toml"
        command = [sys.executable, "app.py"]
        values = {"app_id": "viz", "version": "1.0", "folder": str(folder / "viz"), "command": command}
        table.write_text("\n".join(["[[application]]", *(f"{name} = {json.dumps(values[name])}" for name in values)]))
        text = CONFIGURED.format(
            home=str(folder / "home" / "{username}"), data=str(folder / "edge"), port=port, applications=str(table)
        )
        self.hub = RealHub(folder / "hub", text, by_hand=False)
        self.service_url = f"http://127.0.0.1:{port}/services/api"

    def session(self, name: str) -> EdgeSession:
        return EdgeSession(self.hub.token(name), self.service_url, "lab", retries=20)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    site = Site(tmp_path_factory.mktemp("launched"), free_port())
    site.hub.start()
    try:
        with site.session("ada") as edge:
            edge.applications.add_application(Application("viz", True))
            for version in ("1.0", "1.1"):
                edge.applications.add_app_version(AppVersion("viz", version, link=f"quay.io/lab/viz:{version}"))
            edge.applications.approve_application("viz")
        yield site
    finally:
        for name in ("ada", "bob"):
            site.hub.answer("DELETE", f"/users/{name}/servers/{VIZ}")
        site.hub.stop()


def test_an_app_runs_from_its_launch_to_its_stop_and_its_hours_are_counted(site: Site) -> None:
    with site.session("bob") as edge:
        app = edge.applications.launch("viz", "1.0", "edge.medium")
        assert (app.server_name, app.user_name, app.version, app.profile_id) == (VIZ, "bob", "1.0", "edge.medium")
        assert list(app.progress())[-1] is RunningAppStatusEnum.Running
        assert app.wait() is app
        assert app.url == site.service_url.replace("/services/api", f"/user/bob/{VIZ}/")
        assert edge.applications.launch("viz", "1.0", "edge.medium").started_at == app.started_at
        with pytest.raises(Conflict, match=r"viz 1\.0 runs already with edge.medium; stop it before"):
            edge.applications.launch("viz", "1.0")
        assert [each.server_name for each in edge.applications.list_running()] == [VIZ]
        with pytest.raises(Forbidden, match="organization's admins"):
            edge.applications.list_running(all_users=True)
        with site.session("ada") as admin:
            assert admin.applications.list_running() == []
            assert [each.user_name for each in admin.applications.list_running(all_users=True)] == ["bob"]
        app.stop()
        wait_for(lambda: edge.applications.list_running() == [], "it does not stop")
        until = dt.datetime.now(dt.UTC)
        app.stop()
        with pytest.raises(NotFound, match="has ended, or did not start"):
            app.refresh()
    assert app.started_at is not None
    with site.session("ada") as edge:
        (used,) = edge.billing.all_cloud_usage(usage_type="app_hours")
    assert used.cost_allocation_tag == "edge.medium"
    assert used.usage_quantity is not None
    assert 0 < float(used.usage_quantity) <= (until - app.started_at) / dt.timedelta(hours=1)


def test_the_command_launches_lists_and_stops(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGE_API_TOKEN", site.hub.token("bob"))
    monkeypatch.setenv("EDGE_API_SERVICE_URL", site.service_url)
    monkeypatch.setenv("EDGE_API_ORG", "lab")

    def run(*words: str) -> str:
        result = CliRunner().invoke(cli, ["app", *words])
        assert result.exit_code == 0, result.output
        return result.output

    assert run("launch", "viz", "--version", "1.0", "--wait").startswith("viz 1.0 runs at http://127.0.0.1:")
    (app,) = json.loads(run("running", "--json"))
    assert (app["app_id"], app["status"]) == ("viz", "running")
    assert "viz" in run("running")
    assert "Stopped viz" in run("stop", "viz")
    wait_for(lambda: json.loads(run("running", "--json")) == [], "it does not stop")


def test_the_sentence_of_who_refuses_reaches_the_user(site: Site) -> None:
    server = f"/users/bob/servers/{VIZ}"
    site.hub.answer("DELETE", server, {"remove": True})
    with site.session("bob") as edge, site.session("ada") as admin:
        with pytest.raises(Conflict, match="the hub does not start viz: viz 1.1 is not in the hub's table"):
            edge.applications.launch("viz")
        assert site.hub.answer("GET", server).status_code == 404, "which the hub's page would list"
        with pytest.raises(NotFound, match="no version '2.0'"):
            edge.applications.launch("viz", "2.0")
        assert edge.applications.list_running() == []
        assert admin.applications.list_running(all_users=True) == []


def test_what_a_user_asks_the_hub_for_by_themselves_is_looked_up_as_well(site: Site) -> None:
    edge = {"organization": "lab", "app_id": "viz", "version": "2.0", "profile": None}
    token = site.hub.token("bob")
    for options, server, sentence in (
        (edge, VIZ, "no version '2.0'"),
        ({**edge, "version": "1.0", "profile": "lab.none"}, VIZ, "no app profile"),
        ({**edge, "version": "1.0"}, "mine", "is not the server of viz in lab"),
        ({**edge, "organization": "plant"}, server_name("plant", "viz"), "is in no organization"),
    ):
        answer = site.hub.answer("POST", f"/users/bob/servers/{server}", {"edge": options}, token=token)
        assert 400 <= answer.status_code < 500, answer.text
        assert sentence in answer.json()["message"]


def test_apps_end_and_none_is_launched_where_the_organization_is_shut_down(site: Site) -> None:
    site.hub.call("POST", "/users/root", {"admin": True})
    with site.session("bob") as edge, EdgeSession(site.hub.token("root"), site.service_url, "lab") as root:
        edge.applications.launch("viz", "1.0").wait()
        organization = root.admin.get_organization("lab")
        organization.status = OrganizationStatusEnum.DisableApps
        root.admin.update_organization(organization)
        with pytest.raises(Conflict, match="launching is disabled"):
            edge.applications.launch("viz", "1.0")
        wait_for(lambda: edge.applications.list_running() == [], "it goes on")
