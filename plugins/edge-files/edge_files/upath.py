"""`EdgePath`: ``UPath("edge://runs/plate-7.csv")`` of universal-pathlib."""

from __future__ import annotations

import fsspec
from upath import UPath

# universal-pathlib asks the file system's class how its paths are joined, and warns of one that is not imported.
fsspec.get_filesystem_class("edge")


class EdgePath(UPath):
    """A path in the organization's files, with the methods of `pathlib.Path`; made by ``UPath("edge://...")``."""

    __slots__ = ()
