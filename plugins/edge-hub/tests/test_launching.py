"""Applications that run: from a version in Edge to a page that its user sees, by a real hub and a real Edge server."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import requests

from edge_applications.app_version import AppKindEnum, AppVersion
from edge_applications.application import Application
from edge_applications.names import server_name
from edge_applications.running_app import RunningApp, RunningAppStatusEnum, SharedWith
from edge_core.errors import BadEntry, EdgeError, Forbidden, NotFound
from edge_core.session import EdgeSession
from tests.hub_browser import Browser, keep_ports
from tests.hubs import RealHub
from tests.waiting import wait_for

APP = Path(__file__).with_name("visited_app.py")

CONFIGURED = """
import edge_hub

c.Spawner.start_timeout = c.Spawner.http_timeout = 300  # of a machine that does much else
c.Spawner.cmd = ["/bin/false"]
c.SimpleLocalProcessSpawner.home_dir_template = {home!r}
c.JupyterHub.load_groups = {{
    "lab": {{"users": ["ada", "bob"], "properties": {{"edge_organization": "lab"}}}},
    "lab-leads": {{
        "users": ["ada"],
        "properties": {{"edge_organization": "lab", "edge_roles": ["admin", "developer"]}},
    }},
    "plant": {{"users": ["eve"], "properties": {{"edge_organization": "plant"}}}},
}}
edge_hub.configure(
    c, data={data!r}, port={port}, hub_url="http://127.0.0.1:{port}", applications={applications!r}
)
"""

VIZ = server_name("lab", "viz")


def entry(version: str, folder: Path, command: list[str]) -> str:
    """A version's lines in the operator's table."""
    values = {"app_id": "viz", "version": version, "folder": str(folder), "command": command}
    return "\n".join(["[[application]]", *(f"{name} = {json.dumps(value)}" for name, value in values.items()), ""])


class Site:
    """A hub with an Edge server, where the organization lab has the application viz."""

    def __init__(self, folder: Path, port: int) -> None:
        for name in ("hub", "ports", "viz"):
            (folder / name).mkdir()
        self.folder = folder
        self.table = folder / "applications.toml"
        self.write_table()
        text = CONFIGURED.format(
            home=str(folder / "home" / "{username}"),
            data=str(folder / "edge"),
            port=port,
            applications=str(self.table),
        )
        self.hub = RealHub(folder / "hub", text + keep_ports(folder / "ports"), by_hand=False)
        self.service_url = f"http://127.0.0.1:{port}/services/api"

    def write_table(self, *versions: str) -> None:
        """Have the table name versions of the application, and nothing else."""
        entries = [entry(version, self.folder / "viz", [sys.executable, str(APP)]) for version in versions]
        self.table.write_text("".join(entries))

    def session(self, name: str, organization: str = "lab") -> EdgeSession:
        return EdgeSession(self.hub.token(name), self.service_url, organization, retries=20)

    def browser(self, name: str) -> Browser:
        browser = Browser(self.hub, self.folder / "ports")
        browser.log_in(name)
        return browser

    def start(self, user: str, options: Any, *, server: str = VIZ, token: str | None = None) -> requests.Response:
        """What the hub answers to somebody who starts a server, by default the user themselves."""
        own = token or self.hub.token(user)
        return self.hub.answer("POST", f"/users/{user}/servers/{server}", options, token=own)

    def model(self, user: str) -> dict[str, Any] | None:
        """What the hub says of the application's server; None if it does not run."""
        model: dict[str, Any] | None = self.hub.call("GET", f"/users/{user}")["servers"].get(VIZ)
        return model

    def stop(self, user: str) -> None:
        self.hub.answer("DELETE", f"/users/{user}/servers/{VIZ}")
        wait_for(lambda: self.model(user) is None, "it does not stop")


