"""What the XML of a spreadsheet says of its cells and calamine does not: digits, missing results, tabs, durations."""

from __future__ import annotations

import datetime as dt
import functools
import html
import io
import itertools
import posixpath
import re
import zipfile
from collections.abc import Collection, Iterator
from xml.etree import ElementTree

from edge_vfs.openers import whole_numbers
from edge_vfs.openers.opener import warn

_OOXML_CELL = re.compile(rb"<(?:\w+:)?c\b([^>]*)>(.*?)</(?:\w+:)?c>", re.DOTALL)
_OF_TEXT = re.compile(rb"\bt=[\"'](?:s|str|inlineStr|b|e|d)[\"']")
_FORMULA = re.compile(rb"<(?:\w+:)?f\b")
_VALUE = re.compile(rb"<(?:\w+:)?v\b[^>]*>([^<]+)<")
_DIGITS = rb"-?[0-9]{16,}"
_LONG_VALUE = re.compile(rb"<(?:\w+:)?v\b[^>]*>" + _DIGITS + rb"<")

_ODF_TABLE = re.compile(rb"<table:table\s[^>]*?\btable:name=\"([^\"]*)\"")
_ODF_LONG = re.compile(rb"office:value=\"(" + _DIGITS + rb")\"")
_ODF_BREAKS = {rb"<text:tab\s*/>": b"&#9;", rb"<text:line-break\s*/>": b"&#10;"}
_ODF_DURATION = re.compile(rb"office:time-value=\"([^\"]+)\"")
_DURATION = re.compile(r"(-?)P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?")


class Markup:
    """The XML of a workbook; that of other formats has no parts.

    Args:
        content: the workbook.
    """

    def __init__(self, content: bytes) -> None:
        self._content = content

    @functools.cached_property
    def _tables(self) -> bytes:
        """The tables of an OpenDocument."""
        return self._part("content.xml")

    def with_breaks(self) -> bytes:
        """Return the workbook, in which tabs and line ends within the texts of an OpenDocument are characters.

        As elements, which OpenDocument has for them, calamine leaves them out.
        """
        replaced = self._tables
        for element, character in _ODF_BREAKS.items():
            replaced = re.sub(element, character, replaced)
        if replaced == self._tables:
            return self._content
        target = io.BytesIO()
        with zipfile.ZipFile(io.BytesIO(self._content)) as source, zipfile.ZipFile(target, "w") as archive:
            for member in source.infolist():
                archive.writestr(member, replaced if member.filename == "content.xml" else source.read(member))
        return target.getvalue()

    def durations(self) -> dict[str, dt.timedelta]:
        """Return the durations (XML Schema, ``duration``) in the cells of an OpenDocument, by what is written there.

        calamine gives those of a day or more as this text.
        """
        texts = {text.decode() for text in _ODF_DURATION.findall(self._tables)}
        return {text: _duration(match) for text in texts if (match := _DURATION.fullmatch(text))}

    def warn_of_cells(self, name: str, sheets: Collection[str]) -> None:
        """Warn of numbers with more digits than calamine reads, and of formulas without a result.

        Args:
            name: the file's name.
            sheets: names of the sheets that are opened.
        """
        parts = list(self._sheets(sheets))
        numbers = [int(digits) for part in parts for digits in _long_numbers(part)]
        numbers += [int(digits) for table in self._named_tables(sheets) for digits in _ODF_LONG.findall(table)]
        changed = [number for number in numbers if not whole_numbers.is_float(number)]
        if changed:
            warn(
                f"{name} has whole numbers with more digits than spreadsheets keep, as {changed[0]}, and the last of "
                "these are lost; the program that wrote it can save them as texts"
            )
        count = sum(map(_formulas_without_result, parts))
        if count:
            warn(
                f"{name} has {count} {'formulas' if count > 1 else 'formula'} without a result, which are missing "
                "values; open and save it in a spreadsheet program, which computes them"
            )

    def _named_tables(self, names: Collection[str]) -> Iterator[bytes]:
        starts = list(_ODF_TABLE.finditer(self._tables))
        for start, following in itertools.zip_longest(starts, starts[1:]):
            if html.unescape(start[1].decode()) in names:
                yield self._tables[start.start() : following.start() if following else None]

    def _sheets(self, names: Collection[str]) -> Iterator[bytes]:
        """Iterate over the parts of an Office Open XML workbook that hold the sheets `names`."""
        book, relations = self._part("xl/workbook.xml"), self._part("xl/_rels/workbook.xml.rels")
        if not book or not relations:
            return
        targets = {relation.get("Id"): relation.get("Target", "") for relation in ElementTree.fromstring(relations)}  # noqa: S314  # expat limits what entities expand to
        for sheet in ElementTree.fromstring(book).iterfind("{*}sheets/{*}sheet"):  # noqa: S314
            key = next((value for name, value in sheet.attrib.items() if name.endswith("}id")), None)
            if sheet.get("name") in names and key in targets:
                yield self._part(posixpath.join("/xl", targets[key])[1:])

    def _part(self, name: str) -> bytes:
        """Return a member of the zip file; nothing if there is none, or it is no zip file."""
        try:
            with zipfile.ZipFile(io.BytesIO(self._content)) as archive:
                return archive.read(name)
        except (zipfile.BadZipFile, KeyError):
            return b""


def _duration(match: re.Match[str]) -> dt.timedelta:
    days, hours, minutes, seconds = (float(part or 0) for part in match.groups()[1:])
    duration = dt.timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
    return -duration if match[1] else duration


def _long_numbers(sheet: bytes) -> Iterator[bytes]:
    if not _LONG_VALUE.search(sheet):
        return
    for attributes, inner in _OOXML_CELL.findall(sheet):
        value = _VALUE.search(inner)
        if value and re.fullmatch(_DIGITS, value[1]) and not _OF_TEXT.search(attributes):
            yield value[1]


def _formulas_without_result(sheet: bytes) -> int:
    if not _FORMULA.search(sheet):
        return 0
    # A text that is empty has no value either.
    return sum(
        bool(_FORMULA.search(inner)) and not _VALUE.search(inner) and not _OF_TEXT.search(attributes)
        for attributes, inner in _OOXML_CELL.findall(sheet)
    )
