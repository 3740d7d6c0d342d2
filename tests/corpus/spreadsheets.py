"""Spreadsheets: kinds of cells, kinds of sheets, and what programs other than Excel write."""

from __future__ import annotations

import datetime as dt
import io
import struct
import zipfile
from collections.abc import Iterator
from typing import Any

import openpyxl
import pandas
import xlwt
from odf.opendocument import OpenDocumentText
from odf.text import P

from .cases import Case

ID = 1234567890123456789
WHEN = dt.datetime(2024, 1, 2, 3, 4, 5)


def written(book: Any) -> bytes:
    target = io.BytesIO()
    book.save(target)
    return target.getvalue()


def xlsx(*rows: list[Any]) -> bytes:
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    return written(book)


MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
LINKS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
STRICT_MAIN = "http://purl.oclc.org/ooxml/spreadsheetml/main"
STRICT_LINKS = "http://purl.oclc.org/ooxml/officeDocument/relationships"


def raw_xlsx(
    rows: str, *, strict: bool = False, of_book: str = "", strings: str = "", formats: tuple[int, ...] = (0,)
) -> bytes:
    """A workbook of one sheet, by its XML.

    Args:
        rows: the content of ``sheetData``.
        strict: whether names are those of the strict variant.
        of_book: elements of the workbook before its sheets.
        strings: the shared strings.
        formats: number format of each cell style.
    """
    main, links = (STRICT_MAIN, STRICT_LINKS) if strict else (MAIN, LINKS)
    package = "http://schemas.openxmlformats.org/package/2006"
    styles = "".join(f'<xf numFmtId="{number}" applyNumberFormat="1"/>' for number in formats)
    parts = {
        "[Content_Types].xml": f'<Types xmlns="{package}/content-types">'
        '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        '<Default Extension="xml" ContentType="application/xml"/></Types>',
        "_rels/.rels": f'<Relationships xmlns="{package}/relationships">'
        f'<Relationship Id="r1" Type="{links}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'<workbook xmlns="{main}" xmlns:r="{links}">{of_book}'
        '<sheets><sheet name="S" sheetId="1" r:id="r1"/></sheets></workbook>',
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{package}/relationships">'
        f'<Relationship Id="r1" Type="{links}/worksheet" Target="worksheets/sheet1.xml"/>'
        f'<Relationship Id="r2" Type="{links}/styles" Target="styles.xml"/>'
        f'<Relationship Id="r3" Type="{links}/sharedStrings" Target="sharedStrings.xml"/></Relationships>',
        "xl/styles.xml": f'<styleSheet xmlns="{main}"><cellXfs>{styles}</cellXfs></styleSheet>',
        "xl/sharedStrings.xml": f'<sst xmlns="{main}">{strings}</sst>',
        "xl/worksheets/sheet1.xml": f'<worksheet xmlns="{main}"><sheetData>{rows}</sheetData></worksheet>',
    }
    return packed(parts)


def packed(parts: dict[str, Any]) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return target.getvalue()


def column(*cells: str) -> str:
    """The rows of a column named v, whose cells are written like this, beside a column of numbers."""
    header = (
        '<row r="1"><c r="A1" t="inlineStr"><is><t>v</t></is></c><c r="B1" t="inlineStr"><is><t>n</t></is></c></row>'
    )
    rows = (
        f'<row r="{n}">{cell.replace("@", f"A{n}")}<c r="B{n}"><v>{n}</v></c></row>' for n, cell in enumerate(cells, 2)
    )
    return header + "".join(rows)


def ods(rows: str, *, before: str = "", after: str = "", kind: str = "spreadsheet") -> bytes:
    """An OpenDocument with a table, by its XML."""
    spaces = " ".join(
        f'xmlns:{name}="urn:oasis:names:tc:opendocument:xmlns:{name}:1.0"'
        for name in ("office", "table", "text", "style")
    )
    content = (
        f"<office:document-content {spaces} "
        'xmlns:calcext="urn:org:documentfoundation:names:experimental:calc:xmlns:calcext:1.0" '
        'xmlns:dc="http://purl.org/dc/elements/1.1/" office:version="1.3">'
        f"<office:body><office:{kind}>{before}"
        f'<table:table table:name="T">{rows}</table:table>{after}</office:{kind}></office:body>'
        "</office:document-content>"
    )
    media = "application/vnd.oasis.opendocument." + kind
    manifest = (
        '<manifest:manifest xmlns:manifest="urn:oasis:names:tc:opendocument:xmlns:manifest:1.0">'
        f'<manifest:file-entry manifest:full-path="/" manifest:media-type="{media}"/>'
        '<manifest:file-entry manifest:full-path="content.xml" manifest:media-type="text/xml"/></manifest:manifest>'
    )
    return packed({"mimetype": media, "content.xml": content, "META-INF/manifest.xml": manifest})


