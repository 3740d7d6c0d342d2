"""Logins to an external application at a real hub, whose OAuth client Edge has registered."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from http.server import HTTPServer, SimpleHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
import requests

from edge_applications.application import Application
from edge_core.errors import AlreadyExists, Forbidden, Unauthenticated
from edge_core.session import EdgeSession
from tests.hub_browser import Browser
from tests.hubs import RealHub
from tests.object_stores import free_port
from tests.waiting import wait_for

pytestmark = pytest.mark.slow

APP = Path(__file__).with_name("external_app.py")

CONFIGURED = """
import edge_hub

c.JupyterHub.load_groups = {{
    "lab": {{"users": ["ada"], "properties": {{"edge_organization": "lab", "edge_roles": ["admin", "developer"]}}}},
    "lab-members": {{"users": ["bob"], "properties": {{"edge_organization": "lab"}}}},
    "plant": {{"users": ["carl", "bob"], "properties": {{"edge_organization": "plant", "edge_roles": ["developer"]}}}},
}}
edge_hub.configure(c, data={data!r}, port={port}, hub_url="http://127.0.0.1:{port}", external_apps=True)
"""

WITHOUT_LOGINS = """
next(role for role in c.JupyterHub.load_roles if role["name"] == "user")["scopes"].remove("access:services")
"""

ACCESS = "access:services!service=api"


class Site:
    """A hub with an Edge server, and an external application of the organization lab that is registered."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "hub").mkdir()
        self.port = free_port()
        text = CONFIGURED.format(data=str(folder / "edge"), port=self.port)
        self.hub = RealHub(folder / "hub", text, by_hand=False)
        self.service_url = f"http://127.0.0.1:{self.port}/services/api"
        self.app_url = f"http://127.0.0.1:{free_port()}"
        self._process: subprocess.Popen[bytes] | None = None
        self.client: dict[str, Any] = {}

    def session(self, name: str, organization: str = "lab", **options: Any) -> EdgeSession:
        return EdgeSession(self.hub.token(name), self.service_url, organization, retries=20, **options)

    def register(self) -> None:
        """Register the application, in place of what is registered, and start it."""
        with self.session("ada") as edge:
            try:
                self.client = edge.applications.register_oauth_client("viewer", f"{self.app_url}/oauth")
            except AlreadyExists:
                edge.applications.remove_oauth_client("viewer")
                self.client = edge.applications.register_oauth_client("viewer", f"{self.app_url}/oauth")
        self.stop_app()
        variables = {
            "HUB_URL": f"http://127.0.0.1:{self.hub.port}/hub",
            "APP_URL": self.app_url,
            "CLIENT_ID": self.client["client_id"],
            "CLIENT_SECRET": self.client["client_secret"],
            "EDGE_API_SERVICE_URL": self.service_url,
            "EDGE_API_ORG": "lab",
        }
        path = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
        self._process = subprocess.Popen([sys.executable, "-P", str(APP)], env={**path, **variables})
        wait_for(self._answers, "the application does not answer")

    def stop_app(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(60)

    def authorize(self, browser: Browser, **changes: str) -> requests.Response:
        """What the hub answers a browser that comes to log in."""
        query = {"client_id": self.client["client_id"], "redirect_uri": f"{self.app_url}/oauth"}
        query |= {"response_type": "code", "state": "abc", **changes}
        return self.confirmed(browser, f"/hub/api/oauth2/authorize?{urlencode(query)}")

    def confirmed(self, browser: Browser, path: str) -> requests.Response:
        """What a browser gets there whose user confirms the login, if the hub asks."""
        answer = browser.send("GET", path)
        xsrf = re.search(r'name="_xsrf" value="([^"]+)"', answer.text)
        if answer.status_code != 200 or xsrf is None:
            return answer
        scopes = re.findall(r'name="scopes" value="([^"]+)"', answer.text)
        return browser.send("POST", path, data={"_xsrf": xsrf[1], "scopes": scopes})

    def code(self, name: str) -> str:
        """The code of a login of a user."""
        answer = self.authorize(self.browser(name))
        assert answer.status_code == 302, answer.text
        return parse_qs(urlsplit(answer.headers["Location"]).query)["code"][0]

    def exchange(self, code: str, **changes: str) -> requests.Response:
        """What the hub gives the application for a code."""
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": f"{self.app_url}/oauth"}
        form |= {"client_id": self.client["client_id"], "client_secret": self.client["client_secret"], **changes}
        return requests.post(f"{self.hub.api_url}/oauth2/token", data=form, timeout=60)

    def token(self, name: str) -> str:
        """The token that the login of a user gives the application."""
        value: str = self.exchange(self.code(name)).json()["access_token"]
        return value

    def browser(self, name: str) -> Browser:
        """A browser of somebody who has logged in at the hub."""
        browser = Browser(self.hub, self.folder)
        browser.log_in(name)
        return browser

    def visit(self, browser: Browser) -> requests.Response:
        """What somebody sees who visits the application, who is sent to the hub and back."""
        answer = browser.http.get(self.app_url, allow_redirects=False, timeout=60)
        if answer.status_code == 302:
            target = urlsplit(answer.headers["Location"])
            assert target.port == self.hub.port
            answer = self.confirmed(browser, f"{target.path}?{target.query}")
            assert answer.status_code == 302, answer.text
            answer = browser.http.get(answer.headers["Location"], timeout=60)
        return answer

    def _answers(self) -> bool:
        try:
            return requests.get(f"{self.app_url}/nothing", timeout=60).status_code == 404
        except requests.ConnectionError:
            return False


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    site = Site(tmp_path_factory.mktemp("external"))
    site.hub.start()
    try:
        with site.session("ada") as edge:
            edge.applications.add_application(Application("viewer", True))
            edge.applications.approve_application("viewer")
            edge.files.upload("of-the-lab.txt", b"x")
        yield site
    finally:
        site.stop_app()
        site.hub.stop()


@pytest.fixture
def registered(site: Site) -> Site:
    site.register()
    return site


def test_a_visitor_logs_in_at_the_hub_and_sees_their_name_and_files(registered: Site) -> None:
    for name in ("bob", "ada"):
        page = registered.visit(registered.browser(name)).text
        assert f"Hello, {name}" in page
        assert "of-the-lab.txt" in page
    assert registered.client["client_secret"] not in registered.hub.log


def test_the_example_takes_no_login_that_another_browser_has_begun(registered: Site) -> None:
    mallory, victim = registered.browser("carl"), registered.browser("bob")
    begun = urlsplit(mallory.http.get(registered.app_url, allow_redirects=False, timeout=60).headers["Location"])
    callback = registered.confirmed(mallory, f"{begun.path}?{begun.query}").headers["Location"]
    for state in (callback, callback.replace("state=", "state=%C3%A4")):
        victim.http.get(registered.app_url, allow_redirects=False, timeout=60)
        assert victim.http.get(state, timeout=60).status_code == 403
    assert "Hello, bob" in registered.visit(victim).text


def test_a_member_of_another_organization_is_shown_nothing(registered: Site) -> None:
    answer = registered.visit(registered.browser("carl"))
    assert answer.status_code == 403
    assert "carl is not in lab" in answer.text
    assert "of-the-lab.txt" not in answer.text


def test_a_token_of_a_login_may_say_who_it_is_and_use_edge_in_this_organization_and_no_more(registered: Site) -> None:
    token = registered.token("bob")
    name = registered.client["client_id"].removeprefix("service-")
    model = registered.hub.call("GET", "/user", token=token)
    assert (model["name"], set(model["scopes"])) == (
        "bob",
        {ACCESS, f"access:services!service={name}", "read:users:name!user=bob", "read:users:groups!user=bob"},
    )
    for method, path in (("POST", "/users/bob/tokens"), ("GET", "/users/bob/tokens"), ("POST", "/users/bob/server")):
        assert registered.hub.answer(method, path, token=token).status_code in (403, 404)
    with EdgeSession(token, registered.service_url, "lab", retries=20) as edge:
        assert edge.files.list() == ["of-the-lab.txt"]
        with pytest.raises(Forbidden, match="login of an external application"):
            edge.tokens.create(note="outlives")
        with pytest.raises(Forbidden, match="launches none"):
            edge.applications.launch("viewer")
    with (
        EdgeSession(token, registered.service_url, "plant", retries=20) as edge,
        pytest.raises(Forbidden, match="lacks the scope org:plant"),
    ):
        edge.files.list()


def test_users_see_their_logins_among_their_tokens_and_end_them(registered: Site) -> None:
    token = registered.token("bob")
    with registered.session("bob") as edge:
        login = edge.tokens.get(registered.hub.token_id(token))
        assert login.note == f"login of {registered.client['client_id']}"
        assert login.id in [each.id for each in edge.tokens.list()]
        with EdgeSession(token, registered.service_url, "lab", retries=20) as app:
            app.files.list()
            edge.tokens.remove(login.id)
            with pytest.raises(Unauthenticated):
                app.files.list()


def test_a_redirect_is_compared_letter_by_letter(registered: Site) -> None:
    browser = registered.browser("bob")
    address = f"{registered.app_url}/oauth"
    for other in (
        f"{address}/",
        f"{address}?x=1",
        address.upper(),
        f"{registered.app_url}/oauth%2F",
        f"{registered.app_url}/",
        "https://evil.example.com/oauth",
        f"{address}#x",
    ):
        answer = registered.authorize(browser, redirect_uri=other)
        assert answer.status_code == 400, other
        assert "Location" not in answer.headers
    assert registered.exchange(registered.code("bob"), redirect_uri=f"{address}/").status_code == 400


def test_a_code_is_good_once_and_with_the_secret(registered: Site) -> None:
    assert registered.exchange(registered.code("bob"), client_secret="edo_wrong").status_code == 401
    code = registered.code("bob")
    assert registered.exchange(code).status_code == 200
    again = registered.exchange(code)
    assert (again.status_code, again.json()["error"]) == (400, "invalid_grant")


def test_the_secret_of_a_client_is_no_users_token(registered: Site) -> None:
    secret = registered.client["client_secret"]
    with (
        EdgeSession(secret, registered.service_url, "lab", retries=20) as edge,
        pytest.raises(Forbidden, match="only users are let in"),
    ):
        edge.files.list()
    for path in ("/users", "/users/bob", "/services", "/groups"):
        assert registered.hub.answer("GET", path, token=secret).status_code in (403, 404)


def test_logins_outlive_the_hub(registered: Site) -> None:
    token = registered.token("bob")
    registered.hub.stop()
    registered.hub.start()
    with EdgeSession(token, registered.service_url, "lab", retries=20) as edge:
        wait_for(lambda: edge.files.list() == ["of-the-lab.txt"])
    assert "Hello, bob" in registered.visit(registered.browser("bob")).text


def test_a_login_ends_with_the_right_to_log_in_at_the_hub(registered: Site) -> None:
    token = registered.token("bob")
    configuration = registered.folder / "hub" / "jupyterhub_config.py"
    before = configuration.read_text(encoding="utf-8")
    try:
        registered.hub.stop()
        configuration.write_text(f"{before}{WITHOUT_LOGINS}", encoding="utf-8")
        registered.hub.start()
        for organization in ("lab", "plant"):
            with (
                EdgeSession(token, registered.service_url, organization, retries=20) as edge,
                pytest.raises(Forbidden, match="does not let bob log in to .* any more"),
            ):
                edge.files.list()
    finally:
        registered.hub.stop()
        configuration.write_text(before, encoding="utf-8")
        registered.hub.start()


def test_a_hub_that_starts_bears_that_clients_come_and_go(registered: Site) -> None:
    configuration = registered.folder / "hub" / "jupyterhub_config.py"
    before = configuration.read_text(encoding="utf-8")
    port = free_port()
    late = f'c.JupyterHub.services.append({{"name": "late", "url": "http://127.0.0.1:{port}", "timeout": 600}})\n'
    try:
        registered.hub.stop()
        configuration.write_text(f"{before}{late}", encoding="utf-8")
        starts = registered.hub.log.count("is now running")
        registered.hub.start()
        with registered.session("ada") as edge:
            edge.applications.remove_oauth_client("viewer")
        assert registered.hub.log.count("is now running") == starts, "the hub does not wait for its last service"
        with HTTPServer(("127.0.0.1", port), SimpleHTTPRequestHandler) as server:
            server.handle_request()
        wait_for(lambda: registered.hub.log.count("is now running") > starts, "the hub has not started")
        registered.register()
        assert "Hello, bob" in registered.visit(registered.browser("bob")).text
    finally:
        registered.hub.stop()
        configuration.write_text(before, encoding="utf-8")
        registered.hub.start()


def _is_refused(edge: EdgeSession) -> bool:
    try:
        edge.files.list()
    except Unauthenticated:
        return True
    return False


def test_a_removed_client_logs_nobody_in_any_more(registered: Site) -> None:
    token = registered.token("bob")
    with EdgeSession(token, registered.service_url, "lab", retries=20) as edge:
        edge.files.list()
        with registered.session("ada") as admin:
            admin.applications.remove_oauth_client("viewer")
        began = time.monotonic()
        assert registered.hub.answer("GET", "/user", token=token).status_code == 403
        wait_for(lambda: _is_refused(edge), "the token of a removed client goes on")
        print(f"refused after {time.monotonic() - began:.1f} s")
    assert registered.authorize(registered.browser("bob")).status_code == 400


def test_a_hub_that_has_lost_its_database_logs_in_by_the_client_that_there_was(registered: Site) -> None:
    registered.hub.stop()
    (registered.folder / "hub" / "jupyterhub.sqlite").unlink()
    registered.hub.start()
    name = registered.client["client_id"].removeprefix("service-")
    wait_for(lambda: registered.hub.answer("GET", f"/services/{name}").status_code == 200, "it is not told again")
    page = registered.visit(registered.browser("bob")).text
    assert "Hello, bob" in page
    assert "of-the-lab.txt" in page
