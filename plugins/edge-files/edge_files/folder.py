"""`Folder`: a folder of the organization."""

from __future__ import annotations

import builtins

import edge_vfs
from edge_files.file import File
from edge_files.store import OrganizationStore
from edge_files.wire import FileVersion, OpenUpload
from edge_vfs.folder import Name


class Folder(edge_vfs.Folder[File]):
    """A folder of the organization: `EdgeSession.files` and every folder below it.

    Every user of the organization can reach its files; nobody outside can.
    """

    _store: OrganizationStore

    _file_class = File
    _normalizes_names = True

    def versions(self, name: Name) -> builtins.list[FileVersion]:
        """Return the versions of a file that can be restored, the newest first.

        The server keeps content for 24 hours after it was replaced or deleted, and so long lists it here: the
        versions of the file that is there, also from before it was moved, and those of files that were replaced or
        deleted at this path.

        Args:
            name: name or path of a file, which may be deleted.

        Returns:
            versions, each with its id (`version`), `size` in bytes, `digest`, `sha256`, `modified_at` (UTC, when it was
            stored), `created_by` (user name of who stored it; None if that user has left) and `kept_until`
            (UTC; None for the newest one).

        Raises:
            NotFound: there is no file, and no version of one is kept.
            BadEntry: `name` is a folder.
        """
        versions = builtins.list(self._store.versions(self._join(name)))
        versions.reverse()
        # A file that was moved here can be older than what was deleted here.
        versions.sort(key=lambda version: version.kept_until is not None)
        return versions

    def restore(self, name: Name, version: str | FileVersion) -> None:
        """Make a version of a file its newest one again; a deleted file is there again, with its folders.

        No bytes are moved, and what was the newest version can be restored in turn.

        Args:
            name: name or path of the file, which may be deleted.
            version: the version, or its id, as `versions` returns it.

        Raises:
            NotFound: the version is not one of this file, or no longer kept.
            AlreadyExists: a folder has the name by now.
            QuotaExceeded: the organization's files may not hold as much.
            TypeError: `version` is neither.
        """
        if isinstance(version, FileVersion):
            version = version.version
        if not isinstance(version, str):
            raise TypeError(
                f"a version is what versions() returns, or the id in it, not {type(version).__name__}; "
                f"list them: versions({str(name)!r})"
            )
        self._store.restore(self._join(name), version)

    def uploads(self) -> builtins.list[OpenUpload]:
        """Return the organization's uploads that are not completed, those opened first at the beginning.

        Files of more than 1 MiB are sent in parts. What was sent of one, and what is reserved for the rest of it,
        counts in the organization's quota until the upload is completed or dropped. A client that is cut off leaves
        its upload open; the server drops it after seven days.

        Returns:
            uploads, each with its `id`, `path` from the organization's root, `size` in bytes (None if it is not known
            yet), `held_bytes` that were sent, `reserved_bytes` that count in the quota, `created_by` (user name),
            `created_at`, `active_at` (when a part last came, or it was resumed; None if neither happened) and
            `expires_at` (UTC).
        """
        return builtins.list(self._store.uploads())

    def abort_upload(self, upload: str | OpenUpload) -> None:
        """Drop an upload that is not completed, and what was sent of it.

        Whoever still sends it gets an error.

        Args:
            upload: the upload, or its id, as `uploads` returns it.

        Raises:
            NotFound: the upload cannot be found, or has expired.
            Conflict: it has been completed.
            TypeError: `upload` is neither.
        """
        if isinstance(upload, OpenUpload):
            upload = upload.id
        if not isinstance(upload, str):
            raise TypeError(
                f"an upload is what uploads() returns, or the id in it, not {type(upload).__name__}; "
                "list them: uploads()"
            )
        self._store.abort_upload(upload)
