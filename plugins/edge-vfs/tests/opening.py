"""Opens content under a name, as a folder does, without a server."""

from __future__ import annotations

import hashlib
from typing import Any

from edge_vfs.folder import Folder

from .stores import Stat, Store


class SingleFile(Store):
    """A store that gives `content` under every name."""

    def __init__(self, content: bytes, breaks_after: int | None = None) -> None:
        super().__init__(content, breaks_after)
        self._size, self._sha256 = len(content), hashlib.sha256(content).hexdigest()

    def stat(self, path: str, /) -> Stat:
        return Stat(path.rpartition("/")[2], self._size, self._sha256)


def opened(name: str, content: bytes | str, open_with: str | None = None, **options: Any) -> Any:
    """What `Folder.open` returns for a file with this name and content; texts are encoded as UTF-8."""
    payload = content.encode() if isinstance(content, str) else content
    store: Any = SingleFile(payload)
    return Folder(store).open(name, open_with, **options)