def ods_column(*cells: str) -> bytes:
    """An OpenDocument with a column named v, whose cells go on like this after their ``<table:table-cell``."""
    return ods("".join(f"{ROW}{cell}{ROW_END}" for cell in (V, *cells)))


ROW, ROW_END = "<table:table-row><table:table-cell ", "</table:table-cell></table:table-row>"
V = 'office:value-type="string"><text:p>v</text:p>'


def cases() -> Iterator[Case]:
    yield from _cells()
    yield from _raw_cells()
    yield from _sheets()
    yield from _open_documents()
    yield from _binary()


def _cells() -> Iterator[Case]:
    stamp = pandas.Timestamp(WHEN)
    kinds: dict[str, tuple[list[Any], list[Any], str]] = {
        "zeros": (["007", "1e5"], ["007", "1e5"], "texts that look like numbers"),
        "na": (["NA", "None"], ["NA", "None"], "texts that look like gaps"),
        "booleans": ([True, False, None], [True, False, None], "booleans beside a blank"),
        "boolean_texts": (["TRUE", "no"], ["TRUE", "no"], "texts that look like booleans"),
        "mixed": ([True, 1, "1", 1.5], [True, 1, "1", 1.5], "several types in a column"),
        "numbers": ([1, 2.5], [1.0, 2.5], "numbers"),
        "gaps": ([1, None], [1.0, None], "numbers with a blank"),
        "times": ([WHEN, None], [stamp, None], "times with a blank"),
        "milliseconds": (
            [WHEN.replace(microsecond=123000)],
            [pandas.Timestamp(WHEN.replace(microsecond=123000))],
            "milliseconds",
        ),
        "noon": ([dt.time(12), dt.time(0)], [dt.time(12), dt.time(0)], "times of a day"),
        "durations": ([dt.timedelta(hours=30)], [pandas.Timedelta(hours=30)], "a duration above 24 hours"),
        "time_or_text": ([WHEN, "unknown"], [WHEN, "unknown"], "a time and a text"),
        "date_texts": (["2024-01-02", "SEPT2"], ["2024-01-02", "SEPT2"], "texts that look like dates"),
        "lines": (["two\nlines", " blanks "], ["two\nlines", " blanks "], "line ends and blanks within cells"),
        "odd_texts": (["🧪", "<&>"], ["🧪", "<&>"], "characters that XML escapes"),
    }
    for name, (cells, value, why) in kinds.items():
        numbers = list(range(len(cells)))
        rows = [["v", "n"], *([cell, n] for n, cell in enumerate(cells))]
        yield Case(f"{name}.xlsx", xlsx(*rows), why, {"v": value, "n": numbers})
    yield Case("id_texts.xlsx", xlsx(["id"], [str(ID)]), "ids of 19 digits as texts", {"id": [str(ID)]})
    yield Case(
        "names.xlsx",
        xlsx(["v", "v", None, 2024], [1, 2, 3, 4]),
        "odd names",
        {"v": [1], "v.1": [2], "Unnamed: 2": [3], 2024: [4]},
    )
    yield Case("header_only.xlsx", xlsx(["a", "b"]), "a header alone", {"a": [], "b": []})
    yield Case("blank.xlsx", xlsx(), "a sheet without cells", {})
    yield Case("blank_rows.xlsx", xlsx(["a"], [1], [None], [3]), "a blank row between", {"a": [1.0, None, 3.0]})
    yield Case("UPPER.v2.XLSX", xlsx(["a"], ["007"]), "an upper-case suffix", {"a": ["007"]})
    yield Case("macros.xlsm", xlsx(["a"], ["007"]), "the suffix xlsm", {"a": ["007"]})
    yield Case(
        "formulas.xlsx",
        xlsx(["a", "b"], [1, "=A2+1"]),
        "a formula that no program has computed",
        {"a": [1], "b": [None]},
        warns="1 formula",
    )
    book = openpyxl.Workbook()
    for row in (["a", "b"], ["x", 1], [None, 2]):
        book.active.append(row)
    book.active.merge_cells("A2:A3")
    yield Case("merged.xlsx", written(book), "merged cells: the first has the value", {"a": ["x", None], "b": [1, 2]})
    book = openpyxl.Workbook()
    book.epoch = openpyxl.utils.datetime.CALENDAR_MAC_1904
    for row in (["when"], [WHEN]):
        book.active.append(row)
    yield Case("mac_1904.xlsx", written(book), "days counted from 1904", {"when": [stamp]})


