"""Fixtures for whoever tests against an Edge server: the real one, on a free port.

pytest loads this in every run of an environment it is installed in, so nothing is imported before a
fixture is used.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

import pytest

if TYPE_CHECKING:
    from edge_core.session import EdgeSession
    from edge_server.testing.local_server import EdgeServer


@pytest.fixture(scope="session")
def edge_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EdgeServer]:
    """A running Edge server, the same one for all tests."""
    from edge_server.base import configuration
    from edge_server.testing.local_server import EdgeServer

    server = EdgeServer(tmp_path_factory.mktemp("edge-server") / "data")
    server.data.mkdir(mode=0o700)
    # All tests come from one address, and some of them try token after token.
    (server.data / configuration.FILE_NAME).write_text('[limits]\nfailures = "1000 per second"\n')
    try:
        server.start()
        yield server
    finally:
        server.close()


class Join(Protocol):
    """What `edge_join` is."""

    def __call__(
        self,
        *roles: str,
        user: str | None = None,
        organization: str | None = None,
        server_admin: bool = False,
    ) -> EdgeSession:
        """A session of somebody in an organization.

        Args:
            *roles: of a fresh user: "admin", "developer", both or neither.
            user: name of a user there is; a fresh one by default.
            organization: short name of one there is; the test's own by default.
            server_admin: whether a fresh user runs the server.
        """


@pytest.fixture
def edge_organization(edge_server: EdgeServer) -> str:
    """Short name of a fresh organization, the test's own."""
    return edge_server.create_organization()


@pytest.fixture
def edge_join(edge_server: EdgeServer, edge_organization: str) -> Iterator[Join]:
    """Makes sessions of people in the test's own organization, such as ``edge_join("developer")``."""
    with contextlib.ExitStack() as opened:

        def join(
            *roles: str,
            user: str | None = None,
            organization: str | None = None,
            server_admin: bool = False,
        ) -> EdgeSession:
            where = organization or edge_organization
            if user is None:
                user = edge_server.create_user(organization=where, roles=roles, server_admin=server_admin)
            return opened.enter_context(_session(edge_server, user, where, "edge_join"))

        yield join


@pytest.fixture
def edge_session(edge_server: EdgeServer, edge_organization: str) -> Iterator[EdgeSession]:
    """An `EdgeSession` of a fresh user, who is admin and developer of the test's own organization."""
    user = edge_server.create_user(organization=edge_organization, roles=("admin", "developer"))
    with _session(edge_server, user, edge_organization, "edge_session") as session:
        yield session


def _session(server: EdgeServer, user: str, organization: str, note: str) -> EdgeSession:
    from edge_core.session import EdgeSession

    return EdgeSession(server.create_token(user, note=note), server.url, organization)
