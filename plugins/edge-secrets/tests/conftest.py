"""What the tests of secrets share: an organization on a live server, and the people in it."""

from __future__ import annotations

import pytest

from edge_core.session import EdgeSession
from edge_server.testing.pytest_plugin import Join


@pytest.fixture
def ada(edge_join: Join) -> EdgeSession:
    """A plain member."""
    return edge_join()


@pytest.fixture
def admin(edge_join: Join) -> EdgeSession:
    """An admin of the organization."""
    return edge_join("admin")
