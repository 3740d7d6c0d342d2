"""What the tests of compute share: an organization on a live server, and the people in it."""

from __future__ import annotations

import pytest

from edge_core.session import EdgeSession
from edge_server.testing.pytest_plugin import Join


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
