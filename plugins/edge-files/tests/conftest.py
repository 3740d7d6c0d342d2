"""What the tests of files share."""

from __future__ import annotations

import pytest

import edge_files.folder
from edge_core.session import EdgeSession


@pytest.fixture
def files(edge_session: EdgeSession) -> edge_files.folder.Folder:
    """The root folder of a fresh organization on a live server."""
    return edge_session.files


@pytest.fixture
def environment(edge_session: EdgeSession, monkeypatch: pytest.MonkeyPatch) -> EdgeSession:
    """The session of the environment's settings, as a user of a notebook has it."""
    settings = edge_session.config
    monkeypatch.setenv("EDGE_API_TOKEN", settings.api_token)
    monkeypatch.setenv("EDGE_API_SERVICE_URL", settings.service_url)
    monkeypatch.setenv("EDGE_API_ORG", settings.organization)
    return edge_session
