"""Keys of a bucket: which of them are paths of files in folders, and which of them a request can hold.

A key is any text of up to 1,024 bytes of UTF-8. A path is a key whose segments, parted by ``/``, can be names.
"""

from __future__ import annotations

import re
from collections.abc import Collection

# XML 1.0, section 2.2: no reference can stand for any other character either.
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def is_name(segment: str) -> bool:
    """Return whether a file or folder can have this name: it is not empty, ``.`` or ``..``."""
    return segment not in ("", ".", "..")


def is_path(key: str) -> bool:
    """Return whether a folder can show a key.

    >>> is_path("runs/plate-7.csv"), is_path("runs//plate-7.csv"), is_path("/plate-7.csv")
    (True, False, False)
    """
    return all(map(is_name, key.split("/")))


def is_within(key: str, prefix: str) -> bool:
    """Return whether a key belongs to a folder: it is the folder's marker, or a folder in it shows it.

    Args:
        key: a key that begins with `prefix`.
        prefix: the folder's path and ``/``.
    """
    return key == prefix or is_path(key[len(prefix) :].removesuffix("/"))


def folders_of(keys: Collection[str], prefix: str) -> set[str]:
    """Return the prefixes, each with a ``/`` at the end, of the folders that hold `keys`, from `prefix` on."""
    folders = {prefix}
    for key in keys:
        end = key.rfind("/") + 1
        while end > len(prefix) and key[:end] not in folders:
            folders.add(key[:end])
            end = key.rfind("/", 0, end - 1) + 1
    return folders


def is_xml(key: str) -> bool:
    """Return whether XML has all of a key's characters, as a request about several keys must be XML."""
    return _NOT_XML.search(key) is None


def has_controls(key: str) -> bool:
    """Return whether a key has control characters of ASCII."""
    return any(ord(character) < 32 or ord(character) == 127 for character in key)


def named(key: str) -> str:
    """Return a key as a sentence shows it.

    >>> named("runs/plate-7.csv"), named("runs//plate-7.csv")
    ('/runs/plate-7.csv', "the key 'runs//plate-7.csv'")
    """
    return f"/{key}" if is_path(key) and key.isprintable() else f"the key {key!r}"


def counted(keys: Collection[str], *, more: bool = False) -> str:
    """Return how many keys there are, with an example.

    Args:
        keys: at least one key.
        more: whether there are more, which are not counted.
    """
    number = "1 key" if len(keys) == 1 else f"{len(keys):,} keys"
    return f"{'at least ' if more else ''}{number} such as {min(keys)!r}"
