"""Reading the files of a server's logs, which may be moved away at any time."""

from __future__ import annotations

import os
import time
from collections.abc import Generator
from pathlib import Path
from typing import IO

from edge_server.base import audit
from edge_server.base.configuration import Configuration
from edge_server.base.problems import CannotStart
from edge_server.run import logs

SERVER, ACCESS, AUDIT = "server", "access", "audit"

ACCESS_FILE = "access.log"

POLL_INTERVAL = 0.2
"""Seconds between two looks at a file that is followed."""

_BLOCK = 1 << 16


def opened(kind: str, folder: Path, settings: Configuration) -> IO[bytes]:
    """The file of a log.

    Args:
        kind: `SERVER`, `ACCESS` or `AUDIT`.
        folder: the data folder.
        settings: the operator's.

    Raises:
        CannotStart: there is none; the sentence says where the log is, or how to have one.
        OSError: it cannot be read.
    """
    if not folder.is_dir():
        raise CannotStart(f"there is no folder {folder}; name that of the server by --data")
    if kind == SERVER:
        path = logs.file_of(settings)
        if path is None:
            raise CannotStart(
                "the server's log goes to standard error, without file in [log]; under systemd run: "
                "journalctl -u edge-server"
            )
    else:
        path = folder / "logs" / (ACCESS_FILE if kind == ACCESS else audit.FILE_NAME)
    if not path.is_file():
        how = "; start the server with --access-log" if kind == ACCESS else ", since nothing has been logged yet"
        raise CannotStart(f"there is no {path}{how}")
    return path.open("rb")


def lines_of(file: IO[bytes], last: int, *, follow: bool = False) -> Generator[str, None, None]:
    """The last lines of a file, without their ends, and if it is followed all that come, for ever.

    Lines are followed to the file that takes the place of one that is moved away.

    Args:
        file: the file, which is closed in the end.
        last: how many lines of those that are there.
        follow: whether to wait for more.
    """
    path = Path(file.name)
    try:
        start = file.seek(0, os.SEEK_END)
        tail = b""
        while start > 0 and tail.count(b"\n") <= last:
            size = min(_BLOCK, start)
            start = file.seek(start - size)
            tail = file.read(size) + tail
        *lines, rest = tail.split(b"\n")
        for line in lines[max(0, len(lines) - last) :]:
            yield line.decode(errors="replace")
        # What is not whole yet comes with the lines that follow.
        file.seek(start + len(tail) - len(rest))
        while follow:
            line = file.readline()
            if line.endswith(b"\n"):
                yield line[:-1].decode(errors="replace")
                continue
            file.seek(-len(line), os.SEEK_CUR)
            if _is_moved(path, file):
                file.close()
                file = path.open("rb")
            elif os.fstat(file.fileno()).st_size < file.tell():
                file.seek(0)  # it was emptied
            else:
                time.sleep(POLL_INTERVAL)
    finally:
        file.close()


def _is_moved(path: Path, file: IO[bytes]) -> bool:
    """Whether another file is at the path, in which the server writes on."""
    try:
        return not os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False
