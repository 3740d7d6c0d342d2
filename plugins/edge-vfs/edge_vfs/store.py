"""The interface of a store of files, on which `Folder` and `File` are built.

Paths are relative to the store's root, segments joined by ``/``; the root's own path is empty.
"""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol, runtime_checkable

from edge_core.errors import EdgeError
from edge_vfs.progress import Tracker
from edge_vfs.source import Source


class Stat(Protocol):
    """What a store knows of a file or folder.

    Attributes:
        name: basename.
        kind: ``"file"`` or ``"folder"``.
        modified_at: UTC.
        size: bytes; None for a folder.
        sha256: hexadecimal SHA-256 of a file's content, or None if the store does not know it.
        version: id of the content's version, or None if the store keeps none.
        digest: of a file's content, hexadecimal, or None if the store does not know it: see `edge_vfs.digests`.
        part_size: bytes of each part but the last that `digest` is made over; None if it is the SHA-256 of all of the
            content.
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
    @property
    def digest(self) -> str | None: ...
    @property
    def part_size(self) -> int | None: ...


class Stream(Protocol):
    """The bytes of an answer, as they arrive."""

    def read(self, size: int, /) -> bytes:
        """Return exactly `size` bytes; fewer only at the end, none after it."""
        ...

    def close(self) -> None:
        """Release the connection, whether or not all bytes were read."""
        ...


class Reader(Protocol):
    """The content of a single version of a file.

    However often it is opened, it reads the version of its `Stat` and never bytes of another version;
    once that version is gone it raises `NotFound` or `Conflict`, with a sentence that says so.
    """

    def open(self, start: int, stop: int, /) -> Stream:
        """Request the content from byte `start` up to, but without, byte `stop`, in a single request.

        Both lie within the content, and `start` is before `stop`. The caller reads the answer to its
        end where possible, so that its connection can be used again.
        """
        ...

    def url(self, expires_in: int, /) -> str:
        """Return an absolute address that needs no token and expires in `expires_in` seconds."""
        ...


@runtime_checkable
class KeepsSourceTime(Protocol):
    """A `Reader` of a store that keeps when the local file was last modified that was uploaded."""

    def source_mtime_ns(self) -> int | None:
        """Return nanoseconds since 1970 in UTC, or None if it is not known; called once all was read."""
        ...


@runtime_checkable
class SendsAtOnce(Protocol):
    """A `Reader` of a store that has to be asked for the address of content, but sends small ranges at once.

    Attributes:
        at_once: bytes of the largest range that is sent without another request for the address. What is read next goes
            to the address, which comes with the range.
    """

    @property
    def at_once(self) -> int: ...


@runtime_checkable
class TimeSettingStore(Protocol):
    """A `FileStore` that takes the time of a local file without its content, which it has already."""

    def set_source_times(self, times: Sequence[tuple[str, int]], /) -> None:
        """Keep when local files were last modified.

        Args:
            times: versions, each with the time of the local file that has its content, in nanoseconds since 1970 in
                UTC. Files that have another version by now keep the time they have.
        """
        ...


@runtime_checkable
class KeepsDigests(Protocol):
    """A `Reader` of a store that keeps the digests of the parts over which the content's own digest is made."""

    def digests(self) -> Sequence[bytes]:
        """Return the binary SHA-256 of each part in order, requested once; empty if they are not known."""
        ...


@runtime_checkable
class CopyingStore(Protocol):
    """A `FileStore` that copies files without sending their bytes to and fro."""

    def copy(self, path: str, new_path: str, /, *, overwrite: bool) -> None:
        """Copy a file with the time of its source; missing folders are made.

        A file is replaced only if `overwrite` is True, a folder never. A file that is copied to its own path
        stays as it is if `overwrite` is True.
        """
        ...


@runtime_checkable
class ComparingStore(Protocol):
    """A `FileStore` whose lists tell no digest of what they list, and that compares content by what it has instead."""

    def has_content(self, path: str, stat: Stat, local: str | os.PathLike[str], /) -> bool:
        """Return whether a local file, which has as many bytes, has the content that a file has in the store.

        Args:
            path: path of the file in the store.
            stat: what a list says of it, without a digest.
            local: the local file.

        Raises:
            NotFound: the file is gone.
            OSError: the local file cannot be read.
        """
        ...


@runtime_checkable
class VersionDeletingStore(Protocol):
    """A `FileStore` that deletes a file only if it is as it was listed."""

    def delete_version(self, path: str, version: str, /) -> None:
        """Delete the file at a path if `version` is its version.

        Raises:
            NotFound: nothing is there.
            Conflict: it has another version, or is a folder; it stays.
        """
        ...


@runtime_checkable
class ListingStore(Protocol):
    """A `FileStore` that lists all that is below a folder without a request for each folder.

    Attributes:
        by_folder: whether the entries of each folder stand together and before what is in its folders, which follows
            in the same order. Others list in an order of their own.
    """

    @property
    def by_folder(self) -> bool: ...

    def descendants(
        self, path: str, /, *, prefix: str = "", kind: str | None = None, after: str = ""
    ) -> Iterable[tuple[str, Stat]]:
        """Return all that is below a folder, each with its path from the folder.

        Args:
            path: path of the folder.
            prefix: only what has a path from the folder, as text, that begins with this.
            kind: ``"file"`` or ``"folder"`` to return only these.
            after: path of a folder below; if `by_folder`, begin with what follows all that is in it.

        Raises:
            NotFound: the folder does not exist.
            FolderByFolder: it turns out that only single folders can be listed; before the first entry.
        """
        ...


