"""The command `edge files`."""

from __future__ import annotations

import fnmatch
import os
import pathlib
import posixpath
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import NoReturn

import click

from edge_cli import output
from edge_core.errors import NotFound
from edge_core.plugin import OpenSession
from edge_core.session import EdgeSession
from edge_files.store import COMMAND_PREFIX as REMOTE
from edge_files.store import OrganizationStore
from edge_files.wire import Entry
from edge_vfs import local_names, patterns

plugin_api = 1

_WILDCARD = re.compile(r"[*?\[]")


@click.group()
def files() -> None:
    """List, copy, move, delete and print the organization's files."""


@files.command()
@click.argument("paths", nargs=-1)
@click.option("-l", "--long", "long", is_flag=True, help="Show size and time of each entry.")
@output.json_option
@click.pass_obj
def ls(open_session: OpenSession, paths: tuple[str, ...], long: bool, as_json: bool) -> None:
    """List folders and files; the root by default. Names may have wildcards: * ? [abc] and ** for any folders."""
    with open_session() as edge:
        store = OrganizationStore(edge)
        matches = _matches(store, paths or ("",))
        single = [(path, entry) for path, entry in matches if entry.kind == "file"]
        folders = [path for path, entry in matches if entry.kind == "folder"]
        if as_json:
            output.json([entry for _, entry in single] + [entry for path in folders for entry in store.children(path)])
            return
        for path, entry in single:
            _print_entry(path if len(matches) > 1 else entry.name, entry, long)
        for path in folders:
            if len(matches) > 1:
                output.line(f"{path}/:")
            for entry in store.children(path):
                _print_entry(entry.name, entry, long)


def _print_entry(name: str, entry: Entry, long: bool) -> None:
    name = name + "/" if entry.kind == "folder" else name
    if long:
        size = "-" if entry.size is None else str(entry.size)
        output.line(f"{size:>14}", f"{entry.modified_at:%Y-%m-%d %H:%M:%S}Z", name)
    else:
        output.line(name)


@files.command()
@click.argument("path", default="")
@click.option("--name", metavar="PATTERN", help="Only entries whose name matches, with the wildcards * ? [abc].")
@click.option("--kind", type=click.Choice(["file", "folder"]), help="Only entries of this kind.")
@output.json_option
@click.pass_obj
def find(open_session: OpenSession, path: str, name: str | None, kind: str | None, as_json: bool) -> None:
    """Print the paths of everything in a folder and below it; in the root by default."""
    with open_session() as edge:
        matches = (
            (child, entry)
            for child, entry in _below(OrganizationStore(edge), _remote(path))
            if (kind is None or entry.kind == kind) and (name is None or fnmatch.fnmatchcase(entry.name, name))
        )
        if as_json:
            output.json([{"path": child, **entry.to_dict()} for child, entry in matches])
            return
        for child, entry in matches:
            output.line(child + "/" if entry.kind == "folder" else child)


@files.command()
@click.argument("paths", nargs=-1)
@output.json_option
@click.pass_obj
def du(open_session: OpenSession, paths: tuple[str, ...], as_json: bool) -> None:
    """Print how many bytes and files folders hold, with everything below them; the root by default."""
    with open_session() as edge:
        store = OrganizationStore(edge)
        rows = []
        for path, _ in _matches(store, paths or ("",)):
            sizes = [entry.size or 0 for _, entry in _below(store, path) if entry.kind == "file"]
            rows.append({"path": path, "size": sum(sizes), "files": len(sizes)})
    output.records(
        rows,
        lambda row: [row["size"], row["files"], row["path"] or "/"],
        as_json=as_json,
        columns=["bytes", "files", "path"],
        numeric=["bytes", "files"],
    )


@files.command()
@click.argument("paths", nargs=-1, required=True)
@output.json_option
@click.pass_obj
def stat(open_session: OpenSession, paths: tuple[str, ...], as_json: bool) -> None:
    """Show what is known of files and folders: size in bytes, times in UTC, SHA-256, version."""
    with open_session() as edge:
        store = OrganizationStore(edge)
        entries = [{"path": path, **entry.to_dict()} for path, entry in _matches(store, paths)]
    if as_json:
        output.json(entries)
        return
    for number, entry in enumerate(entries):
        if number:
            output.line()
        output.fields(entry)


@files.command()
@click.argument("paths", nargs=-1, required=True)
@click.option(
    "--expires-in",
    type=click.IntRange(1),
    default=900,
    show_default=True,
    metavar="SECONDS",
    help="How long the address works.",
)
@click.pass_obj
def url(open_session: OpenSession, paths: tuple[str, ...], expires_in: int) -> None:
    """Print an address for each file, from which anyone who has it can fetch the file without a token."""
    with open_session() as edge:
        for path in paths:
            output.value(edge.files.open(_remote(path), open_with="file").download_url(expires_in))


