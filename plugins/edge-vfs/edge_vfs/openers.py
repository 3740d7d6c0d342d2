"""Openers: they turn a file's bytes into tables, images, arrays and other Python objects.

An opener is a class registered under the entry-point group ``edge.openers``; `Folder.open` takes the
entry point's name as `open_with`. An opener lists the suffixes it opens and imports its packages
inside `open`, so that choosing it costs nothing. If a file's name has no suffix, the content's first
bytes decide, provided that an opener recognizes them.
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
    """The interface of an opener: the class that the entry point names, constructed without arguments.

    It may also have a method ``recognizes(head: bytes) -> bool``, which is called for a file whose name
    has no suffix: it returns whether content that begins with `head`, at most its first `HEAD` bytes, is
    of its kind.

    Attributes:
        suffixes: the suffixes it opens, in lower case, with their dot; none for an opener that is only
            used by name.
    """

    suffixes: ClassVar[tuple[str, ...]]

    def open(self, file: File, /) -> Any:
        """Return the content of `file` as an object; the opener may close the file or keep it for later reads."""


HEAD = 1000
"""Number of bytes at a content's beginning by which an opener may recognize it."""


class UnreadableContent(EdgeError):
    """The opener could not read the content."""


class PandasOpener:
    """Tables as ``pandas.DataFrame``: text, Parquet, Feather, JSON lines and spreadsheets.

    Of a spreadsheet the first sheet is read; of an OpenDocument text (odt), its first table.
    """

    # Not the default of pandas for xls and xlsb: pandas is about to drop the packages of these.
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
        """Return the suffix for content that begins with `head`; None for other formats, and for ambiguous content."""
        if head.startswith(b"PAR1"):
            return ".parquet"
        if head.startswith(b"ARROW1\0\0"):
            return ".feather"
        # The first member of an OpenDocument package is not compressed and names the media type.
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
    """Pictures as NumPy arrays, by imageio; used only by name, since pictures are Pillow images by default."""

    suffixes: ClassVar[tuple[str, ...]] = ()

    def open(self, file: File) -> Any:
        imageio = _need("a picture", file, "imageio.v3", "imageio")
        with file:
            content = file.readall()
        return imageio.imread(content, extension=_suffix(file.basename) or None)


class NumPyOpener:
    """NumPy arrays (npy), and archives of them (npz), whose arrays are read when they are accessed.

    Python objects in them are refused, since reading these could run code from the file.
    """

    suffixes: ClassVar[tuple[str, ...]] = (".npy", ".npz")

    def recognizes(self, head: bytes) -> bool:
        # The members of an archive have the names of the arrays, with this suffix.
        name = head[30 : 30 + int.from_bytes(head[26:28], "little")]
        return head.startswith(b"\x93NUMPY") or (head.startswith(b"PK\3\4") and name.endswith(b".npy"))

    def open(self, file: File) -> Any:
        numpy = _need("arrays", file, "numpy")
        loaded = numpy.load(file, allow_pickle=False)
        if isinstance(loaded, numpy.ndarray):
            file.close()
        return loaded


class JSONOpener:
    """JSON documents as dictionaries, lists, texts and numbers."""

    suffixes: ClassVar[tuple[str, ...]] = (".json",)

    def open(self, file: File) -> Any:
        with file:
            return json.loads(file.readall())


class TextOpener:
    """Text as `str`, decoded as UTF-8 with or without a byte-order mark."""

    suffixes: ClassVar[tuple[str, ...]] = (".txt", ".md", ".rst", ".log")

    def open(self, file: File) -> str:
        with file:
            return file.readall().decode("utf-8-sig")


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
    registry = _registry()
    if open_with is not None:
        try:
            chosen: Opener = registry.load(open_with, lambda target: target())
        except KeyError:
            known = ", ".join(["file", *registry.names()])
            raise BadEntry(f"the opener {open_with!r} is not known; use one of {known}") from None
        return chosen
    candidates = list(_working(registry))
    for opener in candidates:
        if opener.suffixes and file.basename.lower().endswith(tuple(opener.suffixes)):
            return opener
    if _suffix(file.basename):
        return None
    head = _head(file)
    return next((opener for opener in candidates if getattr(opener, "recognizes", lambda head: False)(head)), None)


def _working(registry: Registry) -> Iterator[Opener]:
    # Our own first: installing a package must not change what an existing line of code returns.
    for record in sorted(registry.records(), key=lambda record: record.distribution != "edge-vfs"):
        try:
            opener: Opener = registry.load(record.name, lambda target: target())
        except PluginError:
            continue  # a broken opener must not affect the others
        yield opener


def _suffix(name: str) -> str:
    return posixpath.splitext(name)[1].lower()


def _head(file: File) -> bytes:
    """Return the content's first bytes; the file keeps them and is at its beginning afterwards."""
    head = file.read(HEAD)
    file.seek(0)
    return head


def run(opener: Opener, file: File) -> Any:
    """Return the object that `opener` makes of `file`.

    Raises:
        UnreadableContent: the opener failed.
        EdgeError: reading the file failed, with the error of `File.read`.
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
    """Return the `EdgeError` that a library wrapped in an error of its own, or None."""
    while error is not None:
        if isinstance(error, EdgeError):
            return error
        error = error.__cause__ or error.__context__
    return None


_PIP_NAMES = {"PIL": "pillow", "odf": "odfpy", "python_calamine": "python-calamine"}


def _need(what: str, file: File, *modules: str) -> Any:
    """Import `modules` and return the first; raise `MissingPackage`, which says how to install them."""
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
