"""`edge server restore`: a data folder from a backup.

The folder is new or empty. A file in it says that it is not complete until all of it is on disk: no server starts on
what was half restored.
"""

from __future__ import annotations

import collections
import concurrent.futures
import contextlib
import dataclasses
import hashlib
import shutil
import tomllib
from collections.abc import Mapping
from pathlib import Path

from edge_core.replacing import replacing, sync_folder
from edge_server.base import configuration
from edge_server.base.problems import CannotStart
from edge_server.data import database
from edge_server.data.database import Database
from edge_server.data.migration import own_history
from edge_server.data.store import BLOCK, WRITERS, FolderStore, MissingContent
from edge_server.files import fsck, storage
from edge_server.keys import folder, sealing, signing
from edge_server.keys.sealing import KeyFile
from edge_server.keys.signing import Signer
from edge_server.run import app, backup, backup_folder, data_folder, lost_keys, server_routes, start
from edge_server.run.backup_folder import About, Backup
from edge_vfs.progress import Tracker

SETTINGS_ASIDE = f"{configuration.FILE_NAME}.restored"
"""The settings of a backup that name places of the server that was backed up."""

_KEY_FILES = (sealing.FILE_NAME, signing.FILE_NAME)


@dataclasses.dataclass
class Report:
    """What was restored.

    Attributes:
        backup: the backup's folder.
        about: what that is of.
        damages: content that is damaged in it, or missing, as far as it is known what it is.
        lost: the names of what a key has sealed that is not there, by table and organization.
        settings: the file of settings that was put aside; None if none was.
    """

    backup: Path
    about: About
    damages: list[str]
    lost: lost_keys.Closed
    settings: Path | None


def restore(
    source: Path,
    data: Path,
    config: Path | None = None,
    *,
    keys: Path | None = None,
    tracker: Tracker | None = None,
) -> Report:
    """Make the data folder `data` from a backup.

    Args:
        source: the backup, or the folder of backups, of which the newest is taken.
        data: the data folder, which is missing or empty.
        config: the file of the operator's settings, which may say that content or keys are elsewhere.
        keys: where the keys are, or a folder of those of several backups; None to go on without.
        tracker: counts the contents.

    Raises:
        CannotStart: the backup is not whole, or the folder not empty.
    """
    settings = configuration.of_server(data, config)
    with contextlib.ExitStack() as stack:
        opened = stack.enter_context(contextlib.closing(database.of_server(settings, data)))
        path, store = backup.in_files(opened, storage.store_of(settings, data))
        chosen = backup_folder.find(source)
        backup_folder.require_database(chosen)
        _require_known(chosen)
        loaded = app.load(app.engines_at(data, Signer(b""), settings, database=opened))
        keys_folder = folder.folder_of(settings, data)
        key_files = {} if keys is None else _key_files(keys, chosen, keys_folder)
        stack.enter_context(data_folder.explained(data))
        stack.enter_context(data_folder.locked(data))
        _require_empty(data, store)
        marker = data / data_folder.RESTORING
        marker.touch()
        sync_folder(data)
        damaged = _restore_contents(chosen, store, tracker or Tracker("copy", "", progress=False))
        aside = _restore_operator_files(chosen, data, damaged)
        for name, content in key_files.items():
            _write(keys_folder / name, content)
        _write(path, chosen.folder / database.FILE_NAME)
        named = _named(opened, chosen, damaged)
        ring = KeyFile(keys_folder / sealing.FILE_NAME)
        ids = {key.id for key in ring.read().keys} if ring.path.exists() else set()
        closed = lost_keys.closed(opened, start.sealed_columns(loaded), ids)
        opened.close()
        sync_folder(data)
        marker.unlink()
        sync_folder(data)
        return Report(chosen.folder, chosen.about, named, closed, aside)


def _require_known(chosen: Backup) -> None:
    about = chosen.about
    history = own_history()
    if not history.knows(about.revision) and not history.knows(about.needed_revision):
        raise CannotStart(
            f"version {about.version} of the server made the backup {chosen.folder}, and its database is at revision "
            f"{about.revision}, where this version ({server_routes.version()}) knows {history.head}; install that one"
        )


def _require_empty(data: Path, store: FolderStore) -> None:
    names = {path.name for path in data.iterdir()} - {data_folder.LOCK}
    if names and names <= set(_KEY_FILES):
        # They may have no other copy, and whose restore is interrupted is told to remove the folder.
        raise CannotStart(f"{data} holds keys; move them into a folder elsewhere, and name that with --keys")
    if names:
        raise CannotStart(f"{data} holds a server's data already; name an empty folder with --data, or move it away")
    if not store.is_empty():
        raise CannotStart(
            "the folder that [storage] directory names holds content already; name an empty one, or move that away"
        )


