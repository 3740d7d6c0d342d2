"""Openers: from a file's bytes to what a scientist works with.

An opener is a class registered under the entry-point group ``edge.openers``; the entry point's name
is what `Folder.open` takes as `open_with`. It states the suffixes it opens and imports what it needs
inside `open`, so that choosing one costs nothing. A name without a suffix says nothing; then the
content's first bytes decide, if an opener recognizes them.
"""

from __future__ import annotations

import functools
import importlib
import io
import json
import posixpath
from collections.abc import Iterator
from typing import Any, ClassVar, Protocol

from edge_core.errors import BadEntry, EdgeError, MissingPackage, PluginError
from edge_core.registry import Registry
from edge_vfs.file import File

plugin_api = 1


class Opener(Protocol):
    """What the entry point names: a class without arguments.

    It may have a method ``recognizes(head: bytes) -> bool`` as well: whether content that begins with
    `head`, its first `HEAD` bytes at most, is what it opens. It is asked where the name has no suffix.

    Attributes:
        suffixes: the suffixes opened, in lower case, with their dot; none for one that opens only
            what it is asked for by name.
    """

    suffixes: ClassVar[tuple[str, ...]]

    def open(self, file: File, /) -> Any:
        """What `file` holds; the opener may close the file or keep it for later reads."""


HEAD = 1000
"""Bytes of a content's beginning by which an opener may recognize it."""


class UnreadableContent(EdgeError):
    """The opener could not make anything of the content."""


class PandasOpener:
    """Tables as ``pandas.DataFrame``: text, Parquet, Feather, JSON lines and spreadsheets.

    Of a spreadsheet the first sheet is read; of an OpenDocument text (odt), its first table.
    """

    # Not pandas' own choice for xls and xlsb, whose packages it is about to give up.
    _engines: ClassVar[dict[str, str]] = {
        ".xls": "python_calamine",
        ".xlsx": "openpyxl",
        ".xlsm": "openpyxl",
        ".xlsb": "python_calamine",
        ".ods": "odf",
        ".odf": "odf",
        ".odt": "odf",
    }
    suffixes: ClassVar[tuple[str, ...]] = (".csv", ".tsv", ".parquet", ".feather", ".jsonl", ".ndjson", *_engines)

    def recognizes(self, head: bytes) -> bool:
        return self._suffix_of(head) is not None

    def open(self, file: File) -> Any:
        suffix = _suffix(file.basename)
        if suffix not in self.suffixes:
            suffix = self._suffix_of(_head(file)) or ".csv"
        what = "a table"
        with file:
            if suffix in self._engines:
                engine = self._engines[suffix]
                pandas = _need(what, file, "pandas", engine)
                return pandas.read_excel(io.BytesIO(file.readall()), engine=engine.removeprefix("python_"))
            if suffix in (".parquet", ".feather"):
                pandas = _need(what, file, "pandas", "pyarrow")
                return pandas.read_parquet(file) if suffix == ".parquet" else pandas.read_feather(file)
            pandas = _need(what, file, "pandas")
            buffered = io.BufferedReader(file, 1 << 20)
            if suffix in (".jsonl", ".ndjson"):
                return pandas.read_json(buffered, lines=True)
            return pandas.read_csv(buffered, sep="\t" if suffix == ".tsv" else ",")

    @staticmethod
    def _suffix_of(head: bytes) -> str | None:
        """The suffix that content beginning so should have; None if it is none of ours, or could be another's."""
        if head.startswith(b"PAR1"):
            return ".parquet"
        if head.startswith(b"ARROW1\0\0"):
            return ".feather"
        # The first member of an OpenDocument package, stored as it is, says what it is.
        if head.startswith(b"PK\3\4") and b"mimetypeapplication/vnd.oasis.opendocument.spreadsheet" in head[:100]:
            return ".ods"
        return None


_PICTURES = (".png", ".jpg", ".jpeg", ".gif", ".bmp", ".tif", ".tiff", ".webp")


class PILOpener:
    """Pictures as Pillow images."""

    suffixes: ClassVar[tuple[str, ...]] = _PICTURES

    def recognizes(self, head: bytes) -> bool:
        begins = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF87a", b"GIF89a", b"II*\0", b"MM\0*")
        return head.startswith(begins) or (head.startswith(b"RIFF") and head[8:12] == b"WEBP")

    def open(self, file: File) -> Any:
        _need("a picture", file, "PIL")
        from PIL import Image

        with file:
            image = Image.open(io.BytesIO(file.readall()))
        image.load()
        return image


class ImageIOOpener:
    """Pictures as NumPy arrays, by imageio; asked for by name, as a picture is a Pillow image otherwise."""

    suffixes: ClassVar[tuple[str, ...]] = ()

    def open(self, file: File) -> Any:
        imageio = _need("a picture", file, "imageio.v3", "imageio")
        with file:
            content = file.readall()
        return imageio.imread(content, extension=_suffix(file.basename) or None)


class NumPyOpener:
    """NumPy arrays (npy), and archives of them (npz), whose arrays are read when they are taken.

    Python objects in them are refused, as reading these runs code that came with the file.
    """

    suffixes: ClassVar[tuple[str, ...]] = (".npy", ".npz")

    def recognizes(self, head: bytes) -> bool:
        # An archive's members are called as the arrays are, with this suffix.
        name = head[30 : 30 + int.from_bytes(head[26:28], "little")]
        return head.startswith(b"\x93NUMPY") or (head.startswith(b"PK\3\4") and name.endswith(b".npy"))

    def open(self, file: File) -> Any:
        numpy = _need("arrays", file, "numpy")
        found = numpy.load(file, allow_pickle=False)
        if isinstance(found, numpy.ndarray):
            file.close()
        return found


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


def choose(file: File, open_with: str | None) -> Opener | None:
    """The opener for `file`, or None for its plain bytes.

    Only where the name has no suffix is content asked for.

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
    found = list(_working(registry))
    for opener in found:
        if opener.suffixes and file.basename.lower().endswith(tuple(opener.suffixes)):
            return opener
    if _suffix(file.basename):
        return None
    head = _head(file)
    return next((opener for opener in found if getattr(opener, "recognizes", lambda head: False)(head)), None)


def _working(registry: Registry) -> Iterator[Opener]:
    # Our own first: installing something must not change what an existing line of code returns.
    for record in sorted(registry.records(), key=lambda record: record.distribution != "edge-vfs"):
        try:
            opener: Opener = registry.load(record.name, lambda target: target())
        except PluginError:
            continue  # a broken opener breaks only itself
        yield opener


def _suffix(name: str) -> str:
    return posixpath.splitext(name)[1].lower()


def _head(file: File) -> bytes:
    """The content's first bytes; the file is at its beginning afterwards, and keeps them."""
    head = file.read(HEAD)
    file.seek(0)
    return head


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


_PIP_NAMES = {"PIL": "pillow", "odf": "odfpy", "python_calamine": "python-calamine"}


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