def _raw_cells() -> Iterator[Case]:
    def case(
        name: str, why: str, cells: list[str], values: list[Any], warns: str | None = None, **options: Any
    ) -> Case:
        numbers = list(range(2, 2 + len(cells)))
        return Case(f"{name}.xlsx", raw_xlsx(column(*cells), **options), why, {"v": values, "n": numbers}, warns=warns)

    yield case("inline", "texts within cells", ['<c r="@" t="inlineStr"><is><t>007</t></is></c>'], ["007"])
    yield case("computed", "texts of formulas", ['<c r="@" t="str"><f>A1</f><v>007</v></c>'], ["007"])
    yield case(
        "rich",
        "texts in several fonts, with a reading aid",
        ['<c r="@" t="s"><v>0</v></c>'],
        ["CO2"],
        strings='<si><r><t>CO</t></r><r><rPr><vertAlign val="subscript"/></rPr><t>2</t></r>'
        '<rPh sb="0" eb="1"><t>x</t></rPh></si>',
    )
    yield case(
        "escapes",
        "characters that XML has not",
        ['<c r="@" t="inlineStr"><is><t>a_x000D_b_x005F_x0041_</t></is></c>'],
        ["a\rb_x0041_"],
    )
    yield case(
        "iso_dates",
        "dates as texts of ISO 8601",
        ['<c r="@" t="d"><v>2024-01-02T03:04:05</v></c>'],
        [pandas.Timestamp(WHEN)],
    )
    yield case("strict", "the strict variant", ['<c r="@" t="inlineStr"><is><t>007</t></is></c>'], ["007"], strict=True)
    yield case(
        "errors",
        "cells with an error",
        ['<c r="@" t="e"><v>#N/A</v></c>', '<c r="@" t="e"><v>#DIV/0!</v></c>', '<c r="@"><v>1</v></c>'],
        [None, None, 1.0],
        warns="2 cells with an error",
    )
    yield case(
        "exponents",
        "numbers with an exponent",
        ['<c r="@"><v>1.5E-3</v></c>', '<c r="@"><v>1e3</v></c>'],
        [0.0015, 1000.0],
    )
    ids = [f'<c r="@"><v>{ID}</v></c>', f'<c r="@" t="str"><f>A1</f><v>{ID}</v></c>']
    yield case("ids", "ids of 19 digits, as a number and as a text", ids, [int(float(ID)), str(ID)], warns="lost")
    blank = f'<c r="A3" s="0"/><c r="B3" t="str"><f>A1</f><v>{ID}</v></c>'
    beside_blank = raw_xlsx(f'{column(ids[1])}<row r="3">{blank}</row>')
    yield Case(
        "id_beside_blank.xlsx",
        beside_blank,
        "an id as a text, beside a blank cell",
        {"v": [str(ID), None], "n": [2, str(ID)]},
    )
    yield case("digits", "all digits of a float", ['<c r="@"><v>0.30000000000000004</v></c>'], [0.1 + 0.2])
    yield case(
        "dates",
        "a day, by its number",
        ['<c r="@" s="1"><v>45293</v></c>'],
        [pandas.Timestamp("2024-01-02")],
        formats=(0, 14),
    )
    yield case(
        "first_day",
        "the first day of 1900",
        ['<c r="@" s="1"><v>1</v></c>'],
        [pandas.Timestamp("1900-01-01")],
        formats=(0, 14),
    )
    yield case("no_styles", "a style that is not there", ['<c r="@" s="7"><v>5</v></c>'], [5])
    yield case(
        "blank_texts",
        "blank texts",
        ['<c r="@" t="inlineStr"><is><t></t></is></c>', '<c r="@" t="inlineStr"><is><t>x</t></is></c>'],
        [None, "x"],
    )
    header = '<row><c t="inlineStr"><is><t>v</t></is></c></row>'
    yield Case(
        "no_places.xlsx", raw_xlsx(header + "<row><c><v>5</v></c></row>"), "cells without their places", {"v": [5]}
    )
    gap = '<row r="1"><c r="A1" t="inlineStr"><is><t>v</t></is></c></row><row r="4"><c r="A4"><v>5</v></c></row>'
    yield Case("row_numbers.xlsx", raw_xlsx(gap), "rows that are left out", {"v": [None, None, 5.0]})
    far = '<row r="1"><c r="A1"><v>1</v></c></row><row r="1048576"><c r="XFD1048576"><v>1</v></c></row>'
    yield Case(
        "far.xlsx", raw_xlsx(far), "two cells, 17 thousand million apart", error="spans 17179869184 cells.*max_cells="
    )
    yield Case(
        "bomb.xlsx",
        packed({"xl/workbook.xml": bytes(3_000_000)}),
        "a thousand times its size",
        error="unpacks to 3000000 bytes.*max_unpacked_size=",
        options={"max_unpacked_size": 1_000_000},
    )
    encrypted = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600) + "EncryptedPackage".encode("utf-16-le") + bytes(600)
    yield Case("encrypted.xlsx", encrypted, "encrypted", error="is encrypted; save it without a password")


