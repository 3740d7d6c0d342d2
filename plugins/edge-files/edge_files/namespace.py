"""The attribute `files` of the session."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge_files.folder import Folder
from edge_files.store import OrganizationStore

if TYPE_CHECKING:
    from edge_core.session import EdgeSession

plugin_api = 1


def root_folder(session: EdgeSession) -> Folder:
    """Return the root folder of the organization's files.

    Args:
        session: the session whose organization is meant.
    """
    return Folder(OrganizationStore(session))
