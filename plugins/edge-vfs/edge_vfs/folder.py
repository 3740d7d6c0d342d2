"""`Folder`: a folder of any store."""

from __future__ import annotations

import builtins
import itertools
import os
import pathlib
import tempfile
from collections.abc import Iterator
from typing import IO, Any, ClassVar, TypeAlias, TypeVar

from edge_core.errors import BadEntry, EdgeError, NotFound
from edge_vfs import local_names, openers, patterns, table
from edge_vfs.content import Check, Content
from edge_vfs.file import File
from edge_vfs.source import Source
from edge_vfs.store import FileStore, Stat

BLOCK = 1 << 20

SHOWN = 50
"""Entries of a folder that a notebook shows."""

_F = TypeVar("_F", bound="Folder")

Name: TypeAlias = "str | os.PathLike[str] | Folder"
"""What names an entry: a name, a path from the folder, or a `Folder` made by joining with ``/``."""


class Folder:
    """A folder of files; `EdgeSession.files` is the root of the organization's.

    Wherever a method takes a name, a path such as ``"runs/2024/plate-7.csv"`` will do, as text or as
    a path object; it is relative to this folder, with or without one leading ``/``. So will what
    ``folder / "runs" / "plate-7.csv"`` gives, which asks nothing of the server.

    Iterating over a folder gives the names in it, page after page, however many there are.
    """

    _file_class: ClassVar[type[File]] = File

    def __init__(self, store: FileStore, path: str = "") -> None:
        self._store = store
        self._path = path

    @property
    def basename(self) -> str:
        """The name, without its path; empty for the root."""
        return self._path.rpartition("/")[2]

    @property
    def path(self) -> str:
        """The path from the root, such as ``"/runs/2024"``; ``"/"`` for the root."""
        return f"/{self._path}"

    @property
    def parent(self: _F) -> _F:
        """The folder this one is in; of the root, the root."""
        return type(self)(self._store, self._path.rpartition("/")[0])

    def __truediv__(self: _F, name: Name) -> _F:
        return type(self)(self._store, self._join(name))

    def __iter__(self) -> Iterator[str]:
        return (one.name for one in self._store.children(self._path))

    def __contains__(self, name: Name) -> bool:
        return self.exists(name)

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

    def scan(self) -> Iterator[Stat]:
        """What is in this folder, each with its kind, size and time; one page is held at a time.

        Raises:
            NotFound: the folder is not there any more.
        """
        return iter(self._store.children(self._path))

    def exists(self, name: Name | None = None) -> bool:
        """Whether there is such a file or folder; without a name, whether this folder is there."""
        try:
            self.stat(name)
        except NotFound:
            return False
        return True

    def stat(self, name: Name | None = None) -> Stat:
        """What the store knows of an entry: kind, size in bytes, `modified_at` in UTC, SHA-256, version.

        Args:
            name: name or path; without it, this folder.

        Raises:
            NotFound: there is no such file or folder.
        """
        return self._store.stat(self._path if name is None else self._join(name))

    def walk(self: _F, name: Name | None = None) -> Iterator[tuple[_F, builtins.list[str], builtins.list[str]]]:
        """Go through a tree, as `pathlib.Path.walk` does, a folder before what is in it.

        Take a name out of the folders' list, and that folder is left out. Each folder is one listing.

        Args:
            name: name or path of the folder to begin at; without it, this one.

        Returns:
            for each folder itself, the names of the folders in it, and those of the files.

        Raises:
            NotFound: there is no such folder; one that is deleted meanwhile is left out.
        """
        start = self if name is None else self / name
        waiting = [start]
        while waiting:
            folder = waiting.pop()
            folders: builtins.list[str] = []
            files: builtins.list[str] = []
            try:
                for one in folder.scan():
                    (folders if one.kind == "folder" else files).append(one.name)
            except NotFound:
                if folder is start:
                    raise
                continue
            yield folder, folders, files
            waiting += [folder / one for one in reversed(folders)]

    def glob(self, pattern: str) -> Iterator[str]:
        """Paths, from this folder on, of the files and folders that match a pattern.

        Args:
            pattern: ``*`` and ``?`` stand for what is in one name, ``[ab]`` for one of the characters,
                ``**`` for any number of folders: the rules of fsspec, which are those of Python's `glob`
                except that a name may begin with a dot. Upper and lower case differ.

        Raises:
            BadEntry: the pattern is not valid.
        """
        return patterns.matching(pattern, self._children)

    def _children(self, path: str) -> Iterator[Stat]:
        return iter(self._store.children(self._join(path) if path else self._path))

    def open(self, name: Name, open_with: str | None = None) -> Any:
        """Open a file or folder.

        Args:
            name: name or path.
            open_with: name of an opener, such as ``"pandas"``, ``"pil"``, ``"json"`` or ``"text"``;
                ``"file"`` gives the bytes as a `File`. By default the name's suffix decides, or, if
                it has none, the content's first bytes; what no opener knows is a `File`.

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
                raise BadEntry(f"{str(name)!r} is a folder, which no opener opens; leave open_with out")
            return type(self)(self._store, path)
        file = self._file_class(self._store, path, stat)
        opener = openers.choose(file, open_with)
        return file if opener is None else openers.run(opener, file)

    def download(self, name: Name, localpath: str | os.PathLike[str] | None = None) -> pathlib.Path:
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
            raise BadEntry(f"{str(name)!r} is a folder; download_folder takes it with all that is in it")
        target = _target(stat.name, localpath)
        self._fetch(path, stat, target)
        return target

    def _fetch(self, path: str, stat: Stat, target: pathlib.Path) -> None:
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

    def download_folder(self, name: Name, localpath: str | os.PathLike[str] | None = None) -> pathlib.Path:
        """Download a folder with all that is in it; each file appears only when it is whole and checked.

        Nothing is written outside the local folder, and through no link in it. A failure leaves the
        files that were whole by then.

        Args:
            name: name or path of a folder.
            localpath: the local folder that becomes this one, made if it is not there; by default one
                of the same name in the working folder. Files in it are replaced, others stay.

        Returns:
            the local folder's path.

        Raises:
            NotFound: there is no such folder.
            BadEntry: `name` is a file; a name in it can be no local name on some system, or is
                another's in other letters; or a link stands where a folder is to be.
            ChecksumError: what arrived is not what was uploaded.
            OSError: a local file cannot be written.
        """
        folder = self / name
        if folder.stat().kind != "folder":
            raise BadEntry(f"{str(name)!r} is a file; download takes it")
        if localpath is None:
            local_names.check(folder.basename)
        top = pathlib.Path(folder.basename if localpath is None else localpath)
        if not top.is_dir():
            local_names.make_folder(top)
        waiting = [(folder, top)]
        while waiting:
            source, target = waiting.pop()
            seen: dict[str, str] = {}
            for one in source.scan():
                _check_local(source, one.name, seen)
                if one.kind == "folder":
                    local_names.make_folder(target / one.name)
                    waiting.append((source / one.name, target / one.name))
                else:
                    _check_ordinary(target / one.name)
                    self._fetch(source._join(one.name), one, target / one.name)
        return top

    def upload_folder(self: _F, name: Name, localpath: str | os.PathLike[str], *, overwrite: bool = True) -> _F:
        """Upload a local folder with all that is in it, and return it.

        Links to files are followed and links to folders are not, as these may lead back.

        Args:
            name: name or path on the server; files that are there already are replaced, others stay.
            localpath: the local folder.
            overwrite: False refuses to replace a file.

        Raises:
            AlreadyExists: a name is taken, by a file where a folder is to be or the other way round, or
                by a file and `overwrite` is False.
            BadEntry: a local name is not valid in the organization.
            NotADirectoryError: there is no such local folder.
            OSError: a local file cannot be read.
        """
        top = pathlib.Path(localpath)
        if not top.is_dir():
            raise NotADirectoryError(f"there is no local folder {top}")
        folder = self.make_folder(name, exist_ok=True)
        for here, folders, files in os.walk(top, onerror=_raise):
            target = folder
            for part in pathlib.Path(here).relative_to(top).parts:
                target = target / part
            for one in folders:
                if not os.path.islink(os.path.join(here, one)):
                    target.make_folder(one, exist_ok=True)
            for one in files:
                target.upload(one, os.path.join(here, one), overwrite=overwrite)
        return folder

    def upload(
        self,
        name: Name,
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

    def make_folder(self: _F, name: Name, *, exist_ok: bool = False) -> _F:
        """Make a folder, with its missing parents, and return it.

        Raises:
            AlreadyExists: the name is taken; with `exist_ok` only if it is a file's.
            BadEntry: the name is not valid.
        """
        path = self._join(name)
        self._store.make_folder(path, exist_ok=exist_ok)
        return type(self)(self._store, path)

    def move(self, name: Name, new_path: Name, *, overwrite: bool = False) -> None:
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

    def rename(self, name: Name, new_name: str, *, overwrite: bool = False) -> None:
        """Give a file or folder a new name in the folder it is in; raises like `move`."""
        if "/" in new_name or not new_name:
            raise BadEntry(f"{new_name!r} is not a name; to change the folder as well, use move")
        path = self._join(name)
        parent, slash, _ = path.rpartition("/")
        self._store.move(path, f"{parent}{slash}{new_name}", overwrite=overwrite)

    def delete(self, name: Name, *, recursive: bool = False) -> None:
        """Delete a file or folder.

        Args:
            name: name or path.
            recursive: needed for a folder that is not empty.

        Raises:
            NotFound: there is no such file or folder.
            Conflict: the folder is not empty.
        """
        self._store.delete(self._join(name), recursive=recursive)

    def _join(self, name: Name) -> str:
        if isinstance(name, Folder):
            if name._store is not self._store:
                raise BadEntry(f"{name!r} is in another store; download it and upload it here")
            if not name._path:
                raise BadEntry("that is the root itself; give the name or path of a file or folder")
            return name._path
        text = name.as_posix() if isinstance(name, pathlib.PurePath) else name
        if isinstance(text, os.PathLike):
            text = os.fspath(text)
        if not isinstance(text, str):
            raise TypeError(f"a name must be a text or a path, not {type(name).__name__}")
        relative = text.removeprefix("/")
        if not relative:
            raise BadEntry("the name is empty; give the name or path of a file or folder")
        if relative.startswith("/"):
            raise BadEntry(f"{text!r} begins with more than one slash; begin it with one or none")
        return f"{self._path}/{relative}" if self._path else relative

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.path!r}>"

    def _repr_html_(self) -> str:
        """The first entries as a table, for notebooks."""
        try:
            found = builtins.list(itertools.islice(self.scan(), SHOWN + 1))
        except EdgeError as error:
            return table.plain(f"{self!r}: {error}")
        return table.of_entries(self.path, found[:SHOWN], more=len(found) > SHOWN)


def _check_local(folder: Folder, name: str, seen: dict[str, str]) -> None:
    """See that a name of `folder` can be a local one and is no second name of one `seen` before."""
    try:
        local_names.check(name)
    except BadEntry as error:
        raise BadEntry(f"in {folder.path!r}: {error}") from None
    other = seen.setdefault(local_names.same(name), name)
    if other != name:
        raise BadEntry(
            f"in {folder.path!r}: {other!r} and {name!r} are one name on some systems, and the second would "
            "replace the first; rename one, or download them one by one"
        )


def _target(name: str, localpath: str | os.PathLike[str] | None) -> pathlib.Path:
    target = pathlib.Path(localpath if localpath is not None else ".")
    if target.is_dir():
        local_names.check(name)
        target = target / name
    if not target.parent.is_dir():
        raise NotADirectoryError(f"there is no local folder {target.parent} to download into; make it first")
    _check_ordinary(target)
    return target


def _check_ordinary(target: pathlib.Path) -> None:
    if target.exists() and not target.is_file():
        # Renaming over a device or a pipe would take it away from everyone.
        raise BadEntry(f"{target} is no ordinary file and will not be replaced; choose another localpath")


def _raise(error: OSError) -> None:
    raise error


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
