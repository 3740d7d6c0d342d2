"""What became of the files of a transfer: a record for who called, and the error that carries it."""

from __future__ import annotations

import dataclasses
import errno
import threading
import time
from typing import Any

from edge_core.errors import (
    BadResponse,
    ConnectionFailed,
    EdgeError,
    EdgeSessionError,
    Forbidden,
    MissingPackage,
    PluginError,
    ServerError,
    Unauthenticated,
)
from edge_core.sizes import shown

NAMED = 10
"""Maximum number of files that the sentence of an error names."""

# What the next file would meet as well: who calls, the connection, the server.
_OF_ALL = (
    Unauthenticated,
    Forbidden,
    ConnectionFailed,
    BadResponse,
    EdgeSessionError,
    PluginError,
    MissingPackage,
)

# And of this machine: its disk is full or read-only, or the process may open no more files.
_OF_ALL_HERE = {
    getattr(errno, name) for name in ("ENOSPC", "EDQUOT", "EROFS", "EMFILE", "ENFILE", "ENOMEM") if hasattr(errno, name)
}


@dataclasses.dataclass(frozen=True, slots=True)
class Failure:
    """A file that was not transferred.

    Attributes:
        path: path of the file below the folder of the call, segments joined by ``/``.
        error: what failed.
    """

    path: str
    error: Exception

    @property
    def reason(self) -> str:
        """What failed, as a sentence."""
        return str(self.error) or type(self.error).__name__


@dataclasses.dataclass(frozen=True, slots=True, repr=False)
class TransferReport:
    """What became of the files of a call. Paths are below the folder of the call, and in their order.

    Attributes:
        sent: paths of the files that were transferred.
        skipped: paths of the files that both sides had already.
        failed: the files that were not transferred, each with the reason.
        bytes: bytes of the files that were transferred.
        seconds: how long it took.

    >>> print(TransferReport(("a.csv", "b.csv"), ("c.csv",), (), 3_400_000, 1.25))
    2 files with 3.4 MB in 1.2 s, 1 unchanged
    """

    sent: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    failed: tuple[Failure, ...] = ()
    bytes: int = 0
    seconds: float = 0.0

    def __str__(self) -> str:
        count = "1 file" if len(self.sent) == 1 else f"{len(self.sent)} files"
        text = f"{count} with {shown(self.bytes)} in {self.seconds:.1f} s"
        if self.skipped:
            text += f", {len(self.skipped)} unchanged"
        if self.failed:
            text += f", {len(self.failed)} failed"
        return text

    def __repr__(self) -> str:
        # In short, as it may name a million files, and a notebook shows what a call returns.
        return f"<{type(self).__name__}: {self}>"


@dataclasses.dataclass(frozen=True, slots=True, repr=False)
class SyncReport(TransferReport):
    """What became of the files of `Folder.sync`, or what would become of them in a dry run.

    Attributes:
        deleted: paths of the files and folders that were deleted because the source does not have them.

    >>> print(SyncReport(("a.csv",), (), (), 3_400_000, 1.25, ("old", "old/b.csv")))
    1 file with 3.4 MB in 1.2 s, 2 deleted
    """

    deleted: tuple[str, ...] = ()

    def __str__(self) -> str:
        text = TransferReport.__str__(self)
        return f"{text}, {len(self.deleted)} deleted" if self.deleted else text


class IncompleteTransfer(EdgeError):
    """Some files could not be transferred; all others were.

    Attributes:
        report: what became of each file.
    """

    def __init__(self, message: str, report: TransferReport) -> None:
        super().__init__(message)
        self.report = report

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.args[0], self.report)


class Tally:
    """Notes what becomes of the files of a call, in any of its threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._began = time.monotonic()
        self._sent: list[str] = []
        self._skipped: list[str] = []
        self._failed: list[Failure] = []
        self._bytes = 0

    def sent(self, path: str, size: int) -> None:
        """Note a file that was transferred, with its bytes."""
        with self._lock:
            self._sent.append(path)
            self._bytes += size

    def skipped(self, path: str) -> None:
        """Note a file that both sides have already."""
        with self._lock:
            self._skipped.append(path)

    def failed(self, path: str, error: Exception) -> None:
        """Note a file that was not transferred.

        Raises:
            Exception: `error` itself, if the next file would meet it as well.
        """
        if not concerns_single_file(error):
            raise error
        with self._lock:
            self._failed.append(Failure(path, error))

    def report(self) -> TransferReport:
        """Return what was noted so far."""
        with self._lock:
            return TransferReport(
                tuple(sorted(self._sent)),
                tuple(sorted(self._skipped)),
                tuple(sorted(self._failed, key=lambda failure: failure.path)),
                self._bytes,
                time.monotonic() - self._began,
            )

    def require_complete(self, verb: str) -> TransferReport:
        """Return what became of all files.

        Args:
            verb: what was done with them, such as ``"uploaded"``.

        Raises:
            IncompleteTransfer: files have failed.
        """
        report = self.report()
        if report.failed:
            error = IncompleteTransfer(_sentence(report, verb), report)
            raise error from report.failed[0].error
        return report


def concerns_single_file(error: Exception) -> bool:
    """Return whether an error is about one file, so that the next may be transferred all the same."""
    if isinstance(error, OSError) and not isinstance(error, EdgeError):
        return error.errno not in _OF_ALL_HERE
    if isinstance(error, ServerError):
        return error.status == 500  # such as a file that is damaged on the server
    return isinstance(error, EdgeError) and not isinstance(error, _OF_ALL)


def _sentence(report: TransferReport, verb: str) -> str:
    failed = report.failed
    total = len(failed) + len(report.sent) + len(report.skipped)
    named = "; ".join(f"{failure.path!r}: {failure.reason}" for failure in failed[:NAMED])
    more = f"; and {len(failed) - NAMED} more, which `report` of this error names" if len(failed) > NAMED else ""
    others = ", all others were" if total > len(failed) else ""
    return f"{len(failed)} of {total} files could not be {verb}{others}: {named}{more}"
