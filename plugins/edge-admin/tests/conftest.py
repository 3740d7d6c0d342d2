"""What the tests of administration share: people, each with a session of their own."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator

import pytest

from edge_admin.organization import Organization
from edge_core.session import EdgeSession
from edge_server.testing.local_server import EdgeServer
from edge_tokens.login import accept_invitation

Person = Callable[..., EdgeSession]


@pytest.fixture
def open_session(edge_server: EdgeServer) -> Iterator[Callable[[str, str], EdgeSession]]:
    """A session with some token in some organization."""
    opened: list[EdgeSession] = []

    def make(token: str, organization: str) -> EdgeSession:
        opened.append(EdgeSession(token, edge_server.url, organization))
        return opened[-1]

    yield make
    for session in opened:
        session.close()


@pytest.fixture
def root(edge_server: EdgeServer, open_session: Callable[[str, str], EdgeSession]) -> EdgeSession:
    """The session of the first server admin."""
    return open_session(edge_server.create_token("admin"), "default")


@pytest.fixture
def lab(root: EdgeSession) -> str:
    """A fresh organization without members."""
    return root.admin.add_organization(Organization(name=f"lab-{secrets.token_hex(4)}", title="The lab")).name


@pytest.fixture
def person(root: EdgeSession, edge_server: EdgeServer, open_session: Callable[[str, str], EdgeSession]) -> Person:
    """Someone who has come by an invitation."""

    def make(organization: str, *roles: str, by: EdgeSession | None = None) -> EdgeSession:
        name = f"person-{secrets.token_hex(4)}"
        code = (by or root).admin.invite_to_organization(name, roles=roles, organization_name=organization)
        accepted = accept_invitation(edge_server.url, code)
        assert accepted.token is not None
        return open_session(accepted.token, organization)

    return make