class FolderByFolder(Exception):
    """The store can only list single folders, as a server of an older version."""


class SmallFile(NamedTuple):
    """A small file to write.

    Attributes:
        path: where it goes.
        content: all of its content.
        sha256: hexadecimal SHA-256 of the content.
        mtime_ns: when the local file was last modified, in nanoseconds since 1970 in UTC; None if it is not known.
    """

    path: str
    content: bytes
    sha256: str
    mtime_ns: int | None


class BatchLimits(NamedTuple):
    """The largest batch that a store takes.

    Attributes:
        files: number of files.
        content: bytes of all of them.
        file: bytes of the largest.
    """

    files: int
    content: int
    file: int


@runtime_checkable
class BatchingStore(Protocol):
    """A `FileStore` that writes and reads many small files in a single request.

    Attributes:
        batch_limits: None if it turns out that files can only be sent by themselves, as to a server of an older
            version.
    """

    @property
    def batch_limits(self) -> BatchLimits | None: ...

    def write_many(self, files: Sequence[SmallFile], /, *, overwrite: bool) -> Sequence[EdgeError | None]:
        """Write files like `FileStore.write`, each of which is taken or refused by itself.

        Returns:
            for each file None, or why it was refused.

        Raises:
            EdgeError: nothing of the batch was written.
        """
        ...

    def read_many(self, files: Sequence[tuple[str, Stat]], /) -> Sequence[bytes | None]:
        """Return the content of files, each with its path and what `children` says of it.

        Returns:
            for each file all of its content, of the version of its `Stat`; None if that has to be read by itself.
        """
        ...


@runtime_checkable
class NewestReadingStore(Protocol):
    """A `BatchingStore` that reads many small files of which only the paths are known."""

    @property
    def batch_limits(self) -> BatchLimits | None: ...

    def read_newest(self, paths: Sequence[str], /) -> Sequence[bytes | None]:
        """Return the content of files by their paths, of the newest version of each and checked.

        Args:
            paths: no more than the files of a batch.

        Returns:
            for each path all of its content; None if it has to be read by itself, or is not there.
        """
        ...


class FileStore(Protocol):
    """A tree of files and folders. One that can copy is a `CopyingStore` as well.

    Every method raises `NotFound` if the entry does not exist, `AlreadyExists` if a name is taken,
    and `BadEntry` if a path is not valid. Several threads may call it at once.

    Folders and files are equal only if their stores are: a store that is constructed more than once for
    the same files has ``__eq__`` and ``__hash__``, which never depend on credentials. They can be pickled
    if their store and its `Stat` can.
    """

    def stat(self, path: str, /) -> Stat:
        """Return what the store knows of an entry."""
        ...

    def children(self, path: str, /, kind: str | None = None) -> Iterable[Stat]:
        """Return the entries of a folder, in the order in which the store lists them.

        Args:
            path: path of the folder.
            kind: ``"file"`` or ``"folder"`` to return only these.
        """
        ...

    def reader(self, path: str, stat: Stat, /) -> Reader:
        """Return the reader of the version that `stat` describes; sends no request."""
        ...

    def write(self, path: str, source: Source, /, *, overwrite: bool, max_workers: int, resume: bool) -> None:
        """Store the content of `source` as a file, which appears only once it is complete.

        A store that keeps the times of sources stores `Source.mtime_ns` beside its own time. Missing
        folders are made. A store that sends parts calls `Source.check_unchanged` once all were sent; one that has to
        wait then, calls `Source.completing` before it does.

        Args:
            path: path of the file.
            source: the content.
            overwrite: whether a file is replaced; a folder never is.
            max_workers: maximum number of parts that are sent at once, by a store that sends parts.
            resume: whether a store that keeps the parts of uploads which were cut off sends only those it does not
                have, if `Source.can_seek`.
        """
        ...

    def make_folder(self, path: str, /, *, exist_ok: bool) -> None:
        """Make a folder, including missing parents; an existing folder is an error unless `exist_ok` is True."""
        ...

    def move(self, path: str, new_path: str, /, *, overwrite: bool, tracker: Tracker) -> None:
        """Move a file or folder; missing folders are made, and a file is replaced only if `overwrite` is True.

        A store that moves the files of a folder one after another counts them on `tracker`; others leave it alone.

        Raises:
            Conflict: a folder would be moved into itself.
        """
        ...

    def delete(self, path: str, /, *, recursive: bool, tracker: Tracker) -> None:
        """Delete a file or folder, and with `recursive` everything in the folder.

        A store that deletes the files of a folder one after another counts them on `tracker`; others leave it alone.

        Raises:
            Conflict: the folder is not empty, and `recursive` is False.
        """
        ...

    def progress(self, direction: str, path: str, done: int, total: int | None, /, *, finished: bool = False) -> None:
        """Take note of the progress of an upload or download.

        Called at most ten times a second for each call of a folder, and at the end of each file; of a file `done`
        never decreases.

        Args:
            direction: ``"upload"`` or ``"download"``.
            path: path of the file.
            done: bytes transferred so far.
            total: bytes in all, or None if that is not known.
            finished: True once, when all of the file has arrived and was checked.
        """
        ...
