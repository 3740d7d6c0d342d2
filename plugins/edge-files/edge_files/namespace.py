"""What hangs on the session as `files`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge_files.folder import Folder
from edge_files.store import OrganizationStore

if TYPE_CHECKING:
    from edge_core.session import EdgeSession

plugin_api = 1


def root_folder(session: EdgeSession) -> Folder:
    """The root of the organization's files."""
    return Folder(OrganizationStore(session))
