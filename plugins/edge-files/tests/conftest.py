"""What the tests of files share."""

from __future__ import annotations

import pytest

import edge_files.folder
from edge_core.session import EdgeSession


@pytest.fixture
def files(edge_session: EdgeSession) -> edge_files.folder.Folder:
    """The root folder of a fresh organization on a live server."""
    return edge_session.files
