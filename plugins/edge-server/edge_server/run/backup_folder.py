"""The folder of backups: what a backup holds, what it is called, and which are complete.

A backup is a folder that is called by when it was made, and is laid out as a data folder is. Beside that it has two
files: the SHA-256 of each of its files, as ``sha256sum --check`` reads it, and what it is a backup of. It gets its name
when all of it is on disk; before, and if it is never completed, the name ends in ``.unfinished``.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from edge_server.base.problems import CannotStart
from edge_server.data import database
from edge_server.data.store import BLOCK, CONTENT, SUBSYSTEMS

FORMAT = 1
"""Of what is written here; another number is another layout."""

ABOUT = "backup.json"

SUMS = "SHA256SUMS"

UNFINISHED = ".unfinished"
"""What the name of a backup ends in that is not complete."""

LOCK = "backup.lock"

_LAST = "\U0010ffff"
"""What comes after all paths."""

_NAME = re.compile(r"\d{8}T\d{12}Z")

_TIME = "%Y%m%dT%H%M%S%fZ"
"""A backup's name as `strftime` makes it."""

_CONTENT = re.compile(rf"(?:{SUBSYSTEMS}/([a-z0-9_]+)/)?{CONTENT}/[0-9a-f]{{2}}/([0-9a-f]{{40}})")

_OPERATOR_FILE = re.compile(r"[\w-]+\.toml")


@dataclasses.dataclass(frozen=True)
class About:
    """What a backup is of.

    Attributes:
        version: of the server that made it.
        revision: of the database.
        needed_revision: the one whose code can use the database at least.
        created_at: when its database was copied, in UTC.
        organizations: how many there are.
        users: how many there are.
        files: how many there are.
        contents: files of content in it; several files of users may share one.
        content_bytes: bytes of these.
        open_uploads: uploads that were open, which are not part of it.
        damaged: paths in it of content that was damaged or missing already.
        database_sha256: SHA-256 of the database.
        sums_sha256: SHA-256 of the file of SHA-256s.
    """

    version: str
    revision: str
    needed_revision: str
    created_at: str
    organizations: int
    users: int
    files: int
    contents: int
    content_bytes: int
    open_uploads: int
    damaged: list[str]
    database_sha256: str
    sums_sha256: str

    def dump(self) -> bytes:
        """The text of the file."""
        return json.dumps({"format": FORMAT, **dataclasses.asdict(self)}, indent=2).encode() + b"\n"


@dataclasses.dataclass(frozen=True)
class Backup:
    """A complete backup.

    Attributes:
        folder: where it is.
        about: what it is of.
    """

    folder: Path
    about: About

    def sums(self) -> Iterator[tuple[str, str]]:
        """The path of each file in it, in their order, and its SHA-256."""
        with open(self.folder / SUMS, encoding="utf-8") as lines:
            for line in lines:
                digest, _, path = line.rstrip("\n").partition("  ")
                yield path, digest