def _sheets() -> Iterator[Case]:
    def book(*sheets: tuple[str, str]) -> Any:
        workbook = openpyxl.Workbook()
        workbook.remove(workbook.active)
        for name, state in sheets:
            if state == "chart":
                workbook.create_chartsheet(name)
            else:
                sheet = workbook.create_sheet(name)
                sheet.sheet_state = state
                sheet.append([name])
        return written(workbook)

    two = book(("first", "visible"), ("second", "visible"))
    yield Case("two_sheets.xlsx", two, "two sheets", {"first": []}, warns="2 worksheets, and 'first'.*sheet_name=")
    yield Case("second_sheet.xlsx", two, "the second by name", {"second": []}, options={"sheet_name": "second"})
    yield Case(
        "no_sheet.xlsx",
        two,
        "a sheet that is not there",
        error="no worksheet 'third'; use one of first, second",
        options={"sheet_name": "third"},
    )
    yield Case("hidden.xlsx", book(("h", "hidden"), ("v", "visible")), "the first sheet is hidden", {"v": []})
    yield Case("very_hidden.xlsx", book(("h", "veryHidden"), ("v", "visible")), "hidden by a macro", {"v": []})
    yield Case("chart.xlsx", book(("c", "chart"), ("v", "visible")), "a chart is first", {"v": []})


