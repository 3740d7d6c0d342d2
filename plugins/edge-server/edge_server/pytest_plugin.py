"""Fixtures for whoever tests against an Edge server: the real one, on a free port.

pytest loads this in every run of an environment it is installed in, so nothing is imported before a
fixture is used.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from edge_core.session import EdgeSession
    from edge_server.local import EdgeServer


@pytest.fixture(scope="session")
def edge_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EdgeServer]:
    """A running Edge server, the same one for all tests."""
    from edge_server.local import EdgeServer

    server = EdgeServer(tmp_path_factory.mktemp("edge-server") / "data")
    try:
        server.start()
        yield server
    finally:
        server.close()


@pytest.fixture
def edge_session(edge_server: EdgeServer) -> Iterator[EdgeSession]:
    """An `EdgeSession` of a fresh user, who is admin and developer of a fresh organization."""
    from edge_core.session import EdgeSession

    organization = edge_server.create_organization()
    user = edge_server.create_user(organization=organization, roles=("admin", "developer"))
    token = edge_server.create_token(user, note="edge_session")
    with EdgeSession(api_token=token, service_url=edge_server.url, organization=organization) as session:
        yield session
