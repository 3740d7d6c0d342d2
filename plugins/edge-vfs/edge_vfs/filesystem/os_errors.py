"""The errors of this project as Python's own file errors, for callers that know no others.

fsspec, pandas, pyarrow and UPath catch `FileNotFoundError`, `FileExistsError` and `OSError`. Each class here is both
errors, with the sentence and the attributes of ours.
"""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator

from edge_core import errors


class MissingFile(errors.NotFound, FileNotFoundError):
    """`NotFound`, of a file or folder."""

    errno = errno.ENOENT


class ExistingFile(errors.AlreadyExists, FileExistsError):
    """`AlreadyExists`, of a file or folder."""

    errno = errno.EEXIST


class FolderInPlace(errors.BadEntry, IsADirectoryError):
    """A folder is where a file is needed."""

    errno = errno.EISDIR


class FileInPlace(errors.BadEntry, NotADirectoryError):
    """A file is where a folder is needed."""

    errno = errno.ENOTDIR


class FolderNotEmpty(errors.Conflict, OSError):
    """`Conflict`, of a folder that is not empty."""

    errno = errno.ENOTEMPTY


class ConflictingFile(errors.Conflict, OSError):
    """Any other `Conflict`, such as that a version is gone."""

    errno = errno.EBUSY


class InvalidPath(errors.BadEntry, OSError):
    """`BadEntry`, of a path that the store does not take."""

    errno = errno.EINVAL


class RejectedToken(errors.Unauthenticated, PermissionError):
    """`Unauthenticated`, while a file was used."""

    errno = errno.EACCES


class ForbiddenFile(errors.Forbidden, PermissionError):
    """`Forbidden`, of a file or folder."""

    errno = errno.EACCES


class FullStore(errors.QuotaExceeded, OSError):
    """`QuotaExceeded`, while a file was written."""

    errno = errno.ENOSPC


class LostConnection(errors.ConnectionFailed, ConnectionError):
    """`ConnectionFailed`, while a file was used."""

    errno = errno.EIO


class FailedServer(errors.ServerError, OSError):
    """`ServerError`, while a file was used."""

    errno = errno.EIO


class DamagedContent(errors.ChecksumError, OSError):
    """`ChecksumError`, of a file's content."""

    errno = errno.EIO


class UnusableAnswer(errors.BadResponse, OSError):
    """`BadResponse`, while a file was used."""

    errno = errno.EIO


_BY_KIND: dict[type[errors.EdgeError], type[errors.EdgeError]] = {
    errors.NotFound: MissingFile,
    errors.AlreadyExists: ExistingFile,
    errors.Conflict: ConflictingFile,
    errors.BadEntry: InvalidPath,
    errors.Unauthenticated: RejectedToken,
    errors.Forbidden: ForbiddenFile,
    errors.QuotaExceeded: FullStore,
    errors.ConnectionFailed: LostConnection,
    errors.ServerError: FailedServer,
    errors.ChecksumError: DamagedContent,
    errors.BadResponse: UnusableAnswer,
}


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Raise the errors of this project as those of files; others stay as they are."""
    try:
        yield
    except errors.EdgeError as error:
        translation = of(error)
        if translation is error:
            raise
        raise translation.with_traceback(error.__traceback__) from error.__cause__


def of(error: errors.EdgeError) -> errors.EdgeError:
    """Return an error as that of a file; itself if it is one already, or has nothing to do with files."""
    if isinstance(error, OSError):
        return error
    if isinstance(error, errors.Conflict) and error.code == "not_empty":
        return _as(FolderNotEmpty, error)
    kind = next((_BY_KIND[base] for base in type(error).__mro__ if base in _BY_KIND), None)
    return error if kind is None else _as(kind, error)


def _as(kind: type[errors.EdgeError], error: errors.EdgeError) -> errors.EdgeError:
    translation = kind(*error.args)
    translation.__dict__.update(error.__dict__)
    return translation
