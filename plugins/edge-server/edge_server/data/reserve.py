"""Room on the disk for deleting, which needs some itself: the database notes what is deleted before anything goes."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

FILE_NAME = "reserve"

SIZE = 4 << 20
"""Bytes kept; deleting a thousand files takes about half a megabyte."""

LOW = 64 << 20
"""Bytes that are free where a disk counts as full, unless that is more than a quarter of it."""


class Reserve:
    """A file in the data folder that is dropped where there is no room otherwise, and made again once there is.

    Args:
        folder: the data folder.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE_NAME

    def keep(self) -> None:
        """Make the file where it is missing, unless the disk is full."""
        if self._path.exists() or missing_at(self._path.parent):
            return
        with contextlib.suppress(OSError):
            try:
                with open(self._path, "xb") as file:
                    if hasattr(os, "posix_fallocate"):
                        os.posix_fallocate(file.fileno(), 0, SIZE)
                    else:
                        file.write(bytes(SIZE))
            except BaseException:
                self._path.unlink(missing_ok=True)
                raise

    def release(self) -> bool:
        """Drop the file; False if it was dropped already."""
        try:
            self._path.unlink()
        except OSError:
            return False
        return True


def missing_at(folder: Path) -> int:
    """Bytes that have to go from a folder's disk so that twice of what counts as full is free; 0 if it is not full."""
    disk = shutil.disk_usage(folder)
    low = min(LOW, disk.total // 4)
    return max(0, 2 * low - disk.free) if disk.free < low else 0
