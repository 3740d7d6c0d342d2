"""The interface of an opener, and what openers share: the file's suffix and head, packages, warnings."""

from __future__ import annotations

import contextlib
import contextvars
import importlib
import importlib.util
import posixpath
import sys
import tempfile
import warnings
from collections.abc import Collection, Iterator
from typing import Any, ClassVar, Protocol

from edge_core.errors import BadEntry, EdgeError, MissingPackage
from edge_vfs.file import File


class Opener(Protocol):
    """The interface of an opener: the class that the entry point names, constructed without arguments.

    It may also have:

    - a method ``options(file: File) -> Collection[str]``, which returns the names of the keyword arguments
      that its `open` takes for this file. Others are refused before `open` is called; without it, all are.
    - a method ``modules(file: File) -> Collection[str]``, which returns the modules without which a file of
      this name is a `File` unless the opener is asked for by name: those of a suffix that was a `File` before.
    - a method ``recognizes(head: bytes) -> bool``, which is called for a file whose name has no suffix:
      it returns whether content that begins with `head`, at most its first `HEAD` bytes, is of its kind.
    - a method ``open_folder(folder: Folder, **options)``, which returns a folder as an object where `open_with` names
      the opener, and a method ``folder_options(folder: Folder) -> Collection[str]`` with the names of its options.

    Attributes:
        suffixes: the suffixes it opens, in lower case, with their dot; none for an opener that is only
            used by name.
    """

    suffixes: ClassVar[tuple[str, ...]]

    def open(self, file: File, /) -> Any:
        """Return the content of `file` as an object; the opener may close the file or keep it for later reads."""


class Named(Protocol):
    """A file or folder, as far as errors name it."""

    @property
    def basename(self) -> str: ...


SPOOL = 16 << 20
"""Bytes of content that is being saved which are kept in memory; larger content is in a temporary file."""


class Content(tempfile.SpooledTemporaryFile[bytes]):
    """The content of a file that is being saved, to be written and read.

    Attributes:
        basename: name of the file.
    """

    def __init__(self, basename: str) -> None:
        super().__init__(max_size=SPOOL)
        self.basename = basename


class Saver(Opener, Protocol):
    """The interface of an opener that can save as well.

    What it writes is opened again with its own `open`, and compared, before it is stored. It may also have:

    - a method ``save_options(basename: str) -> Collection[str]``, which returns the names of the keyword
      arguments that its `save` takes for a name. Others are refused; without it, all are. Those that `open`
      takes for the file too are given to it when what was written is opened.
    - a method ``difference(value, opened, **options) -> str | None``, which returns a clause that says what
      differs in `opened`, or None, for values that cannot be compared by ``==``.
    """

    def save(self, file: Content, value: Any, /) -> None:
        """Write `value` to `file`.

        Raises:
            UnsavableValue: the format cannot hold the value; the message is a clause that says why, such as
                ``"a sequence of letters is needed, not int"``.
        """


HEAD = 1000
"""Number of bytes at a content's beginning by which an opener may recognize it."""


class UnreadableContent(EdgeError):
    """The opener could not read the content."""


class UnsavableValue(EdgeError):
    """The value cannot be saved under this name without a change; nothing was stored."""


class InexactWarning(UserWarning):
    """What was returned is not all that the file or folder holds, or may not be what its author meant.

    ``warnings.simplefilter("error", InexactWarning)`` makes it an error.
    """


_held: contextvars.ContextVar[list[str] | None] = contextvars.ContextVar("held", default=None)


@contextlib.contextmanager
def held_warnings() -> Iterator[list[str]]:
    """Give the list of sentences that `warn` would show, and show none of them."""
    held: list[str] = []
    token = _held.set(held)
    try:
        yield held
    finally:
        _held.reset(token)


def warn(sentence: str) -> None:
    """Show an `InexactWarning` at the line of the user's code that opened the file, unless warnings are held back."""
    held = _held.get()
    if held is not None:
        held.append(sentence)
        return
    level, frame = 1, sys._getframe()
    while frame.f_back and frame.f_globals.get("__name__", "").startswith("edge_"):
        level, frame = level + 1, frame.f_back
    warnings.warn(sentence, InexactWarning, stacklevel=level)


def refuse_unknown(
    entry: Named, opener: str, options: Collection[str], known: Collection[str], done: str = "opened"
) -> None:
    """Raise `BadEntry` if one of `options` is not among `known`."""
    unknown = sorted(set(options) - set(known))
    if not unknown:
        return
    names = ", ".join(unknown)
    offer = (
        f"use only {', '.join(sorted(known))}" if known else "leave it out" if len(unknown) == 1 else "leave them out"
    )
    raise BadEntry(f"{entry.basename} is {done} by {opener}, which does not take the option {names} for it; {offer}")


def is_installed(module: str) -> bool:
    """Return whether a module can be imported, without importing it; its package is imported."""
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # it is in a package that is not installed
        return False


def suffix_of(name: str) -> str:
    return posixpath.splitext(name)[1].lower()


def head_of(file: File) -> bytes:
    """Return the content's first bytes; the file keeps them and is at its beginning afterwards."""
    head = file.read(HEAD)
    file.seek(0)
    return head


def edge_error(error: BaseException | None) -> EdgeError | None:
    """Return the `EdgeError` that a library wrapped in an error of its own, or None."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:  # a context can lead back to itself, as in zipfile's errors
        if isinstance(error, EdgeError):
            return error
        seen.add(id(error))
        error = error.__cause__ or error.__context__
    return None


_PIP_NAMES = {"PIL": "pillow", "odf": "odfpy", "python_calamine": "python-calamine", "yaml": "pyyaml"}


def need(what: str, entry: Named, *modules: str, doing: str = "opening") -> Any:
    """Import `modules` and return the first; raise `MissingPackage`, which says how to install them."""
    try:
        first, *_ = [importlib.import_module(module) for module in modules]
        return first
    except ModuleNotFoundError as error:
        missing = next((module for module in modules if f"{module}.".startswith(f"{error.name}.")), None)
        if missing is None:
            raise
        names = " ".join(_PIP_NAMES.get(module, module) for module in modules)
        raise MissingPackage(
            f"{doing} {entry.basename} as {what} needs {_PIP_NAMES.get(missing, missing)}, "
            f"which is not installed; run: python -m pip install {names}",
            name=missing,
        ) from None