@files.command()
@click.argument("paths", nargs=-1, required=True)
@click.pass_obj
def cat(open_session: OpenSession, paths: tuple[str, ...]) -> None:
    """Print the bytes of files to standard output, one after another."""
    with open_session() as edge:
        for path in paths:
            _print_content(edge, path.removeprefix(REMOTE))


def _print_content(edge: EdgeSession, path: str) -> None:
    with edge.files.open(path, open_with="file") as file:
        output.content(iter(lambda: file.read(1 << 20), b""))


@files.command()
@click.argument("sources", nargs=-1, required=True)
@click.argument("target")
@click.option("-r", "--recursive", is_flag=True, help="Copy folders too, and everything in them.")
@click.option("--no-overwrite", is_flag=True, help="Refuse to replace a file of the organization.")
@click.option("--strict", is_flag=True, help="With -r, upload nothing if something in the folder cannot be uploaded.")
@click.option("--portable", is_flag=True, help="With -r, download only names that every system can hold.")
@click.pass_obj
def cp(
    open_session: OpenSession,
    sources: tuple[str, ...],
    target: str,
    recursive: bool,
    no_overwrite: bool,
    strict: bool,
    portable: bool,
) -> None:
    """Copy files and folders to the organization, from it, or within it.

    A path in the organization begins with "edge:", as in

      edge files cp plate-7.csv edge:runs/

      edge files cp edge:runs/plate-7.csv .

      edge files cp -r edge:runs .

      edge files cp 'edge:runs/*.csv' plates

      edge files cp edge:runs/plate-7.csv edge:kept/

    A copy within the organization is made by the server, and no bytes travel.
    "-" is standard input as the source, and standard output as the target. What of a folder cannot be uploaded, such
    as links that lead nowhere, is skipped with a warning.
    """
    up, down = not sources[0].startswith(REMOTE), not target.startswith(REMOTE)
    if (up and down) or any(source.startswith(REMOTE) == up for source in sources):
        _refuse_pair()
    if strict and not up:
        raise click.UsageError("--strict is for uploads; leave it out")
    if no_overwrite and down:
        raise click.UsageError("--no-overwrite is for uploads and copies; leave it out")
    if portable and not down:
        raise click.UsageError("--portable is for downloads; leave it out")
    if (strict or portable) and not recursive:
        raise click.UsageError(f"{'--strict' if strict else '--portable'} is for folders; add -r, or leave it out")
    with open_session() as edge:
        store = OrganizationStore(edge)
        if up:
            for source, path in _targets(store, sources, _relative(target)):
                if os.path.isdir(source):
                    _require_recursive(source, recursive)
                    edge.files.upload_folder(path, source, overwrite=not no_overwrite, strict=strict)
                else:
                    content = sys.stdin.buffer if source == "-" else source
                    edge.files.upload(path, content, overwrite=not no_overwrite)
            return
        matches = _matches(store, sources)
        if not down:
            for path, entry in matches:
                if entry.kind == "folder":
                    _require_recursive(path, recursive)
            for path, new_path in _targets(store, [path for path, _ in matches], _relative(target)):
                edge.files.copy(path, new_path, recursive=recursive, overwrite=not no_overwrite)
            return
        if len(matches) > 1 and target != "-" and not os.path.isdir(target):
            raise click.UsageError(
                f"there are {len(matches)} sources, and {target!r} is no folder to put them in; make it"
            )
        for path, entry in matches:
            if entry.kind == "folder":
                _require_recursive(path, recursive)
                folder = _local_folder(target, entry.name)
                edge.files.download_folder(path, folder, names="portable" if portable else "local")
            elif target == "-":
                _print_content(edge, path)
            else:
                edge.files.download(path, target)


def _require_recursive(name: str, recursive: bool) -> None:
    if not recursive:
        raise click.UsageError(f"{name!r} is a folder; add -r")


def _targets(store: OrganizationStore, sources: Sequence[str], target: str) -> list[tuple[str, str]]:
    """Return each source with the path it is copied to in the organization."""
    if len(sources) > 1 and not target.endswith("/") and target:
        try:
            is_folder = store.stat(target).kind == "folder"
        except NotFound:
            is_folder = False
        if not is_folder:
            raise click.UsageError(
                f"there are {len(sources)} sources, and {target!r} is no folder; end it with a slash to make it one"
            )
        target += "/"
    return [(source, _remote_target(store, source, target)) for source in sources]


@files.command()
@click.argument("source")
@click.argument("target")
@click.option("--overwrite", is_flag=True, help="Replace an existing file.")
@click.pass_obj
def mv(open_session: OpenSession, source: str, target: str, overwrite: bool) -> None:
    """Move or rename a file or folder of the organization; into TARGET if that is a folder."""
    with open_session() as edge:
        name = _remote(source)
        path = _remote_target(OrganizationStore(edge), name, _relative(target))
        edge.files.move(name, path, overwrite=overwrite)


