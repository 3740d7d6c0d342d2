"""Workbooks whose parts are written by hand, with what libraries never write."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib

_SCHEMAS = "http://schemas.openxmlformats.org"
_KINDS = f"{_SCHEMAS}/officeDocument/2006/relationships"
_RELATIONSHIPS = f'Relationships xmlns="{_SCHEMAS}/package/2006/relationships"'
_TYPES = f'<Types xmlns="{_SCHEMAS}/package/2006/content-types"/>'

TABLE_CELL = '<table:table-cell office:value-type="float" office:value="1"><text:p>1</text:p></table:table-cell>'
"""A cell of an OpenDocument."""


def zipped(parts: dict[str, str | bytes]) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, part in parts.items():
            archive.writestr(name, part)
    return target.getvalue()


def with_size(content: bytes, name: str, size: int, summed: int) -> bytes:
    """The archive, which says of the member `name` that it unpacks to `size` bytes, its sum being of `summed`."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        member = archive.getinfo(name)
        crc = zlib.crc32(archive.read(name)[:summed])
    changed = bytearray(content)
    directory = content.index(b"PK\1\2", content.rindex(name.encode()) - 46)
    for header, place in ((member.header_offset, 14), (directory, 16)):
        struct.pack_into("<L", changed, header + place, crc)
        struct.pack_into("<L", changed, header + place + 8, size)
    return bytes(changed)


def _relationship(identifier: str, kind: str, target: str) -> str:
    return f'<Relationship Id="{identifier}" Type="{_KINDS}/{kind}" Target="{target}"/>'


def office(*rows: str, strings: str = "", book: str = "") -> bytes:
    """An xlsx with a sheet S of these rows.

    Args:
        rows: the rows, as XML; styles are 1 for dates, 2 for percent, 3 for [h]:mm:ss.
        strings: the shared strings, as XML.
        book: attributes of the workbook's properties.
    """
    main = f'xmlns="{_SCHEMAS}/spreadsheetml/2006/main"'
    kinds = ("worksheet", "sharedStrings", "styles")
    related = "".join(_relationship(f"r{n}", kind, f"{kind}.xml") for n, kind in enumerate(kinds))
    to_book = _relationship("r1", "officeDocument", "xl/workbook.xml")
    formats = '<numFmts><numFmt numFmtId="164" formatCode="[h]:mm:ss"/></numFmts>'
    styles = "".join(f'<xf numFmtId="{number}"/>' for number in (0, 14, 10, 164))
    return zipped(
        {
            "[Content_Types].xml": _TYPES,
            "_rels/.rels": f"<{_RELATIONSHIPS}>{to_book}</Relationships>",
            "xl/workbook.xml": f'<workbook {main} xmlns:r="{_KINDS}"><workbookPr {book}/>'
            '<sheets><sheet name="S" sheetId="1" r:id="r0"/></sheets></workbook>',
            "xl/_rels/workbook.xml.rels": f"<{_RELATIONSHIPS}>{related}</Relationships>",
            "xl/sharedStrings.xml": f"<sst {main}>{strings}</sst>",
            "xl/styles.xml": f"<styleSheet {main}>{formats}<cellXfs>{styles}</cellXfs></styleSheet>",
            "xl/worksheet.xml": f"<worksheet {main}><sheetData>{''.join(rows)}</sheetData></worksheet>",
        }
    )


def ods(rows: str, manifest: str = "") -> bytes:
    """An OpenDocument with a table T of these rows, as XML, and these entries of its manifest."""
    name = "urn:oasis:names:tc:opendocument:xmlns"
    spaces = " ".join(f'xmlns:{space}="{name}:{space}:1.0"' for space in ("office", "table", "text"))
    root = f'manifest:manifest xmlns:manifest="{name}:manifest:1.0"'
    table = f'<table:table table:name="T">{rows}</table:table>'
    body = f"<office:body><office:spreadsheet>{table}</office:spreadsheet></office:body>"
    return zipped(
        {
            "mimetype": "application/vnd.oasis.opendocument.spreadsheet",
            "META-INF/manifest.xml": f"<{root}>{manifest}</manifest:manifest>",
            "content.xml": f"<office:document-content {spaces}>{body}</office:document-content>",
        }
    )


def repeated(kind: str, count: int) -> str:
    """The attribute that repeats ``"rows"`` or ``"columns"`` of an OpenDocument."""
    return f'table:number-{kind}-repeated="{count}"'


def xlsb(row: int, column: int) -> bytes:
    """An xlsb with a number and an error beside it, in the first row and in that of `row` and `column`, from 0 on."""

    def record(kind: int, content: bytes = b"") -> bytes:
        coded = bytes([kind]) if kind < 0x80 else bytes([kind & 0x7F | 0x80, kind >> 7])
        return coded + bytes([len(content)]) + content

    def text(value: str) -> bytes:
        return struct.pack("<I", len(value)) + value.encode("utf-16-le")

    cells = b"".join(
        record(0, struct.pack("<IIHHBI", r, 0, 300, 0, 0, 0))
        + record(5, struct.pack("<IId", c, 0, 1.5))
        + record(3, struct.pack("<IIB", c + 1, 0, 42))
        for r, c in ((0, 0), (row, column))
    )
    size = record(0x94, struct.pack("<IIII", 0, row, 0, column))
    bundle = record(0x9C, struct.pack("<II", 0, 1) + text("r1") + text("S"))
    related = _relationship("r1", "worksheet", "worksheets/sheet1.bin")
    return zipped(
        {
            "[Content_Types].xml": _TYPES,
            "xl/_rels/workbook.bin.rels": f"<{_RELATIONSHIPS}>{related}</Relationships>",
            "xl/workbook.bin": record(0x83) + record(0x8F) + bundle + record(0x90) + record(0x84),
            "xl/worksheets/sheet1.bin": record(0x81) + size + record(0x91) + cells + record(0x92) + record(0x82),
        }
    )
