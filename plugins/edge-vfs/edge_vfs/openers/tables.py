"""Tables as DataFrames: which reader a format has, and the options that it takes."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Any, ClassVar

from edge_vfs.file import File
from edge_vfs.openers import (
    choosing,
    columnar,
    delimited,
    frames,
    json_lines,
    parquet_folders,
    saved_sheets,
    spreadsheets,
    unpacking,
)
from edge_vfs.openers.documents import TextOpener
from edge_vfs.openers.opener import Content, UnreadableContent, UnsavableValue, head_of, need, suffix_of

if TYPE_CHECKING:
    from edge_vfs.folder import Folder

_JSON_LINES = (".jsonl", ".ndjson")


class PandasOpener:
    """Tables as ``pandas.DataFrame``: text, Parquet, Feather, JSON lines and spreadsheets.

    Of a spreadsheet the first visible worksheet is read; of an OpenDocument text (odt), its first table. A folder of
    Parquet files is a single table.
    """

    suffixes: ClassVar[tuple[str, ...]] = (
        *(".csv", ".tsv", ".tab", *_JSON_LINES),
        *unpacking.compressed(".csv", ".tsv", ".tab", *_JSON_LINES),
        *(".parquet", ".feather"),
        *spreadsheets.SUFFIXES,
    )

    def recognizes(self, head: bytes) -> bool:
        return self._suffix_of(head) is not None

    def modules(self, file: File) -> Collection[str]:
        if unpacking.is_compressed(file) or suffix_of(file.basename) == ".tab":
            return {"pandas", *unpacking.modules_of(file)}
        return ()

    def options(self, file: File) -> Collection[str]:
        suffix = self._format(file)
        if suffix in spreadsheets.SUFFIXES:
            return spreadsheets.OPTIONS
        if suffix in columnar.OPTIONS:
            return columnar.OPTIONS[suffix]
        known = json_lines.OPTIONS if suffix in _JSON_LINES else delimited.OPTIONS
        return known | {unpacking.OPTION} if unpacking.is_compressed(file) else known

    def open(self, file: File, **options: Any) -> Any:
        suffix = self._format(file)
        with file:
            if suffix == ".odt":
                return spreadsheets.read_text(file, options)
            if suffix in spreadsheets.SUFFIXES:
                return spreadsheets.read(file, options)
            if suffix in columnar.OPTIONS:
                return columnar.read(file, suffix, options)
            need("a table", file, "pandas", *unpacking.modules_of(file))
            content = unpacking.unpacked(file, options.pop(unpacking.OPTION, None))
            if suffix in _JSON_LINES:
                return json_lines.read(content, options)
            return delimited.read(content, "\t" if suffix in (".tsv", ".tab") else ",", options)

    def folder_options(self, folder: Folder[Any]) -> Collection[str]:
        return parquet_folders.OPTIONS

    def open_folder(self, folder: Folder[Any], **options: Any) -> Any:
        pandas = need("a table", folder, "pandas", "pyarrow")
        return parquet_folders.read(pandas, folder, options)

    def save_options(self, basename: str) -> Collection[str]:
        suffix = unpacking.format_of(basename)
        if suffix in spreadsheets.SUFFIXES:
            return saved_sheets.OPTIONS
        if suffix in columnar.OPTIONS:
            return ()
        return json_lines.SAVE_OPTIONS if suffix in _JSON_LINES else delimited.SAVE_OPTIONS

    def save(self, file: Content, value: Any, **options: Any) -> None:
        pandas = need("a table", file, "pandas", doing="saving")
        if type(value) is not pandas.DataFrame:
            advice = "; to_frame() makes one" if isinstance(value, pandas.Series) else ""
            raise UnsavableValue(f"a pandas.DataFrame is needed, not {type(value).__name__}{advice}")
        other = _other_opener(file.basename)
        if other is not None:
            raise UnsavableValue(f"its name says a file for {other!r}, and no table")
        suffix = unpacking.format_of(file.basename)
        if suffix in spreadsheets.SUFFIXES:
            saved_sheets.write(file, value, options)
        elif suffix in columnar.OPTIONS:
            columnar.write(file, suffix, value)
        else:
            with unpacking.packing(file) as packed:
                if suffix in _JSON_LINES:
                    json_lines.write(packed, value, options)
                else:
                    delimited.write(packed, value, "\t" if suffix in (".tsv", ".tab") else ",", options)

    def difference(self, value: Any, opened: Any, **options: Any) -> str | None:
        return frames.difference(value, opened)

    def suggestions(self, value: Any, opened: Any) -> Iterator[dict[str, Any]]:
        return frames.suggestions(value, opened)

    def alternatives(self, basename: str) -> Iterator[tuple[str, str | None]]:
        if suffix_of(basename) in spreadsheets.SUFFIXES:
            yield ".xlsx", None
        for suffix in (".parquet", ".feather", ".jsonl"):
            yield suffix, None

    def _format(self, file: File) -> str:
        suffix = unpacking.format_of(file.basename)
        if suffix in self.suffixes:
            return suffix
        if unpacking.is_compressed(file):
            return ".csv"
        other = _other_opener(file.basename)
        if other is not None:
            raise UnreadableContent(
                f"{file.basename} is opened by {other!r}, and no table for 'pandas'; leave open_with out, and "
                "pandas.DataFrame makes a table of lists, dicts and arrays"
            )
        return self._suffix_of(head_of(file)) or ".csv"

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


def _other_opener(basename: str) -> str | None:
    """Return the name of the opener here that a suffix belongs to, unless it is this one or the suffix is of texts.

    Those of others are not asked: installing a package must not change what a line of code returns.
    """
    other = choosing.by_suffix(basename)
    if other is None or isinstance(other, PandasOpener | TextOpener) or not type(other).__module__.startswith("edge_"):
        return None
    return choosing.name_of(other)
