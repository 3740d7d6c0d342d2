"""What the tests of compute share: an organization on a live server, and the people in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from edge_core.session import EdgeSession
from edge_server.local import EdgeServer

Join = Callable[..., EdgeSession]


@pytest.fixture
def organization(edge_server: EdgeServer) -> str:
    """A fresh organization."""
    return edge_server.create_organization()


@pytest.fixture
def join(edge_server: EdgeServer, organization: str) -> Iterator[Join]:
    """Makes sessions of fresh users in the organization, with the roles that are named."""
    sessions: list[EdgeSession] = []

    def make(*roles: str, organization: str = organization) -> EdgeSession:
        user = edge_server.create_user(organization=organization, roles=roles)
        token = edge_server.create_token(user)
        session = EdgeSession(api_token=token, service_url=edge_server.url, organization=organization)
        sessions.append(session)
        return session

    yield make
    for session in sessions:
        session.close()


@pytest.fixture
def member(join: Join) -> EdgeSession:
    """A plain member."""
    return join()


@pytest.fixture
def developer(join: Join) -> EdgeSession:
    """A developer of the organization."""
    return join("developer")


@pytest.fixture
def admin(join: Join) -> EdgeSession:
    """An admin of the organization."""
    return join("admin")
