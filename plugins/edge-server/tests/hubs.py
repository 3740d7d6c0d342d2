"""Servers of the tests whose users are those of a real JupyterHub."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from edge_server.base import configuration
from edge_server.testing.local_server import EdgeServer
from tests.hubs import RealHub
from tests.waiting import wait_for

from .wire import Api, client


class Patient(Api):
    """A client that comes again while the hub does not answer in time, as ours does: the machine may do much else."""

    def call(self, method: str, path: str, **options: Any) -> requests.Response:
        answers: list[requests.Response] = []

        def is_known() -> bool:
            answers.append(super(Patient, self).call(method, path, **options))
            return "identity_unavailable" not in answers[-1].text[:1000]

        wait_for(is_known, "the hub does not answer")
        return answers[-1]


def patient(api: Api) -> Api:
    """A client as another, which is patient."""
    return Patient(api.url, api.token, api.organization, api.http)


class HubSite:
    """An Edge server whose users are those of a hub.

    Args:
        hub: the hub.
        data: an empty folder.
        further: lines in the section [identity].
        api_url: where the server reaches the hub's API, if not at the hub itself.
    """

    def __init__(self, hub: RealHub, data: Path, further: str = "", api_url: str | None = None) -> None:
        self.hub = hub
        self.server = EdgeServer(data)
        data.mkdir(mode=0o700)
        settings = {"kind": "jupyterhub", "api_url": api_url or hub.api_url, "api_token": hub.edge_token}
        lines = [f"{name} = {json.dumps(value)}" for name, value in settings.items()]
        path = data / configuration.FILE_NAME
        path.touch(0o600)
        limits = '[limits]\nfailures = "1000 per second"\n'
        path.write_text("\n".join(["[identity]", *lines, further, limits]))

    def client(self, token: str, organization: str = "none") -> Api:
        """A token's view of an organization."""
        return patient(client(self.server, token, organization))

    def join(self, *roles: str, organization: str | None = None, admin: bool = False) -> tuple[str, Api]:
        """The name of a new user, and their view of an organization, by default a fresh one, of which they are a member
        by a group of the hub."""
        name = self.hub.add_user(admin=admin)
        organization = organization or f"org-{secrets.token_hex(4)}"
        properties = {"edge_organization": organization, "edge_roles": list(roles)}
        self.hub.group(f"{organization}-{'-'.join(roles) or 'member'}-{name}", name, properties=properties)
        return name, self.client(self.hub.token(name), organization)


@pytest.fixture(scope="session")
def real_hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealHub]:
    """A hub, the same one for all tests."""
    hub = RealHub(tmp_path_factory.mktemp("hub"))
    try:
        hub.start()
        yield hub
    finally:
        hub.stop()


@pytest.fixture(scope="session")
def hub_site(real_hub: RealHub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubSite]:
    """A server whose users are those of the hub, the same one for all tests."""
    site = HubSite(real_hub, tmp_path_factory.mktemp("at-hub") / "data")
    try:
        site.server.start()
        yield site
    finally:
        site.server.close()
