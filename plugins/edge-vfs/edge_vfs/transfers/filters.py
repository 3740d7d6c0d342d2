"""Which files of a folder take part in a call, by patterns with gitignore's rules."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from edge_core.errors import BadEntry

if TYPE_CHECKING:
    import pathspec


class Filters:
    """The files and folders that take part: those that are included, without those that are excluded.

    Args:
        include: patterns of the files that take part; none for all.
        exclude: patterns of files and folders that do not, nor what is in these folders.

    Raises:
        BadEntry: a pattern is not valid.

    >>> filters = Filters(["*.csv"], ["cache/"])
    >>> filters.takes("runs/plate-7.csv"), filters.takes("runs/cache/plate-7.csv"), filters.takes("notes.txt")
    (True, False, False)
    """

    def __init__(self, include: str | Iterable[str] = (), exclude: str | Iterable[str] = ()) -> None:
        self._include = _compiled(include)
        self._exclude = _compiled(exclude)

    def takes(self, path: str) -> bool:
        """Return whether a file takes part.

        Args:
            path: its path from the folder of the call, segments joined by ``/``.
        """
        return (self._include is None or self._include.match_file(path)) and not (
            self._exclude is not None and self._exclude.match_file(path)
        )

    def takes_folder(self, path: str) -> bool:
        """Return whether a folder takes part even if no file in it does."""
        return self.enters(path) and (self._include is None or self._include.match_file(f"{path}/"))

    def enters(self, path: str) -> bool:
        """Return whether what is in a folder may take part."""
        return self._exclude is None or not self._exclude.match_file(f"{path}/")


def _compiled(patterns: str | Iterable[str]) -> pathspec.GitIgnoreSpec | None:
    lines = [patterns] if isinstance(patterns, str) else list(patterns)
    if not lines:
        return None
    import pathspec

    try:
        return pathspec.GitIgnoreSpec.from_lines(lines)
    except ValueError as error:
        raise BadEntry(f"a pattern is not valid ({error}); write it as in a .gitignore file") from None
