"""A store in memory, which keeps what was written."""

from __future__ import annotations

import hashlib
from typing import Any

from edge_core.errors import AlreadyExists, NotFound
from edge_vfs.source import Source

from .stores import Reader, Stat


class MemoryStore:
    """A `FileStore` of files without folders.

    Attributes:
        contents: bytes of each file by its path.
    """

    def __init__(self) -> None:
        self.contents: dict[str, bytes] = {}

    def stat(self, path: str, /) -> Stat:
        if path not in self.contents:
            raise NotFound(f"{path} does not exist")
        content = self.contents[path]
        return Stat(path.rpartition("/")[2], len(content), hashlib.sha256(content).hexdigest())

    def reader(self, path: str, stat: Any, /) -> Reader:
        return Reader(self.contents[path], None)

    def write(self, path: str, source: Source, /, *, overwrite: bool, max_workers: int, resume: bool) -> None:
        if path in self.contents and not overwrite:
            raise AlreadyExists(f"{path} exists")
        self.contents[path] = b"".join(part.read() for part in source.parts(1 << 20))

    def progress(self, *_: Any, **__: Any) -> None:
        pass