def _key_files(keys: Path, chosen: Backup, target: Path) -> dict[str, bytes]:
    """The key files that are to be put into `target`, by their names."""
    paths: list[Path] = []
    for each in (keys / chosen.folder.name, keys):
        paths = paths or [each / name for name in _KEY_FILES if (each / name).is_file()]
    if not paths:
        raise CannotStart(
            f"{keys} has neither keys nor a folder {chosen.folder.name} with them; name the folder that --keys of the "
            "backup named"
        )
    files = {path.name: path.read_bytes() for path in paths}
    if sealing.FILE_NAME in files:  # which is not there where another keeper has always sealed
        KeyFile(paths[0]).read()
    for name, content in list(files.items()):
        if (target / name).exists():
            if (target / name).read_bytes() != content:
                raise CannotStart(
                    f"{target / name} is there already and is another one; move it away, or leave out --keys"
                )
            del files[name]
    target.mkdir(mode=0o700, parents=True, exist_ok=True)
    return files


def _restore_contents(chosen: Backup, store: FolderStore, tracker: Tracker) -> dict[str, str]:
    """Copy all content; gives what is wrong with such as is damaged, by its path in the backup."""
    damaged = dict.fromkeys(chosen.about.damaged, "its content was damaged or missing when it was backed up")
    tracker.expect(chosen.about.content_bytes, files=chosen.about.contents)
    stores: dict[str | None, FolderStore] = {None: store}

    def copy(path: str, digest: str, key: str, subsystem: str | None) -> tuple[str, str | None]:
        original = FolderStore(chosen.folder)
        if subsystem is not None:
            original = original.part(subsystem)
        try:
            with contextlib.closing(original.open(key)) as content:
                written = stores[subsystem].fill(key, backup.blocks(content))
        except MissingContent:
            return path, fsck.MISSING
        except backup.Unreadable as error:
            stores[subsystem].remove(key)
            return path, str(error)
        return path, None if written.sha256 == digest else "its content is damaged, it has another SHA-256"

    waiting: collections.deque[concurrent.futures.Future[tuple[str, str | None]]] = collections.deque()

    def take() -> None:
        path, what = waiting.popleft().result()
        tracker.done()
        if what is not None:
            damaged[path] = what

    with concurrent.futures.ThreadPoolExecutor(WRITERS) as writers:
        for path, digest in chosen.sums():
            content = backup_folder.key_of(path)
            if content is None:
                continue
            key, subsystem = content
            if subsystem is not None:
                stores.setdefault(subsystem, store.part(subsystem))
            waiting.append(writers.submit(copy, path, digest, key, subsystem))
            if len(waiting) > 2 * WRITERS:
                take()
        while waiting:
            take()
    for each in stores.values():
        each.create()
        each.finish()
    return damaged


def _restore_operator_files(chosen: Backup, data: Path, damaged: dict[str, str]) -> Path | None:
    """Put back what the operator has written; gives where the settings are, if they were put aside."""
    aside = None
    for path, digest in chosen.sums():
        if backup_folder.key_of(path) is not None or path == database.FILE_NAME:
            continue
        try:
            content = (chosen.folder / path).read_bytes()
        except OSError as error:
            damaged[path] = f"it cannot be read ({error.strerror})"
            continue
        if hashlib.sha256(content).hexdigest() != digest:
            damaged[path] = "it has another SHA-256, so it was left out"
            continue
        target = data / path
        if path == configuration.FILE_NAME and _names_places(content):
            target = aside = data / SETTINGS_ASIDE
        _write(target, content)
    return aside


def _names_places(content: bytes) -> bool:
    """Whether settings say where data is; that is the place of the server that was backed up."""
    try:
        sections = tomllib.loads(content.decode("utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError):
        return True
    settings = sections.get(storage.SECTION)
    places = {*storage.OF_A_BUCKET, "kind", "directory"}
    return bool(sections.keys() & {"database", "keys"}) or (
        isinstance(settings, dict) and bool(settings.keys() & places)
    )


def _named(opened: Database, chosen: Backup, damaged: Mapping[str, str]) -> list[str]:
    """A line for each damage, by path and version where the database can be asked."""
    contents = {path: backup_folder.key_of(path) for path in damaged}
    of_files = {content[0]: damaged[path] for path, content in contents.items() if content and content[1] is None}
    if not of_files or not own_history().can_use(opened):
        return [f"{path}: {what}" for path, what in damaged.items()]
    lines = [str(damage) for damage in fsck.damages(opened, of_files)]
    others = [path for path, content in contents.items() if content is None or content[1] is not None]
    return lines + [f"{path}: {damaged[path]}" for path in others]


def _write(path: Path, content: bytes | Path) -> None:
    """Write a file, on disk."""
    with replacing(path, mode=0o600) as file:
        if isinstance(content, bytes):
            file.write(content)
            return
        with open(content, "rb") as original:
            shutil.copyfileobj(original, file, BLOCK)
