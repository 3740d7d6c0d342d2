"""The command `edge files`."""

from __future__ import annotations

import pathlib
import posixpath
import sys
from typing import NoReturn

import click

from edge_cli import output
from edge_core.errors import NotFound
from edge_core.plugin import OpenSession
from edge_files.store import COMMAND_PREFIX as REMOTE
from edge_files.store import OrganizationStore
from edge_vfs import local_names

plugin_api = 1


@click.group()
def files() -> None:
    """List, copy, move, delete and print the organization's files."""


@files.command()
@click.argument("path", default="")
@click.option("-l", "--long", "long", is_flag=True, help="Show size and time of each entry.")
@output.json_option
@click.pass_obj
def ls(open_session: OpenSession, path: str, long: bool, as_json: bool) -> None:
    """List a folder; the root by default."""
    path = path.removeprefix(REMOTE).removeprefix("/").removesuffix("/")
    with open_session() as edge:
        store = OrganizationStore(edge)
        entry = store.stat(path)
        entries = store.children(path) if entry.kind == "folder" else iter([entry])
        if as_json:
            output.json(list(entries))
            return
        for child in entries:
            name = child.name + "/" if child.kind == "folder" else child.name
            if long:
                size = "-" if child.size is None else str(child.size)
                output.line(f"{size:>14}", f"{child.modified_at:%Y-%m-%d %H:%M:%S}Z", name)
            else:
                output.line(name)


@files.command()
@click.argument("path")
@click.pass_obj
def cat(open_session: OpenSession, path: str) -> None:
    """Print a file's bytes to standard output."""
    with open_session() as edge, edge.files.open(path.removeprefix(REMOTE), open_with="file") as file:
        output.content(iter(lambda: file.read(1 << 20), b""))


@files.command()
@click.argument("source")
@click.argument("target")
@click.option("-r", "--recursive", is_flag=True, help="Copy a folder and everything in it.")
@click.option("--no-overwrite", is_flag=True, help="Refuse to replace a file of the organization.")
@click.option("--strict", is_flag=True, help="With -r, upload nothing if something in the folder cannot be uploaded.")
@click.option("--portable", is_flag=True, help="With -r, download only names that every system can hold.")
@click.pass_obj
def cp(
    open_session: OpenSession,
    source: str,
    target: str,
    recursive: bool,
    no_overwrite: bool,
    strict: bool,
    portable: bool,
) -> None:
    """Copy a file or folder to the organization or from it.

    A path in the organization begins with "edge:", as in

      edge files cp plate-7.csv edge:runs/

      edge files cp edge:runs/plate-7.csv .

      edge files cp -r edge:runs .

    "-" as the source is standard input. What of a folder cannot be uploaded, such as links that lead nowhere, is
    skipped with a warning.
    """
    if source.startswith(REMOTE) == target.startswith(REMOTE):
        _refuse_pair()
    down = source.startswith(REMOTE)
    if (no_overwrite or strict) and down:
        raise click.UsageError(f"{'--strict' if strict else '--no-overwrite'} is for uploads; leave it out")
    if portable and not down:
        raise click.UsageError("--portable is for downloads; leave it out")
    if (strict or portable) and not recursive:
        raise click.UsageError(f"{'--strict' if strict else '--portable'} is for folders; add -r, or leave it out")
    with open_session() as edge:
        if down:
            name = _remote(source)
            if recursive:
                folder = _local_folder(target, posixpath.basename(name))
                edge.files.download_folder(name, folder, names="portable" if portable else "local")
            else:
                edge.files.download(name, target)
            return
        path = _remote_target(OrganizationStore(edge), source, _relative(target))
        if recursive:
            edge.files.upload_folder(path, source, overwrite=not no_overwrite, strict=strict)
            return
        edge.files.upload(path, sys.stdin.buffer if source == "-" else source, overwrite=not no_overwrite)


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
@click.argument("paths", nargs=-1, required=True)
@click.option("-r", "--recursive", is_flag=True, help="Delete folders and everything in them.")
@click.pass_obj
def rm(open_session: OpenSession, paths: tuple[str, ...], recursive: bool) -> None:
    """Delete files and folders of the organization; a folder that is not empty needs -r."""
    with open_session() as edge:
        for path in paths:
            edge.files.delete(_remote(path), recursive=recursive)


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


def _local_folder(target: str, name: str) -> pathlib.Path:
    """Return where to download a folder: into `target` if that exists, else to `target` itself."""
    folder = pathlib.Path(target)
    if not folder.is_dir():
        return folder
    local_names.check(name)
    return folder / name


def _refuse_pair() -> NoReturn:
    raise click.UsageError(
        f'exactly one of the two paths must begin with "{REMOTE}", as in: edge files cp plate-7.csv {REMOTE}runs/'
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
