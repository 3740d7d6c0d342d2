"""Paths: which names may stand in an organization's tree."""

from __future__ import annotations

import unicodedata

MAX_SEGMENT = 255
"""Bytes of a segment's UTF-8, what common file systems allow."""

MAX_DEPTH = 100
"""Segments of a path."""

MAX_JSON = 128 << 10
"""Bytes of a JSON body with one path: of full depth and length, escaped, it has 77,000."""


class BadPath(ValueError):
    """A path that cannot be; the message is one sentence for the user."""


def parse(path: str) -> tuple[str, ...]:
    """The segments of `path`, none for the root, in Unicode's composed form (NFC).

    One leading slash may stand for the root. The form is settled here, on entry, since the same
    name typed on two systems can be two sequences of code points.

    Raises:
        BadPath: a segment is empty, ``.``, ``..``, too long, or holds control characters.
    """
    relative = path.removeprefix("/")
    if not relative:
        return ()
    depth = relative.count("/") + 1
    if depth > MAX_DEPTH:
        raise BadPath(f"the path has {depth} segments; at most {MAX_DEPTH} are allowed")
    segments = tuple(_composed(segment) for segment in relative.split("/"))
    if not segments[-1] and all(segments[:-1]):
        raise BadPath(f"the path {show(path)} ends with a slash; leave it out")
    for segment in segments:
        _check(segment, path)
    return segments


def parse_prefix(prefix: str) -> tuple[tuple[str, ...], str]:
    """What paths begin with that begin with `prefix`: the segments of a folder, and the beginning of a name in it.

    Raises:
        BadPath: no path begins with it.
    """
    folder, _, name = prefix.rpartition("/")
    if prefix.startswith("/"):
        raise BadPath(f"the prefix {show(prefix)} begins with a slash; write it from the listed folder")
    segments, name = parse(folder), _composed(name)
    _check_characters(name, prefix)
    return segments, name


def join(segments: tuple[str, ...]) -> str:
    """The path of `segments`; empty for the root."""
    return "/".join(segments)


def _composed(segment: str) -> str:
    # Sorting the accents on one letter takes the square of their number. The decomposed form of what fits is at most
    # three times as long (Unicode's FAQ on normalization).
    if len(segment) > 3 * MAX_SEGMENT:
        raise _too_long(segment)
    return unicodedata.normalize("NFC", segment)


def _too_long(segment: str) -> BadPath:
    return BadPath(f"the name {show(segment)} is longer than {MAX_SEGMENT} bytes of UTF-8; shorten it")


def _check(segment: str, path: str) -> None:
    if not segment:
        raise BadPath(f"the path {show(path)} has an empty segment; leave out doubled slashes")
    if segment in (".", ".."):
        raise BadPath(f"the path {show(path)} holds {segment!r}; write it from the root, without steps")
    _check_characters(segment, path)


def _check_characters(segment: str, path: str) -> None:
    for character in segment:
        category = unicodedata.category(character)
        if category == "Cc":
            raise BadPath(f"the path {show(path)} holds the control character U+{ord(character):04X}; rename it")
        if category == "Cs":
            raise BadPath(f"the path {show(path)} is not valid Unicode; rename it")
    if len(segment.encode()) > MAX_SEGMENT:
        raise _too_long(segment)


def show(path: str) -> str:
    """A path as it can stand in a sentence: quoted, not too long, and escaped if it could mislead."""
    shown = f"'{path}'" if path.isprintable() else ascii(path)
    return shown if len(shown) <= 200 else f"{shown[:200]}..."
