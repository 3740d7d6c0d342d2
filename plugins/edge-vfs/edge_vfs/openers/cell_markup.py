"""What the XML of an OpenDocument says of its cells and calamine does not: tabs, line ends, durations."""

from __future__ import annotations

import datetime as dt
import functools
import io
import re
import zipfile

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
