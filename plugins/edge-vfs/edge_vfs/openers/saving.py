"""Saving: a value is written as a file's content, opened again and compared, and only then handed on to be stored.

So what a library changes without a word is found, whichever value and format it is.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import posixpath
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import IO, Any, NamedTuple, cast

from edge_core.errors import BadEntry, EdgeError, MissingPackage
from edge_vfs.file import File
from edge_vfs.openers import choosing, comparing, unpacking
from edge_vfs.openers.opener import Content, Saver, UnsavableValue, held_warnings, refuse_unknown, suffix_of, warn
from edge_vfs.store import FileStore

SAVED = "names that end in .parquet, .csv or .xlsx hold tables, .png or .tif pictures, .npy arrays, .json and .txt"


@contextlib.contextmanager
def saved(basename: str, value: Any, save_with: str | None, options: Mapping[str, Any]) -> Iterator[IO[bytes]]:
    """Give the content of a file that opens as `value`, at its beginning.

    Args:
        basename: the name it is for, whose suffix says the format.
        value: the value.
        save_with: name of an opener, ``"file"`` for bytes as they are, or None to choose by suffix.
        options: keyword arguments for the opener's `save`; those that its `open` takes are for that too.

    Raises:
        UnsavableValue: the format, or the opener, cannot hold the value.
        BadEntry: no opener has the name `save_with`, or it does not take an option.
        MissingPackage: a package that is needed is not installed.
    """
    saver = _saver(basename, save_with)
    with Content(basename) as content:
        if saver is None:
            _write_bytes(content, value, save_with, options)
        else:
            options_of: Callable[[str], Collection[str]] = getattr(saver, "save_options", lambda basename: ())
            refuse_unknown(content, type(saver).__name__, options, options_of(basename), done="saved")
            with held_warnings() as sentences:
                change = _change(saver, content, value, options)
            if change is not None:
                advice = _advice(saver, basename, value, change, options)
                raise UnsavableValue(f"{basename} was not saved: {change.sentence}; {advice}") from change.cause
            for sentence in sentences:
                warn(sentence)
        content.seek(0)
        yield content


def _saver(basename: str, save_with: str | None) -> Saver | None:
    """Return the opener that saves under a name, or None for bytes as they are."""
    if save_with == "file":
        return None
    opener = choosing.by_suffix(basename) if save_with is None else choosing.named(save_with)
    if opener is not None and not hasattr(opener, "save"):
        what = f"names that end in {suffix_of(basename)}" if save_with is None else f"files of {save_with!r}"
        raise UnsavableValue(
            f"{basename} was not saved: {what} are opened here, but not saved; {SAVED}, and bytes that you write can "
            "be uploaded"
        )
    return cast("Saver | None", opener)


def _write_bytes(content: Content, value: Any, save_with: str | None, options: Mapping[str, Any]) -> None:
    basename = content.basename
    if not isinstance(value, bytes | bytearray | memoryview):
        suffix = suffix_of(basename)
        why = f"no opener has the suffix {suffix}" if suffix else "its name has no suffix, which would say the format"
        if hasattr(value, "read"):
            raise UnsavableValue(f"{basename} was not saved: it is a file already; upload stores what a file gives")
        if save_with == "file":
            why = f'save_with="file" takes bytes, not {type(value).__name__}'
        raise UnsavableValue(f"{basename} was not saved: {why}; {SAVED}, and bytes that you write can be uploaded")
    refuse_unknown(content, "File", options, (), done="saved")
    content.write(value)
    opener = None if save_with == "file" else choosing.choose(_file(content), None)
    if opener is not None:
        raise UnsavableValue(
            f"{basename} was not saved: {type(opener).__name__} would open it by its first bytes, and not as bytes; "
            'save_with="file" saves it all the same, for open with open_with="file"'
        )


class Change(NamedTuple):
    """What saving and opening a value would change.

    Attributes:
        sentence: what would change, as a clause without its end.
        opened: what comes back, or None if nothing does.
        cause: the error of the library, if there was one.
    """

    sentence: str
    opened: Any = None
    cause: Exception | None = None


def _change(saver: Saver, content: Content, value: Any, options: Mapping[str, Any]) -> Change | None:
    """Write `value` to `content`; return what differs when it is opened, or None."""
    try:
        saver.save(content, value, **options)
        file = _file(content)
    except UnsavableValue as error:
        return Change(str(error), cause=error)
    except EdgeError:
        raise
    except Exception as error:
        name = type(saver).__name__
        return Change(f"{name} cannot write it ({type(error).__name__}: {_reason(error)})", cause=error)
    known: Collection[str] = getattr(saver, "options", lambda file: ())(file)
    difference: Callable[..., str | None] | None = getattr(saver, "difference", None)
    try:
        opened = choosing.run(saver, file, {name: options[name] for name in options if name in known})
        if difference is None:
            sentence = comparing.difference(value, opened)
        else:
            sentence = difference(value, opened, **options)
    except MissingPackage:
        raise
    except RecursionError as error:
        return Change("it holds itself, or is nested too deep to be compared", cause=error)
    except EdgeError as error:
        reason = _reason(error)
        clause = reason.rpartition("; ")[0] or reason  # without what to do with a file, since there is none
        return Change(f"what was written cannot be opened again, as {clause}", cause=error)
    return None if sentence is None else Change(sentence, opened)


def _reason(error: Exception) -> str:
    plain = re.sub(r"<[\w.]+ object at 0x[0-9a-fA-F]+>", "the value", " ".join(str(error).split()))
    return plain if len(plain) < 300 else plain[:300] + "..."


def _advice(saver: Saver, basename: str, value: Any, change: Change, options: Mapping[str, Any]) -> str:
    """Return what to do instead, as a clause: options, or another format, of those that are tried and work."""
    clauses = [_by_options(saver, basename, value, change, options), _by_format(saver, basename, value, options)]
    return ", or ".join(filter(None, clauses)) or "change the value, or upload bytes that you write yourself"


def _by_options(saver: Saver, basename: str, value: Any, change: Change, options: Mapping[str, Any]) -> str:
    suggestions: Callable[..., Iterator[dict[str, Any]]] = getattr(saver, "suggestions", lambda *about: iter(()))
    if change.opened is None:
        return ""
    known: Collection[str] = getattr(saver, "save_options", lambda basename: ())(basename)
    for suggested in suggestions(value, change.opened):
        usable = set(suggested) <= set(known) - set(options)
        if usable and _is_exact(saver, basename, value, {**options, **suggested}):
            return f"give {', '.join(f'{name}={suggested[name]!r}' for name in suggested)} here and to open"
    return ""


def _by_format(saver: Saver, basename: str, value: Any, options: Mapping[str, Any]) -> str:
    alternatives: Callable[[str], Iterator[tuple[str, str | None]]]
    alternatives = getattr(saver, "alternatives", lambda basename: iter(()))
    package = "json" if isinstance(value, dict | list) else type(value).__module__.partition(".")[0]
    stem = posixpath.splitext(unpacking.unpacked_name(basename))[0]
    for suffix, save_with in [*alternatives(basename), *_ALTERNATIVES.get(package, ())]:
        with contextlib.suppress(EdgeError):
            other = _saver(stem + suffix, save_with)
            if other is not None and _is_exact(other, stem + suffix, value, {}):
                if stem + suffix == basename and options:
                    return f"leave {', '.join(options)} out"
                return f"save it as {stem + suffix}" + (f" with save_with={save_with!r}" if save_with else "")
    return ""


_ALTERNATIVES: dict[str, tuple[tuple[str, str | None], ...]] = {
    "pandas": ((".parquet", None),),
    "PIL": ((".png", None), (".tif", None)),
    "numpy": ((".npy", None),),
    "json": ((".json", None),),
}
"""Formats that are tried for values of a package, and the openers that save them."""


def _is_exact(saver: Saver, basename: str, value: Any, options: Mapping[str, Any]) -> bool:
    with Content(basename) as content, held_warnings(), contextlib.suppress(EdgeError):
        return _change(saver, content, value, options) is None
    return False


class _Written(NamedTuple):
    """What a store would know of the content."""

    name: str
    size: int
    kind: str = "file"
    modified_at: dt.datetime = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
    sha256: str | None = None
    version: str | None = None
    digest: str | None = None
    part_size: int | None = None


class _Spooled:
    """The reader of content that is written, and the store that has this reader alone."""

    def __init__(self, content: Content) -> None:
        self._content = content

    def reader(self, path: str, stat: Any, /) -> _Spooled:
        return self

    def open(self, start: int, stop: int, /) -> _Range:
        return _Range(self._content, start, stop)

    def url(self, expires_in: int, /) -> str:
        raise BadEntry("content that is not stored yet has no address; save it first")


class _Range:
    def __init__(self, content: Content, start: int, stop: int) -> None:
        self._content = content
        self._position = start
        self._stop = stop

    def read(self, size: int, /) -> bytes:
        self._content.seek(self._position)
        block = self._content.read(min(size, self._stop - self._position))
        self._position += len(block)
        return block

    def close(self) -> None:
        pass


def _file(content: Content) -> File:
    """Return the content as a file, at its beginning."""
    size = content.seek(0, 2)
    return File(cast(FileStore, _Spooled(content)), content.basename, _Written(content.basename, size))
