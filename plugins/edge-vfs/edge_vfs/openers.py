"""Openers: from a file's bytes to what a scientist works with.

An opener is a class registered under the entry-point group ``edge.openers``; the entry point's name
is what `Folder.open` takes as `open_with`. It states the suffixes it opens and imports what it needs
inside `open`, so that choosing one costs nothing.
"""

from __future__ import annotations

import functools
import importlib
import io
import json
from typing import Any, ClassVar, Protocol

from edge_core.errors import BadEntry, EdgeError, MissingPackage, PluginError
from edge_core.registry import Registry
from edge_vfs.file import File

plugin_api = 1


class Opener(Protocol):
    """What the entry point names: a class without arguments.

    Attributes:
        suffixes: the suffixes opened, in lower case, with their dot.
    """

    suffixes: ClassVar[tuple[str, ...]]

    def open(self, file: File, /) -> Any:
        """What `file` holds; the opener may close the file or keep it for later reads."""


class UnreadableContent(EdgeError):
    """The opener could not make anything of the content."""


class PandasOpener:
    """Tables as ``pandas.DataFrame``: csv, tsv and parquet."""

    suffixes: ClassVar[tuple[str, ...]] = (".csv", ".tsv", ".parquet")

    def open(self, file: File) -> Any:
        name = file.basename.lower()
        if name.endswith(".parquet"):
            pandas = _need("a table", file, "pandas", "pyarrow")
            return pandas.read_parquet(file)
        pandas = _need("a table", file, "pandas")
        with io.BufferedReader(file, 1 << 20) as buffered:
            return pandas.read_csv(buffered, sep="\t" if name.endswith(".tsv") else ",")


class PILOpener:
    """Pictures as Pillow images."""

    suffixes: ClassVar[tuple[str, ...]] = (".png", ".jpg", ".jpeg", ".gif", ".bmp", ".tif", ".tiff", ".webp")

    def open(self, file: File) -> Any:
        _need("a picture", file, "PIL")
        from PIL import Image

        with file:
            image = Image.open(io.BytesIO(file.readall()))
        image.load()
        return image


class JSONOpener:
    """JSON documents as plain Python data."""

    suffixes: ClassVar[tuple[str, ...]] = (".json",)

    def open(self, file: File) -> Any:
        with file:
            return json.loads(file.readall())


class TextOpener:
    """Text as `str`, read as UTF-8 with or without a byte-order mark."""

    suffixes: ClassVar[tuple[str, ...]] = (".txt", ".md", ".rst", ".log")

    def open(self, file: File) -> str:
        with file:
            return file.readall().decode("utf-8-sig")


def choose(name: str, open_with: str | None) -> Opener | None:
    """The opener for a file called `name`, or None for its plain bytes.

    Raises:
        BadEntry: there is no opener called `open_with`.
        PluginError: the opener asked for is broken.
    """
    if open_with == "file":
        return None
    registry = _registry()
    if open_with is not None:
        try:
            made: Opener = registry.load(open_with, lambda target: target())
        except KeyError:
            known = ", ".join(["file", *registry.names()])
            raise BadEntry(f"there is no opener {open_with!r}; there are: {known}") from None
        return made
    # Our own first: installing something must not change what an existing line of code returns.
    for record in sorted(registry.records(), key=lambda record: record.distribution != "edge-vfs"):
        try:
            opener: Opener = registry.load(record.name, lambda target: target())
        except PluginError:
            continue  # a broken opener breaks only itself
        if name.lower().endswith(tuple(opener.suffixes)):
            return opener
    return None


def run(opener: Opener, file: File) -> Any:
    """What `opener` makes of `file`.

    Raises:
        UnreadableContent: the opener failed.
    """
    try:
        return opener.open(file)
    except EdgeError:
        raise
    except Exception as error:
        cause = _edge_error(error)
        if cause is not None:
            raise cause from None
        raise UnreadableContent(
            f"{file.basename} could not be opened by {type(opener).__name__} ({type(error).__name__}: {error}); "
            'open_with="file" gives its bytes'
        ) from error


def _edge_error(error: BaseException | None) -> EdgeError | None:
    """The error of ours that a library wrapped in one of its own, if there is one."""
    while error is not None:
        if isinstance(error, EdgeError):
            return error
        error = error.__cause__ or error.__context__
    return None


_PIP_NAMES = {"PIL": "pillow"}


def _need(what: str, file: File, *modules: str) -> Any:
    """Import `modules` and return the first, or say how to install them."""
    try:
        first, *_ = [importlib.import_module(module) for module in modules]
        return first
    except ModuleNotFoundError as error:
        if error.name not in modules:
            raise
        names = " ".join(_PIP_NAMES.get(module, module) for module in modules)
        raise MissingPackage(
            f"opening {file.basename} as {what} needs {_PIP_NAMES.get(error.name, error.name)}, "
            f"which is not installed; run: python -m pip install {names}",
            name=error.name,
        ) from None


@functools.cache
def _registry() -> Registry:
    return Registry("edge.openers")
