"""Rules for the names of a store that may become names of local files.

A name must be one that this system can hold. The portable rules are the same on every system, so that
what was downloaded on one can be copied to another: a harmless name here may be a path, a device or
another file's second name there.
"""

from __future__ import annotations

import errno
import os
import pathlib
import re
import shutil
import stat
import sys
import tempfile
import unicodedata
from collections.abc import Collection

from edge_core.errors import BadEntry
from edge_vfs.advice import advice

# Naming Files, Paths, and Namespaces (Windows): these, and these with any extension, are devices.
_DEVICE = re.compile(
    r"(con|prn|aux|nul|clock\$|conin\$|conout\$|(com|lpt)[0-9\u00b9\u00b2\u00b3]) *(\..*)?", re.I | re.S
)

# Separators, drives and streams, wildcards, redirection.
_FORBIDDEN = re.compile(r'[\\/:*?"<>|]')

MAX_BYTES = 255

STRICT = sys.platform == "win32"
"""Whether the portable rules, which are those of Windows, are this system's own."""


def check(name: str, *, portable: bool = False, remedy: str | None = None) -> None:
    """Check that `name` can be the name of a local file, on this system or, if `portable`, on every system.

    Args:
        name: the name.
        portable: whether every system must be able to hold it.
        remedy: what an error advises; by default to give another local name.

    >>> check("plate-7.csv")
    >>> check("con.txt", portable=True)
    Traceback (most recent call last):
    edge_core.errors.BadEntry: 'con.txt' cannot be a local file's name, as it is a device's name on some systems; ...

    Raises:
        BadEntry: it cannot.
    """
    reason = _reason(name, portable=portable or STRICT)
    if reason is not None:
        raise BadEntry(f"{name!r} cannot be a local file's name, as it {reason}; {remedy or advice('localpath')}")


def is_portable(name: str) -> bool:
    """Return whether `name` can be the name of a local file on every system."""
    return _reason(name, portable=True) is None


def _reason(name: str, *, portable: bool) -> str | None:
    if name in ("", ".", ".."):
        return "names no file"
    if "/" in name:
        return "holds /, which separates folders"
    if portable and (forbidden := _FORBIDDEN.search(name)):
        return f"holds {forbidden[0]}, which some systems do not allow"
    if not name.isprintable() and any(unicodedata.category(char) in ("Cc", "Cs") for char in name):
        return "holds characters that are not text"
    if len(name.encode()) > MAX_BYTES:
        return f"is longer than {MAX_BYTES} bytes"
    if not portable:
        return None
    if name.endswith((" ", ".")):
        return "ends with a space or dot, which some systems drop"
    if _DEVICE.fullmatch(name):
        return "is a device's name on some systems"
    return None


def same(name: str) -> str:
    """Return a key that is equal for names which some systems take for the same: regardless of case and normal form.

    >>> same("Straße.TXT") == same("STRASSE.txt")
    True
    """
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def check_held(names: Collection[str], folder: pathlib.Path) -> None:
    """Check that a local folder can hold files of all these names at once, by making them in a folder in it.

    Not the system but the file system decides: a memory stick takes no ``:``, and some take ``A`` for ``a``.

    Args:
        names: the names, each of which `check` has passed.
        folder: a local folder.

    Raises:
        BadEntry: a name cannot be held, or is the same as another.
        OSError: nothing can be written in the folder.
    """
    place = tempfile.mkdtemp(prefix=".edge-", dir=folder)
    try:
        for name in names:
            try:
                with open(os.path.join(place, name), "x"):
                    pass
            except FileExistsError:
                raise BadEntry(
                    f"{name!r} and another of {', '.join(map(repr, names))} are the same name in {str(folder)!r}, so "
                    "that the second would replace the first; rename one of them, or download them one by one"
                ) from None
            except OSError as error:
                raise _not_held(name, folder, error.strerror or str(error)) from None
        held = {unicodedata.normalize("NFC", name) for name in os.listdir(place)}
        for name in names:
            if unicodedata.normalize("NFC", name) not in held:
                raise _not_held(name, folder, "it becomes another name")
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _not_held(name: str, folder: pathlib.Path, reason: str) -> BadEntry:
    return BadEntry(
        f"{name!r} cannot be a local file's name in {str(folder)!r} ({reason}); choose another local folder, or "
        "download the file by itself under another name"
    )


def check_length(path: pathlib.Path) -> None:
    """Check that a local path is not too long for this system.

    Raises:
        BadEntry: it is.
    """
    try:
        os.lstat(path)
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise BadEntry(
                f"the local path {str(path)!r} is too long for this system; choose a shorter localpath, or download "
                "a folder that is further down"
            ) from None


def make_folder(path: pathlib.Path) -> None:
    """Make a local folder if it does not exist.

    Raises:
        BadEntry: a link or a file is in its place; files written through a link would land elsewhere.
    """
    try:
        path.mkdir()
    except FileExistsError:
        check_folder(path)


def check_folder(path: pathlib.Path) -> None:
    """Check that `path` is a local folder or does not exist.

    Raises:
        BadEntry: a link or a file is in its place.
    """
    if os.path.lexists(path) and (not stat.S_ISDIR(os.lstat(path).st_mode) or _is_junction(path)):
        raise BadEntry(
            f"{path} is a link or a file, and a folder is to be downloaded there; move it away or choose "
            "another local path"
        )


def _is_junction(path: pathlib.Path) -> bool:
    # Windows' other kind of link to a folder, beside symbolic links; os.path.isjunction comes with Python 3.12.
    return bool(getattr(os.lstat(path), "st_reparse_tag", 0))
