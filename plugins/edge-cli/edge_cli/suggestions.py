"""Which command may be meant by a name that no command has: another of that meaning, else another written alike."""

from __future__ import annotations

import difflib
import re

import click

SYNONYMS = (
    ("read", "show", "get", "cat", "print", "view"),
    ("remove", "delete", "rm", "del", "erase", "unlink"),
    ("list", "ls", "dir"),
    ("add", "create", "set", "new", "make", "put"),
    ("mv", "move", "rename"),
    ("cp", "copy", "download", "upload", "get", "put"),
    ("update", "edit", "change", "modify"),
    ("run", "start", "serve"),
)
"""Names under which people know the same from elsewhere, such as `get` for `read`."""

_UNKNOWN = re.compile(r"No such command '([^']*)'\.")


def with_suggestion(error: click.UsageError) -> click.UsageError:
    """The error itself, or for a command that is not there another that says which may be meant."""
    # Where click has an error of its own for it, older versions have this sentence alone.
    unknown = _UNKNOWN.match(error.message)
    if unknown is None or error.ctx is None or not isinstance(error.ctx.command, click.Group):
        return error
    names = error.ctx.command.list_commands(error.ctx)
    meant = " or ".join(f"'{name}'" for name in alike(unknown[1], names))
    return click.UsageError(unknown[0] + (f" Did you mean {meant}?" if meant else ""), error.ctx)


def alike(name: str, names: list[str]) -> list[str]:
    """Those of `names` that mean what `name` does; without any, those that are written alike."""
    known = [each for group in SYNONYMS if name in group for each in group if each in names]
    return list(dict.fromkeys(known)) or difflib.get_close_matches(name, names)
