"""What fsspec's own `get`, `put` and `copy` would transfer, so that the transfer engine can do it at once.

Which paths a call means, and where each goes, is a matter of many rules: patterns, lists, slashes at the end, folders
that exist. They are fsspec's, and followed by calling its method on a file system that writes down the pairs.
"""

from __future__ import annotations

import os
from typing import Any

from fsspec.callbacks import NoOpCallback
from fsspec.spec import AbstractFileSystem

from edge_vfs.folder import Folder
from edge_vfs.progress import Progress, Tracker
from edge_vfs.report import Tally
from edge_vfs.source import Source
from edge_vfs.store import FileStore, Stat
from edge_vfs.transfers import download, many
from edge_vfs.transfers.fetching import MAX_CONNECTIONS
from edge_vfs.workers import WORKERS


def pairs(
    fs: AbstractFileSystem, method: str, source: Any, target: Any, **options: Any
) -> tuple[list[tuple[str, str]], dict[str, Stat]]:
    """Return the source and target of each file and folder that a method of fsspec would transfer, and what is known.

    Args:
        fs: the file system; a copy of it is asked.
        method: ``"get"``, ``"put"`` or ``"copy"``.
        source: as the method takes it.
        target: as the method takes it.
        options: those of the method.
    """
    noted: list[tuple[str, str]] = []
    seen: dict[str, Stat] = {}
    noting = planner(fs, seen)
    step = "cp_file" if method == "copy" else f"{method}_file"
    setattr(noting, step, lambda source, target, **_: noted.append((os.fspath(source), os.fspath(target))))
    getattr(AbstractFileSystem, method)(noting, source, target, **options)
    return noted, seen


def planner(fs: AbstractFileSystem, seen: dict[str, Stat]) -> Any:
    """Return a copy of a file system that notes in `seen` what it is told of files and folders, and asks once."""
    other = object.__new__(type(fs))
    vars(other).update(vars(fs), _seen=seen)
    return other


def listener(callback: Any) -> Progress:
    """Return who hears of the progress of a single file: fsspec's callback, unless it does nothing."""
    return False if isinstance(callback, NoOpCallback) else callback


def counter(callback: Any) -> Progress:
    """Return who hears of the progress of many files, which fsspec's callback counts as files."""
    return False if isinstance(callback, NoOpCallback) else lambda progress: callback.absolute_update(progress.files)


def download_all(store: FileStore, files: list[download.Planned], progress: Progress) -> None:
    """Download files, small ones many at once; the first failure ends the call."""
    with Tracker("download", "", progress, store.progress) as tracker:
        for file in files:
            download.check_ordinary(file.target)
            tracker.expect(file.stat.size)
        transfer = many.Downloads(store, tracker, Tally(), "stop", max_workers=MAX_CONNECTIONS)
        transfer.run([many.ToDownload(file.path, file) for file in files])


def upload_all(folder: Folder[Any], files: list[tuple[str, str]], progress: Progress) -> None:
    """Upload local files to paths of a store, small ones many at once; the first failure ends the call."""
    store = folder._store
    with Tracker("upload", "", progress, store.progress) as tracker:
        planned = [many.ToUpload(path, path, local, os.path.getsize(local), None) for local, path in files]
        for file in planned:
            tracker.expect(file.size)

        def write(file: many.ToUpload) -> None:
            with Source(file.local) as source:
                folder._write(
                    *(file.path, source, file.size, tracker), overwrite=True, max_workers=WORKERS, resume=True
                )

        transfer = many.Uploads(store, tracker, Tally(), "stop", overwrite=True, write=write, refusal=lambda file: None)
        transfer.run(planned)
