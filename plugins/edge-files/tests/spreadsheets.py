"""Spreadsheets in formats no library writes any more, as small as they can be: the frame of the openers' tests."""

from __future__ import annotations

import io
import struct
import zipfile

HEADER = ["sample", "volume"]
ROWS = [("A", 1.5), ("B", 2.5)]


def xls() -> bytes:
    """BIFF8 records [MS-XLS] in a compound file [MS-CFB]."""

    def record(kind: int, data: bytes) -> bytes:
        return struct.pack("<HH", kind, len(data)) + data

    def label(row: int, column: int, text: str) -> bytes:
        return record(0x204, struct.pack("<HHHHB", row, column, 0, len(text), 0) + text.encode())

    def number(row: int, column: int, value: float) -> bytes:
        return record(0x203, struct.pack("<HHHd", row, column, 0, value))

    def begin(kind: int) -> bytes:
        return record(0x809, struct.pack("<HHHHII", 0x600, kind, 0, 0, 0, 6))

    cells = b"".join(label(0, column, text) for column, text in enumerate(HEADER))
    for row, (sample, volume) in enumerate(ROWS, 1):
        cells += label(row, 0, sample) + number(row, 1, volume)
    sheet = begin(0x10) + cells + record(0x0A, b"")
    end = record(0x0A, b"")
    bound_length = 4 + 6 + 2 + 6
    offset = len(begin(5)) + bound_length + len(end)
    bound = record(0x85, struct.pack("<IBBBB", offset, 0, 0, 6, 0) + b"Sheet1")
    stream = (begin(5) + bound + end + sheet).ljust(4096, b"\0")

    end_of_chain, free, fat_sector = 0xFFFFFFFE, 0xFFFFFFFF, 0xFFFFFFFD
    head = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(16) + struct.pack("<HHHHH", 0x3E, 3, 0xFFFE, 9, 6) + bytes(6)
    head += struct.pack("<IIIIIIIII", 0, 1, 1, 0, 4096, end_of_chain, 0, end_of_chain, 0)
    head += struct.pack("<I", 0) + struct.pack("<I", free) * 108
    chain = [fat_sector, end_of_chain, *range(3, 10), end_of_chain]
    table = struct.pack("<128I", *chain, *[free] * (128 - len(chain)))

    def entry(name: str, kind: int, child: int, start: int, size: int) -> bytes:
        text = (name + "\0").encode("utf-16-le")
        tree = struct.pack("<BBIII", kind, 1, free, free, child)
        return text.ljust(64, b"\0") + struct.pack("<H", len(text)) + tree + bytes(36) + struct.pack("<IQ", start, size)

    folder = entry("Root Entry", 5, 1, end_of_chain, 0) + entry("Workbook", 2, free, 2, len(stream))
    return head + table + folder.ljust(512, b"\0") + stream


def xlsb() -> bytes:
    """BIFF12 records [MS-XLSB] in a zip."""

    def record(kind: int, data: bytes = b"") -> bytes:
        coded = bytes([kind]) if kind < 0x80 else bytes([kind & 0x7F | 0x80, kind >> 7])
        return coded + bytes([len(data)]) + data

    def text(value: str) -> bytes:
        return struct.pack("<I", len(value)) + value.encode("utf-16-le")

    def row(number: int, *cells: bytes) -> bytes:
        return record(0, struct.pack("<IIHHBI", number, 0, 300, 0, 0, 0)) + b"".join(cells)

    def string(column: int, value: str) -> bytes:
        return record(6, struct.pack("<II", column, 0) + text(value))

    def real(column: int, value: float) -> bytes:
        return record(5, struct.pack("<IId", column, 0, value))

    rows = row(0, *(string(column, name) for column, name in enumerate(HEADER)))
    for number, (sample, volume) in enumerate(ROWS, 1):
        rows += row(number, string(0, sample), real(1, volume))
    size = record(0x94, struct.pack("<IIII", 0, len(ROWS), 0, 1))
    sheet = record(0x81) + size + record(0x91) + rows + record(0x92) + record(0x82)
    bundle = record(0x9C, struct.pack("<II", 0, 1) + text("rId1") + text("Sheet1"))
    book = record(0x83) + record(0x8F) + bundle + record(0x90) + record(0x84)
    names = "http://schemas.openxmlformats.org/package/2006"
    kinds = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    of_book = (
        f'<Relationships xmlns="{names}/relationships">'
        f'<Relationship Id="rId1" Type="{kinds}/worksheet" Target="worksheets/sheet1.bin"/></Relationships>'
    )
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("[Content_Types].xml", f'<Types xmlns="{names}/content-types"/>')
        archive.writestr("xl/workbook.bin", book)
        archive.writestr("xl/_rels/workbook.bin.rels", of_book)
        archive.writestr("xl/worksheets/sheet1.bin", sheet)
    return packed.getvalue()


def open_document(kind: str) -> bytes:
    """A table in an OpenDocument spreadsheet (ods) or text (odt), by odfpy."""
    from odf.opendocument import OpenDocumentSpreadsheet, OpenDocumentText
    from odf.table import Table, TableCell, TableRow
    from odf.text import P

    table = Table(name="T")
    for cells in (HEADER, *ROWS):
        row = TableRow()
        for value in cells:
            if isinstance(value, str):
                cell = TableCell(valuetype="string")
            else:
                cell = TableCell(valuetype="float", value=value)
            cell.addElement(P(text=str(value)))
            row.addElement(cell)
        table.addElement(row)
    document = OpenDocumentText() if kind == "odt" else OpenDocumentSpreadsheet()
    (document.text if kind == "odt" else document.spreadsheet).addElement(table)
    packed = io.BytesIO()
    document.write(packed)
    return packed.getvalue()
