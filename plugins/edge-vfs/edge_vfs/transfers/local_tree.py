"""A local folder that is to be uploaded: everything in it is looked at before the first byte is sent."""

from __future__ import annotations

import errno
import os
import pathlib
import stat
import unicodedata
from typing import NamedTuple

from edge_core.errors import BadEntry, EdgeError
from edge_vfs.progress import Tracker
from edge_vfs.transfers.filters import Filters
from edge_vfs.transfers.local_names import MAX_BYTES
from edge_vfs.transfers.part_file import is_part

NAMED = 50
"""Maximum number of entries that a sentence names."""


class LocalFile(NamedTuple):
    """A file to upload.

    Attributes:
        parts: its folder below the uploaded one.
        name: its name.
        path: where it is.
        size: bytes.
        mtime_ns: when it was last modified, in nanoseconds since 1970 in UTC.
    """

    parts: tuple[str, ...]
    name: str
    path: str
    size: int
    mtime_ns: int

    @property
    def below(self) -> str:
        """Its path below the uploaded folder, segments joined by ``/``."""
        return "/".join((*self.parts, self.name))


class LocalTree(NamedTuple):
    """What a local folder has.

    Attributes:
        folders: the folders below it, each after the one that holds it.
        files: the files, those of each folder together and in the order of their names' bytes.
        skipped: what cannot be uploaded: its path below the folder, and the reason.
    """

    folders: list[tuple[str, ...]]
    files: list[LocalFile]
    skipped: list[tuple[str, str]]

    def empty_folders(self) -> list[str]:
        """Return the paths of the folders that hold nothing to upload, not even a folder."""
        holding = {file.parts[:depth] for file in self.files for depth in range(1, len(file.parts) + 1)}
        holding |= {parts[:depth] for parts in self.folders for depth in range(1, len(parts))}
        return ["/".join(parts) for parts in self.folders if parts not in holding]

    def sentence(self, top: pathlib.Path) -> str:
        """Return which entries cannot be uploaded, and why."""
        named = ", ".join(f"{path!r} ({reason})" for path, reason in self.skipped[:NAMED])
        more = f" and {len(self.skipped) - NAMED} more" if len(self.skipped) > NAMED else ""
        count = "1 entry" if len(self.skipped) == 1 else f"{len(self.skipped)} entries"
        return f"{count} of {str(top)!r} cannot be uploaded: {named}{more}"


def scan(top: pathlib.Path, tracker: Tracker, *, normalized: bool, filters: Filters | None = None) -> LocalTree:
    """Look at a local folder and everything in it; links to folders are skipped.

    Args:
        top: the local folder.
        tracker: counts the files that are to be uploaded.
        normalized: whether the store takes names for the same that differ only in Unicode's normal form.
        filters: what takes part; None for all.

    Raises:
        BadEntry: the store would take two names for the same.
        OSError: a folder cannot be read.
    """
    tree = LocalTree([], [], [])
    for here, folders, files in os.walk(top, onerror=_raise):
        parts = pathlib.Path(here).relative_to(top).parts
        folders.sort(key=os.fsencode)  # which is how the walk goes on
        if filters is not None:
            above = "".join(f"{part}/" for part in parts)
            folders[:] = [name for name in folders if filters.enters(above + name)]
            files = [name for name in files if filters.takes(above + name)]
        if normalized:
            _check_distinct([*folders, *files], here)
        for name in list(folders):
            linked = "a link to a folder" if os.path.islink(os.path.join(here, name)) else ""
            if reason := _name_reason(name, normalized=normalized) or linked:
                tree.skipped.append((os.path.join(*parts, name), reason))
                folders.remove(name)
            else:
                tree.folders.append((*parts, name))
        for name in sorted(files, key=os.fsencode):
            path = os.path.join(here, name)
            unfinished = "an unfinished download" if is_part(name) else ""
            reason = _name_reason(name, normalized=normalized) or unfinished
            status = None if reason else _status(path)
            if reason := reason or _kind_reason(status):
                tree.skipped.append((os.path.join(*parts, name), reason))
            elif status is not None:
                tree.files.append(LocalFile(parts, name, path, status.st_size, status.st_mtime_ns))
                tracker.expect(status.st_size)
    return tree


def tell(error: BaseException, sentence: str) -> None:
    """Add to an error what had been done before it."""
    if isinstance(error, EdgeError) and len(error.args) == 1:
        error.args = (f"{error.args[0]}; {sentence}",)
    else:
        error.add_note(sentence)


def _check_distinct(names: list[str], folder: str) -> None:
    seen: dict[str, str] = {}
    for name in names:
        other = seen.setdefault(unicodedata.normalize("NFC", name), name)
        if other != name:
            raise BadEntry(
                f"in {folder!r}: {other!a} and {name!a} differ only in Unicode's normal form, so that the "
                "second would replace the first; nothing was uploaded, rename one of them"
            )


def _name_reason(name: str, *, normalized: bool) -> str:
    try:
        stored = (unicodedata.normalize("NFC", name) if normalized else name).encode()
    except UnicodeEncodeError:
        return "a name that is not UTF-8"
    if any(unicodedata.category(character) == "Cc" for character in name):
        return "a name with control characters"
    if len(stored) > MAX_BYTES:
        return f"a name that has more than {MAX_BYTES} bytes in Unicode's normal form NFC"
    return ""


def _status(path: str) -> os.stat_result | None:
    """Return what the system knows of a path; None of a link that leads nowhere."""
    try:
        return os.stat(path)
    except OSError as error:
        if os.path.islink(path) and error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            return None
        raise


def _kind_reason(status: os.stat_result | None) -> str:
    """Return why what has this status, and is no folder, is no file either; empty for a file."""
    if status is None:
        return "a link that leads nowhere"
    if stat.S_ISREG(status.st_mode):
        return ""
    kinds = {stat.S_IFIFO: "a named pipe", stat.S_IFSOCK: "a socket"}
    return kinds.get(stat.S_IFMT(status.st_mode), "a device")


def _raise(error: OSError) -> None:
    raise error
