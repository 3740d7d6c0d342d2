"""What the tests of applications share: an organization on a live server, and the people in it."""

from __future__ import annotations

import pytest
from click.testing import CliRunner, Result

from edge_applications.cli import app
from edge_core.session import EdgeSession
from edge_server.testing.pytest_plugin import Join

from .commands import Run


@pytest.fixture
def member(edge_join: Join) -> EdgeSession:
    """A plain member."""
    return edge_join()


@pytest.fixture
def developer(edge_join: Join) -> EdgeSession:
    """A developer of the organization."""
    return edge_join("developer")


@pytest.fixture
def admin(edge_join: Join) -> EdgeSession:
    """An admin of the organization."""
    return edge_join("admin")


@pytest.fixture
def run(developer: EdgeSession) -> Run:
    """Calls `edge app` as the developer, or as who is named."""

    def call(*arguments: str, by: EdgeSession = developer) -> Result:
        settings = by.config

        def open_session() -> EdgeSession:
            return EdgeSession(
                api_token=settings.api_token, service_url=settings.service_url, organization=settings.organization
            )

        return CliRunner().invoke(app, arguments, obj=open_session)

    return call