def _open_documents() -> Iterator[Case]:
    yield Case(
        "german.ods",
        ods_column(
            'office:value-type="boolean" office:boolean-value="true"><text:p>WAHR</text:p>',
            'office:value-type="boolean" office:boolean-value="false"><text:p>FALSCH</text:p>',
        ),
        "booleans in another language",
        {"v": [True, False]},
    )
    yield Case(
        "zeros.ods", ods_column('office:value-type="string"><text:p>007</text:p>'), "a text of digits", {"v": ["007"]}
    )
    yield Case(
        "shown.ods",
        ods_column('office:value-type="float" office:value="0.30000000000000004"><text:p>0,3</text:p>'),
        "the value, not what is shown",
        {"v": [0.30000000000000004]},
    )
    yield Case(
        "percent.ods",
        ods_column(
            'office:value-type="percentage" office:value="0.125"><text:p>12.5%</text:p>',
            'office:value-type="currency" office:currency="EUR" office:value="9.99"><text:p>9,99 €</text:p>',
        ),
        "per cent and amounts",
        {"v": [0.125, 9.99]},
    )
    yield Case(
        "dates.ods",
        ods_column('office:value-type="date" office:date-value="2024-01-02T03:04:05"><text:p>x</text:p>'),
        "dates",
        {"v": [pandas.Timestamp(WHEN)]},
    )
    yield Case(
        "durations.ods",
        ods_column('office:value-type="time" office:time-value="PT30H15M00S"><text:p>30:15</text:p>'),
        "durations above 24 hours",
        {"v": [pandas.Timedelta(hours=30, minutes=15)]},
    )
    yield Case(
        "some_durations.ods",
        ods_column(
            'office:value-type="time" office:time-value="PT30H00M00S"><text:p>30:00</text:p>',
            'office:value-type="time" office:time-value="PT12H30M00S"><text:p>12:30</text:p>',
        ),
        "durations above and below 24 hours",
        {"v": [pandas.Timedelta(hours=30), pandas.Timedelta(hours=12, minutes=30)]},
    )
    yield Case(
        "repeated.ods",
        ods(
            f'{ROW}table:number-columns-repeated="3" {V}{ROW_END}'
            '<table:table-row table:number-rows-repeated="2"><table:table-cell table:number-columns-repeated="3" '
            'office:value-type="float" office:value="5"><text:p>5</text:p></table:table-cell></table:table-row>'
            '<table:table-row table:number-rows-repeated="1048573">'
            '<table:table-cell table:number-columns-repeated="16384"/></table:table-row>'
        ),
        "cells and rows that are repeated, blanks to the end of the sheet",
        {"v": [5, 5], "v.1": [5, 5], "v.2": [5, 5]},
    )
    yield Case(
        "far.ods",
        ods(
            '<table:table-row table:number-rows-repeated="1000000">'
            '<table:table-cell table:number-columns-repeated="10000"/>'
            '<table:table-cell office:value-type="float" office:value="5"/></table:table-row>'
        ),
        "a cell ten thousand million away",
        error="spans .* cells.*max_cells=",
    )
    yield Case(
        "spaces.ods",
        ods_column('office:value-type="string"><text:p>a<text:s text:c="3"/>b<text:tab/>c<text:line-break/>d</text:p>'),
        "blanks, tabs and line ends as elements",
        {"v": ["a   b\tc\nd"]},
    )
    yield Case(
        "paragraphs.ods",
        ods_column('office:value-type="string"><text:p>a</text:p><text:p>b</text:p>'),
        "two paragraphs",
        {"v": ["a\nb"]},
    )
    yield Case(
        "comment.ods",
        ods_column(
            'office:value-type="string"><office:annotation><dc:creator>me</dc:creator><text:p>check</text:p>'
            "</office:annotation><text:p>x</text:p>"
        ),
        "a comment is no part of the cell",
        {"v": ["x"]},
    )
    yield Case(
        "errors.ods",
        ods_column(
            'office:value-type="string" office:string-value="" calcext:value-type="error"><text:p>#N/A</text:p>',
            'office:value-type="float" office:value="0" calcext:value-type="error"><text:p>#DIV/0!</text:p>',
        ),
        "errors, which are written as the number 0",
        warns="cells? with an error",
    )
    yield Case(
        "ids.ods",
        ods_column(f'office:value-type="float" office:value="{ID}"><text:p>{ID}</text:p>'),
        "ids as numbers",
        warns="lost",
    )
    yield Case(
        "plate.odf", ods_column('office:value-type="string"><text:p>007</text:p>'), "the suffix odf", {"v": ["007"]}
    )
    table = f"{ROW}{V}{ROW_END}{ROW}{V.replace('>v<', '>x<')}{ROW_END}"
    yield Case("table.odt", ods(table, kind="text"), "a table in a text", {"v": ["x"]})
    text = OpenDocumentText()
    text.text.addElement(P(text="no table"))
    yield Case("no_table.odt", written_odf(text), "a text without a table", error="table")


def written_odf(document: Any) -> bytes:
    target = io.BytesIO()
    document.write(target)
    return target.getvalue()