@files.command()
@click.argument("path")
@output.json_option
@click.pass_obj
def versions(open_session: OpenSession, path: str, as_json: bool) -> None:
    """List the versions of a file that can be restored, the newest first; the file may be deleted."""
    with open_session() as edge:
        kept = edge.files.versions(_remote(path))
    if as_json:
        output.json(kept)
        return
    for version in kept:
        until = "newest" if version.kept_until is None else f"until {version.kept_until:%Y-%m-%d %H:%M:%S}Z"
        output.line(
            version.version,
            f"{version.size:>14}",
            f"{version.modified_at:%Y-%m-%d %H:%M:%S}Z",
            f"{until:<26}",
            version.created_by or "-",
        )


@files.command()
@click.argument("path")
@click.argument("version")
@click.pass_obj
def restore(open_session: OpenSession, path: str, version: str) -> None:
    """Make a version of a file its newest one again; a deleted file is there again.

    "edge files versions PATH" lists the versions.
    """
    with open_session() as edge:
        edge.files.restore(_remote(path), version)


@files.command()
@click.argument("paths", nargs=-1, required=True)
@click.option("-r", "--recursive", is_flag=True, help="Delete folders and everything in them.")
@click.pass_obj
def rm(open_session: OpenSession, paths: tuple[str, ...], recursive: bool) -> None:
    """Delete files and folders of the organization; a folder that is not empty needs -r.

    Names may have wildcards, as in 'runs/*.csv', which are quoted or the shell takes them for local names.
    """
    with open_session() as edge:
        store = OrganizationStore(edge)
        for path, _ in _matches(store, paths):
            edge.files.delete(path, recursive=recursive)


@files.command()
@click.argument("paths", nargs=-1, required=True)
@click.option("-p", "--parents", "exist_ok", is_flag=True, help="Do not fail if the folder exists.")
@click.pass_obj
def mkdir(open_session: OpenSession, paths: tuple[str, ...], exist_ok: bool) -> None:
    """Make folders in the organization, including missing parents."""
    with open_session() as edge:
        for path in paths:
            edge.files.make_folder(_remote(path), exist_ok=exist_ok)


def _relative(path: str) -> str:
    return path.removeprefix(REMOTE).removeprefix("/")


def _remote(path: str) -> str:
    """Return a path in the organization without prefix and slashes; shells complete folders with a slash."""
    return _relative(path).removesuffix("/")


def _matches(store: OrganizationStore, names: Iterable[str]) -> list[tuple[str, Entry]]:
    """Return the paths and entries that have the names, before any of them is used."""
    return [match for name in names for match in _matching(store, _remote(name))]


def _matching(store: OrganizationStore, name: str) -> list[tuple[str, Entry]]:
    """Return what has a name or, if nothing has it, what matches it."""
    try:
        return [(name, store.stat(name))]
    except NotFound:
        if not _WILDCARD.search(name):
            raise
    matches = list(patterns.matching(name, store.children))
    if not matches:
        raise click.ClickException(f"nothing in the organization matches {name!r}; check it with: edge files ls")
    return matches


def _below(store: OrganizationStore, top: str) -> Iterator[tuple[str, Entry]]:
    """Iterate over a file, or over everything in a folder and below it: paths from the root, and entries."""
    entry = store.stat(top)
    if entry.kind == "file":
        yield top, entry
        return
    prefix = f"{top}/" if top else ""
    for path, entry in patterns.matching("**", lambda path: store.children((prefix + path).removesuffix("/"))):
        yield prefix + path, entry


def _local_folder(target: str, name: str) -> pathlib.Path:
    """Return where to download a folder: into `target` if that exists, else to `target` itself."""
    folder = pathlib.Path(target)
    if not folder.is_dir():
        return folder
    local_names.check(name)
    return folder / name


def _refuse_pair() -> NoReturn:
    raise click.UsageError(
        f'the target, each source, or both must begin with "{REMOTE}", as in: edge files cp plate-7.csv {REMOTE}runs/'
    )


def _remote_target(store: OrganizationStore, source: str, target: str) -> str:
    """Return the path to write: in `target` if that is a folder or ends with a slash, else `target` itself."""
    folder = target.removesuffix("/")
    if folder == target:
        try:
            if store.stat(target).kind != "folder":
                return target
        except NotFound:
            return target
    if source == "-":
        raise click.UsageError("standard input has no name; give the whole target path, as in edge:runs/plate-7.csv")
    name = posixpath.basename((source.replace("\\", "/") if sys.platform == "win32" else source).removesuffix("/"))
    return f"{folder}/{name}" if folder else name
