"""Who saw which secret and made which change, and when: a line for each, and never what was in it.

The line is in `logs/audit.log` of the data folder before the answer goes out; one that cannot be
written keeps the secret from being read, or the change from being made. It also goes to the logger
``edge_server.audit``, for those who collect a server's log elsewhere.
"""

from __future__ import annotations

import errno
import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edge_server.base import clock
from edge_server.base.problems import request_id

log = logging.getLogger("edge_server.audit")

FILE_NAME = "audit.log"


class AuditLog:
    """Takes down what callers do.

    The file is opened for each line, so that it can be moved away at any time, and each line is one
    write, so that those of several processes do not mix.

    Args:
        path: the file, made if it is missing; None for the logger alone.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path

    def note(self, user: str, action: str, organization: str | None, about: Mapping[str, str]) -> None:
        """Take down what is done in the request at hand.

        Args:
            user: name of the user who does it.
            action: the operation, as in the permission table.
            organization: short name of the organization it is done in; None for the server.
            about: to which thing; never its content.

        Raises:
            OSError: the line cannot be written.
        """
        line: dict[str, Any] = {
            "at": clock.now().isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "user": user,
            "action": action,
            "organization": organization,
            **about,
            "request_id": request_id(),
        }
        text = json.dumps(line)
        if self._path is not None:
            _append(self._path, text.encode() + b"\n")
        log.info("%s", text, extra={"fields": line})


def _append(path: Path, line: bytes) -> None:
    try:
        handle = _open(path)
    except FileNotFoundError:
        path.parent.mkdir(mode=0o700, exist_ok=True)
        handle = _open(path)
    try:
        written = os.write(handle, line)
        if written < len(line):
            # Half a line, on a full disk: it goes again, unless another process has begun the next one behind it.
            end = os.lseek(handle, 0, os.SEEK_CUR)
            if os.fstat(handle).st_size == end:
                os.ftruncate(handle, end - written)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
    finally:
        os.close(handle)


def _open(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