def _binary() -> Iterator[Case]:
    def xls(*cells: Any, style: str = "General", **attributes: Any) -> bytes:
        book = xlwt.Workbook()
        for name, value in attributes.items():
            setattr(book, name, value)
        sheet = book.add_sheet("S")
        sheet.write(0, 0, "v")
        for number, cell in enumerate(cells, 1):
            sheet.write(number, 0, cell, xlwt.easyxf(num_format_str=style))
        return written(book)

    yield Case("zeros.xls", xls("007", "NA"), "texts that look like others", {"v": ["007", "NA"]})
    yield Case("numbers.xls", xls(1, 2.5, 0.1 + 0.2), "numbers", {"v": [1.0, 2.5, 0.1 + 0.2]})
    yield Case("whole.xls", xls(1, -5), "whole numbers", {"v": [1, -5]})
    yield Case("booleans.xls", xls(True, False), "booleans", {"v": [True, False]})
    yield Case("mixed.xls", xls(True, 1, "1"), "several types", {"v": [True, 1, "1"]})
    yield Case("dates.xls", xls(WHEN, style="yyyy-mm-dd hh:mm:ss"), "dates", {"v": [pandas.Timestamp(WHEN)]})
    yield Case(
        "mac_1904.xls",
        xls(WHEN, style="yyyy-mm-dd hh:mm:ss", dates_1904=True),
        "days counted from 1904",
        {"v": [pandas.Timestamp(WHEN)]},
    )
    yield Case("durations.xls", xls(1.25, style="[h]:mm:ss"), "30 hours", {"v": [pandas.Timedelta(hours=30)]})
    yield Case("unicode.xls", xls("größe 試料"), "texts of 16 bits", {"v": ["größe 試料"]})
    unicode, windows = b"\x42\0\2\0\xb0\4", b"\x42\0\2\0\xe4\4"
    content = xls("größe 試料")
    assert content.count(unicode) == 1
    yield Case("code_page.xls", content.replace(unicode, windows), "a code page beside Unicode", {"v": ["größe 試料"]})
    book = xlwt.Workbook()
    for name, visibility in (("h", 1), ("v", 0)):
        sheet = book.add_sheet(name)
        sheet.visibility = visibility
        sheet.write(0, 0, name)
    book.active_sheet = 1
    yield Case("hidden.xls", written(book), "the first sheet is hidden", {"v": []})
    yield Case("UPPER.v2.XLS", xls("007"), "an upper-case suffix", {"v": ["007"]})
    kinds = [(6, _text("007")), (4, b"\1"), (5, struct.pack("<d", 0.1 + 0.2)), (3, b"\x2a")]
    yield Case(
        "kinds.xlsb",
        xlsb([(6, _text("v"))], *([kind] for kind in kinds)),
        "a text, a boolean, a number and an error",
        {"v": ["007", True, 0.1 + 0.2, None]},
        warns="1 cell with an error",
    )
    yield Case("zeros.xlsb", xlsb([(6, _text("v"))], [(6, _text("007"))]), "a text of digits", {"v": ["007"]})


def _text(value: str) -> bytes:
    return struct.pack("<I", len(value)) + value.encode("utf-16-le")


def xlsb(*rows: list[tuple[int, bytes]]) -> bytes:
    """A workbook of one sheet in records of BIFF12 [MS-XLSB]; a cell is its kind and content."""

    def record(kind: int, content: bytes = b"") -> bytes:
        coded = bytes([kind]) if kind < 0x80 else bytes([kind & 0x7F | 0x80, kind >> 7])
        return coded + bytes([len(content)]) + content

    cells = b""
    for number, row in enumerate(rows):
        cells += record(0, struct.pack("<IIHHBI", number, 0, 300, 0, 0, 0))
        cells += b"".join(record(kind, struct.pack("<II", n, 0) + content) for n, (kind, content) in enumerate(row))
    size = record(0x94, struct.pack("<IIII", 0, len(rows) - 1, 0, max(map(len, rows)) - 1))
    package = "http://schemas.openxmlformats.org/package/2006"
    return packed(
        {
            "[Content_Types].xml": f'<Types xmlns="{package}/content-types"/>',
            "xl/workbook.bin": record(0x83)
            + record(0x8F)
            + record(0x9C, struct.pack("<II", 0, 1) + _text("r1") + _text("S"))
            + record(0x90)
            + record(0x84),
            "xl/_rels/workbook.bin.rels": f'<Relationships xmlns="{package}/relationships">'
            f'<Relationship Id="r1" Type="{LINKS}/worksheet" Target="worksheets/sheet1.bin"/></Relationships>',
            "xl/worksheets/sheet1.bin": record(0x81) + size + record(0x91) + cells + record(0x92) + record(0x82),
        }
    )
