"""What a store of files must be able to do; `Folder` and `File` do the rest.

Paths are relative to the store's root, segments joined by ``/``; the root's own path is empty.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import Protocol

from edge_vfs.source import Source


class Stat(Protocol):
    """What a store knows of one entry.

    Attributes:
        name: basename.
        kind: ``"file"`` or ``"folder"``.
        modified_at: UTC.
        size: bytes; None for a folder.
        sha256: hexadecimal SHA-256 of a file's content, or None if the store does not know it.
        version: id of the content's version, or None if the store keeps none.
    """

    @property
    def name(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def modified_at(self) -> dt.datetime: ...
    @property
    def size(self) -> int | None: ...
    @property
    def sha256(self) -> str | None: ...
    @property
    def version(self) -> str | None: ...


class Stream(Protocol):
    """Bytes on their way."""

    def read(self, size: int, /) -> bytes:
        """Exactly `size` bytes; fewer only at the end, none after it."""
        ...

    def close(self) -> None: ...


class Reader(Protocol):
    """The content of one version of one file.

    However often it is opened, it gives the version its `Stat` tells of and never bytes of another;
    where that version is gone it raises `NotFound` or `Conflict`, with a sentence that says so.
    """

    def open(self, start: int, stop: int, /) -> Stream:
        """The content from byte `start` up to, and without, byte `stop`: one request.

        Both lie within the content, and `start` is before `stop`. The answer is read to its end
        where possible, so that its connection can be used again.
        """
        ...

    def url(self, expires_in: int, /) -> str:
        """An absolute address that gives the content without a token, for `expires_in` seconds."""
        ...


class FileStore(Protocol):
    """A tree of files and folders.

    Every method raises `NotFound` where there is no such entry, `AlreadyExists` where a name is
    taken, and `BadEntry` where a path is not valid.
    """

    def stat(self, path: str, /) -> Stat: ...
    def children(self, path: str, /, kind: str | None = None) -> Iterable[Stat]: ...
    def reader(self, path: str, stat: Stat, /) -> Reader: ...
    def write(self, path: str, source: Source, /, *, overwrite: bool) -> None: ...
    def make_folder(self, path: str, /, *, exist_ok: bool) -> None: ...
    def move(self, path: str, new_path: str, /, *, overwrite: bool) -> None: ...
    def delete(self, path: str, /, *, recursive: bool) -> None: ...

    def progress(self, direction: str, path: str, done: int, total: int | None, /, *, finished: bool = False) -> None:
        """Hear how far the download of `path` has come; called often, so it decides what to pass on."""
        ...
