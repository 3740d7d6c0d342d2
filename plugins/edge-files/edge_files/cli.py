"""The command `edge files`."""

from __future__ import annotations

import contextlib
import fnmatch
import functools
import logging
import os
import pathlib
import posixpath
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Literal, NoReturn, TypeVar, cast

import click

from edge_cli import output
from edge_core.errors import BadEntry, NotFound
from edge_core.plugin import OpenSession
from edge_core.session import EdgeSession
from edge_files.file import File
from edge_files.sending import resumed_log
from edge_files.store import COMMAND_PREFIX as REMOTE
from edge_files.store import OrganizationStore
from edge_files.wire import Entry, FileVersion
from edge_vfs import listing, patterns
from edge_vfs.advice import worded
from edge_vfs.progress import FileTracker, Progress, Tracker
from edge_vfs.report import SyncReport
from edge_vfs.transfers import local_names

plugin_api = 1

_T = TypeVar("_T")

_WILDCARD = re.compile(r"[*?\[]")


_human_option = click.option("-h", "--human", is_flag=True, help="Print sizes as 1.5K or 2.0M, in powers of 1024.")

_ADVICE = {
    "exist_ok": "-p accepts a folder that exists",
    "localpath": "give another name as the target",
    "merge": "leave --no-overwrite out to copy into it, where files of the same names are replaced",
    "overwrite": "--overwrite replaces it",
    "recursive": "-r deletes it and everything in it",
    "strict": "leave --strict out to skip it",
}


@click.group()
@click.pass_context
def files(context: click.Context) -> None:
    """List, copy, move, delete and print the organization's files."""
    context.with_resource(worded(_ADVICE))


@files.command()
@click.argument("paths", nargs=-1)
@click.option("-l", "--long", "long", is_flag=True, help="Show size and time of each entry.")
@_human_option
@output.json_option
@click.pass_obj
def ls(open_session: OpenSession, paths: tuple[str, ...], long: bool, human: bool, as_json: bool) -> None:
    """List folders and files; the root by default. Names may have wildcards: * ? [abc] and ** for any folders."""
    with open_session() as edge:
        store = OrganizationStore(edge)
        matches, complete = _present(store, paths or ("",))
        single = [(path, entry) for path, entry in matches if entry.kind == "file"]
        folders = [path for path, entry in matches if entry.kind == "folder"]
        if as_json:
            output.json([entry for _, entry in single] + [entry for path in folders for entry in store.children(path)])
            _exit(complete)
        for path, entry in single:
            _print_entry(path if len(paths) > 1 or len(matches) > 1 else entry.name, entry, long, human)
        for path in folders:
            if len(paths) > 1 or len(matches) > 1:
                output.line(f"{path}/:")
            for entry in store.children(path):
                _print_entry(entry.name, entry, long, human)
    _exit(complete)


def _print_entry(name: str, entry: Entry, long: bool, human: bool) -> None:
    name = name + "/" if entry.kind == "folder" else name
    if long:
        size = "-" if entry.size is None else _size(entry.size, human)
        output.line(f"{size:>14}", f"{entry.modified_at:%Y-%m-%d %H:%M:%S}Z", name)
    else:
        output.line(name)


