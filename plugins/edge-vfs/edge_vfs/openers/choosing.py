"""Which opener a file is opened with, and what comes of running it."""

from __future__ import annotations

import contextlib
import functools
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from edge_core.errors import BadEntry, EdgeError, PluginError
from edge_core.registry import Registry
from edge_vfs.file import File
from edge_vfs.openers.opener import (
    Opener,
    UnreadableContent,
    edge_error,
    head_of,
    is_installed,
    refuse_unknown,
    suffix_of,
)

if TYPE_CHECKING:
    from edge_vfs.folder import Folder


def choose(file: File, open_with: str | None) -> Opener | None:
    """Return the opener for `file`, or None if it is opened as a `File`.

    Content is read only if the file's name has no suffix.

    Args:
        file: the file to open.
        open_with: name of an opener, ``"file"`` for none, or None to choose by suffix and content.

    Raises:
        BadEntry: no opener has the name `open_with`.
        PluginError: the opener named by `open_with` is broken.
    """
    if open_with == "file":
        return None
    if open_with is not None:
        return named(open_with)
    opener = by_suffix(file.basename)
    if opener is not None:
        modules_of: Callable[[File], Collection[str]] = getattr(opener, "modules", lambda file: ())
        return opener if all(map(is_installed, modules_of(file))) else None
    if suffix_of(file.basename):
        return None
    head = head_of(file)
    recognizing = (opener for opener in working() if getattr(opener, "recognizes", lambda head: False)(head))
    return next(recognizing, None)


def named(open_with: str) -> Opener:
    """Return the opener with a name.

    Raises:
        BadEntry: no opener has it.
        PluginError: the opener is broken.
    """
    registry = _registry()
    try:
        opener: Opener = registry.load(open_with, lambda target: target())
    except KeyError:
        known = ", ".join(["file", *registry.names()])
        raise BadEntry(f"the opener {open_with!r} is not known; use one of {known}") from None
    return opener


def by_suffix(basename: str) -> Opener | None:
    """Return the opener for a name by its suffix, or None."""
    name = basename.lower()
    openers = list(working())
    return next((opener for opener in openers if opener.suffixes and name.endswith(tuple(opener.suffixes))), None)


def name_of(opener: Opener) -> str:
    """Return the name by which an opener is asked for."""
    registry = _registry()
    for name in registry.names():
        with contextlib.suppress(PluginError):
            if type(registry.load(name, lambda target: target())) is type(opener):
                return name
    return type(opener).__name__


def refuse_mode(open_with: object) -> None:
    """Raise `BadEntry` if `open_with` is a mode of Python's own `open`, such as ``"w"`` or ``"rb"``."""
    if not isinstance(open_with, str) or not _MODE.fullmatch(open_with) or open_with in _registry().names():
        return
    if set(open_with) & set("wax+"):
        advice = "create gives a file object to write with, save writes a file of a value, and upload of a local file"
        if set(open_with) & set("a+"):
            advice += "; nothing is appended to a file or changed in it, write all of it"
    else:
        advice = 'leave it out for what the suffix says, or use "file" for the bytes; read_text gives the text'
    raise BadEntry(f"{open_with!r} is a mode and not an opener, since open only reads; {advice}")


_MODE = re.compile(r"(?=.{1,3}$)[bt]?[rwax][bt+]*")


def working() -> Iterator[Opener]:
    """Iterate over the openers that can be used."""
    registry = _registry()
    # Our own first: installing a package must not change what an existing line of code returns.
    for record in sorted(registry.records(), key=lambda record: record.distribution != "edge-vfs"):
        try:
            opener: Opener = registry.load(record.name, lambda target: target())
        except PluginError:
            continue  # a broken opener must not affect the others
        yield opener


def run(opener: Opener, file: File, options: Mapping[str, Any] | None = None) -> Any:
    """Return the object that `opener` makes of `file`.

    Args:
        opener: the opener.
        file: the file, at its beginning.
        options: keyword arguments for `Opener.open`, of those that the opener lists.

    Raises:
        BadEntry: the opener does not take one of the options.
        UnreadableContent: the opener failed.
        EdgeError: reading the file failed, with the error of `File.read`.
    """
    options = options or {}
    name = type(opener).__name__
    options_of: Callable[[File], Collection[str]] | None = getattr(opener, "options", None)
    known = () if options_of is None else options_of(file)
    refuse_unknown(file, name, options, known)
    try:
        return opener.open(file, **options)
    except UnreadableContent as error:
        if file.size == 0:
            raise _unreadable(file, name, known, options, error) from error
        raise
    except EdgeError:
        raise
    except Exception as error:
        cause = edge_error(error)
        if cause is not None:
            raise cause from None
        raise _unreadable(file, name, known, options, error) from error


def _unreadable(
    file: File, opener: str, known: Collection[str], options: Collection[str], error: Exception
) -> UnreadableContent:
    """Return the error that says why `opener` failed, which takes the options `known`, with `options`."""
    if file.size == 0:
        return UnreadableContent(f'{file.basename} is empty; upload its content, or open_with="file" gives its bytes')
    if isinstance(error, RecursionError):
        sentence = f"{file.basename} is nested more deeply than {opener} can read"
    elif isinstance(error, UnicodeDecodeError) and "encoding" in known:
        return UnreadableContent(
            f"{file.basename} is not a text in {error.encoding}; give its encoding, such as encoding='latin-1', "
            'or open_with="file" gives its bytes'
        )
    else:
        # An object's address says nothing about the file.
        reason = re.sub(r"<[\w.]+ object at 0x[0-9a-fA-F]+>", "the content", str(error).strip())
        failure = f"({type(error).__name__}: {' '.join(reason.split())})"
        if options:
            which = f"the option {next(iter(options))}" if len(options) == 1 else f"the options {', '.join(options)}"
            return UnreadableContent(
                f"{file.basename} could not be opened by {opener} with {which} {failure}; change what you gave, or "
                "leave it out"
            )
        sentence = f"{file.basename} could not be opened by {opener} {failure}"
    return UnreadableContent(f'{sentence}; open_with="file" gives its bytes')


def run_for_folder(open_with: str, folder: Folder[Any], options: Mapping[str, Any]) -> Any:
    """Return the object that an opener makes of a folder.

    Args:
        open_with: name of the opener.
        folder: the folder.
        options: keyword arguments for the opener's ``open_folder``, of those that it lists.

    Raises:
        BadEntry: no opener has the name, or it opens no folders or does not take one of the options.
        PluginError: the opener is broken.
        UnreadableContent: the opener failed.
        EdgeError: listing the folder or reading a file failed.
    """
    opener: Any = None if open_with == "file" else named(open_with)
    if not hasattr(opener, "open_folder"):
        raise BadEntry(f"{folder.basename!r} is a folder, which {open_with!r} does not open; leave open_with out")
    name = type(opener).__name__
    refuse_unknown(folder, name, options, opener.folder_options(folder) if hasattr(opener, "folder_options") else ())
    try:
        return opener.open_folder(folder, **options)
    except EdgeError:
        raise
    except Exception as error:
        cause = edge_error(error)
        if cause is not None:
            raise cause from None
        raise UnreadableContent(
            f"the folder {folder.basename} could not be opened by {name} ({type(error).__name__}: {error}); "
            "leave open_with out to open its files one by one"
        ) from error


@functools.cache
def _registry() -> Registry:
    return Registry("edge.openers")
