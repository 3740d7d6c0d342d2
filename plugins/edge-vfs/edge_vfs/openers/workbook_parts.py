"""What the parts of a workbook's file say before it is read: how far its cells span, and which are inexact.

A workbook of few bytes can span billions of cells, and readers make room for the blank ones. Cells with errors, and
formulas whose results were not saved, are blank for them.
"""

from __future__ import annotations

import copy
import html
import io
import posixpath
import re
import struct
import zipfile
from collections.abc import Iterator
from typing import NamedTuple

from edge_vfs.openers import whole_numbers


class Sheet(NamedTuple):
    """What the part of a sheet says of its cells.

    Attributes:
        name: name of the sheet; None if the workbook names none for this part.
        spanned: number of cells from the first row and column to the last, blank ones included.
        filled: number of cells that the part has.
        errors: number of cells with an error, such as ``#N/A``.
        errors_as_numbers: number of cells with an error and a number, which readers take.
        uncalculated: number of formulas without a result.
        long_numbers: whole numbers that float64, which spreadsheets have for all numbers, does not hold.
    """

    name: str | None
    spanned: int
    filled: int
    errors: int = 0
    errors_as_numbers: int = 0
    uncalculated: int = 0
    long_numbers: tuple[str, ...] = ()


_END = b"PK\5\6"
"""What the record at the end of an archive begins with."""


def opened(content: bytes) -> zipfile.ZipFile | None:
    """Return the archive of a workbook, or None if it has none, such as an xls.

    Raises:
        BadZipFile: it is damaged, or more than the archive, in which another reader may find another archive.
    """
    if _END not in content:
        return None
    archive = zipfile.ZipFile(io.BytesIO(content))
    end = content.rfind(_END)
    directory, comment = struct.unpack_from("<LH", content, end + 16)
    if end + 22 + comment != len(content) or directory not in (archive.start_dir, 0xFFFFFFFF):  # of Zip64
        archive.close()
        raise zipfile.BadZipFile("there are bytes before or behind its archive")
    return archive


def without_archive(content: bytes) -> bytes:
    """Return content in which no reader finds an archive."""
    return content.replace(_END, bytes(len(_END)))


def sheets(archive: zipfile.ZipFile) -> Iterator[Sheet]:
    """Iterate over the sheets of an xlsx, xlsm, xlsb or ods; an xls is no archive, and 65536 rows are its most.

    All members are unpacked, whatever their names, which the workbook chooses.

    Raises:
        BadZipFile: a member unpacks to another size than the archive says.
    """
    names = _names(archive)
    for member in archive.infolist():
        part = _unpacked(archive, member)
        if member.filename == "content.xml":
            yield from _open_document(part)
        elif re.search(rb"<(?:\w+:)?sheetData\b", part):
            yield _office(names.get(member.filename), part)
        elif part.startswith(b"\x81\x01"):  # the record that a worksheet begins with
            yield _binary(names.get(member.filename), part)


