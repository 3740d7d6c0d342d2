"""What `edge_hub.configure` adds to a hub's configuration."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest
from traitlets.config import Config

import edge_hub
from edge_core.errors import ConfigurationError
from edge_hub import configuration
from edge_server.identity import hub

ACCESS = "access:services!service=api"
TOKEN = "0123456789abcdef"


def configured(**options: Any) -> Config:
    c = Config()
    edge_hub.configure(c, **{"url": "http://edge.internal:8790", "api_token": TOKEN, **options})
    return c


def test_guide_server_and_call_name_the_same_scopes() -> None:
    guide = (Path(__file__).parents[3] / "docs" / "jupyterhub.md").read_text(encoding="utf-8")
    (listed,) = re.findall(r'"scopes": \[\n(.*?)\n\s*\]', guide, re.DOTALL)
    assert re.findall(r'"([a-z:]+)"', listed) == list(configuration.SERVICE_SCOPES) == list(hub.SERVICE_SCOPES)
    assert configuration.CLIENT_SCOPE == hub.CLIENT_SCOPE


def test_a_server_that_runs_elsewhere_is_a_service() -> None:
    c = configured(hub_url="https://hub.example.com")
    (service,) = c.JupyterHub.services
    assert service == {"name": "api", "url": "http://edge.internal:8790", "api_token": TOKEN, "display": False}
    assert c.JupyterHub.load_roles == [
        {"name": "user", "scopes": ["self", ACCESS, "access:services"]},
        {
            "name": "edge-api",
            "services": ["api"],
            "scopes": [
                *("list:groups", "read:groups", "read:users", "tokens"),
                *("list:users", "servers", "read:servers", "shares", "admin:services", ACCESS),
            ],
        },
    ]
    assert c.Spawner.server_token_scopes == ["users:activity!user", "access:servers!server", ACCESS]
    assert c.Spawner.environment["EDGE_API_SERVICE_URL"] == "https://hub.example.com/services/api"
    assert c.JupyterHub.allow_named_servers is True


def test_the_scopes_are_the_hubs_defaults_with_that_of_the_service() -> None:
    from jupyterhub.roles import get_default_roles

    scopes = {role["name"]: role["scopes"] for role in get_default_roles()}
    assert configured(external_apps=False).JupyterHub.load_roles[0]["scopes"] == [*scopes["user"], ACCESS]
    assert configured().Spawner.server_token_scopes == [*scopes["server"], ACCESS]
    c = Config()
    c.JupyterHub.load_roles = [{"name": "server", "scopes": ["users:activity!user"]}]
    edge_hub.configure(c, data="/srv/edge")
    assert c.Spawner.server_token_scopes == ["users:activity!user", ACCESS]


def test_what_is_set_already_stays() -> None:
    c = Config()
    c.JupyterHub.base_url = "/jupyter"
    c.JupyterHub.public_url = "https://example.com/jupyter/"
    c.JupyterHub.services = [{"name": "culler"}]
    c.JupyterHub.load_roles = [{"name": "user", "scopes": ["self", "shares!user"]}, {"name": "culler"}]
    c.Spawner.environment = {"LANG": "C.UTF-8"}
    c.Spawner.server_token_scopes = ["inherit"]
    edge_hub.configure(c, url="http://edge.internal:8790", api_token=TOKEN)
    assert [service["name"] for service in c.JupyterHub.services] == ["culler", "api"]
    assert c.JupyterHub.load_roles[0] == {"name": "user", "scopes": ["self", "shares!user", ACCESS]}
    assert [role["name"] for role in c.JupyterHub.load_roles] == ["user", "culler", "edge-api"]
    assert c.Spawner.environment["LANG"] == "C.UTF-8"
    assert c.Spawner.environment["EDGE_API_SERVICE_URL"] == "https://example.com/jupyter/services/api"
    assert c.Spawner.server_token_scopes == ["inherit", ACCESS]


def test_what_was_added_to_a_default_stays() -> None:
    c = Config()
    c.JupyterHub.services.append({"name": "culler"})
    c.Spawner.environment.update({"LANG": "C.UTF-8"})
    edge_hub.configure(c, url="http://edge.internal:8790", api_token=TOKEN)
    assert [service["name"] for service in c.JupyterHub.services] == ["culler", "api"]
    assert c.Spawner.environment["LANG"] == "C.UTF-8"


def test_a_server_that_the_hub_starts_answers_where_the_proxy_hands_on() -> None:
    c = Config()
    c.JupyterHub.base_url = "/jupyter/"
    edge_hub.configure(c, data="/srv/edge", port=8791, service="edge")
    (service,) = c.JupyterHub.services
    assert service["url"] == "http://127.0.0.1:8791"
    assert service["command"][1:] == [
        *("-m", "edge_server", "run", "--data", "/srv/edge", "--port", "8791"),
        *("--ends-with", str(os.getpid()), "--url-prefix"),
        "/jupyter/services/edge",
    ]
    assert service["environment"] == {"EDGE_SERVER_IDENTITY_KIND": "jupyterhub"}
    assert c.Spawner.environment["EDGE_API_SERVICE_URL"] == "http://127.0.0.1:8000/jupyter/services/edge"
    assert c.JupyterHub.load_roles[0]["scopes"] == ["self", "access:services!service=edge", "access:services"]
    assert c.JupyterHub.load_roles[1]["scopes"][-2:] == ["admin:services", "access:services!service=edge"]


def test_the_services_that_a_hub_has_already_are_opened_to_all_users_by_a_word_alone() -> None:
    for services, external_apps, opened in (
        ([], None, True),
        ([], False, False),
        ([{"name": "culler"}], None, False),
        ([{"name": "culler"}], True, True),
    ):
        c = Config()
        c.JupyterHub.services = services
        edge_hub.configure(c, data="/srv/edge", external_apps=external_apps)
        user, edge = c.JupyterHub.load_roles
        assert ("access:services" in user["scopes"]) is opened
        assert ("admin:services" in edge["scopes"]) is opened


class Group:
    def __init__(self, properties: dict[str, Any] | None) -> None:
        self.properties = properties


class Named:
    """A spawner, as far as its user's groups go."""

    def __init__(self, *properties: dict[str, Any] | None) -> None:
        self.user = self.orm_user = self
        self.groups = [Group(each) for each in properties]