class Sums:
    """The file of SHA-256s of a backup that is being made.

    Args:
        file: the file, opened for writing.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._hash = hashlib.sha256()

    def add(self, path: str, digest: str) -> None:
        """Write the line of a file."""
        line = f"{digest}  {path}\n".encode()
        self._hash.update(line)
        self._file.write(line)

    def hexdigest(self) -> str:
        """The SHA-256 of all lines."""
        return self._hash.hexdigest()


class Shareable(NamedTuple):
    """Content of an earlier backup.

    Attributes:
        folder: the backup's.
        sha256: of the content.
    """

    folder: Path
    sha256: str


class Earlier:
    """An earlier backup, asked for the content that a later one shares with it, in the order of its paths.

    Args:
        backup: the backup.
    """

    def __init__(self, backup: Backup) -> None:
        self._folder = backup.folder
        self._damaged = set(backup.about.damaged)
        self._sums = backup.sums()
        self._path, self._digest = "", ""

    def content(self, path: str) -> Shareable | None:
        """What it has whole at a path; None if it does not."""
        while self._path < path:
            self._path, self._digest = next(self._sums, (_LAST, ""))
        return Shareable(self._folder, self._digest) if self._path == path and path not in self._damaged else None


def path_of(key: str, subsystem: str | None = None) -> str:
    """The path in a backup of content.

    Args:
        key: of the content.
        subsystem: the name of that which keeps it; None for files.
    """
    of_files = f"{CONTENT}/{key[:2]}/{key}"
    return of_files if subsystem is None else f"{SUBSYSTEMS}/{subsystem}/{of_files}"


def key_of(path: str) -> tuple[str, str | None] | None:
    """The key and subsystem that `path_of` makes a path from; None for another file.

    Raises:
        CannotStart: no backup has such a path.
    """
    match = _CONTENT.fullmatch(path)
    if match is not None:
        return match[2], match[1]
    if path != database.FILE_NAME and not _OPERATOR_FILE.fullmatch(path):
        raise CannotStart(f"the {SUMS} of the backup names {path!r}, which no backup has; choose another one")
    return None


def name_of(moment: dt.datetime) -> str:
    """What a backup is called that is begun at a moment, in UTC."""
    return f"{moment:{_TIME}}"


def next_name(moment: dt.datetime, folder: Path) -> str:
    """What a backup is called that is begun now, in UTC; in any case after all that are complete, as it is the newest.

    Where a clock was set back, these are called by a time to come.
    """
    last = max((path.name for path in complete(folder)), default="")
    if name_of(moment) > last:
        return name_of(moment)
    return name_of(dt.datetime.strptime(last, _TIME) + dt.timedelta(microseconds=1))


def complete(folder: Path) -> list[Path]:
    """The complete backups in a folder, the newest last."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if _NAME.fullmatch(path.name) and (path / ABOUT).is_file())


def unfinished(folder: Path) -> list[Path]:
    """The backups in a folder that were never completed."""
    ends = (path for path in folder.glob(f"*{UNFINISHED}"))
    return [path for path in ends if _NAME.fullmatch(path.name.removesuffix(UNFINISHED))]


def newest(folder: Path) -> Backup | None:
    """The newest backup in a folder that can be read."""
    for path in reversed(complete(folder)):
        with contextlib.suppress(CannotStart):
            return read(path)
    return None


def find(path: Path) -> Backup:
    """The backup at `path`, or the newest in it.

    Raises:
        CannotStart: there is none, or it is not whole, or this code cannot read it.
    """
    backups = complete(path)
    if backups:
        return read(backups[-1])
    if path.name.endswith(UNFINISHED):
        raise CannotStart(f"{path} is a backup that was never completed; choose another one")
    if not (path / ABOUT).is_file():
        left = " but such that were never completed" if path.is_dir() and unfinished(path) else ""
        raise CannotStart(f"{path} holds no backup{left}; name a folder that `edge server backup` has written to")
    return read(path)


def read(folder: Path) -> Backup:
    """The backup in a folder.

    Raises:
        CannotStart: it is not whole, or this code cannot read it.
    """
    try:
        plain = json.loads((folder / ABOUT).read_bytes())
        format_, version = plain.pop("format"), plain["version"]
        if format_ == FORMAT:
            about = About(**plain)
            for path in about.damaged:
                key_of(path)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        raise CannotStart(f"{folder / ABOUT} cannot be read as that of a backup; choose another one") from None
    if format_ != FORMAT:
        raise CannotStart(
            f"{folder} is a backup of version {version}, which this one cannot read; install that version"
        )
    _require(folder / SUMS, about.sums_sha256)
    return Backup(folder, about)


def require_database(backup: Backup) -> None:
    """See that the database of a backup is what it was.

    Raises:
        CannotStart: it is not.
    """
    _require(backup.folder / database.FILE_NAME, backup.about.database_sha256)


def _require(path: Path, digest: str) -> None:
    try:
        is_whole = digest_of(path) == digest
    except OSError as error:
        raise CannotStart(f"{path} cannot be read ({error.strerror}); choose another backup") from None
    if not is_whole:
        raise CannotStart(f"{path} is not what was backed up, it has another SHA-256; choose another backup")


def digest_of(path: Path) -> str:
    """The SHA-256 of a file."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()
