"""`File`: a file of the organization."""

from __future__ import annotations

import edge_vfs


class File(edge_vfs.File):
    """A file of the organization, opened for reading."""