def choice(**changes: Any) -> dict[str, Any]:
    """The options of a server for viz."""
    return {"edge": {"organization": "lab", "app_id": "viz", "version": "1.0", "profile": None, **changes}}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    from tests.object_stores import free_port

    site = Site(tmp_path_factory.mktemp("launching"), free_port())
    site.hub.start()
    try:
        for name in ("bob", "eve"):
            site.session(name, "lab" if name == "bob" else "plant").whoami()
        site.session("bob").set_whoami("Bob", "B.")
        with site.session("ada") as edge:
            edge.files.upload("hello.txt", b"hello")
            edge.applications.add_application(Application(app_id="viz", visible_auto_add=True))
            for version in ("1.0", "1.1"):
                edge.applications.add_app_version(
                    AppVersion(
                        app_id="viz",
                        version=version,
                        title="Viz",
                        description="",
                        icon="",
                        kind=AppKindEnum.Native,
                        link=f"quay.io/lab/viz:{version}",
                    )
                )
            edge.applications.approve_application("viz")
        yield site
    finally:
        for name in ("ada", "bob"):
            site.hub.answer("DELETE", f"/users/{name}/servers/{VIZ}")
        site.hub.stop()


@pytest.mark.slow
def test_a_user_sees_an_application_that_knows_them_and_reads_their_files(site: Site) -> None:
    site.write_table("1.0")
    answer = site.start("ada", choice())
    assert answer.status_code in (201, 202), answer.text
    wait_for(lambda: (site.model("ada") or {}).get("ready"), "it does not start")
    browser = site.browser("ada")
    address = f"/user/ada/{VIZ}"

    got = browser.open(f"{address}/").json()

    assert got["headers"]["X-Forwarded-User"] == "ada"
    assert got["headers"]["X-Forwarded-Groups"] == "lab,lab%3Aadmin,lab%3Adeveloper"
    assert got["folder"] == str(site.folder / "viz")
    own = {name: got["variables"][name] for name in ("EDGE_APP_ID", "EDGE_APP_VERSION", "EDGE_API_ORG")}
    assert own == {"EDGE_APP_ID": "viz", "EDGE_APP_VERSION": "1.0", "EDGE_API_ORG": "lab"}
    assert browser.open(f"{address}/file").text == "ada of lab: hello"
    bob = site.browser("bob")
    assert bob.open(f"{address}/").status_code == 403
    # The token of the application is good for Edge, and for nothing else of its owner's at the hub.
    token = browser.open(f"{address}/token").text
    for method, path in (("POST", f"/users/ada/servers/{VIZ}"), ("POST", "/users/ada/tokens"), ("GET", "/users/bob")):
        assert site.hub.answer(method, path, {}, token=token).status_code in (403, 404)
    plan = {"user_name": "bob", "organization": "lab", "app_id": "viz", "server_name": VIZ}
    answer = requests.post(
        f"{site.service_url}/v1/launch-plans", json=plan, headers={"Authorization": f"Bearer {token}"}, timeout=60
    )
    assert answer.status_code == 403
    assert token not in site.hub.log
    site.stop("ada")


@pytest.fixture
def shared(site: Site) -> Iterator[RunningApp]:
    """An app of ada's that runs and is shared with nobody."""
    site.write_table("1.0")
    with site.session("ada") as edge:
        app = edge.applications.launch("viz", "1.0").wait()
        assert app.shared_with == SharedWith()
        yield app
        app.unshare()
    site.stop("ada")


@pytest.mark.slow
def test_members_reach_an_app_that_its_owner_shares_and_nobody_else_does(site: Site, shared: RunningApp) -> None:
    address = f"/user/ada/{VIZ}/"
    bob, eve = site.browser("bob"), site.browser("eve")
    assert bob.open(address).status_code == 403

    shared.share()

    assert shared.shared_with == SharedWith(organization=True)
    groups = {share["group"]["name"] for share in site.hub.call("GET", f"/shares/ada/{VIZ}")["items"]}
    assert groups == {"lab", "lab-leads"}, "which are those that name it"
    page = bob.visit_shared(address)
    assert page.status_code == 200, page.text
    got = page.json()["headers"]
    headers = {name: got[f"X-Forwarded-{name}"] for name in ("User", "Display-Name", "Groups")}
    assert headers == {"User": "bob", "Display-Name": "Bob%20B.", "Groups": "lab"}
    assert eve.open(address).status_code == 403
    with site.session("bob") as edge:
        (app,) = edge.applications.list_running()
        assert (app.user_name, app.server_name, app.shared_with) == ("ada", VIZ, None)
        assert app.refresh().status.value == "running"
    with site.session("eve", "plant") as edge:
        assert edge.applications.list_running() == []
        with pytest.raises(NotFound, match="that is shared with you"):
            edge.applications.find_running(VIZ, "ada")