def _unpacked(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    """Return a member; `ZipFile.read` unpacks all that there is before it compares this with the size it should have.

    Raises:
        BadZipFile: it unpacks to another size than the archive says.
    """
    beyond = copy.copy(member)
    beyond.file_size += 1
    with archive.open(beyond) as stream:
        content = stream.read(beyond.file_size)
    if len(content) != member.file_size:
        raise zipfile.BadZipFile(f"{member.filename} unpacks to another size than the archive says")
    return content


def is_encrypted(content: bytes) -> bool:
    """Return whether the content of a file is an encrypted workbook."""
    if content.startswith(b"PK"):
        try:
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                return b"encryption-data" in _unpacked(archive, archive.getinfo("META-INF/manifest.xml"))
        except (zipfile.BadZipFile, KeyError):
            return False
    if "EncryptedPackage".encode("utf-16-le") in content:
        return True
    # In xls, the record FilePass (0x2F) follows the first record of the workbook, at the beginning of a sector.
    for first in re.finditer(rb"\x09\x08(..)\x00\x06\x05\x00", content, re.DOTALL):
        following = first.start() + 4 + int.from_bytes(first[1], "little")
        if first.start() % 512 == 0 and content[following : following + 2] == b"\x2f\x00":
            return True
    return False


def with_unicode(content: bytes) -> bytes:
    """Return an xls whose code page is Unicode, which its texts have always been since Excel 97; others as they are.

    calamine decodes texts by the code page ([MS-XLS], section 2.4.52), and some programs write another one there.
    """
    begin, code_page, unicode = b"\x09\x08\x10\0\0\6\5\0", 0x42, struct.pack("<H", 1200)
    position = content.find(begin) if content.startswith(b"\xd0\xcf\x11\xe0") else -1
    sector_end = position - position % 512 + 512
    while 0 <= position <= sector_end - 6:
        kind, size = struct.unpack_from("<HH", content, position)
        position += 4
        if kind == code_page and size == 2:
            return content[:position] + unicode + content[position + 2 :]
        position += size
    return content


def _attribute(tag: bytes, name: bytes) -> bytes | None:
    match = re.search(rb"(?:^|[\s:])" + name + rb"\s*=\s*(?:\"([^\"]*)\"|'([^']*)')", tag)
    return None if match is None else match[1] if match[1] is not None else match[2]


def _text(attribute: bytes | None) -> str:
    return html.unescape((attribute or b"").decode("utf-8", "replace"))


def _names(archive: zipfile.ZipFile) -> dict[str, str]:
    """Return the names of sheets by their parts, of Office Open XML."""
    members = set(archive.namelist())
    for book in ("xl/workbook.xml", "xl/workbook.bin"):
        related = f"xl/_rels/{posixpath.basename(book)}.rels"
        if book not in members or related not in members:
            continue
        targets = {
            _text(_attribute(tag, b"Id")): posixpath.join("/xl", _text(_attribute(tag, b"Target"))).lstrip("/")
            for tag in re.findall(rb"<(?:\w+:)?Relationship\s([^>]*)>", _unpacked(archive, archive.getinfo(related)))
        }
        content = _unpacked(archive, archive.getinfo(book))
        identified = _binary_names(content) if book.endswith(".bin") else _office_names(content)
        return {targets[id]: name for id, name in identified if id in targets}
    return {}


def _office_names(book: bytes) -> Iterator[tuple[str, str]]:
    for tag in re.findall(rb"<(?:\w+:)?sheet\s([^>]*)>", book):
        yield _text(_attribute(tag, b"id")), _text(_attribute(tag, b"name"))


def _office(name: str | None, part: bytes) -> Sheet:
    """Look at a worksheet of Office Open XML (ISO/IEC 29500-1, section 18.3)."""
    prefix = rb"(?:\w+:)?" if re.search(rb":(?:c|row)[\s>/]", part) else b""  # most have none, and are searched faster
    cell = rb"<" + prefix + rb"c\s[^>]*?\br=[\"']"
    columns = re.findall(cell + rb"([A-Z]{1,3})[0-9]", part)
    last_column = max(map(_column, set(columns)), default=0)
    last_row = max(map(int, set(re.findall(cell + rb"[A-Z]{1,3}([0-9]{1,7})[\"']", part))), default=0)
    count = len(re.findall(rb"<" + prefix + rb"c[\s>/]", part))
    if count > len(columns):  # a cell without a place follows the one before it
        row_number = 0
        for row in re.split(rb"<" + prefix + rb"row(?=[\s>/])", part)[1:]:
            row_number = int(_attribute(row[: row.find(b">")], b"r") or row_number + 1)
            if cells := len(re.findall(rb"<" + prefix + rb"c[\s>/]", row)):
                last_row, last_column = max(last_row, row_number), max(last_column, cells)
    return Sheet(
        name,
        last_row * last_column,
        count,
        errors=len(re.findall(rb"<" + prefix + rb"c\s[^>]*?\bt=[\"']e[\"']", part)) if _ERROR.search(part) else 0,
        uncalculated=_uncalculated(part, prefix),
        long_numbers=_long_numbers(part, prefix),
    )


_ERROR = re.compile(rb"t=[\"']e[\"']")
_LONG_NUMBER = re.compile(rb">-?[0-9]{16,}<")


def _column(letters: bytes) -> int:
    number = 0
    for letter in letters:
        number = number * 26 + letter - 64
    return number


def _uncalculated(part: bytes, prefix: bytes) -> int:
    """Return the number of formulas without a result; an empty text (str) is one."""
    if not re.search(rb"<" + prefix + rb"f[\s>/]", part):
        return 0
    pattern = (
        rb"<%(p)bc(\s[^>]*)?>\s*<%(p)bf(?:\s[^>]*)?(?:/>|>[^<]*</%(p)bf>)"
        rb"\s*(?:<%(p)bv\s*/>|<%(p)bv>\s*</%(p)bv>)?\s*</%(p)bc>"
    ) % {b"p": prefix}
    return sum(_attribute(tag, b"t") not in (b"str", b"e") for tag in re.findall(pattern, part))


def _long_numbers(part: bytes, prefix: bytes) -> tuple[str, ...]:
    if not _LONG_NUMBER.search(part):
        return ()
    pattern = rb"<" + prefix + rb"c(\s[^>]*)?>\s*<" + prefix + rb"v>(-?[0-9]{16,})</"
    return _changed([number for tag, number in re.findall(pattern, part) if _attribute(tag, b"t") in (None, b"n")])


def _changed(numbers: list[bytes]) -> tuple[str, ...]:
    return tuple(number.decode() for number in numbers if not whole_numbers.is_float(int(number)))


_TAG = re.compile(rb"<table:(table-row|table-cell|covered-table-cell)\b([^>]*)>")


def _open_document(content: bytes) -> Iterator[Sheet]:
    """Look at the tables of an OpenDocument (part 3 of ISO/IEC 26300, section 9), where rows and cells are repeated."""
    for table in re.split(rb"<table:table(?=\s)", content)[1:]:
        row = repeated = last_row = column = last_column = count = errors = errors_as_numbers = uncalculated = 0
        long_numbers = []
        for kind, tag in _TAG.findall(table):
            if kind == b"table-row":
                row, column = row + repeated, 0
                repeated = int(_attribute(tag, b"number-rows-repeated") or 1)
                continue
            column += int(_attribute(tag, b"number-columns-repeated") or 1)
            value_type, formula = _attribute(tag, b"office:value-type"), b"formula=" in tag
            if value_type is None and not formula:
                continue
            count += 1
            last_row, last_column = max(last_row, row + repeated), max(last_column, column)
            is_error = b'calcext:value-type="error"' in tag
            errors += is_error
            errors_as_numbers += is_error and value_type == b"float"
            uncalculated += value_type is None
            number = _attribute(tag, b"office:value")
            if value_type == b"float" and number and re.fullmatch(rb"-?[0-9]{16,}", number):
                long_numbers.append(number)
        yield Sheet(
            _text(_attribute(table[: table.find(b">")], b"table:name")),
            last_row * last_column,
            count,
            errors,
            errors_as_numbers,
            uncalculated,
            _changed(long_numbers),
        )


def _records(part: bytes) -> Iterator[tuple[int, int]]:
    """Iterate over the records of xlsb, each as its kind and the position of its content [MS-XLSB, section 2.1.4]."""
    position = 0
    try:
        while position < len(part):
            kind = part[position]
            position += 1
            if kind & 0x80:
                kind = kind & 0x7F | part[position] << 7
                position += 1
            length = shift = 0
            while True:
                byte = part[position]
                position += 1
                length |= (byte & 0x7F) << shift
                shift += 7
                if not byte & 0x80:
                    break
            yield kind, position
            position += length
    except IndexError:
        return  # its reader says that it is cut off


def _binary(name: str | None, part: bytes) -> Sheet:
    """Look at a worksheet of xlsb: records of rows and of cells."""
    row_header, blank, error, error_of_formula, last_kind = 0, 1, 3, 11, 11
    row = last_row = last_column = count = errors = 0
    for kind, start in _records(part):
        if kind == row_header:
            row = int.from_bytes(part[start : start + 4], "little") + 1
        elif blank < kind <= last_kind:
            count += 1
            errors += kind in (error, error_of_formula)
            last_row = max(last_row, row)
            last_column = max(last_column, int.from_bytes(part[start : start + 4], "little") + 1)
    return Sheet(name, last_row * last_column, count, errors)


def _binary_names(book: bytes) -> Iterator[tuple[str, str]]:
    sheet = 0x9C

    def text(position: int) -> tuple[str, int]:
        stop = position + 4 + 2 * int.from_bytes(book[position : position + 4], "little")
        return book[position + 4 : stop].decode("utf-16-le", "replace"), stop

    for kind, start in _records(book):
        if kind == sheet:
            id, stop = text(start + 8)
            yield id, text(stop)[0]
