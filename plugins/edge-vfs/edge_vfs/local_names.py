"""Rules for the names of a store that may become names of local files.

The rules are the same on every system, so that what was downloaded on one can be copied to another:
a harmless name here may be a path, a device or another file's second name there.
"""

from __future__ import annotations

import os
import pathlib
import re
import stat
import unicodedata

from edge_core.errors import BadEntry

# Naming Files, Paths, and Namespaces (Windows): these, and these with any extension, are devices.
_DEVICE = re.compile(
    r"(con|prn|aux|nul|clock\$|conin\$|conout\$|(com|lpt)[0-9\u00b9\u00b2\u00b3]) *(\..*)?", re.I | re.S
)

# Separators, drives and streams, wildcards, redirection.
_FORBIDDEN = re.compile(r'[\\/:*?"<>|]')

MAX_BYTES = 255


def check(name: str) -> None:
    """Check that `name` can be the name of a local file on every system.

    >>> check("plate-7.csv")
    >>> check("con.txt")
    Traceback (most recent call last):
    edge_core.errors.BadEntry: 'con.txt' cannot be a local file's name, as it is a device's name on some systems; ...

    Raises:
        BadEntry: it cannot.
    """
    reason = _reason(name)
    if reason is not None:
        raise BadEntry(f"{name!r} cannot be a local file's name, as it {reason}; give another name by localpath=")


def _reason(name: str) -> str | None:
    if name in ("", ".", ".."):
        return "names no file"
    if forbidden := _FORBIDDEN.search(name):
        return f"holds {forbidden[0]}, which some systems do not allow"
    if any(unicodedata.category(char) in ("Cc", "Cs") for char in name):
        return "holds characters that are not text"
    if len(name.encode()) > MAX_BYTES:
        return f"is longer than {MAX_BYTES} bytes"
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


def make_folder(path: pathlib.Path) -> None:
    """Make a local folder if it does not exist.

    Raises:
        BadEntry: a link or a file is in its place; files written through a link would land elsewhere.
    """
    try:
        path.mkdir()
    except FileExistsError:
        if not stat.S_ISDIR(os.lstat(path).st_mode) or _is_junction(path):
            raise BadEntry(
                f"{path} is a link or a file, and a folder is to be downloaded there; move it away or choose "
                "another localpath"
            ) from None


def _is_junction(path: pathlib.Path) -> bool:
    # Windows' other kind of link to a folder, beside symbolic links; os.path.isjunction comes with Python 3.12.
    return bool(getattr(os.lstat(path), "st_reparse_tag", 0))
