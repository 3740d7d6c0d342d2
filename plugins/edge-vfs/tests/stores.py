"""A store whose connections break, lie and count."""

from __future__ import annotations

import datetime as dt
import io
from typing import Any, NamedTuple

from edge_core.errors import ConnectionFailed, NotFound


class Stat(NamedTuple):
    name: str
    size: int | None
    sha256: str | None
    kind: str = "file"
    version: str | None = "v1"
    modified_at: dt.datetime = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    digest: str | None = None
    part_size: int | None = None


class Stream:
    def __init__(self, content: bytes, breaks_after: int | None, reader: Reader) -> None:
        self._inner = io.BytesIO(content)
        self._left = breaks_after
        self._reader = reader

    def read(self, size: int, /) -> bytes:
        if self._left is not None:
            if self._left == 0:
                raise ConnectionFailed("the answer broke off")
            size = min(size, self._left)
            self._left -= size
        chunk = self._inner.read(size)
        self._reader.sent += len(chunk)
        return chunk

    def close(self) -> None:
        pass


class Reader:
    """Counts its requests and the bytes that it sends; each stream breaks after `breaks_after` bytes."""

    def __init__(self, content: bytes, breaks_after: int | None) -> None:
        self._content = content
        self._breaks_after = breaks_after
        self.ranges: list[tuple[int, int]] = []
        self.sent = 0

    @property
    def starts(self) -> list[int]:
        return [start for start, _ in self.ranges]

    def open(self, start: int, stop: int, /) -> Stream:
        self.ranges.append((start, stop))
        return Stream(self._content[start:stop], self._breaks_after, self)

    def url(self, expires_in: int, /) -> str:
        return f"https://store.example.com/k?expires_in={expires_in}"


class Store:
    def __init__(self, content: bytes, breaks_after: int | None = None) -> None:
        self.content_reader = Reader(content, breaks_after)

    def reader(self, path: str, stat: Any, /) -> Reader:
        return self.content_reader

    def progress(self, *_: Any, **__: Any) -> None:
        pass


class Tree(Store):
    """A tree of files in memory, by their paths; `requests` counts what it is asked for."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files
        self.readers: dict[str, Reader] = {}
        self.listings = 0

    @property
    def requests(self) -> int:
        """Number of listings and of ranges that were requested."""
        return self.listings + sum(len(reader.ranges) for reader in self.readers.values())

    def stat(self, path: str, /) -> Stat:
        name = path.rpartition("/")[2]
        if path in self.files:
            return Stat(name, len(self.files[path]), None)
        if not path or any(other.startswith(f"{path}/") for other in self.files):
            return Stat(name, None, None, "folder")
        raise NotFound(f"there is no {path}")

    def children(self, path: str, /, kind: str | None = None) -> list[Stat]:
        self.listings += 1
        below = f"{path}/" if path else ""
        names = dict.fromkeys(
            other.removeprefix(below).partition("/")[0] for other in sorted(self.files) if other.startswith(below)
        )
        return [self.stat(below + name) for name in names]

    def reader(self, path: str, stat: Any, /) -> Reader:
        return self.readers.setdefault(path, Reader(self.files[path], None))
