"""The operator's table of what applications run on a machine that has no engine for images.

A version of an application is what a developer publishes, and its `link` names an image. What a hub without an engine
starts is named by its operator alone, in a file.
"""

from __future__ import annotations

import dataclasses
import os
import stat
import sys
import tomllib
from pathlib import Path
from typing import Any

from edge_core.errors import ConfigurationError

_KEYS = {"organization", "app_id", "version", "folder", "command"}


@dataclasses.dataclass(frozen=True)
class Entry:
    """What a version of an application runs.

    Attributes:
        organization: short name; None for any.
        app_id: id of the application.
        version: its version.
        folder: the working folder.
        command: program and arguments; no shell reads them. `{port}` in it is where the application has to listen.
    """

    organization: str | None
    app_id: str
    version: str
    folder: Path
    command: tuple[str, ...]


class Table:
    """The file, which is read again at each use.

    Args:
        path: the file, in TOML.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def entries(self) -> list[Entry]:
        """All of it.

        Raises:
            ConfigurationError: it cannot be read, or an entry is wrong: a sentence for each.
        """
        try:
            content = tomllib.loads(self.path.read_text(encoding="utf-8"))
            shared = os.name == "posix" and self.path.stat().st_mode & stat.S_IWOTH
        except OSError as error:
            raise ConfigurationError(
                f"{self.path} cannot be read ({error.strerror}); write it, or name another file"
            ) from None
        except ValueError as error:
            raise ConfigurationError(f"{self.path} is no TOML ({error}); correct it") from None
        if shared:
            raise ConfigurationError(
                f"{self.path} can be written by everybody, who could have the hub run anything; run: "
                f"chmod o-w {self.path}"
            )
        rows = content.get("application", [])
        if set(content) - {"application"} or not isinstance(rows, list):
            raise ConfigurationError(f"{self.path} has something else than [[application]] entries; remove that")
        entries: list[Entry] = []
        mistakes: list[str] = []
        for number, row in enumerate(rows, start=1):
            place = f"{self.path}, application {number}"
            wrong = _mistakes(row)
            mistakes += [f"{place}: {mistake}" for mistake in wrong]
            if wrong:
                continue
            entry = Entry(
                row.get("organization"), row["app_id"], row["version"], Path(row["folder"]), tuple(row["command"])
            )
            key = (entry.organization, entry.app_id, entry.version)
            if key in [(each.organization, each.app_id, each.version) for each in entries]:
                mistakes.append(f"{place}: {entry.app_id} {entry.version} is there already; remove one of the two")
            entries.append(entry)
        if mistakes:
            raise ConfigurationError("; ".join(mistakes))
        return entries

    def find(self, organization: str, app_id: str, version: str) -> Entry | None:
        """What a version runs in an organization; None if the table does not have it.

        Raises:
            ConfigurationError: the table has mistakes.
        """
        entries = {
            entry.organization: entry
            for entry in self.entries()
            if (entry.app_id, entry.version) == (app_id, version) and entry.organization in (organization, None)
        }
        return entries.get(organization) or entries.get(None)


def local_command(entry: Entry) -> list[str]:
    """What starts an application with the app proxy in front of it."""
    # -P: nothing in the working folder, which is the user's, is taken for a module of the proxy.
    proxy = [sys.executable, "-P", "-m", "edge_hub.app_proxy", "--folder", str(entry.folder)]
    return [*proxy, "--app", "127.0.0.1:0", "--", *entry.command]


def _mistakes(row: Any) -> list[str]:
    """Sentences on what is wrong with an entry."""
    if not isinstance(row, dict):
        return ["it is no table; begin it with [[application]]"]
    sentences = [
        f"{key!r} is no key of an application; use {', '.join(sorted(_KEYS))}" for key in sorted(set(row) - _KEYS)
    ]
    for key in ("app_id", "version", "folder"):
        if not isinstance(row.get(key), str) or not row[key]:
            sentences.append(f'{key} is missing; write {key} = "..."')
    if not isinstance(row.get("organization", ""), str):
        sentences.append("organization is no text; write its short name, or leave it out for any")
    command = row.get("command")
    if not isinstance(command, list) or not command or not all(isinstance(word, str) for word in command):
        sentences.append('command is no list of words; write command = ["/path/to/python", "app.py"]')
    elif not os.path.isabs(command[0]) or not os.access(command[0], os.X_OK) or os.path.isdir(command[0]):
        sentences.append(f"{command[0]} is no program; name one by its whole path")
    folder = row.get("folder")
    if isinstance(folder, str) and folder and not (os.path.isabs(folder) and os.path.isdir(folder)):
        sentences.append(f"{folder} is no folder; name one by its whole path")
    return sentences
