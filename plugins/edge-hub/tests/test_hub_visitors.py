"""Applications behind the app proxy that a real hub has started: who gets in, and what nobody can make them believe."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import aiohttp
import pytest
import requests
from aiohttp import web

from edge_core.errors import ConfigurationError
from edge_hub.app_proxy import activity, hub_environment
from edge_hub.app_proxy.hub_visitors import HubVisitors
from edge_hub.app_proxy.proxy import AppProxy
from edge_hub.app_proxy.visitors import Visitor
from tests.hub_browser import Browser, keep_ports
from tests.hubs import RealHub
from tests.waiting import PATIENCE, wait_for

APP = Path(__file__).with_name("visited_app.py")

CONFIGURATION = """
c.JupyterHub.allow_named_servers = True
c.Spawner.start_timeout = c.Spawner.http_timeout = 300  # of a machine that does much else
c.Spawner.cmd = [{python!r}, "-P", "-m", "edge_hub.app_proxy", "--app", "127.0.0.1:0", "--", {python!r}, {app!r}]
c.Spawner.environment = {{"EDGE_APP_IDENTITY": "hub"}}
c.SimpleLocalProcessSpawner.home_dir_template = {home!r}
c.JupyterHub.load_roles.append({{"name": "user", "scopes": ["self", "shares!user"]}})
"""

VIZ = "/user/ada/viz"


class Site:
    """A hub where ada has an application."""

    def __init__(self, folder: Path) -> None:
        (folder / "hub").mkdir()
        self.ports = folder / "ports"
        self.ports.mkdir()
        text = CONFIGURATION.format(python=sys.executable, app=str(APP), home=str(folder / "home" / "{username}"))
        self.hub = RealHub(folder / "hub", text + keep_ports(self.ports), by_hand=False)

    def browser(self, name: str | None = None) -> Browser:
        """A browser of somebody who has logged in at the hub; None: of nobody."""
        browser = Browser(self.hub, self.ports)
        if name is not None:
            browser.log_in(name)
        return browser


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    site = Site(tmp_path_factory.mktemp("site"))
    site.hub.start()
    try:
        for name in ("ada", "bob"):
            site.hub.add_user(name)
        site.hub.call("POST", "/users/ada/servers/viz", {})
        wait_for(lambda: server(site.hub)["ready"], site.hub.log)
        yield site
    finally:
        site.hub.answer("DELETE", "/users/ada/servers/viz")
        site.hub.stop()


def server(hub: RealHub) -> dict[str, Any]:
    """What the hub says of the application."""
    model: dict[str, Any] = hub.call("GET", "/users/ada")["servers"]["viz"]
    return model


def login(answer: requests.Response) -> dict[str, str]:
    """The query with which a browser is sent to the hub."""
    target = urlsplit(answer.headers["Location"])
    assert (answer.status_code, target.path) == (302, "/hub/api/oauth2/authorize")
    return {name: values[0] for name, values in parse_qs(target.query).items()}


@pytest.mark.slow
def test_a_visitor_logs_in_at_the_hub_and_the_application_knows_them(site: Site) -> None:
    browser = site.browser("ada")

    got = browser.open(f"{VIZ}/a%2Fb?c=1").json()

    assert got["path"] == "/a%2Fb?c=1"
    assert got["headers"]["X-Forwarded-User"] == "ada"
    assert got["headers"]["X-Forwarded-Display-Name"] == "ada"
    assert got["headers"]["X-Forwarded-Groups"] == "", "as no Edge server says of which"
    assert got["headers"]["X-Forwarded-Prefix"] == VIZ
    assert "X-Forwarded-For" not in got["headers"], "which would be the hub's proxy"
    assert got["cookies"] == {}
    assert browser.send("GET", VIZ).headers["Location"] == f"{VIZ}/"


@pytest.mark.slow
def test_cookies_of_a_login_are_for_this_application_and_no_script(site: Site) -> None:
    browser = site.browser("ada")
    state = browser.send("GET", f"{VIZ}/").headers["Set-Cookie"]
    callback = browser.send("GET", browser.send("GET", f"{VIZ}/").headers["Location"]).headers["Location"]
    token = browser.send("GET", callback).headers["Set-Cookie"]

    for cookie in (state, token):
        assert cookie.startswith("jupyterhub-user-ada-viz")
        assert {"HttpOnly", f"Path={VIZ}/", "SameSite=Lax"} <= set(cookie.split("; "))
        assert "Secure" not in cookie
    # Behind a proxy with TLS, as the hub's proxy tells.
    secure = browser.send("GET", f"{VIZ}/", {"Cookie": "", "X-Forwarded-Proto": "https,http"}).headers["Set-Cookie"]
    assert "; Secure" in secure


@pytest.mark.slow
def test_an_application_gets_what_it_needs_of_the_hubs_variables_and_no_more(site: Site) -> None:
    variables = site.browser("ada").open(f"{VIZ}/").json()["variables"]

    assert {"JUPYTERHUB_API_TOKEN", "JUPYTERHUB_API_URL", "JUPYTERHUB_SERVICE_PREFIX", "JUPYTERHUB_USER"} <= set(
        variables
    )
    assert variables["JUPYTERHUB_SERVICE_PREFIX"] == f"{VIZ}/"
    assert not [name for name in variables if re.search(r"OAUTH|CLIENT|COOKIE|SSL|JPY|SERVICE_URL|IDENTITY", name)]


@pytest.mark.slow
def test_what_a_visitor_sends_of_an_identity_is_dropped(site: Site) -> None:
    forged = {"X-Forwarded-User": "mallory", "x_forwarded_groups": "lab:admin", "X-Script-Name": "/mallory"}
    forged["Cookie"] = "__Host-jupyterhub-user-ada-viz=mallory; theme=dark"
    browser = site.browser("ada")
    browser.open(f"{VIZ}/")
    kept = "; ".join(f"{cookie.name}={cookie.value}" for cookie in browser.http.cookies if cookie.path == f"{VIZ}/")

    got = browser.open(f"{VIZ}/", {**forged, "Cookie": f"{forged['Cookie']}; {kept}"}).json()

    assert "mallory" not in str(got)
    assert got["cookies"] == {"theme": "dark"}
    assert got["headers"]["X-Forwarded-Groups"] == ""


@pytest.mark.slow
def test_a_cookie_that_the_proxy_has_not_signed_is_no_login(site: Site) -> None:
    browser = site.browser("ada")
    browser.open(f"{VIZ}/")
    (name, value), *_ = [(c.name, c.value or "") for c in browser.http.cookies if c.path == f"{VIZ}/"]
    token = site.hub.token("ada")
    for forged in (
        token,
        f"2|1:0|10:9999999999|{len(name)}:{name}|{len(token)}:{token}|{'0' * 64}",
        f"{value[:-1]}x",
        "",
    ):
        answer = site.browser().send("GET", f"{VIZ}/", {"Cookie": f"{name}={forged}"})
        assert login(answer)["client_id"] == name
    assert site.browser().send("GET", f"{VIZ}/", {"Cookie": f"{name}={value}"}).status_code == 200
    # Nor is a token, which the application would see.
    bearer = {"Authorization": f"token {token}", "Accept": "*/*", "Sec-Fetch-Mode": "cors"}
    assert site.browser().send("GET", f"{VIZ}/?token={token}", bearer).status_code == 403


@pytest.mark.slow
def test_a_login_ends_only_where_it_was_begun_and_once(site: Site) -> None:
    ada, mallory = site.browser("ada"), site.browser("bob")
    callback = ada.send("GET", ada.send("GET", f"{VIZ}/").headers["Location"]).headers["Location"]
    path = urlsplit(callback).path
    query = {name: values[0] for name, values in parse_qs(urlsplit(callback).query).items()}

    assert mallory.send("GET", callback).status_code == 403
    for forged in ({**query, "state": "x"}, {"code": query["code"]}, {"state": query["state"]}, {}):
        assert ada.send("GET", path, params=forged).status_code == 403, forged
    wrong = ada.send("GET", path, params={**query, "code": "x"})
    assert (wrong.status_code, "does not know this login" in wrong.text) == (403, True)
    right = ada.send("GET", callback)
    assert (right.status_code, right.headers["Location"]) == (302, f"{VIZ}/")
    assert ada.send("GET", callback).status_code == 403


@pytest.mark.slow
def test_another_user_is_let_in_by_a_share_alone_and_out_when_it_is_taken_back(site: Site) -> None:
    bob = site.browser("bob")
    refused = bob.open(f"{VIZ}/")
    assert refused.status_code == 403
    assert "X-Forwarded-User" not in refused.text

    site.hub.call("POST", "/shares/ada/viz", {"user": "bob"})
    got = bob.visit_shared(f"{VIZ}/").json()
    assert got["headers"]["X-Forwarded-User"] == "bob"
    assert got["headers"]["X-Forwarded-Display-Name"] == "bob"
    assert got["headers"]["X-Forwarded-Groups"] == "", "of which nobody has told"

    site.hub.answer("PATCH", "/shares/ada/viz", {"user": "bob"}).raise_for_status()
    wait_for(lambda: bob.send("GET", f"{VIZ}/").status_code == 403)


@pytest.mark.slow
def test_a_logout_at_the_hub_ends_the_login_here(site: Site) -> None:
    browser = site.browser("ada")
    assert browser.open(f"{VIZ}/").status_code == 200
    browser.open("/hub/logout")

    assert login(browser.send("GET", f"{VIZ}/"))


@pytest.mark.slow
def test_redirects_and_cookies_of_the_application_stay_below_its_address(site: Site) -> None:
    browser = site.browser("ada")
    browser.open(f"{VIZ}/")
    host = urlsplit(browser.origin(f"{VIZ}/")).netloc

    for target, sent in {
        "/there?x=1": f"{VIZ}/there?x=1",
        f"http://{host}/there": f"http://{host}{VIZ}/there",
        f"https://{host}/there": f"http://{host}{VIZ}/there",
        f"{VIZ}/there": f"{VIZ}/there",
        "there": "there",
        "https://example.org/": "https://example.org/",
    }.items():
        answer = browser.send("GET", f"{VIZ}/redirect", params={"to": target})
        assert answer.headers["Location"] == sent
    assert browser.send("GET", f"{VIZ}/cookies").headers["Set-Cookie"] == f"theme=dark; Path={VIZ}/"
    assert browser.open(f"{VIZ}/").json()["cookies"] == {"theme": "dark"}


@pytest.mark.slow
def test_what_the_application_has_at_the_hub_is_its_own_server_alone(site: Site) -> None:
    token = site.browser("ada").open(f"{VIZ}/token").text

    assert site.hub.call("GET", "/user", token=token)["name"] == "ada"
    for method, path in (
        ("GET", "/users"),
        ("GET", "/users/bob"),
        ("POST", "/users/ada/tokens"),
        ("GET", "/users/ada/tokens"),
        ("POST", "/users/ada/servers/other"),
        ("DELETE", "/users/ada/servers/viz"),
        ("POST", "/shares/ada/viz"),
        ("POST", "/users/bob/activity"),
    ):
        assert site.hub.answer(method, path, {}, token=token).status_code in (403, 404), path


@pytest.mark.slow
def test_a_websocket_is_for_visitors(site: Site) -> None:
    browser = site.browser("ada")
    browser.open(f"{VIZ}/")
    origin = browser.origin(f"{VIZ}/")
    cookies = {c.name: c.value or "" for c in browser.http.cookies if c.path == f"{VIZ}/"}

    async def scenario() -> None:
        async with aiohttp.ClientSession() as client:
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await client.ws_connect(f"{origin}{VIZ}/talk")
            assert refused.value.status == 403
            headers = {"Cookie": "; ".join(f"{name}={value}" for name, value in cookies.items())}
            async with client.ws_connect(f"{origin}{VIZ}/talk", headers=headers) as connection:
                await connection.send_str("hello")
                assert await connection.receive_str() == "ada: hello"

    asyncio.run(scenario())


@pytest.mark.slow
def test_visits_are_reported_to_the_hub(site: Site) -> None:
    wait_for(lambda: "200 POST /hub/api/users/ada/activity" in site.hub.log, "no report")
    assert "has not taken a report" not in site.hub.log


@pytest.mark.slow
def test_no_token_is_in_a_log(site: Site) -> None:
    browser = site.browser("ada")
    token = browser.open(f"{VIZ}/token").text
    assert token
    assert token not in site.hub.log
    assert not re.search(r"2\|1:0\|10:", site.hub.log)


HUB = {
    "JUPYTERHUB_API_TOKEN": "secret",
    "JUPYTERHUB_API_URL": "http://127.0.0.1:1/hub/api",
    "JUPYTERHUB_CLIENT_ID": "jupyterhub-user-ada-viz",
    "JUPYTERHUB_OAUTH_ACCESS_SCOPES": json.dumps(["access:servers!server=ada/viz"]),
    "JUPYTERHUB_SERVICE_PREFIX": f"{VIZ}/",
    "JUPYTERHUB_SERVICE_URL": f"http://127.0.0.1:4001{VIZ}/",
}


async def name_alone(user_name: str, *, is_let_in: bool) -> Visitor | None:
    return Visitor(user_name, user_name) if is_let_in else None


@pytest.mark.parametrize("name", [name for name in HUB if name != "JUPYTERHUB_SERVICE_URL"])
def test_a_variable_that_the_hub_does_not_set_is_named(name: str) -> None:
    with pytest.raises(ConfigurationError, match=name):
        HubVisitors({**HUB, name: ""}, name_alone)


def test_without_a_scope_of_the_hub_nobody_gets_in() -> None:
    with pytest.raises(ConfigurationError, match="names no scope"):
        HubVisitors({**HUB, "JUPYTERHUB_OAUTH_ACCESS_SCOPES": "[]"}, name_alone)


def test_the_proxy_listens_where_the_hub_says() -> None:
    assert hub_environment.listening_address(HUB) == ("127.0.0.1", 4001)
    assert hub_environment.listening_address({"JUPYTERHUB_SERVICE_URL": "http://:8888/"}) == ("0.0.0.0", 8888)
    with pytest.raises(ConfigurationError, match="internal_ssl"):
        hub_environment.listening_address({"JUPYTERHUB_SERVICE_URL": "https://127.0.0.1:8888/"})
    with pytest.raises(ConfigurationError, match="SERVICE_URL"):
        hub_environment.listening_address({})


def test_while_the_hub_is_away_nobody_is_let_in_and_a_sentence_says_why() -> None:
    async def run() -> None:
        async with HubVisitors(HUB, name_alone) as visitors:
            proxy = AppProxy(("127.0.0.1", 1), visitors, hosts=None, prefix=visitors.prefix, scheme=visitors.scheme)
            async with proxy.serving("127.0.0.1", 0) as address, aiohttp.ClientSession() as client:
                page = {"Accept": "text/html"}
                async with client.get(f"{address}{VIZ}/", headers=page, allow_redirects=False) as sent:
                    (state,) = parse_qs(urlsplit(sent.headers["Location"]).query)["state"]
                # The cookie jar keeps none of an address without a name.
                headers = {**page, "Cookie": sent.headers["Set-Cookie"].split(";")[0]}
                query = {"state": state, "code": "any"}
                async with client.get(f"{address}{VIZ}/oauth_callback", params=query, headers=headers) as answer:
                    assert answer.status == 503
                    assert answer.headers["Retry-After"] == "5"
                    assert "The hub does not answer" in await answer.text()

    asyncio.run(run())


def test_the_start_is_reported_and_then_each_visit_that_is_new(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(activity, "INTERVAL", 0.001)
    reports: list[dict[str, Any]] = []
    visits: list[float | None] = [None]
    failures: list[str] = []

    async def take(request: web.BaseRequest) -> web.Response:
        assert request.headers["Authorization"] == "token secret"
        reports.append(await request.json())
        # The first is not taken.
        return web.Response(status=200 if len(reports) > 1 else 500)

    async def reported(count: int) -> None:
        async with asyncio.timeout(PATIENCE):
            while len(reports) < count:
                await asyncio.sleep(0.001)

    async def run() -> None:
        runner = web.ServerRunner(web.Server(take))
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        port = runner.addresses[0][1]
        url = f"http://127.0.0.1:{port}/hub/api/users/ada/activity"
        variables = {**HUB, "JUPYTERHUB_ACTIVITY_URL": url, "JUPYTERHUB_SERVER_NAME": "viz"}
        reporting = asyncio.create_task(activity.report(variables, lambda: visits[0], failures.append))
        await reported(2)
        visits[0] = 4000000000.0
        await reported(3)
        reporting.cancel()
        await asyncio.gather(reporting, return_exceptions=True)
        await runner.cleanup()

    asyncio.run(run())
    assert failures == ["The hub has not taken a report of activity (status 500); it is tried again."]
    assert reports[0] == reports[1], "as it was not taken"
    assert reports[2] == {
        "servers": {"viz": {"last_activity": "2096-10-02T07:06:40Z"}},
        "last_activity": "2096-10-02T07:06:40Z",
    }
