"""`Folder`: a folder of the organization."""

from __future__ import annotations

import edge_vfs
from edge_files.file import File


class Folder(edge_vfs.Folder[File]):
    """A folder of the organization: `EdgeSession.files` and every folder below it.

    Every user of the organization can reach its files; nobody outside can.
    """

    _file_class = File
    _normalizes_names = True