def _size(size: int, human: bool) -> str:
    """Return a number of bytes, or to one decimal what it is in the largest unit that it fills.

    >>> _size(1536, True), _size(1536, False)
    ('1.5K', '1536')
    """
    power = min((size.bit_length() - 1) // 10, 6)
    return f"{size / 1024**power:.1f}{' KMGTPE'[power]}" if human and power > 0 else str(size)


@files.command()
@click.argument("paths", nargs=-1)
@click.option("--name", metavar="PATTERN", help="Only entries whose name matches, with the wildcards * ? [abc].")
@click.option("--kind", type=click.Choice(["file", "folder"]), help="Only entries of this kind.")
@output.json_option
@click.pass_obj
def find(open_session: OpenSession, paths: tuple[str, ...], name: str | None, kind: str | None, as_json: bool) -> None:
    """Print the paths of files, and of everything in folders and below them; in the root by default."""
    with open_session() as edge:
        store = OrganizationStore(edge)
        tops, complete = _present(store, paths or ("",))
        matches = (
            (child, entry)
            for top in tops
            for child, entry in _below(store, *top)
            if (kind is None or entry.kind == kind) and (name is None or fnmatch.fnmatchcase(entry.name, name))
        )
        if as_json:
            output.json([_with_path(child, entry) for child, entry in matches])
            _exit(complete)
        for child, entry in matches:
            output.line(child + "/" if entry.kind == "folder" else child)
    _exit(complete)


@files.command()
@click.argument("paths", nargs=-1)
@_human_option
@output.json_option
@click.pass_obj
def du(open_session: OpenSession, paths: tuple[str, ...], human: bool, as_json: bool) -> None:
    """Print how many bytes and files folders hold, with everything below them; the root by default."""
    with open_session() as edge:
        store = OrganizationStore(edge)
        rows: list[dict[str, Any]] = []
        matches, complete = _present(store, paths or ("",))
        for path, top in matches:
            sizes = [entry.size or 0 for _, entry in _below(store, path, top) if entry.kind == "file"]
            rows.append({"path": path, "size": sum(sizes), "files": len(sizes)})
    output.records(
        rows,
        lambda row: [_size(row["size"], human), row["files"], row["path"] or "/"],
        as_json=as_json,
        columns=["bytes", "files", "path"],
        numeric=["bytes", "files"],
    )
    _exit(complete)


def _with_path(path: str, entry: Entry) -> dict[str, Any]:
    """What is known of an entry: its path first, as the command was given it."""
    return {"path": path} | entry.to_dict() | {"path": path}


@files.command()
@click.argument("paths", nargs=-1, required=True)
@output.json_option
@click.pass_obj
def stat(open_session: OpenSession, paths: tuple[str, ...], as_json: bool) -> None:
    """Show what is known of files and folders: size in bytes, times in UTC, SHA-256, version."""
    with open_session() as edge:
        store = OrganizationStore(edge)
        matches, complete = _present(store, paths)
    entries = [_with_path(path, entry) for path, entry in matches]
    if as_json:
        output.json(entries)
        _exit(complete)
    for number, entry in enumerate(entries):
        if number:
            output.line()
        output.fields(entry)
    _exit(complete)


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
        store = OrganizationStore(edge)
        matches, complete = _present(store, paths, files_only=True)
        for path, entry in matches:
            output.value(File(store, path, entry).download_url(expires_in))
    _exit(complete)


@files.command()
@click.argument("paths", nargs=-1, required=True)
@output.quiet_option
@click.pass_obj
def cat(open_session: OpenSession, paths: tuple[str, ...], quiet: bool) -> None:
    """Print the bytes of files to standard output, one after another."""
    with open_session() as edge:
        store = OrganizationStore(edge)
        matches, complete = _present(store, paths, files_only=True)
        for path, entry in matches:
            _print_content(store, path, entry, _progress(quiet))
    _exit(complete)


def _progress(quiet: bool) -> Progress:
    """Return how progress is shown: by a bar on a terminal, or not at all."""
    return False if quiet else None


def _print_content(store: OrganizationStore, path: str, entry: Entry, progress: Progress) -> None:
    # On a terminal that shows the content, a bar would be in its midst.
    beside = False if output.is_terminal() else progress
    with Tracker("download", path, beside, store.progress) as tracker, File(store, path, entry) as file:
        tracker.expect(entry.size)
        with tracker.file(path, entry.size) as counted:
            output.content(_blocks(file, counted))


def _blocks(file: File, counted: FileTracker) -> Iterator[bytes]:
    while block := file.read(1 << 20):
        counted.add(len(block))
        yield block


@files.command()
@click.argument("sources", nargs=-1, required=True)
@click.argument("target")
@click.option("-r", "--recursive", is_flag=True, help="Copy folders too, and everything in them.")
@click.option("--no-overwrite", is_flag=True, help="Refuse to replace a file of the organization.")
@click.option("--strict", is_flag=True, help="With -r, upload nothing if something in the folder cannot be uploaded.")
@click.option("--portable", is_flag=True, help="With -r, download only names that every system can hold.")
@output.quiet_option
@click.pass_obj
def cp(
    open_session: OpenSession,
    sources: tuple[str, ...],
    target: str,
    recursive: bool,
    no_overwrite: bool,
    strict: bool,
    portable: bool,
    quiet: bool,
) -> None:
    """Copy files and folders to the organization, from it, or within it.

    A path in the organization begins with "edge:", as in

      edge files cp plate-7.csv edge:runs/

      edge files cp edge:runs/plate-7.csv .

      edge files cp -r edge:runs .

      edge files cp 'edge:runs/*.csv' plates

      edge files cp edge:runs/plate-7.csv edge:kept/

    A copy within the organization is made by the server, and no bytes travel.
    "-" is standard input as the source, and standard output as the target; standard input ends at 78.1 GiB. What of a
    folder cannot be uploaded, such as links that lead nowhere, is skipped with a warning. A file whose upload was cut
    off goes on where it was; "edge files uploads" lists what is open.
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
    progress = _progress(quiet)
    with worded({"overwrite": "leave --no-overwrite out to replace it"}), open_session() as edge:
        store = OrganizationStore(edge)
        if up:
            folders = {source for source in sources if source != "-" and os.path.isdir(source)}
            _check_folders(folders, recursive)
            for source, path in _targets(store, sources, _relative(target)):
                with _noting_resumed():
                    if source in folders:
                        edge.files.upload_folder(
                            path, source, overwrite=not no_overwrite, strict=strict, progress=progress
                        )
                    else:
                        content = sys.stdin.buffer if source == "-" else source
                        edge.files.upload(path, content, overwrite=not no_overwrite, progress=progress)
            return
        matches = _matches(store, sources)
        _check_folders([path for path, entry in matches if entry.kind == "folder"], recursive, target)
        if not down:
            for path, new_path in _targets(store, [path for path, _ in matches], _relative(target)):
                edge.files.copy(path, new_path, recursive=recursive, overwrite=not no_overwrite, progress=progress)
            return
        if len(matches) > 1 and target != "-":
            if not os.path.isdir(target):
                raise click.UsageError(
                    f"there are {len(matches)} sources, and {target!r} is no folder to put them in; make it"
                )
            _check_distinct(entry.name for _, entry in matches)
        for path, entry in matches:
            if entry.kind == "folder":
                folder = _local_folder(target, entry.name)
                names: Literal["portable", "local"] = "portable" if portable else "local"
                edge.files.download_folder(path, folder, names=names, progress=progress)
            elif target == "-":
                _print_content(store, path, entry, progress)
            else:
                edge.files.download(path, target, progress=progress)


@contextlib.contextmanager
def _noting_resumed() -> Iterator[None]:
    """Print what was not sent again of uploads that were resumed in the block, below its bar."""
    sentences: list[str] = []

    class Notes(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            sentences.append(record.getMessage())

    notes = Notes(logging.INFO)
    level = resumed_log.level
    resumed_log.addHandler(notes)
    resumed_log.setLevel(logging.INFO)
    try:
        yield
    finally:
        resumed_log.removeHandler(notes)
        resumed_log.setLevel(level)
        for sentence in sentences:
            output.note(sentence)


@files.command()
@click.argument("source")
@click.argument("target")
@click.option("--delete", is_flag=True, help="Delete what the source does not have, below the target folder.")
@click.option("-n", "--dry-run", is_flag=True, help="Change nothing, and print what would be done.")
@click.option("--include", metavar="PATTERN", multiple=True, help="Only files that match; can be repeated.")
@click.option("--exclude", metavar="PATTERN", multiple=True, help="No files or folders that match; can be repeated.")
@click.option(
    "--compare",
    type=click.Choice(["digest", "time"]),
    default="digest",
    show_default=True,
    help="How files of equal size are compared: by content, or by the time of their last change.",
)
@click.option("--allow-empty", is_flag=True, help="With --delete, also if the source has no files.")
@output.quiet_option
@click.pass_obj
def sync(
    open_session: OpenSession,
    source: str,
    target: str,
    delete: bool,
    dry_run: bool,
    include: tuple[str, ...],
    exclude: tuple[str, ...],
    compare: Literal["digest", "time"],
    allow_empty: bool,
    quiet: bool,
) -> None:
    """Make a folder like another: a local one like one of the organization, or the other way round.

    The folder of the organization begins with "edge:", as in

      edge files sync runs edge:runs

      edge files sync --delete edge:runs runs

    What is the same already stays. Both folders are named themselves: nothing is put into a folder of the source's
    name. Patterns are those of a .gitignore file.
    """
    if source.startswith(REMOTE) == target.startswith(REMOTE):
        raise click.UsageError(
            f'the source or the target must begin with "{REMOTE}", and only one of them, as in: '
            f"edge files sync runs {REMOTE}runs"
        )
    direction: Literal["up", "down"] = "up" if target.startswith(REMOTE) else "down"
    local, remote = (source, target) if direction == "up" else (target, source)

    def planned(plan: SyncReport) -> None:
        if plan.deleted and not dry_run:
            output.note(f"deletes {len(plan.deleted)} files and folders of {target}")

    words = {"allow_empty": "--allow-empty deletes them all the same"}
    with worded(words), open_session() as edge, _noting_resumed():
        report = edge.files.sync(
            local,
            _remote(remote) or None,
            direction,
            delete=delete,
            dry_run=dry_run,
            include=include,
            exclude=exclude,
            compare=compare,
            allow_empty=allow_empty,
            planned=planned,
            progress=_progress(quiet),
        )
    if dry_run:
        for path in report.sent:
            output.line("send", path)
        for path in report.deleted:
            output.line("delete", path)
    if dry_run:
        output.note(f"nothing was changed: {len(report.sent)} to send, {len(report.deleted)} to delete")
    elif not quiet:
        output.note(str(report))


def _check_folders(names: Iterable[str], recursive: bool, target: str = "") -> None:
    for name in names:
        if target == "-":
            raise click.UsageError(f"{name!r} is a folder, which does not go to standard output; name a local folder")
        if not recursive:
            raise click.UsageError(f"{name!r} is a folder; add -r")


def _check_distinct(names: Iterable[str]) -> None:
    """Refuse two sources of a name, of which the second would replace the first."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise click.UsageError(f"several sources have the name {name!r}; copy or move them one by one")
        seen.add(name)


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
    targets = [(source, _remote_target(store, source, target)) for source in sources]
    _check_distinct(posixpath.basename(path) for _, path in targets)
    return targets


@files.command()
@click.argument("sources", nargs=-1, required=True)
@click.argument("target")
@click.option("--overwrite", is_flag=True, help="Replace an existing file.")
@click.pass_obj
def mv(open_session: OpenSession, sources: tuple[str, ...], target: str, overwrite: bool) -> None:
    """Move or rename files and folders of the organization; into TARGET if that is a folder."""
    with open_session() as edge:
        store = OrganizationStore(edge)
        paths = [path for path, _ in _matches(store, sources)]
        targets = _targets(store, paths, _relative(target))
        for path, new_path in targets:
            if new_path.startswith(f"{path}/"):
                raise click.ClickException(f"{path!r} cannot be moved into itself; leave it out, nothing was moved")
        for path, new_path in targets:
            edge.files.move(path, new_path, overwrite=overwrite)


@files.command()
@click.argument("paths", nargs=-1, required=True)
@output.json_option
@click.pass_obj
def versions(open_session: OpenSession, paths: tuple[str, ...], as_json: bool) -> None:
    """List the versions of files that can be restored, the newest first; a file may be deleted.

    Wildcards match files that are there.
    """
    with open_session() as edge:
        store = OrganizationStore(edge)
        kept, complete = _of_each(paths, lambda name: _versions(edge, store, name))
    if as_json:
        output.json([{"path": path, **version.to_dict()} for path, file in kept for version in file])
        _exit(complete)
    for path, file in kept:
        if len(paths) > 1 or len(kept) > 1:
            output.line(f"{path}:")
        for version in file:
            until = "newest" if version.kept_until is None else f"until {version.kept_until:%Y-%m-%d %H:%M:%S}Z"
            output.line(
                version.version,
                f"{version.size:>14}",
                f"{version.modified_at:%Y-%m-%d %H:%M:%S}Z",
                f"{until:<26}",
                version.created_by or "-",
            )
    _exit(complete)


def _versions(edge: EdgeSession, store: OrganizationStore, name: str) -> list[tuple[str, list[FileVersion]]]:
    """Return the versions of a file or, if none is kept of the name, of the files that match it."""
    try:
        return [(name, edge.files.versions(name))]
    except NotFound:
        if not _WILDCARD.search(name):
            raise
    return [(path, edge.files.versions(path)) for path, _ in _matching_files(store, name)]


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
    """Make folders in the organization, including missing parents; wildcards stand for themselves."""
    with open_session() as edge:
        for path in paths:
            edge.files.make_folder(_remote(path), exist_ok=exist_ok)


@files.group(invoke_without_command=True)
@_human_option
@output.json_option
@click.pass_context
def uploads(context: click.Context, human: bool, as_json: bool) -> None:
    """List the organization's uploads that are not completed, or drop them.

    A client that is cut off leaves its upload open. Copying the same file again resumes it; the server drops it
    after seven days.
    """
    if context.invoked_subcommand is None:
        context.invoke(uploads_ls, human=human, as_json=as_json)
    elif human or as_json:
        raise click.UsageError(f"give the options after {context.invoked_subcommand!r}")


@uploads.command("ls")
@_human_option
@output.json_option
@click.pass_obj
def uploads_ls(open_session: OpenSession, human: bool, as_json: bool) -> None:
    """List the organization's uploads that are not completed, and the bytes that count in its quota."""
    with open_session() as edge:
        output.records(
            edge.files.uploads(),
            lambda upload: [
                upload.id,
                _size(upload.held_bytes, human),
                _size(upload.reserved_bytes, human),
                f"{upload.active_at or upload.created_at:%Y-%m-%d %H:%M:%S}Z",
                upload.created_by,
                upload.path,
            ],
            as_json=as_json,
            columns=["upload", "sent", "counts", "last active", "by", "path"],
            numeric=["sent", "counts"],
        )


@uploads.command("rm")
@click.argument("uploads", nargs=-1, required=True)
@click.pass_obj
def uploads_rm(open_session: OpenSession, uploads: tuple[str, ...]) -> None:
    """Drop uploads that are not completed, by the ids that "edge files uploads ls" lists."""
    _drop_uploads(open_session, uploads)


@files.command()
@click.argument("uploads", nargs=-1, required=True)
@click.pass_obj
def abort(open_session: OpenSession, uploads: tuple[str, ...]) -> None:
    """Drop uploads that are not completed, as "edge files uploads rm" does."""
    _drop_uploads(open_session, uploads)


def _drop_uploads(open_session: OpenSession, uploads: Iterable[str]) -> None:
    with open_session() as edge:
        for upload in uploads:
            edge.files.abort_upload(upload)


def _relative(path: str) -> str:
    return path.removeprefix(REMOTE).removeprefix("/")


def _remote(path: str) -> str:
    """Return a path in the organization without prefix and slashes; shells complete folders with a slash."""
    return _relative(path).removesuffix("/")


def _matches(store: OrganizationStore, names: Iterable[str]) -> list[tuple[str, Entry]]:
    """Return the paths and entries that have the names, before any of them is used."""
    return [match for name in names for match in _matching(store, _remote(name))]


def _present(
    store: OrganizationStore, names: Sequence[str], *, files_only: bool = False
) -> tuple[list[tuple[str, Entry]], bool]:
    """Return what has the names, and whether all of them were found; each that was not is an error's line."""
    return _of_each(names, lambda name: (_matching_files if files_only else _matching)(store, name))


def _of_each(names: Sequence[str], ask: Callable[[str], list[_T]]) -> tuple[list[_T], bool]:
    """Return what `ask` gives for the names, and whether it did for all; of several, one that fails is a line."""
    answers: list[_T] = []
    complete = True
    for name in names:
        try:
            answers += ask(_remote(name))
        except (NotFound, BadEntry, click.ClickException) as error:
            if len(names) == 1:
                raise
            output.error(error.format_message() if isinstance(error, click.ClickException) else str(error))
            complete = False
    return answers, complete


def _exit(complete: bool) -> NoReturn:
    """End the command, with 1 if something that was named is missing."""
    click.get_current_context().exit(0 if complete else 1)


def _matching(store: OrganizationStore, name: str) -> list[tuple[str, Entry]]:
    """Return what has a name or, if nothing has it, what matches it."""
    try:
        return [(name, store.stat(name))]
    except NotFound:
        if not _WILDCARD.search(name):
            raise
    matches = list(patterns.matching(name, store.children, functools.partial(_descendants, store)))
    if not matches:
        raise click.ClickException(f"nothing in the organization matches {name!r}; check it with: edge files ls")
    return matches


def _matching_files(store: OrganizationStore, name: str) -> list[tuple[str, Entry]]:
    """Return the files that have a name or match it, without folders."""
    matches = [(path, entry) for path, entry in _matching(store, name) if entry.kind == "file"]
    if not matches:
        raise click.ClickException(f"{name!r} is a folder, which has no content; give the path of a file")
    return matches


def _below(store: OrganizationStore, top: str, entry: Entry) -> Iterator[tuple[str, Entry]]:
    """Iterate over a file, or over everything in a folder and below it: paths from the root, and entries."""
    if entry.kind == "file":
        yield top, entry
        return
    for path, below in _descendants(store, top):
        yield listing.joined(top, path), below


def _descendants(store: OrganizationStore, path: str, prefix: str = "") -> Iterator[tuple[str, Entry]]:
    return cast("Iterator[tuple[str, Entry]]", listing.descendants(store, path, prefix))


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
