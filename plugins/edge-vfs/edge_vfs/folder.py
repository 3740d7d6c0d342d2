"""`Folder`: a folder of any store."""

from __future__ import annotations

import builtins
import os
import pathlib
import tempfile
from typing import IO, Any, ClassVar, TypeVar

from edge_core.errors import BadEntry
from edge_vfs import openers
from edge_vfs.content import Check, Content
from edge_vfs.file import File
from edge_vfs.source import Source
from edge_vfs.store import FileStore

BLOCK = 1 << 20

_F = TypeVar("_F", bound="Folder")


class Folder:
    """A folder of files; `EdgeSession.files` is the root of the organization's.

    Wherever a method takes a name, a path such as ``"runs/2024/plate-7.csv"`` will do; it is
    relative to this folder, with or without one leading ``/``.
    """

    _file_class: ClassVar[type[File]] = File

    def __init__(self, store: FileStore, path: str = "") -> None:
        self._store = store
        self._path = path

    def list(self) -> list[str]:
        """Names of the files and folders in this folder, in the order of their UTF-8 bytes.

        Raises:
            NotFound: the folder is not there any more.
        """
        return [one.name for one in self._store.children(self._path)]

    # The method above takes the name of the built-in type for the rest of this class.

    def list_files(self) -> builtins.list[str]:
        """Names of the files in this folder; raises like `list`."""
        return [one.name for one in self._store.children(self._path, kind="file")]

    def list_folders(self) -> builtins.list[str]:
        """Names of the folders in this folder; raises like `list`."""
        return [one.name for one in self._store.children(self._path, kind="folder")]

    def open(self, name: str, open_with: str | None = None) -> Any:
        """Open a file or folder.

        Args:
            name: name or path.
            open_with: name of an opener, such as ``"pandas"``, ``"pil"``, ``"json"`` or ``"text"``;
                ``"file"`` gives the bytes as a `File`. By default the name's suffix decides, and
                what no opener knows is a `File`.

        Returns:
            a `Folder`, a `File`, or what the opener makes: a ``pandas.DataFrame``, a Pillow image, ...

        Raises:
            NotFound: there is no such file or folder.
            BadEntry: `open_with` is no opener's name, or `name` is a folder.
            MissingPackage: the opener needs a package that is not installed.
        """
        path = self._join(name)
        stat = self._store.stat(path)
        if stat.kind == "folder":
            if open_with is not None:
                raise BadEntry(f"{name!r} is a folder, which no opener opens; leave open_with out")
            return type(self)(self._store, path)
        opener = openers.choose(stat.name, open_with)
        file = self._file_class(self._store, path, stat)
        return file if opener is None else openers.run(opener, file)

    def download(self, name: str, localpath: str | os.PathLike[str] | None = None) -> pathlib.Path:
        """Download a file; it appears under its final name only when it is whole and checked.

        Args:
            name: name or path of a file.
            localpath: the local file to write, or an existing folder to put it in; by default the
                working folder. An existing file is replaced.

        Returns:
            the local file's path.

        Raises:
            NotFound: there is no such file.
            BadEntry: `name` is a folder, or is no possible local name.
            ChecksumError: what arrived is not what was uploaded; nothing is left.
            OSError: the local file cannot be written; nothing is left.
        """
        path = self._join(name)
        stat = self._store.stat(path)
        if stat.kind == "folder":
            raise BadEntry(f"{name!r} is a folder; open it and download its files")
        target = _target(stat.name, localpath)
        content, check = Content(self._store.reader(path, stat), stat), Check(stat)
        # Beside the target, so that the rename at the end cannot cross file systems.
        handle, temporary = tempfile.mkstemp(prefix=f".{target.name[:40]}.", suffix=".part", dir=target.parent)
        try:
            with builtins.open(handle, "wb", buffering=0) as file:
                while block := content.read(BLOCK):
                    check.see(content.position - len(block), block)
                    _write_all(file, block)
                    self._store.progress("download", path, content.position, stat.size)
                os.fsync(file.fileno())
            _take_usual_mode(temporary)
            os.replace(temporary, target)
            self._store.progress("download", path, content.position, stat.size, finished=True)
        except BaseException:
            os.unlink(temporary)
            raise
        finally:
            content.close()
        return target

    def upload(
        self,
        name: str,
        fileobj: str | os.PathLike[str] | bytes | bytearray | memoryview | IO[bytes],
        *,
        overwrite: bool = True,
    ) -> None:
        """Upload a file; it appears under its name only when it is whole and checked.

        Args:
            name: name or path on the server; missing folders are made.
            fileobj: a file object opened in binary mode, read from where it stands; or the path of
                a local file; or bytes.
            overwrite: False refuses to replace an existing file.

        Raises:
            AlreadyExists: the name is a folder's, or is taken and `overwrite` is False.
            BadEntry: the name is not valid.
            OSError: the local file cannot be opened.
        """
        path = self._join(name)
        with Source(fileobj) as source:
            self._store.write(path, source, overwrite=overwrite)

    def make_folder(self: _F, name: str, *, exist_ok: bool = False) -> _F:
        """Make a folder, with its missing parents, and return it.

        Raises:
            AlreadyExists: the name is taken; with `exist_ok` only if it is a file's.
            BadEntry: the name is not valid.
        """
        path = self._join(name)
        self._store.make_folder(path, exist_ok=exist_ok)
        return type(self)(self._store, path)

    def move(self, name: str, new_path: str, *, overwrite: bool = False) -> None:
        """Move a file or folder.

        Args:
            name: name or path of what is moved.
            new_path: its new path from this folder, the new basename included; missing folders are made.
            overwrite: True replaces a file that is there already.

        Raises:
            NotFound: there is no such file or folder.
            AlreadyExists: the new path is taken.
            Conflict: a folder would be moved into itself.
        """
        self._store.move(self._join(name), self._join(new_path), overwrite=overwrite)

    def rename(self, name: str, new_name: str, *, overwrite: bool = False) -> None:
        """Give a file or folder a new name in the folder it is in; raises like `move`."""
        if "/" in new_name or not new_name:
            raise BadEntry(f"{new_name!r} is not a name; to change the folder as well, use move")
        path = self._join(name)
        parent, slash, _ = path.rpartition("/")
        self._store.move(path, f"{parent}{slash}{new_name}", overwrite=overwrite)

    def delete(self, name: str, *, recursive: bool = False) -> None:
        """Delete a file or folder.

        Args:
            name: name or path.
            recursive: needed for a folder that is not empty.

        Raises:
            NotFound: there is no such file or folder.
            Conflict: the folder is not empty.
        """
        self._store.delete(self._join(name), recursive=recursive)

    def _join(self, name: str) -> str:
        if not isinstance(name, str):
            raise TypeError(f"a name must be a text, not {type(name).__name__}")
        relative = name.removeprefix("/")
        if not relative:
            raise BadEntry("the name is empty; give the name or path of a file or folder")
        if relative.startswith("/"):
            raise BadEntry(f"{name!r} begins with more than one slash; begin it with one or none")
        return f"{self._path}/{relative}" if self._path else relative

    def __repr__(self) -> str:
        return f"<{type(self).__name__} '/{self._path}'>"


def _target(name: str, localpath: str | os.PathLike[str] | None) -> pathlib.Path:
    target = pathlib.Path(localpath if localpath is not None else ".")
    if target.is_dir():
        # What is one name on the server may be a path or a device on this system.
        if pathlib.Path(name).name != name or pathlib.PurePath(name).is_reserved():
            raise BadEntry(f"{name!r} cannot be a local file's name here; give localpath= a name of your own")
        target = target / name
    if not target.parent.is_dir():
        raise NotADirectoryError(f"there is no local folder {target.parent} to download into; make it first")
    if target.exists() and not target.is_file():
        # Renaming over a device or a pipe would take it away from everyone.
        raise BadEntry(f"{target} is no ordinary file and will not be replaced; choose another localpath")
    return target


def _write_all(file: Any, block: bytes) -> None:
    view = memoryview(block)
    while view:
        view = view[file.write(view) :]


def _take_usual_mode(path: str) -> None:
    """A temporary file is private; what a user downloads gets the mode of any new file."""
    if os.name == "posix":
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(path, 0o666 & ~mask)