@pytest.mark.parametrize(
    ("properties", "organization"),
    [
        ((), ""),
        (({"edge_organization": "lab"},), "lab"),
        (({"edge_organization": "lab"}, {}, None, {"edge_organization": "lab", "edge_roles": ["admin"]}), "lab"),
        (({"edge_organization": "lab"}, {"edge_organization": "plant"}), ""),
        (({"edge_organization": 7},), ""),
        (({"edge_organization": ["lab"]},), ""),
    ],
)
def test_a_server_works_in_the_only_organization_of_its_user(
    properties: tuple[dict[str, Any] | None, ...], organization: str
) -> None:
    organization_of = configured().Spawner.environment["EDGE_API_ORG"]
    assert organization_of(Named(*properties)) == organization
    assert configured(organization="plant").Spawner.environment["EDGE_API_ORG"] == "plant"


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"url": None, "api_token": None}, "give one of them"),
        ({"data": "/srv/edge"}, "give one of them"),
        ({"api_token": None}, "api_token= together with url="),
        ({"hub_url": "hub.example.com"}, "hub_url="),
        ({"hub_url": "http://0.0.0.0:8000"}, "hub_url="),
    ],
)
def test_arguments_that_do_not_fit_together_are_refused(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigurationError, match=sentence):
        configured(**options)


def test_what_cannot_be_added_to_is_refused() -> None:
    c = Config()
    c.JupyterHub.services = [{"name": "api"}]
    with pytest.raises(ConfigurationError, match="service 'api' already"):
        edge_hub.configure(c, data="/srv/edge")
    c = Config()
    c.Spawner.server_token_scopes = lambda spawner: ["inherit"]
    with pytest.raises(ConfigurationError, match="is a function"):
        edge_hub.configure(c, data="/srv/edge")
