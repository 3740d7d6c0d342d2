"""Patterns such as ``runs/*/plate-?.csv``, by fsspec's rules."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from edge_core.errors import BadEntry, NotFound
from edge_vfs.store import Stat

StatT = TypeVar("StatT", bound=Stat)

_SPECIAL = re.compile(r"[*?\[]")


def matching(
    pattern: str,
    children: Callable[[str], Iterable[StatT]],
    descendants: Callable[[str, str], Iterable[tuple[str, StatT]]],
) -> Iterator[tuple[str, StatT]]:
    """Iterate over the paths that match `pattern`, each with its entry; only folders that can hold a match are listed.

    Args:
        pattern: relative to the searched folder, with or without a leading ``/``.
        children: returns the entries of a folder, by its path from the searched folder.
        descendants: returns all that is below a folder, and begins with a name there, with paths from that folder.

    Raises:
        BadEntry: the pattern is not valid.
    """
    segments = pattern.removeprefix("/").split("/")
    if "" in segments:
        raise BadEntry(
            f"the pattern {pattern!r} has an empty segment; leave out doubled slashes and a slash at the end"
        )
    whole = _compiled("/".join(segments))
    plain = next((n for n, segment in enumerate(segments[:-1]) if _SPECIAL.search(segment)), len(segments) - 1)
    start = "/".join(segments[:plain])
    if "**" in segments:
        prefix = _SPECIAL.split(segments[plain], maxsplit=1)[0]
        return _filtered(start, whole, descendants(start, prefix))
    # What a folder of each depth must match to hold a match.
    above = [_compiled("/".join(segments[:depth])) for depth in range(1, len(segments))]
    return _walk(start, plain, whole, above, children)


def _filtered(start: str, whole: re.Pattern[str], below: Iterable[tuple[str, StatT]]) -> Iterator[tuple[str, StatT]]:
    try:
        for relative, entry in below:
            path = f"{start}/{relative}" if start else relative
            if whole.match(path):
                yield path, entry
    except NotFound:
        pass  # nothing is there to match


def _walk(
    start: str,
    depth: int,
    whole: re.Pattern[str],
    above: list[re.Pattern[str]],
    children: Callable[[str], Iterable[StatT]],
) -> Iterator[tuple[str, StatT]]:
    waiting = [(start, depth)]
    while waiting:
        folder, depth = waiting.pop()
        subfolders: list[tuple[str, int]] = []
        try:
            for entry in children(folder):
                path = f"{folder}/{entry.name}" if folder else entry.name
                if whole.match(path):
                    yield path, entry
                if entry.kind == "folder" and depth < len(above) and above[depth].match(path):
                    subfolders.append((path, depth + 1))
        except NotFound:
            continue  # nothing is there to match
        waiting += reversed(subfolders)


def _compiled(pattern: str) -> re.Pattern[str]:
    from fsspec.utils import glob_translate

    try:
        return re.compile(glob_translate(pattern))
    except (ValueError, re.error) as error:
        raise BadEntry(f"the pattern {pattern!r} is not valid ({error}); fix it and try again") from None