@pytest.mark.slow
def test_who_is_let_in_neither_stops_an_app_nor_lets_others_in(site: Site, shared: RunningApp) -> None:
    shared.share(users=["bob"])
    assert shared.shared_with == SharedWith(users=["bob"])
    with site.session("bob") as edge:
        (app,) = edge.applications.list_running()
        with pytest.raises(Forbidden, match="organization's admins"):
            app.stop()
        for change in (app.share, app.unshare):
            with pytest.raises(Forbidden, match="shared by its owner alone, who is ada"):
                change()
        for change in (edge.applications.share_running, edge.applications.unshare_running):
            with pytest.raises(NotFound, match="no app .* of bob runs"):
                change(VIZ)
    token = site.hub.token("bob")
    for method, path, body in (
        ("POST", f"/shares/ada/{VIZ}", {"user": "eve"}),
        ("POST", f"/share-codes/ada/{VIZ}", {}),
        ("DELETE", f"/users/ada/servers/{VIZ}", None),
        ("POST", f"/users/ada/servers/{VIZ}", choice()),
    ):
        assert site.hub.answer(method, path, body, token=token).status_code in (403, 404), path
    # Nobody of another organization can be let in, whom the hub knows very well.
    with pytest.raises(BadEntry, match="eve is not in lab"):
        shared.share(users=["bob", "eve"])
    for organization, status in (("lab", 404), ("plant", 404)):
        address = f"{site.service_url}/v1/orgs/{organization}/running-apps/{VIZ}/share"
        headers = {"Authorization": f"Bearer {site.hub.token('eve')}"}
        assert requests.post(address, json={}, headers=headers, timeout=60).status_code == status
    assert shared.refresh().shared_with == SharedWith(users=["bob"])


@pytest.mark.slow
def test_a_share_that_is_taken_back_ends_what_is_open(site: Site, shared: RunningApp) -> None:
    address = f"/user/ada/{VIZ}/"
    shared.share()
    bob = site.browser("bob")
    assert bob.visit_shared(address).status_code == 200
    cookies = {c.name: c.value or "" for c in bob.http.cookies if c.path == address}

    async def talk() -> int | None:
        headers = {"Cookie": "; ".join(f"{name}={value}" for name, value in cookies.items())}
        async with (
            aiohttp.ClientSession() as client,
            client.ws_connect(f"{bob.origin(address)}{address}talk", headers=headers) as connection,
        ):
            await connection.send_str("hello")
            assert await connection.receive_str() == "bob: hello"
            await asyncio.to_thread(shared.unshare)
            closing = await connection.receive()  # although nobody says anything
            code: int | None = closing.data
            return code

    assert asyncio.run(talk()) == aiohttp.WSCloseCode.POLICY_VIOLATION
    wait_for(lambda: bob.send("GET", address).status_code == 403)
    assert shared.shared_with == SharedWith()


@pytest.mark.slow
def test_who_leaves_the_organization_is_let_in_no_more(site: Site, shared: RunningApp) -> None:
    address = f"/user/ada/{VIZ}/"
    # By an admin of the hub, to somebody who is not in the organization: as if they had been.
    site.hub.call("POST", f"/shares/ada/{VIZ}", {"user": "eve"})
    shared.share(users=["bob"])
    bob = site.browser("bob")
    assert bob.visit_shared(address).status_code == 200
    lab = {"edge_organization": "lab"}
    site.hub.group("lab", "ada", properties=lab)
    try:
        wait_for(lambda: bob.send("GET", address).status_code == 403)
        wait_for(lambda: shared.refresh().shared_with == SharedWith())
        assert site.browser("eve").open(address).status_code == 403
    finally:
        site.hub.group("lab", "ada", "bob", properties=lab)
        site.session("bob").whoami()


@pytest.mark.slow
def test_what_a_user_sends_decides_nothing_but_which_application(site: Site) -> None:
    site.write_table("1.0")
    evil = ["/bin/sh", "-c", "id"]
    for options in (
        {**choice(), "image": "evil"},
        {**choice(), "cmd": evil},
        {**choice(), "profile": "large"},
        choice(command=evil),
        choice(image="evil"),
        choice(folder="/"),
        choice(user_name="ada"),
        choice(version=["1.0"]),
        {"edge": "viz"},
    ):
        answer = site.start("bob", options)
        assert (answer.status_code, "and nothing else" in answer.text) == (400, True), options
    for changes, status, words in (
        ({"version": "9.9"}, 404, "9.9"),
        ({"app_id": "other"}, 409, "is not the server of other"),
        ({"organization": "plant"}, 404, "plant"),
        ({"profile": "largest"}, 404, "largest"),
        # Of the organization, and not in the operator's table: its image runs nothing here.
        ({"version": "1.1"}, 403, "not in the hub's table of applications"),
    ):
        answer = site.start("bob", choice(**changes))
        assert (answer.status_code, words in answer.text) == (status, True), answer.text
    # Another name than the one that goes with it; of another organization; of another user.
    assert site.start("bob", choice(), server="notebook").status_code == 409
    assert site.start("eve", choice()).status_code == 404
    assert site.start("ada", choice(), token=site.hub.token("bob")).status_code in (403, 404)
    assert site.model("bob") is None
    assert site.model("ada") is None


@pytest.mark.slow
def test_the_hub_says_which_version_the_edge_server_has_chosen(site: Site) -> None:
    site.write_table("1.1")
    assert site.start("bob", choice(version=None)).status_code in (201, 202)
    wait_for(lambda: (site.model("bob") or {}).get("ready"), "it does not start")
    model = site.model("bob")
    assert model is not None
    assert model["user_options"] == choice(version="1.1", service="api")
    got = site.browser("bob").open(f"/user/bob/{VIZ}/").json()
    assert got["variables"]["EDGE_APP_VERSION"] == "1.1"
    assert got["headers"]["X-Forwarded-Groups"] == "lab"
    site.stop("bob")


@pytest.mark.slow
def test_an_application_that_ends_at_once_is_in_the_log(site: Site) -> None:
    broken = "import os, sys; print('token', os.environ['JUPYTERHUB_API_TOKEN'], flush=True); sys.exit('no plate')"
    site.table.write_text(entry("1.0", Path("/"), [sys.executable, "-c", broken]))
    with site.session("bob") as edge:
        app = edge.applications.launch("viz", "1.0")
        begun = time.monotonic()
        with pytest.raises(NotFound, match=r"viz 1\.0 has ended with exit code 1, and wrote last: no plate"):
            app.wait()
        print(f"an app that ends at once was told of after {time.monotonic() - begun:.1f} s")
        assert (app.status, app.exit_code) == (RunningAppStatusEnum.Ended, 1)
        assert app.last_lines == ["token ***", "no plate"]
        assert edge.applications.list_running() == []
        wait_for(lambda: site.model("bob") is None, "the hub still waits for it")
        with site.session("ada") as admin, pytest.raises(NotFound):
            admin.applications.find_running(VIZ, "bob")
    wait_for(lambda: "the application has ended with exit code 1" in site.hub.log, "it does not end")


@pytest.mark.slow
def test_an_application_that_never_answers_goes_on_starting(site: Site) -> None:
    site.table.write_text(entry("1.0", Path("/"), [sys.executable, "-c", "import signal; signal.pause()"]))
    with site.session("bob") as edge:
        app = edge.applications.launch("viz", "1.0")
        # To the hub it runs.
        wait_for(lambda: (site.model("bob") or {}).get("ready"), "the hub does not see it")
        wait_for(lambda: app.refresh().status is RunningAppStatusEnum.Starting)
        with pytest.raises(EdgeError, match="does not run after 1 seconds"):
            app.wait(1)
    site.stop("bob")
